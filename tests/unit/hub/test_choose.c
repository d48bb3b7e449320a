/* SPDX-License-Identifier: MIT
 * test_choose.c - which files of a repository are taken. */
#include "fixture.h"

#include <stdio.h>

#include <stdlib.h>
#include <string.h>

#include "hub/choose.h"

static struct tare_hub_file files[16];
static bool wanted[16];

/* A tree of these names, which are given in order. */
static struct tare_hub_tree tree_of(const char *const *names)
{
    struct tare_hub_tree tree = {.files = files};
    for (; names[tree.n]; tree.n++)
        files[tree.n] = (struct tare_hub_file){.path = names[tree.n], .size = 1000};
    return tree;
}

/* Chooses, and holds what is wanted against a text, "a b". */
static void takes(const char *const *names, const struct tare_hub_choice *choice, const char *index,
                  enum tare_code want, const char *text)
{
    const struct tare_hub_tree tree = tree_of(names);
    const struct tare_hub_file *found = NULL;
    struct tare_error err = {0};
    char got[512] = "";
    tare_hub_choose_kin(&tree, choice, wanted, &found);
    assert_true((found != NULL) == (index != NULL));
    assert_int_equal(tare_hub_choose_weights(&tree, choice, "a/b", index, index ? strlen(index) : 0, wanted, &err),
                     want);
    if (want) {
        if (!strstr(err.text, text))
            fail_msg("no \"%s\" in: %s", text, err.text);
        return;
    }
    for (size_t i = 0; i < tree.n; i++)
        if (wanted[i]) {
            const size_t at = strlen(got);
            snprintf(got + at, sizeof got - at, "%s ", files[i].path);
        }
    assert_string_equal(got, text);
}

static const struct tare_hub_choice plain = {.variant = ""};

static void test_safetensors(void **state)
{
    static const char *const one[] = {"README.md",
                                      "adapter_model.safetensors",
                                      "config.json",
                                      "model-extra.safetensors",
                                      "model.safetensors",
                                      "onnx/model.onnx",
                                      "pytorch_model.bin",
                                      "tokenizer.json",
                                      NULL};
    static const char *const shards[] = {"config.json",
                                         "model-00001-of-00002.safetensors",
                                         "model-00002-of-00002.safetensors",
                                         "model-extra.safetensors",
                                         "model.safetensors.index.json",
                                         NULL};
    static const char *const other[] = {"adapters.safetensors", "consolidated.safetensors", "weights.safetensors",
                                        NULL};
    (void)state;
    takes(one, &plain, NULL, TARE_OK, "README.md config.json model.safetensors tokenizer.json ");
    takes(
        shards, &plain,
        "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\", \"b\": \"model-00002-of-00002.safetensors\"}}",
        TARE_OK,
        "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json ");
    takes(shards, &plain, "{\"weight_map\": {\"a\": \"model-00003-of-00002.safetensors\"}}", TARE_E_FORMAT,
          "model-00003-of-00002");
    takes(shards, &plain, "{}", TARE_E_FORMAT, "weight_map");
    takes(other, &plain, NULL, TARE_OK, "weights.safetensors ");
}

static void test_gguf(void **state)
{
    static const char *const many[] = {
        "config.json",     "m-Q4_K.gguf", "m-Q4_K_M.gguf", "m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf",
        "mmproj-f16.gguf", NULL};
    static const char *const single[] = {"m.gguf", "mmproj-f16.gguf", NULL};
    const struct tare_hub_choice k = {.variant = "q4_k"}, m = {.variant = "Q4_K_M"}, split = {.variant = "Q8_0"},
                                 none = {.variant = "Q5_0"};
    (void)state;
    takes(many, &k, NULL, TARE_OK, "config.json m-Q4_K.gguf ");
    takes(many, &m, NULL, TARE_OK, "config.json m-Q4_K_M.gguf ");
    takes(many, &split, NULL, TARE_OK, "config.json m-Q8_0-00001-of-00002.gguf m-Q8_0-00002-of-00002.gguf ");
    takes(many, &none, NULL, TARE_E_ARGUMENT, "m-Q4_K_M.gguf");
    takes(many, &plain, NULL, TARE_E_ARGUMENT, "several");
    takes(single, &plain, NULL, TARE_OK, "m.gguf ");
}

static void test_globs(void **state)
{
    static const char *const names[] = {"config.json",       "model.safetensors", "original/x.json",
                                        "pytorch_model.bin", "sub/y.json",        NULL};
    static const char *const json[] = {"*.json"}, *const bin[] = {"*.bin"};
    const struct tare_hub_choice include = {.variant = "", .include = json, .n_include = 1};
    const struct tare_hub_choice exclude = {.variant = "", .exclude = json, .n_exclude = 1};
    const struct tare_hub_choice pickle = {.variant = "", .include = bin, .n_include = 1};
    (void)state;
    takes(names, &include, NULL, TARE_OK, "config.json sub/y.json ");
    takes(names, &exclude, NULL, TARE_OK, "model.safetensors ");
    takes(names, &pickle, NULL, TARE_E_ABSENT, "--include");
}

static void test_nothing(void **state)
{
    static const char *const pickles[] = {"config.json", "pytorch_model.bin", NULL}, *const empty[] = {"README.md",
                                                                                                       NULL};
    (void)state;
    takes(pickles, &plain, NULL, TARE_E_ABSENT, "pytorch_model.bin");
    takes(empty, &plain, NULL, TARE_E_ABSENT, "no weights");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safetensors),
        cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
