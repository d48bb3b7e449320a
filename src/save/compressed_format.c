/* SPDX-License-Identifier: MIT
 * compressed_format.c - compressed-tensors, pack-quantized: weight_packed I32 (out, words), weight_scale (out, groups),
 * weight_shape I64 (2), and, of asymmetric modules, weight_zero_point I32 (words, groups); 2 to 8 bits.
 *
 * Codes are one stream of bits along the input, zeros along the output, the lowest first, padded to whole words: what
 * compressed-tensors 0.19 writes. (Until 0.12 fields of 3, 5, 6 and 7 bits did not straddle words.) Code and zero are
 * unsigned, as the neutral form has them. Scales keep their dtype. Source: docs/layouts.md, "pack-quantized".
 */
#include <string.h>

#include "base/map.h"
#include "packing/mlx/to_mlx.h"
#include "save/integer_rows.h"

static struct tare_integer_limits limits(int bits)
{
    (void)bits;
    return (struct tare_integer_limits){
        .format = "compressed-tensors", .bits = 0x1fc, .embeddings = true, .rows = 1, .columns = 1};
}

static int64_t words_of(int64_t fields, int bits)
{
    return (fields * bits + 31) / 32;
}

static enum tare_code lay_out(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                              const struct tare_convert_options *options, struct tare_error *err)
{
    const struct tare_integer_limits own = limits(job->module->bits);
    bool packed;
    enum tare_code code = tare_integer_lay_out(layout, model, job, options, &own, &packed, err);
    if (code || !packed)
        return code;
    struct tare_arena *arena = &layout->arena;
    const char *path = tare_job_path(job, arena);
    const int bits = job->target.bits;
    const int64_t out = job->module->shape[0], in = job->module->shape[1], groups = tare_module_groups(job->module);
    const int64_t words[] = {out, words_of(in, bits)}, zeros[] = {words_of(out, bits), groups};
    const int64_t scales[] = {out, groups}, two = 2;
    code = tare_layout_add(layout, TARE_PART_WEIGHT, tare_arena_format(arena, "%s.weight_packed", path), TARE_I32, 2,
                           words, err);
    if (!code)
        code = tare_layout_add(layout, TARE_PART_SCALES, tare_arena_format(arena, "%s.weight_scale", path),
                               job->target.dtype, 2, scales, err);
    if (!code && !job->symmetric)
        code = tare_layout_add(layout, TARE_PART_ZEROS, tare_arena_format(arena, "%s.weight_zero_point", path),
                               TARE_I32, 2, zeros, err);
    if (!code)
        code = tare_layout_add(layout, TARE_PART_SHAPE, tare_arena_format(arena, "%s.weight_shape", path), TARE_I64, 1,
                               &two, err);
    return code;
}

/* Codes of the rows into (rows, words); room holds a row padded to 32 fields. */
static void put_codes(const struct tare_integer_rows *rows, int64_t in, int bits, uint8_t *room, uint32_t *to)
{
    const int64_t padded = (in + 31) / 32 * 32, words = words_of(in, bits);
    for (int64_t r = 0; r < rows->n; r++) {
        const uint8_t *code = rows->code + r * in;
        if (in * bits % 32 == 0) {
            tare_mlx_pack(code, bits, in, to + r * words);
            continue;
        }
        uint32_t *stream = (uint32_t *)(void *)(room + padded);
        memset(room, 0, (size_t)padded);
        memcpy(room, code, (size_t)in);
        tare_mlx_pack(room, bits, padded, stream);
        memcpy(to + r * words, stream, (size_t)words * 4);
    }
}

/* Zeros of a block of rows, which begins with a whole word, into (words, groups). */
static void put_zeros(const struct tare_integer_rows *rows, int64_t groups, int bits, uint32_t *to)
{
    const int64_t words = words_of(rows->n, bits);
    uint32_t stream[TARE_BLOCK_ROWS / 4];
    uint8_t field[TARE_BLOCK_ROWS];
    for (int64_t g = 0; g < groups; g++) {
        memset(field, 0, sizeof field);
        for (int64_t r = 0; r < rows->n; r++)
            field[r] = rows->zero[r * groups + g];
        tare_mlx_pack(field, bits, TARE_BLOCK_ROWS, stream);
        for (int64_t w = 0; w < words; w++)
            to[w * groups + g] = stream[w];
    }
}

