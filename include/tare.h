/* SPDX-License-Identifier: MIT
 *
 * tare.h - the whole public interface of libtare.
 *
 * One idea: everything up to "may this model be used?" is decided from headers alone and recorded in a plan.
 * tare_plan() makes the plan, the report tells it, conversions and sessions execute it.
 *
 *     tare_model *model = NULL;
 *     struct tare_error error = {0};
 *     if (tare_plan(&model, "path/to/checkpoint", NULL, &error) != TARE_OK)
 *         fprintf(stderr, "%s: %s\n", error.where, error.text);
 *     tare_model_free(model);
 *
 * Threads: a planned model is read-only and may be shared between threads. A session belongs to one thread at a time.
 * Where a comment says "any thread", calls may also run at the same moment. Nothing here prints, exits, aborts or reads
 * the environment, and nothing is global.
 *
 * Errors: a function that can fail returns an enum tare_code, TARE_OK for success, and takes a struct tare_error last,
 * which may be NULL. It is filled on failure. TARE_E_MEMORY may come from any of them, and TARE_E_ARGUMENT where a
 * pointer that must not be NULL is.
 *
 * Ownership: "owned" means that the caller frees it, with the function that is named; "borrowed" that somebody else
 * does, and until when it is valid; "static" that it is valid for ever. Every .._free() takes NULL.
 *
 * Options: an options struct starts with its size and comes from its .._INIT, or from its .._init() function where a
 * language has no macros. Where a function takes options, NULL stands for all defaults.
 *
 * Growth: this is ABI 1. A function keeps its parameters and a struct its fields; new fields are added at the end only,
 * and 0 is their default. So a host and a library of different versions understand one another: structs that cross the
 * border begin with their size, and arrays of structs name a stride, the bytes from one entry to the next. A size too
 * small to be one, or a larger struct whose unknown part is not 0, is TARE_E_ARGUMENT. struct tare_error never grows.
 *
 * Names: an object has one prefix. tare_NAME_open() makes it, tare_NAME_free() ends it, tare_NAME_report() tells what it
 * found and tare_NAME_json() says the same in JSON. (A model is made by tare_plan().)
 */
#ifndef TARE_H
#define TARE_H

#include "tare/audit.h"
#include "tare/base.h"
#include "tare/convert.h"
#include "tare/generate.h"
#include "tare/plan.h"
#include "tare/quantize.h"
#include "tare/reader.h"
#include "tare/session.h"
#include "tare/text.h"
#include "tare/threads.h"

#endif
