/* SPDX-License-Identifier: MIT
 * test_producers.c - packings whose tensors say how they are stored, as bitsandbytes, hqq, torchao, quanto, modelopt and
 * llmcompressor wrote them: values by the sha256 of what the producers read (tools/packing_producers.py). */
#include "audit/compare.h"
#include "base/hash.h"
#include "packed.h"

static void expect_digest(struct packed *p, const struct tare_module *m)
{
    const struct tare_tensor *truth = tare_checkpoint_find(&p->checkpoint, "sha256");
    const int64_t n = tare_shape_count(m->rank, m->shape);
    const void *want;
    char got[TARE_HASH_ROOM];
    float *made = packed_values(p, m);
    struct tare_hashes *hashes = tare_hashes_open();
    assert_non_null(truth);
    assert_non_null(hashes);
    assert_int_equal(tare_tensor_data(&p->checkpoint, truth, &want, NULL), TARE_OK);
    for (int64_t k = 0; k < n; k++)
        made[k] += 0.0f; /* -0 as 0 */
    struct tare_hash *hash = tare_hash_begin(hashes, TARE_HASH_SHA256);
    assert_true(hash && tare_hash_add(hash, made, (size_t)n * sizeof *made) && tare_hash_end(hash, got));
    if (memcmp(got, want, 64) != 0)
        fail_msg("%s: %.64s, want %.64s", m->name, got, (const char *)want);
    tare_hash_free(hash);
    tare_hashes_free(hashes);
    free(made);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const struct tare_packing *packing;
        int64_t out, in, group;
    } cases[] = {{"bnb-nf4-dq-bf16-smol", &tare_packing_bnb_nf4, 64, 128, 64},
                 {"bnb-nf4-dq-straddle-llama96", &tare_packing_bnb_nf4, 96, 96, 32},
                 {"bnb-nf4-dq-bs128-llama96", &tare_packing_bnb_nf4, 96, 96, 32},
                 {"bnb-nf4-dq-storebf16-qwen2", &tare_packing_bnb_nf4, 64, 128, 64},
                 {"bnb-nf4-f16-qwen2", &tare_packing_bnb_nf4, 64, 128, 64},
                 {"bnb-fp4-dq-f16-qwen2", &tare_packing_bnb_fp4, 64, 128, 64},
                 {"bnb-int8-bf16-llama96", &tare_packing_bnb_int8, 96, 96, 96},
                 {"hqq-b3-g32-ax1-llama96t", &tare_packing_hqq, 32, 96, 32},
                 {"hqq-b4-g64-ax1-llama96t", &tare_packing_hqq, 32, 96, 32},
                 {"hqq-b8-g96-ax0-llama96t", &tare_packing_hqq, 32, 96, 1},
                 {"hqq-lib-b4-g64-ax1-llama96", &tare_packing_hqq, 96, 96, 32},
                 {"ao-int8wo-llama96t", &tare_packing_torchao_int8, 32, 96, 96},
                 {"ao-int8dyn-int4w-g32-llama96", &tare_packing_torchao_int8, 96, 96, 32},
                 {"ao-fp8wo-qwen2", &tare_packing_torchao_float8, 64, 128, 128},
                 {"ao-int4-plain-g64-smol", &tare_packing_torchao_int4, 64, 128, 64},
                 {"ao-nvfp4wo-llama96", &tare_packing_torchao_nvfp4, 96, 96, 16},
                 {"quanto-int8-llama96t", &tare_packing_quanto_int8, 32, 96, 96},
                 {"ct012-sparse24-bitmask-llama96", &tare_packing_sparse_values, 96, 96, 96},
                 {"ct012-sparse24-fp8dyn-llama96", &tare_packing_sparse_fp8, 96, 96, 96},
                 {"modelopt-fp8-llama96", &tare_packing_fp8_weight, 96, 96, 96}};
    for (size_t k = 0; k < FIXTURE_COUNT(cases); k++) {
        struct packed *p = packed_open(cases[k].file, NULL);
        const struct tare_module *m = packed_find(p, "m.weight");
        packed_expect(m, cases[k].packing, cases[k].out, cases[k].in, 0);
        assert_int_equal(m->group_size, cases[k].group);
        expect_digest(p, m);
        for (size_t i = 0; i < p->weights.n; i++) /* what says how it is stored is no parameter */
            if (strcmp(p->weights.entries[i].name, "m.weight") && strcmp(p->weights.entries[i].name, "sha256"))
                assert_non_null(p->weights.entries[i].rule);
        packed_close(p);
    }
}

