/* SPDX-License-Identifier: MIT
 * verb_values.c - verbs that compute with a tensor's values. */
#include <stdio.h>
#include <stdlib.h>

#include "base/locale.h"
#include "names/verb.h"

/* Values are computed in float32 and rounded once to the entry's own dtype. */
static const struct tare_recipe *compute(struct tare_arena *arena, const struct tare_recipe *r, const void *how)
{
    return tare_recipe_value(arena, r, how, r->dtype);
}

void tare_add(struct tare_weights *w, const char *pattern, double addend)
{
    const struct tare_value value = {.function = TARE_ADD, .operand = addend};
    char what[64];
    tare_format(what, sizeof what, "%.12g added", addend);
    tare_verb_edit(w, pattern, true, compute, &value, what);
}

void tare_multiply(struct tare_weights *w, const char *pattern, double factor)
{
    const struct tare_value value = {.function = TARE_MULTIPLY, .operand = factor};
    char what[64];
    tare_format(what, sizeof what, "multiplied by %.12g", factor);
    tare_verb_edit(w, pattern, true, compute, &value, what);
}

void tare_divide_by_norm(struct tare_weights *w, const char *pattern, int axis)
{
    const struct tare_value value = {.function = TARE_DIVIDE_BY_NORM, .axis = axis ? 1 : 0};
    tare_verb_edit(w, pattern, true, compute, &value,
                   axis ? "rows divided by their norm" : "columns divided by their norm");
}

/* Gates stay float32, whatever dtype they were stored in. */
static const struct tare_recipe *gate(struct tare_arena *arena, const struct tare_recipe *r, const void *how)
{
    return tare_recipe_value(arena, r, how, TARE_F32);
}

void tare_residual_gate(struct tare_weights *w, const char *pattern, const char *keep, const char *take)
{
    const struct tare_value kept = {.function = TARE_GATE_KEEP}, taken = {.function = TARE_GATE_TAKE};
    tare_copy(w, pattern, take);
    tare_rename(w, pattern, keep);
    tare_verb_edit(w, keep, true, gate, &kept, "the share of the stream");
    tare_verb_edit(w, take, true, gate, &taken, "the share of the branch");
}

/* Segments of rows, from the first row on: size[k] rows are multiplied by factor[k]. */
struct segments {
    const double *factor;
    const int64_t *size;
    size_t n;
};

/* Do the segments add up to the rows exactly? Sizes come from a config, so their sum may overflow. */
static bool covers(const struct segments *s, const struct tare_recipe *r)
{
    int64_t sum = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->size[i] < 0 || __builtin_add_overflow(sum, s->size[i], &sum))
            return false;
    return r->rank > 0 && sum == r->shape[0];
}

static const struct tare_recipe *multiply_rows(struct tare_arena *arena, const struct tare_recipe *r, const void *how)
{
    const struct segments *s = how;
    const struct tare_recipe **part = covers(s, r) ? tare_arena_array(arena, s->n + 1, sizeof *part) : NULL;
    size_t n = 0;
    int64_t start = 0;
    for (size_t i = 0; part && i < s->n; start += s->size[i++]) {
        const struct tare_value value = {.function = TARE_MULTIPLY, .operand = s->factor[i]};
        if (s->size[i] > 0)
            part[n++] = tare_recipe_value(arena, tare_recipe_slice(arena, r, 0, start, s->size[i]), &value, r->dtype);
    }
    return n ? tare_recipe_join(arena, part, n, 0) : r;
}

void tare_multiply_rows(struct tare_weights *w, const char *pattern, const double *factor, const int64_t *size,
                        size_t n)
{
    tare_verb_edit(w, pattern, true, multiply_rows, &(struct segments){factor, size, n}, "rows multiplied by segments");
}
