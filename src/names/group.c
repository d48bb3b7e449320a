/* SPDX-License-Identifier: MIT
 * group.c - groups tensors into modules, by suffixes, config, dtypes and shapes.
 *
 * A stem is what stands before a packing's suffix: "a.b.up_proj" of "a.b.up_proj.qweight". Of the packing that the
 * config announces, a stem is packed when it has any tensor with a suffix that only packed modules have (.qweight,
 * .scales ...); ".weight", which MLX shares with plain tensors, counts when the stem has scales too. Packings that are
 * known by name (fp8, mxfp4 ...) are looked for in every checkpoint, as mlx-lm does: a tensor with the suffix of the
 * key part opens a stem, if dtypes and shapes do not speak against it. All others are modules of one plain tensor.
 */
#include "names/group.h"

#include <stdlib.h>
#include <string.h>

#include "names/targets.h"
#include "packing/fault.h"

/* FREE: in no module yet. TAKEN: a part of a packed module. ASIDE: stands beside one and is not needed. TOLD: says how
 * one is stored, and was read. */
enum place { FREE, TAKEN, ASIDE, TOLD };

struct grouping {
    struct tare_checkpoint *checkpoint;
    const struct tare_quant *quant;
    struct tare_arena *arena;
    /* Maps each stem to its module, for the packing that the config announces. */
    struct tare_map stems;
    struct tare_module *modules;
    size_t n;
    /* The place of each tensor, an enum place. */
    unsigned char *place;
    char *name;     /* room for the name of any part */
    size_t longest; /* length of the longest name of a tensor */
    struct tare_targets targets;
    struct tare_error *err;
};

#define LONGEST_SUFFIX 64
#define LARGEST_TOLD ((uint64_t)64 << 20) /* bytes of a tensor that only says how another is stored */

static bool ends_with(const char *name, size_t n, const char *end)
{
    const size_t m = strlen(end);
    return n >= m && !memcmp(name + n - m, end, m);
}

/* Returns the part whose suffix ends the name, or TARE_PARTS; *stem becomes the length before the suffix. */
static enum tare_part part_of(const struct tare_packing *packing, const char *name, size_t *stem)
{
    const size_t n = strlen(name);
    for (int k = 0; k < TARE_PARTS; k++) {
        const size_t m = packing->suffix[k] ? strlen(packing->suffix[k]) : 0;
        if (m && n > m && ends_with(name, n, packing->suffix[k])) {
            *stem = n - m;
            return (enum tare_part)k;
        }
    }
    return TARE_PARTS;
}

static bool shared_suffix(const struct tare_packing *packing, enum tare_part part)
{
    return !strcmp(packing->suffix[part], ".weight");
}

/* Returns a module's own name, which is the name of its logical tensor, or NULL when memory ran out. */
static const char *name_of(struct grouping *g, const struct tare_packing *packing, const char *stem, size_t n)
{
    const bool dotted = packing->suffix[TARE_PART_WEIGHT][0] == '.';
    return tare_arena_format(g->arena, "%.*s%s", (int)n, stem, dotted ? ".weight" : "");
}

/* First pass for the announced packing: each stem that has a tensor with a suffix that plain tensors never have opens a
 * module. */
static bool open_stems(struct grouping *g, const struct tare_packing *packing)
{
    for (size_t i = 0; i < g->checkpoint->n_tensors; i++) {
        const char *name = g->checkpoint->tensors[i].name;
        size_t stem = 0;
        const enum tare_part part = part_of(packing, name, &stem);
        uint32_t before = TARE_MAP_NONE;
        if (part == TARE_PARTS || shared_suffix(packing, part))
            continue;
        if (!tare_map_put(&g->stems, name, stem, (uint32_t)g->n, &before))
            return false;
        if (before != TARE_MAP_NONE)
            continue;
        g->modules[g->n] = (struct tare_module){.packing = packing, .packed = true};
        g->modules[g->n].name = name_of(g, packing, name, stem);
        if (!g->modules[g->n++].name)
            return false;
    }
    return true;
}

