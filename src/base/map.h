/* SPDX-License-Identifier: MIT
 * map.h - names to numbers. */
#ifndef TARE_BASE_MAP_H
#define TARE_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TARE_MAP_NONE UINT32_MAX

struct tare_map_slot;

/* Zero-initialise. Keys are borrowed: their bytes must live as long as the map. Values are any number but
 * TARE_MAP_NONE. */
struct tare_map {
    struct tare_map_slot *slots;
    size_t room, count;
};

/* Makes room for that many keys at once. Returns false when memory ran out. */
bool tare_map_reserve(struct tare_map *map, size_t expected);
/*
 * Puts key -> value, unless the key is there already: then it keeps its value. *before (may be NULL) receives the value
 * that the key had, or TARE_MAP_NONE for a new key. Returns false when memory ran out.
 */
bool tare_map_put(struct tare_map *map, const char *key, size_t size, uint32_t value, uint32_t *before);
/* The value of a key, or TARE_MAP_NONE. */
uint32_t tare_map_get(const struct tare_map *map, const char *key, size_t size);
/* Forgets all keys and keeps the memory. */
void tare_map_clear(struct tare_map *map);
void tare_map_release(struct tare_map *map);

#endif
