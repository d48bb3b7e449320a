/* SPDX-License-Identifier: MIT
 * convert.c - tare_convert: execute a plan into a folder of one of the formats. Start reading here.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/locale.h"
#include "base/sized.h"
#include "save/frontier.h"

/* What a folder holds beside its shards; config.json is the last file. */
static enum tare_code write_beside(struct tare_layout *layout, struct tare_model *model, struct tare_folder *folder,
                                   const struct tare_convert_options *options, struct tare_error *err)
{
    enum tare_code code;
    if ((code = tare_index_write(layout, folder, err)) || (code = tare_side_files_copy(model, folder, err)) ||
        (code = tare_card_write(layout, model, folder, err)))
        return code;
    return tare_config_write(layout, model, options->dtype, folder, err);
}

static void say_tally(const struct tare_convert_options *options, const struct tare_account *account)
{
    struct tare_tally tally = {0};
    char text[160];
    for (size_t k = 0; k < account->layout->n_jobs; k++)
        if (!account->records[k].tally.lost) /* else they are casts */
            tare_tally_join(&tally, &account->records[k].tally);
    if (!tally.rounded || !options->note || !account->layout->format->file)
        return;
    tare_format(text, sizeof text, "%llu offsets (-zero * scale) were rounded, by %.3g at most; --exact rounds none",
                (unsigned long long)tally.rounded, tally.most);
    options->note(options->user, "", text);
}

/* Shards with their headers, room set aside; or those of an earlier run, and what it had done. */
static enum tare_code begin_shards(struct tare_layout *layout, struct tare_account *account, struct tare_folder *folder,
                                   struct tare_pool *pool, struct tare_error *err)
{
    bool resumed;
    enum tare_code code = tare_journal_resume(account, layout, folder, pool, &resumed, err);
    if (code || resumed)
        return code;
    code = tare_shards_begin(layout, folder, err);
    return code ? code : tare_journal_begin(account, folder, err);
}

static enum tare_code write_folder(struct tare_layout *layout, struct tare_model *model, struct tare_account *account,
                                   struct tare_folder *folder, struct tare_pool *pool,
                                   const struct tare_convert_options *options, struct tare_error *err)
{
    enum tare_code code;
    if ((code = tare_shards_place(layout, err)) || /* headers, places of tensors        */
        (code = tare_account_begin(account, layout, model, options, err)) ||
        (code = begin_shards(layout, account, folder, pool, err)) || /* files, new or gone on with        */
        (code = tare_frontier_open(&account->frontier, account, options, err)) ||
        (code = tare_layout_execute(layout, account, pool, options, err)) || /* all tensors, tile by tile         */
        (code = tare_frontier_finish(account->frontier, err)) ||             /* what nothing was made of          */
        (code = tare_shards_finish(layout, err)) ||                          /* brought to the disk               */
        (!layout->format->file && (code = write_beside(layout, model, folder, options, err))) ||
        (options->proof && (code = tare_proof_run(layout, folder, pool, options, err))) ||        /* the way back */
        (code = tare_record_write(account, model, options, options->proof, folder, pool, err)) || /* tare.json */
        (code = tare_folder_commit(folder, err))) /* the folder gets its name          */
        return code;
    say_tally(options, account);
    return TARE_OK;
}

/* "mlx, dense": the words that --to takes. */
static const char *format_names(char room[256])
{
    size_t at = 0;
    const struct tare_save_format *format;
    for (size_t k = 0; (format = tare_format_at(k)) && at < 256; k++)
        at += (size_t)tare_format(room + at, 256 - at, "%s%s", k ? ", " : "", format->name);
    return room;
}

static bool known_dtype(const char *dtype)
{
    return !strcmp(dtype, "float32") || !strcmp(dtype, "bfloat16") || !strcmp(dtype, "float16");
}

static void close_shards(struct tare_layout *layout)
{
    for (size_t k = 0; k < layout->n_shards; k++)
        if (layout->shards[k].fd >= 0)
            close(layout->shards[k].fd);
}

