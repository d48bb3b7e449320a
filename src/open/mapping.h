/* SPDX-License-Identifier: MIT
 * mapping.h - the bytes of one file at an address: mapped, or already in memory; and the ways of a descriptor. */
#ifndef TARE_OPEN_MAPPING_H
#define TARE_OPEN_MAPPING_H

#include "base/error.h"

/* A file's bytes, read-only and private, valid until the mapping is released. */
struct tare_mapping {
    const unsigned char *data;
    uint64_t size;
    enum { TARE_MAPPING_MEMORY, TARE_MAPPING_PAGES } kind;
};

/* Map the regular file at path, whose size must still be `size`. */
enum tare_code tare_mapping_open(struct tare_mapping *mapping, const char *path, uint64_t size, struct tare_error *err);
void tare_mapping_release(struct tare_mapping *mapping);
/* Bytes [offset, offset + size) are not needed for now: where they are pages of the file, this process gives them up.
 * They may be read all the same, by other threads too: they come back. */
void tare_mapping_give_back(const struct tare_mapping *mapping, uint64_t offset, uint64_t size);

/*
 * Open the regular file at path for reading; links are followed, and nothing else blocks or is opened. name stands in
 * errors. TARE_E_ABSENT: not there. *fd is owned by the caller, -1 after a failure.
 */
enum tare_code tare_file_open(int *fd, uint64_t *size, const char *path, const char *name, struct tare_error *err);
/* The size that a file was opened with must be the one that its header was read with; else TARE_E_IO. */
enum tare_code tare_file_same(const char *name, uint64_t now, uint64_t before, struct tare_error *err);
/* Exactly n bytes from offset on, or TARE_E_IO. */
enum tare_code tare_file_read(int fd, void *buffer, size_t n, uint64_t offset, const char *name,
                              struct tare_error *err);

#endif
