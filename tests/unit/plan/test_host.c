/* SPDX-License-Identifier: MIT
 * test_host.c - checkpoints that the host reads, and files that are not mapped: the same numbers as from a mapped
 * folder, few and small reads for a plan, and an error wherever a read fails. */
#include "base/pool.h"
#include "host.h"
#include "plan/plan.h"

static const char *const fixtures[] = {"load/llama_untied_2shards", "load/qwen3_moe",
                                       "load/gemma3_text_tied_redundant_head", "gguf_out/mixtral", "gguf_out/phi3"};

static const char *data_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", TARE_TEST_DATA, name);
    return path;
}

static struct tare_model *plan(const char *path, const struct tare_options *options)
{
    struct tare_model *model = NULL;
    struct tare_error err = {0};
    if (tare_plan(&model, path, options, &err))
        fail_msg("%s: %s", err.where, err.text);
    return model;
}

/* From now on the model keeps nothing that nobody holds, page by page: what is read without a hold ends the test. */
static void be_eager(struct tare_model *model)
{
    assert_true(model->checkpoint.windowed);
    model->checkpoint.shelf.eager = true;
    if (!model->checkpoint.files[0].window)
        model->checkpoint.shelf.chunk = 4096;
}

/* ---- what a plan reads ----------------------------------------------------------------------------------------- */

#define LAYERS 32

static void add(struct fixture_tensor *list, size_t *n, const char *name, const char *dtype, int64_t a, int64_t b)
{
    list[*n] = (struct fixture_tensor){.name = strdup(name), .dtype = dtype, .rank = b ? 2 : 1, .shape = {a, b}};
    assert_non_null(list[(*n)++].name);
}

/* The tensors of one layer of a model of seven billion weights, AWQ of 4 bits in groups of 128. */
static void add_layer(struct fixture_tensor *list, size_t *n, int layer)
{
    static const struct {
        const char *name;
        int64_t in, out;
    } matrices[] = {{"self_attn.q_proj", 4096, 4096}, {"self_attn.k_proj", 4096, 4096},
                    {"self_attn.v_proj", 4096, 4096}, {"self_attn.o_proj", 4096, 4096},
                    {"mlp.gate_proj", 4096, 11008},   {"mlp.up_proj", 4096, 11008},
                    {"mlp.down_proj", 11008, 4096}};
    char name[128];
    for (size_t k = 0; k < FIXTURE_COUNT(matrices); k++) {
        const int64_t in = matrices[k].in, out = matrices[k].out;
        snprintf(name, sizeof name, "model.layers.%d.%s.qweight", layer, matrices[k].name);
        add(list, n, name, "I32", in, out / 8);
        snprintf(name, sizeof name, "model.layers.%d.%s.qzeros", layer, matrices[k].name);
        add(list, n, name, "I32", in / 128, out / 8);
        snprintf(name, sizeof name, "model.layers.%d.%s.scales", layer, matrices[k].name);
        add(list, n, name, "F16", in / 128, out);
    }
    snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", layer);
    add(list, n, name, "F16", 4096, 0);
    snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", layer);
    add(list, n, name, "F16", 4096, 0);
}

