/* SPDX-License-Identifier: MIT
 * mlx_target.c - what each parameter becomes in an MLX folder: packed or dense, dtype, group size, or why MLX cannot
 * hold it. Everything is decided from headers, so a plan can foresee what an MLX folder would be (stage 7).
 */
#include "save/mlx_target.h"

#include <string.h>

#include "packing/mlx/to_mlx.h"

/* What the leaves of one recipe have in common. */
struct leaves {
    /* The first packed one, and a plain one; NULL: there is none. */
    const struct tare_module *first, *plain;
    /* A packed one whose groups are not runs of columns. */
    const struct tare_module *uneven;
    /* Packed ones have unlike bits, group sizes or packings. */
    bool unlike;
    /* A packed one has a scale over its scales. */
    bool global;
    /* How many packed ones have scales of each dtype. */
    size_t dtypes[TARE_DTYPE_COUNT];
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
    leaves->unlike |= module->bits != leaves->first->bits || module->group_size != leaves->first->group_size ||
                      module->packing != leaves->first->packing;
}

static struct leaves leaves_of(const struct tare_recipe *recipe)
{
    struct leaves leaves = {0};
    tare_recipe_leaves(recipe, visit, &leaves);
    return leaves;
}

/* The entry that strict binds to a parameter; NULL where there is none that fits. */
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

/* The entries of all parameters by index, in the arena; NULL: no memory. Stage 6 asks before strict has bound them. */
static const struct tare_entry **entries_of(const struct tare_model *model, struct tare_arena *arena)
{
    struct tare_map alive = {0};
    const struct tare_entry **entries = tare_arena_array(arena, model->tree.n + 1, sizeof *entries);
    bool room = entries && tare_map_reserve(&alive, model->weights.n);
    for (size_t k = 0; room && k < model->weights.n; k++) {
        const struct tare_entry *entry = &model->weights.entries[k];
        if (!entry->rule && !entry->absorbed)
            room = tare_map_put(&alive, entry->name, strlen(entry->name), (uint32_t)k, NULL);
    }
    for (size_t k = 0; room && k < model->tree.n; k++)
        entries[model->tree.parameters[k]->index] = entry_of(model, &alive, model->tree.parameters[k]);
    tare_map_release(&alive);
    return room ? entries : NULL;
}

/*
 * The dtype of most packed weights' scales, or float32 where two dtypes are equally frequent. (mlx-lm takes that of the
 * last tensor it reads, in the order of a hash table.)
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

/* The group size in MLX for one of the source, or 0. 32, 64 and 128 stay; scales of a larger group are repeated at the
 * largest of these that divides it. */
static int64_t group_size_of(int64_t group_size)
{
    if (group_size == 32 || group_size == 64)
        return group_size;
    for (int64_t size = 128; size >= 32; size /= 2)
        if (group_size % size == 0)
            return size;
    return 0;
}

static struct tare_mlx_floats floats_of(const struct tare_model *model, const struct tare_entry *const *entries)
{
    struct tare_mlx_floats floats = {0};
    for (size_t k = 0; k < model->tree.n; k++) {
        if (!entries[k])
            continue;
        const struct leaves leaves = leaves_of(entries[k]->recipe);
        if (!leaves.first || !leaves.first->packing->casts)
            continue;
        for (int d = 0; d < TARE_DTYPE_COUNT; d++)
            floats.count[d] += leaves.dtypes[d];
        floats.casts = true;
    }
    floats.dtype = dtype_of_most(floats.count, &floats.differ);
    return floats;
}

enum tare_code tare_mlx_floats(const struct tare_model *model, struct tare_mlx_floats *floats, struct tare_error *err)
{
    struct tare_arena work = {0};
    const struct tare_entry **entries = entries_of(model, &work);
    if (entries)
        *floats = floats_of(model, entries);
    tare_arena_release(&work);
    return entries ? TARE_OK : tare_fail_memory(err);
}

