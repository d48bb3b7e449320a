/* SPDX-License-Identifier: MIT
 * muse_vision.c - the vision tower of Muse Spark (mlx-lm: models/muse_spark.py). It is declared,
 * so that it converts, but never run. */
#include "models/family/muse_vision.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 1536)                                                                                        \
    ARG(INT, intermediate_size, 8960)                                                                                  \
    ARG(INT, num_hidden_layers, 50)                                                                                    \
    ARG(INT, num_attention_heads, 16)                                                                                  \
    ARG(INT, num_channels, 3)                                                                                          \
    ARG(INT, patch_size, 14)                                                                                           \
    ARG(INT, patch_temporal, 2)                                                                                        \
    ARG(INT, merge_size, 2)                                                                                            \
    ARG(INT, pos_emb_height, 32)                                                                                       \
    ARG(INT, pos_emb_width, 32)                                                                                        \
    ARG(REAL, layer_norm_eps, 1e-5)
TARE_ARGS(ARGS);

#define SMALL 65536 /* the most that a size may be, so that products of several fit */

struct tare_muse_vision {
    struct args args;
    int64_t head;
    int64_t adapter_in, adapter; /* widths of the adapter's input, and of its layers and output */
};

enum tare_code tare_muse_vision_read(struct tare_muse_vision **into, const json_t *config, int64_t out_hidden,
                                     int64_t projector_hidden, const struct tare_derive *d)
{
    const char *place = "config.json: vision_config";
    struct tare_muse_vision *v = tare_arena_alloc(d->arena, sizeof *v);
    if (!json_object_size(config))
        return TARE_OK;
    if (!v)
        return tare_fail_memory(d->err);
    const struct args *a = &v->args;
    enum tare_code code = tare_args_read(&args_info, config, place, &v->args, d->err);
    if (code)
        return code;
    if (a->pos_emb_height != a->pos_emb_width)
        return tare_fail(d->err, TARE_E_CONFIG, place, "pos_emb_height and pos_emb_width differ; expected a square");
    if (a->num_attention_heads < 1 || a->pos_emb_height > SMALL || a->merge_size > 1024 || a->patch_size > SMALL ||
        a->num_channels > SMALL || a->patch_temporal > 1024)
        return tare_fail(d->err, TARE_E_CONFIG, place, "a size is out of all proportion");
    v->head = a->hidden_size / a->num_attention_heads;
    v->adapter_in = out_hidden > 0 ? out_hidden : a->hidden_size * a->merge_size * a->merge_size;
    v->adapter = projector_hidden > 0 ? projector_hidden : v->adapter_in;
    *into = v;
    return TARE_OK;
}

static void block(struct tare_at at, const struct args *a)
{
    const int64_t dim = a->hidden_size;
    tare_layer_norm(at, "norm1", dim, a->layer_norm_eps, BIAS);
    tare_linear(at, "attn.qkv_proj", dim, tare_mul(at, 3, dim), BIAS);
    tare_linear(at, "attn.proj", dim, dim, BIAS);
    tare_layer_norm(at, "norm2", dim, a->layer_norm_eps, BIAS);
    tare_linear(at, "mlp.fc1", dim, a->intermediate_size, BIAS);
    tare_linear(at, "mlp.fc2", a->intermediate_size, dim, BIAS);
}

void tare_muse_vision_declare(struct tare_at model, const struct tare_muse_vision *v, int64_t text_dim)
{
    const struct args *a = &v->args;
    const struct tare_at tower = tare_at(model, "vision_tower");
    const int64_t patch = a->num_channels * a->patch_size * a->patch_size * a->patch_temporal;
    tare_linear(tower, "patch_embedder.patch_embedding", patch, a->hidden_size, NO_BIAS);
    tare_embedding(tower, "patch_embedder.position_embedding_table", a->pos_emb_height * a->pos_emb_width,
                   a->hidden_size);
    tare_layer_norm(tower, "ln_pre", a->hidden_size, a->layer_norm_eps, BIAS);
    for (int64_t i = 0; i < a->num_hidden_layers && !model.tree->error.code; i++)
        block(tare_at(tower, "layers.%lld", (long long)i), a);
    tare_layer_norm(tower, "ln_post", a->hidden_size, a->layer_norm_eps, BIAS);
    tare_linear(model, "vision_adapter.fc1", v->adapter_in, v->adapter, NO_BIAS);
    tare_linear(model, "vision_adapter.fc2", v->adapter, v->adapter, NO_BIAS);
    tare_linear(model, "vision_projection", v->adapter, text_dim, NO_BIAS);
}

void tare_muse_interleave(struct tare_weights *w, const char *pattern, int64_t head, int64_t in)
{
    const char *halves[2] = {tare_arena_format(w->arena, "%s.first", pattern),
                             tare_arena_format(w->arena, "%s.second", pattern)};
    const struct tare_entry *entry = tare_find(w, pattern);
    const int64_t rows[] = {-1, in};
    if (!halves[0] || !halves[1] || !entry || head < 2 || head % 2)
        return;
    const int rank = entry->recipe->rank == 1 ? 1 : 2; /* of a bias; of a weight */
    tare_reshape(w, pattern, 4, (const int64_t[]){-1, 2, head / 2, in});
    tare_split(w, pattern, -3, halves, 2); /* a tensor that could not be reshaped is not split either */
    for (int i = 0; i < 2; i++)
        tare_reshape(w, halves[i], 3, (const int64_t[]){-1, 1, in});
    tare_join(w, halves, 2, 1, pattern);
    tare_reshape(w, pattern, rank, rows);
}

#define ATTENTION "model.vision_tower.layers.*.attn."

static void join(struct tare_weights *w, const char *const *parts, const char *whole, int64_t head, int64_t in)
{
    tare_muse_interleave(w, parts[0], head, in);
    tare_muse_interleave(w, parts[1], head, in);
    tare_join(w, parts, 3, 0, whole);
}

void tare_muse_vision_rewrite(struct tare_weights *w, const struct tare_muse_vision *v)
{
    static const char *const weights[] = {ATTENTION "q_proj.weight", ATTENTION "k_proj.weight",
                                          ATTENTION "v_proj.weight"};
    static const char *const biases[] = {ATTENTION "q_proj.bias", ATTENTION "k_proj.bias", ATTENTION "v_proj.bias"};
    if (v) {
        join(w, weights, ATTENTION "qkv_proj.weight", v->head, v->args.hidden_size);
        join(w, biases, ATTENTION "qkv_proj.bias", v->head, 1);
        return;
    }
    tare_drop(w, "model.vision_tower", "config.json has no vision_config");
    tare_drop(w, "model.vision_adapter", "config.json has no vision_config");
    tare_drop(w, "model.vision_projection", "config.json has no vision_config");
}
