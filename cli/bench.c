/* SPDX-License-Identifier: MIT
 * bench.c - tare bench: how fast a model runs here, and how near to the memory's speed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "print.h"
#include "progress.h"
#include "report.h"
#include "source.h"

#define READ_BYTES ((uint64_t)512 << 20) /* far more than the caches hold */

enum { MOST_COUNTS = 16, SOME_IDS = 1000 };

/* What a phase took, in the fastest of its runs. */
struct cost {
    /* Seconds on the clock. */
    double wall;
    /* Seconds of processor time of all threads together, while they wait, too. */
    double cpu;
};

/* The measurements with one number of threads. */
struct row {
    int threads;
    struct cost prefill;
    struct cost decode;
    struct cost batch;
    /* Bytes a second that memory gives; 0: not measured. */
    double read;
};

struct bench {
    tare_model *model;
    /* Tokens of a prefill; tokens in the session before decoding starts; tokens that are decoded. */
    int64_t prompt;
    int64_t context;
    int64_t generate;
    int64_t runs;
    int64_t kv_bits;
    /* How many sequences are decoded together in one step; 0: that is not measured. */
    int64_t sequences;
    bool exact;
    bool no_read;
    const char *kernels;
    struct row rows[MOST_COUNTS];
    size_t n;
    /* Room for the longest feed. */
    int32_t *ids;
    /* One row for each sequence. */
    float *logits;
    /* Seconds from the start of the command to an open session, and to the first token after `context` of them. */
    double load;
    double first;
    /* Bytes. */
    uint64_t weights;
    uint64_t peak;
};

static struct cost now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (struct cost){cli_seconds(), (double)t.tv_sec + 1e-9 * (double)t.tv_nsec};
}

/* Ends a measurement that began at `start`, and keeps the smaller times of all runs. */
static void keep_least(struct cost *least, struct cost start)
{
    const struct cost end = now();
    const struct cost took = {end.wall - start.wall, end.cpu - start.cpu};
    least->wall = least->wall <= 0 || took.wall < least->wall ? took.wall : least->wall;
    least->cpu = least->cpu <= 0 || took.cpu < least->cpu ? took.cpu : least->cpu;
}

static enum tare_code out_of_memory(struct tare_error *err)
{
    *err = (struct tare_error){.code = TARE_E_MEMORY, .text = "out of memory"};
    return err->code;
}

static enum tare_code open_session(const struct bench *b, int threads, int64_t context, tare_session **session,
                                   struct tare_error *err)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    options.threads = threads;
    options.context = context;
    options.kv_bits = (int)b->kv_bits;
    options.cancel = &cli_interrupted;
    options.kernels = b->kernels;
    options.exact = b->exact;
    return tare_session_open(session, b->model, &options, err);
}

/* Any ids do, as long as every vocabulary has them: speed does not depend on the text. */
static enum tare_code make_ids(struct bench *b, int64_t vocabulary, struct tare_error *err)
{
    const int64_t n = b->prompt > b->context ? b->prompt : b->context;
    const uint32_t some = vocabulary < SOME_IDS ? (uint32_t)vocabulary : SOME_IDS;
    uint32_t state = 1;
    b->ids = calloc((size_t)n, sizeof *b->ids);
    b->logits = calloc((size_t)vocabulary, (b->sequences ? (size_t)b->sequences : 1) * sizeof *b->logits);
    if (!b->ids || !b->logits)
        return out_of_memory(err);
    for (int64_t i = 0; i < n; i++)
        b->ids[i] = (int32_t)((state = state * 1664525u + 1013904223u) % some);
    return TARE_OK;
}

/* Measures loading, which the first session does. `start` is when the command began. */
static enum tare_code first_token(struct bench *b, double start, struct tare_error *err)
{
    tare_session *session = NULL;
    enum tare_code code = open_session(b, b->rows[b->n - 1].threads, b->context + b->generate, &session, err);
    if (code)
        return code;
    b->load = cli_seconds() - start;
    b->kernels = tare_session_kernels(session);
    b->weights = tare_session_weights(session);
    if (!(code = make_ids(b, tare_session_vocabulary(session), err)) &&
        !(code = tare_session_feed(session, b->ids, (size_t)b->context, false, b->logits, err))) {
        struct tare_sampling greedy = TARE_SAMPLING_INIT;
        int32_t id;
        (void)tare_sample(&id, b->logits, tare_session_vocabulary(session), &greedy, 0, NULL);
        b->first = cli_seconds() - start;
    }
    tare_session_free(session);
    return code;
}

