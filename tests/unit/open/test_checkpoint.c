/* SPDX-License-Identifier: MIT
 * test_checkpoint.c - folders, indexes, caches and memory: what is opened, and what is not (P1 P2 P4 P5 P10 P11 P12
 * P14). */
#include "open/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pool.h"
#include "base/text.h"
#include "fixture.h"
#include "shards.h"

/* ---- what opens ---------------------------------------------------------------------------------------------- */

static void opens_one_file(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    const float numbers[4] = {1, 2, 3, 4};
    const struct fixture_tensor tensors[] = {
        {"z", "F32", 2, {2, 2}, numbers}, {"a", "BF16", 3, {1, 2, 3}, NULL}, {"empty", "I8", 1, {0}, NULL}};
    fixture_safetensors(folder, "gptq_model-4bit-128g.safetensors", tensors, 3);
    fixture_text(folder, "config.json", "{}");
    for (int whole = 0; whole < 2; whole++) {
        struct fixture_opened *o =
            fixture_open(whole ? fixture_path(folder, "gptq_model-4bit-128g.safetensors") : folder);
        const void *data = NULL;
        fixture_expect(o->code, &o->err, TARE_OK, NULL, NULL);
        assert_string_equal(o->checkpoint.folder, folder);
        assert_int_equal(o->checkpoint.n_tensors, 3);
        assert_string_equal(o->checkpoint.tensors[0].name, "a"); /* sorted */
        assert_string_equal(o->checkpoint.tensors[2].name, "z");
        assert_null(tare_checkpoint_find(&o->checkpoint, "b"));
        const struct tare_tensor *z = tare_checkpoint_find(&o->checkpoint, "z");
        assert_non_null(z);
        assert_null(o->checkpoint.files[0].mapping); /* nothing of the data was touched */
        assert_int_equal(tare_tensor_data(&o->checkpoint, z, &data, &o->err), TARE_OK);
        assert_memory_equal(data, numbers, sizeof numbers);
        assert_true(tare_checkpoint_has(&o->checkpoint, "config.json"));
        assert_false(tare_checkpoint_has(&o->checkpoint, "tokenizer.json"));
        fixture_close(o);
    }
    fixture_end(folder);
}

static void leaves_out_adapters_and_copies(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    fixture_shard(folder, "model.safetensors", "a");
    fixture_shard(folder, "adapter_model.safetensors", "a");
    fixture_accept(folder, 1, 1, "adapter-not-read", "adapter_model.safetensors");
    unlink(fixture_path(folder, "adapter_model.safetensors"));
    fixture_shard(folder, "0000100_adapters.safetensors", "a");
    fixture_accept(folder, 1, 1, "adapter-not-read", "0000100_adapters.safetensors");
    unlink(fixture_path(folder, "0000100_adapters.safetensors"));
    fixture_shard(folder, "consolidated.safetensors", "layers.0");
    fixture_accept(folder, 1, 1, "consolidated-not-read", "consolidated.safetensors");
    unlink(fixture_path(folder, "model.safetensors"));
    fixture_accept(folder, 1, 1, NULL, NULL); /* all that there is */
    fixture_end(folder);
}

static void says_that_shards_are_absent(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    fixture_shard(folder, "model-00001-of-00003.safetensors", "a");
    fixture_accept(folder, 1, 1, "shards-absent", "model-00001-of-00003.safetensors");
    fixture_shard(folder, "model-00003-of-00003.safetensors", "c");
    fixture_accept(folder, 2, 2, "shards-absent", "model-00001-of-00003.safetensors");
    fixture_shard(folder, "other-00001-of-00001.safetensors", "d");
    fixture_accept(folder, 3, 3, "shards-absent", "model-00001-of-00003.safetensors");
    fixture_shard(folder, "model-00002-of-00003.safetensors", "b");
    fixture_accept(folder, 4, 4, NULL, NULL);
    fixture_accept(fixture_path(folder, "model-00002-of-00003.safetensors"), 1, 1, "shards-absent",
                   "model-00002-of-00003.safetensors");
    fixture_shard(folder, "model-of-00003.safetensors", "e"); /* names of no set */
    fixture_shard(folder, "model-1-of-x.safetensors", "f");
    fixture_shard(folder, "model-1-of-3x.safetensors", "g");
    fixture_shard(folder, "model-1-of--3.safetensors", "h");
    fixture_accept(folder, 8, 8, NULL, NULL);
    fixture_end(folder);
}

