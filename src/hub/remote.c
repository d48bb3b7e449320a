/* SPDX-License-Identifier: MIT
 * remote.c - a repository read where it is. What was read is kept: a plan asks for little, and for some of it twice. */
#include "hub/remote.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "hub/refusal.h"
#include "hub/sum.h"

/* The library reads a header by one range of this size, and what a longer one lacks by a second. */
#define FIRST ((uint64_t)128 << 10)
#define GGUF_FIRST ((uint64_t)1 << 20)
/* A small file is read whole. */
#define SMALL ((uint64_t)1 << 20)
/* With tare_remote_stream(), so is a larger one that is no weights, or has no sha256. */
#define WHOLE_MOST ((uint64_t)64 << 20)
/* Longer rests of headers are left to whoever believes them. */
#define REST_MOST ((uint64_t)32 << 20)
/* A range that is kept; longer ones, of data, are not. */
#define KEEP_MOST ((size_t)32 << 20)
#define INDEX_MOST ((uint64_t)64 << 20)

/* Bytes of a file. */
struct chunk {
    struct chunk *next;
    struct tare_remote *remote;
    const struct tare_hub_file *file;
    uint64_t first, size;
    unsigned char *bytes;
    /* `bytes` is the caller's. */
    bool lent;
    /* The request is over: it has a code. */
    bool done;
    struct tare_request request;
};

struct tare_remote {
    const struct tare_hub *hub;
    const struct tare_hub_name *name;
    struct tare_http *http;
    struct tare_hub_tree tree;
    bool *wanted;
    const struct tare_hub_file *index, *gguf;
    /* Signed addresses, one for each file of the tree, or NULL. */
    char **locations;
    /* Weights are read once: ranges of them are not kept. */
    bool streams;
    /* Whoever reads and finds that nobody does so drives the loop of requests, also for the others, until its own is
     * over; they hand it theirs. `under_way` and `over` are the driver's, and it has no lock while it drives. */
    struct chunk *under_way, *over;
    /* Of what follows. */
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool driven;
    struct chunk *asked;
    struct chunk *chunks;
};

/* ---- ranges ---------------------------------------------------------------------------------------------------- */

static enum tare_code look(struct tare_request *request, struct tare_error *err)
{
    struct chunk *chunk = request->user;
    char **location = &chunk->remote->locations[chunk->file - chunk->remote->tree.files];
    (void)err;
    if (request->abroad && !*location)
        *location = strdup(request->from);
    return TARE_OK;
}

static enum tare_code take(struct tare_request *request, const void *bytes, size_t n, struct tare_error *err)
{
    struct chunk *chunk = request->user;
    (void)err;
    memcpy(chunk->bytes + request->got, bytes, n);
    return TARE_OK;
}

static void aim(struct chunk *chunk)
{
    const struct tare_remote *remote = chunk->remote;
    const char *location = remote->locations[chunk->file - remote->tree.files];
    free(chunk->request.url);
    chunk->request.url = location
                             ? strdup(location)
                             : tare_hub_file_url(remote->hub, remote->name->id, remote->tree.commit, chunk->file->path);
}

static void look_again(struct tare_request *request)
{
    struct chunk *chunk = request->user;
    char **location = &chunk->remote->locations[chunk->file - chunk->remote->tree.files];
    const int status = request->answer.status;
    if (status == 400 || status == 401 || status == 403 || status == 410) {
        free(*location);
        *location = NULL;
    }
    aim(chunk);
}

static void free_chunk(struct chunk *chunk)
{
    if (!chunk)
        return;
    if (!chunk->lent)
        free(chunk->bytes);
    free(chunk);
}

/* A range of a file that is to be asked for; `bytes` is NULL for memory of its own. */
static struct chunk *make_chunk(struct tare_remote *remote, const struct tare_hub_file *file, uint64_t first,
                                uint64_t size, void *bytes, struct tare_error *err)
{
    struct chunk *chunk = calloc(1, sizeof *chunk);
    if (chunk)
        *chunk = (struct chunk){.remote = remote, .file = file, .first = first, .size = size, .bytes = bytes};
    if (chunk && !bytes)
        chunk->bytes = malloc(size ? (size_t)size : 1);
    if (!chunk || !chunk->bytes) {
        free(chunk);
        tare_fail_memory(err);
        return NULL;
    }
    chunk->lent = bytes != NULL;
    chunk->request = (struct tare_request){
        .repo = remote->name->id,
        .file = file->path,
        .elsewhere = true,
        .ranged = size && (first || size != file->size || strlen(file->etag) == 64), /* of large files always */
        .first = first,
        .size = size,
        .total = file->size,
        .head = look,
        .body = take,
        .again = look_again,
        .user = chunk,
    };
    return chunk;
}

