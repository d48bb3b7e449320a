/* SPDX-License-Identifier: MIT
 * quantize.c - tare quantize: rounds the floats of a model to few bits and writes the result. */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "file.h"
#include "loss.h"
#include "print.h"
#include "progress.h"
#include "report.h"
#include "size.h"
#include "source.h"

static const char *const dtypes[] = {"float32", "bfloat16", "float16", NULL};
static const char *const methods[] = {"awq", "gptq", NULL};
static const char *const orders[] = {"static", "none", "full", NULL};
static const char *const schemes[] = {"symmetric", "asymmetric", NULL};

#define LARGEST_TEXT ((size_t)1 << 30)

struct asked {
    struct tare_quantize_options quantize;
    const char *folder;
    bool no_data;
    int tie;
    int to;
    int mode;
    int recipe;
    int type;
    int dtype;
    int64_t bits;
    int64_t group;
    int64_t threads;
    struct cli_list rules;
    const char *text;
    const char *shard_size;
    bool report;
    bool json;
    const char *calibrate;
    int64_t calibrate_length;
    int method;
    int act_order;
    int scheme;
};

static const struct cli_flag flags[] = {
    CLI_FLAG_OUTPUT(struct asked, folder),
    {.name = "to",
     CLI_IS_CHOICE(struct asked, to),
     .value = "FORMAT",
     .usual = true,
     .help = "what to write",
     .choice = tare_quantize_format,
     .more =
         "mlx, the default: for mlx-lm. gguf: one file for llama.cpp, DIR/model.gguf, or DIR itself where that ends "
         "in .gguf. fp8: e4m3 with a scale for 128 x 128; bitsandbytes: nf4; both for transformers, by the "
         "checkpoint's own names."},
    {.name = "bits",
     CLI_IS_WHOLE(struct asked, bits, 2, 8),
     .value = "N",
     .usual = true,
     .help = "not gguf: bits of a code, 4 by default",
     .more = "Affine has 2, 3, 4, 5, 6 and 8; each other mode of mlx has one number of bits. awq has 4, gptq 2, 3, 4 "
             "and 8, compressed-tensors 2 to 8."},
    {.name = "group",
     CLI_IS_WHOLE(struct asked, group, -1, 1024),
     .value = "N",
     .usual = true,
     .help = "not gguf: columns that share a scale; mlx: 64 by default, awq, gptq, ..: 128",
     .more = "Affine has 32, 64 and 128; each other mode of mlx has one size. Of awq, gptq, gptq_v2 and "
             "compressed-tensors it is any number that divides the columns, and -1 is a group a row."},
    {.name = "mode",
     CLI_IS_CHOICE(struct asked, mode),
     .value = "MODE",
     .help = "mlx: what codes and scales are",
     .choice = tare_quantize_mode},
    {.name = "recipe",
     CLI_IS_CHOICE(struct asked, recipe),
     .value = "RECIPE",
     .help = "mlx: more bits for values, down projections and the head",
     .choice = tare_quantize_recipe,
     .more =
         "They are mlx-lm's: mixed_3_6 has 3 bits, and 6 for these modules in an eighth of the layers at either end "
         "and in every third between; the head has 6 always."},
    {.name = "type",
     CLI_IS_CHOICE(struct asked, type),
     .value = "TYPE",
     .usual = true,
     .help = "gguf: the type of the file, Q4_0 by default; bitsandbytes: nf4",
     .choice = tare_quantize_type,
     .more =
         "Those of gguf are llama-quantize's: _S, _M and _L give more and more tensors more bits than the name says."},
    {.name = "pure",
     CLI_IS_SWITCH(struct asked, quantize.pure),
     .help = "gguf: the output head has the type, too",
     .more = "Otherwise it has Q6_K, or Q8_0 where its columns are no multiple of 256, as llama-quantize has it."},
    {.name = "keep-head",
     CLI_IS_SWITCH(struct asked, quantize.keep_head),
     .help = "the output head stays as it is",
     .more = "Where the embedding is the head, the embedding stays."},
    {.name = "rule",
     CLI_IS_LIST(struct asked, rules),
     .value = "NAME=FORM",
     .help = "another form for modules whose names fit",
     .more = "In a name * stands for a component and ** for any number of them; what lies in a module goes with it. A "
             "form is float, or for mlx bits (8), bits and group (8:32) or a mode (mxfp4), for gguf a type (Q8_0). The "
             "first rule that fits counts, and one that fits nothing is refused. Names are those of the checkpoint, of "
             "mlx-lm, or, for gguf, of llama.cpp."},
    {.name = "dtype",
     CLI_IS_CHOICE(struct asked, dtype),
     .value = "DTYPE",
     .help = "cast floats to this before they are rounded",
     .choices = dtypes,
     .more = "Otherwise mlx has the torch_dtype of config.json, as mlx-lm does, and gguf rounds the stored floats."},
    CLI_FLAG_TIE(struct asked, tie),
    CLI_FLAG_NO_DATA(struct asked, no_data),
    {.name = "no-sums",
     CLI_IS_SWITCH(struct asked, quantize.no_sums),
     .help = "no hashes in tare.json; a killed run begins anew"},
    CLI_FLAG_THREADS(struct asked, threads),
    {.name = "report",
     CLI_IS_SWITCH(struct asked, report),
     .help = "read what was written, and say what was lost",
     .more = "For each module the relative error, the root of the sum of the squares of all differences over that of "
             "the floats, the largest difference, and its bytes; and what it cost. tare.json has it, too."},
    {.name = "text",
     CLI_IS_TEXT(struct asked, text),
     .value = "FILE",
     .takes = CLI_TAKES_FILE,
     .help = "report how well both models predict this text, too",
     .more = "Perplexity before and after and the KL divergence, as tare perplexity computes them, all in float32."},
    {.name = "json", CLI_IS_SWITCH(struct asked, json), .help = "print the report as one JSON object (docs/json.md)"},
    CLI_FLAG_SHARD_SIZE(struct asked, shard_size),
    {.name = "calibrate",
     CLI_IS_TEXT(struct asked, calibrate),
     .value = "FILE",
     .takes = CLI_TAKES_FILE,
     .usual = true,
     .help = "awq, gptq, ..: choose codes by what it computes on a text",
     .more =
         "The text is tokenized as a prompt is and cut into sequences; some ten thousand tokens of the kind that the "
         "model will see are enough. Without it all is rounded to nearest."},
    {.name = "calibrate-length",
     CLI_IS_WHOLE(struct asked, calibrate_length, 2, INT32_MAX),
     .value = "N",
     .help = "tokens of a sequence of the text, 512 by default"},
    {.name = "method",
     CLI_IS_CHOICE(struct asked, method),
     .value = "METHOD",
     .help = "with --calibrate: how codes are chosen",
     .choices = methods,
     .more =
         "awq: scales that are folded into what comes before, and bounds; gptq: the error of each column is made up "
         "for by those after it. Awq is the default of --to awq, gptq that of the others."},
    {.name = "act-order",
     CLI_IS_CHOICE(struct asked, act_order),
     .value = "ORDER",
     .help = "with gptq's method: the order in which columns are rounded",
     .choices = orders,
     .more = "static, the default: important ones first, in groups that are runs of columns. none: from left to right. "
             "full: important ones first, and groups of these, for which gptq stores g_idx."},
    {.name = "scheme",
     CLI_IS_CHOICE(struct asked, scheme),
     .value = "SCHEME",
     .help = "gptq, compressed-tensors: whether groups have zeros",
     .choices = schemes,
     .more = "symmetric, the default: zeros are in the middle of the codes. asymmetric: each group has its own, as awq "
             "always does."},
};

