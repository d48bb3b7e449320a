/* SPDX-License-Identifier: MIT
 * test_suspect.c - a group that is dead is suspected, in every layout and at every place; and random ones are not. */
#include <stdlib.h>
#include <string.h>

#include "audit/content.h"
#include "fixture.h"
#include "packing/mlx/to_mlx.h"
#include "packing/suspect.h"

enum { ROWS = 24, COLUMNS = 192 };

static uint64_t state_of = 7;

static unsigned draw(void)
{
    state_of = state_of * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state_of >> 33);
}

/* A module in memory. */
struct made {
    struct tare_module module;
    struct tare_tensor weight, scales, zeros, order;
    int64_t shape[2], weight_shape[2], zeros_shape[2];
    int32_t group[COLUMNS];
    const void *part[TARE_PARTS];
    uint8_t code[ROWS * COLUMNS], zero[ROWS * COLUMNS];
    uint16_t scale[ROWS * COLUMNS], bias[ROWS * COLUMNS]; /* float16 */
    unsigned char words[ROWS * COLUMNS * 2], zeros_of[ROWS * COLUMNS];
};

static int64_t groups_of(const struct made *m)
{
    return COLUMNS / m->module.group_size;
}

/* GPTQ: words of a row's stream lie ROWS apart; zeros are streams along the rows. */
static void lay_gptq(struct made *m)
{
    const int64_t groups = groups_of(m), bits = m->module.bits, words = COLUMNS * bits / 32;
    unsigned char row[COLUMNS];
    for (int64_t r = 0; r < ROWS; r++) {
        tare_mlx_pack(m->code + r * COLUMNS, (int)bits, COLUMNS, row);
        for (int64_t k = 0; k < words; k++)
            memcpy(m->words + 4 * (k * ROWS + r), row + 4 * k, 4);
    }
    for (int64_t g = 0; g < groups; g++) {
        uint8_t zero[32] = {0}; /* ROWS of them, padded to whole words */
        for (int64_t r = 0; r < ROWS; r++)
            zero[r] = m->zero[r * groups + g];
        tare_mlx_pack(zero, (int)bits, 32, row);
        memcpy(m->zeros_of + 4 * g * m->zeros_shape[1], row, (size_t)(4 * m->zeros_shape[1]));
    }
    for (int64_t g = 0; g < groups; g++) /* scales (groups, out) */
        for (int64_t r = 0; r < ROWS; r++)
            m->scale[g * ROWS + r] = tare_to_float16(0.01f + (float)(g + r) / 1000);
    m->part[TARE_PART_ZEROS] = m->zeros_of;
}

/* codes and zeros by row, into the layout. */
static void lay(struct made *m)
{
    static const int nibble[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    const int64_t groups = groups_of(m);
    memset(m->words, 0, sizeof m->words);
    memset(m->zeros_of, 0, sizeof m->zeros_of);
    if (m->module.packing == &tare_packing_gptq_v2) {
        lay_gptq(m);
        return;
    }
    if (m->module.packing != &tare_packing_awq_gemm) {
        tare_mlx_pack(m->code, m->module.bits, ROWS * COLUMNS, m->words);
        for (int64_t k = 0; k < ROWS * groups; k++)
            m->bias[k] = tare_to_float16(-(float)m->zero[k] * tare_from_float16(m->scale[k]));
        m->part[TARE_PART_ZEROS] = m->bias;
        return;
    }
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t i = 0; i < COLUMNS; i++)
            m->words[(i * ROWS / 8 + r / 8) * 4 + nibble[r % 8] / 2] |=
                (unsigned char)(m->code[r * COLUMNS + i] << 4 * (nibble[r % 8] % 2));
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t g = 0; g < groups; g++)
            m->zeros_of[(g * ROWS / 8 + r / 8) * 4 + nibble[r % 8] / 2] |=
                (unsigned char)(m->zero[r * groups + g] << 4 * (nibble[r % 8] % 2));
    m->part[TARE_PART_ZEROS] = m->zeros_of;
}

