/* SPDX-License-Identifier: MIT
 * map.h - names to numbers. */
#ifndef TARE_BASE_MAP_H
#define TARE_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TARE_MAP_NONE UINT32_MAX

struct tare_map_slot;

/* Zero-initialise. Keys are borrowed and must outlive the map.. */
struct tare_map {
    struct tare_map_slot *slots;
    size_t room, count;
};

bool tare_map_reserve(struct tare_map *map, size_t expected); /* false: no memory */
/* Put key -> value; *before (may be NULL) receives the value it had, or TARE_MAP_NONE; a key that is there keeps its
 * value. */
bool tare_map_put(struct tare_map *map, const char *key, size_t size, uint32_t value, uint32_t *before);
uint32_t tare_map_get(const struct tare_map *map, const char *key, size_t size); /* TARE_MAP_NONE when absent */
void tare_map_clear(struct tare_map *map);
void tare_map_release(struct tare_map *map);

#endif
