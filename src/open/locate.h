/* SPDX-License-Identifier: MIT
 * locate.h - where a checkpoint lies, and what its folder holds. Between the files of open/ only. */
#ifndef TARE_OPEN_LOCATE_H
#define TARE_OPEN_LOCATE_H

#include "base/text.h"
#include "open/checkpoint.h"

/* Names of a folder's files, or of the files in memory; not of hidden ones. */
struct tare_listing {
    char **names; /* sorted; strings in the checkpoint's arena */
    size_t n, room;
};

/* Zero-initialise *listing; release it also after a failure. */
enum tare_code tare_listing_read(struct tare_listing *listing, struct tare_checkpoint *checkpoint,
                                 struct tare_error *err);
void tare_listing_release(struct tare_listing *listing);
bool tare_listing_has(const struct tare_listing *listing, const char *name);

/* One plain file name (docs/bad-input.md, P4): not empty, no '/', neither "." nor "..", no control character, at most
 * 255 bytes. */
bool tare_name_is_plain(const char *name, size_t n);
/* Path of a file beside config.json, in the arena; NULL: no memory. */
char *tare_checkpoint_path(struct tare_checkpoint *checkpoint, const char *name);

#endif
