/* SPDX-License-Identifier: MIT
 *
 * tare/generate.h - grammars and generation.
 * A part of tare.h, which says what holds for all of it.
 */
#ifndef TARE_GENERATE_H
#define TARE_GENERATE_H

#include "session.h"
#include "text.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- grammars ---------------------------------------------------------------------------------------------------- */

/* What a text may look like, and the ids that spell it; docs/grammar.md. Read-only, so threads may share it. */
typedef struct tare_grammar tare_grammar;

/* How far a text has come in a grammar. Forks share masks that were worked out, so a state and all its forks belong to
 * one thread at a time. */
typedef struct tare_grammar_state tare_grammar_state;

enum tare_grammar_kind {
    /* llama.cpp's notation. */
    TARE_GRAMMAR_GBNF,
    /* A JSON schema, draft 2020-12. It stands for compact JSON, with a single space where one is usual. */
    TARE_GRAMMAR_SCHEMA
};

/*
 * Read a grammar.
 *
 *   grammar    receives it; owned, tare_grammar_free(), after all its states are freed
 *   tokenizer  tells which ids spell which text; not needed afterwards
 *   text       `size` bytes, not needed afterwards
 *
 * TARE_E_FORMAT: the text is not well-formed, is left-recursive, or has a rule that no finite text meets.
 * TARE_E_UNKNOWN: a schema has a keyword that is not supported, which is named. Any thread.
 */
TARE_API enum tare_code tare_grammar_open(tare_grammar **grammar, const tare_tokenizer *tokenizer,
                                          enum tare_grammar_kind kind, const char *text, size_t size,
                                          struct tare_error *err);

/* Free a grammar. States of it must be freed before. */
TARE_API void tare_grammar_free(tare_grammar *grammar);

/* Translate a JSON schema of `size` bytes into GBNF. *gbnf is owned, tare_text_free(). Errors are those of
 * tare_grammar_open(). Any thread. */
TARE_API enum tare_code tare_grammar_from_schema(char **gbnf, const char *schema, size_t size, struct tare_error *err);

/* Stand at the beginning of a text. *state is owned, tare_grammar_state_free(). */
TARE_API enum tare_code tare_grammar_state_open(tare_grammar_state **state, const tare_grammar *grammar,
                                                struct tare_error *err);

/* A second state at the same place. *fork is owned, tare_grammar_state_free(). */
TARE_API enum tare_code tare_grammar_state_fork(tare_grammar_state **fork, tare_grammar_state *state,
                                                struct tare_error *err);

/* Free a state. */
TARE_API void tare_grammar_state_free(tare_grammar_state *state);

/*
 * Set the logits of ids that may not come next to -INFINITY. These are the ids that do not continue the text by the
 * grammar, special and empty ones, and the ids that end a text, unless the text may end here.
 *
 *   logits   vocabulary numbers, changed in place
 *   allowed  receives how many ids may come next, 0 only where the vocabulary cannot spell what must follow; may be
 * NULL
 */
TARE_API enum tare_code tare_grammar_mask(tare_grammar_state *state, float *logits, int64_t vocabulary,
                                          int64_t *allowed, struct tare_error *err);

/* Step over an id. TARE_E_ARGUMENT: the id may not come here, and nothing changes. An id that ends a text changes
 * nothing either. */
TARE_API enum tare_code tare_grammar_accept(tare_grammar_state *state, int32_t id, struct tare_error *err);

/* Step over `size` bytes of text, in the same way. */
TARE_API enum tare_code tare_grammar_accept_text(tare_grammar_state *state, const char *text, size_t size,
                                                 struct tare_error *err);

/* May the text end here? */
TARE_API bool tare_grammar_complete(const tare_grammar_state *state);

/* Must the text end here? */
TARE_API bool tare_grammar_closed(const tare_grammar_state *state);

/* ---- generation -------------------------------------------------------------------------------------------------- */

/* A text that is being continued: sampling, a grammar, stop strings and drafts around a session. One thread at a
 * time. */
typedef struct tare_generate tare_generate;

