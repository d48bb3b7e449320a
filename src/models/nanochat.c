/* SPDX-License-Identifier: MIT
 * nanochat.c - nanochat (mlx-lm: models/nanochat.py): norms without weights, squared ReLU, logits capped at 15. */
#include "models/usual.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, 1280)                                                                                        \
    ARG(INT, num_hidden_layers, 20)                                                                                    \
    ARG(INT, num_attention_heads, 10)                                                                                  \
    ARG(INT, num_key_value_heads, 10)                                                                                  \
    ARG(INT, vocab_size, 65536)                                                                                        \
    ARG(INT, max_position_embeddings, 2048)                                                                            \
    ARG(INT, intermediate_size, 5120)                                                                                  \
    ARG(REAL, rope_theta, 10000.0)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_usual_decoder(
        root, d,
        &(struct tare_skeleton){TARE_USUAL_SKELETON(a), .model = "transformer", .embedding = "wte", .layers = "h",
                                .norm = TARE_SKELETON_NO_NORM, .logit_soft_cap = 15, .head = TARE_HEAD_OWN},
        &(struct tare_usual){.attention = {.name = "attn",
                                           .q_name = "c_q",
                                           .k_name = "c_k",
                                           .v_name = "c_v",
                                           .o_name = "c_proj",
                                           .heads = a->num_attention_heads,
                                           .kv_heads = a->num_key_value_heads},
                             .theta = a->rope_theta,
                             .mlp = {.first_name = "c_fc", .second_name = "c_proj", .hidden = a->intermediate_size},
                             .hidden_act = "relu2",
                             .planned_only = true});
}

/* transformers' names, which mlx-lm does not know. */
static void sanitize(struct tare_weights *w, const void *args)
{
    static const char *const names[][2] = {{"self_attn.q_proj", "attn.c_q"}, {"self_attn.k_proj", "attn.c_k"},
                                           {"self_attn.v_proj", "attn.c_v"}, {"self_attn.o_proj", "attn.c_proj"},
                                           {"mlp.fc1", "mlp.c_fc"},          {"mlp.fc2", "mlp.c_proj"}};
    (void)args;
    tare_rename(w, "model.embed_tokens.weight", "transformer.wte.weight");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *from = tare_arena_format(w->arena, "model.layers.*.%s.weight", names[i][0]);
        const char *to = tare_arena_format(w->arena, "transformer.h.*.%s.weight", names[i][1]);
        if (from && to)
            tare_rename(w, from, to);
        else
            tare_fail_memory(&w->error);
    }
}

const struct tare_arch tare_arch_nanochat = {
    .name = "nanochat",
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
};
