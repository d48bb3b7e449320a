/* SPDX-License-Identifier: MIT
 * verb_axes.c - verbs that give a tensor other axes. */
#include "names/verb.h"

/* Makes the recipe that swaps the last two axes. */
static const struct tare_recipe *swap(struct tare_arena *arena, const struct tare_recipe *r, const void *how)
{
    int order[TARE_RANK_MOST];
    (void)how;
    if (r->rank < 2 || r->rank > TARE_RANK_MOST)
        return r;
    for (int k = 0; k < r->rank; k++)
        order[k] = k;
    order[r->rank - 1] = r->rank - 2;
    order[r->rank - 2] = r->rank - 1;
    return tare_recipe_transpose(arena, r, order);
}

static const struct tare_recipe *channels_last(struct tare_arena *arena, const struct tare_recipe *r, const void *how)
{
    return r->rank == 3 && r->shape[1] == 1 && r->shape[2] != 1 ? swap(arena, r, how) : r;
}

static const struct tare_recipe *squeeze(struct tare_arena *arena, const struct tare_recipe *r, const void *how)
{
    int64_t shape[TARE_RANK_MOST];
    int rank = 0;
    (void)how;
    for (int k = 0; k < r->rank && r->rank <= TARE_RANK_MOST; k++)
        if (r->shape[k] != 1)
            shape[rank++] = r->shape[k];
    return r->rank > rank ? tare_recipe_reshape(arena, r, rank, shape) : r;
}

struct wanted {
    int rank;
    const int64_t *shape;
};

static const struct tare_recipe *reshape(struct tare_arena *arena, const struct tare_recipe *r, const void *how)
{
    const struct wanted *wanted = how;
    int64_t shape[TARE_RANK_MOST], known = 1, all = 1;
    int open = -1;
    for (int k = 0; k < r->rank; k++)
        if (__builtin_mul_overflow(all, r->shape[k], &all))
            return r;
    for (int k = 0; k < wanted->rank; k++) {
        shape[k] = wanted->shape[k];
        if (shape[k] == -1)
            open = k;
        else if (__builtin_mul_overflow(known, shape[k], &known))
            return r;
    }
    if (open >= 0 && (known < 1 || all % known))
        return r;
    if (open >= 0)
        shape[open] = all / known;
    return tare_recipe_reshape(arena, r, wanted->rank, shape);
}

static void note_turned(void *user, const struct tare_module *module)
{
    struct tare_weights *w = user;
    struct tare_turned *turned = tare_arena_alloc(w->arena, sizeof *turned);
    if (!turned)
        return; /* the arena is marked as failed, and the end of the stage reports it */
    *turned = (struct tare_turned){module, w->turned};
    w->turned = turned;
}

/*
 * A packed matrix is (out, in) whatever the dense one is. An output that writes it as floats needs to know that readers
 * expect (in, out) here.
 */
static void note_packed(struct tare_weights *w, const char *pattern)
{
    const struct tare_pattern p = tare_pattern_read(pattern, false);
    for (size_t i = 0; i < w->n; i++) {
        const struct tare_entry *entry = &w->entries[i];
        if (tare_entry_alive(entry) && tare_pattern_match(&p, entry->name, false, NULL) &&
            tare_leaves_of(entry->recipe).packed)
            tare_recipe_leaves(entry->recipe, note_turned, w);
    }
}

void tare_transpose(struct tare_weights *w, const char *pattern)
{
    note_packed(w, pattern);
    tare_verb_edit(w, pattern, false, swap, NULL, "transposed");
}

void tare_swap_axes(struct tare_weights *w, const char *pattern)
{
    tare_verb_edit(w, pattern, true, swap, NULL, "transposed");
}

void tare_conv_channels_last(struct tare_weights *w, const char *pattern)
{
    tare_verb_edit(w, pattern, false, channels_last, NULL, "channels moved last");
}

void tare_squeeze(struct tare_weights *w, const char *pattern)
{
    tare_verb_edit(w, pattern, false, squeeze, NULL, "axes of length 1 left out");
}

void tare_reshape(struct tare_weights *w, const char *pattern, int rank, const int64_t *shape)
{
    if (rank >= 0 && rank <= TARE_RANK_MOST)
        tare_verb_edit(w, pattern, true, reshape, &(struct wanted){rank, shape}, "reshaped");
}