/* Quantizes, with a bar on stderr, and says what was done. Returns the exit status. */
static int execute(tare_model *model, const char *folder, struct tare_quantize_options *options, double *seconds)
{
    struct cli_progress progress = cli_progress_init();
    struct tare_convert_summary done = TARE_CONVERT_SUMMARY_INIT;
    struct tare_error err = {0};
    const double start = cli_seconds();
    options->progress = cli_progress_show;
    options->user = &progress;
    options->summary = &done;
    const enum tare_code code = tare_quantize(model, folder, options, &err);
    cli_progress_wipe(&progress);
    if (code != TARE_OK)
        return cli_fail(&err);
    *seconds = cli_seconds() - start;
    if (progress.on) {
        if (done.kept)
            fprintf(stderr, "%zu of %zu modules were there already, from an earlier run\n", done.kept, done.modules);
        fprintf(stderr, "%zu of %zu modules rounded in %.1f s, written to ", done.one_way, done.modules, *seconds);
        cli_put(stderr, folder);
        putc('\n', stderr);
    }
    return 0;
}

/* The ids of the text to calibrate on; the caller frees them. Returns the exit status. */
static int read_text(const struct cli_source *source, const char *path, int32_t **ids, size_t *n)
{
    struct cli_file text = {0};
    struct tare_error err = {0};
    tare_tokenizer *tokenizer = NULL;
    int status = cli_file_read(&text, path, LARGEST_TEXT);
    if (status == CLI_GO_ON && (tare_tokenizer_open(&tokenizer, source->path, &source->options, &err) != TARE_OK ||
                                tare_tokenizer_encode(tokenizer, text.data, text.size, true, ids, n, &err) != TARE_OK))
        status = cli_fail(&err);
    tare_tokenizer_free(tokenizer);
    free(text.data);
    return status == CLI_GO_ON ? 0 : status;
}

