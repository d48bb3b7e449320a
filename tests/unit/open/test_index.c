/* SPDX-License-Identifier: MIT
 * test_index.c - the index and its shards: what is read, and each way to break it (P1 P2 P3 P4 P5 P15). */
#include "open/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "fixture.h"
#include "shards.h"

static void opens_shards(void **state)
{
    (void)state;
    static const char *const indexes[] = {SOUND,
                                          "{\"weight_map\": {\"b\": \"" TWO "\", \"a\": \"" ONE
                                          "\"}, \"metadata\": {\"total_size\": -7, \"x\": [1, {}, [[]]]}}",
                                          "{\"odd\": null, \"weight_map\": {\"a\": \"" ONE "\", \"b\": \"" TWO
                                          "\"}, \"more\": [{\"k\": 1}, {\"k\": 1}]}",
                                          NULL};
    for (size_t i = 0; i < FIXTURE_COUNT(indexes); i++) {
        char *folder = two_shards(indexes[i]);
        fixture_text(folder, "._" ONE, "what macOS leaves");
        fixture_accept(folder, 2, 2, NULL, NULL);
        fixture_end(folder);
    }
}

static void opens_another_index(void **state)
{
    (void)state;
    char *folder = two_shards(NULL);
    fixture_text(folder, "model.fp16.safetensors.index.json", "{\"weight_map\": {\"a\": \"" ONE "\"}}");
    fixture_accept(folder, 1, 1, "file-outside-index", TWO);
    fixture_text(folder, "other.safetensors.index.json", "{\"weight_map\": {\"b\": \"" TWO "\"}}");
    fixture_refuse(folder, TARE_E_FORMAT, "other.safetensors.index.json", "second index beside model.fp16");
    fixture_text(folder, INDEX, SOUND); /* the usual name wins */
    fixture_accept(folder, 2, 2, NULL, NULL);
    fixture_end(folder);
}

static void refuse_index(const char *index, enum tare_code code, const char *where, const char *phrase)
{
    char *folder = two_shards(index);
    print_message("  %.110s\n", index);
    fixture_refuse(folder, code, where, phrase);
    fixture_end(folder);
}

static void p1_p2_index(void **state)
{
    (void)state;
    refuse_index("{\"weight_map\": {\"a\": \"" ONE "\", \"a\": \"" ONE "\"}}", TARE_E_FORMAT, INDEX ": a",
                 "stands twice");
    refuse_index("{\"weight_map\": {\"a\": \"" ONE "\", \"\\u0061\": \"" TWO "\"}}", TARE_E_FORMAT, ": a",
                 "stands twice");
    refuse_index("{\"weight_map\": {\"a\": \"" ONE "\"}, \"weight_map\": {}}", TARE_E_FORMAT, ": weight_map",
                 "stands twice");
    refuse_index("{\"metadata\": 1, \"metadata\": 1}", TARE_E_FORMAT, ": metadata", "stands twice");
    refuse_index("{\"metadata\": {\"x\": 1, \"x\": 1}}", TARE_E_FORMAT, ": x", "stands twice");
    refuse_index("{\"metadata\": [{\"y\": {\"x\": 1, \"z\": {}, \"x\": 1}}]}", TARE_E_FORMAT, ": x", "stands twice");
    refuse_index("{\"weight_map\": {\"a\\u0000\": \"" ONE "\"}}", TARE_E_FORMAT, INDEX, "U+0000");
    refuse_index("{\"weight_map\": {\"\\u0000\": \"" ONE "\"}}", TARE_E_FORMAT, INDEX, "U+0000");
    refuse_index("{\"metadata\": {\"\\u0000a\": 1}}", TARE_E_FORMAT, INDEX, "U+0000");
    refuse_index("{\"\\u0000weight_map\": {}}", TARE_E_FORMAT, INDEX, "U+0000");
    refuse_index("{\"weight_map\": {\"a\": \"" ONE "\\u0000\"}}", TARE_E_FORMAT, ": a", "plain name");
    refuse_index("{\"weight_map\": {\"\\ud800\": \"" ONE "\"}}", TARE_E_FORMAT, INDEX, "surrogate");
}

