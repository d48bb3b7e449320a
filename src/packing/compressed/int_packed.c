/* SPDX-License-Identifier: MIT
 * int_packed.c - compressed-tensors' pack-quantized, 2 to 8 bits: weight_packed I32 (.., out, words), weight_scale
 * (.., out, groups) or one number, weight_zero_point I32 (out * bits / 32, groups) packed along the output, or none;
 * weight_g_idx I32 (in) under act-order; weight_shape [2], (out, in) once more.
 *
 *     weight[out][in] = scale[out][group] * (code[out][in] - zero[out][group])
 *
 * Where no zero is stored it is 2^(bits - 1). Two packings have this name: one stream of bits, the lowest first, padded
 * to words (0.19), and 32 / bits codes a word, rounded down, whose highest bits are not used (to 0.12). They differ for
 * 3, 5, 6 and 7 bits, and so does the number of their words: ceil(in * bits / 32) or ceil(in / (32 / bits)). The stream
 * is MLX's affine layout; biases = -2^(bits - 1) * scale are exact. Source: docs/layouts.md, "pack-quantized"; mlx_lm/models/deepseek_v3.py.
 */
#include <string.h>

#include "packing/compressed/compressed.h"
#include "packing/fault.h"
#include "packing/mlx/to_mlx.h"
#include "packing/suspect.h"

/* mxfp4-pack-quantized and nvfp4-pack-quantized have the same names of tensors, but store bytes. */
static const struct tare_packing *which(const struct tare_module *module, const struct tare_quant *quant)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    (void)quant;
    if (weight && weight->dtype == TARE_U8 &&
        (module->part[TARE_PART_GLOBAL] || (scales && scales->dtype == TARE_F8_E4M3)))
        return &tare_packing_nvfp4_packed;
    return weight && scales && weight->dtype == TARE_U8 && (scales->dtype == TARE_U8 || scales->dtype == TARE_F8_E8M0)
               ? &tare_packing_mxfp4_packed
               : &tare_packing_int_packed;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

/* The words that n codes take, as one stream or with whole codes in each word. */
static int64_t words_of(int64_t n, int bits, bool whole)
{
    return whole ? ceil_div(n, 32 / bits) : n / 32 * bits + ceil_div(n % 32 * bits, 32);
}

enum { STREAM = 1, WHOLE = 2 };

/* In which of the two ways do n codes take that many words? */
static int ways(int64_t n, int64_t words, int bits)
{
    if (n < 1)
        return 0;
    return (words_of(n, bits, false) == words ? STREAM : 0) | (words_of(n, bits, true) == words ? WHOLE : 0);
}

/* Versions up to 0.12.2 wrote whole codes. Only asked where the shapes allow both ways. */
static bool is_old(const char *version)
{
    return version && !strncmp(version, "0.", 2) && version[2] >= '0' && version[2] <= '9' &&
           (version[3] == '.' || (version[2] == '1' && version[3] >= '0' && version[3] <= '2' && version[4] == '.'));
}

/* The columns that this number of words and groups means; 0: nothing fits. */
static int64_t columns_of(int64_t words, int64_t groups, int bits, int64_t group_size, const char *version)
{
    if (group_size > 0 && groups <= INT64_MAX / group_size && ways(groups * group_size, words, bits))
        return groups * group_size;
    if (group_size > 0 || 32 % bits == 0) { /* the last group may be short */
        const int64_t in = 32 % bits ? 0 : words * (32 / bits);
        return in && (group_size < 1 || ceil_div(in, group_size) == groups) ? in : 0;
    }
    /* With one scale a row, take a multiple of 32, as layers have; check() holds it against weight_shape. */
    const int64_t stream = words % bits ? 0 : words / bits * 32, whole = words * (32 / bits) / 32 * 32;
    const bool wholes = ways(whole, words, bits) & WHOLE;
    return stream && !(wholes && is_old(version)) ? stream : wholes ? whole : 0;
}

