/* SPDX-License-Identifier: MIT
 * gguf_types.h - the blocks and the mixtures of GGUF that floats are rounded to (gguf_types.def).
 */
#ifndef TARE_QUANTIZE_GGUF_TYPES_H
#define TARE_QUANTIZE_GGUF_TYPES_H

#include "plan/plan.h"
#include "save/gguf_write.h"

/* The columns of one block, rounded. */
typedef void tare_round_fn(const float *x, unsigned char *to);

/* A kind of block. */
struct tare_gguf_blocks {
    enum tare_dtype type;
    tare_round_fn *round;
    enum tare_dtype otherwise; /* the type of a tensor whose columns are no whole blocks of this one; F16: no blocks */
};
/* Those of a type that tare rounds to, or NULL; of a word ("Q4_K"); number `index`, NULL past the end. */
const struct tare_gguf_blocks *tare_gguf_blocks_of(enum tare_dtype type);
const struct tare_gguf_blocks *tare_gguf_blocks_find(const char *word);

/* Those that gguf_types.def lists. */
tare_round_fn tare_round_Q4_0, tare_round_Q4_1, tare_round_Q5_0, tare_round_Q5_1, tare_round_Q8_0;
tare_round_fn tare_round_Q2_K, tare_round_Q3_K, tare_round_Q4_K, tare_round_Q5_K, tare_round_Q6_K;
tare_round_fn tare_round_IQ4_NL, tare_round_IQ4_XS;

/* What llama-quantize calls a type of a file: most tensors have one type, and some have more bits. */
struct tare_gguf_mixture {
    const char *word;     /* "Q4_K_M" */
    enum tare_dtype type; /* of most tensors */
    int64_t number;       /* general.file_type */
};
/* Number `index`; NULL past the end. */
const struct tare_gguf_mixture *tare_gguf_mixture_at(size_t index);

/* What a mixture asks of a model. */
struct tare_gguf_mixing {
    int64_t layers, experts, sharing; /* sharing: how many heads of queries have the same keys and values */
    bool head;                        /* the output head is a tensor of its own */
    bool seventy;                     /* llama.cpp counts it among its models of 70B */
    /* Names of the tensors that mixtures count, in the order of layers, then of names. */
    const char **values, **downs;
    size_t n_values, n_downs;
};
enum tare_code tare_gguf_mixing(struct tare_gguf_mixing *facts, const struct tare_model *model,
                                const struct tare_gguf_out *out, struct tare_arena *arena, struct tare_error *err);

/* The type that llama-quantize gives a matrix of this name by a mixture, before it looks at the columns. */
enum tare_dtype tare_gguf_mixed(const struct tare_gguf_mixture *mixture, const struct tare_gguf_mixing *facts,
                                const char *name, int64_t columns);
/* The same or, where the columns are no whole blocks, what takes its place. */
enum tare_dtype tare_gguf_fitting(enum tare_dtype type, int64_t columns);

#endif
