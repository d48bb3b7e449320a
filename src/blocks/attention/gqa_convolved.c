/* SPDX-License-Identifier: MIT
 * gqa_convolved.c - keys and values that take in those of the token before. */
#include "blocks/attention/gqa_convolved.h"

#include "blocks/attention/gqa_self.h"

struct convolved {
    const struct tare_parameter *conv[2]; /* of keys, of values: (1, 1, kv_heads, 1, 2) */
};

/* The token before has kept its own keys and values as they were projected (TARE_GQA_BEFORE). */
static void convolve(const struct tare_gqa_job *j, const void *self, int64_t t, float *before)
{
    const struct tare_gqa_self *b = j->b;
    const struct convolved *c = self;
    const struct tare_state *s = tare_pass_state(j->pass, tare_pass_span(j->pass, t));
    const int64_t position = tare_pass_position(j->pass, t);
    for (int64_t h = 0; h < 2 * b->kv_heads; h++) {
        const float *w = tare_loaded_vector(j->pass->loaded, c->conv[h / b->kv_heads]) + 2 * (h % b->kv_heads);
        float *head = tare_gqa_head(j, t, b->heads + h);
        if (position > 0)
            tare_state_get(&j->pass->kernels, s, TARE_GQA_BEFORE, position - 1, h, before);
        for (int64_t d = 0; d < b->head_dim; d++)
            head[d] = (position > 0 ? before[d] * w[0] : 0) + head[d] * w[1];
    }
}

void tare_gqa_convolved(struct tare_layer *layer, struct tare_at at, int64_t kv_heads)
{
    const int64_t one = 1, two = 2;
    const struct convolved c = {{tare_plain(at, "conv_k", 5, one, one, kv_heads, one, two),
                                 tare_plain(at, "conv_v", 5, one, one, kv_heads, one, two)}};
    tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.project = convolve, .keeps_before = true}, &c, sizeof c);
}
