/* SPDX-License-Identifier: MIT
 * convert.c - tare convert: executes a plan and writes the result into a folder. */
#include <stdio.h>

#include "cli.h"
#include "print.h"
#include "progress.h"
#include "report.h"
#include "source.h"

static const char *const dtypes[] = {"float32", "bfloat16", "float16", NULL};

static void note(void *user, const char *where, const char *text)
{
    cli_progress_wipe(user);
    fputs("tare: note: ", stderr);
    cli_put(stderr, where);
    fprintf(stderr, "%s%s\n", *where ? ": " : "", text);
}

/* Converts, with notes and a bar on stderr, and says what was done. Returns the exit status. */
static int execute(tare_model *model, const char *folder, const struct tare_convert_options *chosen,
                   struct cli_progress *progress)
{
    struct tare_convert_options options = *chosen;
    struct tare_error err = {0};
    struct tare_convert_summary done = TARE_CONVERT_SUMMARY_INIT;
    const double start = cli_seconds();
    options.note = note;
    options.progress = cli_progress_show;
    options.user = progress;
    options.summary = &done;
    const enum tare_code code = tare_convert(model, folder, &options, &err);
    cli_progress_wipe(progress);
    if (code != TARE_OK)
        return cli_fail(&err);
    if (done.proved)
        fprintf(stderr, "proved: the way back gives the source's bytes, all %zu modules\n", done.modules);
    if (progress->on) {
        if (done.kept)
            fprintf(stderr, "%zu of %zu modules were there already, from an earlier run\n", done.kept, done.modules);
        if (done.numbers)
            fprintf(stderr, "%s numbers were rounded, by %g at most; tare.json says which\n",
                    cli_number(done.numbers).text, done.most);
        const struct tare_report *report = tare_model_report(model);
        fprintf(stderr, "%s read in %.1f s, written to ", cli_bytes(report->bytes).text, cli_seconds() - start);
        cli_put(stderr, folder);
        putc('\n', stderr);
    }
    return 0;
}

/* Lists the words that --to takes, and makes the flag's help of them: "what to write: mlx, dense". */
static void list_targets(const char *targets[16], char what[256])
{
    int at = snprintf(what, 256, "what to write");
    const char *word;
    for (size_t k = 0; k < 15 && (word = tare_convert_format(k)); k++) {
        targets[k] = word;
        at += snprintf(what + at, at < 256 ? (size_t)(256 - at) : 0, "%s%s", k ? ", " : ": ", word);
    }
}

int cli_convert(const struct cli_verb *verb, int argc, char **argv)
{
    struct tare_convert_options convert = TARE_CONVERT_OPTIONS_INIT;
    struct cli_progress progress = cli_progress_init();
    const char *folder = NULL, *dequantize = NULL;
    bool no_data = false;
    int tie = TARE_TIE_AUTO, zeros = TARE_ZEROS_AUTO, to = 0, dtype = -1, words = 0;
    int64_t threads = 0;
    const char *targets[16] = {NULL};
    char what[256];
    list_targets(targets, what);
    const struct cli_flag flags[] = {
        {"output", 'o', CLI_TEXT, &folder, "DIR", "the folder to write; it may not exist yet", 0, 0, NULL},
        {"to", 0, CLI_CHOICE, &to, "FORMAT", what, 0, 0, targets},
        {"dtype", 0, CLI_CHOICE, &dtype, "DTYPE", "of what is dense: float32, bfloat16, float16", 0, 0, dtypes},
        CLI_FLAG_TIE(&tie),
        CLI_FLAG_ZEROS(&zeros),
        {"no-data", 0, CLI_SWITCH, &no_data, NULL, "plan from headers only: the head is not compared", 0, 0, NULL},
        {"dequantize", 0, CLI_TEXT, &dequantize, "MODULE", "write modules as floats; names with * and **, and commas",
         0, 0, NULL},
        {"keep-dtypes", 0, CLI_SWITCH, &convert.keep_dtypes, NULL, "leave floats in their stored dtype", 0, 0, NULL},
        {"exact", 0, CLI_SWITCH, &convert.exact, NULL, "round nothing: mlx gets scales and biases in float32", 0, 0,
         NULL},
        {"proof", 0, CLI_SWITCH, &convert.proof, NULL, "take the way back, and compare it with the source", 0, 0, NULL},
        {"no-sums", 0, CLI_SWITCH, &convert.no_sums, NULL, "no hashes in tare.json; a killed run begins anew", 0, 0,
         NULL},
        CLI_FLAG_THREADS(&threads),
    };
    const int status = cli_parse(verb, flags, sizeof flags / sizeof *flags, argc, argv, 1, &words);
    if (status != CLI_GO_ON)
        return status;
    if (!folder)
        return cli_wrong("convert: -o DIR is needed: the folder to write");

    struct cli_source source;
    struct tare_error err = {0};
    tare_model *model = NULL;
    if (cli_source_find(&source, words ? argv[0] : NULL, &err) != TARE_OK)
        return cli_fail(&err);
    source.options.tie = (enum tare_tie)tie;
    source.options.zeros = (enum tare_zeros)zeros;
    source.options.no_data = no_data;
    source.options.dequantize = dequantize;
    source.options.threads = (int)threads;
    cli_interrupt_catch();
    int result = 0;
    if (cli_source_plan(&source, &model, &err) != TARE_OK) {
        result = cli_fail(&err);
    } else {
        cli_report_warn(model);
        convert.to = targets[to];
        convert.dtype = dtype < 0 ? NULL : dtypes[dtype];
        convert.threads = (int)threads;
        result = execute(model, folder, &convert, &progress);
    }
    tare_model_free(model);
    return result;
}
