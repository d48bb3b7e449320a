/* SPDX-License-Identifier: MIT
 * proof.c - the way back: the folder that was written is read as any checkpoint, by its own config and names, and each
 * of its modules is held against the source. Codes, scales and zeros must be the source's, from which its packing
 * follows; of floats, those that are cast back must have the source's bytes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "names/group.h"
#include "packing/mlx/to_mlx.h"
#include "save/account.h"

#define CONFIG_MOST ((uint64_t)64 << 20)
#define BLOCK_ROWS 64

enum tare_code tare_proof_check(const struct tare_layout *layout, struct tare_error *err)
{
    const struct tare_record none = {0};
    if (layout->format->file)
        return tare_fail(err, TARE_E_TARGET, layout->format->name,
                         "tare does not take the way back from it yet; without --proof it is written");
    for (size_t k = 0; k < layout->n_jobs; k++)
        if (tare_job_way(&layout->jobs[k], &none) == TARE_WAY_ONE)
            return tare_fail(err, TARE_E_TARGET, layout->jobs[k].name,
                             "there is no way back for it to prove: %s; without --proof it is written",
                             layout->jobs[k].target.packed          ? "the format does not keep its zeros"
                             : layout->jobs[k].flat.pieces[0].value ? "its values are computed"
                                                                    : "its codes become floats");
    return TARE_OK;
}

/* ---- the folder, read again ---------------------------------------------------------------------------------- */

struct reading {
    struct tare_checkpoint checkpoint;
    struct tare_arena arena;
    struct tare_quant quant;
    struct tare_module *modules;
    size_t n_modules;
    struct tare_weights weights;
    struct tare_map by_name;
};

static void release(struct reading *reading)
{
    tare_map_release(&reading->by_name);
    free(reading->weights.entries);
    tare_checkpoint_release(&reading->checkpoint);
    tare_arena_release(&reading->arena);
}

static enum tare_code read_config(struct reading *reading, json_t **config, struct tare_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum tare_code code = tare_checkpoint_read(&reading->checkpoint, "config.json", CONFIG_MOST, &text, &size, err);
    if (!code)
        code = tare_json_parse(config, "config.json", text, size, err);
    free(text);
    return code ? code : tare_quant_read(*config, NULL, &reading->arena, &reading->quant, err);
}

static enum tare_code read_modules(struct reading *reading, struct tare_error *err)
{
    const struct tare_packing *packing = NULL;
    reading->weights.arena = &reading->arena;
    enum tare_code code = tare_packing_choose(&reading->quant, &packing, err);
    if (!code)
        code = tare_modules_group(&reading->checkpoint, &reading->quant, packing, &reading->arena, &reading->modules,
                                  &reading->n_modules, &reading->weights, err);
    for (size_t k = 0; !code && k < reading->n_modules; k++) {
        const char *name = reading->modules[k].name;
        if (!tare_map_put(&reading->by_name, name, strlen(name), (uint32_t)k, NULL))
            code = tare_fail_memory(err);
    }
    return code;
}

/* ---- rows of codes ------------------------------------------------------------------------------------------- */

struct side {
    const struct tare_module *module;
    const void *part[TARE_PARTS];
    struct tare_codes codes;
    int64_t groups;
};

/* A run of columns in one group of either side begins at `column`. */
struct run {
    int64_t column, group[2];
};

struct comparison {
    const struct tare_job *job;
    struct tare_arena *work;
    struct side side[2]; /* the source, and what was made of it */
    struct run *runs;
    int64_t n_runs, columns;
    struct tare_error *err;
};

static bool open_side(struct comparison *c, int k)
{
    struct side *side = &c->side[k];
    side->groups = tare_module_groups(side->module);
    const size_t many = (size_t)side->groups * BLOCK_ROWS;
    side->codes = (struct tare_codes){tare_arena_array(c->work, BLOCK_ROWS, (size_t)c->columns),
                                      tare_arena_array(c->work, many, sizeof(float)),
                                      tare_arena_array(c->work, many, sizeof(float))};
    return side->codes.code && side->codes.scale && side->codes.offset;
}

