/* SPDX-License-Identifier: MIT
 * mlp.c - the plain feed-forward block: second(act(first x)). */
#include "blocks/feed_forward/mlp.h"

#include "blocks/pass.h"

struct mlp {
    struct tare_linear first, second;
    enum tare_activation activation;
    const struct tare_parameter *xielu[4]; /* alpha_p, alpha_n, beta, eps */
};

static size_t scratch(const void *block, int64_t tokens)
{
    const struct mlp *b = block;
    return (size_t)tokens * (size_t)b->first.out;
}

struct job {
    const struct mlp *block;
    const struct tare_pass *pass;
};

static void activate(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const int64_t hidden = j->block->first.out;
    float *x = j->pass->scratch + (int64_t)i * hidden;
    if (j->block->activation != TARE_XIELU) {
        tare_activation_forward(&j->pass->kernels, j->block->activation, x, NULL, hidden);
        return;
    }
    float value[4];
    for (int k = 0; k < 4; k++)
        value[k] = *tare_loaded_vector(j->pass->loaded, j->block->xielu[k]);
    tare_xielu_forward(&(struct tare_xielu){value[0], value[1], value[2], value[3]}, x, hidden);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct mlp *b = block;
    tare_linear_forward(pass, &b->first, x, b->first.in, pass->scratch, b->first.out);
    tare_pool_run(pass->pool, (size_t)pass->tokens, activate, &(struct job){b, pass});
    tare_linear_forward(pass, &b->second, pass->scratch, b->first.out, y, b->second.out);
}

static const struct tare_block_ops ops = {.name = "mlp", .scratch = scratch, .forward = forward};

void tare_mlp(struct tare_layer *layer, struct tare_at parent, const struct tare_mlp_desc *d)
{
    const struct tare_at at = tare_at(parent, "%s", d->name ? d->name : "mlp");
    struct mlp b = {.activation = d->activation};
    b.first = tare_linear(at, d->first_name ? d->first_name : "c_fc", d->dim, d->hidden, d->bias);
    b.second = tare_linear(at, d->second_name ? d->second_name : "c_proj", d->hidden, d->dim, d->bias);
    static const char *const numbers[4] = {"act_fn.alpha_p", "act_fn.alpha_n", "act_fn.beta", "act_fn.eps"};
    for (int i = 0; i < 4 && d->activation == TARE_XIELU; i++)
        b.xielu[i] = tare_plain(at, numbers[i], 0);
    tare_block_set(&layer->ffn, at, &ops, &b, sizeof b);
}