static const char *word_at(const char *const *words, int choice)
{
    return choice < 0 ? NULL : words[choice];
}

static void take_calibration(struct asked *asked)
{
    asked->quantize.method = word_at(methods, asked->method);
    asked->quantize.act_order = word_at(orders, asked->act_order);
    asked->quantize.scheme = word_at(schemes, asked->scheme);
    asked->quantize.calibrate_length = asked->calibrate_length;
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {.quantize = TARE_QUANTIZE_OPTIONS_INIT,
                          .tie = TARE_TIE_AUTO,
                          .mode = -1,
                          .recipe = -1,
                          .type = -1,
                          .dtype = -1,
                          .method = -1,
                          .act_order = -1,
                          .scheme = -1};
    int words = 0;
    int status = cli_parse(verb, &asked, argc, argv, &words);
    if (status == CLI_GO_ON)
        status = cli_size_read(&asked.quantize.shard_size, "shard-size", asked.shard_size);
    if (status != CLI_GO_ON)
        return status;

    struct cli_source source;
    struct tare_error err = {0};
    tare_model *model = NULL;
    if (cli_source_find(&source, words ? argv[0] : NULL, &err) != TARE_OK)
        return cli_fail(&err);
    source.options.tie = (enum tare_tie)asked.tie;
    source.options.no_data = asked.no_data;
    source.options.threads = (int)asked.threads;
    cli_interrupt_catch();
    int result = 0;
    if (cli_source_plan(&source, &model, &err) != TARE_OK) {
        result = cli_fail(&err);
    } else {
        cli_report_warn(model);
        asked.quantize.to = tare_quantize_format((size_t)asked.to);
        asked.quantize.mode = asked.mode < 0 ? NULL : tare_quantize_mode((size_t)asked.mode);
        asked.quantize.recipe = asked.recipe < 0 ? NULL : tare_quantize_recipe((size_t)asked.recipe);
        asked.quantize.type = asked.type < 0 ? NULL : tare_quantize_type((size_t)asked.type);
        asked.quantize.dtype = asked.dtype < 0 ? NULL : dtypes[asked.dtype];
        asked.quantize.bits = (int)asked.bits;
        asked.quantize.group = (int)asked.group;
        asked.quantize.threads = (int)asked.threads;
        asked.quantize.rules = asked.rules.items;
        asked.quantize.n_rules = asked.rules.n;
        take_calibration(&asked);
        int32_t *ids = NULL;
        struct cli_loss loss = {.source = &source,
                                .floats = model,
                                .output = asked.folder,
                                .text = asked.text,
                                .json = asked.json,
                                .threads = (int)asked.threads};
        if (asked.calibrate)
            result = read_text(&source, asked.calibrate, &ids, &asked.quantize.n_calibrate);
        asked.quantize.calibrate = ids;
        if (!result)
            result = execute(model, asked.folder, &asked.quantize, &loss.seconds);
        if (!result && (asked.report || asked.text || asked.json))
            result = cli_loss_report(&loss);
        tare_ids_free(ids);
    }
    tare_model_free(model);
    return result;
}

const struct cli_verb cli_quantize = {
    .name = "quantize",
    .summary = "Round its floats to few bits.",
    .about =
        "Rounds the floats of a model to nearest and writes the result: the bytes are those that mlx-lm's convert -q, "
        "llama-quantize, transformers (fp8) or bitsandbytes (nf4) write. For awq, gptq and compressed-tensors, "
        "--calibrate "
        "FILE chooses codes by what the model computes on a text, as the papers of AWQ and GPTQ have it. What is "
        "packed already is refused by its "
        "name; "
        "tare convert changes its format and rounds no codes.\n\n"
        "The folder appears under its name only when complete, tare.json lies beside the tensors, and a run that was "
        "killed continues, as with tare convert. Memory does not grow with the model.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare convert models/fable -o fable-floats --to dense", "Makes a model of floats."},
                 {"tare quantize fable-floats -o fable-4bit --group 32", "Rounds it to 4 bits for mlx-lm."},
                 {"tare quantize fable-floats -o fable-q4.gguf --to gguf --type Q4_K_M --report",
                  "One file for llama.cpp, and what was lost."},
                 {"tare quantize fable-floats -o fable-mixed --group 32 --rule '**.mlp.down_proj=8' --keep-head",
                  "More bits for some."},
                 {"tare quantize fable-floats -o fable-by-text --to gptq --group 64 --calibrate models/fable/README.md",
                  "GPTQ's codes, by what it computes on a text."}},
    .see = "convert explain perplexity",
    .run = run,
};
