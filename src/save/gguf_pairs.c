/* SPDX-License-Identifier: MIT
 * gguf_pairs.c - metadata of GGUF v3: key, type, value, little-endian; a text is its length in 64 bits and its bytes.
 * Source: ggml's specification of GGUF. */
#include <string.h>

#include "gguf/spelling.h"
#include "save/gguf_write.h"

void tare_put_bytes(struct tare_text *text, uint64_t value, int size)
{
    char bytes[8];
    for (int k = 0; k < size; k++)
        bytes[k] = (char)(value >> 8 * k & 255);
    tare_text_add(text, bytes, (size_t)size);
}

void tare_put_single(struct tare_text *text, double value)
{
    const float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    tare_put_bytes(text, bits, 4);
}

void tare_put_string(struct tare_text *text, const char *string, size_t n)
{
    tare_put_bytes(text, n, 8);
    tare_text_add(text, string, n);
}

static void put_key(struct tare_pairs *pairs, enum tare_gguf_key key, enum tare_gguf_type type)
{
    const char *name = tare_gguf_metadata[key].gguf;
    const size_t n = *name == '.' ? strlen(pairs->architecture) : 0;
    tare_put_bytes(&pairs->text, n + strlen(name), 8);
    tare_text_add(&pairs->text, pairs->architecture, n);
    tare_text_puts(&pairs->text, name);
    tare_put_bytes(&pairs->text, type, 4);
    pairs->n++;
}

void tare_pairs_whole(struct tare_pairs *pairs, enum tare_gguf_key key, int type, int size, int64_t value)
{
    put_key(pairs, key, (enum tare_gguf_type)type);
    tare_put_bytes(&pairs->text, (uint64_t)value, size);
}

void tare_pairs_integer(struct tare_pairs *pairs, enum tare_gguf_key key, int64_t value)
{
    tare_pairs_whole(pairs, key, TARE_GGUF_U32, 4, value);
}

void tare_pairs_real(struct tare_pairs *pairs, enum tare_gguf_key key, double value)
{
    put_key(pairs, key, TARE_GGUF_F32);
    tare_put_single(&pairs->text, value);
}

void tare_pairs_flag(struct tare_pairs *pairs, enum tare_gguf_key key, bool value)
{
    put_key(pairs, key, TARE_GGUF_BOOL);
    tare_put_bytes(&pairs->text, value, 1);
}

void tare_pairs_text(struct tare_pairs *pairs, enum tare_gguf_key key, const char *text, size_t n)
{
    put_key(pairs, key, TARE_GGUF_TEXT);
    tare_put_string(&pairs->text, text, n);
}

void tare_pairs_list(struct tare_pairs *pairs, enum tare_gguf_key key, int type, uint64_t n)
{
    put_key(pairs, key, TARE_GGUF_LIST);
    tare_put_bytes(&pairs->text, (uint64_t)type, 4);
    tare_put_bytes(&pairs->text, n, 8);
}
