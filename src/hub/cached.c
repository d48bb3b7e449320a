/* SPDX-License-Identifier: MIT
 * cached.c - reads the whole cache: repositories, their snapshots, and whether each has a model's weights. */
#include "hub/cached.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "hub/local.h"
#include "hub/pull.h"

/* models--ORG--NAME back to ORG/NAME; false when the folder is none of a model. */
static bool id_of(const char *folder, char id[TARE_HUB_ID])
{
    static const char start[] = "models--";
    const size_t n = sizeof start - 1;
    if (strncmp(folder, start, n) != 0 || strlen(folder + n) >= TARE_HUB_ID - 1)
        return false;
    const char *name = folder + n, *between = strstr(name, "--");
    struct tare_hub_name read;
    const size_t first = between ? (size_t)(between - name) : 0;
    memcpy(id, name, strlen(name) + 1);
    if (between) {
        id[first] = '/';
        memcpy(id + first + 1, between + 2, strlen(between + 2) + 1);
    }
    return tare_hub_name_read(&read, id, NULL) == TARE_OK && strcmp(read.id, id) == 0;
}

/* ---- refs ------------------------------------------------------------------------------------------------------ */

enum { REFS_DEEP = 8 }; /* folders below refs/ that are looked into; the hub's own names have two */

struct refs {
    const struct tare_hub_cache *cache;
    const char *commit;
    void (*see)(void *user, const char *name, const char *path);
    void *user;
};

static void walk_refs(const struct refs *refs, const char *below, int depth)
{
    char path[TARE_HUB_PATH], name[TARE_HUB_REVISION], now[TARE_HUB_COMMIT];
    struct stat info;
    if (!depth || tare_hub_cache_path(refs->cache, path, NULL, "refs%s%s", *below ? "/" : "", below))
        return;
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const int n = snprintf(name, sizeof name, "%s%s%s", below, *below ? "/" : "", entry->d_name);
        if (entry->d_name[0] == '.' || n < 0 || (size_t)n >= sizeof name ||
            tare_hub_cache_path(refs->cache, path, NULL, "refs/%s", name) || lstat(path, &info))
            continue;
        if (S_ISDIR(info.st_mode))
            walk_refs(refs, name, depth - 1);
        else if (tare_hub_cache_ref(refs->cache, name, now) && strcmp(now, refs->commit) == 0)
            refs->see(refs->user, name, path);
    }
    if (dir)
        closedir(dir);
}

void tare_cached_refs(const struct tare_hub_cache *cache, const char *commit,
                      void (*see)(void *user, const char *name, const char *path), void *user)
{
    const struct refs refs = {cache, commit, see, user};
    walk_refs(&refs, "", REFS_DEEP);
}

/* Adds the name of a ref to a text, with commas between them. */
static void add_ref(void *text, const char *name, const char *path)
{
    struct tare_text *names = text;
    (void)path;
    if (tare_hub_is_revision(name))
        tare_text_format(names, "%s%s", names->size ? ", " : "", name);
}

/* ---- one snapshot ---------------------------------------------------------------------------------------------- */

static int by_etag(const void *left, const void *right)
{
    const struct tare_hub_file *a = left, *b = right;
    return strcmp(a->etag, b->etag);
}

static void measure(struct tare_cached *cached, struct tare_hub_tree *tree)
{
    char path[TARE_HUB_PATH];
    struct stat info;
    for (size_t i = 0; i < tree->n; i++) {
        const int n = snprintf(path, sizeof path, "%s/%s", cached->snapshot, tree->files[i].path);
        if (n > 0 && (size_t)n < sizeof path && stat(path, &info) == 0 && info.st_atime > cached->used)
            cached->used = info.st_atime;
    }
    if (tree->n)
        qsort(tree->files, tree->n, sizeof *tree->files, by_etag);
    for (size_t i = 0; i < tree->n; i++)
        if (!i || !*tree->files[i].etag || strcmp(tree->files[i].etag, tree->files[i - 1].etag) != 0)
            cached->bytes += tree->files[i].size;
    cached->files = tree->n;
}

/* Are the weights all there? */
static enum tare_code judge(struct tare_cached *cached, struct tare_arena *arena, const struct tare_hub *hub,
                            struct tare_error *err)
{
    struct tare_hub_name name = {0};
    struct tare_pull pull = {0};
    struct tare_error why = {0};
    snprintf(name.id, sizeof name.id, "%s", cached->id);
    snprintf(name.revision, sizeof name.revision, "%s", cached->commit);
    cached->fault = NULL;
    cached->file = "";
    const enum tare_code code = tare_pull_find(&pull, hub, &name, &why);
    if (code == TARE_E_MEMORY)
        return tare_fail_memory(err);
    if (cached->broken)
        cached->fault = "links to contents that are not there";
    else if (code == TARE_E_ABSENT)
        cached->fault = "not complete";
    else if (code == TARE_OK && *pull.file)
        cached->file = tare_arena_text(arena, pull.file);
    return cached->file ? TARE_OK : tare_fail_memory(err);
}

