/* SPDX-License-Identifier: MIT
 * target.c - stage 6, target: what each parameter becomes in an MLX folder: packed or dense, dtype, group size, or why
 * MLX cannot hold it. Decided from headers; save/ executes it. (Not in packing/: it reads the plan.)
 */
#include <string.h>

#include "module/pattern.h"
#include "packing/mlx/to_mlx.h"
#include "plan/plan.h"

/* What the leaves of one recipe have in common. */
struct leaves {
    const struct tare_module *first;  /* the first packed one */
    const struct tare_module *plain;  /* a plain one */
    bool unlike;                      /* packed ones of unlike bits or group sizes */
    bool mixed;                       /* packed ones whose scales have unlike dtypes */
    bool global;                      /* one has a scale over its scales */
    const struct tare_module *uneven; /* a packed one whose groups are no runs of columns */
    size_t dtypes[TARE_DTYPE_COUNT];  /* packed ones by the dtype of their scales */
};

static void visit(void *user, const struct tare_module *module)
{
    struct leaves *leaves = user;
    if (!module->group_size) {
        leaves->plain = module;
        return;
    }
    leaves->dtypes[module->dtype]++;
    leaves->global |= module->part[TARE_PART_GLOBAL] != NULL;
    if (!leaves->first)
        leaves->first = module;
    if (!leaves->uneven && !tare_module_even(module))
        leaves->uneven = module;
    leaves->mixed |= module->dtype != leaves->first->dtype;
    leaves->unlike |= module->bits != leaves->first->bits || module->group_size != leaves->first->group_size ||
                      module->packing != leaves->first->packing;
}

/* The entry that will be bound to a parameter, or NULL: strict (stage 7) then has something to say. */
static const struct tare_entry *entry_of(const struct tare_model *model, const struct tare_map *alive,
                                         const struct tare_parameter *parameter)
{
    const uint32_t at = tare_map_get(alive, parameter->name, strlen(parameter->name));
    if (!parameter->active || at == TARE_MAP_NONE)
        return NULL;
    const struct tare_recipe *recipe = model->weights.entries[at].recipe;
    if (recipe->rank != parameter->rank ||
        (recipe->rank && memcmp(recipe->shape, parameter->shape, (size_t)recipe->rank * sizeof *recipe->shape) != 0))
        return NULL;
    return &model->weights.entries[at];
}

/*
 * From AWQ every float takes the dtype of the scales, as in mlx-lm: that of most packed weights, and float32 where two
 * are as frequent. (mlx-lm takes that of the last tensor read, in the order of a hash table.)
 */
static enum tare_dtype dtype_of_most(const size_t count[TARE_DTYPE_COUNT], bool *differ)
{
    enum tare_dtype most = TARE_F32;
    size_t best = 0, kinds = 0;
    for (int d = 0; d < TARE_DTYPE_COUNT; d++) {
        kinds += count[d] > 0;
        if (count[d] > best) {
            best = count[d];
            most = (enum tare_dtype)d;
        } else if (count[d] && count[d] == best) {
            most = TARE_F32;
        }
    }
    *differ = kinds > 1;
    return most;
}

/* MLX's group size for one of ours, 0 when there is none: 32, 64 and 128 stay, a larger one is repeated at the largest
 * of them. */
static int64_t group_size_of(int64_t group_size)
{
    if (group_size == 32 || group_size == 64)
        return group_size;
    for (int64_t size = 128; size >= 32; size /= 2)
        if (group_size % size == 0)
            return size;
    return 0;
}

static bool may_pack(enum tare_kind kind)
{
    return kind == TARE_KIND_LINEAR || kind == TARE_KIND_EMBEDDING || kind == TARE_KIND_EXPERTS;
}

bool tare_dense_asked(const char *patterns, const char *name)
{
    char pattern[256];
    for (size_t n; patterns && *patterns; patterns += n + (patterns[n] == ',')) {
        n = strcspn(patterns, ",");
        if (!n || n >= sizeof pattern)
            continue;
        memcpy(pattern, patterns, n);
        pattern[n] = 0;
        const struct tare_pattern read = tare_pattern_read(pattern, false);
        if (tare_pattern_match(&read, name, true, NULL))
            return true;
    }
    return false;
}

