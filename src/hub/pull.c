/* SPDX-License-Identifier: MIT
 * pull.c - downloads what a model needs: list, choose, get what is missing, link, and the revision's ref last. */
#include "hub/pull.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/text.h"
#include "hub/fetch.h"
#include "hub/local.h"

#define INDEX_MOST ((size_t)64 << 20)

/* What one pull holds. */
struct pulling {
    struct tare_pull *pull;
    const struct tare_hub *hub;
    const struct tare_hub_name *name;
    struct tare_http *http;
    struct tare_hub_cache cache;
    struct tare_hub_tree tree;
    bool *wanted;
    /* The hub has answered. */
    bool reached;
};

static enum tare_code set_snapshot(struct pulling *p, struct tare_error *err)
{
    return tare_hub_cache_path(&p->cache, p->pull->snapshot, err, "snapshots/%s", p->tree.commit);
}

/* Which GGUF file the weights are; none when they are safetensors. */
static void set_file(struct pulling *p)
{
    const struct tare_hub_file *gguf = tare_hub_choose_gguf(&p->tree, p->pull->choice.variant);
    p->pull->file[0] = '\0';
    if (gguf && p->wanted[gguf - p->tree.files] && strlen(gguf->path) < sizeof p->pull->file &&
        (*p->pull->choice.variant || !p->pull->choice.n_include))
        memcpy(p->pull->file, gguf->path, strlen(gguf->path) + 1);
}

/* ---- online ---------------------------------------------------------------------------------------------------- */

static bool have(const struct pulling *p, const struct tare_hub_file *file)
{
    return tare_hub_cache_has_file(&p->cache, p->tree.commit, file->path, file->size);
}

/* A file that is in the cache under another name, or of another commit, needs only its link. */
static enum tare_code link_known(const struct pulling *p, const struct tare_hub_file *file, struct tare_error *err)
{
    if (!tare_hub_cache_has_blob(&p->cache, file->etag, file->size))
        return TARE_OK;
    return tare_hub_cache_link(&p->cache, p->tree.commit, file->path, file->etag, err);
}

static enum tare_code enough_room(const struct pulling *p, uint64_t need, struct tare_error *err)
{
    struct statvfs info;
    if (statvfs(p->cache.repo, &info))
        return TARE_OK;
    const uint64_t room = (uint64_t)info.f_bavail * info.f_frsize;
    if (need <= room)
        return TARE_OK;
    return tare_fail(err, TARE_E_SPACE, p->hub->cache,
                     "no space left for the download: %.3f GB are needed and %.3f GB are free; make room (tare rm), or "
                     "set HF_HUB_CACHE to another disk",
                     (double)need / 1e9, (double)room / 1e9);
}

static enum tare_code get(const struct pulling *p, const struct tare_hub_file *const *files, size_t n, uint64_t base,
                          uint64_t total, struct tare_error *err)
{
    const struct tare_fetch fetch = {
        .http = p->http,
        .hub = p->hub,
        .cache = &p->cache,
        .id = p->name->id,
        .commit = p->tree.commit,
        .base = base,
        .total = total,
    };
    return n ? tare_fetch_files(&fetch, files, n, err) : TARE_OK;
}

/* Gets the index and marks the weights that it names. A dry run fetches the index too, and nothing else. */
static enum tare_code choose(struct pulling *p, struct tare_error *err)
{
    const struct tare_hub_file *index = NULL;
    char *text = NULL;
    size_t size = 0;
    enum tare_code code = TARE_OK;
    p->wanted = calloc(p->tree.n + 1, sizeof *p->wanted);
    if (!p->wanted)
        return tare_fail_memory(err);
    tare_hub_choose_kin(&p->tree, &p->pull->choice, p->wanted, &index);
    if (index && index->size > INDEX_MOST)
        return tare_fail(err, TARE_E_FORMAT, index->path, "is larger than an index can be");
    if (index && !have(p, index)) {
        code = tare_hub_cache_prepare(&p->cache, err);
        code = code ? code : link_known(p, index, err);
        if (!code && !have(p, index))
            code = get(p, &index, 1, 0, index->size, err);
    }
    if (!code && index)
        code = tare_local_read(p->pull->snapshot, index->path, INDEX_MOST, &text, &size, err);
    if (!code)
        code = tare_hub_choose_weights(&p->tree, &p->pull->choice, p->name->id, text, size, p->wanted, err);
    free(text);
    return code;
}

/* Counts, and lists, what is chosen; *missing has what the cache lacks. */
static void count(const struct pulling *p, const struct tare_hub_file **missing)
{
    struct tare_pull *pull = p->pull;
    for (size_t i = 0; i < p->tree.n; i++) {
        const struct tare_hub_file *file = &p->tree.files[i];
        if (!p->wanted[i])
            continue;
        const bool there = have(p, file) || tare_hub_cache_has_blob(&p->cache, file->etag, file->size);
        pull->files++;
        pull->bytes += file->size;
        if (!have(p, file))
            missing[pull->missing++] = file;
        if (!there)
            pull->missing_bytes += file->size;
        if (pull->list)
            pull->list(pull->user, file->path, file->size, there);
    }
}

static void note_absent(const struct pulling *p)
{
    for (size_t i = 0; i < tare_hub_n_kin; i++)
        if (!tare_hub_tree_find(&p->tree, tare_hub_kin[i]))
            tare_hub_cache_note_absent(&p->cache, p->tree.commit, tare_hub_kin[i]);
}

