/* SPDX-License-Identifier: MIT
 * group.c - tensors become modules, by suffixes, config, dtypes and shapes.
 *
 * A stem is what stands before a packing's suffix: "a.b.up_proj" of "a.b.up_proj.qweight". A stem is packed when it has
 * any tensor with a suffix that only packed modules have (.qweight, .scales ...); ".weight", which MLX shares with
 * plain tensors, counts when the stem has scales too. All others are modules of one plain tensor.
 */
#include "names/group.h"

#include <string.h>

struct grouping {
    const struct tare_checkpoint *checkpoint;
    const struct tare_packing *packing;
    struct tare_arena *arena;
    struct tare_map stems; /* stem -> module */
    struct tare_module *modules;
    size_t n;
};

/* The part whose suffix ends the name, or TARE_PARTS; *stem gets the length before it. */
static enum tare_part part_of(const struct tare_packing *packing, const char *name, size_t *stem)
{
    const size_t n = strlen(name);
    for (int k = 0; packing && k < TARE_PARTS; k++) {
        const size_t m = packing->suffix[k] ? strlen(packing->suffix[k]) : 0;
        if (m && n > m && !memcmp(name + n - m, packing->suffix[k], m)) {
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

static struct tare_module *plain(struct grouping *g, const struct tare_tensor *tensor)
{
    struct tare_module *m = &g->modules[g->n++];
    *m = (struct tare_module){.name = tensor->name,
                              .packing = &tare_packing_plain,
                              .rank = tensor->rank,
                              .shape = tensor->shape,
                              .dtype = tensor->dtype};
    m->part[TARE_PART_WEIGHT] = tensor;
    return m;
}

/* First pass: the stems that have a tensor of a suffix of their own get a module. */
static bool open_stems(struct grouping *g)
{
    for (size_t i = 0; i < g->checkpoint->n_tensors; i++) {
        const char *name = g->checkpoint->tensors[i].name;
        size_t stem = 0;
        const enum tare_part part = part_of(g->packing, name, &stem);
        uint32_t before = TARE_MAP_NONE;
        if (part == TARE_PARTS || shared_suffix(g->packing, part))
            continue;
        if (!tare_map_put(&g->stems, name, stem, (uint32_t)g->n, &before))
            return false;
        if (before != TARE_MAP_NONE)
            continue;
        g->modules[g->n] = (struct tare_module){.packing = g->packing, .shape = NULL};
        g->modules[g->n].name = tare_arena_format(g->arena, "%.*s.weight", (int)stem, name);
        if (!g->modules[g->n++].name)
            return false;
    }
    return true;
}

/* Second pass: every tensor finds its module. */
static void place_tensors(struct grouping *g)
{
    for (size_t i = 0; i < g->checkpoint->n_tensors; i++) {
        const struct tare_tensor *tensor = &g->checkpoint->tensors[i];
        size_t stem = 0;
        const enum tare_part part = part_of(g->packing, tensor->name, &stem);
        const uint32_t at = part == TARE_PARTS ? TARE_MAP_NONE : tare_map_get(&g->stems, tensor->name, stem);
        if (at == TARE_MAP_NONE)
            plain(g, tensor);
        else
            g->modules[at].part[part] = tensor;
    }
}

static void fault_missing(struct tare_module *m, struct tare_arena *arena, enum tare_part lacks)
{
    const struct tare_tensor *there = NULL;
    for (int k = 0; k < TARE_PARTS && !there; k++)
        there = m->part[k];
    m->fault_code = TARE_E_STRICT;
    m->fault_name = there ? there->name : m->name;
    m->fault = tare_arena_format(arena, "%.*s%s is missing beside it; fetch the checkpoint again or ask its producer",
                                 (int)(strlen(m->name) - strlen(".weight")), m->name, m->packing->suffix[lacks]);
}

/* What shape() may rely on: the weight and the scales are there. */
static void shape(struct tare_module *m, const struct tare_quant *quant, struct tare_arena *arena)
{
    for (int k = 0; k < TARE_PARTS && !m->rank; k++)
        if (m->part[k]) { /* what is known of an incomplete one */
            m->rank = m->part[k]->rank;
            m->shape = m->part[k]->shape;
            m->dtype = m->part[k]->dtype;
        }
    if (!m->part[TARE_PART_WEIGHT])
        fault_missing(m, arena, TARE_PART_WEIGHT);
    else if (!m->part[TARE_PART_SCALES])
        fault_missing(m, arena, TARE_PART_SCALES);
    else if (m->packing->biases && !m->part[TARE_PART_ZEROS])
        fault_missing(m, arena, TARE_PART_ZEROS);
    else {
        m->rank = 0;
        m->shape = NULL;
        m->packing->shape(m, quant, arena);
    }
}

enum tare_code tare_modules_group(const struct tare_checkpoint *checkpoint, const struct tare_quant *quant,
                                  const struct tare_packing *packing, struct tare_arena *arena,
                                  struct tare_module **modules, size_t *n_modules, struct tare_weights *weights,
                                  struct tare_error *err)
{
    struct grouping g = {.checkpoint = checkpoint, .packing = packing, .arena = arena};
    g.modules = tare_arena_array(arena, checkpoint->n_tensors, sizeof *g.modules);
    const bool opened = g.modules && open_stems(&g);
    if (opened) {
        place_tensors(&g);
        for (size_t i = 0; i < g.n; i++)
            if (g.modules[i].packing != &tare_packing_plain)
                shape(&g.modules[i], quant, arena);
    }
    tare_map_release(&g.stems);
    weights->arena = arena;
    if (!opened || arena->failed || !tare_grow(&weights->entries, &weights->room, g.n, sizeof *weights->entries))
        return tare_fail_memory(err);
    for (size_t i = 0; i < g.n; i++)
        weights->entries[i] =
            (struct tare_entry){.name = g.modules[i].name, .recipe = tare_recipe_take(arena, &g.modules[i])};
    weights->n = g.n;
    *modules = g.modules;
    *n_modules = g.n;
    return arena->failed ? tare_fail_memory(err) : TARE_OK;
}
