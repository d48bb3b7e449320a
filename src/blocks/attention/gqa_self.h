/* SPDX-License-Identifier: MIT
 * gqa_self.h - what the files of grouped-query attention share: gqa_declare.c makes the block, gqa_heads.c prepares
 * queries, keys and values, gqa.c attends. Models use gqa.h.
 */
#ifndef TARE_BLOCKS_ATTENTION_GQA_SELF_H
#define TARE_BLOCKS_ATTENTION_GQA_SELF_H

#include "blocks/attention/gqa.h"
#include "blocks/pass.h"
#include "blocks/scratch.h"

struct tare_gqa_index;
struct tare_gqa_job;
struct tare_gqa_self;

/*
 * What one model alone does with its attention, in a file of its own (gqa_convolved.c and others). Each hook MAY be
 * NULL; self is what tare_gqa_extend() was given. A block has one record.
 */
struct tare_gqa_hooks {
    /* After norms of all heads together, before norms of single heads and rotation: changes what was projected of a
     * token. work: this thread's, head_dim floats at least. */
    void (*project)(const struct tare_gqa_job *job, const void *self, int64_t token, float *work);
    /* Before a head's key and value are kept: changes them. */
    void (*keep)(const struct tare_gqa_job *job, const void *self, float *key, float *value);
    /* A factor on the query of head h at a position, after norm and rotation. */
    float (*query_factor)(const struct tare_gqa_job *job, const void *self, int64_t h, int64_t position);
    /* The first key that a query at `last` sees, in place of the window. */
    int64_t (*first_key)(const void *self, int64_t last);
    /* The k-th of the query heads that read key head kv, where they do not follow each other. */
    int64_t (*query_head)(const struct tare_gqa_self *b, int64_t kv, int64_t k);
    /* Does a query of head h at one position see a key at another, of those within its window? */
    bool (*sees)(const void *self, int64_t h, int64_t query, int64_t key);
    /* Before gates and the output projection: changes job->mixed. */
    void (*mix)(const struct tare_gqa_job *job, const void *self);
    bool keeps_before; /* project reads TARE_GQA_BEFORE, the keys and values of earlier tokens as they were projected */
    /* The heads attend again, to all keys of the layer layer->borrows before this one, into job->other. */
    bool attends_twice;
    bool indexed; /* self is a struct tare_gqa_index, which says which keys a query sees */
    const void *self;
};

struct tare_gqa_self {
    struct tare_linear q, k, v, qkv, o; /* q, k, v, or qkv: its weight is NULL where they are apart */
    struct tare_linear gate;            /* of what the heads give; its weight is NULL without one */
    struct tare_norm q_norm, k_norm;    /* of a head, or when wide of all of them */
    const struct tare_norm *each;       /* a norm for each query head, then each key head; NULL: the above */
    struct tare_gqa_hooks hooks;
    const struct tare_parameter *sink; /* (heads); NULL: none */
    bool wide, norm_last, grouped, k_is_v, gate_softplus, gate_fused;
    bool borrows; /* attends over what another layer has kept */
    bool adopts;  /* its keys and values begin as what another layer has kept aside */
    bool lends;   /* keeps them aside */
    int64_t heads, kv_heads, head_dim;
    int64_t v_dim; /* of a value */
    int64_t q_row; /* floats of a query head in what q gives: the gate of its own may follow it */
    int64_t window;
    float scale, soft_cap;
    struct tare_rope rope;
    int64_t projected; /* floats of a token's q, k and v together */
};

/* Parts of the state: of BEFORE there are keys, then values, as they were projected. */
enum { TARE_GQA_KEYS, TARE_GQA_VALUES, TARE_GQA_BEFORE, TARE_GQA_INDEX = TARE_GQA_BEFORE /* not both */ };

/* The work memory of an index, see gqa_index.c. */
struct tare_gqa_index_parts {
    float *heads;  /* (tokens, heads + 1, dim): the queries of a token, then its key */
    float *table;  /* (tokens, rope.dims) */
    float *freq;   /* (spans, rope.dims) */
    float *factor; /* (spans) */
};

/* One pass of one block. */
struct tare_gqa_job {
    const struct tare_gqa_self *b;
    const struct tare_pass *pass;
    float *projected; /* (tokens, q heads + k heads + v heads) */
    float *mixed;     /* (tokens, heads, v_dim) */
    float *other;     /* the same, where two are mixed */
    struct tare_gqa_index_parts index;
    float *gates;  /* (tokens, gate.out) */
    float *freq;   /* (spans, rope.dims) */
    float *factor; /* (spans) */
    float *table;  /* (tokens, rope.dims) */
};

/* Where a head lies among what was projected of a token. h: query heads, then key heads, then value heads. */
float *tare_gqa_head(const struct tare_gqa_job *job, int64_t token, int64_t h);

/* NULL: it has no index. */
static inline const struct tare_gqa_index *tare_gqa_index_of(const struct tare_gqa_self *b)
{
    return b->hooks.indexed ? b->hooks.self : NULL;
}

/* Has it BEFORE? */
static inline bool tare_gqa_keeps_before(const struct tare_gqa_self *b)
{
    return b->hooks.keeps_before || b->lends;
}

/* All tokens: project x (tokens, dim), then clip, norm and rotate queries, keys and values, and keep the latter two. */
void tare_gqa_prepare(struct tare_gqa_job *job, const float *x);

/* The first of the `window` keys that end with `last`; a window below 1 has no end. */
static inline int64_t tare_gqa_window_start(int64_t window, int64_t last)
{
    return window > 0 && last >= window ? last - window + 1 : 0;
}
/* The k-th of the query heads that read key head kv. */
int64_t tare_gqa_query_head(const struct tare_gqa_self *b, int64_t kv, int64_t k);
/* The first key that a query at `last` sees. */
int64_t tare_gqa_first_key(const struct tare_gqa_self *b, int64_t last);
/* mixed, and other, of all tokens, whose heads see every key between the first and the last; false: rows are too wide.
 */
bool tare_gqa_attend(const struct tare_gqa_job *job);

/* Declare the block's parameters at `at`. */
void tare_gqa_declare(struct tare_gqa_self *b, struct tare_at at, const struct tare_gqa_desc *desc);
/* Can it be run? Configs that mlx-lm declares and nobody can run exist. */
bool tare_gqa_runs(const struct tare_gqa_self *b, const struct tare_gqa_desc *desc);

/* The layer's tare_gqa(), or NULL when it cannot be run. */
const struct tare_gqa_self *tare_gqa_made(const struct tare_layer *layer);
/* Gives the layer's tare_gqa() hooks, with a copy of self (size bytes). A mixer that cannot be run stays so. One block
 * has one extension: after a second one the model can be planned only, and so it is where hooks keep more keys than a
 * block has that borrows or lends its own. */
void tare_gqa_extend(struct tare_layer *layer, struct tare_at at, const struct tare_gqa_hooks *hooks, const void *self,
                     size_t size);

#endif
