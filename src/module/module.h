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
    TARE_PART_MASK,   /* compressed-tensors: a bit for each value that is kept of a sparse weight */
    TARE_PARTS
};

/* A small tensor that says how a module is stored, or that its numbers need (packing/packing.h, `told`). */
struct tare_told {
    const struct tare_tensor *tensor; /* NULL: there is none */
    const void *data;                 /* its bytes, which stay until the checkpoint is closed */
};

struct tare_module {
    /* The checkpoint's own name of the logical tensor: "model.norm.weight", "lm_head.weight". */
    const char *name;
    /* &tare_packing_plain for a plain tensor; NULL only in the module that recipes show when memory ran out. */
    const struct tare_packing *packing;
    /* The module has codes and scales: its packing is not the plain one. */
    bool packed;
    int rank;
    /* The logical shape: (out, in) of a matrix, (n, out, in) of experts, any other of a plain tensor. */
    const int64_t *shape;
    /* Plain: as stored. Packed: the dtype of the scales, or the one that values are rounded to when they are expanded.
     */
    enum tare_dtype dtype;
    /* Bits of a code; 0 when plain. */
    int bits;
    /* Columns that share a scale; 0 when plain. The last group of a row may have fewer. */
    int64_t group_size;
    /* The group of column i is g_idx[i], not i / group_size (GPTQ); tare_module_group() knows both. */
    bool act_order;
    /* Act-order that plan/fold.c has undone by sorting: stored column i is column place[i]. NULL: it is column i. */
    const int32_t *place;
    /* Row r is the stored row rows[r]. NULL: it is row r. Only packings with `reorders` follow place and rows. */
    const int32_t *rows;
    /* An embedding of GPTQ: packed along rows, and block[0] rows share the scale of each column. */
    bool by_rows;
    /* Rows and columns that share a stored scale, where scales are stored by blocks; else 0. */
    int64_t block[2];
    /* The stored tensors; NULL for a part that the module lacks. */
    const struct tare_tensor *part[TARE_PARTS];
    /* One for each suffix of packing->told, in their order; NULL where the packing has none. */
    const struct tare_told *told;
    /* What shape() made of them, for decode(): a struct of the packing's own. */
    const void *notes;
    /* compressed-tensors: the group of the config that targets the module, or NULL. */
    const struct tare_quant_group *said;
    /* compressed-tensors: the config's `ignore` names the module. */
    bool ignored;
    /* GGUF: how the checkpoint's own tensor is made of this plain one. NULL: it is this one. */
    const struct tare_recipe *restored;
    /* pack-quantized: each word holds whole codes and may have unused bits; else all words are one stream of bits. */
    bool whole_codes;
    /* Why its data cannot be read although its shapes load; or NULL. */
    const char *unusable;
    /* Why the module cannot be used at all (a part is missing, a shape is wrong), or NULL; and the tensor at fault. */
    const char *fault;
    const char *fault_name;
    enum tare_code fault_code;
};

/* Axes that a rewriting may pass through. */
#define TARE_RANK_MOST 8

enum tare_op {
    TARE_OP_TAKE,      /* a module as it is */
    TARE_OP_TRANSPOSE, /* axes reordered: output axis k is input axis order[k] */
    TARE_OP_STACK,     /* inputs along a new first axis */
    TARE_OP_RESHAPE,   /* other axes over the same elements in order */
    TARE_OP_SLICE,     /* the indices start, start + step, .. of an axis, shape[axis] in number */
    TARE_OP_JOIN,      /* inputs one after another along an axis */
    TARE_OP_VALUE      /* a function of each element, rounded once to dtype */
};

/* A function of an element x of a module, computed in float32. Of a chain the innermost `before` is applied first. */
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
    bool redundant; /* set aside, and no output keeps it: another tensor says the same, or it says nothing */
    bool absorbed;  /* it became an input of another entry: it is neither alive nor set aside */
    bool hidden;    /* it lies outside of the scope, where no verb sees it */
};

/* A packed module whose dense counterpart is stored as (in, out): gpt2's Conv1D. */
struct tare_turned {
    const struct tare_module *module;
    const struct tare_turned *before;
};

struct tare_weights {
    struct tare_arena *arena;
    const struct tare_turned *turned; /* all of them, last one first */
    struct tare_entry *entries;       /* heap */
    size_t n, room;
    const char *source;      /* the model file whose verbs edit now: "models/qwen2.c"; explain and reports cite it */
    const char *scope;       /* the prefix that is taken off all names at this moment, or NULL */
    struct tare_error error; /* the first failure; verbs do nothing after it */
};

/*
 * Constructors of recipes. None returns NULL: when memory runs out they return a shared dummy and mark the arena as
 * failed. When the inputs do not have what is asked for (unlike shapes to stack, a slice too far), they return the
 * first input unchanged, and strict loading reports its shape.
 */
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
