/* SPDX-License-Identifier: MIT
 * test_copy.c - pieces of modules are put together: transposed, joined along either axis, stacked and added, in their
 * own dtype or a wider one. */
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "fixture.h"
#include "run/weights/weight_source.h"

/* a (2, 3) F16: 1 .. 6;  b (2, 3) F32: 11 .. 16 */
static char *folder;
static struct fixture_opened *opened;
static struct tare_module a, b;

static struct tare_module module(const char *name)
{
    const struct tare_tensor *t = tare_checkpoint_find(&opened->checkpoint, name);
    assert_non_null(t);
    return (struct tare_module){.name = name,
                                .packing = &tare_packing_plain,
                                .rank = t->rank,
                                .shape = t->shape,
                                .dtype = t->dtype,
                                .part = {[TARE_PART_WEIGHT] = t}};
}

static int begin(void **unused)
{
    (void)unused;
    uint16_t half[6];
    float full[6];
    for (int i = 0; i < 6; i++) {
        half[i] = tare_to_float16((float)i + 1);
        full[i] = (float)i + 11;
    }
    folder = fixture_begin();
    const struct fixture_tensor t[] = {{"a", "F16", 2, {2, 3}, half}, {"b", "F32", 2, {2, 3}, full}};
    fixture_safetensors(folder, "model.safetensors", t, FIXTURE_COUNT(t));
    opened = fixture_open(folder);
    assert_int_equal(opened->code, TARE_OK);
    a = module("a");
    b = module("b");
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    fixture_close(opened);
    fixture_end(folder);
    return 0;
}

static void expect(const struct tare_flat *flat, const float *want, size_t n)
{
    float got[24] = {0};
    struct tare_error err = {0};
    assert_int_equal(tare_source_copy(&opened->checkpoint, flat, TARE_F32, got, &err), TARE_OK);
    for (size_t i = 0; i < n; i++)
        if (got[i] != want[i])
            fail_msg("element %zu: got %g, expected %g", i, (double)got[i], (double)want[i]);
}

#define I64(...) ((const int64_t[]){__VA_ARGS__})

static void test_transpose(void **unused)
{
    (void)unused;
    struct tare_piece p = {&a, I64(0, 0), I64(3, 2), 0, I64(1, 3), NULL, TARE_F16};
    const struct tare_flat flat = {2, I64(3, 2), TARE_F16, &p, 1};
    expect(&flat, (const float[]){1, 4, 2, 5, 3, 6}, 6);
    uint16_t half[6];
    assert_int_equal(tare_source_copy(&opened->checkpoint, &flat, TARE_F16, half, NULL), TARE_OK);
    assert_int_equal(half[1], tare_to_float16(4));
}

/* Columns 1 and 2 of a beside all of b. */
static void test_join(void **unused)
{
    (void)unused;
    struct tare_piece p[] = {{&a, I64(0, 0), I64(2, 2), 1, I64(3, 1), NULL, TARE_F16},
                             {&b, I64(0, 2), I64(2, 3), 0, I64(3, 1), NULL, TARE_F32}};
    const struct tare_flat flat = {2, I64(2, 5), TARE_F32, p, 2};
    expect(&flat, (const float[]){2, 3, 11, 12, 13, 5, 6, 14, 15, 16}, 10);
}

static void test_stack(void **unused)
{
    (void)unused;
    struct tare_piece p[] = {{&b, I64(0, 0, 0), I64(1, 2, 3), 0, I64(0, 3, 1), NULL, TARE_F32},
                             {&a, I64(1, 0, 0), I64(1, 2, 3), 0, I64(0, 3, 1), NULL, TARE_F16}};
    const struct tare_flat flat = {3, I64(2, 2, 3), TARE_F32, p, 2};
    expect(&flat, (const float[]){11, 12, 13, 14, 15, 16, 1, 2, 3, 4, 5, 6}, 12);
}

/* 1 + 2^-12 is not a half: the sum is rounded in the dtype of the tensor, whatever it is widened to. */
static void test_add(void **unused)
{
    (void)unused;
    static const struct tare_value small = {.function = TARE_ADD, .operand = 0x1p-12};
    struct tare_piece p = {&a, I64(0, 0), I64(1, 3), 0, I64(3, 1), &small, TARE_F16};
    const struct tare_flat flat = {2, I64(1, 3), TARE_F16, &p, 1};
    expect(&flat, (const float[]){1, 2, 3}, 3);
    p.module = &b;
    p.dtype = TARE_F32;
    expect(&flat, (const float[]){11 + 0x1p-12f, 12 + 0x1p-12f, 13 + 0x1p-12f}, 3);
}

/* A packing of one byte a code, scale 2 and zero 1, groups of four columns: code = 10 * row + column. */
static void decode(const struct tare_module *m, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *c)
{
    (void)part;
    for (int64_t i = 0; i < rows * m->shape[1]; i++)
        c->code[i] = (uint8_t)(10 * (row + i / m->shape[1]) + i % m->shape[1]);
    for (int64_t i = 0; i < rows * m->shape[1] / m->group_size; i++) {
        c->scale[i] = 2;
        c->offset[i] = 1;
    }
}

/* Rows 1 and 2 of one module below row 0 of another, with groups of 4 and 8: scales are repeated for the smaller. */
static void test_repack(void **unused)
{
    (void)unused;
    const struct tare_packing packing = {.name = "test", .decode = decode};
    const struct tare_module m4 = {
        .name = "m4", .packing = &packing, .rank = 2, .shape = I64(3, 8), .group_size = 4, .bits = 8};
    struct tare_module m8 = m4;
    m8.group_size = 8;
    struct tare_piece p[] = {{&m8, I64(0, 0), I64(1, 8), 0, I64(8, 1), NULL, TARE_F16},
                             {&m4, I64(1, 0), I64(2, 8), 8, I64(8, 1), NULL, TARE_F16}};
    const struct tare_flat flat = {2, I64(3, 8), TARE_F16, p, 2};
    unsigned char data[3 * 64] = {0};
    float scale[6], offset[6], row[8];
    const struct tare_matrix m = {.storage = TARE_STORE_Q8,
                                  .rows = 3,
                                  .in = 8,
                                  .data = data,
                                  .stride = 64,
                                  .scale = scale,
                                  .offset = offset,
                                  .group = 4,
                                  .groups = 2};
    struct tare_pool *pool = NULL;
    assert_int_equal(tare_pool_open(&pool, 2, NULL), TARE_OK);
    assert_int_equal(tare_source_repack(&opened->checkpoint, &flat, &m, data, scale, offset, pool, NULL), TARE_OK);
    tare_pool_free(pool);
    for (int64_t r = 0; r < 3; r++) {
        tare_matrix_row(&tare_kernels_scalar, &m, r, row);
        for (int i = 0; i < 8; i++)
            assert_true(row[i] == 2 * ((float)(10 * r + i) - 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transpose), cmocka_unit_test(test_join),   cmocka_unit_test(test_stack),
        cmocka_unit_test(test_add),       cmocka_unit_test(test_repack),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
