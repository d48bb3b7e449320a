/* SPDX-License-Identifier: MIT
 * test_regex.c - patterns in Ruby's syntax, with the results of the reference (Split, isolated). */
#include "text/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void matches(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text, *found; /* matches, each followed by | */
    } cases[] = {
        {"x*", "abxxc", "||xx||"},
        {"a{1,2}+", "aaaaab", "aaaaa|"}, /* not possessive in Ruby */
        {"\\w{2}?", "xyz", "xy||"},      /* (?:\w{2})? */
        {"a{,2}b", "aaab", "aab|"},
        {"(?i:'s)", "'S'\xc5\xbf's", "'S|'\xc5\xbf|'s|"},
        {"a(?i)b|c", "aBAbaC", "aB|aC|"}, /* a(?i:b|c) */
        {"^x|y$", "x\nxy\ny", "x|x|y|y|"},
        {"[\\p{L}&&[^aeiou]]+", "hello", "h|ll|"},
        {"[^\\s\\p{L}\\p{N}]+", "a!? b", "!?|"},
        {"[]a]+", "x]a]", "]a]|"},
        {"[a-]+", "b-a", "-a|"},
        {"\\s+(?!\\S)|\\s+", "a   b", "  | |"},
        {"\\s", "\xe1\xa0\x8e\xc2\x85", "\xc2\x85|"}, /* not U+180E, but U+0085 */
        {"\\bab\\b", "ab cab ab", "ab|ab|"},
        {"\\w", "\xc2\xbd", "\xc2\xbd|"},
        {"[\\w]", "\xc2\xbd", ""},
        {"\\h+", "xfaz", "fa|"},
        {"(?<!\\w)\\p{M}+", "\xcc\x81x\xcc\x81", "\xcc\x81|"},
        {"(?x) a b # c\n c", "abc", "abc|"},
        {"(?m:.)+", "a\nb", "a\nb|"},
        {".+", "a\nb", "a|b|"},
        {"\\x{4e00}|\\u4e01", "\xe4\xb8\x80\xe4\xb8\x81", "\xe4\xb8\x80|\xe4\xb8\x81|"},
    };
    struct tare_matcher matcher = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tare_regex *regex;
        char all[256] = "";
        bool found;
        size_t start, end;
        const size_t size = strlen(cases[i].text);
        assert_int_equal(tare_regex_open(&regex, cases[i].pattern, strlen(cases[i].pattern), "test", NULL), TARE_OK);
        assert_int_equal(tare_matcher_start(&matcher, regex, cases[i].text, size, NULL), TARE_OK);
        while (!tare_matcher_next(&matcher, &found, &start, &end, NULL) && found)
            snprintf(all + strlen(all), sizeof all - strlen(all), "%.*s|", (int)(end - start), cases[i].text + start);
        if (strcmp(all, cases[i].found) != 0)
            fail_msg("%s: %s, expected %s", cases[i].pattern, all, cases[i].found);
        tare_regex_free(regex);
    }
    tare_matcher_release(&matcher);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        enum tare_code code;
        const char *pattern;
    } cases[] = {
        {TARE_E_FORMAT, "("},           {TARE_E_FORMAT, ")"},         {TARE_E_FORMAT, "[a"},
        {TARE_E_FORMAT, "[z-a]"},       {TARE_E_FORMAT, "*"},         {TARE_E_FORMAT, "\\"},
        {TARE_E_FORMAT, "\\p{L"},       {TARE_E_UNKNOWN, "\\p{Foo}"}, {TARE_E_UNKNOWN, "(a)\\1"},
        {TARE_E_UNKNOWN, "\\X"},        {TARE_E_UNKNOWN, "(?~a)"},    {TARE_E_FORMAT, "[[:foo:]]"},
        {TARE_E_FORMAT, "\\x{110000}"}, {TARE_E_FORMAT, "a\xff"},     {TARE_E_FORMAT, "(?<=a+)b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tare_regex *regex;
        struct tare_error err = {0};
        if (tare_regex_open(&regex, cases[i].pattern, strlen(cases[i].pattern), "test", &err) != cases[i].code)
            fail_msg("%s: %s", cases[i].pattern, err.text);
        assert_null(regex);
    }
    char deep[1000];
    memset(deep, '(', sizeof deep);
    struct tare_regex *regex;
    assert_int_equal(tare_regex_open(&regex, deep, sizeof deep - 1, "test", NULL), TARE_E_FORMAT);
    memset(deep, '[', sizeof deep);
    assert_int_equal(tare_regex_open(&regex, deep, sizeof deep - 1, "test", NULL), TARE_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(matches), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
