/* SPDX-License-Identifier: MIT
 * draft.c - the smaller model that --draft names. */
#include "writing/draft.h"

#include <stdio.h>
#include <string.h>

#include "print.h"
#include "report.h"

/* Guesses are ids, so what is an id of one model must be the same token of the other. One of them may have more. */
static enum tare_code compare_tokens(const char *name, const tare_tokenizer *small, const tare_tokenizer *large,
                                     struct tare_error *err)
{
    const int64_t a = tare_tokenizer_size(small), b = tare_tokenizer_size(large), n = a < b ? a : b;
    for (int64_t id = 0; id < n; id++) {
        const char *text[2] = {"", ""};
        size_t size[2] = {0, 0};
        tare_tokenizer_token(small, (int32_t)id, &text[0], &size[0], NULL, NULL);
        tare_tokenizer_token(large, (int32_t)id, &text[1], &size[1], NULL, NULL);
        if (size[0] == size[1] && memcmp(text[0], text[1], size[0]) == 0)
            continue;
        *err = (struct tare_error){.code = TARE_E_ARGUMENT};
        snprintf(err->where, sizeof err->where, "%s", name);
        snprintf(err->text, sizeof err->text,
                 "token %lld is another one than the model's, so its guesses would mean nothing: --draft takes a "
                 "model with the same tokenizer",
                 (long long)id);
        return err->code;
    }
    return TARE_OK;
}

static enum tare_code open_model(struct cli_draft *draft, const char *name, const tare_tokenizer *tokenizer,
                                 struct tare_error *err)
{
    tare_tokenizer *own = NULL;
    enum tare_code code = cli_source_plan(&draft->source, &draft->model, err);
    if (code)
        return code;
    cli_report_warn(draft->model);
    code = tare_tokenizer_open(&own, draft->source.path, &draft->source.options, err);
    code = code ? code : compare_tokens(name, own, tokenizer, err);
    tare_tokenizer_free(own);
    return code;
}

enum tare_code cli_draft_open(struct cli_draft *draft, struct cli_generation *generation,
                              const tare_tokenizer *tokenizer, int64_t context, int threads, struct tare_error *err)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    enum tare_code code;
    memset(draft, 0, sizeof *draft);
    if (generation->options.draft != TARE_DRAFT_MODEL)
        return TARE_OK;
    if ((code = tare_threads_open(&draft->threads, threads, err)) ||
        (code = cli_source_find(&draft->source, generation->drafter, err)))
        return code;
    draft->source.options.pool = draft->threads;
    code = open_model(draft, generation->drafter, tokenizer, err);
    options.context = context;
    options.pool = draft->threads;
    options.cancel = &cli_interrupted;
    code = code ? code : tare_session_open(&draft->session, draft->model, &options, err);
    generation->options.drafter = draft->session;
    return code;
}

void cli_draft_close(struct cli_draft *draft)
{
    tare_session_free(draft->session);
    tare_model_free(draft->model);
    tare_threads_free(draft->threads);
}
