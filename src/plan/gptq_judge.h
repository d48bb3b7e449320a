/* SPDX-License-Identifier: MIT
 * gptq_judge.h - the stages that GPTQ's checkpoints need; in others little or nothing happens. */
#ifndef TARE_PLAN_GPTQ_JUDGE_H
#define TARE_PLAN_GPTQ_JUDGE_H

#include "packing/gptq/gptq.h"
#include "plan/plan.h"

/* A module of GPTQ's without a fault. */
bool tare_gptq_sound(const struct tare_module *module);
/* After grouping: rules for modules (dynamic), g_idx, and the meaning of zeros. With no_data only the first. */
enum tare_code tare_gptq_judge(struct tare_model *model, struct tare_error *err);
/* Do the stored zeros mean what checkpoint_format says? Evidence and verdict become findings; options.zeros decides,
 * where it is given. */
enum tare_code tare_gptq_zeros(struct tare_model *model, struct tare_error *err);
/* After rewriting: biases of zeros are set aside; halves of a fused matrix are joined, in any checkpoint. */
enum tare_code tare_gptq_settle(struct tare_model *model, struct tare_error *err);

#endif
