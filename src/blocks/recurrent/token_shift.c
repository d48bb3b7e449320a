/* SPDX-License-Identifier: MIT
 * token_shift.c - a token mixed with the one before. */
#include "blocks/recurrent/token_shift.h"

#include <string.h>

struct job {
    const struct tare_pass *pass;
    int part;
    int64_t dim;
    const float *mix, *x;
    float *y;
};

struct tare_state_part tare_token_shift_state(int64_t dim)
{
    return (struct tare_state_part){TARE_STATE_SUM, 1, dim, 0};
}

static void shift_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t t = (int64_t)i;
    const struct tare_span *span = tare_pass_span(j->pass, t);
    const float *x = j->x + t * j->dim;
    const float *before =
        t > span->first ? x - j->dim : tare_state_from(tare_pass_state(j->pass, span), j->part, span->turn);
    float *y = j->y + t * j->dim;
    for (int64_t d = 0; d < j->dim; d++)
        y[d] = x[d] + j->mix[d] * (before[d] - x[d]);
}

void tare_token_shift(const struct tare_pass *pass, int part, int64_t dim, const float *mix, const float *x, float *y)
{
    tare_pool_run(pass->pool, (size_t)pass->tokens, shift_token, &(struct job){pass, part, dim, mix, x, y});
}

void tare_token_shift_keep(const struct tare_pass *pass, int part, int64_t dim, const float *x)
{
    for (int64_t i = 0; i < pass->n_spans; i++) {
        const struct tare_span *span = &pass->spans[i];
        memcpy(tare_state_to(tare_pass_state(pass, span), part, span->turn), x + (span->first + span->tokens - 1) * dim,
               (size_t)dim * sizeof *x);
    }
}
