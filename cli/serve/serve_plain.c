/* SPDX-License-Identifier: MIT
 * serve_plain.c - stands in for the server where the program is built without libevent. */
#include <stdio.h>

#include "serve/serve.h"

enum tare_code serve_run(const struct serve_options *options, struct tare_error *err)
{
    (void)options;
    *err = (struct tare_error){.code = TARE_E_UNKNOWN, .where = "serve"};
    snprintf(err->text, sizeof err->text, "this tare was built without the server; build it with TARE_SERVE=ON");
    return err->code;
}