/* An output may not lie in it. A GGUF file is itself the input, and what stands beside it is not. */
static const char *input_folder(const struct tare_model *model)
{
    const struct tare_checkpoint *checkpoint = &model->checkpoint;
    return checkpoint->memory || (checkpoint->gguf && checkpoint->only) ? NULL : checkpoint->folder;
}

/* "model-q4_0.gguf" asks for the file and not for a folder around it. */
static const char *single_of(const struct tare_save_format *format, const char *wanted)
{
    const char *end = format->file ? strrchr(format->file, '.') : NULL;
    const size_t n = strlen(wanted), size = end ? strlen(end) : 0;
    return end && n > size && !strcmp(wanted + n - size, end) ? format->file : NULL;
}

/* Several files have no name but that of their folder. */
static enum tare_code check_single(const struct tare_layout *layout, const struct tare_folder *output,
                                   struct tare_error *err)
{
    return output->single && layout->n_shards > 1
               ? tare_fail(err, TARE_E_ARGUMENT, output->wanted,
                           "is the name of one file, and with this shard size there are %zu; name a folder for them",
                           layout->n_shards)
               : TARE_OK;
}

enum tare_code tare_convert(tare_model *model, const char *folder, const struct tare_convert_options *given,
                            struct tare_error *err)
{
    struct tare_convert_options options;
    enum tare_code code = tare_sized_read(&options, sizeof options, given, "options", err);
    if (!code && options.summary)
        code = tare_sized_check(options.summary, "summary", err);
    if (code)
        return code;
    if (!model || !folder || !*folder || options.threads < 0)
        return tare_fail(err, TARE_E_ARGUMENT, "", "convert needs a model and the name of a folder");
    char names[256];
    const struct tare_save_format *format = tare_format_find(options.to ? options.to : "mlx");
    if (!format)
        return tare_fail(err, TARE_E_UNKNOWN, options.to, "is no format that tare writes; it writes %s",
                         format_names(names));
    return tare_save(model, folder, format, &options, err);
}

enum tare_code tare_save(tare_model *model, const char *folder, const struct tare_save_format *format,
                         const struct tare_convert_options *given, struct tare_error *err)
{
    const struct tare_convert_options options = *given;
    enum tare_code code = TARE_OK;
    if (options.dtype && !known_dtype(options.dtype))
        return tare_fail(err, TARE_E_ARGUMENT, options.dtype,
                         "is no dtype that tare writes; it writes float32, "
                         "bfloat16 and float16");
    if (model->code) {
        if (err)
            *err = model->error;
        return model->code;
    }
    struct tare_layout layout = {.format = format};
    struct tare_account account = {.journal = -1};
    struct tare_folder output = {.single = single_of(format, folder)};
    struct tare_pool *pool = NULL;
    tare_checkpoint_keep(&model->checkpoint, true);
    layout.folder = &output;
    if ((code = tare_folder_begin(&output, folder, input_folder(model), err)) ||
        (code = tare_layout_make(&layout, model, &options, err)) || (code = check_single(&layout, &output, err)) ||
        (options.proof && (code = tare_proof_check(&layout, err))) ||
        (code = tare_plan_pool(&pool, model, options.pool, options.threads, err)) ||
        (code = write_folder(&layout, model, &account, &output, pool, &options, err)))
        close_shards(&layout);
    /* Interrupted, or the host's network was: the next run continues. */
    if ((code == TARE_E_CANCELLED || (code == TARE_E_ABSENT && account.frontier)) && account.journal >= 0)
        output.keep = true;
    tare_frontier_free(account.frontier);
    tare_checkpoint_keep(&model->checkpoint, false);
    tare_pool_free(pool);
    tare_account_release(&account);
    tare_folder_release(&output);
    tare_layout_release(&layout);
    return code;
}

void tare_convert_options_init(struct tare_convert_options *options, size_t size)
{
    tare_sized_init(options, size);
}

void tare_convert_summary_init(struct tare_convert_summary *summary, size_t size)
{
    tare_sized_init(summary, size);
}
