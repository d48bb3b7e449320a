/* SPDX-License-Identifier: MIT
 * mixtral.c - Mixtral (mlx-lm: models/mixtral.py). */
#include "models/experts.h"
#include "models/model.h"

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

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const struct tare_at model = tare_at(root, "model");
    const int64_t dim = a->hidden_size, n = a->num_local_experts;
    const int64_t head = tare_div(root, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    struct tare_rope rope =
        tare_rope_read(model, head, a->rope_theta, a->rope_parameters ? a->rope_parameters : a->rope_scaling,
                       a->max_position_embeddings);
    struct tare_parameter *embedding = tare_embedding(model, "embed_tokens", a->vocab_size, dim);

    rope.interleaved = a->rope_traditional;
    *d = (struct tare_decoder){.arena = d->arena,
                               .dim = dim,
                               .vocabulary = a->vocab_size,
                               .embedding = embedding,
                               .context = a->max_position_embeddings};
    struct tare_layer *l = tare_layers(d, a->num_hidden_layers);
    for (int64_t i = 0; i < d->n_layers && !root.tree->error.code; i++, l++) {
        const struct tare_at at = tare_at(model, "layers.%lld", (long long)i);
        l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
        attention(l, at, a, head, rope);
        l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
        tare_linear(at, "block_sparse_moe.gate", dim, n, NO_BIAS);
        tare_switch_glu(at, "block_sparse_moe.switch_mlp", n, dim, a->intermediate_size);
    }
    d->norm = tare_rms_norm(model, "norm", dim, a->rms_norm_eps);
    tare_head(root, "lm_head", embedding, TARE_HEAD_FLAG, a->tie_word_embeddings, NO_BIAS);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const int64_t n = ((const struct args *)args)->num_local_experts;
    tare_stack(w, "model.layers.*.block_sparse_moe.experts.#.w1.weight",
               "model.layers.*.block_sparse_moe.switch_mlp.gate_proj.weight", n);
    tare_stack(w, "model.layers.*.block_sparse_moe.experts.#.w2.weight",
               "model.layers.*.block_sparse_moe.switch_mlp.down_proj.weight", n);
    tare_stack(w, "model.layers.*.block_sparse_moe.experts.#.w3.weight",
               "model.layers.*.block_sparse_moe.switch_mlp.up_proj.weight", n);
}

const struct tare_arch tare_arch_mixtral = {
    .name = "mixtral",
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
};
