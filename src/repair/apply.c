/* SPDX-License-Identifier: MIT
 * apply.c - the patched checkpoint as a new folder: what stays is linked where the file system can, else copied. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "repair/repair.h"
#include "save/save.h"

static const struct tare_repaired *text_of(const struct tare_repair *r, const char *name)
{
    for (size_t i = 0; i < r->n_files; i++)
        if (r->files[i].text && !strcmp(r->files[i].name, name))
            return &r->files[i];
    return NULL;
}

/* Hidden files are left out, and so are the files that an earlier repair kept. */
static bool is_left_out(const char *name)
{
    return name[0] == '.' || tare_ends_with(name, TARE_BEFORE) || tare_ends_with(name, TARE_ABSENT);
}

static enum tare_code put_same(const char *path, const char *name, struct tare_folder *folder, struct tare_error *err)
{
    int fd = -1;
    if (!linkat(AT_FDCWD, path, folder->fd, name, AT_SYMLINK_FOLLOW))
        return TARE_OK;
    enum tare_code code = tare_folder_create(folder, name, 0, &fd, err);
    if (code)
        return code;
    code = tare_file_copy(path, name, fd, err);
    if (code) {
        close(fd);
        return code;
    }
    return tare_folder_finish(fd, name, err);
}

static enum tare_code put_shard(const struct tare_repair *r, size_t file, struct tare_folder *folder,
                                struct tare_error *err)
{
    const char *name = r->model->checkpoint.files[file].name;
    int fd = -1;
    enum tare_code code = tare_folder_create(folder, name, 0, &fd, err);
    if (code)
        return code;
    code = tare_header_write(r, file, fd, false, err);
    if (code) {
        close(fd);
        return code;
    }
    return tare_folder_finish(fd, name, err);
}

static enum tare_code put_file(const struct tare_repair *r, const char *name, struct tare_folder *folder,
                               struct tare_error *err)
{
    const struct tare_checkpoint *c = &r->model->checkpoint;
    struct tare_arena arena = {0};
    struct stat info;
    for (size_t k = 0; k < c->n_files; k++)
        if (!strcmp(c->files[k].name, name) && tare_header_changes(r, k))
            return put_shard(r, k, folder, err);
    const char *path = tare_arena_format(&arena, "%s/%s", c->folder, name);
    enum tare_code code = path ? TARE_OK : tare_fail_memory(err);
    if (path && !stat(path, &info) && S_ISREG(info.st_mode))
        code = put_same(path, name, folder, err);
    tare_arena_release(&arena);
    return code;
}

static enum tare_code put_files(const struct tare_repair *r, struct tare_folder *folder, struct tare_error *err)
{
    DIR *list = opendir(r->model->checkpoint.folder);
    if (!list)
        return tare_fail(err, TARE_E_IO, r->model->checkpoint.folder, "listing it: %s", strerror(errno));
    enum tare_code code = TARE_OK;
    for (const struct dirent *entry; !code && (entry = readdir(list));)
        if (!is_left_out(entry->d_name) && !text_of(r, entry->d_name))
            code = put_file(r, entry->d_name, folder, err);
    closedir(list);
    for (size_t i = 0; i < r->n_files && !code; i++)
        if (r->files[i].text)
            code = tare_folder_put(folder, r->files[i].name, r->files[i].text, r->files[i].size, err);
    return code;
}

enum tare_code tare_repair_write(const tare_repair *r, const char *wanted, struct tare_error *err)
{
    if (!r || !wanted)
        return tare_fail(err, TARE_E_ARGUMENT, "", "tare_repair_write needs a patch and a folder");
    if (!r->report.loads)
        return tare_fail(err, TARE_E_ARGUMENT, r->path, "with this patch the model does not load; nothing is written");
    if (!r->model->checkpoint.folder || r->model->checkpoint.only)
        return tare_fail(err, TARE_E_ARGUMENT, r->path, "only a folder is repaired, not a file or what is built in");
    struct tare_folder folder = {0};
    enum tare_code code = tare_folder_begin(&folder, wanted, r->model->checkpoint.folder, err);
    if (!code)
        code = tare_folder_clear(&folder, err); /* What a killed run left is thrown away, not continued. */
    if (!code)
        code = put_files(r, &folder, err);
    if (!code)
        code = tare_repair_verify(r, folder.path, err);
    if (!code)
        code = tare_folder_commit(&folder, err);
    tare_folder_release(&folder);
    return code;
}