/* Names of files and tensors come from strangers: no line break and no escape sequence of theirs reaches a terminal. */
static void errors_are_one_line(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    fixture_header(folder, "model.safetensors", "{\"a\\n\\u001b[2J\\u009b1m\\u00e9\": 1}", 0);
    fixture_refuse(folder, TARE_E_FORMAT, "a??[2J??1m\xc3\xa9", "is a number");
    fixture_refuse(fixture_path(folder, "no\r\nsuch"), TARE_E_ABSENT, "no??such", "no such file");
    char name[600] = "{\"";
    for (size_t i = 2; i < 500; i += 2)
        memcpy(name + i, "\xc3\xa9", 3);
    for (int shift = 0; shift < 2; shift++) { /* cut within a character or between two */
        strcat(name, shift ? "\": 2}" : "\": 1}");
        fixture_header(folder, "model.safetensors", name, 0);
        struct fixture_opened *o = fixture_open(folder);
        const size_t n = strlen(o->err.where);
        assert_true(n >= 253 && (unsigned char)o->err.where[n - 1] == 0xa9);
        fixture_close(o);
        memmove(name + 3, name + 2, strlen(name + 2) + 1);
        name[2] = 'x';
        *strchr(name + 2, '"') = '\0';
    }
    fixture_end(folder);
}

static void opens_memory(void **state)
{
    (void)state;
    size_t n;
    char *bytes = fixture_header_bytes("{\"a\": {\"dtype\": \"U8\", \"shape\": [3], \"data_offsets\": [0, 3]}}", 3, &n);
    memcpy(bytes + n - 3, "xyz", 3);
    struct tare_memory_file files[] = {
        {"config.json", "{\"k\": 1}", 8}, {"model.safetensors", bytes, n}, {"empty", NULL, 0}};
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_checkpoint c = {.path = NULL};
    struct tare_error err = {0};
    const void *data;
    char *text;
    size_t size;
    options.files = files;
    options.n_files = 3;
    assert_int_equal(tare_checkpoint_open(&c, "fable", &options, &err), TARE_OK);
    assert_string_equal(c.path, "fable");
    assert_null(c.folder);
    assert_int_equal(tare_tensor_data(&c, &c.tensors[0], &data, &err), TARE_OK);
    assert_ptr_equal(data, bytes + n - 3); /* in place */
    assert_int_equal(tare_checkpoint_read(&c, "config.json", 100, &text, &size, &err), TARE_OK);
    assert_string_equal(text, "{\"k\": 1}");
    free(text);
    assert_int_equal(tare_checkpoint_read(&c, "empty", 100, &text, &size, &err), TARE_OK);
    assert_int_equal(size, 0);
    free(text);
    fixture_expect(tare_checkpoint_read(&c, "config.json", 7, &text, &size, &err), &err, TARE_E_FORMAT, "config.json",
                   "8 bytes");
    fixture_expect(tare_checkpoint_read(&c, "absent", 7, &text, &size, &err), &err, TARE_E_ABSENT, "absent",
                   "no such file");
    assert_true(tare_checkpoint_has(&c, "empty"));
    assert_false(tare_checkpoint_has(&c, "absent"));
    tare_checkpoint_release(&c);
    files[1].size--;
    fixture_expect(tare_checkpoint_open(&c, NULL, &options, &err), &err, TARE_E_FORMAT, "model.safetensors",
                   "cut short");
    tare_checkpoint_release(&c);
    files[1].size = 5;
    fixture_expect(tare_checkpoint_open(&c, NULL, &options, &err), &err, TARE_E_FORMAT, "model.safetensors",
                   "too short");
    tare_checkpoint_release(&c);
    files[1].name = "../model.safetensors";
    fixture_expect(tare_checkpoint_open(&c, NULL, &options, &err), &err, TARE_E_ARGUMENT, "options.files", "file 1");
    tare_checkpoint_release(&c);
    options.n_files = 0;
    fixture_expect(tare_checkpoint_open(&c, NULL, &options, &err), &err, TARE_E_ABSENT, "memory", "no safetensors");
    tare_checkpoint_release(&c);
    free(bytes);
}

