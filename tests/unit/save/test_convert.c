/* SPDX-License-Identifier: MIT
 * test_convert.c - plans made by hand, executed into folders: every recipe, every dtype, and shards. A
 * conversion that fails leaves nothing behind. tests/save/golden.py converts whole checkpoints.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "packing/mlx/to_mlx.h"
#include "save/mlx_target.h"
#include "world.h"

static char *text_of(const struct world *world, const char *name)
{
    size_t n;
    return fixture_read(fixture_path(world->folder, name), &n);
}

static void expect_tensor(struct tare_checkpoint *out, const char *name, enum tare_dtype dtype, const void *want,
                          size_t n)
{
    const struct tare_tensor *tensor = tare_checkpoint_find(out, name);
    if (!tensor)
        fail_msg("%s is not there", name);
    struct tare_error err = {0};
    const void *data = NULL;
    assert_int_equal(tensor->dtype, dtype);
    assert_int_equal(tensor->size, n);
    assert_int_equal(tensor->offset % tare_dtype_size(dtype), 0);
    assert_int_equal(tare_tensor_data(out, tensor, &data, &err), TARE_OK);
    if (memcmp(data, want, n))
        fail_msg("%s has other bytes", name);
}

/* The neutral way over whole modules, one after another: what a packed parameter must be. */
static void expect_packed(struct world *world, struct tare_checkpoint *out, const char *path, const size_t *modules,
                          size_t n)
{
    const struct tare_module *first = &world->modules[modules[0]];
    const int64_t rows = tare_module_rows(first), in = tare_module_columns(first), groups = tare_module_groups(first);
    const size_t weight = (size_t)(rows * in * first->bits / 8),
                 scale = (size_t)(rows * groups) * tare_dtype_size(first->dtype);
    unsigned char *want[3] = {malloc(n * weight), malloc(n * scale), malloc(n * scale)};
    struct tare_arena work = {0};
    for (size_t k = 0; k < n; k++) {
        const void *part[TARE_PARTS];
        const struct tare_mlx_rows to = {want[0] + k * weight, want[1] + k * scale, want[2] + k * scale};
        assert_int_equal(tare_module_data(&world->model.checkpoint, &world->modules[modules[k]], part, NULL), TARE_OK);
        assert_true(tare_neutral_to_mlx(&world->modules[modules[k]], part, 0, rows, world->modules[modules[k]].dtype,
                                        &to, &work));
    }
    const struct {
        const char *suffix;
        enum tare_dtype dtype;
        size_t size;
    } parts[] = {{"weight", TARE_U32, weight}, {"scales", first->dtype, scale}, {"biases", first->dtype, scale}};
    for (int k = 0; k < 3; k++) {
        expect_tensor(out, tare_arena_format(&work, "%s.%s", path, parts[k].suffix), parts[k].dtype, want[k],
                      n * parts[k].size);
        free(want[k]);
    }
    tare_arena_release(&work);
}

static struct tare_mlx_floats mlx_floats(const struct world *world)
{
    struct tare_mlx_floats floats;
    assert_int_equal(tare_mlx_floats(&world->model, &floats, NULL), TARE_OK);
    return floats;
}

/* What parameter k becomes in an MLX folder. */
static struct tare_target mlx_target(struct world *world, size_t k)
{
    const struct tare_mlx_floats floats = mlx_floats(world);
    return tare_mlx_target(&world->model, &world->parameters[k], world->entries[k].recipe, &floats,
                           &world->model.arena);
}