static void p3_p15_index(void **state)
{
    (void)state;
    refuse_index("[]", TARE_E_FORMAT, INDEX, "the index is a list, not an object");
    refuse_index("3", TARE_E_FORMAT, INDEX, "the index is a number");
    refuse_index("", TARE_E_FORMAT, INDEX, "no JSON");
    refuse_index("{\"weight_map\": {\"a\": \"" ONE "\"}", TARE_E_FORMAT, INDEX, "no JSON");
    refuse_index("{}", TARE_E_FORMAT, INDEX, "no weight_map");
    refuse_index("{\"metadata\": {\"weight_map\": {\"a\": 1}}}", TARE_E_FORMAT, INDEX, "no weight_map");
    refuse_index("{\"weight_map\": {}}", TARE_E_FORMAT, INDEX, "its weight_map is empty");
    refuse_index("{\"weight_map\": []}", TARE_E_FORMAT, ": weight_map", "is a list; an object");
    refuse_index("{\"weight_map\": null}", TARE_E_FORMAT, ": weight_map", "is null");
    refuse_index("{\"weight_map\": \"" ONE "\"}", TARE_E_FORMAT, ": weight_map", "is a string");
    refuse_index("{\"weight_map\": {\"a\": 1}}", TARE_E_FORMAT, ": a", "its shard is a number");
    refuse_index("{\"weight_map\": {\"a\": null}}", TARE_E_FORMAT, ": a", "its shard is null");
    refuse_index("{\"weight_map\": {\"a\": [\"" ONE "\"]}}", TARE_E_FORMAT, ": a", "its shard is a list");
    refuse_index("{\"weight_map\": {\"a\": {\"file\": 1}}}", TARE_E_FORMAT, ": a", "its shard is an object");
    struct tare_text deep = {0};
    tare_text_puts(&deep, "{\"metadata\": ");
    for (int i = 0; i < 100000; i++)
        tare_text_puts(&deep, "[");
    refuse_index(deep.data, TARE_E_FORMAT, INDEX, "nested more than");
    tare_text_release(&deep);
}

static void p4_plain_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "../" ONE,
        "/etc/passwd",
        "sub/" ONE,
        "./" ONE,
        ".",
        "..",
        "a\\/b.safetensors",
        "config.json",
        ".safetensors",
        "model.bin",
        ".hidden.safetensors",
        "a\\u0000.safetensors",
        "a\\n.safetensors",
        "../../../../dev/zero.safetensors",
        ONE "/",
    };
    char *long_name = calloc(1, 400);
    memset(long_name, 'm', 300);
    strcat(long_name, ".safetensors");
    for (size_t i = 0; i <= FIXTURE_COUNT(names); i++) {
        char index[1000];
        snprintf(index, sizeof index, "{\"weight_map\": {\"a\": \"" ONE "\", \"evil\": \"%s\"}}",
                 i < FIXTURE_COUNT(names) ? names[i] : long_name);
        refuse_index(index, TARE_E_FORMAT, INDEX ": evil", "plain name of a .safetensors file");
    }
    free(long_name);
}

static void p5_absent_shards(void **state)
{
    (void)state;
    char *folder = two_shards(SOUND);
    unlink(fixture_path(folder, TWO));
    fixture_refuse(folder, TARE_E_ABSENT, TWO, "places 1 tensor in it (1 of 2 shards are not there)");
    unlink(fixture_path(folder, ONE));
    fixture_refuse(folder, TARE_E_ABSENT, ONE,
                   "(2 of 2 shards are not there): the download was not finished; fetch it again");
    fixture_shard(folder, "model.safetensors", "a"); /* an index left over from before merging */
    fixture_refuse(folder, TARE_E_ABSENT, ONE, "the index is left over: remove it");
    fixture_end(folder);
    folder = two_shards("{\"weight_map\": {\"a\": \"" ONE
                        "\", \"x\": \"model.safetensors\", \"y\": \"model.safetensors\"}}");
    fixture_refuse(folder, TARE_E_ABSENT, "model.safetensors", "places 2 tensors");
    fixture_end(folder);
    folder = two_shards("{\"weight_map\": {\"a\": \"Model-00001-of-00002.safetensors\"}}");
    fixture_refuse(folder, TARE_E_ABSENT, "Model-00001", "places 1 tensor");
    fixture_end(folder);
    folder = two_shards(SOUND);
    unlink(fixture_path(folder, ONE));
    fixture_link(folder, ONE, "../blobs/0123");
    fixture_refuse(folder, TARE_E_ABSENT, ONE, "link to a file that is not there");
    fixture_end(folder);
}

