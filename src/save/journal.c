/* SPDX-License-Identifier: MIT
 * journal.c - which jobs are done, so that a killed run continues where it was.
 *
 * A line of text a job, ended by a hash of itself: what a crash tore off is not read. A line may reach the disk before
 * the tensors that it speaks of (power may fail), so a later run hashes those and believes what it finds.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/flush.h"
#include "base/locale.h"
#include "open/witness.h"
#include "save/frontier.h"

#define MAGIC "tare-journal 1 "
#define GRAINS 64 /* sums of a line, at most */
#define CONFIG_MOST ((uint64_t)64 << 20)
#define JOURNAL_MOST ((uint64_t)1 << 30)
#define SYNC_BYTES ((uint64_t)1 << 30) /* of tensors, between two times that all is brought to the disk */

/* ---- identity ------------------------------------------------------------------------------------------------ */

static void add(XXH3_state_t *state, const void *data, size_t n)
{
    XXH3_128bits_update(state, data, n);
}

/* Hashes texts with their final NUL, so that "ab", "c" and "a", "bc" differ. */
static void add_text(XXH3_state_t *state, const char *text)
{
    add(state, text ? text : "\1", text ? strlen(text) + 1 : 2);
}

static void add_number(XXH3_state_t *state, uint64_t number)
{
    add(state, &number, sizeof number);
}

static enum tare_code add_configs(XXH3_state_t *state, const struct tare_checkpoint *checkpoint, struct tare_error *err)
{
    static const char *const names[] = {"config.json", "quantize_config.json", "hf_quant_config.json"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char *text = NULL;
        size_t size = 0;
        add_text(state, names[k]);
        if (!tare_checkpoint_has(checkpoint, names[k]))
            continue;
        const enum tare_code code = tare_checkpoint_read(checkpoint, names[k], CONFIG_MOST, &text, &size, err);
        if (code)
            return code;
        add_number(state, size);
        add(state, text, size);
        free(text);
    }
    return TARE_OK;
}

#if defined(__APPLE__) /* it has had POSIX's st_mtim under another name from before POSIX had it */
static struct timespec time_of(const struct stat *info)
{
    return info->st_mtimespec;
}
#else
static struct timespec time_of(const struct stat *info)
{
    return info->st_mtim;
}
#endif

/* Identifies a file on disk by its size and time, one in memory by its content. */
static enum tare_code add_files(XXH3_state_t *state, const struct tare_checkpoint *checkpoint, struct tare_error *err)
{
    for (size_t k = 0; k < checkpoint->n_files; k++) {
        const struct tare_file *file = &checkpoint->files[k];
        struct stat info;
        add_text(state, file->name);
        add_number(state, file->size);
        const struct tare_witness *witness = checkpoint->door ? tare_door_witness(checkpoint->door, file->name) : NULL;
        if (witness)
            add_text(state, witness->sha256);
        if (!file->path)
            continue;
        if (stat(file->path, &info))
            return tare_fail_system(err, file->name, "looking at it");
        const struct timespec changed = time_of(&info);
        add_number(state, (uint64_t)changed.tv_sec);
        add_number(state, (uint64_t)changed.tv_nsec);
    }
    for (size_t k = 0; k < checkpoint->n_memory; k++) {
        add_text(state, checkpoint->memory[k].name);
        add_number(state, checkpoint->memory[k].size);
        add(state, checkpoint->memory[k].data, checkpoint->memory[k].size);
    }
    return TARE_OK;
}

/* What the headers say. */
static void add_tensors(XXH3_state_t *state, const struct tare_checkpoint *checkpoint)
{
    for (size_t k = 0; k < checkpoint->n_tensors; k++) {
        const struct tare_tensor *tensor = &checkpoint->tensors[k];
        add_text(state, tensor->name);
        add_number(state, (uint64_t)tensor->dtype);
        add_number(state, tensor->file);
        add_number(state, tensor->offset);
        add_number(state, tensor->size);
        for (int i = 0; i < tensor->rank; i++)
            add_number(state, (uint64_t)tensor->shape[i]);
    }
}

