/* SPDX-License-Identifier: MIT
 * test_tokenizer_golden.c - tokenizers against recorded results of the reference: cases.json and streaming.json of a
 * folder.
 *
 *     test_tokenizer_golden               the folders in tests/data/tokenizer
 *     test_tokenizer_golden [-v] DIR ..   these folders (tools/tokenizer_check.py unpacks the large ones); prints
 * counts
 */
#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tare.h"

struct tally {
    size_t cases, cases_passed, streams, streams_passed;
    int show; /* failures yet to be shown */
};

/* ---- SHA-256 (FIPS 180-4), for results that are recorded by their digest ----------------------------------------- */

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

/* The first 32 bits of the fractional parts of the roots of the first primes. */
static uint32_t root_bits(unsigned prime, double power)
{
    double low = 1, high = 32; /* low^power <= prime */
    for (int i = 0; i < 64; i++) {
        const double x = (low + high) / 2, y = power > 2 ? x * x * x : x * x;
        *(y <= prime ? &low : &high) = x;
    }
    return (uint32_t)((low - (double)(unsigned)low) * 4294967296.0);
}

static void sha_block(uint32_t h[8], const uint32_t k[64], const unsigned char *p)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
               (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i++) {
        const uint32_t a = v[0], e = v[4];
        const uint32_t x =
            v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
        const uint32_t y = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += x;
        v[0] = x + y;
    }
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}

