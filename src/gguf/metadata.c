/* SPDX-License-Identifier: MIT
 * metadata.c - the table of metadata.def. */
#include "gguf/spelling.h"

const struct tare_gguf_metadata tare_gguf_metadata[TARE_GGUF_KEYS] = {
#define KEY(name, key, other, where) [TARE_GGUF_KEY_##name] = {key, other, TARE_GGUF_##where},
#include "gguf/metadata.def"
#undef KEY
};
