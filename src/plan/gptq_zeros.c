/* SPDX-License-Identifier: MIT
 * gptq_zeros.c - do the fields of qzeros hold the zero - 1 (v1) or the zero (v2)? Judged from the data, because files
 * are known that say one and hold the other.
 *
 * Two kinds of evidence. A symmetric file has the zero 2^(bits - 1) everywhere, so all fields are 2^(bits - 1) - 1, or
 * all are 2^(bits - 1). Else: weights lie around 0, so the codes of a group lie around its zero, on average
 *     mean over groups of (mean code - field)  =  1 in v1,  0 in v2
 * Measured over the producers' checkpoints: 0.98 .. 1.00 and -0.02 .. 0 where it is known to 0.02; of 8 bits it often
 * is not known well enough, and says nothing then.
 *
 * And a v1 field of all ones means z = 0 to some writers and has damaged its neighbours in others (docs/layouts.md):
 * only GPTQModel's rule is known.
 */
#include <math.h>
#include <stdlib.h>

#include "base/pool.h"
#include "plan/gptq_judge.h"

#define BLOCK TARE_GPTQ_BLOCK
/* Fields are read in all modules, but codes are sampled in at most that many modules and rows of each. */
#define MODULES 32
#define ROWS 32
/* The share of equal fields that makes a file symmetric; single modules may differ. */
#define CONSTANT 0.995
/* |average - expected| + 3 standard errors below this is a verdict. The two expected values, 0 and 1, are 1 apart. */
#define NEAR 0.4

struct sample {
    double sum, squares;
    int64_t n;
};

struct evidence {
    int64_t fields, low, middle, ones; /* equal to 2^(bits - 1) - 1, to 2^(bits - 1), to 2^bits - 1 */
    const struct tare_module *first;   /* that has a field of all ones */
    struct sample codes[9];            /* mean code - field of groups, by bits */
};

enum verdict { UNKNOWN, V1, V2 };
static const char *const words[] = {"unknown", "v1", "v2"};

static void count_fields(struct evidence *e, const struct tare_module *module, const void *const part[TARE_PARTS])
{
    const int64_t out = module->shape[0], groups = tare_module_groups(module);
    const int middle = 1 << (module->bits - 1);
    uint8_t field[BLOCK];
    for (int64_t g = 0; g < groups; g++)
        for (int64_t row = 0; row < out; row += BLOCK) {
            const int n = out - row < BLOCK ? (int)(out - row) : BLOCK;
            tare_gptq_fields(module, part, g, row / BLOCK, field);
            for (int i = 0; i < n; i++) {
                e->low += field[i] == middle - 1;
                e->middle += field[i] == middle;
                if (field[i] != 2 * middle - 1)
                    continue;
                e->ones++;
                e->first = e->first ? e->first : module;
            }
            e->fields += n;
        }
}

/* For some rows in the middle of a module: by how much does the mean code of each group exceed its field? */
static enum tare_code sample_codes(struct evidence *e, const struct tare_module *module,
                                   const void *const part[TARE_PARTS], struct tare_arena *work, struct tare_error *err)
{
    const int64_t out = module->shape[0], in = module->shape[1], groups = tare_module_groups(module);
    const int64_t rows = out < ROWS ? out : ROWS, row = (out - rows) / 2 / BLOCK * BLOCK;
    struct sample *sample = &e->codes[module->bits];
    struct tare_codes codes = {tare_arena_array(work, (size_t)rows, (size_t)in),
                               tare_arena_array(work, (size_t)(rows * groups), sizeof(float)),
                               tare_arena_array(work, (size_t)(rows * groups), sizeof(float))};
    int64_t *sum = tare_arena_array(work, (size_t)groups, sizeof *sum);
    int64_t *n = tare_arena_array(work, (size_t)groups, sizeof *n);
    uint8_t field[BLOCK];
    if (!codes.code || !codes.scale || !codes.offset || !sum || !n)
        return tare_fail_memory(err);
    module->packing->decode(module, part, row, rows, &codes);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t g = 0; g < groups; g++)
            sum[g] = n[g] = 0;
        for (int64_t i = 0; i < in; i++) {
            const int64_t g = tare_module_group(module, part, i);
            sum[g] += codes.code[r * in + i];
            n[g]++;
        }
        for (int64_t g = 0; g < groups; g++) {
            if (!n[g])
                continue;
            tare_gptq_fields(module, part, g, (row + r) / BLOCK, field);
            const double above = (double)sum[g] / (double)n[g] - field[(row + r) % BLOCK];
            sample->sum += above;
            sample->squares += above * above;
            sample->n++;
        }
    }
    return TARE_OK;
}

