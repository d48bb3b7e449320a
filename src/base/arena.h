/* SPDX-License-Identifier: MIT
 * arena.h - memory of one owner, freed at once; and arrays that grow. */
#ifndef TARE_BASE_ARENA_H
#define TARE_BASE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct tare_arena_block;

/* Zero-initialise: struct tare_arena a = {0}. Not thread-safe. */
struct tare_arena {
    struct tare_arena_block *block;
    size_t total; /* bytes taken from the system */
    bool failed;  /* sticky: an allocation failed; check it once at the end of a stage */
};

/* Zeroed memory, aligned to 16 bytes. Returns NULL when memory ran out, as all functions below that return a pointer.
 */
void *tare_arena_alloc(struct tare_arena *arena, size_t size);
/* The same for n items; a product n * item that does not fit counts as no memory. */
void *tare_arena_array(struct tare_arena *arena, size_t n, size_t item);
/* Work memory of n items that is not zeroed: the caller writes each item before reading it. */
void *tare_arena_room(struct tare_arena *arena, size_t n, size_t item);
char *tare_arena_copy(struct tare_arena *arena, const char *text, size_t n); /* n bytes and a NUL */
char *tare_arena_text(struct tare_arena *arena, const char *text);           /* a copy; NULL stays NULL */
char *tare_arena_format(struct tare_arena *arena, const char *format, ...) TARE_PRINTF(2, 3);
char *tare_arena_vformat(struct tare_arena *arena, const char *format, va_list args);
void tare_arena_reset(struct tare_arena *arena); /* forgets what was allocated and keeps one block for reuse */
void tare_arena_release(struct tare_arena *arena);

/*
 * Makes room for `need` items of `item` bytes in the heap array *array, which has room for *room items. The room
 * doubles, and the new part is zeroed. Returns false when memory ran out; the array is then as before. Free it with
 * free().
 */
bool tare_grow(void *array, size_t *room, size_t need, size_t item);

#endif
