/* SPDX-License-Identifier: MIT
 * fault.c - records why a module cannot be used: one sentence, the tensor at fault and a code. */
#include "packing/fault.h"

#include <string.h>

void tare_module_fault(struct tare_module *module, struct tare_arena *arena, enum tare_code code,
                       const struct tare_tensor *tensor, const char *format, ...)
{
    if (module->fault)
        return;
    va_list args;
    va_start(args, format);
    const char *text = tare_arena_vformat(arena, format, args);
    va_end(args);
    module->fault = text ? text : "out of memory";
    module->fault_name = tensor ? tensor->name : module->name;
    module->fault_code = text ? code : TARE_E_MEMORY;
}

const char *tare_shape_text(struct tare_arena *arena, int rank, const int64_t *shape)
{
    const char *text = "[";
    for (int k = 0; text && k < rank; k++)
        text = tare_arena_format(arena, "%s%s%lld", text, k ? ", " : "", (long long)shape[k]);
    text = text ? tare_arena_format(arena, "%s]", text) : NULL;
    return text ? text : "[]";
}

static const char *dtypes_text(struct tare_arena *arena, unsigned dtypes)
{
    const char *text = "";
    for (int d = 0; text && d < TARE_DTYPE_COUNT; d++)
        if (dtypes >> d & 1)
            text = tare_arena_format(arena, "%s%s%s", text, *text ? " or " : "", tare_dtype_name((enum tare_dtype)d));
    return text ? text : "";
}

bool tare_part_check(struct tare_module *module, struct tare_arena *arena, enum tare_part part, unsigned dtypes)
{
    const struct tare_packing *packing = module->packing;
    const struct tare_tensor *tensor = module->part[part], *there = NULL;
    for (int k = 0; !there && k < TARE_PARTS; k++)
        there = module->part[k];
    if (!tensor) {
        const char *has = "";
        for (int k = 0; has && k < TARE_PARTS; k++)
            if (module->part[k])
                has = tare_arena_format(arena, "%s%s%s", has, *has ? " and " : "",
                                        tare_part_word(module, (enum tare_part)k));
        tare_module_fault(module, arena, TARE_E_STRICT, there, "%s without %s: the tensor %s is missing",
                          has ? has : "", tare_part_word(module, part), tare_part_name(module, part, arena));
        return false;
    }
    if (dtypes >> tensor->dtype & 1)
        return true;
    tare_module_fault(module, arena, TARE_E_SHAPE, tensor, "%s is %s, %s needs %s", tare_part_word(module, part),
                      tare_dtype_name(tensor->dtype), packing->name, dtypes_text(arena, dtypes));
    return false;
}

int64_t *tare_module_shape(struct tare_module *module, struct tare_arena *arena, int rank)
{
    int64_t *shape = tare_arena_array(arena, (size_t)rank + 1, sizeof *shape);
    module->rank = shape ? rank : 0;
    module->shape = shape;
    return shape;
}

const char *tare_module_path(const struct tare_module *module, struct tare_arena *arena)
{
    const size_t n = strlen(module->name);
    const size_t cut = n > 7 && strcmp(module->name + n - 7, ".weight") == 0 ? n - 7 : n;
    const char *path = tare_arena_copy(arena, module->name, cut);
    return path ? path : module->name;
}

const char *tare_part_name(const struct tare_module *module, enum tare_part part, struct tare_arena *arena)
{
    const struct tare_packing *packing = module->packing;
    const char *suffix = packing->suffix[part] ? packing->suffix[part] : "";
    if (module->part[part])
        return module->part[part]->name;
    /* where this packing's weights have no suffix of their own, the stem is the module's name itself */
    const char *stem = packing->suffix[TARE_PART_WEIGHT] && packing->suffix[TARE_PART_WEIGHT][0] == '.'
                           ? tare_module_path(module, arena)
                           : module->name;
    const char *name = tare_arena_format(arena, "%s%s", stem, suffix);
    return name ? name : module->name;
}

const char *tare_part_word(const struct tare_module *module, enum tare_part part)
{
    const struct tare_tensor *tensor = module->part[part];
    const char *dot = tensor ? strrchr(tensor->name, '.') : NULL, *suffix = module->packing->suffix[part];
    if (tensor)
        return dot ? dot + 1 : tensor->name;
    return suffix && *suffix ? suffix + 1 : "weight";
}
