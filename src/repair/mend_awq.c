/* SPDX-License-Identifier: MIT
 * mend_awq.c - AWQ's settings: method, bits, group size, version, zero_point. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "repair/settings.h"

static enum tare_code mend_zero_point(struct tare_settings *m)
{
    const json_t *there = tare_settings_get(m, "zero_point");
    size_t with = 0;
    bool eight = true;
    for (size_t i = 0; i < m->stems->n; i++)
        with += m->stems->list[i].zeros != NULL;
    if (with && with < m->stems->n) {
        if (!json_is_false(there))
            tare_repair_note(m->r, m->place.file,
                             "zero_point: %zu of %zu packed tensors have qzeros; whether those of the others are lost "
                             "or all 8 cannot be told",
                             with, m->stems->n);
        return TARE_OK;
    }
    if (!with)
        return json_is_false(there)
                   ? TARE_OK
                   : tare_settings_set(m, "zero_point", json_false(),
                                       "no packed tensor has qzeros: every zero is 8, the middle of the codes");
    if (json_is_true(there))
        return TARE_OK;
    if (json_is_false(there)) { /* GPTQModel writes false, and still stores zeros, which are all 8. */
        if (m->r->options.no_data)
            return TARE_OK;
        const enum tare_code code = tare_stems_all_eight(m->stems, &eight, m->err);
        if (code || eight)
            return code;
        return tare_settings_set(m, "zero_point", json_true(), "qzeros hold other zeros than 8");
    }
    return tare_settings_set(m, "zero_point", json_true(), "the packed tensors have qzeros");
}

enum tare_code tare_mend_awq(struct tare_settings *m, enum tare_layout_bit layout)
{
    static const char *const formats[] = {"format", "checkpoint_format"};
    const struct tare_stem *first = &m->stems->list[0];
    const struct tare_reading reading = tare_stem_read(first, layout);
    const char *version = layout == TARE_LAYOUT_AWQ_GEMV        ? "gemv"
                          : layout == TARE_LAYOUT_AWQ_GEMV_FAST ? "gemv_fast"
                                                                : "gemm";
    const char *because =
        tare_settings_because(m,
                              "qweight and scales of %s are laid out as awq lays them out (%lld bits over %lld "
                              "input columns), and the others agree",
                              first->path, reading.bits, (long long)reading.in);
    enum tare_code code = tare_settings_want_text(m, "quant_method", "awq", because);
    if (!code)
        code = tare_settings_want_integer(m, "bits", "w_bit", reading.bits, because);
    if (!code)
        code = tare_mend_group(m, layout);
    if (!code && !(layout == TARE_LAYOUT_AWQ_GEMV_FAST && tare_settings_text(m, "version") &&
                   !strcasecmp(tare_settings_text(m, "version"), "llm-awq")))
        code = tare_settings_want_text(m, "version", version, because);
    for (size_t k = 0; k < 2 && !code; k++) /* GPTQModel repeats the version under these keys. */
        if (tare_settings_get(m, formats[k]) && layout != TARE_LAYOUT_AWQ_GEMV_FAST)
            code = tare_settings_want_text(m, formats[k], version, because);
    return code || layout == TARE_LAYOUT_AWQ_GEMV_FAST ? code : mend_zero_point(m);
}