/* ---- bitsandbytes: what is malformed ------------------------------------------------------------------------------- */

#define STATE "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", \"shape\": [4, 64]"
#define NESTED ", \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": 0.5}"

/* A module of (4, 64) in blocks of 64 with this quant_state. */
static void refused_state(const char *state, bool nested, const char *where, enum tare_code code, const char *phrase)
{
    const struct fixture_tensor tensors[] = {
        {"m.weight", "U8", 2, {128, 1}, NULL},
        {"m.weight.absmax", nested ? "U8" : "F32", 1, {4}, NULL},
        {"m.weight.quant_map", "F32", 1, {16}, NULL},
        {"m.weight.quant_state.bitsandbytes__nf4", "U8", 1, {(int64_t)strlen(state)}, state},
        {"m.weight.nested_absmax", "F32", 1, {1}, NULL},
        {"m.weight.nested_quant_map", "F32", 1, {256}, NULL}};
    packed_refused(tensors, nested ? 6 : 4, NULL, code, where, phrase);
}

static void test_states(void **state)
{
    (void)state;
    static const char *const at = "m.weight.quant_state.bitsandbytes__nf4";
    static const struct {
        const char *state, *phrase;
        bool nested;
    } cases[] = {
        {"{", "no JSON", false},
        {"[]", "must be a JSON object", false},
        {"{\"quant_type\": \"fp4\"}", "quant_type is fp4, its name says nf4", false},
        {"{}", "quant_type is missing", false},
        {"{\"quant_type\": \"nf4\"}", "blocksize must be", false},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 0}", "blocksize must be", false},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64.0}", "blocksize must be", false},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64}", "dtype is missing", false},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"int8\"}", "dtype is int8", false},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": 4}", "shape must be", false},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [4]}", "shape must be",
         false},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [4, -64]}", "shape must be",
         false},
        {STATE "}", "nested_blocksize must be", true},
        {STATE ", \"nested_blocksize\": 256}", "a number as nested_offset", true},
        {STATE ", \"nested_blocksize\": 256, \"nested_offset\": \"0\"}", "a number as nested_offset", true},
        {STATE ", \"nested_blocksize\": 256, \"nested_offset\": 0.5, \"nested_dtype\": \"int8\"}", "nested_dtype must",
         true},
    };
    for (size_t k = 0; k < FIXTURE_COUNT(cases); k++)
        refused_state(cases[k].state, cases[k].nested, at, TARE_E_FORMAT, cases[k].phrase);
    refused_state(STATE NESTED, false, "m.weight.absmax", TARE_E_FORMAT, "absmax is F32");
    refused_state("{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [4, 66]}", false,
                  "m.weight", TARE_E_SHAPE, "has 128 bytes, the quant_state's shape [4, 66] needs 132");
    refused_state("{\"quant_type\": \"nf4\", \"blocksize\": 32, \"dtype\": \"float16\", \"shape\": [4, 64]}", false,
                  "m.weight.absmax", TARE_E_SHAPE, "needs 8 numbers");
}

