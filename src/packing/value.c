/* SPDX-License-Identifier: MIT
 * value.c - functions of a module's elements, computed in float32. */
#include "packing/value.h"

#include <math.h>
#include <stdlib.h>

#define GATE_TEMPERATURE 0.3F /* mlx-lm: models/muse_spark.py, residual_gate_coefficients */
#define GATE_LEAST 1e-3F
#define NORM_LEAST 1e-7F

static float sigmoid(float x)
{
    return 1.0F / (1.0F + expf(-x));
}

static float function_of(const struct tare_value *v, float x, float norm)
{
    const float operand = (float)v->operand, gate = x / GATE_TEMPERATURE;
    switch (v->function) {
    case TARE_ADD:
        return x + operand;
    case TARE_MULTIPLY:
        return x * operand;
    case TARE_DIVIDE_BY_NORM:
        return x / (norm + NORM_LEAST);
    case TARE_GATE_KEEP:
        return sqrtf(fmaxf(sigmoid(-gate) * (1.0F + sigmoid(gate)), GATE_LEAST));
    case TARE_GATE_TAKE:
        return sigmoid(gate);
    }
    return x;
}

void tare_value_apply(const struct tare_value *v, const float *norms, int64_t row, int64_t rows, int64_t columns,
                      float *x)
{
    if (!v)
        return;
    tare_value_apply(v->before, norms, row, rows, columns, x);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < columns; k++) {
            const float norm = !norms ? 0 : v->axis ? norms[row + i] : norms[k];
            x[i * columns + k] = function_of(v, x[i * columns + k], norm);
        }
}

static const struct tare_value *divides(const struct tare_value *value)
{
    while (value && value->function != TARE_DIVIDE_BY_NORM)
        value = value->before;
    return value;
}

enum tare_code tare_value_norms(const struct tare_value *value, const struct tare_module *module,
                                const void *const part[TARE_PARTS], struct tare_arena *arena, const float **norms,
                                struct tare_error *err)
{
    const struct tare_value *v = divides(value);
    const int64_t rows = tare_module_rows(module), columns = tare_module_columns(module);
    *norms = NULL;
    if (!v)
        return TARE_OK;
    struct tare_arena work = {0};
    const size_t n = (size_t)(v->axis ? rows : columns);
    double *sum = calloc(n + 1, sizeof *sum);
    float *row = malloc(((size_t)columns + 1) * sizeof *row), *made = tare_arena_array(arena, n, sizeof *made);
    enum tare_code code = sum && row && made ? TARE_OK : tare_fail_memory(err);
    for (int64_t r = 0; r < rows && !code; r++) {
        tare_arena_reset(&work);
        code = tare_module_floats(module, part, r, 1, row, &work, err);
        for (int64_t k = 0; k < columns && !code; k++)
            sum[v->axis ? r : k] += (double)row[k] * (double)row[k];
    }
    for (size_t i = 0; i < n && !code; i++)
        made[i] = (float)sqrt(sum[i]);
    tare_arena_release(&work);
    free(sum);
    free(row);
    *norms = made;
    return code;
}

enum tare_code tare_value_read(const struct tare_value *value, const struct tare_module *module,
                               const void *const part[TARE_PARTS], struct tare_checkpoint *checkpoint,
                               struct tare_arena *arena, const float **norms, struct tare_error *err)
{
    struct tare_holds holds = {0};
    enum tare_code code = divides(value) ? tare_module_hold_all(&holds, checkpoint, module, err) : TARE_OK;
    *norms = NULL;
    if (!code)
        code = tare_value_norms(value, module, part, arena, norms, err);
    tare_holds_release(&holds);
    return code;
}
