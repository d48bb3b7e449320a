/* SPDX-License-Identifier: MIT
 * source.c - MODEL. The environment (HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HOME) is read here and nowhere else. */
#include "source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fable.h"
#include "print.h"

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* Is it ORG/NAME as the hub spells it: two words of letters, digits, '-', '_' and '.', neither of which starts with a
 * dot? */
static bool is_hub_name(const char *word)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    const char *slash = strchr(word, '/');
    return slash && slash != word && slash[1] && word[0] != '.' && slash[1] != '.' &&
           word + strspn(word, letters) == slash && !slash[1 + strspn(slash + 1, letters)];
}

/* Reads a path from an environment variable; "~/" stands for the home folder. Returns false when the variable is unset
 * or empty, or the path too long. */
static bool path_of(const char *variable, const char *more, char *out, size_t room)
{
    const char *value = getenv(variable), *home = getenv("HOME");
    int n = -1;
    if (!value || !*value)
        return false;
    if (value[0] == '~' && value[1] == '/' && home)
        n = snprintf(out, room, "%s%s%s", home, value + 1, more);
    else
        n = snprintf(out, room, "%s%s", value, more);
    return n > 0 && (size_t)n < room;
}

/* Looks for ORG/NAME in the Hugging Face cache, which lies where the variables say that the hub's own tools read. */
static enum tare_code look_in_cache(struct cli_source *source, const char *model, struct tare_error *err)
{
    char hub[2048];
    if (!path_of("HF_HUB_CACHE", "", hub, sizeof hub) && !path_of("HF_HOME", "/hub", hub, sizeof hub) &&
        !path_of("XDG_CACHE_HOME", "/huggingface/hub", hub, sizeof hub) &&
        !path_of("HOME", "/.cache/huggingface/hub", hub, sizeof hub))
        return TARE_OK;
    const char *slash = strchr(model, '/');
    const int n = snprintf(source->cache, sizeof source->cache, "%s/models--%.*s--%s", hub, (int)(slash - model), model,
                           slash + 1);
    if (n < 0 || (size_t)n >= sizeof source->cache) {
        *err = (struct tare_error){.code = TARE_E_ARGUMENT, .text = "the name of the model is too long"};
        return err->code;
    }
    if (exists(source->cache)) {
        source->path = source->cache;
        source->cached = true;
    }
    return TARE_OK;
}

enum tare_code cli_source_find(struct cli_source *source, const char *model, struct tare_error *err)
{
    const struct tare_options defaults = TARE_OPTIONS_INIT;
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
    return !exists(model) && is_hub_name(model) ? look_in_cache(source, model, err) : TARE_OK;
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
    if (code == TARE_E_ABSENT && *source->cache && !source->cached) {
        snprintf(err->where, sizeof err->where, "%s", source->path);
        snprintf(err->text, sizeof err->text, "no such file or folder, and not in the Hugging Face cache: %.400s",
                 source->cache);
    }
    return code;
}
