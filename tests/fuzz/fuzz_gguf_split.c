/* SPDX-License-Identifier: MIT
 * fuzz_gguf_split.c - any bytes, cut at each "--next--", as the parts of a model that is split into GGUF files: refused
 * with a sentence, or every tensor lies within its part and the model plans.
 */
#include <string.h>

#include "fuzz.h"
#include "open/checkpoint.h"

#define MOST 4
static const char cut[] = "--next--";

/* Cuts the bytes into at most MOST files. */
static size_t cut_files(const uint8_t *data, size_t size, struct tare_memory_file *files)
{
    const size_t length = sizeof cut - 1;
    size_t n = 0, from = 0;
    for (size_t at = 0; at + length <= size && n + 1 < MOST; at++)
        if (!memcmp(data + at, cut, length)) {
            files[n++] = (struct tare_memory_file){.data = data + from, .size = at - from};
            from = at + length;
            at = from - 1;
        }
    files[n++] = (struct tare_memory_file){.data = data + from, .size = size - from};
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tare_memory_file files[MOST];
    char names[MOST][sizeof "m-00001-of-00001.gguf"];
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_checkpoint c = {.path = NULL};
    struct tare_error err = {0};
    const size_t n = cut_files(data, size, files);
    for (size_t k = 0; k < n; k++) {
        snprintf(names[k], sizeof names[k], "m-%05u-of-%05u.gguf", (unsigned)k % MOST + 1, (unsigned)n % (MOST + 1));
        files[k].name = names[k];
    }
    options.files = files;
    options.n_files = n;
    options.threads = 1;
    const enum tare_code code = tare_checkpoint_open(&c, NULL, &options, &err);
    FUZZ_CHECK(code == err.code && code != TARE_E_INTERNAL && code != TARE_E_IO && code != TARE_E_ABSENT);
    FUZZ_CHECK(code || c.n_files == n);
    for (size_t i = 0; i < c.n_tensors && !code; i++) {
        const struct tare_tensor *t = &c.tensors[i];
        const void *bytes = NULL;
        FUZZ_CHECK(t->file < n && t->offset <= files[t->file].size && t->size <= files[t->file].size - t->offset);
        FUZZ_CHECK(tare_tensor_data(&c, t, &bytes, NULL) == TARE_OK);
        const volatile unsigned char *at = bytes;
        if (t->size)
            (void)(at[0] + at[t->size - 1]);
    }
    tare_checkpoint_release(&c);
    fuzz_plan(&options);
    return 0;
}
