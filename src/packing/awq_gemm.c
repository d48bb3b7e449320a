/* SPDX-License-Identifier: MIT
 * awq_gemm.c - AutoAWQ's gemm layout, 4 bits: qweight I32 (in, out / 8), scales (groups, out), qzeros I32 (groups, out
 * / 8).
 *
 * One word holds eight output columns, interleaved: column j of the eight lies in nibble {0, 4, 1, 5, 2, 6, 3, 7}[j].
 *     weight[out][in] = scale[group][out] * (code[in][out] - zero[group][out])     group = in / group_size
 * Without qzeros every zero is 8. Source: formats.md, "AWQ, gemm".
 */
#include <string.h>

#include "base/half.h"
#include "packing/fault.h"
#include "packing/suspect.h"
#include "packing/to_mlx.h"

static const int shift_of_column[8] = {0, 16, 4, 20, 8, 24, 12, 28};

static bool announced(const struct tare_quant *quant)
{
    return quant->method == TARE_METHOD_AWQ && (!quant->version || strcmp(quant->version, "gemm") == 0);
}

/* Do the shapes of the parts fit each other? Fills shape and group size. */
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
    if (words > INT64_MAX / 8 || words * 8 != out) {
        const bool gptq = words == out && in <= INT64_MAX / 8;
        tare_module_fault(module, arena, TARE_E_SHAPE, weight,
                          "qweight is %s and scales %s, awq needs qweight [in, %lld]%s",
                          tare_shape_text(arena, 2, weight->shape), tare_shape_text(arena, 2, scales->shape),
                          (long long)(out / 8), gptq ? "; this is how gptq packs" : "");
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

/* Does quantization_config say the same as the tensors? */
static void agree(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const int64_t in = weight->shape[0], said = quant->group_size == -1 ? in : quant->group_size;
    const char *place = quant->place ? quant->place : "quantization_config";
    if (quant->bits && quant->bits != 4)
        tare_module_fault(module, arena, TARE_E_CONFIG, weight,
                          "%s says %d bits, the shapes of qweight and scales are those of 4; %s", place, quant->bits,
                          TARE_REMEDY);
    if (said && said != module->group_size)
        tare_module_fault(module, arena, TARE_E_CONFIG, scales,
                          "%s says group_size %lld, scales %s over %lld input columns make it %lld; %s", place,
                          (long long)quant->group_size, tare_shape_text(arena, 2, scales->shape), (long long)in,
                          (long long)module->group_size, TARE_REMEDY);
    if (quant->zero_point == 1 && !module->part[TARE_PART_ZEROS])
        tare_module_fault(module, arena, TARE_E_CONFIG, weight,
                          "%s says zero_point true, but the tensor %s.qzeros is missing; if the zeros are all 8, "
                          "zero_point false says so",
                          place, tare_module_path(module, arena));
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    module->dtype = scales && tare_dtype_is_float(scales->dtype) ? scales->dtype : TARE_F16;
    module->bits = 4;
    if (weight) { /* what is known of a module with a fault */
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
        agree(module, quant, arena);
}

static uint32_t word_at(const void *words, int64_t at)
{
    uint32_t word;
    memcpy(&word, (const unsigned char *)words + 4 * at, sizeof word);
    return word;
}

/* Up to eight rows that share words: columns [first, first + n) of word column w. */
static void decode_codes(const void *qweight, int64_t in, int64_t words, int64_t w, int first, int n, uint8_t *code)
{
    for (int64_t i = 0; i < in; i++) {
        const uint32_t word = word_at(qweight, i * words + w);
        for (int j = 0; j < n; j++)
            code[j * in + i] = (uint8_t)(word >> shift_of_column[first + j] & 15);
    }
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const int64_t out = module->shape[0], in = module->shape[1], groups = in / module->group_size, words = out / 8;
    for (int64_t r = 0; r < rows;) {
        const int first = (int)((row + r) % 8);
        const int n = rows - r < 8 - first ? (int)(rows - r) : 8 - first;
        decode_codes(part[TARE_PART_WEIGHT], in, words, (row + r) / 8, first, n, codes->code + r * in);
        r += n;
    }
    for (int64_t r = 0; r < rows; r++) {
        const int64_t column = row + r;
        const int shift = shift_of_column[column % 8];
        for (int64_t g = 0; g < groups; g++) {
            codes->scale[r * groups + g] = tare_float_at(part[TARE_PART_SCALES], module->dtype, g * out + column);
            codes->offset[r * groups + g] =
                part[TARE_PART_ZEROS] ? (float)(word_at(part[TARE_PART_ZEROS], g * words + column / 8) >> shift & 15)
                                      : 8.0f;
        }
    }
}

const struct tare_packing tare_packing_awq_gemm = {
    .name = "awq-gemm",
    .suffix = {".qweight", ".scales", ".qzeros", ".g_idx"},
    .key = TARE_PART_WEIGHT,
    .casts = true,
    .announced = announced,
    .shape = shape,
    .decode = decode,
    .suspect = &tare_suspect_awq,
    .to_mlx = tare_awq_to_mlx,
};
