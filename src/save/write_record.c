/* SPDX-License-Identifier: MIT
 * write_record.c - tare.json: where the folder is from, what became of each module, and the hashes of its files. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sized.h"
#include "save/account.h"

#define STEP ((size_t)256 << 10)

/* ---- sha256 of all files ------------------------------------------------------------------------------------- */

struct digest {
    const char *name, *shown; /* shown: as it is called at last */
    char hex[TARE_HASH_ROOM];
    struct tare_error error;
};

struct digests {
    const struct tare_folder *folder;
    const struct tare_convert_options *options;
    struct tare_hashes *hashes;
    struct digest *list; /* heap, by name */
    size_t n;
    pthread_mutex_t lock; /* of what follows */
    uint64_t done, total;
    bool stop;
};

/* n more bytes are hashed: true when the caller wants no more. */
static bool cancelled(struct digests *all, size_t n)
{
    const struct tare_convert_options *options = all->options;
    pthread_mutex_lock(&all->lock);
    all->done += n;
    if (!all->stop && options->progress)
        all->stop = options->progress(options->user, "hash", all->done, all->total) != 0;
    const bool stop = all->stop;
    pthread_mutex_unlock(&all->lock);
    return stop;
}

static enum tare_code feed(struct digests *all, struct digest *digest, int fd, struct tare_hash *hash, void *buffer)
{
    struct tare_error *err = &digest->error;
    struct stat info;
    if (fstat(fd, &info))
        return tare_fail_system(err, digest->name, "looking at it");
    for (uint64_t at = 0, size = (uint64_t)info.st_size; at < size;) {
        const size_t n = size - at < STEP ? (size_t)(size - at) : STEP;
        const enum tare_code code = tare_file_read(fd, buffer, n, at, digest->name, err);
        if (code)
            return code;
        if (!tare_hash_add(hash, buffer, n))
            return tare_fail(err, TARE_E_INTERNAL, digest->name, "cannot be hashed");
        if (cancelled(all, n))
            return tare_fail(err, TARE_E_CANCELLED, "", "cancelled");
        at += n;
    }
    return TARE_OK;
}

static void hash_file(void *user, size_t number, int thread)
{
    struct digests *all = user;
    struct digest *digest = &all->list[number];
    int fd = -1;
    void *buffer = malloc(STEP);
    struct tare_hash *hash = tare_hash_begin(all->hashes, TARE_HASH_SHA256);
    (void)thread;
    enum tare_code code = buffer && hash ? TARE_OK : tare_fail_memory(&digest->error);
    if (!code && !tare_folder_read(all->folder, digest->name, &fd))
        code = tare_fail_system(&digest->error, digest->name, "opening it");
    if (!code && !feed(all, digest, fd, hash, buffer) && !tare_hash_end(hash, digest->hex))
        tare_fail(&digest->error, TARE_E_INTERNAL, digest->name, "cannot be hashed");
    tare_hash_free(hash);
    free(buffer);
    if (fd >= 0)
        close(fd);
}

static enum tare_code hash_files(struct digests *all, struct tare_pool *pool, struct tare_error *err)
{
    all->hashes = tare_hashes_open();
    if (!all->hashes || pthread_mutex_init(&all->lock, NULL))
        return tare_fail_memory(err);
    tare_pool_run(pool, all->n, hash_file, all);
    pthread_mutex_destroy(&all->lock);
    for (size_t k = 0; k < all->n; k++)
        if (all->list[k].error.code) {
            if (err)
                *err = all->list[k].error;
            return all->list[k].error.code;
        }
    return TARE_OK;
}

/* All files but the card: people are to edit it. */
static enum tare_code list_files(struct digests *all, char **names, size_t n, struct tare_error *err)
{
    all->list = calloc(n + 1, sizeof *all->list);
    if (!all->list)
        return tare_fail_memory(err);
    for (size_t k = 0; k < n; k++) {
        uint64_t size = 0;
        if (!strcmp(names[k], "README.md"))
            continue;
        if (!tare_folder_size(all->folder, names[k], &size))
            return tare_fail_system(err, names[k], "looking at it");
        all->list[all->n].name = names[k];
        all->list[all->n++].shown = all->folder->single ? all->folder->name : names[k];
        all->total += size;
    }
    return TARE_OK;
}