static void test_whole(void **state)
{
    (void)state;
    struct world world;
    struct tare_error err = {0};
    struct tare_checkpoint out;
    small_world(&world);
    if (convert(&world, NULL, &err) != TARE_OK)
        fail_msg("%s: %s", err.where, err.text);
    assert_true(mlx_floats(&world).casts);
    world_open(&world, &out);
    expect_packed(&world, &out, "a", (const size_t[]){0}, 1);
    expect_packed(&world, &out, "b", (const size_t[]){1}, 1);
    uint16_t norm[IN];
    for (int k = 0; k < IN; k++)
        norm[k] = tare_to_float16(1.0f + (float)k / 1000.0f);
    expect_tensor(&out, "norm.weight", TARE_F16, norm, sizeof norm);
    void *embed = random_bytes(100 * IN * 2, true, 7);
    expect_tensor(&out, "embed.weight", TARE_F16, embed, 100 * IN * 2);
    free(embed);
    assert_int_equal(out.n_tensors, 8);
    tare_checkpoint_release(&out);

    char *config = text_of(&world, "out/config.json");
    assert_string_equal(config,
                        "{\n    \"eps\": 1e-06,\n    \"list\": [\n        7\n    ],\n    \"model_type\": \"llama\",\n"
                        "    \"quantization\": {\n        \"group_size\": 64,\n        \"bits\": 4,\n"
                        "        \"mode\": \"affine\"\n    },\n    \"quantization_config\": {\n"
                        "        \"group_size\": 64,\n        \"bits\": 4,\n        \"mode\": \"affine\"\n    }\n}\n");
    free(config);
    static const char *const there[] = {"out/tokenizer.json", "out/merges.txt", "out/README.md",
                                        "out/model.safetensors", "out/model.safetensors.index.json"};
    static const char *const absent[] = {"out/modeling_x.py", "out/pytorch_model.bin"};
    for (size_t k = 0; k < FIXTURE_COUNT(there); k++)
        assert_int_equal(access(fixture_path(world.folder, there[k]), R_OK), 0);
    for (size_t k = 0; k < FIXTURE_COUNT(absent); k++)
        assert_int_not_equal(access(fixture_path(world.folder, absent[k]), F_OK), 0);
    world_end(&world);
}

static void test_keep_dtypes(void **state)
{
    (void)state;
    struct world world;
    struct tare_error err = {0};
    struct tare_checkpoint out;
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    options.keep_dtypes = true;
    small_world(&world);
    assert_int_equal(convert(&world, &options, &err), TARE_OK);
    world_open(&world, &out);
    float norm[IN];
    for (int k = 0; k < IN; k++)
        norm[k] = 1.0f + (float)k / 1000.0f;
    expect_tensor(&out, "norm.weight", TARE_F32, norm, sizeof norm);
    tare_checkpoint_release(&out);
    world_end(&world);
}

static void test_shards(void **state)
{
    (void)state;
    struct world world;
    struct tare_error err = {0};
    struct tare_checkpoint out;
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    options.shard_size = 40000; /* a.weight has 33,792 bytes, embed.weight 51,200: one of its own */
    small_world(&world);
    assert_int_equal(convert(&world, &options, &err), TARE_OK);
    world_open(&world, &out);
    assert_int_equal(out.n_files, 4);
    assert_string_equal(out.files[0].name, "model-00001-of-00004.safetensors");
    expect_packed(&world, &out, "b", (const size_t[]){1}, 1);
    tare_checkpoint_release(&out);
    char *index = text_of(&world, "out/model.safetensors.index.json");
    json_t *json = json_loads(index, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_object_size(json_object_get(json, "weight_map")), 8);
    const json_t *metadata = json_object_get(json, "metadata");
    assert_int_equal(json_integer_value(json_object_get(metadata, "total_parameters")), 2 * IN * OUT + 100 * IN + IN);
    assert_int_equal(json_integer_value(json_object_get(metadata, "total_size")),
                     2 * (IN * OUT / 2 + 2 * OUT * IN / GROUP * 2) + 100 * IN * 2 + IN * 2);
    json_decref(json);
    free(index);
    world_end(&world);
}

static const struct tare_recipe *plus_one(struct tare_arena *arena, const struct tare_recipe *recipe)
{
    return tare_recipe_value(arena, recipe, &(struct tare_value){.function = TARE_ADD, .operand = 1.0}, recipe->dtype);
}

