/* SPDX-License-Identifier: MIT
 * published_experts.c - stacks experts from all spellings in which they are published. */
#include "models/family/published_experts.h"

static const char *path(struct tare_weights *w, const char *base, const char *rest)
{
    const char *text = tare_arena_format(w->arena, "%s%s", base, rest);
    if (!text)
        tare_fail_memory(&w->error);
    return text ? text : "";
}

/* Tells whether fused experts are transposed, that is (n, dim, 2 hidden) and (n, hidden, dim). The first of the two
 * that is not square decides. */
static bool turned(const struct tare_entry *gate_up, const struct tare_entry *down, int64_t dim, bool unsure)
{
    const struct tare_recipe *g = gate_up->recipe, *d = down ? down->recipe : g;
    if (dim < 1 || g->rank != 3 || d->rank != 3)
        return unsure;
    if ((g->shape[1] == dim) != (g->shape[2] == dim))
        return g->shape[1] == dim;
    return (d->shape[1] == dim) != (d->shape[2] == dim) ? d->shape[2] == dim : unsure;
}

static void fused(struct tare_weights *w, const struct tare_experts_desc *d, const char *suffix)
{
    const char *gate_up = path(w, path(w, d->from, ".gate_up_proj"), suffix);
    const char *down = path(w, path(w, d->from, ".down_proj"), suffix);
    const char *const parts[] = {path(w, d->to, ".gate_proj.weight"), path(w, d->to, ".up_proj.weight")};
    const struct tare_entry *first = tare_find(w, gate_up);
    if (!first)
        return;
    if (turned(first, tare_find(w, down), d->dim, d->transposed)) {
        tare_transpose(w, gate_up);
        tare_transpose(w, down);
    }
    tare_split(w, gate_up, -2, parts, 2);
    tare_rename(w, down, path(w, d->to, ".down_proj.weight"));
}

void tare_experts_rewrite(struct tare_weights *w, const struct tare_experts_desc *d)
{
    static const char *const names[][2] = {{"gate_proj", "gate_proj"}, {"up_proj", "up_proj"},
                                           {"down_proj", "down_proj"}, {"w1", "gate_proj"},
                                           {"w3", "up_proj"},          {"w2", "down_proj"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *one = tare_arena_format(w->arena, "%s.#.%s.weight", d->from, names[i][0]);
        const char *all = tare_arena_format(w->arena, "%s.%s.weight", d->to, names[i][1]);
        if (!one || !all)
            tare_fail_memory(&w->error);
        else
            tare_stack(w, one, all, d->n);
    }
    fused(w, d, "");
    fused(w, d, ".weight");
}

void tare_layer_experts_rewrite(struct tare_weights *w, const char *block, int64_t n, int64_t dim)
{
    const char *from = tare_arena_format(w->arena, "model.layers.*.%s.experts", block);
    const char *to = tare_arena_format(w->arena, "model.layers.*.%s.switch_mlp", block);
    if (!from || !to)
        tare_fail_memory(&w->error);
    else
        tare_experts_rewrite(w, &(struct tare_experts_desc){.from = from, .to = to, .n = n, .dim = dim});
}

void tare_routed_rewrite(struct tare_weights *w, const char *block, const char *to, int64_t n, int64_t dim)
{
    static const char *const projections[] = {"gate_proj", "up_proj", "down_proj"};
    const char *from = tare_arena_format(w->arena, "%s.experts", block);
    const char *stacked = tare_arena_format(w->arena, "%s.%s", block, to);
    if (!from || !stacked) {
        tare_fail_memory(&w->error);
        return;
    }
    tare_experts_rewrite(w, &(struct tare_experts_desc){.from = from, .to = stacked, .n = n, .dim = dim});
    for (int i = 0; i < 3; i++) {
        const char *one = tare_arena_format(w->arena, "%s.#.%s.bias", from, projections[i]);
        const char *all = tare_arena_format(w->arena, "%s.%s.bias", stacked, projections[i]);
        if (one && all)
            tare_stack(w, one, all, n);
        else
            tare_fail_memory(&w->error);
    }
}
