/* SPDX-License-Identifier: MIT
 * awq.c - what the layouts of AWQ share. */
#include "packing/awq/awq.h"

#include <string.h>

#include "packing/fault.h"

bool tare_awq_announced(const struct tare_quant *quant, const char *version)
{
    return quant->method == TARE_METHOD_AWQ && !strcmp(quant->version ? quant->version : "gemm", version);
}

void tare_awq_agree(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT], *scales = module->part[TARE_PART_SCALES];
    const int64_t in = tare_module_columns(module), said = quant->group_size == -1 ? in : quant->group_size;
    const char *place = quant->place ? quant->place : "quantization_config";
    if (quant->bits && quant->bits != module->bits)
        tare_module_fault(module, arena, TARE_E_CONFIG, weight,
                          "%s says %d bits, the shapes of qweight and scales are those of %d; %s", place, quant->bits,
                          module->bits, TARE_REMEDY);
    if (said && said != module->group_size)
        tare_module_fault(module, arena, TARE_E_CONFIG, scales,
                          "%s says group_size %lld, scales %s over %lld input columns make it %lld; %s", place,
                          (long long)quant->group_size, tare_shape_text(arena, 2, scales->shape), (long long)in,
                          (long long)module->group_size, TARE_REMEDY);
    if (quant->zero_point == 1 && !module->part[TARE_PART_ZEROS])
        tare_module_fault(module, arena, TARE_E_CONFIG, weight,
                          "%s says zero_point true, but the tensor %s is missing; if the zeros are all %d, zero_point "
                          "false says so",
                          place, tare_part_name(module, TARE_PART_ZEROS, arena), 1 << (module->bits - 1));
}

int64_t tare_awq_padded(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena,
                        int64_t in)
{
    const int64_t size = quant->group_size == -1 ? in : quant->group_size;
    if (size < 32 || in % size || (size < 128 && size != 32 && size != 64)) {
        tare_module_fault(module, arena, TARE_E_CONFIG, module->part[TARE_PART_SCALES],
                          size ? "%s says group_size %lld for %lld input columns; %s has 32, 64 and 128 up, and "
                                 "groups divide the columns"
                               : "%s says no group_size (%lld) for %lld input columns; the shapes of %s do not tell it",
                          quant->place ? quant->place : "quantization_config", (long long)quant->group_size,
                          (long long)in, module->packing->name);
        return 0;
    }
    const int64_t words = (in / size + 7) / 8, multiple = size < 128 ? 128 / size : 1;
    module->group_size = size;
    return (words + multiple - 1) / multiple * multiple;
}

bool tare_awq_scales_fit(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena,
                         int64_t in, const int64_t wanted[2])
{
    const struct tare_tensor *scales = module->part[TARE_PART_SCALES];
    if (scales->shape[0] == wanted[0] && scales->shape[1] == wanted[1])
        return true;
    tare_module_fault(module, arena, TARE_E_CONFIG, scales,
                      "%s says group_size %lld, which over %lld input columns needs scales %s; they are %s; %s",
                      quant->place ? quant->place : "quantization_config", (long long)quant->group_size, (long long)in,
                      tare_shape_text(arena, 2, wanted), tare_shape_text(arena, 2, scales->shape), TARE_REMEDY);
    return false;
}
