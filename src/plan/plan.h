/* SPDX-License-Identifier: MIT
 * plan.h - the plan: what every stage found out about one checkpoint, and what becomes of each of its tensors.
 */
#ifndef TARE_PLAN_PLAN_H
#define TARE_PLAN_PLAN_H

#include "config/args.h"
#include "config/quant.h"
#include "module/module.h"
#include "packing/packing.h"
#include "tree/tie.h"
#include "tree/tree.h"

struct tare_arch;
struct tare_decoder;

/* What a bound parameter becomes in an MLX folder (stage 6); check, explain and run do not depend on it. */
struct tare_target {
    bool packed;             /* weight U32, scales, and what else its mode has; else one dense tensor */
    enum tare_mlx_mode mode; /* of a packed one */
    bool global;             /* nvfp4: with a global_scale */
    enum tare_dtype dtype;   /* of the dense tensor, or of affine's scales and biases */
    int bits;
    int64_t group_size;               /* of the target: scales are repeated when it is smaller than the source's */
    const char *refusal;              /* why MLX cannot hold it, or NULL; convert then fails with it */
    const char *because;              /* why a packed source becomes dense, or NULL */
    const struct tare_recipe *recipe; /* instead of the entry's own: columns or rows in another order; or NULL */
};

struct tare_finding {
    enum tare_level level;
    const char *code, *where, *text;
};

/* A parameter and a shape that does not fit it. */
struct tare_misshapen {
    const struct tare_parameter *parameter;
    const struct tare_entry *entry;
};

struct tare_model {
    struct tare_arena arena; /* owns the plan */
    struct tare_options options;
    int references;      /* model and sessions; atomic by __atomic builtins in plan.c only */
    enum tare_code code; /* of the first error; OK: loads */
    struct tare_error error;

    struct tare_checkpoint checkpoint; /* 1 open */
    json_t *config, *generation;       /* 2 config; NULL: not read */
    struct tare_quant quant;
    const char *model_type;
    const struct tare_arch *arch;
    void *args;                    /* of arch */
    bool runs;                     /* its record says that logits were compared with the reference */
    const struct tare_arch *inner; /* of a wrapper: its text model, or NULL */
    void *inner_args;              /* of inner, or NULL */
    const json_t *inner_config;    /* the fragment that drove the inner model, or NULL */
    json_t *inner_copy;            /* owned, when the wrapper filled it in */
    const char *inner_path;        /* "text_config", or NULL when the inner model read the top level */
    struct tare_tree tree;         /* 3 declare */
    struct tare_decoder *decoder;
    struct tare_module *modules; /* 4 group */
    size_t n_modules;
    struct tare_weights weights; /* 5 rewrite */
    struct tare_tie_result tie;  /* 5 tie */
    struct tare_target *targets; /* 6 target: by parameter index */
    enum tare_dtype float_dtype; /* of all floats in the MLX folder; meaningful when casts */
    bool casts;
    size_t n_casts; /* tensors whose dtype changes in the target */

    struct tare_finding *findings; /* heap */
    size_t n_findings, findings_room;
    const struct tare_parameter **missing; /* 7 strict; heap arrays */
    size_t n_missing, missing_room;
    const struct tare_entry **unexpected;
    size_t n_unexpected, unexpected_room;
    struct tare_misshapen *misshapen;
    size_t n_misshapen, misshapen_room;
    struct tare_report report; /* made last, from the above */

    void *loaded;                /* struct tare_loaded of run/, made by the first session; atomic */
    void (*loaded_free)(void *); /* called by the last tare_model_free(), when not NULL */
};

/* One more owner: each takes one tare_model_free(). */
void tare_model_retain(struct tare_model *model);

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
/* Stage 6. */
enum tare_code tare_target_choose(struct tare_model *model, struct tare_error *err);
/* Another recipe for a parameter: it becomes the target's, and what it becomes is decided anew. */
void tare_target_replace(struct tare_model *model, const struct tare_parameter *parameter,
                         const struct tare_recipe *recipe);
/* After stage 7: columns in act-order are sorted into groups where the producer of the input can give them in that
 * order (fold.c). */
enum tare_code tare_plan_fold(struct tare_model *model, struct tare_error *err);
/* After all stages, also after a failure: the report and its account. */
enum tare_code tare_plan_report(struct tare_model *model);

#endif
