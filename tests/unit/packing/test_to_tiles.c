/* SPDX-License-Identifier: MIT
 * test_to_tiles.c - the short ways into tiles give the bytes of the long one: decode() and tare_tile_put(), for whole
 * matrices of random bits, NaN and infinite scales among them, cut into stretches at random. And scales as factors are
 * the scales that decode() gives. */
#include "packing/to_tiles.h"

#include <math.h>
#include <stdlib.h>

#include "fixture.h"
#include "packing/gguf/gguf_block.h"

enum { CASES = 40 };

static uint32_t next(void)
{
    static uint64_t state = 77;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

static unsigned char *noise(int64_t bytes)
{
    unsigned char *data = malloc((size_t)bytes);
    assert_non_null(data);
    for (int64_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)next();
    return data;
}

/* A module of random bits, and the matrix that is made of it. */
struct sample {
    struct tare_module module;
    struct tare_tensor tensor[TARE_PARTS];
    int64_t shape[2], stored[TARE_PARTS][2];
    const void *part[TARE_PARTS];
    struct tare_matrix m;
};

static void give_part(struct sample *s, enum tare_part part, int64_t a, int64_t b, int64_t bytes)
{
    s->tensor[part].rank = 2;
    s->stored[part][0] = a;
    s->stored[part][1] = b;
    s->tensor[part].shape = s->stored[part];
    s->part[part] = noise(a * b * bytes);
    s->module.part[part] = &s->tensor[part];
}

static void fill(struct sample *s, const struct tare_packing *packing, int c)
{
    const bool blocks = packing == &tare_packing_gguf_q4_0 || packing == &tare_packing_gguf_q8_0;
    const int64_t group = blocks ? 32 : 32 << c % 3, groups = 1 + next() % 5, smaller = blocks ? 1 : 1 + c % 2;
    const int64_t out = 16 * (1 + next() % 20), in = 2 * group * groups / (blocks ? 2 : 1), n = in / group;
    s->shape[0] = out;
    s->shape[1] = in;
    s->module = (struct tare_module){.packing = packing, .rank = 2, .shape = s->shape, .bits = 4, .group_size = group};
    s->module.dtype = c % 2 && !blocks ? TARE_BF16 : TARE_F16;
    if (blocks) {
        s->module.bits = packing == &tare_packing_gguf_q8_0 ? 8 : 4;
        give_part(s, TARE_PART_WEIGHT, out, n * (s->module.bits == 8 ? 34 : 18), 1);
        s->tensor[TARE_PART_WEIGHT].heads = c % 2 ? out / 16 : 0;
    } else if (packing == &tare_packing_mlx_affine) {
        give_part(s, TARE_PART_WEIGHT, out, in / 8, 4);
        give_part(s, TARE_PART_SCALES, out, n, 2);
        give_part(s, TARE_PART_ZEROS, out, n, 2);
    } else {
        const bool awq = packing == &tare_packing_awq_gemm;
        give_part(s, TARE_PART_WEIGHT, awq ? in : in / 8, awq ? out / 8 : out, 4);
        give_part(s, TARE_PART_SCALES, n, out, 2);
        if (!awq || c % 4)
            give_part(s, TARE_PART_ZEROS, n, out / 8, 4);
    }
    const bool small = smaller > 1 && group > 32;
    s->m = (struct tare_matrix){.storage = s->module.bits == 8 ? TARE_STORE_T8 : TARE_STORE_T4,
                                .rows = out,
                                .in = in,
                                .group = small ? group / 2 : group,
                                .groups = small ? 2 * n : n,
                                .scales = s->module.dtype == TARE_F16 ? TARE_SCALES_F16 : TARE_SCALES_BF16,
                                .zeros = !packing->biases};
    s->m.stride = tare_tile_stride(&s->m);
}

static void the_long_way(const struct sample *s, unsigned char *data)
{
    const int64_t in = s->m.in, groups = tare_module_groups(&s->module), repeat = s->m.groups / groups;
    struct tare_codes c = {malloc((size_t)in), malloc((size_t)groups * sizeof(float)),
                           malloc((size_t)groups * sizeof(float))};
    float *scale = malloc((size_t)s->m.groups * sizeof *scale), *offset = malloc((size_t)s->m.groups * sizeof *offset);
    for (int64_t r = 0; r < s->m.rows; r++) {
        s->module.packing->decode(&s->module, s->part, r, 1, &c);
        for (int64_t g = 0; g < s->m.groups; g++) {
            scale[g] = c.scale[g / repeat];
            offset[g] = c.offset[g / repeat];
        }
        tare_tile_put(&s->m, data, r, c.code, scale, offset);
    }
    free(c.code);
    free(c.scale);
    free(c.offset);
    free(scale);
    free(offset);
}

static void both_ways(const struct tare_packing *packing, int c)
{
    struct sample s = {0};
    fill(&s, packing, c);
    const int64_t tiles = tare_tile_count(&s.m);
    const size_t bytes = (size_t)tiles * s.m.stride;
    unsigned char *want = malloc(bytes), *got = malloc(bytes);
    the_long_way(&s, want);
    memset(got, 0xa5, bytes);
    for (int64_t t = 0, n; t < tiles; t += n) {
        n = 1 + next() % (tiles - t);
        const struct tare_stretch stretch = {&s.module, s.part, t * TARE_TILE_ROWS, &s.m, got + (size_t)t * s.m.stride,
                                             n};
        assert_true(tare_to_tiles(&stretch));
    }
    assert_memory_equal(got, want, bytes);
    free(want);
    free(got);
    for (int k = 0; k < TARE_PARTS; k++)
        free((void *)(uintptr_t)s.part[k]);
}

static void equal(void **state)
{
    const struct tare_packing *const packings[] = {
        &tare_packing_awq_gemm,   &tare_packing_gptq_v1,   &tare_packing_gptq_v2,  &tare_packing_gptq_words,
        &tare_packing_mlx_affine, &tare_packing_gguf_q4_0, &tare_packing_gguf_q8_0};
    (void)state;
    for (size_t k = 0; k < FIXTURE_COUNT(packings); k++)
        for (int c = 0; c < CASES; c++)
            both_ways(packings[k], c);
}

/* What has no short way is left alone. */
static void left_alone(void **state)
{
    (void)state;
    for (int c = 0; c < 4; c++) {
        struct sample s = {0};
        unsigned char untouched[64] = {0};
        fill(&s, &tare_packing_gptq_v1, 1);
        const struct tare_stretch stretch = {&s.module, s.part, 0, &s.m, untouched, 1};
        if (c == 0)
            s.module.act_order = true;
        if (c == 1)
            s.module.bits = 8;
        if (c == 2)
            s.m.scales = TARE_SCALES_F32;
        if (c == 3)
            s.m.zeros = false;
        assert_false(tare_to_tiles(&stretch));
        for (int i = 0; i < 64; i++)
            assert_int_equal(untouched[i], 0);
        for (int k = 0; k < TARE_PARTS; k++)
            free((void *)(uintptr_t)s.part[k]);
    }
}

/* The factors of a module, multiplied, are the scales and offsets of its neutral form, and the codes are the same. */
static void same_numbers(const struct tare_module *module, const void *const part[TARE_PARTS])
{
    const struct tare_factoring *f = module->packing->factoring;
    const int64_t rows = tare_module_rows(module), in = tare_module_columns(module);
    const int64_t groups = tare_module_groups(module), each = f->columns ? f->columns / module->group_size : groups;
    const size_t n = (size_t)(rows * groups);
    struct tare_codes c = {malloc((size_t)(rows * in)), malloc(n * sizeof(float)), calloc(n, sizeof(float))};
    struct tare_factored t = {malloc((size_t)(rows * in)), malloc(n * sizeof(float)), malloc(n * sizeof(float)),
                              malloc(n), malloc(n)};
    module->packing->decode(module, part, 0, rows, &c);
    f->rows(module, part, 0, rows, &t);
    assert_memory_equal(t.code, c.code, (size_t)(rows * in));
    for (size_t k = 0; k < n; k++) {
        const size_t header = k / (size_t)each;
        const float scale = t.scale[header] * tare_tile_factor(f->factors, t.factor[k]);
        const float least = module->packing->biases ? (float)t.least[k] : 1;
        assert_true(scale == c.scale[k] || (isnan(scale) && isnan(c.scale[k])));
        if (module->packing->codes == TARE_CODE_INTEGER) {
            const float offset = t.offset[header] * least;
            assert_true(offset == c.offset[k] || (isnan(offset) && isnan(c.offset[k])));
        }
    }
    free(c.code);
    free(c.scale);
    free(c.offset);
    free(t.code);
    free(t.scale);
    free(t.offset);
    free(t.factor);
    free(t.least);
}

/* Blocks of random bits, of every kind that has factors. */
static void factored(void **state)
{
    int kinds = 0;
    (void)state;
    for (size_t k = 0; tare_packing_at(k); k++) {
        const struct tare_packing *packing = tare_packing_at(k);
        if (!packing->factoring || !packing->blocks)
            continue;
        const struct tare_block_size block = tare_dtype_block(packing->blocks);
        struct tare_tensor tensor = {.rank = 2, .shape = (int64_t[]){12, 2 * 256}, .heads = 2};
        struct tare_module module = {.packing = packing};
        module.part[TARE_PART_WEIGHT] = &tensor;
        packing->shape(&module, NULL, NULL);
        const void *part[TARE_PARTS] = {noise(12 * 2 * 256 / block.columns * block.bytes)};
        same_numbers(&module, part);
        free((void *)(uintptr_t)part[0]);
        kinds++;
    }
    assert_true(kinds >= 14);
}

/* The codes of a packing with a table are all in it. */
static void tables(void **state)
{
    (void)state;
    for (size_t k = 0; tare_packing_at(k); k++) {
        const struct tare_packing *packing = tare_packing_at(k);
        if (!packing->table || !packing->blocks || packing->codes != TARE_CODE_INTEGER)
            continue;
        const struct tare_block_size block = tare_dtype_block(packing->blocks);
        uint8_t code[256], *data = noise(200 * block.bytes);
        for (int i = 0; i < 200; i++) {
            struct tare_block_numbers numbers;
            packing->block->unpack(data + i * block.bytes, code, &numbers);
            for (int64_t c = 0; c < block.columns; c++)
                assert_non_null(memchr(packing->table->value, code[c], 16));
        }
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equal), cmocka_unit_test(left_alone),
                                       cmocka_unit_test(factored), cmocka_unit_test(tables)};
    return cmocka_run_group_tests_name("to_tiles", tests, NULL, NULL);
}
