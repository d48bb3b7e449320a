/* SPDX-License-Identifier: MIT
 * usual.c - the layer most decoders have. */
#include "models/usual.h"

static struct tare_norm norm(struct tare_at at, const char *name, const struct tare_usual *u)
{
    if (!name)
        return (struct tare_norm){0};
    switch (u->norm) {
    case TARE_SKELETON_RMS:
        return tare_rms_norm(at, name, u->dim, u->eps);
    case TARE_SKELETON_RMS_ONE_PLUS:
        return tare_rms_norm_one_plus(at, name, u->dim, u->eps);
    case TARE_SKELETON_LAYER:
        return tare_layer_norm(at, name, u->dim, u->eps, BIAS);
    default:
        return (struct tare_norm){0};
    }
}

static void norms(struct tare_layer *l, struct tare_at at, const struct tare_usual *u)
{
    static const char *const llama[4] = {"input_layernorm", NULL, "post_attention_layernorm", NULL};
    const char *const *given = u->norms;
    const char *const *name = given[0] || given[1] || given[2] || given[3] ? given : llama;
    l->pre[0] = norm(at, name[0], u);
    l->post[0] = norm(at, name[1], u);
    l->pre[1] = u->parallel ? l->pre[0] : norm(at, name[2], u);
    l->post[1] = norm(at, name[3], u);
    l->residual = u->parallel ? TARE_RESIDUAL_PARALLEL : TARE_RESIDUAL_SEQUENTIAL;
}

static struct tare_rope rope(struct tare_at at, const struct tare_usual *u, int64_t head)
{
    if (u->theta == 0)
        return (struct tare_rope){.kind = TARE_ROPE_NONE};
    const int64_t dims = u->rope_dims > 0 ? u->rope_dims : u->partial > 0 ? (int64_t)((double)head * u->partial) : head;
    struct tare_rope rope = tare_rope_read(at, dims, u->theta, u->scaling, u->context);
    rope.interleaved = u->interleaved;
    return rope;
}

static void attention(struct tare_layer *l, struct tare_at at, const struct tare_usual *u)
{
    struct tare_gqa_desc d = u->attention;
    d.dim = u->dim;
    d.eps = u->eps;
    if (d.kv_heads < 1)
        d.kv_heads = d.heads;
    if (d.head_dim < 1)
        d.head_dim = tare_head_dim(at, u->dim, d.heads);
    d.rope = rope(at, u, d.head_dim);
    tare_gqa(l, at, &d);
    if (u->wide_qk_norm) {
        const struct tare_at place = tare_at(at, "%s", d.name ? d.name : "self_attn");
        tare_rms_norm(place, "q_norm", tare_mul(at, d.heads, d.head_dim), u->eps);
        tare_rms_norm(place, "k_norm", tare_mul(at, d.kv_heads, d.head_dim), u->eps);
    }
}

void tare_usual_layer(struct tare_layer *l, struct tare_at at, const struct tare_usual *u)
{
    const enum tare_activation activation = tare_activation_read(at, u->hidden_act, TARE_SILU);
    norms(l, at, u);
    attention(l, at, u);
    if (u->glu.hidden > 0) {
        struct tare_glu_desc d = u->glu;
        d.dim = u->dim;
        d.activation = activation;
        tare_glu(l, at, &d);
    }
    if (u->mlp.hidden > 0) {
        struct tare_mlp_desc d = u->mlp;
        d.dim = u->dim;
        d.activation = activation;
        tare_mlp(l, at, &d);
    }
    if (u->planned_only || u->wide_qk_norm)
        l->mixer = (struct tare_block){0};
    if (u->planned_only)
        l->ffn = (struct tare_block){0};
}

static void same_layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    (void)i;
    tare_usual_layer(l, at, args);
}

void tare_usual_decoder(struct tare_at root, struct tare_decoder *d, const struct tare_skeleton *skeleton,
                        const struct tare_usual *usual)
{
    struct tare_skeleton s = *skeleton;
    struct tare_usual u = *usual;
    s.layer = same_layer;
    u.dim = s.dim;
    u.norm = s.norm;
    u.eps = s.eps;
    u.context = s.context;
    tare_skeleton(root, &u, d, &s);
}

int64_t tare_head_dim(struct tare_at at, int64_t dim, int64_t heads)
{
    return tare_div(at, "hidden_size", dim, "num_attention_heads", heads);
}

void tare_usual_drop_rotary(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "self_attn.rotary_emb.inv_freq", "precomputed rotary frequencies, not a parameter");
}
