/* SPDX-License-Identifier: MIT
 * test_answer.c - header lines: what is read, what is bounded. */
#include "fixture.h"

#include <stdio.h>

#include <string.h>

#include "hub/answer.h"

static struct tare_answer answer;

static bool line(const char *text)
{
    return tare_answer_line(&answer, text, strlen(text));
}

static void test_fields(void **state)
{
    (void)state;
    answer = (struct tare_answer){0};
    assert_true(line("HTTP/1.1 206 Partial Content\r\n"));
    assert_true(line("ETag: W/\"abc\"\r\n"));
    assert_string_equal(answer.etag, "abc");
    assert_true(line("x-linked-etag: \"def\"\r\n"));
    assert_true(line("ETag: \"later\"\r\n"));
    assert_string_equal(answer.etag, "def");
    assert_true(line("Content-Range: bytes 5-9/10\r\n"));
    assert_true(answer.ranged && answer.first == 5 && answer.last == 9 && answer.total == 10);
    assert_true(line("Content-Length: 5\r\n"));
    assert_true(answer.sized && answer.length == 5);
    assert_true(line("Link: <https://a/x>; rel=\"xet-auth\", <https://a/y?z=1>; rel=\"next\"\r\n"));
    assert_string_equal(answer.next, "https://a/y?z=1");
    assert_true(line("RateLimit: \"api\";r=0;t=55\r\n"));
    assert_true(answer.limited > 54 && answer.limited < 56);
    assert_true(line("Content-Encoding: gzip\r\n"));
    assert_true(answer.encoded);
    assert_true(line("HTTP/1.1 200 OK\r\n"));
    assert_true(answer.status == 200 && !*answer.etag && !answer.encoded && !answer.ranged && !*answer.next);
}

static void test_nonsense(void **state)
{
    static const char *const ranges[] = {"bytes 9-5/10", "bytes 0-10/10", "bytes */10",
                                         "bytes 0-1/x",  "bytes -1-2/3",  "bytes 0-1/18446744073709551616"};
    char text[400];
    (void)state;
    answer = (struct tare_answer){0};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        snprintf(text, sizeof text, "Content-Range: %s\r\n", ranges[i]);
        assert_true(line(text));
        if (answer.ranged)
            fail_msg("%s is taken for a range", ranges[i]);
    }
    assert_true(line("Content-Length: 5, 5\r\n"));
    assert_false(answer.sized);
    memset(text, 'x', sizeof text);
    memcpy(text, "ETag: \"", 7);
    assert_true(tare_answer_line(&answer, text, sizeof text));
    assert_string_equal(answer.etag, "?");
    assert_true(line(":\r\n") && line("no colon\r\n") && line("A:\r\n"));
}

static void test_without_end(void **state)
{
    int n = 0;
    (void)state;
    answer = (struct tare_answer){0};
    while (n < 100000 && line("X-Filler: 0123456789012345678901234567890123456789\r\n"))
        n++;
    assert_in_range(n, 1000, 20000);
    assert_false(line("HTTP/1.1 302 Found\r\n")); /* a redirect does not begin to count anew */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
