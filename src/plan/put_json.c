/* SPDX-License-Identifier: MIT
 * put_json.c - members of JSON objects and lists, written one after another. */
#include "plan/put_json.h"

void tare_put_key(struct tare_text *t, const char *key)
{
    if (t->size && t->data[t->size - 1] != '{' && t->data[t->size - 1] != '[')
        tare_text_puts(t, ", ");
    if (!key)
        return;
    tare_text_json(t, key);
    tare_text_puts(t, ": ");
}

void tare_put_text(struct tare_text *t, const char *key, const char *value)
{
    tare_put_key(t, key);
    tare_text_json(t, value);
}

void tare_put_number(struct tare_text *t, const char *key, uint64_t value)
{
    tare_put_key(t, key);
    tare_text_format(t, "%llu", (unsigned long long)value);
}

void tare_put_bool(struct tare_text *t, const char *key, bool value)
{
    tare_put_key(t, key);
    tare_text_puts(t, value ? "true" : "false");
}
