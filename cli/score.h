/* SPDX-License-Identifier: MIT
 * score.h - how well a model predicts a text, and how far another way of computing, or another model, is from it.
 */
#ifndef CLI_SCORE_H
#define CLI_SCORE_H

#include "source.h"

#define CLI_SCORE_TEXT ((size_t)1 << 30) /* bytes of the largest text */
#define CLI_SCORE_PATHS 2

/* One way of computing. All paths score the same windows. */
struct cli_score_path {
    /* Set by the caller. The first path is judged; the second, where there is one, is what it is compared with. */
    tare_model *model;
    bool exact;
    int kv_bits;
    /* Of cli_score_text(). */
    tare_session *session;
    /* (rows, columns). */
    float *logits;
    /* The sums of -ln p and of its square, over the scored ids. */
    double sum;
    double squares;
};

struct cli_score {
    /* Set by the caller; context 0: the model's own. */
    int threads;
    struct cli_score_path paths[CLI_SCORE_PATHS];
    int n_paths;
    int64_t context;
    /* Of cli_score_text(). */
    tare_tokenizer *tokenizer;
    int32_t *ids;
    size_t n;
    int64_t windows;
    size_t rows, columns;
    /* The sum of KL(second path, first path). */
    double divergence;
    /* How many ids were scored, and for how many of them both paths have the same best id. */
    uint64_t scored;
    uint64_t same_best;
    double seconds;
};

struct cli_figures {
    /* The mean of -ln p. */
    double nats;
    /* exp(nats). */
    double perplexity;
    /* One standard error of perplexity. */
    double error;
};

/* Scores a text, tokenized as a prompt of `source` is, with a bar on stderr. cli_score_free() also after a failure. */
enum tare_code cli_score_text(struct cli_score *score, const struct cli_source *source, const char *text, size_t size,
                              struct tare_error *err);
struct cli_figures cli_score_figures(const struct cli_score *score, int path);
void cli_score_free(struct cli_score *score);

#endif
