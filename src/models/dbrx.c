/* SPDX-License-Identifier: MIT
 * dbrx.c - DBRX (mlx-lm: models/dbrx.py), whose experts mlx-lm keeps one by one. */
#include "blocks/attention/gqa_clipped.h"
#include "blocks/feed_forward/mixture_variant.h"
#include "models/family/decoder_skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, d_model, REQUIRED)                                                                                        \
    ARG(JSON, ffn_config, REQUIRED)                                                                                    \
    ARG(JSON, attn_config, REQUIRED)                                                                                   \
    ARG(INT, n_layers, REQUIRED)                                                                                       \
    ARG(INT, n_heads, REQUIRED)
TARE_ARGS(ARGS);

#define EXPERTS_MOST 1024 /* each is declared by itself */
#define EXPERTS "transformer.blocks.*.ffn.experts."

static bool number_check(const json_t *object, const char *key, int64_t most, const struct tare_derive *d)
{
    const int64_t number = tare_json_integer(object, key, 0);
    if (number > 0 && number <= most)
        return true;
    tare_fail(d->err, TARE_E_CONFIG, d->place, "%s must be a number of 1 to %lld", key, (long long)most);
    return false;
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    const bool fits = number_check(a->ffn_config, "ffn_hidden_size", INT32_MAX, d) &&
                      number_check(a->ffn_config, "moe_num_experts", EXPERTS_MOST, d) &&
                      number_check(a->attn_config, "kv_n_heads", INT32_MAX, d);
    return fits ? TARE_OK : d->err->code;
}

static void attention(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    const int64_t head = tare_div(at, "d_model", a->d_model, "n_heads", a->n_heads);
    const struct tare_rope rope = {
        .kind = TARE_ROPE_DEFAULT, .dims = head, .base = tare_json_real(a->attn_config, "rope_theta", 10000)};
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.name = "norm_attn_norm.attn",
                                     .qkv_name = "Wqkv",
                                     .o_name = "out_proj",
                                     .dim = a->d_model,
                                     .heads = a->n_heads,
                                     .kv_heads = tare_json_integer(a->attn_config, "kv_n_heads", 0),
                                     .head_dim = head,
                                     .rope = rope});
    tare_gqa_clipped(l, tare_at(at, "norm_attn_norm.attn"), tare_json_real(a->attn_config, "clip_qkv", 0));
}

static enum tare_activation activation(struct tare_at at, const struct args *a)
{
    const json_t *act = json_object_get(a->ffn_config, "ffn_act_fn");
    return tare_activation_read(at, tare_json_text(act, "name", NULL), TARE_SILU);
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->d_model;
    const json_t *norm = json_object_get(a->ffn_config, "moe_normalize_expert_weights"); /* null: none, as authors do */
    (void)i;
    l->pre[0] = tare_layer_norm(at, "norm_attn_norm.norm_1", dim, 1e-5, NO_BIAS);
    attention(l, at, a);
    l->pre[1] = tare_layer_norm(at, "norm_attn_norm.norm_2", dim, 1e-5, NO_BIAS);
    tare_routed(l, at,
                &(struct tare_routed_desc){
                    .name = "ffn",
                    .dim = dim,
                    .router = {.n = tare_json_integer(a->ffn_config, "moe_num_experts", 0),
                               .top = tare_json_integer(a->ffn_config, "moe_top_k", 1),
                               .normalize = !json_is_null(norm)},
                    .hidden = tare_json_integer(a->ffn_config, "ffn_hidden_size", 0),
                    .activation = activation(at, a),
                    .gate = "router.layer",
                    .experts = "experts",
                    .variant = &(struct tare_mixture_variant){.parts = {"w1", "v1", "w2"}, .one_by_one = true}});
    if (json_is_number(norm) && json_number_value(norm) != 1) /* the order of a norm; only the first is written */
        l->ffn = (struct tare_block){0};
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.model = "transformer",
                                          .embedding = "wte",
                                          .layers = "blocks",
                                          .norm_name = "norm_f",
                                          .dim = a->d_model,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->n_layers,
                                          .norm = TARE_SKELETON_LAYER,
                                          .eps = 1e-5,
                                          .layer = layer,
                                          .head = TARE_HEAD_OWN});
}

/* All experts' rows lie in one matrix; w2 is (hidden, dim) of each. */
static void sanitize(struct tare_weights *w, const void *args)
{
    const int64_t n = tare_json_integer(((const struct args *)args)->ffn_config, "moe_num_experts", 0);
    tare_split_numbered(w, EXPERTS "mlp.v1", EXPERTS "#.v1.weight", n);
    tare_split_numbered(w, EXPERTS "mlp.w1", EXPERTS "#.w1.weight", n);
    tare_split_numbered(w, EXPERTS "mlp.w2", EXPERTS "#.w2.turned", n);
    tare_transpose(w, EXPERTS "*.w2.turned");
    tare_rename(w, EXPERTS "*.w2.turned", EXPERTS "*.w2.weight");
}

const struct tare_arch tare_arch_dbrx = {
    .name = "dbrx",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