/* Adds a request for a range. */
static struct chunk *ask(struct tare_remote *remote, const struct tare_hub_file *file, uint64_t first, uint64_t size,
                         struct tare_error *err)
{
    struct chunk *chunk = make_chunk(remote, file, first, size, NULL, err);
    if (!chunk)
        return NULL;
    aim(chunk);
    if (tare_http_add(remote->http, &chunk->request, err)) {
        free_chunk(chunk);
        return NULL;
    }
    return chunk;
}

/* A file that was read whole must be what its name says. */
static enum tare_code check(const struct chunk *chunk, struct tare_error *err)
{
    const struct tare_hub_file *file = chunk->file;
    if (chunk->size != file->size)
        return TARE_OK;
    struct tare_hub_sum *hash = tare_hub_sum_begin(file->etag, file->size);
    const bool room = hash != NULL;
    const bool right =
        room && tare_hub_sum_add(hash, chunk->bytes, (size_t)chunk->size) && tare_hub_sum_end(hash, file->etag);
    tare_hub_sum_free(hash);
    if (right)
        return TARE_OK;
    return room ? tare_fail(err, TARE_E_FORMAT, tare_hub_place(&chunk->request).text,
                            "the content differs from what the hub announces (%s %.16s..): try again",
                            strlen(file->etag) == 64 ? "sha256" : "git sha1", file->etag)
                : tare_fail_memory(err);
}

/* Waits for the requests of a list and keeps what has come; the first failure counts. */
static enum tare_code finish(struct tare_remote *remote, struct chunk *list, struct tare_error *err)
{
    enum tare_code code = tare_http_finish(remote->http, err);
    for (struct chunk *chunk = list, *next; chunk; chunk = next) {
        next = chunk->next;
        tare_http_drop(remote->http, &chunk->request);
        if (!code && (code = chunk->request.code) && err)
            *err = chunk->request.err;
        code = code ? code : check(chunk, err);
        if (code || chunk->lent) {
            free_chunk(chunk);
            continue;
        }
        chunk->next = remote->chunks;
        remote->chunks = chunk;
    }
    return code;
}

static bool push(struct chunk **list, struct chunk *chunk)
{
    if (!chunk)
        return false;
    chunk->next = *list;
    *list = chunk;
    return true;
}

static const struct chunk *find_chunk(const struct tare_remote *remote, const struct tare_hub_file *file,
                                      uint64_t first, uint64_t size)
{
    for (const struct chunk *chunk = remote->chunks; chunk; chunk = chunk->next)
        if (chunk->file == file && first >= chunk->first && first + size <= chunk->first + chunk->size)
            return chunk;
    return NULL;
}

/* ---- many readers --------------------------------------------------------------------------------------------- */

static void take_out(struct chunk **list, struct chunk *chunk)
{
    while (*list != chunk)
        list = &(*list)->next;
    *list = chunk->next;
}

static void is_over(struct tare_request *request)
{
    struct chunk *chunk = request->user;
    take_out(&chunk->remote->under_way, chunk);
    push(&chunk->remote->over, chunk);
}

/* Ends all that is under way: somebody has interrupted. */
static void interrupt(struct tare_remote *remote)
{
    for (struct chunk *chunk; (chunk = remote->under_way);) {
        remote->under_way = chunk->next;
        tare_http_drop(remote->http, &chunk->request);
        chunk->request.code = tare_fail(&chunk->request.err, TARE_E_CANCELLED, "", "interrupted");
        push(&remote->over, chunk);
    }
}

/* One round of the loop, for all. The lock is held, and given up in between. */
static void drive(struct tare_remote *remote)
{
    const struct tare_hub *hub = remote->hub;
    struct chunk *asked = remote->asked;
    remote->asked = NULL;
    pthread_mutex_unlock(&remote->lock);
    for (struct chunk *next; asked; asked = next) {
        next = asked->next;
        asked->request.done = is_over;
        aim(asked);
        if ((asked->request.code = tare_http_add(remote->http, &asked->request, &asked->request.err)))
            push(&remote->over, asked);
        else
            push(&remote->under_way, asked);
    }
    tare_http_step(remote->http, 50);
    if (hub->progress && hub->progress(hub->user, "ask the hub", tare_http_received(remote->http), 0))
        interrupt(remote);
    pthread_mutex_lock(&remote->lock);
    if (remote->over)
        pthread_cond_broadcast(&remote->moved);
    for (struct chunk *next; remote->over; remote->over = next) {
        next = remote->over->next;
        remote->over->done = true;
    }
}

