/* SPDX-License-Identifier: MIT
 * deepseek_v3.c - DeepSeek-V3, R1, and Kimi K2 (mlx-lm: models/deepseek_v3.py). */
#include "models/family/config_words.h"
#include "models/family/deepseek_family.h"

#define ARGS(ARG)                                                                                                      \
    TARE_DEEPSEEK_ARGS(ARG)                                                                                            \
    TARE_DEEPSEEK_ROUTER_ARGS(ARG)                                                                                     \
    ARG(INT, num_nextn_predict_layers, 0)
TARE_ARGS(ARGS);

static struct tare_deepseek_desc describe(const struct args *a)
{
    return (struct tare_deepseek_desc){TARE_DEEPSEEK_DENSE(a, 1e-6), TARE_DEEPSEEK_ROUTED(a),
                                       TARE_DEEPSEEK_ROUTER(a),      .frequency = a->moe_layer_freq,
                                       .selection_bias = true,       .predicts = a->num_nextn_predict_layers,
                                       .frequencies_stored = true,   .head = TARE_HEAD_OWN};
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct tare_deepseek_desc desc = describe(args);
    tare_deepseek(root, d, &desc);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct tare_deepseek_desc desc = describe(args);
    tare_deepseek_rewrite(w, &desc);
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    tare_null_number(&a->q_lora_rank, "q_lora_rank", d);
    const struct tare_deepseek_desc desc = describe(a);
    return tare_deepseek_check(&desc, a->topk_method, d);
}

/* The published models have 61 layers, and mlx-lm sets number 61 aside whatever the config says; not inside a wrapper.
 */
static void published(struct tare_weights *w, const void *args)
{
    if (!w->scope)
        tare_drop(w, "model.layers.61", "predicts several tokens at once, which generation does not use");
    sanitize(w, args);
}

const struct tare_arch tare_arch_deepseek_v3 = {
    .name = "deepseek_v3",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = published,
    .runs = true,
};