/* Measures how long an empty session takes for a prompt that is fed at once. */
static enum tare_code time_prefill(struct bench *b, struct row *row, struct tare_error *err)
{
    tare_session *session = NULL;
    enum tare_code code = open_session(b, row->threads, b->prompt, &session, err);
    if (code)
        return code;
    const struct cost start = now();
    code = tare_session_feed(session, b->ids, (size_t)b->prompt, false, b->logits, err);
    keep_least(&row->prefill, start);
    tare_session_free(session);
    return code;
}

/* Measures tokens that are fed one by one, after `context` tokens. */
static enum tare_code time_decode(struct bench *b, struct row *row, struct tare_error *err)
{
    tare_session *session = NULL;
    enum tare_code code = open_session(b, row->threads, b->context + b->generate, &session, err);
    if (code)
        return code;
    code = tare_session_feed(session, b->ids, (size_t)b->context, false, b->logits, err);
    const struct cost start = now();
    for (int64_t i = 0; !code && i < b->generate; i++)
        code = tare_session_feed(session, &b->ids[i % b->context], 1, false, b->logits, err);
    keep_least(&row->decode, start);
    tare_session_free(session);
    return code;
}

/* Measures steps that decode one token of each of several sequences, which share their context. */
static enum tare_code time_batch(struct bench *b, struct row *row, struct tare_error *err)
{
    struct tare_feed *feeds = calloc((size_t)b->sequences, sizeof *feeds);
    enum tare_code code =
        feeds ? open_session(b, row->threads, b->context + b->generate, &feeds->session, err) : out_of_memory(err);
    if (!code)
        code = tare_session_feed(feeds->session, b->ids, (size_t)b->context, false, b->logits, err);
    for (int64_t k = 0; !code && k < b->sequences; k++) {
        const int64_t columns = tare_session_vocabulary(feeds->session);
        feeds[k] = (struct tare_feed){.session = feeds[k].session, .n = 1, .logits = b->logits + k * columns};
        if (k)
            code = tare_session_fork(&feeds[k].session, feeds->session, err);
    }
    const struct cost start = now();
    for (int64_t i = 0; !code && i < b->generate; i++) {
        for (int64_t k = 0; k < b->sequences; k++)
            feeds[k].ids = &b->ids[(i + k) % b->context];
        code = tare_session_feed_each(feeds, (size_t)b->sequences, sizeof *feeds, err);
    }
    keep_least(&row->batch, start);
    for (int64_t k = 0; feeds && k < b->sequences; k++)
        tare_session_free(feeds[k].session);
    free(feeds);
    return code;
}

/* The most memory that the process has had so far, in bytes. */
static uint64_t peak_memory(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage))
        return 0;
#if defined(__APPLE__)
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

/* Measures prefill, decode and, if asked for, several sequences at once. The numbers of threads take turns, because
 * the load of other programs comes and goes. */
static enum tare_code time_all(struct bench *b, struct tare_error *err)
{
    struct cli_progress progress = cli_progress_init();
    enum tare_code code = TARE_OK;
    const uint64_t steps = (uint64_t)b->runs * b->n;
    progress.counts = true;
    for (uint64_t step = 0; step < steps && !code; step++) {
        struct row *row = &b->rows[step % b->n];
        if ((code = time_prefill(b, row, err)) || (code = time_decode(b, row, err)))
            break;
        if (b->sequences)
            code = time_batch(b, row, err);
        cli_progress_show(&progress, "runs", step + 1, steps);
    }
    cli_progress_wipe(&progress);
    return code;
}

static enum tare_code measure(struct bench *b, double start, struct tare_error *err)
{
    enum tare_code code = first_token(b, start, err);
    if (!code)
        code = time_all(b, err);
    /* Taken before the memory is allocated that the next step reads. */
    b->peak = peak_memory();
    for (size_t i = 0; !code && !b->no_read && i < b->n; i++)
        code = tare_measure_read(b->rows[i].threads, READ_BYTES, &b->rows[i].read, err);
    return code;
}

static double rate(int64_t tokens, double seconds)
{
    return seconds > 0 ? (double)tokens / seconds : 0;
}

