/* SPDX-License-Identifier: MIT
 * draft.h - guesses the next ids of texts: from each text itself (lookup.h), or by a smaller model that reads along. */
#ifndef TARE_RUN_SESSION_DRAFT_H
#define TARE_RUN_SESSION_DRAFT_H

#include "run/session/generate.h"

/* Makes the guesses of all texts that are about to feed their last id: g->draft[0 .. g->guesses). Smaller models of one
 * kind go through their weights together. What fails there costs the guesses only. */
void tare_draft_each(tare_generate *const *generates, size_t n);

/* Takes the session of a smaller model, which belongs to g from here on and whose ids must mean what the text's mean. */
enum tare_code tare_draft_open(tare_generate *g, tare_session *drafter, struct tare_error *err);
void tare_draft_release(tare_generate *g);

#endif
