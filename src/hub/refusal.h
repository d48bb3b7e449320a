/* SPDX-License-Identifier: MIT
 * refusal.h - what an answer that is no success means, in a sentence with what to do. */
#ifndef TARE_HUB_REFUSAL_H
#define TARE_HUB_REFUSAL_H

#include "hub/transport.h"

/* The answer of request->answer; exit status 3 for what is not there or not allowed, 4 for what is no hub's answer. */
enum tare_code tare_hub_refusal(const struct tare_hub *hub, const struct tare_request *request, struct tare_error *err);

/* The place in an error: "org/name", "org/name@v1" or "org/name: file". */
struct tare_hub_place {
    char text[256];
};
struct tare_hub_place tare_hub_place(const struct tare_request *request);

#endif
