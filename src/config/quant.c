/* SPDX-License-Identifier: MIT
 * quant.c - quantization_config in its many spellings -> one struct tare_quant. What is not known is refused by name
 * (P12). */
#include "config/quant_reader.h"

#include <stdlib.h>
#include <string.h>

static enum tare_code read_bits(const struct tare_quant_reader *r, struct tare_quant *quant)
{
    int64_t bits = 0;
    enum tare_code code = tare_quant_integer(r, "bits", 1, 16, &bits);
    if (!code && !bits)
        code = tare_quant_integer(r, "w_bit", 1, 16, &bits);
    quant->bits = (int)bits;
    if (!code)
        code = tare_quant_group_size(r, "group_size", &quant->group_size);
    if (!code && !quant->group_size)
        code = tare_quant_group_size(r, "q_group_size", &quant->group_size);
    return code;
}

static enum tare_code read_skipped(const struct tare_quant_reader *r, struct tare_quant *quant)
{
    const json_t *list = json_object_get(r->object, "modules_to_not_convert");
    if (!list || json_is_null(list))
        return TARE_OK;
    if (!json_is_array(list))
        return tare_quant_wrong(r, "modules_to_not_convert", "a list of names or null");
    const char **names = tare_arena_array(r->arena, json_array_size(list), sizeof *names);
    if (!names)
        return tare_fail_memory(r->err);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_string(json_array_get(list, i)))
            return tare_quant_wrong(r, "modules_to_not_convert", "a list of names or null");
        names[i] = tare_arena_text(r->arena, json_string_value(json_array_get(list, i)));
        if (!names[i])
            return tare_fail_memory(r->err);
    }
    quant->skipped = names;
    quant->n_skipped = json_array_size(list);
    return TARE_OK;
}

/* AutoAWQ says version, GPTQModel the same in checkpoint_format and format, in any one of the three or in all. */
static enum tare_code read_awq_version(const struct tare_quant_reader *r, struct tare_quant *quant)
{
    static const char *const keys[] = {"version", "checkpoint_format", "format"};
    const char *before = NULL;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const char *text = NULL;
        const enum tare_code code = tare_quant_text(r, keys[k], &text);
        char *lower = code || !text ? NULL : tare_arena_text(r->arena, text); /* older files say "GEMM" */
        if (code || (text && !lower))
            return code ? code : tare_fail_memory(r->err);
        for (char *c = lower; c && *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c - 'A' + 'a');
        if (lower && quant->version && strcmp(lower, quant->version))
            return tare_fail(r->err, TARE_E_CONFIG, r->place, "%s says \"%.32s\" and %s \"%.32s\"; they mean the same",
                             before, quant->version, keys[k], lower);
        if (lower && !quant->version) {
            quant->version = lower;
            before = keys[k];
        }
    }
    return TARE_OK;
}

static enum tare_code read_awq(const struct tare_quant_reader *r, struct tare_quant *quant)
{
    quant->method = TARE_METHOD_AWQ;
    enum tare_code code = read_bits(r, quant);
    if (!code)
        code = read_awq_version(r, quant);
    if (code)
        return code;
    const json_t *zero = json_object_get(r->object, "zero_point");
    if (zero && !json_is_null(zero) && !json_is_boolean(zero))
        return tare_quant_wrong(r, "zero_point", "true or false");
    quant->zero_point = json_is_boolean(zero) ? json_is_true(zero) : -1;
    return read_skipped(r, quant);
}

/* fp8, as deepseek_v3 has it. Whether a module has scales is told by its tensors, not by the config. */
static enum tare_code read_fp8(const struct tare_quant_reader *r, struct tare_quant *quant)
{
    const char *format = NULL;
    const json_t *block = json_object_get(r->object, "weight_block_size");
    quant->method = TARE_METHOD_FP8;
    enum tare_code code = tare_quant_text(r, "fmt", &format);
    if (code)
        return code;
    if (format && strcmp(format, "e4m3"))
        return tare_quant_unknown(r, "fp8 fmt", format, "e4m3");
    for (size_t k = 0; block && !json_is_null(block) && k < 2; k++) {
        const json_t *size = json_array_get(block, k);
        if (json_array_size(block) != 2 || !json_is_integer(size) || json_integer_value(size) < 1 ||
            json_integer_value(size) > INT32_MAX)
            return tare_quant_wrong(r, "weight_block_size", "two integers of at least 1, or null");
        quant->block[k] = json_integer_value(size);
    }
    return read_skipped(r, quant);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct tare_quant_override *)a)->path, ((const struct tare_quant_override *)b)->path);
}

/* "model.layers.0.mlp.up_proj": {"bits": 8, "group_size": 64} or false; every other key is a general one. */
static enum tare_code read_override(const struct tare_quant_reader *r, const char *path, const json_t *value,
                                    const struct tare_quant *quant, struct tare_quant_override *over)
{
    *over = (struct tare_quant_override){tare_arena_text(r->arena, path), false, quant->bits, quant->group_size,
                                         quant->mode};
    if (!over->path)
        return tare_fail_memory(r->err);
    if (json_is_boolean(value)) {
        over->quantized = json_is_true(value);
        return TARE_OK;
    }
    const char *place = tare_arena_format(r->arena, "%s: %s", r->place, path);
    const struct tare_quant_reader inner = {value, place ? place : r->place, r->arena, r->err};
    /* without a mode an entry is affine, whatever the general one says: mlx's to_quantized() */
    struct tare_quant own = {.mode = "affine"};
    enum tare_code code = read_bits(&inner, &own);
    if (!code)
        code = tare_quant_text(&inner, "mode", &own.mode);
    over->quantized = true;
    if (strcmp(own.mode, quant->mode) != 0) { /* the general numbers are another mode's: mlx's own defaults hold */
        over->bits = strcmp(own.mode, "affine") != 0 ? 0 : 4;
        over->group_size = strcmp(own.mode, "affine") != 0 ? 0 : 64;
    }
    if (own.bits)
        over->bits = own.bits;
    if (own.group_size)
        over->group_size = own.group_size;
    over->mode = own.mode;
    return code;
}