static void sha256(const char *data, size_t size, char hex[65])
{
    uint32_t h[8], k[64];
    unsigned char tail[128] = {0};
    int n = 0;
    for (unsigned prime = 2; n < 64; prime++) {
        unsigned d = 2;
        while (d * d <= prime && prime % d)
            d++;
        if (d * d <= prime)
            continue;
        k[n] = root_bits(prime, 3);
        if (n < 8)
            h[n] = root_bits(prime, 2);
        n++;
    }
    const size_t whole = size / 64 * 64, rest = size - whole, blocks = rest < 56 ? 1 : 2;
    for (size_t i = 0; i < whole; i += 64)
        sha_block(h, k, (const unsigned char *)data + i);
    memcpy(tail, data + whole, rest);
    tail[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        tail[blocks * 64 - 1 - (size_t)i] = (unsigned char)((uint64_t)size * 8 >> 8 * i);
    for (size_t i = 0; i < blocks; i++)
        sha_block(h, k, tail + 64 * i);
    for (int i = 0; i < 8; i++)
        snprintf(hex + 8 * i, 9, "%08x", (unsigned)h[i]);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static char *read_file(const char *folder, const char *name, size_t *size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *data = NULL;
    size_t room = 0;
    *size = 0;
    do {
        if (*size + 65536 > room)
            data = realloc(data, room = 2 * room + 65536);
        *size += fread(data + *size, 1, room - *size, file);
    } while (!feof(file) && !ferror(file));
    fclose(file);
    return data;
}

static json_t *read_json(const char *folder, const char *name)
{
    size_t size;
    char *data = read_file(folder, name, &size);
    json_t *json = data ? json_loadb(data, size, JSON_ALLOW_NUL, NULL) : NULL;
    free(data);
    return json;
}

static void miss(struct tally *tally, const char *folder, const char *what, size_t number, const char *text)
{
    if (tally->show-- > 0)
        printf("FAIL %s %s #%zu: %.200s\n", folder, what, number, text);
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

static bool same_ids(const json_t *list, const int32_t *ids, size_t n)
{
    if (json_array_size(list) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (json_integer_value(json_array_get(list, i)) != ids[i])
            return false;
    return true;
}

static bool same_digest(const json_t *digest, const int32_t *ids, size_t n)
{
    char *text = malloc(n * 12 + 1), hex[65];
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += (size_t)snprintf(text + size, 13, i ? " %d" : "%d", (int)ids[i]);
    sha256(text, size, hex);
    free(text);
    return !strcmp(hex, json_string_value(digest));
}

/* The interface ends texts with a NUL, so what follows a U+0000 is not compared. */
static bool same_text(const json_t *wanted, const char *text)
{
    return json_is_null(wanted) || !strcmp(json_string_value(wanted), text);
}

static bool run_way(const tare_tokenizer *tokenizer, const json_t *item, const char *text, size_t size, bool special)
{
    int32_t *ids;
    size_t n;
    char *decoded = NULL, hex[65];
    struct tare_error err = {0};
    if (tare_tokenizer_encode(tokenizer, text, size, special, &ids, &n, &err)) {
        printf("  %s: %s\n", err.where, err.text);
        return false;
    }
    const json_t *wanted = json_object_get(item, special ? "ids_special" : "ids");
    const json_t *digest = json_object_get(item, special ? "ids_special_sha256" : "ids_sha256");
    bool ok = wanted ? same_ids(wanted, ids, n) : same_digest(digest, ids, n);
    if (!tare_tokenizer_decode(tokenizer, ids, n, special, &decoded, NULL, &err)) {
        const json_t *back = json_object_get(item, special ? "decoded_skip" : "decoded");
        const json_t *back_digest = json_object_get(item, "decoded_sha256");
        if (back)
            ok = ok && same_text(back, decoded);
        else if (!special && back_digest) {
            sha256(decoded, strlen(decoded), hex);
            ok = ok && !strcmp(hex, json_string_value(back_digest));
        }
    } else {
        ok = false;
    }
    tare_text_free(decoded);
    tare_ids_free(ids);
    return ok;
}

static void run_cases(const tare_tokenizer *tokenizer, const char *folder, struct tally *tally)
{
    json_t *cases = read_json(folder, "cases.json");
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *item = json_array_get(cases, i), *text = json_object_get(item, "text");
        const char *data = json_string_value(text);
        size_t size = json_string_length(text);
        char *owned = NULL;
        if (!text)
            data = owned = read_file(folder, json_string_value(json_object_get(item, "text_file")), &size);
        tally->cases++;
        if (data && run_way(tokenizer, item, data, size, false) && run_way(tokenizer, item, data, size, true))
            tally->cases_passed++;
        else
            miss(tally, folder, "case", i, text ? data : "(a file)");
        free(owned);
    }
    json_decref(cases);
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/* Append a piece; false when it is no UTF-8 of its own. */
static bool append(char *all, size_t room, const char *piece)
{
    json_t *check = json_string(piece);
    const bool ok = check && strlen(all) + strlen(piece) < room;
    json_decref(check);
    if (ok)
        strcat(all, piece);
    return ok;
}

/* Without U+0000, which a piece cannot hold. */
static void strip_nul(const json_t *string, char *out)
{
    const char *text = json_string_value(string);
    size_t n = 0;
    for (size_t i = 0; i < json_string_length(string); i++)
        if (text[i])
            out[n++] = text[i];
    out[n] = '\0';
}

static bool run_stream(const tare_tokenizer *tokenizer, const json_t *item)
{
    const json_t *ids = json_object_get(item, "ids"), *pieces = json_object_get(item, "pieces");
    const json_t *text = json_object_get(item, "text");
    const bool follow = json_object_get(item, "reference_failed_at") || json_object_get(item, "reference_differs");
    const size_t room = 4 * json_string_length(text) + 4096;
    char *all = calloc(room, 1), *wanted = calloc(room, 1);
    const char *piece;
    size_t reference = 0;
    tare_stream *stream = NULL;
    bool ok = !tare_stream_open(&stream, tokenizer, json_is_true(json_object_get(item, "skip_special")), NULL);
    strip_nul(text, wanted);
    for (size_t i = 0; i < json_array_size(ids) && ok; i++) {
        ok = !tare_stream_put(stream, (int32_t)json_integer_value(json_array_get(ids, i)), &piece, NULL, NULL);
        ok = ok && append(all, room, piece);
        const json_t *theirs = json_array_get(pieces, i);
        for (size_t k = 0; k < json_string_length(theirs); k++)
            reference += json_string_value(theirs)[k] != '\0';
        if (!follow)
            ok = ok && strlen(all) >= reference && !strncmp(all, wanted, strlen(all));
    }
    ok = ok && !tare_stream_end(stream, &piece, NULL, NULL) && append(all, room, piece);
    ok = ok && !strcmp(all, wanted);
    tare_stream_free(stream);
    free(all);
    free(wanted);
    return ok;
}

static void run_streams(const tare_tokenizer *tokenizer, const char *folder, struct tally *tally)
{
    json_t *streams = read_json(folder, "streaming.json");
    for (size_t i = 0; i < json_array_size(streams); i++) {
        const json_t *item = json_array_get(streams, i);
        const char *kind = json_object_get(item, "reference_failed_at") ? "stream (reference failed)"
                           : json_object_get(item, "reference_differs") ? "stream (reference differs)"
                                                                        : "stream";
        tally->streams++;
        if (run_stream(tokenizer, item))
            tally->streams_passed++;
        else
            miss(tally, folder, kind, i, json_string_value(json_object_get(item, "text")));
    }
    json_decref(streams);
}

static bool run_folder(const char *folder, struct tally *tally, struct tare_error *err)
{
    tare_tokenizer *tokenizer;
    if (tare_tokenizer_open(&tokenizer, folder, NULL, err))
        return false;
    run_cases(tokenizer, folder, tally);
    run_streams(tokenizer, folder, tally);
    tare_tokenizer_free(tokenizer);
    return true;
}

static void committed_folders(void **state)
{
    (void)state;
    DIR *directory = opendir(TARE_TEST_DATA "/tokenizer");
    assert_non_null(directory);
    size_t folders = 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char path[4096];
        struct tally tally = {.show = 5};
        struct tare_error err = {0};
        if (entry->d_name[0] == '.' || strchr(entry->d_name, '.'))
            continue;
        snprintf(path, sizeof path, TARE_TEST_DATA "/tokenizer/%s", entry->d_name);
        if (!run_folder(path, &tally, &err))
            fail_msg("%s: %s: %s", entry->d_name, err.where, err.text);
        assert_int_equal(tally.cases, tally.cases_passed);
        assert_int_equal(tally.streams, tally.streams_passed);
        folders++;
    }
    closedir(directory);
    assert_true(folders > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(committed_folders)};
    bool verbose = false, all = true;
    if (argc < 2)
        return cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 1; i < argc; i++) {
        struct tally tally = {.show = verbose ? 1000 : 3};
        struct tare_error err = {0};
        if (!strcmp(argv[i], "-v")) {
            verbose = true;
            continue;
        }
        if (!run_folder(argv[i], &tally, &err))
            printf("%s: refused, %s: %s: %s\n", argv[i], tare_code_name(err.code), err.where, err.text);
        else
            printf("%s: cases %zu of %zu, streams %zu of %zu\n", argv[i], tally.cases_passed, tally.cases,
                   tally.streams_passed, tally.streams);
        all = all && err.code == TARE_OK && tally.cases == tally.cases_passed && tally.streams == tally.streams_passed;
        fflush(stdout);
    }
    return !all;
}
