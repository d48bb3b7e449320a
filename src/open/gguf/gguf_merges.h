/* SPDX-License-Identifier: MIT
 * gguf_merges.h - SentencePiece's pieces and scores as the merges of a BPE. Within open/ only. */
#ifndef TARE_OPEN_GGUF_GGUF_MERGES_H
#define TARE_OPEN_GGUF_GGUF_MERGES_H

#include "open/gguf/gguf.h"

/* "merges": [..] of the model in tokenizer.json, into out. False: no memory. */
bool tare_gguf_merges(const struct tare_gguf_value *tokens, const struct tare_gguf_value *types,
                      const struct tare_gguf_value *scores, struct tare_text *out);

#endif