enum tare_draft {
    TARE_DRAFT_NONE,
    /* The last 2 to 4 ids of the text are looked up in the text before them. What followed them there is guessed to
     * follow again, and checked in one step. A draw is a function of the seed, its number and the logits at its place,
     * so a guess is taken only while it is what would have been drawn. The text is the one without drafts, greedy or
     * not, as far as the session's logits do not depend on how many ids are fed at once. */
    TARE_DRAFT_LOOKUP,
    /* A smaller model reads along (`drafter`) and guesses with the draws that the text's own model will make; its guesses
     * are checked in the same way, and the text is the same. */
    TARE_DRAFT_MODEL
};

/* Why a text ended. */
enum tare_finish {
    /* It has not ended. */
    TARE_FINISH_NONE,
    /* An id came that ends a text. */
    TARE_FINISH_END,
    /* A stop string came. It and what follows are not part of the text. */
    TARE_FINISH_STOP,
    /* max_tokens is reached, or the context is full. */
    TARE_FINISH_LENGTH,
    /* By the grammar the text is complete, and nothing can follow. */
    TARE_FINISH_GRAMMAR,
    /* The vocabulary cannot spell what must follow by the grammar. */
    TARE_FINISH_STUCK,
    /* tare_generate_cancel() was called, or the session's `cancel` was set. */
    TARE_FINISH_CANCELLED,
    /* An error ended it; tare_generate_error() says which. */
    TARE_FINISH_FAILED
};

struct tare_generate_options {
    /* sizeof(struct tare_generate_options). */
    size_t size;
    /* Copied; NULL: greedy. */
    const struct tare_sampling *sampling;
    /* The most new ids; 0: until the context is full; -1: none, the prompt is read and the text is over. */
    int64_t max_tokens;
    /* n_stops texts of UTF-8 that end the text, not empty, at most 64 KiB each; copied. */
    const char *const *stops;
    size_t n_stops;
    /* May be NULL; must outlive the generation. */
    const tare_grammar *grammar;
    enum tare_draft draft;
    /* The most ids of one draft; 0: 7, which with the id before them go through the weights as one. */
    int draft_most;
    /* Forbid the ids that end a text. */
    bool ignore_ends;
    /* The bytes of each of the n_stops texts, where they may hold U+0000; NULL: a NUL ends each. */
    const size_t *stop_sizes;
    /* The most ids of the prompt that one step feeds, so that a long prompt does not hold up the texts beside it; 0:
     * all. Parts change no bit of what comes after. Up to 256 ids go through the weights together, those of all texts
     * counted, so that 128 leaves room for others. */
    int64_t prompt_chunk;
    /* Each step tells the log-probability of the id that was chosen: the log-softmax of the logits as the model gives
     * them, before biases, penalties, grammar and temperature. */
    bool logprobs;
    /* The steps that read the prompt tell those of its ids. A step then reads as much as 16 MiB of logits stand for, and
     * no more. */
    bool prompt_logprobs;
    /* With each log-probability that `logprobs` and `prompt_logprobs` ask for, that many of the likeliest ids in its
     * place are told, too; 0 to 64. Without them nothing is told. */
    int top_logprobs;
    /* With TARE_DRAFT_MODEL: a session of the smaller model. Its ids must mean what those of the text's model mean, as
     * with models of one family. It is fed the text, and what it holds of it already is not fed again; it is changed by
     * the steps of this text, so nothing else may use it meanwhile, and it must outlive the generation. Guesses end where
     * its context does, and where it fails. */
    tare_session *drafter;
};
#define TARE_GENERATE_OPTIONS_INIT TARE_SIZED(tare_generate_options)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_generate_options). Any thread. */
TARE_API void tare_generate_options_init(struct tare_generate_options *options, size_t size);

/* An id and its log-probability, -INFINITY where the model rules it out. */
struct tare_logprob {
    int32_t id;
    float logprob;
};

/* An id of a prompt. All is borrowed until the next call. */
struct tare_prompt_logprob {
    int32_t id;
    /* NaN: no id stands before it that was fed with this prompt. */
    float logprob;
    /* The likeliest ids in its place, the likeliest first, of equal ones the smaller id. */
    size_t n_top;
    const struct tare_logprob *top;
};

