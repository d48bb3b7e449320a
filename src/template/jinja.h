/* SPDX-License-Identifier: MIT
 * jinja.h - the template language of chat templates: values, tree, and what an interpretation carries along.
 *
 *     template text -> tokens (jinja_lex) -> tree (jinja_parse, jinja_expression) -> text (jinja_exec, jinja_eval)
 *
 * Everything lies in one arena that lives as long as one rendering. A failure is sticky: tare_jinja_fail() notes the
 * first one, every loop ends when it sees s->failed, and what functions return then is not looked at. Nothing can reach
 * a file, a module or a host object: an attribute is a key, or a method of the tables in jinja_text.c and
 * jinja_methods.c.
 */
#ifndef TARE_TEMPLATE_JINJA_H
#define TARE_TEMPLATE_JINJA_H

#include <jansson.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/text.h"

#define TARE_JINJA_FUEL ((int64_t)50000000)     /* steps: a node visited, an item seen, 64 bytes made */
#define TARE_JINJA_TEXT_MOST ((size_t)16 << 20) /* bytes of the output, and of each text on the way */
/* Values are freed at the end only. All of them together may take MADE_MOST bytes and, because variables are copied,
 * MADE_GIVEN times the bytes of the given variables. */
#define TARE_JINJA_MADE_MOST ((size_t)16 << 20)
#define TARE_JINJA_MADE_GIVEN 8
#define TARE_JINJA_CALLS_MOST 200  /* macros and recursive loops inside one another */
#define TARE_JINJA_DEPTH_MOST 3000 /* nodes inside one another, over all calls */
#define TARE_JINJA_NEST_MOST 200   /* parentheses, blocks, lists in lists */
#define TARE_JINJA_RANGE_MOST 100000

enum tare_jinja_kind {
    TARE_JINJA_ABSENT, /* an argument that was not given; never seen by a template */
    TARE_JINJA_UNDEFINED,
    TARE_JINJA_NONE,
    TARE_JINJA_BOOL,
    TARE_JINJA_INT,
    TARE_JINJA_FLOAT,
    TARE_JINJA_TEXT,
    TARE_JINJA_BYTES,
    TARE_JINJA_LIST,
    TARE_JINJA_TUPLE,
    TARE_JINJA_STREAM, /* a generator: can be walked once */
    TARE_JINJA_VIEW,   /* dict.items() and its kin: walked, measured, not indexed */
    TARE_JINJA_DICT,
    TARE_JINJA_RANGE,
    TARE_JINJA_SPACE, /* a namespace */
    TARE_JINJA_LOOP,
    TARE_JINJA_MACRO,
    TARE_JINJA_FUNCTION,
    TARE_JINJA_METHOD,
    TARE_JINJA_CYCLER,
    TARE_JINJA_JOINER
};

struct tare_jinja_value {
    uint8_t kind;
    uint8_t owner;  /* of an undefined value: kind of the object that lacks it, or TARE_JINJA_ABSENT: a variable */
    uint8_t unsafe; /* of an undefined value: there is such a thing, out of reach */
    union {
        bool truth;
        int64_t whole;
        double real;
        const char *text; /* undefined: what was looked for, NULL: element number `size` */
        struct tare_jinja_list *list;
        struct tare_jinja_dict *dict;
        struct tare_jinja_range *range;
        struct tare_jinja_loop *loop;
        struct tare_jinja_macro *macro;
        struct tare_jinja_method *method;
        const struct tare_jinja_builtin *builtin;
    } as;
    size_t size; /* bytes of text */
};

struct tare_jinja_list {
    struct tare_jinja_value *items;
    size_t n, room;
    bool spent;       /* of a stream */
    const char *type; /* of a stream or view: Python's word */
    size_t at;        /* of a cycler */
};
struct tare_jinja_pair {
    uint32_t hash;
    struct tare_jinja_value key, value;
};
struct tare_jinja_dict {
    struct tare_jinja_pair *pairs;
    size_t n, room;
};
struct tare_jinja_range {
    int64_t start, stop, step, n;
};
struct tare_jinja_args {
    struct tare_jinja_value *items;
    size_t n;
    struct tare_jinja_pair *named; /* keys are texts */
    size_t n_named;
};

