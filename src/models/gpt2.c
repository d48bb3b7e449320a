/* SPDX-License-Identifier: MIT
 * gpt2.c - GPT-2 (mlx-lm: models/gpt2.py). Its dense linears are Conv1D, stored (in, out). */
#include "models/model.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, n_embd, REQUIRED)                                                                                         \
    ARG(INT, n_head, REQUIRED)                                                                                         \
    ARG(INT, n_layer, REQUIRED)                                                                                        \
    ARG(INT, n_positions, REQUIRED)                                                                                    \
    ARG(REAL, layer_norm_epsilon, REQUIRED)                                                                            \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, n_inner, ABSENT)                                                                                          \
    ARG(TEXT, activation_function, gelu_new)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const struct tare_at model = tare_at(root, "model");
    const int64_t dim = a->n_embd;
    const int64_t head = tare_div(root, "n_embd", dim, "n_head", a->n_head);
    struct tare_parameter *embedding = tare_embedding(model, "wte", a->vocab_size, dim);

    *d = (struct tare_decoder){.arena = d->arena,
                               .dim = dim,
                               .vocabulary = a->vocab_size,
                               .embedding = embedding,
                               .context = a->n_positions,
                               .positions = tare_embedding(model, "wpe", a->n_positions, dim)};
    struct tare_layer *l = tare_layers(d, a->n_layer);
    for (int64_t i = 0; i < d->n_layers && !root.tree->error.code; i++, l++) {
        const struct tare_at at = tare_at(model, "h.%lld", (long long)i);
        l->pre[0] = tare_layer_norm(at, "ln_1", dim, a->layer_norm_epsilon, BIAS);
        tare_gqa(l, at,
                 &(struct tare_gqa_desc){.name = "attn",
                                         .qkv_name = "c_attn",
                                         .o_name = "c_proj",
                                         .dim = dim,
                                         .heads = a->n_head,
                                         .kv_heads = a->n_head,
                                         .head_dim = head,
                                         .bias = true,
                                         .o_bias = true});
        l->pre[1] = tare_layer_norm(at, "ln_2", dim, a->layer_norm_epsilon, BIAS);
        tare_mlp(
            l, at,
            &(struct tare_mlp_desc){.first_name = "c_fc",
                                    .second_name = "c_proj",
                                    .dim = dim,
                                    .hidden = a->n_inner > 0 ? a->n_inner : tare_mul(at, 4, dim),
                                    .bias = true,
                                    .activation = tare_activation_read(at, a->activation_function, TARE_GELU_TANH)});
    }
    d->norm = tare_layer_norm(model, "ln_f", dim, a->layer_norm_epsilon, BIAS);
    tare_head(root, NULL, embedding, TARE_HEAD_NONE, true, NO_BIAS);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    (void)args;
    tare_rename(w, "transformer.**", "**"); /* GPT2LMHeadModel saves below "transformer", the published file does not */
    tare_drop_exact(w, "h.*.attn.bias", "the causal mask, not a parameter");
    tare_drop_exact(w, "h.*.attn.masked_bias", "the mask's value, not a parameter");
    /* Only under the published names: what mlx-lm converted ("model.h...") is (out, in) already. */
    tare_transpose(w, "h.*.attn.c_*.weight");
    tare_transpose(w, "h.*.mlp.c_*.weight");
    tare_add_prefix(w, "model");
}

const struct tare_arch tare_arch_gpt2 = {
    .name = "gpt2",
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
    .transformers_tied = true,
};
