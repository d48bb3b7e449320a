/* SPDX-License-Identifier: MIT
 * gguf_format.c - GGUF v3, one file: header, metadata, tensors of blocks and floats, each aligned to 32 bytes.
 *
 * Codes keep their values: Q4_0 is d * (q - 8), which holds symmetric codes of 4 bits and all of fewer; Q8_0 d * q with
 * q of 8 bits and a sign, which holds code - zero of up to 7 bits, and of 8 where the zero is 128; Q4_1 d * q + m,
 * where m = -zero * scale must be a float16 too, and is rounded. d is the scale, repeated in every 32 columns of its
 * group. Source: docs/layouts.md, "GGUF blocks"; ggml's specification of GGUF.
 */
#include <stdlib.h>
#include <string.h>

#include "open/gguf/gguf.h"
#include "packing/fault.h"
#include "save/gguf_write.h"
#include "save/integer_rows.h"

#define ALIGNMENT 32u
#define COLUMNS 32 /* of all blocks written here */
#define TILE_BYTES 1048576.0
#define TILE_ROWS 128 /* a multiple of these: a cache line of awq's words */

/* ---- what a tensor becomes ------------------------------------------------------------------------------------- */

/* Why GGUF's blocks cannot hold a module, or NULL. Texts live in the arena. */
static const char *refusal_of(const struct tare_model *model, const struct tare_module *module,
                              struct tare_arena *arena)
{
    const bool mxfp4 = module->packing->mode == TARE_MLX_MXFP4 && module->packing->codes == TARE_CODE_E2M1;
    if (module->packing->codes != TARE_CODE_INTEGER && !mxfp4)
        return tare_arena_format(arena, "codes of %s are floats, which no block of GGUF but MXFP4 holds",
                                 module->packing->name);
    if (module->packing->floats)
        return tare_arena_format(arena,
                                 "the values of %s are rounded more than once, so no block of GGUF gives them to the "
                                 "last bit",
                                 module->packing->name);
    if (module->act_order)
        return "its columns are in act-order (g_idx), and blocks of GGUF are neighbours";
    if (!tare_module_even(module) || tare_module_columns(module) % COLUMNS)
        return tare_arena_format(arena, "rows of %lld columns in groups of %lld are no whole blocks of %d",
                                 (long long)tare_module_columns(module), (long long)module->group_size, COLUMNS);
    if (module->group_size % COLUMNS)
        return tare_arena_format(arena, "scales hold for %lld columns, and a block of GGUF has one for %d",
                                 (long long)module->group_size, COLUMNS);
    if (!mxfp4 && module->bits == 8 && !module->packing->biases && !tare_said_symmetric(model, module))
        return "codes of 8 bits with zeros need 9 bits, and Q8_0 has 8";
    return NULL;
}

/* Whether a packed job becomes floats: because the caller asked for it, or because no block holds its codes. */
static bool becomes_floats(const struct tare_model *model, const struct tare_job *job)
{
    const struct tare_recipe *recipe = tare_parameter_recipe(job->parameter);
    bool asked = tare_dense_asked(model->options.dequantize, job->name), floats = false;
    for (size_t k = 0; k < job->flat.n; k++) {
        const struct tare_module *module = job->flat.pieces[k].module;
        asked = asked || tare_dense_asked(model->options.dequantize, module->name);
        floats = floats || module->packing->codes == TARE_CODE_E4M3 || module->packing->codes == TARE_CODE_NONE;
    }
    return asked || floats || !recipe->packed;
}

/* The kind of block that all pieces have already because the source is GGUF: they are copied. 0: there is none. */
static enum tare_dtype own_type(const struct tare_job *job)
{
    const enum tare_dtype type = job->flat.pieces[0].module->packing->blocks;
    for (size_t k = 1; k < job->flat.n; k++)
        if (job->flat.pieces[k].module->packing->blocks != type)
            return (enum tare_dtype)0;
    return type;
}

struct blocks {
    bool q4_0, q4_1, biases, halves, mxfp4;
};

static enum tare_dtype type_of(const struct tare_model *model, const struct tare_job *job, bool exact)
{
    struct blocks all = {true, true, true, true, true};
    for (size_t k = 0; k < job->flat.n; k++) {
        const struct tare_module *module = job->flat.pieces[k].module;
        const int bits = module->bits;
        const bool biases = module->packing->biases;
        all.q4_0 = all.q4_0 && !biases && (bits < 4 || (bits == 4 && tare_said_symmetric(model, module)));
        all.q4_1 = all.q4_1 && bits <= 4;
        all.biases = all.biases && biases;
        all.halves = all.halves && module->dtype == TARE_F16;
        all.mxfp4 = all.mxfp4 && module->packing->codes == TARE_CODE_E2M1;
    }
    return all.mxfp4                                            ? TARE_MXFP4
           : all.q4_0                                           ? TARE_Q4_0
           : all.q4_1 && (!exact || (all.biases && all.halves)) ? TARE_Q4_1
                                                                : TARE_Q8_0;
}