static void test_dense_recipes(void **state)
{
    (void)state;
    enum { A = 5, B = 70, C = 45 };
    static const int swap[] = {1, 0}, turn[] = {2, 0, 1}, back[] = {0, 2, 1};
    struct world world;
    struct tare_error err = {0};
    struct tare_checkpoint out;
    uint16_t *x = random_bytes(B * C * 2, true, 11), *y = random_bytes(A * B * C * 2, true, 12), *made;
    const float z[2] = {1.0f, 0x1p-24f};
    const int64_t numbers[2] = {5, -1};
    const struct fixture_tensor tensors[] = {{"x", "BF16", 2, {B, C}, x},
                                             {"y", "F16", 3, {A, B, C}, y},
                                             {"z", "F32", 1, {2}, z},
                                             {"s", "F32", 0, {0}, z},
                                             {"n", "I64", 1, {2}, numbers}};
    world_begin(&world, tensors, FIXTURE_COUNT(tensors));
    struct tare_arena *arena = &world.model.arena;
    add(&world, "x.t", TARE_KIND_LINEAR, tare_recipe_transpose(arena, dense(&world, "x"), swap));
    add(&world, "y.turn", TARE_KIND_PLAIN, tare_recipe_transpose(arena, dense(&world, "y"), turn));
    add(&world, "y.back", TARE_KIND_PLAIN, tare_recipe_transpose(arena, dense(&world, "y"), back));
    add(&world, "x.one", TARE_KIND_PLAIN, plus_one(arena, dense(&world, "x")));
    add(&world, "z.one", TARE_KIND_PLAIN, plus_one(arena, dense(&world, "z")));
    add(&world, "s", TARE_KIND_PLAIN, dense(&world, "s"));
    add(&world, "n", TARE_KIND_PLAIN, dense(&world, "n"));
    const struct tare_recipe **pair = tare_arena_array(arena, 2, sizeof(struct tare_recipe *));
    pair[0] = tare_recipe_transpose(arena, dense(&world, "x"), swap);
    pair[1] = plus_one(arena, tare_recipe_transpose(arena, dense(&world, "x"), swap));
    add(&world, "pair", TARE_KIND_EXPERTS, tare_recipe_stack(arena, pair, 2));
    assert_int_equal(convert(&world, NULL, &err), TARE_OK);
    assert_false(mlx_floats(&world).casts);
    world_open(&world, &out);

    made = malloc(2 * A * B * C * 2);
    for (int b = 0; b < B; b++)
        for (int c = 0; c < C; c++)
            made[c * B + b] = x[b * C + c];
    expect_tensor(&out, "x.t", TARE_BF16, made, B * C * 2);
    for (int k = 0; k < B * C; k++)
        made[B * C + k] = tare_to_bfloat16(tare_from_bfloat16(made[k]) + 1.0f);
    expect_tensor(&out, "pair", TARE_BF16, made, 2 * B * C * 2);
    for (int k = 0; k < B * C; k++)
        made[k] = tare_to_bfloat16(tare_from_bfloat16(x[k]) + 1.0f);
    expect_tensor(&out, "x.one", TARE_BF16, made, B * C * 2);
    for (int a = 0; a < A; a++)
        for (int b = 0; b < B; b++)
            for (int c = 0; c < C; c++)
                made[(c * A + a) * B + b] = y[(a * B + b) * C + c];
    expect_tensor(&out, "y.turn", TARE_F16, made, A * B * C * 2);
    for (int a = 0; a < A; a++)
        for (int b = 0; b < B; b++)
            for (int c = 0; c < C; c++)
                made[(a * C + c) * B + b] = y[(a * B + b) * C + c];
    expect_tensor(&out, "y.back", TARE_F16, made, A * B * C * 2);
    const float one[2] = {2.0f, 1.0f};
    expect_tensor(&out, "z.one", TARE_F32, one, sizeof one);
    expect_tensor(&out, "s", TARE_F32, z, 4);
    expect_tensor(&out, "n", TARE_I64, numbers, sizeof numbers);
    tare_checkpoint_release(&out);
    char *config = text_of(&world, "out/config.json");
    assert_null(strstr(config, "quantization")); /* nothing is packed */
    free(config);
    free(made);
    free(x);
    free(y);
    world_end(&world);
}

