/* SPDX-License-Identifier: MIT
 * test_reader.c - rows for other engines: floats, codes and MLX rows agree with one another, with conversions, from any
 * row on and from many threads; what cannot be read is refused. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "fixture.h"

static const char *const checkpoints[] = {"load/gemma3_text_tied_redundant_head", "load/llama_untied_2shards",
                                          "load/qwen3_moe"};
#define CHECKPOINTS (sizeof checkpoints / sizeof *checkpoints)

static tare_model *plan_of(const char *folder)
{
    tare_model *model = NULL;
    struct tare_error err = {0};
    if (tare_plan(&model, folder, NULL, &err))
        fail_msg("%s: %s: %s", folder, err.where, err.text);
    return model;
}

static tare_model *plan_data(size_t k)
{
    return plan_of(fixture_path(TARE_TEST_DATA, checkpoints[k]));
}

static tare_reader *open_reader(const tare_model *model, const char *name, enum tare_view view)
{
    tare_reader *reader = NULL;
    struct tare_error err = {0};
    if (tare_reader_open(&reader, model, name, view, &err))
        fail_msg("%s: %s: %s", name, err.where, err.text);
    return reader;
}

static float *floats_of(const tare_reader *reader)
{
    const struct tare_tensor_info *info = tare_reader_info(reader);
    const size_t n = (size_t)(info->rows * info->columns);
    float *values = malloc(n * sizeof *values + 1);
    assert_int_equal(tare_read_floats(reader, 0, info->rows, "float32", values, n, NULL), TARE_OK);
    return values;
}

/* ---- floats -------------------------------------------------------------------------------------------------- */

/* Any range of rows is that part of the whole. */
static void check_ranges(const tare_reader *reader, const float *all)
{
    const struct tare_tensor_info *info = tare_reader_info(reader);
    const int64_t ranges[][2] = {{0, 1},
                                 {info->rows / 2, info->rows - info->rows / 2},
                                 {info->rows / 3, 2},
                                 {info->rows, 0},
                                 {1, info->rows - 1}};
    for (size_t k = 0; k < sizeof ranges / sizeof *ranges; k++) {
        const int64_t row = ranges[k][0], rows = ranges[k][1];
        if (rows < 0 || row + rows > info->rows)
            continue;
        const size_t n = (size_t)(rows * info->columns);
        float *part = malloc(n * sizeof *part + 1);
        assert_int_equal(tare_read_floats(reader, row, rows, "float32", part, n, NULL), TARE_OK);
        assert_memory_equal(part, all + row * info->columns, n * sizeof *part);
        free(part);
    }
}

