/* SPDX-License-Identifier: MIT
 * formats.c - the formats that tare writes. */
#include <string.h>

#include "save/save.h"

static const struct tare_save_format *const formats[] = {
#define FORMAT(name) &tare_format_##name,
#include "save/formats.def"
#undef FORMAT
};

const struct tare_save_format *tare_format_at(size_t k)
{
    return k < sizeof formats / sizeof *formats ? formats[k] : NULL;
}

const struct tare_save_format *tare_format_find(const char *name)
{
    for (size_t k = 0; k < sizeof formats / sizeof *formats; k++)
        if (!strcmp(formats[k]->name, name))
            return formats[k];
    return NULL;
}

enum tare_code tare_target_foresee(struct tare_model *model, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (size_t k = 0; !code && k < sizeof formats / sizeof *formats; k++)
        if (formats[k]->foresee)
            code = formats[k]->foresee(model, err);
    return code;
}

const char *tare_convert_format(size_t index)
{
    const struct tare_save_format *format = tare_format_at(index);
    return format ? format->name : NULL;
}