/* One step of a generation. All pointers are borrowed until the next call. */
struct tare_generated {
    /* sizeof(struct tare_generated), set by the caller. */
    size_t size;
    /* The text that this step adds, in whole characters, maybe "". A NUL follows; U+0000 may be in it. */
    const char *text;
    /* Bytes of text. */
    size_t bytes;
    /* The id that was chosen, also when its text is held back; -1: none. */
    int32_t id;
    enum tare_finish finish;
    /* Why the text failed: TARE_OK, or the code of tare_generate_error(). */
    enum tare_code code;
    /* How many ids of the prompt later steps will read. Until that is 0, a step has no id and no finish. */
    size_t waiting;
    /* The log-probability of id; NaN: there is no id, or it was not asked for. */
    float logprob;
    /* The likeliest ids in its place, the likeliest first, of equal ones the smaller id. */
    size_t n_top;
    /* Bytes from one to the next, also of those within `prompt`. */
    size_t top_stride;
    const struct tare_logprob *top;
    /* With prompt_logprobs: what this step learned of the prompt, its ids in order, each once over all steps. */
    size_t n_prompt;
    /* Bytes from one to the next. */
    size_t prompt_stride;
    const struct tare_prompt_logprob *prompt;
    /* With TARE_FINISH_STOP: the number of the stop string that came, as in the options. */
    size_t stop;
};
#define TARE_GENERATED_INIT TARE_SIZED(tare_generated)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_generated). Any thread. */
TARE_API void tare_generated_init(struct tare_generated *generated, size_t size);

/*
 * Prepare to continue a text.
 *
 *   generation   receives it; owned, tare_generate_free()
 *   session      is continued from where it stands, and must outlive the generation
 *   tokenizer    must outlive the generation
 *   prompt       n ids to feed first, at least one; copied
 *   options      may be NULL; all but the grammar is copied
 *
 * The ids that the session held before count among the recent ones, for penalties and drafts. TARE_E_ARGUMENT: no
 * prompt, a prompt that does not fit the context, or an option out of range. An id that the model does not have is told
 * by the step that feeds it.
 */
TARE_API enum tare_code tare_generate_open(tare_generate **generation, tare_session *session,
                                           const tare_tokenizer *tokenizer, const int32_t *prompt, size_t n,
                                           const struct tare_generate_options *options, struct tare_error *err);

/*
 * Continue the text by one id.
 *
 *   step     receives it
 *
 * With a finish the text is over, and further calls give the same finish and no text. The session then holds the prompt
 * and the ids that were given out, or all but the last of them. An error ends the text, too. TARE_E_FORMAT: the logits
 * hold NaN or infinity, as they do where the weights hold one.
 */
TARE_API enum tare_code tare_generate_next(tare_generate *generation, struct tare_generated *step,
                                           struct tare_error *err);

/*
 * Continue several texts by one id each, with one pass over the weights for all of them.
 *
 *   generates   n of them, of one model, each with a session of its own; threads are those of the first session
 *   steps       receives n steps, stride bytes apart (0: sizeof(struct tare_generated)); the caller sets their sizes
 *
 * Texts join and leave from call to call. Each becomes what it would become alone, to the bit; one whose prompt is
 * longer than its prompt_chunk takes several steps to read it. An error of one text is told in its step and ends it,
 * while the others continue. The call itself fails only where nothing was changed: TARE_E_ARGUMENT, when the texts are
 * not of one model, are not computed alike (exact, kernels) or share a session; TARE_E_MEMORY.
 */
TARE_API enum tare_code tare_generate_each(tare_generate *const *generates, size_t n, struct tare_generated *steps,
                                           size_t stride, struct tare_error *err);

/* End a text: its next step gives what was held back and TARE_FINISH_CANCELLED. Any thread, also during a step. */
TARE_API void tare_generate_cancel(tare_generate *generate);

/* Why the text failed; code TARE_OK: it has not. Borrowed, valid until tare_generate_free(). */
TARE_API const struct tare_error *tare_generate_error(const tare_generate *generate);

/* How many ids drafts have guessed so far, and how many of these were right. */
TARE_API void tare_generate_drafts(const tare_generate *generation, int64_t *guessed, int64_t *right);

/* End a text. Its session stays as it is. */
TARE_API void tare_generate_free(tare_generate *generation);

/* The word for a finish, as "stop". Static; any thread. */
TARE_API const char *tare_finish_name(enum tare_finish finish);

#ifdef __cplusplus
}
#endif
#endif
