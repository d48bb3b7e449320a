/* SPDX-License-Identifier: MIT
 * digest.c - files and what their hashes should be, by the names of the Hugging Face cache and by tare.json.
 *
 * In the cache a file is a link to blobs/NAME, where NAME is the sha256 of a large file, or git's sha1 of a small one:
 * that of "blob SIZE\0" and the content.
 */
#include "audit/digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/json.h"
#include "open/locate.h"

#define PROOF "tare.json"
#define PROOF_MOST ((uint64_t)1 << 30)
#define PROOF_FILES 10000           /* no folder of a model has more */
#define STEP ((size_t)128 << 10)    /* bytes read at once: they stay in the second cache until they are hashed */
#define HOST_STEP ((size_t)8 << 20) /* the same from a host, whose calls may be slow */

/* ---- the list ------------------------------------------------------------------------------------------------ */

static bool is_hex(const char *text, size_t n)
{
    return strspn(text, "0123456789abcdef") == n && !text[n];
}

/* The name that the cache gives to the content of path, or NULL. */
static const char *hub_name(struct tare_arena *arena, const char *path)
{
    char link[4096];
    const ssize_t n = readlink(path, link, sizeof link - 1);
    if (n <= 0)
        return NULL;
    link[n] = '\0';
    const char *slash = strrchr(link, '/');
    if (!slash || slash - link < 5 || memcmp(slash - 5, "blobs", 5) ||
        (!is_hex(slash + 1, 64) && !is_hex(slash + 1, 40)))
        return NULL;
    return tare_arena_text(arena, slash + 1);
}

static struct tare_digest *find(struct tare_digests *all, const char *name)
{
    for (size_t k = 0; k < all->n; k++)
        if (!strcmp(all->digests[k].name, name))
            return &all->digests[k];
    return NULL;
}

static struct tare_digest *add(struct tare_digests *all, const char *name)
{
    if (!tare_grow(&all->digests, &all->room, all->n + 1, sizeof *all->digests))
        return NULL;
    struct tare_digest *digest = &all->digests[all->n++];
    *digest = (struct tare_digest){.name = name};
    return digest;
}

static bool add_shards(struct tare_digests *all, const struct tare_checkpoint *checkpoint)
{
    for (size_t k = 0; k < checkpoint->n_files; k++) {
        const struct tare_file *file = &checkpoint->files[k];
        struct tare_digest *digest = add(all, file->name);
        if (!digest)
            return false;
        digest->path = file->path;
        digest->size = file->size;
        digest->shard = digest->content = true;
        digest->expected[TARE_BY_HUB] = file->path ? hub_name(&all->at.arena, file->path) : NULL;
    }
    return true;
}

static bool is_weights(const char *name)
{
    return tare_ends_with(name, ".safetensors") || tare_ends_with(name, ".gguf");
}

static bool has_size(const struct tare_digests *all, uint64_t size)
{
    for (size_t k = 0; k < all->n; k++)
        if (all->digests[k].size == size)
            return true;
    return false;
}

/* Lists the other files of the folder that the cache names by their hash, or that are as large as a shard. */
static bool add_listed(struct tare_digests *all, const char *name)
{
    struct stat info;
    const char *path = tare_checkpoint_path(&all->at, name);
    if (!path)
        return false;
    if (find(all, name) || stat(path, &info) || !S_ISREG(info.st_mode))
        return true;
    const char *hub = hub_name(&all->at.arena, path);
    const bool like = is_weights(name) && has_size(all, (uint64_t)info.st_size);
    if (!hub && !like)
        return true;
    struct tare_digest *digest = add(all, name);
    if (!digest)
        return false;
    digest->path = path;
    digest->size = (uint64_t)info.st_size;
    digest->content = like;
    digest->expected[TARE_BY_HUB] = hub;
    return true;
}

static enum tare_code add_folder(struct tare_digests *all, struct tare_error *err)
{
    struct tare_listing listing = {0};
    enum tare_code code = tare_listing_read(&listing, &all->at, err);
    for (size_t k = 0; k < listing.n && !code; k++)
        if (!add_listed(all, listing.names[k]))
            code = tare_fail_memory(err);
    tare_listing_release(&listing);
    return code;
}

/* ---- tare.json ----------------------------------------------------------------------------------------------- */

