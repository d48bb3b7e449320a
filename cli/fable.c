/* SPDX-License-Identifier: MIT
 * fable.c - the table of the files that fable.S puts into the program. */
#include "fable.h"

#define FILES(X)                                                                                                       \
    X(cli_fable_config, "config.json")                                                                                 \
    X(cli_fable_generation_config, "generation_config.json")                                                           \
    X(cli_fable_model, "model.safetensors")                                                                            \
    X(cli_fable_tokenizer, "tokenizer.json")                                                                           \
    X(cli_fable_tokenizer_config, "tokenizer_config.json")

#define DECLARE(symbol, file) extern const unsigned char symbol[], symbol##_end[];
FILES(DECLARE)
#undef DECLARE

const char cli_fable_prompt[] = "Once upon a time, a little fox";

const struct tare_memory_file *cli_fable(void)
{
    static struct tare_memory_file files[CLI_FABLE_FILES];
    size_t n = 0;
#define FILL(symbol, file)                                                                                             \
    files[n++] = (struct tare_memory_file){file, symbol, (size_t)((uintptr_t)symbol##_end - (uintptr_t)symbol)};
    FILES(FILL)
#undef FILL
    return files;
}
