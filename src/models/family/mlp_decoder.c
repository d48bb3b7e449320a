/* SPDX-License-Identifier: MIT
 * mlp_decoder.c - puts a feed-forward block without a gate into the layers of dense_decoder.h. */
#include "models/family/mlp_decoder.h"

struct with_mlp {
    const struct tare_dense *dense;
    const struct tare_mlp_desc *mlp;
};

static void feed_forward(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense)
{
    const struct with_mlp *with = dense->args;
    struct tare_mlp_desc mlp = *with->mlp;
    mlp.dim = dense->skeleton.dim;
    mlp.hidden = dense->ffn.hidden;
    mlp.activation = tare_activation_read(at, dense->hidden_act, TARE_GELU);
    tare_mlp(l, at, &mlp);
    if (with->dense->more)
        with->dense->more(l, at, dense);
}

void tare_dense_mlp(struct tare_at root, struct tare_decoder *d, const struct tare_dense *dense,
                    const struct tare_mlp_desc *mlp)
{
    const struct with_mlp with = {dense, mlp};
    struct tare_dense copy = *dense;
    copy.no_ffn = true;
    copy.args = &with;
    copy.more = feed_forward;
    tare_dense(root, d, &copy);
}