static void add_options(XXH3_state_t *state, const struct tare_layout *layout, const struct tare_model *model,
                        const struct tare_convert_options *options)
{
    add_text(state, tare_version());
    add_text(state, layout->format->name);
    add_text(state, options->dtype);
    add_text(state, layout->rounding);
    add_number(state, (uint64_t)options->keep_dtypes | (uint64_t)options->exact << 1 | (uint64_t)options->proof << 2 |
                          (uint64_t)model->options.no_data << 3);
    add_number(state, options->shard_size);
    add_number(state, (uint64_t)model->options.tie);
    add_number(state, (uint64_t)model->options.zeros);
    add_text(state, model->options.dequantize);
    add_number(state, layout->n_jobs); /* and what follows from all that, should a rule of tare have changed */
    add_number(state, layout->n_tasks);
    add_number(state, layout->bytes);
    for (size_t k = 0; k < layout->n_shards; k++) {
        add_number(state, layout->shards[k].header_size);
        add(state, layout->shards[k].header, layout->shards[k].header_size);
    }
}

enum tare_code tare_identity_checkpoint(const struct tare_checkpoint *checkpoint, unsigned char identity[16],
                                        struct tare_error *err)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return tare_fail_memory(err);
    XXH3_128bits_reset(state);
    add_text(state, tare_version());
    add_tensors(state, checkpoint);
    enum tare_code code = add_files(state, checkpoint, err);
    if (!code)
        code = add_configs(state, checkpoint, err);
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, XXH3_128bits_digest(state));
    memcpy(identity, bytes.digest, sizeof bytes.digest);
    XXH3_freeState(state);
    return code;
}

enum tare_code tare_identity_make(struct tare_account *account, const struct tare_model *model,
                                  const struct tare_convert_options *options, struct tare_error *err)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return tare_fail_memory(err);
    XXH3_128bits_reset(state);
    add_options(state, account->layout, model, options);
    add_tensors(state, &model->checkpoint);
    enum tare_code code = add_files(state, &model->checkpoint, err);
    if (!code)
        code = add_configs(state, &model->checkpoint, err);
    const XXH128_hash_t hash = XXH3_128bits_digest(state);
    tare_format(account->identity, sizeof account->identity, "%016" PRIx64 "%016" PRIx64, hash.high64, hash.low64);
    XXH3_freeState(state);
    return code;
}

/* ---- lines --------------------------------------------------------------------------------------------------- */

static void put_sum(struct tare_text *text, char kind, const struct tare_sum *sum)
{
    char digits[33];
    tare_sum_text(sum, digits);
    tare_text_format(text, " %c%s", kind, digits);
}

/* The line began at `start`. */
static void put_end(struct tare_text *text, size_t start)
{
    if (!text->failed)
        tare_text_format(text, " #%016" PRIx64 "\n", XXH3_64bits(text->data + start, text->size - start));
}

