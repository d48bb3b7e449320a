/* SPDX-License-Identifier: MIT
 * plan.h - the plan: what every stage found out about one checkpoint, and what becomes of each of its tensors.
 */
#ifndef TARE_PLAN_PLAN_H
#define TARE_PLAN_PLAN_H

#include <pthread.h>

#include "base/pool.h"
#include "config/args.h"
#include "config/quant.h"
#include "module/module.h"
#include "packing/packing.h"
#include "tree/tie.h"
#include "tree/tree.h"

struct tare_arch;
struct tare_common;
struct tare_decoder;

struct tare_finding {
    enum tare_level level;
    const char *code, *where, *text;
};

/* A parameter, and an entry of its name whose shape does not fit it. */
struct tare_misshapen {
    const struct tare_parameter *parameter;
    const struct tare_entry *entry;
};

struct tare_model {
    struct tare_arena arena; /* owns the plan */
    struct tare_options options;
    int references;      /* model and sessions; atomic by __atomic builtins in plan.c only */
    enum tare_code code; /* of the first error; OK: the model loads */
    struct tare_error error;

    struct tare_checkpoint checkpoint; /* 1 open */
    json_t *config, *generation;       /* 2 config; NULL: not read */
    struct tare_quant quant;
    const char *model_type;
    /* 3 declare: the architecture's record, and its args */
    const struct tare_arch *arch;
    void *args;
    /* Its record says that logits were compared with the reference. */
    bool runs;
    /* A wrapper's text model and its args; NULL: the model is not a wrapper. */
    const struct tare_arch *inner;
    void *inner_args;
    /* The fragment of the config that drove the text model, and the copy (owned) if the wrapper filled it in. */
    const json_t *inner_config;
    json_t *inner_copy;
    /* Where that fragment lies: "text_config"; NULL: the text model read the top level. */
    const char *inner_path;
    struct tare_tree tree;
    struct tare_decoder *decoder;
    struct tare_module *modules; /* 4 group */
    size_t n_modules;
    struct tare_weights weights;   /* 5 rewrite */
    struct tare_tie_result tie;    /* 5 tie */
    struct tare_finding *findings; /* heap */
    size_t n_findings, findings_room;
    const struct tare_parameter **missing; /* 7 strict; heap arrays */
    size_t n_missing, missing_room;
    const struct tare_entry **unexpected;
    size_t n_unexpected, unexpected_room;
    struct tare_misshapen *misshapen;
    size_t n_misshapen, misshapen_room;
    struct tare_report report; /* made last, from the above */

    pthread_mutex_t lock;       /* of the next three */
    pthread_cond_t laid;        /* laying_out became false */
    bool laying_out;            /* a session lays out weights, or looks what there is (run/session/shared.h) */
    struct tare_common *common; /* threads that sessions have together: a list */
    /* struct tare_loaded of run/, made by the first session; only who set laying_out may look at it. */
    void *loaded;
    void (*loaded_free)(void *); /* called by the last tare_model_free(), when not NULL */
};

/* One more owner: each takes one tare_model_free(). */
void tare_model_retain(struct tare_model *model);

/* A pool for one call on a plan: on the threads asked for, else with n of its own where n is not 0, else on the plan's
 * threads, else with as many of its own as the plan says. */
enum tare_code tare_plan_pool(struct tare_pool **pool, const struct tare_model *model, struct tare_threads *asked,
                              int n, struct tare_error *err);

/* Add a finding. The first of level ERROR becomes the model's code and error. */
void tare_plan_finding(struct tare_model *model, enum tare_level level, enum tare_code code, const char *word,
                       const char *where, const char *format, ...) TARE_PRINTF(6, 7);
/* Keep an error of a stage as a finding; returns error's code. */
enum tare_code tare_plan_keep(struct tare_model *model, const struct tare_error *error);

/*
 * After tie: prove every dropped head by value, where the data is at hand, and let the policy have its say
 * (options.tie): a differing head is dropped with a warning, becomes the model's own, or is refused. transformers_tied:
 * what transformers takes a silent config of this architecture for.
 */
enum tare_code tare_heads_settle(struct tare_model *model, bool transformers_tied, struct tare_error *err);

/* --dequantize: does one of the patterns, which commas separate, match the parameter, its module, or what either lies
 * in? patterns may be NULL. */
bool tare_dense_asked(const char *patterns, const char *name);
/*
 * Columns in act-order are sorted into groups where the producer of their input can give it in that order: sets
 * parameter->sorted of both (plan/fold.c).
 */
enum tare_code tare_plan_fold(struct tare_model *model, struct tare_error *err);
/* The recipe by which a bound parameter is written under mlx-lm's names: the sorted one where there is one. */
const struct tare_recipe *tare_parameter_recipe(const struct tare_parameter *parameter);
/* After all stages, also after a failure: the report and its account. */
enum tare_code tare_plan_report(struct tare_model *model);

#endif