/* A row of more than a tile, and many rows: tiles cut both ways. */
static void test_large_dense(void **state)
{
    (void)state;
    enum { LONG = 1300000, ROWS = 3 };
    static const int swap[] = {1, 0};
    struct world world;
    struct tare_error err = {0};
    struct tare_checkpoint out;
    uint16_t *x = random_bytes((size_t)LONG * ROWS * 2, true, 21), *made = malloc((size_t)LONG * ROWS * 2);
    const struct fixture_tensor tensors[] = {{"x", "F16", 2, {ROWS, LONG}, x}};
    world_begin(&world, tensors, 1);
    add(&world, "same", TARE_KIND_PLAIN, dense(&world, "x"));
    add(&world, "turned", TARE_KIND_PLAIN, tare_recipe_transpose(&world.model.arena, dense(&world, "x"), swap));
    assert_int_equal(convert(&world, NULL, &err), TARE_OK);
    world_open(&world, &out);
    expect_tensor(&out, "same", TARE_F16, x, (size_t)LONG * ROWS * 2);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t k = 0; k < LONG; k++)
            made[k * ROWS + r] = x[r * LONG + k];
    expect_tensor(&out, "turned", TARE_F16, made, (size_t)LONG * ROWS * 2);
    tare_checkpoint_release(&out);
    free(x);
    free(made);
    world_end(&world);
}

static void test_stacked_experts(void **state)
{
    (void)state;
    struct world world;
    struct tare_error err = {0};
    struct tare_checkpoint out;
    small_world(&world);
    const struct tare_recipe **pair = tare_arena_array(&world.model.arena, 2, sizeof(struct tare_recipe *));
    pair[0] = world.entries[1].recipe;
    pair[1] = world.entries[0].recipe;
    add(&world, "experts.weight", TARE_KIND_EXPERTS, tare_recipe_stack(&world.model.arena, pair, 2));
    assert_int_equal(convert(&world, NULL, &err), TARE_OK);
    world_open(&world, &out);
    expect_packed(&world, &out, "experts", (const size_t[]){1, 0}, 2);
    tare_checkpoint_release(&out);
    world_end(&world);
}

/* A packed module that has to be transposed is dequantized, and says why. */
static void test_dequantized(void **state)
{
    (void)state;
    static const int swap[] = {1, 0};
    struct world world;
    struct tare_error err = {0};
    struct tare_checkpoint out;
    small_world(&world);
    add(&world, "turned.weight", TARE_KIND_LINEAR,
        tare_recipe_transpose(&world.model.arena, world.entries[0].recipe, swap));
    add(&world, "plain", TARE_KIND_PLAIN, world.entries[1].recipe);
    assert_int_equal(convert(&world, NULL, &err), TARE_OK);
    assert_non_null(mlx_target(&world, 4).because);
    assert_non_null(mlx_target(&world, 5).because);
    assert_null(mlx_target(&world, 0).because);
    world_open(&world, &out);
    float *values = malloc(IN * OUT * sizeof *values);
    uint16_t *made = malloc(IN * OUT * 2);
    struct tare_arena work = {0};
    const void *part[TARE_PARTS];
    for (size_t m = 0; m < 2; m++) {
        assert_int_equal(tare_module_data(&world.model.checkpoint, &world.modules[m], part, &err), TARE_OK);
        assert_int_equal(tare_module_floats(&world.modules[m], part, 0, OUT, values, &work, &err), TARE_OK);
        for (int r = 0; r < OUT; r++)
            for (int k = 0; k < IN; k++)
                made[m ? r * IN + k : k * OUT + r] = tare_to_float16(values[r * IN + k]);
        expect_tensor(&out, m ? "plain" : "turned.weight", TARE_F16, made, IN * OUT * 2);
    }
    tare_arena_release(&work);
    free(values);
    free(made);
    tare_checkpoint_release(&out);
    world_end(&world);
}

