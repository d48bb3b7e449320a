/* SPDX-License-Identifier: MIT
 * locate.c - where a checkpoint lies: a folder, a file's folder, a snapshot in the Hugging Face cache, memory, or
 * a host. */
#include "open/locate.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sized.h"
#include "open/gguf/gguf.h"

#define CHUNK ((size_t)256 << 10) /* bytes of a file that are read at a time, at least: some rows of a weight */
#define AHEAD ((size_t)8 << 20)   /* bytes of a tensor that are read from a host with the first of them */
/* Where the hashes of a host's files are known all else is read in order, and is soon done with: less is kept, and read
 * out of turn is what belongs to about half of that (scales are a thirtieth of the codes). */
#define AHEAD_IN_ORDER ((size_t)1 << 20)
#define KEPT_IN_ORDER ((uint64_t)64 << 20)

bool tare_name_is_plain(const char *name, size_t n)
{
    if (!n || n > 255 || (n <= 2 && !memcmp(name, "..", n)))
        return false;
    for (size_t i = 0; i < n; i++)
        if (name[i] == '/' || (unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return true;
}

char *tare_checkpoint_path(struct tare_checkpoint *checkpoint, const char *name)
{
    const char *folder = checkpoint->folder;
    return tare_arena_format(&checkpoint->arena, "%s%s%s", folder, tare_ends_with(folder, "/") ? "" : "/", name);
}

/* ---- listings ------------------------------------------------------------------------------------------------ */

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static bool listing_add(struct tare_listing *listing, struct tare_arena *arena, const char *name)
{
    if (name[0] == '.') /* ".", "..", and what macOS and editors leave */
        return true;
    if (!tare_grow(&listing->names, &listing->room, listing->n + 1, sizeof *listing->names))
        return false;
    char *copy = tare_arena_text(arena, name);
    if (!copy)
        return false;
    listing->names[listing->n++] = copy;
    return true;
}

static enum tare_code list_folder(struct tare_listing *listing, struct tare_checkpoint *checkpoint, const char *folder,
                                  struct tare_error *err)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return tare_fail(err, errno == ENOENT ? TARE_E_ABSENT : TARE_E_IO, folder,
                         errno == EACCES ? "the folder cannot be read: permission denied"
                                         : "the folder cannot be read");
    bool room = true;
    for (struct dirent *entry; room && (entry = readdir(dir));)
        room = listing_add(listing, &checkpoint->arena, entry->d_name);
    closedir(dir);
    return room ? TARE_OK : tare_fail_memory(err);
}

enum tare_code tare_listing_read(struct tare_listing *listing, struct tare_checkpoint *checkpoint,
                                 struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    if (checkpoint->folder)
        code = list_folder(listing, checkpoint, checkpoint->folder, err);
    for (size_t i = 0; i < checkpoint->n_memory && !code; i++)
        if (!listing_add(listing, &checkpoint->arena, checkpoint->memory[i].name))
            code = tare_fail_memory(err);
    const size_t n = checkpoint->door ? checkpoint->door->host.n_files : 0;
    for (size_t i = 0; i < n && !code; i++) {
        const char *name = checkpoint->door->files[i].name;
        if (tare_name_is_plain(name, strlen(name)) && !listing_add(listing, &checkpoint->arena, name))
            code = tare_fail_memory(err); /* what lies in folders of a folder is not listed either */
    }
    if (listing->n)
        qsort(listing->names, listing->n, sizeof *listing->names, by_text);
    return code;
}

void tare_listing_release(struct tare_listing *listing)
{
    free(listing->names);
    *listing = (struct tare_listing){0};
}

bool tare_listing_has(const struct tare_listing *listing, const char *name)
{
    return listing->n && bsearch(&name, listing->names, listing->n, sizeof *listing->names, by_text);
}

/* ---- the cache of huggingface_hub: models--ORG--NAME/{refs/main, snapshots/<commit>/} -----------------------------
 */

static bool is_folder(const char *path)
{
    struct stat info;
    return path && !stat(path, &info) && S_ISDIR(info.st_mode);
}

/* The commit that refs/main names, or "" when there is no such file. */
static enum tare_code read_ref(struct tare_checkpoint *checkpoint, const char *path, const char **commit,
                               struct tare_error *err)
{
    struct stat info;
    char text[256];
    uint64_t size = 0;
    int fd = -1;
    *commit = "";
    if (lstat(path, &info))
        return TARE_OK;
    enum tare_code code = tare_file_open(&fd, &size, path, "refs/main", err);
    if (code)
        return code;
    const size_t n = size < sizeof text ? (size_t)size : sizeof text - 1;
    code = tare_file_read(fd, text, n, 0, "refs/main", err);
    close(fd);
    if (code)
        return code;
    text[n] = '\0';
    const size_t length = strcspn(text, " \t\r\n");
    if (size >= sizeof text || !tare_name_is_plain(text, length))
        return tare_fail(err, TARE_E_FORMAT, "refs/main",
                         "names no commit: the cache is damaged; give the folder below snapshots/ itself");
    *commit = tare_arena_copy(&checkpoint->arena, text, length);
    return *commit ? TARE_OK : tare_fail_memory(err);
}

static enum tare_code only_snapshot(struct tare_checkpoint *checkpoint, const char *path, const char *snapshots,
                                    const char **commit, struct tare_error *err)
{
    struct tare_listing listing = {0};
    enum tare_code code = list_folder(&listing, checkpoint, snapshots, err);
    if (!code && listing.n == 1)
        *commit = listing.names[0];
    else if (!code && !listing.n)
        code =
            tare_fail(err, TARE_E_ABSENT, path,
                      "this folder of the Hugging Face cache has no snapshot: the download was not finished; fetch it "
                      "again");
    else if (!code)
        code = tare_fail(err, TARE_E_FORMAT, path,
                         "this folder of the Hugging Face cache has %zu snapshots and no refs/main: give one of the "
                         "folders below snapshots/ itself",
                         listing.n);
    tare_listing_release(&listing);
    return code;
}

/* Follow a folder of the cache to its snapshot; other folders stay. */
static enum tare_code follow_cache(struct tare_checkpoint *checkpoint, struct tare_error *err)
{
    const char *root = checkpoint->folder, *commit = "";
    const char *snapshots = tare_checkpoint_path(checkpoint, "snapshots");
    const char *ref = tare_checkpoint_path(checkpoint, "refs/main");
    if (!snapshots || !ref)
        return tare_fail_memory(err);
    if (!is_folder(snapshots) || tare_checkpoint_has(checkpoint, "config.json"))
        return TARE_OK;
    enum tare_code code = read_ref(checkpoint, ref, &commit, err);
    if (!code && !*commit)
        code = only_snapshot(checkpoint, root, snapshots, &commit, err);
    if (code)
        return code;
    checkpoint->folder = tare_arena_format(&checkpoint->arena, "%s/%s", snapshots, commit);
    if (!checkpoint->folder)
        return tare_fail_memory(err);
    if (!is_folder(checkpoint->folder))
        return tare_fail(err, TARE_E_ABSENT, root,
                         "refs/main of the Hugging Face cache names snapshot %s, which is not there: fetch it again",
                         commit);
    return TARE_OK;
}

/* ---- the path ------------------------------------------------------------------------------------------------ */

static enum tare_code fail_path(const char *path, int why, struct tare_error *err)
{
    char reason[128] = "";
    if (why == ENOENT || why == ENOTDIR) {
        const char *slash = strchr(path, '/');
        const bool hub =
            slash && slash != path && slash[1] && path[0] != '.' && path[0] != '~' && !strchr(slash + 1, '/');
        return tare_fail(err, TARE_E_ABSENT, path, "no such file or folder%s",
                         hub ? "; a model of the hub has to be fetched first" : "");
    }
    if (strerror_r(why, reason, sizeof reason))
        reason[0] = '\0';
    return tare_fail(err, TARE_E_IO, path, "cannot be opened: %s", reason);
}

static enum tare_code locate_file(struct tare_checkpoint *checkpoint, struct tare_error *err)
{
    const char *path = checkpoint->path, *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) : 0;
    checkpoint->only = slash ? slash + 1 : path;
    checkpoint->folder = !slash ? "." : n ? tare_arena_copy(&checkpoint->arena, path, n) : "/";
    return checkpoint->folder ? TARE_OK : tare_fail_memory(err);
}