/* The files of that model, whose data take no room on the disk. */
static char *seven_billion(void)
{
    static const char config[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 4096, \"num_hidden_layers\": 32, \"intermediate_size\": 11008, "
        "\"num_attention_heads\": 32, \"num_key_value_heads\": 32, \"vocab_size\": 32000, \"rms_norm_eps\": 1e-5, "
        "\"tie_word_embeddings\": false, \"quantization_config\": {\"quant_method\": \"awq\", \"bits\": 4, "
        "\"group_size\": 128, \"version\": \"gemm\", \"zero_point\": true}}";
    char *folder = fixture_begin();
    struct fixture_tensor *list = calloc(LAYERS * 23 + 3, sizeof *list);
    size_t n = 0;
    assert_non_null(list);
    add(list, &n, "model.embed_tokens.weight", "F16", 32000, 4096);
    for (int i = 0; i < LAYERS / 2; i++)
        add_layer(list, &n, i);
    fixture_safetensors(folder, "model-00001-of-00002.safetensors", list, n);
    const size_t first = n;
    for (int i = LAYERS / 2; i < LAYERS; i++)
        add_layer(list, &n, i);
    add(list, &n, "model.norm.weight", "F16", 4096, 0);
    add(list, &n, "lm_head.weight", "F16", 32000, 4096);
    fixture_safetensors(folder, "model-00002-of-00002.safetensors", list + first, n - first);
    for (size_t i = 0; i < n; i++)
        free((void *)(uintptr_t)list[i].name);
    free(list);
    fixture_text(folder, "config.json", config);
    return folder;
}

static void a_plan_reads_headers(void **state)
{
    (void)state;
    char *folder = seven_billion();
    struct host *h = host_of(folder);
    h->options.no_data = true;
    struct tare_model *model = plan("seven billion", &h->options);
    const struct tare_report *report = tare_model_report(model);
    assert_true(report->loads && report->elements > 6700000000u && report->bytes > 3800000000u);
    assert_true(h->bytes < 512 << 10); /* of gigabytes */
    assert_int_equal(h->calls, 3);     /* config.json, and each shard once */
    assert_int_equal(h->most_inside, 1);
    tare_model_free(model);
    host_free(h);
    fixture_end(folder);
}

static void headers_come_together(void **state)
{
    (void)state;
    char *folder = seven_billion();
    struct host *h = host_of(folder);
    h->options.no_data = true;
    h->host.parallel = 2;
    h->wait_for = 2;
    tare_model_free(plan(NULL, &h->options));
    assert_int_equal(h->most_inside, 2);
    host_free(h);
    fixture_end(folder);
}

/* Each byte once, and side files; chunks of a page show it with a small model too. */
static void a_conversion_reads_once(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    char path[512];
    snprintf(path, sizeof path, "%s/out", folder);
    struct host *h = host_of(data_path(fixtures[1]));
    h->options.no_data = true;
    struct tare_model *model = plan(NULL, &h->options);
    model->checkpoint.shelf.chunk = 4096;
    h->bytes = 0;
    assert_int_equal(tare_convert(model, path, NULL, NULL), TARE_OK);
    const long long size = (long long)host_file(h, "model.safetensors")->bytes;
    assert_true(h->bytes > size / 2 && h->bytes < size + 3 * (long long)host_file(h, "config.json")->bytes + 32768);
    tare_model_free(model);
    host_free(h);
    fixture_end(folder);
}

/* ---- the same numbers ------------------------------------------------------------------------------------------ */

static void same_rows(const struct tare_model *a, const struct tare_model *b, enum tare_view view)
{
    const size_t n = tare_model_names(a, view, NULL, 0);
    const char **names = calloc(n + 1, sizeof *names);
    assert_true(names && n && tare_model_names(a, view, names, n) == n);
    for (size_t k = 0; k < n; k++) {
        const struct tare_model *models[2] = {a, b};
        float *rows[2];
        size_t size = 0;
        for (int i = 0; i < 2; i++) {
            tare_reader *reader = NULL;
            assert_int_equal(tare_reader_open(&reader, models[i], names[k], view, NULL), TARE_OK);
            const struct tare_tensor_info *info = tare_reader_info(reader);
            size = (size_t)(info->rows * info->columns);
            rows[i] = calloc(size + 1, sizeof *rows[i]);
            assert_non_null(rows[i]);
            for (int64_t row = 0, step = info->rows / 3 + 1; row < info->rows; row += step)
                assert_int_equal(tare_read_floats(reader, row, step < info->rows - row ? step : info->rows - row,
                                                  "float32", rows[i] + row * info->columns,
                                                  size - (size_t)(row * info->columns), NULL),
                                 TARE_OK);
            tare_reader_free(reader);
        }
        assert_memory_equal(rows[0], rows[1], size * sizeof *rows[0]);
        free(rows[0]);
        free(rows[1]);
    }
    free(names);
}

/* Codes and MLX's rows, where there are any. */
static void same_codes(const struct tare_model *a, const struct tare_model *b)
{
    const size_t n = tare_model_names(a, TARE_VIEW_PARAMETER, NULL, 0);
    const struct tare_model *models[2] = {a, b};
    const char **names = calloc(n + 1, sizeof *names);
    assert_true(names && tare_model_names(a, TARE_VIEW_PARAMETER, names, n) == n);
    for (size_t k = 0; k < n; k++) {
        unsigned char *bytes[2];
        size_t size = 0;
        for (int i = 0; i < 2; i++) {
            tare_reader *reader = NULL;
            assert_int_equal(tare_reader_open(&reader, models[i], names[k], TARE_VIEW_PARAMETER, NULL), TARE_OK);
            const struct tare_tensor_info *info = tare_reader_info(reader);
            const size_t codes = (size_t)(info->rows * info->columns);
            size = (codes * 12 + 64) / 16 * 16; /* of each kind a part with more than enough room; calloc aligns it */
            assert_non_null(bytes[i] = calloc(size, 2));
            float *scales = (float *)(void *)(bytes[i] + (codes + 15) / 16 * 16);
            unsigned char *mlx = bytes[i] + (size + 15) / 16 * 16; /* the second half */
            if (!tare_read_codes(reader, 0, info->rows, bytes[i], scales, scales + codes, NULL))
                assert_true(info->codes != TARE_CODES_NONE);
            tare_read_mlx(reader, 0, info->rows, (uint32_t *)(void *)mlx, mlx + codes * 4, mlx + codes * 8, NULL);
            tare_reader_free(reader);
        }
        assert_memory_equal(bytes[0], bytes[1], 2 * size);
        free(bytes[0]);
        free(bytes[1]);
    }
    free(names);
}

static void same_logits(struct tare_model *a, struct tare_model *b)
{
    static const int32_t ids[] = {1, 5, 2, 9, 4};
    struct tare_model *models[2] = {a, b};
    float *logits[2];
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        tare_session *session = NULL;
        assert_int_equal(tare_session_open(&session, models[i], NULL, NULL), TARE_OK);
        n = (size_t)tare_session_vocabulary(session);
        assert_non_null(logits[i] = calloc(n, sizeof *logits[i]));
        assert_int_equal(tare_session_feed(session, ids, FIXTURE_COUNT(ids), false, logits[i], NULL), TARE_OK);
        tare_session_free(session);
    }
    assert_memory_equal(logits[0], logits[1], n * sizeof *logits[0]);
    free(logits[0]);
    free(logits[1]);
}

