/* SPDX-License-Identifier: MIT
 * test_gguf_split.c - GGUF in parts: which files belong together, and what is wrong with those that do not. */
#include <string.h>

#include "base/text.h"
#include "fixture.h"
#include "open/checkpoint.h"
#include "open/gguf/gguf.h"

#define PARTS 3

static void put(struct tare_text *out, uint64_t number, size_t size)
{
    char bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(number >> 8 * i);
    tare_text_add(out, bytes, size);
}

static void put_text(struct tare_text *out, const char *text)
{
    put(out, strlen(text), 8);
    tare_text_puts(out, text);
}

static void put_number(struct tare_text *out, const char *key, enum tare_gguf_type type, uint64_t number, size_t size)
{
    put_text(out, key);
    put(out, type, 4);
    put(out, number, size);
}

/* What the metadata and the tensor of a file say. */
struct part {
    int number, count, tensors; /* split.no and so on; -1: no such key */
    const char *tensor;         /* of one float32 number; NULL: none */
};

/* As llama-gguf-split writes them: the first part has the model's metadata. */
static struct tare_text file_of(const struct part *p, bool first, float value)
{
    static const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {{"llama.embedding_length", 32},
                   {"llama.block_count", 1},
                   {"llama.feed_forward_length", 32},
                   {"llama.attention.head_count", 2},
                   {"llama.attention.head_count_kv", 2}};
    struct tare_text out = {0};
    const size_t n = FIXTURE_COUNT(numbers);
    tare_text_puts(&out, "GGUF");
    put(&out, 3, 4);
    put(&out, p->tensor != NULL, 8);
    const int keys = (p->number >= 0) + (p->count >= 0) + (p->tensors >= 0);
    put(&out, (size_t)keys + (first ? n + 2 : 0), 8);
    for (size_t k = 0; first && k < n; k++)
        put_number(&out, numbers[k].key, TARE_GGUF_U32, numbers[k].number, 4);
    if (first) {
        put_number(&out, "llama.attention.layer_norm_rms_epsilon", TARE_GGUF_F32, 0x3727c5ac, 4);
        put_text(&out, "general.architecture");
        put(&out, TARE_GGUF_TEXT, 4);
        put_text(&out, "llama");
    }
    if (p->number >= 0)
        put_number(&out, "split.no", TARE_GGUF_U16, (uint64_t)p->number, 2);
    if (p->count >= 0)
        put_number(&out, "split.count", TARE_GGUF_U16, (uint64_t)p->count, 2);
    if (p->tensors >= 0)
        put_number(&out, "split.tensors.count", TARE_GGUF_I32, (uint64_t)p->tensors, 4);
    if (p->tensor) {
        put_text(&out, p->tensor);
        put(&out, 1, 4);
        put(&out, 1, 8);
        put(&out, 0, 4);
        put(&out, 0, 8);
    }
    while (out.size % 32)
        tare_text_add(&out, "", 1);
    if (p->tensor)
        tare_text_add(&out, (const char *)&value, sizeof value);
    return out;
}

static const struct part sound[PARTS] = {{0, PARTS, 2, NULL}, {1, PARTS, 2, "a"}, {2, PARTS, 2, "b"}};

/* Names are sorted, and value k lies in part k. */
static void expect_values(struct tare_checkpoint *c)
{
    struct tare_error err = {0};
    assert_int_equal(c->n_files, PARTS);
    assert_int_equal(c->n_tensors, 2);
    for (size_t k = 0; k < 2; k++) {
        const void *data = NULL;
        const float value = (float)(k + 1);
        assert_int_equal(tare_tensor_data(c, &c->tensors[k], &data, &err), TARE_OK);
        assert_memory_equal(data, &value, sizeof value);
    }
}

/* Opens files in memory, in any order, and expects an error; TARE_OK: the tensors of `sound`, with their values. */
static void open_parts(const struct part *parts, const char *const *names, size_t n, enum tare_code want,
                       const char *place, const char *phrase)
{
    struct tare_memory_file files[8];
    struct tare_text text[8];
    for (size_t k = 0; k < n; k++) {
        text[k] = file_of(&parts[k], parts[k].number == 0, (float)k);
        files[k] = (struct tare_memory_file){.name = names[k], .data = text[k].data, .size = text[k].size};
    }
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_checkpoint c = {0};
    struct tare_error err = {0};
    options.files = files;
    options.n_files = n;
    const enum tare_code code = tare_checkpoint_open(&c, NULL, &options, &err);
    fixture_expect(code, &err, want, place, phrase);
    if (!want)
        expect_values(&c);
    tare_checkpoint_release(&c);
    for (size_t k = 0; k < n; k++)
        tare_text_release(&text[k]);
}

static const char *const names[PARTS] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"};

static void opens_all_parts(void **state)
{
    (void)state;
    open_parts(sound, names, PARTS, TARE_OK, NULL, NULL);
}

