/* SPDX-License-Identifier: MIT
 * phixtral.c - Phixtral, Phi 2 with routed experts (mlx-lm: models/phixtral.py; "phi-msft" is an alias). */
#include "blocks/feed_forward/mixture_variant.h"
#include "models/family/decoder_skeleton.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, num_vocab, 51200)                                                                                         \
    ARG(INT, model_dim, 2560)                                                                                          \
    ARG(INT, num_heads, 32)                                                                                            \
    ARG(INT, num_layers, 32)                                                                                           \
    ARG(INT, num_local_experts, 4)                                                                                     \
    ARG(INT, num_experts_per_tok, 2)                                                                                   \
    ARG(INT, rotary_dim, 32)
TARE_ARGS(ARGS);

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->model_dim, head = tare_div(at, "model_dim", dim, "num_heads", a->num_heads);
    (void)i;
    l->residual = TARE_RESIDUAL_PARALLEL;
    l->pre[0] = l->pre[1] = tare_layer_norm(at, "ln", dim, 1e-5, BIAS);
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.name = "mixer",
                                     .qkv_name = "Wqkv",
                                     .o_name = "out_proj",
                                     .dim = dim,
                                     .heads = a->num_heads,
                                     .kv_heads = a->num_heads,
                                     .head_dim = head,
                                     .bias = BIAS,
                                     .o_bias = BIAS,
                                     .rope = {.kind = TARE_ROPE_DEFAULT, .dims = a->rotary_dim, .base = 10000}});
    tare_routed(l, at,
                &(struct tare_routed_desc){
                    .name = "moe",
                    .dim = dim,
                    .router = {.n = a->num_local_experts, .top = a->num_experts_per_tok, .normalize = true},
                    .hidden = tare_mul(at, 4, dim),
                    .variant = &(struct tare_mixture_variant){.ungated = true, .parts = {NULL, "fc1", "fc2"}},
                    .bias = BIAS,
                    .activation = TARE_GELU_TANH});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.model = "transformer",
                                          .embedding = "embd.wte",
                                          .layers = "h",
                                          .dim = a->model_dim,
                                          .vocabulary = a->num_vocab,
                                          .n_layers = a->num_layers,
                                          .norm = TARE_SKELETON_NO_NORM,
                                          .layer = layer,
                                          .head_name = "lm_head.linear",
                                          .head = TARE_HEAD_OWN,
                                          .head_bias = true});
    d->norm = tare_layer_norm(root, "lm_head.ln", a->model_dim, 1e-5, BIAS);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const int64_t n = ((const struct args *)args)->num_local_experts;
    tare_stack(w, "transformer.h.*.moe.mlp.#.fc1.weight", "transformer.h.*.moe.switch_mlp.fc1.weight", n);
    tare_stack(w, "transformer.h.*.moe.mlp.#.fc1.bias", "transformer.h.*.moe.switch_mlp.fc1.bias", n);
    tare_stack(w, "transformer.h.*.moe.mlp.#.fc2.weight", "transformer.h.*.moe.switch_mlp.fc2.weight", n);
    tare_stack(w, "transformer.h.*.moe.mlp.#.fc2.bias", "transformer.h.*.moe.switch_mlp.fc2.bias", n);
}

const struct tare_arch tare_arch_phixtral = {
    .name = "phixtral",
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
