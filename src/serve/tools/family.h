/* SPDX-License-Identifier: MIT
 * family.h - how a family of models writes calls and thoughts. A family is one file, calls_NAME.c, and one line in
 * tool_families.def; most files only fill in one of the readers below. */
#ifndef TARE_SERVE_TOOLS_FAMILY_H
#define TARE_SERVE_TOOLS_FAMILY_H

#include <event2/buffer.h>

#include "serve/tools/toolset.h"

/* ---- reading ----------------------------------------------------------------------------------------------------- */

enum tool_step {
    /* More text is needed. */
    TOOL_MORE,
    /* What was asked for has been read. */
    TOOL_NEXT,
    /* The calls of this sign are over. */
    TOOL_OVER,
    /* This is no call, or not any more. */
    TOOL_NOT,
    /* What follows is a thought, or content. */
    TOOL_THOUGHTS,
    TOOL_CONTENT
};

/* Of a reading: each begins at reading->at and moves it on when it returns TOOL_NEXT. */
void tool_space(struct tool_parser *parser);
enum tool_step tool_expect(struct tool_parser *parser, const char *text, bool over);
/* Passes over a mark that may stand after calls and need not; where the text is over, also over the beginning of one. */
enum tool_step tool_close(struct tool_parser *parser, const char *text, bool over);
/* Finds a text within `most` bytes: what stands before it is held[*from .. *from + *size). */
enum tool_step tool_until(struct tool_parser *parser, const char *text, size_t most, size_t *from, size_t *size);
/* Reads on in reading->value; tool_value_begin() comes first. */
enum tool_step tool_read_value(struct tool_parser *parser, bool over);

/* A call begins; it has a name, which must be one of the tools'; its arguments go on; it ends. */
void tool_call_begin(struct tool_parser *parser);
bool tool_call_name(struct tool_parser *parser, const char *name, size_t size);
bool tool_call_end(struct tool_parser *parser);

/* ---- what a family is -------------------------------------------------------------------------------------------- */

/* read_beside.c: LEAD name POINT arguments TAIL. Marks that a text lacks are forgiven where no doubt comes of it. */
struct tool_beside {
    const char *lead;
    const char *point;
    /* What may stand between name and arguments, and after them. */
    const char *gap;
    const char *tail;
    const struct tool_dialect *dialect;
    /* The arguments begin with the point. */
    bool inclusive;
    /* The name ends with a colon and the number of the call (Kimi). */
    bool numbered;
    /* A text that parts the name from an id (Mistral). */
    const char *id;
};

/* read_tags.c: each argument stands in tags. */
struct tool_tags {
    const char *name_open;
    const char *name_close;
    const char *key_open;
    const char *key_close;
    const char *value_open;
    const char *value_close;
    const char *end;
    /* The key is followed by string="true" or "false", and its value is as it stands (DeepSeek's DSML). */
    bool typed;
    /* One line end before and after a value is none of it. */
    bool lines;
    /* A value may stand within these, which are none of it; the second one ends with value_close. */
    const char *wrap_open;
    const char *wrap_close;
};

struct tool_writer;
/* Writes the arguments of a tool as rules of a grammar whose first one is called `name`. */
typedef bool (*tool_notation)(struct tool_writer *writer, const char *name, const json_t *schema,
                              const struct tool_form *form);

/* One way in which a family begins calls. What a grammar makes of it:
 *   SIGN open (before NAME middle ARGUMENTS after) [between (..)] close */
struct tool_form {
    const char *sign;
    /* It is a sign only where an answer begins. */
    bool first;
    /* The sign belongs to what is read. */
    bool keep;
    /* The grammar leaves it alone, so that a call is told when it is whole. */
    bool loose;
    const char *open;
    const char *before;
    const char *middle;
    const char *after;
    const char *between;
    const char *close;
    tool_notation notation;
    enum tool_step (*read)(struct tool_parser *parser, bool over);
    const struct tool_beside *beside;
    const struct tool_tags *tags;
};

enum { TOOL_FORMS = 5, TOOL_NOISE = 6 };

struct tool_family {
    const char *name;
    /* Texts by which the template is known, all of them; the first NULL: any. */
    const char *marks[2];
    struct tool_form forms[TOOL_FORMS];
    /* Marks around calls and content that say nothing more. */
    const char *noise[TOOL_NOISE];
    /* An answer has one call at most. */
    bool single;
    /* Arguments hold raw text, which has no sure end, so that calls that are required are written in JSON. */
    bool raw;
    enum { TOOL_IDS_PLAIN, TOOL_IDS_SHORT, TOOL_IDS_NUMBERED } ids;
    /* Answers come in messages with headers, and a text begins within the first one (gpt-oss); what ends thoughts. */
    bool headed;
    const char *think_close;
    /* Writes the rule "root" in a way of its own. */
    void (*root)(struct tool_writer *writer);
};

#define FAMILY(name) extern const struct tool_family tool_family_##name;
#include "serve/tools/tool_families.def"
#undef FAMILY

enum tool_step tool_read_inside(struct tool_parser *parser, bool over);
enum tool_step tool_read_beside(struct tool_parser *parser, bool over);
enum tool_step tool_read_tags(struct tool_parser *parser, bool over);
enum tool_step tool_read_python(struct tool_parser *parser, bool over);

/* ---- grammars ---------------------------------------------------------------------------------------------------- */

struct tool_writer {
    const struct toolset *tools;
    const tare_tokenizer *tokenizer;
    struct evbuffer *out;
    /* Content is by a schema, whose rule is "content". */
    bool content;
    struct serve_failure *failure;
    /* Why a schema is not understood. */
    char reason[256];
};

/* A text as GBNF; what is a special token becomes its number. */
void tool_write_text(struct tool_writer *writer, const char *text);
/* The same as a word after ~. */
void tool_write_word(struct tool_writer *writer, const char *text);
/* GBNF whose rules get a prefix. */
void tool_write_renamed(struct tool_writer *writer, const char *prefix, const char *gbnf);
/* The GBNF of a schema, whose rules get a prefix: its root is PREFIX-root. False: the schema is not understood. */
bool tool_write_schema(struct tool_writer *writer, const char *prefix, const json_t *schema);
bool tool_notation_json(struct tool_writer *writer, const char *name, const json_t *schema,
                        const struct tool_form *form);
bool tool_notation_python(struct tool_writer *writer, const char *name, const json_t *schema,
                          const struct tool_form *form);
bool tool_notation_tags(struct tool_writer *writer, const char *name, const json_t *schema,
                        const struct tool_form *form);
bool tool_notation_bare(struct tool_writer *writer, const char *name, const json_t *schema,
                        const struct tool_form *form);

/* ---- thoughts ---------------------------------------------------------------------------------------------------- */

struct tool_thought {
    const char *open;
    const char *close;
};
extern const struct tool_thought tool_thoughts[];
extern const size_t tool_n_thoughts;

#endif