/* Waits until a chunk has come. The lock is held. */
static enum tare_code fetch(struct tare_remote *remote, struct chunk *chunk, struct tare_error *err)
{
    push(&remote->asked, chunk);
    if (remote->driven)
        tare_http_wake(remote->http);
    while (!chunk->done) {
        if (remote->driven) {
            pthread_cond_wait(&remote->moved, &remote->lock);
            continue;
        }
        remote->driven = true;
        while (!chunk->done)
            drive(remote);
        remote->driven = false;
        pthread_cond_broadcast(&remote->moved); /* one of the others drives */
    }
    if (chunk->request.code && err)
        *err = chunk->request.err;
    return chunk->request.code;
}

static bool is_weights(const struct tare_hub_file *file)
{
    return tare_ends_with(file->path, ".safetensors") || tare_ends_with(file->path, ".gguf");
}

bool tare_remote_is_hashed(const struct tare_hub_file *file)
{
    return is_weights(file) && strlen(file->etag) == 64;
}

/* Is it read whole, whatever is asked for of it? Then its hash is checked here. */
static bool is_whole(const struct tare_remote *remote, const struct tare_hub_file *file)
{
    return file->size <= SMALL || (remote->streams && !tare_remote_is_hashed(file) && file->size <= WHOLE_MOST);
}

/* The lock is held. */
static enum tare_code read_range(struct tare_remote *remote, const struct tare_hub_file *file, uint64_t offset,
                                 void *bytes, size_t length, struct tare_error *err)
{
    const struct chunk *kept = find_chunk(remote, file, offset, length);
    if (kept) {
        memcpy(bytes, kept->bytes + (offset - kept->first), length);
        return TARE_OK;
    }
    const bool whole = is_whole(remote, file), lent = length == file->size;
    const bool keep = !lent && (whole || (!remote->streams && length <= KEEP_MOST));
    struct chunk *chunk =
        make_chunk(remote, file, whole ? 0 : offset, whole ? file->size : length, keep ? NULL : bytes, err);
    enum tare_code code = chunk ? fetch(remote, chunk, err) : TARE_E_MEMORY;
    code = code ? code : check(chunk, err);
    if (!code && keep)
        memcpy(bytes, chunk->bytes + (offset - chunk->first), length);
    if (code || !keep)
        free_chunk(chunk);
    else
        push(&remote->chunks, chunk);
    return code;
}

enum tare_code tare_remote_read(struct tare_remote *remote, const char *path, uint64_t offset, void *bytes,
                                size_t length, struct tare_error *err)
{
    const struct tare_hub_file *file = tare_hub_tree_find(&remote->tree, path);
    if (!file || length > file->size || offset > file->size - length)
        return tare_fail(err, TARE_E_ARGUMENT, path, "has no such range");
    pthread_mutex_lock(&remote->lock);
    const enum tare_code code = read_range(remote, file, offset, bytes, length, err);
    pthread_mutex_unlock(&remote->lock);
    return code;
}

bool tare_remote_stream(struct tare_remote *remote)
{
    for (size_t i = 0; i < remote->tree.n; i++)
        if (remote->wanted[i] && !tare_remote_is_hashed(&remote->tree.files[i]) &&
            remote->tree.files[i].size > WHOLE_MOST)
            return false;
    return remote->streams = true;
}

/* ---- what a plan needs ------------------------------------------------------------------------------------------ */

static bool is_header_of(const struct tare_remote *remote, size_t at, const char *end)
{
    return remote->wanted[at] && tare_ends_with(remote->tree.files[at].path, end);
}

/* The rests of headers that are longer than the first range. */
static enum tare_code read_rests(struct tare_remote *remote, struct tare_error *err)
{
    struct chunk *list = NULL;
    for (size_t i = 0; i < remote->tree.n; i++) {
        const struct tare_hub_file *file = &remote->tree.files[i];
        const struct chunk *head =
            is_header_of(remote, i, ".safetensors") && file->size > FIRST ? find_chunk(remote, file, 0, FIRST) : NULL;
        uint64_t n = 0;
        for (int byte = 7; head && byte >= 0; byte--)
            n = n << 8 | head->bytes[byte];
        if (n > REST_MOST || n + 8 <= FIRST || n + 8 > file->size)
            continue;
        if (!push(&list, ask(remote, file, FIRST, n + 8 - FIRST, err)))
            break;
    }
    return finish(remote, list, err);
}

