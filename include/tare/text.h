/* SPDX-License-Identifier: MIT
 *
 * tare/text.h - tokenizers and chat templates.
 * A part of tare.h, which says what holds for all of it.
 */
#ifndef TARE_TEXT_H
#define TARE_TEXT_H

#include "plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- text -------------------------------------------------------------------------------------------------------- */

/* Text to ids and back. Using it does not change it, so threads may share it. */
typedef struct tare_tokenizer tare_tokenizer;

/*
 * Read a model's tokenizer.
 *
 *   tokenizer   receives it; owned, tare_tokenizer_free()
 *   path        as of tare_plan()
 *   options     may be NULL; files, n_files, host and no_map are read
 *
 * It is read from tokenizer.json, tokenizer.model (SentencePiece), tekken.json or a GGUF file's metadata, whichever of
 * these comes first; tokenizer_config.json, generation_config.json and config.json tell added tokens and the ids that
 * end a text. No other file is read.
 */
TARE_API enum tare_code tare_tokenizer_open(tare_tokenizer **tokenizer, const char *path,
                                            const struct tare_options *options, struct tare_error *err);

/* Free a tokenizer. Streams, grammars and texts of it must be freed before. */
TARE_API void tare_tokenizer_free(tare_tokenizer *tokenizer);

/*
 * Encode a text.
 *
 *   text     UTF-8 of `size` bytes; invalid bytes are refused (TARE_E_ARGUMENT)
 *   special  add the ids that the model expects around a text, as <s>
 *   ids      receives n ids; owned, tare_ids_free()
 */
TARE_API enum tare_code tare_tokenizer_encode(const tare_tokenizer *tokenizer, const char *text, size_t size,
                                              bool special, int32_t **ids, size_t *n, struct tare_error *err);

/* Encode a text as tare_tokenizer_encode() does, but for special tokens in it: their names are text like any other, as
 * what a stranger typed should be. Any thread. */
TARE_API enum tare_code tare_tokenizer_encode_literal(const tare_tokenizer *tokenizer, const char *text, size_t size,
                                                      bool special, int32_t **ids, size_t *n, struct tare_error *err);

/* Free ids that these gave. */
TARE_API void tare_ids_free(int32_t *ids);

/*
 * Decode n ids at once.
 *
 *   skip_special   leave out the special tokens
 *   text           receives UTF-8 and a NUL; owned, tare_text_free()
 *   size           receives the bytes of text without the NUL, since U+0000 may be in it; may be NULL
 *
 * An id without a token gives no text: a vocabulary may be shorter than the embedding.
 */
TARE_API enum tare_code tare_tokenizer_decode(const tare_tokenizer *tokenizer, const int32_t *ids, size_t n,
                                              bool skip_special, char **text, size_t *size, struct tare_error *err);

/* One more than the largest id that has a token, added tokens included. There may be gaps. */
TARE_API int64_t tare_tokenizer_size(const tare_tokenizer *tokenizer);

/*
 * Look up the id of a token.
 *
 *   text   `size` bytes, as the vocabulary writes the token: "<|im_end|>", "\u2581the" (SentencePiece), "\u0120the"
 *          (byte-level), "<0x0A>". An added token takes precedence
 *   id     receives it; -1 on failure
 *
 * TARE_E_ABSENT: there is no such token. Any thread.
 */
TARE_API enum tare_code tare_tokenizer_id(const tare_tokenizer *tokenizer, const char *text, size_t size, int32_t *id,
                                          struct tare_error *err);

/*
 * Look up the bytes of an id: what it adds in the middle of a text.
 *
 *   text      receives them, with a NUL after them; borrowed from the tokenizer. They need not be whole characters
 *   size      receives their number
 *   special   receives whether decoding may leave the token out; may be NULL
 *
 * "\u0120the" and "\u2581the" are " the", "<0x0A>" is a line feed, and a special token is its own text. Joined, the bytes
 * of the ids of a continuation are its text before invalid bytes become U+FFFD. Only what a decoder does at the
 * beginning of a text, or to neighbouring tokens (WordPiece's clean-up), is not in them. The first call works the bytes
 * of all ids out. TARE_E_ABSENT: no token has the id. Any thread.
 */
TARE_API enum tare_code tare_tokenizer_token(const tare_tokenizer *tokenizer, int32_t id, const char **text,
                                             size_t *size, bool *special, struct tare_error *err);

/* Does the id end a text? */
TARE_API bool tare_tokenizer_ends(const tare_tokenizer *tokenizer, int32_t id);