static bool may_pack(enum tare_kind kind)
{
    return kind == TARE_KIND_LINEAR || kind == TARE_KIND_EMBEDDING || kind == TARE_KIND_EXPERTS;
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
    if (leaves->first->packing->mode == TARE_MLX_DENSE && leaves->first->packing->codes != TARE_CODE_E4M3)
        return "dequantized, because mlx has no form that holds its values";
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

static void choose_packed(struct tare_arena *arena, struct tare_target *target, const struct leaves *leaves)
{
    const struct tare_module *module = leaves->first;
    target->packed = true;
    target->mode = module->packing->mode;
    target->global = leaves->global;
    target->bits = module->bits;
    target->group_size = module->group_size;
    if (target->mode != TARE_MLX_AFFINE) /* Each of these modes has one number of bits and one group size. */
        return;
    target->group_size = group_size_of(module->group_size);
    if (!tare_mlx_bits(module->bits))
        target->refusal = tare_arena_format(arena, "%d bits have no MLX form: affine has 2, 3, 4, 5, 6 and 8; %s",
                                            module->bits, DENSE);
    else if (leaves->uneven && leaves->uneven->act_order)
        target->refusal = tare_arena_format(
            arena, "%s has its columns in act-order (g_idx is not i / group_size), which has no MLX form; %s",
            leaves->uneven->name, DENSE);
    else if (leaves->uneven)
        target->refusal = tare_arena_format(
            arena, "the last group of %s is short (%lld columns, group_size %lld), which has no MLX form; %s",
            leaves->uneven->name, (long long)tare_module_columns(leaves->uneven), (long long)module->group_size, DENSE);
    else if (module->by_rows)
        target->refusal = tare_arena_format(
            arena, "%s is packed along its rows, with groups of rows, which has no MLX form; %s", module->name, DENSE);
    else if (!target->group_size)
        target->refusal = tare_arena_format(
            arena, "group_size %lld has no MLX form: affine has 32, 64 and 128, and what they divide; %s",
            (long long)module->group_size, DENSE);
}

static void choose_dense(struct tare_arena *arena, struct tare_target *target)
{
    if (target->dtype == TARE_F64 || !strncmp(tare_dtype_name(target->dtype), "F8", 2))
        target->refusal = tare_arena_format(arena, "%s has no dense MLX form", tare_dtype_name(target->dtype));
}

struct tare_target tare_mlx_target(const struct tare_model *model, const struct tare_parameter *parameter,
                                   const struct tare_recipe *recipe, const struct tare_mlx_floats *floats,
                                   struct tare_arena *arena)
{
    struct tare_target target = {.dtype = recipe->dtype};
    const struct leaves leaves = leaves_of(recipe);
    if (floats->casts && tare_dtype_is_float(recipe->dtype))
        target.dtype = floats->dtype;
    if (leaves.first)
        target.because = dense_because(model, parameter, recipe, &leaves);
    if (parameter == model->tree.head.weight && model->tree.head.kind == TARE_HEAD_NONE)
        target.refusal = "mlx-lm's architecture has no output head of its own; this model has";
    else if (leaves.first && !target.because)
        choose_packed(arena, &target, &leaves);
    else
        choose_dense(arena, &target);
    return target;
}

/* mlx multiplies with a global scale, but of mlx-lm's layers only those of experts hand it over (switch_layers.py). */
static void note_globals(struct tare_model *model, const struct tare_entry *const *entries,
                         const struct tare_mlx_floats *floats, struct tare_arena *work)
{
    const struct tare_parameter *first = NULL;
    size_t n = 0;
    for (size_t k = 0; k < model->tree.n; k++) {
        const struct tare_parameter *p = model->tree.parameters[k];
        if (!entries[k] || p->kind == TARE_KIND_EXPERTS)
            continue;
        const struct tare_target target = tare_mlx_target(model, p, entries[k]->recipe, floats, work);
        if (!target.packed || !target.global)
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

enum tare_code tare_mlx_foresee(struct tare_model *model, struct tare_error *err)
{
    struct tare_arena work = {0};
    const struct tare_entry **entries = entries_of(model, &work);
    if (entries) {
        const struct tare_mlx_floats floats = floats_of(model, entries);
        const size_t *count = floats.count;
        if (floats.casts && floats.differ)
            tare_plan_finding(model, TARE_WARNING, TARE_OK, "mixed-scales",
                              model->quant.place ? model->quant.place : "",
                              "the scales differ in dtype (%zu F16, %zu BF16, %zu F32); converting casts every float "
                              "to %s",
                              count[TARE_F16], count[TARE_BF16], count[TARE_F32], tare_dtype_name(floats.dtype));
        note_globals(model, entries, &floats, &work);
    }
    const bool failed = !entries || work.failed || model->arena.failed;
    tare_arena_release(&work);
    return failed ? tare_fail_memory(err) : TARE_OK;
}
