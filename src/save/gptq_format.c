/* SPDX-License-Identifier: MIT
 * gptq_format.c - GPTQ: qweight I32 (in * bits / 32, out), qzeros I32 (groups, out * bits / 32), scales (groups, out),
 * g_idx I32 (in); 2, 3, 4 and 8 bits (of 5, 6 and 7, writers and readers disagree about the layout).
 *
 * Codes are one stream of bits along the input, zeros along the output, the lowest first. gptq (v1) stores zero - 1,
 * which a zero of 0 has no field for; gptq_v2 stores the zero. Scales keep their dtype. Source: docs/layouts.md,
 * "GPTQ".
 */
#include <stdio.h>
#include <string.h>

#include "packing/mlx/to_mlx.h"
#include "save/integer_rows.h"

/* The fewest of n fields of `bits` bits that fill whole words. */
static int64_t whole_words(int bits)
{
    return bits == 3 ? 32 : 32 / (bits ? bits : 1);
}

/* The layout of formats.def's two words is one; so is what it can hold. */
static struct tare_integer_limits limits(int bits)
{
    return (struct tare_integer_limits){.format = "gptq",
                                        .bits = 1u << 2 | 1u << 3 | 1u << 4 | 1u << 8,
                                        .order = true,
                                        .rows = whole_words(bits),
                                        .columns = whole_words(bits)};
}

static enum tare_code lay_out(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                              const struct tare_convert_options *options, struct tare_error *err)
{
    const int bits = job->module->bits;
    struct tare_integer_limits own = limits(bits);
    bool packed;
    own.format = layout->format->name;
    enum tare_code code = tare_integer_lay_out(layout, model, job, options, &own, &packed, err);
    if (code || !packed)
        return code;
    struct tare_arena *arena = &layout->arena;
    const char *path = tare_job_path(job, arena);
    const int64_t out = job->module->shape[0], in = job->module->shape[1], groups = tare_module_groups(job->module);
    const int64_t words[] = {in * bits / 32, out}, zeros[] = {groups, out * bits / 32}, scales[] = {groups, out};
    code = tare_integer_add(layout, job, words, zeros, scales, err);
    if (!code)
        code =
            tare_layout_add(layout, TARE_PART_G_IDX, tare_arena_format(arena, "%s.g_idx", path), TARE_I32, 1, &in, err);
    return code;
}

static enum tare_code write_order(const struct tare_layout *layout, const struct tare_job *job,
                                  struct tare_worker *worker, uint64_t *bytes, struct tare_error *err)
{
    const int64_t in = job->shape[1];
    int32_t *order = tare_buffer_room(&worker->stage[0], (size_t)in * sizeof *order);
    if (!order)
        return tare_fail_memory(err);
    for (int64_t i = 0; i < in; i++)
        order[i] = (int32_t)tare_module_group(job->module, job->parts[0], i);
    *bytes += (size_t)in * sizeof *order;
    return tare_saved_write(layout, job->saved[TARE_PART_G_IDX], order, (size_t)in * sizeof *order, 0, err);
}

/* Codes of the rows, each a stream of words, transposed into the tile (in * bits / 32, width). */
static void put_codes(const struct tare_integer_rows *rows, int64_t in, int bits, uint32_t *stream, uint32_t *to,
                      int64_t width)
{
    const int64_t words = in * bits / 32;
    for (int64_t r = 0; r < rows->n; r += 16) { /* 16 words are a cache line of the tile */
        const int64_t end = rows->n - r < 16 ? rows->n - r : 16;
        for (int64_t k = 0; k < end; k++)
            tare_mlx_pack(rows->code + (r + k) * in, bits, in, stream + k * words);
        for (int64_t w = 0; w < words; w++)
            for (int64_t k = 0; k < end; k++)
                to[w * width + r + k] = stream[k * words + w];
    }
}

/* Zeros of the rows, a whole number of words a group, into the tile (groups, width). */
static enum tare_code put_zeros(const struct tare_job *job, const struct tare_integer_rows *rows, bool v1, uint32_t *to,
                                int64_t width, struct tare_error *err)
{
    const int64_t groups = tare_module_groups(job->module);
    uint8_t field[TARE_BLOCK_ROWS];
    for (int64_t g = 0; g < groups; g++) {
        for (int64_t r = 0; r < rows->n; r++) {
            const uint8_t zero = rows->zero[r * groups + g];
            if (v1 && !zero)
                return tare_fail(err, TARE_E_TARGET, job->name,
                                 "row %lld, group %lld: a zero of 0, which gptq (v1) stores as -1 and readers take for "
                                 "unlike things; --to gptq_v2 holds it",
                                 (long long)(rows->row + r), (long long)g);
            field[r] = (uint8_t)(zero - (v1 ? 1 : 0));
        }
        tare_mlx_pack(field, job->target.bits, rows->n, to + g * width);
    }
    return TARE_OK;
}