static enum tare_code write_shape(const struct tare_layout *layout, const struct tare_job *job, uint64_t *bytes,
                                  struct tare_error *err)
{
    const int64_t shape[] = {job->shape[0], job->shape[1]};
    *bytes += sizeof shape;
    return tare_saved_write(layout, job->saved[TARE_PART_SHAPE], shape, sizeof shape, 0, err);
}

static enum tare_code tile(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                           struct tare_worker *worker, uint64_t *bytes, struct tare_error *err)
{
    const int bits = job->target.bits;
    const int64_t first = box->low[0], n = box->high[0] - first, in = job->shape[1];
    const int64_t groups = tare_module_groups(job->module), words = words_of(in, bits), padded = (in + 31) / 32 * 32;
    const size_t size = tare_dtype_size(job->target.dtype);
    const size_t weight_bytes = (size_t)(n * words) * 4, zero_bytes = (size_t)(words_of(n, bits) * groups) * 4;
    const size_t scale_bytes = (size_t)(n * groups) * size;
    uint32_t *weight = tare_buffer_room(&worker->tile, weight_bytes);
    uint32_t *zeros = tare_buffer_room(&worker->biases, zero_bytes);
    uint8_t *room = tare_buffer_room(&worker->stage[0], (size_t)padded * 2);
    unsigned char *scales = tare_buffer_room(&worker->scales, scale_bytes);
    struct tare_integer_rows rows;
    if (!weight || !zeros || !scales || !room)
        return tare_fail_memory(err);
    enum tare_code code = tare_integer_begin(job, worker, &rows, err);
    for (int64_t r = 0; !code && r < n; r += TARE_BLOCK_ROWS) {
        if ((code = tare_integer_read(job, first + r, n - r < TARE_BLOCK_ROWS ? n - r : TARE_BLOCK_ROWS, &rows, err)))
            break;
        put_codes(&rows, in, bits, room, weight + r * words);
        put_zeros(&rows, groups, bits, zeros + r * bits / 32 * groups);
        for (int64_t k = 0; k < rows.n * groups; k++)
            tare_float_put(scales, job->target.dtype, r * groups + k, rows.scale[k]);
    }
    if (code ||
        (code = tare_saved_write(layout, job->saved[TARE_PART_WEIGHT], weight, weight_bytes,
                                 (uint64_t)(first * words) * 4, err)) ||
        (code = tare_saved_write(layout, job->saved[TARE_PART_SCALES], scales, scale_bytes,
                                 (uint64_t)(first * groups) * size, err)))
        return code;
    *bytes += weight_bytes + scale_bytes;
    if (job->saved[TARE_PART_ZEROS]) {
        *bytes += zero_bytes;
        code = tare_saved_write(layout, job->saved[TARE_PART_ZEROS], zeros, zero_bytes,
                                (uint64_t)(first * bits / 32 * groups) * 4, err);
    }
    return code || first ? code : write_shape(layout, job, bytes, err);
}

/* One group of the config: what modules of one kind are. */
static json_t *group_of(int bits, int64_t group_size, bool symmetric)
{
    json_t *weights =
        json_pack("{s:i, s:s, s:b, s:s, s:b, s:n, s:n}", "num_bits", bits, "type", "int", "symmetric", symmetric,
                  "strategy", group_size < 0 ? "channel" : "group", "dynamic", 0, "actorder", "block_structure");
    if (weights &&
        json_object_set_new(weights, "group_size", group_size < 0 ? json_null() : json_integer(group_size))) {
        json_decref(weights);
        return NULL;
    }
    return json_pack("{s:s, s:[], s:o, s:n, s:n}", "format", "pack-quantized", "targets", "weights", weights,
                     "input_activations", "output_activations");
}

