/* SPDX-License-Identifier: MIT
 * size.h - sizes as people write them: "5GB", "500M". */
#ifndef TARE_CLI_SIZE_H
#define TARE_CLI_SIZE_H

#include <stdint.h>

#define CLI_FLAG_SHARD_SIZE(s, member)                                                                                 \
    {                                                                                                                  \
        .name = "shard-size", CLI_IS_TEXT(s, member), .value = "SIZE", .help = "bytes of a file at most: 5GB, 500M",   \
        .more = cli_shard_more                                                                                         \
    }
extern const char cli_shard_more[];

/* Bytes of a size for a flag, which is named in messages; text NULL: 0. Returns CLI_GO_ON or the exit status. */
int cli_size_read(uint64_t *size, const char *flag, const char *text);

#endif
