/* SPDX-License-Identifier: MIT
 * gqa_rounded.c - keys and values that are kept in 8 bits. */
#include "blocks/attention/gqa_rounded.h"

#include <math.h>

#include "blocks/attention/gqa_self.h"

struct rounded {
    const struct tare_parameter *step[2]; /* of keys, of values: one number each */
};

static void round_head(float *head, int64_t dim, float step)
{
    for (int64_t d = 0; d < dim; d++)
        head[d] = fmaxf(-128, fminf(127, rintf(head[d] / step))) * step;
}

static void keep(const struct tare_gqa_job *j, const void *self, float *key, float *value)
{
    const struct rounded *r = self;
    round_head(key, j->b->head_dim, *tare_loaded_vector(j->pass->loaded, r->step[0]));
    round_head(value, j->b->v_dim, *tare_loaded_vector(j->pass->loaded, r->step[1]));
}

void tare_gqa_rounded(struct tare_layer *layer, struct tare_at at, const char *key_step, const char *value_step)
{
    const struct rounded r = {{tare_plain(at, key_step, 0), tare_plain(at, value_step, 0)}};
    tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.keep = keep}, &r, sizeof r);
}
