/* SPDX-License-Identifier: MIT
 * models_folder.c - which entries of a folder are models. Nothing of them is opened. */
#include "models_folder.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "print.h"

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

void cli_model_name(const char *path, char *id, size_t room)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t from = n;
    while (from && path[from - 1] != '/')
        from--;
    const char *ends[] = {".gguf", ".safetensors"};
    for (size_t i = 0; i < 2; i++)
        if (n - from > strlen(ends[i]) && !strncmp(path + n - strlen(ends[i]), ends[i], strlen(ends[i])))
            n -= strlen(ends[i]);
    snprintf(id, room, "%.*s", (int)(n - from), path + from);
}

/* The number of a file that is a part of several, as name-00002-of-00003.gguf; 1 for all others. */
static int part_of(const char *name)
{
    const size_t n = strlen(name), tail = strlen("-00001-of-00001.gguf");
    int part = 1, all = 1;
    if (n > tail && sscanf(name + n - tail, "-%5d-of-%5d.gguf", &part, &all) == 2)
        return part;
    return 1;
}

static bool is_gguf(const char *name)
{
    return ends_with(name, ".gguf") && part_of(name) == 1;
}

static bool holds_model(const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    bool found = false;
    while (folder && !found && (entry = readdir(folder)) != NULL)
        found = strcmp(entry->d_name, "config.json") == 0 || is_gguf(entry->d_name);
    if (folder)
        closedir(folder);
    return found;
}

static bool is_model(const char *path, const char *name)
{
    struct stat st;
    if (name[0] == '.' || stat(path, &st) != 0)
        return false;
    if (S_ISDIR(st.st_mode))
        return holds_model(path);
    return S_ISREG(st.st_mode) && is_gguf(name);
}

static char *joined(const char *folder, const char *name)
{
    const size_t n = strlen(folder) + strlen(name) + 2;
    char *path = malloc(n);
    if (path)
        snprintf(path, n, "%s/%s", folder, name);
    return path;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct cli_model *)a)->path, ((const struct cli_model *)b)->path);
}

/* Names them; one whose name another one has keeps its ending. */
static void name_all(struct cli_models *models)
{
    for (size_t i = 0; i < models->n; i++) {
        struct cli_model *m = &models->items[i];
        cli_model_name(m->path, m->id, sizeof m->id);
        for (size_t k = 0; k < i; k++)
            if (strcmp(models->items[k].id, m->id) == 0)
                snprintf(m->id, sizeof m->id, "%s", strrchr(m->path, '/') + 1);
    }
}

void cli_models_release(struct cli_models *models)
{
    for (size_t i = 0; i < models->n; i++)
        free(models->items[i].path);
    free(models->items);
    *models = (struct cli_models){0};
}

int cli_models_list(struct cli_models *models, const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    if (!folder)
        return cli_fail_system(path);
    models->items = calloc(CLI_MODELS_MOST, sizeof *models->items);
    while (models->items && models->n < CLI_MODELS_MOST && (entry = readdir(folder)) != NULL) {
        char *file = joined(path, entry->d_name);
        if (file && is_model(file, entry->d_name))
            models->items[models->n++].path = file;
        else
            free(file);
    }
    closedir(folder);
    if (!models->items)
        return cli_fail_system(path);
    qsort(models->items, models->n, sizeof *models->items, by_path);
    name_all(models);
    return models->n ? CLI_GO_ON : cli_wrong("serve: there is no model in %s", path);
}
