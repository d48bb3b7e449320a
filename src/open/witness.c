/* SPDX-License-Identifier: MIT
 * witness.c - checksums of the grains of a file, kept while it is read. */
#include "open/witness.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define SPARE ((size_t)4 << 20) /* bytes that are read at once where a range does not lie by grains */

static bool is_sha256(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

enum tare_code tare_witnesses_open(struct tare_witness **list, const struct tare_host *host,
                                   const struct tare_host_file *files, struct tare_error *err)
{
    *list = NULL;
    if (!host->sha256 || !host->n_files)
        return TARE_OK;
    struct tare_witness *made = calloc(host->n_files, sizeof *made);
    enum tare_code code = made ? TARE_OK : tare_fail_memory(err);
    for (size_t i = 0; i < host->n_files && !code; i++) {
        struct tare_witness *w = &made[i];
        if (!host->sha256[i])
            continue;
        if (!is_sha256(host->sha256[i])) {
            code = tare_fail(err, TARE_E_ARGUMENT, "options.host.sha256", "that of %s is not 64 digits of 0-9 and a-f",
                             files[i].name);
            break;
        }
        w->size = files[i].bytes;
        w->n = (size_t)(w->size / TARE_GRAIN + (w->size % TARE_GRAIN != 0));
        w->sums = calloc(w->n + 1, sizeof *w->sums);
        if (!w->sums || pthread_mutex_init(&w->lock, NULL))
            code = tare_fail_memory(err);
        else
            w->sha256 = host->sha256[i];
        if (code)
            free(w->sums);
    }
    if (code)
        tare_witnesses_free(made, host->n_files);
    else
        *list = made;
    return code;
}

void tare_witnesses_free(struct tare_witness *list, size_t n)
{
    for (size_t i = 0; list && i < n; i++) {
        if (!list[i].sha256)
            continue;
        pthread_mutex_destroy(&list[i].lock);
        free(list[i].sums);
        free(list[i].fresh);
    }
    free(list);
}

static bool is_seen(XXH128_hash_t sum)
{
    return sum.low64 || sum.high64;
}

static enum tare_code note(struct tare_witness *w, const char *name, size_t grain, XXH128_hash_t sum,
                           struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    pthread_mutex_lock(&w->lock);
    if (is_seen(w->sums[grain])) {
        if (!XXH128_isEqual(w->sums[grain], sum))
            code = tare_fail(err, TARE_E_FORMAT, name,
                             "bytes %" PRIu64 " and those after it were others when they were read before: it was "
                             "changed on the way or on the server; try again",
                             (uint64_t)grain * TARE_GRAIN);
    } else if (!tare_grow(&w->fresh, &w->fresh_room, w->n_fresh + 1, sizeof *w->fresh)) {
        code = tare_fail_memory(err);
    } else {
        w->sums[grain] = sum;
        w->fresh[w->n_fresh++] = grain;
    }
    pthread_mutex_unlock(&w->lock);
    return code;
}

/* A range that begins and ends with grains, or with the file. */
static enum tare_code read_grains(const struct tare_bytes *bytes, unsigned char *to, size_t n, uint64_t offset,
                                  struct tare_error *err)
{
    enum tare_code code = tare_bytes_ask(bytes, to, n, offset, err);
    for (size_t at = 0, part; at < n && !code; at += part) {
        part = n - at < TARE_GRAIN ? n - at : TARE_GRAIN;
        code =
            note(bytes->witness, bytes->name, (size_t)((offset + at) / TARE_GRAIN), XXH3_128bits(to + at, part), err);
    }
    return code;
}

enum tare_code tare_witness_read(const struct tare_bytes *bytes, void *to, size_t n, uint64_t offset,
                                 struct tare_error *err)
{
    const uint64_t end = offset + n;
    unsigned char *spare = NULL;
    enum tare_code code = TARE_OK;
    if (offset % TARE_GRAIN == 0 && (end % TARE_GRAIN == 0 || end == bytes->size))
        return read_grains(bytes, to, n, offset, err);
    for (uint64_t at = offset, part; at < end && !code; at += part) {
        const uint64_t first = at / TARE_GRAIN * TARE_GRAIN, room = end - first < SPARE ? end - first : SPARE;
        uint64_t last = first + (room + TARE_GRAIN - 1) / TARE_GRAIN * TARE_GRAIN;
        last = last < bytes->size ? last : bytes->size;
        if (!spare && !(spare = malloc((size_t)(last - first))))
            return tare_fail_memory(err);
        part = (last < end ? last : end) - at;
        if (!(code = read_grains(bytes, spare, (size_t)(last - first), first, err)))
            memcpy((unsigned char *)to + (at - offset), spare + (at - first), (size_t)part);
    }
    free(spare);
    return code;
}

bool tare_witness_recall(struct tare_witness *w, size_t grain, XXH128_hash_t sum)
{
    if (grain >= w->n)
        return false;
    if (!is_seen(w->sums[grain]))
        w->sums[grain] = sum;
    return XXH128_isEqual(w->sums[grain], sum) != 0;
}

bool tare_witness_refresh(struct tare_witness *w)
{
    w->n_fresh = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (!is_seen(w->sums[i]))
            continue;
        if (!tare_grow(&w->fresh, &w->fresh_room, w->n_fresh + 1, sizeof *w->fresh))
            return false;
        w->fresh[w->n_fresh++] = i;
    }
    return true;
}