static bool same_but_last(const struct tare_tensor *a, const struct tare_tensor *b)
{
    return a->rank == b->rank && !memcmp(a->shape, b->shape, (size_t)(a->rank - 1) * sizeof *a->shape);
}

static bool one_scale(const struct tare_tensor *scales)
{
    return scales->rank < 2 && tare_shape_count(scales->rank, scales->shape) == 1;
}

/* Finds the way that fits both weights and zeros, as one program wrote both; else a fault. */
static bool fit_zeros(struct tare_module *module, struct tare_arena *arena, int64_t groups, const char *version)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *zeros = module->part[TARE_PART_ZEROS];
    const int64_t out = module->shape[0];
    int way = ways(tare_module_columns(module), weight->shape[weight->rank - 1], module->bits);
    if (zeros && !tare_part_check(module, arena, TARE_PART_ZEROS, 1u << TARE_I32))
        return false;
    if (zeros)
        way &= module->rank == 2 && zeros->rank == 2 && zeros->shape[1] == groups
                   ? ways(out, zeros->shape[0], module->bits)
                   : 0;
    module->whole_codes = way == WHOLE || (way && 32 % module->bits && (way & WHOLE) && is_old(version));
    if (!way && zeros)
        tare_module_fault(module, arena, TARE_E_SHAPE, zeros,
                          "weight_zero_point is %s, %d bits of [%lld, %lld] need [%lld, %lld]",
                          tare_shape_text(arena, zeros->rank, zeros->shape), module->bits, (long long)out,
                          (long long)groups, (long long)words_of(out, module->bits, false), (long long)groups);
    return way != 0;
}

static bool fit_order(struct tare_module *module, struct tare_arena *arena)
{
    const struct tare_tensor *order = module->part[TARE_PART_G_IDX];
    if (!order)
        return true;
    if (!tare_part_check(module, arena, TARE_PART_G_IDX, 1u << TARE_I32))
        return false;
    module->act_order = true;
    if (module->rank == 2 && order->rank == 1 && order->shape[0] == module->shape[1])
        return true;
    tare_module_fault(module, arena, TARE_E_SHAPE, order,
                      "weight_g_idx is %s, one number for each of %lld input "
                      "columns of one matrix is needed",
                      tare_shape_text(arena, order->rank, order->shape), (long long)tare_module_columns(module));
    return false;
}

