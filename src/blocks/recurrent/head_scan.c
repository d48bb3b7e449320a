/* SPDX-License-Identifier: MIT
 * head_scan.c - token by token, a head a task. */
#include "blocks/recurrent/head_scan.h"

#include <math.h>
#include <string.h>

#define HEAD_MOST (TARE_PANEL_FLOATS / 4) /* so that a thread's work memory holds three rows of a head */

bool tare_head_scan_fits(const struct tare_head_scan *s)
{
    return s->heads > 0 && s->head > 0 && s->head <= HEAD_MOST && s->groups > 0 && s->heads % s->groups == 0 &&
           s->state > 0;
}

struct tare_state_part tare_head_scan_state(const struct tare_head_scan *s)
{
    return (struct tare_state_part){TARE_STATE_SUM, s->heads * s->state, s->head, 0};
}

struct job {
    const struct tare_pass *pass;
    const struct tare_span *span;
    const struct tare_head_scan *s;
    const float *from;
    float *to; /* (heads, state, head) */
};

static void scan_head(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct tare_head_scan *s = j->s;
    const int64_t h = (int64_t)i, group = h / (s->heads / s->groups), size = s->state * s->head;
    float *const decay = j->pass->work[worker], *const x = decay + s->head, *const y = x + s->head;
    const float a = -expf(s->a_log[h]);
    struct tare_scan step = {.h = j->to + h * size,
                             .ldh = s->head,
                             .decay = decay,
                             .ldd = 0,
                             .x = x,
                             .y = y,
                             .states = s->state,
                             .channels = s->head};
    memcpy(step.h, j->from + h * size, (size_t)size * sizeof *step.h);
    for (int64_t t = 0; t < j->span->tokens; t++) {
        const float *in = s->x + t * s->ldx + h * s->head;
        const float dt = fminf(fmaxf(tare_softplus(s->dt[t * s->lddt + h] + s->bias[h]), s->least), s->most);
        const float alike = expf(a * dt);
        for (int64_t p = 0; p < s->head; p++) {
            decay[p] = alike;
            x[p] = dt * in[p];
        }
        step.b = s->b + t * s->ldb + group * s->state;
        step.c = s->c + t * s->ldb + group * s->state;
        j->pass->kernels.scan(&step);
        float *out = s->y + t * s->ldy + h * s->head;
        for (int64_t p = 0; p < s->head; p++)
            out[p] = y[p] + s->skip[h] * in[p];
    }
}

void tare_head_scan(const struct tare_pass *pass, const struct tare_span *span, const struct tare_head_scan *scan,
                    int part)
{
    struct tare_state *state = tare_pass_state(pass, span);
    struct job j = {pass, span, scan, tare_state_from(state, part, span->turn), tare_state_to(state, part, span->turn)};
    tare_pool_run(pass->pool, (size_t)scan->heads, scan_head, &j);
}