static void reads_side_files(void **state)
{
    (void)state;
    char *folder = two_shards(NULL), *text;
    struct fixture_opened *o = fixture_open(folder);
    size_t size;
    fixture_bytes(folder, "tokenizer.json", "{\0}", 3);
    fixture_text(folder, "empty.json", "");
    assert_int_equal(tare_checkpoint_read(&o->checkpoint, "tokenizer.json", 3, &text, &size, &o->err), TARE_OK);
    assert_int_equal(size, 3);
    assert_memory_equal(text, "{\0}", 4); /* and a NUL */
    free(text);
    assert_int_equal(tare_checkpoint_read(&o->checkpoint, "empty.json", 0, &text, &size, &o->err), TARE_OK);
    assert_string_equal(text, "");
    free(text);
    fixture_expect(tare_checkpoint_read(&o->checkpoint, "tokenizer.json", 2, &text, &size, &o->err), &o->err,
                   TARE_E_FORMAT, "tokenizer.json", "is 3 bytes, more than the 2");
    assert_null(text);
    fixture_expect(tare_checkpoint_read(&o->checkpoint, "absent.json", 2, &text, &size, &o->err), &o->err,
                   TARE_E_ABSENT, "absent.json", "no such file");
    static const char *const names[] = {"", ".", "..", "../x", "a/b", "/etc/passwd"};
    for (size_t i = 0; i < FIXTURE_COUNT(names); i++)
        fixture_expect(tare_checkpoint_read(&o->checkpoint, names[i], 2, &text, &size, &o->err), &o->err,
                       TARE_E_ARGUMENT, names[i], "plain");
    fixture_close(o);
    fixture_end(folder);
}

/* ---- files that are none ------------------------------------------------------------------------------------- */

static void p10_only_regular_files(void **state)
{
    (void)state;
    const char *only = "only regular files are opened";
    char *folder = fixture_begin();
    fixture_pipe(folder, "model.safetensors");
    fixture_refuse(folder, TARE_E_FORMAT, "model.safetensors", "is a pipe: only regular files are opened");
    fixture_refuse(fixture_path(folder, "model.safetensors"), TARE_E_FORMAT, "model.safetensors",
                   "neither a file nor a folder");
    unlink(fixture_path(folder, "model.safetensors"));
    fixture_folder(folder, "model.safetensors");
    fixture_refuse(folder, TARE_E_FORMAT, "model.safetensors", "is a folder: only regular files are opened");
    rmdir(fixture_path(folder, "model.safetensors"));
    fixture_link(folder, "model.safetensors", "/dev/zero");
    fixture_refuse(folder, TARE_E_FORMAT, "model.safetensors", "is a device: only regular files are opened");
    unlink(fixture_path(folder, "model.safetensors"));
    fixture_pipe(folder, "pipe");
    fixture_link(folder, "model.safetensors", "pipe");
    fixture_refuse(folder, TARE_E_FORMAT, "model.safetensors", only);
    unlink(fixture_path(folder, "model.safetensors"));
    fixture_link(folder, INDEX, "pipe");
    fixture_refuse(folder, TARE_E_FORMAT, INDEX, only);
    fixture_link(folder, "config.json", "/dev/null");
    fixture_link(folder, "folder.json", ".");
    unlink(fixture_path(folder, INDEX));
    fixture_shard(folder, "model.safetensors", "a");
    struct fixture_opened *o = fixture_open(folder);
    static const char *const names[] = {"pipe", "config.json", "folder.json"};
    for (size_t i = 0; i < FIXTURE_COUNT(names); i++) {
        char *text;
        size_t size;
        alarm(20);
        fixture_expect(tare_checkpoint_read(&o->checkpoint, names[i], 100, &text, &size, &o->err), &o->err,
                       TARE_E_FORMAT, names[i], only);
        alarm(0);
    }
    fixture_close(o);
    fixture_refuse("/dev/null", TARE_E_FORMAT, "/dev/null", "neither a file nor a folder");
    fixture_end(folder);
}