static void same_files(const char *a, const char *b)
{
    struct host *list = host_of(a);
    for (size_t i = 0; i < list->host.n_files; i++) {
        if (!strcmp(list->names[i], "tare.json") || !strcmp(list->names[i], "README.md")) /* these name the input */
            continue;
        size_t n = 0, m = 0;
        char *x = fixture_read(fixture_path(a, list->names[i]), &n),
             *y = fixture_read(fixture_path(b, list->names[i]), &m);
        assert_int_equal(n, m);
        assert_memory_equal(x, y, n);
        free(x);
        free(y);
    }
    assert_true(list->host.n_files > 1);
    host_free(list);
}

/* Convert and compare. Formats that cannot hold a checkpoint refuse both. */
static void same_conversions(struct tare_model *a, struct tare_model *b)
{
    static const char *const formats[] = {"mlx", "dense", "gguf", "gptq", "awq"};
    char paths[2][512];
    for (size_t k = 0; k < FIXTURE_COUNT(formats); k++) {
        char *folder = fixture_begin();
        struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
        struct tare_error err = {0};
        options.to = formats[k];
        options.threads = 2;
        snprintf(paths[0], sizeof paths[0], "%s/a", folder);
        snprintf(paths[1], sizeof paths[1], "%s/b", folder);
        const enum tare_code code = tare_convert(a, paths[0], &options, NULL);
        options.proof = true;
        const enum tare_code other = tare_convert(b, paths[1], &options, &err);
        if (!code && other != TARE_E_TARGET) { /* there may be no proof */
            fixture_expect(other, &err, TARE_OK, NULL, NULL);
            same_files(paths[0], paths[1]);
        }
        fixture_end(folder);
    }
}