/* One awq module of 512 input columns, in groups of group_size. */
static void group_world(struct world *world, int64_t group_size, const char *dtype)
{
    const int64_t in = 512, out = 128, groups = in / group_size;
    void *weight = random_bytes((size_t)(in * out / 2), false, 31),
         *zeros = random_bytes((size_t)(groups * out / 2), false, 33);
    void *scales = random_bytes((size_t)(groups * out) * 2, true, 32);
    float *wide = malloc((size_t)(groups * out) * sizeof *wide);
    for (int64_t k = 0; k < groups * out; k++)
        wide[k] = tare_from_float16(((const uint16_t *)scales)[k]);
    const struct fixture_tensor tensors[] = {
        {"m.qweight", "I32", 2, {in, out / 8}, weight},
        {"m.scales", dtype, 2, {groups, out}, strcmp(dtype, "F32") ? scales : wide},
        {"m.qzeros", "I32", 2, {groups, out / 8}, zeros}};
    world_begin(world, tensors, 3);
    add(world, "m.weight", TARE_KIND_LINEAR, awq(world, "m"));
    free(weight);
    free(zeros);
    free(scales);
    free(wide);
}

static void test_group_sizes(void **state)
{
    (void)state;
    static const struct {
        int64_t from, to;
    } cases[] = {{512, 128}, {256, 128}, {128, 128}, {64, 64}, {32, 32}};
    static const char *const dtypes[] = {"F16", "BF16", "F32"};
    for (size_t k = 0; k < FIXTURE_COUNT(cases) * 3; k++) {
        struct world world;
        struct tare_error err = {0};
        struct tare_checkpoint out;
        group_world(&world, cases[k / 3].from, dtypes[k % 3]);
        assert_int_equal(convert(&world, NULL, &err), TARE_OK);
        assert_int_equal(mlx_target(&world, 0).group_size, cases[k / 3].to);
        if (cases[k / 3].from == cases[k / 3].to) {
            world_open(&world, &out);
            expect_packed(&world, &out, "m", (const size_t[]){0}, 1);
        } else {
            const int64_t groups = 512 / cases[k / 3].from, repeat = cases[k / 3].from / 128;
            const enum tare_dtype dtype = world.modules[0].dtype;
            const size_t item = tare_dtype_size(dtype);
            unsigned char weight[512 * 128 / 2], few[2][128 * 2 * 4], many[128 * 4 * 4];
            struct tare_arena work = {0};
            const void *part[TARE_PARTS];
            const struct tare_mlx_rows to = {weight, few[0], few[1]};
            assert_int_equal(tare_module_data(&world.model.checkpoint, &world.modules[0], part, &err), TARE_OK);
            assert_true(tare_neutral_to_mlx(&world.modules[0], part, 0, 128, world.modules[0].dtype, &to, &work));
            world_open(&world, &out);
            expect_tensor(&out, "m.weight", TARE_U32, weight, sizeof weight);
            for (int which = 0; which < 2; which++) {
                for (int64_t g = 0; g < 128 * groups * repeat; g++)
                    memcpy(many + (size_t)g * item, few[which] + (size_t)(g / repeat) * item, item);
                expect_tensor(&out, which ? "m.biases" : "m.scales", dtype, many, 128 * 4 * item);
            }
            tare_arena_release(&work);
        }
        tare_checkpoint_release(&out);
        world_end(&world);
    }
    struct world world;
    struct tare_error err = {0};
    group_world(&world, 16, "F16");
    fixture_expect(convert(&world, NULL, &err), &err, TARE_E_TARGET, "m.weight", "group_size 16 has no MLX form");
    expect_nothing(&world);
    world_end(&world);
}

