/* SPDX-License-Identifier: MIT
 * test_repo_name.c - which words are names of the hub, and which are refused. */
#include "fixture.h"

#include <stdio.h>

#include "hub/repo_name.h"

static void reads(const char *word, const char *id, const char *revision, const char *variant)
{
    struct tare_hub_name name;
    assert_int_equal(tare_hub_name_read(&name, word, NULL), TARE_OK);
    assert_string_equal(name.id, id);
    assert_string_equal(name.revision, revision);
    assert_string_equal(name.variant, variant);
}

static void test_words(void **state)
{
    static const char *const bad[] = {"",         "/b",      "a/",         "a//b",   "a/b/c",   ".a/b",
                                      "a/.b",     "a-/b",    "a/b..c",     "a/b--c", "a/b.git", "../a",
                                      "a/..",     "a/b@",    "a/b:",       "a/b@..", "a/b@/x",  "a/b@x/../y",
                                      "a/b@a\nb", "a/b:x/y", "a/b@x.lock", "a/b@-x", "a/b c",   "a/b@x y"};
    struct tare_error err;
    (void)state;
    reads("gpt2", "gpt2", "main", "");
    reads("org/name", "org/name", "main", "");
    reads("org/na.me_1-x@refs/pr/1", "org/na.me_1-x", "refs/pr/1", "");
    reads("org/name:Q4_K_M", "org/name", "main", "Q4_K_M");
    reads("org/name@v1.0:Q4_K_M", "org/name", "v1.0", "Q4_K_M");
    reads("org/name:Q4_K_M@v1.0", "org/name", "v1.0", "Q4_K_M");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tare_hub_name name;
        if (tare_hub_name_read(&name, bad[i], &err) != TARE_E_ARGUMENT)
            fail_msg("\"%s\" is taken for a name", bad[i]);
        assert_true(*err.text);
    }
}

static void test_paths(void **state)
{
    static const char *const bad[] = {"",  "/a",  "a/",  "a//b", "..",       "../a", "a/../b",
                                      ".", "./a", "a/.", "C:/a", "a\\..\\b", "a\nb", "a\x7f"};
    (void)state;
    assert_true(tare_hub_is_path("model.safetensors"));
    assert_true(tare_hub_is_path("a/b c/...d"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (tare_hub_is_path(bad[i]))
            fail_msg("\"%s\" is taken for a path", bad[i]);
}

static void test_hashes(void **state)
{
    const char *commit = "0123456789abcdef0123456789abcdef01234567";
    char text[70] = "";
    (void)state;
    assert_true(tare_hub_is_commit(commit));
    assert_true(tare_hub_is_etag(commit));
    assert_false(tare_hub_is_etag("0123456789ABCDEF0123456789abcdef01234567"));
    assert_false(tare_hub_is_etag("../../escaped"));
    snprintf(text, sizeof text, "%s0123456789abcdef01234567", commit);
    assert_true(tare_hub_is_etag(text));
    assert_false(tare_hub_is_commit(text));
    assert_false(tare_hub_is_etag(text + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
