/* SPDX-License-Identifier: MIT
 * activation.c - the nonlinearities between two projections. */
#include "blocks/activation.h"

#include <math.h>
#include <string.h>

enum tare_activation tare_activation_read(struct tare_at at, const char *name, enum tare_activation fallback)
{
    static const struct {
        const char *name;
        enum tare_activation activation;
    } known[] = {
        {"silu", TARE_SILU},
        {"swish", TARE_SILU},
        {"gelu", TARE_GELU},
        {"gelu_new", TARE_GELU_TANH},
        {"gelu_pytorch_tanh", TARE_GELU_TANH},
        {"gelu_fast", TARE_GELU_TANH},
        {"relu", TARE_RELU},
        {"relu2", TARE_RELU2},
        {"xielu", TARE_XIELU},
    };
    if (!name)
        return fallback;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(name, known[i].name))
            return known[i].activation;
    if (!at.tree->error.code)
        tare_fail(&at.tree->error, TARE_E_UNKNOWN, "config.json",
                  "hidden_act (or activation_function) \"%.64s\" is not known; known are silu, gelu, gelu_new, "
                  "gelu_pytorch_tanh, relu, relu2",
                  name);
    return fallback;
}

/* x / 2 * (1 + erf(x / sqrt 2)) */
static float gelu(float x)
{
    return 0.5f * x * (1 + erff(x * 0.70710678f));
}

/* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))); Hendrycks and Gimpel, 2016 */
static float gelu_tanh(float x)
{
    return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
}

static float relu(float x)
{
    return x > 0 ? x : 0;
}

static float relu2(float x)
{
    return relu(x) * relu(x);
}

float tare_sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

float tare_softplus(float x)
{
    return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x)); /* exact at both ends */
}

/* xIELU (Huang and Schlag, 2024): quadratic above zero, the integral of an exponential below. */
void tare_xielu_forward(const struct tare_xielu *p, float *x, int64_t n)
{
    const float positive = tare_softplus(p->alpha_positive), negative = p->beta + tare_softplus(p->alpha_negative);
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i], low = v < p->eps ? v : p->eps;
        x[i] = (v > 0 ? positive * v * v : (expm1f(low) - v) * negative) + p->beta * v;
    }
}

void tare_activation_forward(const struct tare_kernels *kernels, enum tare_activation activation, float *gate,
                             const float *up, int64_t n)
{
    float (*const each[])(float) = {
        [TARE_SILU] = NULL, [TARE_GELU] = gelu, [TARE_GELU_TANH] = gelu_tanh, [TARE_RELU] = relu, [TARE_RELU2] = relu2};
    if (activation == TARE_SILU) {
        kernels->silu(gate, up, n);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        gate[i] = each[activation](gate[i]) * (up ? up[i] : 1);
}

static float within(float x, float least, float most)
{
    return x < least ? least : x > most ? most : x; /* NaN stays NaN */
}

/* Kimi K3's unit: a SiLU whose linear factor is bounded by a tanh. */
static void situ(const struct tare_limit *limit, float *gate, const float *up, int64_t n)
{
    const float m = (float)limit->most, l = (float)limit->linear;
    for (int64_t i = 0; i < n; i++)
        gate[i] = m * tanhf(gate[i] / m) / (1 + expf(-gate[i])) * (l != 0 ? l * tanhf(up[i] / l) : up[i]);
}

void tare_unit_forward(const struct tare_kernels *kernels, enum tare_activation activation,
                       const struct tare_limit *limit, float *gate, float *up, int64_t n)
{
    const float most = (float)limit->most, alpha = limit->alpha != 0 ? (float)limit->alpha : 1.702f;
    if (limit->kind == TARE_LIMIT_NONE) {
        tare_activation_forward(kernels, activation, gate, up, n);
        return;
    }
    if (limit->kind == TARE_LIMIT_SITU) {
        situ(limit, gate, up, n);
        return;
    }
    for (int64_t i = 0; limit->kind == TARE_LIMIT_INPUT && i < n; i++)
        gate[i] = within(gate[i], -INFINITY, most), up[i] = within(up[i], -most, most);
    if (limit->kind == TARE_LIMIT_INPUT) {
        tare_activation_forward(kernels, activation, gate, up, n);
        return;
    }
    if (limit->kind == TARE_LIMIT_AFTER)
        tare_activation_forward(kernels, activation, gate, NULL, n);
    for (int64_t i = 0; i < n; i++) {
        const float g = within(gate[i], -INFINITY, most), u = within(up[i], -most, most);
        gate[i] = limit->kind == TARE_LIMIT_AFTER ? g * u : g / (1 + expf(-alpha * g)) * (u + 1);
    }
}
