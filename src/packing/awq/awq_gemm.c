/* SPDX-License-Identifier: MIT
 * awq_gemm.c - AutoAWQ's gemm layout: qweight I32 (in, out * bits / 32), scales (groups, out), qzeros I32
 * (groups, out * bits / 32).
 *
 * 4 bits: one word holds eight output columns, interleaved: column j of them lies in nibble
 * {0, 4, 1, 5, 2, 6, 3, 7}[j]. 8 bits, which GPTQModel writes under the same name: four columns, in order.
 *     weight[out][in] = scale[group][out] * (code[in][out] - zero[group][out])     group = in / group_size
 * Without qzeros every zero is 2^(bits - 1). Source: docs/layouts.md, "AWQ, gemm".
 */
#include <string.h>

#include "base/awq_order.h"
#include "base/half.h"
#include "base/number.h"
#include "kernels/transpose.h"
#include "packing/awq/awq.h"
#include "packing/fault.h"
#include "packing/mlx/to_mlx.h"
#include "packing/nibbles.h"
#include "packing/suspect.h"

static const int32_t shift_of_byte[4] = {0, 8, 16, 24};

/* How far column j of a word is shifted in it. */
static const int32_t *shifts_of(const struct tare_module *module)
{
    return module->bits == 8 ? shift_of_byte : tare_awq_shift;
}

static bool announced(const struct tare_quant *quant)
{
    return tare_awq_announced(quant, "gemm") && quant->bits != 8;
}

static bool announced_bytes(const struct tare_quant *quant)
{
    return tare_awq_announced(quant, "gemm") && quant->bits == 8;
}

/* Checks that the shapes of the parts fit each other, and fills shape and group size; else a fault. */
static bool fit(struct tare_module *module, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const struct tare_tensor *zeros = module->part[TARE_PART_ZEROS];
    if (weight->rank != 2 || scales->rank != 2) {
        const struct tare_tensor *odd = weight->rank != 2 ? weight : scales;
        tare_module_fault(module, arena, TARE_E_SHAPE, odd, "%s is %s, awq needs two axes",
                          odd == weight ? "qweight" : "scales", tare_shape_text(arena, odd->rank, odd->shape));
        return false;
    }
    const int64_t in = weight->shape[0], words = weight->shape[1], groups = scales->shape[0], out = scales->shape[1];
    const int a_word = 32 / module->bits, other = module->bits == 4 ? 8 : 4;
    if (words > INT64_MAX / 8 || words * a_word != out) {
        const bool gptq = words == out && in <= INT64_MAX / 8;
        if (words <= INT64_MAX / 8 && words * 32 / other == out)
            tare_module_fault(module, arena, TARE_E_CONFIG, weight,
                              "qweight is %s and scales %s: %d bits are announced, the shapes are those of %d bits; %s",
                              tare_shape_text(arena, 2, weight->shape), tare_shape_text(arena, 2, scales->shape),
                              module->bits, other, TARE_REMEDY);
        tare_module_fault(module, arena, TARE_E_SHAPE, weight,
                          "qweight is %s and scales %s, awq of %d bits needs qweight [in, %lld]%s",
                          tare_shape_text(arena, 2, weight->shape), tare_shape_text(arena, 2, scales->shape),
                          module->bits, (long long)(out / a_word), gptq ? "; this is how gptq packs" : "");
        return false;
    }
    if (groups < 1 || in < 1 || in % groups) {
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "scales has %lld groups for %lld input columns, which they do not divide", (long long)groups,
                          (long long)in);
        return false;
    }
    if (zeros && (zeros->rank != 2 || zeros->shape[0] != groups || zeros->shape[1] != words)) {
        tare_module_fault(module, arena, TARE_E_SHAPE, zeros, "qzeros is %s, awq needs [%lld, %lld] here",
                          tare_shape_text(arena, zeros->rank, zeros->shape), (long long)groups, (long long)words);
        return false;
    }
    int64_t *logical = tare_module_shape(module, arena, 2);
    if (logical) {
        logical[0] = out;
        logical[1] = in;
    }
    module->group_size = in / groups;
    return true;
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    module->dtype = scales && tare_dtype_is_float(scales->dtype) ? scales->dtype : TARE_F16;
    module->bits = module->packing == &tare_packing_awq_gemm8 ? 8 : 4;
    if (weight) { /* reports show this much of a module with a fault */
        module->rank = weight->rank;
        module->shape = weight->shape;
    }
    if (module->part[TARE_PART_G_IDX]) {
        tare_module_fault(module, arena, TARE_E_FORMAT, module->part[TARE_PART_G_IDX],
                          "awq has no g_idx; this looks like gptq");
        return;
    }
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_I32) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) ||
        (module->part[TARE_PART_ZEROS] && !tare_part_check(module, arena, TARE_PART_ZEROS, 1u << TARE_I32)))
        return;
    if (fit(module, arena))
        tare_awq_agree(module, quant, arena);
}