/* In a folder too, and whichever part is given. */
static void any_part_stands_for_all(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    for (size_t k = 0; k < PARTS; k++) {
        struct tare_text text = file_of(&sound[k], k == 0, (float)k);
        fixture_bytes(folder, names[k], text.data, text.size);
        tare_text_release(&text);
    }
    for (size_t k = 0; k <= PARTS; k++) {
        struct fixture_opened *o = fixture_open(k < PARTS ? fixture_path(folder, names[k]) : folder);
        fixture_expect(o->code, &o->err, TARE_OK, NULL, NULL);
        assert_int_equal(o->checkpoint.n_files, PARTS);
        assert_int_equal(o->checkpoint.n_tensors, 2);
        assert_int_equal(o->checkpoint.tensors[1].file, 2);
        fixture_close(o);
    }
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_checkpoint c = {0};
    struct tare_error err = {0};
    options.no_map = true;
    fixture_expect(tare_checkpoint_open(&c, folder, &options, &err), &err, TARE_OK, NULL, NULL);
    expect_values(&c);
    tare_checkpoint_release(&c);
    fixture_end(folder);
}

static void refuses_a_missing_part(void **state)
{
    (void)state;
    const struct part parts[] = {sound[0], sound[2]};
    const char *const two[] = {names[0], names[2]};
    open_parts(parts, two, 2, TARE_E_ABSENT, names[1], "the model is split into 3 files");
    open_parts(&sound[2], &names[2], 1, TARE_E_ABSENT, names[0], "is not beside m-00003-of-00003.gguf");
}

static void refuses_parts_that_differ(void **state)
{
    (void)state;
    const struct part swapped[PARTS] = {sound[0], sound[2], sound[1]};
    open_parts(swapped, names, PARTS, TARE_E_FORMAT, names[1], "part 2 by its name and part 3 by its split.no");
    const struct part twice[PARTS] = {sound[0], sound[1], {2, PARTS, 2, "a"}};
    open_parts(twice, names, PARTS, TARE_E_FORMAT, "a", "lies both in m-00002-of-00003.gguf and in");
    const struct part counted[PARTS] = {sound[0], {1, 4, 2, "a"}, sound[2]};
    open_parts(counted, names, PARTS, TARE_E_FORMAT, names[1], "its split.count is 4, its name says 3 parts");
    const struct part silent[PARTS] = {sound[0], {-1, -1, -1, "a"}, sound[2]};
    open_parts(silent, names, PARTS, TARE_E_FORMAT, names[1], "has no split.count");
    const struct part unnumbered[PARTS] = {sound[0], {-1, PARTS, 2, "a"}, sound[2]};
    open_parts(unnumbered, names, PARTS, TARE_E_FORMAT, names[1], "has no split.no");
    const struct part other[PARTS] = {sound[0], {1, PARTS, 9, "a"}, sound[2]};
    open_parts(other, names, PARTS, TARE_E_FORMAT, names[1], "its split.tensors.count is 9, that of m-00001");
    const struct part few[PARTS] = {{0, PARTS, 3, NULL}, {1, PARTS, 3, "a"}, {2, PARTS, 3, "b"}};
    open_parts(few, names, PARTS, TARE_E_FORMAT, names[0], "is 3, and the 3 parts have 2 tensors");
}

static void refuses_names(void **state)
{
    (void)state;
    const char *renamed = "model.gguf";
    open_parts(&sound[1], &renamed, 1, TARE_E_FORMAT, renamed, "does not end in -00002-of-00003.gguf");
    const struct part whole[] = {sound[0], {-1, -1, -1, "a"}};
    const char *const beside[] = {names[0], "n.gguf"};
    open_parts(whole, beside, 2, TARE_E_FORMAT, "n.gguf", "lies beside m-00001-of-00003.gguf");
    const char *cut = "m.gguf.part1of2";
    open_parts(sound, &cut, 1, TARE_E_FORMAT, cut, "cat m.gguf.part* > m.gguf");
    cut = "m.gguf-split-a";
    open_parts(sound, &cut, 1, TARE_E_FORMAT, cut, "cat m.gguf-split-* > m.gguf");
}

static void reads_names(void **state)
{
    (void)state;
    static const char *const whole[] = {"m.gguf",
                                        "m-00000-of-00003.gguf",
                                        "m-00004-of-00003.gguf",
                                        "m-0001-of-0003.gguf",
                                        "m-0000a-of-00003.gguf",
                                        "m-00001-of-00003.ggu",
                                        "-of-00003.gguf"};
    struct tare_gguf_part part;
    struct tare_arena arena = {0};
    for (size_t k = 0; k < FIXTURE_COUNT(whole); k++)
        assert_false(tare_gguf_part_of(whole[k], &part));
    assert_true(tare_gguf_part_of("m-00012-of-99999.gguf", &part));
    assert_true(part.stem == 1 && part.number == 12 && part.count == 99999);
    assert_string_equal(tare_gguf_part_name(&arena, "m-00012-of-99999.gguf", 345), "m-00345-of-99999.gguf");
    tare_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_all_parts),        cmocka_unit_test(any_part_stands_for_all),
        cmocka_unit_test(refuses_a_missing_part), cmocka_unit_test(refuses_parts_that_differ),
        cmocka_unit_test(refuses_names),          cmocka_unit_test(reads_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