/* "files": {"name": "sha256"}, or {"name": {"sha256": ".."}}. */
static const char *proof_hash(const json_t *value)
{
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "sha256") : value);
    return text && is_hex(text, 64) ? text : NULL;
}

static enum tare_code add_proved(struct tare_digests *all, const struct tare_checkpoint *checkpoint, const char *key,
                                 const json_t *value, struct tare_error *err)
{
    const char *hash = proof_hash(value);
    if (!tare_name_is_plain(key, strlen(key)) || !hash) {
        all->proof_fault =
            tare_arena_format(&all->at.arena, "\"files\": \"%.255s\" is no plain file name with a sha256", key);
        return all->proof_fault ? TARE_OK : tare_fail_memory(err);
    }
    struct tare_digest *digest = find(all, key);
    if (!digest && checkpoint->only) /* one file is asked for: the others do not count */
        return TARE_OK;
    char *name = tare_arena_text(&all->at.arena, key), *expected = tare_arena_text(&all->at.arena, hash);
    if (!name || !expected || (!digest && !(digest = add(all, name))))
        return tare_fail_memory(err);
    digest->expected[TARE_BY_PROOF] = expected;
    if (digest->path || digest->shard)
        return TARE_OK;
    if (all->at.door) {
        const struct tare_host_file *file = tare_door_find(all->at.door, name);
        digest->absent = !file;
        digest->size = file ? file->bytes : 0;
        return TARE_OK;
    }
    struct stat info;
    digest->path = tare_checkpoint_path(&all->at, name);
    if (!digest->path)
        return tare_fail_memory(err);
    digest->absent = stat(digest->path, &info) != 0;
    digest->size = digest->absent ? 0 : (uint64_t)info.st_size;
    return TARE_OK;
}

static enum tare_code add_proof(struct tare_digests *all, const struct tare_checkpoint *checkpoint,
                                struct tare_error *err)
{
    char *text = NULL;
    size_t size = 0;
    json_t *json = NULL;
    struct tare_error why = {0};
    if (checkpoint->memory || !tare_checkpoint_has(checkpoint, PROOF))
        return TARE_OK;
    enum tare_code code = tare_checkpoint_read(checkpoint, PROOF, PROOF_MOST, &text, &size, &why);
    if (!code)
        code = tare_json_parse(&json, PROOF, text, size, &why);
    free(text);
    if (code == TARE_E_MEMORY)
        return tare_fail_memory(err);
    json_t *files = json_object_get(json, "files");
    if (code || (files && !json_is_object(files)) || json_object_size(files) > PROOF_FILES) {
        all->proof_fault =
            tare_arena_format(&all->at.arena, "%s", code ? why.text : "\"files\" is no object of names and sha256");
        files = NULL;
    }
    code = TARE_OK;
    for (void *at = json_object_iter(files); at && !code; at = json_object_iter_next(files, at))
        code = add_proved(all, checkpoint, json_object_iter_key(at), json_object_iter_value(at), err);
    json_decref(json);
    return code;
}

enum tare_code tare_digests_list(struct tare_digests *all, const struct tare_checkpoint *checkpoint,
                                 struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    all->at.path = checkpoint->path;
    all->at.folder = checkpoint->folder;
    all->at.memory = checkpoint->memory;
    all->at.n_memory = checkpoint->n_memory;
    all->at.door = checkpoint->door;
    if (!add_shards(all, checkpoint))
        return tare_fail_memory(err);
    if (checkpoint->folder && !checkpoint->only)
        code = add_folder(all, err);
    if (!code)
        code = add_proof(all, checkpoint, err);
    if (!code && all->at.arena.failed)
        code = tare_fail_memory(err);
    if (code)
        return code;
    all->hashes = tare_hashes_open();
    return all->hashes ? TARE_OK : tare_fail_memory(err);
}

void tare_digests_release(struct tare_digests *all)
{
    tare_hashes_free(all->hashes);
    free(all->digests);
    tare_arena_release(&all->at.arena);
    *all = (struct tare_digests){0};
}

/* ---- hashing ------------------------------------------------------------------------------------------------- */

/* One or two hashes of one content. */
struct hashing {
    struct tare_hash *hash[2]; /* by enum tare_hash_kind; NULL: not wanted */
};

