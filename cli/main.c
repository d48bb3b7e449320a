/* SPDX-License-Identifier: MIT
 * main.c - the table of verbs; start reading here. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "documents/help.h"
#include "near.h"
#include "print.h"

static const struct cli_verb *const verbs[] = {
#define VERB(verb) &cli_##verb,
#include "verbs.def"
#undef VERB
};
enum { VERBS = sizeof verbs / sizeof *verbs };

const struct cli_verb *cli_verb_get(size_t index)
{
    return index < VERBS ? verbs[index] : NULL;
}

const struct cli_verb *cli_verb_find(const char *name)
{
    struct cli_near near = cli_near_init(name);
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
        cli_near_offer(&near, verbs[i]->name);
    }
    if (name[0] == '-')
        (void)cli_wrong("unknown flag %s; tare --help lists what there is", name);
    else if (near.distance[0] <= 2)
        (void)cli_wrong("unknown verb \"%s\"; did you mean tare %s?", name, near.name[0]);
    else
        (void)cli_wrong("unknown verb \"%s\"; tare --help lists them (the nearest is %s)", name, near.name[0]);
    return NULL;
}

static int version(void)
{
    printf("tare %s\n", tare_version());
    return 0;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        cli_help_print_all(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = cli_help.name;
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0 || strcmp(name, "version") == 0)
        return version();
    const struct cli_verb *verb = cli_verb_find(name);
    return verb ? verb->run(verb, argc - 2, argv + 2) : CLI_USAGE;
}

int main(int argc, char **argv)
{
    return cli_finish(dispatch(argc, argv));
}