static void print_table(const struct bench *b)
{
    cli_put(stdout, tare_model_report(b->model)->model);
    printf(": prefill of %lld tokens, decode of %lld after %lld; best of %lld; %s\n", (long long)b->prompt,
           (long long)b->generate, (long long)b->context, (long long)b->runs, b->kernels);
    printf("  load       %.3f s, the first token after %.3f s\n", b->load, b->first);
    printf("  memory     %s at most; a token reads %s of weights\n", cli_bytes(b->peak).text,
           cli_bytes(b->weights).text);
    printf("  %-10s%14s%14s%10s%14s%10s\n", "threads", "prefill t/s", "decode t/s", "GB/s", "memory GB/s", "share");
    for (size_t i = 0; i < b->n; i++) {
        const struct row *r = &b->rows[i];
        const double decode = rate(b->generate, r->decode.wall), bytes = decode * (double)b->weights;
        printf("  %-10d%14.1f%14.1f%10.2f", r->threads, rate(b->prompt, r->prefill.wall), decode, bytes / 1e9);
        if (r->read > 0)
            printf("%14.2f%9.0f%%", r->read / 1e9, 100 * bytes / r->read);
        putchar('\n');
        if (b->sequences)
            printf("  %24s%14.1f  %lld sequences at once\n", "", rate(b->sequences * b->generate, r->batch.wall),
                   (long long)b->sequences);
    }
}

static void put_cost(const char *name, int64_t tokens, const struct cost *cost)
{
    printf("\"%s\": {\"tokens\": %lld, \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"tokens_per_second\": %.3f}, ", name,
           (long long)tokens, cost->wall, cost->cpu, rate(tokens, cost->wall));
}

static void print_json(const struct bench *b)
{
    printf("{\"tare\": \"%s\", \"model\": ", tare_version());
    cli_put_json(stdout, tare_model_report(b->model)->model);
    printf(", \"kernels\": \"%s\"", b->kernels);
    printf(", \"load_seconds\": %.6f, \"first_token_seconds\": %.6f, \"weights_bytes\": %llu, \"peak_bytes\": %llu,\n",
           b->load, b->first, (unsigned long long)b->weights, (unsigned long long)b->peak);
    printf(" \"context\": %lld, \"best_of\": %lld, \"runs\": [", (long long)b->context, (long long)b->runs);
    for (size_t i = 0; i < b->n; i++) {
        const struct row *r = &b->rows[i];
        const double bytes = rate(b->generate, r->decode.wall) * (double)b->weights;
        printf("%s{\"threads\": %d, ", i ? ",\n  " : "\n  ", r->threads);
        put_cost("prefill", b->prompt, &r->prefill);
        put_cost("decode", b->generate, &r->decode);
        if (b->sequences)
            put_cost("batch", b->sequences * b->generate, &r->batch);
        printf("\"weights_bytes_per_second\": %.0f, ", bytes);
        if (r->read > 0)
            printf("\"read_bytes_per_second\": %.0f, \"share_of_read\": %.4f}", r->read, bytes / r->read);
        else
            fputs("\"read_bytes_per_second\": null, \"share_of_read\": null}", stdout);
    }
    puts("]}");
}

/* Reads "1,2,8" as numbers of threads. NULL stands for 1, 2, 4 and so on, and the number of cores. */
static int parse_counts(const char *list, struct bench *b)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t count = 1;
    for (; !list && b->n < MOST_COUNTS && count < cores; count *= 2)
        b->rows[b->n++].threads = (int)count;
    if (!list) {
        b->rows[b->n < MOST_COUNTS ? b->n++ : b->n - 1].threads = cores > 0 ? (int)cores : 1;
        return CLI_GO_ON;
    }
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        char word[8] = "";
        const size_t length = strcspn(at, ",");
        snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), at);
        if (length >= sizeof word || b->n == MOST_COUNTS || !cli_whole(word, 1, 1024, &count))
            return cli_wrong("bench: --threads takes at most %d numbers from 1 to 1024 with commas between, not \"%s\"",
                             MOST_COUNTS, list);
        b->rows[b->n++].threads = (int)count;
    }
    return CLI_GO_ON;
}

