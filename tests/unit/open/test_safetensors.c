/* SPDX-License-Identifier: MIT
 * test_safetensors.c - headers: what is read, and each way to break one (docs/bad-input.md: P1 P2 P8
 * P9 P12 P15). */
#include "open/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fixture.h"

#define A(shape, begin, end)                                                                                           \
    "\"a\": {\"dtype\": \"F32\", \"shape\": " shape ", \"data_offsets\": [" #begin ", " #end "]}"
#define B(begin, end) "\"b\": {\"dtype\": \"F32\", \"shape\": [4], \"data_offsets\": [" #begin ", " #end "]}"

struct parsed {
    struct tare_arena arena;
    struct tare_tensor *tensors;
    size_t n, room;
    struct tare_error err;
    enum tare_code code;
};

static void parse_bytes(struct parsed *p, const char *header, size_t n, uint64_t data)
{
    *p = (struct parsed){.code = TARE_OK};
    /* A copy of exactly n bytes, so that a sanitizer sees every step beyond. */
    char *copy = malloc(n ? n : 1);
    memcpy(copy, header, n);
    p->code = tare_safetensors_parse("x.safetensors", 3, copy, n, 8 + n + data, &p->arena, &p->tensors, &p->n, &p->room,
                                     &p->err);
    free(copy);
}

static void parsed_release(struct parsed *p)
{
    tare_arena_release(&p->arena);
    free(p->tensors);
}

struct bad {
    const char *header;
    uint64_t data;
    enum tare_code code;
    const char *where, *phrase;
};

static void refuse_all(const struct bad *bad, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct parsed p;
        print_message("  %.100s\n", bad[i].header);
        parse_bytes(&p, bad[i].header, strlen(bad[i].header), bad[i].data);
        fixture_expect(p.code, &p.err, bad[i].code, bad[i].where, bad[i].phrase);
        parsed_release(&p);
        struct tare_arena arena = {0};
        p.n = p.room = 0;
        p.tensors = NULL; /* the same without anybody to tell */
        assert_int_equal(tare_safetensors_parse("x", 0, bad[i].header, strlen(bad[i].header),
                                                8 + strlen(bad[i].header) + bad[i].data, &arena, &p.tensors, &p.n,
                                                &p.room, NULL),
                         bad[i].code);
        free(p.tensors);
        tare_arena_release(&arena);
    }
}
#define REFUSE(list) refuse_all(list, FIXTURE_COUNT(list))

static void reads_a_sound_header(void **state)
{
    (void)state;
    struct parsed p;
    const char *header =
        "{\"__metadata__\": {\"format\": \"pt\", \"\\u0061\": \"\"}, "
        "\"w\": {\"data_offsets\": [2, 26], \"shape\": [3, 4], \"dtype\": \"BF16\"}, "
        "\"scalar\": {\"dtype\": \"I16\", \"shape\": [], \"data_offsets\": [0, 2]}, "
        "\"none\": {\"dtype\": \"F64\", \"shape\": [0, 9], \"data_offsets\": [2, 2]}, "
        "\"n\\u00e4me \\ud83d\\ude00\": {\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [26, 27]}}   ";
    parse_bytes(&p, header, strlen(header), 27);
    fixture_expect(p.code, &p.err, TARE_OK, NULL, NULL);
    assert_int_equal(p.n, 4);
    const struct tare_tensor *w = &p.tensors[0], *scalar = &p.tensors[1], *none = &p.tensors[2];
    assert_string_equal(w->name, "w");
    assert_int_equal(w->dtype, TARE_BF16);
    assert_int_equal(w->rank, 2);
    assert_int_equal(w->shape[0], 3);
    assert_int_equal(w->shape[1], 4);
    assert_int_equal(w->file, 3);
    assert_int_equal(w->offset, 8 + strlen(header) + 2);
    assert_int_equal(w->size, 24);
    assert_int_equal(scalar->rank, 0);
    assert_int_equal(scalar->size, 2);
    assert_int_equal(none->size, 0);
    assert_string_equal(p.tensors[3].name, "n\xc3\xa4me \xf0\x9f\x98\x80");
    parsed_release(&p);
}