/* Why a recipe with packed leaves becomes dense, or NULL when it stays packed. */
static const char *dense_because(const struct tare_model *model, const struct tare_parameter *parameter,
                                 const struct tare_recipe *recipe, const struct leaves *leaves)
{
    if (tare_dense_asked(model->options.dequantize, parameter->name))
        return "dequantized, as --dequantize asks";
    if (!may_pack(parameter->kind))
        return "dequantized, because mlx packs linear layers and embeddings only";
    if (leaves->plain)
        return "dequantized, because only a part of it is packed";
    if (leaves->first->packing->mode == TARE_MLX_DENSE)
        return "dequantized, because mlx has no fp8 with float scales; mlx-lm does the same";
    if (leaves->unlike)
        return "dequantized, because its parts have unlike bits or group sizes";
    if (leaves->first->packing->blocks && leaves->first->packing->mode == TARE_MLX_AFFINE &&
        !group_size_of(leaves->first->group_size))
        return "dequantized, because mlx has no affine groups of 16 columns; float32 holds its values, --dtype rounds "
               "them";
    if (!recipe->packed)
        return "dequantized, because rewriting cuts or reorders its input columns, or computes with its values";
    return NULL;
}

#define DENSE "--dequantize=MODULE writes it as floats"

static void choose_packed(struct tare_model *model, struct tare_target *target, const struct leaves *leaves)
{
    const struct tare_module *module = leaves->first;
    target->packed = true;
    target->mode = module->packing->mode;
    target->global = leaves->global;
    target->bits = module->bits;
    target->group_size = module->group_size;
    if (target->mode != TARE_MLX_AFFINE) /* these have one size of bits and groups */
        return;
    target->group_size = group_size_of(module->group_size);
    if (!tare_mlx_bits(module->bits))
        target->refusal = tare_arena_format(
            &model->arena, "%d bits have no MLX form: affine has 2, 3, 4, 5, 6 and 8; %s", module->bits, DENSE);
    else if (leaves->uneven && leaves->uneven->act_order)
        target->refusal = tare_arena_format(
            &model->arena, "%s has its columns in act-order (g_idx is not i / group_size), which has no MLX form; %s",
            leaves->uneven->name, DENSE);
    else if (leaves->uneven)
        target->refusal = tare_arena_format(
            &model->arena, "the last group of %s is short (%lld columns, group_size %lld), which has no MLX form; %s",
            leaves->uneven->name, (long long)tare_module_columns(leaves->uneven), (long long)module->group_size, DENSE);
    else if (module->by_rows)
        target->refusal = tare_arena_format(
            &model->arena, "%s is packed along its rows, with groups of rows, which has no MLX form; %s", module->name,
            DENSE);
    else if (!target->group_size)
        target->refusal = tare_arena_format(
            &model->arena, "group_size %lld has no MLX form: affine has 32, 64 and 128, and what they divide; %s",
            (long long)module->group_size, DENSE);
}

static void choose_dense(struct tare_model *model, struct tare_target *target)
{
    if (target->dtype == TARE_F64 || !strncmp(tare_dtype_name(target->dtype), "F8", 2))
        target->refusal = tare_arena_format(&model->arena, "%s has no dense MLX form", tare_dtype_name(target->dtype));
}

static void choose(struct tare_model *model, const struct tare_parameter *parameter, const struct tare_recipe *recipe,
                   const struct leaves *leaves)
{
    struct tare_target *target = &model->targets[parameter->index];
    const bool cast = model->casts && tare_dtype_is_float(recipe->dtype);
    target->dtype = cast ? model->float_dtype : recipe->dtype;
    if (leaves->first)
        target->because = dense_because(model, parameter, recipe, leaves);
    model->n_casts += cast && (recipe->dtype != target->dtype || leaves->mixed);
    if (parameter == model->tree.head.weight && model->tree.head.kind == TARE_HEAD_NONE)
        target->refusal = "mlx-lm's architecture has no output head of its own; this model has";
    else if (leaves->first && !target->because)
        choose_packed(model, target, leaves);
    else
        choose_dense(model, target);
}