/* Fills the shape; returns false after recording a fault. */
static bool fit(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const int rank = weight->rank;
    const bool one = one_scale(scales);
    const int64_t words = rank > 0 ? weight->shape[rank - 1] : 0;
    const int64_t groups = one ? 1 : scales->rank > 0 ? scales->shape[scales->rank - 1] : 0;
    if ((rank != 2 && rank != 3) || !(one || same_but_last(weight, scales)) || words < 1 || words > INT64_MAX / 32 ||
        groups < 1 || tare_shape_count(rank, weight->shape) < 1) {
        tare_module_fault(module, arena, TARE_E_SHAPE, scales,
                          "weight_packed is %s and weight_scale %s; [out, in * bits / 32] and [out, groups] are needed",
                          tare_shape_text(arena, rank, weight->shape),
                          tare_shape_text(arena, scales->rank, scales->shape));
        return false;
    }
    const int64_t size = module->said ? module->said->group_size : quant->group_size;
    int64_t in = columns_of(words, groups, module->bits, size, quant->version);
    if (!in && 32 % module->bits == 0 && words * (32 / module->bits) % groups == 0)
        in = words * (32 / module->bits); /* it is the config that does not fit: tare_compressed_agree() says so */
    if (!in) {
        tare_module_fault(
            module, arena, TARE_E_CONFIG, scales,
            "%s says %d bits and group_size %lld; weight_packed %s and weight_scale %s do not fit that; %s",
            quant->place ? quant->place : "quantization_config", module->bits, (long long)size,
            tare_shape_text(arena, rank, weight->shape), tare_shape_text(arena, scales->rank, scales->shape),
            TARE_REMEDY);
        return false;
    }
    int64_t *logical = tare_module_shape(module, arena, rank);
    if (!logical)
        return false;
    memcpy(logical, weight->shape, (size_t)rank * sizeof *logical);
    logical[rank - 1] = in;
    module->group_size = size > 0 && ceil_div(in, size) == groups ? size
                         : in % groups                            ? ceil_div(in, groups)
                                                                  : in / groups;
    return fit_zeros(module, arena, groups, quant->version) && fit_order(module, arena);
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    module->rank = weight->rank;
    module->shape = weight->shape;
    module->dtype = tare_dtype_is_float(scales->dtype) ? scales->dtype : TARE_BF16;
    if (!tare_part_check(module, arena, TARE_PART_WEIGHT, 1u << TARE_I32 | 1u << TARE_U32) ||
        !tare_part_check(module, arena, TARE_PART_SCALES, TARE_SCALE_DTYPES) ||
        !tare_compressed_announced(module, quant, arena, "pack-quantized", NULL))
        return;
    const int bits = module->said ? module->said->bits : quant->bits;
    module->bits = bits >= 2 && bits <= 8 ? bits : 4;
    if (module->part[TARE_PART_GLOBAL])
        tare_module_fault(module, arena, TARE_E_FORMAT, module->part[TARE_PART_GLOBAL],
                          "packed integers have no weight_global_scale; nvfp4 has");
    else if (fit(module, quant, arena))
        tare_compressed_agree(module, quant, arena);
}

/* Code `at` of a stream, or of words of whole codes; the words lie `stride` apart. */
static unsigned code_at(const unsigned char *words, int64_t stride, int64_t at, int bits, bool whole)
{
    const int64_t word = whole ? at / (32 / bits) : at / 32 * bits + at % 32 * bits / 32;
    const int shift = (int)(whole ? at % (32 / bits) * bits : at % 32 * bits % 32);
    uint32_t low, high = 0;
    memcpy(&low, words + 4 * word * stride, sizeof low);
    if (shift + bits > 32)
        memcpy(&high, words + 4 * (word + 1) * stride, sizeof high);
    return (unsigned)((low | (uint64_t)high << 32) >> shift) & ((1u << bits) - 1);
}

/* The bytes of a row of weight_packed. */
static int64_t row_bytes(const struct tare_module *module)
{
    return 4 * module->part[TARE_PART_WEIGHT]->shape[module->rank - 1];
}

static float scale_at(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t group)
{
    const int64_t at = one_scale(module->part[TARE_PART_SCALES]) ? 0 : row * tare_module_groups(module) + group;
    return tare_float_at(part[TARE_PART_SCALES], module->dtype, at);
}

static float zero_at(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t group)
{
    const unsigned char *zeros = part[TARE_PART_ZEROS];
    if (!zeros)
        return (float)(1u << (module->bits - 1));
    return (float)code_at(zeros + 4 * group, tare_module_groups(module), row, module->bits, module->whole_codes);
}

static int64_t stored_row(const struct tare_module *module, int64_t row)
{
    return module->rows ? module->rows[row] : row;
}

static void decode_row(const struct tare_module *module, const unsigned char *words, uint8_t *code)
{
    const int64_t in = tare_module_columns(module);
    if (module->whole_codes || module->place)
        for (int64_t i = 0; i < in; i++)
            code[module->place ? module->place[i] : i] =
                (uint8_t)code_at(words, 1, i, module->bits, module->whole_codes);
    else
        tare_mlx_unpack(words, module->bits, in, code);
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module), bytes = row_bytes(module);
    for (int64_t r = 0; r < rows; r++) {
        const int64_t stored = stored_row(module, row + r);
        decode_row(module, (const unsigned char *)part[TARE_PART_WEIGHT] + stored * bytes, codes->code + r * in);
        for (int64_t g = 0; g < groups; g++) {
            codes->scale[r * groups + g] = scale_at(module, part, stored, g);
            codes->offset[r * groups + g] = zero_at(module, part, stored, g);
        }
    }
}

