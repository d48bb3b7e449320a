/* SPDX-License-Identifier: MIT
 * module.h - modules (what belongs together in a checkpoint), recipes over them, and the list that rewriting edits.
 *
 * A module is one logical tensor: a plain one, or the parts of a packed one (qweight, qzeros, scales). A recipe says
 * how a parameter is made of modules. Both are immutable once made; rewriting makes new recipes and never touches data.
 */
#ifndef TARE_MODULE_MODULE_H
#define TARE_MODULE_MODULE_H

#include "open/checkpoint.h"

struct tare_packing;
struct tare_quant_group;

/* The roles a tensor can have in a module. */
enum tare_part {
    TARE_PART_WEIGHT,
    TARE_PART_SCALES,
    TARE_PART_ZEROS,
    TARE_PART_G_IDX,
    TARE_PART_SHAPE,  /* compressed-tensors: the logical shape, as values */
    TARE_PART_GLOBAL, /* nvfp4: a scale over all scales of a matrix */
    TARE_PARTS
};

struct tare_module {
    const char *name; /* checkpoint's own, of the logical tensor: "model.norm.weight", "lm_head.weight" */
    const struct tare_packing *packing; /* plain tensors have &tare_packing_plain; NULL only for want of memory */
    bool packed;                        /* has codes and scales: is not plain */
    int rank;
    const int64_t *shape;  /* logical: (out, in), experts (n, out, in), plain ones any */
    enum tare_dtype dtype; /* plain: as stored; packed: of the scales, or what its values are rounded to when dense */
    int bits;              /* 0: plain */
    int64_t group_size;    /* columns that share a scale; 0: plain. The last group may have fewer */
    bool act_order;        /* the group of column i is g_idx[i], not i / group_size: tare_module_group() */
    const int32_t *place;  /* act-order undone by sorting: the stored column i is column place[i]; NULL: it is i */
    const int32_t
        *rows;    /* row r is the stored row rows[r]; NULL: it is r. Both only where packing->reorders: plan/fold.c */
    bool by_rows; /* GPTQ's embeddings: packed along rows, of which block[0] share the scale of each column */
    int64_t block[2]; /* rows and columns that share a stored scale, where scales are by blocks; else 0 */
    const struct tare_tensor *part[TARE_PARTS];
    const struct tare_quant_group *said; /* compressed-tensors: the group of the config that targets it, or NULL */
    bool ignored;                        /* the same: `ignore` names it */
    const struct tare_recipe
        *restored;    /* GGUF: the checkpoint's own tensor, made of this plain one; NULL: it is this */
    bool whole_codes; /* pack-quantized: words hold whole codes and are not filled; else they are one stream of bits */
    const char *unusable;   /* loads by its shapes, but its data cannot be read; or NULL */
    const char *fault;      /* why it cannot be used (a part is missing, a shape is off), or NULL */
    const char *fault_name; /* the tensor at fault */
    enum tare_code fault_code;
};

#define TARE_RANK_MOST 8 /* axes that a rewriting may pass through */

enum tare_op {
    TARE_OP_TAKE,      /* a module as it is */
    TARE_OP_TRANSPOSE, /* axes reordered: output axis k is input axis order[k] */
    TARE_OP_STACK,     /* inputs along a new first axis */
    TARE_OP_RESHAPE,   /* other axes over the same elements in order */
    TARE_OP_SLICE,     /* start, start + step .. of an axis, shape[axis] of them */
    TARE_OP_JOIN,      /* inputs one after another along an axis */
    TARE_OP_VALUE      /* a function of each element, rounded once to dtype */
};

/* Functions of an element x of a module, in float32. A chain is applied from its innermost `before` outwards. */
enum tare_function {
    TARE_ADD,            /* x + operand */
    TARE_MULTIPLY,       /* x * operand */
    TARE_DIVIDE_BY_NORM, /* x / (norm + 1e-7): Euclidean norm of the element's row (axis 1) or column (axis 0) */
    TARE_GATE_KEEP,      /* sqrt(max(sigmoid(-x / 0.3) * (1 + sigmoid(x / 0.3)), 1e-3)): muse_spark's residual gates */
    TARE_GATE_TAKE       /* sigmoid(x / 0.3) */
};
struct tare_value {
    const struct tare_value *before; /* NULL: the stored element */
    enum tare_function function;
    double operand;
    int axis;
};