static void test_overflow(void **state)
{
    (void)state;
    static const uint16_t large[] = {0x3f80, 0x7f00}; /* bfloat16 1 and 1.7e38 */
    static const uint16_t infinite[] = {0x3f80, 0x7f80};
    for (int finite = 0; finite < 2; finite++) {
        struct world world;
        struct tare_error err = {0};
        void *weight = random_bytes(32 * 8 / 2, false, 41), *scales = random_bytes(8 * 2, true, 42);
        const struct fixture_tensor tensors[] = {{"m.qweight", "I32", 2, {32, 1}, weight},
                                                 {"m.scales", "F16", 2, {1, 8}, scales},
                                                 {"norm", "BF16", 1, {2}, finite ? large : infinite}};
        world_begin(&world, tensors, 3);
        add(&world, "m.weight", TARE_KIND_LINEAR, awq(&world, "m"));
        add(&world, "norm", TARE_KIND_PLAIN, dense(&world, "norm"));
        const enum tare_code code = convert(&world, NULL, &err);
        if (finite) {
            fixture_expect(code, &err, TARE_E_TARGET, "norm", "overflows F16");
            expect_nothing(&world);
        } else {
            assert_int_equal(code, TARE_OK); /* an infinity was one before */
        }
        free(weight);
        free(scales);
        world_end(&world);
    }
}

/* Scales of unlike dtypes: that of most packed weights, float32 where two are as frequent, and a warning. */
static void test_mixed_scales(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct world world;
        struct tare_error err = {0};
        struct tare_checkpoint out;
        void *weight = random_bytes(32 * 8 / 2, false, 51), *halves = random_bytes(8 * 2, true, 52);
        const struct fixture_tensor tensors[] = {
            {"a.qweight", "I32", 2, {32, 1}, weight}, {"a.scales", "F16", 2, {1, 8}, halves},
            {"b.qweight", "I32", 2, {32, 1}, weight}, {"b.scales", "BF16", 2, {1, 8}, halves},
            {"c.qweight", "I32", 2, {32, 1}, weight}, {"c.scales", "BF16", 2, {1, 8}, halves},
            {"norm", "F16", 1, {8}, halves}};
        world_begin(&world, tensors, FIXTURE_COUNT(tensors));
        add(&world, "a.weight", TARE_KIND_LINEAR, awq(&world, "a"));
        add(&world, "b.weight", TARE_KIND_LINEAR, awq(&world, "b"));
        if (more)
            add(&world, "c.weight", TARE_KIND_LINEAR, awq(&world, "c"));
        add(&world, "norm", TARE_KIND_PLAIN, dense(&world, "norm"));
        assert_int_equal(convert(&world, NULL, &err), TARE_OK);
        const enum tare_dtype dtype = more ? TARE_BF16 : TARE_F32;
        assert_int_equal(mlx_floats(&world).dtype, dtype);
        assert_int_equal(world.model.n_findings, 1);
        assert_string_equal(world.model.findings[0].code, "mixed-scales");
        unsigned char scales[8 * 4], biases[8 * 4]; /* the bias is rounded to the dtype of its scale, then cast */
        for (int k = 0; k < 8; k++) {
            const float scale = tare_from_float16(((const uint16_t *)halves)[k]);
            tare_float_put(scales, dtype, k, scale);
            tare_float_put(biases, dtype, k, tare_from_float16(tare_to_float16(-8.0f * scale)));
        }
        world_open(&world, &out);
        expect_tensor(&out, "a.scales", dtype, scales, 8 * tare_dtype_size(dtype));
        expect_tensor(&out, "a.biases", dtype, biases, 8 * tare_dtype_size(dtype));
        expect_tensor(&out, "norm", dtype, scales, 8 * tare_dtype_size(dtype));
        tare_checkpoint_release(&out);
        free(weight);
        free(halves);
        world_end(&world);
    }
}

