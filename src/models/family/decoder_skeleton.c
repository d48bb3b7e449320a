/* SPDX-License-Identifier: MIT
 * decoder_skeleton.c - declares an embedding, the layers one after another, the last norm and the head. */
#include "models/family/decoder_skeleton.h"

static const char * or (const char *name, const char *usual)
{
    return name ? name : usual;
}

static struct tare_norm kind_norm(struct tare_at at, const char *name, const struct tare_skeleton *s)
{
    switch (s->norm) {
    case TARE_SKELETON_RMS:
        return tare_rms_norm(at, name, s->dim, s->eps);
    case TARE_SKELETON_RMS_ONE_PLUS:
        return tare_rms_norm_one_plus(at, name, s->dim, s->eps);
    case TARE_SKELETON_LAYER:
        return tare_layer_norm(at, name, s->dim, s->eps, s->norm_bias);
    case TARE_SKELETON_RMS_BARE:
        return (struct tare_norm){.kind = TARE_NORM_RMS, .dim = s->dim, .eps = s->eps};
    case TARE_SKELETON_LAYER_BARE:
        return (struct tare_norm){.kind = TARE_NORM_LAYER, .dim = s->dim, .eps = s->eps};
    case TARE_SKELETON_NO_NORM:
        break;
    }
    return (struct tare_norm){0};
}

struct tare_norm tare_skeleton_norm(struct tare_at at, const char *name, const struct tare_skeleton *s)
{
    if (!name)
        return (struct tare_norm){0};
    struct tare_norm norm = kind_norm(at, name, s);
    norm.offset = s->norm_offset;
    return norm;
}

void tare_skeleton(struct tare_at root, const void *args, struct tare_decoder *d, const struct tare_skeleton *s)
{
    const struct tare_at model = tare_at(root, "%s", or (s->model, "model"));
    struct tare_parameter *embedding = tare_embedding(model, or (s->embedding, "embed_tokens"), s->vocabulary, s->dim);
    *d = (struct tare_decoder){.arena = d->arena,
                               .dim = s->dim,
                               .vocabulary = s->vocabulary,
                               .context = s->context > 0 ? s->context : 0,
                               .embedding = embedding,
                               .embedding_scale = s->embedding_scale,
                               .logit_scale = s->logit_scale,
                               .logit_soft_cap = s->logit_soft_cap};
    const int64_t blocks = s->blocks > 0 ? s->blocks : 1;
    struct tare_layer *l = tare_layers(d, s->n_layers * blocks);
    for (int64_t i = 0; i * blocks < d->n_layers && !root.tree->error.code; i++, l += blocks)
        s->layer(l, tare_at(model, "%s.%lld", or (s->layers, "layers"), (long long)i), args, i);
    d->norm = tare_skeleton_norm(model, or (s->norm_name, "norm"), s);
    tare_head(root, s->head == TARE_HEAD_NONE ? NULL : or (s->head_name, "lm_head"), embedding, s->head, s->tied,
              s->head_bias);
}
