/* SPDX-License-Identifier: MIT
 * plamo.c - PLaMo (mlx-lm: models/plamo.py): one norm, attention and feed-forward side by side. */
#include "blocks/attention/gqa_keys.h"
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, n_shared_head, 8)                                                                                         \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(INT, max_position_embeddings, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    return a->n_shared_head > 0 ? TARE_OK : tare_fail(d->err, TARE_E_CONFIG, d->place, "n_shared_head must be above 0");
}

static void cycle(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense)
{
    (void)dense;
    tare_gqa_cycled(l, tare_at(at, "self_attn"));
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const int64_t kv_heads = (a->num_attention_heads + a->n_shared_head - 1) / a->n_shared_head;
    tare_dense(root, d,
               &(struct tare_dense){
                   .skeleton.dim = a->hidden_size,
                   .skeleton.vocabulary = a->vocab_size,
                   .skeleton.n_layers = a->num_hidden_layers,
                   .skeleton.context = a->max_position_embeddings,
                   .skeleton.layers = "layers.layers",
                   .skeleton.eps = a->rms_norm_eps,
                   .skeleton.head = TARE_HEAD_OWN,
                   .norms = {"norm"},
                   .parallel = true,
                   .attention.heads = a->num_attention_heads,
                   .attention.kv_heads = kv_heads,
                   .ffn.hidden = a->intermediate_size,
                   .theta = a->rope_theta,
                   .interleaved = a->rope_traditional,
                   .attend = cycle,
               });
}

const struct tare_arch tare_arch_plamo = {
    .name = "plamo",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .runs = true,
};
