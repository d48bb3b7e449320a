/* SPDX-License-Identifier: MIT
 * gguf_tile.c - a tile of rows of a GGUF tensor: blocks of codes, or floats whose rows change places.
 *
 * Rows of q and k of the llama family: ggml rotates neighbours (2j, 2j + 1) of a head where the model's own files have
 * them half a head apart, so row h * half + j of a head becomes row 2j + h. Source: llama.cpp, conversion/llama.py,
 * LlamaModel.permute.
 */
#include <math.h>
#include <string.h>

#include "packing/gguf/gguf_block.h" /* and to_mlx.h */
#include "packing/value.h"
#include "save/gguf_write.h"
#include "save/integer_rows.h"

#define COLUMNS 32
#define ROWS 128 /* decoded at once */

struct tile {
    const struct tare_job *job;
    struct tare_worker *worker;
    struct tare_error *err;
    unsigned char *data;
    int64_t low, columns; /* the tile's first row */
    size_t row_bytes;
    struct tare_codes codes; /* ROWS rows */
};

/* Row h * half + j of a head becomes 2j + h. */
int64_t tare_gguf_row(const struct tare_job *job, int64_t row)
{
    const int64_t half = job->half;
    if (!half)
        return row;
    const int64_t in_head = row % (2 * half);
    return row - in_head + 2 * (in_head % half) + in_head / half;
}

/* The place of a parameter's row within the tile, which holds whole heads. */
static int64_t place_of(const struct tile *tile, int64_t row)
{
    return tare_gguf_row(tile->job, row) - tile->low;
}

static enum tare_code fail_scale(const struct tile *tile, const struct tare_module *module, int64_t row,
                                 const char *what, float value)
{
    return tare_fail(tile->err, TARE_E_TARGET, module->name,
                     "row %lld: the %s %.9g is no float16 number, which a block of GGUF needs; --dequantize=MODULE "
                     "writes it as floats",
                     (long long)row, what, (double)value);
}

static enum tare_code fail_code(const struct tile *tile, const struct tare_module *module, int64_t row, float scale,
                                float offset)
{
    return tare_fail(
        tile->err, TARE_E_TARGET, module->name,
        "row %lld: codes of %d bits with the scale %.9g and the %s %.9g do not fit %s; --dequantize=MODULE "
        "writes it as floats",
        (long long)row, module->bits, (double)scale, module->packing->biases ? "bias" : "zero", (double)offset,
        tare_dtype_name(tile->job->target.dtype));
}

/* ---- blocks ---------------------------------------------------------------------------------------------------- */

/* One group of a row: its scale and offset as blocks have them. */
struct group {
    uint16_t d, m;
    int zero;
};

static void put_half(unsigned char *to, uint16_t half)
{
    to[0] = (unsigned char)(half & 255);
    to[1] = (unsigned char)(half >> 8);
}

/* What a group's offset is off by is counted, once a group. False: it may not be off, or is no number. */
static bool count_lost(const struct tile *tile, double lost)
{
    if (!isfinite(lost))
        return false;
    if (lost > 0) {
        tile->worker->tally.rounded++;
        tile->worker->tally.most = fmax(tile->worker->tally.most, lost);
    }
    return lost == 0 || !tile->job->exact;
}

/* m = -zero * scale, rounded once. */
static bool round_offset(const struct tile *tile, float offset, struct group *group)
{
    group->m = tare_to_float16(offset);
    return count_lost(tile, fabs((double)tare_from_float16(group->m) - (double)offset));
}

static enum tare_code read_group(const struct tile *tile, const struct tare_module *module, int64_t row, float scale,
                                 float offset, struct group *group)
{
    const enum tare_dtype type = tile->job->target.dtype;
    const bool biases = module->packing->biases;
    group->d = tare_to_float16(scale);
    if (!(tare_from_float16(group->d) == scale) || !isfinite(scale))
        return fail_scale(tile, module, row, "scale", scale);
    if (type == TARE_Q4_1) {
        const float m = biases ? offset : -offset * scale;
        return round_offset(tile, m, group) ? TARE_OK : fail_scale(tile, module, row, "offset", m);
    }
    group->zero = biases ? tare_zero_of_bias(scale, offset, module->dtype, (1 << module->bits) - 1)
                  : offset >= 0 && offset <= 256 ? (int)offset
                                                 : -1;
    if (group->zero < 0 && biases)
        return tare_fail(
            tile->err, TARE_E_TARGET, module->name,
            "row %lld: the bias %.9g is no whole multiple of the scale %.9g, so codes of %d bits have no zero "
            "that Q8_0 could take off; --dequantize=MODULE writes floats",
            (long long)row, (double)offset, (double)scale, module->bits);
    if (biases && !count_lost(tile, fabs((double)group->zero * (double)scale + (double)offset)))
        return tare_fail(
            tile->err, TARE_E_TARGET, module->name,
            "row %lld: the bias %.9g was rounded when it was made of the zero %d, and Q8_0 would hold what it "
            "was before; without --exact that is counted",
            (long long)row, (double)offset, group->zero);
    if (group->zero < 0 || (!biases && (float)group->zero != offset))
        return fail_code(tile, module, row, scale, offset);
    return TARE_OK;
}