/* Tensors that are missing or of another size. */
static void test_beside(void **state)
{
    (void)state;
    static const char whole[] = STATE NESTED;
    struct fixture_tensor t[] = {
        {"m.weight", "BF16", 2, {64, 1}, NULL},
        {"m.weight.absmax", "U8", 1, {4}, NULL},
        {"m.weight.quant_map", "F32", 1, {16}, NULL},
        {"m.weight.nested_quant_map", "F32", 1, {256}, NULL},
        {"m.weight.nested_absmax", "F32", 1, {1}, NULL},
        {"m.weight.quant_state.bitsandbytes__nf4", "U8", 1, {sizeof whole - 1}, whole},
        {"m.weight.quant_state.bitsandbytes__fp4", "U8", 1, {sizeof whole - 1}, whole},
    };
    struct packed *p = packed_made(t, 6, NULL);
    packed_expect(packed_find(p, "m.weight"), &tare_packing_bnb_nf4, 4, 64, 0);
    packed_close(p);
    packed_refused(t, 7, NULL, TARE_E_FORMAT, t[6].name, "a quant_state of nf4 as well");
    packed_refused(t, 5, NULL, TARE_E_STRICT, t[1].name, "quant_state.bitsandbytes__nf4 (or __fp4) is missing");
    t[2].shape[0] = 15;
    packed_refused(t, 6, NULL, TARE_E_SHAPE, t[2].name, "16 numbers of F32");
    t[2].shape[0] = 16;
    t[4].dtype = "F16";
    packed_refused(t, 6, NULL, TARE_E_SHAPE, t[4].name, "1 numbers of F32");
    t[4] = t[5];
    packed_refused(t, 5, NULL, TARE_E_STRICT, t[1].name, "m.weight.nested_absmax is missing");
    const struct tare_quant quant = {.method = TARE_METHOD_BITSANDBYTES};
    packed_refused(t + 1, 4, &quant, TARE_E_STRICT, t[1].name, "m.weight is missing");
    const uint8_t tiles = 3;
    const struct fixture_tensor int8[] = {{"m.weight", "I8", 2, {4, 64}, NULL},
                                          {"m.SCB", "F32", 1, {4}, NULL},
                                          {"m.weight_format", "U8", 0, {0}, &tiles}};
    packed_refused(int8, 3, NULL, TARE_E_UNKNOWN, "m.weight_format", "the order of one GPU's kernel");
}

/* Two modules with the same weight and absmax, but unlike scales of scales: `diff` must not take them for the same bytes. */
static void test_alike(void **state)
{
    (void)state;
    static const char whole[] = STATE NESTED;
    static const float scale[2] = {1, 2};
    struct packed *p[3];
    struct tare_readable view[3];
    struct tare_arena arena = {0};
    for (int k = 0; k < 3; k++) {
        const struct fixture_tensor tensors[] = {
            {"m.weight", "U8", 2, {128, 1}, NULL},
            {"m.weight.absmax", "U8", 1, {4}, NULL},
            {"m.weight.quant_map", "F32", 1, {16}, NULL},
            {"m.weight.nested_quant_map", "F32", 1, {256}, NULL},
            {"m.weight.nested_absmax", "F32", 1, {1}, &scale[k / 2]},
            {"m.weight.quant_state.bitsandbytes__nf4", "U8", 1, {sizeof whole - 1}, whole}};
        p[k] = packed_made(tensors, FIXTURE_COUNT(tensors), NULL);
        const struct tare_recipe *recipe = tare_recipe_take(&arena, packed_find(p[k], "m.weight"));
        struct tare_error err = {0};
        assert_int_equal(tare_readable_make(&view[k], &p[k]->checkpoint, recipe, "m.weight", &arena, &err), TARE_OK);
        assert_true(view[k].codes); /* of a table */
    }
    assert_true(tare_views_alike(&view[0], &view[1]));
    assert_false(tare_views_alike(&view[0], &view[2]));
    for (int k = 0; k < 3; k++)
        packed_close(p[k]);
    tare_arena_release(&arena);
}

/* ---- by their formulas ----------------------------------------------------------------------------------------------- */

enum { OUT = 8, IN = 16 };

static float *values_of(const struct fixture_tensor *tensors, size_t n, const struct tare_packing *packing,
                        const struct tare_quant *quant)
{
    struct packed *p = packed_made(tensors, n, quant);
    const struct tare_module *m = packed_find(p, "m.weight");
    packed_expect(m, packing, OUT, IN, 0);
    float *made = packed_values(p, m);
    packed_close(p);
    return made;
}

static void fill(uint8_t *bytes, size_t n)
{
    for (size_t k = 0; k < n; k++)
        bytes[k] = (uint8_t)(37 * k + k / 7);
}

/* quanto's 4 and 2 bits: parts of the rows, from the lowest bits. */
static void test_quanto(void **state)
{
    (void)state;
    uint8_t bytes[OUT / 2 * IN];
    float scale[OUT], shift[OUT];
    fill(bytes, sizeof bytes);
    for (int r = 0; r < OUT; r++) {
        scale[r] = 0.3f + 0.01f * (float)r;
        shift[r] = 1.7f - 0.1f * (float)r;
    }
    for (int bits = 4; bits; bits -= 2) {
        const int stored = OUT * bits / 8;
        const struct fixture_tensor tensors[] = {{"m.weight._data._data", "U8", 2, {stored, IN}, bytes},
                                                 {"m.weight._scale", "F32", 2, {OUT, 1}, scale},
                                                 {"m.weight._shift", "F32", 2, {OUT, 1}, shift}};
        float *made = values_of(tensors, 3, &tare_packing_quanto_bits, NULL);
        for (int r = 0; r < OUT; r++)
            for (int i = 0; i < IN; i++) {
                const int q = bytes[r % stored * IN + i] >> r / stored * bits & ((1 << bits) - 1);
                const float product = (float)q * scale[r];
                assert_true(made[r * IN + i] == product - shift[r]);
            }
        free(made);
    }
}

