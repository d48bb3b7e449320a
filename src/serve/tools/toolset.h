/* SPDX-License-Identifier: MIT
 * toolset.h - tools: what a request offers, the grammar that makes calls certain, and the parser that takes content,
 * thoughts and calls apart. family.h has how the families of models write them. */
#ifndef TARE_SERVE_TOOLS_TOOLSET_H
#define TARE_SERVE_TOOLS_TOOLSET_H

#include <jansson.h>
#include <stdbool.h>

#include "serve/failure.h"
#include "serve/tools/tool_value.h"
#include "tare.h"

struct tool_family;
struct tool_form;

enum tool_choice { TOOLS_NONE, TOOLS_AUTO, TOOLS_REQUIRED };

struct toolset {
    /* Borrowed from the body; NULL: no tools. */
    json_t *list;
    enum tool_choice choice;
    /* The only one that may be called, or -1. */
    int named;
    bool parallel;
    /* The family that writes the calls of this request; NULL: this is no chat. */
    const struct tool_family *family;
    /* Calls are certain: the text is a call. */
    bool forced;
    /* Calls that a model begins are made by the grammar, so that their arguments may be told as they come. */
    bool guarded;
    /* The prompt ends within thoughts; the text that ends them. */
    bool thinking;
    const char *think_close;
};

enum tool_piece_kind { TOOL_TEXT, TOOL_THOUGHT, TOOL_CALL, TOOL_ARGUMENTS, TOOL_CALL_END };

/* What a parser tells. */
struct tool_piece {
    enum tool_piece_kind kind;
    const char *text;
    size_t size;
    /* The number of the call. */
    size_t call;
    const char *name;
    const char *id;
};

struct tool_call {
    char id[96];
    char name[72];
    struct tool_bytes arguments;
};

typedef void (*tool_tell)(void *user, const struct tool_piece *piece);

/* How far the calls that begin at a sign have been read. */
struct tool_reading {
    const struct tool_form *form;
    /* Of the held text: what has been read, and where what is neither told nor known to be a call begins. */
    size_t at;
    size_t raw;
    int phase;
    bool list;
    /* The value of a tag is wrapped. */
    bool wrapped;
    /* The call that is being read; it is no call before it has its name. */
    struct tool_call call;
    bool named;
    bool began;
    /* It has been told, as number n_calls - 1, and so many bytes of its arguments. */
    bool told;
    size_t n_told;
    /* No more calls are wanted, so it is read and not told. */
    bool mute;
    struct tool_value value;
    struct tool_bytes scratch;
    const json_t *function;
};

/* The state of one text. */
struct tool_parser {
    const struct toolset *tools;
    /* Held back, since it may be the beginning of a mark, or a call that is not complete. */
    char *held;
    size_t n_held;
    size_t room;
    int state;
    const char *think_close;
    struct tool_reading reading;
    struct tool_call *calls;
    size_t n_calls;
    /* The text ended within the last call. */
    bool cut;
    /* While a piece is put. */
    tool_tell tell;
    void *user;
};

/* ---- toolset.c ---- */

/* Reads tools, tool_choice and parallel_tool_calls. */
bool toolset_take(struct toolset *tools, const json_t *body, const struct tool_family *family,
                  struct serve_failure *failure);
/* The function of that name which is offered; NULL: there is none. */
const json_t *toolset_offers(const struct toolset *tools, const char *name);
const char *toolset_name(const struct toolset *tools, size_t i);
/* Finds out from the end of the prompt whether the text begins within thoughts. */
void toolset_thoughts(struct toolset *tools, const char *prompt, size_t size);
/* Is a special token of this text a part of a mark that the parser must see? */
bool toolset_has_mark(const struct toolset *tools, const char *text);

/* ---- tool_grammar.c ---- */

/* The grammar of a chat's answer: calls by their tools' schemas, content by `content`, the GBNF of a schema, or any where
 * that is NULL. *grammar is owned, and NULL where nothing is to be made certain. */
bool toolset_grammar(struct toolset *tools, const tare_tokenizer *tokenizer, const char *content,
                     tare_grammar **grammar, struct serve_failure *failure);

/* ---- tool_families.c ---- */

/* The family that a text of a template shows; NULL: of none. */
const struct tool_family *tool_family_of(const char *text);
/* Shows the template a tool and a call of it, to see how the model's family writes calls. NULL: a template of ours, for a text
 * without roles. *describes: the template knows no tools, so that a message must tell of them. */
const struct tool_family *tool_family_probe(const tare_template *chat, const tare_tokenizer *tokenizer,
                                            bool *describes);
/* Must ids of calls have 9 letters and digits? */
bool tool_family_short_ids(const struct tool_family *family);

/* ---- tool_parser.c ---- */

void tool_parser_put(struct tool_parser *parser, const char *text, size_t size, tool_tell tell, void *user);
/* The text is over. */
void tool_parser_end(struct tool_parser *parser, tool_tell tell, void *user);
void tool_parser_release(struct tool_parser *parser);
/* Are thoughts being written? */
bool tool_parser_thinks(const struct tool_parser *parser);

#endif