/* The names that a plan always asks for. */
static bool is_config(const char *path)
{
    static const char *const names[] = {"config.json", "generation_config.json", "quantize_config.json",
                                        "quant_config.json", "hf_quant_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(path, names[i]) == 0)
            return true;
    return false;
}

/* Before the index has come every file of weights at the top may be one that it names: their headers are small. */
static bool may_be_shard(const struct tare_remote *remote, const struct tare_hub_file *file)
{
    return !*remote->name->variant && tare_ends_with(file->path, ".safetensors") && !strchr(file->path, '/') &&
           strncmp(file->path, "adapter", 7) != 0 && strncmp(file->path, "consolidated", 12) != 0;
}

static enum tare_code read_ahead(struct tare_remote *remote, struct tare_error *err)
{
    struct chunk *list = NULL;
    bool room = true;
    for (size_t i = 0; i < remote->tree.n && room; i++) {
        const struct tare_hub_file *file = &remote->tree.files[i];
        if (file == remote->index && file->size <= INDEX_MOST)
            room = push(&list, ask(remote, file, 0, file->size, err));
        else if (remote->wanted[i] && is_config(file->path) && file->size <= SMALL)
            room = push(&list, ask(remote, file, 0, file->size, err));
        else if (may_be_shard(remote, file))
            room = push(&list, ask(remote, file, 0, file->size < FIRST ? file->size : FIRST, err));
    }
    const enum tare_code code = finish(remote, list, err);
    return room ? code : tare_fail_memory(err);
}

static enum tare_code choose(struct tare_remote *remote, struct tare_error *err)
{
    const struct tare_hub_choice choice = {.variant = remote->name->variant};
    const struct tare_hub_tree *tree = &remote->tree;
    remote->wanted = calloc(tree->n + 1, sizeof *remote->wanted);
    remote->locations = calloc(tree->n + 1, sizeof *remote->locations);
    if (!remote->wanted || !remote->locations)
        return tare_fail_memory(err);
    tare_hub_choose_kin(tree, &choice, remote->wanted, &remote->index);
    enum tare_code code = read_ahead(remote, err);
    if (code)
        return code;
    const struct chunk *index = remote->index ? find_chunk(remote, remote->index, 0, remote->index->size) : NULL;
    code = tare_hub_choose_weights(tree, &choice, remote->name->id, index ? (const char *)index->bytes : NULL,
                                   index ? (size_t)index->size : 0, remote->wanted, err);
    if (code)
        return code;
    const struct tare_hub_file *gguf = tare_hub_choose_gguf(tree, choice.variant);
    remote->gguf = gguf && remote->wanted[gguf - tree->files] ? gguf : NULL;
    return read_rests(remote, err);
}

/* ---- the handle -------------------------------------------------------------------------------------------------- */

enum tare_code tare_remote_open(struct tare_remote **out, const struct tare_hub *hub, const struct tare_hub_name *name,
                                struct tare_error *err)
{
    struct tare_remote *remote = calloc(1, sizeof *remote);
    *out = NULL;
    if (!remote || pthread_mutex_init(&remote->lock, NULL)) {
        free(remote);
        return tare_fail_memory(err);
    }
    if (pthread_cond_init(&remote->moved, NULL)) {
        pthread_mutex_destroy(&remote->lock);
        free(remote);
        return tare_fail_memory(err);
    }
    remote->hub = hub;
    remote->name = name;
    enum tare_code code = tare_http_open(&remote->http, hub, err);
    code = code ? code : tare_hub_tree_read(&remote->tree, remote->http, hub, name, err);
    code = code ? code : choose(remote, err);
    if (code) {
        tare_remote_free(remote);
        return code;
    }
    *out = remote;
    return TARE_OK;
}

void tare_remote_free(struct tare_remote *remote)
{
    if (!remote)
        return;
    for (struct chunk *chunk = remote->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free_chunk(chunk);
    }
    for (size_t i = 0; remote->locations && i < remote->tree.n; i++)
        free(remote->locations[i]);
    free(remote->locations);
    free(remote->wanted);
    tare_http_free(remote->http);
    tare_hub_tree_release(&remote->tree);
    pthread_cond_destroy(&remote->moved);
    pthread_mutex_destroy(&remote->lock);
    free(remote);
}

const struct tare_hub_file *tare_remote_file(const struct tare_remote *remote, size_t n)
{
    for (size_t i = 0; i < remote->tree.n; i++)
        if (remote->wanted[i] && n-- == 0)
            return &remote->tree.files[i];
    return NULL;
}

const char *tare_remote_gguf(const struct tare_remote *remote)
{
    return remote->gguf ? remote->gguf->path : NULL;
}

struct tare_remote_account tare_remote_account(struct tare_remote *remote)
{
    struct tare_remote_account account = {0};
    pthread_mutex_lock(&remote->lock);
    account.received = tare_http_received(remote->http);
    pthread_mutex_unlock(&remote->lock);
    for (size_t i = 0; i < remote->tree.n; i++) {
        const struct tare_hub_file *file = &remote->tree.files[i];
        if (!remote->wanted[i])
            continue;
        account.files++;
        account.bytes += file->size;
        if (is_weights(file))
            account.weights += file->size;
    }
    return account;
}
