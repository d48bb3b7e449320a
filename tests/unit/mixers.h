/* SPDX-License-Identifier: MIT
 * mixers.h - blocks with a state against what papers say of them: plain loops in double, token by token; then the same
 * text by pieces, beside another one, and with other numbers of threads.
 */
#ifndef TARE_TESTS_MIXERS_H
#define TARE_TESTS_MIXERS_H

#include "sample.h"

enum { MIXER_DIM = 24, MIXER_TOKENS = 21, MIXER_MOST = 512 };

/* What a block does with one text, written as in the papers. Its parameters lie below "mixer". */
struct mixer_reference {
    const struct sample_block *b;
    int64_t position;                /* of the token */
    double h[MIXER_MOST * 16];       /* the recurrence */
    double before[3][8][MIXER_MOST]; /* what went into each convolution, the last token first */
};
bool mixer_has(const struct mixer_reference *r, const char *name);
const float *mixer_weight(const struct mixer_reference *r, const char *name);
/* y = <name>.weight x + <name>.bias */
void mixer_multiply(const struct mixer_reference *r, const char *name, const double *x, double *y);
/* x becomes what convolution <name> number `which` gives */
void mixer_convolve(struct mixer_reference *r, int which, const char *name, double *x, int64_t n, int64_t width);
void mixer_rms(double *x, int64_t n, double eps, const float *weight); /* NULL: 1 */
double mixer_silu(double x);
double mixer_sigmoid(double x);
double mixer_softplus(double x);

struct mixer {
    const char *name;
    void (*declare)(struct tare_layer *l, struct tare_at at); /* as the mixer of l */
    void (*token)(struct mixer_reference *r, const double *x, double *y);
};
/* Each against its reference, alike for all numbers of threads, and alike by pieces. */
void mixers_reference(const struct mixer *mixers, size_t n_mixers);
void mixers_threads(const struct mixer *mixers, size_t n_mixers);
void mixers_pieces(const struct mixer *mixers, size_t n_mixers);

#endif
