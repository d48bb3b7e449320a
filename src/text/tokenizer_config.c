/* SPDX-License-Identifier: MIT
 * tokenizer_config.c - reads tokenizer_config.json as a tree. It uses the reader of tokenizer.json, because
 * model_max_length is often 1e30 written out, an integer that other readers refuse. */
#include "text/tokenizer_config.h"

#include <stdlib.h>

#include "text/tokenizer_json.h"

#define CONFIG_MOST ((uint64_t)64 << 20)

enum tare_code tare_tokenizer_config_read(json_t **config, const struct tare_checkpoint *checkpoint,
                                          struct tare_error *err)
{
    static const char file[] = "tokenizer_config.json";
    struct tare_tokenizer_json json = {0};
    char *data = NULL;
    size_t size = 0;
    *config = NULL;
    if (!tare_checkpoint_has(checkpoint, file))
        return TARE_OK;
    enum tare_code code = tare_checkpoint_read(checkpoint, file, CONFIG_MOST, &data, &size, err);
    if (!code)
        code = tare_tokenizer_json_read(&json, file, data, size, err);
    if (!code)
        *config = json_incref(json.root);
    tare_tokenizer_json_release(&json);
    free(data);
    return code;
}