/* Experts of unlike group sizes are one tensor only when they are dense. */
static void test_unlike_experts(void **state)
{
    (void)state;
    struct world world;
    struct tare_error err = {0};
    void *weight = random_bytes(64 * 8 / 2, false, 61), *halves = random_bytes(2 * 8 * 2, true, 62);
    const struct fixture_tensor tensors[] = {{"a.qweight", "I32", 2, {64, 1}, weight},
                                             {"a.scales", "F16", 2, {1, 8}, halves},
                                             {"b.qweight", "I32", 2, {64, 1}, weight},
                                             {"b.scales", "F16", 2, {2, 8}, halves}};
    world_begin(&world, tensors, FIXTURE_COUNT(tensors));
    const struct tare_recipe **pair = tare_arena_array(&world.model.arena, 2, sizeof(struct tare_recipe *));
    pair[0] = awq(&world, "a");
    pair[1] = awq(&world, "b");
    add(&world, "experts.weight", TARE_KIND_EXPERTS, tare_recipe_stack(&world.model.arena, pair, 2));
    assert_int_equal(convert(&world, NULL, &err), TARE_OK);
    assert_false(mlx_target(&world, 0).packed);
    assert_non_null(strstr(mlx_target(&world, 0).because, "unlike"));
    struct tare_checkpoint out;
    struct tare_arena work = {0};
    float values[8 * 64];
    uint16_t made[2 * 8 * 64];
    const void *part[TARE_PARTS];
    for (size_t m = 0; m < 2; m++) {
        assert_int_equal(tare_module_data(&world.model.checkpoint, &world.modules[m], part, &err), TARE_OK);
        assert_int_equal(tare_module_floats(&world.modules[m], part, 0, 8, values, &work, &err), TARE_OK);
        for (size_t k = 0; k < 8 * 64; k++)
            made[m * 8 * 64 + k] = tare_to_float16(values[k]);
    }
    tare_arena_release(&work);
    world_open(&world, &out);
    expect_tensor(&out, "experts.weight", TARE_F16, made, sizeof made);
    tare_checkpoint_release(&out);
    free(weight);
    free(halves);
    world_end(&world);
}

static void test_refused(void **state)
{
    (void)state;
    struct world world;
    struct tare_error err = {0};
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    small_world(&world);
    struct tare_model *model = &world.model;
    fixture_expect(tare_convert(model, "", NULL, &err), &err, TARE_E_ARGUMENT, NULL, "folder");
    fixture_expect(tare_convert(NULL, "x", NULL, &err), &err, TARE_E_ARGUMENT, NULL, NULL);
    fixture_expect(tare_convert(model, fixture_path(world.folder, "in"), NULL, &err), &err, TARE_E_EXISTS, "in",
                   "exists");
    fixture_expect(tare_convert(model, fixture_path(world.folder, "in//"), NULL, &err), &err, TARE_E_EXISTS, "in",
                   NULL);
    fixture_expect(tare_convert(model, fixture_path(world.folder, "in/out"), NULL, &err), &err, TARE_E_ARGUMENT,
                   "in/out", "in the input");
    fixture_expect(tare_convert(model, fixture_path(world.folder, "no/out"), NULL, &err), &err, TARE_E_ABSENT, "no",
                   "no such folder");
    fixture_expect(tare_convert(model, fixture_path(world.folder, "in/config.json/x"), NULL, &err), &err, TARE_E_IO,
                   NULL, "Not a directory");
    fixture_expect(tare_convert(model, "/", NULL, &err), &err, TARE_E_EXISTS, NULL, NULL);
    fixture_expect(tare_convert(model, "..", NULL, &err), &err, TARE_E_EXISTS, NULL, NULL);
    fixture_link(world.folder, "dangling", "nowhere");
    fixture_expect(tare_convert(model, fixture_path(world.folder, "dangling"), NULL, &err), &err, TARE_E_EXISTS, NULL,
                   NULL);
    unlink(fixture_path(world.folder, "dangling"));
    options.to = "onnx";
    fixture_expect(tare_convert(model, fixture_path(world.folder, "out"), &options, &err), &err, TARE_E_UNKNOWN, "onnx",
                   "mlx");
    options.to = "mlx";
    options.threads = -1;
    fixture_expect(tare_convert(model, fixture_path(world.folder, "out"), &options, &err), &err, TARE_E_ARGUMENT, NULL,
                   NULL);
    model->code = TARE_E_STRICT;
    tare_fail(&model->error, TARE_E_STRICT, "x", "3 parameters are missing");
    fixture_expect(tare_convert(model, fixture_path(world.folder, "out"), NULL, &err), &err, TARE_E_STRICT, "x",
                   "missing");
    expect_nothing(&world);
    world_end(&world);
}