/* ModelOpt's W4A16_AWQ: rows two to a byte, and a number for each column that multiplies after all. */
static void test_modelopt_int4(void **state)
{
    (void)state;
    const struct tare_quant quant = {.method = TARE_METHOD_MODELOPT, .group_size = 8};
    uint8_t bytes[OUT / 2 * IN];
    float scale[OUT * 2], columns[IN];
    fill(bytes, sizeof bytes);
    for (int k = 0; k < OUT * 2; k++)
        scale[k] = 0.3f + 0.01f * (float)k;
    for (int i = 0; i < IN; i++)
        columns[i] = 0.7f + 0.1f * (float)i;
    const struct fixture_tensor tensors[] = {{"m.weight", "U8", 2, {OUT / 2, IN}, bytes},
                                             {"m.weight_scale", "F32", 2, {OUT, 2}, scale},
                                             {"m.pre_quant_scale", "F32", 1, {IN}, columns}};
    for (size_t n = 2; n <= 3; n++) {
        float *made = values_of(tensors, n, n == 2 ? &tare_packing_int4_rows : &tare_packing_prescaled, &quant);
        for (int r = 0; r < OUT; r++)
            for (int i = 0; i < IN; i++) {
                const int nibble = bytes[r / 2 * IN + i] >> 4 * (r & 1) & 15;
                const float product = (float)(nibble < 8 ? nibble : nibble - 16) * scale[2 * r + i / 8];
                assert_true(made[r * IN + i] == (n == 2 ? product : product * columns[i]));
            }
        free(made);
    }
    struct fixture_tensor wrong[3];
    memcpy(wrong, tensors, sizeof wrong);
    wrong[2].shape[0] = IN - 1;
    packed_refused(wrong, 3, &quant, TARE_E_SHAPE, "m.pre_quant_scale", "16 floats are needed");
}

/* One scale a row as (out), also where the weight is square, and blocks as (out / b, 1, in / b, 1). */
static void test_modelopt_fp8(void **state)
{
    (void)state;
    const struct tare_quant quant = {.method = TARE_METHOD_MODELOPT};
    uint8_t bytes[OUT * OUT], blocks[256 * 256];
    float scale[OUT], four[4] = {1, 2, 4, 8};
    fill(bytes, sizeof bytes);
    memset(blocks, 0x38, sizeof blocks); /* 1 in e4m3 */
    for (int r = 0; r < OUT; r++)
        scale[r] = (float)(1 << r);
    for (size_t k = 0; k < sizeof bytes; k++)
        bytes[k] = 0x38;
    const struct fixture_tensor square[] = {{"m.weight", "F8_E4M3", 2, {OUT, OUT}, bytes},
                                            {"m.weight_scale", "F32", 1, {OUT}, scale}};
    const struct fixture_tensor tiles[] = {{"m.weight", "F8_E4M3", 2, {256, 256}, blocks},
                                           {"m.weight_scale", "F32", 4, {2, 1, 2, 1}, four}};
    struct packed *p = packed_made(square, 2, &quant);
    float *made = packed_values(p, packed_find(p, "m.weight"));
    for (int k = 0; k < OUT * OUT; k++)
        assert_true(made[k] == scale[k / OUT]);
    free(made);
    packed_close(p);
    p = packed_made(tiles, 2, &quant);
    packed_expect(packed_find(p, "m.weight"), &tare_packing_fp8_weight, 256, 256, 0);
    made = packed_values(p, packed_find(p, "m.weight"));
    for (int k = 0; k < 256 * 256; k++)
        assert_true(made[k] == four[k / 256 / 128 * 2 + k % 256 / 128]);
    free(made);
    packed_close(p);
}

