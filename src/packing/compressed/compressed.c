/* SPDX-License-Identifier: MIT
 * compressed.c - holds the config of compressed-tensors against the tensors (P6 in docs/bad-input.md). */
#include "packing/compressed/compressed.h"

#include <string.h>

#include "packing/block_scales.h"
#include "packing/fault.h"

static const char *place_of(const struct tare_quant *quant)
{
    return quant->place ? quant->place : "quantization_config";
}

bool tare_compressed_announced(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena,
                               const char *format, const char *other)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT];
    const char *path = tare_module_path(module, arena);
    if (quant->method != TARE_METHOD_COMPRESSED)
        return true;
    /* Names may have changed since the config was written, but a single group leaves no choice. */
    if (!module->said && quant->n_groups == 1)
        module->said = quant->groups;
    if (module->said && !module->said->bits) /* a group that quantizes activations only */
        module->said = NULL;
    const char *said = module->said ? module->said->format : NULL;
    if (module->ignored)
        tare_module_fault(module, arena, TARE_E_CONFIG, weight, "%s: ignore names %s, but its tensors are packed; %s",
                          place_of(quant), path, TARE_REMEDY);
    else if (!module->said && quant->n_groups)
        tare_module_fault(module, arena, TARE_E_CONFIG, weight,
                          "%s: no group of config_groups targets %s, but its tensors are packed; %s", place_of(quant),
                          path, TARE_REMEDY);
    else if (said && format && strcmp(said, format) && (!other || strcmp(said, other)))
        tare_module_fault(module, arena, TARE_E_CONFIG, weight,
                          "%s: %s says format %s of %s, its tensors are those of %s%s%s; %s", place_of(quant),
                          module->said->name, said, path, format, other ? " or " : "", other ? other : "", TARE_REMEDY);
    else if (module->said && module->said->integers != (module->packing->codes == TARE_CODE_INTEGER))
        tare_module_fault(module, arena, TARE_E_CONFIG, weight,
                          "%s: %s says type %s of %s, its tensors are those of %s; "
                          "%s",
                          place_of(quant), module->said->name, module->said->integers ? "int" : "float", path,
                          module->packing->name, TARE_REMEDY);
    return !module->fault;
}

void tare_compressed_agree(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_quant_group *said = module->said;
    const int64_t in = tare_module_columns(module);
    const int64_t size = said ? said->group_size : quant->group_size, columns = size == -1 ? in : size;
    if ((quant->method != TARE_METHOD_COMPRESSED && quant->method != TARE_METHOD_MODELOPT) || module->fault)
        return;
    if (columns && columns != module->group_size)
        tare_module_fault(module, arena, TARE_E_CONFIG, module->part[TARE_PART_SCALES],
                          "%s says group_size %lld, %s over %lld input columns makes it %lld; %s", place_of(quant),
                          (long long)columns, tare_part_word(module, TARE_PART_SCALES), (long long)in,
                          (long long)module->group_size, TARE_REMEDY);
    if (said && !said->symmetric && !module->part[TARE_PART_ZEROS])
        tare_module_fault(
            module, arena, TARE_E_CONFIG, module->part[TARE_PART_WEIGHT],
            "%s: %s says symmetric false, but the tensor %s is missing; if the zeros are all 0, symmetric "
            "true says so",
            place_of(quant), said->name, tare_part_name(module, TARE_PART_ZEROS, arena));
}

/* Holds the number of scales against the strategy that the config names. */
static void agree_strategy(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const char *said = module->said ? module->said->strategy : "";
    const int64_t count = tare_shape_count(scales->rank, scales->shape), rows = tare_module_rows(module);
    const int64_t *block = module->block, in = tare_module_columns(module), out = rows;
    bool agrees = true;
    if (!strcmp(said, "tensor"))
        agrees = count == 1 || (module->rank == 3 && count == module->shape[0]);
    else if (!strcmp(said, "channel"))
        agrees = count == rows;
    else if (!strcmp(said, "block") && block[0] && module->rank == 2)
        agrees = count == ((out - 1) / block[0] + 1) * ((in - 1) / block[1] + 1);
    if (!agrees)
        tare_module_fault(module, arena, TARE_E_CONFIG, scales,
                          "%s: %s says strategy %s, but %s is %s over a weight %s; %s", place_of(quant),
                          module->said->name, said, tare_part_word(module, TARE_PART_SCALES),
                          tare_shape_text(arena, scales->rank, scales->shape),
                          tare_shape_text(arena, weight->rank, weight->shape), TARE_REMEDY);
}

void tare_compressed_blocks(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_quant_group *said = module->said;
    int64_t block[2] = {128, 128}; /* the blocks that every program writes */
    if (said && said->block[0])
        memcpy(block, said->block, sizeof block);
    else if (said && said->group_size > 0) {
        block[0] = 1;
        block[1] = said->group_size;
    }
    if (!tare_blocks_fit(module, arena, block))
        return;
    agree_strategy(module, quant, arena);
    if (!module->block[0] || block[0] == 1)
        tare_compressed_agree(module, quant, arena);
}

enum tare_code tare_compressed_check_shape(const struct tare_module *module, const void *const part[TARE_PARTS],
                                           struct tare_error *err)
{
    const struct tare_tensor *tensor = module->part[TARE_PART_SHAPE];
    int64_t shape[2];
    if (!tensor || tensor->dtype != TARE_I64 || tensor->rank != 1 || tensor->shape[0] != 2 || module->rank != 2)
        return TARE_OK;
    memcpy(shape, part[TARE_PART_SHAPE], sizeof shape);
    if (shape[0] == module->shape[0] && shape[1] == module->shape[1])
        return TARE_OK;
    return tare_fail(err, TARE_E_SHAPE, tensor->name,
                     "it says [%lld, %lld], the shapes of the other parts and the config make it [%lld, %lld]",
                     (long long)shape[0], (long long)shape[1], (long long)module->shape[0],
                     (long long)module->shape[1]);
}
