/* SPDX-License-Identifier: MIT
 * fetch.c - hands ranges of files to a fixed number of streams, and finishes each file whose last range has come.
 *
 * Ranges go out in the order of the file, and first to files that have no stream, so that the hash, which needs that
 * order, is made of bytes as they come, or follows closely behind and reads what is still in memory. */
#include "hub/fetch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hub/partial.h"
#include "hub/refusal.h"

/* Bytes gathered before they are written: what a kill may lose of a stream. */
#define BUFFER ((size_t)512 << 10)
#define PART_LEAST ((uint64_t)4 << 20)
#define PART_MOST ((uint64_t)64 << 20)
#define MEBI ((uint64_t)1 << 20)
/* Bytes that one turn of the loop hashes at most, so that connections do not wait for it. */
#define HASH_STEP ((uint64_t)8 << 20)
#define LOCK_PAUSE 0.1
#define LOCK_PATIENCE 2.0

enum state { WAITING, OPEN, DONE };

/* A file that is fetched. */
struct job {
    const struct tare_hub_file *file;
    enum state state;
    int lock;
    struct tare_partial partial;
    /* A signed address on another host, or NULL: the hub's own is asked. */
    char *location;
    /* An answer has come: it is known where the content lies, so that more than one range may be asked for. */
    bool known;
    /* The server knows no ranges. */
    bool whole, restart;
    double blocked_since, next_try;
    bool told;
};

/* A connection's worth of work: one range of one file. */
struct stream {
    struct tare_request request;
    struct fetching *all;
    struct job *job; /* NULL: idle */
    size_t part, fill;
    unsigned char *buffer;
};

