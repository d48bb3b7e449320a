/* SPDX-License-Identifier: MIT
 * hadamard.c - the fast Walsh-Hadamard transform: in log2(block) steps, halves become sums and differences. */
#include "blocks/hadamard.h"

#include <math.h>

#include "base/half.h"

static void transform(float *restrict x, int64_t block)
{
    for (int64_t half = 1; half < block; half *= 2)
        for (int64_t at = 0; at < block; at += 2 * half)
            for (int64_t i = at; i < at + half; i++) {
                const float a = x[i], b = x[i + half];
                x[i] = a + b;
                x[i + half] = a - b;
            }
}

void tare_hadamard_turn(const float *signs, int64_t block, int64_t n, const float *x, float *y)
{
    const float scale = 1 / sqrtf((float)block);
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * signs[i] * scale;
    for (int64_t at = 0; at < n; at += block)
        transform(y + at, block);
}

void tare_hadamard_back(const float *signs, int64_t block, int64_t n, float *x)
{
    const float scale = 1 / sqrtf((float)block);
    for (int64_t at = 0; at < n; at += block)
        transform(x + at, block);
    for (int64_t i = 0; i < n; i++)
        x[i] *= signs[i] * scale;
}

struct job {
    const float *signs;
    int64_t block, n;
    const float *x;
    int64_t ldx;
    float *y;
};

static void turn_row(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    tare_hadamard_turn(j->signs, j->block, j->n, j->x + (int64_t)i * j->ldx, j->y + (int64_t)i * j->n);
}

const float *tare_hadamard_rows(const struct tare_pass *pass, const struct tare_parameter *weight, const float *x,
                                int64_t *ldx, int64_t n_rows)
{
    if (!weight->signs)
        return x;
    const int64_t n = weight->shape[1];
    struct job j = {tare_loaded_vector(pass->loaded, weight->signs), weight->block, n, x, *ldx, pass->turned};
    tare_pool_run(pass->pool, (size_t)n_rows, turn_row, &j);
    *ldx = n;
    return pass->turned;
}

static void halve(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = tare_from_float16(tare_to_float16(x[i]));
}

void tare_hadamard_embedded(const struct tare_pass *pass, const struct tare_parameter *embedding, int64_t n, float *x)
{
    if (embedding->halved)
        halve(x, n);
    if (embedding->signs)
        tare_hadamard_back(tare_loaded_vector(pass->loaded, embedding->signs), embedding->block, n, x);
    if (embedding->halved && embedding->signs)
        halve(x, n);
}
