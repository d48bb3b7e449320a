/* SPDX-License-Identifier: MIT
 * longcat_flash.c - LongCat-Flash (mlx-lm: models/longcat_flash.py). */
#include "models/family/config_words.h"
#include "models/family/longcat_family.h"

#define ARGS(ARG)                                                                                                      \
    TARE_LONGCAT_ARGS(ARG)                                                                                             \
    ARG(TEXT, attention_method, MLA)
TARE_ARGS(ARGS);

static struct tare_longcat_desc describe(const struct args *a)
{
    return (struct tare_longcat_desc){TARE_LONGCAT(a)};
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    (void)args;
    return tare_keys_needed((const char *const[]){"q_lora_rank"}, 1, d);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct tare_longcat_desc desc = describe(args);
    tare_longcat(root, d, &desc);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct tare_longcat_desc desc = describe(args);
    tare_longcat_rewrite(w, &desc);
}

const struct tare_arch tare_arch_longcat_flash = {
    .name = "longcat_flash",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