static bool begin(const struct tare_digests *all, const struct tare_digest *digest, struct hashing *h)
{
    bool want[2] = {digest->content, false};
    for (int by = 0; by < TARE_BYS; by++)
        if (digest->expected[by])
            want[strlen(digest->expected[by]) == 40 ? TARE_HASH_SHA1 : TARE_HASH_SHA256] = true;
    *h = (struct hashing){0};
    for (int k = 0; k < 2; k++)
        if (want[k] && !(h->hash[k] = tare_hash_begin(all->hashes, (enum tare_hash_kind)k)))
            return false;
    char head[40];
    const int n = snprintf(head, sizeof head, "blob %" PRIu64, digest->size);
    return !h->hash[TARE_HASH_SHA1] || tare_hash_add(h->hash[TARE_HASH_SHA1], head, (size_t)n + 1);
}

static bool update(struct hashing *h, const void *bytes, size_t n)
{
    for (int k = 0; k < 2; k++)
        if (h->hash[k] && !tare_hash_add(h->hash[k], bytes, n))
            return false;
    return true;
}

static bool end(struct hashing *h, struct tare_digest *digest)
{
    char sha1[TARE_HASH_ROOM];
    if (h->hash[TARE_HASH_SHA256] && !tare_hash_end(h->hash[TARE_HASH_SHA256], digest->sha256))
        return false;
    if (h->hash[TARE_HASH_SHA1] && !tare_hash_end(h->hash[TARE_HASH_SHA1], sha1))
        return false;
    if (h->hash[TARE_HASH_SHA1])
        memcpy(digest->git, sha1, sizeof digest->git);
    return true;
}

static size_t step_of(const struct tare_bytes *bytes)
{
    return bytes->door ? HOST_STEP : STEP;
}

static enum tare_code feed(struct hashing *h, const struct tare_digest *digest, const struct tare_bytes *bytes,
                           unsigned char *buffer, bool (*tick)(void *user, uint64_t bytes), void *user,
                           struct tare_error *err)
{
    const size_t step = step_of(bytes);
    uint64_t told = 0;
    for (uint64_t at = 0; at < digest->size;) {
        const size_t n = digest->size - at < step ? (size_t)(digest->size - at) : step;
        const enum tare_code code = buffer ? tare_bytes_read(bytes, buffer, n, at, err) : TARE_OK;
        if (code)
            return code;
        if (!update(h, buffer ? buffer : bytes->memory + at, n))
            return tare_fail(err, TARE_E_INTERNAL, digest->name, "cannot be hashed");
        at += n;
        if (tick && (at - told >= 64 * STEP || at == digest->size)) {
            if (!tick(user, at - told))
                return TARE_E_CANCELLED;
            told = at;
        }
    }
    return TARE_OK;
}

enum tare_code tare_digest_make(const struct tare_digests *all, struct tare_digest *digest,
                                bool (*tick)(void *user, uint64_t bytes), void *user, struct tare_error *err)
{
    struct hashing h = {0};
    struct tare_bytes bytes;
    enum tare_code code = digest->path ? tare_bytes_open(&bytes, digest->path, digest->name, err)
                                       : tare_checkpoint_bytes(&all->at, digest->name, &bytes, err);
    if (code)
        return code;
    unsigned char *buffer = bytes.memory ? NULL : malloc(step_of(&bytes));
    if (!bytes.memory && !buffer)
        code = tare_fail_memory(err);
    if (!code && bytes.size != digest->size)
        code = tare_fail(err, TARE_E_IO, digest->name,
                         "has another size than when it was opened: is something writing "
                         "to it?");
    if (!code && !begin(all, digest, &h))
        code = tare_fail_memory(err);
    if (!code)
        code = feed(&h, digest, &bytes, buffer, tick, user, err);
    if (!code && !end(&h, digest))
        code = tare_fail(err, TARE_E_INTERNAL, digest->name, "cannot be hashed");
    tare_hash_free(h.hash[TARE_HASH_SHA256]);
    tare_hash_free(h.hash[TARE_HASH_SHA1]);
    tare_bytes_close(&bytes);
    free(buffer);
    return code;
}

const char *tare_digest_of(const struct tare_digest *digest, int by)
{
    return digest->expected[by] && strlen(digest->expected[by]) == 40 ? digest->git : digest->sha256;
}
