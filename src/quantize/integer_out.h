/* SPDX-License-Identifier: MIT
 * integer_out.h - floats to the formats that have codes, scales and zeros: AWQ, GPTQ and compressed-tensors.
 *
 * Such a target is the format of tare_convert() (save/integer_rows.h), given another module for each one that is
 * quantized: a module of codes that integer_out.c makes, whose decode() rounds the floats, or gives what calibrating has
 * found (calibrate/calibrate.h). So layouts, limits, tiles and config.json are written once.
 */
#ifndef TARE_QUANTIZE_INTEGER_OUT_H
#define TARE_QUANTIZE_INTEGER_OUT_H

#include <math.h>

#include "quantize/quantizing.h"

/* What the codes of a module are. */
struct tare_integer_form {
    int bits;           /* 0: the module stays as floats */
    int64_t group_size; /* 0: one group a row */
    bool symmetric;     /* the zero is 2^(bits - 1) */
    int least;          /* of a zero: 1 for GPTQ v1, which has no field for 0 */
};

enum tare_calibrate_method { TARE_BY_AWQ, TARE_BY_GPTQ };
enum tare_act_order {
    TARE_ORDER_STATIC, /* important columns first, in the groups that they have */
    TARE_ORDER_NONE,   /* from left to right */
    TARE_ORDER_FULL    /* important columns first, and groups of these: g_idx */
};

/* What is asked for; quantizing->own. */
struct tare_integer_asked {
    struct tare_integer_form form;
    enum tare_calibrate_method method;
    enum tare_act_order order;
    double damp;                       /* of the mean of a Gram matrix's diagonal, added to it */
    int64_t length;                    /* ids of a sequence of the text */
    struct tare_integer_place *places; /* from the layout's begin() on; heap, by module */
    size_t n_places;
    struct tare_calibration *calibration; /* NULL: all is rounded to nearest */
};
/* The parameter that is a module taken as it is. */
struct tare_integer_place {
    const struct tare_module *module;
    const struct tare_parameter *parameter;
};
/* Fills asked->places. */
enum tare_code tare_integer_places(struct tare_integer_asked *asked, const struct tare_model *model,
                                   struct tare_error *err);
const struct tare_parameter *tare_integer_parameter(const struct tare_integer_asked *asked,
                                                    const struct tare_module *module);

/* What a module becomes. Floats stay floats that are no linear layer, that are the head or choose experts, that a rule
 * says so of, and whose shape the format cannot hold. A shape that only the group does not divide is refused. */
enum tare_code tare_integer_form_of(struct tare_quantizing *quantizing, const struct tare_model *model,
                                    const struct tare_job *job, struct tare_integer_form *form, struct tare_error *err);
/* The dtype of scales: what options->dtype says, else that of the floats where it has 16 bits, else float16. */
enum tare_dtype tare_integer_dtype(const struct tare_quantize_options *options, enum tare_dtype stored);

/*
 * The grid that a group of values is rounded to: w ~ scale * (code - zero). Scale is rounded to dtype before codes are
 * made with it. The range of the values and 0 is the range of the codes; symmetric: from minus the largest |w| to it.
 */
struct tare_integer_grid {
    float scale;
    int zero;
};
struct tare_integer_grid tare_integer_grid_of(const struct tare_integer_form *form, enum tare_dtype dtype, float low,
                                              float high);
/* That of n values. */
struct tare_integer_grid tare_integer_grid_fit(const struct tare_integer_form *form, enum tare_dtype dtype,
                                               const float *w, int64_t n);
static inline int tare_integer_grid_code(const struct tare_integer_grid *grid, int most, float inverse, float w)
{
    const float code = rintf(w * inverse) + (float)grid->zero;
    return code < 0 ? 0 : code > (float)most ? most : (int)code;
}
/* Values become what their codes stand for, by groups of the form. */
void tare_integer_round_row(const struct tare_integer_form *form, enum tare_dtype dtype, float *w, int64_t n);

#endif
