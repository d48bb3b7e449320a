/* SPDX-License-Identifier: MIT
 * account.c - sums of a job's tensors, made when its last tile is written: its source was just read and its output is
 * still in the page cache, so neither is read from a disk again.
 */
#include "save/account.h"

#include <stdlib.h>
#include <string.h>

#include "save/frontier.h"

#define STEP ((size_t)1 << 20)           /* bytes read back at once */
#define SOURCE_STEP ((uint64_t)16 << 20) /* bytes of a tensor of the input that are held at once */

void tare_sum_text(const struct tare_sum *sum, char text[33])
{
    for (int k = 0; k < 16; k++) {
        text[2 * k] = "0123456789abcdef"[sum->byte[k] >> 4];
        text[2 * k + 1] = "0123456789abcdef"[sum->byte[k] & 15];
    }
    text[32] = 0;
}

struct tare_sum tare_sum_of(XXH128_hash_t hash)
{
    XXH128_canonical_t bytes;
    struct tare_sum sum;
    XXH128_canonicalFromHash(&bytes, hash);
    memcpy(sum.byte, bytes.digest, sizeof sum.byte);
    return sum;
}

/* Tensors stand in the checkpoint by name. */
static int by_place(const void *a, const void *b)
{
    const struct tare_tensor *const *x = a, *const *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* The tensors of all modules that a job takes from, each once, by name. */
static bool list_sources(struct tare_account *account, const struct tare_job *job, struct tare_record *record)
{
    const struct tare_tensor **list =
        tare_arena_alloc(&account->arena, (job->flat.n * TARE_PARTS + 1) * sizeof(const struct tare_tensor *));
    size_t n = 0, unique = 0;
    if (!list)
        return false;
    const struct tare_module *last = NULL;
    for (size_t k = 0; k < job->flat.n; k++) {
        const struct tare_module *module = job->flat.pieces[k].module;
        for (int i = 0; i < TARE_PARTS && module != last; i++)
            if (module->part[i])
                list[n++] = module->part[i];
        last = module;
    }
    if (n)
        qsort(list, n, sizeof *list, by_place);
    for (size_t k = 0; k < n; k++)
        if (!unique || list[unique - 1] != list[k])
            list[unique++] = list[k];
    record->sources = list;
    record->n_sources = unique;
    record->source = tare_arena_array(&account->arena, unique + 1, sizeof *record->source);
    return record->source != NULL;
}

enum tare_code tare_account_begin(struct tare_account *account, const struct tare_layout *layout,
                                  const struct tare_model *model, const struct tare_convert_options *options,
                                  struct tare_error *err)
{
    const struct tare_checkpoint *checkpoint = &model->checkpoint;
    account->layout = layout;
    account->journal = -1;
    account->sums = !options->no_sums;
    account->tensors = checkpoint->tensors;
    account->records = tare_arena_array(&account->arena, layout->n_jobs + 1, sizeof *account->records);
    account->known = tare_arena_array(&account->arena, checkpoint->n_tensors + 1, sizeof *account->known);
    account->is_known = tare_arena_array(&account->arena, checkpoint->n_tensors + 1, sizeof *account->is_known);
    if (!account->records || !account->known || !account->is_known || pthread_mutex_init(&account->lock, NULL))
        return tare_fail_memory(err);
    account->has_lock = true;
    for (size_t k = 0; k < layout->n_jobs; k++)
        if (!list_sources(account, &layout->jobs[k], &account->records[k]))
            return tare_fail_memory(err);
    return account->sums ? tare_identity_make(account, model, options, err) : TARE_OK;
}

enum tare_code tare_saved_sum(const struct tare_layout *layout, const struct tare_saved *saved,
                              struct tare_buffer *buffer, struct tare_sum *sum, struct tare_error *err)
{
    const struct tare_shard *shard = &layout->shards[saved->shard];
    const size_t step = saved->size < STEP ? (size_t)saved->size : STEP;
    void *bytes = tare_buffer_room(buffer, step);
    XXH3_state_t *state = XXH3_createState();
    enum tare_code code = bytes && state ? TARE_OK : tare_fail_memory(err);
    if (state)
        XXH3_128bits_reset(state);
    for (uint64_t at = 0; !code && at < saved->size;) {
        const size_t n = saved->size - at < step ? (size_t)(saved->size - at) : step;
        if (!(code = tare_file_read(shard->fd, bytes, n, saved->offset + at, shard->name, err)))
            XXH3_128bits_update(state, bytes, n);
        at += n;
    }
    if (!code)
        *sum = tare_sum_of(XXH3_128bits_digest(state));
    XXH3_freeState(state);
    return code;
}

/* The checksum of a tensor of the input, which was just read. */
static enum tare_code sum_source(struct tare_checkpoint *checkpoint, const struct tare_tensor *tensor,
                                 struct tare_worker *worker, struct tare_sum *sum, struct tare_error *err)
{
    const void *bytes = NULL;
    XXH3_state_t *state = XXH3_createState();
    enum tare_code code = state ? tare_tensor_address(checkpoint, tensor, &bytes, err) : tare_fail_memory(err);
    if (!code)
        XXH3_128bits_reset(state);
    for (uint64_t at = 0, n; !code && at < tensor->size; at += n) {
        n = tensor->size - at < SOURCE_STEP ? tensor->size - at : SOURCE_STEP;
        if (!(code = tare_holds_add(&worker->holds, checkpoint, tensor, at, at + n, err)))
            XXH3_128bits_update(state, (const unsigned char *)bytes + at, (size_t)n);
        tare_holds_let_go(&worker->holds);
    }
    if (!code)
        *sum = tare_sum_of(XXH3_128bits_digest(state));
    XXH3_freeState(state);
    return code;
}

static enum tare_code sum_sources(struct tare_account *account, struct tare_worker *worker, struct tare_record *record,
                                  struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (size_t k = 0; k < record->n_sources && !code; k++) {
        const struct tare_tensor *tensor = record->sources[k];
        const size_t index = (size_t)(tensor - account->tensors);
        pthread_mutex_lock(&account->lock);
        const bool known = account->is_known[index];
        record->source[k] = account->known[index];
        pthread_mutex_unlock(&account->lock);
        if (known || (code = sum_source(account->layout->checkpoint, tensor, worker, &record->source[k], err)))
            continue;
        pthread_mutex_lock(&account->lock);
        account->known[index] = record->source[k];
        account->is_known[index] = true;
        pthread_mutex_unlock(&account->lock);
    }
    return code;
}

enum tare_code tare_account_close(struct tare_account *account, size_t number, struct tare_worker *worker,
                                  struct tare_error *err)
{
    const struct tare_job *job = &account->layout->jobs[number];
    struct tare_record *record = &account->records[number];
    enum tare_code code = TARE_OK;
    if (account->sums) {
        code = sum_sources(account, worker, record, err);
        for (int k = 0; !code && k < TARE_PARTS; k++)
            if (job->saved[k])
                code = tare_saved_sum(account->layout, job->saved[k], &worker->tile, &record->target[k], err);
    }
    if (code)
        return code;
    record->done = true;
    if (account->journal < 0)
        return TARE_OK;
    pthread_mutex_lock(&account->lock);
    code = tare_journal_note(account, number, err);
    pthread_mutex_unlock(&account->lock);
    return code;
}

enum tare_way tare_job_way(const struct tare_job *job, const struct tare_record *record)
{
    for (size_t k = 0; k < job->flat.n; k++)
        if (job->flat.pieces[k].value ||
            (!job->target.packed && job->flat.pieces[k].module->packing != &tare_packing_plain))
            return TARE_WAY_ONE; /* computed; or codes that became floats */
    return job->way != TARE_WAY_EXACT ? job->way : record->tally.lost ? TARE_WAY_ROUNDED : TARE_WAY_EXACT;
}
