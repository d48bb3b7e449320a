/* SPDX-License-Identifier: MIT
 * gptq_shape.c - finds the bits, the group size and the logical shape of a GPTQ module from the shapes of its parts,
 * and holds them against the config (P6 in docs/bad-input.md).
 */
#include "packing/fault.h"
#include "packing/gptq/gptq.h"

/* What the shapes and the config say, before anything is decided. */
struct sizes {
    int64_t words;      /* qweight: (words, out) */
    int64_t out;        /* the same */
    int64_t groups;     /* scales: (groups, out) */
    int64_t zero_words; /* qzeros: (groups, zero_words) */
    int64_t in;         /* g_idx: (in); 0: there is no g_idx */
    const struct tare_quant *quant;
};

static int64_t words_of(int64_t n, int bits)
{
    return n > INT64_MAX / 8 - 32 ? -1 : (n * bits + 31) / 32;
}

/* The input columns that the parts have if codes take `bits` bits; 0: they do not fit that many bits. */
static int64_t columns_at(const struct sizes *s, int bits)
{
    if (s->words < 1 || s->words > INT64_MAX / 64 || words_of(s->out, bits) != s->zero_words)
        return 0;
    if (s->in)
        return words_of(s->in, bits) == s->words ? s->in : 0;
    return s->words * 32 % bits == 0 ? s->words * 32 / bits : 0;
}

/* The config's bits where they fit, else the only number of bits that fits; 0: none does, or several do. */
static int bits_of(const struct sizes *s)
{
    int found = 0;
    if (s->quant->bits && columns_at(s, s->quant->bits))
        return s->quant->bits;
    for (int bits = 2; bits <= 8; bits++)
        if (columns_at(s, bits)) {
            if (found)
                return 0;
            found = bits;
        }
    return found;
}

/* The config's group size where it makes `groups` groups, else the size that divides the columns evenly; 0: none. */
static int64_t group_size_of(int64_t in, int64_t groups, int64_t said)
{
    if (groups < 1 || groups > in)
        return 0;
    if (groups == 1)
        return in;
    if (said > 0 && (in - 1) / said + 1 == groups) /* the last may be short */
        return said;
    return in % groups == 0 ? in / groups : 0;
}

static bool two_axes(struct tare_module *module, struct tare_arena *arena)
{
    static const enum tare_part parts[] = {TARE_PART_WEIGHT, TARE_PART_SCALES, TARE_PART_ZEROS, TARE_PART_G_IDX};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        const struct tare_tensor *tensor = module->part[parts[k]];
        const int rank = parts[k] == TARE_PART_G_IDX ? 1 : 2;
        if (!tensor || tensor->rank == rank)
            continue;
        tare_module_fault(module, arena, TARE_E_SHAPE, tensor, "%s is %s, gptq needs %s",
                          tare_part_word(module, parts[k]), tare_shape_text(arena, tensor->rank, tensor->shape),
                          rank == 1 ? "one axis" : "two axes");
        return false;
    }
    return true;
}

static bool fit(struct tare_module *module, const struct sizes *s, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *zeros = module->part[TARE_PART_ZEROS];
    if (scales->shape[1] != s->out || zeros->shape[0] != s->groups) {
        const bool awq = scales->shape[1] / 8 == s->out && scales->shape[1] % 8 == 0;
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "qweight is %s, scales %s and qzeros %s; gptq needs scales [groups, %lld] and as many groups "
                          "of qzeros%s",
                          tare_shape_text(arena, 2, weight->shape), tare_shape_text(arena, 2, scales->shape),
                          tare_shape_text(arena, 2, zeros->shape), (long long)s->out,
                          awq ? "; this is how awq packs" : "");
        return false;
    }
    module->bits = bits_of(s);
    const int64_t in = module->bits ? columns_at(s, module->bits) : 0;
    module->group_size = in ? group_size_of(in, s->groups, s->quant->group_size) : 0;
    if (!module->bits)
        tare_module_fault(
            module, arena, TARE_E_SHAPE, weight,
            "qweight is %s, qzeros %s and g_idx %s, of %lld outputs: these fit no number of bits from 2 to 8",
            tare_shape_text(arena, 2, weight->shape), tare_shape_text(arena, 2, zeros->shape),
            s->in ? tare_shape_text(arena, 1, module->part[TARE_PART_G_IDX]->shape) : "absent", (long long)s->out);
    else if (!module->group_size)
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "scales has %lld groups for %lld input columns, which they do not divide",
                          (long long)s->groups, (long long)in);
    else if (module->packing == &tare_packing_gptq_p && 32 % module->bits && (in % 32 || s->out % 32))
        tare_module_fault(
            module, arena, TARE_E_SHAPE, weight,
            "gptq_p packs %d bits by whole blocks of 32 codes; %lld columns and %lld rows are no multiples",
            module->bits, (long long)in, (long long)s->out);
    int64_t *logical = module->fault ? NULL : tare_module_shape(module, arena, 2);
    if (!logical)
        return false;
    logical[0] = s->out;
    logical[1] = in;
    return true;
}

void tare_gptq_agree(struct tare_module *module, int bits, int64_t group_size, const char *place,
                     struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const int64_t in = tare_module_columns(module), said = group_size == -1 || group_size > in ? in : group_size;
    if (bits && bits != module->bits)
        tare_module_fault(module, arena, TARE_E_CONFIG, weight,
                          "%s says %d bits, the shapes of the parts are those of %d; %s", place, bits, module->bits,
                          TARE_REMEDY);
    if (said && said != module->group_size)
        tare_module_fault(module, arena, TARE_E_CONFIG, scales,
                          "%s says group_size %lld, scales %s over %lld input columns make it %lld; %s", place,
                          (long long)group_size, tare_shape_text(arena, 2, scales->shape), (long long)in,
                          (long long)module->group_size, TARE_REMEDY);
}

void tare_gptq_shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *order = module->part[TARE_PART_G_IDX];
    module->dtype = tare_dtype_is_float(scales->dtype) ? scales->dtype : TARE_F16;
    module->rank = weight->rank; /* what is known of a module with a fault */
    module->shape = weight->shape;
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_I32) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) ||
        !tare_part_check(module, arena, TARE_PART_ZEROS, 1u << TARE_I32) ||
        (order && !tare_part_check(module, arena, TARE_PART_G_IDX, 1u << TARE_I32)) || !two_axes(module, arena))
        return;
    const struct sizes s = {.words = weight->shape[0],
                            .out = weight->shape[1],
                            .groups = scales->shape[0],
                            .zero_words = module->part[TARE_PART_ZEROS]->shape[1],
                            .in = order ? order->shape[0] : 0,
                            .quant = quant};
    if (!fit(module, &s, arena))
        return;
    module->act_order = order && quant->gptq.desc_act; /* a guess until g_idx itself is read */
    if (!quant->gptq.n_rules)
        tare_gptq_agree(module, quant->bits, quant->group_size, quant->place ? quant->place : "quantization_config",
                        arena);
}
