/* SPDX-License-Identifier: MIT
 * mapping.h - the bytes of one file: mapped, read, or already in memory. The only file that knows of pages is
 * mapping.c. */
#ifndef TARE_OPEN_MAPPING_H
#define TARE_OPEN_MAPPING_H

#include "base/error.h"

/* A file's bytes, read-only and private, valid until the mapping is released. */
struct tare_mapping {
    const unsigned char *data;
    uint64_t size;
    enum { TARE_MAPPING_MEMORY, TARE_MAPPING_PAGES, TARE_MAPPING_HEAP } kind;
};

/* Map (or, with no_map, read) the regular file at path, whose size must still be `size`. */
enum tare_code tare_mapping_open(struct tare_mapping *mapping, const char *path, uint64_t size, bool no_map,
                                 struct tare_error *err);
void tare_mapping_release(struct tare_mapping *mapping);
/* Bytes [offset, offset + size) are not needed for now: where they are pages of the file, this process gives them up.
 * They may be read all the same, by other threads too: they come back. */
void tare_mapping_give_back(const struct tare_mapping *mapping, uint64_t offset, uint64_t size);

/*
 * Open the regular file at path for reading; links are followed, and nothing else blocks or is opened. name stands in
 * errors. TARE_E_ABSENT: not there. *fd is owned by the caller, -1 after a failure.
 */
enum tare_code tare_file_open(int *fd, uint64_t *size, const char *path, const char *name, struct tare_error *err);
/* Exactly n bytes from offset on, or TARE_E_IO. */
enum tare_code tare_file_read(int fd, void *buffer, size_t n, uint64_t offset, const char *name,
                              struct tare_error *err);

#endif
