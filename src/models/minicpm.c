/* SPDX-License-Identifier: MIT
 * minicpm.c - MiniCPM (mlx-lm: models/minicpm.py): Llama with scales for embedding, residual sums and logits. */
#include "models/family/dense_decoder.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, hidden_size, REQUIRED)                                                                                    \
    ARG(INT, dim_model_base, REQUIRED)                                                                                 \
    ARG(INT, num_hidden_layers, REQUIRED)                                                                              \
    ARG(INT, intermediate_size, REQUIRED)                                                                              \
    ARG(INT, num_attention_heads, REQUIRED)                                                                            \
    ARG(REAL, rms_norm_eps, REQUIRED)                                                                                  \
    ARG(INT, vocab_size, REQUIRED)                                                                                     \
    ARG(INT, num_key_value_heads, REQUIRED)                                                                            \
    ARG(REAL, scale_depth, REQUIRED)                                                                                   \
    ARG(REAL, scale_emb, REQUIRED)                                                                                     \
    ARG(INT, max_position_embeddings, ABSENT)                                                                          \
    ARG(REAL, rope_theta, 1000000.0)                                                                                   \
    ARG(FLAG, rope_traditional, false)                                                                                 \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(FLAG, tie_word_embeddings, false)                                                                              \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(TEXT, hidden_act, silu)
TARE_ARGS(ARGS);

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    tare_dense(root, d,
               &(struct tare_dense){
                   TARE_DENSE_USUAL(a),
                   .skeleton.eps = a->rms_norm_eps,
                   .skeleton.head = TARE_HEAD_COPIED,
                   .skeleton.tied = a->tie_word_embeddings,
                   .skeleton.embedding_scale = a->scale_emb,
                   .skeleton.logit_scale = (double)a->dim_model_base / (double)a->hidden_size,
                   .residual_scale = a->scale_depth / sqrt((double)a->num_hidden_layers),
                   .interleaved = a->rope_traditional,
               });
}

/* The first releases have no head and do not say that they are tied; mlx-lm's head is the embedding then. */
static void sanitize(struct tare_weights *w, const void *args)
{
    const struct args *a = args;
    if (!a->tie_word_embeddings && !tare_find(w, "lm_head.weight"))
        tare_copy(w, "model.embed_tokens.weight", "lm_head.weight");
}

const struct tare_arch tare_arch_minicpm = {
    .name = "minicpm",
    .args = &args_info,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