static enum tare_code read_mlx(const struct tare_quant_reader *r, struct tare_quant *quant)
{
    const char *key;
    json_t *value;
    quant->method = TARE_METHOD_MLX;
    quant->mode = "affine";
    enum tare_code code = read_bits(r, quant);
    if (!code)
        code = tare_quant_text(r, "mode", &quant->mode);
    if (code)
        return code;
    struct tare_quant_override *list = tare_arena_array(r->arena, json_object_size(r->object), sizeof *list);
    if (!list)
        return tare_fail_memory(r->err);
    size_t n = 0;
    json_object_foreach((json_t *)(uintptr_t)r->object, key,
                        value) if (json_is_object(value) ||
                                   json_is_boolean(value)) /* a path may have no dot: "lm_head" */
        if ((code = read_override(r, key, value, quant, &list[n++]))) return code;
    qsort(list, n, sizeof *list, by_path);
    quant->overrides = list;
    quant->n_overrides = n;
    return TARE_OK;
}

const struct tare_quant_override *tare_quant_of(const struct tare_quant *quant, const char *path)
{
    const struct tare_quant_override key = {.path = path};
    return quant->n_overrides ? bsearch(&key, quant->overrides, quant->n_overrides, sizeof key, by_path) : NULL;
}

/* The settings that count: the first of these places that has some. */
static const json_t *find(const json_t *config, const json_t *beside, const char **place)
{
    const json_t *text = json_object_get(config, "text_config");
    const struct {
        const json_t *value;
        const char *place;
    } places[] = {
        {json_object_get(config, "quantization"), "config.json: quantization"},
        {json_object_get(config, "quantization_config"), "config.json: quantization_config"},
        {json_object_get(text, "quantization_config"), "config.json: text_config.quantization_config"},
        {beside, "quantize_config.json"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i].value && !json_is_null(places[i].value)) {
            *place = places[i].place;
            return places[i].value;
        }
    return NULL;
}

static enum tare_code read_method(const struct tare_quant_reader *r, const char *method, struct tare_quant *quant)
{
    if (!strcmp(method, "awq"))
        return read_awq(r, quant);
    if (!strcmp(method, "fp8"))
        return read_fp8(r, quant);
    enum tare_code code = TARE_OK;
    if (tare_quant_read_by_tensors(r, method, quant, &code))
        return code ? code : read_skipped(r, quant);
    if (!strcmp(method, "compressed-tensors"))
        return tare_quant_read_compressed(r->object, quant->place, r->arena, quant, r->err);
    if (!strcmp(method, "gptq"))
        return tare_quant_read_gptq(r->object, quant->place, r->arena, quant, r->err);
    if (!strcmp(method, "auto-round") || !strcmp(method, "intel/auto-round"))
        return tare_quant_read_autoround(r->object, quant->place, r->arena, quant, r->err);
    if (!strcmp(method, "mxfp4") || !strcmp(method, "mxfp8")) {
        quant->method = method[4] == '4' ? TARE_METHOD_MXFP4 : TARE_METHOD_MXFP8;
        return read_skipped(r, quant);
    }
    return tare_quant_unknown(r, "quant_method", method,
                              "auto-round, awq, bitsandbytes, compressed-tensors, fbgemm_fp8, fp8, gptq, hqq, mlx, "
                              "modelopt, mxfp4, mxfp8, quanto and torchao so far");
}

enum tare_code tare_quant_read(const json_t *config, const json_t *beside, struct tare_arena *arena,
                               struct tare_quant *quant, struct tare_error *err)
{
    const char *method = NULL;
    *quant = (struct tare_quant){.zero_point = -1};
    const json_t *object = find(config, beside, &quant->place);
    if (!object && json_is_object(json_object_get(config, "quip_params")))
        return tare_fail(
            err, TARE_E_UNKNOWN, "config.json: quip_params",
            "QuIP# stores points of the E8 lattice, which tare does not read. The float checkpoint that it "
            "was made of, or a GGUF, AWQ, GPTQ or bitsandbytes version of it, can be read instead");
    if (!object)
        return TARE_OK;
    const struct tare_quant_reader r = {object, quant->place, arena, err};
    if (!json_is_object(object))
        return tare_fail(err, TARE_E_CONFIG, quant->place, "expected an object");
    enum tare_code code = tare_quant_text(&r, "quant_method", &method);
    if (code)
        return code;
    if (!method) { /* MLX writes none, and its own files have the same object under both names */
        if (!strcmp(quant->place, "config.json: quantization_config") ||
            !strcmp(quant->place, "config.json: text_config.quantization_config"))
            return tare_fail(err, TARE_E_CONFIG, quant->place,
                             "quant_method is missing; with \"awq\" there tare reads AutoAWQ's layout; "
                             "`tare repair` tells it from the tensors where they leave no doubt");
        if (!strcmp(quant->place, "quantize_config.json"))
            return tare_quant_read_gptq(object, quant->place, arena, quant, err); /* old AutoGPTQ */
        return read_mlx(&r, quant);
    }
    if (!strcmp(quant->place, "config.json: quantization") || !strcmp(method, "mlx"))
        return read_mlx(&r, quant);
    return read_method(&r, method, quant);
}
