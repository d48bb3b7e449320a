/* SPDX-License-Identifier: MIT
 * normalize.c - the normalizers of tokenizer.json. Each reads a text and writes a new one; normal->front_lost
 * records whether the front of the text was dropped, because a text without its front no longer counts as the
 * first piece. */
#include <stdlib.h>
#include <string.h>

#include "text/charsmap.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

typedef enum tare_code (*run_fn)(const struct tare_text_step *step, const char *text, size_t size,
                                 struct tare_normal *normal, struct tare_text *out, struct tare_error *err);

/* ---- ByteLevel's alphabet: printable Latin-1 stands for itself, other bytes for U+0100 and on -------------------- */

/* The bytes that print nothing are 0 to 32, 127 to 160 and 173; they are numbered from U+0100 on, in this order. */
static uint32_t byte_level(unsigned char byte)
{
    if (byte < 33)
        return 0x100u + byte;
    if (byte >= 127 && byte <= 160)
        return 0x121u + byte - 127u;
    return byte == 173 ? 0x143u : byte;
}

int tare_byte_level_back(uint32_t c)
{
    if (c >= 0x100 && c <= 0x120)
        return (int)c - 0x100;
    if (c >= 0x121 && c <= 0x142)
        return (int)c - 0x121 + 127;
    if (c == 0x143)
        return 173;
    return c < 256 && byte_level((unsigned char)c) == c ? (int)c : -1;
}

void tare_byte_level_add(struct tare_text *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char bytes[4];
        tare_text_add(out, bytes, tare_utf8_put(bytes, byte_level((unsigned char)text[i])));
    }
}

/* ---- the normalizers --------------------------------------------------------------------------------------------- */

static enum tare_code open_nfc(struct tare_text_step *step, const struct tare_step_source *source)
{
    (void)source;
    step->mode = TARE_NFC;
    return TARE_OK;
}

static enum tare_code open_nfd(struct tare_text_step *step, const struct tare_step_source *source)
{
    (void)source;
    step->mode = TARE_NFD;
    return TARE_OK;
}

static enum tare_code open_nfkc(struct tare_text_step *step, const struct tare_step_source *source)
{
    (void)source;
    step->mode = TARE_NFKC;
    return TARE_OK;
}

static enum tare_code open_nfkd(struct tare_text_step *step, const struct tare_step_source *source)
{
    (void)source;
    step->mode = TARE_NFKD;
    return TARE_OK;
}

static enum tare_code run_form(const struct tare_text_step *step, const char *text, size_t size,
                               struct tare_normal *normal, struct tare_text *out, struct tare_error *err)
{
    return tare_normal_form((enum tare_unicode_form)step->mode, text, size, normal, out, err);
}

/* Writes the lower case of a character, which is two characters for U+0130 only. */
static void add_lower(struct tare_text *out, uint32_t c)
{
    uint32_t lower[2];
    char written[4];
    const size_t n = tare_unicode_lowercase(c, lower);
    for (size_t k = 0; k < n; k++)
        tare_text_add(out, written, tare_utf8_put(written, lower[k]));
}

static enum tare_code run_lowercase(const struct tare_text_step *step, const char *text, size_t size,
                                    struct tare_normal *normal, struct tare_text *out, struct tare_error *err)
{
    (void)step, (void)normal, (void)err;
    for (size_t i = 0, bytes; i < size; i += bytes)
        add_lower(out, tare_utf8_get(text + i, &bytes));
    return TARE_OK;
}

static enum tare_code open_strip(struct tare_text_step *step, const struct tare_step_source *source)
{
    const enum tare_code code = tare_source_flag(source, "strip_left", NULL, &step->flag);
    return code ? code : tare_source_flag(source, "strip_right", NULL, &step->other);
}

/* Removes white space from the front (flag) and from the end (other). */
static enum tare_code run_strip(const struct tare_text_step *step, const char *text, size_t size,
                                struct tare_normal *normal, struct tare_text *out, struct tare_error *err)
{
    (void)err;
    size_t start = 0, end = size, bytes;
    while (step->flag && start < end && tare_unicode_in(white, tare_utf8_get(text + start, &bytes)))
        start += bytes;
    while (step->other && end > start) {
        size_t back = end - 1;
        while (((unsigned char)text[back] & 0xc0) == 0x80)
            back--;
        if (!tare_unicode_in(white, tare_utf8_get(text + back, &bytes)))
            break;
        end = back;
    }
    normal->front_lost = normal->front_lost || start;
    tare_text_add(out, text + start, end - start);
    return TARE_OK;
}