static struct leaves leaves_of(const struct tare_recipe *recipe)
{
    struct leaves leaves = {0};
    tare_recipe_leaves(recipe, visit, &leaves);
    return leaves;
}

/* Which dtype do all floats take? */
static void choose_dtype(struct tare_model *model, const struct tare_map *alive)
{
    size_t count[TARE_DTYPE_COUNT] = {0};
    for (size_t k = 0; k < model->tree.n; k++) {
        const struct tare_entry *entry = entry_of(model, alive, model->tree.parameters[k]);
        if (!entry)
            continue;
        const struct leaves leaves = leaves_of(entry->recipe);
        if (!leaves.first || !leaves.first->packing->casts)
            continue;
        for (int d = 0; d < TARE_DTYPE_COUNT; d++)
            count[d] += leaves.dtypes[d];
        model->casts = true;
    }
    bool differ = false;
    model->float_dtype = dtype_of_most(count, &differ);
    if (model->casts && differ)
        tare_plan_finding(model, TARE_WARNING, TARE_OK, "mixed-scales", model->quant.place ? model->quant.place : "",
                          "the scales differ in dtype (%zu F16, %zu BF16, %zu F32); converting casts every float to %s",
                          count[TARE_F16], count[TARE_BF16], count[TARE_F32], tare_dtype_name(model->float_dtype));
}

static enum tare_code choose_all(struct tare_model *model, struct tare_map *alive, struct tare_error *err)
{
    if (!tare_map_reserve(alive, model->weights.n))
        return tare_fail_memory(err);
    for (size_t k = 0; k < model->weights.n; k++) {
        const struct tare_entry *entry = &model->weights.entries[k];
        if (!entry->rule && !entry->absorbed &&
            !tare_map_put(alive, entry->name, strlen(entry->name), (uint32_t)k, NULL))
            return tare_fail_memory(err);
    }
    choose_dtype(model, alive);
    for (size_t k = 0; k < model->tree.n; k++) {
        const struct tare_parameter *parameter = model->tree.parameters[k];
        const struct tare_entry *entry = entry_of(model, alive, parameter);
        if (entry) {
            const struct leaves leaves = leaves_of(entry->recipe);
            choose(model, parameter, entry->recipe, &leaves);
        }
    }
    return model->arena.failed ? tare_fail_memory(err) : TARE_OK;
}

/* mlx multiplies with a global scale, but of mlx-lm's layers only those of experts hand it over (switch_layers.py). */
static void note_globals(struct tare_model *model)
{
    const struct tare_parameter *first = NULL;
    size_t n = 0;
    for (size_t k = 0; k < model->tree.n; k++) {
        const struct tare_parameter *p = model->tree.parameters[k];
        const struct tare_target *target = &model->targets[p->index];
        if (!target->packed || !target->global || p->kind == TARE_KIND_EXPERTS)
            continue;
        first = first ? first : p;
        n++;
    }
    if (n)
        tare_plan_finding(model, TARE_NOTE, TARE_OK, "global-scale", first->name,
                          "in mlx %zu module%s a global_scale: tare and mlx read it, the linear layers of mlx-lm 0.32 "
                          "refuse it; --dequantize=MODULE writes floats",
                          n, n == 1 ? " has" : "s have");
}

void tare_target_replace(struct tare_model *model, const struct tare_parameter *parameter,
                         const struct tare_recipe *recipe)
{
    const struct leaves leaves = leaves_of(recipe);
    const size_t casts = model->n_casts; /* the same as before */
    model->targets[parameter->index] = (struct tare_target){.recipe = recipe};
    choose(model, parameter, recipe, &leaves);
    model->n_casts = casts;
}

enum tare_code tare_target_choose(struct tare_model *model, struct tare_error *err)
{
    model->targets = tare_arena_array(&model->arena, model->tree.n + 1, sizeof *model->targets);
    model->casts = false;
    model->n_casts = 0;
    if (!model->targets)
        return tare_fail_memory(err);
    struct tare_map alive = {0};
    const enum tare_code code = choose_all(model, &alive, err);
    tare_map_release(&alive);
    if (!code)
        note_globals(model);
    return code;
}
