/* SPDX-License-Identifier: MIT
 * test_locale.c - a host has set a locale that writes numbers with a comma: every number that the library prints or
 * parses stays as it is. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
#include "base/text.h"
#include "fixture.h"

static int set_comma(void **state)
{
    (void)state;
    return setlocale(LC_ALL, "de_DE.UTF-8") ? 0 : 1;
}

/* The locale is what it is said to be; else no other test here could fail. */
static void test_comma(void **state)
{
    (void)state;
    char text[16];
    snprintf(text, sizeof text, "%.2f", 3.14);
    assert_string_equal(text, "3,14");
}

static void test_numbers(void **state)
{
    (void)state;
    char text[16], *end = NULL;
    assert_int_equal(tare_format(text, sizeof text, "%.2f", 3.14), 4);
    assert_string_equal(text, "3.14");
    assert_true(fabs(tare_number_parse("2.5,", &end) - 2.5) < 1e-12);
    assert_string_equal(end, ",");
    assert_true(fabsf(tare_float_parse("0.25") - 0.25f) < 1e-7f);
    test_comma(state); /* the host's locale is as it was */
}

static void test_errors(void **state)
{
    (void)state;
    struct tare_error err = {0};
    struct tare_text grown = {0};
    tare_fail(&err, TARE_E_CONFIG, "here", "the scale is %g", 0.5);
    assert_string_equal(err.text, "the scale is 0.5");
    tare_text_format(&grown, "%.1f", 1.5);
    assert_string_equal(grown.data, "1.5");
    tare_text_release(&grown);
}

static void expect_rendered(const char *source, const char *want)
{
    tare_template *made = NULL;
    struct tare_error err = {0};
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    char *text = NULL;
    size_t size = 0;
    request.variables = "{\"x\": 1234.5}";
    assert_int_equal(tare_template_from_text(&made, source, strlen(source), &err), TARE_OK);
    if (tare_template_render(made, &request, &text, &size, &err))
        fail_msg("%s: %s", source, err.text);
    assert_string_equal(text, want);
    tare_text_free(text);
    tare_template_free(made);
}

static void test_templates(void **state)
{
    (void)state;
    expect_rendered("{{ '%.2f'|format(3.14) }}", "3.14");
    expect_rendered("{{ 3.5 + x }}", "1238.0");
    expect_rendered("{{ x|round(1) }} {{ '2.25'|float }} {{ x|tojson }}", "1234.5 2.25 1234.5");
    expect_rendered("{{ 1500|filesizeformat }} {{ '{:.3f}'.format(0.5) }}", "1.5 kB 0.500");
}

/* Plans, converts to GGUF and back, and compares: configs and records hold fractions, and so do GGUF's metadata. */
static void convert(const char *from, const char *to, const char *format)
{
    tare_model *model = NULL;
    struct tare_error err = {0};
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    options.to = format;
    if (tare_plan(&model, from, NULL, &err) || tare_convert(model, to, &options, &err))
        fail_msg("%s: %s: %s", from, err.where, err.text);
    tare_model_free(model);
}

static void expect_no_comma(const char *folder, const char *name)
{
    size_t n = 0;
    char *text = fixture_read(fixture_path(folder, name), &n);
    for (size_t k = 1; k + 1 < n; k++)
        if (text[k] == ',' && text[k - 1] >= '0' && text[k - 1] <= '9' && text[k + 1] >= '0' && text[k + 1] <= '9')
            fail_msg("%s has a comma between digits at byte %zu", name, k);
    free(text);
}

static void test_conversions(void **state)
{
    (void)state;
    char *work = fixture_begin(), made[2][512];
    snprintf(made[0], sizeof made[0], "%s", fixture_path(work, "model.gguf"));
    snprintf(made[1], sizeof made[1], "%s", fixture_path(work, "mlx"));
    convert(fixture_path(TARE_TEST_DATA, "load/llama_untied_2shards"), made[0], "gguf");
    convert(made[0], made[1], "mlx");
    expect_no_comma(made[1], "config.json");
    expect_no_comma(made[1], "tare.json");
    fixture_end(work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comma),     cmocka_unit_test(test_numbers),     cmocka_unit_test(test_errors),
        cmocka_unit_test(test_templates), cmocka_unit_test(test_conversions),
    };
    return cmocka_run_group_tests(tests, set_comma, NULL);
}