struct tare_jinja_state;
/* a[0] is what a filter, test or method works on; then come the parameters, TARE_JINJA_ABSENT where not given. */
typedef struct tare_jinja_value (*tare_jinja_function)(struct tare_jinja_state *s, const struct tare_jinja_value *a,
                                                       const struct tare_jinja_args *args);
enum { TARE_JINJA_PARAMETERS = 7 };
struct tare_jinja_builtin {
    const char *name;
    tare_jinja_function run;
    const char *parameters; /* "old new ?count"; "*": takes args as they are; NULL: exists, but is out of reach */
};
struct tare_jinja_method {
    struct tare_jinja_value self;
    const struct tare_jinja_builtin *builtin;
};

/* ---- tree -------------------------------------------------------------------------------------------------------- */

enum tare_jinja_node_kind {
    N_CONST,
    N_NAME,
    N_LIST,
    N_TUPLE,
    N_DICT,
    N_NEGATE,
    N_PLUS,
    N_NOT,
    N_AND,
    N_OR,
    N_BINARY,
    N_CONCAT,
    N_COMPARE,
    N_OPERAND,
    N_CONDITION,
    N_ATTRIBUTE,
    N_ITEM,
    N_SLICE,
    N_CALL,
    N_KEYWORD,
    N_FILTER,
    N_TEST,
    N_SPACE_TARGET,
    N_DATA,
    N_OUTPUT,
    N_BLOCK,
    N_SCOPE,
    N_IF,
    N_BRANCH,
    N_FOR,
    N_SET,
    N_SET_BLOCK,
    N_WITH,
    N_MACRO,
    N_CALL_BLOCK,
    N_FILTER_BLOCK,
    N_BREAK,
    N_CONTINUE,
    N_REFUSE
};

enum tare_jinja_token_kind {
    T_DATA,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_VARIABLE_BEGIN,
    T_VARIABLE_END,
    T_NAME,
    T_TEXT,
    T_INTEGER,
    T_FLOAT,
    T_ADD,
    T_SUB,
    T_DIV,
    T_FLOORDIV,
    T_MUL,
    T_MOD,
    T_POW,
    T_TILDE,
    T_LBRACKET,
    T_RBRACKET,
    T_LPAREN,
    T_RPAREN,
    T_LBRACE,
    T_RBRACE,
    T_EQ,
    T_NE,
    T_GT,
    T_GE,
    T_LT,
    T_LE,
    T_ASSIGN,
    T_DOT,
    T_COLON,
    T_PIPE,
    T_COMMA,
    T_SEMICOLON,
    T_IN,
    T_NOT_IN,
    T_END
};

/* The comment over each parser says which fields a kind of node uses. Calls, filters and tests have positional
 * arguments in `items`, named ones (N_KEYWORD) in `more`, *args in b and **kwargs in c. */
struct tare_jinja_node {
    uint8_t kind, op;
    bool flag;
    uint8_t takes; /* of a macro: TAKES_ */
    int line, height;
    struct tare_jinja_value value; /* a constant; the text of a name */
    struct tare_jinja_node *a, *b, *c;
    struct tare_jinja_node **items, **more;
    size_t n, n_more;
    const struct tare_jinja_builtin *builtin;
};
enum { TAKES_CALLER = 1, TAKES_VARARGS = 2, TAKES_KWARGS = 4 };

struct tare_jinja_token {
    uint8_t kind;
    int line;
    struct tare_jinja_value value; /* text of names, data and strings; numbers */
};
struct tare_jinja_tokens {
    struct tare_jinja_token *items;
    size_t n, room;
};

/* ---- an interpretation ------------------------------------------------------------------------------------------- */

struct tare_jinja_variable {
    struct tare_jinja_value name, value;
};
struct tare_jinja_scope {
    struct tare_jinja_scope *parent;
    struct tare_jinja_variable *variables;
    size_t n, room;
    /* A macro refers to it, so that a loop must not use it again. */
    bool kept;
};
struct tare_jinja_macro {
    const struct tare_jinja_node *node;
    struct tare_jinja_scope *scope;
    struct tare_jinja_value name;
    bool caller; /* body of a call block */
};

/* A walk over the items of a value; n counts them, or the bytes of a text. */
struct tare_jinja_walk {
    struct tare_jinja_value value;
    size_t at, n; /* n: items, or bytes of a text */
};
struct tare_jinja_loop {
    struct tare_jinja_walk walk;
    const struct tare_jinja_node *node;
    struct tare_jinja_scope *scope; /* around the loop */
    int64_t index, length, depth;
    struct tare_jinja_value before, now, after; /* TARE_JINJA_ABSENT where there is none */
    struct tare_jinja_value changed;
};