static void reads_no_tensors(void **state)
{
    (void)state;
    static const char *const headers[] = {"{}", "  {  }  ", "{\"__metadata__\": {}}", "{\"__metadata__\": null}"};
    for (size_t i = 0; i < FIXTURE_COUNT(headers); i++) {
        struct parsed p;
        parse_bytes(&p, headers[i], strlen(headers[i]), 0);
        fixture_expect(p.code, &p.err, TARE_OK, NULL, NULL);
        assert_int_equal(p.n, 0);
        parsed_release(&p);
    }
}

static void knows_dtypes(void **state)
{
    (void)state;
    for (int i = 0; i < TARE_DTYPE_COUNT; i++) {
        const enum tare_dtype dtype = (enum tare_dtype)i;
        char header[200];
        struct parsed p;
        snprintf(header, sizeof header, "{\"a\": {\"dtype\": \"%s\", \"shape\": [3], \"data_offsets\": [0, %zu]}}",
                 tare_dtype_name(dtype), 3 * tare_dtype_size(dtype));
        parse_bytes(&p, header, strlen(header), 3 * tare_dtype_size(dtype));
        fixture_expect(p.code, &p.err, TARE_OK, NULL, NULL);
        assert_int_equal(p.tensors[0].dtype, dtype);
        parsed_release(&p);
    }
    assert_true(tare_dtype_is_float(TARE_F8_E8M0));
    assert_false(tare_dtype_is_float(TARE_U8));
    assert_string_equal(tare_dtype_name(TARE_DTYPE_END), "?");
}

static void p1_no_duplicates(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"{" A("[4]", 0, 16) ", " A("[4]", 16, 32) "}", 32, TARE_E_FORMAT, "x.safetensors: a", "stands twice"},
        {"{" A("[4]", 0, 16) ", \"\\u0061\": {}}", 16, TARE_E_FORMAT, "x.safetensors: a", "stands twice"},
        {"{\"a\": {\"dtype\": \"F32\", \"dtype\": \"F32\"}}", 0, TARE_E_FORMAT, ": a", "dtype twice"},
        {"{\"a\": {\"shape\": [4], \"dtype\": \"F32\", \"shape\": [4]}}", 0, TARE_E_FORMAT, ": a", "shape twice"},
        {"{\"a\": {\"data_offsets\": [0, 0], \"data_offsets\": [0, 16]}}", 0, TARE_E_FORMAT, ": a",
         "data_offsets twice"},
        {"{\"a\": {\"dtype\": \"F32\", \"d\\u0074ype\": \"F32\"}}", 0, TARE_E_FORMAT, ": a", "dtype twice"},
        {"{\"__metadata__\": {\"k\": \"1\", \"k\": \"1\"}}", 0, TARE_E_FORMAT, "__metadata__", "\"k\" stands twice"},
        {"{\"__metadata__\": {\"\\u006b\": \"1\", \"\\u006B\": \"2\"}}", 0, TARE_E_FORMAT, "__metadata__",
         "stands twice"},
        {"{\"__metadata__\": {}, \"__metadata__\": {}}", 0, TARE_E_FORMAT, "__metadata__", "stands twice"},
    };
    REFUSE(bad);
}

