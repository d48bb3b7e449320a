/* SPDX-License-Identifier: MIT
 * jinja.h - the template language of chat templates: values, tree, and what an interpretation carries along.
 *
 *     template text -> tokens (jinja_lex) -> tree (jinja_parse, jinja_expression) -> text (jinja_exec, jinja_eval)
 *
 * Everything lies in one arena that lives as long as one rendering. A failure is sticky: j_fail() notes the first one,
 * every loop ends when it sees s->failed, and what functions return then is not looked at. Nothing can reach a file, a
 * module or a host object: an attribute is a key, or a method of the tables in jinja_text.c and jinja_methods.c.
 */
#ifndef TARE_TEMPLATE_JINJA_H
#define TARE_TEMPLATE_JINJA_H

#include <jansson.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/text.h"

#define J_FUEL ((int64_t)50000000)      /* steps: a node visited, an item seen, 64 bytes made */
#define J_TEXT_MOST ((size_t)16 << 20)  /* bytes of the output, and of each text on the way */
#define J_MADE_MOST ((size_t)128 << 20) /* bytes of all values together; nothing is freed before the end */
#define J_CALLS_MOST 200                /* macros and recursive loops inside one another */
#define J_DEPTH_MOST 3000               /* nodes inside one another, over all calls */
#define J_NEST_MOST 200                 /* parentheses, blocks, lists in lists */
#define J_RANGE_MOST 100000

enum j_kind {
    J_ABSENT, /* an argument that was not given; never seen by a template */
    J_UNDEFINED,
    J_NONE,
    J_BOOL,
    J_INT,
    J_FLOAT,
    J_TEXT,
    J_BYTES,
    J_LIST,
    J_TUPLE,
    J_STREAM, /* a generator: can be walked once */
    J_VIEW,   /* dict.items() and its kin: walked, measured, not indexed */
    J_DICT,
    J_RANGE,
    J_SPACE, /* a namespace */
    J_LOOP,
    J_MACRO,
    J_FUNCTION,
    J_METHOD,
    J_CYCLER,
    J_JOINER
};

struct j_value {
    uint8_t kind;
    uint8_t owner;  /* of an undefined value: kind of the object that lacks it, or J_ABSENT: a variable */
    uint8_t unsafe; /* of an undefined value: there is such a thing, out of reach */
    union {
        bool truth;
        int64_t whole;
        double real;
        const char *text; /* undefined: what was looked for, NULL: element number `size` */
        struct j_list *list;
        struct j_dict *dict;
        struct j_range *range;
        struct j_loop *loop;
        struct j_macro *macro;
        struct j_method *method;
        const struct j_builtin *builtin;
    } as;
    size_t size; /* bytes of text */
};

struct j_list {
    struct j_value *items;
    size_t n, room;
    bool spent;       /* of a stream */
    const char *type; /* of a stream or view: Python's word */
    size_t at;        /* of a cycler */
};
struct j_pair {
    uint32_t hash;
    struct j_value key, value;
};
struct j_dict {
    struct j_pair *pairs;
    size_t n, room;
};
struct j_range {
    int64_t start, stop, step, n;
};
struct j_args {
    struct j_value *items;
    size_t n;
    struct j_pair *named; /* keys are texts */
    size_t n_named;
};

struct j_state;
/* a[0] is what a filter, test or method works on; then come the parameters, J_ABSENT where not given. */
typedef struct j_value (*j_function)(struct j_state *s, const struct j_value *a, const struct j_args *args);
enum { J_PARAMETERS = 7 };
struct j_builtin {
    const char *name;
    j_function run;
    const char *parameters; /* "old new ?count"; "*": takes args as they are; NULL: exists, but is out of reach */
};
struct j_method {
    struct j_value self;
    const struct j_builtin *builtin;
};

/* ---- tree -------------------------------------------------------------------------------------------------------- */

