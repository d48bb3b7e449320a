/* SPDX-License-Identifier: MIT
 * tokenizer_config.h - tokenizer_config.json as a tree. */
#ifndef TARE_TEXT_TOKENIZER_CONFIG_H
#define TARE_TEXT_TOKENIZER_CONFIG_H

#include <jansson.h>

#include "open/checkpoint.h"

/* *config stays NULL where the file is not there; else it is owned by the caller, json_decref(). */
enum tare_code tare_tokenizer_config_read(json_t **config, const struct tare_checkpoint *checkpoint,
                                          struct tare_error *err);

#endif
