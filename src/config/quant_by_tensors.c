/* SPDX-License-Identifier: MIT
 * quant_by_tensors.c - methods of quantization whose tensors say themselves how each module is stored, and methods that
 * tare does not read, which are refused by their own names with what would help.
 */
#include <string.h>

#include "config/quant_reader.h"

/* Methods that tare does not read, and why. */
static const struct {
    const char *method, *because;
} refused[] = {
    {"aqlm", "AQLM stores vectors of several codebooks"},
    {"bitnet", "BitNet packs ternary weights for its own kernels"},
    {"eetq", "EETQ stores weights in the order of its GPU kernel"},
    {"exl2", "EXL2 (exllamav2) stores weights in the order of its GPU kernel"},
    {"exl3", "EXL3 (exllamav3) stores trellis codes for its GPU kernel"},
    {"higgs", "HIGGS stores vectors of a grid"},
    {"quip", "QuIP# stores points of the E8 lattice"},
    {"quip#", "QuIP# stores points of the E8 lattice"},
    {"quip_sharp", "QuIP# stores points of the E8 lattice"},
    {"spqr", "SpQR stores outliers apart from its groups"},
    {"vptq", "VPTQ stores vectors of codebooks"},
};

/* quant_algo of ModelOpt. What holds for one module is told by its tensors, so that mixed files need no more. */
static const char *const algorithms[] = {
    "FP8",
    "FP8_PER_CHANNEL_PER_TOKEN",
    "FP8_PB_WO",
    "NVFP4",
    "NVFP4_AWQ",
    "W4A16_NVFP4",
    "W4A16_AWQ",
    "INT4_AWQ",
    "MXFP8",
    "MIXED_PRECISION",
    "W4A8_NVFP4_FP8",
};
#define ALGORITHMS                                                                                                     \
    "FP8, FP8_PER_CHANNEL_PER_TOKEN, FP8_PB_WO, NVFP4, NVFP4_AWQ, W4A16_NVFP4, W4A16_AWQ, INT4_AWQ, MXFP8, "           \
    "MIXED_PRECISION and W4A8_NVFP4_FP8"

static enum tare_code check_algorithm(const struct tare_quant_reader *r, const char *what, const char *algorithm)
{
    for (size_t k = 0; algorithm && k < sizeof algorithms / sizeof *algorithms; k++)
        if (!strcmp(algorithm, algorithms[k]))
            return TARE_OK;
    return tare_quant_unknown(r, what, algorithm ? algorithm : "", ALGORITHMS);
}

/* ModelOpt: config.json has the settings flat, hf_quant_config.json in "quantization". MIXED_PRECISION names the
 * algorithm of each module in quantized_layers. */
static enum tare_code read_modelopt(const struct tare_quant_reader *r, struct tare_quant *quant)
{
    const json_t *nested = json_object_get(r->object, "quantization");
    const struct tare_quant_reader inner = {json_is_object(nested) ? nested : r->object, r->place, r->arena, r->err};
    json_t *layers = json_object_get(inner.object, "quantized_layers"), *layer;
    const char *algorithm = NULL, *name;
    quant->method = TARE_METHOD_MODELOPT;
    enum tare_code code = tare_quant_text(&inner, "quant_algo", &algorithm);
    if (!code)
        code = check_algorithm(r, "modelopt quant_algo", algorithm);
    if (code)
        return code;
    json_object_foreach(layers, name, layer)
    {
        const json_t *own = json_object_get(layer, "quant_algo");
        if (!code && own && !json_is_null(own))
            code = check_algorithm(r, "modelopt quantized_layers: quant_algo", json_string_value(own));
    }
    if (!strcmp(algorithm, "MIXED_PRECISION"))
        return code;
    quant->bits = strstr(algorithm, "4") && strcmp(algorithm, "FP8") != 0 ? 4 : 8;
    return code ? code : tare_quant_group_size(&inner, "group_size", &quant->group_size);
}

/* transformers' BitsAndBytesConfig. What has a quant_state or SCB beside it is packed, and nothing else. */
static enum tare_code read_bitsandbytes(const struct tare_quant_reader *r, struct tare_quant *quant)
{
    const char *type = NULL;
    const bool four = json_is_true(json_object_get(r->object, "load_in_4bit")) ||
                      json_is_true(json_object_get(r->object, "_load_in_4bit"));
    const bool eight = json_is_true(json_object_get(r->object, "load_in_8bit")) ||
                       json_is_true(json_object_get(r->object, "_load_in_8bit"));
    quant->method = TARE_METHOD_BITSANDBYTES;
    quant->bits = four ? 4 : eight ? 8 : 0;
    const enum tare_code code = tare_quant_text(r, "bnb_4bit_quant_type", &type);
    if (!code && four && type && strcmp(type, "nf4") != 0 && strcmp(type, "fp4") != 0)
        return tare_quant_unknown(r, "bnb_4bit_quant_type", type, "nf4 and fp4");
    return code;
}

bool tare_quant_read_by_tensors(const struct tare_quant_reader *r, const char *method, struct tare_quant *quant,
                                enum tare_code *code)
{
    static const struct {
        const char *name;
        enum tare_method method;
    } plain[] = {{"fbgemm_fp8", TARE_METHOD_FBGEMM},
                 {"hqq", TARE_METHOD_HQQ},
                 {"quanto", TARE_METHOD_QUANTO},
                 {"torchao", TARE_METHOD_TORCHAO}};
    *code = TARE_OK;
    if (!strcmp(method, "modelopt") || !strncmp(method, "modelopt_", strlen("modelopt_"))) { /* vllm's: modelopt_fp4 */
        *code = read_modelopt(r, quant);
        return true;
    }
    if (!strcmp(method, "bitsandbytes")) {
        *code = read_bitsandbytes(r, quant);
        return true;
    }
    for (size_t k = 0; k < sizeof plain / sizeof *plain; k++)
        if (!strcmp(method, plain[k].name)) {
            quant->method = plain[k].method;
            return true;
        }
    for (size_t k = 0; k < sizeof refused / sizeof *refused; k++)
        if (!strcmp(method, refused[k].method)) {
            *code =
                tare_fail(r->err, TARE_E_UNKNOWN, r->place,
                          "quant_method \"%s\": %s, which tare does not read. The float checkpoint that it was made "
                          "of, or a GGUF, AWQ, GPTQ or bitsandbytes version of it, can be read instead",
                          method, refused[k].because);
            return true;
        }
    return false;
}
