/* SPDX-License-Identifier: MIT
 * model.h - the words a model file is written in: args (config/args.h), parameters (tree/tree.h), blocks
 * (models/blocks.h), rewriting (names/rewrite.h), and the record that ties them together. docs/add-a-model.md tells the
 * steps.
 */
#ifndef TARE_MODELS_MODEL_H
#define TARE_MODELS_MODEL_H

#include "config/args.h"
#include "models/blocks.h"
#include "names/rewrite.h"
#include "tree/tree.h"

struct tare_arch;
struct tare_checkpoint;

/* What derive() found out beside the args; zeroed before it is called. */
struct tare_derived {
    /* The text model inside a wrapper, where it is not the record's own `inner`. It lives as long as the model. */
    const struct tare_arch *inner;
    /* A correction of the config, where the tensors contradict it: the value of a key (a new reference, which the
     * config takes) and why. It becomes a finding, and a conversion writes the corrected value. */
    const char *corrected;
    json_t *correction;
    const char *why;
};

/* What derive() may use. It does what __post_init__ does in mlx-lm's args. */
struct tare_derive {
    struct tare_arena *arena;
    /* The fragment that the args came from, and its name in errors. */
    const json_t *config;
    const char *place;
    struct tare_error *err;
    /* For the few models whose config does not say which tensors are published. */
    const struct tare_checkpoint *checkpoint;
    struct tare_derived *derived;
};

struct tare_arch {
    /* mlx-lm's module name, which is the model_type except for aliases. */
    const char *name;
    /* MUST */
    const struct tare_args_info *args;
    /* MAY: fills in values that follow from others (head_dim = hidden_size / heads ...) and refuses contradictions by
     * tare_fail(d->err, ..). */
    enum tare_code (*derive)(void *args, const struct tare_derive *d);
    /* MUST, except for a wrapper: declares parameters and describes blocks below root. decoder comes zeroed; what
     * cannot run yet may stay so. */
    void (*declare)(struct tare_at root, const void *args, struct tare_decoder *decoder);
    /* MAY: turns published names and recipes into those of declare. A wrapper's is called first, on the whole list;
     * then the inner model's, which sees only what lies below inner_prefix, without that prefix. */
    void (*sanitize)(struct tare_weights *w, const void *args);
    /* Every block has ops, and logits were compared with the reference. */
    bool runs;
    /* transformers takes a config of this type that says nothing of tying for tied, or does not know the type. */
    bool transformers_tied;

    /* Only for wrappers: the text model inside, below a prefix, with its own fragment of the config. */
    const struct tare_arch *inner;
    const char *inner_config; /* "text_config" */
    const char *inner_prefix; /* "language_model" */
    /* Without inner_config in config.json the whole config is that of the inner model. */
    bool inner_flat;
    /* MAY: writes keys into a copy of the inner fragment before the inner args are read. */
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

/* Finds the record for a model_type and config.json's "architectures", which may be NULL. Aliases are resolved; an
 * unknown type is refused with the names of the nearest known ones. */
enum tare_code tare_arch_find(const char *model_type, const json_t *architectures, const struct tare_arch **arch,
                              struct tare_error *err);

#endif
