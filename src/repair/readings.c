/* SPDX-License-Identifier: MIT
 * readings.c - how tensors are packed, from headers. */
#include "repair/readings.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "packing/mlx/to_mlx.h"

/* Does the name end in this part, with a module's path before it? */
static bool is_part(const char *name, const char *suffix)
{
    return strlen(name) > strlen(suffix) && tare_ends_with(name, suffix);
}

static const struct tare_tensor *sibling(struct tare_stems *s, const char *path, const char *suffix)
{
    const char *name = tare_arena_format(&s->arena, "%s%s", path, suffix);
    return name ? tare_checkpoint_find(&s->model->checkpoint, name) : NULL;
}

static bool is_scale(const struct tare_tensor *t)
{
    return t->dtype == TARE_F16 || t->dtype == TARE_BF16 || t->dtype == TARE_F32;
}

static bool fits_in(const struct tare_stem *s, int64_t in)
{
    return in > 0 && (!s->in || s->in == in);
}

static bool fits_out(const struct tare_stem *s, int64_t out)
{
    return out > 0 && (!s->out || s->out == out);
}

/* Do the groups divide the input columns? Padded groups are judged elsewhere. */
static bool divides(int64_t groups, int64_t in)
{
    return groups > 0 && in % groups == 0;
}

static bool zeros_are(const struct tare_stem *s, int64_t rows, int64_t columns)
{
    const struct tare_tensor *z = s->zeros;
    return !z || (z->rank == 2 && z->shape[0] == rows && z->shape[1] == columns);
}

/* GPTQ: the number of inputs is the length of g_idx, or declared; 0: not known. */
static int64_t gptq_in(const struct tare_stem *s)
{
    if (s->g_idx)
        return s->g_idx->rank == 1 ? s->g_idx->shape[0] : 0;
    return s->in;
}

static int64_t words_of(int64_t n, int bits)
{
    return (n * bits + 31) / 32;
}

/* The only number of bits that fits qweight and qzeros; 0: none fits, or several do. Sizes are below 2^31. */
static int gptq_bits(const struct tare_stem *s)
{
    const int64_t rows = s->weight->shape[0], in = gptq_in(s), out = s->scales->shape[1];
    const int64_t zeros = s->zeros && s->zeros->rank == 2 ? s->zeros->shape[1] : 0;
    int found = 0;
    for (int bits = 2; bits <= 8; bits++) {
        if ((zeros && words_of(out, bits) != zeros) || (in ? words_of(in, bits) != rows : rows * 32 % bits != 0))
            continue;
        if (found)
            return 0;
        found = bits;
    }
    return found;
}

static unsigned layouts_of(const struct tare_stem *s)
{
    const struct tare_tensor *w = s->weight, *c = s->scales;
    unsigned found = 0;
    if (w->rank != 2 || c->rank != 2 || !is_scale(c))
        return 0;
    const int64_t w0 = w->shape[0], w1 = w->shape[1], c0 = c->shape[0], c1 = c->shape[1];
    if (w0 < 1 || w1 < 1 || c0 < 1 || c1 < 1 || w0 > INT32_MAX || w1 > INT32_MAX || c0 > INT32_MAX || c1 > INT32_MAX)
        return 0;
    if (w->dtype == TARE_I16)
        return !s->g_idx && fits_in(s, w1) && fits_out(s, w0 * 4) && c1 == w0 * 4 && w1 % 64 == 0
                   ? TARE_LAYOUT_AWQ_GEMV_FAST
                   : 0;
    if (w->dtype != TARE_I32 || (s->zeros && s->zeros->dtype != TARE_I32))
        return 0;
    for (int k = 0; k < 2 && !s->g_idx; k++) {
        const int64_t a_word = k ? 4 : 8;
        if (w1 * a_word == c1 && fits_in(s, w0) && fits_out(s, c1) && divides(c0, w0) && zeros_are(s, c0, w1))
            found |= k ? TARE_LAYOUT_AWQ_GEMM8 : TARE_LAYOUT_AWQ_GEMM;
    }
    if (!s->g_idx && c0 == w0 && fits_out(s, w0) && fits_in(s, w1 * 8) && c1 % 8 == 0 && zeros_are(s, w0, c1 / 8))
        found |= TARE_LAYOUT_AWQ_GEMV;
    const int bits = w1 == c1 && fits_out(s, w1) && (!gptq_in(s) || fits_in(s, gptq_in(s))) ? gptq_bits(s) : 0;
    if (bits && zeros_are(s, c0, words_of(c1, bits)))
        found |= TARE_LAYOUT_GPTQ;
    return found;
}

