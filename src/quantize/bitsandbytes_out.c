/* SPDX-License-Identifier: MIT
 * bitsandbytes_out.c - linear layers rounded to sixteen numbers that fit a normal distribution (nf4), with a float32
 * scale for each 64 numbers, as bitsandbytes' Linear4bit stores them without double quantization: X.weight, and
 * X.weight.absmax, .quant_map, .quant_state.bitsandbytes__nf4 (packing/bitsandbytes/bnb_4bit.c).
 *
 *     absmax = max|w| of 64 numbers of the matrix, row after row;   code: the nearest number to w * (1 / absmax)
 *
 * in float32; of two equally near the lower number. Of two codes in a byte the first is the high half. What is no whole
 * number of 64 stays floats. Source: docs/quantizing.md; bitsandbytes 0.50, its results on a CPU.
 */
#include <math.h>
#include <string.h>

#include "quantize/linear_out.h"

#define BLOCK 64
#define TILE_BYTES 1048576.0

/* A type: its numbers from the lowest to the highest, which are codes 0 to 15. Source: bitsandbytes; QLoRA (arXiv
 * 2305.14314), appendix E. */
static const struct numbers {
    const char *name;
    float value[16];
} types[] = {
    {"nf4",
     {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f,
      -0.18477343022823334f, -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f,
      0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f,
      1.0f}},
};

static const char *type_word(size_t index)
{
    return index < sizeof types / sizeof *types ? types[index].name : NULL;
}

static const struct numbers *numbers_of(const struct tare_layout *layout)
{
    return tare_quantizing_of(layout)->own;
}

static enum tare_code begin(struct tare_layout *layout, struct tare_model *model,
                            const struct tare_convert_options *options, struct tare_error *err)
{
    const struct tare_quantizing *q = tare_quantizing_of(layout);
    const char *words = tare_arena_format(&layout->arena, "%s, blocks of %d", numbers_of(layout)->name, BLOCK);
    const enum tare_code code = tare_quantizing_say(layout, words, err);
    return code || !q->base->begin ? code : q->base->begin(layout, model, options, err);
}

/* What bitsandbytes wants to know of a matrix, in the spelling of Python's json. */
static const char *state_of(const struct tare_layout *layout, const struct tare_job *job, struct tare_arena *arena)
{
    return tare_arena_format(arena,
                             "{\"quant_type\": \"%s\", \"blocksize\": %d, \"dtype\": \"%s\", \"shape\": [%lld, %lld]}",
                             numbers_of(layout)->name, BLOCK, tare_packing_word(&tare_packing_plain, job->flat.dtype),
                             (long long)job->flat.shape[0], (long long)job->flat.shape[1]);
}

static enum tare_code add_tensors(struct tare_layout *layout, const struct tare_job *job, struct tare_error *err)
{
    struct tare_arena *arena = &layout->arena;
    const int64_t n = job->flat.shape[0] * job->flat.shape[1], codes[2] = {n / 2, 1}, blocks = n / BLOCK, sixteen = 16;
    const char *state = state_of(layout, job, arena);
    const int64_t size = state ? (int64_t)strlen(state) : 0;
    enum tare_code code = tare_layout_add(layout, TARE_PART_WEIGHT, job->name, TARE_U8, 2, codes, err);
    if (!code)
        code = tare_layout_add(layout, TARE_PART_SCALES, tare_arena_format(arena, "%s.absmax", job->name), TARE_F32, 1,
                               &blocks, err);
    if (!code)
        code = tare_layout_add(layout, TARE_PART_ZEROS, tare_arena_format(arena, "%s.quant_map", job->name), TARE_F32,
                               1, &sixteen, err);
    if (!code)
        code = tare_layout_add(
            layout, TARE_PART_SHAPE,
            tare_arena_format(arena, "%s.quant_state.bitsandbytes__%s", job->name, numbers_of(layout)->name), TARE_U8,
            1, &size, err);
    return code;
}

static enum tare_code lay_out(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                              const struct tare_convert_options *options, struct tare_error *err)
{
    struct tare_quantizing *q = tare_quantizing_of(layout);
    enum tare_code code;
    if (!tare_linear_rounds(q, model, job, &code, err) || job->flat.shape[0] * job->flat.shape[1] % BLOCK)
        return code ? code : q->base->lay_out(layout, model, job, options, err);
    job->target = (struct tare_target){.packed = true, .dtype = job->flat.dtype, .bits = 4, .group_size = BLOCK};
    job->way = TARE_WAY_ONE;
    const double rows = TILE_BYTES / ((double)job->flat.shape[1] * (double)sizeof(float) * BLOCK);
    tare_job_cut_rows(job, BLOCK * (rows > 1 ? (int64_t)rows : 1)); /* whole blocks, however long a row is */
    return add_tensors(layout, job, err);
}

static unsigned code_of(const float *middle, float value)
{
    int k = 0;
    while (k < 15 && value > middle[k])
        k++;
    return (unsigned)k;
}

