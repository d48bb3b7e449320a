/* SPDX-License-Identifier: MIT
 * shards.h - which files of a folder count, and whether their tensors are where the index has them. Within open/ only.
 */
#ifndef TARE_OPEN_SHARDS_H
#define TARE_OPEN_SHARDS_H

#include "open/index.h"

/*
 * Fill checkpoint.files (names and paths, in order of name) after tare_checkpoint_locate(). *index_name receives the
 * name of the index that was read into *index (zeroed by the caller, released by it also after a failure), or NULL.
 */
enum tare_code tare_shards_choose(struct tare_checkpoint *checkpoint, struct tare_shard_index *index,
                                  const char **index_name, struct tare_error *err);
/* After all headers: every tensor lies in the shard that the index names, and none is missing on either side
 * (docs/bad-input.md, P5). */
enum tare_code tare_shards_agree(const struct tare_checkpoint *checkpoint, const struct tare_shard_index *index,
                                 const char *index_name, struct tare_error *err);

#endif