static void check_halves(const tare_reader *reader, const float *all)
{
    const struct tare_tensor_info *info = tare_reader_info(reader);
    const size_t n = (size_t)(info->rows * info->columns);
    uint16_t *half = malloc(n * sizeof *half + 1);
    assert_int_equal(tare_read_floats(reader, 0, info->rows, "float16", half, n, NULL), TARE_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(half[i], tare_to_float16(all[i]));
    assert_int_equal(tare_read_floats(reader, 0, info->rows, "bfloat16", half, n, NULL), TARE_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(half[i], tare_to_bfloat16(all[i]));
    free(half);
}

static void check_codes(const tare_reader *reader, const float *all)
{
    const struct tare_tensor_info *info = tare_reader_info(reader);
    const size_t n = (size_t)(info->rows * info->columns), groups = (size_t)(info->rows * info->groups);
    uint8_t *codes = malloc(n + 1);
    float *scales = malloc(groups * sizeof *scales + 1), *offsets = malloc(groups * sizeof *offsets + 1);
    int32_t *group = malloc((size_t)info->columns * sizeof *group + 1);
    assert_int_equal(tare_read_codes(reader, 0, info->rows, codes, scales, offsets, NULL), TARE_OK);
    assert_int_equal(tare_reader_groups(reader, group, (size_t)info->columns, NULL), TARE_OK);
    for (int64_t r = 0; r < info->rows; r++)
        for (int64_t i = 0; i < info->columns; i++) {
            const int64_t g = r * info->groups + group[i];
            const uint8_t code = codes[r * info->columns + i];
            const float number = info->codes == TARE_CODES_FLOAT ? info->table[code] : (float)code;
            assert_true(fabsf(scales[g] * number + offsets[g] - all[r * info->columns + i]) < 1e-6f);
        }
    free(codes);
    free(scales);
    free(offsets);
    free(group);
}

static void test_parameters(void **state)
{
    (void)state;
    for (size_t k = 0; k < CHECKPOINTS; k++) {
        tare_model *model = plan_data(k);
        const struct tare_report *report = tare_model_report(model);
        size_t packed = 0;
        for (size_t i = 0; i < report->n_parameters; i++) {
            tare_reader *reader = open_reader(model, report->parameters[i].name, TARE_VIEW_PARAMETER);
            const struct tare_tensor_info *info = tare_reader_info(reader);
            assert_string_equal(info->name, report->parameters[i].name);
            assert_string_equal(info->packing, report->parameters[i].packing);
            assert_int_equal(info->rank, report->parameters[i].rank);
            float *all = floats_of(reader);
            check_ranges(reader, all);
            check_halves(reader, all);
            if (info->codes != TARE_CODES_NONE)
                check_codes(reader, all);
            packed += info->codes != TARE_CODES_NONE;
            free(all);
            tare_reader_free(reader);
        }
        assert_true(packed > 0);
        tare_model_free(model);
    }
}

/* ---- MLX ----------------------------------------------------------------------------------------------------- */

struct mlx {
    struct tare_mlx_info info;
    uint32_t *weight;
    unsigned char *scales, *biases;
    size_t sizes[2]; /* of weight and of scales, bytes */
};

static bool read_mlx(const tare_reader *reader, struct mlx *m)
{
    const struct tare_tensor_info *info = tare_reader_info(reader);
    *m = (struct mlx){.info.size = sizeof m->info};
    assert_int_equal(tare_reader_mlx(reader, &m->info, NULL), TARE_OK);
    if (!m->info.packed)
        return false;
    const size_t scale = !strcmp(m->info.dtype, "float32") ? 4 : !strcmp(m->info.dtype, "uint8") ? 1 : 2;
    m->sizes[0] = (size_t)(info->rows * info->columns * m->info.bits / 8);
    m->sizes[1] = (size_t)(info->rows * (info->columns / m->info.group_size)) * scale;
    m->weight = malloc(m->sizes[0] + 1);
    m->scales = malloc(m->sizes[1] + 1);
    m->biases = calloc(m->sizes[1] + 1, 1);
    assert_int_equal(tare_read_mlx(reader, 0, info->rows, m->weight, m->scales, m->biases, NULL), TARE_OK);
    return true;
}

static void release_mlx(struct mlx *m)
{
    free(m->weight);
    free(m->scales);
    free(m->biases);
}

/* What a reader gives of the checkpoint is what it gives of the converted folder. */
static void test_mlx(void **state)
{
    (void)state;
    for (size_t k = 0; k < CHECKPOINTS; k++) {
        char *work = fixture_begin();
        tare_model *model = plan_data(k);
        struct tare_error err = {0};
        if (tare_convert(model, fixture_path(work, "mlx"), NULL, &err))
            fail_msg("%s: %s", err.where, err.text);
        tare_model *made = plan_of(fixture_path(work, "mlx"));
        const struct tare_report *report = tare_model_report(model);
        size_t packed = 0;
        for (size_t i = 0; i < report->n_parameters; i++) {
            const char *name = report->parameters[i].name;
            tare_reader *from = open_reader(model, name, TARE_VIEW_PARAMETER);
            tare_reader *to = open_reader(made, name, TARE_VIEW_PARAMETER);
            struct mlx a, b;
            assert_int_equal(read_mlx(from, &a), read_mlx(to, &b));
            if (a.info.packed) {
                packed++;
                assert_string_equal(a.info.dtype, b.info.dtype);
                assert_int_equal(a.info.group_size, b.info.group_size);
                assert_memory_equal(a.weight, b.weight, a.sizes[0]);
                assert_memory_equal(a.scales, b.scales, a.sizes[1]);
                assert_memory_equal(a.biases, b.biases, a.sizes[1]);
            }
            release_mlx(&a);
            release_mlx(&b);
            tare_reader_free(from);
            tare_reader_free(to);
        }
        assert_true(packed > 0);
        tare_model_free(made);
        tare_model_free(model);
        fixture_end(work);
    }
}

/* ---- sources ------------------------------------------------------------------------------------------------- */

static void test_sources(void **state)
{
    (void)state;
    tare_model *model = plan_data(0);
    const struct tare_report *report = tare_model_report(model);
    const size_t n = tare_model_sources(model, NULL, 0);
    assert_int_equal(n, report->sources);
    struct tare_source_info *sources = calloc(n, sizeof *sources);
    sources[0].size = sizeof *sources;
    assert_int_equal(tare_model_sources(model, sources, n), n);
    size_t aside = 0, used = 0;
    for (size_t k = 0; k < n; k++) {
        aside += !strcmp(sources[k].fate, "set aside");
        used += !strcmp(sources[k].fate, "used");
        assert_int_equal(!strcmp(sources[k].fate, "set aside"), sources[k].rule != NULL);
        assert_true(sources[k].bytes > 0);
    }
    assert_int_equal(aside, report->n_set_aside);
    assert_int_equal(used, report->used);
    free(sources);
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(tare_model_file(model, "config.json", &text, &size, NULL), TARE_OK);
    assert_int_equal(strlen(text), size);
    tare_text_free(text);
    assert_int_equal(tare_model_file(model, "no.json", &text, &size, NULL), TARE_E_ABSENT);
    assert_int_equal(tare_model_file(model, "../config.json", &text, &size, NULL), TARE_E_ARGUMENT);
    tare_model_free(model);
}

/* A head that is set aside can still be read by its own name, and its reader keeps the model alive. */
static void test_source_view(void **state)
{
    (void)state;
    tare_model *model = plan_data(0);
    tare_reader *head = open_reader(model, "lm_head", TARE_VIEW_SOURCE);
    tare_model_free(model);
    float *values = floats_of(head);
    assert_string_equal(tare_reader_info(head)->name, "lm_head.weight");
    assert_int_equal(tare_reader_info(head)->codes, TARE_CODES_INTEGER);
    check_codes(head, values);
    free(values);
    tare_reader_free(head);
}

/* ---- refusals ------------------------------------------------------------------------------------------------ */

static void test_refusals(void **state)
{
    (void)state;
    tare_model *model = plan_data(1);
    tare_reader *reader = NULL;
    float values[4];
    int32_t group = 0;
    uint8_t code = 0;
    assert_int_equal(tare_reader_open(&reader, model, "no.such.module", TARE_VIEW_SOURCE, NULL), TARE_E_ABSENT);
    assert_null(reader);
    assert_int_equal(tare_reader_open(NULL, model, "model.norm", TARE_VIEW_SOURCE, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_reader_open(&reader, NULL, "model.norm", TARE_VIEW_SOURCE, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_reader_open(&reader, model, NULL, TARE_VIEW_SOURCE, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_reader_open(&reader, model, "model.norm", (enum tare_view)7, NULL), TARE_E_ARGUMENT);
    reader = open_reader(model, "model.norm", TARE_VIEW_PARAMETER);
    const struct tare_tensor_info *info = tare_reader_info(reader);
    const size_t n = (size_t)info->columns;
    assert_int_equal(info->rows, 1);
    assert_int_equal(tare_read_floats(reader, 0, 2, "float32", values, 2 * n, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_read_floats(reader, -1, 1, "float32", values, n, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_read_floats(reader, 0, INT64_MAX, "float32", values, n, NULL), TARE_E_ARGUMENT);
    struct tare_error err = {0};
    fixture_expect(tare_read_floats(reader, INT64_MAX, INT64_MAX, "float32", values, n, &err), &err, TARE_E_ARGUMENT,
                   "model.norm.weight", "9223372036854775807 rows from row 9223372036854775807 on");
    assert_int_equal(tare_read_floats(reader, 0, 1, "float32", values, n - 1, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_read_floats(reader, 0, 1, "float64", values, n, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_read_floats(reader, 0, 1, NULL, values, n, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_read_floats(reader, 0, 1, "float32", NULL, n, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_read_floats(NULL, 0, 1, "float32", values, n, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_read_codes(reader, 0, 1, &code, values, values, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_reader_groups(reader, &group, n, NULL), TARE_E_ARGUMENT);
    assert_int_equal(tare_read_mlx(reader, 0, 1, (uint32_t *)values, values, values, NULL), TARE_E_ARGUMENT);
    assert_null(tare_reader_info(NULL));
    tare_reader_free(NULL);
    tare_reader_free(reader);
    tare_model_free(model);
}

/* A plan that does not load gives no tensor: what its numbers mean was not settled. */
static void test_unloaded(void **state)
{
    (void)state;
    char *work = fixture_begin();
    tare_model *model = NULL;
    tare_reader *reader = NULL;
    struct tare_error err = {0};
    fixture_text(work, "config.json", "{\"model_type\": \"llama\"}");
    fixture_shard(work, "model.safetensors", "model.norm.weight");
    const enum tare_code code = tare_plan(&model, work, NULL, NULL);
    assert_true(code != TARE_OK && model);
    assert_int_equal(tare_reader_open(&reader, model, "model.norm", TARE_VIEW_SOURCE, &err), code);
    assert_null(reader);
    assert_true(strlen(err.text) > 0);
    tare_model_free(model);
    fixture_end(work);
}

/* Of a GGUF file the sources have the file's own names. */
static void test_gguf_names(void **state)
{
    (void)state;
    char *work = fixture_begin();
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    tare_model *model = plan_data(1);
    options.to = "gguf";
    assert_int_equal(tare_convert(model, fixture_path(work, "model.gguf"), &options, NULL), TARE_OK);
    tare_model_free(model);
    model = plan_of(fixture_path(work, "model.gguf"));
    const size_t n = tare_model_sources(model, NULL, 0);
    struct tare_source_info *sources = calloc(n, sizeof *sources);
    bool found = false;
    assert_int_equal(tare_model_sources(model, sources, n), n);
    for (size_t k = 0; k < n; k++)
        found |= !strcmp(sources[k].name, "blk.0.attn_q.weight");
    assert_true(found);
    free(sources);
    tare_model_free(model);
    fixture_end(work);
}

/* Codes of IQ4_NL are 16 of the integers of 8 bits, about 128 (tests/data/gguf, random blocks). */
static void test_gguf_codes(void **state)
{
    (void)state;
    static const char *const names[] = {"model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight",
                                        "model.layers.0.self_attn.v_proj.weight"};
    tare_model *model = plan_of(TARE_TEST_DATA "/gguf/iq4_nl.gguf");
    for (size_t k = 0; k < FIXTURE_COUNT(names); k++) {
        tare_reader *reader = open_reader(model, names[k], TARE_VIEW_PARAMETER);
        const struct tare_tensor_info *info = tare_reader_info(reader);
        float *values = floats_of(reader);
        assert_string_equal(info->packing, "gguf-iq4_nl");
        assert_int_equal(info->codes, TARE_CODES_INTEGER);
        assert_true(info->bits == 8 && info->group_size == 32 && !info->has_biases);
        check_codes(reader, values);
        free(values);
        tare_reader_free(reader);
    }
    tare_model_free(model);
}

/* ---- threads ------------------------------------------------------------------------------------------------- */

struct shared {
    const tare_model *model;
    const tare_reader *reader; /* of a parameter, shared by all */
    const float *floats;
    const struct mlx *mlx;
};

/* Everything that a reader gives, from one that all threads share. */
static void read_shared(const struct shared *s)
{
    const struct tare_tensor_info *info = tare_reader_info(s->reader);
    const size_t n = (size_t)(info->rows * info->columns);
    struct mlx m;
    float *got = floats_of(s->reader);
    /* cmocka's checks jump to its own thread, so another one aborts. */
    if (memcmp(got, s->floats, n * sizeof *got) || !read_mlx(s->reader, &m) ||
        memcmp(m.weight, s->mlx->weight, m.sizes[0]) || memcmp(m.scales, s->mlx->scales, m.sizes[1]) ||
        memcmp(m.biases, s->mlx->biases, m.sizes[1]))
        abort();
    check_halves(s->reader, got);
    check_codes(s->reader, got);
    release_mlx(&m);
    free(got);
}

/* The same from readers of its own, of all parameters of the model. */
static void read_own(const tare_model *model)
{
    const char *names[128];
    const size_t n = tare_model_names(model, TARE_VIEW_PARAMETER, names, 128);
    if (!n || n > 128)
        abort();
    for (size_t k = 0; k < n; k++) {
        tare_reader *reader = open_reader(model, names[k], TARE_VIEW_PARAMETER);
        float *all = floats_of(reader);
        struct mlx m;
        check_halves(reader, all);
        if (read_mlx(reader, &m))
            release_mlx(&m);
        free(all);
        tare_reader_free(reader);
    }
}

static void *read_again(void *user)
{
    const struct shared *s = user;
    for (int k = 0; k < 4; k++)
        read_shared(s);
    read_own(s->model);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    tare_model *model = plan_data(1);
    tare_reader *reader = open_reader(model, "model.layers.0.mlp.up_proj", TARE_VIEW_PARAMETER);
    float *want = floats_of(reader);
    struct mlx m;
    assert_true(read_mlx(reader, &m));
    struct shared shared = {model, reader, want, &m};
    pthread_t threads[16];
    for (size_t k = 0; k < 16; k++)
        assert_int_equal(pthread_create(&threads[k], NULL, read_again, &shared), 0);
    for (size_t k = 0; k < 16; k++)
        pthread_join(threads[k], NULL);
    release_mlx(&m);
    free(want);
    tare_reader_free(reader);
    tare_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),  cmocka_unit_test(test_mlx),        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_source_view), cmocka_unit_test(test_refusals),   cmocka_unit_test(test_threads),
        cmocka_unit_test(test_unloaded),    cmocka_unit_test(test_gguf_names), cmocka_unit_test(test_gguf_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
