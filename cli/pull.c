/* SPDX-License-Identifier: MIT
 * pull.c - tare pull: downloads what a model needs into the Hugging Face cache. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "hub_setting.h"
#include "print.h"

/* One line of a dry run. */
static void list(void *user, const char *path, uint64_t size, bool have)
{
    (void)user;
    printf("%-10s %9s  ", have ? "there" : "to fetch", cli_bytes(size).text);
    cli_put(stdout, path);
    putchar('\n');
}

static int fetch(struct cli_hub *setting, struct tare_pull *pull, const struct tare_hub_name *name)
{
    struct tare_error err = {0};
    const double start = cli_seconds();
    if (cli_hub_pull(setting, pull, name, &err) != TARE_OK)
        return cli_fail(&err);
    if (pull->dry_run) {
        printf("%zu files, %s; to fetch: %zu, %s\n", pull->files, cli_bytes(pull->bytes).text, pull->missing,
               cli_bytes(pull->missing_bytes).text);
        return 0;
    }
    if (setting->progress.on)
        fprintf(stderr, "%s fetched in %.1f s, %s were there\n", cli_bytes(pull->missing_bytes).text,
                cli_seconds() - start, cli_bytes(pull->bytes - pull->missing_bytes).text);
    printf("%s\n", pull->snapshot);
    return 0;
}

int cli_pull(const struct cli_verb *verb, int argc, char **argv)
{
    struct cli_hub setting;
    struct cli_hub_flags chosen = {0};
    struct cli_list include = {0}, exclude = {0};
    struct tare_pull pull = {0};
    struct tare_hub_name name;
    struct tare_error err = {0};
    const char *revision = NULL;
    int words = 0;
    const struct cli_flag flags[] = {
        {"revision", 0, CLI_TEXT, &revision, "REV", "a branch, tag, refs/pr/N or commit; the same as NAME@REV", 0, 0,
         NULL},
        {"include", 0, CLI_LIST, &include, "GLOB", "only files that match; several times", 0, 0, NULL},
        {"exclude", 0, CLI_LIST, &exclude, "GLOB", "no files that match; several times", 0, 0, NULL},
        {"dry-run", 0, CLI_SWITCH, &pull.dry_run, NULL, "list what would be fetched", 0, 0, NULL},
        {"token", 0, CLI_TEXT, &chosen.token, "TOKEN", "instead of HF_TOKEN", 0, 0, NULL},
        {"cache-dir", 0, CLI_TEXT, &chosen.cache, "DIR", "instead of HF_HUB_CACHE", 0, 0, NULL},
        {"max-workers", 0, CLI_WHOLE, &chosen.workers, "N", "connections at once; default 8", 1, 16, NULL},
    };
    const int status = cli_parse(verb, flags, sizeof flags / sizeof *flags, argc, argv, 1, &words);
    if (status != CLI_GO_ON)
        return status;
    if (!words)
        return cli_wrong("pull: ORG/NAME is needed: which model?");
    if (tare_hub_name_read(&name, argv[0], &err) || cli_hub_read(&setting, &chosen, &err))
        return cli_fail(&err);
    if (revision) {
        if (!tare_hub_is_revision(revision))
            return cli_wrong("pull: --revision takes a branch, a tag, refs/pr/N or a commit, not \"%s\"", revision);
        snprintf(name.revision, sizeof name.revision, "%s", revision);
    }
    pull.choice.include = include.items;
    pull.choice.n_include = include.n;
    pull.choice.exclude = exclude.items;
    pull.choice.n_exclude = exclude.n;
    pull.list = pull.dry_run ? list : NULL;
    return fetch(&setting, &pull, &name);
}
