/* SPDX-License-Identifier: MIT
 * fuzz_config.c - any bytes as config.json over a fixed checkpoint: it plans or is refused with a sentence, and the
 * account of the plan always adds up.
 */
#include <string.h>

#include "fuzz.h"

/* A header of three tensors and their data: what the config makes of them does not matter. */
static const char header[] = "{\"lm_head.qweight\":{\"dtype\":\"I32\",\"shape\":[32,4],\"data_offsets\":[0,512]},"
                             "\"lm_head.scales\":{\"dtype\":\"F16\",\"shape\":[1,32],\"data_offsets\":[512,576]},"
                             "\"model.embed_tokens.weight\":{\"dtype\":\"F16\",\"shape\":[32,32],"
                             "\"data_offsets\":[576,2624]}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char file[8 + sizeof header + 2624] = {0};
    const size_t n = sizeof header - 1;
    for (int k = 0; k < 8; k++)
        file[k] = (unsigned char)((uint64_t)n >> 8 * k);
    memcpy(file + 8, header, n);
    const struct tare_memory_file files[] = {{"config.json", data, size}, {"model.safetensors", file, 8 + n + 2624}};
    struct tare_options options = TARE_OPTIONS_INIT;
    options.files = files;
    options.n_files = 2;
    options.threads = 1;
    fuzz_plan(&options);
    return 0;
}
