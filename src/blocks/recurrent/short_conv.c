/* SPDX-License-Identifier: MIT
 * short_conv.c - the rows of this pass, and before them those that the state kept. */
#include "blocks/recurrent/short_conv.h"

#include <string.h>

struct job {
    const struct tare_pass *pass;
    const struct tare_short_conv *conv;
    const float *kept; /* (width - 1, channels) */
    const float *x;
    int64_t ldx;
    float *y;
    int64_t ldy;
};

static const float *row(const struct job *j, int64_t t)
{
    return t >= 0 ? j->x + t * j->ldx : j->kept + (t + j->conv->width - 1) * j->conv->channels;
}

static void convolve_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct tare_short_conv *c = j->conv;
    float *y = j->y + (int64_t)i * j->ldy;
    for (int64_t n = 0; n < c->channels; n++)
        y[n] = c->bias ? c->bias[n] : 0;
    for (int64_t k = 0; k < c->width; k++) {
        const float *x = row(j, (int64_t)i - c->width + 1 + k);
        for (int64_t n = 0; n < c->channels; n++)
            y[n] += c->weight[n * c->width + k] * x[n];
    }
    if (c->silu)
        j->pass->kernels.silu(y, NULL, c->channels);
}

void tare_short_conv_forward(const struct tare_pass *pass, const struct tare_span *span,
                             const struct tare_short_conv *conv, int part, const float *x, int64_t ldx, float *y,
                             int64_t ldy)
{
    struct tare_state *state = tare_pass_state(pass, span);
    float *keep = tare_state_to(state, part, span->turn);
    const struct job j = {pass, conv, tare_state_from(state, part, span->turn), x, ldx, y, ldy};
    tare_pool_run(pass->pool, (size_t)span->tokens, convolve_token, (void *)&j);
    for (int64_t k = 0; k < conv->width - 1; k++)
        memcpy(keep + k * conv->channels, row(&j, span->tokens - conv->width + 1 + k),
               (size_t)conv->channels * sizeof *keep);
}

struct tare_conv tare_conv(struct tare_at parent, const char *name, int64_t channels, int64_t width, bool bias)
{
    const struct tare_at at = tare_at(parent, "%s", name);
    return (struct tare_conv){
        .weight = tare_plain(at, "weight", 3, channels, width, (int64_t)1),
        .bias = bias ? tare_plain(at, "bias", 1, channels) : NULL,
        .channels = channels,
        .width = width,
    };
}

struct tare_state_part tare_conv_state(const struct tare_conv *conv)
{
    return (struct tare_state_part){TARE_STATE_SUM, conv->width - 1, conv->channels, 0};
}

struct tare_short_conv tare_conv_loaded(const struct tare_pass *pass, const struct tare_conv *conv, bool silu)
{
    return (struct tare_short_conv){
        .weight = tare_loaded_vector(pass->loaded, conv->weight),
        .bias = conv->bias ? tare_loaded_vector(pass->loaded, conv->bias) : NULL,
        .channels = conv->channels,
        .width = conv->width,
        .silu = silu,
    };
}
