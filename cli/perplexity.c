/* SPDX-License-Identifier: MIT
 * perplexity.c - tare perplexity: how well a model predicts a text.
 * score.c says how.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "file.h"
#include "print.h"
#include "report.h"
#include "score.h"
#include "source.h"

static void print_json(const struct cli_score *m, const char *file)
{
    const struct cli_figures f = cli_score_figures(m, 0), exact = cli_score_figures(m, 1);
    const double n = (double)m->scored;
    printf("{\"tare\": \"%s\", \"model\": ", tare_version());
    cli_put_json(stdout, tare_model_report(m->paths[0].model)->model);
    fputs(", \"file\": ", stdout);
    cli_put_json(stdout, file);
    printf(", \"perplexity\": %.9g, \"error\": %.6g, \"nats\": %.12g", f.perplexity, f.error, f.nats);
    if (m->n_paths > 1)
        printf(
            ", \"exact\": {\"perplexity\": %.9g, \"error\": %.6g, \"nats\": %.12g}, \"kl\": %.9g, \"same_best\": %.6f",
            exact.perplexity, exact.error, exact.nats, m->divergence / n, (double)m->same_best / n);
    printf(", \"tokens\": %llu, \"left_out\": %llu, \"windows\": %lld, \"context\": %lld, \"seconds\": %.3f}\n",
           (unsigned long long)m->scored, (unsigned long long)(m->n - 1 - m->scored), (long long)m->windows,
           (long long)m->context, m->seconds);
}

static void print_words(const struct cli_score *m, const char *file)
{
    const struct cli_figures f = cli_score_figures(m, 0), exact = cli_score_figures(m, 1);
    const double n = (double)m->scored;
    cli_put(stdout, tare_model_report(m->paths[0].model)->model);
    printf(": perplexity %.4f +- %.4f on ", f.perplexity, f.error);
    cli_put(stdout, file);
    printf("\n  %llu tokens in %lld window%s of %lld, %llu left out; %.4f nats each; %.1f tokens/s\n",
           (unsigned long long)m->scored, (long long)m->windows, m->windows == 1 ? "" : "s", (long long)m->context,
           (unsigned long long)(m->n - 1 - m->scored), f.nats, m->seconds > 0 ? n / m->seconds : 0.0);
    if (m->n_paths > 1)
        printf("  all in float32: perplexity %.4f; KL divergence from it %.6f nats; the same best token %.2f%%\n",
               exact.perplexity, m->divergence / n, 100 * (double)m->same_best / n);
}

static int plan_and_measure(struct cli_score *m, const struct cli_source *source, const char *path, bool json)
{
    struct tare_error err = {0};
    struct cli_file text = {0};
    cli_interrupt_catch();
    if (cli_source_plan(source, &m->paths[0].model, &err) != TARE_OK)
        return cli_fail(&err);
    m->paths[1].model = m->paths[0].model;
    cli_report_warn(m->paths[0].model);
    int status = cli_file_read(&text, path, CLI_SCORE_TEXT);
    if (status == CLI_GO_ON && cli_score_text(m, source, text.data, text.size, &err) != TARE_OK)
        status = cli_fail(&err);
    free(text.data);
    if (status != CLI_GO_ON)
        return status;
    if (json)
        print_json(m, path);
    else
        print_words(m, path);
    return 0;
}

struct asked {
    int64_t context;
    bool as_run;
    bool against_exact;
    int64_t kv_bits;
    bool json;
    int tie;
    int zeros;
    int64_t threads;
};

static const struct cli_flag flags[] = {
    {.name = "context",
     CLI_IS_WHOLE(struct asked, context, 1, INT32_MAX),
     .value = "N",
     .usual = true,
     .help = "ids of a window; default: the model's, at most 4096",
     .more = "Each id of a window predicts the one after it. The first id of the text is not scored, nor is what is "
             "left after the last whole window."},
    {.name = "as-run",
     CLI_IS_SWITCH(struct asked, as_run),
     .help = "as run and chat compute, activations in 8 bits; default: all in float32",
     .more = "Float32 is what the checkpoint says."},
    {.name = "against-exact",
     CLI_IS_SWITCH(struct asked, against_exact),
     .help = "both ways: what --as-run costs, and the KL divergence",
     .more = "It also prints the share of tokens whose best guess is the same."},
    CLI_FLAG_KV_BITS(struct asked, kv_bits),
    {.name = "json", CLI_IS_SWITCH(struct asked, json), .usual = true, .help = "print one JSON object (docs/json.md)"},
    CLI_FLAG_TIE(struct asked, tie),
    CLI_FLAG_ZEROS(struct asked, zeros),
    CLI_FLAG_THREADS(struct asked, threads),
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {.tie = TARE_TIE_AUTO, .zeros = TARE_ZEROS_AUTO};
    int words = 0, status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    struct cli_score m = {
        .context = asked.context,
        .threads = (int)asked.threads,
        .n_paths = asked.against_exact ? 2 : 1,
        .paths = {{.exact = !(asked.as_run || asked.against_exact), .kv_bits = (int)asked.kv_bits}, {.exact = true}}};
    struct cli_source source;
    struct tare_error err = {0};
    if (cli_source_find(&source, argv[0], &err) != TARE_OK)
        return cli_fail(&err);
    source.options.tie = (enum tare_tie)asked.tie;
    source.options.zeros = (enum tare_zeros)asked.zeros;
    source.options.threads = m.threads;
    status = plan_and_measure(&m, &source, argv[1], asked.json);
    cli_score_free(&m);
    tare_model_free(m.paths[0].model);
    return status;
}

const struct cli_verb cli_perplexity = {
    .name = "perplexity",
    .summary = "How well it predicts a text.",
    .about =
        "Says how well the model predicts the text in FILE, or on standard input where that is \"-\": exp of the mean "
        "of -ln p. "
        "The text is tokenized as a prompt is, and cut into windows of --context ids that do not overlap. "
        "Each id of a window predicts the one after it, the last one of a window the first one of the next; so every "
        "id of the text but the first is predicted once. "
        "What is left after the last whole window is not scored, but where there is no whole one.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL}, {.name = "FILE", .takes = CLI_TAKES_FILE}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare run --max-tokens 100 \"Once upon a time\" | tare perplexity fable -",
                  "Scores a story of the model's own."}},
    .see = "run diff bench",
    .run = run,
};
