/* SPDX-License-Identifier: MIT
 * tool_value.h - reads a value byte by byte, in JSON or in one of the notations that models have for it, and writes it as
 * compact JSON. Nothing is run, and neither depth nor the length of a number is without bound. */
#ifndef TARE_SERVE_TOOLS_TOOL_VALUE_H
#define TARE_SERVE_TOOLS_TOOL_VALUE_H

#include <stdbool.h>
#include <stddef.h>

enum { TOOL_DEPTH = 200, TOOL_WORD = 320, TOOL_KEY = 256 };

/* A notation. */
struct tool_dialect {
    /* What stands before and after a text: "\"" as in JSON, or a mark between which a text is raw. */
    const char *quote;
    /* Python: texts also in ', True, False, None, and arguments as f(key=value). */
    bool python;
    /* Keys are bare, and a word that is no number and no constant, also one of Python, is a text. */
    bool bare;
};
extern const struct tool_dialect tool_json, tool_python;

/* Bytes that grow; with a NUL after them where there are some. */
struct tool_bytes {
    char *data;
    size_t size;
    size_t room;
    bool failed;
};
void tool_bytes_add(struct tool_bytes *bytes, const char *text, size_t size);
/* As the inside of a JSON text. */
void tool_bytes_add_escaped(struct tool_bytes *bytes, const char *text, size_t size);
void tool_bytes_release(struct tool_bytes *bytes);

enum tool_byte {
    /* The byte was taken, and the value is not over. */
    TOOL_BYTE_TAKEN,
    /* It was taken, and was the last one. */
    TOOL_BYTE_LAST,
    /* The value was over before it. */
    TOOL_BYTE_AFTER,
    TOOL_BYTE_WRONG
};

struct tool_value {
    const struct tool_dialect *dialect;
    /* Where the JSON goes; NULL: nowhere. Not owned. */
    struct tool_bytes *to;
    int state;
    /* The containers that are open: { [ and, of Python's arguments, ( */
    char open[TOOL_DEPTH];
    int depth;
    /* A comma came, and is not written yet. */
    bool comma;
    /* A number, a constant, or a key without quotes. */
    char word[TOOL_WORD];
    size_t n_word;
    /* Within a text: what ends it, how far that has come, what an escape still needs, and its number. */
    const char *quote;
    size_t n_quote;
    int escape;
    unsigned long code;
};

/* Begin. In Python what comes may be a list of arguments, beginning with its parenthesis, which becomes an object. */
void tool_value_begin(struct tool_value *value, const struct tool_dialect *dialect, struct tool_bytes *to);
enum tool_byte tool_value_put(struct tool_value *value, char byte);
/* There is no more text: true where a number or constant is complete by that. */
bool tool_value_end(struct tool_value *value);

#endif
