/* SPDX-License-Identifier: MIT
 * mixtral.c - Mixtral (mlx-lm: models/mixtral.py). */
#include "models/family/decoder_skeleton.h"
#include "models/family/published_experts.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, 32000)                                                                                        \
    ARG(INT, hidden_size, 4096)                                                                                        \
    ARG(INT, intermediate_size, 14336)                                                                                 \
    ARG(INT, num_hidden_layers, 32)                                                                                    \
    ARG(INT, num_attention_heads, 32)                                                                                  \
    ARG(INT, num_experts_per_tok, 2)                                                                                   \
    ARG(INT, num_key_value_heads, 8)                                                                                   \
    ARG(INT, num_local_experts, 8)                                                                                     \
    ARG(REAL, rms_norm_eps, 1e-5)                                                                                      \
    ARG(REAL, rope_theta, 1e6)                                                                                         \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(INT, sliding_window, ABSENT)
TARE_ARGS(ARGS);

/* The default of 8 key heads may be more than there are heads: mlx-lm builds that all the same, and it cannot run. */
static void attention(struct tare_layer *l, struct tare_at at, const struct args *a, int64_t head,
                      struct tare_rope rope)
{
    const int64_t dim = a->hidden_size, heads = a->num_attention_heads, kv_heads = a->num_key_value_heads;
    if (kv_heads < 1 || heads % kv_heads == 0) {
        tare_gqa(l, at,
                 &(struct tare_gqa_desc){.dim = dim,
                                         .heads = heads,
                                         .kv_heads = kv_heads,
                                         .head_dim = head,
                                         .rope = rope,
                                         .window = a->sliding_window > 0 ? a->sliding_window : 0});
        return;
    }
    tare_linear(at, "self_attn.q_proj", dim, tare_mul(at, heads, head), NO_BIAS);
    tare_linear(at, "self_attn.k_proj", dim, tare_mul(at, kv_heads, head), NO_BIAS);
    tare_linear(at, "self_attn.v_proj", dim, tare_mul(at, kv_heads, head), NO_BIAS);
    tare_linear(at, "self_attn.o_proj", tare_mul(at, heads, head), dim, NO_BIAS);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size, n = a->num_local_experts;
    const int64_t head = tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    struct tare_rope rope = tare_rope_read(
        at, head, a->rope_theta, a->rope_parameters ? a->rope_parameters : a->rope_scaling, a->max_position_embeddings);
    (void)i;
    rope.interleaved = a->rope_traditional;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    attention(l, at, a, head, rope);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    tare_routed(l, at,
                &(struct tare_routed_desc){.name = "block_sparse_moe",
                                           .dim = dim,
                                           .router = {.n = n, .top = a->num_experts_per_tok, .normalize = true},
                                           .hidden = a->intermediate_size});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .layer = layer, TARE_SKELETON_TIED(a)});
}

/* transformers 5 writes them fused, below "mlp" in memory, under the published names in files. */
static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_layer_experts_rewrite(w, "block_sparse_moe", a->num_local_experts, a->hidden_size);
}

const struct tare_arch tare_arch_mixtral = {
    .name = "mixtral",
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