static int plan_and_measure(struct bench *b, const struct cli_source *source, bool json)
{
    const double start = cli_seconds();
    struct tare_error err = {0};
    cli_interrupt_catch();
    if (cli_source_plan(source, &b->model, &err) != TARE_OK)
        return cli_fail(&err);
    cli_report_warn(b->model);
    if (measure(b, start, &err) != TARE_OK)
        return cli_fail(&err);
    if (json)
        print_json(b);
    else
        print_table(b);
    return 0;
}

struct asked {
    const char *counts;
    /* Its numbers, switches and kernels are those of the flags. */
    struct bench bench;
    bool json;
    int tie;
    int zeros;
};

static const char *const kernels[] = {"scalar", "avx2", "avx512", "amx", "neon", NULL};

static const struct cli_flag flags[] = {
    {.name = "threads",
     CLI_IS_TEXT(struct asked, counts),
     .value = "1,2,..",
     .usual = true,
     .help = "thread counts to measure; default: 1, 2, 4 .. one a core"},
    {.name = "prompt",
     CLI_IS_WHOLE(struct asked, bench.prompt, 1, 1 << 20),
     .value = "N",
     .help = "tokens of the prefill; default 512"},
    {.name = "context",
     CLI_IS_WHOLE(struct asked, bench.context, 1, 1 << 20),
     .value = "N",
     .help = "tokens before those decoded; default 64"},
    {.name = "generate",
     CLI_IS_WHOLE(struct asked, bench.generate, 1, 1 << 20),
     .value = "N",
     .help = "tokens decoded one by one; default 64"},
    {.name = "sequences",
     CLI_IS_WHOLE(struct asked, bench.sequences, 1, 1024),
     .value = "N",
     .help = "also decode that many sequences at once",
     .more = "The figure is that of all together."},
    CLI_FLAG_KV_BITS(struct asked, bench.kv_bits),
    {.name = "runs",
     CLI_IS_WHOLE(struct asked, bench.runs, 1, 1000),
     .value = "N",
     .help = "the best of that many; default 3"},
    {.name = "exact",
     CLI_IS_SWITCH(struct asked, bench.exact),
     .help = "all in float32; without it activations are rounded to 8 bits"},
    {.name = "kernels",
     CLI_IS_TEXT(struct asked, bench.kernels),
     .value = "SET",
     .choices = kernels,
     .help = "a set of kernels that is not the processor's best"},
    {.name = "no-read",
     CLI_IS_SWITCH(struct asked, bench.no_read),
     .help = "leave the memory's speed out: it takes 512 MB"},
    {.name = "json", CLI_IS_SWITCH(struct asked, json), .usual = true, .help = "print one JSON object (docs/json.md)"},
    CLI_FLAG_TIE(struct asked, tie),
    CLI_FLAG_ZEROS(struct asked, zeros),
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {.bench = {.prompt = 512, .context = 64, .generate = 64, .runs = 3},
                          .tie = TARE_TIE_AUTO,
                          .zeros = TARE_ZEROS_AUTO};
    struct bench *b = &asked.bench;
    int words = 0, status = cli_parse(verb, &asked, argc, argv, &words);
    struct cli_source source;
    struct tare_error err = {0};
    if (status != CLI_GO_ON || (status = parse_counts(asked.counts, b)) != CLI_GO_ON)
        return status;
    if (cli_source_find(&source, words ? argv[0] : NULL, &err) != TARE_OK)
        return cli_fail(&err);
    source.options.tie = (enum tare_tie)asked.tie;
    source.options.zeros = (enum tare_zeros)asked.zeros;
    source.options.threads = b->rows[b->n - 1].threads;
    status = plan_and_measure(b, &source, asked.json);
    free(b->logits);
    free(b->ids);
    tare_model_free(b->model);
    return status;
}

const struct cli_verb cli_bench = {
    .name = "bench",
    .summary = "How fast it runs here, and how near to the memory's speed.",
    .about =
        "Says how fast the model runs here: tokens a second of a prefill and of decoding one by one, for each number "
        "of threads; the weights that a token reads, in GB/s, and their share of what memory gives when it is only "
        "read (a model that fits into the caches may read more than that); load time and the time to the first token; "
        "memory. "
        "The best of the runs counts.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL, .optional = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare bench models/fable --threads 1,2 --prompt 64", "Measures with one thread and with two."},
                 {"tare bench --prompt 64 --runs 1 --no-read --json", "Measures shortly, for a program."}},
    .see = "run perplexity",
    .run = run,
};
