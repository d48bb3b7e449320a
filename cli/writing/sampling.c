/* SPDX-License-Identifier: MIT
 * sampling.c - the flags that say how a text is written. */
#include "writing/sampling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const size_t LARGEST = (size_t)1 << 20;

/* Makes a new seed for each run, when none was asked for. */
static uint64_t any_seed(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000007u ^ (uint64_t)t.tv_nsec << 20 ^ (uint64_t)getpid();
}

/* Reads "ID=V"; V may be -inf. */
static bool read_bias(const char *word, struct tare_bias *bias)
{
    char id[16];
    int64_t number;
    double value = -INFINITY;
    const size_t n = strcspn(word, "=");
    if (word[n] != '=' || n >= sizeof id)
        return false;
    memcpy(id, word, n);
    id[n] = '\0';
    if (!cli_whole(id, 0, INT32_MAX, &number) ||
        (strcmp(word + n + 1, "-inf") != 0 && !cli_real(word + n + 1, -1e6, 1e6, &value)))
        return false;
    *bias = (struct tare_bias){(int32_t)number, (float)value};
    return true;
}

int cli_sampling_take(const struct cli_verb *verb, const struct cli_sampling *asked, struct cli_generation *made)
{
    struct tare_generate_options *o = &made->options;
    *made = (struct cli_generation){.options = TARE_GENERATE_OPTIONS_INIT};
    for (size_t i = 0; i < asked->bias.n; i++)
        if (!read_bias(asked->bias.items[i], &made->bias[i]))
            return cli_wrong("%s: --logit-bias takes ID=V, as 13=-2.5 or 13=-inf, not \"%s\"", verb->name,
                             asked->bias.items[i]);
    made->sampling = (struct tare_sampling){.size = sizeof made->sampling,
                                            .temperature = (float)asked->temp,
                                            .top_p = (float)asked->top_p,
                                            .top_k = (int)asked->top_k,
                                            .min_p = (float)asked->min_p,
                                            .seed = asked->seed < 0 ? any_seed() : (uint64_t)asked->seed,
                                            .typical_p = (float)asked->typical,
                                            .repetition_penalty = (float)asked->repetition,
                                            .presence_penalty = (float)asked->presence,
                                            .frequency_penalty = (float)asked->frequency,
                                            .penalty_window = (int)asked->window,
                                            .bias = made->bias,
                                            .n_bias = asked->bias.n};
    if (asked->window == 0) { /* as in llama.cpp, 0 means that no token is recent */
        made->sampling.repetition_penalty = 1;
        made->sampling.presence_penalty = made->sampling.frequency_penalty = 0;
    }
    o->sampling = &made->sampling;
    o->max_tokens = asked->most;
    o->stops = asked->stops.items;
    o->n_stops = asked->stops.n;
    made->drafter = asked->draft;
    o->draft = !asked->draft || strcmp(asked->draft, "none") == 0 ? TARE_DRAFT_NONE
               : strcmp(asked->draft, "lookup") == 0              ? TARE_DRAFT_LOOKUP
                                                                  : TARE_DRAFT_MODEL;
    made->kind = asked->schema ? TARE_GRAMMAR_SCHEMA : TARE_GRAMMAR_GBNF;
    const char *file = asked->schema ? asked->schema : asked->grammar;
    return file ? cli_file_read(&made->grammar, file, LARGEST) : CLI_GO_ON;
}

void cli_generation_release(struct cli_generation *made)
{
    free(made->grammar.data);
}
