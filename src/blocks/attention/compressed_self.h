/* SPDX-License-Identifier: MIT
 * compressed_self.h - what the files of compressed attention share: compressed_attention.c attends, compressor.c keeps
 * the past, compressed_index.c chooses of it. Models use compressed_attention.h. */
#ifndef TARE_BLOCKS_ATTENTION_COMPRESSED_SELF_H
#define TARE_BLOCKS_ATTENTION_COMPRESSED_SELF_H

#include "blocks/attention/compressed_attention.h"
#include "blocks/pass.h"

struct tare_compressed_self {
    struct tare_linear q_a, q_b, kv, o_a, o_b;
    struct tare_norm q_norm, kv_norm;
    const struct tare_parameter *sinks;
    struct tare_linear past_kv, past_gate; /* of the compressor; gate: only of groups of several tokens */
    struct tare_norm past_norm;
    struct tare_linear index_q, index_weights, index_k;
    struct tare_norm index_norm;
    struct tare_compressed_desc d;
    int open; /* the part of the state that holds an open group: TARE_PART_KEYS without keys, otherwise the one after it */
};
/* Parts of the state: KEYS where a layer has them, and tokens of the group that is open last. */
enum { TARE_PART_WINDOW, TARE_PART_PAST, TARE_PART_KEYS };

static inline bool tare_compressed_has_keys(const struct tare_compressed_self *b)
{
    return b->index_k.weight != NULL;
}

struct tare_compressed_job {
    const struct tare_compressed_self *b;
    struct tare_pass *pass;
    const float *x;
    struct tare_product *products; /* (o_groups) */
    float *low;                    /* (tokens, q_rank) */
    float *q;                      /* (tokens, heads, head_dim) */
    float *kv;                     /* (tokens, head_dim) */
    float *mixed;                  /* (tokens, heads, head_dim) */
    float *out;                    /* (tokens, o_groups, o_rank) */
    float *table, *back;           /* (tokens, rope) */
    float *freq;                   /* (rope) */
    float factor;
    float *past;              /* (tokens, 2 head_dim): kv and gate of each token */
    float *latent;            /* (tokens, head_dim): of groups that end in this pass */
    float *keys;              /* (tokens, index_dim): theirs */
    float *index_q, *weights; /* (tokens, index_heads, index_dim), (tokens, index_heads) */
};

/* Rotates the last dimensions of a row of `width`. */
void tare_compressed_rotate(const struct tare_compressed_self *b, const float *table, float *row, int64_t width);

/* compressor.c: keeps what this pass adds to the past. */
void tare_compressed_keep(const struct tare_compressed_job *job);
/* compressed_index.c: chooses groups for each token. */
void tare_compressed_choose(const struct tare_compressed_job *job);
/* The chosen groups of a token, ascending; *n: how many. */
const int32_t *tare_compressed_chosen(const struct tare_compressed_job *job, int64_t token, int64_t *n);

#endif