/* The group of a form, made where it is new; NULL: no memory. Borrowed. */
static json_t *find_group(json_t *groups, struct tare_map *known, struct tare_arena *work, int bits, int64_t group_size,
                          bool symmetric)
{
    const char *key = tare_arena_format(work, "%d %lld %d", bits, (long long)group_size, symmetric);
    uint32_t before = TARE_MAP_NONE;
    const size_t n = json_object_size(groups);
    if (!key || !tare_map_put(known, key, strlen(key), (uint32_t)n, &before))
        return NULL;
    const char *name = tare_arena_format(work, "group_%zu", before == TARE_MAP_NONE ? n : (size_t)before);
    if (!name || (before == TARE_MAP_NONE && json_object_set_new(groups, name, group_of(bits, group_size, symmetric))))
        return NULL;
    return json_object_get(groups, name);
}

/* A job's own name as a target of its group. */
static bool add_target(const struct tare_layout *layout, const struct tare_job *job, json_t *groups,
                       struct tare_map *known, struct tare_arena *work)
{
    const struct tare_target *target = &job->target;
    const int64_t general = tare_integer_group_size(layout);
    const bool whole = target->group_size == job->module->shape[1] && target->group_size != general;
    const json_t *group =
        find_group(groups, known, work, target->bits, whole ? -1 : target->group_size, job->symmetric);
    return group && !json_array_append_new(json_object_get(group, "targets"), json_string(tare_job_path(job, work)));
}

/*
 * Of one group the target is the class Linear, and an embedding's name beside it. Of several each has all its names:
 * readers do not agree that a name goes before a class.
 */
static bool list_groups(const struct tare_layout *layout, json_t *groups, struct tare_map *known,
                        struct tare_arena *work)
{
    for (size_t k = 0; k < layout->n_jobs; k++)
        if (layout->jobs[k].target.packed && !add_target(layout, &layout->jobs[k], groups, known, work))
            return false;
    if (json_object_size(groups) > 1)
        return true;
    json_t *targets = json_object_get(json_object_get(groups, "group_0"), "targets");
    if (json_array_clear(targets) || json_array_append_new(targets, json_string("Linear")))
        return false;
    for (size_t k = 0; k < layout->n_jobs; k++)
        if (layout->jobs[k].target.packed && layout->jobs[k].kind == TARE_KIND_EMBEDDING &&
            json_array_append_new(targets, json_string(tare_job_path(&layout->jobs[k], work))))
            return false;
    return true;
}

static bool ignore(void *user, const char *path)
{
    return !json_array_append_new(user, json_string(path));
}

static bool is_head(const char *path)
{
    const char *dot = strrchr(path, '.');
    return !strcmp(dot ? dot + 1 : path, "lm_head");
}

/* A tied head has no tensor here, but readers have the layer, and it is a Linear. */
static bool ignore_head(const struct tare_layout *layout, json_t *ignored)
{
    struct tare_arena work = {0};
    bool there = false;
    for (size_t k = 0; k < layout->n_jobs; k++)
        there |= is_head(tare_job_path(&layout->jobs[k], &work));
    const bool failed = work.failed;
    tare_arena_release(&work);
    return !failed && (there || ignore(ignored, "lm_head"));
}

static bool config(json_t *made, const struct tare_layout *layout, const struct tare_model *model)
{
    (void)model;
    if (!layout->usual.bits)
        return true;
    struct tare_arena work = {0};
    struct tare_map known = {0};
    json_t *groups = json_object(), *ignored = json_array();
    bool done = groups && ignored && list_groups(layout, groups, &known, &work) &&
                tare_integer_dense_paths(layout, ignore, ignored) && ignore_head(layout, ignored);
    json_t *quantization = json_pack("{s:s, s:s, s:s, s:O?, s:O?, s:n, s:n}", "quant_method", "compressed-tensors",
                                     "format", "pack-quantized", "quantization_status", "compressed", "config_groups",
                                     groups, "ignore", ignored, "kv_cache_scheme", "global_compression_ratio");
    done = done && !work.failed && quantization && !json_object_set(made, "quantization_config", quantization);
    tare_map_release(&known);
    tare_arena_release(&work);
    json_decref(groups);
    json_decref(ignored);
    json_decref(quantization);
    return done;
}

const struct tare_save_format tare_format_compressed_tensors = {
    .name = "compressed-tensors",
    .view = TARE_VIEW_SOURCE,
    .metadata = "pt",
    .library = "transformers",
    .usage = TARE_USAGE_TRANSFORMERS,
    .lay_out = lay_out,
    .tile = tile,
    .limits = limits,
    .config = config,
};