/* No two files of a list of the caller have the same name: which of them counts would be a guess. Each of the n entries
 * of `size` bytes begins with a pointer to its name. */
static enum tare_code check_names(const void *files, size_t n, size_t size, const char *where, struct tare_error *err)
{
    const char **names = calloc(n + 1, sizeof *names), *twice = NULL;
    if (!names)
        return tare_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        memcpy(&names[i], (const unsigned char *)files + i * size, sizeof *names);
    if (n)
        qsort(names, n, sizeof *names, by_text);
    for (size_t i = 1; i < n && !twice; i++)
        if (!strcmp(names[i - 1], names[i]))
            twice = names[i];
    free(names);
    return twice ? tare_fail(err, TARE_E_ARGUMENT, where, "%s is in the list twice: name each file once", twice)
                 : TARE_OK;
}

static enum tare_code locate_memory(struct tare_checkpoint *checkpoint, const struct tare_options *options,
                                    struct tare_error *err)
{
    const size_t n = options->n_files, stride = options->files_stride;
    const enum tare_code code =
        tare_sized_list_check(options->files, n, stride, sizeof(struct tare_memory_file), "options.files", err);
    if (code)
        return code;
    struct tare_memory_file *files = tare_arena_array(&checkpoint->arena, n, sizeof *files);
    if (!files)
        return tare_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        const struct tare_memory_file *file = tare_sized_at(options->files, i, stride, sizeof *file);
        if (!file->name || !tare_name_is_plain(file->name, strlen(file->name)) || (!file->data && file->size))
            return tare_fail(err, TARE_E_ARGUMENT, "options.files", "file %zu has no data or no plain name", i);
        files[i] = *file;
    }
    checkpoint->memory = files;
    checkpoint->n_memory = options->n_files;
    return check_names(files, n, sizeof *files, "options.files", err);
}

