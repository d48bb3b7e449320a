/* SPDX-License-Identifier: MIT
 * gpt_neox.c - GPT-NeoX and Pythia (mlx-lm: models/gpt_neox.py). Its fused projection holds q, k, v head by head. */
#include "models/family/config_words.h"
#include "models/family/decoder_skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, max_position_embeddings, REQUIRED)                                                                        \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(REAL, layer_norm_eps, REQUIRED)                                                                                \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(REAL, rotary_emb_base, ABSENT)                                                                                 \
    ARG(REAL, rotary_pct, ABSENT)                                                                                      \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, use_parallel_residual, true)                                                                             \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(INT, intermediate_size, ABSENT)                                                                                \
    ARG(TEXT, hidden_act, gelu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->num_key_value_heads < 1)
        a->num_key_value_heads = a->num_attention_heads;
    if (isnan(a->rotary_pct))
        a->rotary_pct = tare_json_real(a->rope_parameters, "partial_rotary_factor", (double)NAN);
    if (isnan(a->rotary_pct))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "rotary_pct is missing; a model of this type needs it");
    return tare_theta_read(&a->rotary_emb_base, "rotary_emb_base", a->rope_parameters, d->place, d->err);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    (void)i;
    const int64_t head = tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    l->residual = a->use_parallel_residual ? TARE_RESIDUAL_PARALLEL : TARE_RESIDUAL_SEQUENTIAL;
    l->pre[0] = tare_layer_norm(at, "input_layernorm", dim, a->layer_norm_eps, BIAS);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.name = "attention",
                                     .qkv_name = "query_key_value",
                                     .grouped = true,
                                     .o_name = "dense",
                                     .dim = dim,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_attention_heads,
                                     .head_dim = head,
                                     .bias = true,
                                     .o_bias = true,
                                     .rope = tare_rope_read(at, tare_share(head, a->rotary_pct), a->rotary_emb_base,
                                                            a->rope_parameters, a->max_position_embeddings)});
    l->pre[1] = tare_layer_norm(at, "post_attention_layernorm", dim, a->layer_norm_eps, BIAS);
    tare_mlp(l, at,
             &(struct tare_mlp_desc){.first_name = "dense_h_to_4h",
                                     .second_name = "dense_4h_to_h",
                                     .dim = dim,
                                     .hidden = a->intermediate_size > 0 ? a->intermediate_size : tare_mul(at, 4, dim),
                                     .bias = true,
                                     .activation = tare_activation_read(at, a->hidden_act, TARE_GELU)});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.embedding = "embed_in",
                                          .layers = "h",
                                          .norm_name = "final_layer_norm",
                                          .head_name = "model.embed_out",
                                          .dim = a->hidden_size,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_hidden_layers,
                                          .context = a->max_position_embeddings,
                                          .norm = TARE_SKELETON_LAYER,
                                          .norm_bias = true,
                                          .eps = a->layer_norm_eps,
                                          .layer = layer,
                                          .head = TARE_HEAD_OWN});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_exact(w, "**.attention.bias", "the causal mask, not a parameter");
    tare_drop_exact(w, "**.attention.masked_bias", "the mask's value, not a parameter");
    tare_drop_exact(w, "**.attention.rotary_emb.inv_freq", "precomputed rotary frequencies, not a parameter");
    tare_add_prefix(w, "model");
    tare_rename(w, "model.gpt_neox.layers.**", "model.h.**");
    tare_rename(w, "model.gpt_neox.**", "model.**");
}

const struct tare_arch tare_arch_gpt_neox = {
    .name = "gpt_neox",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