static bool find_runs(struct comparison *c)
{
    c->runs = tare_arena_array(c->work, (size_t)c->columns, sizeof *c->runs);
    if (!c->runs)
        return false;
    for (int64_t i = 0; i < c->columns; i++) {
        const int64_t from = tare_module_group(c->side[0].module, c->side[0].part, i);
        const int64_t to = tare_module_group(c->side[1].module, c->side[1].part, i);
        const struct run *last = c->n_runs ? &c->runs[c->n_runs - 1] : NULL;
        if (!last || last->group[0] != from || last->group[1] != to)
            c->runs[c->n_runs++] = (struct run){i, {from, to}};
    }
    return true;
}

static bool same(float a, float b)
{
    uint32_t left, right; /* bits: -0 is not 0, and NaN is itself */
    memcpy(&left, &a, sizeof left);
    memcpy(&right, &b, sizeof right);
    return left == right;
}

/* The source's zero or bias, from what was written. */
static float offset_back(const struct comparison *c, float scale, float offset)
{
    const bool biased[2] = {c->side[0].module->packing->biases, c->side[1].module->packing->biases};
    if (biased[0] == biased[1])
        return offset;
    return biased[0] ? tare_float_round(c->side[0].module->dtype, -offset * scale) : rintf(-offset / scale);
}

static enum tare_code fail_number(const struct comparison *c, int64_t row, int64_t column, const char *what,
                                  double source, double back)
{
    return tare_fail(c->err, TARE_E_TARGET, c->job->name,
                     "the way back does not give the source: in row %lld of %s, column %lld, the %s was %.9g and comes "
                     "back as %.9g%s",
                     (long long)row, c->side[0].module->name, (long long)column, what, source, back,
                     strcmp(what, "code") != 0 ? "; --exact and --keep-dtypes round less, without --proof it is written"
                                               : "");
}

static enum tare_code compare_row(const struct comparison *c, int64_t r, int64_t row)
{
    const struct side *from = &c->side[0], *to = &c->side[1];
    const uint8_t *codes = from->codes.code + r * c->columns, *others = to->codes.code + r * c->columns;
    if (memcmp(codes, others, (size_t)c->columns)) {
        int64_t i = 0;
        while (codes[i] == others[i])
            i++;
        return fail_number(c, row, i, "code", codes[i], others[i]);
    }
    const bool integers = from->module->packing->codes == TARE_CODE_INTEGER;
    for (int64_t k = 0; k < c->n_runs; k++) {
        const struct run *run = &c->runs[k];
        const int64_t a = r * from->groups + run->group[0], b = r * to->groups + run->group[1];
        const float scale = from->codes.scale[a];
        if (!same(scale, to->codes.scale[b]))
            return fail_number(c, row, run->column, "scale", (double)scale, (double)to->codes.scale[b]);
        if (!integers)
            continue;
        if (scale == 0 && from->module->packing->biases != to->module->packing->biases)
            return tare_fail(
                c->err, TARE_E_TARGET, c->job->name,
                "the way back does not give the source: in row %lld of %s, column %lld, the scale is 0, and "
                "the %s below it does not come back; without --proof it is written",
                (long long)row, from->module->name, (long long)run->column,
                from->module->packing->biases ? "bias" : "zero");
        const float offset = from->codes.offset[a], back = offset_back(c, scale, to->codes.offset[b]);
        if (!(offset == back) && !same(offset, back))
            return fail_number(c, row, run->column, from->module->packing->biases ? "bias" : "zero", (double)offset,
                               (double)back);
    }
    return TARE_OK;
}

static enum tare_code compare_rows(struct comparison *c, int64_t from, int64_t to, int64_t n)
{
    const int64_t at[2] = {from, to};
    for (int k = 0; k < 2; k++)
        c->side[k].module->packing->decode(c->side[k].module, c->side[k].part, at[k], n, &c->side[k].codes);
    for (int64_t r = 0; r < n; r++) {
        const enum tare_code code = compare_row(c, r, from + r);
        if (code)
            return code;
    }
    return TARE_OK;
}

/* The next index of a box of `rank` axes; false past the end. */
static bool step(int64_t *at, const int64_t *shape, int rank)
{
    int i = rank - 1;
    for (; i >= 0 && ++at[i] == shape[i]; i--)
        at[i] = 0;
    return i >= 0;
}