static void same_content(struct tare_model *a, struct tare_model *b)
{
    tare_verify *verify[2];
    tare_diff *diff = NULL;
    assert_int_equal(tare_diff_open(&diff, a, b, NULL, NULL), TARE_OK);
    char *json = tare_diff_json(diff);
    assert_non_null(json);
    assert_non_null(strstr(json, "\"exit\": 0"));
    free(json);
    tare_diff_free(diff);
    assert_int_equal(tare_verify_open(&verify[0], a, NULL, NULL), TARE_OK);
    assert_int_equal(tare_verify_open(&verify[1], b, NULL, NULL), TARE_OK);
    const struct tare_verify_report *x = tare_verify_report(verify[0]), *y = tare_verify_report(verify[1]);
    assert_int_equal(x->n_findings, y->n_findings);
    assert_true(x->bytes_hashed == y->bytes_hashed && x->bytes_scanned == y->bytes_scanned && x->bytes_hashed);
    tare_verify_free(verify[0]);
    tare_verify_free(verify[1]);
}

static void same(struct tare_model *mapped, struct tare_model *other)
{
    be_eager(other);
    same_rows(mapped, other, TARE_VIEW_PARAMETER);
    same_rows(mapped, other, TARE_VIEW_SOURCE);
    same_codes(mapped, other);
    same_conversions(mapped, other);
    same_logits(mapped, other);
    same_content(mapped, other);
}

static void same_through_a_host(void **state)
{
    (void)state;
    for (size_t i = 0; i < FIXTURE_COUNT(fixtures); i++) {
        struct tare_options no_map = TARE_OPTIONS_INIT;
        struct host *h = host_of(data_path(fixtures[i]));
        no_map.no_map = no_map.no_data = h->options.no_data = true;
        struct tare_model *mapped = plan(h->folder, NULL), *other = plan(NULL, &h->options);
        same(mapped, other);
        assert_int_equal(h->most_inside, 1);
        tare_model_free(other);
        other = plan(h->folder, &no_map);
        same(mapped, other);
        tare_model_free(other);
        tare_model_free(mapped);
        host_free(h);
    }
}

static void same_of_gguf(void **state)
{
    (void)state;
    char *folder = fixture_begin();
    char path[512];
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    struct tare_model *source = plan(data_path("gguf_out/llama_silent_redundant_head"), NULL);
    options.to = "gguf";
    assert_int_equal(tare_convert(source, path, &options, NULL), TARE_OK);
    tare_model_free(source);
    struct host *h = host_of(folder);
    struct tare_model *mapped = plan(path, NULL), *other = plan("m.gguf", &h->options);
    same(mapped, other);
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(tare_model_file(other, "config.json", &text, &n, NULL), TARE_OK);
    assert_non_null(strstr(text, "llama"));
    free(text);
    tare_model_free(other);
    tare_model_free(mapped);
    host_free(h);
    fixture_end(folder);
}

static void tokenizer_and_template(void **state)
{
    (void)state;
    struct host *h = host_of(data_path("tokenizer/syn_pre_digits1"));
    tare_tokenizer *tokenizer = NULL;
    assert_int_equal(tare_tokenizer_open(&tokenizer, NULL, &h->options, NULL), TARE_OK);
    tare_tokenizer_free(tokenizer);
    host_free(h);
    char *folder = fixture_begin();
    fixture_folder(folder, "additional_chat_templates");
    fixture_text(folder, "chat_template.jinja", "{{ messages[0].content }}");
    h = host_of(folder);
    tare_template *chat = NULL;
    assert_int_equal(tare_template_open(&chat, NULL, &h->options, NULL), TARE_OK);
    tare_template_free(chat);
    host_free(h);
    fixture_end(folder);
}

/* ---- failures -------------------------------------------------------------------------------------------------- */

static enum tare_code all_of_it(struct host *h, const char *folder, struct tare_error *err)
{
    struct tare_model *model = NULL;
    struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    tare_session *session = NULL;
    char path[512];
    snprintf(path, sizeof path, "%s/out", folder);
    options.threads = 1;
    options.proof = true;
    enum tare_code code = tare_plan(&model, NULL, &h->options, err);
    if (!code && !model->checkpoint.files[0].window)
        model->checkpoint.shelf.chunk = 4096;
    if (!code)
        code = tare_convert(model, path, &options, err);
    if (!code)
        code = tare_session_open(&session, model, NULL, err);
    tare_session_free(session);
    tare_model_free(model);
    return code;
}