enum j_node_kind {
    N_CONST, N_NAME, N_LIST, N_TUPLE, N_DICT, N_NEGATE, N_PLUS, N_NOT, N_AND, N_OR, N_BINARY, N_CONCAT, N_COMPARE,
    N_OPERAND, N_CONDITION, N_ATTRIBUTE, N_ITEM, N_SLICE, N_CALL, N_KEYWORD, N_FILTER, N_TEST, N_SPACE_TARGET, N_DATA,
    N_OUTPUT, N_BLOCK, N_SCOPE, N_IF, N_BRANCH, N_FOR, N_SET, N_SET_BLOCK, N_WITH, N_MACRO, N_CALL_BLOCK,
    N_FILTER_BLOCK, N_BREAK, N_CONTINUE, N_REFUSE
};

enum j_token_kind {
    T_DATA, T_BLOCK_BEGIN, T_BLOCK_END, T_VARIABLE_BEGIN, T_VARIABLE_END, T_NAME, T_TEXT, T_INTEGER, T_FLOAT, T_ADD,
    T_SUB, T_DIV, T_FLOORDIV, T_MUL, T_MOD, T_POW, T_TILDE, T_LBRACKET, T_RBRACKET, T_LPAREN, T_RPAREN, T_LBRACE,
    T_RBRACE, T_EQ, T_NE, T_GT, T_GE, T_LT, T_LE, T_ASSIGN, T_DOT, T_COLON, T_PIPE, T_COMMA, T_SEMICOLON, T_IN,
    T_NOT_IN, T_END
};

/* What a kind puts where stands beside its parser. Calls, filters, tests: items, more (N_KEYWORD), b (*), c (**). */
struct j_node {
    uint8_t kind, op;
    bool flag;
    uint8_t takes; /* of a macro: TAKES_ */
    int line, height;
    struct j_value value; /* a constant; the text of a name */
    struct j_node *a, *b, *c;
    struct j_node **items, **more;
    size_t n, n_more;
    const struct j_builtin *builtin;
};
enum { TAKES_CALLER = 1, TAKES_VARARGS = 2, TAKES_KWARGS = 4 };

struct j_token {
    uint8_t kind;
    int line;
    struct j_value value; /* text of names, data and strings; numbers */
};
struct j_tokens {
    struct j_token *items;
    size_t n, room;
};

/* ---- an interpretation ------------------------------------------------------------------------------------------- */

struct j_variable {
    struct j_value name, value;
};
struct j_scope {
    struct j_scope *parent;
    struct j_variable *variables;
    size_t n, room;
    bool kept; /* a macro refers to it: not to be used again */
};
struct j_macro {
    const struct j_node *node;
    struct j_scope *scope;
    struct j_value name;
    bool caller; /* body of a call block */
};

/* A walk over a value. */
struct j_walk {
    struct j_value value;
    size_t at, n; /* n: items, or bytes of a text */
};
struct j_loop {
    struct j_walk walk;
    const struct j_node *node;
    struct j_scope *scope; /* around the loop */
    int64_t index, length, depth;
    struct j_value before, now, after; /* J_ABSENT where there is none */
    struct j_value changed;
};

struct j_state {
    struct tare_arena arena;
    struct tare_error *err;
    enum tare_code code;
    bool failed;
    const char *where; /* the template's name in errors */
    const char *clock; /* ISO 8601, or NULL */
    int line;
    int64_t fuel;
    int depth, calls;
    struct tare_text *out;
    char *tail; /* where the text made last ends, and the bytes free behind it */
    size_t tail_room;
    struct j_dict *context;
    struct j_scope *scope;
};

/* ---- jinja_value.c: making, finding ------------------------------------------------------------------------------ */

