/* SPDX-License-Identifier: MIT
 * test_proof.c - the way back, proved: each kind of recipe and format; and that a proof finds what is wrong, wherever
 * it is. What a proof is held against is damaged between writing and reading, by the progress callback.
 */
#include <fcntl.h>
#include <unistd.h>

#include "fixture.h"
#include "packing/mlx/to_mlx.h"
#include "save/save.h"
#include "world.h"

static void expect_proved(struct world *world, const struct tare_convert_options *given,
                          struct tare_convert_summary *summary)
{
    struct tare_error err = {0};
    struct tare_convert_options options = *given;
    options.proof = true;
    options.summary = summary;
    if (convert(world, &options, &err) != TARE_OK)
        fail_msg("%s: %s", err.where, err.text);
    assert_true(summary->proved);
    assert_int_equal(summary->exact, summary->modules);
}

static void expect_refused(struct world *world, const struct tare_convert_options *given, enum tare_code code,
                           const char *where, const char *text)
{
    struct tare_error err = {0};
    struct tare_convert_options options = *given;
    options.proof = true;
    fixture_expect(convert(world, &options, &err), &err, code, where, text);
    expect_nothing(world);
}

static void test_rounded(void **state)
{
    (void)state;
    struct world world;
    struct tare_error err = {0};
    struct tare_convert_summary summary = TARE_CONVERT_SUMMARY_INIT;
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    small_world(&world);
    /* The norm is float32 and becomes float16. */
    expect_refused(&world, &options, TARE_E_TARGET, "norm.weight", "the value was 1.00100005");
    options.summary = &summary;
    assert_int_equal(convert(&world, &options, &err), TARE_OK);
    assert_int_equal(summary.modules, 4);
    assert_int_equal(summary.exact, 3);
    assert_int_equal(summary.rounded, 1);
    uint64_t rounded = 0;
    double most = 0;
    for (int k = 0; k < IN; k++) {
        const float value = 1.0f + (float)k / 1000.0f, stored = tare_from_float16(tare_to_float16(value));
        const double off = (double)(value > stored ? value - stored : stored - value);
        rounded += off > 0;
        most = off > most ? off : most;
    }
    assert_true(rounded > 200 && summary.numbers > rounded); /* biases were rounded too, and their zeros come back */
    assert_true(summary.most >= most);
    world_end(&world);
}

static void test_kept(void **state)
{
    (void)state;
    for (int exact = 0; exact < 2; exact++) {
        struct world world;
        struct tare_convert_summary summary = TARE_CONVERT_SUMMARY_INIT;
        struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
        options.keep_dtypes = !exact;
        options.exact = exact;
        small_world(&world);
        expect_proved(&world, &options, &summary);
        assert_int_equal(summary.modules, 4);
        assert_int_equal(summary.numbers == 0, exact);
        world_end(&world);
    }
}

/* A stack and a slice of packed modules; a transpose and a join of dense ones; a cast that loses nothing. */
static void test_recipes(void **state)
{
    (void)state;
    struct world world;
    struct tare_convert_summary summary = TARE_CONVERT_SUMMARY_INIT;
    const struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    void *data[] = {random_bytes(IN * OUT / 2, false, 1),
                    random_bytes(IN / GROUP * OUT * 2, true, 2),
                    random_bytes(IN / GROUP * OUT / 2, false, 3),
                    random_bytes(IN * OUT / 2, false, 4),
                    random_bytes(IN / GROUP * OUT * 2, true, 5),
                    random_bytes(IN / GROUP * OUT / 2, false, 6),
                    random_bytes(30 * 50 * 2, true, 7)};
    const float whole[] = {1, 2, 3, -0.5f};
    const struct fixture_tensor tensors[] = {{"a.qweight", "I32", 2, {IN, OUT / 8}, data[0]},
                                             {"a.scales", "F16", 2, {IN / GROUP, OUT}, data[1]},
                                             {"a.qzeros", "I32", 2, {IN / GROUP, OUT / 8}, data[2]},
                                             {"b.qweight", "I32", 2, {IN, OUT / 8}, data[3]},
                                             {"b.scales", "F16", 2, {IN / GROUP, OUT}, data[4]},
                                             {"b.qzeros", "I32", 2, {IN / GROUP, OUT / 8}, data[5]},
                                             {"d", "F16", 2, {30, 50}, data[6]},
                                             {"whole", "F32", 1, {4}, whole}};
    world_begin(&world, tensors, FIXTURE_COUNT(tensors));
    struct tare_arena *arena = &world.model.arena;
    const struct tare_recipe *both[] = {awq(&world, "a"), awq(&world, "b")}, *d = dense(&world, "d");
    const struct tare_recipe *halves[] = {tare_recipe_slice(arena, d, 0, 20, 10),
                                          tare_recipe_slice(arena, d, 0, 0, 20)};
    add(&world, "experts.weight", TARE_KIND_LINEAR, tare_recipe_stack(arena, both, 2));
    add(&world, "part.weight", TARE_KIND_LINEAR, tare_recipe_slice(arena, both[1], 0, 64, 96));
    add(&world, "odd.weight", TARE_KIND_LINEAR, tare_recipe_alternate(arena, both[0], 0, 1, 2));
    add(&world, "turned", TARE_KIND_PLAIN, tare_recipe_transpose(arena, d, (const int[]){1, 0}));
    add(&world, "joined", TARE_KIND_PLAIN, tare_recipe_join(arena, halves, 2, 0));
    add(&world, "whole", TARE_KIND_PLAIN, dense(&world, "whole"));
    expect_proved(&world, &options, &summary);
    assert_int_equal(summary.modules, 6);
    world_end(&world);
    for (size_t k = 0; k < FIXTURE_COUNT(data); k++)
        free(data[k]);
}

