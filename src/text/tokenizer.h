/* SPDX-License-Identifier: MIT
 * tokenizer.h - the contract between the stages of a tokenizer.
 *
 *     text -> added tokens set apart -> normalizer -> pre-tokenizer -> model -> post-processor -> ids
 *     ids -> tokens -> decoders -> text
 *
 * Each stage is a list of steps, made from tokenizer.json when the tokenizer is opened and read-only from then on. What
 * a call needs beyond that lies in a tare_encoder or a tare_decoding, so one tokenizer serves many threads.
 */
#ifndef TARE_TEXT_TOKENIZER_H
#define TARE_TEXT_TOKENIZER_H

#include <jansson.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/text.h"
#include "text/regex.h"
#include "text/tokenizer_json.h"

#define TARE_TOKEN_NONE UINT32_MAX
#define TARE_TEXT_MOST                                                                                                 \
    ((size_t)INT32_MAX / 2) /* bytes of a text, also after each step: steps can double it, 64 times over */

/* ---- vocabulary -------------------------------------------------------------------------------------------------- */

struct tare_token {
    const char *text; /* NULL: no token has this id */
    uint32_t size;
    bool special;
};
struct tare_vocab {
    struct tare_token *tokens; /* by id */
    size_t n, tokens_room;
    size_t count;
    /* By id: the added tokens, which decoding sees in place of the model's. */
    struct tare_token *shown;
    size_t n_shown, shown_room;
    struct tare_vocab_slot *slots;
    size_t room;             /* a power of two, or 0 */
    struct tare_arena arena; /* owns the texts */
};
enum tare_code tare_vocab_build(struct tare_vocab *vocab, const struct tare_tokenizer_json *json,
                                struct tare_error *err);
uint32_t tare_vocab_find(const struct tare_vocab *vocab, const char *text,
                         size_t size); /* TARE_TOKEN_NONE when absent */
/* Set what decoding sees for an id, which may lie beyond the model's; text is copied. */
enum tare_code tare_vocab_show(struct tare_vocab *vocab, uint32_t id, const char *text, size_t size,
                               struct tare_error *err);
const struct tare_token *tare_vocab_token(const struct tare_vocab *vocab, int32_t id); /* NULL: no such id */
void tare_vocab_release(struct tare_vocab *vocab);

/* ---- steps ------------------------------------------------------------------------------------------------------- */

#define TARE_STEPS_MOST 64 /* of one stage */

/* One normalizer, pre-tokenizer or decoder; which fields it uses is its own affair. Texts are owned by the tokenizer.
 */
struct tare_text_step {
    /* The row of its stage's table of types, which says what it does. */
    const void *kind;
    /* Texts that the step leaves as they are; borrowed, NULL when there are none. */
    const struct tare_added_set *kept;
    struct tare_slice literal;
    /* Owned; NULL when the step looks for a literal. */
    struct tare_regex *regex;
    struct tare_slice content;
    uint32_t character;
    bool flag, other;
    int mode;
    size_t start, stop;
};
struct tare_steps {
    struct tare_text_step *items;
    size_t n, room;
};

/* The JSON that a step is read from, and the arena that receives its texts. */
struct tare_step_source {
    const json_t *json;
    char where[96]; /* "tokenizer.json: pre_tokenizer[1]" */
    struct tare_arena *arena;
    struct tare_error *err;
};
typedef enum tare_code (*tare_step_open)(struct tare_text_step *step, const struct tare_step_source *source);
struct tare_step_type {
    const char *type;
    tare_step_open open; /* may be NULL */
    void (*run)(void);   /* cast back by the stage */
};
/*
 * Read a stage: null, one step, or a Sequence of them (whose list has the name `list`). Types that are not in the
 * table, which ends with a NULL type, are refused by name.
 */
enum tare_code tare_steps_read(struct tare_steps *steps, const struct tare_step_type *table, const char *list,
                               const struct tare_step_source *source);
void tare_steps_release(struct tare_steps *steps);

/* Read fields of a step's object. A field without a fallback must be there. */
enum tare_code tare_source_text(const struct tare_step_source *source, const char *key, struct tare_slice *text);
enum tare_code tare_source_character(const struct tare_step_source *source, const char *key, uint32_t *c);
enum tare_code tare_source_flag(const struct tare_step_source *source, const char *key, const bool *fallback,
                                bool *flag);
enum tare_code tare_source_number(const struct tare_step_source *source, const char *key, const size_t *fallback,
                                  size_t *number);
/* "pattern": {"String": ..} or {"Regex": ..} */
enum tare_code tare_source_pattern(const struct tare_step_source *source, struct tare_text_step *step);