/* Whether each row of the job is a whole row of a module; the rows may be in any order. */
static bool whole_rows(const struct tare_job *job)
{
    const int last = job->flat.rank - 1;
    for (size_t k = 0; k < job->flat.n; k++) {
        const struct tare_piece *piece = &job->flat.pieces[k];
        if (piece->stride[last] != 1 || piece->shape[last] != job->flat.shape[last] ||
            tare_module_columns(piece->module) != job->flat.shape[last] || (last < 1))
            return false;
    }
    return last > 0;
}

void tare_gguf_cut(struct tare_job *job, double row_bytes)
{
    int64_t step = (int64_t)(TILE_BYTES / row_bytes);
    step = step > TILE_ROWS ? step - step % TILE_ROWS : row_bytes * TILE_ROWS < 8 * TILE_BYTES ? TILE_ROWS : 8;
    if (job->half) /* whole heads */
        step = step < 2 * job->half ? 2 * job->half : step - step % (2 * job->half);
    if (job->flat.rank > 1)
        tare_job_cut_rows(job, step);
    else
        tare_job_cut(job); /* a vector below a MiB is one tile */
}

static enum tare_code lay_out_blocks(struct tare_layout *layout, const struct tare_model *model, struct tare_job *job,
                                     const char *name, bool exact, struct tare_error *err)
{
    enum tare_dtype type = own_type(job);
    for (size_t k = 0; !type && k < job->flat.n; k++) {
        const char *refusal = refusal_of(model, job->flat.pieces[k].module, &layout->arena);
        if (layout->arena.failed)
            return tare_fail_memory(err);
        if (refusal)
            return tare_fail(err, TARE_E_TARGET, job->flat.pieces[k].module->name,
                             "%s; --dequantize=MODULE writes it as floats", refusal);
    }
    if (!type)
        type = type_of(model, job, exact);
    const struct tare_block_size block = tare_dtype_block(type);
    job->target = (struct tare_target){.packed = true, .dtype = type};
    const int64_t row = job->flat.shape[job->flat.rank - 1] / block.columns * block.bytes;
    tare_gguf_cut(job, (double)row);
    return tare_layout_add(layout, TARE_PART_WEIGHT, name, type, job->flat.rank, job->flat.shape, err);
}

/* llama.cpp expects vectors and the router's matrix in float32; all other tensors keep their dtype. */
static enum tare_dtype float_of(const struct tare_job *job, const char *name,
                                const struct tare_convert_options *options)
{
    if (job->flat.rank < 2 || strstr(name, "ffn_gate_inp."))
        return TARE_F32;
    return tare_dtype_wanted(options, job->flat.dtype == TARE_F64 ? TARE_F32 : job->flat.dtype);
}

static enum tare_code lay_out_floats(struct tare_layout *layout, struct tare_job *job, const char *name,
                                     const struct tare_convert_options *options, struct tare_error *err)
{
    bool packed = false;
    for (size_t k = 0; k < job->flat.n; k++) {
        struct tare_piece *piece = &job->flat.pieces[k];
        packed = packed || piece->module->packing != &tare_packing_plain;
        if (piece->module->packing != &tare_packing_plain && !piece->value)
            piece->dtype = TARE_F32; /* dequantized values are rounded once, to the target */
    }
    if (packed && options->exact)
        job->flat.dtype = TARE_F32;
    const enum tare_dtype stored = job->flat.dtype, dtype = float_of(job, name, options);
    if (stored != TARE_F16 && stored != TARE_BF16 && stored != TARE_F32 && stored != TARE_F64)
        return tare_fail(err, TARE_E_TARGET, job->name, "%s has no form in GGUF", tare_dtype_name(stored));
    job->target = (struct tare_target){.dtype = dtype};
    if (job->half && job->flat.rank == 2 && !whole_rows(job))
        return tare_fail(err, TARE_E_TARGET, job->name, "its rows are put together of columns; GGUF needs them moved");
    if (job->half) {
        job->target.packed = true; /* gguf_tile.c makes it */
        tare_gguf_cut(job, (double)job->flat.shape[job->flat.rank - 1] * (double)tare_dtype_size(dtype));
        if (job->flat.rank < 2 && job->tiles > 1)
            return tare_fail(err, TARE_E_TARGET, job->name,
                             "a vector of %lld numbers, more than any model's heads have",
                             (long long)job->flat.shape[0]);
    } else {
        tare_job_cut(job);
    }
    return tare_layout_add(layout, TARE_PART_WEIGHT, name, dtype, job->flat.rank, job->flat.shape, err);
}

