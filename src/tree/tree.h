/* SPDX-License-Identifier: MIT
 * tree.h - stage 3, declare: the parameters that a model has, by name and shape, from its args alone.
 *
 * Errors are sticky: the first is kept in tree->error. Results are never NULL; after an error they are a shared dummy.
 */
#ifndef TARE_TREE_TREE_H
#define TARE_TREE_TREE_H

#include "module/module.h"

enum tare_kind {
    TARE_KIND_PLAIN,     /* norms, biases, convolutions, A_log: never packed in an MLX folder */
    TARE_KIND_LINEAR,    /* (out, in): may stay packed */
    TARE_KIND_EMBEDDING, /* (rows, dim): may stay packed */
    TARE_KIND_EXPERTS,   /* (n, out, in): may stay packed */
    TARE_KIND_INTEGERS   /* codes that the architecture itself unpacks (bitnet): any dtype */
};

struct tare_parameter {
    const char *name; /* "model.layers.0.mlp.up_proj.weight" */
    enum tare_kind kind;
    int rank;
    const int64_t *shape;
    /* INTEGERS, U8: the number of ternary rows, four of them in a byte with codes 0, 1, 2 for -1, 0, 1; 0: not ternary.
     */
    int64_t ternary;
    /* What it multiplies is turned by these signs (in) in blocks of `block`, and its rows are turned back where they
     * are read (prism_hadamard_qwen35); NULL: nothing is turned. */
    const struct tare_parameter *signs;
    int64_t block;
    /* It is multiplied also in parts of this many rows, or of a multiple of them; 0: only as a whole. */
    int64_t part;
    /* Rows that are read are rounded to float16 before and after they are turned. */
    bool halved;
    /* false: a head that tying (or content) left out */
    bool active;
    /* its place in tree->parameters */
    uint32_t index;
    /* bound by strict, else NULL */
    const struct tare_entry *entry;
    /* The entry's recipe with columns or rows in the order of groups, for files whose groups are runs of columns
     * (plan/fold.c); NULL: they stay in order. */
    const struct tare_recipe *sorted;
    /* Only running needs it, and it is not active: tare_optional(). */
    bool optional;
    /* optional: the entry of its name that was set aside; NULL: the checkpoint has none. */
    const struct tare_entry *aside;
};

/* How a model comes by its output head. */
enum tare_head_kind {
    TARE_HEAD_OWN,     /* always a parameter of its own */
    TARE_HEAD_FLAG,    /* own unless tie_word_embeddings */
    TARE_HEAD_COPIED,  /* FLAG, in an architecture whose loader makes a head of the embedding, tied or not (minicpm):
                          beside  a packed one it loads nowhere, and so strict loading asks for it */
    TARE_HEAD_CONTENT, /* own when the checkpoint has a dense <head>.weight (gemma3_text, recurrent_gemma) */
    TARE_HEAD_NONE /* mlx-lm's architecture has no head, it is always the embedding; authors' code may have one all the
                      same (gemma2, gpt2 ..): a dense one under an explicit false becomes the model's, and MLX refuses
                    */
};

struct tare_head {
    enum tare_head_kind kind;
    const char *prefix;                   /* "lm_head" */
    struct tare_parameter *weight, *bias; /* NULL where there is none */
    struct tare_parameter *embedding;
};

struct tare_tree {
    struct tare_arena *arena;
    struct tare_parameter **parameters; /* heap; each in the arena, so pointers stay */
    size_t n, room;
    struct tare_map by_name;
    struct tare_head head; /* one a model; kind NONE and embedding NULL before declaring */
    struct tare_error error;
};

/* A place in the tree: a path without a dot at its end, "" at the root. */
struct tare_at {
    struct tare_tree *tree;
    const char *path;
};

struct tare_linear {
    struct tare_parameter *weight, *bias; /* bias NULL: none */
    int64_t in, out, experts;             /* experts 0: one matrix */
    struct tare_parameter *scale;         /* what comes out is times this number (1), before the bias; NULL: none */
};
struct tare_norm {
    struct tare_parameter *weight, *bias; /* NULL: none; the weight is 1 then */
    enum { TARE_NORM_NONE, TARE_NORM_RMS, TARE_NORM_RMS_ONE_PLUS, TARE_NORM_RMS_BEFORE, TARE_NORM_LAYER } kind;
    int64_t dim;
    double eps;
    double offset; /* added to the weight, beside the kind's own one */
    int64_t row;   /* of a weight and bias (rows, dim) that several norms share */
    bool rounded;  /* what comes out is rounded to bfloat16 */
};

#define NO_BIAS false
#define BIAS true

/* "model" below "language_model" is "language_model.model"; an empty format stays in place. */
struct tare_at tare_at(struct tare_at parent, const char *format, ...) TARE_PRINTF(2, 3);

/* Declare <at>.<name>, a tensor of any rank that is not packed: tare_plain(at, "A_log", 1, heads). Dimensions are
 * int64_t. */
struct tare_parameter *tare_plain(struct tare_at at, const char *name, int rank, ...);
struct tare_linear tare_linear(struct tare_at at, const char *name, int64_t in, int64_t out, bool bias);
/* BitNet's: <name>.weight is ternary, row r in byte row r % (out / 4); .weight_scale is its scale. */
struct tare_linear tare_ternary(struct tare_at at, const char *name, int64_t in, int64_t out, bool bias);
struct tare_linear tare_experts(struct tare_at at, const char *name, int64_t n, int64_t in, int64_t out, bool bias);
struct tare_parameter *tare_embedding(struct tare_at at, const char *name, int64_t rows, int64_t dim);
struct tare_norm tare_rms_norm(struct tare_at at, const char *name, int64_t dim, double eps);
struct tare_norm tare_rms_norm_one_plus(struct tare_at at, const char *name, int64_t dim,
                                        double eps); /* times 1 + weight */
struct tare_norm tare_layer_norm(struct tare_at at, const char *name, int64_t dim, double eps, bool bias);

/* The output head (vocabulary, dim of the embedding). FLAG: left inactive when tied. NONE: inactive, name may be NULL.
 */
void tare_head(struct tare_at at, const char *name, struct tare_parameter *embedding, enum tare_head_kind kind,
               bool tied, bool bias);

/* A plain parameter that mlx-lm's tree does not have and the authors' model does: plans and conversions are those of
 * mlx-lm, whose sanitize sets it aside; running takes it where the checkpoint has it (tare_loaded_vector: else NULL).
 */
struct tare_parameter *tare_optional(struct tare_at at, const char *name, int rank, ...);

struct tare_parameter *tare_tree_find(const struct tare_tree *tree, const char *name); /* active or not; NULL: none */
void tare_tree_release(struct tare_tree *tree);

/* a * b as a dimension; an overflow or a number below 1 becomes tree->error, naming path. */
int64_t tare_mul(struct tare_at at, int64_t a, int64_t b);
/* The same as a width of which a few may be added up: 2^40 at most. */
int64_t tare_width(struct tare_at at, int64_t a, int64_t b);
/* int(whole * share), a real number of the config; 0 where that is no number between -2^40 and 2^40. */
int64_t tare_share(int64_t whole, double share);
/* a / b; b = 0 or a remainder becomes tree->error: "hidden_size 64 is not a multiple of num_attention_heads 5". */
int64_t tare_div(struct tare_at at, const char *a_name, int64_t a, const char *b_name, int64_t b);

#endif
