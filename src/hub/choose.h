/* SPDX-License-Identifier: MIT
 * choose.h - which files of a repository a model needs. */
#ifndef TARE_HUB_CHOOSE_H
#define TARE_HUB_CHOOSE_H

#include "hub/api.h"

struct tare_hub_choice {
    /* A word in the name of a GGUF file, or "". */
    const char *variant;
    /* Globs, where * crosses slashes; with `include`, they alone choose. */
    const char *const *include, *const *exclude;
    size_t n_include, n_exclude;
};

/*
 * Marks, in wanted[tree->n], config and its kin, tokenizers and templates, and the index. *index is the file that says
 * which shards there are, or NULL. Whatever the globs say: no pickle, no ONNX, nothing below original/.
 */
void tare_hub_choose_kin(const struct tare_hub_tree *tree, const struct tare_hub_choice *choice, bool *wanted,
                         const struct tare_hub_file **index);

/*
 * Marks the weights too: the shards that the index (its text, or NULL) names, else the one safetensors model, else a
 * GGUF file with its parts. Fails when there are none: the sentence says what there is instead.
 */
enum tare_code tare_hub_choose_weights(const struct tare_hub_tree *tree, const struct tare_hub_choice *choice,
                                       const char *id, const char *index, size_t index_size, bool *wanted,
                                       struct tare_error *err);

/* The GGUF file that `variant` names, with the first part of a split one; NULL when there is none or more than one. */
const struct tare_hub_file *tare_hub_choose_gguf(const struct tare_hub_tree *tree, const char *variant);

/* Names that programs look for and that a repository may lack. */
extern const char *const tare_hub_kin[];
extern const size_t tare_hub_n_kin;

#endif
