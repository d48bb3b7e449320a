/* SPDX-License-Identifier: MIT
 * dense_decoder.c - the layer that decoders like Llama share. */
#include "models/family/dense_decoder.h"

#include "models/family/config_words.h"

static void norms(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense)
{
    static const char *const usual[4] = {"input_layernorm", NULL, "post_attention_layernorm", NULL};
    const char *const *given = dense->norms;
    const char *const *name = given[0] || given[1] || given[2] || given[3] ? given : usual;
    for (int i = 0; i < 2; i++) {
        l->pre[i] = tare_skeleton_norm(at, name[2 * i], &dense->skeleton);
        l->post[i] = tare_skeleton_norm(at, name[2 * i + 1], &dense->skeleton);
    }
    if (dense->parallel) {
        l->residual = TARE_RESIDUAL_PARALLEL;
        l->pre[1] = l->pre[0];
    }
}

static struct tare_rope rope(struct tare_at at, const struct tare_dense *dense, int64_t head)
{
    if (dense->no_rope)
        return (struct tare_rope){.kind = TARE_ROPE_NONE};
    const int64_t dims = dense->rotated > 0 ? tare_share(head, dense->rotated) : head;
    double theta = dense->theta;
    if (!at.tree->error.code)
        tare_theta_read(&theta, "rope_theta", dense->scaling, "config.json", &at.tree->error);
    struct tare_rope rope = tare_rope_read(at, dims, theta, dense->scaling, dense->skeleton.context);
    rope.interleaved = dense->interleaved;
    return rope;
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    struct tare_dense dense = *(const struct tare_dense *)args;
    const struct tare_skeleton *s = &dense.skeleton;
    if (dense.vary)
        dense.vary(&dense, i);
    struct tare_gqa_desc *attention = &dense.attention;
    attention->dim = dense.ffn.dim = s->dim;
    attention->qk_norm.eps = s->eps;
    if (attention->kv_heads < 1)
        attention->kv_heads = attention->heads;
    if (attention->head_dim < 1)
        attention->head_dim = tare_div(at, "hidden_size", s->dim, "num_attention_heads", attention->heads);
    attention->rope = rope(at, &dense, attention->head_dim);
    l->residual_scale = dense.residual_scale;
    norms(l, at, &dense);
    tare_gqa(l, at, attention);
    if (dense.attend)
        dense.attend(l, at, &dense);
    if (!dense.no_ffn) {
        dense.ffn.activation = tare_activation_read(at, dense.hidden_act, TARE_SILU);
        tare_glu(l, at, &dense.ffn);
    }
    if (dense.more)
        dense.more(l, at, &dense);
}

void tare_dense(struct tare_at root, struct tare_decoder *d, const struct tare_dense *dense)
{
    struct tare_skeleton skeleton = dense->skeleton;
    skeleton.layer = layer;
    tare_skeleton(root, dense, d, &skeleton);
}

void tare_dense_drop_rotary(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "self_attn.rotary_emb.inv_freq", "precomputed rotary frequencies, not a parameter");
}

void tare_dense_drop_rope(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_containing(w, "attention.rope.inv_freq", "precomputed rotary frequencies, not a parameter");
}
