/* SPDX-License-Identifier: MIT
 * schema_string.c - strings with lengths, formats or patterns. What they hold is written as JSON spells it. */
#include <string.h>

#include "grammar/schema.h"

#define YEAR_DAY                                                                                                       \
    "\"-\" ((\"0\" [13578] | \"10\" | \"12\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" [01]) | "                        \
    "(\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\") | "                                              \
    "\"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8]))"
#define CLOCK                                                                                                          \
    "([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,9})? "                              \
    "(\"Z\" | [-+] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9])"

static const struct {
    const char *name, *body;
} formats[] = {
    /* The years are 1000 to 2999; February has 28 days, since a grammar cannot count leap years briefly. */
    {"date", "[12] [0-9]{3} " YEAR_DAY},
    {"time", CLOCK},
    {"date-time", "[12] [0-9]{3} " YEAR_DAY " \"T\" " CLOCK},
    {"uuid", "[0-9a-f]{8} \"-\" [0-9a-f]{4} \"-\" [0-9a-f]{4} \"-\" [0-9a-f]{4} \"-\" [0-9a-f]{12}"},
};

static enum tare_code put_format(struct tare_schema *s, const json_t *schema, const char *name, struct tare_text *to)
{
    if (json_object_get(schema, "minLength") || json_object_get(schema, "maxLength"))
        return tare_schema_refuse(s, "format", "together with a length it is not supported");
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(name, formats[i].name) != 0)
            continue;
        tare_text_format(to, "(\"\\\"\" %s \"\\\"\")", formats[i].body);
        return TARE_OK;
    }
    return tare_schema_refuse(s, "format", "of date, time, date-time and uuid it is none");
}

enum tare_code tare_schema_string(struct tare_schema *s, const json_t *schema, struct tare_text *to)
{
    const json_t *pattern = json_object_get(schema, "pattern"), *format = json_object_get(schema, "format");
    int64_t least = 0, most = -1;
    enum tare_code code;
    if ((code = tare_schema_count(s, schema, "minLength", 0, &least)) ||
        (code = tare_schema_count(s, schema, "maxLength", -1, &most)))
        return code;
    if (most >= 0 && least > most)
        return tare_schema_refuse(s, "minLength", "is over maxLength: there is no such string");
    if (pattern) {
        if (!json_is_string(pattern))
            return tare_schema_refuse(s, "pattern", "is not a string");
        if (strlen(json_string_value(pattern)) != json_string_length(pattern))
            return tare_schema_refuse(s, "pattern", "holds U+0000, which is not supported");
        if (format || least > 0 || most >= 0)
            return tare_schema_refuse(s, "pattern", "together with a length or format it is not supported");
        return tare_schema_pattern(s, json_string_value(pattern), to);
    }
    if (format)
        return json_is_string(format) ? put_format(s, schema, json_string_value(format), to)
                                      : tare_schema_refuse(s, "format", "is not a string");
    if (most < 0)
        tare_text_format(to, "(\"\\\"\" char{%lld,} \"\\\"\")", (long long)least);
    else
        tare_text_format(to, "(\"\\\"\" char{%lld,%lld} \"\\\"\")", (long long)least, (long long)most);
    return TARE_OK;
}