/* Gemma's norms multiply by (1 + weight); GGUF stores the sum, since its norms multiply by the weight itself. */
static enum tare_code add_one(struct tare_layout *layout, struct tare_job *job, struct tare_error *err)
{
    static const struct tare_value one = {.function = TARE_ADD, .operand = 1};
    const struct tare_recipe *recipe =
        tare_recipe_value(&layout->arena, tare_parameter_recipe(job->parameter), &one, TARE_F32);
    return tare_recipe_flatten(recipe, &layout->arena, &job->flat, err);
}

static enum tare_code lay_out(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                              const struct tare_convert_options *options, struct tare_error *err)
{
    const struct tare_gguf_out *out = layout->own;
    const size_t prefix = strlen(out->prefix);
    const char *own = strncmp(job->name, out->prefix, prefix) ? job->name : job->name + prefix;
    const char *name = tare_gguf_name_of(out->family->architecture, own, &layout->arena);
    if (layout->arena.failed)
        return tare_fail_memory(err);
    if (!name || (out->family->always_tied && !strncmp(own, "lm_head.", 8)))
        return tare_fail(err, TARE_E_TARGET, job->name, "GGUF's %s has no such tensor", out->family->architecture);
    job->exact = options->exact;
    if (strstr(own, ".self_attn.q_proj.") || strstr(own, ".self_attn.k_proj."))
        job->half = out->half;
    if (job->half && job->flat.shape[0] % (2 * job->half))
        return tare_fail(err, TARE_E_SHAPE, job->name, "its rows are no whole heads");
    if (out->family->norms_plus_one && tare_ends_with(own, "norm.weight")) {
        const enum tare_code code = add_one(layout, job, err);
        if (code)
            return code;
    }
    bool packed = false;
    for (size_t k = 0; k < job->flat.n; k++)
        packed = packed || job->flat.pieces[k].module->packing != &tare_packing_plain;
    if (packed && !becomes_floats(model, job))
        return lay_out_blocks(layout, model, job, name, options->exact, err);
    return lay_out_floats(layout, job, name, options, err);
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

static enum tare_code begin(struct tare_layout *layout, struct tare_model *model,
                            const struct tare_convert_options *options, struct tare_error *err)
{
    struct tare_gguf_out *out = tare_arena_alloc(&layout->arena, sizeof *out);
    if (!out)
        return tare_fail_memory(err);
    layout->own = out;
    out->file_type = -1;
    enum tare_code code = tare_gguf_family(out, model, &layout->arena, options, err);
    if (!code)
        code = tare_gguf_vocabulary(&out->pairs, model, model->decoder->vocabulary, options, err);
    return code ? code : out->pairs.text.failed ? tare_fail_memory(err) : TARE_OK;
}

static void release(struct tare_layout *layout)
{
    struct tare_gguf_out *out = layout->own;
    if (out)
        tare_text_release(&out->pairs.text);
    layout->own = NULL;
}

/* llama.cpp's number for what most of the weights are. Source: llama.h, enum llama_ftype. */
static int64_t file_type(const struct tare_layout *layout)
{
    static const struct {
        enum tare_dtype dtype;
        int64_t number;
    } types[] = {{TARE_F32, 0},    {TARE_F16, 1},     {TARE_Q4_0, 2},     {TARE_Q4_1, 3},    {TARE_Q5_0, 8},
                 {TARE_Q5_1, 9},   {TARE_Q8_0, 7},    {TARE_IQ2_XXS, 19}, {TARE_IQ2_XS, 20}, {TARE_IQ3_XXS, 23},
                 {TARE_IQ1_S, 24}, {TARE_IQ4_NL, 25}, {TARE_IQ3_S, 26},   {TARE_IQ2_S, 28},  {TARE_IQ4_XS, 30},
                 {TARE_IQ1_M, 31}, {TARE_BF16, 32},   {TARE_TQ1_0, 36},   {TARE_TQ2_0, 37},  {TARE_MXFP4, 38}};
    uint64_t most = 0;
    int64_t number = 0;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        uint64_t bytes = 0;
        for (size_t k = 0; k < layout->n_saved; k++)
            bytes += layout->saved[k].dtype == types[t].dtype ? layout->saved[k].size : 0;
        if (bytes > most) {
            most = bytes;
            number = types[t].number;
        }
    }
    return number;
}

