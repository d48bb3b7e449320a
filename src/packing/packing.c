/* SPDX-License-Identifier: MIT
 * packing.c - the packing that a config announces, and what is the same for all of them. */
#include "packing/packing.h"

#include "base/small_float.h"
#include "packing/mlx/to_mlx.h"

static const struct tare_packing *const packings[] = {
#define PACKING(name) &tare_packing_##name,
#include "packing/packings.def"
#undef PACKING
};

/* AWQ has 4 bits; GPTQModel also writes 8 bits in gemm. */
static enum tare_code check_bits(const struct tare_quant *quant, struct tare_error *err)
{
    const bool gemm = !quant->version || !strcmp(quant->version, "gemm");
    if (quant->method == TARE_METHOD_AWQ && quant->bits && quant->bits != 4 && !(gemm && quant->bits == 8))
        return tare_fail(err, TARE_E_UNKNOWN, quant->place ? quant->place : "quantization_config",
                         "awq of %d bits; tare reads awq of 4 bits, and gemm of 8. If the tensors are of 4, \"bits\": "
                         "4 there says so "
                         "(tare repair will)",
                         quant->bits);
    return TARE_OK;
}

enum tare_code tare_packing_choose(const struct tare_quant *quant, const struct tare_packing **packing,
                                   struct tare_error *err)
{
    *packing = NULL;
    for (size_t k = 0; k < sizeof packings / sizeof *packings; k++)
        if (packings[k]->announced && packings[k]->announced(quant)) {
            *packing = packings[k];
            return check_bits(quant, err);
        }
    const bool awq = quant->method == TARE_METHOD_AWQ;
    if (!awq && quant->method != TARE_METHOD_MLX) /* none is announced, or one that the names of its tensors tell */
        return TARE_OK;
    return tare_fail(err, TARE_E_UNKNOWN, quant->place ? quant->place : "quantization_config",
                     "%s \"%s\" is not known%s; tare reads %s", awq ? "awq version" : "mlx mode",
                     (awq ? quant->version : quant->mode) ? (awq ? quant->version : quant->mode) : "",
                     awq && !strcmp(quant->version, "marlin") ? " (its tiles lie in the order of one GPU kernel)" : "",
                     awq ? "gemm, gemv, gemv_fast and llm-awq" : "affine, mxfp4, mxfp8 and nvfp4");
}

const struct tare_packing *tare_packing_at(size_t k)
{
    return k < sizeof packings / sizeof *packings ? packings[k] : NULL;
}

const struct tare_packing *tare_packing_of_blocks(enum tare_dtype dtype)
{
    for (size_t k = 0; (unsigned)dtype >= TARE_DTYPE_COUNT && k < sizeof packings / sizeof *packings; k++)
        if (packings[k]->blocks == dtype)
            return packings[k];
    return NULL;
}

const char *tare_mlx_mode_word(enum tare_mlx_mode mode)
{
    static const char *const words[] = {
        [TARE_MLX_AFFINE] = "affine", [TARE_MLX_MXFP4] = "mxfp4", [TARE_MLX_MXFP8] = "mxfp8",
        [TARE_MLX_NVFP4] = "nvfp4",   [TARE_MLX_DENSE] = "dense",
    };
    return words[mode];
}

const char *tare_packing_word(const struct tare_packing *packing, enum tare_dtype dtype)
{
    static const char *const words[TARE_DTYPE_COUNT] = {
        [TARE_BOOL] = "bool",
        [TARE_U8] = "uint8",
        [TARE_I8] = "int8",
        [TARE_I16] = "int16",
        [TARE_U16] = "uint16",
        [TARE_I32] = "int32",
        [TARE_U32] = "uint32",
        [TARE_I64] = "int64",
        [TARE_U64] = "uint64",
        [TARE_F8_E4M3] = "float8_e4m3",
        [TARE_F8_E5M2] = "float8_e5m2",
        [TARE_F8_E8M0] = "float8_e8m0",
        [TARE_F16] = "float16",
        [TARE_BF16] = "bfloat16",
        [TARE_F32] = "float32",
        [TARE_F64] = "float64",
    };
    return packing == &tare_packing_plain ? words[dtype] : packing->name;
}

int64_t tare_module_rows(const struct tare_module *module)
{
    int64_t rows = 1;
    for (int k = 0; k + 1 < module->rank; k++)
        rows *= module->shape[k];
    return rows;
}

int64_t tare_module_columns(const struct tare_module *module)
{
    return module->rank ? module->shape[module->rank - 1] : 1;
}

int64_t tare_module_groups(const struct tare_module *module)
{
    return module->group_size ? (tare_module_columns(module) - 1) / module->group_size + 1 : 0;
}

bool tare_module_even(const struct tare_module *module)
{
    return !module->act_order && module->group_size && tare_module_columns(module) % module->group_size == 0;
}

enum tare_code tare_module_data(struct tare_checkpoint *checkpoint, const struct tare_module *module,
                                const void *part[TARE_PARTS], struct tare_error *err)
{
    if (module->unusable)
        return tare_fail(err, TARE_E_FORMAT, module->name, "%s: its data cannot be read", module->unusable);
    for (int k = 0; k < TARE_PARTS; k++) {
        part[k] = NULL;
        enum tare_code code = TARE_OK;
        if (module->part[k])
            code = (tare_part_is_copied((enum tare_part)k) ? tare_tensor_data : tare_tensor_address)(
                checkpoint, module->part[k], &part[k], err);
        if (code)
            return code;
    }
    return module->packing->check ? module->packing->check(module, part, err) : TARE_OK;
}