static unsigned mlx_layout(const struct tare_stem *s)
{
    const struct tare_tensor *w = s->weight, *c = s->scales;
    const int rank = w->rank;
    if (w->dtype != TARE_U32 || (rank != 2 && rank != 3) || c->rank != rank || w->shape[rank - 1] < 1 ||
        c->shape[rank - 1] < 1 || w->shape[rank - 1] > INT32_MAX)
        return 0;
    if (s->zeros ? !is_scale(c) || s->zeros->dtype != c->dtype : c->dtype != TARE_U8)
        return 0;
    return TARE_LAYOUT_MLX;
}

struct tare_reading tare_stem_read(const struct tare_stem *s, enum tare_layout_bit layout)
{
    const struct tare_tensor *w = s->weight, *c = s->scales;
    struct tare_reading r = {.in = s->in};
    if (layout == TARE_LAYOUT_MLX) {
        const int64_t words = w->shape[w->rank - 1];
        r.groups = c->shape[c->rank - 1];
        if (s->in && words * 32 % s->in == 0 && words * 32 / s->in <= 8 && s->in % r.groups == 0)
            r.bits = (int)(words * 32 / s->in);
    } else if (layout == TARE_LAYOUT_GPTQ) {
        r.groups = c->shape[0];
        r.bits = gptq_bits(s);
        r.in = gptq_in(s) ? gptq_in(s) : r.bits ? w->shape[0] * 32 / r.bits : 0;
    } else if (layout == TARE_LAYOUT_AWQ_GEMM || layout == TARE_LAYOUT_AWQ_GEMM8) {
        r.groups = c->shape[0];
        r.bits = layout == TARE_LAYOUT_AWQ_GEMM ? 4 : 8;
        r.in = w->shape[0];
    } else { /* Groups are padded, so the shapes do not tell how many there are. */
        r.bits = 4;
        r.padded = c->shape[layout == TARE_LAYOUT_AWQ_GEMV ? 1 : 0];
        r.in = layout == TARE_LAYOUT_AWQ_GEMV ? w->shape[1] * 8 : w->shape[1];
        return r;
    }
    if (r.in && r.groups && r.in % r.groups == 0) /* of GPTQ the last group may be short: then it is not told */
        r.group_size = r.in / r.groups;
    return r;
}

bool tare_reading_fits(const struct tare_reading *r, int64_t size)
{
    if (!r->in || size < -1 || !size)
        return false;
    if (!r->padded)
        return size == -1 || size > r->in ? r->groups == 1 : r->groups == (r->in - 1) / size + 1;
    const int64_t whole = size == -1 ? r->in : size, multiple = whole < 128 ? 128 / (whole < 32 ? 32 : whole) : 1;
    if (whole < 32 || r->in % whole || (whole < 128 && whole != 32 && whole != 64))
        return false;
    const int64_t words = (r->in / whole + 7) / 8;
    return (words + multiple - 1) / multiple * multiple * 8 == r->padded;
}

/* What the model declares for the stem: the entry of its weight tensor was renamed as the stem would be. */
static void declared(struct tare_stems *s, struct tare_stem *stem, const struct tare_entry *entry)
{
    const char *dot = strrchr(entry->name, '.');
    if (!dot || entry->absorbed)
        return;
    const char *path = tare_arena_copy(&s->arena, entry->name, (size_t)(dot - entry->name));
    const char *name = path ? tare_arena_format(&s->arena, "%s.weight", path) : NULL;
    const struct tare_parameter *p = name ? tare_tree_find(&s->model->tree, name) : NULL;
    if (!p || p->rank < 2)
        return;
    stem->parameter = path;
    stem->in = p->shape[p->rank - 1];
    stem->out = p->shape[p->rank - 2];
}

