/* SPDX-License-Identifier: MIT
 * test_gguf.c - GGUF: headers that lie, values, names, and every kind of block against gguf-py's own numbers. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fixture.h"
#include "open/gguf/gguf.h"
#include "packing/mlx/to_mlx.h"

/* ---- files written here -------------------------------------------------------------------------------------- */

static void put(struct tare_text *out, uint64_t number, size_t size)
{
    char bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(number >> 8 * i);
    tare_text_add(out, bytes, size);
}

static void put_text(struct tare_text *out, const char *text)
{
    put(out, strlen(text), 8);
    tare_text_puts(out, text);
}

static void put_head(struct tare_text *out, uint64_t tensors, uint64_t pairs)
{
    tare_text_puts(out, "GGUF");
    put(out, 3, 4);
    put(out, tensors, 8);
    put(out, pairs, 8);
}

static void put_pair(struct tare_text *out, const char *key, enum tare_gguf_type type, uint64_t value, size_t size)
{
    put_text(out, key);
    put(out, type, 4);
    put(out, value, size);
}

static void put_tensor(struct tare_text *out, const char *name, uint64_t rank, const uint64_t *axes, uint64_t type,
                       uint64_t offset)
{
    put_text(out, name);
    put(out, rank, 4);
    for (uint64_t k = 0; k < rank && axes; k++)
        put(out, axes[k], 8);
    put(out, type, 4);
    put(out, offset, 8);
}

static void put_zeros(struct tare_text *out, size_t n)
{
    while (n--)
        tare_text_add(out, "", 1);
}

static void pad(struct tare_text *out, size_t alignment)
{
    while (out->size % alignment)
        tare_text_add(out, "", 1);
}

struct parsed {
    struct tare_gguf gguf;
    struct tare_arena arena;
    struct tare_error err;
    enum tare_code code;
};

/* The bytes lie in a block of exactly their size: a sanitizer sees a step beyond. */
static void parse(struct parsed *p, const char *bytes, size_t n)
{
    *p = (struct parsed){.code = TARE_OK};
    unsigned char *data = malloc(n ? n : 1);
    assert_non_null(data);
    if (n)
        memcpy(data, bytes, n);
    const struct tare_gguf_source source = {.file = "x.gguf", .data = data, .size = n};
    p->code = tare_gguf_parse(&p->gguf, &source, &p->arena, &p->err);
    p->gguf.data = data;
}

static void parsed_release(struct parsed *p)
{
    free((void *)(uintptr_t)p->gguf.data);
    tare_gguf_release(&p->gguf);
    tare_arena_release(&p->arena);
}

static void refuse(struct tare_text *out, enum tare_code code, const char *phrase)
{
    struct parsed p;
    parse(&p, out->data, out->size);
    fixture_expect(p.code, &p.err, code, NULL, phrase);
    parsed_release(&p);
    tare_text_release(out);
}

static const uint64_t two_rows[2] = {4, 2};

/* Every type of value, a list of texts, and two tensors. */
static struct tare_text sound(void)
{
    struct tare_text out = {0};
    put_head(&out, 2, 9);
    put_pair(&out, "u8", TARE_GGUF_U8, 200, 1);
    put_pair(&out, "i8", TARE_GGUF_I8, 0xff, 1);
    put_pair(&out, "i16", TARE_GGUF_I16, 0x8000, 2);
    put_pair(&out, "f32", TARE_GGUF_F32, 0x3fc00000, 4);
    put_pair(&out, "u64", TARE_GGUF_U64, UINT64_MAX, 8);
    put_pair(&out, "true", TARE_GGUF_BOOL, 1, 1);
    put_text(&out, "words");
    put(&out, TARE_GGUF_LIST, 4);
    put(&out, TARE_GGUF_TEXT, 4);
    put(&out, 2, 8);
    put_text(&out, "one");
    put_text(&out, "");
    put_text(&out, "same");
    put(&out, TARE_GGUF_LIST, 4);
    put(&out, TARE_GGUF_U16, 4);
    put(&out, 3, 8);
    put(&out, 0x000700070007, 6);
    put_text(&out, "name");
    put(&out, TARE_GGUF_TEXT, 4);
    put_text(&out, "abc");
    put_tensor(&out, "later", 2, two_rows, 0, 32); /* F32, 32 bytes */
    put_tensor(&out, "first", 2, two_rows, 1, 0);  /* F16, 16 bytes */
    pad(&out, 32);
    put_zeros(&out, 64);
    return out;
}

