/* SPDX-License-Identifier: MIT
 * talkie.c - Talkie (mlx-lm: models/talkie.py): norms without weights; heads and blocks are multiplied by gains. */
#include "blocks/attention/gqa_gain.h"
#include "blocks/stream/scaled_sum.h"
#include "models/family/decoder_skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 5120)                                                                                        \
    ARG(INT, num_hidden_layers, 40)                                                                                    \
    ARG(INT, num_attention_heads, 40)                                                                                  \
    ARG(INT, head_dim, 128)                                                                                            \
    ARG(INT, intermediate_size, 13696)                                                                                 \
    ARG(INT, vocab_size, 65540)                                                                                        \
    ARG(REAL, rope_theta, 1000000)                                                                                     \
    ARG(REAL, rms_norm_eps, 1.1920928955078125e-07)                                                                    \
    ARG(INT, max_position_embeddings, 2048)
TARE_ARGS(ARGS);

/* What the skeleton hands to each layer. */
struct parts {
    const struct args *a;
    struct tare_scaled_sum *sums;
};

static void layer(struct tare_layer *l, struct tare_at at, const void *user, int64_t i)
{
    const struct parts *parts = user;
    const struct args *a = parts->a;
    const int64_t dim = a->hidden_size;
    struct tare_rope rope = tare_rope_read(at, a->head_dim, a->rope_theta, NULL, a->max_position_embeddings);
    rope.backwards = true;
    l->pre[0] = l->pre[1] = (struct tare_norm){.kind = TARE_NORM_RMS, .dim = dim, .eps = a->rms_norm_eps};
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.name = "attn",
                                     .q_name = "attn_query",
                                     .k_name = "attn_key",
                                     .v_name = "attn_value",
                                     .o_name = "attn_resid",
                                     .dim = dim,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_attention_heads,
                                     .head_dim = a->head_dim,
                                     .qk_norm.kind = TARE_QK_NORM_RMS_BARE,
                                     .qk_norm.last = true,
                                     .qk_norm.eps = a->rms_norm_eps,
                                     .rope = rope});
    tare_gqa_gain(l, tare_at(at, "attn"), "head_gain.head_g", a->num_attention_heads);
    tare_glu(l, at,
             &(struct tare_glu_desc){.gate_name = "mlp_gate",
                                     .up_name = "mlp_linear",
                                     .down_name = "mlp_resid",
                                     .dim = dim,
                                     .hidden = a->intermediate_size});
    struct tare_scaled_sum *sum = &parts->sums[i];
    sum->gain[0] = tare_plain(at, "attn_gain.a_g", 1, (int64_t)1);
    sum->gain[1] = tare_plain(at, "mlp_gain.a_g", 1, (int64_t)1);
    sum->skip = tare_plain(at, "embed_skip.a_g", 1, (int64_t)1);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const struct parts parts = {a, tare_scaled_sum_open(root, a->num_hidden_layers)};
    if (!parts.sums)
        return;
    tare_skeleton(root, &parts, d,
                  &(struct tare_skeleton){.dim = a->hidden_size,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_hidden_layers,
                                          .context = a->max_position_embeddings,
                                          .embedding = "embed",
                                          .layers = "blocks",
                                          .norm = TARE_SKELETON_RMS_BARE,
                                          .eps = a->rms_norm_eps,
                                          .layer = layer,
                                          .head = TARE_HEAD_NONE});
    tare_scaled_sum_close(parts.sums, root, d);
    /* A head of its own, but not called "lm_head.weight", never packed, and times a gain. */
    d->head = tare_plain(root, "lm_head", 2, a->vocab_size, a->hidden_size);
    d->head_gain = tare_plain(root, "lm_head_gain.w_g", 1, (int64_t)1);
    d->embedding_norm = d->norm;
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "rotary", "precomputed rotary tables, not a parameter");
    tare_drop_exact(w, "**.*cos", "precomputed rotary tables, not a parameter");
    tare_drop_exact(w, "**.*sin", "precomputed rotary tables, not a parameter");
}

const struct tare_arch tare_arch_talkie = {
    .name = "talkie",
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
