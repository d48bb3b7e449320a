/* SPDX-License-Identifier: MIT
 * fuzz_gguf.c - any bytes as model.gguf: refused with a sentence, or it plans with an account that adds up, and every
 * tensor lies within the file; what is made of its vocabulary is read as a tokenizer.
 */
#include <string.h>

#include "fuzz.h"
#include "open/checkpoint.h"

static void check_tensors(const struct tare_options *options, size_t size)
{
    struct tare_checkpoint c = {.path = NULL};
    struct tare_error err = {0};
    const enum tare_code code = tare_checkpoint_open(&c, NULL, options, &err);
    FUZZ_CHECK(code == err.code && code != TARE_E_INTERNAL && code != TARE_E_IO && code != TARE_E_ABSENT);
    for (size_t i = 0; i < c.n_tensors && !code; i++) {
        const struct tare_tensor *t = &c.tensors[i];
        const void *data = NULL;
        FUZZ_CHECK(t->offset <= size && t->size <= size - t->offset);
        FUZZ_CHECK(!i || strcmp(c.tensors[i - 1].name, t->name) < 0);
        FUZZ_CHECK(tare_tensor_data(&c, t, &data, NULL) == TARE_OK);
        const volatile unsigned char *at = data;
        if (t->size)
            (void)(at[0] + at[t->size - 1]);
    }
    tare_checkpoint_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tare_memory_file file = {"model.gguf", data, size};
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_error err = {0};
    options.files = &file;
    options.n_files = 1;
    options.threads = 1;
    check_tensors(&options, size);
    fuzz_plan(&options);
    tare_tokenizer *tokenizer = NULL;
    const enum tare_code code = tare_tokenizer_open(&tokenizer, NULL, &options, &err);
    FUZZ_CHECK(code == err.code && code != TARE_E_INTERNAL && (!code || err.text[0]));
    tare_tokenizer_free(tokenizer);
    return 0;
}