struct tare_jinja_state {
    struct tare_arena arena;
    struct tare_error *err;
    enum tare_code code;
    bool failed;
    const char *where; /* the template's name in errors */
    const char *clock; /* ISO 8601, or NULL */
    int line;
    int64_t fuel;
    int depth, calls;
    size_t given; /* bytes of the variables */
    struct tare_text *out;
    /* The ends of texts that can grow, and how many free bytes follow each: first the text made last, then long
     * joints. */
    struct tare_jinja_tail {
        char *at;
        size_t room;
    } tails[4];
    unsigned next_tail;
    struct tare_jinja_dict *context;
    struct tare_jinja_scope *scope;
};

/* ---- jinja_value.c: making, finding ------------------------------------------------------------------------------ */

struct tare_jinja_value tare_jinja_fail(struct tare_jinja_state *s, const char *format, ...) TARE_PRINTF(2, 3);
struct tare_jinja_value tare_jinja_fail_limit(struct tare_jinja_state *s, const char *format, ...) TARE_PRINTF(2, 3);
bool tare_jinja_spend(struct tare_jinja_state *s, size_t steps); /* false: no fuel left */
void *tare_jinja_alloc(struct tare_jinja_state *s, size_t n, size_t item);
struct tare_jinja_value tare_jinja_make(enum tare_jinja_kind kind);
struct tare_jinja_value tare_jinja_bool(bool truth);
struct tare_jinja_value tare_jinja_whole(int64_t whole);
struct tare_jinja_value tare_jinja_real(double real);
struct tare_jinja_value tare_jinja_text(const char *text, size_t size); /* borrowed */
struct tare_jinja_value tare_jinja_word(const char *text);              /* the same, to its NUL */
struct tare_jinja_value tare_jinja_copy(struct tare_jinja_state *s, const char *text, size_t size);
struct tare_jinja_value tare_jinja_join(struct tare_jinja_state *s, struct tare_jinja_value a,
                                        struct tare_jinja_value b);                          /* two texts as one */
struct tare_jinja_value tare_jinja_take(struct tare_jinja_state *s, struct tare_text *text); /* copied and released */
void tare_jinja_add(struct tare_jinja_state *s, struct tare_text *text, const char *bytes, size_t n);
void tare_jinja_add_value(struct tare_jinja_state *s, struct tare_text *text,
                          struct tare_jinja_value value); /* a text's bytes */
void tare_jinja_puts(struct tare_jinja_state *s, struct tare_text *text, const char *word);
struct tare_jinja_value tare_jinja_listed(enum tare_jinja_kind kind, struct tare_jinja_list *list);
struct tare_jinja_list *tare_jinja_list_new(struct tare_jinja_state *s, size_t room); /* NULL on failure */
void tare_jinja_list_add(struct tare_jinja_state *s, struct tare_jinja_list *list, struct tare_jinja_value value);
struct tare_jinja_value tare_jinja_pair(struct tare_jinja_state *s, struct tare_jinja_value a,
                                        struct tare_jinja_value b); /* a tuple of two */
struct tare_jinja_dict *tare_jinja_dict_new(struct tare_jinja_state *s, size_t room);
struct tare_jinja_value tare_jinja_dicted(struct tare_jinja_dict *dict);
const struct tare_jinja_value *tare_jinja_dict_get(struct tare_jinja_state *s, const struct tare_jinja_dict *dict,
                                                   struct tare_jinja_value key); /* NULL: absent */
void tare_jinja_dict_set(struct tare_jinja_state *s, struct tare_jinja_dict *dict, struct tare_jinja_value key,
                         struct tare_jinja_value value);
void tare_jinja_dict_append(struct tare_jinja_state *s, struct tare_jinja_dict *dict, struct tare_jinja_value key,
                            struct tare_jinja_value value); /* a new key */
struct tare_jinja_value tare_jinja_from_json(struct tare_jinja_state *s, const json_t *json, int depth);
bool tare_jinja_is(struct tare_jinja_value value, const char *word); /* is it this text? */
bool tare_jinja_is_number(struct tare_jinja_value value);            /* bool, int, float */
const char *tare_jinja_type(struct tare_jinja_value value);          /* Python's name: "str" */
const char *tare_jinja_object(enum tare_jinja_kind kind);            /* Jinja's: "str object" */

