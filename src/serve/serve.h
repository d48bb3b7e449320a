/* SPDX-License-Identifier: MIT
 * serve.h - the server as the command starts it. It uses libtare by tare.h alone. */
#ifndef TARE_SERVE_SERVE_H
#define TARE_SERVE_SERVE_H

#include "tare.h"

struct serve_source {
    /* Planned; owned by the caller, and must outlive the server. It is loaded at the start and stays. NULL: it is planned
     * and loaded when a request names it, and goes when another one needs the memory. */
    tare_model *model;
    const char *path;
    const struct tare_options *options;
    /* As clients call it. */
    const char *id;
};

struct serve_options {
    const struct serve_source *sources;
    size_t n_sources;
    const char *host;
    int port;
    int64_t context;
    int kv_bits;
    bool exact;
    size_t parallel;
    size_t most_waiting;
    /* Bytes for states of each model; 0: a quarter of models_memory. */
    uint64_t memory;
    /* Bytes for weights and states of all models; 0: what is free at the start. */
    uint64_t models_memory;
    const char *const *keys;
    size_t n_keys;
    const char *const *allowed_hosts;
    size_t n_allowed_hosts;
    /* NULL: no cross-origin requests. */
    const char *cors;
    /* Serve no page for people. */
    bool no_page;
    /* PEM files; NULL: plain HTTP. */
    const char *certificate;
    const char *private_key;
    /* Seconds that a request may take in all; 0: any. */
    int timeout;
    /* Called once the server answers, with its address. */
    void (*ready)(const char *address);
    /* Called with a line about what happens to a model, from any thread; may be NULL. */
    void (*say)(const char *line);
};

/* Serves until SIGTERM or SIGINT. Blocks the calling thread. */
enum tare_code serve_run(const struct serve_options *options, struct tare_error *err);

#endif