/* Decoding one id after another. It gives out whole characters only; an incomplete one is held back until it is
 * complete or known to be invalid. One thread at a time. */
typedef struct tare_stream tare_stream;

/* Begin a text. *stream is owned, tare_stream_free(); the tokenizer must outlive it. */
TARE_API enum tare_code tare_stream_open(tare_stream **stream, const tare_tokenizer *tokenizer, bool skip_special,
                                         struct tare_error *err);

/* Free a stream. */
TARE_API void tare_stream_free(tare_stream *stream);

/* Add an id. *piece receives the text that is new, "" when it is held back, with a NUL after it; *size, which may be
 * NULL, its bytes, since U+0000 may be in it. Borrowed until the next call. */
TARE_API enum tare_code tare_stream_put(tare_stream *stream, int32_t id, const char **piece, size_t *size,
                                        struct tare_error *err);

/* End the text. *piece and *size receive what was held back. A stream that has ended takes no more ids. */
TARE_API enum tare_code tare_stream_end(tare_stream *stream, const char **piece, size_t *size, struct tare_error *err);

/* ---- chat templates ---------------------------------------------------------------------------------------------- */

/* A chat template, in the Jinja language as transformers sets it up. Rendering does not change it, so threads may share
 * it. */
typedef struct tare_template tare_template;

/*
 * Read a model's template and special tokens.
 *
 *   chat_template   receives it; owned, tare_template_free()
 *   path            as of tare_plan()
 *   options         may be NULL; files, n_files, host and no_map are read
 *
 * They are read from chat_template.jinja, additional_chat_templates/tool_use.jinja, chat_template.json and
 * tokenizer_config.json, or from a GGUF file's metadata. No other file is read. TARE_E_ABSENT: the model has none.
 */
TARE_API enum tare_code tare_template_open(tare_template **chat_template, const char *path,
                                           const struct tare_options *options, struct tare_error *err);

/* Make a template of any text in the language, `size` bytes of UTF-8, which are copied. It sees request->variables as
 * they are, and nothing else. *chat_template is owned, tare_template_free(). */
TARE_API enum tare_code tare_template_from_text(tare_template **chat_template, const char *text, size_t size,
                                                struct tare_error *err);

/* Free a template. */
TARE_API void tare_template_free(tare_template *chat_template);

/* One message of a conversation. */
struct tare_turn {
    /* "system", "user", "assistant". */
    const char *role;
    /* UTF-8. */
    const char *content;
};

/* What is rendered. All texts are borrowed for the call, UTF-8, and end with a NUL. */
struct tare_template_request {
    /* sizeof(struct tare_template_request). */
    size_t size;
    /* The conversation, n_turns messages. */
    const struct tare_turn *turns;
    size_t n_turns;
    /* Bytes from one turn to the next; 0: as in this version's struct tare_turn. */
    size_t turns_stride;
    /* The conversation in JSON, in the place of turns: [{"role": .., "content": .., ..}, ..]. */
    const char *messages;
    /* JSON: a list of tool definitions; NULL: none. */
    const char *tools;
    /* JSON: an object of further variables ("enable_thinking", "documents"), also of "messages", "tools" and
     * "add_generation_prompt" where the fields here do not say; NULL: none. */
    const char *variables;
    /* End with what opens the assistant's answer. */
    bool add_generation_prompt;
    /* The local time in ISO 8601, for a template that calls strftime_now; NULL: such a template is refused. A text
     * named "strftime_now" among the variables takes precedence. */
    const char *clock;
};
#define TARE_TEMPLATE_REQUEST_INIT TARE_SIZED_LIST(tare_template_request, turns_stride, tare_turn)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_template_request). Any thread. */
TARE_API void tare_template_request_init(struct tare_template_request *request, size_t size);

/*
 * Render a conversation as the model expects it. The text has its special tokens: encode it without adding any.
 *
 *   request     what to render
 *   text        receives UTF-8 and a NUL; owned, tare_text_free(); NULL on failure
 *   text_size   receives the bytes of text, without the NUL
 *
 * A template runs in a sandbox: an attribute is a key of an object or a name from a list of methods. TARE_E_FORMAT:
 * variables or template are not well-formed; the template raises an exception, whose text is given as it is; or it
 * needs more than 50 million steps, 16 MiB of text, 16 MiB of values (beside eight times the variables) or 200 nested
 * calls. err->where then has file and line.
 */
TARE_API enum tare_code tare_template_render(const tare_template *chat_template,
                                             const struct tare_template_request *request, char **text,
                                             size_t *text_size, struct tare_error *err);

#ifdef __cplusplus
}
#endif
#endif
