/* SPDX-License-Identifier: MIT
 * awq_format.c - AWQ, gemm: qweight I32 (in, out / 8), qzeros I32 (groups, out / 8), scales (groups, out), 4 bits.
 *
 * Column j of the eight of a word lies in nibble {0, 4, 1, 5, 2, 6, 3, 7}[j]; the zeros likewise. Scales keep their
 * dtype (AutoAWQ writes F16). Source: docs/layouts.md, "AWQ, gemm".
 */
#include <string.h>

#include "base/awq_order.h"
#include "save/integer_rows.h"

static struct tare_integer_limits limits(int bits)
{
    (void)bits;
    return (struct tare_integer_limits){.format = "awq", .bits = 1u << 4, .rows = 8, .columns = 1};
}

static enum tare_code lay_out(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                              const struct tare_convert_options *options, struct tare_error *err)
{
    const struct tare_integer_limits own = limits(job->module->bits);
    bool packed;
    enum tare_code code = tare_integer_lay_out(layout, model, job, options, &own, &packed, err);
    if (code || !packed)
        return code;
    const int64_t out = job->module->shape[0], in = job->module->shape[1], groups = tare_module_groups(job->module);
    const int64_t words[] = {in, out / 8}, zeros[] = {groups, out / 8}, scales[] = {groups, out};
    return tare_integer_add(layout, job, words, zeros, scales, err);
}

/* awq has one group_size for all. */
static enum tare_code settle(const struct tare_layout *layout, struct tare_error *err)
{
    for (size_t k = 0; tare_integer_group_size(layout) != -1 && k < layout->n_jobs; k++) {
        const struct tare_job *job = &layout->jobs[k];
        if (job->target.packed && job->target.group_size != layout->usual.group_size)
            return tare_fail(
                err, TARE_E_TARGET, job->name,
                "group_size %lld, where most have %lld; awq has one for all. --dequantize=MODULE writes it "
                "as floats",
                (long long)job->target.group_size, (long long)layout->usual.group_size);
    }
    return TARE_OK;
}

/* Eight rows of codes, (8, n) at a stride, into words `width` apart. */
static void put_words(const uint8_t *code, int64_t stride, int64_t n, uint32_t *to, int64_t width)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t word = 0;
        for (int j = 0; j < 8; j++)
            word |= (uint32_t)code[j * stride + i] << tare_awq_shift[j];
        to[i * width] = word;
    }
}

static enum tare_code tile(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                           struct tare_worker *worker, uint64_t *bytes, struct tare_error *err)
{
    const int64_t first = box->low[0], n = box->high[0] - first, words = n / 8;
    const int64_t out = job->shape[0], in = job->shape[1], groups = tare_module_groups(job->module);
    const size_t size = tare_dtype_size(job->target.dtype);
    uint32_t *weight = tare_buffer_room(&worker->tile, (size_t)(in * words) * 4);
    uint32_t *zeros = tare_buffer_room(&worker->biases, (size_t)(groups * words) * 4);
    void *scales = tare_buffer_room(&worker->scales, (size_t)(groups * n) * size);
    struct tare_integer_rows rows;
    if (!weight || !zeros || !scales)
        return tare_fail_memory(err);
    enum tare_code code = tare_integer_begin(job, worker, &rows, err);
    for (int64_t r = 0; !code && r < n; r += TARE_BLOCK_ROWS) {
        code = tare_integer_read(job, first + r, n - r < TARE_BLOCK_ROWS ? n - r : TARE_BLOCK_ROWS, &rows, err);
        for (int64_t k = 0; !code && k < rows.n; k += 8) {
            put_words(rows.code + k * in, in, in, weight + (r + k) / 8, words);
            put_words(rows.zero + k * groups, groups, groups, zeros + (r + k) / 8, words);
        }
        if (!code)
            tare_integer_put_scales(job, &rows, first, n, scales);
    }
    const size_t some = (size_t)words * 4, all = (size_t)out / 2;
    struct tare_saved *const *saved = job->saved;
    if (code ||
        (code = tare_saved_write_strided(layout, saved[TARE_PART_WEIGHT], weight, some, in, (uint64_t)first / 2, all,
                                         err)) ||
        (code = tare_saved_write_strided(layout, saved[TARE_PART_ZEROS], zeros, some, groups, (uint64_t)first / 2, all,
                                         err)))
        return code;
    *bytes += some * (size_t)(in + groups) + (size_t)(groups * n) * size;
    return tare_saved_write_strided(layout, saved[TARE_PART_SCALES], scales, (size_t)n * size, groups,
                                    (uint64_t)first * size, (size_t)out * size, err);
}

static bool skip(void *user, const char *path)
{
    return !json_array_append_new(user, json_string(path));
}

/* AutoAWQ and transformers read modules_to_not_convert, GPTQModel `dynamic`. */
static bool config(json_t *made, const struct tare_layout *layout, const struct tare_model *model)
{
    (void)model;
    if (!layout->usual.bits)
        return true;
    struct tare_arena work = {0};
    json_t *skipped = json_array(), *rules = json_object();
    json_t *quantization = json_pack(
        "{s:s, s:s, s:i, s:I, s:b, s:O?}", "quant_method", "awq", "version", "gemm", "bits", layout->usual.bits,
        "group_size", (json_int_t)tare_integer_group_size(layout), "zero_point", 1, "modules_to_not_convert", skipped);
    bool done = skipped && rules && quantization && tare_integer_dense_paths(layout, skip, skipped) &&
                tare_integer_skip_rules(layout, rules, &work);
    if (done && json_object_size(rules))
        done = !json_object_set(quantization, "dynamic", rules);
    done = done && !json_object_set(made, "quantization_config", quantization);
    tare_arena_release(&work);
    json_decref(skipped);
    json_decref(rules);
    json_decref(quantization);
    return done;
}

const struct tare_save_format tare_format_awq = {
    .name = "awq",
    .view = TARE_VIEW_SOURCE,
    .metadata = "pt",
    .library = "transformers",
    .usage = TARE_USAGE_TRANSFORMERS,
    .lay_out = lay_out,
    .settle = settle,
    .tile = tile,
    .limits = limits,
    .config = config,
};