/* path may name one of the host's files, which then counts alone as on the disk; else it is only a name. */
static enum tare_code locate_host(struct tare_checkpoint *checkpoint, const struct tare_options *options,
                                  struct tare_error *err)
{
    if (options->files)
        return tare_fail(err, TARE_E_ARGUMENT, "options.host",
                         "files in memory are given too: one of both is expected");
    struct tare_door *door = calloc(1, sizeof *door);
    const enum tare_code code = door ? tare_door_open(door, options->host, err) : tare_fail_memory(err);
    if (code) {
        free(door);
        return code;
    }
    checkpoint->door = door;
    const struct tare_host_file *file = tare_door_find(door, checkpoint->path);
    checkpoint->only = file ? file->name : NULL;
    return check_names(door->files, door->host.n_files, sizeof *door->files, "options.host.files", err);
}

static enum tare_code locate(struct tare_checkpoint *checkpoint, const char *path, const struct tare_options *options,
                             struct tare_error *err)
{
    struct stat info;
    const struct tare_host *host = options->host;
    const bool in_memory = options->files != NULL;
    if (!checkpoint->has_lock) {
        if (pthread_mutex_init(&checkpoint->lock, NULL))
            return tare_fail_memory(err);
        checkpoint->has_lock = true;
    }
    if (!in_memory && !host && (!path || !*path))
        return tare_fail(err, TARE_E_ARGUMENT, "",
                         "no path is given: a folder, a .safetensors or a .gguf file is expected");
    checkpoint->path = tare_arena_text(&checkpoint->arena, path ? path : host ? "host" : "memory");
    if (!checkpoint->path)
        return tare_fail_memory(err);
    if (host)
        return locate_host(checkpoint, options, err);
    if (in_memory)
        return locate_memory(checkpoint, options, err);
    if (stat(path, &info))
        return fail_path(path, errno, err);
    if (S_ISREG(info.st_mode))
        return locate_file(checkpoint, err);
    if (!S_ISDIR(info.st_mode))
        return tare_fail(err, TARE_E_FORMAT, path, "is neither a file nor a folder: nothing else is opened");
    checkpoint->folder = checkpoint->path;
    return follow_cache(checkpoint, err);
}

enum tare_code tare_checkpoint_locate(struct tare_checkpoint *checkpoint, const char *path,
                                      const struct tare_options *options, struct tare_error *err)
{
    struct tare_options own;
    enum tare_code code = tare_sized_read(&own, sizeof own, options, "options", err);
    if (!code)
        code = locate(checkpoint, path, &own, err);
    if (code)
        return code;
    checkpoint->windowed = checkpoint->door || (checkpoint->folder && own.no_map);
    if (checkpoint->windowed && !checkpoint->has_shelf) {
        const bool in_order = checkpoint->door && checkpoint->door->witnesses;
        if (!tare_shelf_open(&checkpoint->shelf, CHUNK, in_order ? AHEAD_IN_ORDER : checkpoint->door ? AHEAD : 0))
            return tare_fail_memory(err);
        checkpoint->shelf.keep = in_order ? KEPT_IN_ORDER : checkpoint->shelf.keep;
        checkpoint->has_shelf = true;
    }
    return tare_gguf_locate(checkpoint, err);
}
