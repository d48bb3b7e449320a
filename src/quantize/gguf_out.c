/* SPDX-License-Identifier: MIT
 * gguf_out.c - floats rounded to GGUF's blocks: which tensors, which type each has, and a tile of rows.
 *
 * As llama-quantize without an importance matrix: matrices of the layers and the embedding have the type; the output
 * head (or the embedding, where it is the head) has Q6_K, or Q8_0 where its columns are no multiple of 256; norms,
 * routers and what is small stay. Of eight experts, keys and values have Q8_0. Source: docs/quantizing.md.
 */
#include <string.h>

#include "base/text.h"
#include "quantize/gguf_types.h"
#include "quantize/quantizing.h"

/* What was asked of GGUF, and of what model. */
struct asked {
    const struct tare_gguf_mixture *mixture;
    bool pure;
    struct tare_gguf_mixing facts;
};

static const char *type_word(size_t index)
{
    const struct tare_gguf_mixture *mixture = tare_gguf_mixture_at(index);
    return mixture ? mixture->word : NULL;
}

static enum tare_code begin(struct tare_layout *layout, struct tare_model *model,
                            const struct tare_convert_options *options, struct tare_error *err)
{
    struct tare_quantizing *q = tare_quantizing_of(layout);
    struct asked *asked = q->own;
    const char *words = tare_arena_format(&layout->arena, "%s%s", asked->mixture->word, asked->pure ? ", pure" : "");
    enum tare_code code = tare_quantizing_say(layout, words, err);
    if (code || (code = q->base->begin(layout, model, options, err)))
        return code;
    struct tare_gguf_out *out = layout->own;
    out->file_type = asked->mixture->number;
    return tare_gguf_mixing(&asked->facts, model, out, &q->arena, err);
}

/* Tensors that llama-quantize leaves as they are, by a part of their names. */
static bool stays(const char *name)
{
    static const char *const parts[] = {"_norm.weight",
                                        "ffn_gate_inp.weight",
                                        "altup",
                                        "laurel",
                                        "per_layer_model_proj",
                                        "position_embd.weight",
                                        "token_types.weight",
                                        "ssm_conv1d.weight",
                                        "shortconv.conv.weight"};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        if (strstr(name, parts[k]))
            return true;
    return !tare_ends_with(name, "weight");
}

static enum tare_dtype type_of(const struct asked *asked, const char *name, int64_t columns)
{
    return asked->pure ? asked->mixture->type : tare_gguf_mixed(asked->mixture, &asked->facts, name, columns);
}

static enum tare_code lay_out(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                              const struct tare_convert_options *options, struct tare_error *err)
{
    struct tare_quantizing *q = tare_quantizing_of(layout);
    enum tare_code code = tare_quantizing_floats(job, err);
    if (code || (code = q->base->lay_out(layout, model, job, options, err)))
        return code;
    struct tare_saved *saved = &layout->saved[layout->n_saved - 1]; /* what the base has laid out, as floats */
    if (saved->rank < 2 || stays(saved->name))
        return TARE_OK;
    const struct tare_quantize_rule *rule = tare_quantizing_rule(q, job, saved->name);
    if (tare_quantizing_stays(q, model, job, rule))
        return TARE_OK;
    const int64_t columns = saved->shape[saved->rank - 1], count = tare_shape_count(saved->rank, saved->shape);
    const enum tare_dtype wanted = rule ? *(const enum tare_dtype *)rule->own : type_of(q->own, saved->name, columns);
    const enum tare_dtype type = tare_gguf_fitting(wanted, columns);
    const struct tare_block_size block = tare_dtype_block(type);
    saved->dtype = type;
    saved->size = (uint64_t)(count / block.columns * block.bytes);
    const bool floats = !tare_gguf_blocks_of(type); /* no blocks fit */
    job->target = (struct tare_target){.packed = !floats || job->half, .dtype = type};
    if (floats && !job->half) {
        job->way = TARE_WAY_ONE;
        tare_job_cut(job);
        return TARE_OK;
    }
    job->way = TARE_WAY_ONE;
    tare_gguf_cut(job, (double)columns * (double)sizeof(float));
    return TARE_OK;
}

static enum tare_code tile(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                           struct tare_worker *worker, uint64_t *bytes, struct tare_error *err)
{
    const enum tare_dtype type = job->target.dtype;
    if ((unsigned)type < TARE_DTYPE_COUNT)
        return tare_gguf_tile(layout, job, box, worker, bytes, err);
    const struct tare_block_size block = tare_dtype_block(type);
    const int64_t low = box->low[job->axis], rows = box->high[job->axis] - low, columns = job->shape[job->rank - 1];
    const size_t row_bytes = (size_t)(columns / block.columns * block.bytes);
    const void *made = NULL;
    int64_t first = 0; /* row of the flattened output */
    for (int k = 0; k <= job->axis; k++)
        first = first * job->shape[k] + box->low[k];
    enum tare_code code = tare_dense_values(job, job->flat.dtype, box, worker, &made, err);
    unsigned char *to = code ? NULL : tare_buffer_room(&worker->stage[0], (size_t)rows * row_bytes);
    float *values = code ? NULL : tare_buffer_room(&worker->floats, (size_t)columns * sizeof *values);
    if (!code && (!to || !values))
        code = tare_fail_memory(err);
    for (int64_t r = 0; r < rows && !code; r++) {
        for (int64_t i = 0; i < columns; i++)
            values[i] = tare_float_at(made, job->flat.dtype, r * columns + i);
        if (!(code = tare_quantizing_finite(job, values, columns, first + r, err)))
            tare_round_blocks(values, columns, type, to + (size_t)(tare_gguf_row(job, low + r) - low) * row_bytes);
    }
    *bytes += (size_t)rows * row_bytes;
    return code ? code
                : tare_saved_write(layout, job->saved[TARE_PART_WEIGHT], to, (size_t)rows * row_bytes,
                                   (uint64_t)first * row_bytes, err);
}

/* ---- what was asked for ------------------------------------------------------------------------------------------ */

static enum tare_code begin_target(struct tare_quantizing *q, struct tare_error *err)
{
    struct asked *asked = q->own = tare_arena_alloc(&q->arena, sizeof *asked);
    const int number = tare_quantizing_word(type_word, q->options->type);
    if (!asked)
        return tare_fail_memory(err);
    if (number < 0)
        return tare_fail(err, TARE_E_ARGUMENT, q->options->type,
                         "is no type of files that tare rounds to; tare quantize --help has all of them");
    *asked = (struct asked){.mixture = tare_gguf_mixture_at((size_t)number), .pure = q->options->pure};
    q->base = &tare_format_gguf;
    q->format = tare_format_gguf;
    q->format.begin = begin;
    q->format.lay_out = lay_out;
    q->format.tile = tile;
    return TARE_OK;
}

/* A kind of blocks: "Q4_K". */
static enum tare_code read_rule(struct tare_quantizing *q, struct tare_quantize_rule *rule, struct tare_error *err)
{
    const struct tare_gguf_blocks *blocks = tare_gguf_blocks_find(rule->form);
    (void)q;
    if (!blocks)
        return tare_fail(err, TARE_E_ARGUMENT, rule->form,
                         "is no kind of blocks that tare rounds to (Q4_K and Q8_0 are two), nor float");
    rule->own = &blocks->type;
    return TARE_OK;
}

const struct tare_quantize_target tare_quantize_target_gguf = {
    .name = "gguf",
    .takes = TARE_TAKES_TYPE | TARE_TAKES_PURE,
    .type = type_word,
    .begin = begin_target,
    .rule = read_rule,
};
