/* SPDX-License-Identifier: MIT
 * tie_levels.h - the levels at which a config may say that the output head is the embedding (tree/tie.h). */
#ifndef TARE_TREE_TIE_LEVELS_H
#define TARE_TREE_TIE_LEVELS_H

#include "config/args.h"

#define TARE_TIE_FIELD "tie_word_embeddings"
#define TARE_TIE_LEVELS 4

/* One level that may answer: a config fragment, and the args of the model it drove. */
struct tare_tie_level {
    /* "", "model", "language_model", "language_model.model" */
    const char *owner;
    /* NULL: there is none. */
    const json_t *fragment;
    /* The same as config.json has it; NULL: no wrapper has touched it. */
    const json_t *written;
    /* "" at the top, "text_config" */
    const char *fragment_path;
    /* NULL: the level has no args. */
    const struct tare_args_info *args_info;
    const void *args;
    /* A wrapper wrote the flag into the fragment: it decides, but nobody has said it. */
    bool filled;
    /* transformers takes a silent config of this model for tied. */
    bool tied_usual;
};

/* What the plan knows of a model's config, from which the levels are made. */
struct tare_tie_config {
    /* config.json, the args read from its top, and transformers' default for a silent one */
    const json_t *config;
    const struct tare_args_info *args_info;
    const void *args;
    bool tied_usual;
    /* The rest is for a wrapper only: the fragment of its text model, where config.json has it (NULL: at the top),
     * whether that fragment is a copy which the wrapper filled in, and the text model's args. */
    bool wrapper;
    const json_t *inner;
    const char *inner_path;
    bool copied;
    const struct tare_args_info *inner_args_info;
    const void *inner_args;
};

/* Point 1: the levels, from the top inwards. Owners are in the arena. */
enum tare_code tare_tie_levels(const struct tare_tie_config *config, struct tare_arena *arena,
                               struct tare_tie_level levels[TARE_TIE_LEVELS], struct tare_error *err);

/* Point 2: a flag of any type but boolean and null is refused, at whichever level it stands. */
enum tare_code tare_tie_check(const struct tare_tie_level *levels, size_t n, struct tare_arena *arena,
                              struct tare_error *err);

/* Point 2: the flag in one fragment. 1: true; 0: false; -1: it is absent or null. */
int tare_tie_flag(const json_t *fragment);

/* What the levels say of one head. */
struct tare_tie_answer {
    bool given, tied;
    /* A flag answered, not a default of the args. */
    bool by_flag;
    /* That flag was written by a wrapper. */
    bool filled;
    const char *owner, *evidence, *where;
};

/*
 * Points 1 to 3: ask the owner of the head `prefix`, then one alias ("language_model.model" -> "language_model",
 * "model" -> the top). as_written: flags count as config.json has them, not as a wrapper filled them in.
 */
struct tare_tie_answer tare_tie_ask(const struct tare_tie_level *levels, size_t n, const char *prefix, bool as_written,
                                    struct tare_arena *arena);

#endif