static uint64_t aligned(uint64_t at)
{
    return (at + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void put_tensor(struct tare_text *text, const char *name, int rank, const int64_t *shape, enum tare_dtype dtype,
                       uint64_t at)
{
    tare_put_string(text, name, strlen(name));
    tare_put_bytes(text, (uint64_t)rank, 4);
    for (int k = rank - 1; k >= 0; k--) /* the innermost first */
        tare_put_bytes(text, (uint64_t)shape[k], 8);
    tare_put_bytes(text, (uint64_t)tare_gguf_number(dtype), 4);
    tare_put_bytes(text, at, 8);
}

static void pad(struct tare_text *text)
{
    while (text->size % ALIGNMENT && !text->failed)
        tare_text_add(text, "", 1);
}

/* The metadata of a file: all of them in the first one; of a model in parts, each says which part it is. */
static void put_pairs(struct tare_pairs *pairs, const struct tare_layout *layout, size_t number)
{
    const struct tare_gguf_out *out = layout->own;
    if (!number) {
        tare_pairs_integer(pairs, TARE_GGUF_KEY_QUANTIZATION_VERSION, 2);
        tare_pairs_integer(pairs, TARE_GGUF_KEY_FILE_TYPE, out->file_type < 0 ? file_type(layout) : out->file_type);
    }
    if (layout->n_shards < 2)
        return;
    tare_pairs_whole(pairs, TARE_GGUF_KEY_SPLIT_NUMBER, TARE_GGUF_U16, 2, (int64_t)number);
    tare_pairs_whole(pairs, TARE_GGUF_KEY_SPLIT_COUNT, TARE_GGUF_U16, 2, (int64_t)layout->n_shards);
    tare_pairs_whole(pairs, TARE_GGUF_KEY_SPLIT_TENSORS, TARE_GGUF_I32, 4, (int64_t)(layout->n_saved + out->n_made));
}

/* The header of one file. Tensors that were made here (struct tare_made) lie first, and count as a part of it. */
static uint64_t put_header(struct tare_text *text, const struct tare_pairs *pairs, const struct tare_gguf_out *out,
                           size_t n_made, struct tare_saved *const *order, size_t n)
{
    tare_text_add(text, "GGUF", 4);
    tare_put_bytes(text, 3, 4);
    tare_put_bytes(text, n + n_made, 8);
    tare_put_bytes(text, pairs->n, 8);
    tare_text_add(text, pairs->text.data, pairs->text.size);
    uint64_t at = 0;
    for (size_t k = 0; k < n_made; k++) {
        put_tensor(text, out->made[k].name, 1, &out->made[k].n, TARE_F32, at);
        at = aligned(at + 4 * (uint64_t)out->made[k].n);
    }
    for (size_t k = 0; k < n; k++) {
        order[k]->offset = at;
        put_tensor(text, order[k]->name, order[k]->rank, order[k]->shape, order[k]->dtype, at);
        at = aligned(at + order[k]->size);
    }
    pad(text);
    return at;
}

static enum tare_code header(struct tare_layout *layout, struct tare_shard *shard, struct tare_saved *const *order,
                             size_t n, struct tare_error *err)
{
    struct tare_gguf_out *out = layout->own;
    const size_t number = (size_t)(shard - layout->shards), n_made = number ? 0 : out->n_made;
    struct tare_pairs own = {.architecture = out->pairs.architecture}, *pairs = number ? &own : &out->pairs;
    struct tare_text text = {0};
    put_pairs(pairs, layout, number);
    const uint64_t size = put_header(&text, pairs, out, n_made, order, n), start = text.size;
    for (size_t k = 0; k < n_made; k++) {
        for (int64_t i = 0; i < out->made[k].n; i++)
            tare_put_single(&text, (double)out->made[k].values[i]);
        pad(&text);
    }
    for (size_t k = 0; k < n; k++)
        order[k]->offset += start;
    const bool failed = text.failed || pairs->text.failed;
    tare_text_release(&own.text);
    if (failed) {
        tare_text_release(&text);
        return tare_fail_memory(err);
    }
    shard->header = text.data;
    shard->header_size = text.size;
    shard->size = start + size;
    return TARE_OK;
}

const struct tare_save_format tare_format_gguf = {
    .name = "gguf",
    .view = TARE_VIEW_PARAMETER,
    .metadata = "gguf",
    .file = "model.gguf",
    .begin = begin,
    .release = release,
    .header = header,
    .lay_out = lay_out,
    .tile = tare_gguf_tile,
};
