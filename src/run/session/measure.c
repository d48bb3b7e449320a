/* SPDX-License-Identifier: MIT
 * measure.c - counts the bytes of weights that a token reads, and measures how fast the machine reads memory. */
#include "run/session/measure.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/pool.h"
#include "blocks/after.h"
#include "kernels/tiles.h"

static uint64_t spared(const struct tare_block *block, const struct tare_loaded *loaded)
{
    return block->ops && block->ops->spared ? block->ops->spared(block->self, loaded) : 0;
}

uint64_t tare_measure_token(const struct tare_loaded *loaded, const struct tare_tree *tree,
                            const struct tare_decoder *decoder, const struct tare_matrix *head)
{
    uint64_t bytes = tare_matrix_bytes(head), less = 0;
    for (size_t i = 0; i < tree->n; i++) {
        const struct tare_parameter *p = tree->parameters[i];
        const struct tare_matrix *m = &loaded->matrices[p->index];
        if (p->kind != TARE_KIND_EMBEDDING && m != head && p != tree->head.weight) /* the head stands for it */
            bytes += tare_matrix_bytes(m);
    }
    for (int64_t i = 0; i < decoder->n_layers; i++) {
        const struct tare_layer *layer = &decoder->layers[i];
        less += spared(&layer->mixer, loaded) + spared(&layer->ffn, loaded);
        if (layer->after)
            less += spared(&layer->after->block, loaded);
    }
    return bytes > less ? bytes - less : 0;
}

#define PASSES 5      /* of which the best counts; the first one warms up */
#define STRIPE 262144 /* bytes of a task: as much as four tasks of a decode step */
#define LANES 8       /* sums that do not wait for one another */

struct stripes {
    const uint64_t *words;
    uint64_t *sums; /* one for each task, so that no compiler leaves the reading out */
};

static void add_up(void *user, size_t i, int worker)
{
    const struct stripes *s = user;
    const uint64_t *words = s->words + i * (STRIPE / sizeof *words);
    uint64_t lanes[LANES] = {0};
    (void)worker;
    for (size_t k = 0; k < STRIPE / sizeof *words; k += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += words[k + lane];
    s->sums[i] = 0;
    for (size_t lane = 0; lane < LANES; lane++)
        s->sums[i] += lanes[lane];
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Returns the bytes a second of the best pass over n stripes. */
static double read_best(struct tare_pool *pool, struct stripes *stripes, size_t n)
{
    double least = 0;
    for (int pass = 0; pass <= PASSES; pass++) {
        const double start = seconds();
        tare_pool_run(pool, n, add_up, stripes);
        const double took = seconds() - start;
        if (pass && took > 0 && (least <= 0 || took < least))
            least = took;
    }
    return least > 0 ? (double)n * STRIPE / least : 0;
}

enum tare_code tare_measure_read(int threads, uint64_t bytes, double *rate, struct tare_error *err)
{
    struct tare_pool *pool = NULL;
    const size_t n = (size_t)(bytes / STRIPE);
    if (!rate)
        return tare_fail(err, TARE_E_ARGUMENT, "rate", "a place for the rate is needed");
    *rate = 0;
    if (!n || bytes > SIZE_MAX / 2)
        return tare_fail(err, TARE_E_ARGUMENT, "bytes", "%llu: at least %d and less than half of the address space",
                         (unsigned long long)bytes, STRIPE);
    const enum tare_code code = tare_pool_open(&pool, threads, err);
    if (code)
        return code;
    uint64_t *words = malloc(n * STRIPE), *sums = malloc(n * sizeof *sums);
    if (words && sums) {
        memset(words, 1, n * STRIPE); /* gives each page its own memory; untouched pages are all one page of zeros */
        *rate = read_best(pool, &(struct stripes){words, sums}, n);
    }
    const bool had = words && sums;
    free(words);
    free(sums);
    tare_pool_free(pool);
    return had ? TARE_OK : tare_fail_memory(err);
}
