/* SPDX-License-Identifier: MIT
 * gpt_neox.c - GPT-NeoX and Pythia (mlx-lm: models/gpt_neox.py). Its fused projection holds q, k, v head by head. */
#include "models/model.h"
#include "models/theta.h"

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

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const struct tare_at model = tare_at(root, "model");
    const int64_t dim = a->hidden_size;
    const int64_t hidden = a->intermediate_size > 0 ? a->intermediate_size : tare_mul(root, 4, dim);
    struct tare_parameter *embedding = tare_embedding(model, "embed_in", a->vocab_size, dim);

    tare_div(root, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    *d = (struct tare_decoder){.arena = d->arena,
                               .dim = dim,
                               .vocabulary = a->vocab_size,
                               .embedding = embedding,
                               .context = a->max_position_embeddings};
    struct tare_layer *l = tare_layers(d, a->num_hidden_layers);
    for (int64_t i = 0; i < d->n_layers && !root.tree->error.code; i++, l++) {
        const struct tare_at at = tare_at(model, "h.%lld", (long long)i);
        l->residual = a->use_parallel_residual ? TARE_RESIDUAL_PARALLEL : TARE_RESIDUAL_SEQUENTIAL;
        l->pre[0] = tare_layer_norm(at, "input_layernorm", dim, a->layer_norm_eps, BIAS);
        tare_linear(at, "attention.query_key_value", dim, tare_mul(at, 3, dim), BIAS);
        tare_linear(at, "attention.dense", dim, dim, BIAS);
        l->pre[1] = tare_layer_norm(at, "post_attention_layernorm", dim, a->layer_norm_eps, BIAS);
        tare_mlp(l, at,
                 &(struct tare_mlp_desc){.first_name = "dense_h_to_4h",
                                         .second_name = "dense_4h_to_h",
                                         .dim = dim,
                                         .hidden = hidden,
                                         .bias = true,
                                         .activation = tare_activation_read(at, a->hidden_act, TARE_GELU)});
    }
    d->norm = tare_layer_norm(model, "final_layer_norm", dim, a->layer_norm_eps, BIAS);
    tare_head(model, "embed_out", embedding, TARE_HEAD_OWN, false, NO_BIAS);
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
};
