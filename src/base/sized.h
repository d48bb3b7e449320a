/* SPDX-License-Identifier: MIT
 * sized.h - public structs that grow. A host may have been compiled with an older tare.h than the library, or with a
 * newer one. Each struct that crosses the border therefore begins with its size as the host has it, and structs that
 * come in arrays lie a stride apart that the host names. Fields are only ever added at the end, and 0 is their default.
 */
#ifndef TARE_SIZED_H
#define TARE_SIZED_H

#include "tare.h"

/* Read a struct that the host made, whose first field is its size.
 *
 *   own, own_size  receives the struct as this library has it; fields that the host does not know become 0
 *   given          the host's; NULL: all fields are 0
 *   name           for messages: "options"
 *
 * TARE_E_ARGUMENT: the size is too small to be one, or fields that this library does not know are not 0. */
enum tare_code tare_sized_read(void *own, size_t own_size, const void *given, const char *name, struct tare_error *err);

/* May a struct of the host be filled? TARE_E_ARGUMENT: it is NULL, or its size is too small to be one. */
enum tare_code tare_sized_check(const void *given, const char *name, struct tare_error *err);

/* Fill a struct of the host, which tare_sized_check() took: as many bytes as it has room for. Its size stays, and fields
 * that this library does not know become 0. */
void tare_sized_write(void *given, const void *own, size_t own_size);

/* Check an array of the host: n entries of own_size bytes as this library has them, `stride` bytes apart (0: own_size).
 * TARE_E_ARGUMENT: it is NULL though n is not 0, the stride is too small, or an entry sets fields that are unknown. */
enum tare_code tare_sized_list_check(const void *list, size_t n, size_t stride, size_t own_size, const char *name,
                                     struct tare_error *err);

/* Entry i of such an array. */
static inline const void *tare_sized_at(const void *list, size_t i, size_t stride, size_t own_size)
{
    return (const unsigned char *)list + i * (stride ? stride : own_size);
}

/* Set `size` bytes to 0 and the first field to `size`. */
void tare_sized_init(void *given, size_t size);

#endif
