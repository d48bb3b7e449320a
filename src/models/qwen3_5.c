/* SPDX-License-Identifier: MIT
 * qwen3_5.c - the text model of Qwen3.5 (mlx-lm: models/qwen3_5.py): three layers of gated delta rule to one of
 * attention. */
#include "models/qwen3_5.h"

#include "models/sparse.h"
#include "models/wrapper.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 4096)                                                                                        \
    ARG(INT, intermediate_size, 14336)                                                                                 \
    ARG(INT, num_hidden_layers, 32)                                                                                    \
    ARG(INT, num_attention_heads, 32)                                                                                  \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(INT, vocab_size, 151936)                                                                                       \
    ARG(INT, num_key_value_heads, 8)                                                                                   \
    ARG(INT, max_position_embeddings, 131072)                                                                          \
    ARG(INT, linear_num_value_heads, 64)                                                                               \
    ARG(INT, linear_num_key_heads, 16)                                                                                 \
    ARG(INT, linear_key_head_dim, 192)                                                                                 \
    ARG(INT, linear_value_head_dim, 128)                                                                               \
    ARG(INT, linear_conv_kernel_dim, 4)                                                                                \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(FLAG, attention_bias, false)                                                                                   \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, full_attention_interval, 4)                                                                               \
    ARG(INT, num_experts, 0)                                                                                           \
    ARG(INT, num_experts_per_tok, 0)                                                                                   \
    ARG(INT, decoder_sparse_step, 1)                                                                                   \
    ARG(INT, shared_expert_intermediate_size, 0)                                                                       \
    ARG(INT, moe_intermediate_size, 0)                                                                                 \
    ARG(FLAG, norm_topk_prob, true)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)
TARE_ARGS(ARGS);

#define WIDTH_MOST ((int64_t)1 << 40) /* so that sums and small multiples of widths fit int64_t */

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (a->full_attention_interval < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "full_attention_interval is 0; expected at least 1");
    if (a->linear_num_key_heads < 1 || a->linear_num_value_heads % a->linear_num_key_heads)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "linear_num_value_heads %lld is not a multiple of linear_num_key_heads %lld",
                         (long long)a->linear_num_value_heads, (long long)a->linear_num_key_heads);
    if (a->linear_num_key_heads * a->linear_key_head_dim > WIDTH_MOST ||
        a->linear_num_value_heads * a->linear_value_head_dim > WIDTH_MOST)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "linear_key_head_dim or linear_value_head_dim is out of all proportion");
    return TARE_OK;
}

static void gated_delta_net(struct tare_at at, const struct args *a)
{
    const int64_t dim = a->hidden_size, heads = a->linear_num_value_heads;
    const int64_t key = a->linear_num_key_heads * a->linear_key_head_dim, value = heads * a->linear_value_head_dim;
    tare_conv1d(at, "conv1d", 2 * key + value, a->linear_conv_kernel_dim, 1, NO_BIAS);
    tare_linear(at, "in_proj_qkv", dim, 2 * key + value, NO_BIAS);
    tare_linear(at, "in_proj_z", dim, value, NO_BIAS);
    tare_linear(at, "in_proj_b", dim, heads, NO_BIAS);
    tare_linear(at, "in_proj_a", dim, heads, NO_BIAS);
    tare_plain(at, "dt_bias", 1, heads);
    tare_plain(at, "A_log", 1, heads);
    tare_rms_norm(at, "norm", a->linear_value_head_dim, a->rms_norm_eps);
    tare_linear(at, "out_proj", value, dim, NO_BIAS);
}

/* q_proj gives queries and their gates. */
static void gated_attention(struct tare_at at, const struct args *a)
{
    const int64_t dim = a->hidden_size;
    const int64_t head =
        a->head_dim > 0 ? a->head_dim : tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    const int64_t q = tare_mul(at, a->num_attention_heads, head), kv = tare_mul(at, a->num_key_value_heads, head);
    tare_linear(at, "q_proj", dim, tare_mul(at, 2, q), a->attention_bias);
    tare_linear(at, "k_proj", dim, kv, a->attention_bias);
    tare_linear(at, "v_proj", dim, kv, a->attention_bias);
    tare_linear(at, "o_proj", q, dim, a->attention_bias);
    tare_rms_norm(at, "q_norm", head, a->rms_norm_eps);
    tare_rms_norm(at, "k_norm", head, a->rms_norm_eps);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", dim, a->rms_norm_eps);
    if ((i + 1) % a->full_attention_interval)
        gated_delta_net(tare_at(at, "linear_attn"), a);
    else
        gated_attention(tare_at(at, "self_attn"), a);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", dim, a->rms_norm_eps);
    if (a->num_experts > 0)
        tare_shared_experts(tare_at(at, "mlp"), dim, a->num_experts, a->moe_intermediate_size,
                            a->shared_expert_intermediate_size);
    else
        tare_glu(l, at, &(struct tare_glu_desc){.dim = dim, .hidden = a->intermediate_size});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a), .layer = layer, .head = TARE_HEAD_FLAG,
                                          .tied = a->tie_word_embeddings});
}

/* A published checkpoint, by its convolutions (channels, 1, width); its norms are stored less 1. What mlx-lm wrote has
 * neither. */
static bool published(const struct tare_weights *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct tare_entry *e = &w->entries[i];
        if (!e->rule && !e->absorbed && tare_name_matches("**.*conv1d.weight", e->name) && e->recipe->rank > 0 &&
            e->recipe->shape[e->recipe->rank - 1] != 1)
            return true;
    }
    return false;
}

void tare_qwen3_5_sanitize(struct tare_weights *w, const void *args)
{
    static const char *const norms[] = {"**.input_layernorm.weight", "**.post_attention_layernorm.weight",
                                        "**.model.norm.weight", "**.q_norm.weight", "**.k_norm.weight"};
    (void)args;
    tare_drop(w, "vision_tower*", "the vision tower; only the text model is read");
    tare_drop(w, "model.visual*", "the vision tower; only the text model is read");
    tare_rename(w, "model.language_model.**", "language_model.model.**");
    tare_add_prefix(w, "language_model");
    const bool add_one = published(w);
    tare_drop_containing(w, "mtp.", "predicts further tokens at once; not used in running");
    tare_conv_channels_last(w, "**.*conv1d.weight");
    for (size_t i = 0; add_one && i < sizeof norms / sizeof *norms; i++)
        tare_add(w, norms[i], 1.0);
}

/* mlx-lm takes the fused spelling alone; some publish experts one by one. */
static void experts(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    tare_sparse_rewrite(w, "mlp", a->num_experts, a->hidden_size);
}

const struct tare_arch tare_qwen3_5_text = {
    .name = "qwen3_5_text",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = experts,
};

const struct tare_arch tare_arch_qwen3_5 = {
    .name = "qwen3_5",
    .args = &tare_wrapper_args,
    .sanitize = tare_qwen3_5_sanitize,
    .inner = &tare_qwen3_5_text,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
    .inner_flat = true,
};