struct j_value j_fail(struct j_state *s, const char *format, ...) TARE_PRINTF(2, 3);
struct j_value j_fail_limit(struct j_state *s, const char *format, ...) TARE_PRINTF(2, 3);
bool j_spend(struct j_state *s, size_t steps); /* false: no fuel left */
void *j_alloc(struct j_state *s, size_t n, size_t item);
struct j_value j_make(enum j_kind kind);
struct j_value j_bool(bool truth);
struct j_value j_whole(int64_t whole);
struct j_value j_real(double real);
struct j_value j_text(const char *text, size_t size); /* borrowed */
struct j_value j_word(const char *text);              /* the same, to its NUL */
struct j_value j_copy(struct j_state *s, const char *text, size_t size);
struct j_value j_join(struct j_state *s, struct j_value a, struct j_value b); /* two texts as one */
struct j_value j_take(struct j_state *s, struct tare_text *text);             /* copied and released */
void j_add(struct j_state *s, struct tare_text *text, const char *bytes, size_t n);
void j_add_value(struct j_state *s, struct tare_text *text, struct j_value value); /* a text's bytes */
void j_puts(struct j_state *s, struct tare_text *text, const char *word);
struct j_value j_listed(enum j_kind kind, struct j_list *list);
struct j_list *j_list_new(struct j_state *s, size_t room); /* NULL on failure */
void j_list_add(struct j_state *s, struct j_list *list, struct j_value value);
struct j_value j_pair(struct j_state *s, struct j_value a, struct j_value b); /* a tuple of two */
struct j_dict *j_dict_new(struct j_state *s, size_t room);
struct j_value j_dicted(struct j_dict *dict);
const struct j_value *j_dict_get(struct j_state *s, const struct j_dict *dict, struct j_value key); /* NULL: absent */
void j_dict_set(struct j_state *s, struct j_dict *dict, struct j_value key, struct j_value value);
void j_dict_append(struct j_state *s, struct j_dict *dict, struct j_value key, struct j_value value); /* a new key */
struct j_value j_from_json(struct j_state *s, const json_t *json, int depth);
bool j_is(struct j_value value, const char *word); /* is it this text? */
bool j_is_number(struct j_value value);            /* bool, int, float */
const char *j_type(struct j_value value);          /* Python's name: "str" */
const char *j_object(enum j_kind kind);            /* Jinja's: "str object" */

/* ---- jinja_compare.c --------------------------------------------------------------------------------------------- */

bool j_truth(struct j_value value);
bool j_equal(struct j_state *s, struct j_value a, struct j_value b);
/* <0, 0, >0; fails where the two have no order. op: "<", for the error. */
int j_order(struct j_state *s, struct j_value a, struct j_value b, const char *op);
bool j_in(struct j_state *s, struct j_value item, struct j_value container);
uint32_t j_hash(struct j_state *s, struct j_value value);
/* Sort in place, stably. keys: what to compare, reordered alike; may be items itself. */
void j_sort(struct j_state *s, struct j_value *keys, struct j_value *items, size_t n, bool reverse);

/* ---- jinja_walk.c: sequences, characters ------------------------------------------------------------------------- */

bool j_walk_init(struct j_state *s, struct j_walk *walk, struct j_value value); /* fails: not iterable */
bool j_walk_next(struct j_state *s, struct j_walk *walk, struct j_value *item);
struct j_list *j_collect(struct j_state *s, struct j_value value); /* items of what can be walked; NULL on failure */
int64_t j_length(struct j_state *s, struct j_value value);
size_t j_characters(const char *text, size_t size);
size_t j_offset(const char *text, size_t size, size_t characters); /* bytes of the first characters, at most size */
struct j_value j_item(struct j_state *s, struct j_value object, struct j_value key);
struct j_value j_slice(struct j_state *s, struct j_value object, const struct j_value bounds[3]);
struct j_value j_attribute(struct j_state *s, struct j_value object, struct j_value name);
const struct j_builtin *j_method_find(struct j_value object, struct j_value name); /* NULL: none */

/* ---- jinja_print.c ----------------------------------------------------------------------------------------------- */

