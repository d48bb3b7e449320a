/* SPDX-License-Identifier: MIT
 * measures.h - what /metrics tells. Used by the thread of the event loop alone. */
#ifndef TARE_SERVE_MEASURES_H
#define TARE_SERVE_MEASURES_H

#include <stddef.h>
#include <stdint.h>

struct evbuffer;
struct serve;

enum { MEASURES_BOUNDS = 16 };
struct measures_histogram {
    uint64_t counts[MEASURES_BOUNDS + 1];
    uint64_t n;
    double sum;
};

struct measures {
    /* Answers by the first digit of their status, 2 to 5. */
    uint64_t requests[6];
    uint64_t prompt_tokens;
    uint64_t cached_tokens;
    uint64_t generated_tokens;
    uint64_t cancelled;
    struct measures_histogram first_token;
    struct measures_histogram inter_token;
    struct measures_histogram request;
};

void measures_see(struct measures_histogram *histogram, double seconds);
/* All figures of a server. */
void measures_put(struct serve *serve, struct evbuffer *out);

#endif
