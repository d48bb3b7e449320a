/* SPDX-License-Identifier: MIT
 * mamba_mixer.c - the mixers of selective state spaces: Mamba-1 and Mamba-2. */
#include "models/mamba_mixer.h"

#include <string.h>

#define WIDTH_MOST ((int64_t)1 << 40) /* so that sums of a few widths fit int64_t */

/* a * b as a width that may be summed. */
static int64_t width_of(struct tare_at at, int64_t a, int64_t b)
{
    const int64_t width = tare_mul(at, a, b);
    if (width <= WIDTH_MOST)
        return width;
    if (!at.tree->error.code)
        tare_fail(&at.tree->error, TARE_E_CONFIG, at.path,
                  "the config gives a width of %lld x %lld, out of all proportion", (long long)a, (long long)b);
    return 1;
}

void tare_mamba1(struct tare_at at, const struct tare_mamba1_desc *d)
{
    const int64_t inner = width_of(at, d->inner, 1);
    tare_linear(at, "in_proj", d->dim, 2 * inner, d->bias);
    tare_conv1d(at, "conv1d", inner, d->width, 1, d->conv_bias);
    tare_linear(at, "x_proj", inner, d->rank + 2 * d->state, NO_BIAS);
    tare_linear(at, "dt_proj", d->rank, inner, BIAS);
    tare_plain(at, "A_log", 2, inner, d->state);
    tare_plain(at, "D", 1, inner);
    tare_linear(at, "out_proj", inner, d->dim, d->bias);
}

int64_t tare_mamba_rank(struct tare_at at, const char *key, const json_t *value, int64_t dim)
{
    const json_int_t rank = json_integer_value(value);
    if (!value || (json_is_string(value) && !strcmp(json_string_value(value), "auto")))
        return (dim + 15) / 16;
    if (json_is_integer(value) && rank >= 1 && rank <= INT32_MAX)
        return rank;
    if (!at.tree->error.code)
        tare_fail(&at.tree->error, TARE_E_CONFIG, "config.json", "%s must be a number of at least 1, or \"auto\"", key);
    return 1;
}

void tare_mamba2(struct tare_at at, const struct tare_mamba2_desc *d)
{
    const int64_t inner = d->inner > 0 ? width_of(at, d->inner, 1) : width_of(at, d->heads, d->head_dim);
    const int64_t convolved = inner + 2 * width_of(at, d->groups, d->state);
    tare_div(at, "the number of Mamba heads,", d->heads, "the number of groups,", d->groups);
    tare_linear(at, "in_proj", d->dim, inner + convolved + d->heads, d->bias);
    tare_conv1d(at, "conv1d", convolved, d->width, 1, d->conv_bias);
    tare_plain(at, "dt_bias", 1, d->heads);
    tare_plain(at, "A_log", 1, d->heads);
    tare_plain(at, "D", 1, d->heads);
    if (!d->no_norm)
        tare_rms_norm(at, "norm", inner, d->eps);
    tare_linear(at, "out_proj", inner, d->dim, d->out_bias);
}

void tare_mamba_sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_conv_channels_last(w, "**.*conv1d.weight");
}