/* Computes weight[r][i] (packing.h) for even groups of integer codes. */
static void dequantize(const struct tare_codes *codes, int64_t rows, int64_t columns, int64_t group_size, bool biases,
                       float *dst)
{
    const int64_t groups = columns / group_size;
    for (int64_t k = 0; k < rows * groups; k++) {
        const uint8_t *code = codes->code + k * group_size;
        const float scale = codes->scale[k], offset = codes->offset[k];
        float *to = dst + k * group_size;
        if (biases)
            for (int64_t i = 0; i < group_size; i++)
                to[i] = scale * (float)code[i] + offset;
        else
            for (int64_t i = 0; i < group_size; i++)
                to[i] = scale * ((float)code[i] - offset);
    }
}

/* The same where groups are not runs of columns. False: no memory. */
static bool dequantize_uneven(const struct tare_module *module, const void *const part[TARE_PARTS],
                              const struct tare_codes *codes, int64_t rows, float *dst, struct tare_arena *work)
{
    const int64_t columns = tare_module_columns(module), groups = tare_module_groups(module);
    int32_t *group = tare_arena_room(work, (size_t)columns, sizeof *group);
    if (!group)
        return false;
    for (int64_t i = 0; i < columns; i++)
        group[i] = (int32_t)tare_module_group(module, part, i);
    for (int64_t r = 0; r < rows; r++) {
        const float *scale = codes->scale + r * groups, *offset = codes->offset + r * groups;
        const uint8_t *code = codes->code + r * columns;
        float *to = dst + r * columns;
        if (module->packing->biases)
            for (int64_t i = 0; i < columns; i++)
                to[i] = scale[group[i]] * (float)code[i] + offset[group[i]];
        else
            for (int64_t i = 0; i < columns; i++)
                to[i] = scale[group[i]] * ((float)code[i] - offset[group[i]]);
    }
    return true;
}

/* The same for even groups of codes that are floats. */
static void dequantize_floats(const struct tare_module *module, const struct tare_codes *codes, int64_t rows,
                              float *dst)
{
    const enum tare_code_form kind = module->packing->codes;
    const float *table = module->packing->numbers ? module->packing->numbers(module) : NULL;
    const int64_t columns = tare_module_columns(module), group_size = module->group_size;
    const int64_t groups = columns / group_size;
    for (int64_t k = 0; k < rows * groups; k++) {
        const uint8_t *code = codes->code + k * group_size;
        const float scale = codes->scale[k];
        float *to = dst + k * group_size;
        if (kind == TARE_CODE_E4M3)
            for (int64_t i = 0; i < group_size; i++)
                to[i] = scale * tare_from_e4m3(code[i]);
        else if (kind == TARE_CODE_TABLE)
            for (int64_t i = 0; i < group_size; i++)
                to[i] = scale * table[code[i] & 15];
        else
            for (int64_t i = 0; i < group_size; i++)
                to[i] = scale * tare_from_e2m1(code[i]);
    }
}

static enum tare_code plain_floats(const struct tare_module *module, const void *data, int64_t first, int64_t n,
                                   float *dst, struct tare_error *err)
{
    if (tare_floats_at(data, module->dtype, first, n, dst))
        return TARE_OK;
    return tare_fail(err, TARE_E_SHAPE, module->name, "%s where floats are needed (F16, BF16, F32 or F64)",
                     tare_dtype_name(module->dtype));
}

void tare_codes_floats(const struct tare_module *module, const struct tare_codes *codes, int64_t rows, float *dst)
{
    const int64_t columns = tare_module_columns(module);
    if (module->packing->codes == TARE_CODE_INTEGER)
        dequantize(codes, rows, columns, module->group_size, module->packing->biases, dst);
    else
        dequantize_floats(module, codes, rows, dst);
}

enum tare_code tare_module_codes(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                                 int64_t rows, struct tare_codes *codes, struct tare_arena *work,
                                 struct tare_error *err)
{
    const size_t values = (size_t)(rows * tare_module_columns(module));
    const size_t groups = (size_t)(rows * tare_module_groups(module));
    *codes = (struct tare_codes){
        .code = tare_arena_room(work, values, 1),
        .scale = tare_arena_room(work, groups, sizeof *codes->scale),
        .offset = tare_arena_room(work, groups, sizeof *codes->offset),
    };
    if (!codes->code || !codes->scale || !codes->offset)
        return tare_fail_memory(err);
    module->packing->decode(module, part, row, rows, codes);
    return TARE_OK;
}

enum tare_code tare_module_floats(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                                  int64_t rows, float *dst, struct tare_arena *work, struct tare_error *err)
{
    const int64_t columns = tare_module_columns(module);
    if (module->packing == &tare_packing_plain)
        return plain_floats(module, part[TARE_PART_WEIGHT], row * columns, rows * columns, dst, err);
    if (module->packing->floats)
        return module->packing->floats(module, part, row, rows, dst, work) ? TARE_OK : tare_fail_memory(err);
    struct tare_codes codes;
    const enum tare_code code = tare_module_codes(module, part, row, rows, &codes, work, err);
    if (code)
        return code;
    if (module->packing->codes != TARE_CODE_INTEGER || tare_module_even(module)) {
        tare_codes_floats(module, &codes, rows, dst);
        return TARE_OK;
    }
    return dequantize_uneven(module, part, &codes, rows, dst, work) ? TARE_OK : tare_fail_memory(err);
}
