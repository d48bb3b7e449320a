/* SPDX-License-Identifier: MIT
 * measures.c - figures in the text format of Prometheus. */
#include "serve/measures.h"

#include <event2/buffer.h>
#include <inttypes.h>

#include "serve/failure.h"

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

void measures_put(const struct measures *m, size_t running, size_t waiting, double memory, struct evbuffer *out)
{
    put_gauge("tare_requests_running", "Texts that are being made.", (double)running, out);
    put_gauge("tare_requests_waiting", "Texts that wait for a place.", (double)waiting, out);
    put_gauge("tare_kv_cache_usage_ratio", "The part of the memory for states that is in use or kept.", memory, out);
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
