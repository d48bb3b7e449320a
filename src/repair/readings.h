/* SPDX-License-Identifier: MIT
 * readings.h - how tensors are packed, told from their names, dtypes and shapes, and from the shapes that the model
 * declares; whatever quantization_config says. Layouts: docs/layouts.md.
 */
#ifndef TARE_REPAIR_READINGS_H
#define TARE_REPAIR_READINGS_H

#include "plan/plan.h"

/* Layouts of <stem>.qweight, as a bit set; and MLX's. */
enum tare_layout_bit {
    TARE_LAYOUT_AWQ_GEMM = 1,      /* qweight I32 (in, out / 8), scales (groups, out) */
    TARE_LAYOUT_AWQ_GEMM8 = 2,     /* qweight I32 (in, out / 4) */
    TARE_LAYOUT_AWQ_GEMV = 4,      /* qweight I32 (out, in / 8), scales (out, padded groups) */
    TARE_LAYOUT_AWQ_GEMV_FAST = 8, /* qweight I16 (out / 4, in), scales (padded groups, out) */
    TARE_LAYOUT_GPTQ = 16,         /* qweight I32 (in * bits / 32, out), scales (groups, out) */
    TARE_LAYOUT_MLX = 32           /* weight U32 (out, in * bits / 32), scales (out, groups) */
};

/* One packed stem. */
struct tare_stem {
    /* The name as the checkpoint has it: "model.layers.0.mlp.up_proj". */
    const char *path;
    /* The name as the model has it, without ".weight"; NULL if the model does not declare it as one matrix. */
    const char *parameter;
    const struct tare_tensor *weight;
    const struct tare_tensor *scales;
    /* qzeros, or MLX's biases. */
    const struct tare_tensor *zeros;
    const struct tare_tensor *g_idx;
    /* The shape that the model declares is (out, in); 0 if it is not known. */
    int64_t in;
    int64_t out;
    /* The set of enum tare_layout_bit that fit the tensors. */
    unsigned layouts;
};

struct tare_stems {
    struct tare_model *model; /* owned: planned without any quantization_config */
    struct tare_arena arena;
    struct tare_stem *list; /* heap */
    size_t n, room;
    size_t incomplete; /* stems that lack weight or scales; they are not in the list */
    size_t others;     /* packed by other names (compressed-tensors, fp8, mxfp4): not for these readings */
};

/* What a stem is by one layout: bits and group size; 0 where it is not certain. */
struct tare_reading {
    int bits;
    int64_t group_size, groups, in;
    int64_t padded; /* gemv, gemv_fast: groups, with those that are there for their kernels' sake; else 0 */
};

/* model is taken. Release also after a failure. */
enum tare_code tare_stems_list(struct tare_stems *stems, struct tare_model *model, struct tare_error *err);
void tare_stems_release(struct tare_stems *stems);
struct tare_reading tare_stem_read(const struct tare_stem *stem, enum tare_layout_bit layout);

/* Could it be of this group size? -1: one group. Short last groups are GPTQ's only. */
bool tare_reading_fits(const struct tare_reading *reading, int64_t group_size);

/* mend_quant.c for MLX; mend_mlx.c. */
struct tare_repair;
/* Of settings with config_groups, or GPTQ's: one key, by trial; mend_trial.c. place: where they lie in config.json. */
enum tare_code tare_mend_by_trial(struct tare_repair *r, const char *const *place, const json_t *settings,
                                  bool *changed, struct tare_error *err);
enum tare_code tare_mend_mlx(struct tare_repair *r, struct tare_stems *stems, bool *changed, struct tare_error *err);

/* The one value that all fields of all zeros of GPTQ have; -1: they differ, or there are none. */
enum tare_code tare_stems_one_zero(struct tare_stems *stems, int bits, int *zero, struct tare_error *err);
/* Is every word of every qzeros 0x88888888, AWQ's symmetric zero? */
enum tare_code tare_stems_all_eight(struct tare_stems *stems, bool *eight, struct tare_error *err);

#endif