static enum tare_code run_accents(const struct tare_text_step *step, const char *text, size_t size,
                                  struct tare_normal *normal, struct tare_text *out, struct tare_error *err)
{
    (void)step, (void)err;
    for (size_t i = 0, bytes; i < size; i += bytes)
        if (!tare_unicode_in(accents, tare_utf8_get(text + i, &bytes)))
            tare_text_add(out, text + i, bytes);
        else
            normal->front_lost = normal->front_lost || !i;
    return TARE_OK;
}

static enum tare_code run_nmt(const struct tare_text_step *step, const char *text, size_t size,
                              struct tare_normal *normal, struct tare_text *out, struct tare_error *err)
{
    (void)step, (void)err;
    for (size_t i = 0, bytes; i < size; i += bytes) {
        const uint32_t c = tare_utf8_get(text + i, &bytes);
        if (tare_unicode_in(nmt_space, c))
            tare_text_add(out, " ", 1);
        else if (!tare_unicode_in(nmt_dropped, c))
            tare_text_add(out, text + i, bytes);
        else
            normal->front_lost = normal->front_lost || !i;
    }
    return TARE_OK;
}

static enum tare_code open_prepend(struct tare_text_step *step, const struct tare_step_source *source)
{
    return tare_source_text(source, "prepend", &step->content);
}

static enum tare_code run_prepend(const struct tare_text_step *step, const char *text, size_t size,
                                  struct tare_normal *normal, struct tare_text *out, struct tare_error *err)
{
    (void)normal, (void)err;
    if (size)
        tare_text_add(out, step->content.text, step->content.size);
    tare_text_add(out, text, size);
    return TARE_OK;
}

static enum tare_code open_replace(struct tare_text_step *step, const struct tare_step_source *source)
{
    const enum tare_code code = tare_source_text(source, "content", &step->content);
    return code ? code : tare_source_pattern(source, step);
}

/* Only a replacement by nothing can drop the front, so the first match is looked for in that case alone. */
static enum tare_code run_replace(const struct tare_text_step *step, const char *text, size_t size,
                                  struct tare_normal *normal, struct tare_text *out, struct tare_error *err)
{
    bool found = false;
    size_t start = 1, end = 0;
    enum tare_code code = TARE_OK;
    /* Does a match at the front become nothing? */
    if (!step->content.size && size)
        code = tare_step_start(step, &normal->matcher, text, size, err);
    if (!step->content.size && size && !code)
        code = tare_step_next(step, &normal->matcher, &found, &start, &end, err);
    normal->front_lost = normal->front_lost || (found && !start && end);
    return code ? code : tare_step_replace(step, &normal->matcher, text, size, out, err);
}

static enum tare_code run_byte_level(const struct tare_text_step *step, const char *text, size_t size,
                                     struct tare_normal *normal, struct tare_text *out, struct tare_error *err)
{
    (void)step, (void)normal, (void)err;
    tare_byte_level_add(out, text, size);
    return TARE_OK;
}

/* The parts of BertNormalizer, in the order in which they are done. */
enum bert { BERT_CLEAN = 1, BERT_CHINESE = 2, BERT_ACCENTS = 4, BERT_LOWER = 8 };

static enum tare_code open_bert(struct tare_text_step *step, const struct tare_step_source *source)
{
    bool clean = true, chinese = true, lower = true, accents = true;
    const bool yes = true;
    const json_t *strip = json_object_get(source->json, "strip_accents");
    enum tare_code code = tare_source_flag(source, "clean_text", &yes, &clean);
    if (!code)
        code = tare_source_flag(source, "handle_chinese_chars", &yes, &chinese);
    if (!code)
        code = tare_source_flag(source, "lowercase", &yes, &lower);
    /* When strip_accents is null, accents are removed if letters are lowered. */
    accents = lower;
    if (!code && strip && !json_is_null(strip))
        code = tare_source_flag(source, "strip_accents", &yes, &accents);
    step->mode = (clean ? BERT_CLEAN : 0) | (chinese ? BERT_CHINESE : 0) | (accents ? BERT_ACCENTS : 0) |
                 (lower ? BERT_LOWER : 0);
    return code;
}

/* Removes control characters, makes every white space a space, and sets Chinese characters apart by spaces. Returns
 * whether the front was dropped. */
