/* SPDX-License-Identifier: MIT
 * sentencepiece.h - what a tokenizer.model does to a text before its pieces are looked for. */
#ifndef TARE_TEXT_SENTENCEPIECE_H
#define TARE_TEXT_SENTENCEPIECE_H

#include "text/tokenizer.h"

/* step->mode */
enum {
    TARE_SPACE_BEFORE = 1, /* a space goes in front of the text (add_dummy_prefix) */
    TARE_SPACE_BEHIND = 2, /* or after it (treat_whitespace_as_suffix) */
    TARE_SPACE_ONCE = 4,   /* runs of spaces become one, those at the ends none (remove_extra_whitespaces) */
    TARE_SPACE_MARKED = 8  /* spaces become U+2581 (escape_whitespaces) */
};
/*
 * The one normalizer of a tokenizer.model. charsmap: as in the file, borrowed, may be empty; kept: texts that stay as
 * they are, borrowed. where: the file, for errors.
 */
enum tare_code tare_sentencepiece_normalizer(struct tare_text_step *step, struct tare_slice charsmap, int mode,
                                             const struct tare_added_set *kept, const char *where,
                                             struct tare_error *err);

#endif
