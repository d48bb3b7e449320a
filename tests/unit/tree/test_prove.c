/* SPDX-License-Identifier: MIT
 * test_prove.c - is a head its embedding? Half a step, clipped codes, dense sides, NaN. Real layouts' decoding is
 * tested elsewhere: here a packing decodes from plain arrays. */
#include "tree/prove.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/half.h"
#include "fixture.h"

#define COLUMNS 8

/* Codes, scales and offsets of the fake packing lie in the parts' bytes: 4 bits, groups of 4, one byte a code. */
struct fake {
    uint8_t code[COLUMNS];
    float scale[2], offset[2];
};

static void fake_decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                        struct tare_codes *codes)
{
    (void)module;
    for (int64_t r = 0; r < rows; r++) {
        const struct fake *f = (const struct fake *)part[TARE_PART_WEIGHT] + row + r;
        memcpy(codes->code + r * COLUMNS, f->code, sizeof f->code);
        memcpy(codes->scale + r * 2, f->scale, sizeof f->scale);
        memcpy(codes->offset + r * 2, f->offset, sizeof f->offset);
    }
}
static const struct tare_packing fake_packing = {.name = "fake", .suffix = {".codes"}, .decode = fake_decode};

struct side {
    const void *data;
    const char *dtype;  /* "U8": struct fake */
    enum tare_dtype as; /* the module's dtype */
};

static struct tare_module module_of(struct tare_checkpoint *c, const char *name, const struct side *side,
                                    const int64_t *shape)
{
    const bool packed = !strcmp(side->dtype, "U8");
    struct tare_module m = {.name = name,
                            .packing = packed ? &fake_packing : &tare_packing_plain,
                            .packed = packed,
                            .rank = 2,
                            .shape = shape,
                            .dtype = side->as,
                            .bits = packed ? 4 : 0,
                            .group_size = packed ? 4 : 0};
    m.part[TARE_PART_WEIGHT] = tare_checkpoint_find(c, name);
    assert_non_null(m.part[TARE_PART_WEIGHT]);
    return m;
}

/* The proof of a head of `rows` rows; *difference is to be freed with the arena. */
static enum tare_proof prove(const struct side *head, const struct side *embedding, int64_t rows, char *difference)
{
    char *folder = fixture_begin();
    struct fixture_tensor tensors[] = {{"h", head->dtype, 2, {rows, COLUMNS}, head->data},
                                       {"e", embedding->dtype, 2, {rows, COLUMNS}, embedding->data}};
    if (!strcmp(head->dtype, "U8"))
        tensors[0].shape[1] = sizeof(struct fake);
    if (!strcmp(embedding->dtype, "U8"))
        tensors[1].shape[1] = sizeof(struct fake);
    fixture_safetensors(folder, "model.safetensors", tensors, 2);
    struct fixture_opened *o = fixture_open(folder);
    assert_int_equal(o->code, TARE_OK);
    const int64_t shape[] = {rows, COLUMNS};
    const struct tare_module h = module_of(&o->checkpoint, "h", head, shape),
                             e = module_of(&o->checkpoint, "e", embedding, shape);
    struct tare_arena arena = {0};
    struct tare_pool *pool = NULL;
    struct tare_error err = {0};
    enum tare_proof proof = TARE_PROOF_NONE;
    const char *text = NULL;
    assert_int_equal(tare_pool_open(&pool, 2, &err), TARE_OK);
    fixture_expect(tare_head_prove(&o->checkpoint, &h, &e, pool, &arena, &proof, &text, &err), &err, TARE_OK, NULL,
                   NULL);
    assert_true((proof == TARE_PROOF_DIFFERS) == (text != NULL));
    if (difference)
        snprintf(difference, 200, "%s", text ? text : "");
    tare_pool_free(pool);
    tare_arena_release(&arena);
    fixture_close(o);
    fixture_end(folder);
    return proof;
}

static void expect_f32(const struct fake *head, const float *embedding, enum tare_proof want)
{
    assert_int_equal(prove(&(struct side){head, "U8", TARE_F16}, &(struct side){embedding, "F32", TARE_F32}, 1, NULL),
                     want);
}

/* value = scale * (code - offset): codes 1 .. 8, scale 0.5, offset 4. */
static const struct fake middle = {{1, 2, 3, 4, 5, 6, 7, 8}, {0.5f, 0.5f}, {4, 4}};

static void values_of(const struct fake *f, float *values)
{
    for (int i = 0; i < COLUMNS; i++)
        values[i] = f->scale[i / 4] * ((float)f->code[i] - f->offset[i / 4]);
}

static void half_a_step(void **state)
{
    (void)state;
    for (int i = 0; i < COLUMNS; i++)
        for (int sign = -1; sign <= 1; sign += 2) {
            float e[COLUMNS];
            values_of(&middle, e);
            expect_f32(&middle, e, TARE_PROOF_EQUAL);
            e[i] += (float)sign * 0.25f;
            expect_f32(&middle, e, TARE_PROOF_EQUAL);
            e[i] += (float)sign * 0.02f;
            expect_f32(&middle, e, TARE_PROOF_DIFFERS);
        }
}

/* A code at an end of its range stands for all beyond it, on its own side only; a negative scale turns the sides round.
 */
static void clipped(void **state)
{
    (void)state;
    for (int negative = 0; negative < 2; negative++)
        for (int top = 0; top < 2; top++) {
            struct fake f = middle;
            float e[COLUMNS];
            f.code[5] = top ? 15 : 0;
            if (negative)
                f.scale[1] = -0.5f;
            values_of(&f, e);
            const float value = e[5], out = (top != 0) == (negative == 0) ? 1.0f : -1.0f;
            e[5] = value + out * 100;
            expect_f32(&f, e, TARE_PROOF_EQUAL);
            e[5] = value - out * 0.25f;
            expect_f32(&f, e, TARE_PROOF_EQUAL);
            e[5] = value - out * 0.3f;
            expect_f32(&f, e, TARE_PROOF_DIFFERS);
            f.code[5] = top ? 14 : 1; /* not at the end */
            values_of(&f, e);
            e[5] += out * 0.3f;
            expect_f32(&f, e, TARE_PROOF_DIFFERS);
        }
}

