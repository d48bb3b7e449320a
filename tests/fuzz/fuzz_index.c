/* SPDX-License-Identifier: MIT
 * fuzz_index.c - any bytes as model.safetensors.index.json beside two shards with "a" and "b". */
#include <string.h>

#include "fuzz.h"
#include "open/checkpoint.h"
#include "open/index.h"

#define HEADER(name)                                                                                                   \
    "\x3e\0\0\0\0\0\0\0{\"" name "\": {\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [0, 1]}}  x"

static const char shard_a[] = HEADER("a"), shard_b[] = HEADER("b");

static void check_index(const char *text, size_t size)
{
    struct tare_shard_index index = {0};
    size_t placed = 0;
    if (!tare_index_parse(&index, "i", text, size, NULL)) {
        FUZZ_CHECK(index.n_shards && index.n_entries >= index.n_shards);
        for (size_t i = 0; i < index.n_shards; i++) {
            FUZZ_CHECK(!strchr(index.shards[i].name, '/') && strlen(index.shards[i].name) < 256);
            placed += index.shards[i].tensors;
        }
        FUZZ_CHECK(placed == index.n_entries);
        for (size_t i = 0; i < index.n_entries; i++)
            FUZZ_CHECK(tare_map_get(&index.by_tensor, index.entries[i].name, strlen(index.entries[i].name)) == i &&
                       index.entries[i].shard < index.n_shards);
    }
    tare_index_release(&index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tare_memory_file files[] = {
        {"model.safetensors.index.json", data, size},
        {"a.safetensors", shard_a, sizeof shard_a - 1},
        {"b.safetensors", shard_b, sizeof shard_b - 1},
    };
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_checkpoint c = {.path = NULL};
    struct tare_error err = {0};
    options.files = files;
    options.n_files = sizeof files / sizeof *files;
    check_index((const char *)data, size);
    const enum tare_code code = tare_checkpoint_open(&c, NULL, &options, &err);
    FUZZ_CHECK(code == err.code);
    FUZZ_CHECK(code == TARE_OK || code == TARE_E_FORMAT || code == TARE_E_ABSENT || code == TARE_E_MEMORY);
    FUZZ_CHECK(!code || err.text[0]);
    FUZZ_CHECK(code || (c.n_tensors == c.n_files && c.n_files + c.n_remarks == 2));
    tare_checkpoint_release(&c);
    return 0;
}
