/* SPDX-License-Identifier: MIT
 * bnb_4bit.c - bitsandbytes' nf4 and fp4: codes of 4 bits into a table of 16 numbers, scaled by the largest number of
 * each block of the flattened weight.
 *
 *     X                   (ceil(n / 2), 1) bytes, n = out * in; the first of two neighbours in the high half. The dtype
 *                         is a label (bnb_4bit_quant_storage): the bytes are the same under U8, BF16, F16 and F32
 *     X.absmax            F32, one for each block of blocksize elements; U8 where they are quantized once more
 *     X.quant_map         F32 (16): what the codes stand for
 *     X.nested_absmax, X.nested_quant_map   F32 (ceil(blocks / nested_blocksize)), F32 (256): of the second quantizing
 *     X.quant_state.bitsandbytes__nf4 (or __fp4)   JSON text: quant_type, blocksize, dtype, shape, and when nested
 *                         nested_blocksize, nested_dtype, nested_offset; the only place that tells the shape
 *     weight.flat[e] = quant_map[code[e]] * absmax[e / blocksize]
 *     absmax[b] = nested_quant_map[byte[b]] * nested_absmax[b / nested_blocksize] + nested_offset
 * in float32, rounded after each. Blocks run over the ends of rows; a group of the neutral form is the largest run of
 * columns that lies within one block in every row. Source: bitsandbytes/functional.py (QuantState, dequantize_4bit).
 */
#include <string.h>

#include "config/json.h"
#include "packing/fault.h"

enum told { MAP, NESTED_ABSMAX, NESTED_MAP, STATE_NF4, STATE_FP4 };

static const char *const told[] = {".quant_map",
                                   ".nested_absmax",
                                   ".nested_quant_map",
                                   ".quant_state.bitsandbytes__nf4",
                                   ".quant_state.bitsandbytes__fp4",
                                   NULL};

struct notes {
    float map[16];
    int64_t block;  /* elements that share an absmax */
    int64_t nested; /* blocks that share a nested_absmax; 0: absmax is float32 */
    float offset;
    const void *nested_absmax, *nested_map; /* float32, which need not be aligned */
};

static bool fault(struct tare_module *module, struct tare_arena *arena, const struct tare_tensor *tensor,
                  const char *text)
{
    tare_module_fault(module, arena, TARE_E_FORMAT, tensor, "%s", text);
    return false;
}

/* An integer of the quant_state, from 1 on; else a fault. */
static bool read_size(struct tare_module *module, struct tare_arena *arena, const struct tare_tensor *state,
                      const json_t *json, const char *key, int64_t *into)
{
    const json_t *value = json_object_get(json, key);
    if (json_is_integer(value) && json_integer_value(value) >= 1 && json_integer_value(value) <= INT32_MAX) {
        *into = json_integer_value(value);
        return true;
    }
    tare_module_fault(module, arena, TARE_E_FORMAT, state, "the quant_state's %s must be an integer of at least 1",
                      key);
    return false;
}

static bool read_shape(struct tare_module *module, struct tare_arena *arena, const struct tare_tensor *state,
                       const json_t *list)
{
    const size_t rank = json_array_size(list);
    if (!json_is_array(list) || rank < 2 || rank > 3)
        return fault(module, arena, state, "the quant_state's shape must be a list of two or three sizes");
    int64_t *shape = tare_module_shape(module, arena, (int)rank), count = 1;
    if (!shape)
        return false;
    for (size_t k = 0; k < rank; k++) {
        const json_t *size = json_array_get(list, k);
        shape[k] = json_is_integer(size) ? json_integer_value(size) : 0;
        if (shape[k] < 1 || shape[k] > INT32_MAX || count > INT64_MAX / 8 / shape[k])
            return fault(module, arena, state, "the quant_state's shape must be a list of two or three sizes");
        count *= shape[k];
    }
    return true;
}

/* The dtype that bitsandbytes gives the values when it runs. */
static bool read_dtype(struct tare_module *module, struct tare_arena *arena, const struct tare_tensor *state,
                       const json_t *json)
{
    static const struct {
        const char *name;
        enum tare_dtype dtype;
    } known[] = {{"bfloat16", TARE_BF16}, {"float16", TARE_F16}, {"float32", TARE_F32}};
    const char *name = json_string_value(json_object_get(json, "dtype"));
    for (size_t k = 0; name && k < sizeof known / sizeof *known; k++)
        if (!strcmp(name, known[k].name)) {
            module->dtype = known[k].dtype;
            return true;
        }
    tare_module_fault(module, arena, TARE_E_FORMAT, state,
                      "the quant_state's dtype is %.32s; bfloat16, float16 and float32 are known",
                      name ? name : "missing");
    return false;
}