static void p11_no_pickle(void **state)
{
    (void)state;
    static const char *const names[] = {"pytorch_model.bin", "pytorch_model-00001-of-00002.bin",
                                        "model.pt",          "consolidated.00.pth",
                                        "last.ckpt",         "weights.pkl"};
    for (size_t i = 0; i < FIXTURE_COUNT(names); i++) {
        char *folder = fixture_begin();
        fixture_text(folder, names[i], "PK\x03\x04");
        fixture_text(folder, "config.json", "{}");
        fixture_refuse(folder, TARE_E_UNKNOWN, names[i], "no pickle is opened");
        fixture_refuse(fixture_path(folder, names[i]), TARE_E_UNKNOWN, names[i], "no pickle is opened");
        fixture_shard(folder, "model.safetensors", "a"); /* beside safetensors it is no matter */
        fixture_accept(folder, 1, 1, NULL, NULL);
        fixture_end(folder);
    }
    char *folder = fixture_begin();
    fixture_text(folder, "model.safetensors", "PK\x03\x04\x14\x01\x08\x08\x08\x08 a pickle by another name");
    fixture_refuse(folder, TARE_E_FORMAT, "model.safetensors", "tare runs no code of a checkpoint");
    fixture_end(folder);
}

static void p12_what_is_not_known(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    fixture_refuse(folder, TARE_E_ABSENT, "tare-test", "no safetensors found");
    fixture_text(folder, "config.json", "{}");
    fixture_refuse(folder, TARE_E_ABSENT, "tare-test", "no safetensors found");
    fixture_refuse(fixture_path(folder, "config.json"), TARE_E_UNKNOWN, "config.json",
                   "is no .safetensors or .gguf file");
    fixture_text(folder, ".safetensors", "hidden");
    fixture_refuse(folder, TARE_E_ABSENT, "tare-test", "no safetensors found");
    fixture_text(folder, "model.Q4_0.gguf", "GGUF");
    fixture_refuse(folder, TARE_E_FORMAT, "model.Q4_0.gguf", "the header at byte 4 does not fit");
    fixture_refuse(fixture_path(folder, "model.Q4_0.gguf"), TARE_E_FORMAT, "model.Q4_0.gguf", "does not fit");
    fixture_shard(folder, "adapter_model.safetensors", "a");
    fixture_refuse(folder, TARE_E_ABSENT, "tare-test", "an adapter, adapter_model.safetensors: merge it");
    fixture_text(folder, "model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n");
    fixture_refuse(folder, TARE_E_FORMAT, "model.safetensors", "git lfs pull");
    fixture_text(folder, "model.safetensors", "<!DOCTYPE html><html>401 unauthorized");
    fixture_refuse(folder, TARE_E_FORMAT, "model.safetensors", "web page");
    fixture_end(folder);
    fixture_refuse("", TARE_E_ARGUMENT, "", "no path is given");
    fixture_refuse(NULL, TARE_E_ARGUMENT, "", "no path is given");
    fixture_refuse("org/name", TARE_E_ABSENT, "org/name",
                   "no such file or folder; a model of the hub has to be fetched");
    fixture_refuse("/nowhere/at/all", TARE_E_ABSENT, "/nowhere/at/all", "no such file or folder");
    fixture_refuse("/dev/null/x", TARE_E_ABSENT, "/dev/null/x", "no such file or folder");
}