struct tare_recipe {
    enum tare_op op;
    int rank;
    const int64_t *shape;
    enum tare_dtype dtype;
    bool packed; /* every leaf is packed, in one packing, and rows were only moved: codes survive */
    const struct tare_module *module;        /* TAKE */
    const struct tare_recipe *const *inputs; /* all others */
    size_t n_inputs;
    const int *order;        /* TRANSPOSE */
    int axis;                /* SLICE, JOIN */
    int64_t start, step;     /* SLICE */
    struct tare_value value; /* VALUE; its before is not used */
};

/* What one verb did to an entry, for explain. */
struct tare_step {
    const struct tare_step *before;
    const char *text; /* "renamed from transformer.h.0.ln_1.weight" */
};

/* A name, and how its value is made. */
struct tare_entry {
    const char *name;
    const struct tare_recipe *recipe;
    const struct tare_step *steps; /* last one first */
    const char *rule;              /* why it was set aside; NULL while it is alive */
    const char *evidence;
    bool redundant; /* set aside, and no format of output keeps it: something else says the same, or it says nothing */
    bool absorbed;  /* became an input of another entry: neither alive nor set aside */
    bool hidden;    /* outside of the scope: no verb sees it */
};

/* A packed module of which a dense one would be stored the other way round, (in, out): gpt2's Conv1D. */
struct tare_turned {
    const struct tare_module *module;
    const struct tare_turned *before;
};

struct tare_weights {
    struct tare_arena *arena;
    const struct tare_turned *turned; /* all of them, last one first */
    struct tare_entry *entries;       /* heap */
    size_t n, room;
    const char *source;      /* who edits: "models/qwen2.c"; becomes the rule's origin */
    const char *scope;       /* the prefix that names are without just now, or NULL */
    struct tare_error error; /* sticky: the first one */
};

/* Recipes. They never return NULL: without memory a shared dummy comes back and the arena is marked failed. Asked for
 * what the inputs do not have (stacking unlike shapes, slicing too far), the first input comes back: strict loading
 * reports it. */
const struct tare_recipe *tare_recipe_take(struct tare_arena *arena, const struct tare_module *module);
const struct tare_recipe *tare_recipe_transpose(struct tare_arena *arena, const struct tare_recipe *input,
                                                const int *order);
const struct tare_recipe *tare_recipe_stack(struct tare_arena *arena, const struct tare_recipe *const *inputs,
                                            size_t n);
const struct tare_recipe *tare_recipe_join(struct tare_arena *arena, const struct tare_recipe *const *inputs, size_t n,
                                           int axis);
const struct tare_recipe *tare_recipe_slice(struct tare_arena *arena, const struct tare_recipe *input, int axis,
                                            int64_t start, int64_t count);
const struct tare_recipe *tare_recipe_alternate(struct tare_arena *arena, const struct tare_recipe *input, int axis,
                                                int64_t start, int64_t step); /* start, start + step .. to the end */
const struct tare_recipe *tare_recipe_reshape(struct tare_arena *arena, const struct tare_recipe *input, int rank,
                                              const int64_t *shape);
/* dtype: of the result. DIVIDE_BY_NORM needs a matrix taken as it is. */
const struct tare_recipe *tare_recipe_value(struct tare_arena *arena, const struct tare_recipe *input,
                                            const struct tare_value *value, enum tare_dtype dtype);

/* Call visit(user, module) for each leaf, from left to right; a module may come more than once. */
void tare_recipe_leaves(const struct tare_recipe *recipe, void (*visit)(void *user, const struct tare_module *module),
                        void *user);
/* "stack of 8", "transpose (1, 0) of model.x.weight": one line for explain, into the arena. */
const char *tare_recipe_text(struct tare_arena *arena, const struct tare_recipe *recipe);

/*
 * A recipe laid flat for execution: the output is the disjoint union of pieces, each a box of the output that is an
 * affine view of one module: output element at box index (i0, i1, ..) is module element  start + sum(i_k * stride[k]).
 * A packed recipe gives pieces of whole rows (the last axis is untouched, stride 1).
 */
struct tare_piece {
    const struct tare_module *module;
    const int64_t *at;              /* corner of the box in the output, rank numbers */
    const int64_t *shape;           /* size of the box */
    int64_t start;                  /* in elements of the module */
    const int64_t *stride;          /* in elements of the module */
    const struct tare_value *value; /* NULL: as stored */
    enum tare_dtype dtype;          /* what the values are rounded to, before any cast to the target */
};
struct tare_flat {
    int rank;
    const int64_t *shape;
    enum tare_dtype dtype;
    struct tare_piece *pieces; /* in order of their corners */
    size_t n;
};
enum tare_code tare_recipe_flatten(const struct tare_recipe *recipe, struct tare_arena *arena, struct tare_flat *flat,
                                   struct tare_error *err);

#endif
