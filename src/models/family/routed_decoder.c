/* SPDX-License-Identifier: MIT
 * routed_decoder.c - routed experts in a decoder like Llama. */
#include "models/family/routed_decoder.h"

/* While the decoder is declared, the args of the dense description are the routed model; the model's own hooks are
 * called with its own args. */
static void vary(struct tare_dense *copy, int64_t i)
{
    const struct tare_routed_dense *model = copy->args;
    copy->no_ffn = model->is_routed ? model->is_routed(model->dense.args, i) : i >= model->first;
    copy->args = model->dense.args;
    if (model->dense.vary)
        model->dense.vary(copy, i);
    copy->args = model;
}

static void routed(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense)
{
    struct tare_routed_desc desc = ((const struct tare_routed_dense *)dense->args)->routed;
    desc.dim = dense->skeleton.dim;
    desc.activation = tare_activation_read(at, dense->hidden_act, TARE_SILU);
    tare_routed(l, at, &desc);
}

static void more(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense)
{
    const struct tare_routed_dense *model = dense->args;
    struct tare_dense own = *dense;
    own.args = model->dense.args;
    if (dense->no_ffn)
        routed(l, at, dense);
    if (model->dense.more)
        model->dense.more(l, at, &own);
}

void tare_routed_dense(struct tare_at root, struct tare_decoder *d, const struct tare_routed_dense *model)
{
    struct tare_dense dense = model->dense;
    dense.args = model;
    dense.vary = vary;
    dense.more = more;
    tare_dense(root, d, &dense);
}
