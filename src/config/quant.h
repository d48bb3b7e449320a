/* SPDX-License-Identifier: MIT
 * quant.h - quantization_config in its many spellings -> one struct tare_quant. */
#ifndef TARE_CONFIG_QUANT_H
#define TARE_CONFIG_QUANT_H

#include "base/arena.h"
#include "config/json.h"

enum tare_method {
    TARE_METHOD_NONE,
    TARE_METHOD_MLX,
    TARE_METHOD_AWQ,
    TARE_METHOD_FP8, /* this and what follows: modules are known by the names of their tensors */
    TARE_METHOD_MXFP4,
    TARE_METHOD_MXFP8,
    TARE_METHOD_COMPRESSED, /* compressed-tensors: groups say more */
    TARE_METHOD_MODELOPT,
    TARE_METHOD_BITSANDBYTES,
    TARE_METHOD_HQQ,
    TARE_METHOD_TORCHAO,
    TARE_METHOD_FBGEMM,
    TARE_METHOD_QUANTO,
    TARE_METHOD_GPTQ
};

/* How GPTQ's tensors are laid out, and what a stored zero means: checkpoint_format. */
enum tare_gptq_format {
    TARE_GPTQ_V1,    /* "gptq", and where nothing is said: a field holds zero - 1 */
    TARE_GPTQ_V2,    /* "gptq_v2": a field holds the zero */
    TARE_GPTQ_PLANAR /* "gptq_p": planes of bits; a field holds the zero */
};

/* What one entry of `dynamic` or `extra_config` says of the modules it matches; the first that matches counts. */
struct tare_quant_rule {
    const char *pattern; /* a module's path, or a regular expression */
    bool anywhere;       /* AutoRound's: a path, or an expression that may match anywhere, not only from the start */
    bool quantized;
    int bits;           /* 0: as the general ones */
    int64_t group_size; /* likewise */
};

struct tare_gptq {
    enum tare_gptq_format format;
    const char *said; /* who said the format: "checkpoint_format is gptq"; NULL: nobody */
    bool words;       /* written by GPTQModel (meta.quantizer), which subtracts 1 from whole words of v1 zeros */
    int sym;          /* 1 true, 0 false, -1 not said */
    bool desc_act;
    const struct tare_quant_rule *rules;
    size_t n_rules;
};

/* MLX: what the config says of one module path; quantized = false for `"path": false`. */
struct tare_quant_override {
    const char *path;
    bool quantized;
    int bits;
    int64_t group_size;
    const char *mode;
};

/* compressed-tensors: what one of config_groups says of the modules it targets. */
struct tare_quant_group {
    const char *name;
    const char *format;         /* "pack-quantized"; NULL: not said */
    const char *const *targets; /* "Linear", "model.layers.0.mlp.up_proj", "re:.*down_proj$" */
    size_t n_targets;
    int bits; /* 0: its weights are not quantized */
    bool integers, symmetric;
    const char *strategy; /* "group", "channel", "tensor", "tensor_group", "block", or "" */
    int64_t group_size;   /* 0: not said; -1: the whole row */
    int64_t block[2];     /* 0: not said */
};

struct tare_quant {
    enum tare_method method;
    const char *place;          /* "config.json: quantization_config": for errors */
    const char *version;        /* awq: "gemm"; compressed-tensors: "0.19.0" */
    const char *mode;           /* mlx: "affine" */
    int bits;                   /* 0: not said */
    int64_t group_size;         /* 0: not said; -1: the whole row */
    int zero_point;             /* awq: 1 true, 0 false, -1 not said */
    int64_t block[2];           /* fp8: weight_block_size; 0: not said */
    const char *const *skipped; /* modules_to_not_convert: advisory, a module is what its tensors are; `ignore` */
    size_t n_skipped;
    const struct tare_quant_group *groups; /* compressed-tensors */
    size_t n_groups;
    const struct tare_quant_override *overrides; /* mlx, sorted by path */
    size_t n_overrides;
    struct tare_gptq gptq;
};

/*
 * From config.json's `quantization` (MLX; it wins), `quantization_config`, `text_config.quantization_config`, or a
 * quantize_config.json beside it. Unknown methods, versions and modes are refused by name. Strings live in arena.
 */
enum tare_code tare_quant_read(const json_t *config, const json_t *beside, struct tare_arena *arena,
                               struct tare_quant *quant, struct tare_error *err);
/* The part of it for quant_method compressed-tensors; place is where object lies. */
enum tare_code tare_quant_read_compressed(const json_t *object, const char *place, struct tare_arena *arena,
                                          struct tare_quant *quant, struct tare_error *err);
/* The same for quant_method gptq, and for auto-round where it means gptq or awq; also a quantize_config.json without
 * quant_method. */
enum tare_code tare_quant_read_gptq(const json_t *object, const char *place, struct tare_arena *arena,
                                    struct tare_quant *quant, struct tare_error *err);
enum tare_code tare_quant_read_autoround(const json_t *object, const char *place, struct tare_arena *arena,
                                         struct tare_quant *quant, struct tare_error *err);
/* What is announced for one module path, overrides applied; NULL override: the general one. */
const struct tare_quant_override *tare_quant_of(const struct tare_quant *quant, const char *path);

#endif
