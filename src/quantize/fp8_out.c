/* SPDX-License-Identifier: MIT
 * fp8_out.c - linear layers rounded to e4m3 with a float32 scale for each 128 x 128, as transformers' FineGrainedFP8
 * writes them and DeepSeek's checkpoints are: X.weight, X.weight_scale_inv.
 *
 *     scale = 1 / max|w| of the block * 448, or 1 where that is 0
 *     code  = e4m3(w * scale)                                     weight_scale_inv = 1 / scale
 *
 * all in float32. Blocks at the last rows and columns may be smaller. Source: docs/quantizing.md.
 */
#include <math.h>
#include <string.h>

#include "quantize/linear_out.h"

#define BLOCK 128
#define LARGEST 448.0f
#define TILE_BYTES 1048576.0

static int64_t blocks_of(int64_t n)
{
    return (n + BLOCK - 1) / BLOCK;
}

static enum tare_code begin(struct tare_layout *layout, struct tare_model *model,
                            const struct tare_convert_options *options, struct tare_error *err)
{
    const struct tare_quantizing *q = tare_quantizing_of(layout);
    const enum tare_code code = tare_quantizing_say(layout, "fp8, blocks of 128 x 128", err);
    return code || !q->base->begin ? code : q->base->begin(layout, model, options, err);
}

static enum tare_code lay_out(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                              const struct tare_convert_options *options, struct tare_error *err)
{
    struct tare_quantizing *q = tare_quantizing_of(layout);
    enum tare_code code;
    if (!tare_linear_rounds(q, model, job, &code, err))
        return code ? code : q->base->lay_out(layout, model, job, options, err);
    const int64_t *shape = job->flat.shape, blocks[2] = {blocks_of(shape[0]), blocks_of(shape[1])};
    job->target = (struct tare_target){.packed = true, .dtype = TARE_F8_E4M3, .bits = 8, .group_size = BLOCK};
    job->way = TARE_WAY_ONE;
    code = tare_layout_add(layout, TARE_PART_WEIGHT, job->name, TARE_F8_E4M3, 2, shape, err);
    if (!code)
        code = tare_layout_add(layout, TARE_PART_SCALES, tare_arena_format(&layout->arena, "%s_scale_inv", job->name),
                               TARE_F32, 2, blocks, err);
    const double strip = (double)shape[1] * BLOCK * (double)sizeof(float);
    tare_job_cut_rows(job, BLOCK * (strip < TILE_BYTES ? (int64_t)(TILE_BYTES / strip) : 1));
    return code;
}

/* The rows of one strip of blocks. */
static void round_strip(const float *values, int64_t rows, int64_t columns, unsigned char *to, float *inverse)
{
    for (int64_t b = 0; b < columns; b += BLOCK) {
        const int64_t end = b + BLOCK < columns ? b + BLOCK : columns;
        float most = 0;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = b; i < end; i++)
                most = fabsf(values[r * columns + i]) > most ? fabsf(values[r * columns + i]) : most;
        const float scale = most > 0 ? 1 / most * LARGEST : 1;
        inverse[b / BLOCK] = 1 / scale;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = b; i < end; i++)
                to[r * columns + i] = tare_to_e4m3(values[r * columns + i] * scale);
    }
}

static enum tare_code tile(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                           struct tare_worker *worker, uint64_t *bytes, struct tare_error *err)
{
    const int64_t low = box->low[0], rows = box->high[0] - low, columns = job->shape[1], across = blocks_of(columns);
    const size_t n = (size_t)(rows * columns), scales = (size_t)(blocks_of(rows) * across) * sizeof(float);
    const void *made = NULL;
    enum tare_code code = tare_dense_values(job, job->flat.dtype, box, worker, &made, err);
    unsigned char *to = code ? NULL : tare_buffer_room(&worker->stage[0], n);
    float *values = code ? NULL : tare_buffer_room(&worker->floats, (size_t)(BLOCK * columns) * sizeof *values);
    float *inverse = code ? NULL : tare_buffer_room(&worker->scales, scales);
    if (!code && (!to || !values || !inverse))
        code = tare_fail_memory(err);
    for (int64_t r = 0; r < rows && !code; r += BLOCK) {
        const int64_t strip = rows - r < BLOCK ? rows - r : BLOCK;
        if (!(code = tare_linear_rows(job, box, made, r, strip, values, err)))
            round_strip(values, strip, columns, to + r * columns, inverse + r / BLOCK * across);
    }
    *bytes += n + scales;
    if (code || (code = tare_saved_write(layout, job->saved[TARE_PART_WEIGHT], to, n, (uint64_t)(low * columns), err)))
        return code;
    return tare_saved_write(layout, job->saved[TARE_PART_SCALES], inverse, scales,
                            (uint64_t)(low / BLOCK * across) * sizeof(float), err);
}

static bool config(json_t *made, const struct tare_layout *layout, const struct tare_model *model)
{
    json_t *kept = tare_linear_kept(layout);
    (void)model;
    json_t *quantization =
        kept ? json_pack("{s:s, s:s, s:s, s:[i, i], s:O}", "quant_method", "fp8", "activation_scheme", "dynamic", "fmt",
                         "e4m3", "weight_block_size", BLOCK, BLOCK, "modules_to_not_convert", kept)
             : NULL;
    const bool good = quantization && !json_object_set(made, "quantization_config", quantization);
    json_decref(kept);
    json_decref(quantization);
    return good;
}

static enum tare_code begin_target(struct tare_quantizing *q, struct tare_error *err)
{
    (void)err;
    q->base = &tare_format_dense;
    q->format = tare_format_dense;
    q->format.name = "fp8";
    q->format.begin = begin;
    q->format.lay_out = lay_out;
    q->format.tile = tile;
    q->format.config = config;
    return TARE_OK;
}

static enum tare_code read_rule(struct tare_quantizing *q, struct tare_quantize_rule *rule, struct tare_error *err)
{
    (void)q;
    return strcmp(rule->form, "fp8")
               ? tare_fail(err, TARE_E_ARGUMENT, rule->form, "is no form of fp8; it is fp8 or float")
               : TARE_OK;
}

const struct tare_quantize_target tare_quantize_target_fp8 = {
    .name = "fp8",
    .begin = begin_target,
    .rule = read_rule,
};