static void p5_index_and_shards_agree(void **state)
{
    (void)state;
    const char *versions = "index and shards are of different versions";
    refuse_index("{\"weight_map\": {\"a\": \"" TWO "\", \"b\": \"" ONE "\"}}", TARE_E_FORMAT, INDEX ": a",
                 "places it in " TWO ", and it lies in " ONE);
    refuse_index("{\"weight_map\": {\"a\": \"" ONE "\", \"b\": \"" ONE "\", \"c\": \"" TWO "\"}}", TARE_E_FORMAT, ": b",
                 "places it in " ONE ", and it lies in " TWO);
    refuse_index("{\"weight_map\": {\"a\": \"" ONE "\", \"c\": \"" TWO "\"}}", TARE_E_FORMAT, ": b",
                 "lies in " TWO " and is absent from the index");
    refuse_index("{\"weight_map\": {\"a\": \"" ONE "\", \"b\": \"" TWO "\", \"c\": \"" TWO "\"}}", TARE_E_FORMAT, ": c",
                 "places it in " TWO ", which has no such tensor");
    refuse_index("{\"weight_map\": {\"a\": \"" ONE "\", \"aa\": \"" ONE "\", \"b\": \"" TWO "\"}}", TARE_E_FORMAT,
                 ": aa", versions);
    refuse_index("{\"weight_map\": {\"B\": \"" TWO "\", \"a\": \"" ONE "\"}}", TARE_E_FORMAT, ": b", versions);
    /* the same tensor in two shards that are read */
    char *folder = two_shards(SOUND);
    fixture_shard(folder, TWO, "a");
    fixture_refuse(folder, TARE_E_FORMAT, "a", "lies both in " ONE " and in " TWO);
    fixture_end(folder);
    folder = two_shards(NULL);
    fixture_shard(folder, "old.safetensors", "b");
    fixture_refuse(folder, TARE_E_FORMAT, "b", "lies both in " TWO " and in old.safetensors");
    fixture_end(folder);
    folder = two_shards(NULL);
    fixture_link(folder, "model.safetensors", ONE);
    fixture_refuse(folder, TARE_E_FORMAT, "a", "remove the file that does not belong");
    fixture_end(folder);
}

static void p5_files_outside(void **state)
{
    (void)state;
    char *folder = two_shards("{\"weight_map\": {\"a\": \"" ONE "\"}}");
    fixture_accept(folder, 1, 1, "file-outside-index", TWO);
    fixture_text(folder, TWO, "not even a safetensors file: it is not read");
    fixture_accept(folder, 1, 1, "file-outside-index", TWO);
    unlink(fixture_path(folder, TWO));
    fixture_pipe(folder, "pipe.safetensors");
    fixture_accept(folder, 1, 1, "file-outside-index", "pipe.safetensors");
    fixture_end(folder);
    folder = two_shards(SOUND);
    fixture_shard(folder, "model-extra.safetensors", "b"); /* a tensor twice, but only one is read */
    fixture_accept(folder, 2, 2, "file-outside-index", "model-extra.safetensors");
    unlink(fixture_path(folder, "model-extra.safetensors"));
    fixture_shard(folder, "consolidated-00001-of-00001.safetensors", "b");
    fixture_accept(folder, 2, 2, "consolidated-not-read", "consolidated-00001-of-00001.safetensors");
    fixture_end(folder);
}

static void large_index_is_fast(void **state)
{
    (void)state;
    const size_t n = 100000;
    struct tare_text index = {0}, header = {0};
    char *folder = fixture_begin();
    tare_text_puts(&index, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    for (size_t file = 0; file < 100; file++) {
        char name[60];
        header.size = 0;
        tare_text_puts(&header, "{");
        snprintf(name, sizeof name, "model-%05zu-of-00100.safetensors", file + 1);
        for (size_t i = 0; i < n / 100; i++) {
            tare_text_format(&header,
                             "%s\"layers.%zu.experts.%zu.w\": {\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": "
                             "[%zu, %zu]}",
                             i ? "," : "", file, i, i, i + 1);
            tare_text_format(&index, "%s\"layers.%zu.experts.%zu.w\": \"%s\"", file || i ? ",\n" : "", file, i, name);
        }
        tare_text_puts(&header, "}");
        fixture_header(folder, name, header.data, n / 100);
    }
    tare_text_puts(&index, "}}");
    fixture_text(folder, INDEX, index.data);
    const double start = fixture_clock();
    fixture_accept(folder, n, 100, NULL, NULL);
    const double seconds = fixture_clock() - start;
    print_message("  %zu tensors in 100 shards in %.0f ms\n", n, seconds * 1e3);
    assert_true(seconds < 5);
    tare_text_release(&index);
    tare_text_release(&header);
    fixture_end(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_shards),
        cmocka_unit_test(opens_another_index),
        cmocka_unit_test(p1_p2_index),
        cmocka_unit_test(p3_p15_index),
        cmocka_unit_test(p4_plain_names),
        cmocka_unit_test(p5_absent_shards),
        cmocka_unit_test(p5_index_and_shards_agree),
        cmocka_unit_test(p5_files_outside),
        cmocka_unit_test(large_index_is_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
