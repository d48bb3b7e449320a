/* SPDX-License-Identifier: MIT
 * nanochat.c - nanochat (mlx-lm: models/nanochat.py): norms without weights, squared ReLU, logits capped at 15. */
#include "models/family/decoder_skeleton.h"

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

#define NORM_EPS 1e-5

static void layer(struct tare_layer *l, struct tare_at at, const void *args, int64_t i)
{
    const struct args *a = args;
    const int64_t dim = a->hidden_size;
    const int64_t head = tare_div(at, "hidden_size", dim, "num_attention_heads", a->num_attention_heads);
    struct tare_rope rope = tare_rope_read(at, head, a->rope_theta, NULL, a->max_position_embeddings);
    rope.backwards = true;
    (void)i;
    l->pre[0] = l->pre[1] = (struct tare_norm){.kind = TARE_NORM_RMS, .dim = dim, .eps = NORM_EPS};
    tare_gqa(l, at,
             &(struct tare_gqa_desc){.name = "attn",
                                     .q_name = "c_q",
                                     .k_name = "c_k",
                                     .v_name = "c_v",
                                     .o_name = "c_proj",
                                     .dim = dim,
                                     .heads = a->num_attention_heads,
                                     .kv_heads = a->num_key_value_heads,
                                     .head_dim = head,
                                     .qk_norm.kind = TARE_QK_NORM_RMS_BARE,
                                     .qk_norm.last = true,
                                     .qk_norm.eps = NORM_EPS,
                                     .rope = rope});
    tare_mlp(l, at,
             &(struct tare_mlp_desc){.first_name = "c_fc",
                                     .second_name = "c_proj",
                                     .dim = dim,
                                     .hidden = a->intermediate_size,
                                     .activation = TARE_RELU2});
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_skeleton(root, args, d,
                  &(struct tare_skeleton){.model = "transformer",
                                          .embedding = "wte",
                                          .layers = "h",
                                          .dim = a->hidden_size,
                                          .vocabulary = a->vocab_size,
                                          .n_layers = a->num_hidden_layers,
                                          .context = a->max_position_embeddings,
                                          .norm = TARE_SKELETON_RMS_BARE,
                                          .eps = NORM_EPS,
                                          .logit_soft_cap = 15,
                                          .layer = layer,
                                          .head = TARE_HEAD_OWN});
    d->embedding_norm = d->norm;
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
    .runs = true,
};