static void p2_no_nul_and_sound_text(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"{\"\\u0000\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "U+0000"},
        {"{\"a\\u0000b\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "U+0000"},
        {"{\"lm_head.weight\\u0000\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "lm_head.weight?"},
        {"{\"\\u0000__metadata__\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "U+0000"},
        {"{\"__metadata__\": {\"a\\u0000\": \"\"}}", 0, TARE_E_FORMAT, "__metadata__", "U+0000"},
        {"{\"\\ud800\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "byte 2 of the header is half a surrogate pair"},
        {"{\"\\udc00\\ud800\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "surrogate"},
        {"{\"\\ud800\\u0061\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "surrogate"},
        {"{\"\\ud8", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{\"\\u00g0\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{\"\xc0\x80\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "byte 2 of the header is no UTF-8"},
        {"{\"\xed\xa0\x80\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "no UTF-8"},
        {"{\"\xe0\x9f\xbf\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "no UTF-8"},
        {"{\"\xf4\x90\x80\x80\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "no UTF-8"},
        {"{\"\xf0\x9f\x98\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "no UTF-8"},
        {"{\"\xe2\x82", 0, TARE_E_FORMAT, "x.safetensors", "no UTF-8"},
    };
    REFUSE(bad);
    struct parsed p;
    parse_bytes(&p, "{\"a\0\": {}}", 10, 0); /* the byte itself */
    fixture_expect(p.code, &p.err, TARE_E_FORMAT, "x.safetensors", "no JSON");
    parsed_release(&p);
}

static void p8_dtypes_of_the_table(void **state)
{
    (void)state;
#define DTYPE(dtype) "{\"a\": {\"dtype\": " dtype ", \"shape\": [4], \"data_offsets\": [0, 16]}}"
    static const struct bad bad[] = {
        {DTYPE("\"F4\""), 16, TARE_E_UNKNOWN, "x.safetensors: a", "\"F4\" is not known"},
        {DTYPE("\"f32\""), 16, TARE_E_UNKNOWN, ": a", "\"f32\""},
        {DTYPE("\"\""), 16, TARE_E_UNKNOWN, ": a", "\"\""},
        {DTYPE("\"C64\""), 16, TARE_E_UNKNOWN, ": a", "C64"},
        {DTYPE("\"F32\\u0000\""), 16, TARE_E_UNKNOWN, ": a", "F32?"},
        {DTYPE("\"F3\""), 16, TARE_E_UNKNOWN, ": a", "F3"},
        {DTYPE("\"float32\""), 16, TARE_E_UNKNOWN, ": a", "F8_E4M3"},
        {DTYPE("32"), 16, TARE_E_FORMAT, ": a", "dtype is a number; a string is expected"},
        {DTYPE("null"), 16, TARE_E_FORMAT, ": a", "dtype is null"},
        {DTYPE("[\"F32\"]"), 16, TARE_E_FORMAT, ": a", "dtype is a list"},
        {DTYPE("{\"F32\": 1}"), 16, TARE_E_FORMAT, ": a", "dtype is an object"},
    };
    REFUSE(bad);
}

static void p9_strict_integers(void **state)
{
    (void)state;
#define LIST(shape, offsets) "{\"a\": {\"dtype\": \"U8\", \"shape\": " shape ", \"data_offsets\": " offsets "}}"
    static const struct bad bad[] = {
        {LIST("[-1]", "[0, 1]"), 1, TARE_E_FORMAT, ": a", "shape holds -1; whole numbers"},
        {LIST("[1.0]", "[0, 1]"), 1, TARE_E_FORMAT, ": a", "shape holds 1.0"},
        {LIST("[1e0]", "[0, 1]"), 1, TARE_E_FORMAT, ": a", "shape holds 1e0"},
        {LIST("[-0]", "[0, 0]"), 0, TARE_E_FORMAT, ": a", "shape holds -0"},
        {LIST("[9223372036854775808]", "[0, 1]"), 1, TARE_E_FORMAT, ": a", "9223372036854775808"},
        {LIST("[18446744073709551617]", "[0, 1]"), 1, TARE_E_FORMAT, ": a", "18446744073709551617"},
        {LIST("[1]", "[0, 99999999999999999999999999999]"), 1, TARE_E_FORMAT, ": a", "data_offsets holds 9999"},
        {LIST("[01]", "[0, 1]"), 1, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {LIST("[\"1\"]", "[0, 1]"), 1, TARE_E_FORMAT, ": a", "shape holds a string"},
        {LIST("[[1]]", "[0, 1]"), 1, TARE_E_FORMAT, ": a", "shape holds a list"},
        {LIST("[{}]", "[0, 1]"), 1, TARE_E_FORMAT, ": a", "shape holds an object"},
        {LIST("[null]", "[0, 1]"), 1, TARE_E_FORMAT, ": a", "shape holds null"},
        {LIST("[1]", "[false, true]"), 1, TARE_E_FORMAT, ": a", "data_offsets holds false"},
        {LIST("1", "[0, 1]"), 1, TARE_E_FORMAT, ": a", "shape is a number; a list of whole numbers"},
        {LIST("\"1\"", "[0, 1]"), 1, TARE_E_FORMAT, ": a", "shape is a string"},
        {LIST("[1]", "{}"), 1, TARE_E_FORMAT, ": a", "data_offsets is an object"},
        {LIST("[1]", "[]"), 1, TARE_E_FORMAT, ": a", "data_offsets has 0 numbers"},
        {LIST("[1]", "[0]"), 1, TARE_E_FORMAT, ": a", "data_offsets has 1 numbers"},
        {LIST("[1]", "[0, 1, 1]"), 1, TARE_E_FORMAT, ": a", "data_offsets has 3 numbers"},
    };
    REFUSE(bad);
}

static void p9_sizes(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"{" A("[4]", 0, 15) "}", 15, TARE_E_FORMAT, ": a", "span 15 bytes, its shape needs 16 of F32"},
        {"{" A("[4]", 0, 17) "}", 17, TARE_E_FORMAT, ": a", "span 17 bytes, its shape needs 16"},
        {"{" A("[]", 0, 0) "}", 0, TARE_E_FORMAT, ": a", "span 0 bytes, its shape needs 4"},
        {"{" A("[0]", 0, 4) "}", 4, TARE_E_FORMAT, ": a", "span 4 bytes, its shape needs 0"},
        {"{" A("[4]", 16, 0) "}", 16, TARE_E_FORMAT, ": a", "run backwards, from 16 to 0"},
        {"{" A("[4294967296, 4294967296]", 0, 0) "}", 0, TARE_E_FORMAT, ": a", "does not fit 63 bits"},
        {"{" A("[2305843009213693952]", 0, 0) "}", 0, TARE_E_FORMAT, ": a", "does not fit 63 bits"},
        {"{" A("[9223372036854775807, 2]", 0, 0) "}", 0, TARE_E_FORMAT, ": a", "does not fit 63 bits"},
        {"{" A("[4611686018427387904, 4]", 0, 16) "}", 16, TARE_E_FORMAT, ": a", "does not fit 63 bits"},
        {"{\"a\": {\"dtype\": \"U8\", \"shape\": [9223372036854775807], \"data_offsets\": [0, 9223372036854775807]}}",
         5, TARE_E_FORMAT, "x.safetensors", "the download was cut short; fetch it again"},
    };
    REFUSE(bad);
    assert_int_equal(tare_shape_count(0, NULL), 1);
    assert_int_equal(tare_shape_count(3, (const int64_t[]){INT64_MAX, INT64_MAX, 0}), 0);
    assert_int_equal(tare_shape_count(2, (const int64_t[]){INT64_MAX, 1}), INT64_MAX);
    assert_int_equal(tare_shape_count(2, (const int64_t[]){INT64_MAX, 2}), -1);
    assert_int_equal(tare_shape_count(1, (const int64_t[]){-1}), -1);
}

static void p9_ranges(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"{" A("[4]", 0, 16) ", " B(32, 48) "}", 48, TARE_E_FORMAT, ": b", "16 bytes before it belong to no tensor"},
        {"{" A("[4]", 8, 24) "}", 24, TARE_E_FORMAT, ": a", "8 bytes before it belong to no tensor"},
        {"{" A("[4]", 0, 16) ", " B(0, 16) "}", 16, TARE_E_FORMAT, "x.safetensors: ", "which ends at 16"},
        {"{" A("[4]", 0, 16) ", " B(12, 28) "}", 28, TARE_E_FORMAT, ": b",
         "begin at 12, within \"a\", which ends at 16"},
        {"{" B(4, 20) ", " A("[4]", 0, 16) "}", 20, TARE_E_FORMAT, ": b", "within \"a\""},
        {"{" A("[0]", 8, 8) ", " B(0, 16) "}", 16, TARE_E_FORMAT, ": a", "within \"b\""},
        {"{" A("[0]", 17, 17) ", " B(0, 16) "}", 17, TARE_E_FORMAT, ": a", "1 bytes before it"},
        {"{" A("[4]", 0, 16) "}", 15, TARE_E_FORMAT, "x.safetensors", "the download was cut short; fetch it again"},
        {"{" A("[4]", 0, 16) "}", 0, TARE_E_FORMAT, "x.safetensors", "the download was cut short"},
        {"{" A("[4]", 0, 16) "}", 17, TARE_E_FORMAT, "x.safetensors", "what follows the last tensor belongs to none"},
        {"{}", 1, TARE_E_FORMAT, "x.safetensors", "what follows the last tensor"},
    };
    REFUSE(bad);
}

static void p12_only_known_keys(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"{\"a\": {\"dtype\": \"F32\", \"strides\": [1]}}", 0, TARE_E_FORMAT, ": a", "the key \"strides\""},
        {"{\"a\": {\"Dtype\": \"F32\"}}", 0, TARE_E_FORMAT, ": a", "the key \"Dtype\""},
        {"{\"a\": {\"\": 0}}", 0, TARE_E_FORMAT, ": a", "the key \"\""},
        {"{\"a\": {}}", 0, TARE_E_FORMAT, ": a", "no dtype"},
        {"{\"a\": {\"dtype\": \"F32\", \"data_offsets\": [0, 4]}}", 4, TARE_E_FORMAT, ": a", "no shape"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1]}}", 4, TARE_E_FORMAT, ": a", "no data_offsets"},
        {"{\"a\": {\"shape\": [1], \"data_offsets\": [0, 4]}}", 4, TARE_E_FORMAT, ": a", "no dtype"},
    };
    REFUSE(bad);
}

static void p15_entries_are_objects(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"{\"a\": null}", 0, TARE_E_FORMAT, "x.safetensors: a", "its entry in the header is null; an object"},
        {"{\"a\": 1}", 0, TARE_E_FORMAT, ": a", "is a number"},
        {"{\"a\": \"F32\"}", 0, TARE_E_FORMAT, ": a", "is a string"},
        {"{\"a\": [4]}", 0, TARE_E_FORMAT, ": a", "is a list"},
        {"{\"a\": true}", 0, TARE_E_FORMAT, ": a", "is true"},
        {"{\"__metadata__\": []}", 0, TARE_E_FORMAT, "__metadata__", "is a list"},
        {"{\"__metadata__\": {\"k\": 1}}", 0, TARE_E_FORMAT, "__metadata__", "a value is a number; only strings"},
        {"{\"__metadata__\": {\"k\": {}}}", 0, TARE_E_FORMAT, "__metadata__", "a value is an object"},
        {"{\"__metadata__\": {\"k\": null}}", 0, TARE_E_FORMAT, "__metadata__", "a value is null"},
        {"[]", 0, TARE_E_FORMAT, "x.safetensors", "the header is a list, not an object"},
        {"null", 0, TARE_E_FORMAT, "x.safetensors", "the header is null"},
        {"\"{}\"", 0, TARE_E_FORMAT, "x.safetensors", "the header is a string"},
        {"12", 0, TARE_E_FORMAT, "x.safetensors", "the header is"},
    };
    REFUSE(bad);
}

static void refuses_what_is_no_json(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"    ", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{}}", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{} x", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{,}", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{" A("[4]", 0, 16) ",}", 16, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{" A("[4,]", 0, 16) "}", 16, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{/* */}", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{'a': {}}", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{1: {}}", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{\"a\" {}}", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"{\"a\tb\": {}}", 0, TARE_E_FORMAT, "x.safetensors", "no JSON"},
        {"not json", 0, TARE_E_FORMAT, "x.safetensors", "the file is damaged"},
    };
    REFUSE(bad);
}

