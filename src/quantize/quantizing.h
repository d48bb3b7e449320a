/* SPDX-License-Identifier: MIT
 * quantizing.h - floats rounded to few bits while a plan is written: what the files of this room share.
 *
 * Quantizing is a format of output (save/save.h) that is made for one call: that of MLX or of GGUF, whose lay_out() and
 * tile() are replaced. So plans, tiles, shards, the journal and tare.json are those of tare_convert(). mlx_out.c and
 * gguf_out.c decide what is rounded and to what; mlx_round.c and gguf_round.c round rows and know nothing of models.
 */
#ifndef TARE_QUANTIZE_QUANTIZING_H
#define TARE_QUANTIZE_QUANTIZING_H

#include "packing/mlx/to_mlx.h"
#include "save/save.h"

/* The form of a module in MLX. */
struct tare_mlx_form {
    enum tare_mlx_mode mode;
    int bits; /* 0: the module stays as floats */
    int64_t group_size;
};

/* A format of output for one call. layout->format points at its first field. */
struct tare_quantizing {
    struct tare_save_format format;
    const struct tare_save_format *base;
    struct tare_mlx_form form;
    const char *recipe;   /* of mlx, or NULL */
    enum tare_dtype type; /* of gguf's blocks */
    bool pure;
    /* mlx's recipes: which component of a path is the number of the layer, and how many layers there are. */
    int place;
    int64_t layers;
};

/* Fill what is of the format: the base's functions, and those that replace them. */
void tare_quantizing_mlx(struct tare_quantizing *quantizing);
void tare_quantizing_gguf(struct tare_quantizing *quantizing);

/* Every leaf of a job is a plain float tensor; else the job is refused by the module's name. */
enum tare_code tare_quantizing_floats(const struct tare_job *job, struct tare_error *err);
/* n values of a row of a job are finite; else the job is refused. */
enum tare_code tare_quantizing_finite(const struct tare_job *job, const float *values, int64_t n, int64_t row,
                                      struct tare_error *err);

/* What mlx-lm's own rules for an architecture say of a module (its quant_predicate): false: nothing, so it has the form
 * that was asked for. True: *form is another. */
bool tare_mlx_rule(const char *architecture, const char *path, struct tare_mlx_form *form);
/* Whether mlx-lm's rules for the architecture are known; false for the few that are no list of names. */
bool tare_mlx_rules_known(const char *architecture);
/* Whether mlx-lm leaves a parameter's dtype alone where it casts all others (its cast_predicate). */
bool tare_mlx_keeps_dtype(const char *architecture, const char *name);
/* What a mixed recipe of mlx-lm says of a module. */
struct tare_mlx_form tare_mlx_mixed(const struct tare_quantizing *quantizing, const char *path);
/* Recipe k: its name, NULL past the end. */
const char *tare_mlx_recipe(size_t k);

/*
 * One row of n columns to codes, a byte each, and the scale and bias of each group as float32; n is a multiple of the
 * group size. Source: docs/quantizing.md.
 */
void tare_round_affine(const float *row, int64_t n, int bits, int64_t group_size, uint8_t *code, float *scale,
                       float *bias);
/* The same for mxfp4, mxfp8 and nvfp4: the scale of each group is a byte. stored: the dtype of the floats, in which MLX
 * divides by the largest code. */
void tare_round_floats(const float *row, int64_t n, enum tare_mlx_mode mode, enum tare_dtype stored, uint8_t *code,
                       uint8_t *scale);
/* The byte of a small float, rounded to nearest even; beyond 448 it is 448, as in MLX. */
uint8_t tare_to_e4m3(float value);

/* One row of n columns to blocks of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or Q6_K; n is a multiple of the block's columns. */
void tare_round_blocks(const float *row, int64_t n, enum tare_dtype type, unsigned char *to);

#endif