static enum tare_code add_snapshot(struct tare_cached_list *list, const struct tare_hub_cache *cache, const char *id,
                                   const char *commit, struct tare_error *err)
{
    char path[TARE_HUB_PATH];
    struct tare_hub_tree tree = {0};
    struct tare_text refs = {0};
    struct stat info;
    enum tare_code code = tare_hub_cache_path(cache, path, err, "snapshots/%s", commit);
    if (code)
        return code;
    if (lstat(path, &info) || !S_ISDIR(info.st_mode)) /* a link is none of ours */
        return TARE_OK;
    if (!tare_grow(&list->all, &list->room, list->n + 1, sizeof *list->all))
        return tare_fail_memory(err);
    struct tare_cached *cached = &list->all[list->n];
    *cached = (struct tare_cached){
        .id = tare_arena_text(&list->arena, id),
        .commit = tare_arena_text(&list->arena, commit),
        .snapshot = tare_arena_text(&list->arena, path),
    };
    tare_cached_refs(cache, commit, add_ref, &refs);
    cached->revisions = tare_arena_text(&list->arena, refs.size ? refs.data : "");
    if (refs.failed || list->arena.failed)
        code = tare_fail_memory(err);
    tare_text_release(&refs);
    code = code ? code : tare_local_list(&tree, path, &cached->broken, err);
    if (!code) {
        measure(cached, &tree);
        code = judge(cached, &list->arena, cache->hub, err);
    }
    tare_hub_tree_release(&tree);
    list->n += code == TARE_OK;
    return code;
}

/* ---- all ------------------------------------------------------------------------------------------------------- */

/* A repository without a snapshot: a download that was not finished. */
static enum tare_code add_unfinished(struct tare_cached_list *list, const struct tare_hub_cache *cache, const char *id,
                                     struct tare_error *err)
{
    char path[TARE_HUB_PATH];
    struct stat info;
    if (!tare_grow(&list->all, &list->room, list->n + 1, sizeof *list->all))
        return tare_fail_memory(err);
    struct tare_cached *cached = &list->all[list->n++];
    *cached =
        (struct tare_cached){.commit = "", .revisions = "", .file = "", .fault = "a download that was not finished"};
    cached->id = tare_arena_text(&list->arena, id);
    cached->snapshot = tare_arena_text(&list->arena, cache->repo);
    enum tare_code code = tare_hub_cache_path(cache, path, err, "blobs");
    DIR *dir = code ? NULL : opendir(path);
    for (struct dirent *entry; dir && !code && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        code = tare_hub_cache_path(cache, path, err, "blobs/%s", entry->d_name);
        if (code || lstat(path, &info))
            continue;
        cached->bytes += (uint64_t)info.st_blocks * 512;
        cached->used = info.st_mtime > cached->used ? info.st_mtime : cached->used;
    }
    if (dir)
        closedir(dir);
    return list->arena.failed ? tare_fail_memory(err) : code;
}

static enum tare_code add_repository(struct tare_cached_list *list, const struct tare_hub *hub, const char *id,
                                     struct tare_error *err)
{
    struct tare_hub_cache cache;
    char path[TARE_HUB_PATH];
    const size_t before = list->n;
    enum tare_code code = tare_hub_cache_open(&cache, hub, id, err);
    code = code ? code : tare_hub_cache_path(&cache, path, err, "snapshots");
    DIR *dir = code ? NULL : opendir(path);
    for (struct dirent *entry; dir && !code && (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < TARE_HUB_COMMIT)
            code = add_snapshot(list, &cache, id, entry->d_name, err);
    if (dir)
        closedir(dir);
    return !code && list->n == before ? add_unfinished(list, &cache, id, err) : code;
}

static int by_name(const void *left, const void *right)
{
    const struct tare_cached *a = left, *b = right;
    const int order = strcmp(a->id, b->id);
    return order ? order : strcmp(a->commit, b->commit);
}

enum tare_code tare_cached_read(struct tare_cached_list *list, const struct tare_hub *hub, struct tare_error *err)
{
    char id[TARE_HUB_ID];
    enum tare_code code = TARE_OK;
    DIR *dir = opendir(hub->cache);
    for (struct dirent *entry; dir && !code && (entry = readdir(dir));)
        if (id_of(entry->d_name, id))
            code = add_repository(list, hub, id, err);
    if (dir)
        closedir(dir);
    if (list->n)
        qsort(list->all, list->n, sizeof *list->all, by_name);
    return code;
}

void tare_cached_release(struct tare_cached_list *list)
{
    free(list->all);
    tare_arena_release(&list->arena);
    *list = (struct tare_cached_list){0};
}
