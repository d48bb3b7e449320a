/* SPDX-License-Identifier: MIT
 * norm.c - RMS and layer norms of rows. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "blocks/pass.h"

static const float *weight(const struct tare_pass *pass, const struct tare_norm *norm)
{
    return norm->weight ? tare_loaded_vector(pass->loaded, norm->weight) + norm->row * norm->dim : NULL;
}

static float offset(const struct tare_norm *norm)
{
    return (float)((norm->kind == TARE_NORM_RMS_ONE_PLUS ? 1 : 0) + norm->offset);
}

static void rms_row(const struct tare_pass *pass, const struct tare_norm *norm, const float *x, float *y)
{
    const float *w = weight(pass, norm);
    const float plus = offset(norm);
    const float mean = pass->kernels.squares(x, norm->dim) / (float)norm->dim;
    const float scale = 1 / sqrtf(mean + (float)norm->eps);
    for (int64_t i = 0; i < norm->dim; i++)
        y[i] = x[i] * scale * (w ? plus + w[i] : 1);
}

static void rms_before_row(const struct tare_pass *pass, const struct tare_norm *norm, const float *x, float *y)
{
    const float *w = weight(pass, norm);
    for (int64_t i = 0; i < norm->dim; i++)
        y[i] = x[i] * (w ? w[i] : 1);
    const float scale = 1 / sqrtf(pass->kernels.squares(y, norm->dim) / (float)norm->dim + (float)norm->eps);
    for (int64_t i = 0; i < norm->dim; i++)
        y[i] *= scale;
}

static void layer_row(const struct tare_pass *pass, const struct tare_norm *norm, const float *x, float *y)
{
    const float *w = weight(pass, norm);
    const float plus = offset(norm);
    const float *b = norm->bias ? tare_loaded_vector(pass->loaded, norm->bias) + norm->row * norm->dim : NULL;
    double sum = 0, square = 0; /* a mean far from zero must not eat the digits of the variance */
    for (int64_t i = 0; i < norm->dim; i++)
        sum += x[i];
    const float mean = (float)(sum / (double)norm->dim);
    for (int64_t i = 0; i < norm->dim; i++)
        square += (double)(x[i] - mean) * (x[i] - mean);
    const float scale = (float)(1 / sqrt(square / (double)norm->dim + norm->eps));
    for (int64_t i = 0; i < norm->dim; i++)
        y[i] = (x[i] - mean) * scale * (w ? plus + w[i] : 1) + (b ? b[i] : 0);
}

void tare_norm_row(const struct tare_pass *pass, const struct tare_norm *norm, const float *x, float *y)
{
    switch (norm->kind) {
    case TARE_NORM_RMS:
    case TARE_NORM_RMS_ONE_PLUS:
        rms_row(pass, norm, x, y);
        break;
    case TARE_NORM_RMS_BEFORE:
        rms_before_row(pass, norm, x, y);
        break;
    case TARE_NORM_LAYER:
        layer_row(pass, norm, x, y);
        break;
    case TARE_NORM_NONE:
        if (x != y)
            memcpy(y, x, (size_t)norm->dim * sizeof *y);
        break;
    }
    for (int64_t i = 0; norm->rounded && i < norm->dim; i++)
        y[i] = tare_from_bfloat16(tare_to_bfloat16(y[i]));
}

struct job {
    const struct tare_pass *pass;
    const struct tare_norm *norm;
    const float *x;
    float *y;
};

static void one_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    tare_norm_row(j->pass, j->norm, j->x + (int64_t)i * j->norm->dim, j->y + (int64_t)i * j->norm->dim);
}

void tare_norm_forward(const struct tare_pass *pass, const struct tare_norm *norm, int64_t dim, const float *x,
                       float *y)
{
    if (norm->kind != TARE_NORM_NONE)
        tare_pool_run(pass->pool, (size_t)pass->tokens, one_token, &(struct job){pass, norm, x, y});
    else if (x != y)
        memcpy(y, x, (size_t)(pass->tokens * dim) * sizeof *y);
}
