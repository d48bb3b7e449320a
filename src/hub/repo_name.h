/* SPDX-License-Identifier: MIT
 * repo_name.h - which words are names: of a repository, a revision, a file in it, a commit, a content. */
#ifndef TARE_HUB_REPO_NAME_H
#define TARE_HUB_REPO_NAME_H

#include <stdbool.h>

#include "base/error.h"

enum { TARE_HUB_ID = 200, TARE_HUB_REVISION = 256, TARE_HUB_VARIANT = 96, TARE_HUB_COMMIT = 41, TARE_HUB_ETAG = 65 };

/* What ORG/NAME@REVISION:VARIANT says. */
struct tare_hub_name {
    /* "org/name", or "name" alone. */
    char id[TARE_HUB_ID];
    /* "main" when the word has none. */
    char revision[TARE_HUB_REVISION];
    /* A word in the name of a GGUF file, as "Q4_K_M"; "" when there is none. */
    char variant[TARE_HUB_VARIANT];
};

/* Fails with TARE_E_ARGUMENT when the word is no such name. */
enum tare_code tare_hub_name_read(struct tare_hub_name *name, const char *word, struct tare_error *err);

/* A branch, a tag or refs/pr/N, as git allows them, so that it is also a plain relative path. */
bool tare_hub_is_revision(const char *text);
/* 40 lower-case hex digits. */
bool tare_hub_is_commit(const char *text);
/* A content's name in blobs/: git's sha1 (40 digits) or sha256 (64 digits). Nothing else becomes a file name. */
bool tare_hub_is_etag(const char *text);
/* A plain relative path: no empty segment, no "." or "..", no control character, no drive, no backslash. */
bool tare_hub_is_path(const char *text);

#endif