void j_print(struct j_state *s, struct tare_text *out, struct j_value value); /* str() */
void j_repr(struct j_state *s, struct tare_text *out, struct j_value value, int depth);
struct j_value j_string(struct j_state *s, struct j_value value); /* str() as a value */
struct j_value j_json(struct j_state *s, const struct j_value *a, const struct j_args *args);
size_t j_real_print(double real, char out[40]);

/* ---- jinja_format.c, jinja_number.c ------------------------------------------------------------------------------ */

struct j_value j_percent(struct j_state *s, struct j_value format, struct j_value values, const struct j_args *args);
struct j_value j_format(struct j_state *s, struct j_value format, const struct j_args *args);
struct j_value j_binary(struct j_state *s, int op, struct j_value a, struct j_value b);
struct j_value j_negate(struct j_state *s, struct j_value a, bool minus);
double j_as_real(struct j_value value); /* of a number */
bool j_as_whole(struct j_value value, int64_t *whole); /* of an int or bool */
/* An argument that must be a whole number; fallback where it is absent. */
int64_t j_need_whole(struct j_state *s, struct j_value value, int64_t fallback);
bool j_parse_whole(struct j_value text, int base, int64_t *whole); /* as Python's int() */
bool j_parse_real(struct j_value text, double *real);              /* as Python's float() */

/* ---- jinja_character.c ------------------------------------------------------------------------------------------- */

enum j_class { C_SPACE, C_ALPHA, C_DECIMAL, C_DIGIT, C_NUMERIC, C_ALNUM, C_LOWER, C_UPPER, C_TITLE, C_WORD };
bool j_class(enum j_class kind, uint32_t c);
enum j_case { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_CAPITAL, CASE_SWAP, CASE_FOLD };
struct j_value j_case(struct j_state *s, struct j_value text, enum j_case to);
enum { STRIP_LEFT = 1, STRIP_RIGHT = 2 };
struct j_value j_strip(struct j_value text, struct j_value set, int ends); /* set: a text, or anything: white space */

/* ---- the language ------------------------------------------------------------------------------------------------ */

bool j_lex(struct j_state *s, const char *text, size_t size, struct j_tokens *tokens);
struct j_node *j_parse(struct j_state *s, const struct j_tokens *tokens); /* NULL on failure */

struct j_value j_eval(struct j_state *s, const struct j_node *node);
struct j_value j_eval_filter(struct j_state *s, const struct j_node *node, struct j_value subject);
struct j_value j_call(struct j_state *s, struct j_value callee, const struct j_args *args);
struct j_value j_call_builtin(struct j_state *s, const struct j_builtin *builtin, struct j_value self,
                              const struct j_args *args);
enum j_flow { J_GO, J_BREAK, J_CONTINUE };
enum j_flow j_exec(struct j_state *s, const struct j_node *node);
void j_assign(struct j_state *s, const struct j_node *target, struct j_value value);
void j_scope_set(struct j_state *s, struct j_scope *scope, struct j_value name, struct j_value value);
struct j_value j_loop_call(struct j_state *s, struct j_loop *loop, struct j_value items);
struct j_value j_loop_attribute(struct j_state *s, struct j_loop *loop, struct j_value name);
struct j_value j_macro_call(struct j_state *s, const struct j_macro *macro, const struct j_args *args);
struct j_value j_macro_attribute(struct j_state *s, const struct j_macro *macro, struct j_value name);

const struct j_builtin *j_filter_find(struct j_value name); /* NULL: none */
const struct j_builtin *j_test_find(struct j_value name);
const struct j_builtin *j_builtin_find(const struct j_builtin *table, struct j_value name); /* ends with a NULL name */
const struct j_builtin *j_global_find(struct j_value name);
extern const struct j_builtin j_text_methods[], j_sequence_filters[], j_select_filters[], j_text_filters[],
    j_dict_methods[], j_list_methods[], j_tuple_methods[], j_number_methods[], j_cycler_methods[], j_loop_methods[];

#endif
