/* SPDX-License-Identifier: MIT
 * quant_reader.h - single keys of a quantization_config, read strictly: a value of another type or out of range is
 * refused with its place. A key that is absent or null leaves *into as it was.
 */
#ifndef TARE_CONFIG_QUANT_READER_H
#define TARE_CONFIG_QUANT_READER_H

#include "config/quant.h"

struct tare_quant_reader {
    /* The object whose keys are read, and where it lies: "config.json: quantization_config". */
    const json_t *object;
    const char *place;
    struct tare_arena *arena;
    struct tare_error *err;
};

enum tare_code tare_quant_integer(const struct tare_quant_reader *reader, const char *key, int64_t least, int64_t most,
                                  int64_t *into);
/* A group size: at least 1, or -1 for the whole row. 0 is refused, because in struct tare_quant it means "not said". */
enum tare_code tare_quant_group_size(const struct tare_quant_reader *reader, const char *key, int64_t *into);
/* A copy in the arena. */
enum tare_code tare_quant_text(const struct tare_quant_reader *reader, const char *key, const char **into);

/* bitsandbytes, hqq, torchao, fbgemm_fp8, and modelopt: how a module is stored is told by its tensors. False: the method is none of these. */
bool tare_quant_read_by_tensors(const struct tare_quant_reader *reader, const char *method, struct tare_quant *quant,
                                enum tare_code *code);

/* Errors: "KEY must be WANTED", and "WHAT \"VALUE\" is not known; tare reads KNOWN". */
enum tare_code tare_quant_wrong(const struct tare_quant_reader *reader, const char *key, const char *wanted);
enum tare_code tare_quant_unknown(const struct tare_quant_reader *reader, const char *what, const char *value,
                                  const char *known);

#endif
