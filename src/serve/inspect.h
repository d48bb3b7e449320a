/* SPDX-License-Identifier: MIT
 * inspect.h - what the page's view of a plan shows, as JSON, by the public API alone. */
#ifndef TARE_SERVE_INSPECT_H
#define TARE_SERVE_INSPECT_H

#include "tare.h"

/*
 * The plan of a model: {"plan": what tare_model_json() gives with all parameters, "sources": [{name, dtype, shape, file,
 * offset, bytes, fate, rule}], "config": config.json, or null where it cannot be read}.
 *
 *   name  stands in place of the model's path; NULL: the path as it was given
 *
 * Returns the text, which the caller frees with free(); NULL when memory ran out. Any thread.
 */
char *serve_inspect_plan(const tare_model *model, const char *name);

/*
 * The histograms of one parameter: {name, packing, scale_dtype, shape, bits, group_size, rows, columns, groups, rows_read,
 * act_order} and, of packed ones, "codes", how often each code occurs, "table", what codes stand for where they are floats,
 * and "scales", "zeros" and "offsets"; of others "values". Each of these is {least, most, mean, bins, not_finite}, or null.
 * Of a large parameter about a million numbers are read, in rows that are evenly spread.
 *
 *   name  of a parameter of the plan
 *
 * Returns the text, which the caller frees with free(); NULL on failure, described in err: what tare_reader_open() says
 * of the name, or TARE_E_MEMORY. Any thread.
 */
char *serve_inspect_module(const tare_model *model, const char *name, struct tare_error *err);

#endif
