/* SPDX-License-Identifier: MIT
 * mlx_rules.c - which modules mlx-lm rounds otherwise than it was asked to: its architectures' own rules
 * (mlx_rules.def), and its mixed recipes, where values, down projections and the head have more bits in some layers.
 * Source: mlx-lm 0.32.2, convert.py and utils.py.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "quantize/quantizing.h"

enum how { ENDS, HAS, IS };

struct rule {
    const char *architecture;
    enum how how;
    const char *text;
    int bits;
};

#define NOTHING
static const struct rule rules[] = {
#define RULE(architecture, how, text, bits) {#architecture, how, text, bits},
#define OTHER(architecture) NOTHING
#define KEEPS(architecture, how, text) NOTHING
#include "quantize/mlx_rules.def"
#undef RULE
#undef OTHER
#undef KEEPS
};

static const struct rule kept[] = {
#define RULE(architecture, how, text, bits) NOTHING
#define OTHER(architecture) NOTHING
#define KEEPS(architecture, how, text) {#architecture, how, text, 0},
#include "quantize/mlx_rules.def"
#undef RULE
#undef OTHER
#undef KEEPS
};

static const char *const others[] = {
#define RULE(architecture, how, text, bits) NOTHING
#define OTHER(architecture) #architecture,
#define KEEPS(architecture, how, text) NOTHING
#include "quantize/mlx_rules.def"
#undef RULE
#undef OTHER
#undef KEEPS
};

static const struct rule *find(const struct rule *list, size_t n, const char *architecture, const char *name)
{
    for (size_t k = 0; k < n; k++) {
        const struct rule *rule = &list[k];
        if (strcmp(rule->architecture, architecture) != 0)
            continue;
        if (rule->how == ENDS  ? tare_ends_with(name, rule->text)
            : rule->how == HAS ? strstr(name, rule->text) != NULL
                               : !strcmp(name, rule->text))
            return rule;
    }
    return NULL;
}

bool tare_mlx_rule(const char *architecture, const char *path, struct tare_mlx_form *form)
{
    const struct rule *rule = find(rules, sizeof rules / sizeof *rules, architecture, path);
    if (rule)
        *form = (struct tare_mlx_form){TARE_MLX_AFFINE, rule->bits, 64};
    return rule != NULL;
}

bool tare_mlx_keeps_dtype(const char *architecture, const char *name)
{
    return find(kept, sizeof kept / sizeof *kept, architecture, name) != NULL;
}

bool tare_mlx_rules_known(const char *architecture)
{
    for (size_t k = 0; k < sizeof others / sizeof *others; k++)
        if (!strcmp(others[k], architecture))
            return false;
    return true;
}

/* ---- modes ----------------------------------------------------------------------------------------------------- */

static const struct tare_mlx_form modes[] = {
    {TARE_MLX_AFFINE, 4, 64}, {TARE_MLX_MXFP4, 4, 32}, {TARE_MLX_MXFP8, 8, 32}, {TARE_MLX_NVFP4, 4, 16}};

struct tare_mlx_form tare_mlx_mode_form(size_t index)
{
    return modes[index];
}

const char *tare_quantize_mode(size_t index)
{
    return index < sizeof modes / sizeof *modes ? tare_mlx_mode_word(modes[index].mode) : NULL;
}

/* ---- mixed recipes --------------------------------------------------------------------------------------------- */

static const struct recipe {
    const char *name;
    int low, high;
} recipes[] = {{"mixed_2_6", 2, 6}, {"mixed_3_4", 3, 4}, {"mixed_3_6", 3, 6}, {"mixed_4_6", 4, 6}};

const char *tare_mlx_recipe(size_t k)
{
    return k < sizeof recipes / sizeof *recipes ? recipes[k].name : NULL;
}

const char *tare_quantize_recipe(size_t index)
{
    return tare_mlx_recipe(index);
}

/* The number that component `place` of a path is; 0: there is none. */
static int64_t layer_of(const char *path, int place)
{
    for (; place > 0 && path; place--) {
        path = strchr(path, '.');
        path = path ? path + 1 : NULL;
    }
    return path ? strtoll(path, NULL, 10) : 0;
}

struct tare_mlx_form tare_mlx_mixed(const struct tare_mlx_asked *asked, const char *path)
{
    const struct recipe *recipe = recipes;
    while (strcmp(recipe->name, asked->recipe) != 0)
        recipe++;
    const int64_t n = asked->layers, layer = layer_of(path, asked->place);
    const bool more = layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
    const bool value = strstr(path, "v_proj") || strstr(path, "v_a_proj") || strstr(path, "v_b_proj");
    const bool high = ((value || strstr(path, "down_proj")) && more) || strstr(path, "lm_head");
    return (struct tare_mlx_form){TARE_MLX_AFFINE, high ? recipe->high : recipe->low, asked->form.group_size};
}