/* Refuse a text that steps made too long. */
enum tare_code tare_text_limit(const struct tare_text *text, struct tare_error *err);
/* A walk over what a step's pattern matches. */
enum tare_code tare_step_start(const struct tare_text_step *step, struct tare_matcher *matcher, const char *text,
                               size_t size, struct tare_error *err);
enum tare_code tare_step_next(const struct tare_text_step *step, struct tare_matcher *matcher, bool *found,
                              size_t *start, size_t *end, struct tare_error *err);
/* out += text with what matches replaced by the step's content. */
enum tare_code tare_step_replace(const struct tare_text_step *step, struct tare_matcher *matcher, const char *text,
                                 size_t size, struct tare_text *out, struct tare_error *err);

/* ---- normalizers ------------------------------------------------------------------------------------------------- */

enum tare_code tare_normalizers_read(struct tare_steps *steps, const struct tare_step_source *source);
/* Work memory of normalizing; zero-initialise, release. */
struct tare_normal {
    struct tare_text text[2];
    struct tare_text work[2]; /* of one step */
    struct tare_matcher matcher;
    int32_t *points;
    size_t points_room;
    /* The first character of the text was dropped, so that what follows does not begin where the text does. */
    bool front_lost;
};
/* *out is text itself when there is nothing to do, else lies in normal. */
enum tare_code tare_normalize(const struct tare_steps *steps, struct tare_normal *normal, const char *text, size_t size,
                              const char **out, size_t *out_size, struct tare_error *err);
void tare_normal_release(struct tare_normal *normal);

enum tare_unicode_form { TARE_NFC, TARE_NFD, TARE_NFKC, TARE_NFKD };
/* A Unicode normal form as the reference has it (Unicode 9). */
enum tare_code tare_normal_form(enum tare_unicode_form form, const char *text, size_t size, struct tare_normal *normal,
                                struct tare_text *out, struct tare_error *err);

/* ---- added tokens ------------------------------------------------------------------------------------------------ */

struct tare_added_token {
    /* What is looked for: the content, normalized if the token asks for it. */
    struct tare_slice content;
    uint32_t id;
    /* The place in the list; of two tokens with the same content the first counts. */
    uint32_t order;
    bool single_word, lstrip, rstrip, special;
};
struct tare_added_set { /* sorted by content */
    struct tare_added_token *tokens;
    size_t n;
    /* The tokens whose content begins with byte b are first[b] .. first[b + 1]. */
    uint32_t first[257];
};
struct tare_added {
    struct tare_added_set plain, normalized;
    /* SentencePiece's user-defined pieces, which normalizing leaves as they are. */
    struct tare_added_set kept;
    /* Maps each content, as the file has it, to its id. */
    struct tare_map ids;
};
struct tare_tokenizer;
/* With `exact` the ids of the list are taken; otherwise ids are counted, as the reference does with tokenizer.json. */
enum tare_code tare_added_read(struct tare_tokenizer *tokenizer, const json_t *list, bool exact,
                               struct tare_error *err);
/* A set of the contents and ids of these tokens. set is zeroed by the caller; contents are borrowed. */
enum tare_code tare_added_set_make(struct tare_added_set *set, const struct tare_added_token *tokens, size_t n,
                                   struct tare_error *err);
/* Bytes of the longest token that text, which is not empty, begins with; 0: none. */
size_t tare_added_longest(const struct tare_added_set *set, const char *text, size_t size);
void tare_added_release(struct tare_added *added);
/* Cut text at the tokens of a set: calls with id TARE_TOKEN_NONE for what lies between. Special ones are text like any
 * other where `literal`. */
typedef enum tare_code (*tare_added_fn)(void *user, uint32_t id, size_t start, size_t end);
enum tare_code tare_added_split(const struct tare_added_set *set, const char *text, size_t size, bool literal,
                                tare_added_fn each, void *user);

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

struct tare_model_kind;

struct tare_tokenizer {
    struct tare_arena arena; /* texts of steps */
    struct tare_vocab vocab;
    struct tare_added added;
    struct tare_steps normalizers, pre_tokenizers, decoders;
    const struct tare_model_kind *model_kind;
    void *model;
    struct tare_post *post;
    size_t n_post;
    bool no_decoder;
    int32_t *ends; /* ids that end a text */
    size_t n_ends, ends_room;
    struct tare_tokenizer_lazy *lazy;
};

/* What is made when it is first asked for; the pointer is read and written atomically. */
struct tare_tokenizer_lazy {
    struct tare_spelled *spelled; /* the bytes of each token: token_spell.c */
};
void tare_spelled_free(struct tare_spelled *spelled); /* may be NULL */

