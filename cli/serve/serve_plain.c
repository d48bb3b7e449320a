/* SPDX-License-Identifier: MIT
 * serve_plain.c - tare serve where the program was built without libevent. */
#include "cli.h"

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    int words = 0;
    const int status = cli_parse(verb, NULL, argc, argv, &words);
    return status != CLI_GO_ON ? status : cli_wrong("serve: this tare was built without it (TARE_SERVE=OFF)");
}

const struct cli_verb cli_serve = {
    .name = "serve",
    .summary = "Serve models over HTTP (not in this build).",
    .about = "This program was built without the server; build it with TARE_SERVE=ON.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL, .optional = true, .repeats = true}},
    .examples = {{"tare serve --help", "Says the same."}},
    .see = "run chat",
    .run = run,
};