static void says_what_a_file_is(void **state)
{
    (void)state;
    static const struct {
        const char *first, *phrase;
    } files[] = {
        {"version https://git-lfs", "Git LFS pointer"},
        {"<!DOCTYPE html>", "web page"},
        {"GGUF\x03\0\0\0\x01\0\0\0", "GGUF"},
        {"PK\x03\x04\x14\0\x08\x08", "PyTorch pickle"},
        {"\x80\x02}q\0(X\x0c", "Python pickle"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"},
        {"\x01\xe1\xf5\x05\0\0\0\0", "100000000 are the limit"},
        {"\x40\0\0\0\0\0\0\0", "its header says 64: the download"},
    };
    struct tare_error err = {0};
    uint64_t n = 0;
    for (size_t i = 0; i < FIXTURE_COUNT(files); i++) {
        unsigned char first[9] = {0};
        memcpy(first, files[i].first, 8);
        const uint64_t size = i == 6 ? 1000000000 : 64;
        fixture_expect(tare_safetensors_length("x", first, size, &n, &err), &err, TARE_E_FORMAT, "x", files[i].phrase);
    }
    for (uint64_t size = 0; size < 8; size++)
        fixture_expect(tare_safetensors_length("x", NULL, size, &n, &err), &err, TARE_E_FORMAT, "x", "too short");
    assert_int_equal(tare_safetensors_length("x", (const unsigned char *)"\x38\0\0\0\0\0\0\0", 64, &n, &err), TARE_OK);
    assert_int_equal(n, 56);
    assert_int_equal(
        tare_safetensors_length("x", (const unsigned char *)"\0\xe1\xf5\x05\0\0\0\0", 1000000000, &n, &err),
        TARE_OK); /* the limit itself */
}

/* Cut a sound header anywhere, and change any byte: an answer, never a crash, and never a tensor beyond the file. */
static void survives_damage(void **state)
{
    (void)state;
    const char *sound = "{\"__metadata__\": {\"f\": \"\\u00e9\"}, " A("[2, 2]", 0, 16) ", " B(16, 32) "}";
    const size_t n = strlen(sound);
    for (size_t cut = 0; cut < n; cut++) {
        struct parsed p;
        parse_bytes(&p, sound, cut, 32 + n - cut);
        assert_int_not_equal(p.code, TARE_OK);
        parsed_release(&p);
    }
    char *changed = strdup(sound);
    for (size_t at = 0; at < n; at++) {
        for (int byte = 0; byte < 256; byte++) {
            struct parsed p;
            changed[at] = (char)byte;
            parse_bytes(&p, changed, n, 32);
            for (size_t i = 0; i < p.n && !p.code; i++)
                assert_true(p.tensors[i].offset + p.tensors[i].size <= 8 + n + 32);
            parsed_release(&p);
        }
        changed[at] = sound[at];
    }
    free(changed);
}

static void appends_after_other_files(void **state)
{
    (void)state;
    struct parsed p = {.code = TARE_OK};
    const char *first = "{" A("[4]", 0, 16) "}", *second = "{" B(0, 16) "}";
    assert_int_equal(tare_safetensors_parse("x", 0, first, strlen(first), 8 + strlen(first) + 16, &p.arena, &p.tensors,
                                            &p.n, &p.room, NULL),
                     TARE_OK);
    assert_int_equal(tare_safetensors_parse("y", 1, second, strlen(second), 8 + strlen(second) + 16, &p.arena,
                                            &p.tensors, &p.n, &p.room, NULL),
                     TARE_OK);
    assert_int_equal(p.n, 2);
    assert_int_equal(p.tensors[1].file, 1);
    assert_int_equal(p.tensors[1].offset, 8 + strlen(second));
    parsed_release(&p);
}

static void reads_many_tensors_fast(void **state)
{
    (void)state;
    const size_t n = 100000;
    struct tare_text header = {0};
    struct parsed p;
    tare_text_puts(&header, "{");
    for (size_t i = 0; i < n; i++) {
        const size_t at = i * 7919 % n; /* names and ranges in another order than the data */
        tare_text_format(&header,
                         "%s\"model.layers.%zu.mlp.experts.%zu.up_proj.qweight\": {\"dtype\": \"I32\", \"shape\": "
                         "[64, 2], \"data_offsets\": [%zu, %zu]}",
                         i ? "," : "", at / 1000, at % 1000, at * 512, at * 512 + 512);
    }
    tare_text_puts(&header, "}");
    const double start = fixture_clock();
    parse_bytes(&p, header.data, header.size, 512 * (uint64_t)n);
    const double seconds = fixture_clock() - start;
    fixture_expect(p.code, &p.err, TARE_OK, NULL, NULL);
    assert_int_equal(p.n, n);
    print_message("  %zu tensors, %.1f MB in %.0f ms\n", n, (double)header.size / 1e6, seconds * 1e3);
    assert_true(seconds < 4); /* 0.1 s where nothing else runs and no sanitizer looks on */
    parsed_release(&p);
    tare_text_release(&header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_sound_header),
        cmocka_unit_test(reads_no_tensors),
        cmocka_unit_test(knows_dtypes),
        cmocka_unit_test(p1_no_duplicates),
        cmocka_unit_test(p2_no_nul_and_sound_text),
        cmocka_unit_test(p8_dtypes_of_the_table),
        cmocka_unit_test(p9_strict_integers),
        cmocka_unit_test(p9_sizes),
        cmocka_unit_test(p9_ranges),
        cmocka_unit_test(p12_only_known_keys),
        cmocka_unit_test(p15_entries_are_objects),
        cmocka_unit_test(refuses_what_is_no_json),
        cmocka_unit_test(says_what_a_file_is),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(appends_after_other_files),
        cmocka_unit_test(reads_many_tensors_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