/* Decodes output columns [first, first + n) of those that the words of column w hold; they are rows of the module. */
static void decode_codes(const struct tare_module *module, const void *qweight, int64_t w, int first, int n,
                         uint8_t *code)
{
    const int64_t in = module->shape[1], words = module->shape[0] * module->bits / 32;
    const int32_t *shift = shifts_of(module) + first;
    const uint32_t mask = (1u << module->bits) - 1;
    for (int64_t i = 0; i < in; i++) {
        const uint32_t word = tare_word_at(qweight, i * words + w);
        for (int j = 0; j < n; j++)
            code[j * in + i] = (uint8_t)(word >> shift[j] & mask);
    }
}

/* Decodes 128 rows at a time with the kernel that turns columns into rows of nibbles, as many as it takes. */
static int64_t decode_fast(const struct tare_module *module, const void *qweight, int64_t row, int64_t rows,
                           uint8_t *code)
{
    const int64_t in = module->shape[1];
    int64_t done = 0;
    if (module->bits != 4 || row % 8 || in % 8 || !tare_transpose_avx2())
        return 0;
    for (; rows - done >= 128; done += 128) {
        uint8_t *to = code + done * in;
        tare_awq_codes_avx2(qweight, in, module->shape[0] / 8, (row + done) / 8, 1, to + 64 * in);
        tare_spread_nibbles(to, 128 * in);
    }
    return done;
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const int64_t out = module->shape[0], in = module->shape[1], groups = in / module->group_size;
    const int a_word = 32 / module->bits;
    const int64_t words = out / a_word;
    const uint32_t mask = (1u << module->bits) - 1, middle = 1u << (module->bits - 1);
    for (int64_t r = decode_fast(module, part[TARE_PART_WEIGHT], row, rows, codes->code); r < rows;) {
        const int first = (int)((row + r) % a_word);
        const int n = rows - r < a_word - first ? (int)(rows - r) : a_word - first;
        decode_codes(module, part[TARE_PART_WEIGHT], (row + r) / a_word, first, n, codes->code + r * in);
        r += n;
    }
    for (int64_t r = 0; r < rows; r++) {
        const int64_t column = row + r;
        const int shift = shifts_of(module)[column % a_word];
        const void *zeros = part[TARE_PART_ZEROS];
        for (int64_t g = 0; g < groups; g++) {
            codes->scale[r * groups + g] = tare_float_at(part[TARE_PART_SCALES], module->dtype, g * out + column);
            codes->offset[r * groups + g] =
                (float)(zeros ? tare_word_at(zeros, g * words + column / a_word) >> shift & mask : middle);
        }
    }
}

#define AWQ_GEMM(symbol, is_announced, mlx, tiles)                                                                     \
    const struct tare_packing tare_packing_##symbol = {                                                                \
        .name = "awq-gemm",                                                                                            \
        .suffix = {".qweight", ".scales", ".qzeros", ".g_idx"},                                                        \
        .key = TARE_PART_WEIGHT,                                                                                       \
        .casts = true,                                                                                                 \
        .announced = is_announced,                                                                                     \
        .shape = shape,                                                                                                \
        .decode = decode,                                                                                              \
        .suspect = &tare_suspect_awq,                                                                                  \
        .to_mlx = mlx,                                                                                                 \
        .to_tiles = tiles,                                                                                             \
    }
AWQ_GEMM(awq_gemm, announced, tare_awq_to_mlx, tare_awq_to_tiles);
AWQ_GEMM(awq_gemm8, announced_bytes, NULL, NULL);
