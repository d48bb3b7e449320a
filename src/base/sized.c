/* SPDX-License-Identifier: MIT
 * sized.c - structs of the host are copied into the library's own form, and back. */
#include "base/sized.h"

#include <string.h>

#include "base/error.h"

static size_t size_of(const void *given)
{
    size_t size;
    memcpy(&size, given, sizeof size);
    return size;
}

/* Returns the first byte of [from, to) that is not 0, else `to`. */
static size_t first_set(const unsigned char *bytes, size_t from, size_t to)
{
    while (from < to && !bytes[from])
        from++;
    return from;
}

static enum tare_code refuse_unknown(const char *name, size_t at, size_t own_size, struct tare_error *err)
{
    return tare_fail(
        err, TARE_E_ARGUMENT, name,
        "byte %zu is set, but this library knows %zu bytes of the struct: the host was compiled for a newer "
        "version of libtare and asks for something that this one does not have",
        at, own_size);
}

enum tare_code tare_sized_check(const void *given, const char *name, struct tare_error *err)
{
    if (!given)
        return tare_fail(err, TARE_E_ARGUMENT, name, "it is NULL");
    if (size_of(given) < sizeof(size_t))
        return tare_fail(err, TARE_E_ARGUMENT, name,
                         "its size is %zu: begin with the struct's .._INIT or its .._init() function", size_of(given));
    return TARE_OK;
}

enum tare_code tare_sized_read(void *own, size_t own_size, const void *given, const char *name, struct tare_error *err)
{
    tare_sized_init(own, own_size);
    if (!given)
        return TARE_OK;
    const enum tare_code code = tare_sized_check(given, name, err);
    if (code)
        return code;
    const size_t size = size_of(given), unknown = first_set(given, own_size, size);
    if (size > own_size && unknown < size)
        return refuse_unknown(name, unknown, own_size, err);
    memcpy(own, given, size < own_size ? size : own_size);
    memcpy(own, &own_size, sizeof own_size);
    return TARE_OK;
}

void tare_sized_write(void *given, const void *own, size_t own_size)
{
    const size_t size = size_of(given), shared = size < own_size ? size : own_size;
    unsigned char *bytes = given;
    memcpy(bytes + sizeof size, (const unsigned char *)own + sizeof size, shared - sizeof size);
    if (size > own_size)
        memset(bytes + own_size, 0, size - own_size);
}

enum tare_code tare_sized_list_check(const void *list, size_t n, size_t stride, size_t own_size, const char *name,
                                     struct tare_error *err)
{
    if (n && !list)
        return tare_fail(err, TARE_E_ARGUMENT, name, "it is NULL, but %zu entries are announced", n);
    if (stride && stride < own_size)
        return tare_fail(err, TARE_E_ARGUMENT, name, "its entries are %zu bytes apart, but one has %zu bytes", stride,
                         own_size);
    for (size_t i = 0; stride > own_size && i < n; i++) {
        const size_t unknown = first_set(tare_sized_at(list, i, stride, own_size), own_size, stride);
        if (unknown < stride)
            return refuse_unknown(name, unknown, own_size, err);
    }
    return TARE_OK;
}

void tare_sized_init(void *given, size_t size)
{
    if (!given || size < sizeof size)
        return;
    memset(given, 0, size);
    memcpy(given, &size, sizeof size);
}
