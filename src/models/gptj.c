/* SPDX-License-Identifier: MIT
 * gptj.c - GPT-J (mlx-lm: models/gptj.py): one norm, attention and feed-forward side by side. */
#include "models/family/mlp_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, n_embd, 4096)                                                                                             \
    ARG(INT, vocab_size, 50400)                                                                                        \
    ARG(REAL, layer_norm_epsilon, 1e-5)                                                                                \
    ARG(INT, n_positions, 2048)                                                                                        \
    ARG(INT, n_head, 16)                                                                                               \
    ARG(INT, rotary_dim, 64)                                                                                           \
    ARG(INT, n_layer, 28)                                                                                              \
    ARG(TEXT, activation_function, gelu_new)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    if (json_is_null(json_object_get(d->config, "rotary_dim"))) /* not the default: the whole head */
        a->rotary_dim = 0;
    return TARE_OK;
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const int64_t head = tare_div(root, "n_embd", a->n_embd, "n_head", a->n_head);
    tare_dense_mlp(root, d,
                   &(struct tare_dense){
                       .skeleton = {.embedding = "wte",
                                    .layers = "h",
                                    .norm_name = "ln_f",
                                    .dim = a->n_embd,
                                    .vocabulary = a->vocab_size,
                                    .n_layers = a->n_layer,
                                    .context = a->n_positions,
                                    .norm = TARE_SKELETON_LAYER,
                                    .norm_bias = true,
                                    .eps = a->layer_norm_epsilon,
                                    .head = TARE_HEAD_OWN,
                                    .head_bias = true},
                       .norms = {"ln_1"},
                       .parallel = true,
                       .attention = {.name = "attn", .o_name = "out_proj", .heads = a->n_head, .head_dim = head},
                       .ffn.hidden = tare_mul(root, 4, a->n_embd),
                       .hidden_act = a->activation_function,
                       .theta = 10000,
                       .rotated = a->rotary_dim > 0 ? ((double)a->rotary_dim + 0.5) / (double)head
                                                    : 0 /* as dimensions: rotary_dim */,
                       .interleaved = true,
                   },
                   &(struct tare_mlp_desc){.first_name = "fc_in", .second_name = "fc_out", .bias = true});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_drop_exact(w, "transformer.h.*.attn.bias", "the causal mask, not a parameter");
    tare_drop_exact(w, "transformer.h.*.attn.masked_bias", "the mask's value, not a parameter");
    tare_rename(w, "transformer.**", "model.**");
}

const struct tare_arch tare_arch_gptj = {
    .name = "gptj",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
