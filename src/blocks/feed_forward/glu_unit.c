/* SPDX-License-Identifier: MIT
 * glu_unit.c - gated units of one model each. */
#include "blocks/feed_forward/glu_unit.h"

#include <math.h>
#include <string.h>

#include "blocks/pass.h"

/* GEGELU as the authors of Phi-3 define it (2024). Writing x[i] is safe, for the pair i is read before and 2 i >= i. */
static void gegelu(const struct tare_glu_unit *unit, const struct tare_pass *pass, float *x, int64_t hidden)
{
    (void)pass;
    const float limit = unit->number;
    for (int64_t i = 0; i < hidden; i++) {
        const float gate = fminf(x[2 * i], limit), up = fmaxf(fminf(x[2 * i + 1], limit), -limit);
        x[i] = gate / (1 + expf(-1.702f * gate)) * (up + 1);
    }
}

struct tare_glu_unit tare_unit_gegelu(double limit)
{
    return (struct tare_glu_unit){.apply = gegelu, .number = (float)limit};
}

/* A gate becomes max(0, gate - cut), where the cut lies `deviations` standard deviations above the mean of all gates.
 * Of normally distributed gates, the wanted share is 0 then. */
static void cut(float *gate, int64_t n, float deviations)
{
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++)
        sum += gate[i];
    const double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        square += (gate[i] - mean) * (gate[i] - mean);
    const float from = (float)(mean + sqrt(square / (double)n) * (double)deviations);
    for (int64_t i = 0; i < n; i++)
        gate[i] = fmaxf(0, gate[i] - from);
}

static void sparse(const struct tare_glu_unit *unit, const struct tare_pass *pass, float *gate, int64_t hidden)
{
    cut(gate, hidden, unit->number);
    tare_activation_forward(&pass->kernels, unit->activation, gate, gate + hidden, hidden);
}

/* The number below which a share of a standard normal distribution lies, 0 < share < 1, found by halving an interval.
 */
static double normal_quantile(double share)
{
    double low = -40, high = 40;
    for (int i = 0; i < 100; i++) {
        const double middle = (low + high) / 2;
        if (erfc(-middle / sqrt(2)) / 2 < share)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

struct tare_glu_unit tare_unit_sparse(enum tare_activation activation, double share)
{
    struct tare_glu_unit unit = {.activation = activation};
    if (share > 0) {
        unit.apply = sparse;
        unit.number = (float)normal_quantile(share);
    }
    return unit;
}

static void up_first(const struct tare_glu_unit *unit, const struct tare_pass *pass, float *up, int64_t hidden)
{
    float *gate = up + hidden;
    tare_activation_forward(&pass->kernels, unit->activation, gate, up, hidden);
    memcpy(up, gate, (size_t)hidden * sizeof *up);
}

struct tare_glu_unit tare_unit_up_first(enum tare_activation activation)
{
    return (struct tare_glu_unit){.apply = up_first, .activation = activation};
}

static void normed(const struct tare_glu_unit *unit, const struct tare_pass *pass, float *gate, int64_t hidden)
{
    tare_activation_forward(&pass->kernels, unit->activation, gate, gate + hidden, hidden);
    tare_norm_row(pass, &unit->norm, gate, gate);
}

struct tare_glu_unit tare_unit_normed(enum tare_activation activation, struct tare_norm norm)
{
    return (struct tare_glu_unit){.apply = normed, .activation = activation, .norm = norm};
}
