/* SPDX-License-Identifier: MIT
 * safetensors.h - a safetensors header -> tensors, every bound checked. */
#ifndef TARE_OPEN_SAFETENSORS_H
#define TARE_OPEN_SAFETENSORS_H

#include "open/checkpoint.h"

#define TARE_HEADER_MOST 100000000u /* bytes, the limit of the safetensors library */

/*
 * The length of the header, from the first 8 bytes of a file (unused when file_size is less). Refused when it does not
 * fit the file or the limit; what is known not to be safetensors (a Git LFS pointer, a web page, a pickle) is named.
 */
enum tare_code tare_safetensors_length(const char *file_name, const unsigned char *first, uint64_t file_size,
                                       uint64_t *n, struct tare_error *err);

/*
 * Parse `header` (n bytes of JSON, without its length field) of a file of file_size bytes. Tensors are appended to
 * *tensors (heap array, tare_grow); names and shapes go to arena. Offsets become absolute (8 + n + data_offsets[0]).
 * Refused: not JSON, duplicate keys at any level, U+0000 in a name, an entry that is no object, unknown dtype or key,
 * wrong types, a size that is not dtype * shape, ranges that overlap, leave a hole or do not end at the end of the
 * file.
 */
enum tare_code tare_safetensors_parse(const char *file_name, uint32_t file, const char *header, size_t n,
                                      uint64_t file_size, struct tare_arena *arena, struct tare_tensor **tensors,
                                      size_t *n_tensors, size_t *room, struct tare_error *err);

#endif