static enum tare_code tile(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                           struct tare_worker *worker, uint64_t *bytes, struct tare_error *err)
{
    const int bits = job->target.bits;
    const int64_t first = box->low[0], n = box->high[0] - first, out = job->shape[0], in = job->shape[1];
    const int64_t groups = tare_module_groups(job->module), words = in * bits / 32, zero_words = n * bits / 32;
    const size_t size = tare_dtype_size(job->target.dtype);
    const bool v1 = !strcmp(layout->format->name, tare_format_gptq.name);
    uint32_t *weight = tare_buffer_room(&worker->tile, (size_t)(words * n) * 4);
    uint32_t *zeros = tare_buffer_room(&worker->biases, (size_t)(groups * zero_words) * 4);
    uint32_t *stream = tare_buffer_room(&worker->stage[1], (size_t)words * 4 * 16);
    void *scales = tare_buffer_room(&worker->scales, (size_t)(groups * n) * size);
    struct tare_integer_rows rows;
    if (!weight || !zeros || !scales || !stream)
        return tare_fail_memory(err);
    enum tare_code code = tare_integer_begin(job, worker, &rows, err);
    for (int64_t r = 0; !code && r < n; r += TARE_BLOCK_ROWS) {
        if ((code = tare_integer_read(job, first + r, n - r < TARE_BLOCK_ROWS ? n - r : TARE_BLOCK_ROWS, &rows, err)) ||
            (code = put_zeros(job, &rows, v1, zeros + r * bits / 32, zero_words, err)))
            break;
        put_codes(&rows, in, bits, stream, weight + r, n);
        tare_integer_put_scales(job, &rows, first, n, scales);
    }
    if (code ||
        (code = tare_saved_write_strided(layout, job->saved[TARE_PART_WEIGHT], weight, (size_t)n * 4, words,
                                         (uint64_t)first * 4, (size_t)out * 4, err)) ||
        (code = tare_saved_write_strided(layout, job->saved[TARE_PART_ZEROS], zeros, (size_t)zero_words * 4, groups,
                                         (uint64_t)(first * bits / 8), (size_t)(out * bits / 8), err)) ||
        (code = tare_saved_write_strided(layout, job->saved[TARE_PART_SCALES], scales, (size_t)n * size, groups,
                                         (uint64_t)first * size, (size_t)out * size, err)))
        return code;
    *bytes += (size_t)(words * n + groups * zero_words) * 4 + (size_t)(groups * n) * size;
    return first ? TARE_OK : write_order(layout, job, worker, bytes, err);
}

/* The modules whose bits or group_size are not those of most, and those that are dense. */
static bool list_exceptions(const struct tare_layout *layout, int64_t group_size, json_t *rules,
                            struct tare_arena *work)
{
    for (size_t k = 0; k < layout->n_jobs; k++) {
        const struct tare_job *job = &layout->jobs[k];
        const struct tare_target *target = &job->target;
        const bool whole = target->packed && target->group_size == job->module->shape[1];
        if (!target->packed || (target->bits == layout->usual.bits &&
                                (group_size == -1 ? whole : target->group_size == layout->usual.group_size)))
            continue;
        const char *pattern = tare_integer_pattern(work, '+', tare_job_path(job, work));
        if (!pattern || json_object_set_new(rules, pattern,
                                            json_pack("{s:i, s:I}", "bits", target->bits, "group_size",
                                                      whole ? (json_int_t)-1 : (json_int_t)target->group_size)))
            return false;
    }
    return tare_integer_skip_rules(layout, rules, work);
}

static bool head_packed(const struct tare_layout *layout)
{
    for (size_t k = 0; k < layout->n_jobs; k++)
        if (layout->jobs[k].target.packed && !strcmp(layout->jobs[k].name, "lm_head.weight"))
            return true;
    return false;
}

static bool ordered(const struct tare_layout *layout)
{
    for (size_t k = 0; k < layout->n_jobs; k++)
        if (layout->jobs[k].target.packed && layout->jobs[k].module->act_order)
            return true;
    return false;
}

static bool config(json_t *made, const struct tare_layout *layout, const struct tare_model *model)
{
    const int64_t group_size = tare_integer_group_size(layout);
    struct tare_arena work = {0};
    json_t *rules = json_object();
    char writer[32];
    (void)model;
    snprintf(writer, sizeof writer, "tare:%s", tare_version());
    if (!layout->usual.bits) {
        json_decref(rules);
        return true;
    }
    /* GPTQModel loads asymmetric v1 only where `meta` names itself; its rule for zeros is then meant, which without a
     * zero of 0 is everybody's. */
    json_t *quantization =
        json_pack("{s:s, s:i, s:I, s:b, s:b, s:b, s:s, s:{s:[s, s]}}", "quant_method", "gptq", "bits",
                  layout->usual.bits, "group_size", (json_int_t)group_size, "sym", tare_integer_symmetric(layout),
                  "desc_act", ordered(layout), "lm_head", head_packed(layout), "checkpoint_format",
                  layout->format->name, "meta", "quantizer", writer, "gptqmodel:7.7.0");
    bool done = rules && quantization && list_exceptions(layout, group_size, rules, &work);
    if (done && json_object_size(rules))
        done = !json_object_set(quantization, "dynamic", rules);
    done = done && !json_object_set(made, "quantization_config", quantization);
    tare_arena_release(&work);
    json_decref(rules);
    json_decref(quantization);
    return done;
}

#define GPTQ(word)                                                                                                     \
    {                                                                                                                  \
        .name = word, .view = TARE_VIEW_SOURCE, .metadata = "pt", .library = "transformers",                           \
        .usage = TARE_USAGE_TRANSFORMERS, .lay_out = lay_out, .tile = tile, .limits = limits, .config = config         \
    }
const struct tare_save_format tare_format_gptq = GPTQ("gptq");
const struct tare_save_format tare_format_gptq_v2 = GPTQ("gptq_v2");