struct fetching {
    const struct tare_fetch *fetch;
    struct job *jobs;
    struct stream *streams;
    size_t n, n_streams, done;
    /* Bytes of the files that are done. */
    uint64_t finished;
    enum tare_code code;
    struct tare_error err;
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A few ranges for each stream: large enough that asking costs little, small enough that all end together. */
static uint64_t part_size(const struct tare_fetch *fetch)
{
    const uint64_t share = (fetch->total / (4 * (uint64_t)fetch->hub->connections) + MEBI) / MEBI * MEBI;
    return share < PART_LEAST ? PART_LEAST : share > PART_MOST ? PART_MOST : share;
}

/* The first failure counts. */
static void keep_error(struct fetching *all, enum tare_code code, const struct tare_error *err)
{
    if (!code || all->code)
        return;
    all->code = code;
    all->err = *err;
}

/* ---- streams --------------------------------------------------------------------------------------------------- */

static void flush(struct stream *stream)
{
    struct tare_error err = {0};
    if (stream->fill && !stream->job->restart)
        keep_error(stream->all,
                   tare_partial_write(&stream->job->partial, stream->part, stream->buffer, stream->fill, &err), &err);
    stream->fill = 0;
}

static enum tare_code take(struct tare_request *request, const void *bytes, size_t n, struct tare_error *err)
{
    struct stream *stream = request->user;
    const char *from = bytes;
    while (n && !stream->all->code) {
        const size_t room = BUFFER - stream->fill, some = n < room ? n : room;
        memcpy(stream->buffer + stream->fill, from, some);
        stream->fill += some;
        from += some;
        n -= some;
        if (stream->fill == BUFFER)
            flush(stream);
    }
    if (stream->all->code && err)
        *err = stream->all->err;
    return stream->all->code;
}

static enum tare_code look(struct tare_request *request, struct tare_error *err)
{
    struct stream *stream = request->user;
    struct job *job = stream->job;
    const struct tare_answer *answer = &request->answer;
    const struct tare_hub_place place = tare_hub_place(request);
    /* Other servers have etags of their own, and so may the pages of this one; the hash of the content decides. */
    if (!request->abroad && answer->linked && strcmp(answer->etag, job->file->etag) != 0)
        return tare_fail(err, TARE_E_FORMAT, place.text,
                         "the hub calls the content \"%.80s\" here and \"%s\" in its list: one of them is wrong",
                         answer->etag, job->file->etag);
    if (request->ranged && answer->status == 200 && !job->whole) {
        job->restart = true; /* a whole file where a range was asked for: done() begins anew, in one piece */
        return TARE_E_IO;
    }
    job->known = true;
    if (request->abroad && !job->location)
        job->location = strdup(request->from);
    return TARE_OK;
}

/* Asks for what its part lacks. */
static void aim(struct stream *stream)
{
    struct job *job = stream->job;
    const struct tare_partial_part *part = &job->partial.parts[stream->part];
    const struct tare_fetch *fetch = stream->all->fetch;
    struct tare_request *request = &stream->request;
    free(request->url);
    request->url = job->location ? strdup(job->location)
                                 : tare_hub_file_url(fetch->hub, fetch->id, fetch->commit, job->file->path);
    request->first = part->first + part->done;
    request->size = part->size - part->done;
    request->ranged = request->size != job->partial.size;
}

static void look_again(struct tare_request *request)
{
    struct stream *stream = request->user;
    const int status = request->answer.status;
    flush(stream);
    if (status == 400 || status == 401 || status == 403 || status == 410) {
        free(stream->job->location); /* it has run out */
        stream->job->location = NULL;
    }
    aim(stream);
}

static void stop_job(struct fetching *all, struct job *job)
{
    for (size_t i = 0; i < all->n_streams; i++) {
        struct stream *stream = &all->streams[i];
        if (stream->job != job)
            continue;
        tare_http_drop(all->fetch->http, &stream->request);
        stream->job = NULL;
        stream->fill = 0;
    }
}

static void stream_done(struct tare_request *request)
{
    struct stream *stream = request->user;
    struct job *job = stream->job;
    struct fetching *all = stream->all;
    if (job->restart) {
        struct tare_error err = {0};
        stop_job(all, job);
        job->restart = false;
        job->whole = true;
        keep_error(all, tare_partial_restart(&job->partial, job->file->size > MEBI ? job->file->size : MEBI, &err),
                   &err);
        return;
    }
    flush(stream);
    job->partial.parts[stream->part].taken = false;
    stream->job = NULL;
    keep_error(all, request->code, &request->err);
}

static void start(struct fetching *all, struct stream *stream, struct job *job, size_t part)
{
    struct tare_error err = {0};
    stream->job = job;
    stream->part = part;
    job->partial.parts[part].taken = true;
    stream->request = (struct tare_request){
        .repo = all->fetch->id,
        .file = job->file->path,
        .elsewhere = true,
        .total = job->file->size,
        .head = look,
        .body = take,
        .again = look_again,
        .done = stream_done,
        .user = stream,
    };
    aim(stream);
    const enum tare_code code = tare_http_add(all->fetch->http, &stream->request, &err);
    if (code)
        stream->job = NULL;
    keep_error(all, code, &err);
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

static void close_job(struct job *job)
{
    tare_partial_release(&job->partial);
    if (job->lock >= 0)
        close(job->lock);
    job->lock = -1;
    free(job->location);
    job->location = NULL;
}

static void finish_job(struct fetching *all, struct job *job, struct tare_error *err)
{
    const struct tare_fetch *fetch = all->fetch;
    close_job(job);
    keep_error(all, tare_hub_cache_link(fetch->cache, fetch->commit, job->file->path, job->file->etag, err), err);
    job->state = DONE;
    all->done++;
    all->finished += job->file->size;
}

/* Takes the lock of a file and opens what there is of it. Leaves it waiting while another process has the lock. */
static void open_job(struct fetching *all, struct job *job, double now)
{
    const struct tare_fetch *fetch = all->fetch;
    const struct tare_hub *hub = fetch->hub;
    struct tare_error err = {0};
    if (now < job->next_try)
        return;
    enum tare_code code = tare_hub_cache_lock(fetch->cache, job->file->etag, &job->lock, &err);
    if (!code && job->lock < 0) {
        job->next_try = now + LOCK_PAUSE;
        job->blocked_since = job->blocked_since > 0 ? job->blocked_since : now;
        if (!job->told && hub->note && now - job->blocked_since > LOCK_PATIENCE) {
            hub->note(hub->user, job->file->path, "another program is downloading it; waiting for that");
            job->told = true;
        }
        return;
    }
    if (!code && tare_hub_cache_has_blob(fetch->cache, job->file->etag, job->file->size)) {
        finish_job(all, job, &err);
        return;
    }
    if (!code)
        code = tare_partial_open(&job->partial, fetch->cache, job->file->etag, job->file->size, part_size(all->fetch),
                                 &err);
    if (!code)
        job->state = OPEN;
    keep_error(all, code, &err);
}

/* All bytes are there and hashed. */
static void close_whole(struct fetching *all, struct job *job)
{
    const struct tare_hub *hub = all->fetch->hub;
    struct tare_partial *partial = &job->partial;
    struct tare_error err = {0};
    if (tare_partial_is_right(partial)) {
        const enum tare_code code = tare_partial_keep(partial, &err);
        if (!code)
            finish_job(all, job, &err);
        else
            keep_error(all, code, &err);
    } else if (partial->resumed) {
        if (hub->note)
            hub->note(hub->user, job->file->path, "what an earlier run had left of it was wrong; it is fetched anew");
        keep_error(all, tare_partial_restart(partial, part_size(all->fetch), &err), &err);
    } else {
        tare_partial_remove(partial);
        const enum tare_code code =
            tare_fail(&err, TARE_E_FORMAT, job->file->path,
                      "the content differs from what the hub announces (%s %.16s..): it was changed on the way or on "
                      "the server, and is thrown away; try again",
                      strlen(job->file->etag) == 64 ? "sha256" : "git sha1", job->file->etag);
        keep_error(all, code, &err);
    }
}

static void hash_some(struct fetching *all)
{
    struct tare_error err = {0};
    for (size_t i = 0; i < all->n && !all->code; i++) {
        struct job *job = &all->jobs[i];
        if (job->state != OPEN)
            continue;
        keep_error(all, tare_partial_hash(&job->partial, HASH_STEP, &err), &err);
        if (!all->code && job->partial.hashed == job->file->size)
            close_whole(all, job);
    }
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

/* The part of a file that is next to be asked for; false when there is none now. */
static bool next_part(const struct fetching *all, const struct job *job, size_t *part)
{
    if (job->state != OPEN)
        return false;
    for (size_t i = 0; i < all->n_streams && !job->known; i++)
        if (all->streams[i].job == job)
            return false;
    for (size_t i = 0; i < job->partial.n_parts; i++) {
        const struct tare_partial_part *p = &job->partial.parts[i];
        if (!p->taken && p->done < p->size) {
            *part = i;
            return true;
        }
    }
    return false;
}

static size_t streams_of(const struct fetching *all, const struct job *job)
{
    size_t n = 0;
    for (size_t i = 0; i < all->n_streams; i++)
        n += all->streams[i].job == job;
    return n;
}

/* The file that the next stream goes to: of those that have ranges to ask for the one with the fewest streams, because
 * what one stream brings is in order and is hashed as it comes. NULL when there is none. */
static struct job *next_job(struct fetching *all, size_t *part, double now)
{
    struct job *best = NULL;
    size_t fewest = 0, at = 0;
    for (size_t i = 0; i < all->n && !all->code; i++) {
        struct job *job = &all->jobs[i];
        if (job->state == DONE)
            continue;
        if (job->state == WAITING)
            open_job(all, job, now);
        const size_t streams = streams_of(all, job);
        if (all->code || (best && streams >= fewest) || !next_part(all, job, &at))
            continue;
        best = job;
        fewest = streams;
        *part = at;
        if (!streams)
            break;
    }
    return all->code ? NULL : best;
}

static void fill_streams(struct fetching *all)
{
    size_t part = 0;
    const double now = seconds();
    for (size_t i = 0; i < all->n_streams && !all->code; i++) {
        struct job *job = all->streams[i].job ? NULL : next_job(all, &part, now);
        if (job)
            start(all, &all->streams[i], job, part);
        else if (!all->streams[i].job)
            return;
    }
}

static void show(struct fetching *all)
{
    const struct tare_hub *hub = all->fetch->hub;
    uint64_t done = all->fetch->base + all->finished;
    for (size_t i = 0; i < all->n; i++)
        if (all->jobs[i].state == OPEN)
            done += all->jobs[i].partial.done;
    if (hub->progress && hub->progress(hub->user, "download", done, all->fetch->total) && !all->code)
        all->code =
            tare_fail(&all->err, TARE_E_CANCELLED, "", "interrupted; what has come stays, and the next pull continues");
}

static void run(struct fetching *all)
{
    while (all->done < all->n && !all->code) {
        fill_streams(all);
        if (!all->code)
            tare_http_step(all->fetch->http, 20);
        if (!all->code)
            hash_some(all);
        show(all);
        if (!all->code && !tare_http_pending(all->fetch->http) && all->done < all->n) {
            const struct timespec nap = {0, 5000000};
            bool waiting = true;
            for (size_t i = 0; i < all->n; i++)
                waiting = waiting && all->jobs[i].state != OPEN;
            if (waiting) /* for locks alone */
                nanosleep(&nap, NULL);
        }
    }
}

enum tare_code tare_fetch_files(const struct tare_fetch *fetch, const struct tare_hub_file *const *files, size_t n,
                                struct tare_error *err)
{
    struct fetching all = {.fetch = fetch, .n = n, .n_streams = (size_t)fetch->hub->connections};
    all.jobs = calloc(n + 1, sizeof *all.jobs);
    all.streams = calloc(all.n_streams, sizeof *all.streams);
    bool room = all.jobs && all.streams;
    for (size_t i = 0; i < n && room; i++)
        all.jobs[i] = (struct job){.file = files[i], .lock = -1, .partial = {.fd = -1, .map = -1}};
    for (size_t i = 0; i < all.n_streams && room; i++) {
        all.streams[i].all = &all;
        room = (all.streams[i].buffer = malloc(BUFFER)) != NULL;
    }
    if (room)
        run(&all);
    else
        all.code = tare_fail_memory(&all.err);
    for (size_t i = 0; all.streams && i < all.n_streams; i++) {
        struct stream *stream = &all.streams[i];
        if (stream->job) {
            tare_http_drop(fetch->http, &stream->request);
            flush(stream);
        }
        free(stream->buffer);
    }
    for (size_t i = 0; all.jobs && room && i < n; i++)
        close_job(&all.jobs[i]);
    free(all.jobs);
    free(all.streams);
    if (all.code && err)
        *err = all.err;
    return all.code;
}
