/* SPDX-License-Identifier: MIT
 * shards.h - a checkpoint of two files and an index, for the tests that break it. */
#ifndef TARE_TESTS_SHARDS_H
#define TARE_TESTS_SHARDS_H

#include "fixture.h"

#define INDEX "model.safetensors.index.json"
#define ONE "model-00001-of-00002.safetensors"
#define TWO "model-00002-of-00002.safetensors"
#define SOUND "{\"metadata\": {\"total_size\": 32}, \"weight_map\": {\"a\": \"" ONE "\", \"b\": \"" TWO "\"}}"

/* A folder with two shards, of tensors "a" and "b"; index NULL: without one. */
static char *two_shards(const char *index)
{
    char *folder = fixture_begin();
    fixture_shard(folder, ONE, "a");
    fixture_shard(folder, TWO, "b");
    if (index)
        fixture_text(folder, INDEX, index);
    return folder;
}

#endif
