/* SPDX-License-Identifier: MIT
 * test_formats.c - the view by source module, and what the formats refuse. tests/save/pairs.py has their bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "packing/mlx/to_mlx.h"
#include "save/save.h"
#include "world.h"

static struct tare_convert_options to(const char *format)
{
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    options.to = format;
    return options;
}

/* Values of a tensor of the output, and that it has this dtype. */
static const void *data_of(struct tare_checkpoint *out, const char *name, enum tare_dtype dtype)
{
    const struct tare_tensor *tensor = tare_checkpoint_find(out, name);
    const void *data = NULL;
    if (!tensor)
        fail_msg("%s is not there", name);
    assert_int_equal(tensor->dtype, dtype);
    assert_int_equal(tare_tensor_data(out, tensor, &data, NULL), TARE_OK);
    return data;
}

static void succeed(struct world *world, const struct tare_convert_options *options)
{
    struct tare_error err = {0};
    if (convert(world, options, &err) != TARE_OK)
        fail_msg("%s: %s", err.where, err.text);
}

static void refuse(struct world *world, const struct tare_convert_options *options, enum tare_code code,
                   const char *where, const char *phrase)
{
    struct tare_error err = {0};
    fixture_expect(convert(world, options, &err), &err, code, where, phrase);
    expect_nothing(world);
}

static void test_dense(void **state)
{
    (void)state;
    static const char *const dtypes[] = {NULL, "float32", "bfloat16"};
    static const enum tare_dtype made[] = {TARE_F16, TARE_F32, TARE_BF16}, norms[] = {TARE_F32, TARE_F32, TARE_BF16};
    for (size_t k = 0; k < 3; k++) {
        struct world world;
        struct tare_checkpoint out;
        struct tare_arena work = {0};
        const void *part[TARE_PARTS];
        struct tare_convert_options options = to("dense");
        options.dtype = dtypes[k];
        small_world(&world);
        succeed(&world, &options);
        world_open(&world, &out);
        assert_int_equal(out.n_tensors, 4);
        float *want = calloc(IN * OUT, sizeof *want);
        assert_int_equal(tare_module_data(&world.model.checkpoint, &world.modules[0], part, NULL), TARE_OK);
        assert_int_equal(tare_module_floats(&world.modules[0], part, 0, OUT, want, &work, NULL), TARE_OK);
        const void *got = data_of(&out, "a.weight", made[k]);
        for (int64_t i = 0; i < IN * OUT; i++) {
            float rounded = want[i];
            tare_float_put(&rounded, made[k], 0, want[i]);
            assert_true(tare_float_at(got, made[k], i) == tare_float_at(&rounded, made[k], 0));
        }
        data_of(&out, "norm.weight", norms[k]);
        free(want);
        tare_arena_release(&work);
        tare_checkpoint_release(&out);
        world_end(&world);
    }
}

/* What a rewriting set aside is written, what is redundant is not; a stack is written as the modules it is made of. */
static void test_view(void **state)
{
    (void)state;
    struct world world;
    struct tare_checkpoint out;
    small_world(&world);
    const struct tare_recipe *both[] = {world.entries[0].recipe, world.entries[1].recipe};
    const struct tare_convert_options options = to("awq");
    world.entries[0].recipe = tare_recipe_stack(&world.model.arena, both, 2);
    world.parameters[0].rank = 3;
    world.parameters[0].shape = world.entries[0].recipe->shape;
    world.parameters[1].active = false;
    world.entries[1].absorbed = true;
    world.entries[2].rule = "not for mlx-lm";
    world.parameters[2].active = false;
    world.entries[3].rule = "says nothing";
    world.entries[3].redundant = true;
    world.parameters[3].active = false;
    succeed(&world, &options);
    world_open(&world, &out);
    assert_int_equal(out.n_tensors, 7); /* two modules of three tensors, and the embedding */
    data_of(&out, "b.qweight", TARE_I32);
    data_of(&out, "embed.weight", TARE_F16);
    assert_null(tare_checkpoint_find(&out, "norm.weight"));
    tare_checkpoint_release(&out);
    world_end(&world);
}

