/* SPDX-License-Identifier: MIT
 * arena.c - memory that has one owner and is freed at once, and arrays that grow. */
#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"

#define ALIGN 16u
/* The first block; each next one is twice as large, up to LARGEST. */
#define SMALLEST ((size_t)16 << 10)
#define LARGEST ((size_t)1 << 20)

struct tare_arena_block {
    struct tare_arena_block *next;
    size_t room, used;
    max_align_t data[];
};

static struct tare_arena_block *block_new(struct tare_arena *arena, size_t size)
{
    size_t room = arena->block ? arena->block->room * 2 : SMALLEST;
    if (room > LARGEST)
        room = LARGEST;
    if (room < size)
        room = size;
    struct tare_arena_block *block = malloc(sizeof *block + room);
    if (!block)
        return NULL;
    *block = (struct tare_arena_block){.next = arena->block, .room = room};
    arena->block = block;
    arena->total += room;
    return block;
}

/* A request larger than a block gets a block of its own. */
static void *take(struct tare_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2) {
        arena->failed = true;
        return NULL;
    }
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    struct tare_arena_block *block = arena->block;
    if (!block || block->room - block->used < size)
        block = block_new(arena, size);
    if (!block) {
        arena->failed = true;
        return NULL;
    }
    void *at = (char *)block->data + block->used;
    block->used += size;
    return at;
}

void *tare_arena_alloc(struct tare_arena *arena, size_t size)
{
    void *at = take(arena, size);
    return at ? memset(at, 0, size) : NULL;
}

void *tare_arena_room(struct tare_arena *arena, size_t n, size_t item)
{
    if (item && n > SIZE_MAX / item) {
        arena->failed = true;
        return NULL;
    }
    return take(arena, n * item);
}

void *tare_arena_array(struct tare_arena *arena, size_t n, size_t item)
{
    void *at = tare_arena_room(arena, n, item);
    return at ? memset(at, 0, n * item) : NULL;
}

char *tare_arena_copy(struct tare_arena *arena, const char *text, size_t n)
{
    char *copy = tare_arena_alloc(arena, n + 1);
    if (copy && n)
        memcpy(copy, text, n);
    return copy;
}

char *tare_arena_text(struct tare_arena *arena, const char *text)
{
    return text ? tare_arena_copy(arena, text, strlen(text)) : NULL;
}

/* Formats twice: first to learn the size, then into the arena. */
char *tare_arena_vformat(struct tare_arena *arena, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    const int n = tare_vformat(NULL, 0, format, again);
    va_end(again);
    char *text = n < 0 ? NULL : tare_arena_alloc(arena, (size_t)n + 1);
    if (text)
        tare_vformat(text, (size_t)n + 1, format, args);
    return text;
}

char *tare_arena_format(struct tare_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = tare_arena_vformat(arena, format, args);
    va_end(args);
    return text;
}

/* Keeps the newest block, which is the largest in most cases, for use again. */
void tare_arena_reset(struct tare_arena *arena)
{
    if (!arena->block)
        return;
    for (struct tare_arena_block *b = arena->block->next; b;) {
        struct tare_arena_block *next = b->next;
        free(b);
        b = next;
    }
    arena->block->next = NULL;
    arena->block->used = 0;
    arena->total = arena->block->room;
    arena->failed = false;
}

void tare_arena_release(struct tare_arena *arena)
{
    tare_arena_reset(arena);
    free(arena->block);
    *arena = (struct tare_arena){0};
}

/* Doubles the room until it suffices, and zeroes the new items. */
bool tare_grow(void *array, size_t *room, size_t need, size_t item)
{
    void **items = array;
    if (need <= *room)
        return true;
    size_t more = *room ? *room : 8;
    while (more < need) {
        if (more > SIZE_MAX / 2)
            return false;
        more *= 2;
    }
    if (item && more > SIZE_MAX / item)
        return false;
    char *grown = realloc(*items, more * item);
    if (!grown)
        return false;
    memset(grown + *room * item, 0, (more - *room) * item);
    *items = grown;
    *room = more;
    return true;
}