static void each_read_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct host *h = host_of(data_path(fixtures[i]));
        long n = 0;
        h->options.no_data = i < 2; /* the proof of the third one's head reads too */
        for (bool through = false; !through; n++) {
            char *folder = fixture_begin();
            struct tare_error err = {0};
            h->calls = 0;
            h->fail_at = n;
            h->reason = n % 2 ? "the cable is cut" : NULL;
            h->code = n % 3 ? TARE_E_SPACE : -7;
            const enum tare_code code = all_of_it(h, folder, &err);
            through = h->calls <= n;
            if (through)
                fixture_expect(code, &err, TARE_OK, NULL, NULL);
            else
                fixture_expect(code, &err, n % 3 ? TARE_E_SPACE : TARE_E_IO, ".",
                               n % 2 ? "the cable is cut" : "could not be read");
            fixture_end(folder);
        }
        assert_true(n > (i < 2 ? 8 : 4));
        host_free(h);
    }
}

static void sizes_that_are_not_true(void **state)
{
    (void)state;
    struct host *h = host_of(data_path(fixtures[0]));
    struct tare_host_file *file = host_file(h, "model-00002-of-00002.safetensors");
    struct tare_error err = {0};
    struct tare_model *model = NULL;
    const uint64_t size = file->bytes;
    const uint64_t wrong[] = {0, 7, 8, 100, size - 1, size + 1, size + (1 << 20), INT64_MAX};
    for (size_t i = 0; i < FIXTURE_COUNT(wrong); i++) {
        file->bytes = wrong[i];
        assert_int_not_equal(tare_plan(&model, NULL, &h->options, &err), TARE_OK);
        assert_non_null(strstr(err.where, file->name));
        tare_model_free(model);
    }
    host_free(h);
}

static void what_a_host_must_have(void **state)
{
    (void)state;
    struct host *h = host_of(data_path(fixtures[0]));
    struct tare_error err = {0};
    struct tare_model *model = NULL;
    const struct tare_host sound = h->host;
    h->host.read = NULL;
    fixture_expect(tare_plan(&model, NULL, &h->options, &err), &err, TARE_E_ARGUMENT, "options.host", "reads");
    tare_model_free(model);
    h->host = sound;
    h->host.size = 4;
    fixture_expect(tare_plan(&model, NULL, &h->options, &err), &err, TARE_E_ARGUMENT, "options.host", "size");
    tare_model_free(model);
    h->host = sound;
    h->host.files_stride = 3;
    fixture_expect(tare_plan(&model, NULL, &h->options, &err), &err, TARE_E_ARGUMENT, "options.host.files", NULL);
    tare_model_free(model);
    h->host = sound;
    h->files[0].name = NULL;
    fixture_expect(tare_plan(&model, NULL, &h->options, &err), &err, TARE_E_ARGUMENT, "options.host.files", "name");
    tare_model_free(model);
    host_free(h);
}

/* Which of two files counts would be a guess. */
static void a_name_comes_once(void **state)
{
    (void)state;
    struct host *h = host_of(data_path(fixtures[0]));
    struct tare_error err = {0};
    struct tare_model *model = NULL;
    tare_tokenizer *tokenizer = NULL;
    for (size_t i = 0, n = h->host.n_files; i < n; i++) {
        memcpy(h->names[n], h->names[i], sizeof h->names[n]);
        h->files[n] = (struct tare_host_file){.name = h->names[n], .bytes = h->files[i].bytes};
        h->host.n_files = n + 1;
        fixture_expect(tare_plan(&model, NULL, &h->options, &err), &err, TARE_E_ARGUMENT, "options.host.files",
                       h->names[i]);
        tare_model_free(model);
        fixture_expect(tare_tokenizer_open(&tokenizer, NULL, &h->options, &err), &err, TARE_E_ARGUMENT,
                       "options.host.files", h->names[i]);
    }
    host_free(h);
    struct tare_options options = TARE_OPTIONS_INIT;
    const struct tare_memory_file files[] = {{"config.json", "{}", 2}, {"x.json", "{}", 2}, {"config.json", "{}", 2}};
    options.files = files;
    options.n_files = FIXTURE_COUNT(files);
    fixture_expect(tare_plan(&model, NULL, &options, &err), &err, TARE_E_ARGUMENT, "options.files", "config.json");
    tare_model_free(model);
}

