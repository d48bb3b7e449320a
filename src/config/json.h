/* SPDX-License-Identifier: MIT
 * json.h - configs as trees, by jansson, strictly. */
#ifndef TARE_CONFIG_JSON_H
#define TARE_CONFIG_JSON_H

#include <jansson.h>

#include "base/error.h"

/*
 * Parse one JSON document. Refused: duplicate keys, U+0000 in a key or string, invalid UTF-8, trailing text. Bare
 * Infinity, -Infinity and NaN (real config.json files have them), and golden's {"__float__": "Infinity"}, are read as
 * the string "Infinity" ..., which no number reader accepts. Numbers out of range (1e999) are refused. file names the
 * document in errors. *json is owned by the caller: json_decref().
 */
enum tare_code tare_json_parse(json_t **json, const char *file, const char *text, size_t size, struct tare_error *err);
/* The same of what a host writes, where a string may hold U+0000: json_string_length() has its size. A key may not. */
enum tare_code tare_json_parse_texts(json_t **json, const char *file, const char *text, size_t size,
                                     struct tare_error *err);

bool tare_json_lists(const json_t *array, const char *text); /* is one of its elements this string? */

#endif
