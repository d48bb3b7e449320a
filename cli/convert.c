/* SPDX-License-Identifier: MIT
 * convert.c - tare convert: executes a plan and writes the result into a folder. */
#include <stdio.h>

#include "cli.h"
#include "print.h"
#include "progress.h"
#include "report.h"
#include "size.h"
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

struct asked {
    struct tare_convert_options convert;
    const char *folder;
    const char *dequantize;
    const char *shard_size;
    bool no_data;
    int tie;
    int zeros;
    int to;
    int dtype;
    int64_t threads;
};

static const struct cli_flag flags[] = {
    CLI_FLAG_OUTPUT(struct asked, folder),
    {.name = "to",
     CLI_IS_CHOICE(struct asked, to),
     .value = "FORMAT",
     .usual = true,
     .help = "what to write",
     .choice = tare_convert_format,
     .more = "mlx, the default: parameters by mlx-lm's names. The others keep the names of the checkpoint. "
             "dense: no quantization. "
             "gguf: one file for llama.cpp, DIR/model.gguf, or DIR itself where that ends in .gguf. "
             "gptq is its first version, gptq_v2 its second, and compressed-tensors is pack-quantized. "
             "Codes, zeros and scales are carried over exactly; a pair that cannot be is refused, and why "
             "(docs/formats.md)."},
    {.name = "dtype",
     CLI_IS_CHOICE(struct asked, dtype),
     .value = "DTYPE",
     .help = "the dtype of what is dense",
     .choices = dtypes,
     .more = "Otherwise what is dense keeps its dtype, and dequantized weights have that of their scales."},
    CLI_FLAG_TIE(struct asked, tie),
    CLI_FLAG_ZEROS(struct asked, zeros),
    CLI_FLAG_NO_DATA(struct asked, no_data),
    {.name = "dequantize",
     CLI_IS_TEXT(struct asked, dequantize),
     .value = "MODULE",
     .help = "write modules as floats; names with * and **, and commas",
     .more = "In a name * stands for a component and ** for any number of them; what lies in a module goes with it."},
    {.name = "keep-dtypes",
     CLI_IS_SWITCH(struct asked, convert.keep_dtypes),
     .help = "leave floats in their stored dtype",
     .more = "Otherwise all are cast to the dtype of the scales, as mlx-lm does."},
    {.name = "exact",
     CLI_IS_SWITCH(struct asked, convert.exact),
     .help = "round nothing: mlx gets scales and biases in float32",
     .more = "Floats keep their stored dtype, and gguf gets codes of 8 bits where those of 4 would need a rounded "
             "offset."},
    {.name = "proof",
     CLI_IS_SWITCH(struct asked, convert.proof),
     .help = "take the way back, and compare it with the source",
     .more = "What was written is read as any checkpoint, and codes, scales, zeros and floats are compared byte for "
             "byte. Where there is a difference, or no way back, the exit status is 4 and there is no output. A model "
             "of the "
             "hub that is not in the cache is read twice for it."},
    {.name = "no-sums",
     CLI_IS_SWITCH(struct asked, convert.no_sums),
     .help = "no hashes in tare.json; a killed run begins anew",
     .more = "It saves half of the processor's time."},
    CLI_FLAG_THREADS(struct asked, threads),
    CLI_FLAG_SHARD_SIZE(struct asked, shard_size),
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {
        .convert = TARE_CONVERT_OPTIONS_INIT, .tie = TARE_TIE_AUTO, .zeros = TARE_ZEROS_AUTO, .dtype = -1};
    struct cli_progress progress = cli_progress_init();
    int words = 0;
    int status = cli_parse(verb, &asked, argc, argv, &words);
    if (status == CLI_GO_ON)
        status = cli_size_read(&asked.convert.shard_size, "shard-size", asked.shard_size);
    if (status != CLI_GO_ON)
        return status;

    struct cli_source source;
    struct tare_error err = {0};
    tare_model *model = NULL;
    if (cli_source_find_stream(&source, words ? argv[0] : NULL, &err) != TARE_OK) {
        cli_source_release(&source);
        return cli_fail(&err);
    }
    source.options.tie = (enum tare_tie)asked.tie;
    source.options.zeros = (enum tare_zeros)asked.zeros;
    source.options.no_data = asked.no_data;
    source.options.dequantize = asked.dequantize;
    source.options.threads = (int)asked.threads;
    cli_interrupt_catch();
    int result = 0;
    if (cli_source_plan(&source, &model, &err) != TARE_OK) {
        result = cli_fail(&err);
    } else {
        cli_report_warn(model);
        asked.convert.to = tare_convert_format((size_t)asked.to);
        asked.convert.dtype = asked.dtype < 0 ? NULL : dtypes[asked.dtype];
        asked.convert.threads = (int)asked.threads;
        result = execute(model, asked.folder, &asked.convert, &progress);
    }
    tare_model_free(model);
    cli_source_release(&source);
    return result;
}

const struct cli_verb cli_convert = {
    .name = "convert",
    .summary = "Write it as a folder that another program loads.",
    .about =
        "Writes a folder that another program loads: one of MLX for mlx-lm, or what --to names. "
        "The folder appears under its name only when complete; one that is there already is refused. "
        "Memory does not grow with the model. "
        "One of the hub that is not in the cache is read once, by ranges, and written as it comes: nothing goes to the "
        "cache, and a wrong hash withdraws the output.\n\n"
        "Beside the tensors lies tare.json: of each module the hashes of its source and of what it became, what was "
        "rounded and by how much, and whether the way back gives the source's bytes; and the sha256 of all files but "
        "the card. "
        "Killed or interrupted, it leaves .DIR.tare-partial, and the same command continues from there; two at once "
        "do not write one folder.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL, .optional = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare convert models/fable -o fable-mlx", "Writes a folder that mlx-lm loads."},
                 {"tare convert models/fable -o fable.gguf --to gguf", "Writes one file for llama.cpp."},
                 {"tare convert models/fable -o fable-gptq --to gptq --proof", "Proves that nothing was lost."}},
    .see = "explain diff verify",
    .run = run,
};