/* ---- jinja_compare.c --------------------------------------------------------------------------------------------- */

bool tare_jinja_truth(struct tare_jinja_value value);
bool tare_jinja_equal(struct tare_jinja_state *s, struct tare_jinja_value a, struct tare_jinja_value b);
/* <0, 0, >0; fails where the two have no order. op: "<", for the error. */
int tare_jinja_order(struct tare_jinja_state *s, struct tare_jinja_value a, struct tare_jinja_value b, const char *op);
bool tare_jinja_in(struct tare_jinja_state *s, struct tare_jinja_value item, struct tare_jinja_value container);
uint32_t tare_jinja_hash(struct tare_jinja_state *s, struct tare_jinja_value value);
/* Sort in place, stably. keys: what to compare, reordered alike; may be items itself. */
void tare_jinja_sort(struct tare_jinja_state *s, struct tare_jinja_value *keys, struct tare_jinja_value *items,
                     size_t n, bool reverse);

/* ---- jinja_walk.c: sequences, characters ------------------------------------------------------------------------- */

bool tare_jinja_walk_init(struct tare_jinja_state *s, struct tare_jinja_walk *walk,
                          struct tare_jinja_value value); /* fails: not iterable */
bool tare_jinja_walk_next(struct tare_jinja_state *s, struct tare_jinja_walk *walk, struct tare_jinja_value *item);
struct tare_jinja_list *
tare_jinja_collect(struct tare_jinja_state *s,
                   struct tare_jinja_value value); /* items of what can be walked; NULL on failure */
int64_t tare_jinja_length(struct tare_jinja_state *s, struct tare_jinja_value value);
size_t tare_jinja_characters(const char *text, size_t size);
size_t tare_jinja_offset(const char *text, size_t size,
                         size_t characters); /* bytes of the first characters, at most size */
struct tare_jinja_value tare_jinja_item(struct tare_jinja_state *s, struct tare_jinja_value object,
                                        struct tare_jinja_value key);
struct tare_jinja_value tare_jinja_slice(struct tare_jinja_state *s, struct tare_jinja_value object,
                                         const struct tare_jinja_value bounds[3]);
/* A method, or what else an object has under a name without being a container; TARE_JINJA_ABSENT: nothing. */
struct tare_jinja_value tare_jinja_own(struct tare_jinja_state *s, struct tare_jinja_value object,
                                       struct tare_jinja_value name);
struct tare_jinja_value tare_jinja_attribute(struct tare_jinja_state *s, struct tare_jinja_value object,
                                             struct tare_jinja_value name);
const struct tare_jinja_builtin *tare_jinja_method_find(struct tare_jinja_value object,
                                                        struct tare_jinja_value name); /* NULL: none */

/* ---- jinja_print.c ----------------------------------------------------------------------------------------------- */

void tare_jinja_print(struct tare_jinja_state *s, struct tare_text *out, struct tare_jinja_value value); /* str() */
void tare_jinja_repr(struct tare_jinja_state *s, struct tare_text *out, struct tare_jinja_value value, int depth);
struct tare_jinja_value tare_jinja_string(struct tare_jinja_state *s,
                                          struct tare_jinja_value value); /* str() as a value */
struct tare_jinja_value tare_jinja_json(struct tare_jinja_state *s, const struct tare_jinja_value *a,
                                        const struct tare_jinja_args *args);
size_t tare_jinja_real_print(double real, char out[40]);
bool tare_jinja_printable(uint32_t c); /* repr() shows it as it is */

/* ---- jinja_format.c, jinja_number.c ------------------------------------------------------------------------------ */

struct tare_jinja_value tare_jinja_percent(struct tare_jinja_state *s, struct tare_jinja_value format,
                                           struct tare_jinja_value values, const struct tare_jinja_args *args);
struct tare_jinja_value tare_jinja_format(struct tare_jinja_state *s, struct tare_jinja_value format,
                                          const struct tare_jinja_args *args);
struct tare_jinja_value tare_jinja_binary(struct tare_jinja_state *s, int op, struct tare_jinja_value a,
                                          struct tare_jinja_value b);