/* 32 codes plus shift as nibbles: byte j has columns j and j + 16. False: one does not fit. */
static bool put_nibbles(const uint8_t *code, int shift, unsigned char *to)
{
    unsigned bad = 0;
    const uint8_t add = (uint8_t)shift; /* what falls below zero has high bits too */
    for (int j = 0; j < 16; j++) {
        const uint8_t low = (uint8_t)(code[j] + add), high = (uint8_t)(code[j + 16] + add);
        bad |= (unsigned)(low | high) & 0xf0u;
        to[j] = (unsigned char)(low | high << 4);
    }
    return !bad;
}

static bool put_signed(const uint8_t *code, int zero, unsigned char *to)
{
    unsigned bad = 0;
    for (int j = 0; j < COLUMNS; j++) {
        const int value = code[j] - zero;
        bad |= (unsigned)(value + 128) & ~255u;
        to[j] = (unsigned char)value;
    }
    return !bad;
}

static enum tare_code put_row(const struct tile *tile, const struct tare_module *module, int64_t row,
                              const uint8_t *code, const float *scale, const float *offset, unsigned char *to)
{
    const enum tare_dtype type = tile->job->target.dtype;
    const size_t bytes = (size_t)tare_dtype_block(type).bytes;
    struct group group = {0};
    for (int64_t i = 0; i < tile->columns; i += COLUMNS, to += bytes) {
        const int64_t g = i / module->group_size;
        if (i % module->group_size == 0) {
            const enum tare_code failed = read_group(tile, module, row, scale[g], offset[g], &group);
            if (failed)
                return failed;
        }
        bool fits;
        put_half(to, group.d);
        if (type == TARE_Q4_1) {
            put_half(to + 2, group.m);
            fits = put_nibbles(code + i, 0, to + 4);
        } else {
            fits = type == TARE_Q4_0 ? put_nibbles(code + i, 8 - group.zero, to + 2)
                                     : put_signed(code + i, group.zero, to + 2);
        }
        if (!fits)
            return fail_code(tile, module, row, scale[g], offset[g]);
    }
    return TARE_OK;
}

/* A scale of MXFP4 is a power of two, and a block has its exponent. */
static enum tare_code put_mxfp4(const struct tile *tile, const struct tare_module *module, int64_t row,
                                const uint8_t *code, const float *scale, unsigned char *to)
{
    for (int64_t i = 0; i < tile->columns; i += COLUMNS, to += 17) {
        const float value = scale[i / module->group_size];
        int exponent = 0;
        if (!(value > 0) || !isfinite(value) || frexpf(value, &exponent) != 0.5f)
            return fail_scale(tile, module, row, "scale", value);
        to[0] = (unsigned char)(exponent - 1 + 127);
        if (!put_nibbles(code + i, 0, to + 1))
            return fail_code(tile, module, row, value, 0);
    }
    return TARE_OK;
}

/* ---- blocks of what a packing makes for MLX at once ---------------------------------------------------------------
 */

/* MLX's rows have column 2i in the low and 2i + 1 in the high half of byte i: 16 bytes into a block's. */
static void turn_nibbles(const unsigned char *from, unsigned char *to)
{
    for (int i = 0; i < 8; i++) {
        const unsigned first = from[i], second = from[i + 8];
        to[2 * i] = (unsigned char)((first & 15) | second << 4);
        to[2 * i + 1] = (unsigned char)(first >> 4 | (second & 0xf0));
    }
}

/* Does a packing's own way to MLX give what blocks of 4 bits need? MLX's bias in float16 is Q4_1's offset. */
static bool turns(const struct tile *tile, const struct tare_module *module)
{
    const enum tare_dtype type = tile->job->target.dtype;
    return module->packing->to_mlx && module->bits == 4 && module->dtype == TARE_F16 && !module->packing->biases &&
           (type == TARE_Q4_1 || type == TARE_Q4_0);
}

/* The group from MLX's scale and bias. Its zero is the whole number nearest to -bias / scale: fewer than 16 multiples
 * of a float16 are rounded by less than half of it. */