/* Each module is a task. Evidence is added up in the order of modules, so the sum does not depend on threads. */
struct gathering {
    struct tare_model *model;
    const struct tare_module **modules;
    struct evidence *evidence;
    enum tare_code *codes;
    struct tare_error *errors;
    size_t n, step; /* of each `step` modules one is sampled */
};

static void gather_module(void *user, size_t index, int worker)
{
    struct gathering *g = user;
    const struct tare_module *module = g->modules[index];
    const void *part[TARE_PARTS];
    struct tare_arena work = {0};
    (void)worker;
    struct tare_checkpoint *checkpoint = &g->model->checkpoint;
    const struct tare_tensor *zeros = module->part[TARE_PART_ZEROS];
    struct tare_holds holds = {0};
    struct tare_error *err = &g->errors[index];
    enum tare_code code = tare_module_data(checkpoint, module, part, err);
    if (!code && (!zeros || !(code = tare_holds_add(&holds, checkpoint, zeros, 0, zeros->size, err))))
        count_fields(&g->evidence[index], module, part);
    if (!code && index % g->step == 0 && !(code = tare_module_hold_all(&holds, checkpoint, module, err)))
        code = sample_codes(&g->evidence[index], module, part, &work, err);
    g->codes[index] = code;
    tare_holds_release(&holds);
    tare_arena_release(&work);
}

static void add(struct evidence *sum, const struct evidence *e)
{
    sum->fields += e->fields;
    sum->low += e->low;
    sum->middle += e->middle;
    sum->ones += e->ones;
    sum->first = sum->first ? sum->first : e->first;
    for (int bits = 2; bits <= 8; bits++) {
        sum->codes[bits].sum += e->codes[bits].sum;
        sum->codes[bits].squares += e->codes[bits].squares;
        sum->codes[bits].n += e->codes[bits].n;
    }
}

static enum tare_code gather_all(struct gathering *g, struct evidence *e, struct tare_error *err)
{
    struct tare_pool *pool = NULL;
    enum tare_code code = tare_plan_pool(&pool, g->model, NULL, 0, err);
    if (!code)
        tare_pool_run(pool, g->n, gather_module, g);
    tare_pool_free(pool);
    for (size_t i = 0; !code && i < g->n; i++) {
        if ((code = g->codes[i]) && err)
            *err = g->errors[i];
        add(e, &g->evidence[i]);
    }
    return code;
}

static enum tare_code gather(struct tare_model *model, struct evidence *e, struct tare_error *err)
{
    const size_t most = model->n_modules + 1;
    struct gathering g = {.model = model,
                          .modules = calloc(most, sizeof *g.modules),
                          .evidence = calloc(most, sizeof *g.evidence),
                          .codes = calloc(most, sizeof *g.codes),
                          .errors = calloc(most, sizeof *g.errors)};
    enum tare_code code = TARE_OK;
    if (!g.modules || !g.evidence || !g.codes || !g.errors)
        code = tare_fail_memory(err);
    for (size_t i = 0; !code && i < model->n_modules; i++)
        if (tare_gptq_sound(&model->modules[i]))
            g.modules[g.n++] = &model->modules[i];
    g.step = (g.n + MODULES - 1) / MODULES;
    if (!code && g.n)
        code = gather_all(&g, e, err);
    free(g.modules);
    free(g.evidence);
    free(g.codes);
    free(g.errors);
    return code;
}

/* The average with the smallest standard error = sqrt(variance / n); NaN: nothing was sampled. */
static double best_average(const struct evidence *e, double *error)
{
    double best = NAN;
    *error = INFINITY;
    for (int bits = 2; bits <= 8; bits++) {
        const struct sample *s = &e->codes[bits];
        const double mean = s->n ? s->sum / (double)s->n : 0;
        const double spread = s->n ? s->squares / (double)s->n - mean * mean : 0;
        const double own = s->n ? sqrt((spread > 0 ? spread : 0) / (double)s->n) : INFINITY;
        if (own >= *error)
            continue;
        *error = own;
        best = mean;
    }
    return best;
}

static enum verdict by_average(double average, double error)
{
    return fabs(average - 1) + 3 * error < NEAR ? V1 : fabs(average) + 3 * error < NEAR ? V2 : UNKNOWN;
}

static enum verdict by_constant(const struct evidence *e)
{
    const double most = CONSTANT * (double)e->fields;
    return e->fields && (double)e->low >= most ? V1 : e->fields && (double)e->middle >= most ? V2 : UNKNOWN;
}

