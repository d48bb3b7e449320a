/* SPDX-License-Identifier: MIT
 * bailing_moe_v3.c - Ling 3: Kimi's delta attention, and latent attention in each group's last layer (mlx-lm:
 * models/bailing_moe_v3.py). Its model_type is bailing_hybrid; "architectures" in
 * config.json tells the two apart. */
#include <string.h>

#include "blocks/recurrent/delta_rule.h"
#include "models/family/bailing_family.h"
#include "models/family/config_words.h"
#include "models/family/decoder_skeleton.h"
#include "open/checkpoint.h"

#define LAYERS_MOST 128 /* that are renamed one by one; the published model has 24 */

#define ARGS(ARG)                                                                                                      \
    ARG(INT, vocab_size, 157184)                                                                                       \
    ARG(INT, hidden_size, 1536)                                                                                        \
    ARG(INT, intermediate_size, 4608)                                                                                  \
    ARG(INT, moe_intermediate_size, 512)                                                                               \
    ARG(INT, moe_shared_expert_intermediate_size, 512)                                                                 \
    ARG(INT, num_hidden_layers, 24)                                                                                    \
    ARG(INT, num_attention_heads, 16)                                                                                  \
    ARG(INT, num_experts, 128)                                                                                         \
    ARG(INT, num_experts_per_tok, 8)                                                                                   \
    ARG(INT, num_shared_experts, 1)                                                                                    \
    ARG(INT, first_k_dense_replace, 1)                                                                                 \
    ARG(INT, n_group, 8)                                                                                               \
    ARG(INT, topk_group, 4)                                                                                            \
    ARG(REAL, routed_scaling_factor, 2.5)                                                                              \
    ARG(INT, layer_group_size, 4)                                                                                      \
    ARG(INT, head_dim, 128)                                                                                            \
    ARG(INT, q_lora_rank, 256)                                                                                         \
    ARG(INT, kv_lora_rank, 512)                                                                                        \
    ARG(INT, qk_nope_head_dim, 128)                                                                                    \
    ARG(INT, qk_rope_head_dim, 64)                                                                                     \
    ARG(INT, v_head_dim, 128)                                                                                          \
    ARG(INT, short_conv_kernel_size, 4)                                                                                \
    ARG(REAL, kda_lower_bound, -5)                                                                                     \
    ARG(FLAG, kda_safe_gate, true)                                                                                     \
    ARG(FLAG, no_kda_lora, true)                                                                                       \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(REAL, rope_theta, 6000000)                                                                                     \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(INT, max_position_embeddings, 131072)                                                                          \
    ARG(FLAG, rope_interleave, true)                                                                                   \
    ARG(FLAG, tie_word_embeddings, false)
TARE_ARGS(ARGS);

static bool is_published(const struct tare_derive *d, const char *name)
{
    return name && tare_checkpoint_find(d->checkpoint, name);
}

/* Reads q_lora_rank as null where the checkpoint has q_proj in one piece: transformers' class writes it so, whatever
 * q_lora_rank says. */
static void as_published(struct args *a, const struct tare_derive *d)
{
    const long long global = a->layer_group_size <= a->num_hidden_layers ? (long long)a->layer_group_size - 1 : 0;
    const char *whole = tare_arena_format(d->arena, "model.layers.%lld.attention.q_proj.weight", global);
    const char *packed = tare_arena_format(d->arena, "model.layers.%lld.attention.q_proj.qweight", global);
    if (a->q_lora_rank < 1 || (!is_published(d, whole) && !is_published(d, packed)))
        return;
    a->q_lora_rank = -1;
    d->derived->corrected = "q_lora_rank";
    d->derived->correction = json_null();
    d->derived->why = "the checkpoint has q_proj in one piece; read as null";
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    tare_null_number(&a->q_lora_rank, "q_lora_rank", d);
    if (a->layer_group_size < 1 || a->num_attention_heads < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "layer_group_size and num_attention_heads must be at least 1");
    if (!a->rope_interleave)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "rope_interleave is false; this model needs true");
    const bool delta = a->layer_group_size > 1 && a->layer_group_size <= a->num_hidden_layers;
    if (delta && (!a->kda_safe_gate || !a->no_kda_lora))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "%s is false; this model needs true",
                         a->kda_safe_gate ? "no_kda_lora" : "kda_safe_gate");
    as_published(a, d);
    return TARE_OK;
}

static struct tare_bailing describe(const struct args *a)
{
    return (struct tare_bailing){.dim = a->hidden_size,
                                 .heads = a->num_attention_heads,
                                 .n_layers = a->num_hidden_layers,
                                 .group = a->layer_group_size,
                                 .first_dense = a->first_k_dense_replace,
                                 .router = {TARE_BAILING_ROUTER(a, "sigmoid"), .normalize = true},
                                 .hidden = a->intermediate_size,
                                 .expert_hidden = a->moe_intermediate_size,
                                 .shared_hidden = a->moe_shared_expert_intermediate_size * a->num_shared_experts,
                                 .router_plain = true,
                                 .router_bias = true,
                                 .eps = a->rms_norm_eps};
}

static void delta(struct tare_layer *l, struct tare_at at, const struct args *a)
{
    tare_delta(l, at,
               &(struct tare_delta_desc){.name = "attention",
                                         .dim = a->hidden_size,
                                         .key_heads = a->num_attention_heads,
                                         .value_heads = a->num_attention_heads,
                                         .key_head = a->head_dim,
                                         .value_head = a->head_dim,
                                         .kernel = a->short_conv_kernel_size,
                                         .decay = TARE_DECAY_ELEMENT,
                                         .least = a->kda_lower_bound,
                                         .gate_sigmoid = true,
                                         .eps = a->rms_norm_eps});
}

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const struct tare_bailing b = describe(a);
    struct tare_mla_desc mla = {TARE_BAILING_LATENT(a), .gate = "g_proj", .gate_heads = true};
    if (tare_bailing_global(&b, i)) {
        tare_mla_turn(&mla, at,
                      &(struct tare_mla_rotary){
                          .theta = a->rope_theta, .scaling = a->rope_scaling, .context = a->max_position_embeddings});
        tare_mla(l, at, &mla);
    } else {
        delta(l, at, a);
    }
    tare_bailing_layer(l, at, &b, i);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d, &(struct tare_skeleton){TARE_BAILING_SKELETON(a), .layer = layer});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    const struct tare_bailing b = describe(a);
    tare_drop_from(w, "model.layers.#", b.n_layers, "predicts further tokens at once; not used in running");
    for (int64_t i = 0; i < b.n_layers && i < LAYERS_MOST && !w->error.code; i++) {
        const char *from = tare_arena_format(w->arena, "model.layers.%lld.attention.dense.weight", (long long)i);
        const char *to = tare_arena_format(w->arena, "model.layers.%lld.attention.o_proj.weight", (long long)i);
        if (from && to && !tare_bailing_global(&b, i))
            tare_rename(w, from, to);
    }
    tare_bailing_rewrite(w, &b);
    tare_conv_channels_last(w, "**.*_conv1d.weight");
    tare_mla_rewrite(w, "model.layers.*.attention", a->num_attention_heads, a->qk_nope_head_dim, a->v_head_dim);
}

const struct tare_arch tare_arch_bailing_moe_v3 = {
    .name = "bailing_moe_v3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