/* ---- the text ------------------------------------------------------------------------------------------------ */

static const char *const ways[] = {
    [TARE_WAY_EXACT] = "exact", [TARE_WAY_ROUNDED] = "rounded", [TARE_WAY_ONE] = "one-way"};

static void put_key(struct tare_text *text, int depth, bool first, const char *key)
{
    tare_text_format(text, "%s\n%*s", first ? "" : ",", 2 * depth, "");
    tare_text_json(text, key);
    tare_text_puts(text, ": ");
}

static void put_string(struct tare_text *text, int depth, bool first, const char *key, const char *value)
{
    put_key(text, depth, first, key);
    tare_text_json(text, value);
}

static void put_number(struct tare_text *text, double number)
{
    tare_text_format(text, "%.9g", isfinite(number) ? number : 1.7976931348623157e308);
}

static void put_sum(struct tare_text *text, bool first, const char *name, const struct tare_sum *sum)
{
    char digits[33];
    tare_sum_text(sum, digits);
    put_string(text, 4, first, name, digits);
}

/* What was proved is not a claim any more. */
static enum tare_way way_of(const struct tare_account *account, size_t number, bool proved)
{
    return proved ? TARE_WAY_EXACT : tare_job_way(&account->layout->jobs[number], &account->records[number]);
}

static void put_module(struct tare_text *text, const struct tare_account *account, size_t number, bool proved)
{
    const struct tare_job *job = &account->layout->jobs[number];
    const struct tare_record *record = &account->records[number];
    put_string(text, 3, true, "back", ways[way_of(account, number, proved)]);
    put_key(text, 3, false, "rounded");
    tare_text_format(text, "%llu", (unsigned long long)record->tally.rounded);
    put_key(text, 3, false, "most");
    put_number(text, record->tally.most);
    if (!account->sums)
        return;
    put_key(text, 3, false, "source");
    tare_text_puts(text, "{");
    for (size_t k = 0; k < record->n_sources; k++)
        put_sum(text, !k, record->sources[k]->name, &record->source[k]);
    tare_text_puts(text, "\n      }");
    put_key(text, 3, false, "target");
    tare_text_puts(text, "{");
    bool first = true;
    for (int k = 0; k < TARE_PARTS; k++) {
        if (job->saved[k])
            put_sum(text, first, job->saved[k]->name, &record->target[k]);
        first = first && !job->saved[k];
    }
    tare_text_puts(text, "\n      }");
}

static void put_modules(struct tare_text *text, const struct tare_account *account, bool proved)
{
    put_key(text, 1, false, "modules");
    tare_text_puts(text, "{");
    for (size_t k = 0; k < account->layout->n_jobs; k++) {
        put_key(text, 2, !k, account->layout->jobs[k].name);
        tare_text_puts(text, "{");
        put_module(text, account, k, proved);
        tare_text_puts(text, "\n    }");
    }
    tare_text_puts(text, "\n  }");
}

static void put_source(struct tare_text *text, const struct tare_model *model)
{
    const struct tare_report *report = &model->report;
    put_key(text, 1, false, "source");
    tare_text_puts(text, "{");
    char name[128];
    put_string(text, 2, true, "name", tare_path_name(model->checkpoint.path ? model->checkpoint.path : "", name));
    put_string(text, 2, false, "model_type", model->model_type);
    put_key(text, 2, false, "formats");
    tare_text_puts(text, "[");
    for (size_t k = 0; k < report->n_formats; k++) {
        tare_text_puts(text, k ? ", " : "");
        tare_text_json(text, report->formats[k].packing);
    }
    tare_text_puts(text, "]");
    put_key(text, 2, false, "set_aside");
    tare_text_puts(text, "{");
    for (size_t k = 0; k < report->n_set_aside; k++)
        put_string(text, 3, !k, report->set_aside[k].name, report->set_aside[k].rule);
    tare_text_puts(text, report->n_set_aside ? "\n    }\n  }" : "}\n  }");
}