static void test_sound(void **state)
{
    (void)state;
    struct tare_text out = sound();
    struct parsed p;
    int64_t number = 0;
    double real = 0;
    parse(&p, out.data, out.size);
    fixture_expect(p.code, &p.err, TARE_OK, NULL, NULL);
    assert_true(tare_gguf_integer(tare_gguf_find(&p.gguf, "u8"), &number) && number == 200);
    assert_true(tare_gguf_integer(tare_gguf_find(&p.gguf, "i8"), &number) && number == -1);
    assert_true(tare_gguf_integer(tare_gguf_find(&p.gguf, "i16"), &number) && number == -32768);
    assert_true(tare_gguf_integer(tare_gguf_find(&p.gguf, "true"), &number) && number == 1);
    assert_true(tare_gguf_integer(tare_gguf_find(&p.gguf, "same"), &number) && number == 7);
    assert_false(tare_gguf_integer(tare_gguf_find(&p.gguf, "u64"), &number));
    assert_false(tare_gguf_integer(tare_gguf_find(&p.gguf, "f32"), &number));
    assert_false(tare_gguf_integer(tare_gguf_find(&p.gguf, "words"), &number));
    assert_false(tare_gguf_integer(NULL, &number));
    assert_true(tare_gguf_real(tare_gguf_find(&p.gguf, "f32"), &real) && real == 1.5);
    assert_true(tare_gguf_item(tare_gguf_find(&p.gguf, "same"), 2) == 7);
    assert_true(tare_gguf_item(tare_gguf_find(&p.gguf, "same"), 3) != 7);
    assert_string_equal(tare_gguf_word(&p.gguf, &p.arena, "name", ""), "abc");
    assert_string_equal(tare_gguf_word(&p.gguf, &p.arena, "u8", "none"), "none");
    const struct tare_tensor *t = tare_gguf_tensor(&p.gguf, "first");
    assert_non_null(t);
    assert_int_equal(t->shape[0], 2); /* outermost first */
    assert_int_equal(t->shape[1], 4);
    assert_int_equal(t->size, 16);
    assert_int_equal(t->offset, p.gguf.data_start);
    assert_int_equal(tare_gguf_tensor(&p.gguf, "later")->offset, p.gguf.data_start + 32);
    parsed_release(&p);
    tare_text_release(&out);
}

static void test_every_cut(void **state)
{
    (void)state;
    struct tare_text out = sound();
    for (size_t n = 0; n < out.size; n++) {
        struct parsed p;
        parse(&p, out.data, n);
        assert_int_equal(p.code, TARE_E_FORMAT);
        parsed_release(&p);
    }
    tare_text_release(&out);
}

static void test_every_byte(void **state)
{
    (void)state;
    struct tare_text out = sound();
    for (size_t n = 0; n < out.size; n++)
        for (int k = 0; k < 4; k++) {
            static const char values[] = {0, 1, (char)0x80, (char)0xff};
            const char before = out.data[n];
            struct parsed p;
            out.data[n] = values[k];
            parse(&p, out.data, out.size);
            assert_true(p.code == TARE_OK || p.code == TARE_E_FORMAT || p.code == TARE_E_UNKNOWN);
            parsed_release(&p);
            out.data[n] = before;
        }
    tare_text_release(&out);
}

/* A file of one tensor. */
static struct tare_text one(uint64_t rank, const uint64_t *axes, uint64_t type, uint64_t offset, size_t data)
{
    struct tare_text out = {0};
    put_head(&out, 1, 0);
    put_tensor(&out, "t", rank, axes, type, offset);
    pad(&out, 32);
    put_zeros(&out, data);
    return out;
}