struct countdown {
    int left;
    bool kill;
    const char *stage;
    uint64_t last, total;
};

static int count_down(void *user, const char *stage, uint64_t done, uint64_t total)
{
    struct countdown *count = user;
    assert_true(!strcmp(stage, "convert") || !strcmp(stage, "prove") || !strcmp(stage, "hash"));
    if (!count->stage || strcmp(count->stage, stage))
        count->last = 0;
    assert_true(done >= count->last && done <= total);
    count->stage = stage;
    count->last = done;
    count->total = total;
    if (count->left-- > 0)
        return 0;
    if (count->kill)
        kill(getpid(), SIGKILL);
    return 1;
}

static void test_cancelled(void **state)
{
    (void)state;
    for (int left = 0;; left++) {
        struct world world;
        struct tare_error err = {0};
        struct countdown count = {.left = left};
        struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
        options.progress = count_down;
        options.user = &count;
        options.threads = 1 + left % 3;
        options.proof = left % 2;
        options.keep_dtypes = true;
        small_world(&world);
        const enum tare_code code = convert(&world, &options, &err);
        if (code == TARE_OK) {
            assert_int_equal(count.last, count.total); /* the last report says all is done */
            assert_string_equal(count.stage, "hash");
            assert_true(left > 3);
            world_end(&world);
            return;
        }
        fixture_expect(code, &err, TARE_E_CANCELLED, NULL, "cancelled");
        assert_int_not_equal(access(fixture_path(world.folder, "out"), F_OK), 0);
        options.progress = NULL; /* test_faults_resume.c looks at what is kept */
        assert_int_equal(convert(&world, &options, &err), TARE_OK);
        assert_int_not_equal(access(fixture_path(world.folder, ".out.tare-partial"), F_OK), 0);
        world_end(&world);
    }
}

static void test_killed(void **state)
{
    (void)state;
    for (int left = 0; left < 4; left++) {
        struct world world;
        small_world(&world);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            struct countdown count = {.left = left, .kill = true};
            struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
            options.progress = count_down;
            options.user = &count;
            options.threads = 1;
            convert(&world, &options, NULL);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_not_equal(access(fixture_path(world.folder, "out"), F_OK), 0);
        struct tare_error err = {0};
        assert_int_equal(convert(&world, NULL, &err), TARE_OK); /* what was left is in nobody's way */
        world_end(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),          cmocka_unit_test(test_keep_dtypes),
        cmocka_unit_test(test_shards),         cmocka_unit_test(test_dense_recipes),
        cmocka_unit_test(test_large_dense),    cmocka_unit_test(test_stacked_experts),
        cmocka_unit_test(test_dequantized),    cmocka_unit_test(test_group_sizes),
        cmocka_unit_test(test_overflow),       cmocka_unit_test(test_mixed_scales),
        cmocka_unit_test(test_unlike_experts), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cancelled),      cmocka_unit_test(test_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