static struct made *make(const struct tare_packing *packing, int bits, int64_t group_size)
{
    struct made *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->shape[0] = ROWS;
    m->shape[1] = COLUMNS;
    m->module = (struct tare_module){.name = "m.weight",
                                     .packing = packing,
                                     .rank = 2,
                                     .shape = m->shape,
                                     .dtype = TARE_F16,
                                     .bits = bits,
                                     .group_size = group_size};
    m->weight = (struct tare_tensor){.name = "m.weight", .size = ROWS * COLUMNS * (uint64_t)bits / 8};
    m->weight_shape[0] = COLUMNS * bits / 32; /* gptq's */
    m->weight_shape[1] = ROWS;
    m->zeros_shape[0] = groups_of(m);
    m->zeros_shape[1] = (ROWS * bits + 31) / 32;
    m->weight.shape = m->weight_shape;
    m->zeros.shape = m->zeros_shape;
    m->weight.rank = m->zeros.rank = 2;
    m->module.part[TARE_PART_WEIGHT] = &m->weight;
    m->module.part[TARE_PART_SCALES] = &m->scales;
    m->module.part[TARE_PART_ZEROS] = &m->zeros;
    for (int k = 0; k < ROWS * COLUMNS; k++) {
        m->code[k] = (uint8_t)(draw() & ((1u << bits) - 1));
        m->scale[k] = tare_to_float16(0.01f + (float)(draw() % 100) / 1000);
        m->zero[k] = (uint8_t)(draw() & ((1u << bits) - 1));
    }
    for (int64_t k = 0; k < ROWS * groups_of(m); k++) /* no group is alike by chance */
        m->code[k * group_size] = (uint8_t)(m->code[k * group_size + 1] ^ 1);
    m->part[TARE_PART_WEIGHT] = m->words;
    m->part[TARE_PART_SCALES] = m->scale;
    return m;
}

/* Is anything suspected, looked at in stretches of `step` units? */
static bool looked(const struct made *m, int64_t step)
{
    const struct tare_suspect *suspect = m->module.packing->suspect;
    const int64_t units = suspect->units(&m->module);
    const int64_t bytes = units ? (int64_t)m->weight.size / units : 0;
    bool found = false;
    assert_true(units > 0);
    for (int64_t at = 0; at < units; at += step)
        found |= suspect->look(&m->module, m->part, m->words + at * bytes, at, units - at < step ? units - at : step);
    return found;
}

static struct tare_groups_found inspected(const struct made *m)
{
    struct tare_arena work = {0};
    struct tare_groups_found found = {0};
    assert_int_equal(tare_groups_inspect(&m->module, m->part, 0, ROWS, &work, &found, NULL), TARE_OK);
    tare_arena_release(&work);
    return found;
}

static void every_group(const struct tare_packing *packing, int bits, int64_t group_size)
{
    struct made *m = make(packing, bits, group_size);
    lay(m);
    assert_false(looked(m, 1));
    assert_false(looked(m, 5));
    assert_int_equal(inspected(m).count[TARE_GROUP_DEAD], 0);
    for (int64_t k = 0; k < ROWS * groups_of(m); k++) {
        uint8_t before[COLUMNS];
        memcpy(before, m->code + k * group_size, (size_t)group_size);
        memset(m->code + k * group_size, m->zero[k], (size_t)group_size);
        lay(m);
        assert_true(looked(m, 1));
        assert_true(looked(m, 1 + draw() % 30));
        const struct tare_groups_found found = inspected(m);
        assert_int_equal(found.count[TARE_GROUP_DEAD], 1);
        assert_int_equal(found.first[TARE_GROUP_DEAD], k);
        /* but for one code at any place */
        const int64_t at = k * group_size + draw() % group_size;
        m->code[at] ^= (uint8_t)(1 << draw() % (unsigned)bits);
        lay(m);
        if (packing != &tare_packing_gptq_v2) /* gptq: the first word of a group tells, and it may be alike still */
            assert_false(looked(m, 3));
        assert_int_equal(inspected(m).count[TARE_GROUP_DEAD], 0);
        memcpy(m->code + k * group_size, before, (size_t)group_size);
    }
    free(m);
}

static void test_integers(void **state)
{
    (void)state;
    for (int64_t size = 32; size <= COLUMNS; size = size == 32 ? 64 : size == 64 ? 96 : 2 * size) {
        every_group(&tare_packing_awq_gemm, 4, size);
        for (int bits = 2; bits <= 8; bits++)
            if (tare_mlx_bits(bits))
                every_group(&tare_packing_mlx_affine, bits, size);
        for (int bits = 2; bits <= 8; bits++)
            every_group(&tare_packing_gptq_v2, bits, size);
    }
}