/* hqq's 2 and 1 bits along both axes. */
static void test_hqq(void **state)
{
    (void)state;
    static const int64_t shape[2] = {OUT, IN};
    uint8_t bytes[OUT * IN];
    float scale[OUT * IN], zero[OUT * IN];
    fill(bytes, sizeof bytes);
    for (int k = 0; k < OUT * IN; k++) {
        scale[k] = 0.3f + 0.01f * (float)k;
        zero[k] = 1.7f - 0.1f * (float)k;
    }
    for (int run = 0; run < 4; run++) {
        const int bits = run & 1 ? 1 : 2, parts = 8 / bits, n = 16; /* scales */
        const int32_t axis = run >> 1, wide = bits;
        const int columns = axis ? OUT * IN / n : n, step = OUT * IN / columns / parts;
        const struct fixture_tensor tensors[] = {
            {"m.W_q", "U8", 2, {step, columns}, bytes}, {"m.scale", "F32", 2, {n, 1}, scale},
            {"m.zero", "F32", 2, {n, 1}, zero},         {"m.shape", "I64", 1, {2}, shape},
            {"m.axis", "I32", 0, {0}, &axis},           {"m.nbits", "I32", 0, {0}, &wide}};
        float *made = values_of(tensors, 6, &tare_packing_hqq, NULL);
        for (int e = 0; e < OUT * IN; e++) {
            const int r = e / columns, c = e % columns, at = axis ? r : c;
            const int q = bytes[r % step * columns + c] >> (8 - bits * (r / step + 1)) & ((1 << bits) - 1);
            assert_true(made[e] == ((float)q - zero[at]) * scale[at]);
        }
        free(made);
    }
    const uint8_t yes = 1;
    const struct fixture_tensor twice[] = {
        {"m.W_q", "U8", 2, {4, IN}, bytes},    {"m.scale", "U8", 2, {16, 1}, NULL},
        {"m.zero", "F32", 2, {16, 1}, zero},   {"m.shape", "I64", 1, {2}, shape},
        {"m.quant_scale", "U8", 0, {0}, &yes}, {"m.packing", "U8", 1, {7}, "4bit_u8"}};
    packed_refused(twice, 6, NULL, TARE_E_UNKNOWN, "m.scale", "quantized once more");
    packed_refused(twice, 2, NULL, TARE_E_STRICT, "m.W_q", "zero is missing");
}

/* sparse-bitmask: any number of values a row. Bits that contradict the number of values are found before decoding. */
static void test_bitmask(void **state)
{
    (void)state;
    static const int64_t shape[2] = {2, 10}, offsets[2] = {0, 3};
    static const float kept[5] = {1, 2, 3, 4, 5};
    static const float want[20] = {1, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0, 5, 0};
    uint8_t mask[4] = {0x81, 2, 2, 1};
    const struct fixture_tensor tensors[] = {{"m.compressed", "F32", 1, {5}, kept},
                                             {"m.bitmask", "U8", 2, {2, 2}, mask},
                                             {"m.row_offsets", "I64", 1, {2}, offsets},
                                             {"m.shape", "I64", 1, {2}, shape}};
    struct packed *p = packed_made(tensors, 4, NULL);
    const struct tare_module *m = packed_find(p, "m.weight");
    packed_expect(m, &tare_packing_sparse_values, 2, 10, 0);
    float *made = packed_values(p, m);
    assert_memory_equal(made, want, sizeof want);
    free(made);
    packed_close(p);
    static const uint8_t broken[][4] = {{0x83, 2, 2, 1}, {0x81, 2, 2, 0}, {0x81, 4, 2, 1}};
    for (size_t k = 0; k < FIXTURE_COUNT(broken); k++) {
        const void *part[TARE_PARTS];
        struct tare_error err = {0};
        memcpy(mask, broken[k], sizeof mask);
        p = packed_made(tensors, 4, NULL);
        assert_int_equal(tare_module_data(&p->checkpoint, packed_find(p, "m.weight"), part, &err), TARE_E_FORMAT);
        assert_string_equal(err.where, "m.bitmask");
        packed_close(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_states),        cmocka_unit_test(test_beside),
        cmocka_unit_test(test_quanto), cmocka_unit_test(test_modelopt_int4), cmocka_unit_test(test_modelopt_fp8),
        cmocka_unit_test(test_hqq),    cmocka_unit_test(test_bitmask),       cmocka_unit_test(test_alike)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
