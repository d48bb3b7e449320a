/* SPDX-License-Identifier: MIT
 * plain.c - tensors that are not packed: floats and integers as they are. */
#include "packing/fault.h"

static void shape(struct tare_module *module, const struct tare_quant *quant, struct tare_arena *arena)
{
    (void)quant;
    (void)arena;
    const struct tare_tensor *tensor = module->part[TARE_PART_WEIGHT];
    module->rank = tensor->rank;
    module->shape = tensor->shape;
    module->dtype = tensor->dtype;
    module->bits = 0;
    module->group_size = 0;
}

const struct tare_packing tare_packing_plain = {
    .name = "plain",
    .suffix = {""},
    .key = TARE_PART_WEIGHT,
    .rowwise = true,
    .shape = shape,
};