/* Second pass: every tensor of such a stem becomes a part of its module. */
static void place_tensors(struct grouping *g, const struct tare_packing *packing)
{
    for (size_t i = 0; i < g->checkpoint->n_tensors; i++) {
        const struct tare_tensor *tensor = &g->checkpoint->tensors[i];
        size_t stem = 0;
        const enum tare_part part = part_of(packing, tensor->name, &stem);
        const uint32_t at = part == TARE_PARTS ? TARE_MAP_NONE : tare_map_get(&g->stems, tensor->name, stem);
        if (at == TARE_MAP_NONE)
            continue;
        g->modules[at].part[part] = tensor;
        g->place[i] = TAKEN;
    }
    for (size_t k = 0; packing->which && k < g->n; k++)
        g->modules[k].packing = packing->which(&g->modules[k], g->quant);
}

/* Returns the free tensor "stem" + suffix, or NULL. */
static const struct tare_tensor *free_tensor(struct grouping *g, const char *stem, size_t n, const char *suffix)
{
    const size_t m = strlen(suffix);
    memcpy(g->name, stem, n);
    memcpy(g->name + n, suffix, m);
    const uint32_t at = tare_map_get(&g->checkpoint->by_name, g->name, n + m);
    return at == TARE_MAP_NONE || g->place[at] != FREE ? NULL : &g->checkpoint->tensors[at];
}

static void set_aside(struct grouping *g, const char *stem, size_t n, const char *const *ends, size_t n_ends)
{
    for (size_t k = 0; k < n_ends; k++) {
        const struct tare_tensor *tensor = free_tensor(g, stem, n, ends[k]);
        if (tensor)
            g->place[tensor - g->checkpoint->tensors] = ASIDE;
    }
}

/*
 * Sets scales of activations aside, which stand beside a weight, and scales of the cache of keys and values, which
 * stand beside its module. tare quantizes neither, and mlx-lm drops them likewise.
 */
static void set_beside(struct grouping *g, const char *stem, size_t n)
{
    static const char *const ends[] = {
        ".activation_scale",    ".input_scale", "_activation_scale", ".input_global_scale",
        ".input_zero_point",    "_input_scale", ".output_scale",     ".input_scale_ub",
        ".activation_scale_ub", ".k_scale",     ".v_scale"};
    static const char *const cache[] = {".k_scale", ".v_scale", ".q_scale"};
    const size_t path = ends_with(stem, n, ".weight") ? n - strlen(".weight") : n;
    size_t parent = path;
    while (parent && stem[parent - 1] != '.')
        parent--;
    set_aside(g, stem, path, ends, sizeof ends / sizeof *ends);
    set_aside(g, stem, parent ? parent - 1 : 0, cache, sizeof cache / sizeof *cache);
}

/* Reads the small tensors that say how a module is stored. False: no memory, or g->err says what could not be read. */
static bool tell(struct grouping *g, struct tare_module *module, const char *stem, size_t n)
{
    const char *const *suffix = module->packing->told;
    size_t count = 0;
    while (suffix && suffix[count])
        count++;
    struct tare_told *told = count ? tare_arena_array(g->arena, count, sizeof *told) : NULL;
    if (count && !told)
        return false;
    module->told = told;
    for (size_t k = 0; k < count; k++) {
        told[k] = (struct tare_told){.tensor = free_tensor(g, stem, n, suffix[k])};
        if (!told[k].tensor)
            continue;
        g->place[told[k].tensor - g->checkpoint->tensors] = TOLD;
        if (told[k].tensor->size > LARGEST_TOLD)
            tare_module_fault(module, g->arena, TARE_E_FORMAT, told[k].tensor,
                              "%llu bytes are too many for a tensor that says how %s is stored",
                              (unsigned long long)told[k].tensor->size, module->name);
        else if (tare_tensor_data(g->checkpoint, told[k].tensor, &told[k].data, g->err))
            return false;
    }
    return true;
}