struct tare_text_piece {
    const char *text;
    size_t size;
    bool first; /* begins where the whole text begins */
};
struct tare_step_work {
    struct tare_text text, out;
    struct tare_matcher matcher;
};
struct tare_encoder {
    const struct tare_tokenizer *tokenizer;
    struct tare_normal normal;
    struct tare_step_work *work; /* one a pre-tokenizer */
    void *model_work;
    bool literal; /* special tokens are not looked for */
    int32_t *ids;
    size_t n, room;
    struct tare_error *err;
};
/* The id of a token by its text, an added one first; TARE_TOKEN_NONE when absent. */
uint32_t tare_tokenizer_find(const struct tare_tokenizer *tokenizer, const char *text, size_t size);
enum tare_code tare_encoder_put(struct tare_encoder *encoder, uint32_t id);

enum tare_code tare_pre_tokenizers_read(struct tare_steps *steps, const struct tare_step_source *source);
/* Run a piece through the pre-tokenizers from number `step` on, and what comes out through the model. */
enum tare_code tare_pre_tokenize(struct tare_encoder *encoder, size_t step, struct tare_text_piece piece);
bool tare_pre_tokenizers_map_bytes(const struct tare_steps *steps); /* does ByteLevel run? */
/* The byte of a character in ByteLevel's alphabet, or -1. */
int tare_byte_level_back(uint32_t c);
void tare_byte_level_add(struct tare_text *out, const char *text, size_t size);

/* A model: a file and a line in tokenizer.c. */
struct tare_model_kind {
    const char *type;
    enum tare_code (*open)(void **model, const struct tare_tokenizer *tokenizer, const struct tare_tokenizer_json *json,
                           struct tare_error *err);
    void (*free)(void *model);
    /* Work memory of one encoding; text_size is a hint. NULL: no memory. */
    void *(*work_open)(const void *model, size_t text_size);
    void (*work_free)(void *work);
    enum tare_code (*encode)(const void *model, void *work, struct tare_encoder *encoder, const char *text,
                             size_t size);
};
extern const struct tare_model_kind tare_model_bpe, tare_model_unigram, tare_model_word_piece, tare_model_word_level;

/* ---- post-processors --------------------------------------------------------------------------------------------- */

/* What surrounds the ids of a text: ids, and -1 for the text's own. */
struct tare_post {
    int32_t *items;
    size_t n, room;
};
enum tare_code tare_post_read(struct tare_tokenizer *tokenizer, const json_t *json, struct tare_error *err);
enum tare_code tare_post_run(const struct tare_tokenizer *tokenizer, int32_t **ids, size_t *n, struct tare_error *err);
void tare_post_release(struct tare_tokenizer *tokenizer);

/* ---- decoding ---------------------------------------------------------------------------------------------------- */

enum tare_code tare_decoders_read(struct tare_steps *steps, const struct tare_step_source *source);

/* The decoders at work on one text, token after token. Zero-initialise with tare_decoding_init(). */
struct tare_decoding_step;
struct tare_decoding {
    const struct tare_tokenizer *tokenizer;
    /* Give out what is valid so far, although the end could still change it. */
    bool early;
    struct tare_decoding_step *steps;
    size_t n_tokens;
    /* Holds whole characters; the caller takes them and sets the size back to 0. */
    struct tare_text out;
    struct tare_error *err;
};
enum tare_code tare_decoding_init(struct tare_decoding *decoding, const struct tare_tokenizer *tokenizer, bool early,
                                  struct tare_error *err);
enum tare_code tare_decoding_put(struct tare_decoding *decoding, int32_t id, bool skip_special);
enum tare_code tare_decoding_end(struct tare_decoding *decoding);
void tare_decoding_release(struct tare_decoding *decoding);

int tare_byte_token(const char *text,
                    size_t size); /* the byte that a token like <0x0A> stands for; -1 for any other text */
/*
 * The bytes that an id adds in the middle of a text; they need not be whole characters. Special ids and ids without a
 * token add none. A decoder that looks at neighbouring tokens (WordPiece's clean-up, CTC) is taken as it acts in the
 * middle.
 */
enum tare_code tare_token_spell(const struct tare_tokenizer *tokenizer, int32_t id, struct tare_text *bytes,
                                struct tare_error *err);

/* ---- ends -------------------------------------------------------------------------------------------------------- */

struct tare_checkpoint;
/* other: the id that ends a text where no config names one; -1: none. */
enum tare_code tare_ends_read(struct tare_tokenizer *tokenizer, const struct tare_checkpoint *checkpoint, int32_t other,
                              struct tare_error *err);

#endif