/* Another process cuts a file that was planned: an error of reading, and no signal. */
static void files_that_are_cut(void **state)
{
    (void)state;
    char *folder = fixture_begin(), *beside = fixture_begin();
    char path[512];
    snprintf(path, sizeof path, "%s/out", beside);
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_error err = {0};
    size_t n = 0;
    options.no_map = true;
    for (int opened = 0; opened < 2; opened++) {
        const char *const names[] = {"config.json", "model.safetensors"};
        for (size_t i = 0; i < FIXTURE_COUNT(names); i++) {
            char from[1024];
            snprintf(from, sizeof from, "%s/%s", data_path(fixtures[1]), names[i]);
            char *bytes = fixture_read(from, &n);
            fixture_bytes(folder, names[i], bytes, n);
            free(bytes);
        }
        struct tare_model *model = plan(folder, &options);
        tare_reader *reader = NULL;
        tare_session *session = NULL;
        float row[4096];
        be_eager(model);
        if (opened) /* its file is open then, and its size is not asked again */
            assert_int_equal(tare_reader_open(&reader, model, "model.embed_tokens.weight", TARE_VIEW_PARAMETER, &err),
                             TARE_OK);
        fixture_size(folder, "model.safetensors", n / 10);
        if (opened) {
            enum tare_code code = TARE_OK;
            const int64_t rows = tare_reader_info(reader)->rows;
            for (int64_t r = 0; r < rows && !code; r++)
                code = tare_read_floats(reader, r, 1, "float32", row, 4096, &err);
            fixture_expect(code, &err, TARE_E_IO, "model.safetensors", "shorter");
        }
        fixture_expect(tare_convert(model, path, NULL, &err), &err, TARE_E_IO, "model.safetensors", NULL);
        fixture_expect(tare_session_open(&session, model, NULL, &err), &err, TARE_E_IO, "model.safetensors", NULL);
        tare_reader_free(reader);
        tare_model_free(model);
    }
    fixture_end(folder);
    fixture_end(beside);
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

struct crowd {
    const struct tare_model *mapped, *other;
    atomic_int failed;
};

static void read_all(void *user, size_t i, int worker)
{
    struct crowd *crowd = user;
    (void)worker;
    same_rows(crowd->mapped, crowd->other, i % 2 ? TARE_VIEW_SOURCE : TARE_VIEW_PARAMETER);
}

static void many_readers(void **state)
{
    (void)state;
    struct tare_pool *pool = NULL;
    struct host *h = host_of(data_path(fixtures[0]));
    h->options.no_data = true;
    h->host.parallel = 3;
    struct crowd crowd = {.mapped = plan(h->folder, NULL), .other = plan(NULL, &h->options)};
    assert_int_equal(tare_pool_open(&pool, 6, NULL), TARE_OK);
    tare_pool_run(pool, 12, read_all, &crowd);
    be_eager((struct tare_model *)(uintptr_t)crowd.other);
    tare_pool_run(pool, 12, read_all, &crowd);
    tare_pool_free(pool);
    assert_true(h->most_inside <= 3);
    tare_model_free((struct tare_model *)(uintptr_t)crowd.mapped);
    tare_model_free((struct tare_model *)(uintptr_t)crowd.other);
    host_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_reads_headers),
        cmocka_unit_test(headers_come_together),
        cmocka_unit_test(a_conversion_reads_once),
        cmocka_unit_test(same_through_a_host),
        cmocka_unit_test(same_of_gguf),
        cmocka_unit_test(tokenizer_and_template),
        cmocka_unit_test(each_read_may_fail),
        cmocka_unit_test(sizes_that_are_not_true),
        cmocka_unit_test(what_a_host_must_have),
        cmocka_unit_test(a_name_comes_once),
        cmocka_unit_test(files_that_are_cut),
        cmocka_unit_test(many_readers),
    };
    return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
