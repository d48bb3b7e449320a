/* SPDX-License-Identifier: MIT
 * index.h - model.safetensors.index.json: which tensor lies in which shard. Between the files of open/ only. */
#ifndef TARE_OPEN_INDEX_H
#define TARE_OPEN_INDEX_H

#include "open/checkpoint.h"

struct tare_index_shard {
    const char *name;
    uint32_t tensors; /* how many the index places there */
    uint32_t file;    /* set by the caller: index in checkpoint.files */
};
struct tare_index_entry {
    const char *name;
    uint32_t shard; /* index in shards */
};

/* Zero-initialise; release also after a failure. */
struct tare_shard_index {
    struct tare_arena arena;
    struct tare_index_entry *entries; /* in the order of the file */
    struct tare_index_shard *shards;  /* in order of appearance */
    size_t n_entries, entries_room, n_shards, shards_room;
    struct tare_map by_tensor, by_shard; /* name -> index in entries, in shards */
};

/*
 * Refused: not JSON, duplicate keys at any level, no weight_map or an empty one, an entry that is no string, a shard
 * that is not one plain name ending in .safetensors (docs/bad-input.md, P4). Keys beside weight_map are skipped.
 */
enum tare_code tare_index_parse(struct tare_shard_index *index, const char *file_name, const char *text, size_t n,
                                struct tare_error *err);
void tare_index_release(struct tare_shard_index *index);

#endif
