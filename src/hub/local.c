/* SPDX-License-Identifier: MIT
 * local.c - reads snapshots. */
#include "hub/local.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH = 8, FILES_MOST = 100000 };

static int by_path(const void *left, const void *right)
{
    const struct tare_hub_file *a = left, *b = right;
    return strcmp(a->path, b->path);
}

static bool add(struct tare_hub_tree *tree, const char *full, const char *path, uint64_t size)
{
    char target[TARE_HUB_PATH];
    if (tree->n == FILES_MOST || !tare_grow(&tree->files, &tree->room, tree->n + 1, sizeof *tree->files))
        return false;
    struct tare_hub_file *file = &tree->files[tree->n++];
    file->path = tare_arena_text(&tree->arena, path);
    file->size = size;
    file->etag[0] = '\0';
    const ssize_t n = readlink(full, target, sizeof target - 1);
    if (n > 0) {
        target[n] = '\0';
        const char *slash = strrchr(target, '/');
        if (slash && tare_hub_is_etag(slash + 1))
            memcpy(file->etag, slash + 1, strlen(slash + 1) + 1);
    }
    return file->path != NULL;
}

/* One folder: `path` is below the snapshot, "" for itself. Links to folders are not entered. */
static bool walk(struct tare_hub_tree *tree, const char *snapshot, const char *path, int depth, size_t *broken)
{
    char full[TARE_HUB_PATH], name[TARE_HUB_PATH];
    struct stat info;
    snprintf(full, sizeof full, "%s%s%s", snapshot, *path ? "/" : "", path);
    DIR *dir = depth ? opendir(full) : NULL;
    bool good = true;
    for (struct dirent *entry; dir && good && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        const int a = snprintf(name, sizeof name, "%s%s%s", path, *path ? "/" : "", entry->d_name);
        const int b = snprintf(full, sizeof full, "%s/%s", snapshot, name);
        if (a < 0 || b < 0 || (size_t)a >= sizeof name || (size_t)b >= sizeof full || lstat(full, &info))
            continue;
        if (S_ISDIR(info.st_mode))
            good = walk(tree, snapshot, name, depth - 1, broken);
        else if (stat(full, &info) == 0 && S_ISREG(info.st_mode))
            good = add(tree, full, name, (uint64_t)info.st_size);
        else if (broken)
            ++*broken;
    }
    if (dir)
        closedir(dir);
    return good;
}

enum tare_code tare_local_list(struct tare_hub_tree *tree, const char *snapshot, size_t *broken, struct tare_error *err)
{
    const bool good = walk(tree, snapshot, "", DEPTH, broken);
    if (tree->n)
        qsort(tree->files, tree->n, sizeof *tree->files, by_path);
    return good ? TARE_OK : tare_fail_memory(err);
}

enum tare_code tare_local_read(const char *snapshot, const char *path, size_t most, char **text, size_t *size,
                               struct tare_error *err)
{
    char full[TARE_HUB_PATH];
    struct stat info;
    const int n = snprintf(full, sizeof full, "%s/%s", snapshot, path);
    *text = NULL;
    FILE *file = n > 0 && (size_t)n < sizeof full ? fopen(full, "rb") : NULL;
    if (!file)
        return tare_fail_system(err, path, "cannot be read from the cache");
    if (fstat(fileno(file), &info) || info.st_size < 0 || (uint64_t)info.st_size > most) {
        fclose(file);
        return tare_fail(err, TARE_E_FORMAT, path, "is larger than such a file can be (%zu MiB)", most >> 20);
    }
    *size = (size_t)info.st_size;
    *text = malloc(*size + 1);
    const bool good = *text && fread(*text, 1, *size, file) == *size;
    fclose(file);
    if (good)
        (*text)[*size] = '\0';
    return good    ? TARE_OK
           : *text ? tare_fail(err, TARE_E_IO, path, "cannot be read from the cache")
                   : tare_fail_memory(err);
}

bool tare_local_commit(const struct tare_hub_cache *cache, const char *revision, char commit[TARE_HUB_COMMIT])
{
    char path[TARE_HUB_PATH];
    size_t n = 0;
    if (tare_hub_cache_ref(cache, revision, commit))
        return true;
    if (strlen(revision) < TARE_HUB_COMMIT && strspn(revision, "0123456789abcdef") == strlen(revision) &&
        !tare_hub_cache_path(cache, path, NULL, "snapshots/%s", revision) && access(path, F_OK) == 0) {
        memcpy(commit, revision, strlen(revision) + 1);
        return true;
    }
    if (strcmp(revision, "main") != 0 || tare_hub_cache_path(cache, path, NULL, "refs/main") ||
        access(path, F_OK) == 0 || tare_hub_cache_path(cache, path, NULL, "snapshots"))
        return false;
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < TARE_HUB_COMMIT) {
            memcpy(commit, entry->d_name, strlen(entry->d_name) + 1);
            n++;
        }
    if (dir)
        closedir(dir);
    return n == 1;
}
