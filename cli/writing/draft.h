/* SPDX-License-Identifier: MIT
 * draft.h - the smaller model that --draft names, and whose guesses the model checks. */
#ifndef TARE_CLI_DRAFT_H
#define TARE_CLI_DRAFT_H

#include "source.h"
#include "writing/sampling.h"

struct cli_draft {
    struct cli_source source;
    tare_model *model;
    tare_session *session;
    /* Of both models: they work in turns. NULL without --draft MODEL. */
    tare_threads *threads;
};

/* Opens the model that --draft names, if it names one, and puts its session into the options of the generation.
 *
 *   tokenizer  of the model that writes; the smaller one must have the same tokens
 *   context    tokens of the text, or 0
 *   threads    --threads
 */
enum tare_code cli_draft_open(struct cli_draft *draft, struct cli_generation *generation,
                              const tare_tokenizer *tokenizer, int64_t context, int threads, struct tare_error *err);
void cli_draft_close(struct cli_draft *draft);

#endif
