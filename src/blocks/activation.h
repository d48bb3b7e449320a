/* SPDX-License-Identifier: MIT
 * activation.h - the nonlinear functions between two projections of a feed-forward block.
 */
#ifndef TARE_BLOCKS_ACTIVATION_H
#define TARE_BLOCKS_ACTIVATION_H

#include "kernels/kernels.h"
#include "tree/tree.h"

enum tare_activation {
    TARE_SILU,
    TARE_GELU,
    TARE_GELU_TANH,
    TARE_RELU,
    TARE_RELU2,
    TARE_XIELU /* only tare_mlp() takes it, because it has trained numbers */
};
/* Reads "silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu", "relu2" or "xielu". NULL gives
 * the fallback, and any other name sets the error of the tree. */
enum tare_activation tare_activation_read(struct tare_at at, const char *name, enum tare_activation fallback);

/*
 * Bounds of a gated unit, where m is `most`:
 *
 *   BEFORE   g = min(gate, m), u = clamp(up, -m, m): g / (1 + e^(-alpha g)) * (u + 1) (gpt_oss)
 *
 *   INPUT    act(min(gate, m)) * clamp(up, -m, m) (deepseek_v41)
 *
 *   AFTER    min(act(gate), m) * clamp(up, -m, m) (step3p5)
 *
 *   SITU     m tanh(gate / m) / (1 + e^-gate) * u with u = l tanh(up / l), or up where l is 0 (kimi_k3)
 *
 * BEFORE and SITU do not use the activation.
 */
struct tare_limit {
    enum { TARE_LIMIT_NONE, TARE_LIMIT_BEFORE, TARE_LIMIT_INPUT, TARE_LIMIT_AFTER, TARE_LIMIT_SITU } kind;
    double most;   /* m */
    double alpha;  /* of BEFORE; 0 stands for 1.702 */
    double linear; /* l of SITU */
};

/* Computes gate = act(gate) * up in place, n floats; without up (NULL) it is act(gate). TARE_XIELU is not possible. */
void tare_activation_forward(const struct tare_kernels *kernels, enum tare_activation activation, float *gate,
                             const float *up, int64_t n);
/* The same within bounds; up is work memory afterwards. */
void tare_unit_forward(const struct tare_kernels *kernels, enum tare_activation activation,
                       const struct tare_limit *limit, float *gate, float *up, int64_t n);
float tare_softplus(float x); /* log(1 + e^x) */
float tare_sigmoid(float x);  /* 1 / (1 + e^-x) */

/* The trained numbers of one xIELU, as files store them: the alphas are logarithms. */
struct tare_xielu {
    float alpha_positive;
    float alpha_negative;
    float beta;
    float eps;
};
void tare_xielu_forward(const struct tare_xielu *xielu, float *x, int64_t n); /* in place */

#endif
