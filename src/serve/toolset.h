/* SPDX-License-Identifier: MIT
 * toolset.h - tools: what a request offers, the form in which a family of models writes a call, the grammar that makes
 * a call certain, and the parser that takes text, thoughts and calls apart again. */
#ifndef TARE_SERVE_TOOLSET_H
#define TARE_SERVE_TOOLSET_H

#include <jansson.h>
#include <stdbool.h>

#include "serve/failure.h"
#include "tare.h"

/* How a family writes calls: OPEN BEFORE name MIDDLE arguments AFTER [BETWEEN ..] CLOSE. */
struct tool_family {
    const char *name;
    /* A text by which the template is known; NULL: any. */
    const char *mark;
    /* What opens a list of calls, and is written before the grammar begins when a call is required. */
    const char *open;
    const char *before;
    const char *middle;
    const char *after;
    /* Between two calls. */
    const char *between;
    const char *close;
    /* The text before which what follows is a call; NULL: open. */
    const char *sign;
    /* Ids of calls: 9 letters and digits (mistral). */
    bool short_ids;
};

enum tool_choice { TOOLS_NONE, TOOLS_AUTO, TOOLS_REQUIRED };

struct toolset {
    /* Borrowed from the body; NULL: no tools. */
    json_t *list;
    enum tool_choice choice;
    /* The only one that may be called, or -1. */
    int named;
    bool parallel;
    /* The family that writes the calls of this request. */
    const struct tool_family *family;
    /* Calls are certain: the text is written by a grammar from the family's `open` on. */
    bool forced;
    /* The marks of thoughts; NULL: none. */
    const char *think_open;
    const char *think_close;
    /* The prompt ends within thoughts. */
    bool thinking;
};

enum tool_piece_kind { TOOL_TEXT, TOOL_THOUGHT, TOOL_CALL, TOOL_ARGUMENTS };

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
    char id[40];
    char name[72];
    char *arguments;
    size_t size;
};

/* The state of one text. */
struct tool_parser {
    const struct toolset *tools;
    /* Held back, since it may be the beginning of a mark, or a call that is not complete. */
    char *held;
    size_t n_held;
    size_t room;
    int state;
    struct tool_call *calls;
    size_t n_calls;
};

typedef void (*tool_tell)(void *user, const struct tool_piece *piece);

/* The family that a template's text shows. */
const struct tool_family *tool_family_of(const char *text);
/* Reads tools, tool_choice and parallel_tool_calls. */
bool toolset_take(struct toolset *tools, const json_t *body, const struct tool_family *family,
                  struct serve_failure *failure);
/* The grammar of forced calls; *grammar is owned. */
bool toolset_grammar(const struct toolset *tools, const tare_tokenizer *tokenizer, tare_grammar **grammar,
                     struct serve_failure *failure);

/* Finds out from the end of the prompt whether the text begins within thoughts. */
void toolset_thoughts(struct toolset *tools, const char *prompt, size_t size);

void tool_parser_put(struct tool_parser *parser, const char *text, size_t size, tool_tell tell, void *user);
/* The text is over. */
void tool_parser_end(struct tool_parser *parser, tool_tell tell, void *user);
void tool_parser_release(struct tool_parser *parser);

#endif
