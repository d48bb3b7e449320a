/* SPDX-License-Identifier: MIT
 * rm.c - tare rm: removes a model, or one revision of it, from the Hugging Face cache. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "hub/cached.h"
#include "hub/local.h"
#include "hub_setting.h"
#include "print.h"

/* Shows what would go, and asks. Returns CLI_GO_ON for yes. */
static int ask(const char *word, const char *path, bool yes)
{
    char answer[16] = "";
    if (yes)
        return CLI_GO_ON;
    if (!cli_is_terminal(stdin))
        return cli_wrong("rm: nothing was removed: --yes is needed where nobody can be asked");
    fputs("remove ", stderr);
    cli_put(stderr, word);
    fputs(" (", stderr);
    cli_put(stderr, path);
    fputs(")? [y/N] ", stderr);
    fflush(stderr);
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return CLI_GO_ON;
    cli_error("", "nothing was removed");
    return 1;
}

/* The commit that a word names; "" when it names the whole model. */
static enum tare_code find(const struct tare_hub *hub, const char *word, const struct tare_hub_name *name,
                           char commit[TARE_HUB_COMMIT], char path[TARE_HUB_PATH], struct tare_error *err)
{
    struct tare_hub_cache cache;
    enum tare_code code = tare_hub_cache_open(&cache, hub, name->id, err);
    *commit = '\0';
    if (code)
        return code;
    snprintf(path, TARE_HUB_PATH, "%s", cache.repo);
    if (!strchr(word, '@'))
        return TARE_OK;
    if (!tare_local_commit(&cache, name->revision, commit)) {
        *err = (struct tare_error){.code = TARE_E_ABSENT};
        snprintf(err->where, sizeof err->where, "%s", word);
        snprintf(err->text, sizeof err->text, "is not in the Hugging Face cache: tare ls lists what is");
        return err->code;
    }
    return tare_hub_cache_path(&cache, path, err, "snapshots/%s", commit);
}

struct asked {
    struct cli_hub_flags hub;
    bool yes;
};

static const struct cli_flag flags[] = {
    {.name = "yes", .letter = 'y', CLI_IS_SWITCH(struct asked, yes), .usual = true, .help = "do not ask"},
    {.name = "cache-dir",
     CLI_IS_TEXT(struct asked, hub.cache),
     .value = "DIR",
     .takes = CLI_TAKES_FOLDER,
     .help = "instead of HF_HUB_CACHE"},
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct cli_hub setting;
    struct asked asked = {0};
    struct tare_hub_name name;
    struct tare_error err = {0};
    char commit[TARE_HUB_COMMIT], path[TARE_HUB_PATH];
    int words = 0;
    uint64_t freed = 0;
    int status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    if (tare_hub_name_read(&name, argv[0], &err) || cli_hub_read(&setting, &asked.hub, &err) ||
        find(&setting.hub, argv[0], &name, commit, path, &err))
        return cli_fail(&err);
    if (*name.variant)
        return cli_wrong("rm: removes whole revisions: %s without \":%s\"", name.id, name.variant);
    status = ask(argv[0], path, asked.yes);
    if (status != CLI_GO_ON)
        return status;
    if (tare_cached_remove(&setting.hub, name.id, *commit ? commit : NULL, &freed, &err))
        return cli_fail(&err);
    printf("removed ");
    cli_put(stdout, argv[0]);
    printf(": %s\n", cli_bytes(freed).text);
    return 0;
}

const struct cli_verb cli_rm = {
    .name = "rm",
    .summary = "Remove a model, or one revision of it, from the Hugging Face cache.",
    .about =
        "ORG/NAME is all of a model; ORG/NAME@REVISION one revision of it, whose contents stay where another revision "
        "has them too. It asks first; where nobody can be asked, --yes is needed. Links are removed, and never "
        "followed.",
    .words = {{.name = "ORG/NAME", .takes = CLI_TAKES_MODEL}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare rm ORG/NAME --yes", "Removes it without asking."}},
    .exit_one = "The answer was no.",
    .see = "ls pull",
    .run = run,
};