static enum tare_code get_missing(struct pulling *p, struct tare_error *err)
{
    struct tare_pull *pull = p->pull;
    const struct tare_hub_file **missing = calloc(p->tree.n + 1, sizeof *missing);
    if (!missing)
        return tare_fail_memory(err);
    count(p, missing);
    enum tare_code code = TARE_OK;
    if (!pull->dry_run && pull->missing && !(code = tare_hub_cache_prepare(&p->cache, err)) &&
        !(code = enough_room(p, pull->missing_bytes, err))) {
        size_t n = 0;
        for (size_t i = 0; i < pull->missing && !code; i++) {
            code = link_known(p, missing[i], err);
            if (!have(p, missing[i]))
                missing[n++] = missing[i];
        }
        code = code ? code : get(p, missing, n, pull->bytes - pull->missing_bytes, pull->bytes, err);
        if (!code)
            note_absent(p);
    }
    if (!code && !pull->dry_run) {
        code = tare_hub_cache_set_ref(&p->cache, p->name->revision, p->tree.commit, err);
        if (code == TARE_E_IO && !pull->missing)
            code = TARE_OK; /* a cache that may only be read, and has everything */
    }
    free(missing);
    return code;
}

static enum tare_code online(struct pulling *p, struct tare_error *err)
{
    enum tare_code code = tare_http_open(&p->http, p->hub, err);
    code = code ? code : tare_hub_tree_read(&p->tree, p->http, p->hub, p->name, err);
    code = code ? code : set_snapshot(p, err);
    code = code ? code : choose(p, err);
    if (!code)
        set_file(p);
    code = code ? code : get_missing(p, err);
    p->reached = !p->http || tare_http_reached(p->http);
    tare_http_free(p->http);
    return code;
}

/* ---- from the cache -------------------------------------------------------------------------------------------- */

static enum tare_code absent(const struct pulling *p, const char *what, struct tare_error *err)
{
    return tare_fail(err, TARE_E_ABSENT, p->name->id, "%s: %s%s", what, p->cache.repo,
                     p->hub->offline ? ", and HF_HUB_OFFLINE keeps tare offline" : "");
}

static enum tare_code from_cache(struct pulling *p, struct tare_error *err)
{
    const struct tare_hub_file *index = NULL;
    struct stat info;
    char *text = NULL;
    size_t size = 0;
    if (!tare_local_commit(&p->cache, p->name->revision, p->tree.commit))
        return absent(p, "is not in the Hugging Face cache", err);
    enum tare_code code = set_snapshot(p, err);
    if (!code && (stat(p->pull->snapshot, &info) || !S_ISDIR(info.st_mode)))
        code = absent(p, "has no snapshot of that revision in the Hugging Face cache", err);
    code = code ? code : tare_local_list(&p->tree, p->pull->snapshot, NULL, err);
    if (code)
        return code;
    p->wanted = calloc(p->tree.n + 1, sizeof *p->wanted);
    if (!p->wanted)
        return tare_fail_memory(err);
    struct tare_error why = {0};
    tare_hub_choose_kin(&p->tree, &p->pull->choice, p->wanted, &index);
    if (index)
        code = tare_local_read(p->pull->snapshot, index->path, INDEX_MOST, &text, &size, &why);
    code = code ? code : tare_hub_choose_weights(&p->tree, &p->pull->choice, p->name->id, text, size, p->wanted, &why);
    free(text);
    if (code == TARE_E_MEMORY)
        return tare_fail_memory(err);
    if (code == TARE_E_ARGUMENT && !*p->pull->choice.variant) { /* several GGUF files are there: which one? */
        if (err)
            *err = why;
    } else if (code)
        code = absent(p, "is not complete in the Hugging Face cache", err);
    if (!code)
        set_file(p);
    return code;
}

/* Where no server can be reached, what the cache has of the revision is as good as it gets, and said to be that. */
static enum tare_code online_or_cache(struct pulling *p, struct tare_error *err)
{
    const enum tare_code code = online(p, err);
    if (code != TARE_E_ABSENT || p->reached || p->pull->dry_run || from_cache(p, NULL))
        return code;
    if (p->hub->note)
        p->hub->note(p->hub->user, p->name->id, "the hub cannot be reached; the cache has this revision as it was");
    return TARE_OK;
}

/* ---- both ------------------------------------------------------------------------------------------------------ */

static enum tare_code with(struct tare_pull *pull, const struct tare_hub *hub, const struct tare_hub_name *name,
                           enum tare_code (*way)(struct pulling *p, struct tare_error *err), struct tare_error *err)
{
    struct pulling p = {.pull = pull, .hub = hub, .name = name};
    if (!pull->choice.variant)
        pull->choice.variant = name->variant;
    enum tare_code code = tare_hub_cache_open(&p.cache, hub, name->id, err);
    code = code ? code : way(&p, err);
    tare_hub_tree_release(&p.tree);
    free(p.wanted);
    return code;
}

enum tare_code tare_pull(struct tare_pull *pull, const struct tare_hub *hub, const struct tare_hub_name *name,
                         struct tare_error *err)
{
    return with(pull, hub, name, hub->offline ? from_cache : online_or_cache, err);
}

enum tare_code tare_pull_find(struct tare_pull *pull, const struct tare_hub *hub, const struct tare_hub_name *name,
                              struct tare_error *err)
{
    return with(pull, hub, name, from_cache, err);
}
