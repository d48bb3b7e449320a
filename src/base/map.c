/* SPDX-License-Identifier: MIT
 * map.c - maps names to numbers: a hash table with open addressing and linear probing.
 *
 * The number of slots is a power of two, and at most half of them are used, so a search always ends at a free slot. A
 * slot keeps the hash of its key: growing does not hash anew, and most unequal keys are told apart without their bytes.
 */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct tare_map_slot {
    /* NULL in a free slot. */
    const char *key;
    uint32_t size, value;
    uint64_t hash;
};

/* Returns the slot of a key, or the free slot where it belongs. */
static struct tare_map_slot *slot_of(const struct tare_map *map, const char *key, size_t size, uint64_t hash)
{
    size_t at = (size_t)hash & (map->room - 1);
    for (;; at = (at + 1) & (map->room - 1)) {
        struct tare_map_slot *slot = &map->slots[at];
        if (!slot->key || (slot->hash == hash && slot->size == size && !memcmp(slot->key, key, size)))
            return slot;
    }
}

bool tare_map_reserve(struct tare_map *map, size_t expected)
{
    size_t room = 16;
    while (room / 2 < expected)
        room *= 2;
    if (room <= map->room)
        return true;
    struct tare_map grown = {.slots = calloc(room, sizeof *map->slots), .room = room, .count = map->count};
    if (!grown.slots)
        return false;
    for (size_t i = 0; i < map->room; i++)
        if (map->slots[i].key)
            *slot_of(&grown, map->slots[i].key, map->slots[i].size, map->slots[i].hash) = map->slots[i];
    free(map->slots);
    *map = grown;
    return true;
}

bool tare_map_put(struct tare_map *map, const char *key, size_t size, uint32_t value, uint32_t *before)
{
    if (size > UINT32_MAX || !tare_map_reserve(map, map->count + 1))
        return false;
    const uint64_t hash = XXH3_64bits(key, size);
    struct tare_map_slot *slot = slot_of(map, key, size, hash);
    if (before)
        *before = slot->key ? slot->value : TARE_MAP_NONE;
    if (!slot->key) {
        *slot = (struct tare_map_slot){.key = key, .size = (uint32_t)size, .value = value, .hash = hash};
        map->count++;
    }
    return true;
}

uint32_t tare_map_get(const struct tare_map *map, const char *key, size_t size)
{
    if (!map->room)
        return TARE_MAP_NONE;
    const struct tare_map_slot *slot = slot_of(map, key, size, XXH3_64bits(key, size));
    return slot->key ? slot->value : TARE_MAP_NONE;
}

void tare_map_clear(struct tare_map *map)
{
    if (map->room)
        memset(map->slots, 0, map->room * sizeof *map->slots);
    map->count = 0;
}

void tare_map_release(struct tare_map *map)
{
    free(map->slots);
    *map = (struct tare_map){0};
}
