/* SPDX-License-Identifier: MIT
 * quant_gptq.c - quantization_config of GPTQ (AutoGPTQ, GPTQModel, AutoRound), and of AutoRound's own containers.
 * Sources: docs/layouts.md, "GPTQ" and "AutoRound containers"; the config.json files of these programs.
 */
#include <string.h>

#include "config/quant_reader.h"

static const json_t *get(const struct tare_quant_reader *r, const char *key)
{
    const json_t *value = json_object_get(r->object, key);
    return json_is_null(value) ? NULL : value;
}

static enum tare_code read_flag(const struct tare_quant_reader *r, const char *key, int *into)
{
    const json_t *value = get(r, key);
    if (value && !json_is_boolean(value))
        return tare_quant_wrong(r, key, "true or false");
    if (value)
        *into = json_is_true(value);
    return TARE_OK;
}

/* bits and group_size, general ones or a module's; 16 bits: a module that is not quantized (AutoRound). */
static enum tare_code read_sizes(const struct tare_quant_reader *r, int most, int *bits, int64_t *group_size)
{
    int64_t number = *bits;
    const json_t *size = get(r, "group_size");
    if (json_is_integer(size) && !json_integer_value(size))
        return tare_quant_wrong(r, "group_size", "at least 1, or -1 for the whole row");
    enum tare_code code = tare_quant_integer(r, "bits", 2, most, &number);
    *bits = (int)number;
    return code ? code : tare_quant_integer(r, "group_size", -1, INT32_MAX, group_size);
}

/* checkpoint_format, in older files of GPTQModel only format. The one that is read by its tensors is named. */
static enum tare_code read_format(const struct tare_quant_reader *r, struct tare_gptq *gptq)
{
    static const char *const keys[] = {"checkpoint_format", "format"};
    static const char *const words[] = {
        [TARE_GPTQ_V1] = "gptq", [TARE_GPTQ_V2] = "gptq_v2", [TARE_GPTQ_PLANAR] = "gptq_p"};
    int marlin = 0;
    enum tare_code code = read_flag(r, "is_marlin_format", &marlin);
    if (!code && marlin)
        return tare_fail(r->err, TARE_E_UNKNOWN, r->place,
                         "is_marlin_format is true: tiles in the order of a kernel, which tare does not read; it reads "
                         "gptq, gptq_v2 and gptq_p");
    for (size_t i = 0; !code && i < 2 && !gptq->said; i++) {
        const char *format = NULL;
        bool found = false;
        if ((code = tare_quant_text(r, keys[i], &format)) || !format)
            continue;
        for (int k = 0; k < 3 && !found; k++)
            if (!strcmp(format, words[k])) {
                gptq->format = (enum tare_gptq_format)k;
                found = true;
            }
        if (!found)
            return tare_quant_unknown(r, keys[i], format, "gptq, gptq_v2 and gptq_p");
        if (!(gptq->said = tare_arena_format(r->arena, "%s is %s", keys[i], format)))
            return tare_fail_memory(r->err);
    }
    return code;
}

/* meta.quantizer: "gptqmodel:7.7.0", or a list of such. */
static bool by_gptqmodel(const json_t *object)
{
    static const char name[] = "gptqmodel:";
    const json_t *quantizer = json_object_get(json_object_get(object, "meta"), "quantizer");
    const size_t n = json_is_array(quantizer) ? json_array_size(quantizer) : 1;
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_is_array(quantizer) ? json_array_get(quantizer, i) : quantizer);
        if (text && !strncmp(text, name, sizeof name - 1))
            return true;
    }
    return false;
}

static enum tare_code read_rule(const struct tare_quant_reader *r, const char *key, bool autoround,
                                struct tare_quant_rule *rule)
{
    const bool sign = !autoround && (!strncmp(key, "+:", 2) || !strncmp(key, "-:", 2));
    if (!json_is_object(r->object))
        return tare_quant_wrong(r, key, "an object");
    *rule = (struct tare_quant_rule){.pattern = tare_arena_text(r->arena, sign ? key + 2 : key),
                                     .anywhere = autoround,
                                     .quantized = !(sign && *key == '-')};
    if (!rule->pattern)
        return tare_fail_memory(r->err);
    const enum tare_code code = read_sizes(r, 32, &rule->bits, &rule->group_size);
    if (rule->bits > 8)
        rule->quantized = false;
    return code;
}