/* A scale of 0 has no range to be clipped to: its group is its offset, or 0, and nothing else. */
static void scale_of_zero(void **state)
{
    (void)state;
    for (int top = 0; top < 2; top++) {
        struct fake f = middle;
        float e[COLUMNS];
        f.scale[1] = 0;
        f.code[5] = top ? 15 : 0;
        values_of(&f, e);
        expect_f32(&f, e, TARE_PROOF_EQUAL);
        for (int sign = -1; sign <= 1; sign += 2) {
            e[5] = (float)sign * 3;
            expect_f32(&f, e, TARE_PROOF_DIFFERS);
        }
    }
}

static void both_packed(void **state)
{
    (void)state;
    const struct side head = {&middle, "U8", TARE_F16};
    struct fake e = middle;
    assert_int_equal(prove(&head, &(struct side){&e, "U8", TARE_F16}, 1, NULL), TARE_PROOF_EQUAL);
    e.code[2] = 4; /* one step further: half of either reaches */
    assert_int_equal(prove(&head, &(struct side){&e, "U8", TARE_F16}, 1, NULL), TARE_PROOF_EQUAL);
    e.code[2] = 5;
    assert_int_equal(prove(&head, &(struct side){&e, "U8", TARE_F16}, 1, NULL), TARE_PROOF_DIFFERS);
}

static void dense(void **state)
{
    (void)state;
    float h[COLUMNS] = {1, -2, 3, 1e-8f, 0, 1000, 7, 0.1f}, e[COLUMNS];
    const struct side head = {h, "F32", TARE_F32}, embedding = {e, "F32", TARE_F32};
    memcpy(e, h, sizeof e);
    assert_int_equal(prove(&head, &embedding, 1, NULL), TARE_PROOF_EQUAL);
    e[2] = nextafterf(3, 4); /* of one dtype: nothing was rounded */
    assert_int_equal(prove(&head, &embedding, 1, NULL), TARE_PROOF_DIFFERS);
    h[2] = e[2] = INFINITY;
    assert_int_equal(prove(&head, &embedding, 1, NULL), TARE_PROOF_EQUAL);
    h[2] = e[2] = NAN;
    assert_int_equal(prove(&head, &embedding, 1, NULL), TARE_PROOF_DIFFERS);
}

/* Unlike dtypes: as far apart as the coarser one rounds, subnormal ones too. */
static void rounded(void **state)
{
    (void)state;
    float e[COLUMNS] = {1.0003f, -2, 3, 1e-8f, 0, 1000.2f, 6e-6f, 0.1f};
    uint16_t h[COLUMNS];
    const struct side head = {h, "F16", TARE_F16}, embedding = {e, "F32", TARE_F32};
    for (int i = 0; i < COLUMNS; i++)
        h[i] = tare_to_float16(e[i]);
    assert_int_equal(prove(&head, &embedding, 1, NULL), TARE_PROOF_EQUAL);
    for (int i = 0; i < COLUMNS; i++) {
        const uint16_t before = h[i];
        h[i] = (uint16_t)(h[i] + 2); /* two units further out */
        assert_int_equal(prove(&head, &embedding, 1, NULL), TARE_PROOF_DIFFERS);
        h[i] = before;
    }
}

static void not_a_number(void **state)
{
    (void)state;
    struct fake f = middle;
    float e[COLUMNS];
    for (int code = 0; code <= 15; code += 5) {
        f = middle;
        f.code[0] = (uint8_t)code;
        values_of(&f, e);
        e[0] = NAN;
        expect_f32(&f, e, TARE_PROOF_DIFFERS);
        values_of(&f, e);
        f.scale[0] = NAN;
        expect_f32(&f, e, TARE_PROOF_DIFFERS);
    }
}

/* More than a tile of rows; the first difference is named, whichever thread found it. */
static void tiles(void **state)
{
    (void)state;
    static float h[300][COLUMNS], e[300][COLUMNS];
    char text[200];
    for (int r = 0; r < 300; r++)
        for (int i = 0; i < COLUMNS; i++)
            h[r][i] = e[r][i] = (float)(r * COLUMNS + i);
    const struct side head = {h, "F32", TARE_F32}, embedding = {e, "F32", TARE_F32};
    assert_int_equal(prove(&head, &embedding, 300, text), TARE_PROOF_EQUAL);
    e[299][7] = -1;
    assert_int_equal(prove(&head, &embedding, 300, text), TARE_PROOF_DIFFERS);
    assert_non_null(strstr(text, "row 299, column 7: 2399 in the head, -1 in the embedding"));
    e[128][0] = -2;
    assert_int_equal(prove(&head, &embedding, 300, text), TARE_PROOF_DIFFERS);
    assert_non_null(strstr(text, "row 128, column 0"));
    e[127][7] = -3;
    assert_int_equal(prove(&head, &embedding, 300, text), TARE_PROOF_DIFFERS);
    assert_non_null(strstr(text, "row 127, column 7"));
    assert_int_equal(prove(&head, &embedding, 0, text), TARE_PROOF_EQUAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_a_step),  cmocka_unit_test(clipped), cmocka_unit_test(scale_of_zero),
        cmocka_unit_test(both_packed),  cmocka_unit_test(dense),   cmocka_unit_test(rounded),
        cmocka_unit_test(not_a_number), cmocka_unit_test(tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