static bool bert_clean(int mode, const char *text, size_t size, struct tare_text *out)
{
    bool lost = false;
    for (size_t i = 0, bytes; i < size; i += bytes) {
        const uint32_t c = tare_utf8_get(text + i, &bytes);
        if (c >= 0x20 && c < 0x7f)
            tare_text_add(out, text + i, 1);
        else if (mode & BERT_CLEAN && tare_unicode_in(bert_dropped, c))
            lost = lost || !i;
        else if (mode & BERT_CLEAN && tare_unicode_in(bert_space, c))
            tare_text_add(out, " ", 1);
        else if (mode & BERT_CHINESE && tare_unicode_in(bert_chinese, c)) {
            tare_text_add(out, " ", 1);
            tare_text_add(out, text + i, bytes);
            tare_text_add(out, " ", 1);
        } else
            tare_text_add(out, text + i, bytes);
    }
    return lost;
}

static enum tare_code run_bert(const struct tare_text_step *step, const char *text, size_t size,
                               struct tare_normal *normal, struct tare_text *out, struct tare_error *err)
{
    struct tare_text *clean = &normal->work[0], *decomposed = &normal->work[1];
    clean->size = decomposed->size = 0;
    tare_text_puts(clean, "");
    tare_text_puts(decomposed, "");
    normal->front_lost = bert_clean(step->mode, text, size, clean) || normal->front_lost;
    enum tare_code code = tare_text_limit(clean, err);
    if (!code && step->mode & BERT_ACCENTS)
        code = tare_normal_form(TARE_NFD, clean->data, clean->size, normal, decomposed, err);
    if (!code)
        code = tare_text_limit(decomposed, err);
    if (code)
        return code;
    const struct tare_text *from = step->mode & BERT_ACCENTS ? decomposed : clean;
    for (size_t i = 0, bytes; i < from->size; i += bytes) {
        const uint32_t c = tare_utf8_get(from->data + i, &bytes);
        if (step->mode & BERT_ACCENTS && c >= 0x80 && tare_unicode_in(bert_accents, c)) {
            normal->front_lost = normal->front_lost || !i;
            continue;
        }
        if (step->mode & BERT_LOWER)
            add_lower(out, c);
        else
            tare_text_add(out, from->data + i, bytes);
    }
    return TARE_OK;
}

#define RUN(f) (void (*)(void)) f
static const struct tare_step_type types[] = {
    {"NFC", open_nfc, RUN(run_form)},
    {"NFD", open_nfd, RUN(run_form)},
    {"NFKC", open_nfkc, RUN(run_form)},
    {"NFKD", open_nfkd, RUN(run_form)},
    {"Lowercase", NULL, RUN(run_lowercase)},
    {"Strip", open_strip, RUN(run_strip)},
    {"StripAccents", NULL, RUN(run_accents)},
    {"Nmt", NULL, RUN(run_nmt)},
    {"Prepend", open_prepend, RUN(run_prepend)},
    {"Replace", open_replace, RUN(run_replace)},
    {"ByteLevel", NULL, RUN(run_byte_level)},
    {"BertNormalizer", open_bert, RUN(run_bert)},
    {"Precompiled", tare_charsmap_open, RUN(tare_charsmap_run)},
    {NULL, NULL, NULL},
};

enum tare_code tare_normalizers_read(struct tare_steps *steps, const struct tare_step_source *source)
{
    return tare_steps_read(steps, types, "normalizers", source);
}

enum tare_code tare_normalize(const struct tare_steps *steps, struct tare_normal *normal, const char *text, size_t size,
                              const char **out, size_t *out_size, struct tare_error *err)
{
    normal->front_lost = false;
    for (size_t i = 0; i < steps->n; i++) {
        struct tare_text *to = &normal->text[i % 2];
        to->size = 0;
        tare_text_puts(to, "");
        const run_fn run = (run_fn)((const struct tare_step_type *)steps->items[i].kind)->run;
        enum tare_code code = run(&steps->items[i], text, size, normal, to, err);
        code = code ? code : tare_text_limit(to, err);
        if (code)
            return code;
        text = to->data;
        size = to->size;
    }
    *out = text;
    *out_size = size;
    return TARE_OK;
}

void tare_normal_release(struct tare_normal *normal)
{
    tare_text_release(&normal->text[0]);
    tare_text_release(&normal->text[1]);
    tare_text_release(&normal->work[0]);
    tare_text_release(&normal->work[1]);
    tare_matcher_release(&normal->matcher);
    free(normal->points);
    *normal = (struct tare_normal){0};
}