/* For a packing that is known by its names: each stem of a key part opens a module and takes all parts that are there.
 */
static bool find_by_name(struct grouping *g, const struct tare_packing *packing)
{
    const char *key = packing->suffix[packing->key];
    for (size_t i = 0; i < g->checkpoint->n_tensors; i++) {
        const char *name = g->checkpoint->tensors[i].name;
        const size_t n = strlen(name), m = strlen(key);
        if (g->place[i] != FREE || n <= m || !ends_with(name, n, key))
            continue;
        struct tare_module *module = &g->modules[g->n];
        *module = (struct tare_module){.packing = packing, .packed = true};
        for (int k = 0; k < TARE_PARTS; k++)
            module->part[k] = packing->suffix[k] ? free_tensor(g, name, n - m, packing->suffix[k]) : NULL;
        if (packing->which && !(module->packing = packing->which(module, g->quant)))
            continue;
        for (int k = 0; k < TARE_PARTS; k++)
            if (module->part[k])
                g->place[module->part[k] - g->checkpoint->tensors] = TAKEN;
        if (!(module->name = name_of(g, packing, name, n - m)) || !tell(g, module, name, n - m))
            return false;
        set_beside(g, name, n - m);
        g->n++;
    }
    return true;
}

/* In GGUF a tensor of blocks is a module by itself, whatever its name. */
static void take_blocks(struct grouping *g)
{
    for (size_t i = 0; i < g->checkpoint->n_tensors; i++) {
        const struct tare_tensor *tensor = &g->checkpoint->tensors[i];
        const struct tare_packing *packing = tare_packing_of_blocks(tensor->dtype);
        if (!packing)
            continue;
        g->modules[g->n] = (struct tare_module){.name = tensor->name, .packing = packing, .packed = true};
        g->modules[g->n++].part[TARE_PART_WEIGHT] = tensor;
        g->place[i] = TAKEN;
    }
}

/* Makes a module of one plain tensor. */
static void plain(struct grouping *g, const struct tare_tensor *tensor)
{
    struct tare_module *m = &g->modules[g->n++];
    *m = (struct tare_module){.name = tensor->name,
                              .packing = &tare_packing_plain,
                              .rank = tensor->rank,
                              .shape = tensor->shape,
                              .dtype = tensor->dtype};
    m->part[TARE_PART_WEIGHT] = tensor;
}

static void fault_missing(struct tare_module *m, struct tare_arena *arena, enum tare_part lacks)
{
    const struct tare_tensor *there = NULL;
    for (int k = 0; k < TARE_PARTS && !there; k++)
        there = m->part[k];
    m->fault_code = TARE_E_STRICT;
    m->fault_name = there ? there->name : m->name;
    m->fault = tare_arena_format(arena, "%s is missing beside it; fetch the checkpoint again or ask its producer",
                                 tare_part_name(m, lacks, arena));
}

/* Lets the packing work out the shape. It may rely on the weight and the scales: without them the module has a fault.
 */
static void shape(struct tare_module *m, const struct tare_quant *quant, struct tare_arena *arena)
{
    for (int k = 0; k < TARE_PARTS && !m->rank; k++)
        /* An incomplete module gets what is known: the shape of its first part. */
        if (m->part[k]) {
            m->rank = m->part[k]->rank;
            m->shape = m->part[k]->shape;
            m->dtype = m->part[k]->dtype;
        }
    if (m->fault)
        return;
    if (!m->part[TARE_PART_WEIGHT])
        fault_missing(m, arena, TARE_PART_WEIGHT);
    else if (!m->part[TARE_PART_SCALES] && m->packing->suffix[TARE_PART_SCALES])
        fault_missing(m, arena, TARE_PART_SCALES);
    else if (m->packing->biases && !m->part[TARE_PART_ZEROS] && m->packing->suffix[TARE_PART_ZEROS])
        fault_missing(m, arena, TARE_PART_ZEROS);
    else {
        m->rank = 0;
        m->shape = NULL;
        m->packing->shape(m, quant, arena);
    }
}

