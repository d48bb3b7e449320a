/* SPDX-License-Identifier: MIT
 * charsmap.h - the normalizer Precompiled; for normalize.c. */
#ifndef TARE_TEXT_CHARSMAP_H
#define TARE_TEXT_CHARSMAP_H

#include "text/tokenizer.h"

enum tare_code tare_charsmap_open(struct tare_text_step *step, const struct tare_step_source *source);
enum tare_code tare_charsmap_run(const struct tare_text_step *step, const char *text, size_t size,
                                 struct tare_normal *normal, struct tare_text *out, struct tare_error *err);
/* Take the table's bytes, which are borrowed, into step. */
enum tare_code tare_charsmap_split(struct tare_text_step *step, struct tare_slice bytes, const char *where,
                                   struct tare_error *err);
/* The longest key that text begins with, as SentencePiece itself looks it up: its size, 0 where there is none. */
size_t tare_charsmap_longest(const struct tare_text_step *step, const char *text, size_t size, struct tare_slice *with);

#endif
