/* SPDX-License-Identifier: MIT
 * measures.c - figures in the text format of Prometheus. */
#include "serve/measures.h"

#include <dirent.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "serve/server.h"

/* Upper bounds in seconds; the last one is 80 seconds, and beyond is +Inf. */
static const double bounds[MEASURES_BOUNDS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                               0.5,   1,      2.5,   5,    10,    20,   40,  80};

void measures_see(struct measures_histogram *h, double seconds)
{
    size_t i = 0;
    while (i < MEASURES_BOUNDS && seconds > bounds[i])
        i++;
    h->counts[i]++;
    h->n++;
    h->sum += seconds;
}

static void put_histogram(const char *name, const char *help, const struct measures_histogram *h, struct evbuffer *out)
{
    uint64_t below = 0;
    evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
    for (size_t i = 0; i <= MEASURES_BOUNDS; i++) {
        below += h->counts[i];
        evbuffer_add_printf(out, "%s_bucket{le=\"", name);
        if (i < MEASURES_BOUNDS)
            serve_put_real(out, bounds[i]);
        else
            serve_put(out, "+Inf");
        evbuffer_add_printf(out, "\"} %" PRIu64 "\n", below);
    }
    evbuffer_add_printf(out, "%s_sum ", name);
    serve_put_real(out, h->sum);
    evbuffer_add_printf(out, "\n%s_count %" PRIu64 "\n", name, h->n);
}

static void put_counter(const char *name, const char *help, uint64_t value, struct evbuffer *out)
{
    evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %" PRIu64 "\n", name, help, name, name, value);
}

static void put_gauge(const char *name, const char *help, double value, struct evbuffer *out)
{
    evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s ", name, help, name, name);
    serve_put_real(out, value);
    serve_put(out, "\n");
}

/* ---- the process ------------------------------------------------------------------------------------------------- */