static void round_blocks(const struct numbers *numbers, const float *values, int64_t n, unsigned char *to,
                         float *absmax)
{
    float middle[15];
    for (int k = 0; k < 15; k++)
        middle[k] = (numbers->value[k] + numbers->value[k + 1]) / 2;
    for (int64_t b = 0; b < n; b += BLOCK) {
        float most = 0;
        for (int64_t i = b; i < b + BLOCK; i++)
            most = fabsf(values[i]) > most ? fabsf(values[i]) : most;
        absmax[b / BLOCK] = most;
        const float inverse = 1 / (most < 1e-38f ? 1e-38f : most);
        for (int64_t i = b; i < b + BLOCK; i += 2)
            to[i / 2] =
                (unsigned char)(code_of(middle, values[i] * inverse) << 4 | code_of(middle, values[i + 1] * inverse));
    }
}

/* What every tile of a matrix would write is written by the first one. */
static enum tare_code put_told(const struct tare_layout *layout, const struct tare_job *job, struct tare_worker *worker,
                               uint64_t *bytes, struct tare_error *err)
{
    const struct numbers *numbers = numbers_of(layout);
    const char *state = state_of(layout, job, &worker->arena);
    if (!state)
        return tare_fail_memory(err);
    *bytes += sizeof numbers->value + strlen(state);
    const enum tare_code code =
        tare_saved_write(layout, job->saved[TARE_PART_ZEROS], numbers->value, sizeof numbers->value, 0, err);
    return code ? code : tare_saved_write(layout, job->saved[TARE_PART_SHAPE], state, strlen(state), 0, err);
}

static enum tare_code tile(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                           struct tare_worker *worker, uint64_t *bytes, struct tare_error *err)
{
    const int64_t low = box->low[0], rows = box->high[0] - low, columns = job->shape[1], n = rows * columns;
    const size_t scales = (size_t)(n / BLOCK) * sizeof(float);
    const void *made = NULL;
    enum tare_code code = tare_dense_values(job, job->flat.dtype, box, worker, &made, err);
    unsigned char *to = code ? NULL : tare_buffer_room(&worker->stage[0], (size_t)n / 2);
    float *values = code ? NULL : tare_buffer_room(&worker->floats, (size_t)n * sizeof *values);
    float *absmax = code ? NULL : tare_buffer_room(&worker->scales, scales);
    if (!code && (!to || !values || !absmax))
        code = tare_fail_memory(err);
    if (code || (code = tare_linear_rows(job, box, made, 0, rows, values, err)))
        return code;
    round_blocks(numbers_of(layout), values, n, to, absmax);
    *bytes += (size_t)n / 2 + scales;
    if ((code = tare_saved_write(layout, job->saved[TARE_PART_WEIGHT], to, (size_t)n / 2, (uint64_t)(low * columns / 2),
                                 err)) ||
        (code = tare_saved_write(layout, job->saved[TARE_PART_SCALES], absmax, scales,
                                 (uint64_t)(low * columns / BLOCK) * sizeof(float), err)))
        return code;
    return low ? TARE_OK : put_told(layout, job, worker, bytes, err);
}

static bool config(json_t *made, const struct tare_layout *layout, const struct tare_model *model)
{
    json_t *kept = tare_linear_kept(layout);
    (void)model;
    json_t *quantization =
        kept ? json_pack("{s:s, s:b, s:b, s:s, s:s, s:b, s:s, s:O}", "quant_method", "bitsandbytes", "load_in_4bit", 1,
                         "load_in_8bit", 0, "bnb_4bit_quant_type", numbers_of(layout)->name, "bnb_4bit_compute_dtype",
                         "bfloat16", "bnb_4bit_use_double_quant", 0, "bnb_4bit_quant_storage", "uint8",
                         "llm_int8_skip_modules", kept)
             : NULL;
    const bool good = quantization && !json_object_set(made, "quantization_config", quantization);
    json_decref(kept);
    json_decref(quantization);
    return good;
}

static enum tare_code begin_target(struct tare_quantizing *q, struct tare_error *err)
{
    const int type = tare_quantizing_word(type_word, q->options->type);
    if (type < 0)
        return tare_fail(err, TARE_E_ARGUMENT, q->options->type,
                         "is no type of bitsandbytes that tare rounds to; nf4 is");
    q->own = (void *)(uintptr_t)&types[type];
    q->base = &tare_format_dense;
    q->format = tare_format_dense;
    q->format.name = "bitsandbytes";
    q->format.begin = begin;
    q->format.lay_out = lay_out;
    q->format.tile = tile;
    q->format.config = config;
    return TARE_OK;
}

/* Readers have one type for the whole model. */
static enum tare_code read_rule(struct tare_quantizing *q, struct tare_quantize_rule *rule, struct tare_error *err)
{
    const struct numbers *numbers = q->own;
    return strcmp(rule->form, numbers->name)
               ? tare_fail(err, TARE_E_ARGUMENT, rule->form, "is not the one type that the model has, %s, nor float",
                           numbers->name)
               : TARE_OK;
}

const struct tare_quantize_target tare_quantize_target_bitsandbytes = {
    .name = "bitsandbytes",
    .takes = TARE_TAKES_TYPE,
    .type = type_word,
    .begin = begin_target,
    .rule = read_rule,
};
