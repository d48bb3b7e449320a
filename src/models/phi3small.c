/* SPDX-License-Identifier: MIT
 * phi3small.c - Phi 3 small (mlx-lm: models/phi3small.py): attention to blocks of keys, and the activation GEGELU. */
#include "blocks/attention/gqa_keys.h"
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, dense_attention_every_n_layers, REQUIRED)                                                                 \
    ARG(INT, ff_intermediate_size, REQUIRED)                                                                           \
    ARG(REAL, gegelu_limit, REQUIRED)                                                                                  \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, layer_norm_epsilon, REQUIRED)                                                                            \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, mup_attn_multiplier, 1.0)                                                                                \
    ARG(FLAG, mup_use_scaling, true)                                                                                   \
    ARG(REAL, mup_embedding_multiplier, 10.0)                                                                          \
    ARG(REAL, mup_width_multiplier, 8.0)                                                                               \
    ARG(REAL, rope_embedding_base, 1000000)                                                                            \
    ARG(REAL, rope_position_scale, 1.0)                                                                                \
    ARG(INT, blocksparse_block_size, 64)                                                                               \
    ARG(INT, blocksparse_num_local_blocks, 16)                                                                         \
    ARG(INT, blocksparse_vert_stride, 8)                                                                               \
    ARG(INT, max_position_embeddings, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (!(a->rope_position_scale > 0) || !(a->gegelu_limit > 0) || a->blocksparse_num_local_blocks < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "rope_position_scale, gegelu_limit and blocksparse_num_local_blocks must be above 0");
    if (a->blocksparse_block_size == 32 || a->blocksparse_block_size == 64)
        return TARE_OK;
    return tare_fail(d->err, TARE_E_CONFIG, d->place, "blocksparse_block_size is %lld; expected 32 or 64",
                     (long long)a->blocksparse_block_size);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    const int64_t head = tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    const bool dense = a->dense_attention_every_n_layers > 0 && (i + 1) % a->dense_attention_every_n_layers == 0;
    struct tare_rope rope = tare_rope_read(at, head, a->rope_embedding_base, NULL, a->max_position_embeddings);
    rope.kind = TARE_ROPE_LINEAR;
    rope.factor = 1 / a->rope_position_scale;
    l->pre[0] = tare_layer_norm(at, "input_layernorm", dim, a->layer_norm_epsilon, BIAS);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.qkv_name = "query_key_value",
                                     .grouped = true,
                                     .o_name = "dense",
                                     .dim = dim,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = head,
                                     .bias = true,
                                     .o_bias = true,
                                     .scale = a->mup_use_scaling ? a->mup_attn_multiplier / (double)head : 0,
                                     .rope = rope});
    if (!dense)
        tare_gqa_strided(l, at,
                         &(struct tare_gqa_strided){.size = a->blocksparse_block_size,
                                                    .near = a->blocksparse_num_local_blocks,
                                                    .stride = a->blocksparse_vert_stride});
    l->pre[1] = tare_layer_norm(at, "post_attention_layernorm", dim, a->layer_norm_epsilon, BIAS);
    tare_glu(l, at,
             &(struct tare_glu_desc){.gate_up_name = "up_proj",
                                     .unit = tare_unit_gegelu(a->gegelu_limit),
                                     .dim = dim,
                                     .hidden = a->ff_intermediate_size,
                                     .bias = true});
}

/* Places of the vocabulary that the authors' tokenizer leaves empty: their model never says them. */
static const int32_t *dummies(struct tare_at at, int64_t *n)
{
    static const int32_t single[] = {100256, 100258, 100259, 100260, 100264, 100265};
    enum { SINGLE = sizeof single / sizeof *single, FIRST = 100267, LAST = 100351 };
    int32_t *ids = tare_arena_array(at.tree->arena, SINGLE + LAST - FIRST + 1, sizeof *ids);
    *n = ids ? SINGLE + LAST - FIRST + 1 : 0;
    for (int32_t i = 0; i < (int32_t)*n; i++)
        ids[i] = i < SINGLE ? single[i] : FIRST + i - SINGLE;
    return ids;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.dim = a->hidden_size,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_hidden_layers,
                                          .context = a->max_position_embeddings,
                                          .norm_name = "final_layernorm",
                                          .norm = TARE_SKELETON_LAYER,
                                          .norm_bias = true,
                                          .eps = a->layer_norm_epsilon,
                                          .embedding_scale = a->mup_embedding_multiplier,
                                          .logit_scale = a->mup_width_multiplier != 0 ? 1 / a->mup_width_multiplier : 0,
                                          .layer = layer,
                                          .head = TARE_HEAD_NONE});
    d->never = dummies(root, &d->n_never);
}

const struct tare_arch tare_arch_phi3small = {
    .name = "phi3small",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = tare_dense_drop_rotary,
    .runs = true,
};
