/* SPDX-License-Identifier: MIT
 * mend_gptq.c - GPTQ's settings: method, bits, group size, checkpoint_format, sym, desc_act. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "repair/settings.h"

/* The number of bits that all stems have in common, or 0. */
static int common_bits(const struct tare_stems *s, enum tare_layout_bit layout)
{
    int bits = 0;
    for (size_t i = 0; i < s->n; i++) {
        const int own = tare_stem_read(&s->list[i], layout).bits;
        if (!own || (bits && own != bits))
            return 0;
        bits = own;
    }
    return bits;
}

/* The plan has judged from the data what a stored zero means (plan/gptq_zeros.c), and config.json says otherwise. */
static enum tare_code mend_format(struct tare_settings *m)
{
    const struct tare_finding *finding = tare_repair_finding(m->r->model, "zeros-contradicted");
    const char *name =
        tare_settings_get(m, "checkpoint_format") || !tare_settings_get(m, "format") ? "checkpoint_format" : "format";
    const int common = finding ? common_bits(m->stems, TARE_LAYOUT_GPTQ) : 0;
    int zero = -1; /* Fields that are all equal when read in order are not stored as planes of bits. */
    const enum tare_code code = common ? tare_stems_one_zero(m->stems, common, &zero, m->err) : TARE_OK;
    if (!finding || code)
        return code;
    for (size_t i = 0; i < m->stems->n && zero < 0; i++) {
        const int bits = tare_stem_read(&m->stems->list[i], TARE_LAYOUT_GPTQ).bits;
        if (bits == 2 || bits == 4 || bits == 8)
            continue;
        tare_repair_note(
            m->r, m->place.file,
            "%s; but of %d bits there are two layouts of the same shapes, so it may be that gptq_p is right",
            finding->text, bits);
        return TARE_OK;
    }
    return tare_settings_set(m, name, json_string(m->r->model->quant.gptq.format == TARE_GPTQ_V1 ? "gptq_v2" : "gptq"),
                             finding->text);
}

/* desc_act and sym: do the data agree with them? */
static enum tare_code mend_flags(struct tare_settings *m, int bits)
{
    const struct tare_finding *order = tare_repair_finding(m->r->model, "act-order");
    int zero = -1;
    enum tare_code code = TARE_OK;
    if (order && order->level == TARE_WARNING)
        code = tare_settings_set(m, "desc_act", json_true(),
                                 "g_idx puts columns into groups in another order than their own");
    if (code || !json_is_true(tare_settings_get(m, "sym")) || m->r->options.no_data ||
        tare_settings_get(m, "dynamic") || m->r->model->quant.gptq.format == TARE_GPTQ_PLANAR ||
        !m->stems->list[0].zeros)
        return code;
    code = tare_stems_one_zero(m->stems, bits, &zero, m->err);
    return code || zero >= 0 ? code
                             : tare_settings_set(m, "sym", json_false(), "the zeros differ: the file is not symmetric");
}

/* The modules differ in their number of bits, so only the format can be told, or a key found by trial. */
static enum tare_code mend_mixed(struct tare_settings *m)
{
    const enum tare_code code = mend_format(m);
    if (code || *m->changed || !m->r->model->code || m->place.owner)
        return code;
    return tare_mend_by_trial(m->r, m->place.path, m->place.object, m->changed, m->err);
}

enum tare_code tare_mend_gptq(struct tare_settings *m)
{
    const struct tare_stem *first = &m->stems->list[0];
    const int bits = common_bits(m->stems, TARE_LAYOUT_GPTQ);
    const char *because =
        tare_settings_because(m,
                              "qweight of %s is laid out as gptq lays it out (%lld bits over %lld input columns), "
                              "and the others agree",
                              first->path, tare_stem_read(first, TARE_LAYOUT_GPTQ).bits,
                              (long long)tare_stem_read(first, TARE_LAYOUT_GPTQ).in);
    enum tare_code code = m->place.owner ? TARE_OK : tare_settings_want_text(m, "quant_method", "gptq", because);
    if (!code && !bits) /* With `dynamic`, the general settings are those of most modules, not of all. */
        return *m->changed ? TARE_OK : mend_mixed(m);
    if (!code)
        code = tare_settings_want_integer(m, "bits", NULL, bits, because);
    if (!code)
        code = tare_mend_group(m, TARE_LAYOUT_GPTQ);
    if (!code && !*m->changed)
        code = mend_format(m);
    if (!code && !*m->changed && !m->r->model->code)
        code = mend_flags(m, bits);
    return code;
}

static json_t *gptq_object(int bits, int64_t group, bool symmetric, const char *version)
{
    return json_pack("{s:s, s:i, s:I, s:b, s:b, s:s}", "quant_method", "gptq", "bits", bits, "group_size",
                     (json_int_t)group, "sym", (int)symmetric, "desc_act", 0, "checkpoint_format", version);
}

/* Do the data contradict this version? If they contradict exactly one of the two, the other is right. */
static enum tare_code contradicted(struct tare_settings *m, const json_t *object, bool *contradicts)
{
    const char *const path[] = {"quantization_config", NULL};
    struct tare_model *trial = NULL;
    const enum tare_code code = tare_repair_try(m->r, path, object, false, &trial, m->err);
    *contradicts = !trial || tare_repair_finding(trial, "zeros-contradicted");
    tare_model_free(trial);
    return code;
}

/* A whole object is made only where a single reading is left. With 3, 5, 6 or 7 bits two layouts have the same shapes,
 * and zeros may be stored as they are or less one. */
enum tare_code tare_make_gptq(struct tare_settings *m)
{
    static const char *const versions[] = {"gptq", "gptq_v2"};
    const int bits = common_bits(m->stems, TARE_LAYOUT_GPTQ);
    const int64_t group = tare_common_group(m->stems, TARE_LAYOUT_GPTQ);
    const char *why = !bits                                 ? "their number of bits differs or is not certain"
                      : !group                              ? "their group size differs"
                      : bits != 2 && bits != 4 && bits != 8 ? "of these bits there are two layouts of the same shapes"
                      : m->r->options.no_data               ? "whether zeros are stored less one was not to be read"
                                                            : NULL;
    json_t *made[2] = {NULL, NULL};
    bool off[2] = {false, false};
    int zero = -1;
    enum tare_code code = why ? TARE_OK : tare_stems_one_zero(m->stems, bits, &zero, m->err);
    for (int k = 0; k < 2 && !code && !why; k++) {
        made[k] = gptq_object(bits, group, zero >= 0, versions[k]);
        code = made[k] ? contradicted(m, made[k], &off[k]) : tare_fail_memory(m->err);
    }
    if (!code && !why && off[0] != off[1])
        m->fresh = json_incref(made[off[0] ? 1 : 0]);
    else if (!code)
        tare_repair_note(m->r, "config.json", "the tensors are packed as gptq packs them, but %s: two readings fit",
                         why ? why : "the data do not say whether zeros are stored less one");
    json_decref(made[0]);
    json_decref(made[1]);
    return code;
}