static void put_target(struct tare_text *text, const struct tare_account *account,
                       const struct tare_convert_options *options)
{
    put_key(text, 1, false, "target");
    tare_text_puts(text, "{");
    put_string(text, 2, true, "format", account->layout->format->name);
    put_string(text, 2, false, "dtype", options->dtype);
    if (account->layout->rounding)
        put_string(text, 2, false, "quantized", account->layout->rounding);
    put_key(text, 2, false, "keep_dtypes");
    tare_text_puts(text, options->keep_dtypes ? "true" : "false");
    put_key(text, 2, false, "exact");
    tare_text_puts(text, options->exact ? "true" : "false");
    tare_text_puts(text, "\n  }");
}

static void put_totals(struct tare_text *text, const struct tare_convert_summary *summary)
{
    put_key(text, 1, false, "proof");
    tare_text_puts(text, summary->proved ? "\"exact\"" : "null");
    put_key(text, 1, false, "back");
    tare_text_format(text, "{\"exact\": %zu, \"rounded\": %zu, \"one-way\": %zu}", summary->exact, summary->rounded,
                     summary->one_way);
    put_key(text, 1, false, "rounded");
    tare_text_format(text, "%llu", (unsigned long long)summary->numbers);
    put_key(text, 1, false, "most");
    put_number(text, summary->most);
}

static void put_files(struct tare_text *text, const struct digests *all)
{
    put_key(text, 1, false, "files");
    tare_text_puts(text, "{");
    for (size_t k = 0; k < all->n; k++)
        put_string(text, 2, !k, all->list[k].shown, all->list[k].hex);
    tare_text_puts(text, all->n ? "\n  }" : "}");
}

static struct tare_convert_summary sum_up(const struct tare_account *account, bool proved)
{
    struct tare_convert_summary sum = {.modules = account->layout->n_jobs, .proved = proved};
    for (size_t k = 0; k < account->layout->n_jobs; k++) {
        const struct tare_record *record = &account->records[k];
        const enum tare_way way = way_of(account, k, proved);
        sum.kept += record->kept;
        sum.exact += way == TARE_WAY_EXACT;
        sum.rounded += way == TARE_WAY_ROUNDED;
        sum.one_way += way == TARE_WAY_ONE;
        sum.numbers += record->tally.rounded;
        sum.most = record->tally.most > sum.most ? record->tally.most : sum.most;
    }
    return sum;
}

static enum tare_code write_text(const struct tare_account *account, const struct tare_model *model,
                                 const struct tare_convert_options *options, bool proved, const struct digests *all,
                                 struct tare_folder *folder, struct tare_error *err)
{
    const struct tare_convert_summary summary = sum_up(account, proved);
    struct tare_text text = {0};
    tare_text_puts(&text, "{");
    put_string(&text, 1, true, "tare", tare_version());
    put_source(&text, model);
    put_target(&text, account, options);
    put_totals(&text, &summary);
    put_modules(&text, account, proved);
    if (account->sums)
        put_files(&text, all);
    tare_text_puts(&text, "\n}\n");
    const enum tare_code code =
        text.failed ? tare_fail_memory(err) : tare_folder_put(folder, "tare.json", text.data, text.size, err);
    tare_text_release(&text);
    if (options->summary)
        tare_sized_write(options->summary, &summary, sizeof summary);
    return code;
}

enum tare_code tare_record_write(const struct tare_account *account, const struct tare_model *model,
                                 const struct tare_convert_options *options, bool proved, struct tare_folder *folder,
                                 struct tare_pool *pool, struct tare_error *err)
{
    struct digests all = {.folder = folder, .options = options};
    char **names = NULL;
    size_t n = 0;
    enum tare_code code = TARE_OK;
    if (account->sums && !(code = tare_folder_list(folder, &names, &n, err)) &&
        !(code = list_files(&all, names, n, err)))
        code = hash_files(&all, pool, err);
    if (!code)
        code = write_text(account, model, options, proved, &all, folder, err);
    tare_hashes_free(all.hashes);
    free(all.list);
    tare_folder_list_free(names, n);
    return code;
}