/* One piece of a packed job: whole rows, by stretches that are neighbours on both sides. */
static enum tare_code compare_packed(struct comparison *c, const struct tare_piece *piece)
{
    const int last = c->job->flat.rank - 2; /* the axis of rows */
    int64_t at[TARE_SAVE_AXES] = {0};
    c->columns = tare_module_columns(piece->module);
    if (c->side[1].module->packing->codes != piece->module->packing->codes ||
        tare_module_columns(c->side[1].module) != c->columns)
        return tare_fail(c->err, TARE_E_INTERNAL, c->job->name, "what was written has codes of another kind");
    if (!open_side(c, 0) || !open_side(c, 1) || !find_runs(c))
        return tare_fail_memory(c->err);
    const bool neighbours = piece->stride[last] == c->columns;
    for (bool more = true; more; more = step(at, piece->shape, last))
        for (int64_t r = 0, n; r < piece->shape[last]; r += n) {
            int64_t from = piece->start + r * piece->stride[last], to = 0;
            n = !neighbours ? 1 : piece->shape[last] - r < BLOCK_ROWS ? piece->shape[last] - r : BLOCK_ROWS;
            for (int k = 0; k < last; k++) {
                from += at[k] * piece->stride[k];
                to = to * c->job->flat.shape[k] + piece->at[k] + at[k];
            }
            to = to * c->job->flat.shape[last] + piece->at[last] + r;
            const enum tare_code code = compare_rows(c, from / c->columns, to, n);
            if (code)
                return code;
        }
    return TARE_OK;
}

/* ---- floats and integers as they are ------------------------------------------------------------------------- */

/* Is element `to` of what was written, cast back, element `from` of the source? */
static bool same_element(const struct comparison *c, int64_t from, int64_t to)
{
    const enum tare_dtype source = c->side[0].module->dtype, made = c->side[1].module->dtype;
    const unsigned char *a = c->side[0].part[TARE_PART_WEIGHT], *b = c->side[1].part[TARE_PART_WEIGHT];
    const size_t size = tare_dtype_size(source);
    unsigned char back[8];
    if (source == made)
        return !memcmp(a + (size_t)from * size, b + (size_t)to * size, size);
    const double value = tare_real_at(b, made, to);
    if (source == TARE_F64)
        memcpy(back, &value, sizeof value);
    else
        tare_float_put(back, source, 0, (float)value);
    return !memcmp(a + (size_t)from * size, back, size);
}

static enum tare_code compare_plain(struct comparison *c, const struct tare_piece *piece)
{
    const int rank = c->job->flat.rank;
    int64_t at[TARE_SAVE_AXES] = {0};
    for (bool more = true; more; more = step(at, piece->shape, rank)) {
        int64_t from = piece->start, to = 0;
        for (int k = 0; k < rank; k++) {
            from += at[k] * piece->stride[k];
            to = to * c->job->flat.shape[k] + piece->at[k] + at[k];
        }
        if (!same_element(c, from, to))
            return fail_number(c, from / tare_module_columns(piece->module), from % tare_module_columns(piece->module),
                               "value", tare_real_at(c->side[0].part[TARE_PART_WEIGHT], c->side[0].module->dtype, from),
                               tare_real_at(c->side[1].part[TARE_PART_WEIGHT], c->side[1].module->dtype, to));
    }
    return TARE_OK;
}

/* The whole module is one contiguous range in both files. */
static bool same_stretch(const struct comparison *c, const struct tare_piece *piece)
{
    const struct tare_flat *flat = &c->job->flat;
    int64_t stride = 1;
    if (flat->n != 1 || piece->start || c->side[0].module->dtype != c->side[1].module->dtype)
        return false;
    for (int k = flat->rank - 1; k >= 0; k--) {
        if (piece->stride[k] != stride && piece->shape[k] != 1)
            return false;
        stride *= piece->shape[k];
    }
    const uint64_t size = c->side[0].module->part[TARE_PART_WEIGHT]->size;
    return size == c->side[1].module->part[TARE_PART_WEIGHT]->size &&
           !memcmp(c->side[0].part[TARE_PART_WEIGHT], c->side[1].part[TARE_PART_WEIGHT], (size_t)size);
}

/* ---- jobs ---------------------------------------------------------------------------------------------------- */

