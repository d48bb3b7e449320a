/* SPDX-License-Identifier: MIT
 * decode.c - the decoders, which turn tokens into text. Each takes the tokens one after the other, possibly in
 * parts, and hands on what later tokens cannot change. So one code makes the text of many ids at once and of one
 * id at a time. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"
#include "text/unicode.h"

/* The state of one decoder on one text. */
struct tare_decoding_step {
    const struct tare_text_step *step;
    /* Bytes whose text depends on what follows. */
    struct tare_text held;
    struct tare_text work;
    struct tare_matcher matcher;
    /* How many tokens came before the present one. */
    size_t tokens;
    /* How many characters were cut from the start of the present token. */
    size_t cut;
    /* True while a token has begun and not ended. */
    bool open;
    /* True while only characters to strip were seen in the present token. */
    bool cutting;
};

/* Takes one part of a token; `ends` is true for its last part. After the last token comes one call with text NULL. */
typedef enum tare_code (*run_fn)(struct tare_decoding *decoding, size_t number, const char *text, size_t size,
                                 bool ends);

static enum tare_code give(struct tare_decoding *decoding, size_t number, const char *text, size_t size, bool ends);

static struct tare_decoding_step *state_of(struct tare_decoding *decoding, size_t number)
{
    return &decoding->steps[number];
}

static enum tare_code checked(const struct tare_decoding *decoding, const struct tare_text *text)
{
    return text->failed ? tare_fail_memory(decoding->err) : TARE_OK;
}

/* ---- UTF-8 that may be broken ------------------------------------------------------------------------------------ */

static const char replacement[] = "\xef\xbf\xbd";

/* Looks at the start of the bytes. *valid: the first *n bytes are valid UTF-8. Else the first *n bytes become one
 * U+FFFD: they are the longest possible start of a character, as Unicode recommends (chapter 3, "maximal subpart").
 * Returns false when all bytes that are left may still become a character. */
static bool next_run(const char *text, size_t size, size_t *n, bool *valid)
{
    const unsigned char *s = (const unsigned char *)text;
    *n = tare_utf8_check(text, size);
    *valid = *n > 0;
    if (*valid)
        return true;
    const unsigned char c = s[0];
    const size_t need = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    *n = 1;
    if (!need)
        return true;
    if (size < 2)
        return false;
    const unsigned char low = c == 0xe0   ? 0xa0
                              : c == 0xf0 ? 0x90
                                          : 0x80,
                        high = c == 0xed   ? 0x9f
                               : c == 0xf4 ? 0x8f
                                           : 0xbf;
    if (s[1] < low || s[1] > high)
        return true;
    while (++*n < need && *n < size)
        if ((s[*n] & 0xc0) != 0x80)
            return true;
    return *n < size;
}

/* Hands on the held bytes that cannot change any more; at the end, all of them. */
static enum tare_code give_lossy(struct tare_decoding *decoding, size_t number, bool end)
{
    struct tare_text *held = &state_of(decoding, number)->held;
    size_t from = 0, n;
    bool valid;
    enum tare_code code = TARE_OK;
    while (from < held->size && !code) {
        const bool certain = next_run(held->data + from, held->size - from, &n, &valid);
        if (!certain && !end)
            break;
        if (valid)
            code = give(decoding, number + 1, held->data + from, n, false);
        else
            code = give(decoding, number + 1, replacement, 3, false);
        from += n;
    }
    if (from) {
        memmove(held->data, held->data + from, held->size - from);
        held->size -= from;
    }
    return code;
}

/* ---- ByteLevel: all tokens become one ---------------------------------------------------------------------------- */

