/* SPDX-License-Identifier: MIT
 * pretokenize.c - the pre-tokenizers, which cut a text into words. Each cuts a piece and hands the parts on to the
 * next step at once, so that only one piece of each step is in memory at a time. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"
#include "text/unicode.h"

/* What becomes of a match of the pattern: it is dropped, is a part of its own, joins the part before or after it, or
 * joins the matches next to it. */
enum behavior { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };

typedef enum tare_code (*run_fn)(struct tare_encoder *encoder, size_t number, const struct tare_text_step *step,
                                 struct tare_text_piece piece);

/* ---- cutting ----------------------------------------------------------------------------------------------------- */

/* Receives matches and what lies between them, in order, and hands on the parts that the behavior makes of them. */
struct cutter {
    struct tare_encoder *encoder;
    /* The number of the step that cuts; its parts go to step number + 1. */
    size_t number;
    struct tare_text_piece piece;
    enum behavior behavior;
    /* Parts are handed on in ByteLevel's alphabet. */
    bool map_bytes;
    /* A part text[start .. end) waits, because it may still grow; held_match says whether it ends with a match. */
    bool held;
    bool held_match;
    size_t start, end;
};

/* Gives a part to the next step. It is the first one of the text only if its piece is and it begins there. */
static enum tare_code hand_on(struct cutter *cutter, size_t start, size_t end)
{
    struct tare_text_piece part = {cutter->piece.text + start, end - start, cutter->piece.first && !start};
    if (start == end)
        return TARE_OK;
    if (cutter->map_bytes) {
        struct tare_text *out = &cutter->encoder->work[cutter->number].out;
        out->size = 0;
        tare_byte_level_add(out, part.text, part.size);
        const enum tare_code code = tare_text_limit(out, cutter->encoder->err);
        if (code)
            return code;
        part.text = out->data;
        part.size = out->size;
    }
    return tare_pre_tokenize(cutter->encoder, cutter->number + 1, part);
}

static enum tare_code cut_end(struct cutter *cutter)
{
    if (!cutter->held)
        return TARE_OK;
    cutter->held = false;
    return hand_on(cutter, cutter->start, cutter->end);
}

/* Takes the next stretch of the piece, a match or what lies between two. It either extends the part that is held or,
 * after that part was handed on, becomes the held part itself. */
static enum tare_code cut(struct cutter *cutter, size_t start, size_t end, bool match)
{
    bool grows = false; /* Does this stretch extend the part that is held? */
    switch (cutter->behavior) {
    case REMOVED:
        return match ? TARE_OK : hand_on(cutter, start, end);
    case ISOLATED:
        return hand_on(cutter, start, end);
    case CONTIGUOUS:
        grows = match == cutter->held_match;
        break;
    case MERGED_WITH_PREVIOUS:
        grows = match && !cutter->held_match;
        break;
    case MERGED_WITH_NEXT:
        grows = !match && cutter->held_match;
        break;
    }
    if (cutter->held && grows) {
        cutter->end = end;
        cutter->held_match = match;
        return TARE_OK;
    }
    const enum tare_code code = cut_end(cutter);
    cutter->held = true;
    cutter->held_match = match;
    cutter->start = start;
    cutter->end = end;
    return code;
}

/* Cuts a piece at the matches of the step's pattern. With `invert`, what lies between the matches counts as the
 * match. */
static enum tare_code cut_pattern(struct cutter *cutter, const struct tare_text_step *step, bool invert)
{
    struct tare_matcher *matcher = &cutter->encoder->work[cutter->number].matcher;
    struct tare_error *err = cutter->encoder->err;
    size_t from = 0, start, end;
    bool found = false;
    if (!cutter->piece.size)
        return TARE_OK;
    enum tare_code code = tare_step_start(step, matcher, cutter->piece.text, cutter->piece.size, err);
    while (!code) {
        code = tare_step_next(step, matcher, &found, &start, &end, err);
        if (code || !found)
            break;
        if (from < start)
            code = cut(cutter, from, start, invert);
        if (!code)
            code = cut(cutter, start, end, !invert);
        from = end;
    }
    if (!code && from < cutter->piece.size)
        code = cut(cutter, from, cutter->piece.size, invert);
    return code ? code : cut_end(cutter);
}

/* Cuts a piece at the characters of a set; each of them is a match. */
static enum tare_code cut_set(struct cutter *cutter, const uint32_t *pairs, size_t count)
{
    size_t from = 0;
    enum tare_code code = TARE_OK;
    for (size_t i = 0, bytes; i < cutter->piece.size && !code; i += bytes) {
        if (!tare_unicode_within(pairs, count, tare_utf8_get(cutter->piece.text + i, &bytes)))
            continue;
        if (from < i)
            code = cut(cutter, from, i, false);
        if (!code)
            code = cut(cutter, i, i + bytes, true);
        from = i + bytes;
    }
    if (!code && from < cutter->piece.size)
        code = cut(cutter, from, cutter->piece.size, false);
    return code ? code : cut_end(cutter);
}
#define CUT_SET(cutter, name) cut_set(cutter, tare_unicode_##name, tare_unicode_##name##_count)