/* gpt2's Conv1D: dense ones are (in, out), packed ones are not. */
static void test_turned(void **state)
{
    (void)state;
    struct world world;
    struct tare_checkpoint out;
    struct tare_arena work = {0};
    const void *part[TARE_PARTS];
    struct tare_convert_options options = to("dense");
    options.dtype = "float32";
    small_world(&world);
    world.model.weights.turned = &(struct tare_turned){&world.modules[0], NULL};
    succeed(&world, &options);
    world_open(&world, &out);
    float *want = calloc(IN * OUT, sizeof *want);
    assert_int_equal(tare_module_data(&world.model.checkpoint, &world.modules[0], part, NULL), TARE_OK);
    assert_int_equal(tare_module_floats(&world.modules[0], part, 0, OUT, want, &work, NULL), TARE_OK);
    const float *got = data_of(&out, "a.weight", TARE_F32);
    const struct tare_tensor *tensor = tare_checkpoint_find(&out, "a.weight");
    assert_true(tensor->shape[0] == IN && tensor->shape[1] == OUT);
    assert_int_equal(tare_checkpoint_find(&out, "b.weight")->shape[0], OUT);
    for (int64_t r = 0; r < OUT; r++)
        for (int64_t i = 0; i < IN; i++)
            assert_true(got[i * OUT + r] == want[r * IN + i]);
    free(want);
    tare_arena_release(&work);
    tare_checkpoint_release(&out);
    world_end(&world);
}

/* A set aside module that cannot be used is no reason for mlx, but for the others. */
static void test_fault(void **state)
{
    (void)state;
    struct world world;
    const struct tare_convert_options options = to("dense");
    small_world(&world);
    world.entries[1].rule = "not for mlx-lm";
    world.parameters[1].active = false;
    world.modules[1].fault = "its shape is off";
    world.modules[1].fault_code = TARE_E_SHAPE;
    refuse(&world, &options, TARE_E_SHAPE, "b.weight", "its shape is off");
    succeed(&world, NULL);
    world_end(&world);
}

static void test_refused(void **state)
{
    (void)state;
    struct world world;
    small_world(&world);
    struct tare_convert_options options = to("gptq");
    refuse(&world, &options, TARE_E_TARGET, "weight", "a zero of 0"); /* random zeros have one */
    options = to("gguf-like");
    refuse(&world, &options, TARE_E_UNKNOWN, "gguf-like", "compressed-tensors");
    options = to("awq");
    options.dtype = "bfloat16";
    refuse(&world, &options, TARE_E_TARGET, "weight", "is no BF16");
    options.dtype = "float8";
    refuse(&world, &options, TARE_E_ARGUMENT, "float8", "float32");
    options = to("awq");
    world.parameters[0].kind = TARE_KIND_EMBEDDING;
    refuse(&world, &options, TARE_E_TARGET, "a.weight", "linear layers only");
    world.model.options.dequantize = "a.weight";
    succeed(&world, &options);
    world_end(&world);
}

/* The only copy of a tied matrix lies under the head's name: it is stored as the linear layer that it is there. */
static void test_head_as_embedding(void **state)
{
    (void)state;
    struct world world;
    const struct tare_convert_options options = to("awq");
    small_world(&world);
    world.parameters[0].kind = TARE_KIND_EMBEDDING;
    world.model.tie.bound = &world.entries[0];
    succeed(&world, &options);
    world_end(&world);
}

/* Biases of MLX become zeros where they are whole, and the way back gives the same biases. */
static void test_exact_biases(void **state)
{
    (void)state;
    struct world world;
    struct tare_checkpoint out;
    struct tare_convert_options options = to("mlx");
    options.exact = true;
    small_world(&world);
    succeed(&world, &options);
    world_open(&world, &out);
    const float *scales = data_of(&out, "a.scales", TARE_F32), *biases = data_of(&out, "a.biases", TARE_F32);
    for (int64_t k = 0; k < OUT * IN / GROUP; k++) {
        const float zero = -biases[k] / scales[k];
        assert_true(zero == (float)(int)zero && zero * scales[k] == -biases[k]);
    }
    data_of(&out, "norm.weight", TARE_F32);
    tare_checkpoint_release(&out);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_view),
        cmocka_unit_test(test_fault),
        cmocka_unit_test(test_turned),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_exact_biases),
        cmocka_unit_test(test_head_as_embedding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
