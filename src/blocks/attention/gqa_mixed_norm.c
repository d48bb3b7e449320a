/* SPDX-License-Identifier: MIT
 * gqa_mixed_norm.c - RMS norms of what the heads give. */
#include "blocks/attention/gqa_mixed_norm.h"

#include "blocks/attention/gqa_self.h"

static void norm_mixed(const struct tare_gqa_job *j, const void *self)
{
    const struct tare_norm *norm = self;
    tare_norm_forward(j->pass, norm, norm->dim, j->mixed, j->mixed);
}

void tare_gqa_mixed_norm(struct tare_layer *layer, struct tare_at at, const char *name, int64_t width, double eps)
{
    const struct tare_norm norm = tare_rms_norm(at, name, width, eps);
    tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.mix = norm_mixed}, &norm, sizeof norm);
}

struct heads {
    const struct tare_gqa_job *job;
    const struct tare_norm *norm;
};

static void norm_head(void *user, size_t i, int worker)
{
    (void)worker;
    const struct heads *n = user;
    float *head = n->job->mixed + (int64_t)i * n->norm->dim;
    tare_norm_row(n->job->pass, n->norm, head, head);
}

static void norm_heads(const struct tare_gqa_job *j, const void *self)
{
    struct heads heads = {j, self};
    tare_pool_run(j->pass->pool, (size_t)(j->pass->tokens * j->b->heads), norm_head, &heads);
}

void tare_gqa_mixed_head_norm(struct tare_layer *layer, struct tare_at at, int64_t head_dim, double eps)
{
    const struct tare_norm norm = {.kind = TARE_NORM_RMS, .dim = head_dim, .eps = eps};
    tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.mix = norm_heads}, &norm, sizeof norm);
}