/* Puts every tensor into one module. Returns false when memory ran out. */
static bool group(struct grouping *g, const struct tare_packing *announced)
{
    const size_t n = g->checkpoint->n_tensors;
    for (size_t i = 0; i < n; i++)
        if (strlen(g->checkpoint->tensors[i].name) > g->longest)
            g->longest = strlen(g->checkpoint->tensors[i].name);
    g->modules = tare_arena_array(g->arena, n, sizeof *g->modules);
    g->place = calloc(n + 1, sizeof *g->place);
    g->name = malloc(g->longest + LONGEST_SUFFIX);
    if (!g->modules || !g->place || !g->name)
        return false;
    if (announced && !open_stems(g, announced))
        return false;
    if (announced)
        place_tensors(g, announced);
    take_blocks(g);
    const struct tare_packing *packing;
    for (size_t k = 0; (packing = tare_packing_at(k)); k++)
        if (packing->by_name && packing != announced && !find_by_name(g, packing))
            return false;
    for (size_t i = 0; i < g->n; i++) {
        struct tare_module *m = &g->modules[i];
        if (g->targets.n &&
            tare_targets_find(&g->targets, tare_module_path(m, g->arena), &m->said, &m->ignored, g->err))
            return false;
        shape(m, g->quant, g->arena);
    }
    for (size_t i = 0; i < n; i++)
        if (g->place[i] != TAKEN)
            plain(g, &g->checkpoint->tensors[i]);
    return true;
}

/* Makes one entry for each module. All are live, except tensors that stand beside a packed module and are not
 * needed. */
static bool list(struct grouping *g, struct tare_weights *weights)
{
    if (!tare_grow(&weights->entries, &weights->room, g->n, sizeof *weights->entries))
        return false;
    for (size_t i = 0; i < g->n; i++) {
        const struct tare_module *module = &g->modules[i];
        struct tare_entry *entry = &weights->entries[i];
        *entry = (struct tare_entry){.name = module->name, .recipe = tare_recipe_take(g->arena, module)};
        if (module->packed)
            continue;
        const size_t at = (size_t)(module->part[TARE_PART_WEIGHT] - g->checkpoint->tensors);
        if (g->place[at] != ASIDE && g->place[at] != TOLD)
            continue;
        entry->rule = g->place[at] == TOLD ? "says how the weight beside it is stored, which was read"
                                           : "a scale for activations or their cache, which are not quantized here";
        entry->evidence = "names/group.c";
        entry->redundant = true;
    }
    weights->n = g->n;
    return true;
}

enum tare_code tare_modules_group(struct tare_checkpoint *checkpoint, const struct tare_quant *quant,
                                  const struct tare_packing *packing, struct tare_arena *arena,
                                  struct tare_module **modules, size_t *n_modules, struct tare_weights *weights,
                                  struct tare_error *err)
{
    struct tare_error why = {0};
    struct grouping g = {.checkpoint = checkpoint, .quant = quant, .arena = arena, .err = &why};
    weights->arena = arena;
    const bool done =
        !tare_targets_open(&g.targets, quant, &why) && group(&g, packing) && !arena->failed && list(&g, weights);
    tare_targets_release(&g.targets);
    tare_map_release(&g.stems);
    free(g.place);
    free(g.name);
    if (why.code) {
        if (err)
            *err = why;
        return why.code;
    }
    if (!done || arena->failed)
        return tare_fail_memory(err);
    *modules = g.modules;
    *n_modules = g.n;
    return TARE_OK;
}