static void test_lies(void **state)
{
    (void)state;
    const uint64_t large[4] = {1u << 31, 1u << 31, 1u << 31, 1}, none[2] = {4, 0}, odd[2] = {33, 1};
    struct tare_text out = {0};
    put_head(&out, UINT64_MAX, 0);
    put_zeros(&out, 100);
    refuse(&out, TARE_E_FORMAT, "tensors, which do not fit");
    put_head(&out, 0, UINT64_MAX / 14);
    refuse(&out, TARE_E_FORMAT, "keys, which do not fit");
    put_head(&out, 0, 2);
    put_pair(&out, "a", TARE_GGUF_U8, 1, 1);
    put_pair(&out, "a", TARE_GGUF_U8, 1, 1);
    refuse(&out, TARE_E_FORMAT, "the key \"a\" stands twice");
    put_head(&out, 0, 1);
    put(&out, 3, 8);
    tare_text_add(&out, "a\0b", 3);
    put_zeros(&out, 20);
    refuse(&out, TARE_E_FORMAT, "U+0000");
    put_head(&out, 0, 1);
    put_pair(&out, "a", TARE_GGUF_TYPES, 1, 8);
    refuse(&out, TARE_E_UNKNOWN, "of type 13");
    put_head(&out, 0, 1);
    put_pair(&out, "a", TARE_GGUF_BOOL, 2, 8);
    refuse(&out, TARE_E_FORMAT, "truth value of 2");
    put_head(&out, 0, 1);
    put_pair(&out, "a", TARE_GGUF_LIST, TARE_GGUF_U64, 4);
    put(&out, UINT64_MAX / 4, 8);
    refuse(&out, TARE_E_FORMAT, "a at byte");
    put_head(&out, 0, 1);
    put_pair(&out, "a", TARE_GGUF_LIST, TARE_GGUF_LIST, 4);
    put(&out, 0, 8);
    refuse(&out, TARE_E_UNKNOWN, "list of lists");
    put_head(&out, 0, 1);
    put_pair(&out, "general.alignment", TARE_GGUF_U32, 24, 4);
    refuse(&out, TARE_E_FORMAT, "no power of two");
    out = one(0, NULL, 0, 0, 32);
    refuse(&out, TARE_E_FORMAT, "0 axes");
    out = one(5, NULL, 0, 0, 64);
    refuse(&out, TARE_E_FORMAT, "5 axes");
    out = one(4, large, 0, 0, 32);
    refuse(&out, TARE_E_FORMAT, "does not fit 63 bits");
    out = one(2, none, 0, 0, 32);
    refuse(&out, TARE_E_FORMAT, "an axis of 0");
    out = one(2, odd, 2, 0, 64);
    refuse(&out, TARE_E_FORMAT, "Q4_0 has them in blocks of 32");
    out = one(2, two_rows, 99, 0, 32);
    refuse(&out, TARE_E_UNKNOWN, "ggml's type 99");
    out = one(2, two_rows, 0, 1, 64);
    refuse(&out, TARE_E_FORMAT, "not aligned");
    out = one(2, two_rows, 0, 32, 64);
    refuse(&out, TARE_E_FORMAT, "leave a hole");
    out = one(2, two_rows, 0, 0, 31);
    refuse(&out, TARE_E_FORMAT, "cut short");
    out = one(2, two_rows, 0, 0, 64);
    refuse(&out, TARE_E_FORMAT, "32 bytes after the last tensor");
    put_head(&out, 2, 0);
    put_tensor(&out, "t", 2, two_rows, 0, 0);
    put_tensor(&out, "t", 2, two_rows, 0, 32);
    pad(&out, 32);
    put_zeros(&out, 64);
    refuse(&out, TARE_E_FORMAT, "the tensor \"t\" stands twice");
}

static void test_names(void **state)
{
    (void)state;
    static const char *const pairs[][3] = {
        {"llama", "token_embd.weight", "model.embed_tokens.weight"},
        {"llama", "output.weight", "lm_head.weight"},
        {"llama", "blk.12.attn_q.bias", "model.layers.12.self_attn.q_proj.bias"},
        {"llama", "blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight"},
        {"gemma3", "blk.0.ffn_norm.weight", "model.layers.0.pre_feedforward_layernorm.weight"},
        {"gemma3", "blk.0.attn_q_norm.weight", "model.layers.0.self_attn.q_norm.weight"},
        {"phi3", "blk.0.ffn_up.weight", "model.layers.0.mlp.gate_up_proj.weight"},
        {"llama", "blk.0.ffn_gate_exps.weight", "model.layers.0.block_sparse_moe.switch_mlp.gate_proj.weight"},
        {"llama", "blk.3.ffn_gate.7.weight", "model.layers.3.block_sparse_moe.experts.7.w1.weight"},
        {"qwen3moe", "blk.3.ffn_down_exps.weight", "model.layers.3.mlp.switch_mlp.down_proj.weight"},
        {"llama", "blk.x.attn_q.weight", "blk.x.attn_q.weight"},
        {"llama", "blk.0.weight", "blk.0.weight"},
        {"llama", "blk.0..weight", "blk.0..weight"},
        {"llama", "rope_freqs.weight", "rope_freqs.weight"},
        {"llama", ".weight", ".weight"},
        {"llama", "x", "x"},
    };
    struct tare_arena arena = {0};
    for (size_t i = 0; i < FIXTURE_COUNT(pairs); i++)
        assert_string_equal(tare_gguf_name(pairs[i][0], pairs[i][1], &arena), pairs[i][2]);
    tare_arena_release(&arena);
}

