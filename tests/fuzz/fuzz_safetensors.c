/* SPDX-License-Identifier: MIT
 * fuzz_safetensors.c - any bytes as model.safetensors: refused with a sentence, or every tensor lies within the file.
 */
#include <string.h>

#include "fuzz.h"
#include "open/checkpoint.h"

static void check_tensors(struct tare_checkpoint *c, size_t size)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->n_tensors; i++) {
        const struct tare_tensor *t = &c->tensors[i];
        const void *data = NULL;
        FUZZ_CHECK(t->offset >= 8 && t->offset <= size && t->size <= size - t->offset);
        FUZZ_CHECK((uint64_t)tare_shape_count(t->rank, t->shape) * tare_dtype_size(t->dtype) == t->size);
        FUZZ_CHECK(!i || strcmp(c->tensors[i - 1].name, t->name) < 0);
        FUZZ_CHECK(tare_checkpoint_find(c, t->name) == t);
        FUZZ_CHECK(tare_tensor_data(c, t, &data, NULL) == TARE_OK);
        const volatile unsigned char *at = data;
        if (t->size)
            (void)(at[0] + at[t->size - 1]);
        bytes += t->size;
    }
    FUZZ_CHECK(bytes <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tare_memory_file file = {"model.safetensors", data, size};
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_checkpoint c = {.path = NULL};
    struct tare_error err = {0};
    options.files = &file;
    options.n_files = 1;
    const enum tare_code code = tare_checkpoint_open(&c, NULL, &options, &err);
    FUZZ_CHECK(code == err.code);
    FUZZ_CHECK(code != TARE_E_INTERNAL && code != TARE_E_IO && code != TARE_E_ABSENT);
    FUZZ_CHECK(!code || (err.text[0] && strstr(err.where, "model.safetensors")));
    if (!code)
        check_tensors(&c, size);
    tare_checkpoint_release(&c);
    return 0;
}
