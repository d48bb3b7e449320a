/* SPDX-License-Identifier: MIT
 * sentencepiece_normal.c - SentencePiece's normalizer: replacements by a table, then what becomes of spaces.
 * Source: sentencepiece 0.2, normalizer.cc. */
#include "text/sentencepiece/sentencepiece.h"

#include <string.h>

#include "text/charsmap.h"
#include "text/unicode.h"

/* U+2581, which stands for a space. */
static const char mark[] = "\xe2\x96\x81";

/* Returns the size of the head of a text and stores what it becomes: a kept text stays, the longest key of the table
 * is replaced, and any other character stays. */
static size_t head_of(const struct tare_text_step *step, const char *text, size_t size, struct tare_slice *becomes)
{
    size_t n = tare_added_longest(step->kept, text, size);
    if (!n && (n = tare_charsmap_longest(step, text, size, becomes)))
        return n;
    if (!n)
        n = tare_utf8_size(text[0]);
    *becomes = (struct tare_slice){text, (uint32_t)n};
    return n;
}

static void add_space(const struct tare_text_step *step, struct tare_text *out)
{
    tare_text_puts(out, step->mode & TARE_SPACE_MARKED ? mark : " ");
}

/* Writes what a head became. *after_space says that a space came before, so that leading ones are left out; a head of
 * which nothing is left does not change it. */
static void add_head(const struct tare_text_step *step, struct tare_slice head, bool *after_space,
                     struct tare_text *out)
{
    while (*after_space && head.size && head.text[0] == ' ')
        head = (struct tare_slice){head.text + 1, head.size - 1};
    if (head.size)
        *after_space = step->mode & TARE_SPACE_ONCE && head.text[head.size - 1] == ' ';
    for (uint32_t i = 0, run; i < head.size; i = run + 1) {
        const char *space = memchr(head.text + i, ' ', head.size - i);
        run = space ? (uint32_t)(space - head.text) : head.size;
        tare_text_add(out, head.text + i, run - i);
        if (space)
            add_space(step, out);
    }
}

static void strip_end(const struct tare_text_step *step, struct tare_text *out)
{
    const char *space = step->mode & TARE_SPACE_MARKED ? mark : " ";
    const size_t n = strlen(space);
    while (out->size >= n && !memcmp(out->data + out->size - n, space, n))
        out->size -= n;
}

/* With TARE_SPACE_ONCE spaces at the front are skipped, inner runs become one space, and the end is stripped. A text
 * of spaces only becomes empty. */
static enum tare_code run(const struct tare_text_step *step, const char *text, size_t size, struct tare_normal *normal,
                          struct tare_text *out, struct tare_error *err)
{
    (void)normal, (void)err;
    const bool once = step->mode & TARE_SPACE_ONCE;
    bool after_space = once;
    struct tare_slice head;
    size_t at = 0, n;
    for (; once && at < size; at += n) {
        n = head_of(step, text + at, size - at, &head);
        if (head.size != 1 || head.text[0] != ' ')
            break;
    }
    if (at == size)
        return TARE_OK;
    if (step->mode & TARE_SPACE_BEFORE)
        add_space(step, out);
    for (; at < size; at += n) {
        n = head_of(step, text + at, size - at, &head);
        add_head(step, head, &after_space, out);
    }
    if (once)
        strip_end(step, out);
    if (step->mode & TARE_SPACE_BEHIND)
        add_space(step, out);
    return TARE_OK;
}

enum tare_code tare_sentencepiece_normalizer(struct tare_text_step *step, struct tare_slice charsmap, int mode,
                                             const struct tare_added_set *kept, const char *where,
                                             struct tare_error *err)
{
    static const struct tare_step_type kind = {"SentencePiece", NULL, (void (*)(void))run};
    *step = (struct tare_text_step){.kind = &kind, .mode = mode, .kept = kept};
    return charsmap.size ? tare_charsmap_split(step, charsmap, where, err) : TARE_OK;
}
