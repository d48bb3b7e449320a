/* SPDX-License-Identifier: MIT
 * linear_out.h - what the targets share that keep the checkpoint's names and round its linear layers: fp8_out.c,
 * bitsandbytes_out.c, and in part integer_out.c.
 */
#ifndef TARE_QUANTIZE_LINEAR_OUT_H
#define TARE_QUANTIZE_LINEAR_OUT_H

#include "quantize/quantizing.h"

/* Is it the matrix by which a block chooses experts? */
bool tare_linear_chooses(const struct tare_model *model, const struct tare_parameter *parameter);
/* Does a job of the view by source module become codes? A linear layer's matrix, stored as (out, in), that is neither
 * the output head nor a router, or any such one that a rule names; *code is the failure of what cannot be rounded. */
bool tare_linear_rounds(struct tare_quantizing *quantizing, const struct tare_model *model, const struct tare_job *job,
                        enum tare_code *code, struct tare_error *err);
/* n rows of a job from row `first` of a tile that tare_dense_values() made, as float32, all of them finite. */
enum tare_code tare_linear_rows(const struct tare_job *job, const struct tare_box *box, const void *made, int64_t first,
                                int64_t n, float *values, struct tare_error *err);
/* A list of the paths of linear layers that stay floats, the head's among them; NULL: no memory. */
json_t *tare_linear_kept(const struct tare_layout *layout);

#endif