static enum tare_code read_behavior(struct tare_text_step *step, const struct tare_step_source *source, int fallback)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    struct tare_slice name;
    step->mode = fallback;
    if (fallback >= 0 && !json_object_get(source->json, "behavior"))
        return TARE_OK;
    const enum tare_code code = tare_source_text(source, "behavior", &name);
    if (code)
        return code;
    for (int i = 0; i < (int)(sizeof names / sizeof names[0]); i++)
        if (!strcmp(names[i], name.text)) {
            step->mode = i;
            return TARE_OK;
        }
    return tare_fail(source->err, TARE_E_UNKNOWN, source->where,
                     "the behavior \"%.64s\" is not known to this version of tare", name.text);
}

/* Puts a prefix before the piece; the new text belongs to the step. */
static bool prefixed(struct tare_step_work *work, struct tare_text_piece *piece, const char *prefix, size_t size)
{
    work->text.size = 0;
    tare_text_add(&work->text, prefix, size);
    tare_text_add(&work->text, piece->text, piece->size);
    piece->text = work->text.data;
    piece->size = work->text.size;
    return !work->text.failed;
}

/* ---- the pre-tokenizers ------------------------------------------------------------------------------------------ */

/* The pattern is GPT-2's. */
static enum tare_code open_byte_level(struct tare_text_step *step, const struct tare_step_source *source)
{
    static const char words[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    const bool yes = true;
    enum tare_code code = tare_source_flag(source, "add_prefix_space", NULL, &step->flag);
    if (!code)
        code = tare_source_flag(source, "use_regex", &yes, &step->other);
    if (!code && step->other)
        code = tare_regex_open(&step->regex, words, sizeof words - 1, source->where, source->err);
    return code;
}

static enum tare_code run_byte_level(struct tare_encoder *encoder, size_t number, const struct tare_text_step *step,
                                     struct tare_text_piece piece)
{
    if (step->flag && (!piece.size || piece.text[0] != ' ') && !prefixed(&encoder->work[number], &piece, " ", 1))
        return tare_fail_memory(encoder->err);
    struct cutter cutter = {
        .encoder = encoder, .number = number, .piece = piece, .behavior = ISOLATED, .map_bytes = true};
    return step->other ? cut_pattern(&cutter, step, false) : hand_on(&cutter, 0, piece.size);
}

static enum tare_code open_split(struct tare_text_step *step, const struct tare_step_source *source)
{
    enum tare_code code = read_behavior(step, source, -1);
    if (!code)
        code = tare_source_flag(source, "invert", NULL, &step->flag);
    return code ? code : tare_source_pattern(source, step);
}

static enum tare_code run_split(struct tare_encoder *encoder, size_t number, const struct tare_text_step *step,
                                struct tare_text_piece piece)
{
    struct cutter cutter = {
        .encoder = encoder, .number = number, .piece = piece, .behavior = (enum behavior)step->mode};
    return cut_pattern(&cutter, step, step->flag);
}

static enum tare_code open_digits(struct tare_text_step *step, const struct tare_step_source *source)
{
    return tare_source_flag(source, "individual_digits", NULL, &step->flag);
}

static enum tare_code run_digits(struct tare_encoder *encoder, size_t number, const struct tare_text_step *step,
                                 struct tare_text_piece piece)
{
    struct cutter cutter = {
        .encoder = encoder, .number = number, .piece = piece, .behavior = step->flag ? ISOLATED : CONTIGUOUS};
    return CUT_SET(&cutter, numeric);
}

static enum tare_code open_punctuation(struct tare_text_step *step, const struct tare_step_source *source)
{
    return read_behavior(step, source, ISOLATED);
}

static enum tare_code run_punctuation(struct tare_encoder *encoder, size_t number, const struct tare_text_step *step,
                                      struct tare_text_piece piece)
{
    struct cutter cutter = {
        .encoder = encoder, .number = number, .piece = piece, .behavior = (enum behavior)step->mode};
    return CUT_SET(&cutter, punctuation);
}

static enum tare_code run_white_split(struct tare_encoder *encoder, size_t number, const struct tare_text_step *step,
                                      struct tare_text_piece piece)
{
    (void)step;
    struct cutter cutter = {.encoder = encoder, .number = number, .piece = piece, .behavior = REMOVED};
    return CUT_SET(&cutter, white);
}

/* Cuts as the pattern \w+|[^\w\s]+ does, with \w as Rust defines it; white space, which it does not match, is
 * dropped. */
static enum tare_code run_whitespace(struct tare_encoder *encoder, size_t number, const struct tare_text_step *step,
                                     struct tare_text_piece piece)
{
    (void)step;
    struct cutter cutter = {.encoder = encoder, .number = number, .piece = piece};
    size_t from = 0;
    /* The kind of the last character: 0 white space, 1 a word character, 2 any other. */
    int last = 0;
    for (size_t i = 0, bytes; i < piece.size; i += bytes) {
        const uint32_t c = tare_utf8_get(piece.text + i, &bytes);
        const int kind = tare_unicode_in(rust_word, c) ? 1 : tare_unicode_in(white, c) ? 0 : 2;
        if (kind == last)
            continue;
        const enum tare_code code = last ? hand_on(&cutter, from, i) : TARE_OK;
        if (code)
            return code;
        from = i;
        last = kind;
    }
    return last ? hand_on(&cutter, from, piece.size) : TARE_OK;
}

/* Drops white space and makes each punctuation character a part of its own. */
static enum tare_code run_bert(struct tare_encoder *encoder, size_t number, const struct tare_text_step *step,
                               struct tare_text_piece piece)
{
    (void)step;
    struct cutter cutter = {.encoder = encoder, .number = number, .piece = piece};
    enum tare_code code = TARE_OK;
    size_t from = 0;
    for (size_t i = 0, bytes; i < piece.size && !code; i += bytes) {
        const uint32_t c = tare_utf8_get(piece.text + i, &bytes);
        const bool white = tare_unicode_in(white, c), mark = !white && tare_unicode_in(punctuation, c);
        if (!white && !mark)
            continue;
        code = hand_on(&cutter, from, i);
        if (mark && !code)
            code = hand_on(&cutter, i, i + bytes);
        from = i + bytes;
    }
    return code ? code : hand_on(&cutter, from, piece.size);
}

static enum tare_code open_delimiter(struct tare_text_step *step, const struct tare_step_source *source)
{
    return tare_source_character(source, "delimiter", &step->character);
}

static enum tare_code run_delimiter(struct tare_encoder *encoder, size_t number, const struct tare_text_step *step,
                                    struct tare_text_piece piece)
{
    struct cutter cutter = {.encoder = encoder, .number = number, .piece = piece, .behavior = REMOVED};
    const uint32_t pair[2] = {step->character, step->character};
    return cut_set(&cutter, pair, 2);
}

static enum tare_code open_fixed(struct tare_text_step *step, const struct tare_step_source *source)
{
    const size_t five = 5; /* the reference's default */
    const enum tare_code code = tare_source_number(source, "length", &five, &step->start);
    if (!code && !step->start)
        return tare_fail(source->err, TARE_E_FORMAT, source->where, "length is 0, expected 1 or more");
    return code;
}

/* Cuts the piece into parts of step->start characters; the last one may be shorter. */
static enum tare_code run_fixed(struct tare_encoder *encoder, size_t number, const struct tare_text_step *step,
                                struct tare_text_piece piece)
{
    struct cutter cutter = {.encoder = encoder, .number = number, .piece = piece};
    size_t from = 0, n = 0;
    for (size_t i = 0; i < piece.size; i += tare_utf8_size(piece.text[i]), n++) {
        if (n < step->start)
            continue;
        const enum tare_code code = hand_on(&cutter, from, i);
        if (code)
            return code;
        from = i;
        n = 0;
    }
    return hand_on(&cutter, from, piece.size);
}

enum scheme { SCHEME_ALWAYS, SCHEME_FIRST, SCHEME_NEVER };

static enum tare_code open_metaspace(struct tare_text_step *step, const struct tare_step_source *source)
{
    const bool yes = true;
    bool add_prefix = true;
    struct tare_slice scheme = {"", 0};
    enum tare_code code = tare_source_character(source, "replacement", &step->character);
    if (!code)
        code = tare_source_text(source, "replacement", &step->content);
    if (!code)
        code = tare_source_flag(source, "split", &yes, &step->flag);
    if (!code)
        code = tare_source_flag(source, "add_prefix_space", &yes, &add_prefix);
    if (!code && json_object_get(source->json, "prepend_scheme"))
        code = tare_source_text(source, "prepend_scheme", &scheme);
    if (code)
        return code;
    step->mode = !strcmp(scheme.text, "first") ? SCHEME_FIRST : SCHEME_ALWAYS;
    if (!strcmp(scheme.text, "never") || (!scheme.size && !add_prefix))
        step->mode = SCHEME_NEVER;
    else if (scheme.size && strcmp(scheme.text, "always") != 0 && strcmp(scheme.text, "first") != 0)
        return tare_fail(source->err, TARE_E_UNKNOWN, source->where,
                         "the prepend_scheme \"%.64s\" is not known to tare", scheme.text);
    else if (!add_prefix)
        return tare_fail(source->err, TARE_E_FORMAT, source->where,
                         "add_prefix_space is false, but prepend_scheme is \"%.64s\"; expected \"never\"", scheme.text);
    step->literal = step->content;
    return TARE_OK;
}

/* Replaces each space by the mark (mostly U+2581) and puts one before the text if the scheme says so and it has none.
 * Then, if `split` is set (step->flag), cuts before each mark. */
static enum tare_code run_metaspace(struct tare_encoder *encoder, size_t number, const struct tare_text_step *step,
                                    struct tare_text_piece piece)
{
    struct tare_text *text = &encoder->work[number].text;
    const struct tare_slice *mark = &step->content;
    const bool marked = piece.size && (piece.text[0] == ' ' ||
                                       (piece.size >= mark->size && !memcmp(piece.text, mark->text, mark->size)));
    text->size = 0;
    if (!marked && (step->mode == SCHEME_ALWAYS || (step->mode == SCHEME_FIRST && piece.first)))
        tare_text_add(text, mark->text, mark->size);
    for (size_t i = 0; i < piece.size;) {
        const char *space = memchr(piece.text + i, ' ', piece.size - i);
        const size_t run = space ? (size_t)(space - piece.text) - i : piece.size - i;
        tare_text_add(text, piece.text + i, run);
        if (space)
            tare_text_add(text, mark->text, mark->size);
        i += run + (space != NULL);
    }
    if (text->failed)
        return tare_fail_memory(encoder->err);
    piece.text = text->data;
    piece.size = text->size;
    struct cutter cutter = {.encoder = encoder, .number = number, .piece = piece, .behavior = MERGED_WITH_NEXT};
    return step->flag ? cut_pattern(&cutter, step, false) : hand_on(&cutter, 0, piece.size);
}

/* Cuts where the script changes. As in the reference, characters before the first one that has a script are lost. */
static enum tare_code run_scripts(struct tare_encoder *encoder, size_t number, const struct tare_text_step *step,
                                  struct tare_text_piece piece)
{
    (void)step;
    struct cutter cutter = {.encoder = encoder, .number = number, .piece = piece};
    size_t from = SIZE_MAX;
    uint32_t last = 0;
    for (size_t i = 0, bytes; i < piece.size; i += bytes) {
        const uint32_t script = tare_unicode_pre_script_of(tare_utf8_get(piece.text + i, &bytes));
        if (!script || script == last)
            continue;
        const enum tare_code code = from != SIZE_MAX ? hand_on(&cutter, from, i) : TARE_OK;
        if (code)
            return code;
        from = i;
        last = script;
    }
    return from != SIZE_MAX ? hand_on(&cutter, from, piece.size) : TARE_OK;
}

#define RUN(f) (void (*)(void)) f
static const struct tare_step_type types[] = {
    {"ByteLevel", open_byte_level, RUN(run_byte_level)},
    {"Split", open_split, RUN(run_split)},
    {"Digits", open_digits, RUN(run_digits)},
    {"Punctuation", open_punctuation, RUN(run_punctuation)},
    {"WhitespaceSplit", NULL, RUN(run_white_split)},
    {"Whitespace", NULL, RUN(run_whitespace)},
    {"BertPreTokenizer", NULL, RUN(run_bert)},
    {"CharDelimiterSplit", open_delimiter, RUN(run_delimiter)},
    {"FixedLength", open_fixed, RUN(run_fixed)},
    {"Metaspace", open_metaspace, RUN(run_metaspace)},
    {"UnicodeScripts", NULL, RUN(run_scripts)},
    {NULL, NULL, NULL},
};

enum tare_code tare_pre_tokenizers_read(struct tare_steps *steps, const struct tare_step_source *source)
{
    return tare_steps_read(steps, types, "pretokenizers", source);
}

bool tare_pre_tokenizers_map_bytes(const struct tare_steps *steps)
{
    for (size_t i = 0; i < steps->n; i++)
        if (((const struct tare_step_type *)steps->items[i].kind)->open == open_byte_level)
            return true;
    return false;
}

enum tare_code tare_pre_tokenize(struct tare_encoder *encoder, size_t number, struct tare_text_piece piece)
{
    const struct tare_tokenizer *tokenizer = encoder->tokenizer;
    if (!piece.size)
        return TARE_OK;
    if (number == tokenizer->pre_tokenizers.n)
        return tokenizer->model_kind->encode(tokenizer->model, encoder->model_work, encoder, piece.text, piece.size);
    const struct tare_text_step *step = &tokenizer->pre_tokenizers.items[number];
    return ((run_fn)((const struct tare_step_type *)step->kind)->run)(encoder, number, step, piece);
}
