/* SPDX-License-Identifier: MIT
 * integer_out.h - floats to the formats that have codes, scales and zeros: AWQ, GPTQ and compressed-tensors.
 *
 * Such a format is that of tare_convert() (save/integer_rows.h), given another module for each one that is quantized: a
 * module of codes that integer_out.c makes, whose decode() rounds the floats, or gives what calibrating has found
 * (calibrate/calibrate.h). So layouts, limits, tiles and config.json are written once.
 */
#ifndef TARE_QUANTIZE_INTEGER_OUT_H
#define TARE_QUANTIZE_INTEGER_OUT_H

#include "save/save.h"

/* What the codes of a module are. */
struct tare_integer_form {
    int bits;
    int64_t group_size; /* 0: one group a row */
    bool symmetric;     /* the zero is 2^(bits - 1) */
    int least;          /* of a zero: 1 for GPTQ v1, which has no field for 0 */
};

enum tare_calibrate_method { TARE_METHOD_ROUND, TARE_METHOD_BY_AWQ, TARE_METHOD_BY_GPTQ };
enum tare_act_order {
    TARE_ORDER_STATIC, /* important columns first, in the groups that they have */
    TARE_ORDER_NONE,   /* from left to right */
    TARE_ORDER_FULL    /* important columns first, and groups of these: g_idx */
};

/* What is asked for, and the format for one call; the format is its first field. */
struct tare_integer_out {
    struct tare_save_format format;
    const struct tare_save_format *base;
    struct tare_integer_form form;
    enum tare_calibrate_method method;
    enum tare_act_order order;
    double damp;           /* of the Gram matrix's mean diagonal, added to it */
    const int32_t *ids;    /* the text; NULL: none, all is rounded to nearest */
    size_t n_ids;
    int64_t length;        /* ids of a sequence */
    /* Who is told what is not calibrated, and asked whether to go on. */
    tare_progress_fn progress;
    void *user;
    tare_threads *pool;
    int threads;
    /* From begin() to release(): the parameter that is made of each module, and what calibrating found. */
    struct tare_map *by_module;
    const struct tare_model *model;
    struct tare_calibration *calibration;
};

/* Makes the format `to`, "awq", "gptq", "gptq_v2" or "compressed-tensors", of what is asked for. */
enum tare_code tare_integer_out_begin(struct tare_integer_out *out, const char *to, struct tare_error *err);

/* The parameter that is a module taken as it is; NULL: there is none. */
const struct tare_parameter *tare_integer_parameter(const struct tare_model *model, const struct tare_module *module);
/* Whether a parameter's module is quantized at all: a matrix of floats that is a linear layer, but for the head, for what
 * chooses experts, and for shapes that the format cannot hold. */
bool tare_integer_chosen(const struct tare_integer_out *out, const struct tare_model *model,
                         const struct tare_module *module, enum tare_kind kind);

/*
 * The grid of n values that lie `step` apart: w ~ scale * (code - zero). Scale is rounded to dtype before codes are
 * made with it. The range of the values and 0 is the range of the codes; symmetric: from minus the largest |w| to it.
 */
struct tare_grid {
    float scale;
    int zero;
};
struct tare_grid tare_grid_of(const struct tare_integer_form *form, enum tare_dtype dtype, float low, float high);
static inline int tare_grid_code(const struct tare_grid *grid, int most, float inverse, float w)
{
    const float code = rintf(w * inverse) + (float)grid->zero;
    return code < 0 ? 0 : code > (float)most ? most : (int)code;
}
/* The grid of n values. */
struct tare_grid tare_grid_fit(const struct tare_integer_form *form, enum tare_dtype dtype, const float *w, int64_t n);
/* Values become what their codes stand for, by groups of group_size (a row where it is 0). */
void tare_grid_round_row(const struct tare_integer_form *form, enum tare_dtype dtype, float *w, int64_t n);
/* The dtype of scales: that of the floats where it has 16 bits, else float16. */
enum tare_dtype tare_grid_dtype(enum tare_dtype stored);

#endif
