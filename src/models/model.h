/* SPDX-License-Identifier: MIT
 * model.h - the words a model file is written in: args (config/args.h), parameters (tree/tree.h), blocks
 * (blocks/blocks.h), rewriting (names/rewrite.h), and the record that ties them together. docs/add-a-model.md tells the
 * steps.
 */
#ifndef TARE_MODELS_MODEL_H
#define TARE_MODELS_MODEL_H

#include "blocks/blocks.h"
#include "config/args.h"
#include "names/rewrite.h"
#include "tree/tree.h"

/* What derive() may use: the __post_init__ of the args. */
struct tare_derive {
    struct tare_arena *arena;
    const json_t *config; /* the fragment the args came from */
    const char *place;    /* its name in errors */
    struct tare_error *err;
    struct tare_model *model; /* for the two functions below */
};
/* Has the checkpoint a tensor of this name? For the few models whose config does not say what is published. */
bool tare_published(const struct tare_derive *d, const char *name);
/* Let the config, also that of a conversion, say `value` (stolen) for a key, where the tensors contradict it; why
 * becomes a finding. False: no memory. */
bool tare_config_amend(const struct tare_derive *d, const char *key, json_t *value, const char *why);

struct tare_arch {
    const char *name;                  /* mlx-lm's module name: the model_type, but for aliases */
    const struct tare_args_info *args; /* MUST */
    /* MAY: fill derived values (head_dim = hidden_size / heads ...) and refuse contradictions, by tare_fail(d->err,
     * ..). */
    enum tare_code (*derive)(void *args, const struct tare_derive *d);
    /* MUST, but for a wrapper: parameters and blocks below root. decoder is zeroed; what cannot run yet may stay so. */
    void (*declare)(struct tare_at root, const void *args, struct tare_decoder *decoder);
    /* MAY: names and recipes -> those of declare. A wrapper's comes first, on the whole list; then the inner one's,
     * which sees only what lies below inner_prefix, without that prefix. */
    void (*sanitize)(struct tare_weights *w, const void *args);
    bool runs; /* every block has ops, and logits were compared with the reference */
    /* transformers takes a config of this type that says nothing of tying for tied, or does not know the type */
    bool transformers_tied;

    /* Wrappers: a text model inside, under a prefix, with its own fragment of the config. */
    const struct tare_arch *inner;
    const char *inner_config; /* "text_config" */
    const char *inner_prefix; /* "language_model" */
    /* MAY: the inner model by its fragment (mistral3: text_config.model_type); else `inner`. NULL: refused through d.
     */
    const struct tare_arch *(*choose)(const json_t *inner, const struct tare_derive *d);
    bool inner_as_is; /* the inner model's sanitize is not called (pixtral) */
    bool inner_flat;  /* without inner_config in config.json the whole config is the inner one's */
    /* MAY: keys that the wrapper writes into the inner fragment before its args are read (config: a copy, changed in
     * place). */
    enum tare_code (*fill)(json_t *inner, const void *args, const struct tare_derive *d);
};

#define ARCH(name) extern const struct tare_arch tare_arch_##name;
#define ALIAS(model_type, name)
#define NAMED(model_type, name) ARCH(name)
#define CHOSEN(model_type, architecture, name) ARCH(name)
#include "models/models.def"
#undef ARCH
#undef ALIAS
#undef NAMED
#undef CHOSEN

/* Can it run, by its own record or that of its text model? */
bool tare_arch_runs(const struct tare_arch *arch);

/* The record for a model_type (and config.json's "architectures", which may be NULL), aliases resolved; an unknown one
 * is refused by name, with the nearest known ones. */
enum tare_code tare_arch_find(const char *model_type, const json_t *architectures, const struct tare_arch **arch,
                              struct tare_error *err);

#endif