static void test_formats(void **state)
{
    (void)state;
    static const char *const formats[] = {"awq", "gptq_v2", "compressed-tensors"};
    for (size_t k = 0; k < FIXTURE_COUNT(formats); k++) {
        struct world world;
        struct tare_convert_summary summary = TARE_CONVERT_SUMMARY_INIT;
        struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
        options.to = formats[k];
        small_world(&world);
        expect_proved(&world, &options, &summary);
        assert_int_equal(summary.numbers, 0);
        world_end(&world);
    }
}

static void test_one_way(void **state)
{
    (void)state;
    struct world world;
    struct tare_error err = {0};
    struct tare_convert_summary summary = TARE_CONVERT_SUMMARY_INIT;
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    options.to = "dense";
    small_world(&world);
    expect_refused(&world, &options, TARE_E_TARGET, "a.weight", "its codes become floats");
    options.summary = &summary;
    assert_int_equal(convert(&world, &options, &err), TARE_OK);
    assert_int_equal(summary.one_way, 2);
    assert_int_equal(summary.exact, 2);
    world_end(&world);
}

/* One bit of what was written flips when the last tile is there. */
struct damage {
    const struct world *world;
    long at; /* from the end of the shard */
};

static int damage(void *user, const char *stage, uint64_t done, uint64_t total)
{
    const struct damage *damage = user;
    if (strcmp(stage, "convert") || done < total)
        return 0;
    const int fd = open(fixture_path(damage->world->folder, ".out.tare-partial/files/model.safetensors"), O_RDWR);
    unsigned char byte;
    assert_true(fd >= 0);
    const off_t at = lseek(fd, 0, SEEK_END) - damage->at;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 64;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    return 0;
}

static void test_damaged(void **state)
{
    (void)state;
    /* U32 and F32 come first, then F16 by name: a.biases, a.scales, b.biases, b.scales, embed.weight. */
    const long scales = IN / GROUP * OUT * 2, embed = 100 * IN * 2;
    const struct {
        long at;
        const char *where, *text;
    } cases[] = {{1, "embed.weight", "the value was"},
                 {embed + 1, "b.weight", "the scale was"},
                 {embed + scales + 1, "b.weight", "the zero was"},
                 {embed + 3 * scales + 1, "a.weight", "the zero was"},
                 {embed + 4 * scales + IN * 4 + 5, "b.weight", "the code was"}};
    for (size_t k = 0; k < FIXTURE_COUNT(cases); k++) {
        struct world world;
        struct damage user = {&world, cases[k].at};
        struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
        options.keep_dtypes = true;
        options.progress = damage;
        options.user = &user;
        options.threads = 1;
        small_world(&world);
        expect_refused(&world, &options, TARE_E_TARGET, cases[k].where, cases[k].text);
        world_end(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounded), cmocka_unit_test(test_kept),    cmocka_unit_test(test_recipes),
        cmocka_unit_test(test_formats), cmocka_unit_test(test_one_way), cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
