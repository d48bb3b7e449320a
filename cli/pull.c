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

struct asked {
    struct cli_hub_flags hub;
    struct cli_list include;
    struct cli_list exclude;
    const char *revision;
    bool dry_run;
};

static const struct cli_flag flags[] = {
    {.name = "revision",
     CLI_IS_TEXT(struct asked, revision),
     .value = "REV",
     .help = "a branch, a tag, refs/pr/N or a commit: the same as ORG/NAME@REV"},
    {.name = "include",
     CLI_IS_LIST(struct asked, include),
     .value = "GLOB",
     .help = "only files that match",
     .more = "A star matches slashes too. Pickles and ONNX are never taken."},
    {.name = "exclude", CLI_IS_LIST(struct asked, exclude), .value = "GLOB", .help = "no files that match"},
    {.name = "dry-run",
     CLI_IS_SWITCH(struct asked, dry_run),
     .usual = true,
     .help = "list the files, and what would be fetched"},
    {.name = "token", CLI_IS_TEXT(struct asked, hub.token), .value = "TOKEN", .help = "instead of HF_TOKEN"},
    {.name = "cache-dir",
     CLI_IS_TEXT(struct asked, hub.cache),
     .value = "DIR",
     .takes = CLI_TAKES_FOLDER,
     .help = "instead of HF_HUB_CACHE"},
    {.name = "max-workers",
     CLI_IS_WHOLE(struct asked, hub.workers, 1, 16),
     .value = "N",
     .help = "connections at once; default 8"},
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct cli_hub setting;
    struct asked asked = {0};
    struct tare_pull pull = {0};
    struct tare_hub_name name;
    struct tare_error err = {0};
    int words = 0;
    const int status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    if (tare_hub_name_read(&name, argv[0], &err) || cli_hub_read(&setting, &asked.hub, &err))
        return cli_fail(&err);
    if (asked.revision) {
        if (!tare_hub_is_revision(asked.revision))
            return cli_wrong("pull: --revision takes a branch, a tag, refs/pr/N or a commit, not \"%s\"",
                             asked.revision);
        snprintf(name.revision, sizeof name.revision, "%s", asked.revision);
    }
    pull.choice.include = asked.include.items;
    pull.choice.n_include = asked.include.n;
    pull.choice.exclude = asked.exclude.items;
    pull.choice.n_exclude = asked.exclude.n;
    pull.dry_run = asked.dry_run;
    pull.list = asked.dry_run ? list : NULL;
    return fetch(&setting, &pull, &name);
}

const struct cli_verb cli_pull = {
    .name = "pull",
    .summary = "Download a model from the hub into the Hugging Face cache.",
    .about =
        "Fetches what a model needs: config and its kin, tokenizer, chat template, and the safetensors that the index "
        "names, or one GGUF file, chosen by a word of its name: ORG/NAME:Q4_K_M. Never pickles. "
        "Several files and several ranges of a large one come at once; what was cut off continues with the next pull, "
        "and a content gets its name only when its hash is that name. "
        "The cache is the one of huggingface_hub, which reads what tare wrote, and the reverse.\n\n"
        "The last line on standard output is the snapshot's folder. HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH, "
        "HF_ENDPOINT, HF_HUB_OFFLINE, HF_HUB_DISABLE_PROGRESS_BARS, the proxies and SSL_CERT_FILE mean what they mean "
        "to hf.",
    .words = {{.name = "ORG/NAME"}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare pull ORG/NAME", "Downloads the branch main."},
                 {"tare pull ORG/NAME --dry-run", "Lists the files and their sizes."}},
    .see = "ls rm search check",
    .run = run,
};