static bool add(struct tare_stems *s, const struct tare_tensor *weight, const char *suffix,
                const struct tare_entry *entry)
{
    const bool mlx = !strcmp(suffix, ".weight");
    struct tare_stem stem = {.weight = weight};
    stem.path = tare_arena_copy(&s->arena, weight->name, strlen(weight->name) - strlen(suffix));
    if (!stem.path)
        return false;
    stem.scales = sibling(s, stem.path, ".scales");
    stem.zeros = sibling(s, stem.path, mlx ? ".biases" : ".qzeros");
    stem.g_idx = mlx ? NULL : sibling(s, stem.path, ".g_idx");
    if (!stem.scales) {
        s->incomplete++;
        return true;
    }
    declared(s, &stem, entry);
    stem.layouts = mlx ? mlx_layout(&stem) : layouts_of(&stem);
    if (!tare_grow(&s->list, &s->room, s->n + 1, sizeof *s->list))
        return false;
    s->list[s->n++] = stem;
    return true;
}

enum tare_code tare_stems_list(struct tare_stems *s, struct tare_model *model, struct tare_error *err)
{
    static const char *const other[] = {".weight_packed", "_scale_inv", ".weight_scale", "_blocks"};
    bool room = true;
    s->model = model;
    for (size_t i = 0; room && i < model->weights.n; i++) {
        const struct tare_entry *entry = &model->weights.entries[i];
        if (entry->recipe->op != TARE_OP_TAKE || entry->recipe->module->packing != &tare_packing_plain)
            continue;
        const struct tare_tensor *t = entry->recipe->module->part[TARE_PART_WEIGHT];
        for (size_t k = 0; k < sizeof other / sizeof *other; k++)
            s->others += is_part(t->name, other[k]);
        if (is_part(t->name, ".qweight"))
            room = add(s, t, ".qweight", entry);
        else if (is_part(t->name, ".weight") && t->dtype == TARE_U32)
            room = add(s, t, ".weight", entry);
    }
    return room && !s->arena.failed ? TARE_OK : tare_fail_memory(err);
}

void tare_stems_release(struct tare_stems *s)
{
    tare_model_free(s->model);
    free(s->list);
    tare_arena_release(&s->arena);
    *s = (struct tare_stems){0};
}

/* ---- zeros --------------------------------------------------------------------------------------------------- */

enum tare_code tare_stems_one_zero(struct tare_stems *s, int bits, int *zero, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    int one = -1;
    *zero = -1;
    for (size_t i = 0; i < s->n && !code; i++) {
        const struct tare_tensor *z = s->list[i].zeros;
        const void *data = NULL;
        if (!z || z->rank != 2 || z->dtype != TARE_I32)
            return TARE_OK;
        if ((code = tare_tensor_data(&s->model->checkpoint, z, &data, err)))
            return code;
        const int64_t bytes = z->shape[1] * 4, out = s->list[i].scales->shape[1];
        uint8_t *field = malloc((size_t)out + 8);
        if (!field)
            return tare_fail_memory(err);
        bool same = out * bits <= bytes * 8;
        for (int64_t r = 0; same && r < z->shape[0]; r++) {
            tare_mlx_unpack((const unsigned char *)data + r * bytes, bits, out, field);
            for (int64_t k = 0; same && k < out; k++) {
                one = one < 0 ? field[k] : one;
                same = one == field[k];
            }
        }
        free(field);
        if (!same)
            return TARE_OK;
    }
    *zero = one;
    return code;
}

enum tare_code tare_stems_all_eight(struct tare_stems *s, bool *eight, struct tare_error *err)
{
    *eight = true;
    for (size_t i = 0; i < s->n && *eight; i++) {
        const struct tare_tensor *z = s->list[i].zeros;
        const void *data = NULL;
        if (!z)
            continue;
        const enum tare_code code = tare_tensor_data(&s->model->checkpoint, z, &data, err);
        if (code)
            return code;
        for (uint64_t k = 0; k < z->size && *eight; k++)
            *eight = ((const unsigned char *)data)[k] == 0x88;
    }
    return TARE_OK;
}
