/* SPDX-License-Identifier: MIT
 * fuzz_tokenizer.c - any bytes as tokenizer.json, and what follows its first NUL as a text; bytes that begin with a
 * line's end as tokenizer.model, those that begin with a T as tekken.json behind it. Refused with a sentence, or ids
 * that decode, at once and one at a time, to the same text. */
#include <string.h>

#include "fuzz.h"
#include "tare.h"

/* The pieces of a stream and its end, joined, are the text. */
static void check_stream(const tare_tokenizer *tokenizer, const int32_t *ids, size_t n, size_t all)
{
    struct tare_error err = {0};
    tare_stream *stream = NULL;
    const char *piece = "";
    size_t at = 0, size = 0;
    if (tare_stream_open(&stream, tokenizer, false, &err))
        return;
    for (size_t i = 0; i <= n; i++) {
        if (i < n ? tare_stream_put(stream, ids[i], &piece, &size, &err) : tare_stream_end(stream, &piece, &size, &err))
            break;
        FUZZ_CHECK(size <= all - at && !piece[size]);
        at += size;
    }
    tare_stream_free(stream);
}

static void check_text(const tare_tokenizer *tokenizer, const char *text, size_t size)
{
    struct tare_error err = {0};
    int32_t *ids = NULL;
    size_t n = 0, length = 0;
    char *back = NULL;
    const enum tare_code code = tare_tokenizer_encode(tokenizer, text, size, true, &ids, &n, &err);
    FUZZ_CHECK(code == err.code && (code == TARE_OK) == (ids != NULL));
    if (code)
        return;
    if (!tare_tokenizer_decode(tokenizer, ids, n, false, &back, &length, &err))
        check_stream(tokenizer, ids, n, length);
    tare_text_free(back);
    tare_ids_free(ids);
}

static struct tare_memory_file file_of(const uint8_t *data, size_t size)
{
    const char head = size ? (char)*data : '\0';
    const uint8_t *end = size ? memchr(data, '\0', size) : NULL;
    if (head == '\n') /* the tag of a message's first field */
        return (struct tare_memory_file){"tokenizer.model", data, size};
    if (head == 'T')
        return (struct tare_memory_file){"tekken.json", data + 1, size - 1};
    return (struct tare_memory_file){"tokenizer.json", data, end ? (size_t)(end - data) : size};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char words[] =
        "Hello w\xc3\xb6rld, \xe4\xbd\xa0\xe5\xa5\xbd!  a\xcc\x81\xcc\x81\r\n1234 <s> \xef\xbc\xa1";
    const struct tare_memory_file file = file_of(data, size);
    const char *end = (const char *)file.data + file.size, *last = (const char *)data + size;
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_tokenizer *tokenizer = NULL;
    options.files = &file;
    options.n_files = 1;
    const enum tare_code code = tare_tokenizer_open(&tokenizer, "model", &options, &err);
    FUZZ_CHECK(code == err.code && (code == TARE_OK) == (tokenizer != NULL));
    FUZZ_CHECK(!code || err.text[0]);
    if (!code) {
        check_text(tokenizer, words, sizeof words - 1);
        if (size && end < last)
            check_text(tokenizer, end + 1, (size_t)(last - end) - 1);
    }
    tare_tokenizer_free(tokenizer);
    return 0;
}
