/* SPDX-License-Identifier: MIT
 * ministral3.c - Ministral 3: Llama with queries scaled by their position (mlx-lm: models/ministral3.py). */
#include "models/sparse.h"
#include "models/theta.h"
#include "models/window.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, head_dim, ABSENT)                                                                                         \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(INT, num_key_value_heads, ABSENT)                                                                              \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, tie_word_embeddings, true)                                                                               \
    ARG(JSON, layer_types, ABSENT)                                                                                     \
    ARG(INT, sliding_window, ABSENT)                                                                                   \
    ARG(REAL, rope_theta, ABSENT)                                                                                      \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (a->num_key_value_heads < 0)
        a->num_key_value_heads = a->num_attention_heads;
    a->rope_theta = tare_json_real(a->rope_parameters, "rope_theta", a->rope_theta);
    const enum tare_code code = tare_theta_read(&a->rope_theta, "rope_theta", a->rope_parameters, d->place, d->err);
    return code ? code : tare_layer_types_check(a->layer_types, a->num_hidden_layers, d->place, d->err);
}

/* llama_4_scaling_beta is not among what the attention block computes, so this is declared only. */
static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    (void)i;
    l->pre[0] = tare_rms_norm(at, "input_layernorm", a->hidden_size, a->rms_norm_eps);
    tare_attention(tare_at(at, "self_attn"), &(struct tare_attention){.dim = a->hidden_size,
                                                                      .heads = a->num_attention_heads,
                                                                      .kv_heads = a->num_key_value_heads,
                                                                      .head = a->head_dim});
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", a->hidden_size, a->rms_norm_eps);
    tare_glu(l, at,
             &(struct tare_glu_desc){.dim = a->hidden_size,
                                     .hidden = a->intermediate_size,
                                     .activation = tare_activation_read(at, a->hidden_act, TARE_SILU)});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){TARE_SKELETON_USUAL(a),
                                          .layer = layer,
                                          .head = TARE_HEAD_FLAG,
                                          .tied = a->tie_word_embeddings});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "self_attn.rotary_emb.inv_freq", "precomputed rotary frequencies, not a parameter");
    tare_drop_containing(w, "activation_scale", "a range of activations, not used in running");
}

const struct tare_arch tare_arch_ministral3 = {
    .name = "ministral3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
};
