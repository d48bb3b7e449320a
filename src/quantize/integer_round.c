/* SPDX-License-Identifier: MIT
 * integer_round.c - the grid of scale and zero that a group of floats is rounded to: as the reference programs choose it
 * from the smallest and the largest value. Source: docs/quantizing.md.
 */
#include "quantize/integer_out.h"

struct tare_integer_grid tare_integer_grid_of(const struct tare_integer_form *form, enum tare_dtype dtype, float low,
                                              float high)
{
    const int most = (1 << form->bits) - 1, middle = 1 << (form->bits - 1);
    struct tare_integer_grid grid = {.zero = middle};
    const float reach = fmaxf(-low, high), range = form->symmetric ? 2 * reach : high - low;
    grid.scale = tare_float_round(dtype, range / (float)most);
    if (grid.scale <= 0) /* nothing but zeros, or so little that the dtype has no number for the step */
        grid.scale = tare_float_round(dtype, 0x1p-14f);
    if (form->symmetric)
        return grid;
    const float zero = rintf(-low / grid.scale);
    grid.zero = zero < (float)form->least ? form->least : zero > (float)most ? most : (int)zero;
    return grid;
}

struct tare_integer_grid tare_integer_grid_fit(const struct tare_integer_form *form, enum tare_dtype dtype,
                                               const float *w, int64_t n)
{
    float low = 0, high = 0;
    for (int64_t i = 0; i < n; i++) {
        low = w[i] < low ? w[i] : low;
        high = w[i] > high ? w[i] : high;
    }
    return tare_integer_grid_of(form, dtype, low, high);
}

void tare_integer_round_row(const struct tare_integer_form *form, enum tare_dtype dtype, float *w, int64_t n)
{
    const int most = (1 << form->bits) - 1;
    const int64_t size = form->group_size ? form->group_size : n;
    for (int64_t start = 0; start < n; start += size) {
        const int64_t end = start + size < n ? start + size : n;
        const struct tare_integer_grid grid = tare_integer_grid_fit(form, dtype, w + start, end - start);
        const float inverse = 1 / grid.scale;
        for (int64_t i = start; i < end; i++)
            w[i] = grid.scale * (float)(tare_integer_grid_code(&grid, most, inverse, w[i]) - grid.zero);
    }
}