/* Pages that are in memory, from /proc/self/statm (proc(5)); 0 where there is none. */
static double resident_bytes(void)
{
    long pages = 0, all = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%ld %ld", &all, &pages) != 2)
        pages = 0;
    if (file)
        fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double open_descriptors(void)
{
    double n = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        n++;
    if (folder)
        closedir(folder);
    return n > 3 ? n - 3 : 0; /* ".", "..", and the folder itself */
}

static void put_process(const struct serve *s, struct evbuffer *out)
{
    struct timespec cpu = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    put_gauge("process_resident_memory_bytes", "Memory of this process that is in use.", resident_bytes(), out);
    put_gauge("process_open_fds", "Open file descriptors.", open_descriptors(), out);
    serve_put(out, "# HELP process_cpu_seconds_total Time of processors.\n# TYPE process_cpu_seconds_total counter\n"
                   "process_cpu_seconds_total ");
    serve_put_real(out, (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    serve_put(out, "\n");
    put_gauge("tare_connections", "Open connections.", (double)http_server_count(s->http), out);
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

/* What is told of each model. */
static const struct {
    const char *name;
    const char *kind;
    const char *help;
} of_model[] = {
    {"tare_model_loaded", "gauge", "1 where the model is in memory."},
    {"tare_slots", "gauge", "Texts that the model can make at the same moment."},
    {"tare_slots_used", "gauge", "Texts that the model is making."},
    {"tare_state_bytes", "gauge", "Memory of what texts remember, running and kept."},
    {"tare_state_limit_bytes", "gauge", "The most that this may take."},
    {"tare_cached_states", "gauge", "States that are kept for prompts that begin alike."},
    {"tare_prefix_lookups_total", "counter", "Prompts for which a kept state was looked for."},
    {"tare_prefix_hits_total", "counter", "Prompts that continued a state."},
    {"tare_prefix_evictions_total", "counter", "Kept states that had to go for others."},
};
enum { OF_MODEL = sizeof of_model / sizeof *of_model };

static double value_of(const struct serve_model_look *look, size_t i)
{
    const struct serve_engine_figures *f = &look->figures;
    const double values[OF_MODEL] = {look->state == SERVE_MODEL_READY,
                                     (double)f->slots,
                                     (double)f->running,
                                     (double)f->state_bytes,
                                     (double)f->state_limit,
                                     (double)f->kept,
                                     (double)f->lookups,
                                     (double)f->hits,
                                     (double)f->evicted};
    return values[i];
}

/* A label's value: a name of our table, never one that a client chose. */
static void put_label(const char *text, struct evbuffer *out)
{
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            evbuffer_add_printf(out, "\\%c", *text);
        else
            evbuffer_add(out, *text == '\n' ? " " : text, 1);
}

static void put_models(const struct serve *s, const struct serve_model_look *looks, struct evbuffer *out)
{
    for (size_t i = 0; i < OF_MODEL; i++) {
        evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", of_model[i].name, of_model[i].help, of_model[i].name,
                            of_model[i].kind);
        for (size_t k = 0; k < s->models.n; k++) {
            evbuffer_add_printf(out, "%s{model=\"", of_model[i].name);
            put_label(s->models.items[k].id, out);
            serve_put(out, "\"} ");
            serve_put_real(out, value_of(&looks[k], i));
            serve_put(out, "\n");
        }
    }
}

static void put_loading(struct serve *s, struct evbuffer *out)
{
    struct serve_models *m = &s->models;
    pthread_mutex_lock(&m->lock);
    const uint64_t loaded = m->loaded, unloaded = m->unloaded, failed = m->failed;
    const size_t parked = m->n_parked;
    pthread_mutex_unlock(&m->lock);
    put_gauge("tare_models_bytes", "Memory of the weights of all models, and of the states of their texts.",
              (double)m->ledger.limit - (double)serve_ledger_left(&m->ledger), out);
    put_gauge("tare_models_limit_bytes", "The most that this may take.", (double)m->ledger.limit, out);
    put_gauge("tare_requests_waiting_for_model", "Requests whose model is not loaded yet.", (double)parked, out);
    put_counter("tare_model_loads_total", "Models that were loaded.", loaded, out);
    put_counter("tare_model_unloads_total", "Models that were unloaded for others.", unloaded, out);
    put_counter("tare_model_failures_total", "Models that could not be loaded.", failed, out);
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static void put_requests(const struct measures *m, struct evbuffer *out)
{
    serve_put(out, "# HELP tare_requests_total Answers, by the class of their status.\n"
                   "# TYPE tare_requests_total counter\n");
    for (int i = 2; i < 6; i++)
        evbuffer_add_printf(out, "tare_requests_total{status=\"%dxx\"} %" PRIu64 "\n", i, m->requests[i]);
    put_counter("tare_prompt_tokens_total", "Tokens of prompts.", m->prompt_tokens, out);
    put_counter("tare_cached_prompt_tokens_total", "Tokens of prompts that were not read again.", m->cached_tokens,
                out);
    put_counter("tare_generated_tokens_total", "Tokens that were generated.", m->generated_tokens, out);
    put_counter("tare_cancelled_requests_total", "Requests whose client left.", m->cancelled, out);
    put_histogram("tare_time_to_first_token_seconds", "From a request's arrival to its first token.", &m->first_token,
                  out);
    put_histogram("tare_inter_token_seconds", "Between two tokens of a text.", &m->inter_token, out);
    put_histogram("tare_request_seconds", "From a request's arrival to its end.", &m->request, out);
}

void measures_put(struct serve *s, struct evbuffer *out)
{
    struct serve_model_look *looks = calloc(s->models.n, sizeof *looks);
    double running = 0, waiting = 0, fullest = 0;
    for (size_t i = 0; looks && i < s->models.n; i++) {
        const struct serve_engine_figures *f = &looks[i].figures;
        looks[i] = serve_model_look(s, &s->models.items[i]);
        running += (double)f->running;
        waiting += (double)f->waiting;
        if (f->state_limit && (double)f->state_bytes / (double)f->state_limit > fullest)
            fullest = (double)f->state_bytes / (double)f->state_limit;
    }
    put_gauge("tare_requests_running", "Texts that are being made.", running, out);
    put_gauge("tare_requests_waiting", "Texts that wait for a place.", waiting, out);
    put_gauge("tare_kv_cache_usage_ratio", "The part of the memory for states that is in use or kept.", fullest, out);
    put_requests(&s->measures, out);
    if (looks)
        put_models(s, looks, out);
    put_loading(s, out);
    put_process(s, out);
    free(looks);
}
