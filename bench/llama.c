/* SPDX-License-Identifier: MIT
 * llama.c - what `tare bench --json` measures, of llama.cpp: the same phases, timed the same way, one JSON object.
 *
 *     llama_session MODEL.gguf THREADS PROMPT CONTEXT GENERATE RUNS
 *
 * Defaults of llama.cpp in all else (mapping, repacking, flash attention, a cache in float16). Built by tools/peers.sh.
 */
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { SOME_IDS = 1000 };

struct cost {
    double wall, cpu;
};

struct peer {
    struct llama_model *model;
    struct llama_context *context;
    int threads, prompt, before, generate, runs;
    llama_token *ids;
    int vocabulary;
};

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct cost now(void)
{
    return (struct cost){seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID)};
}

static void keep_least(struct cost *least, struct cost start)
{
    const struct cost end = now();
    const double wall = end.wall - start.wall, cpu = end.cpu - start.cpu;
    least->wall = least->wall <= 0 || wall < least->wall ? wall : least->wall;
    least->cpu = least->cpu <= 0 || cpu < least->cpu ? cpu : least->cpu;
}

static void quiet(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static void feed(struct peer *p, const llama_token *ids, int n)
{
    if (llama_decode(p->context, llama_batch_get_one((llama_token *)ids, n))) {
        fputs("llama_decode failed\n", stderr);
        exit(1);
    }
    llama_synchronize(p->context);
}

static int best(const float *logits, int n)
{
    int found = 0;
    for (int i = 1; i < n; i++)
        found = logits[i] > logits[found] ? i : found;
    return found;
}

static void begin(struct peer *p, const char *path)
{
    const struct llama_model_params model = llama_model_default_params();
    struct llama_context_params context = llama_context_default_params();
    const int after = p->before + p->generate;
    llama_log_set(quiet, NULL);
    p->model = llama_model_load_from_file(path, model);
    context.n_ctx = (uint32_t)(p->prompt > after ? p->prompt : after);
    context.n_threads = context.n_threads_batch = p->threads;
    p->context = p->model ? llama_init_from_model(p->model, context) : NULL;
    if (!p->context)
        exit(1);
    p->vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(p->model));
}

static void make_ids(struct peer *p)
{
    const int n = p->prompt > p->before ? p->prompt : p->before;
    const int some = p->vocabulary < SOME_IDS ? p->vocabulary : SOME_IDS;
    uint32_t state = 1;
    p->ids = calloc((size_t)n, sizeof *p->ids);
    for (int i = 0; p->ids && i < n; i++)
        p->ids[i] = (llama_token)((state = state * 1664525u + 1013904223u) % (uint32_t)some);
}

static void time_both(struct peer *p, struct cost *prefill, struct cost *decode)
{
    llama_memory_clear(llama_get_memory(p->context), true);
    struct cost start = now();
    feed(p, p->ids, p->prompt);
    keep_least(prefill, start);
    llama_memory_clear(llama_get_memory(p->context), true);
    feed(p, p->ids, p->before);
    start = now();
    for (int i = 0; i < p->generate; i++)
        feed(p, &p->ids[i % p->before], 1);
    keep_least(decode, start);
}

static void put_cost(const char *name, int tokens, const struct cost *cost)
{
    printf("\"%s\": {\"tokens\": %d, \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"tokens_per_second\": %.3f}", name,
           tokens, cost->wall, cost->cpu, tokens / cost->wall);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    struct peer p = {.threads = atoi(argv[2]),
                     .prompt = atoi(argv[3]),
                     .before = atoi(argv[4]),
                     .generate = atoi(argv[5]),
                     .runs = atoi(argv[6])};
    struct cost prefill = {0}, decode = {0};
    struct rusage usage;
    const double start = seconds(CLOCK_MONOTONIC);
    begin(&p, argv[1]);
    make_ids(&p);
    const double load = seconds(CLOCK_MONOTONIC) - start;
    feed(&p, p.ids, p.before);
    volatile int first_id = best(llama_get_logits_ith(p.context, -1), p.vocabulary);
    (void)first_id;
    const double first = seconds(CLOCK_MONOTONIC) - start;
    for (int run = 0; run < p.runs; run++)
        time_both(&p, &prefill, &decode);
    getrusage(RUSAGE_SELF, &usage);
    printf(
        "{\"load_seconds\": %.6f, \"first_token_seconds\": %.6f, \"peak_bytes\": %llu,\n \"runs\": [{\"threads\": %d, ",
        load, first, (unsigned long long)usage.ru_maxrss * 1024, p.threads);
    put_cost("prefill", p.prompt, &prefill);
    fputs(", ", stdout);
    put_cost("decode", p.generate, &decode);
    puts("}]}");
    llama_free(p.context);
    llama_model_free(p.model);
    free(p.ids);
    return 0;
}
