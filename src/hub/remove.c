/* SPDX-License-Identifier: MIT
 * remove.c - removes a repository or a commit of it from the cache. Folders are opened one below the other and never
 * through a link, so that nothing outside of the cache is reached. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "hub/cached.h"
#include "hub/local.h"

enum { DEPTH = 32 };

/* Removes `name` in the folder `at`, with all below it. Returns false and leaves errno when something stays. */
static bool remove_all(int at, const char *name, int depth, uint64_t *freed)
{
    struct stat info;
    if (fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT;
    if (!S_ISDIR(info.st_mode)) {
        if (S_ISREG(info.st_mode) && info.st_nlink == 1)
            *freed += (uint64_t)info.st_size;
        return unlinkat(at, name, 0) == 0 || errno == ENOENT;
    }
    const int fd = depth ? openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool good = true;
    for (struct dirent *entry; good && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            good = remove_all(fd, entry->d_name, depth - 1, freed);
    const int why = errno;
    closedir(dir);
    errno = why;
    return good && (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
}

static enum tare_code remove_path(const char *path, uint64_t *freed, struct tare_error *err)
{
    return remove_all(AT_FDCWD, path, DEPTH, freed) ? TARE_OK
                                                    : tare_fail_system(err, path, "cannot be removed completely");
}

/* ---- one commit ------------------------------------------------------------------------------------------------ */

/* Collects the contents that snapshots other than `commit` link to. Returns how many such snapshots there are. */
static size_t other_snapshots(const struct tare_hub_cache *cache, const char *commit, struct tare_map *used,
                              struct tare_arena *names)
{
    char path[TARE_HUB_PATH];
    size_t n = 0;
    if (tare_hub_cache_path(cache, path, NULL, "snapshots"))
        return 0;
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct tare_hub_tree tree = {0};
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, commit) == 0 ||
            tare_hub_cache_path(cache, path, NULL, "snapshots/%s", entry->d_name))
            continue;
        n++;
        if (tare_local_list(&tree, path, NULL, NULL))
            names->failed = true;
        for (size_t i = 0; i < tree.n && !names->failed; i++) {
            const char *etag = tare_arena_text(names, tree.files[i].etag);
            if (!etag || !tare_map_reserve(used, used->count + 1) || !tare_map_put(used, etag, strlen(etag), 1, NULL))
                names->failed = true;
        }
        tare_hub_tree_release(&tree);
    }
    if (dir)
        closedir(dir);
    return n;
}

static void remove_ref(void *unused, const char *name, const char *path)
{
    (void)unused;
    (void)name;
    unlink(path);
}

static enum tare_code remove_contents(const struct tare_hub_cache *cache, const struct tare_hub_tree *tree,
                                      const struct tare_map *used, uint64_t *freed, struct tare_error *err)
{
    char path[TARE_HUB_PATH];
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < tree->n && !code; i++) {
        const char *etag = tree->files[i].etag;
        if (!*etag || tare_map_get(used, etag, strlen(etag)) != TARE_MAP_NONE)
            continue;
        code = tare_hub_cache_path(cache, path, err, "blobs/%s", etag);
        code = code ? code : remove_path(path, freed, err);
    }
    return code;
}

static enum tare_code remove_below(const struct tare_hub_cache *cache, const char *folder, const char *name,
                                   uint64_t *freed, struct tare_error *err)
{
    char path[TARE_HUB_PATH];
    const enum tare_code code = tare_hub_cache_path(cache, path, err, "%s%s%s", folder, *name ? "/" : "", name);
    return code ? code : remove_path(path, freed, err);
}

static enum tare_code remove_commit(const struct tare_hub_cache *cache, const char *commit, const struct tare_map *used,
                                    uint64_t *freed, struct tare_error *err)
{
    struct tare_hub_tree tree = {0};
    char path[TARE_HUB_PATH];
    enum tare_code code = tare_hub_cache_path(cache, path, err, "snapshots/%s", commit);
    code = code ? code : tare_local_list(&tree, path, NULL, err);
    if (!code)
        tare_cached_refs(cache, commit, remove_ref, NULL); /* first: what is left after a kill is not found any more */
    code = code ? code : remove_below(cache, "snapshots", commit, freed, err);
    code = code ? code : remove_below(cache, ".no_exist", commit, freed, err);
    code = code ? code : tare_hub_cache_path(cache, path, err, "trees/%s.json", commit);
    code = code ? code : remove_path(path, freed, err);
    code = code ? code : remove_contents(cache, &tree, used, freed, err);
    tare_hub_tree_release(&tree);
    return code;
}

enum tare_code tare_cached_remove(const struct tare_hub *hub, const char *id, const char *commit, uint64_t *freed,
                                  struct tare_error *err)
{
    struct tare_hub_cache cache;
    struct tare_map used = {0};
    struct tare_arena names = {0};
    struct stat info;
    *freed = 0;
    enum tare_code code = tare_hub_cache_open(&cache, hub, id, err);
    if (code)
        return code;
    if (lstat(cache.repo, &info))
        return tare_fail(err, TARE_E_ABSENT, id, "is not in the Hugging Face cache: %s", cache.repo);
    const size_t others = commit ? other_snapshots(&cache, commit, &used, &names) : 0;
    if (names.failed) {
        code = tare_fail_memory(err);
    } else if (others) {
        code = remove_commit(&cache, commit, &used, freed, err);
    } else {
        /* In this order, so that after a kill no snapshot is left without its contents. A link in the place of the
         * repository is removed, and nothing behind it. */
        if (S_ISDIR(info.st_mode)) {
            code = remove_below(&cache, "refs", "", freed, err);
            code = code ? code : remove_below(&cache, "snapshots", "", freed, err);
        }
        code = code ? code : remove_path(cache.repo, freed, err);
        code = code ? code : remove_path(cache.locks, freed, err);
    }
    tare_map_release(&used);
    tare_arena_release(&names);
    return code;
}
