/* SPDX-License-Identifier: MIT
 * source.c - MODEL: a path, fable, or a name of the hub. */
#include "source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fable.h"
#include "print.h"

/* What a verb needs of a model that is not on this disk. */
enum want { FILES, HEADERS, STREAM };

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

static int read_range(void *user, const char *name, uint64_t offset, void *bytes, size_t length, struct tare_error *err)
{
    return (int)tare_remote_read(user, name, offset, bytes, length, err);
}

/* Reads a model where it is: the library gets a list of files, and ranges of them. */
static enum tare_code read_there(struct cli_source *source, const char *model, struct tare_error *err)
{
    cli_interrupt_catch();
    enum tare_code code = tare_remote_open(&source->remote, &source->hub.hub, &source->name, err);
    cli_progress_wipe(&source->hub.progress);
    if (code)
        return code;
    const size_t n = tare_remote_account(source->remote).files;
    source->files = calloc(n + 1, sizeof *source->files);
    source->hashes = calloc(n + 1, sizeof *source->hashes);
    if (!source->files || !source->hashes) {
        *err = (struct tare_error){.code = TARE_E_MEMORY, .text = "out of memory"};
        return err->code;
    }
    for (size_t i = 0; i < n; i++) {
        const struct tare_hub_file *file = tare_remote_file(source->remote, i);
        source->files[i] = (struct tare_host_file){.name = file->path, .bytes = file->size};
        source->hashes[i] = tare_remote_is_hashed(file) ? file->etag : NULL;
    }
    source->host = (struct tare_host)TARE_HOST_INIT;
    source->host.files = source->files;
    source->host.n_files = n;
    source->host.read = read_range;
    source->host.user = source->remote;
    source->options.host = &source->host;
    source->options.no_data = true;
    source->path = tare_remote_gguf(source->remote) ? tare_remote_gguf(source->remote) : model;
    return TARE_OK;
}

/* The library's bar is there while it converts, so that the hub has none. */
static int ask_nothing(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)user;
    (void)stage;
    (void)done;
    (void)total;
    return cli_interrupt_came();
}

/* The same for all of it: several ranges at once, and hashes of what goes by. *streams is false where that cannot
 * be. */
static enum tare_code stream(struct cli_source *source, const char *model, bool *streams, struct tare_error *err)
{
    const enum tare_code code = read_there(source, model, err);
    if (code)
        return code;
    *streams = tare_remote_stream(source->remote);
    if (!*streams) {
        cli_source_release(source);
        source->options = (struct tare_options)TARE_OPTIONS_INIT;
        return TARE_OK;
    }
    source->options.no_data = false;
    source->host.parallel = source->hub.hub.connections;
    source->host.sha256 = source->hashes;
    source->hub.hub.progress = ask_nothing;
    return TARE_OK;
}

/* Looks for a model in the Hugging Face cache, and gets it from the hub when it is not there. */
static enum tare_code get(struct cli_source *source, const char *model, enum want want, struct tare_error *err)
{
    const struct tare_hub_name *name = &source->name;
    struct tare_pull pull = {0};
    enum tare_code code = cli_hub_read(&source->hub, NULL, err);
    code = code ? code : tare_pull_find(&pull, &source->hub.hub, name, err);
    if (code == TARE_E_ABSENT && !source->hub.hub.offline) {
        bool streams = false;
        if (want == HEADERS)
            return read_there(source, model, err);
        code = want == STREAM ? stream(source, model, &streams, err) : TARE_OK;
        if (code || streams)
            return code;
        pull = (struct tare_pull){0};
        code = cli_hub_pull(&source->hub, &pull, name, err);
    }
    if (code)
        return code;
    cli_hub_path(&pull, source->cache, sizeof source->cache);
    source->path = source->cache;
    return TARE_OK;
}

static enum tare_code find(struct cli_source *source, const char *model, enum want want, struct tare_error *err)
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
    return !exists(model) && is_hub_name(model, &source->name) ? get(source, model, want, err) : TARE_OK;
}

enum tare_code cli_source_find(struct cli_source *source, const char *model, struct tare_error *err)
{
    return find(source, model, FILES, err);
}

enum tare_code cli_source_find_headers(struct cli_source *source, const char *model, struct tare_error *err)
{
    return find(source, model, HEADERS, err);
}

enum tare_code cli_source_find_stream(struct cli_source *source, const char *model, struct tare_error *err)
{
    return find(source, model, STREAM, err);
}

void cli_source_release(struct cli_source *source)
{
    tare_remote_free(source->remote);
    free(source->files);
    free(source->hashes);
    source->hashes = NULL;
    source->remote = NULL;
    source->files = NULL;
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
