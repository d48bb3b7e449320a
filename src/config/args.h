/* SPDX-License-Identifier: MIT
 * args.h - config.json -> a model's args, by a table that the model file gives.
 *
 *     #define ARGS(ARG)                            \
 *         ARG(INT, hidden_size, REQUIRED)          \
 *         ARG(REAL, rope_theta, 10000)             \
 *         ARG(FLAG, tie_word_embeddings, true)     \
 *         ARG(TEXT, hidden_act, silu)              \
 *         ARG(JSON, rope_scaling, ABSENT)
 *     TARE_ARGS(ARGS);
 *
 * makes `struct args` (int64_t, double, bool, const char *, const json_t *) and `args_info`, so they cannot drift. One
 * macro with the kind as an argument instead of one macro a kind: a new kind then touches no model file.
 *
 * INT    a JSON integer of 0 .. 2^31 - 1 (a REQUIRED one is at least 1); a product of two fits int64_t. ABSENT: -1.
 * REAL   a finite JSON number. ABSENT: NaN.
 * FLAG   true or false; null counts as false (and not as the default). ABSENT: false.
 * TEXT   a string; ABSENT: NULL.
 * JSON   any value, for the model to look into; ABSENT: NULL; null is NULL.
 * For all but FLAG null means that the key is absent. What is of another type is refused, with file and key.
 */
#ifndef TARE_CONFIG_ARGS_H
#define TARE_CONFIG_ARGS_H

#include <math.h>
#include <stddef.h>

#include "base/arena.h"
#include "config/json.h"

enum tare_arg_kind { TARE_ARG_INT, TARE_ARG_REAL, TARE_ARG_FLAG, TARE_ARG_TEXT, TARE_ARG_JSON };

struct tare_arg {
    const char *name;
    enum tare_arg_kind kind;
    const char *value; /* the default as the model file spells it: REQUIRED, ABSENT, or a JSON number, true, false, a
                          bare text */
    size_t offset;     /* in the model's struct args */
};

struct tare_args_info {
    const struct tare_arg *list;
    size_t n, size;
};

#define TARE_ARG_FIELD_INT(name) int64_t name;
#define TARE_ARG_FIELD_REAL(name) double name;
#define TARE_ARG_FIELD_FLAG(name) bool name;
#define TARE_ARG_FIELD_TEXT(name) const char *name;
#define TARE_ARG_FIELD_JSON(name) const json_t *name;
#define TARE_ARG_FIELD(kind, name, value) TARE_ARG_FIELD_##kind(name)
#define TARE_ARG_ROW(kind, name, value) {#name, TARE_ARG_##kind, #value, offsetof(struct args, name)},

#define TARE_ARGS(LIST)                                                                                                \
    struct args {                                                                                                      \
        LIST(TARE_ARG_FIELD)                                                                                           \
    };                                                                                                                 \
    static const struct tare_arg args_list[] = {LIST(TARE_ARG_ROW)};                                                   \
    static const struct tare_args_info args_info = {args_list, sizeof args_list / sizeof *args_list,                   \
                                                    sizeof(struct args)}

/* Fill args (info->size bytes, zeroed) from the object `config`; place names it in errors: "config.json" or
 * "config.json: text_config". Texts and JSON values are borrowed from config. */
enum tare_code tare_args_read(const struct tare_args_info *info, const json_t *config, const char *place, void *args,
                              struct tare_error *err);
/* The row of a field, or NULL when the args have no such field. */
const struct tare_arg *tare_args_find(const struct tare_args_info *info, const char *name);

/* For derived values, in a model's derive(): numbers and texts inside of JSON values. Absent, null: the fallback. */
int64_t tare_json_integer(const json_t *object, const char *key, int64_t fallback);
double tare_json_real(const json_t *object, const char *key, double fallback);
const char *tare_json_text(const json_t *object, const char *key, const char *fallback);

#endif
