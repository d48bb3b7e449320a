/* SPDX-License-Identifier: MIT
 * gqa_mixing.c - two attentions, mixed by a gate of each head. */
#include "blocks/attention/gqa_mixing.h"

#include "blocks/attention/gqa_self.h"

struct mixing {
    const struct tare_parameter *weight; /* (heads, head_dim) */
    const struct tare_parameter *bias;   /* (heads) */
    int64_t window;
};

struct task {
    const struct tare_gqa_job *job;
    const struct mixing *mixing;
};

/* job->other is what the keys of the first round gave. */
static void mix_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct task *task = user;
    const struct tare_gqa_job *j = task->job;
    const struct tare_gqa_self *b = j->b;
    const float *weight = tare_loaded_vector(j->pass->loaded, task->mixing->weight);
    const float *bias = tare_loaded_vector(j->pass->loaded, task->mixing->bias);
    for (int64_t h = 0; h < b->heads; h++) {
        const float *q = tare_gqa_head(j, (int64_t)i, h), *w = weight + h * b->head_dim;
        const int64_t at = ((int64_t)i * b->heads + h) * b->v_dim;
        float sum = bias[h];
        for (int64_t d = 0; d < b->head_dim; d++)
            sum += q[d] * w[d];
        const float share = tare_sigmoid(sum);
        for (int64_t d = 0; d < b->v_dim; d++)
            j->mixed[at + d] = share * j->other[at + d] + (1 - share) * j->mixed[at + d];
    }
}

static void mix(const struct tare_gqa_job *j, const void *self)
{
    struct task task = {j, self};
    tare_pool_run(j->pass->pool, (size_t)j->pass->tokens, mix_token, &task);
}

static int64_t first_key(const void *self, int64_t last)
{
    return tare_gqa_window_start(((const struct mixing *)self)->window, last);
}

void tare_gqa_mixing(struct tare_layer *layer, struct tare_at at, int64_t window)
{
    const struct tare_gqa_self *b = tare_gqa_made(layer);
    if (!b)
        return;
    const struct mixing m = {.weight = tare_plain(at, "weight", 2, b->heads, b->head_dim),
                             .bias = tare_plain(at, "bias", 1, b->heads),
                             .window = window};
    tare_gqa_extend(layer, at, &(struct tare_gqa_hooks){.mix = mix, .first_key = first_key, .attends_twice = true}, &m,
                    sizeof m);
}
