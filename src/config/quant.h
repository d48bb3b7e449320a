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
    TARE_METHOD_MODELOPT    /* NVFP4 */
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
    const char *version;        /* awq: "gemm" */
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
/* What is announced for one module path, overrides applied; NULL override: the general one. */
const struct tare_quant_override *tare_quant_of(const struct tare_quant *quant, const char *path);

#endif
