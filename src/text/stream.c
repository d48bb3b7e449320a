/* SPDX-License-Identifier: MIT
 * stream.c - turns ids into text, all at once or one id at a time. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

enum tare_code tare_tokenizer_decode(const tare_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip_special,
                                     char **text, size_t *size, struct tare_error *err)
{
    if (!tokenizer || (!ids && n) || !text)
        return tare_fail_null(err, "tare_tokenizer_decode");
    struct tare_decoding decoding;
    enum tare_code code = tare_decoding_init(&decoding, tokenizer, false, err);
    for (size_t i = 0; i < n && !code; i++)
        code = tare_decoding_put(&decoding, ids[i], skip_special);
    if (!code)
        code = tare_decoding_end(&decoding);
    if (!code && decoding.out.failed)
        code = tare_fail_memory(err);
    *text = NULL;
    if (size)
        *size = code ? 0 : decoding.out.size;
    if (!code) {
        *text = decoding.out.data;
        decoding.out.data = NULL;
    }
    tare_decoding_release(&decoding);
    return code;
}

struct tare_stream {
    struct tare_decoding decoding;
    bool skip_special, ended;
};

enum tare_code tare_stream_open(tare_stream **result, const tare_tokenizer *tokenizer, bool skip_special,
                                struct tare_error *err)
{
    if (!result || !tokenizer)
        return tare_fail_null(err, "tare_stream_open");
    tare_stream *stream = calloc(1, sizeof *stream);
    *result = NULL;
    if (!stream)
        return tare_fail_memory(err);
    stream->skip_special = skip_special;
    const enum tare_code code = tare_decoding_init(&stream->decoding, tokenizer, true, err);
    if (code) {
        tare_stream_free(stream);
        return code;
    }
    *result = stream;
    return TARE_OK;
}

void tare_stream_free(tare_stream *stream)
{
    if (!stream)
        return;
    tare_decoding_release(&stream->decoding);
    free(stream);
}

/* Returns the text that came out since the last call; it stays valid until the next one. */
static enum tare_code piece_of(tare_stream *stream, enum tare_code code, const char **piece, size_t *size,
                               struct tare_error *err)
{
    stream->decoding.err = NULL;
    if (!code && stream->decoding.out.failed)
        code = tare_fail_memory(err);
    *piece = code ? "" : stream->decoding.out.data;
    if (size)
        *size = code ? 0 : stream->decoding.out.size;
    return code;
}

/* Empties the output before a call, which reports its errors to err. */
static void begin(tare_stream *stream, struct tare_error *err)
{
    struct tare_text *out = &stream->decoding.out;
    stream->decoding.err = err;
    out->size = 0;
    tare_text_puts(out, "");
    if (out->data)
        out->data[0] = '\0';
}

enum tare_code tare_stream_put(tare_stream *stream, int32_t id, const char **piece, size_t *size,
                               struct tare_error *err)
{
    if (!stream || !piece)
        return tare_fail_null(err, "tare_stream_put");
    if (stream->ended)
        return tare_fail(err, TARE_E_ARGUMENT, "", "the stream has ended; open another one");
    begin(stream, err);
    return piece_of(stream, tare_decoding_put(&stream->decoding, id, stream->skip_special), piece, size, err);
}

enum tare_code tare_stream_end(tare_stream *stream, const char **piece, size_t *size, struct tare_error *err)
{
    if (!stream || !piece)
        return tare_fail_null(err, "tare_stream_end");
    begin(stream, err);
    const enum tare_code code = stream->ended ? TARE_OK : tare_decoding_end(&stream->decoding);
    stream->ended = true;
    return piece_of(stream, code, piece, size, err);
}