struct proof {
    const struct tare_layout *layout;
    const struct tare_convert_options *options;
    struct reading reading;
    struct tare_arena *arenas; /* of each thread */
    pthread_mutex_t lock;      /* of what follows */
    uint64_t done;
    struct tare_error error;
};

static enum tare_code prove(struct proof *proof, const struct tare_job *job, struct tare_arena *work,
                            struct tare_error *err)
{
    const uint32_t number = tare_map_get(&proof->reading.by_name, job->name, strlen(job->name));
    const struct tare_module *made = number == TARE_MAP_NONE ? NULL : &proof->reading.modules[number];
    const void *part[TARE_PARTS];
    if (!made || made->fault || (made->packing != &tare_packing_plain) != job->target.packed)
        return tare_fail(err, TARE_E_INTERNAL, job->name, "what was written is not read as what it is: %s",
                         !made         ? "no module has its name"
                         : made->fault ? made->fault
                                       : made->packing->name);
    struct tare_holds holds = {0};
    enum tare_code code = tare_module_data(&proof->reading.checkpoint, made, part, err);
    for (size_t k = 0; !code && k < job->flat.n; k++) {
        const struct tare_piece *piece = &job->flat.pieces[k];
        if (!k || piece->module != job->flat.pieces[k - 1].module) { /* what find_runs() made is not used again */
            tare_arena_reset(work);
            tare_holds_let_go(&holds);
            if ((code = tare_module_hold_all(&holds, proof->layout->checkpoint, piece->module, err)))
                break;
        }
        struct comparison c = {.job = job, .work = work, .err = err};
        c.side[0].module = piece->module;
        c.side[1].module = made;
        memcpy(c.side[0].part, job->parts[k], sizeof c.side[0].part);
        memcpy(c.side[1].part, part, sizeof part);
        code = job->target.packed        ? compare_packed(&c, piece)
               : same_stretch(&c, piece) ? TARE_OK
                                         : compare_plain(&c, piece);
    }
    tare_holds_release(&holds);
    return code;
}

static void prove_job(void *user, size_t number, int thread)
{
    struct proof *proof = user;
    const struct tare_job *job = &proof->layout->jobs[number];
    struct tare_error error = {0};
    pthread_mutex_lock(&proof->lock);
    const bool stop = proof->error.code != TARE_OK;
    pthread_mutex_unlock(&proof->lock);
    if (stop)
        return;
    tare_arena_reset(&proof->arenas[thread]);
    enum tare_code code = prove(proof, job, &proof->arenas[thread], &error);
    pthread_mutex_lock(&proof->lock);
    for (int k = 0; k < TARE_PARTS; k++)
        proof->done += job->saved[k] ? job->saved[k]->size : 0;
    if (!code && !proof->error.code && proof->options->progress &&
        proof->options->progress(proof->options->user, "prove", proof->done, proof->layout->bytes))
        code = tare_fail(&error, TARE_E_CANCELLED, "", "cancelled");
    if (code && !proof->error.code)
        proof->error = error;
    pthread_mutex_unlock(&proof->lock);
}

enum tare_code tare_proof_run(const struct tare_layout *layout, const struct tare_folder *folder,
                              struct tare_pool *pool, const struct tare_convert_options *options,
                              struct tare_error *err)
{
    struct proof proof = {.layout = layout, .options = options};
    json_t *config = NULL;
    const int threads = tare_pool_threads(pool);
    enum tare_code code = tare_checkpoint_open(&proof.reading.checkpoint, folder->path, NULL, err);
    if (!code && !(code = read_config(&proof.reading, &config, err)))
        code = read_modules(&proof.reading, err);
    proof.arenas = calloc((size_t)threads, sizeof *proof.arenas);
    const bool ready = !code && proof.arenas && !pthread_mutex_init(&proof.lock, NULL);
    if (!code && !ready)
        code = tare_fail_memory(err);
    if (ready) {
        tare_pool_run(pool, layout->n_jobs, prove_job, &proof);
        pthread_mutex_destroy(&proof.lock);
        for (int k = 0; k < threads; k++)
            tare_arena_release(&proof.arenas[k]);
        code = proof.error.code;
        if (code && err)
            *err = proof.error;
    }
    free(proof.arenas);
    json_decref(config);
    release(&proof.reading);
    return code;
}
