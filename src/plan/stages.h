/* SPDX-License-Identifier: MIT
 * stages.h - the stages of a plan, each a function that reads what the earlier ones left in the model.
 *
 * src/tare.c has the list of all eight. It stands at the top because stage 6 belongs to save/; whoever plans from a
 * room below (repair/ plans again after every edit) is given the list as a tare_stages_fn.
 */
#ifndef TARE_PLAN_STAGES_H
#define TARE_PLAN_STAGES_H

#include "plan/plan.h"

/* Runs all stages in order and returns the first failure. */
typedef enum tare_code tare_stages_fn(struct tare_model *model, const char *path, struct tare_error *err);

/*
 * Make a plan: tare_plan() of the checkpoint as it would be with the edits (open/edits.h). edits NULL: as it is; else
 * they must outlive the model. *model is NULL only without memory or with wrong arguments; a checkpoint that does not
 * load has a plan too, which says why.
 */
enum tare_code tare_plan_make(struct tare_model **model, const char *path, const struct tare_options *options,
                              const struct tare_edits *edits, tare_stages_fn *stages, struct tare_error *err);

/* 2 config: config.json, quantize_config.json, and what they say about the quantization. */
enum tare_code tare_plan_configure(struct tare_model *model, struct tare_error *err);
/* 3 declare: model_type -> record, args, parameter tree. */
enum tare_code tare_plan_declare(struct tare_model *model, struct tare_error *err);
/* 4 group: tensors -> modules; then GPTQ's rules, column orders and zeros (plan/gptq_judge.h). */
enum tare_code tare_plan_group(struct tare_model *model, struct tare_error *err);
/* 5 rewrite: the architecture's sanitize; then GPTQ's biases of zeros and split halves. */
enum tare_code tare_plan_rewrite(struct tare_model *model, struct tare_error *err);
/* 5 tie: the rule of the head, its proof, and the policy. */
enum tare_code tare_plan_tie(struct tare_model *model, struct tare_error *err);
/*
 * 7 strict: bind entries to parameters; every missing, unexpected and misshapen one becomes part of the report. In a
 * plan that loads, columns in act-order are then sorted into groups where that can be done (plan/fold.c).
 */
enum tare_code tare_plan_close(struct tare_model *model, struct tare_error *err);

#endif