static void p9_sizes_before_memory(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    static const struct {
        const char *bytes;
        size_t n;
        const char *phrase;
    } files[] = {
        {"", 0, "file is 0 bytes, too short"},
        {"\x02\0\0\0", 4, "file is 4 bytes, too short"},
        {"\x02\0\0\0\0\0\0\0", 8, "file is 8 bytes, its header says 2"},
        {"\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10, "9223372036854775807 bytes, 100000000 are the limit"},
        {"\xf8\xff\xff\xff\xff\xff\xff\xff{}", 10, "18446744073709551608 bytes"},
        {"\0\xe1\xf5\x05\0\0\0\0{}", 10, "file is 10 bytes, its header says 100000000: the download was cut short"},
        {"\0\0\0\0\0\0\0\0{}", 10, "no JSON"},
        {"\x01\0\0\0\0\0\0\0{}", 10, "no JSON"},
        {"\x02\0\0\0\0\0\0\0{}x", 11, "file is 11 bytes, its header says 10"},
    };
    for (size_t i = 0; i < FIXTURE_COUNT(files); i++) {
        fixture_bytes(folder, "model.safetensors", files[i].bytes, files[i].n);
        fixture_refuse(folder, TARE_E_FORMAT, "model.safetensors", files[i].phrase);
    }
    fixture_end(folder);
}

/* A file of 1 TiB is planned in no time: its data are not touched. */
static void does_not_touch_data(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    const char *path = fixture_path(folder, "model.safetensors");
    fixture_text(folder, "model.safetensors", "");
    if (truncate(path, (off_t)1 << 40)) {
        fixture_end(folder);
        skip(); /* not every file system has files so large */
    }
    fixture_header(folder, "model.safetensors",
                   "{\"a\": {\"dtype\": \"F32\", \"shape\": [262144, 1048576], \"data_offsets\": [0, 1099511627776]}}",
                   (uint64_t)1 << 40);
    const double start = fixture_clock();
    fixture_accept(folder, 1, 1, NULL, NULL);
    assert_true(fixture_clock() - start < 1);
    fixture_end(folder);
}

/* ---- links and the cache ------------------------------------------------------------------------------------- */

static void p14_links_are_followed(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    fixture_folder(folder, "blobs");
    fixture_folder(folder, "model");
    fixture_shard(folder, "blobs/0123", "a");
    fixture_text(folder, "blobs/4567", "{\"k\": 1}");
    fixture_link(folder, "model/model.safetensors", "../blobs/0123");
    fixture_link(folder, "model/config.json", "../blobs/4567");
    fixture_accept(fixture_path(folder, "model"), 1, 1, NULL, NULL);
    fixture_link(folder, "chain", "model");
    fixture_link(folder, "chain2", "chain");
    fixture_accept(fixture_path(folder, "chain2"), 1, 1, NULL, NULL);
    /* a file by its link: config.json lies beside the link, not beside what it leads to */
    struct fixture_opened *o = fixture_open(fixture_path(folder, "model/model.safetensors"));
    char *text;
    size_t size;
    assert_int_equal(tare_checkpoint_read(&o->checkpoint, "config.json", 100, &text, &size, &o->err), TARE_OK);
    assert_string_equal(text, "{\"k\": 1}");
    free(text);
    const void *data;
    assert_int_equal(tare_tensor_data(&o->checkpoint, &o->checkpoint.tensors[0], &data, &o->err), TARE_OK);
    fixture_close(o);
    unlink(fixture_path(folder, "blobs/0123"));
    fixture_refuse(fixture_path(folder, "model"), TARE_E_ABSENT, "model.safetensors",
                   "link to a file that is not there");
    fixture_refuse(fixture_path(folder, "model/model.safetensors"), TARE_E_ABSENT, "model.safetensors", "no such file");
    fixture_link(folder, "blobs/0123", "0123");
    fixture_refuse(fixture_path(folder, "model"), TARE_E_IO, "model.safetensors", "cannot be opened");
    unlink(fixture_path(folder, "model/config.json"));
    fixture_link(folder, "model/config.json", "nowhere");
    fixture_shard(folder, "model/other.safetensors", "a");
    unlink(fixture_path(folder, "model/model.safetensors"));
    o = fixture_open(fixture_path(folder, "model"));
    assert_true(tare_checkpoint_has(&o->checkpoint, "config.json")); /* it is meant to be there */
    fixture_expect(tare_checkpoint_read(&o->checkpoint, "config.json", 100, &text, &size, &o->err), &o->err,
                   TARE_E_ABSENT, "config.json", "link to a file that is not there");
    fixture_close(o);
    fixture_end(folder);
}

static void finds_the_snapshot(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    const char *cache = "models--org--name";
    fixture_folder(folder, "models--org--name/snapshots");
    fixture_refuse(fixture_path(folder, cache), TARE_E_ABSENT, cache, "has no snapshot");
    fixture_folder(folder, "models--org--name/snapshots/abc");
    fixture_refuse(fixture_path(folder, cache), TARE_E_ABSENT, cache, "no safetensors found");
    fixture_shard(folder, "models--org--name/snapshots/abc/model.safetensors", "a");
    fixture_accept(fixture_path(folder, cache), 1, 1, NULL, NULL); /* the only one */
    fixture_folder(folder, "models--org--name/snapshots/def");
    fixture_refuse(fixture_path(folder, cache), TARE_E_FORMAT, cache, "has 2 snapshots and no refs/main");
    fixture_folder(folder, "models--org--name/refs");
    fixture_text(folder, "models--org--name/refs/main", "abc\n");
    fixture_accept(fixture_path(folder, cache), 1, 1, NULL, NULL);
    struct fixture_opened *o = fixture_open(fixture_path(folder, cache));
    assert_string_equal(o->checkpoint.folder, fixture_path(folder, "models--org--name/snapshots/abc"));
    assert_string_equal(o->checkpoint.path, fixture_path(folder, cache));
    fixture_close(o);
    fixture_text(folder, "models--org--name/refs/main", "fed");
    fixture_refuse(fixture_path(folder, cache), TARE_E_ABSENT, cache, "names snapshot fed, which is not there");
    static const char *const refs[] = {"", "..", "../../other", "\n", "/etc"};
    for (size_t i = 0; i < FIXTURE_COUNT(refs); i++) {
        fixture_text(folder, "models--org--name/refs/main", refs[i]);
        fixture_refuse(fixture_path(folder, cache), TARE_E_FORMAT, "refs/main", "names no commit");
    }
    fixture_accept(fixture_path(folder, "models--org--name/snapshots/abc"), 1, 1, NULL, NULL);
    fixture_end(folder);
}

static void locates_without_weights(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    struct tare_checkpoint c = {.path = NULL};
    struct tare_error err = {0};
    fixture_text(folder, "tokenizer.json", "{}");
    assert_int_equal(tare_checkpoint_locate(&c, folder, NULL, &err), TARE_OK);
    assert_string_equal(c.folder, folder);
    tare_checkpoint_release(&c);
    assert_int_equal(tare_checkpoint_locate(&c, fixture_path(folder, "tokenizer.json"), NULL, &err), TARE_OK);
    assert_string_equal(c.folder, folder);
    assert_string_equal(c.only, "tokenizer.json");
    tare_checkpoint_release(&c);
    tare_checkpoint_release(&c); /* twice is fine */
    fixture_end(folder);
}

/* ---- data ---------------------------------------------------------------------------------------------------- */

static void reads_instead_of_mapping(void **state)
{
    (void)state;
    char *folder = two_shards(SOUND);
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_checkpoint c = {.path = NULL};
    struct tare_error err = {0};
    const void *data;
    options.no_map = true;
    assert_int_equal(tare_checkpoint_open(&c, folder, &options, &err), TARE_OK);
    assert_int_equal(tare_tensor_data(&c, &c.tensors[0], &data, &err), TARE_OK);
    assert_memory_equal(data, "0123456789abcde", 16);
    assert_null(c.files[0].mapping);
    fixture_size(folder, TWO, 100);
    fixture_expect(tare_tensor_data(&c, &c.tensors[1], &data, &err), &err, TARE_E_IO, TWO, "is 100 bytes now");
    unlink(fixture_path(folder, TWO));
    fixture_expect(tare_tensor_data(&c, &c.tensors[1], &data, &err), &err, TARE_E_ABSENT, TWO, "no such file");
    tare_checkpoint_release(&c);
    fixture_end(folder);
}

static void read_one(void *user, size_t i, int worker)
{
    struct tare_checkpoint *c = user;
    const void *data = NULL;
    (void)worker;
    if (tare_tensor_data(c, &c->tensors[i % c->n_tensors], &data, NULL) || memcmp(data, "0123456789abcde", 16) != 0)
        c->n_remarks++; /* never, or else the sanitizer would see a race as well */
}

static void data_from_many_threads(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    struct tare_pool *pool = NULL;
    for (int i = 0; i < 20; i++) {
        char name[40], tensor[20];
        snprintf(name, sizeof name, "model-%02d.safetensors", i);
        snprintf(tensor, sizeof tensor, "t%02d", i);
        fixture_shard(folder, name, tensor);
    }
    struct fixture_opened *o = fixture_open(folder);
    assert_int_equal(tare_pool_open(&pool, 4, NULL), TARE_OK);
    tare_pool_run(pool, 400, read_one, &o->checkpoint);
    assert_int_equal(o->checkpoint.n_remarks, 0);
    tare_pool_free(pool);
    fixture_close(o);
    fixture_end(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_one_file),
        cmocka_unit_test(leaves_out_adapters_and_copies),
        cmocka_unit_test(says_that_shards_are_absent),
        cmocka_unit_test(errors_are_one_line),
        cmocka_unit_test(opens_memory),
        cmocka_unit_test(reads_side_files),
        cmocka_unit_test(p10_only_regular_files),
        cmocka_unit_test(p11_no_pickle),
        cmocka_unit_test(p12_what_is_not_known),
        cmocka_unit_test(p9_sizes_before_memory),
        cmocka_unit_test(does_not_touch_data),
        cmocka_unit_test(p14_links_are_followed),
        cmocka_unit_test(finds_the_snapshot),
        cmocka_unit_test(locates_without_weights),
        cmocka_unit_test(reads_instead_of_mapping),
        cmocka_unit_test(data_from_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