static enum tare_code run_byte_level(struct tare_decoding *decoding, size_t number, const char *text, size_t size,
                                     bool ends)
{
    struct tare_decoding_step *state = state_of(decoding, number);
    /* The parts of the present token that came so far. */
    struct tare_text *work = &state->work;
    enum tare_code code;
    if (!text) {
        code = give_lossy(decoding, number, true);
        return code ? code : give(decoding, number + 1, "", 0, true);
    }
    tare_text_add(work, text, size);
    if (!ends || work->failed)
        return checked(decoding, work);
    /* A token that is not written in ByteLevel's alphabet stands for itself. */
    bool spelled = true;
    for (size_t i = 0, bytes; i < work->size && spelled; i += bytes)
        spelled = tare_byte_level_back(tare_utf8_get(work->data + i, &bytes)) >= 0;
    if (!spelled)
        tare_text_add(&state->held, work->data, work->size);
    for (size_t i = 0, bytes; i < work->size && spelled; i += bytes) {
        const char byte = (char)tare_byte_level_back(tare_utf8_get(work->data + i, &bytes));
        tare_text_add(&state->held, &byte, 1);
    }
    work->size = 0;
    code = checked(decoding, &state->held);
    return code ? code : give_lossy(decoding, number, false);
}

/* ---- ByteFallback: <0x41> ---------------------------------------------------------------------------------------- */

/* Returns the byte of a token like <0x41>, or -1. The first digit may be a plus sign, because Rust's
 * from_str_radix(), which the reference calls, accepts one. */
