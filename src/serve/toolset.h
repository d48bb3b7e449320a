/* SPDX-License-Identifier: MIT
 * toolset.h - tools: what a request offers, the form in which a family of models writes a call, the grammar that makes
 * a call certain, and the parser that takes text, thoughts and calls apart again. */
#ifndef TARE_SERVE_TOOLSET_H
#define TARE_SERVE_TOOLSET_H

#include <jansson.h>
#include <stdbool.h>

#include "serve/failure.h"
#include "tare.h"

/* Where the name of a call stands. */
enum tool_style {
    /* In JSON, beside the arguments. */
    TOOL_NAME_INSIDE,
    /* Before a mark, after which JSON comes; or after it. */
    TOOL_NAME_BEFORE,
    TOOL_NAME_AFTER,
    /* In tags, as each argument is. */
    TOOL_TAGS
};

/* Calls in tags. Values are raw text, or JSON where the schema says that they are no text. */
struct tool_tags {
    const char *name_open;
    const char *name_close;
    const char *key_open;
    const char *key_close;
    const char *value_open;
    const char *value_close;
    const char *end;
};

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
    enum tool_style style;
    /* TOOL_NAME_BEFORE and TOOL_NAME_AFTER: the mark between name and arguments. */
    const char *point;
    const struct tool_tags *tags;
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
    /* What stands in the prompt after what the template makes, when calls are forced. */
    char prefill[512];
    /* The grammar is of the arguments alone, of the tool of that number, since its name stands in the prompt; or -1. */
    int only;
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

/* tool_calls.c: takes the calls out of a text. Returns how many there were. */
typedef void (*tool_found)(void *user, const char *name, const json_t *arguments);
size_t tool_calls_read(const struct toolset *tools, const char *text, size_t size, tool_found found, void *user);

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

/* Is a special token of this text one of the marks that the parser must see? */
bool toolset_has_mark(const struct toolset *tools, const char *text);

void tool_parser_put(struct tool_parser *parser, const char *text, size_t size, tool_tell tell, void *user);
/* The text is over. */
void tool_parser_end(struct tool_parser *parser, tool_tell tell, void *user);
void tool_parser_release(struct tool_parser *parser);

#endif
