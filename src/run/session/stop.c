/* SPDX-License-Identifier: MIT
 * stop.c - finds stop strings in a text that arrives in pieces. */
#include "run/session/stop.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "text/unicode.h"

#define LONGEST 65536

enum tare_code tare_stops_open(struct tare_stops *stops, const char *const *strings, const size_t *sizes, size_t n,
                               struct tare_error *err)
{
    if (n && !strings)
        return tare_fail(err, TARE_E_ARGUMENT, "stop", "%zu stop strings are announced, and none is given", n);
    stops->strings = calloc(n + 1, sizeof(char *));
    stops->sizes = calloc(n + 1, sizeof *stops->sizes);
    if (!stops->strings || !stops->sizes)
        return tare_fail_memory(err);
    for (; stops->n < n; stops->n++) {
        const char *const string = strings[stops->n];
        const size_t size = !string ? 0 : sizes ? sizes[stops->n] : strlen(string);
        if (size == 0 || size > LONGEST || tare_utf8_check(string, size) != size)
            return tare_fail(err, TARE_E_ARGUMENT, "stop", "a stop string is UTF-8 of 1 to %d bytes; number %zu is not",
                             LONGEST, stops->n);
        if (!(stops->strings[stops->n] = malloc(size + 1)))
            return tare_fail_memory(err);
        memcpy(stops->strings[stops->n], string, size);
        stops->strings[stops->n][size] = '\0';
        stops->sizes[stops->n] = size;
    }
    return TARE_OK;
}

void tare_stops_release(struct tare_stops *stops)
{
    for (size_t i = 0; i < stops->n; i++)
        free(stops->strings[i]);
    free(stops->strings);
    free(stops->sizes);
    tare_text_release(&stops->held);
    *stops = (struct tare_stops){0};
}

/* Tells whether `text` ends with the first n bytes of `word`. */
static bool ends_with(const char *text, size_t size, const char *word, size_t n)
{
    return n <= size && !memcmp(text + size - n, word, n);
}

/* Returns the length of the longest stop string that ends after `size` bytes, or 0, and notes its number. */
static size_t complete_at(struct tare_stops *stops, const char *text, size_t size)
{
    size_t longest = 0;
    for (size_t i = 0; i < stops->n; i++) {
        const size_t n = stops->sizes[i];
        if (n > longest && ends_with(text, size, stops->strings[i], n)) {
            longest = n;
            stops->found = i;
        }
    }
    return longest;
}

/* Returns how many bytes at the end may be the beginning of a stop string. */
static size_t begun(const struct tare_stops *stops, const char *text, size_t size)
{
    size_t longest = 0;
    for (size_t i = 0; i < stops->n; i++)
        for (size_t n = stops->sizes[i] - 1; n > longest; n--)
            if (ends_with(text, size, stops->strings[i], n))
                longest = n;
    return longest;
}

static enum tare_code give(struct tare_stops *stops, size_t n, size_t drop, struct tare_text *out,
                           struct tare_error *err)
{
    struct tare_text *held = &stops->held;
    if (n)
        tare_text_add(out, held->data, n);
    if (n + drop)
        memmove(held->data, held->data + n + drop, held->size - n - drop);
    held->size -= n + drop;
    return out->failed || held->failed ? tare_fail_memory(err) : TARE_OK;
}

enum tare_code tare_stops_put(struct tare_stops *stops, const char *piece, size_t size, struct tare_text *out,
                              bool *found, struct tare_error *err)
{
    struct tare_text *held = &stops->held;
    size_t at = held->size;
    *found = false;
    tare_text_add(held, piece, size);
    if (held->failed)
        return tare_fail_memory(err);
    while (at++ < held->size) {
        const size_t n = complete_at(stops, held->data, at);
        if (n) {
            *found = true;
            return give(stops, at - n, held->size - (at - n), out, err);
        }
    }
    return give(stops, held->size - begun(stops, held->data, held->size), 0, out, err);
}

enum tare_code tare_stops_end(struct tare_stops *stops, struct tare_text *out, struct tare_error *err)
{
    return give(stops, stops->held.size, 0, out, err);
}