int tare_byte_token(const char *text, size_t size)
{
    if (size != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    const int high = text[3] == '+' ? 0 : tare_hex_digit(text[3]), low = tare_hex_digit(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Hands on the bytes of a run of byte tokens. They become characters when the run is valid UTF-8 as a whole;
 * otherwise each byte becomes U+FFFD. A stream (early) gives characters out as soon as they are complete, so that
 * only the bytes after them can still turn out broken. */
static enum tare_code give_bytes(struct tare_decoding *decoding, size_t number, bool run_ends)
{
    struct tare_decoding_step *state = state_of(decoding, number);
    struct tare_text *held = &state->held;
    const bool whole = tare_utf8_check(held->data ? held->data : "", held->size) == held->size;
    enum tare_code code = TARE_OK;
    if (!run_ends && (!decoding->early || !whole))
        return TARE_OK;
    if (whole && held->size)
        code = give(decoding, number + 1, held->data, held->size, true);
    else
        for (size_t i = 0; i < held->size && !code; i++)
            code = give(decoding, number + 1, replacement, 3, true);
    held->size = 0;
    return code;
}

static enum tare_code run_byte_fallback(struct tare_decoding *decoding, size_t number, const char *text, size_t size,
                                        bool ends)
{
    struct tare_decoding_step *state = state_of(decoding, number);
    enum tare_code code;
    if (!text)
        return give_bytes(decoding, number, true);
    tare_text_add(&state->work, text, size);
    if (!ends || state->work.failed)
        return checked(decoding, &state->work);
    size = state->work.size;
    state->work.size = 0;
    const int byte = tare_byte_token(state->work.data, size);
    if (byte < 0) {
        code = give_bytes(decoding, number, true);
        return code ? code : give(decoding, number + 1, state->work.data, size, true);
    }
    const char c = (char)byte;
    tare_text_add(&state->held, &c, 1);
    code = checked(decoding, &state->held);
    return code ? code : give_bytes(decoding, number, false);
}

/* ---- Fuse: all tokens become one --------------------------------------------------------------------------------- */

static enum tare_code run_fuse(struct tare_decoding *decoding, size_t number, const char *text, size_t size, bool ends)
{
    (void)ends;
    return text ? give(decoding, number + 1, text, size, false) : give(decoding, number + 1, "", 0, true);
}

/* ---- Strip: a character, up to `start` times from the start of each token and `stop` times from its end -----------
 */

static enum tare_code open_strip(struct tare_text_step *step, const struct tare_step_source *source)
{
    enum tare_code code = tare_source_character(source, "content", &step->character);
    if (!code)
        code = tare_source_number(source, "start", NULL, &step->start);
    return code ? code : tare_source_number(source, "stop", NULL, &step->stop);
}

/* Hands on the token except its last characters that may have to be stripped: at most `stop` of them that equal the
 * character to strip. They are held until more of the token comes, and dropped when it ends. */
static enum tare_code strip_end(struct tare_decoding *decoding, size_t number, const char *text, size_t size, bool ends)
{
    struct tare_decoding_step *state = state_of(decoding, number);
    struct tare_text *held = &state->held;
    char mark[4];
    const size_t n = tare_utf8_put(mark, state->step->character);
    tare_text_add(held, text, size);
    if (held->failed)
        return tare_fail_memory(decoding->err);
    size_t keep = held->size, stripped = 0;
    while (stripped < state->step->stop && keep >= n && !memcmp(held->data + keep - n, mark, n)) {
        keep -= n;
        stripped++;
    }
    const enum tare_code code = give(decoding, number + 1, held->data ? held->data : "", keep, ends);
    if (ends) {
        held->size = 0;
        return code;
    }
    memmove(held->data, held->data + keep, held->size - keep);
    held->size -= keep;
    return code;
}

static enum tare_code run_strip(struct tare_decoding *decoding, size_t number, const char *text, size_t size, bool ends)
{
    struct tare_decoding_step *state = state_of(decoding, number);
    if (!text)
        return TARE_OK;
    if (!state->open) {
        state->cutting = true;
        state->cut = 0;
    }
    state->open = !ends;
    while (state->cutting && size) {
        size_t bytes;
        if (state->cut >= state->step->start || tare_utf8_get(text, &bytes) != state->step->character) {
            state->cutting = false;
            break;
        }
        text += bytes;
        size -= bytes;
        state->cut++;
    }
    if (!state->step->stop)
        return give(decoding, number + 1, text, size, ends);
    return strip_end(decoding, number, text, size, ends);
}

/* ---- Replace, in each token -------------------------------------------------------------------------------------- */

static enum tare_code open_replace(struct tare_text_step *step, const struct tare_step_source *source)
{
    const enum tare_code code = tare_source_text(source, "content", &step->content);
    return code ? code : tare_source_pattern(source, step);
}

static enum tare_code run_replace(struct tare_decoding *decoding, size_t number, const char *text, size_t size,
                                  bool ends)
{
    struct tare_decoding_step *state = state_of(decoding, number);
    if (!text)
        return TARE_OK;
    /* The token comes in parts: collect it first. */
    if (!ends || state->held.size) {
        tare_text_add(&state->held, text, size);
        if (!ends || state->held.failed)
            return checked(decoding, &state->held);
        text = state->held.data;
        size = state->held.size;
        state->held.size = 0;
    }
    state->work.size = 0;
    tare_text_puts(&state->work, "");
    enum tare_code code = tare_step_replace(state->step, &state->matcher, text, size, &state->work, decoding->err);
    if (!code)
        code = checked(decoding, &state->work);
    return code ? code : give(decoding, number + 1, state->work.data, state->work.size, true);
}

/* ---- Metaspace: its character becomes a space, or nothing in the first token --------------------------------------
 */

/* With the scheme "never", or an old file without prefixes, the first token keeps its space, which step->flag says. */
static enum tare_code open_metaspace(struct tare_text_step *step, const struct tare_step_source *source)
{
    const bool yes = true;
    bool add_prefix = true;
    struct tare_slice scheme = {"", 0};
    enum tare_code code = tare_source_character(source, "replacement", &step->character);
    if (!code)
        code = tare_source_flag(source, "add_prefix_space", &yes, &add_prefix);
    if (!code && json_object_get(source->json, "prepend_scheme"))
        code = tare_source_text(source, "prepend_scheme", &scheme);
    step->flag = !strcmp(scheme.text, "never") || (!scheme.size && !add_prefix);
    return code;
}

static enum tare_code run_metaspace(struct tare_decoding *decoding, size_t number, const char *text, size_t size,
                                    bool ends)
{
    struct tare_decoding_step *state = state_of(decoding, number);
    if (!text)
        return TARE_OK;
    state->work.size = 0;
    tare_text_puts(&state->work, "");
    for (size_t i = 0, bytes; i < size; i += bytes) {
        if (tare_utf8_get(text + i, &bytes) != state->step->character)
            tare_text_add(&state->work, text + i, bytes);
        else if (state->tokens || state->step->flag)
            tare_text_add(&state->work, " ", 1);
    }
    state->tokens += ends;
    const enum tare_code code = checked(decoding, &state->work);
    return code ? code : give(decoding, number + 1, state->work.data, state->work.size, ends);
}

/* ---- BPEDecoder: the suffix of a word's end becomes a space, but not in the last token ----------------------------
 */

static enum tare_code open_bpe(struct tare_text_step *step, const struct tare_step_source *source)
{
    const enum tare_code code = tare_source_text(source, "suffix", &step->literal);
    if (!code && !step->literal.size)
        return tare_fail(source->err, TARE_E_FORMAT, source->where, "suffix is empty");
    return code;
}

/* Ends a token: each suffix in the held bytes becomes `space`, which is empty for the last token of the text. The
 * bytes before the first suffix have been handed on already. */
static enum tare_code bpe_token(struct tare_decoding *decoding, size_t number, const char *space, bool ends)
{
    struct tare_decoding_step *state = state_of(decoding, number);
    struct tare_text_step step = *state->step;
    step.content = (struct tare_slice){space, (uint32_t)strlen(space)};
    state->work.size = 0;
    tare_text_puts(&state->work, "");
    enum tare_code code =
        tare_step_replace(&step, &state->matcher, state->held.data, state->held.size, &state->work, decoding->err);
    state->held.size = 0;
    if (!code)
        code = checked(decoding, &state->work);
    return code ? code : give(decoding, number + 1, state->work.data, state->work.size, ends);
}

static enum tare_code run_bpe(struct tare_decoding *decoding, size_t number, const char *text, size_t size, bool ends)
{
    struct tare_decoding_step *state = state_of(decoding, number);
    enum tare_code code = TARE_OK;
    /* A new token begins or the text ends, so the token before is complete. */
    if (!state->open && state->tokens)
        code = bpe_token(decoding, number, text ? " " : "", true);
    if (!text || code)
        return code;
    state->open = !ends;
    state->tokens += ends;
    tare_text_add(&state->held, text, size);
    if (!ends || state->held.failed)
        return checked(decoding, &state->held);
    size_t start = 0, end;
    bool found = false;
    code = tare_step_start(state->step, &state->matcher, state->held.data, state->held.size, decoding->err);
    if (!code)
        code = tare_step_next(state->step, &state->matcher, &found, &start, &end, decoding->err);
    const size_t certain = found ? start : state->held.size;
    if (!code)
        code = give(decoding, number + 1, state->held.data, certain, false);
    memmove(state->held.data, state->held.data + certain, state->held.size - certain);
    state->held.size -= certain;
    return code;
}

/* ---- WordPiece: a space before each token but the first, or its prefix taken off ----------------------------------
 */

static enum tare_code open_word_piece(struct tare_text_step *step, const struct tare_step_source *source)
{
    const bool yes = true;
    const enum tare_code code = tare_source_text(source, "prefix", &step->content);
    return code ? code : tare_source_flag(source, "cleanup", &yes, &step->flag);
}

/* Joins punctuation and English contractions to the word before, as the reference's cleanup() does, in its order. */
static bool clean_up(struct tare_decoding_step *state)
{
    static const char *const pairs[][2] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                           {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                           {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const struct tare_text_step step = {.literal = {pairs[i][0], (uint32_t)strlen(pairs[i][0])},
                                            .content = {pairs[i][1], (uint32_t)strlen(pairs[i][1])}};
        state->work.size = 0;
        tare_text_puts(&state->work, "");
        if (tare_step_replace(&step, &state->matcher, state->held.data, state->held.size, &state->work, NULL))
            return false;
        const struct tare_text swap = state->held;
        state->held = state->work;
        state->work = swap;
    }
    return !state->held.failed && !state->work.failed;
}

static enum tare_code run_word_piece(struct tare_decoding *decoding, size_t number, const char *text, size_t size,
                                     bool ends)
{
    struct tare_decoding_step *state = state_of(decoding, number);
    const struct tare_slice *prefix = &state->step->content;
    if (!text)
        return TARE_OK;
    tare_text_add(&state->work, text, size);
    if (!ends || state->work.failed)
        return checked(decoding, &state->work);
    size_t cut = 0;
    state->held.size = 0;
    tare_text_puts(&state->held, "");
    if (state->tokens++) {
        if (state->work.size >= prefix->size && !memcmp(state->work.data, prefix->text, prefix->size))
            cut = prefix->size;
        else
            tare_text_puts(&state->held, " ");
    }
    tare_text_add(&state->held, state->work.data + cut, state->work.size - cut);
    state->work.size = 0;
    if (state->held.failed || (state->step->flag && !clean_up(state)))
        return tare_fail_memory(decoding->err);
    state->work.size = 0;
    return give(decoding, number + 1, state->held.data, state->held.size, true);
}

/* ---- the chain --------------------------------------------------------------------------------------------------- */

#define RUN(f) (void (*)(void)) f
static const struct tare_step_type types[] = {
    {"ByteLevel", NULL, RUN(run_byte_level)},
    {"ByteFallback", NULL, RUN(run_byte_fallback)},
    {"Fuse", NULL, RUN(run_fuse)},
    {"Strip", open_strip, RUN(run_strip)},
    {"Replace", open_replace, RUN(run_replace)},
    {"Metaspace", open_metaspace, RUN(run_metaspace)},
    {"BPEDecoder", open_bpe, RUN(run_bpe)},
    {"WordPiece", open_word_piece, RUN(run_word_piece)},
    {NULL, NULL, NULL},
};

enum tare_code tare_decoders_read(struct tare_steps *steps, const struct tare_step_source *source)
{
    return tare_steps_read(steps, types, "decoders", source);
}

static run_fn run_of(const struct tare_decoding *decoding, size_t number)
{
    return (run_fn)((const struct tare_step_type *)decoding->steps[number].step->kind)->run;
}

static enum tare_code give(struct tare_decoding *decoding, size_t number, const char *text, size_t size, bool ends)
{
    if (number < decoding->tokenizer->decoders.n)
        return run_of(decoding, number)(decoding, number, text, size, ends);
    tare_text_add(&decoding->out, text, size);
    return checked(decoding, &decoding->out);
}

enum tare_code tare_decoding_init(struct tare_decoding *decoding, const struct tare_tokenizer *tokenizer, bool early,
                                  struct tare_error *err)
{
    const size_t n = tokenizer->decoders.n;
    *decoding = (struct tare_decoding){.tokenizer = tokenizer, .early = early, .err = err};
    decoding->steps = calloc(n + 1, sizeof *decoding->steps);
    for (size_t i = 0; i < n && decoding->steps; i++)
        decoding->steps[i].step = &tokenizer->decoders.items[i];
    tare_text_puts(&decoding->out, "");
    return decoding->steps && !decoding->out.failed ? TARE_OK : tare_fail_memory(err);
}

enum tare_code tare_decoding_put(struct tare_decoding *decoding, int32_t id, bool skip_special)
{
    const struct tare_tokenizer *tokenizer = decoding->tokenizer;
    const struct tare_token *token = tare_vocab_token(&tokenizer->vocab, id);
    if (!token || (skip_special && token->special))
        /* As in the reference, an id without a token has no text. */
        return TARE_OK;
    if (tokenizer->no_decoder && decoding->n_tokens)
        tare_text_puts(&decoding->out, " ");
    decoding->n_tokens++;
    return give(decoding, 0, token->text, token->size, true);
}

enum tare_code tare_decoding_end(struct tare_decoding *decoding)
{
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < decoding->tokenizer->decoders.n && !code && decoding->n_tokens; i++)
        code = run_of(decoding, i)(decoding, i, NULL, 0, true);
    return code;
}

void tare_decoding_release(struct tare_decoding *decoding)
{
    for (size_t i = 0; decoding->steps && i < decoding->tokenizer->decoders.n; i++) {
        tare_text_release(&decoding->steps[i].held);
        tare_text_release(&decoding->steps[i].work);
        tare_matcher_release(&decoding->steps[i].matcher);
    }
    free(decoding->steps);
    tare_text_release(&decoding->out);
    decoding->steps = NULL;
}