/* "job 12 0 0 0x0p+0 t.. s.. #..": number, rounded, lost, most; sums of its tensors, then of its sources. */
static void put_job(struct tare_text *text, const struct tare_account *account, size_t number)
{
    const struct tare_job *job = &account->layout->jobs[number];
    const struct tare_record *record = &account->records[number];
    const size_t start = text->size;
    tare_text_format(text, "job %zu %" PRIu64 " %" PRIu64 " %a", number, record->tally.rounded, record->tally.lost,
                     record->tally.most);
    for (int k = 0; k < TARE_PARTS; k++)
        if (job->saved[k])
            put_sum(text, 't', &record->target[k]);
    for (size_t k = 0; k < record->n_sources; k++)
        put_sum(text, 's', &record->source[k]);
    put_end(text, start);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_sum(const char **at, char kind, struct tare_sum *sum)
{
    if ((*at)[0] != ' ' || (*at)[1] != kind)
        return false;
    *at += 2;
    for (int k = 0; k < 16; k++, *at += 2) {
        const int high = digit((*at)[0]), low = high < 0 ? -1 : digit((*at)[1]);
        if (low < 0)
            return false;
        sum->byte[k] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* One line, whose end was checked and is a NUL now; false: no line of a job of this layout. */
static bool take_job(struct tare_account *account, const char *line)
{
    if (strncmp(line, "job ", 4))
        return false;
    char *end;
    const unsigned long long number = strtoull(line + 4, &end, 10);
    if (number >= account->layout->n_jobs)
        return false;
    struct tare_record *record = &account->records[number];
    const struct tare_job *job = &account->layout->jobs[number];
    record->tally.rounded = strtoull(end, &end, 10);
    record->tally.lost = strtoull(end, &end, 10);
    record->tally.most = tare_number_parse(end, &end);
    const char *at = end;
    bool whole = true;
    for (int k = 0; k < TARE_PARTS; k++)
        if (job->saved[k])
            whole = whole && take_sum(&at, 't', &record->target[k]);
    for (size_t k = 0; k < record->n_sources; k++)
        whole = whole && take_sum(&at, 's', &record->source[k]);
    record->kept = whole && !*at;
    return record->kept;
}

/* ---- what a host's files were like (open/witness.h) ---- */

static struct tare_witness *witness_of(const struct tare_account *account, size_t file)
{
    const struct tare_checkpoint *checkpoint = account->layout->checkpoint;
    return checkpoint->door && file < checkpoint->n_files
               ? tare_door_witness(checkpoint->door, checkpoint->files[file].name)
               : NULL;
}

/* "seen 0 128 g.. g.. #..": the file, its first grain, and sums of this one and of those that follow it. */
static void put_fresh(struct tare_text *text, struct tare_witness *witness, size_t file)
{
    pthread_mutex_lock(&witness->lock);
    for (size_t i = 0, first, start; i < witness->n_fresh;) {
        start = text->size;
        tare_text_format(text, "seen %zu %zu", file, witness->fresh[first = i]);
        do {
            const struct tare_sum sum = tare_sum_of(witness->sums[witness->fresh[i++]]);
            put_sum(text, 'g', &sum);
        } while (i < witness->n_fresh && witness->fresh[i] == witness->fresh[i - 1] + 1 && i - first < GRAINS);
        put_end(text, start);
    }
    witness->n_fresh = 0;
    pthread_mutex_unlock(&witness->lock);
}

/* "pass 0 4194304 0x.. .. #..": the file that is hashed, how far, and the eight words of the state. */
static void put_passed(struct tare_text *text, const struct tare_passed *passed)
{
    const size_t start = text->size;
    tare_text_format(text, "pass %zu %" PRIu64, passed->file, passed->chain.bytes);
    for (int k = 0; k < 8; k++)
        tare_text_format(text, " %" PRIu32, passed->chain.word[k]);
    put_end(text, start);
}

static bool take_seen(const struct tare_account *account, const char *line)
{
    char *end;
    struct tare_witness *witness = witness_of(account, (size_t)strtoull(line, &end, 10));
    size_t grain = (size_t)strtoull(end, &end, 10);
    const char *at = end;
    struct tare_sum sum;
    while (witness && take_sum(&at, 'g', &sum)) {
        XXH128_canonical_t bytes;
        memcpy(bytes.digest, sum.byte, sizeof bytes.digest);
        if (!tare_witness_recall(witness, grain++, XXH128_hashFromCanonical(&bytes)))
            return false;
    }
    return witness && !*at;
}

static bool take_passed(struct tare_account *account, const char *line)
{
    const struct tare_checkpoint *checkpoint = account->layout->checkpoint;
    char *end;
    struct tare_passed passed = {.file = (size_t)strtoull(line, &end, 10)};
    passed.chain.bytes = strtoull(end, &end, 10);
    for (int k = 0; k < 8; k++)
        passed.chain.word[k] = (uint32_t)strtoul(end, &end, 10);
    const struct tare_witness *witness = witness_of(account, passed.file);
    if (*end || passed.chain.bytes % 64 || (witness ? passed.chain.bytes >= witness->size : passed.chain.bytes != 0) ||
        passed.file > checkpoint->n_files)
        return false;
    account->passed = passed;
    return true;
}

static bool take_line(struct tare_account *account, const char *line)
{
    return !strncmp(line, "seen ", 5)   ? take_seen(account, line + 5)
           : !strncmp(line, "pass ", 5) ? take_passed(account, line + 5)
                                        : take_job(account, line);
}

/* The lines of a text that are whole, up to the first that is not; how many bytes they are. */
static size_t take_lines(struct tare_account *account, char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        char *line = text + at, *end = memchr(line, '\n', size - at), hash[24];
        if (!end || end - line < 18)
            break;
        char *mark = end - 18; /* " #" and 16 digits */
        tare_format(hash, sizeof hash, " #%016" PRIx64, XXH3_64bits(line, (size_t)(mark - line)));
        if (memcmp(mark, hash, 18) != 0)
            break;
        *mark = 0;
        if (at ? !take_line(account, line)
               : strncmp(line, MAGIC, strlen(MAGIC)) || strcmp(line + strlen(MAGIC), account->identity))
            break;
        at += (size_t)(end + 1 - line);
    }
    return at;
}

static enum tare_code read_journal(struct tare_account *account, struct tare_folder *folder, struct tare_error *err)
{
    struct stat info;
    char *text = NULL;
    enum tare_code code = TARE_OK;
    if ((code = tare_folder_beside(folder, TARE_JOURNAL, false, &account->journal, err)) || account->journal < 0)
        return code;
    if (fstat(account->journal, &info) || !S_ISREG(info.st_mode) || (uint64_t)info.st_size > JOURNAL_MOST)
        return TARE_OK; /* nothing that tare wrote */
    const size_t size = (size_t)info.st_size;
    if (!(text = malloc(size + 1)))
        return tare_fail_memory(err);
    if (!(code = tare_file_read(account->journal, text, size, 0, TARE_JOURNAL, err))) {
        text[size] = 0;
        account->journal_end = take_lines(account, text, size);
    }
    free(text);
    return code;
}

/* ---- resuming ----------------------------------------------------------------------------------------------- */

struct check {
    struct tare_account *account;
    struct tare_buffer *buffers; /* of each thread */
    atomic_bool memory;
};

/* Whether the tensors of a job still have the checksums of its line. */
static void check_job(void *user, size_t number, int thread)
{
    struct check *check = user;
    const struct tare_layout *layout = check->account->layout;
    struct tare_record *record = &check->account->records[number];
    const struct tare_job *job = &layout->jobs[number];
    for (int k = 0; k < TARE_PARTS && record->kept; k++) {
        struct tare_sum sum;
        if (!job->saved[k])
            continue;
        const enum tare_code code = tare_saved_sum(layout, job->saved[k], &check->buffers[thread], &sum, NULL);
        if (code == TARE_E_MEMORY)
            atomic_store(&check->memory, true);
        record->kept = !code && !memcmp(&sum, &record->target[k], sizeof sum);
    }
    record->done = record->kept;
    if (!record->done)
        record->tally = (struct tare_tally){0};
}

static enum tare_code check_jobs(struct tare_account *account, struct tare_pool *pool, struct tare_error *err)
{
    const int threads = tare_pool_threads(pool);
    struct check check = {.account = account, .buffers = calloc((size_t)threads, sizeof *check.buffers)};
    if (!check.buffers)
        return tare_fail_memory(err);
    atomic_init(&check.memory, false);
    tare_pool_run(pool, account->layout->n_jobs, check_job, &check);
    for (int k = 0; k < threads; k++)
        free(check.buffers[k].data);
    free(check.buffers);
    return atomic_load(&check.memory) ? tare_fail_memory(err) : TARE_OK;
}

static bool is_shard(const void *user, const char *name)
{
    const struct tare_layout *layout = user;
    for (size_t k = 0; k < layout->n_shards; k++)
        if (!strcmp(layout->shards[k].name, name))
            return true;
    return false;
}

static bool reopen_shards(struct tare_layout *layout, struct tare_folder *folder)
{
    for (size_t k = 0; k < layout->n_shards; k++)
        if (!tare_folder_reopen(folder, layout->shards[k].name, layout->shards[k].size, &layout->shards[k].fd))
            return false;
    return true;
}

static enum tare_code begin_anew(struct tare_account *account, struct tare_layout *layout, struct tare_folder *folder,
                                 struct tare_error *err)
{
    for (size_t k = 0; k < layout->n_shards; k++) {
        if (layout->shards[k].fd >= 0)
            close(layout->shards[k].fd);
        layout->shards[k].fd = -1;
    }
    if (account->journal >= 0)
        close(account->journal);
    account->journal = -1;
    for (size_t k = 0; k < layout->n_jobs; k++) {
        account->records[k].kept = account->records[k].done = false;
        account->records[k].tally = (struct tare_tally){0};
    }
    account->passed = (struct tare_passed){0};
    for (size_t k = 0; k < layout->checkpoint->n_files; k++) {
        struct tare_witness *witness = witness_of(account, k);
        if (witness && !tare_witness_refresh(witness))
            return tare_fail_memory(err);
    }
    return tare_folder_clear(folder, err);
}

enum tare_code tare_journal_resume(struct tare_account *account, struct tare_layout *layout, struct tare_folder *folder,
                                   struct tare_pool *pool, bool *resumed, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    *resumed = false;
    if (account->sums && (code = read_journal(account, folder, err)))
        return code;
    if (!account->journal_end || !reopen_shards(layout, folder))
        return begin_anew(account, layout, folder, err);
    *resumed = true;
    folder->keep = false;
    /* What was torn off goes, so that the next line begins where a line ends; the small files are written again. */
    if (ftruncate(account->journal, (off_t)account->journal_end))
        return tare_fail_system(err, folder->wanted, "cutting the journal");
    if ((code = tare_folder_keep_only(folder, is_shard, layout, err)) || (code = check_jobs(account, pool, err)))
        return code;
    for (size_t k = 0; !code && k < layout->n_shards; k++)
        code = tare_folder_write(layout->shards[k].fd, layout->shards[k].name, layout->shards[k].header,
                                 layout->shards[k].header_size, 0, err);
    return code;
}

static enum tare_code append(struct tare_account *account, struct tare_text *text, struct tare_error *err)
{
    const enum tare_code code = text->failed ? tare_fail_memory(err)
                                             : tare_folder_write(account->journal, TARE_JOURNAL, text->data, text->size,
                                                                 account->journal_end, err);
    if (!code)
        account->journal_end += text->size;
    tare_text_release(text);
    return code;
}

enum tare_code tare_journal_begin(struct tare_account *account, struct tare_folder *folder, struct tare_error *err)
{
    struct tare_text text = {0};
    if (!account->sums)
        return TARE_OK;
    const enum tare_code code = tare_folder_beside(folder, TARE_JOURNAL, true, &account->journal, err);
    if (code)
        return code;
    tare_text_format(&text, MAGIC "%s", account->identity);
    put_end(&text, 0);
    return append(account, &text, err);
}

/* The shards are synced first, so that after a crash a line seldom describes data that are not on the disk. */
static enum tare_code sync_all(struct tare_account *account, struct tare_error *err)
{
    for (size_t k = 0; k < account->layout->n_shards; k++)
        if (tare_flush(account->layout->shards[k].fd))
            return tare_fail_system(err, account->layout->shards[k].name, "bringing it to the disk");
    return tare_flush(account->journal) ? tare_fail_system(err, TARE_JOURNAL, "bringing it to the disk") : TARE_OK;
}

/* What was read of the source, before the line of a job that was made of it. */
static void put_source(struct tare_text *text, struct tare_account *account)
{
    const struct tare_passed passed = tare_frontier_passed(account->frontier);
    for (size_t k = 0; k < account->layout->checkpoint->n_files; k++) {
        struct tare_witness *witness = witness_of(account, k);
        if (witness)
            put_fresh(text, witness, k);
    }
    put_passed(text, &passed);
}

enum tare_code tare_journal_note(struct tare_account *account, size_t number, struct tare_error *err)
{
    struct tare_text text = {0};
    if (account->frontier)
        put_source(&text, account);
    put_job(&text, account, number);
    const enum tare_code code = append(account, &text, err);
    if (code)
        return code;
    for (int k = 0; k < TARE_PARTS; k++)
        if (account->layout->jobs[number].saved[k])
            account->since_sync += account->layout->jobs[number].saved[k]->size;
    if (account->since_sync < SYNC_BYTES)
        return TARE_OK;
    account->since_sync = 0;
    return sync_all(account, err);
}

void tare_account_release(struct tare_account *account)
{
    if (account->journal >= 0 && account->layout)
        close(account->journal);
    if (account->has_lock)
        pthread_mutex_destroy(&account->lock);
    tare_arena_release(&account->arena);
    *account = (struct tare_account){.journal = -1};
}
