/* SPDX-License-Identifier: MIT
 * deepseek_v2.c - DeepSeek-V2, with kv_b_proj kept whole (mlx-lm: models/deepseek_v2.py). */
#include <string.h>

#include "models/family/config_words.h"
#include "models/family/deepseek_family.h"

#define ARGS(ARG)                                                                                                      \
    TARE_DEEPSEEK_ARGS(ARG)                                                                                            \
    ARG(TEXT, topk_method, gready)                                                                                     \
    ARG(INT, n_group, ABSENT)                                                                                          \
    ARG(INT, topk_group, ABSENT)                                                                                       \
    ARG(INT, num_experts_per_tok, ABSENT)
TARE_ARGS(ARGS);

static struct tare_deepseek_desc describe(const struct args *a)
{
    struct tare_deepseek_desc desc = {TARE_DEEPSEEK_DENSE(a, 1e-6), TARE_DEEPSEEK_ROUTED(a),
                                      .frequency = a->moe_layer_freq, .head = TARE_HEAD_OWN};
    desc.attention.kv_b_whole = true;
    desc.router = (struct tare_router){.top = a->num_experts_per_tok, .scale = a->routed_scaling_factor};
    if (!strcmp(a->topk_method, "group_limited_greedy")) {
        desc.router.groups = a->n_group;
        desc.router.top_groups = a->topk_group;
        desc.router.group_by_best = true;
    }
    return desc;
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
    return tare_deepseek_check(&desc, NULL, d);
}

const struct tare_arch tare_arch_deepseek_v2 = {
    .name = "deepseek_v2",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