/* A float32 tensor beside the weight that has `count` numbers; else a fault. */
static bool has_floats(struct tare_module *module, struct tare_arena *arena, enum told which, int64_t count)
{
    const struct tare_tensor *tensor = module->told[which].tensor;
    if (tensor && tensor->dtype == TARE_F32 && tare_shape_count(tensor->rank, tensor->shape) == count)
        return true;
    if (!tensor)
        tare_module_fault(module, arena, TARE_E_STRICT, module->part[TARE_PART_SCALES],
                          "%s%s is missing beside it; fetch the checkpoint again or ask its producer",
                          module->part[TARE_PART_WEIGHT]->name, told[which]);
    else
        tare_module_fault(module, arena, TARE_E_SHAPE, tensor, "%s %s, %lld numbers of F32 are needed",
                          tare_dtype_name(tensor->dtype), tare_shape_text(arena, tensor->rank, tensor->shape),
                          (long long)count);
    return false;
}

static bool read_nested(struct tare_module *module, struct tare_arena *arena, const struct tare_tensor *state,
                        const json_t *json, struct notes *notes)
{
    const json_t *offset = json_object_get(json, "nested_offset");
    const int64_t blocks =
        tare_shape_count(module->part[TARE_PART_SCALES]->rank, module->part[TARE_PART_SCALES]->shape);
    const char *dtype = json_string_value(json_object_get(json, "nested_dtype"));
    if (module->part[TARE_PART_SCALES]->dtype == TARE_F32) {
        if (!offset && !module->told[NESTED_ABSMAX].tensor)
            return true;
        return fault(module, arena, module->part[TARE_PART_SCALES],
                     "absmax is F32, but a nested_absmax or nested_offset says that it is quantized once more (U8)");
    }
    if (!read_size(module, arena, state, json, "nested_blocksize", &notes->nested))
        return false;
    if (!json_is_number(offset))
        return fault(module, arena, state, "absmax is U8, so the quant_state needs a number as nested_offset");
    if (dtype && strcmp(dtype, "float32") != 0)
        return fault(module, arena, state, "the quant_state's nested_dtype must be float32");
    notes->offset = (float)json_number_value(offset);
    if (!has_floats(module, arena, NESTED_ABSMAX, (blocks - 1) / notes->nested + 1) ||
        !has_floats(module, arena, NESTED_MAP, 256))
        return false;
    notes->nested_absmax = module->told[NESTED_ABSMAX].data;
    notes->nested_map = module->told[NESTED_MAP].data;
    return true;
}

/* Holds the sizes of the weight and of absmax against the shape. */
static bool sizes_agree(struct tare_module *module, struct tare_arena *arena, const struct notes *notes)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *absmax = module->part[TARE_PART_SCALES];
    const int64_t n = tare_shape_count(module->rank, module->shape), blocks = (n - 1) / notes->block + 1;
    const uint64_t bytes = (uint64_t)(n + 1) / 2, item = tare_dtype_size(weight->dtype);
    if (!item || weight->size < bytes || weight->size - bytes >= item)
        tare_module_fault(module, arena, TARE_E_SHAPE, weight,
                          "it has %llu bytes, the quant_state's shape %s needs %llu", (unsigned long long)weight->size,
                          tare_shape_text(arena, module->rank, module->shape), (unsigned long long)bytes);
    else if (tare_shape_count(absmax->rank, absmax->shape) != blocks)
        tare_module_fault(module, arena, TARE_E_SHAPE, absmax, "it is %s, %s in blocks of %lld needs %lld numbers",
                          tare_shape_text(arena, absmax->rank, absmax->shape),
                          tare_shape_text(arena, module->rank, module->shape), (long long)notes->block,
                          (long long)blocks);
    return !module->fault;
}

