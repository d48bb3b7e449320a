/* SPDX-License-Identifier: MIT
 * in_place.c - the patch applied to the folder itself, and taken back.
 *
 * Each new file is written beside the old one (".NAME.tare-repair") and brought to the disk; then each old one gets a
 * second name, NAME.before-repair, and the new one takes NAME by rename(2): at any moment NAME is the old file or the
 * new one. A file that was not there gets an empty NAME.absent-before-repair instead. tare_repair_undo() renames back.
 */
#if defined(__linux__) || defined(__APPLE__)
#define _GNU_SOURCE /* flock(): POSIX has none */
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/flush.h"
#include "repair/repair.h"
#include "save/save.h"

#define TEMPORARY ".tare-repair"

/* One file that is replaced. */
struct place {
    const char *name;
    char *temporary, *before, *absent; /* heap */
    const struct tare_repaired *text;  /* NULL: a shard */
    size_t file;
    bool was_there, written, kept, renamed;
};

struct places {
    struct place *list; /* heap */
    size_t n, room;
    int folder;
};

static char *with(const char *before, const char *name, const char *after)
{
    struct tare_text text = {0};
    tare_text_puts(&text, before);
    tare_text_puts(&text, name);
    tare_text_puts(&text, after);
    if (text.failed)
        tare_text_release(&text);
    return text.data;
}

static bool is_there(int folder, const char *name)
{
    struct stat info;
    return !fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW);
}

static enum tare_code add(struct places *p, const char *name, const struct tare_repaired *text, size_t file,
                          struct tare_error *err)
{
    if (!tare_grow(&p->list, &p->room, p->n + 1, sizeof *p->list))
        return tare_fail_memory(err);
    struct place *place = &p->list[p->n++];
    *place = (struct place){.name = name,
                            .text = text,
                            .file = file,
                            .temporary = with(".", name, TEMPORARY),
                            .before = with("", name, TARE_BEFORE),
                            .absent = with("", name, TARE_ABSENT),
                            .was_there = is_there(p->folder, name)};
    if (!place->temporary || !place->before || !place->absent)
        return tare_fail_memory(err);
    if (is_there(p->folder, place->before) || is_there(p->folder, place->absent))
        return tare_fail(err, TARE_E_EXISTS, place->before,
                         "is there: an earlier repair kept it; `tare repair --undo` puts it back, or remove it if the "
                         "repair is to stay");
    return TARE_OK;
}

/* Opens the folder and locks it until it is closed, so that only one repair works in it. */
static enum tare_code open_folder(const char *path, int *folder, struct tare_error *err)
{
    *folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*folder < 0)
        return tare_fail_system(err, path, "opening it");
    if (flock(*folder, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return tare_fail(err, TARE_E_EXISTS, path, "another repair works in it");
    return TARE_OK; /* A file system without locks is used without one. */
}

/* config.json comes last: until it changes, most readers see the old checkpoint. */
static enum tare_code list(const struct tare_repair *r, struct places *p, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (size_t k = 0; k < r->model->checkpoint.n_files && !code; k++)
        if (tare_header_changes(r, k))
            code = add(p, r->model->checkpoint.files[k].name, NULL, k, err);
    for (int last = 0; last < 2; last++)
        for (size_t i = 0; i < r->n_files && !code; i++)
            if (r->files[i].text && (strcmp(r->files[i].name, "config.json") == 0) == last)
                code = add(p, r->files[i].name, &r->files[i], 0, err);
    return code;
}

static enum tare_code write_new(const struct tare_repair *r, struct places *p, struct place *place,
                                struct tare_error *err)
{
    struct stat info = {.st_mode = 0644};
    fstatat(p->folder, place->name, &info, 0);
    unlinkat(p->folder, place->temporary,
             0); /* Left by a killed repair; no other works here, since we hold the lock. */
    const int fd = openat(p->folder, place->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return tare_fail_system(err, place->temporary, "creating it");
    place->written = true;
    enum tare_code code = place->text ? tare_folder_write(fd, place->name, place->text->text, place->text->size, 0, err)
                                      : tare_header_write(r, place->file, fd, true, err);
    if (!code && fchmod(fd, info.st_mode & 0777))
        code = tare_fail_system(err, place->temporary, "giving it the old file's permissions");
    if (code) {
        close(fd);
        return code;
    }
    return tare_folder_finish(fd, place->name, err);
}

/* Gives the old file its second name, or makes the empty file which says that there was none. */
static enum tare_code keep(struct places *p, struct place *place, struct tare_error *err)
{
    if (!place->was_there) {
        const int fd = openat(p->folder, place->absent, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0)
            return tare_fail_system(err, place->absent, "creating it");
        place->kept = true;
        return tare_folder_finish(fd, place->absent, err);
    }
    /* a file system without hard links leaves NAME away for a moment */
    if (linkat(p->folder, place->name, p->folder, place->before, 0) &&
        (errno == EEXIST || renameat(p->folder, place->name, p->folder, place->before)))
        return tare_fail_system(err, place->name, "keeping it");
    place->kept = true;
    return TARE_OK;
}

static enum tare_code exchange(struct places *p, struct tare_error *err)
{
    for (size_t i = 0; i < p->n; i++) {
        const enum tare_code code = keep(p, &p->list[i], err);
        if (code)
            return code;
    }
    if (tare_flush(p->folder))
        return tare_fail_system(err, "the folder", "bringing it to the disk");
    for (size_t i = 0; i < p->n; i++) {
        if (renameat(p->folder, p->list[i].temporary, p->folder, p->list[i].name))
            return tare_fail_system(err, p->list[i].name, "renaming it");
        p->list[i].renamed = true;
        p->list[i].written = false;
    }
    return tare_flush(p->folder) ? tare_fail_system(err, "the folder", "bringing it to the disk") : TARE_OK;
}

/* After a failure everything is put back as it was. */
static void take_back(struct places *p)
{
    for (size_t i = p->n; i-- > 0;) {
        const struct place *place = &p->list[i];
        /* renaming one name of a file to another of its names does nothing: then the second one is removed */
        if (place->kept && place->was_there && !renameat(p->folder, place->before, p->folder, place->name))
            unlinkat(p->folder, place->before, 0);
        if (place->renamed && !place->was_there)
            unlinkat(p->folder, place->name, 0);
        if (place->kept && !place->was_there)
            unlinkat(p->folder, place->absent, 0);
    }
    tare_flush(p->folder);
}

static void release(struct places *p)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->list[i].written)
            unlinkat(p->folder, p->list[i].temporary, 0);
        free(p->list[i].temporary);
        free(p->list[i].before);
        free(p->list[i].absent);
    }
    free(p->list);
    if (p->folder >= 0)
        close(p->folder);
}

