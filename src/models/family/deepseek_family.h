/* SPDX-License-Identifier: MIT
 * deepseek_family.h - the DeepSeek family: latent attention in each layer, a dense feed-forward network in the first
 * layers, and routed experts beside shared ones in the others. */
#ifndef TARE_MODELS_FAMILY_DEEPSEEK_FAMILY_H
#define TARE_MODELS_FAMILY_DEEPSEEK_FAMILY_H

#include "models/family/config_words.h"
#include "models/family/mla_family.h"
#include "models/model.h"

/* The args that deepseek_v2 and its successors have in common, with mlx-lm's defaults. */
#define TARE_DEEPSEEK_ARGS(ARG)                                                                                        \
    ARG(INT, vocab_size, 102400)                                                                                       \
    ARG(INT, hidden_size, 4096)                                                                                        \
    ARG(INT, intermediate_size, 11008)                                                                                 \
    ARG(INT, moe_intermediate_size, 1407)                                                                              \
    ARG(INT, num_hidden_layers, 30)                                                                                    \
    ARG(INT, num_attention_heads, 32)                                                                                  \
    ARG(INT, num_key_value_heads, 32)                                                                                  \
    ARG(INT, n_shared_experts, ABSENT)                                                                                 \
    ARG(INT, n_routed_experts, ABSENT)                                                                                 \
    ARG(REAL, routed_scaling_factor, 1)                                                                                \
    ARG(INT, kv_lora_rank, 512)                                                                                        \
    ARG(INT, q_lora_rank, 1536)                                                                                        \
    ARG(INT, qk_rope_head_dim, 64)                                                                                     \
    ARG(INT, v_head_dim, 128)                                                                                          \
    ARG(INT, qk_nope_head_dim, 128)                                                                                    \
    ARG(INT, moe_layer_freq, 1)                                                                                        \
    ARG(INT, first_k_dense_replace, 0)                                                                                 \
    ARG(INT, max_position_embeddings, 2048)                                                                            \
    ARG(REAL, rms_norm_eps, 1e-6)                                                                                      \
    ARG(REAL, rope_theta, 10000)                                                                                       \
    ARG(JSON, rope_scaling, ABSENT)                                                                                    \
    ARG(JSON, rope_parameters, ABSENT)                                                                                 \
    ARG(FLAG, attention_bias, false)

/* The args of the router since deepseek_v3. */
#define TARE_DEEPSEEK_ROUTER_ARGS(ARG)                                                                                 \
    ARG(TEXT, topk_method, noaux_tc)                                                                                   \
    ARG(TEXT, scoring_func, sigmoid)                                                                                   \
    ARG(FLAG, norm_topk_prob, true)                                                                                    \
    ARG(INT, n_group, 1)                                                                                               \
    ARG(INT, topk_group, 1)                                                                                            \
    ARG(INT, num_experts_per_tok, 1)

enum { TARE_PREDICTS_ALL = -1 }; /* a value of tare_deepseek_desc.predicts */

struct tare_deepseek_desc {
    int64_t dim, vocabulary, n_layers, context;
    double eps;
    double embedding_scale, logit_scale;
    double residual_scale; /* 0: 1 */

    struct tare_mla_desc attention; /* without rotary and scale */
    double theta;
    const json_t *scaling; /* rope_scaling or rope_parameters; NULL: none */
    bool halves;           /* rotates halves of dimensions, not pairs */

    int64_t hidden; /* of a dense network */
    bool mlp_bias;  /* a dense network has biases */

    int64_t experts;               /* below 1: every layer is dense */
    int64_t shared, expert_hidden; /* shared experts, one network as wide as all of them; below 1: none */
    struct tare_router router;     /* without n */
    bool router_linear;            /* mlp.gate is a linear, which may be packed */
    bool selection_bias;           /* there is mlp.gate.e_score_correction_bias */
    /* Routed are the layers from first_routed on whose number the frequency divides. */
    int64_t first_routed, frequency;
    /* transformers' mlp_layer_types names each layer instead: it is "dense", or routed. NULL: as above. */
    const json_t *kinds;

    /* self_attn.indexer, which chooses index_top keys for sparse attention. Heads below 1: there is none. */
    int64_t index_heads, index_dim, index_top;
    bool index_halves; /* rotates halves of dimensions, not pairs */
    /* One layer in index_every has an indexer, and so do all of the first index_skip layers. index_every below 2: all.
     */
    int64_t index_every, index_skip;
    /* transformers' indexer_types names each layer instead: a "shared" one has no indexer. NULL: as above. */
    const json_t *indexers;

    /* Published layers past the last one, which predict further tokens and are set aside: their number, or all. */
    int64_t predicts;
    bool frequencies_stored; /* published with rotary_emb.inv_freq, which is set aside as in mlx-lm */
    bool activation_scales;  /* published with scales of activations, which nothing here uses */
    enum tare_head_kind head;
    bool tied;
};

/* The fields that args of the usual names give. */
#define TARE_DEEPSEEK_DENSE(a, norm_eps)                                                                               \
    .dim = (a)->hidden_size, .vocabulary = (a)->vocab_size, .n_layers = (a)->num_hidden_layers,                        \
    .context = (a)->max_position_embeddings, .hidden = (a)->intermediate_size, .eps = (a)->rms_norm_eps,               \
    .attention = TARE_MLA(a, norm_eps), .theta = (a)->rope_theta,                                                      \
    .scaling = (a)->rope_scaling ? (a)->rope_scaling : (a)->rope_parameters
/* The router since deepseek_v3. The weight of a single expert is not normalized, as that would make it 1. */
#define TARE_DEEPSEEK_ROUTER(a)                                                                                        \
    .router = {.top = (a)->num_experts_per_tok,                                                                        \
               .score = TARE_SCORE_SIGMOID,                                                                            \
               .normalize = (a)->norm_topk_prob && (a)->num_experts_per_tok > 1,                                       \
               .scale = (a)->routed_scaling_factor,                                                                    \
               .groups = (a)->n_group,                                                                                 \
               .top_groups = (a)->topk_group}
#define TARE_DEEPSEEK_ROUTED(a)                                                                                        \
    .experts = (a)->n_routed_experts, .shared = (a)->n_shared_experts, .expert_hidden = (a)->moe_intermediate_size,    \
    .first_routed = (a)->first_k_dense_replace

/* Declares the decoder below root, and describes it in d. */
void tare_deepseek(struct tare_at root, struct tare_decoder *d, const struct tare_deepseek_desc *desc);

/* Sets layers of multi-token prediction aside, stacks experts, and cuts kv_b_proj by heads unless it is kept whole. */
void tare_deepseek_rewrite(struct tare_weights *w, const struct tare_deepseek_desc *desc);

/* Is called by derive. With routed layers it refuses a frequency of 0, and a topk_method (if not NULL) other than
 * noaux_tc. Lists of layers must have one word for each. */
enum tare_code tare_deepseek_check(const struct tare_deepseek_desc *desc, const char *topk_method,
                                   const struct tare_derive *d);

#endif