static void read_state(struct tare_module *module, struct tare_arena *arena, const struct tare_tensor *state,
                       const json_t *json, struct notes *notes)
{
    const bool fp4 = module->told[STATE_FP4].tensor == state;
    const char *type = json_string_value(json_object_get(json, "quant_type"));
    module->packing = fp4 ? &tare_packing_bnb_fp4 : &tare_packing_bnb_nf4;
    if (!json_is_object(json))
        fault(module, arena, state, "the quant_state must be a JSON object");
    else if (!type || strcmp(type, fp4 ? "fp4" : "nf4") != 0)
        tare_module_fault(module, arena, TARE_E_FORMAT, state,
                          "the quant_state's quant_type is %.32s, its name says %s", type ? type : "missing",
                          fp4 ? "fp4" : "nf4");
    else if (read_size(module, arena, state, json, "blocksize", &notes->block) &&
             read_dtype(module, arena, state, json) &&
             read_shape(module, arena, state, json_object_get(json, "shape")) && sizes_agree(module, arena, notes) &&
             has_floats(module, arena, MAP, 16) && read_nested(module, arena, state, json, notes)) {
        memcpy(notes->map, module->told[MAP].data, sizeof notes->map);
        module->notes = notes;
        module->bits = 4;
        module->group_size = tare_common_divisor(tare_module_columns(module), notes->block);
    }
}

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_told *nf4 = &module->told[STATE_NF4], *fp4 = &module->told[STATE_FP4];
    const struct tare_told *state = nf4->tensor ? nf4 : fp4;
    struct notes *notes = tare_arena_array(arena, 1, sizeof *notes);
    struct tare_error why = {0};
    json_t *json = NULL;
    (void)quant;
    if (!notes || !tare_part_check(module, arena, TARE_PART_SCALES, 1u << TARE_F32 | 1u << TARE_U8))
        return;
    if (!state->tensor)
        tare_module_fault(module, arena, TARE_E_STRICT, module->part[TARE_PART_SCALES],
                          "%s.quant_state.bitsandbytes__nf4 (or __fp4) is missing beside it, which tells the shape; "
                          "fetch the checkpoint again or ask its producer",
                          module->part[TARE_PART_WEIGHT]->name);
    else if (nf4->tensor && fp4->tensor)
        fault(module, arena, fp4->tensor, "there is a quant_state of nf4 as well, and only one can be meant");
    else if (state->tensor->dtype != TARE_U8)
        fault(module, arena, state->tensor, "a quant_state is JSON text in U8");
    else if (tare_json_parse(&json, "quant_state", state->data, (size_t)state->tensor->size, &why))
        tare_module_fault(module, arena, TARE_E_FORMAT, state->tensor, "the quant_state is no JSON: %s", why.text);
    else
        read_state(module, arena, state->tensor, json, notes);
    json_decref(json);
}

static float absmax_of(const struct notes *notes, const void *absmax, int64_t block)
{
    if (!notes->nested)
        return tare_float_at(absmax, TARE_F32, block);
    const float product = tare_float_at(notes->nested_map, TARE_F32, ((const uint8_t *)absmax)[block]) *
                          tare_float_at(notes->nested_absmax, TARE_F32, block / notes->nested);
    return product + notes->offset;
}

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    const struct notes *notes = module->notes;
    const uint8_t *bytes = part[TARE_PART_WEIGHT];
    const int64_t in = tare_module_columns(module), first = row * in, n = rows * in;
    for (int64_t e = first; e < first + n; e++)
        codes->code[e - first] = e & 1 ? bytes[e / 2] & 15 : bytes[e / 2] >> 4;
    for (int64_t g = 0; g < n / module->group_size; g++)
        codes->scale[g] = absmax_of(notes, part[TARE_PART_SCALES], (first + g * module->group_size) / notes->block);
}

static const float *numbers(const struct tare_module *module)
{
    return ((const struct notes *)module->notes)->map;
}

/* ".absmax" alone says little, so without its weight it is a packed one only where the config speaks of bitsandbytes. */
static const struct tare_packing *which(const struct tare_module *module, const struct tare_quant *quant)
{
    return module->part[TARE_PART_WEIGHT] || quant->method == TARE_METHOD_BITSANDBYTES ? &tare_packing_bnb_nf4 : NULL;
}

const struct tare_packing tare_packing_bnb_nf4 = {
    .name = "bnb-nf4",
    .suffix = {"", ".absmax"},
    .key = TARE_PART_SCALES,
    .told = told,
    .by_name = true,
    .codes = TARE_CODE_TABLE,
    .mode = TARE_MLX_DENSE,
    .which = which,
    .shape = shape,
    .decode = decode,
    .numbers = numbers,
};

const struct tare_packing tare_packing_bnb_fp4 = {
    .name = "bnb-fp4",
    .suffix = {"", ".absmax"},
    .key = TARE_PART_SCALES,
    .told = told,
    .codes = TARE_CODE_TABLE,
    .mode = TARE_MLX_DENSE,
    .shape = shape,
    .decode = decode,
    .numbers = numbers,
};
