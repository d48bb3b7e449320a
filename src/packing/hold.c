/* SPDX-License-Identifier: MIT
 * hold.c - which bytes of a checkpoint the rows of a module take, where its files are not mapped. */
#include "packing/packing.h"

#define SLACK 64u /* bytes around the rows: what is decoded by whole registers may touch its neighbours */

/* Does row r of the module lie in its own part of the weight, [r, r + 1) * size / rows? Rows of GGUF's heads, and rows
 * that were sorted, lie elsewhere. */
static bool lies_by_rows(const struct tare_module *module)
{
    const struct tare_tensor *weight = module->part[TARE_PART_WEIGHT];
    const int64_t rows = tare_module_rows(module);
    return module->packing->rowwise && !module->rows && !module->by_rows && !weight->heads && rows > 0 &&
           weight->size % (uint64_t)rows == 0;
}

enum tare_code tare_module_hold(struct tare_holds *holds, struct tare_checkpoint *checkpoint,
                                const struct tare_module *module, int64_t row, int64_t rows, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (int k = 0; checkpoint->windowed && k < TARE_PARTS && !code; k++) {
        const struct tare_tensor *part = module->part[k];
        if (!part || tare_part_is_copied((enum tare_part)k))
            continue;
        if (k != TARE_PART_WEIGHT || !lies_by_rows(module)) {
            code = tare_holds_add(holds, checkpoint, part, 0, part->size, err);
            continue;
        }
        const uint64_t bytes = part->size / (uint64_t)tare_module_rows(module);
        const uint64_t begin = (uint64_t)row * bytes, end = (uint64_t)(row + rows) * bytes;
        code = tare_holds_add(holds, checkpoint, part, begin > SLACK ? begin - SLACK : 0,
                              part->size - end > SLACK ? end + SLACK : part->size, err);
    }
    return code;
}

enum tare_code tare_module_hold_all(struct tare_holds *holds, struct tare_checkpoint *checkpoint,
                                    const struct tare_module *module, struct tare_error *err)
{
    return tare_module_hold(holds, checkpoint, module, 0, tare_module_rows(module), err);
}

enum tare_code tare_piece_hold(struct tare_holds *holds, struct tare_checkpoint *checkpoint,
                               const struct tare_piece *piece, int rank, const int64_t *low, const int64_t *high,
                               struct tare_error *err)
{
    const int64_t columns = tare_module_columns(piece->module);
    int64_t first = piece->start, last = piece->start; /* elements of the module */
    if (!checkpoint->windowed)
        return TARE_OK;
    for (int k = 0; k < rank; k++) {
        const int64_t end = piece->at[k] + piece->shape[k];
        const int64_t from = low[k] > piece->at[k] ? low[k] : piece->at[k], to = high[k] < end ? high[k] : end;
        if (from >= to)
            return TARE_OK;
        first += (from - piece->at[k]) * piece->stride[k];
        last += (to - 1 - piece->at[k]) * piece->stride[k];
    }
    if (columns <= 0)
        return TARE_OK;
    return tare_module_hold(holds, checkpoint, piece->module, first / columns, last / columns - first / columns + 1,
                            err);
}