enum tare_code tare_repair_in_place(const tare_repair *r, struct tare_error *err)
{
    if (!r)
        return tare_fail(err, TARE_E_ARGUMENT, "", "tare_repair_in_place needs a patch");
    const struct tare_checkpoint *c = &r->model->checkpoint;
    if (!r->report.loads)
        return tare_fail(err, TARE_E_ARGUMENT, r->path, "with this patch the model does not load; nothing is written");
    if (!c->folder || c->only)
        return tare_fail(err, TARE_E_ARGUMENT, r->path, "only a folder is repaired, not a file or what is built in");
    if (r->report.not_in_place)
        return tare_fail(err, TARE_E_TARGET, r->path, "not in place: %s", r->report.not_in_place);
    struct places p = {.folder = -1};
    enum tare_code code = open_folder(c->folder, &p.folder, err);
    if (!code)
        code = list(r, &p, err);
    for (size_t i = 0; i < p.n && !code; i++)
        code = write_new(r, &p, &p.list[i], err);
    if (!code) {
        code = exchange(&p, err);
        if (!code)
            code = tare_repair_verify(r, r->path, err);
        if (code)
            take_back(&p);
    }
    release(&p);
    return code;
}

/* ---- undo ---------------------------------------------------------------------------------------------------- */

static bool cut(char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    if (n <= m || strcmp(name + n - m, end) != 0)
        return false;
    name[n - m] = '\0';
    return true;
}

/* Undoes one entry of the folder: a kept file gets its name back, and a file that was not there before is removed. */
static enum tare_code undo(int folder, const char *entry, size_t *n, struct tare_error *err)
{
    char *name = strdup(entry);
    enum tare_code code = name ? TARE_OK : tare_fail_memory(err);
    if (name && cut(name, TARE_BEFORE)) {
        if (renameat(folder, entry, folder, name))
            code = tare_fail_system(err, entry, "putting it back");
        else
            unlinkat(folder, entry, 0); /* where both were the same file, renaming did nothing */
        *n += !code;
    } else if (name && cut(name, TARE_ABSENT)) {
        if ((unlinkat(folder, name, 0) && errno != ENOENT) || unlinkat(folder, entry, 0))
            code = tare_fail_system(err, name, "removing it, as it was not there before");
        *n += !code;
    } else if (name && name[0] == '.' && cut(name, TEMPORARY)) {
        unlinkat(folder, entry, 0); /* of one that was killed */
    }
    free(name);
    return code;
}

static enum tare_code undo_all(int folder, size_t *n, struct tare_error *err)
{
    const int again = fcntl(folder, F_DUPFD_CLOEXEC, 0);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    char **names = NULL;
    size_t count = 0, room = 0;
    enum tare_code code = list ? TARE_OK : tare_fail_system(err, "the folder", "listing it");
    /* names first: a folder that changes while it is read may show an entry twice */
    for (const struct dirent *entry; !code && (entry = readdir(list));)
        if (!tare_grow(&names, &room, count + 1, sizeof *names) || !(names[count++] = strdup(entry->d_name)))
            code = tare_fail_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (!code)
            code = undo(folder, names[i], n, err);
        free(names[i]);
    }
    free(names);
    if (list)
        closedir(list);
    else if (again >= 0)
        close(again);
    return code;
}

enum tare_code tare_repair_undo(const char *path, size_t *n, struct tare_error *err)
{
    struct tare_checkpoint checkpoint = {0};
    size_t count = 0;
    if (!path)
        return tare_fail(err, TARE_E_ARGUMENT, "", "tare_repair_undo needs a folder");
    enum tare_code code = tare_checkpoint_locate(&checkpoint, path, NULL, err);
    int folder = -1;
    if (!code)
        code = open_folder(checkpoint.folder, &folder, err);
    if (!code)
        code = undo_all(folder, &count, err);
    if (!code && tare_flush(folder))
        code = tare_fail_system(err, path, "bringing it to the disk");
    if (folder >= 0)
        close(folder);
    tare_checkpoint_release(&checkpoint);
    if (n)
        *n = count;
    return code;
}