static const char *say(struct tare_model *model, const struct evidence *e, enum verdict constant, double average,
                       double error)
{
    const char *fields = constant
                             ? tare_arena_format(&model->arena,
                                                 "%lld of %lld fields are half of the range%s, as in a symmetric %s "
                                                 "file",
                                                 (long long)(constant == V1 ? e->low : e->middle), (long long)e->fields,
                                                 constant == V1 ? " - 1" : "", words[constant])
                             : "";
    const char *text = tare_arena_format(&model->arena,
                                         "%s%scodes lie %.3f +- %.3f above the fields, on average over groups (v1: 1, "
                                         "v2: 0)",
                                         fields ? fields : "", constant ? "; " : "", average, error);
    return text ? text : "";
}

static void set_packing(struct tare_model *model, enum verdict version)
{
    const struct tare_packing *v1 = model->quant.gptq.words ? &tare_packing_gptq_words : &tare_packing_gptq_v1;
    model->quant.gptq.format = version == V1 ? TARE_GPTQ_V1 : TARE_GPTQ_V2;
    for (size_t i = 0; i < model->n_modules; i++)
        if (tare_packing_is_gptq(model->modules[i].packing))
            model->modules[i].packing = version == V1 ? v1 : &tare_packing_gptq_v2;
}

static const char *said_by(const struct tare_model *model)
{
    return model->quant.gptq.said ? model->quant.gptq.said : "no checkpoint_format is said, which means gptq";
}

static void judge_ones(struct tare_model *model, const struct evidence *e, bool forced)
{
    const bool v1 = model->quant.gptq.format == TARE_GPTQ_V1 && !model->quant.gptq.words;
    if (!e->ones || !v1)
        return;
    tare_plan_finding(
        model, forced ? TARE_WARNING : TARE_ERROR, TARE_E_FORMAT, "zeros-all-ones",
        e->first->part[TARE_PART_ZEROS]->name,
        "%lld of %lld fields of zeros are all ones, in a v1 file of an unknown writer (no meta.quantizer): to AutoGPTQ "
        "that is the zero 0, to other readers %s, and the fields beside them may be damaged; %s",
        (long long)e->ones, (long long)e->fields, "2^bits",
        forced ? "they are read as 0, as --zeros=v1 asks" : "--zeros=v1 reads them as 0, --zeros=v2 as they stand");
}

static void judge(struct tare_model *model, const struct evidence *e, enum verdict said, bool forced)
{
    double error = 0;
    const double average = best_average(e, &error);
    const enum verdict constant = by_constant(e), mean = by_average(average, error);
    const enum verdict verdict = constant && mean && constant != mean ? UNKNOWN : constant ? constant : mean;
    const char *evidence = say(model, e, constant, average, error);
    if (verdict != UNKNOWN && verdict != said && !forced)
        tare_plan_finding(model, TARE_ERROR, TARE_E_FORMAT, "zeros-contradicted", model->quant.place,
                          "%s, so the zeros are %s, but the data are those of %s: %s. --zeros=%s reads what the data "
                          "say, --zeros=%s what config.json says",
                          said_by(model), words[said], words[verdict], evidence, words[verdict], words[said]);
    else if (verdict != UNKNOWN && verdict != said)
        tare_plan_finding(model, TARE_WARNING, TARE_OK, "zeros-forced", model->quant.place,
                          "the zeros are read as %s, as --zeros asks, but the data are those of %s: %s", words[said],
                          words[verdict], evidence);
    else
        tare_plan_finding(model, TARE_NOTE, TARE_OK, "zeros", model->quant.place,
                          "the zeros are %s (%s); the data %s: %s", words[said],
                          forced ? "--zeros asks for it" : said_by(model), verdict ? "say the same" : "do not tell",
                          evidence);
    judge_ones(model, e, forced);
}

enum tare_code tare_gptq_zeros(struct tare_model *model, struct tare_error *err)
{
    struct evidence e = {0};
    const enum tare_zeros asked = model->options.zeros;
    const bool planar = model->quant.gptq.format == TARE_GPTQ_PLANAR;
    if (planar && asked == TARE_ZEROS_V1)
        return tare_fail(err, TARE_E_UNKNOWN, model->quant.place, "gptq_p has no v1 zeros, which --zeros=v1 asks for");
    if (!planar && asked)
        set_packing(model, asked == TARE_ZEROS_V1 ? V1 : V2);
    const enum verdict said = model->quant.gptq.format == TARE_GPTQ_V1 ? V1 : V2;
    if (model->options.no_data) {
        tare_plan_finding(model, TARE_NOTE, TARE_OK, "zeros-not-judged", model->quant.place,
                          "the zeros are taken for %s (%s): weights were not to be read", words[said],
                          asked ? "--zeros asks for it" : said_by(model));
        return TARE_OK;
    }
    const enum tare_code code = gather(model, &e, err);
    if (!code && e.fields)
        judge(model, &e, said, asked != TARE_ZEROS_AUTO);
    return code;
}
