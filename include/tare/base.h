/* SPDX-License-Identifier: MIT
 *
 * tare/base.h - versions, error codes and what every other header needs.
 * A part of tare.h, which says what holds for all of it.
 */
#ifndef TARE_BASE_H
#define TARE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TARE_VERSION_MAJOR 0
#define TARE_VERSION_MINOR 1
#define TARE_VERSION_PATCH 0

/* A host that compiles the library into itself may define TARE_API before it includes this. */
#if defined(TARE_API)
#elif defined(__GNUC__)
#define TARE_API __attribute__((visibility("default")))
#else
#define TARE_API
#endif

/* ---- structs that grow ------------------------------------------------------------------------------------------- */

/*
 * TARE_SIZED() is what the .._INIT macros stand for: a struct whose first field is its size and whose other fields are
 * 0. TARE_SIZED_LIST() also sets the stride of an array that the struct points to. They are initialisers:
 *
 *     struct tare_options options = TARE_OPTIONS_INIT;
 */
#ifdef __cplusplus
#define TARE_SIZED(type)                                                                                               \
    []() {                                                                                                             \
        struct type sized = {};                                                                                        \
        sized.size = sizeof sized;                                                                                     \
        return sized;                                                                                                  \
    }()
#define TARE_SIZED_LIST(type, stride_field, element)                                                                   \
    []() {                                                                                                             \
        struct type sized = {};                                                                                        \
        sized.size = sizeof sized;                                                                                     \
        sized.stride_field = sizeof(struct element);                                                                   \
        return sized;                                                                                                  \
    }()
#else
#define TARE_SIZED(type)                                                                                               \
    {                                                                                                                  \
        .size = sizeof(struct type)                                                                                    \
    }
#define TARE_SIZED_LIST(type, stride_field, element)                                                                   \
    {                                                                                                                  \
        .size = sizeof(struct type), .stride_field = sizeof(struct element)                                            \
    }
#endif

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* One list for enum, names and exit codes: number, name, exit status of the command, meaning. Numbers never change. */
#define TARE_CODES(X)                                                                                                  \
    X(0, OK, 0, "no error")                                                                                            \
    X(1, E_ARGUMENT, 2, "an argument that the function does not take")                                                 \
    X(2, E_MEMORY, 5, "out of memory")                                                                                 \
    X(3, E_IO, 4, "the system could not read or write")                                                                \
    X(4, E_ABSENT, 3, "a file is not there")                                                                           \
    X(5, E_FORMAT, 4, "a file is not what its format says")                                                            \
    X(6, E_CONFIG, 4, "config.json or its kin: a key of the wrong type, range or missing")                             \
    X(7, E_UNKNOWN, 4, "a model type, format or option that tare does not know")                                       \
    X(8, E_SHAPE, 4, "a tensor of another shape or dtype than its format asks for")                                    \
    X(9, E_STRICT, 4, "strict loading: missing, unexpected or misshapen parameters")                                   \
    X(10, E_HEAD, 4, "the output head is ambiguous or not as asked")                                                   \
    X(11, E_TARGET, 4, "the target format cannot hold this")                                                           \
    X(12, E_SPACE, 5, "no space left")                                                                                 \
    X(13, E_EXISTS, 4, "the output is there already")                                                                  \
    X(14, E_CANCELLED, 130, "cancelled by the caller")                                                                 \
    X(15, E_INTERNAL, 4, "an invariant of tare does not hold: please report it")

enum tare_code {
#define TARE_CODE_ENUM(number, name, exit_code, text) TARE_##name = number,
    TARE_CODES(TARE_CODE_ENUM)
#undef TARE_CODE_ENUM
};

/* Filled by every function that fails, when it is given one. */
struct tare_error {
    enum tare_code code;
    /* The file, tensor or key; "" when there is no place. */
    char where[256];
    /* One sentence: what was found, what was expected, what to look at. */
    char text[512];
};

/* The version of the library that runs, as "0.1.0". Static; any thread. */
TARE_API const char *tare_version(void);

/* The same as a number: 10000 * major + 100 * minor + patch. Any thread. */
TARE_API int tare_version_number(void);

/* The name of a code without its prefix, as "E_SHAPE". Static; any thread. */
TARE_API const char *tare_code_name(enum tare_code code);

/* The exit status with which the command answers an error of this code. Any thread. */
TARE_API int tare_code_exit(enum tare_code code);

#ifdef __cplusplus
}
#endif
#endif
