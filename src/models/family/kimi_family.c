/* SPDX-License-Identifier: MIT
 * kimi_family.c - what Kimi Linear and Kimi K3 share. */
#include "models/family/kimi_family.h"

#include "blocks/feed_forward/mixture_variant.h"
#include "models/family/layer_kinds.h"
#include "models/family/published_experts.h"

#define LAYERS_MOST 4096   /* in the list, which is searched for each layer */
#define WIDTH_MOST 1000000 /* of heads and of a head: so that products fit */

static bool small(const json_t *config, const char *key, int64_t fallback)
{
    const int64_t n = tare_json_integer(config, key, fallback);
    return n >= 1 && n <= WIDTH_MOST;
}

enum tare_code tare_kimi_check(const json_t *config, int64_t moe_layer_freq, const char *place, struct tare_error *err)
{
    const json_t *layers = json_object_get(config, "kda_layers");
    bool fits = json_is_array(layers) && json_array_size(layers) <= LAYERS_MOST;
    for (size_t i = 0; fits && i < json_array_size(layers); i++)
        fits = json_is_integer(json_array_get(layers, i));
    if (!fits || !small(config, "num_heads", 0) || !small(config, "head_dim", 0) ||
        !small(config, "short_conv_kernel_size", 4))
        return tare_fail(err, TARE_E_CONFIG, place,
                         "linear_attn_config must have num_heads, head_dim and kda_layers, a list of layers");
    if (moe_layer_freq < 1)
        return tare_fail(err, TARE_E_CONFIG, place, "moe_layer_freq is 0; expected at least 1");
    return TARE_OK;
}

bool tare_kimi_delta(struct tare_delta_desc *delta, const json_t *config, int64_t layer)
{
    const json_t *layers = json_object_get(config, "kda_layers");
    delta->key_heads = delta->value_heads = tare_json_integer(config, "num_heads", 0);
    delta->key_head = delta->value_head = tare_json_integer(config, "head_dim", 0);
    delta->kernel = tare_json_integer(config, "short_conv_kernel_size", 4);
    return tare_numbers_have(layers, layer + 1);
}

static void routed(struct tare_layer *l, struct tare_at at, const struct tare_kimi *k)
{
    const struct tare_latent latent = {.width = k->latent,
                                       .down = "routed_expert_down_proj",
                                       .up = "routed_expert_up_proj",
                                       .norm = k->latent_norm ? "routed_expert_norm" : NULL,
                                       .eps = k->eps};
    tare_routed(
        l, at,
        &(struct tare_routed_desc){.router = k->router,
                                   .dim = k->dim,
                                   .hidden = k->expert_hidden,
                                   .correction = "e_score_correction_bias",
                                   .variant = &(struct tare_mixture_variant){.latent = latent},
                                   .limit = k->limit,
                                   .shared.limit = k->limit,
                                   .shared.hidden = k->shared > 0 ? tare_mul(at, k->expert_hidden, k->shared) : 0});
}

void tare_kimi_layer(struct tare_layer *l, struct tare_at at, const struct tare_kimi *k, int64_t i)
{
    l->pre[0] = tare_rms_norm(at, "input_layernorm", k->dim, k->eps);
    l->pre[1] = tare_rms_norm(at, "post_attention_layernorm", k->dim, k->eps);
    if (k->router.n > 0 && i >= k->first_dense && i % k->every == 0)
        routed(l, at, k);
    else
        tare_glu(l, at, &(struct tare_glu_desc){.dim = k->dim, .hidden = k->hidden, .limit = k->limit});
}

void tare_kimi_rewrite(struct tare_weights *w, int64_t n_experts)
{
    tare_rename(w, "model.layers.*.block_sparse_moe.**", "model.layers.*.mlp.**");
    tare_layer_experts_rewrite(w, "mlp", n_experts, 0);
    tare_rename(w, "model.layers.*.mlp.gate.e_score_correction_bias", "model.layers.*.mlp.e_score_correction_bias");
    tare_conv_channels_last(w, "model.layers.*.self_attn.*_conv1d.weight");
    tare_rename(w, "model.layers.*.self_attn.*_conv1d.weight", "model.layers.*.self_attn.*_conv.conv.weight");
    tare_reshape(w, "model.layers.*.self_attn.dt_bias", 1, (const int64_t[]){-1});
}
