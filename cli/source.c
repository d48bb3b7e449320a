/* SPDX-License-Identifier: MIT
 * source.c - MODEL: a path, fable, or a name of the hub. */
#include "source.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fable.h"
#include "print.h"

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* Is it ORG/NAME@REVISION:VARIANT? A name of a file of weights is a path that is not there, and no such name. */
static bool is_hub_name(const char *word, struct tare_hub_name *name)
{
    return strchr(word, '/') && !ends_with(word, ".safetensors") && !ends_with(word, ".gguf") &&
           tare_hub_name_read(name, word, NULL) == TARE_OK;
}

/* Looks for a model in the Hugging Face cache, and gets it from the hub when it is not there. */
static enum tare_code get(struct cli_source *source, const struct tare_hub_name *name, struct tare_error *err)
{
    struct tare_pull pull = {0};
    enum tare_code code = cli_hub_read(&source->hub, NULL, err);
    code = code ? code : tare_pull_find(&pull, &source->hub.hub, name, err);
    if (code == TARE_E_ABSENT && !source->hub.hub.offline) {
        pull = (struct tare_pull){0};
        code = cli_hub_pull(&source->hub, &pull, name, err);
    }
    if (code)
        return code;
    cli_hub_path(&pull, source->cache, sizeof source->cache);
    source->path = source->cache;
    return TARE_OK;
}

enum tare_code cli_source_find(struct cli_source *source, const char *model, struct tare_error *err)
{
    const struct tare_options defaults = TARE_OPTIONS_INIT;
    struct tare_hub_name name;
    memset(source, 0, sizeof *source);
    source->options = defaults;
    source->path = model;
    if (!model || (strcmp(model, "fable") == 0 && !exists(model))) {
        source->fable = true;
        source->path = "fable";
        source->options.files = cli_fable();
        source->options.n_files = CLI_FABLE_FILES;
        return TARE_OK;
    }
    return !exists(model) && is_hub_name(model, &name) ? get(source, &name, err) : TARE_OK;
}

bool cli_source_names_model(const char *word)
{
    return exists(word) || strcmp(word, "fable") == 0 || (strchr(word, '/') && !word[strcspn(word, " \t\n")]);
}

enum tare_code cli_source_plan(const struct cli_source *source, tare_model **model, struct tare_error *err)
{
    struct tare_options options = source->options;
    struct cli_progress progress = cli_progress_init();
    options.progress = cli_progress_show;
    options.user = &progress;
    const enum tare_code code = tare_plan(model, source->path, &options, err);
    cli_progress_wipe(&progress);
    return code;
}