/* Groups that are no runs of columns cannot be looked at, and are found all the same. */
static void test_act_order(void **state)
{
    (void)state;
    struct made *m = make(&tare_packing_gptq_v2, 4, 64);
    m->module.act_order = true;
    m->module.part[TARE_PART_G_IDX] = &m->order;
    m->part[TARE_PART_G_IDX] = m->group;
    for (int i = 0; i < COLUMNS; i++)
        m->group[i] = i % 3;
    lay(m);
    assert_int_equal(m->module.packing->suspect->units(&m->module), 0);
    assert_int_equal(inspected(m).count[TARE_GROUP_DEAD], 0);
    for (int i = 1; i < COLUMNS; i += 3) /* group 1 of row 17 */
        m->code[17 * COLUMNS + i] = m->zero[17 * 3 + 1];
    lay(m);
    const struct tare_groups_found found = inspected(m);
    assert_int_equal(found.count[TARE_GROUP_DEAD], 1);
    assert_int_equal(found.first[TARE_GROUP_DEAD], 17 * 3 + 1);
    free(m);
}

/* GGUF: each block broken once, in its scale and in its codes. */
static void test_blocks(void **state)
{
    static const struct {
        const struct tare_packing *packing;
        int bytes, codes, high; /* of a block; where its codes lie, and the fifth bits of them */
    } all[] = {{&tare_packing_gguf_q4_0, 18, 2, 0},
               {&tare_packing_gguf_q4_1, 20, 4, 0},
               {&tare_packing_gguf_q5_0, 22, 6, 2},
               {&tare_packing_gguf_q5_1, 24, 8, 4},
               {&tare_packing_gguf_q8_0, 34, 2, 0}};
    (void)state;
    for (size_t i = 0; i < FIXTURE_COUNT(all); i++) {
        const int bits = all[i].bytes == 34 ? 8 : all[i].high ? 5 : 4, blocks = ROWS * COLUMNS / 32;
        struct made *m = make(all[i].packing, bits, 32);
        m->module.part[TARE_PART_SCALES] = m->module.part[TARE_PART_ZEROS] = NULL;
        m->weight.size = (uint64_t)(blocks * all[i].bytes);
        assert_true(m->weight.size <= sizeof m->words);
        for (int k = 0; k < blocks * all[i].bytes; k++)
            m->words[k] = (unsigned char)draw();
        for (int k = 0; k < blocks; k++) {
            unsigned char *block = m->words + k * all[i].bytes;
            block[1] = 0x20 | (block[1] & 0x83); /* a sound scale, and minimum; codes that are not alike */
            block[3] = all[i].codes > 2 && all[i].high != 2 ? 0x20 : block[3];
            block[all[i].codes] = (unsigned char)~block[all[i].codes + 1];
        }
        assert_false(looked(m, 1));
        assert_false(looked(m, 7));
        for (int k = 0; k < blocks; k++) {
            unsigned char *block = m->words + k * all[i].bytes, before[34];
            memcpy(before, block, (size_t)all[i].bytes);
            block[1] = 0x7e;
            assert_true(looked(m, 5));
            assert_int_equal(inspected(m).count[TARE_GROUP_NAN], 1);
            assert_int_equal(inspected(m).first[TARE_GROUP_NAN], k);
            block[0] = block[1] = 0;
            assert_true(looked(m, 5));
            assert_int_equal(inspected(m).first[TARE_GROUP_DEAD], k);
            memcpy(block, before, (size_t)all[i].bytes);
            memset(block + all[i].codes, bits == 8 ? 0 : 0x88, bits == 8 ? 32 : 16);
            assert_true(looked(m, 5));
            memcpy(block, before, (size_t)all[i].bytes);
        }
        free(m);
    }
}

/* Floats are dead when all are +0 or -0. */
static void test_floats(void **state)
{
    unsigned char stream[8 * 32];
    (void)state;
    for (int e4m3 = 0; e4m3 < 2; e4m3++) {
        const enum tare_code_form kind = e4m3 ? TARE_CODE_E4M3 : TARE_CODE_E2M1;
        const int64_t bytes = e4m3 ? 32 : 8;
        memset(stream, 0x11, sizeof stream);
        assert_false(tare_stream_suspect(stream, 8, bytes, e4m3 ? 8 : 4, kind));
        for (int g = 0; g < 8; g++) {
            for (int i = 0; i < bytes; i++)
                stream[g * bytes + i] = (unsigned char)(draw() & (e4m3 ? 0x80 : 0x88));
            assert_true(tare_stream_suspect(stream, 8, bytes, e4m3 ? 8 : 4, kind));
            stream[g * bytes + draw() % bytes] |= 1;
            assert_false(tare_stream_suspect(stream, 8, bytes, e4m3 ? 8 : 4, kind));
        }
    }
    assert_true(tare_stream_suspect(stream, 1, 4, 8, TARE_CODE_E4M3)); /* too short to tell */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_integers), cmocka_unit_test(test_act_order),
                                       cmocka_unit_test(test_blocks), cmocka_unit_test(test_floats)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