static enum tare_code turn_group(const struct tile *tile, const struct tare_module *module, int64_t row, uint16_t scale,
                                 uint16_t bias)
{
    const float s = tare_from_float16(scale), m = tare_from_float16(bias);
    if (!isfinite(s))
        return fail_scale(tile, module, row, "scale", s);
    if (!isfinite(m))
        return fail_scale(tile, module, row, "offset", m);
    if (tile->job->target.dtype == TARE_Q4_0)
        return m == -8 * s ? TARE_OK : fail_code(tile, module, row, s, s == 0 ? 0 : rintf(-m / s));
    const double lost = s == 0 ? 0 : fabs((double)m + (double)(int)(-m / s + 0.5f) * (double)s);
    count_lost(tile, lost);
    return TARE_OK;
}

static enum tare_code turn_row(const struct tile *tile, const struct tare_module *module, int64_t row,
                               const unsigned char *weight, const uint16_t *scale, const uint16_t *bias,
                               unsigned char *to)
{
    const bool offset = tile->job->target.dtype == TARE_Q4_1;
    const int64_t groups = tare_module_groups(module), blocks = module->group_size / COLUMNS;
    for (int64_t g = 0; g < groups; g++) {
        const enum tare_code code = turn_group(tile, module, row, scale[g], bias[g]);
        if (code)
            return code;
        for (int64_t k = 0; k < blocks; k++, weight += 16) {
            put_half(to, scale[g]);
            to += 2;
            if (offset) {
                put_half(to, bias[g]);
                to += 2;
            }
            turn_nibbles(weight, to);
            to += 16;
        }
    }
    return TARE_OK;
}

static enum tare_code turn_rows(const struct tile *tile, size_t number, int64_t from, int64_t row, int64_t n)
{
    const struct tare_module *module = tile->job->flat.pieces[number].module;
    const int64_t groups = tare_module_groups(module);
    const struct tare_mlx_rows made = {
        .weight = tile->codes.code, .scales = tile->codes.scale, .biases = tile->codes.offset};
    enum tare_code code = TARE_OK;
    module->packing->to_mlx(module, tile->job->parts[number], from, n, &made);
    for (int64_t r = 0; !code && r < n; r++)
        code = turn_row(tile, module, from + r, (const unsigned char *)made.weight + r * tile->columns / 2,
                        (const uint16_t *)made.scales + r * groups, (const uint16_t *)made.biases + r * groups,
                        tile->data + (size_t)place_of(tile, row + r) * tile->row_bytes);
    return code;
}

/* ---- the neutral way --------------------------------------------------------------------------------------------- */

static enum tare_code move_blocks(const struct tile *tile, size_t number, int64_t from, int64_t row, int64_t n)
{
    const struct tare_module *module = tile->job->flat.pieces[number].module;
    const int64_t groups = tare_module_groups(module);
    enum tare_code code = TARE_OK;
    struct tare_codes codes = tile->codes;
    if (module->packing->blocks == tile->job->target.dtype) {
        for (int64_t r = 0; r < n; r++)
            memcpy(tile->data + (size_t)place_of(tile, row + r) * tile->row_bytes,
                   (const unsigned char *)tile->job->parts[number][TARE_PART_WEIGHT] +
                       (size_t)tare_block_row(module, from + r) * tile->row_bytes,
                   tile->row_bytes);
        return TARE_OK;
    }
    if (turns(tile, module))
        return turn_rows(tile, number, from, row, n);
    module->packing->decode(module, tile->job->parts[number], from, n, &codes);
    for (int64_t r = 0; !code && r < n; r++) {
        unsigned char *to = tile->data + (size_t)place_of(tile, row + r) * tile->row_bytes;
        const uint8_t *own = codes.code + r * tile->columns;
        code = tile->job->target.dtype == TARE_MXFP4
                   ? put_mxfp4(tile, module, from + r, own, codes.scale + r * groups, to)
                   : put_row(tile, module, from + r, own, codes.scale + r * groups, codes.offset + r * groups, to);
    }
    return code;
}

/* ---- floats whose rows change places ----------------------------------------------------------------------------- */

/* n rows of `columns` elements of a piece's module, computed, and rounded as the recipe says. */
static enum tare_code read_floats(const struct tile *tile, size_t number, int64_t from, int64_t n, int64_t columns,
                                  float *values)
{
    const struct tare_piece *piece = &tile->job->flat.pieces[number];
    tare_arena_reset(&tile->worker->arena);
    const enum tare_code code =
        tare_module_floats(piece->module, tile->job->parts[number], from, n, values, &tile->worker->arena, tile->err);
    if (code)
        return code;
    tare_value_apply(piece->value, tile->job->norms[number], from, n, columns, values);
    for (int64_t k = 0; k < n * columns; k++)
        values[k] = tare_float_round(piece->dtype, values[k]);
    return TARE_OK;
}