/* Where columns were sorted, each code of the row goes to its new place in MLX's stream. */
static void place_codes(const struct tare_module *module, const unsigned char *words, unsigned char *to)
{
    const int64_t in = tare_module_columns(module);
    memset(to, 0, (size_t)(in * module->bits / 8));
    for (int64_t i = 0; i < in; i++) {
        const int64_t bit = (int64_t)module->place[i] * module->bits;
        const unsigned value = code_at(words, 1, i, module->bits, module->whole_codes) << bit % 8;
        to[bit / 8] |= (unsigned char)value;
        if (value >> 8) /* else there may be no next byte */
            to[bit / 8 + 1] |= (unsigned char)(value >> 8);
    }
}

/* Makes MLX's stream of the codes of one row; in is a multiple of 32. */
static void move_codes(const struct tare_module *module, const unsigned char *words, unsigned char *to)
{
    const int64_t in = tare_module_columns(module);
    uint8_t code[32];
    if (module->place)
        place_codes(module, words, to);
    else if (!module->whole_codes)
        memcpy(to, words, (size_t)(in * module->bits / 8));
    else
        for (int64_t first = 0; first < in; first += 32) {
            for (int i = 0; i < 32; i++)
                code[i] = (uint8_t)code_at(words, 1, first + i, module->bits, true);
            tare_mlx_pack(code, module->bits, 32, to + first * module->bits / 8);
        }
}

static void to_mlx(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   const struct tare_mlx_rows *to)
{
    const int64_t in = tare_module_columns(module), groups = tare_module_groups(module), bytes = row_bytes(module);
    for (int64_t r = 0; r < rows; r++) {
        const int64_t stored = stored_row(module, row + r);
        move_codes(module, (const unsigned char *)part[TARE_PART_WEIGHT] + stored * bytes,
                   (unsigned char *)to->weight + r * in * module->bits / 8);
        for (int64_t g = 0; g < groups; g++) {
            const float scale = scale_at(module, part, stored, g);
            tare_float_put(to->scales, module->dtype, r * groups + g, scale);
            tare_float_put(to->biases, module->dtype, r * groups + g, -zero_at(module, part, stored, g) * scale);
        }
    }
}

static enum tare_code check(const struct tare_module *module, const void *const part[TARE_PARTS],
                            struct tare_error *err)
{
    const struct tare_tensor *order = module->part[TARE_PART_G_IDX];
    const int64_t groups = tare_module_groups(module);
    for (int64_t i = 0; order && i < module->shape[1]; i++) {
        const int32_t group = (int32_t)tare_word_at(part[TARE_PART_G_IDX], i);
        if (group < 0 || group >= groups)
            return tare_fail(err, TARE_E_FORMAT, order->name, "weight_g_idx[%lld] is %ld, and there are %lld groups",
                             (long long)i, (long)group, (long long)groups);
        if (!module->act_order && group != (module->place ? module->place[i] : i) / module->group_size)
            return tare_fail(err, TARE_E_FORMAT, order->name,
                             "weight_g_idx[%lld] is %ld, which is not its place in order", (long long)i, (long)group);
    }
    return tare_compressed_check_shape(module, part, err);
}

const struct tare_packing tare_packing_int_packed = {
    .name = "pack-quantized",
    .suffix = {".weight_packed", ".weight_scale", ".weight_zero_point", ".weight_g_idx", ".weight_shape",
               ".weight_global_scale"},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .by_name = true,
    .reorders = true,
    .which = which,
    .codes = TARE_CODE_INTEGER,
    .mode = TARE_MLX_AFFINE,
    .shape = shape,
    .decode = decode,
    .suspect = &tare_suspect_rows,
    .to_mlx = to_mlx,
    .check = check,
};