struct tare_jinja_value tare_jinja_negate(struct tare_jinja_state *s, struct tare_jinja_value a, bool minus);
double tare_jinja_as_real(struct tare_jinja_value value);                /* of a number */
bool tare_jinja_as_whole(struct tare_jinja_value value, int64_t *whole); /* of an int or bool */
/* An argument that must be a whole number; fallback where it is absent. */
int64_t tare_jinja_need_whole(struct tare_jinja_state *s, struct tare_jinja_value value, int64_t fallback);
bool tare_jinja_parse_whole(struct tare_jinja_value text, int base, int64_t *whole); /* as Python's int() */
bool tare_jinja_parse_real(struct tare_jinja_value text, double *real);              /* as Python's float() */

/* ---- jinja_character.c ------------------------------------------------------------------------------------------- */

enum tare_jinja_class { C_SPACE, C_ALPHA, C_DECIMAL, C_DIGIT, C_NUMERIC, C_ALNUM, C_LOWER, C_UPPER, C_TITLE, C_WORD };
bool tare_jinja_class(enum tare_jinja_class kind, uint32_t c);
enum tare_jinja_case { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_CAPITAL, CASE_SWAP, CASE_FOLD };
struct tare_jinja_value tare_jinja_case(struct tare_jinja_state *s, struct tare_jinja_value text,
                                        enum tare_jinja_case to);
enum { STRIP_LEFT = 1, STRIP_RIGHT = 2 };
struct tare_jinja_value tare_jinja_strip(struct tare_jinja_value text, struct tare_jinja_value set,
                                         int ends); /* set: a text, or anything: white space */

/* ---- the language ------------------------------------------------------------------------------------------------ */

bool tare_jinja_lex(struct tare_jinja_state *s, const char *text, size_t size, struct tare_jinja_tokens *tokens);
struct tare_jinja_node *tare_jinja_parse(struct tare_jinja_state *s,
                                         const struct tare_jinja_tokens *tokens); /* NULL on failure */

struct tare_jinja_value tare_jinja_eval(struct tare_jinja_state *s, const struct tare_jinja_node *node);
struct tare_jinja_value tare_jinja_eval_filter(struct tare_jinja_state *s, const struct tare_jinja_node *node,
                                               struct tare_jinja_value subject);
struct tare_jinja_value tare_jinja_call_builtin(struct tare_jinja_state *s, const struct tare_jinja_builtin *builtin,
                                                struct tare_jinja_value self, const struct tare_jinja_args *args);
enum tare_jinja_flow { TARE_JINJA_GO, TARE_JINJA_BREAK, TARE_JINJA_CONTINUE };
enum tare_jinja_flow tare_jinja_exec(struct tare_jinja_state *s, const struct tare_jinja_node *node);
void tare_jinja_scope_set(struct tare_jinja_state *s, struct tare_jinja_scope *scope, struct tare_jinja_value name,
                          struct tare_jinja_value value);
struct tare_jinja_value tare_jinja_loop_call(struct tare_jinja_state *s, struct tare_jinja_loop *loop,
                                             struct tare_jinja_value items);
struct tare_jinja_value tare_jinja_loop_attribute(struct tare_jinja_state *s, struct tare_jinja_loop *loop,
                                                  struct tare_jinja_value name);
struct tare_jinja_value tare_jinja_macro_call(struct tare_jinja_state *s, const struct tare_jinja_macro *macro,
                                              const struct tare_jinja_args *args);
struct tare_jinja_value tare_jinja_macro_attribute(struct tare_jinja_state *s, const struct tare_jinja_macro *macro,
                                                   struct tare_jinja_value name);

const struct tare_jinja_builtin *tare_jinja_filter_find(struct tare_jinja_value name); /* NULL: none */
const struct tare_jinja_builtin *tare_jinja_test_find(struct tare_jinja_value name);
const struct tare_jinja_builtin *tare_jinja_builtin_find(const struct tare_jinja_builtin *table,
                                                         struct tare_jinja_value name); /* ends with a NULL name */
const struct tare_jinja_builtin *tare_jinja_global_find(struct tare_jinja_value name);
extern const struct tare_jinja_builtin tare_jinja_text_methods[], tare_jinja_sequence_filters[],
    tare_jinja_select_filters[], tare_jinja_text_filters[], tare_jinja_dict_methods[], tare_jinja_list_methods[],
    tare_jinja_tuple_methods[], tare_jinja_number_methods[], tare_jinja_cycler_methods[], tare_jinja_loop_methods[];

#endif