static enum tare_code move_floats(const struct tile *tile, size_t number, int64_t from, int64_t row, int64_t n)
{
    const struct tare_job *job = tile->job;
    float *values = tare_buffer_room(&tile->worker->floats, (size_t)(n * tile->columns) * sizeof *values);
    if (!values)
        return tare_fail_memory(tile->err);
    enum tare_code code = read_floats(tile, number, from, n, tile->columns, values);
    for (int64_t r = 0; !code && r < n; r++)
        code = tare_cast_floats(job, job->flat.pieces[number].module->name, values + r * tile->columns, tile->columns,
                                job->target.dtype, tile->data + (size_t)place_of(tile, row + r) * tile->row_bytes,
                                &tile->worker->tally, tile->err);
    return code;
}

/* A vector: a bias of q or k. It is one tile, or several of whole heads. */
static enum tare_code move_vector(const struct tile *tile, const struct tare_box *box)
{
    const struct tare_job *job = tile->job;
    enum tare_code code = TARE_OK;
    for (size_t k = 0; !code && k < job->flat.n; k++) {
        const struct tare_piece *piece = &job->flat.pieces[k];
        const int64_t columns = tare_module_columns(piece->module), rows = tare_module_rows(piece->module);
        float *values = tare_buffer_room(&tile->worker->floats, (size_t)(rows * columns) * sizeof *values);
        if (!values)
            return tare_fail_memory(tile->err);
        code = read_floats(tile, k, 0, rows, columns, values);
        for (int64_t i = 0; !code && i < piece->shape[0]; i++) {
            const int64_t row = piece->at[0] + i;
            if (row >= box->low[0] && row < box->high[0])
                code = tare_cast_floats(job, piece->module->name, values + piece->start + i * piece->stride[0], 1,
                                        job->target.dtype, tile->data + (size_t)place_of(tile, row) * tile->row_bytes,
                                        &tile->worker->tally, tile->err);
        }
    }
    return code;
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

static enum tare_code move_run(void *user, size_t number, int64_t from, int64_t first, int64_t n)
{
    const struct tile *tile = user;
    const bool blocks = (unsigned)tile->job->target.dtype >= TARE_DTYPE_COUNT;
    const int64_t row = tile->low + first;
    return blocks ? move_blocks(tile, number, from, row, n) : move_floats(tile, number, from, row, n);
}

static bool make_room(struct tile *tile)
{
    struct tare_worker *worker = tile->worker;
    size_t groups = 1;
    for (size_t k = 0; k < tile->job->flat.n; k++) {
        const struct tare_module *module = tile->job->flat.pieces[k].module;
        const size_t own = module->group_size ? (size_t)tare_module_groups(module) : 1;
        groups = own > groups ? own : groups;
    }
    tile->codes.code = tare_buffer_room(&worker->stage[0], (size_t)tile->columns * ROWS);
    tile->codes.scale = tare_buffer_room(&worker->scales, groups * ROWS * sizeof(float));
    tile->codes.offset = tare_buffer_room(&worker->biases, groups * ROWS * sizeof(float));
    return tile->codes.code && tile->codes.scale && tile->codes.offset;
}

enum tare_code tare_gguf_tile(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                              struct tare_worker *worker, uint64_t *bytes, struct tare_error *err)
{
    const bool vector = job->rank == 1;
    const struct tare_block_size block = tare_dtype_block(job->target.dtype);
    struct tile tile = {.job = job, .worker = worker, .err = err, .low = box->low[job->axis]};
    tile.columns = vector ? 1 : job->shape[job->rank - 1];
    tile.row_bytes = (size_t)(tile.columns / block.columns * block.bytes);
    const int64_t rows = box->high[job->axis] - box->low[job->axis];
    const size_t size = (size_t)rows * tile.row_bytes;
    int64_t first = 0; /* row of the flattened output */
    for (int k = 0; k <= job->axis; k++)
        first = first * job->shape[k] + box->low[k];
    tile.data = tare_buffer_room(&worker->tile, size);
    if (!tile.data || !make_room(&tile))
        return tare_fail_memory(err);
    enum tare_code code = vector ? move_vector(&tile, box) : TARE_OK;
    for (size_t k = 0; !vector && !code && k < job->flat.n; k++)
        code = tare_job_runs(job, box, k, tile.columns, ROWS, move_run, &tile);
    *bytes += size;
    return code ? code
                : tare_saved_write(layout, job->saved[TARE_PART_WEIGHT], tile.data, size,
                                   (uint64_t)first * tile.row_bytes, err);
}
