/* SPDX-License-Identifier: MIT
 * fuzz_run.c - any bytes as config.json, and of what it declares a checkpoint: what is not refused with a sentence
 * runs, over one pass of several tokens, passes of one, and a rewind. Numbers are random; of a config whose size is
 * divisible by 4 some are huge or not numbers. */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "tare.h"

enum { MOST = 1 << 18, TENSORS = 1500, CONTEXT = 48, FIRST = 19 };

struct checkpoint {
    uint8_t *file;
    size_t size;
};

static int64_t count(const struct tare_report_tensor *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->rank; d++)
        if (t->shape[d] < 0 || t->shape[d] > MOST || (n *= t->shape[d]) > MOST)
            return MOST + 1;
    return n;
}

static float number(uint64_t *state, bool wild)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    const unsigned dice = (unsigned)(*state >> 20) & 31;
    if (wild && dice < 3)
        return dice == 0 ? NAN : dice == 1 ? 1e30f : -INFINITY;
    return (float)(*state >> 40) / 8388608.0f - 1;
}

static void add_tensor(FILE *header, const struct tare_report_tensor *t, size_t from, size_t n)
{
    fprintf(header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", from ? "," : "", t->name);
    for (int d = 0; d < t->rank; d++)
        fprintf(header, "%s%lld", d ? "," : "", (long long)t->shape[d]);
    fprintf(header, "],\"data_offsets\":[%zu,%zu]}", from, from + n * sizeof(float));
}

/* All that is missing, as F32. False: it is too large to try. */
static bool make(const struct tare_report *report, bool wild, struct checkpoint *made)
{
    size_t total = 0, header_size = 0;
    char *header = NULL;
    for (size_t i = 0; i < report->n_missing; i++)
        if ((total += (size_t)count(&report->missing[i])) > MOST)
            return false;
    FILE *out = report->n_missing && report->n_missing <= TENSORS ? open_memstream(&header, &header_size) : NULL;
    if (!out)
        return false;
    fputc('{', out);
    for (size_t i = 0, at = 0, n; i < report->n_missing; i++, at += n * sizeof(float)) {
        n = (size_t)count(&report->missing[i]);
        add_tensor(out, &report->missing[i], at, n);
    }
    fputc('}', out);
    fclose(out);
    made->size = 8 + header_size + total * sizeof(float);
    made->file = calloc(1, made->size);
    for (int k = 0; k < 8; k++)
        made->file[k] = (uint8_t)((uint64_t)header_size >> 8 * k);
    memcpy(made->file + 8, header, header_size);
    uint64_t state = 1;
    for (size_t i = 0; i < total; i++) {
        const float x = number(&state, wild);
        memcpy(made->file + 8 + header_size + i * sizeof x, &x, sizeof x);
    }
    free(header);
    return true;
}

static enum tare_code plan(tare_model **model, const uint8_t *config, size_t size, struct checkpoint c)
{
    const struct tare_memory_file files[] = {{"config.json", config, size}, {"model.safetensors", c.file, c.size}};
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_error err = {0};
    options.files = files;
    options.n_files = 2;
    options.threads = 1;
    const enum tare_code code = tare_plan(model, "fuzz", &options, &err);
    FUZZ_CHECK(!code || err.text[0]);
    return code;
}

static void feed(tare_session *session, int n)
{
    const int64_t columns = tare_session_vocabulary(session);
    struct tare_error err = {0};
    int32_t ids[FIRST];
    float *logits = malloc((size_t)columns * sizeof *logits);
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)((i * 7 + 3) % columns);
    const enum tare_code code = tare_session_feed(session, ids, (size_t)n, false, logits, &err);
    FUZZ_CHECK(code == err.code && (!code || err.text[0]));
    free(logits);
}

static void run(tare_model *model)
{
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_session *session = NULL, *fork = NULL;
    options.context = CONTEXT;
    options.threads = 1;
    options.memory = 64 << 20;
    const enum tare_code code = tare_session_open(&session, model, &options, &err);
    FUZZ_CHECK(code == err.code && (code == TARE_OK) == (session != NULL) && (!code || err.text[0]));
    if (code)
        return;
    feed(session, FIRST);
    feed(session, 1);
    if (!tare_session_fork(&fork, session, &err)) {
        tare_session_rewind(fork, tare_session_length(fork) / 2, &err);
        feed(fork, 2);
    }
    feed(session, 1);
    tare_session_free(fork);
    tare_session_free(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t empty[] = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    struct checkpoint made = {0};
    tare_model *model = NULL, *whole = NULL;
    if (plan(&model, data, size, (struct checkpoint){empty, sizeof empty}) == TARE_E_STRICT &&
        make(tare_model_report(model), size % 4 == 0, &made) && !plan(&whole, data, size, made))
        run(whole);
    tare_model_free(whole);
    tare_model_free(model);
    free(made.file);
    return 0;
}