/* GPTQModel's `dynamic` ("-:" entries count first, as in GPTQModel), AutoRound's `extra_config`. */
static enum tare_code read_rules(const struct tare_quant_reader *r, const char *key, bool autoround,
                                 struct tare_gptq *gptq)
{
    const json_t *table = get(r, key);
    const char *name;
    json_t *value;
    if (!table || json_is_false(table))
        return TARE_OK;
    if (!json_is_object(table))
        return tare_quant_wrong(r, key, "an object of module names");
    struct tare_quant_rule *rules = tare_arena_array(r->arena, gptq->n_rules + json_object_size(table), sizeof *rules);
    const char *place = tare_arena_format(r->arena, "%s: %s", r->place, key);
    if (!rules || !place)
        return tare_fail_memory(r->err);
    if (gptq->n_rules)
        memcpy(rules, gptq->rules, gptq->n_rules * sizeof *rules);
    for (int negative = 1; negative >= 0; negative--)
        json_object_foreach((json_t *)(uintptr_t)table, name, value)
        {
            const struct tare_quant_reader inner = {value, place, r->arena, r->err};
            if (!strncmp(name, "-", 1) != (negative == 1))
                continue;
            const enum tare_code code = read_rule(&inner, name, autoround, &rules[gptq->n_rules++]);
            if (code)
                return code;
        }
    gptq->rules = rules;
    return TARE_OK;
}

static enum tare_code read_pack_dtype(const struct tare_quant_reader *r)
{
    const char *dtype = NULL;
    const enum tare_code code = tare_quant_text(r, "pack_dtype", &dtype);
    return code || !dtype || !strcmp(dtype, "int32") ? code : tare_quant_unknown(r, "pack_dtype", dtype, "int32");
}

enum tare_code tare_quant_read_gptq(const json_t *object, const char *place, struct tare_arena *arena,
                                    struct tare_quant *quant, struct tare_error *err)
{
    const struct tare_quant_reader r = {object, place, arena, err};
    struct tare_gptq *gptq = &quant->gptq;
    int desc_act = 0;
    quant->method = TARE_METHOD_GPTQ;
    *gptq = (struct tare_gptq){.sym = -1, .words = by_gptqmodel(object)};
    enum tare_code code;
    if ((code = read_sizes(&r, 8, &quant->bits, &quant->group_size)) || (code = read_format(&r, gptq)) ||
        (code = read_pack_dtype(&r)) || (code = read_flag(&r, "sym", &gptq->sym)) ||
        (code = read_flag(&r, "desc_act", &desc_act)) || (code = read_rules(&r, "dynamic", false, gptq)) ||
        (code = read_rules(&r, "extra_config", true, gptq)))
        return code;
    gptq->desc_act = desc_act == 1;
    return TARE_OK;
}

/* How AutoRound's own reader understands packing_format (auto_round 0.16.1, inference/convert_model.py, backend.py).
 */
static bool container(const char *format, bool *awq, enum tare_gptq_format *gptq)
{
    static const struct {
        const char *name;
        bool awq;
        enum tare_gptq_format gptq;
    } known[] = {
        {"auto_round:auto_gptq", false, TARE_GPTQ_V1},
        {"auto_round:gptq", false, TARE_GPTQ_V1},
        {"auto", false, TARE_GPTQ_V1},
        {"auto_round:gptqmodel", false, TARE_GPTQ_V2},
        {"auto_round", false, TARE_GPTQ_V2},
        {"auto_round:auto_awq", true, TARE_GPTQ_V1},
        {"auto_round:awq", true, TARE_GPTQ_V1},
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (!strcmp(format ? format : "auto", known[k].name)) {
            *awq = known[k].awq;
            *gptq = known[k].gptq;
            return true;
        }
    return false;
}

enum tare_code tare_quant_read_autoround(const json_t *object, const char *place, struct tare_arena *arena,
                                         struct tare_quant *quant, struct tare_error *err)
{
    const struct tare_quant_reader r = {object, place, arena, err};
    const char *name = NULL;
    enum tare_gptq_format format = TARE_GPTQ_V1;
    bool awq = false;
    enum tare_code code = tare_quant_text(&r, "packing_format", &name);
    if (code)
        return code;
    if (!container(name, &awq, &format))
        return tare_quant_unknown(&r, "packing_format", name,
                                  "auto_round, auto_round:auto_gptq, auto_round:gptqmodel and auto_round:auto_awq");
    if (awq) { /* AWQ's gemm tensors; qzeros are always there */
        quant->method = TARE_METHOD_AWQ;
        quant->version = "gemm";
        quant->zero_point = -1;
        return read_sizes(&r, 8, &quant->bits, &quant->group_size);
    }
    code = tare_quant_read_gptq(object, place, arena, quant, err);
    quant->gptq.format = format;
    quant->gptq.said = name ? tare_arena_format(arena, "packing_format is %s", name) : NULL;
    return code || !name || quant->gptq.said ? code : tare_fail_memory(err);
}