/* ---- blocks ---------------------------------------------------------------------------------------------------- */

/* What MLX makes of its affine layout: the same numbers, in float32. */
static void same_in_mlx(const struct tare_module *m, const void *const *part, const float *want)
{
    const int64_t rows = tare_module_rows(m), in = tare_module_columns(m), groups = tare_module_groups(m);
    struct tare_arena work = {0};
    uint8_t *code = malloc((size_t)(rows * in));
    char *bytes = calloc(3, (size_t)(rows * in * 4));
    const struct tare_mlx_rows to = {bytes, bytes + rows * in * 4, bytes + rows * in * 8};
    assert_true(code && tare_neutral_to_mlx(m, part, 0, rows, m->dtype, &to, &work));
    tare_mlx_unpack(to.weight, m->bits, rows * in, code);
    for (int64_t i = 0; i < rows * in; i++) {
        const int64_t g = i / in * groups + i % in / m->group_size;
        const float product = tare_float_at(to.scales, m->dtype, g) * (float)code[i];
        assert_true(product + tare_float_at(to.biases, m->dtype, g) == want[i]);
    }
    free(code);
    free(bytes);
    tare_arena_release(&work);
}

/* Bit for bit; but ggml has no negative zero in MXFP4. */
static void expect_floats(const struct tare_module *m, const float *got, const float *want)
{
    const size_t n = (size_t)(tare_module_rows(m) * tare_module_columns(m));
    for (size_t i = 0; i < n; i++)
        assert_true(!memcmp(&got[i], &want[i], sizeof *got) ||
                    (m->packing == &tare_packing_gguf_mxfp4 && got[i] == 0 && want[i] == 0));
}

static void check_blocks(const struct tare_gguf *gguf, const struct tare_tensor *t, const float *want)
{
    struct tare_arena work = {0};
    struct tare_error err = {0};
    struct tare_module m = {.name = t->name, .packing = tare_packing_of_blocks(t->dtype)};
    const void *part[TARE_PARTS] = {gguf->data + t->offset};
    assert_non_null(m.packing);
    m.part[TARE_PART_WEIGHT] = t;
    m.packing->shape(&m, NULL, &work);
    const int64_t rows = tare_module_rows(&m), in = tare_module_columns(&m);
    float *got = malloc((size_t)(rows * in) * sizeof *got);
    assert_non_null(got);
    for (int64_t row = 0; row < rows; row++) /* one row at a time, and all at once */
        assert_int_equal(tare_module_floats(&m, part, row, 1, got + row * in, &work, &err), TARE_OK);
    expect_floats(&m, got, want);
    assert_int_equal(tare_module_floats(&m, part, 0, rows, got, &work, &err), TARE_OK);
    expect_floats(&m, got, want);
    if (m.packing->mode == TARE_MLX_AFFINE && m.group_size == 32)
        same_in_mlx(&m, part, want);
    free(got);
    tare_arena_release(&work);
}

/* Random blocks of each kind, and what gguf-py dequantizes: tests/oracle/gguf_blocks.py. */
static void test_blocks(void **state)
{
    (void)state;
    size_t n = 0, n_floats = 0, at = 0;
    char *bytes = fixture_read(TARE_TEST_DATA "/gguf/blocks.gguf", &n);
    char *floats = fixture_read(TARE_TEST_DATA "/gguf/blocks.f32", &n_floats);
    struct parsed p;
    parse(&p, bytes, n);
    fixture_expect(p.code, &p.err, TARE_OK, NULL, NULL);
    assert_int_equal(p.gguf.n_tensors, TARE_DTYPE_END - TARE_DTYPE_COUNT);
    for (size_t i = 0; i < p.gguf.n_tensors; i++) {
        const struct tare_tensor *t = &p.gguf.tensors[i];
        check_blocks(&p.gguf, t, (const float *)(const void *)(floats + at));
        at += (size_t)tare_shape_count(t->rank, t->shape) * sizeof(float);
    }
    assert_int_equal(at, n_floats);
    parsed_release(&p);
    free(bytes);
    free(floats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound), cmocka_unit_test(test_every_cut), cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_lies),  cmocka_unit_test(test_names),     cmocka_unit_test(test_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
