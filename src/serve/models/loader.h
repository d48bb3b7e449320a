/* SPDX-License-Identifier: MIT
 * loader.h - between the table of models and the thread that loads them. */
#ifndef TARE_SERVE_LOADER_H
#define TARE_SERVE_LOADER_H

#include "tare.h"

struct serve;
struct serve_failure;
struct serve_model;

/* Loads a model, for which others that nobody uses may go. On failure err says why in the words of libtare, and failure
 * in those of an answer: with the model's name, and without a path. */
enum tare_code serve_model_load(struct serve *serve, struct serve_model *model, struct serve_failure *failure,
                                struct tare_error *err);

/* A thread that loads what requests wait for, one after another; user is the server. */
void *serve_loader_main(void *user);

/* model_table.c: a model is ready, or could not be loaded; the requests that wait for it go on. */
void serve_models_settle(struct serve *serve, struct serve_model *model, const struct serve_failure *failure);

#endif
