/* SPDX-License-Identifier: MIT
 * frontier.c - reads files from end to end, ahead of the tiles, and hashes them as they go by.
 *
 * A few threads hold the next blocks in the windows of the checkpoint, where the tiles then find them. Blocks are
 * hashed in order: whoever has one waits for its turn. So the sha256 of a file, and the checksums of its tensors that
 * tare.json has, cost no second reading.
 */
#include "save/frontier.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "open/witness.h"

#define BLOCK ((uint64_t)4 << 20)
#define AHEAD ((uint64_t)32 << 20) /* how far is read past what some tile waits for */
#define READERS 6                  /* most; a host that allows more has the others for what lies elsewhere */

/* A file that has a hash. */
struct passage {
    struct tare_file *file;
    const struct tare_witness *witness;
    uint64_t begin, end;                /* its place among all */
    const struct tare_tensor **tensors; /* by offset; in the arena */
    size_t n;
};

struct tare_frontier {
    struct tare_account *account;
    struct tare_checkpoint *checkpoint;
    const struct tare_convert_options *options;
    struct tare_arena arena;
    struct passage *files; /* one for each of the checkpoint; those without a hash are empty */
    XXH3_state_t *sum;     /* of the tensor that goes by; like `tensor` it is of whose turn it is to hash */
    size_t tensor;         /* the next that ends, in its file */
    bool whole;            /* sum has seen that one from its first byte */
    pthread_t readers[READERS];
    int n_readers;
    bool has_lock;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t moved;
    uint64_t next, done, wanted, total; /* places: given to a reader, hashed, waited for, the end */
    struct tare_passed passed;
    bool stop;
    struct tare_error error;
};

/* ---- hashing --------------------------------------------------------------------------------------------------- */

/* The tensor that went by is known: account.c need not read it again. */
static void know(struct tare_frontier *f, const struct tare_tensor *tensor)
{
    struct tare_account *account = f->account;
    const size_t index = (size_t)(tensor - account->tensors);
    if (!f->whole || !account->sums)
        return;
    pthread_mutex_lock(&account->lock);
    account->known[index] = tare_sum_of(XXH3_128bits_digest(f->sum));
    account->is_known[index] = true;
    pthread_mutex_unlock(&account->lock);
}

static void sum_tensors(struct tare_frontier *f, const struct passage *p, const unsigned char *data, uint64_t at,
                        uint64_t end)
{
    for (; f->tensor < p->n && p->tensors[f->tensor]->offset < end; f->tensor++) {
        const struct tare_tensor *tensor = p->tensors[f->tensor];
        const uint64_t first = tensor->offset, last = first + tensor->size;
        const uint64_t from = first > at ? first : at, to = last < end ? last : end;
        if (first >= at) {
            f->whole = true;
            XXH3_128bits_reset(f->sum);
        }
        if (to > from && f->whole)
            XXH3_128bits_update(f->sum, data + from, (size_t)(to - from));
        if (last > end)
            return;
        know(f, tensor);
        f->whole = false;
    }
}

/* Bytes [at, end) of a file, the next ones; they are held. */
static enum tare_code hash(struct tare_frontier *f, const struct passage *p, uint64_t at, uint64_t end,
                           struct tare_error *err)
{
    const unsigned char *data = tare_window_data(p->file->window);
    struct tare_chain chain = f->passed.chain;
    char hex[TARE_HASH_ROOM];
    enum tare_code code = TARE_OK;
    if (!at)
        f->tensor = 0;
    sum_tensors(f, p, data, at, end);
    if (end < p->file->size) {
        tare_chain_add(&chain, data + at, (size_t)(end - at));
    } else {
        tare_chain_end(&chain, data + at, (size_t)(end - at), hex);
        if (strcmp(hex, p->witness->sha256) != 0)
            code =
                tare_fail(err, TARE_E_FORMAT, p->file->name,
                          "the content has sha256 %.16s.., and %.16s.. was announced: it was changed on the way or on "
                          "the server, and nothing of the output is kept; try again",
                          hex, p->witness->sha256);
        tare_chain_begin(&chain);
    }
    pthread_mutex_lock(&f->lock);
    if (!code) {
        f->passed = (struct tare_passed){(size_t)(p - f->files) + (end == p->file->size), chain};
        f->done = p->begin + end;
    }
    pthread_mutex_unlock(&f->lock);
    return code;
}

/* ---- readers --------------------------------------------------------------------------------------------------- */

static struct passage *passage_at(struct tare_frontier *f, uint64_t place)
{
    struct passage *p = f->files;
    while (place >= p->end)
        p++;
    return p;
}

/* Takes the next block; NULL: there is no more to do. The lock is held. */
static struct passage *take(struct tare_frontier *f, uint64_t *at, uint64_t *end)
{
    while (!f->stop && !f->error.code && f->next < f->total && f->next >= f->wanted + AHEAD)
        pthread_cond_wait(&f->moved, &f->lock);
    if (f->stop || f->error.code || f->next >= f->total)
        return NULL;
    struct passage *p = passage_at(f, f->next);
    *at = f->next - p->begin;
    *end = (*at / BLOCK + 1) * BLOCK;
    if (*end > p->file->size)
        *end = p->file->size;
    f->next = p->begin + *end;
    return p;
}

/* Waits until all before the block is hashed; false: that will not be. */
static bool turn(struct tare_frontier *f, uint64_t place)
{
    pthread_mutex_lock(&f->lock);
    while (!f->stop && !f->error.code && f->done != place)
        pthread_cond_wait(&f->moved, &f->lock);
    const bool mine = !f->stop && !f->error.code;
    pthread_mutex_unlock(&f->lock);
    return mine;
}

static void *reader_main(void *user)
{
    struct tare_frontier *f = user;
    struct passage *p;
    uint64_t at, end;
    pthread_mutex_lock(&f->lock);
    while ((p = take(f, &at, &end))) {
        struct tare_error error = {0};
        pthread_mutex_unlock(&f->lock);
        enum tare_code code = tare_window_hold(p->file->window, at, end, end, &error);
        if (!code) {
            if (turn(f, p->begin + at))
                code = hash(f, p, at, end, &error);
            tare_window_let_go(p->file->window, at, end);
        }
        if (!code && tare_frontier_report(f))
            code = tare_fail(&error, TARE_E_CANCELLED, "", "cancelled");
        pthread_mutex_lock(&f->lock);
        if (code && !f->error.code)
            f->error = error;
        pthread_cond_broadcast(&f->moved);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- the handle ------------------------------------------------------------------------------------------------ */

static int by_offset(const void *a, const void *b)
{
    const struct tare_tensor *x = *(const struct tare_tensor *const *)a, *y = *(const struct tare_tensor *const *)b;
    return x->offset != y->offset ? (x->offset < y->offset ? -1 : 1) : x->size < y->size ? -1 : x->size > y->size;
}

static enum tare_code list_tensors(struct tare_frontier *f, struct passage *p, struct tare_error *err)
{
    const struct tare_checkpoint *checkpoint = f->checkpoint;
    const uint32_t number = (uint32_t)(p - f->files);
    size_t n = 0;
    for (size_t i = 0; i < checkpoint->n_tensors; i++)
        n += checkpoint->tensors[i].file == number;
    p->tensors = tare_arena_alloc(&f->arena, (n + 1) * sizeof *p->tensors);
    if (!p->tensors)
        return tare_fail_memory(err);
    for (size_t i = 0; i < checkpoint->n_tensors; i++)
        if (checkpoint->tensors[i].file == number)
            p->tensors[p->n++] = &checkpoint->tensors[i];
    if (p->n)
        qsort(p->tensors, p->n, sizeof *p->tensors, by_offset);
    return TARE_OK;
}

static enum tare_code find_files(struct tare_frontier *f, struct tare_error *err)
{
    struct tare_checkpoint *checkpoint = f->checkpoint;
    f->files = tare_arena_array(&f->arena, checkpoint->n_files + 1, sizeof *f->files);
    if (!f->files)
        return tare_fail_memory(err);
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < checkpoint->n_files && !code; i++) {
        struct passage *p = &f->files[i];
        p->file = &checkpoint->files[i];
        p->witness = tare_door_witness(checkpoint->door, p->file->name);
        p->begin = f->total;
        if (p->witness) {
            f->total += p->file->size;
            code = list_tensors(f, p, err);
            pthread_mutex_lock(&checkpoint->lock);
            code = code ? code : tare_checkpoint_see(checkpoint, p->file, err);
            pthread_mutex_unlock(&checkpoint->lock);
        }
        p->end = f->total;
    }
    return code;
}

/* Goes on where an earlier run was. */
static void begin_at(struct tare_frontier *f, const struct tare_passed *passed)
{
    const struct passage *p = &f->files[passed->file];
    f->passed = *passed;
    if (!passed->chain.bytes)
        tare_chain_begin(&f->passed.chain);
    f->next = f->done = passed->file < f->checkpoint->n_files ? p->begin + passed->chain.bytes : f->total;
    while (f->tensor < p->n && p->tensors[f->tensor]->offset + p->tensors[f->tensor]->size <= passed->chain.bytes)
        f->tensor++;
}

/* Their signals stay with the threads of the host. */
static enum tare_code start(struct tare_frontier *f, struct tare_error *err)
{
    const int most = f->checkpoint->door->host.parallel - 2;
    sigset_t all, before;
    if (pthread_mutex_init(&f->lock, NULL))
        return tare_fail_memory(err);
    if (pthread_cond_init(&f->moved, NULL)) {
        pthread_mutex_destroy(&f->lock);
        return tare_fail_memory(err);
    }
    f->has_lock = true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    do {
        if (pthread_create(&f->readers[f->n_readers], NULL, reader_main, f))
            break;
    } while (++f->n_readers < READERS && f->n_readers < most);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return f->n_readers ? TARE_OK : tare_fail(err, TARE_E_MEMORY, "", "the system gives no thread to read with");
}

enum tare_code tare_frontier_open(struct tare_frontier **frontier, struct tare_account *account,
                                  const struct tare_convert_options *options, struct tare_error *err)
{
    struct tare_checkpoint *checkpoint = account->layout->checkpoint;
    *frontier = NULL;
    if (!checkpoint->door || !checkpoint->door->witnesses)
        return TARE_OK;
    struct tare_frontier *f = *frontier = calloc(1, sizeof *f);
    if (!f || !(f->sum = XXH3_createState()))
        return tare_fail_memory(err);
    f->account = account;
    f->checkpoint = checkpoint;
    f->options = options;
    const enum tare_code code = find_files(f, err);
    if (code)
        return code;
    begin_at(f, &account->passed);
    return start(f, err);
}

void tare_frontier_free(struct tare_frontier *f)
{
    if (!f)
        return;
    if (f->has_lock) {
        pthread_mutex_lock(&f->lock);
        f->stop = true;
        pthread_cond_broadcast(&f->moved);
        pthread_mutex_unlock(&f->lock);
        for (int i = 0; i < f->n_readers; i++)
            pthread_join(f->readers[i], NULL);
        pthread_cond_destroy(&f->moved);
        pthread_mutex_destroy(&f->lock);
    }
    XXH3_freeState(f->sum);
    tare_arena_release(&f->arena);
    free(f);
}

/* ---- tiles ----------------------------------------------------------------------------------------------------- */

/* The last byte of the largest tensor of a module that elements [first, last] take, by shares where it lies by rows. */
static uint64_t place_of(const struct tare_frontier *f, const struct tare_module *module, int64_t last)
{
    const struct tare_tensor *largest = NULL;
    for (int k = 0; k < TARE_PARTS; k++)
        if (module->part[k] && (!largest || module->part[k]->size > largest->size))
            largest = module->part[k];
    if (!largest)
        return 0;
    const int64_t columns = tare_module_columns(module), rows = tare_module_rows(module);
    const struct passage *p = &f->files[largest->file];
    uint64_t end = largest->offset + largest->size;
    if (module->packing->rowwise && columns > 0 && rows > 0 && last / columns + 1 < rows)
        end = largest->offset + largest->size / (uint64_t)rows * (uint64_t)(last / columns + 1);
    return p->witness ? p->begin + end : p->begin;
}

uint64_t tare_frontier_place(const struct tare_frontier *f, const struct tare_job *job, const struct tare_box *box)
{
    uint64_t place = 0;
    for (size_t i = 0; i < job->flat.n; i++) {
        const struct tare_piece *piece = &job->flat.pieces[i];
        int64_t last = piece->start;
        bool inside = true;
        for (int k = 0; k < job->rank && job->rank == job->flat.rank; k++) {
            const int64_t end = piece->at[k] + piece->shape[k], high = box->high[k] < end ? box->high[k] : end;
            inside = inside && box->low[k] < end && high > piece->at[k];
            last += (high - 1 - piece->at[k]) * piece->stride[k];
        }
        if (job->rank != job->flat.rank)
            last = INT64_MAX - 1;
        const uint64_t here = inside ? place_of(f, piece->module, last) : 0;
        place = here > place ? here : place;
    }
    return place;
}

enum tare_code tare_frontier_reach(struct tare_frontier *f, uint64_t place, struct tare_error *err)
{
    pthread_mutex_lock(&f->lock);
    if (place > f->wanted) {
        f->wanted = place;
        pthread_cond_broadcast(&f->moved);
    }
    while (f->done < place && !f->error.code)
        pthread_cond_wait(&f->moved, &f->lock);
    const enum tare_code code = f->done < place ? f->error.code : TARE_OK;
    if (code && err)
        *err = f->error;
    pthread_mutex_unlock(&f->lock);
    return code;
}

enum tare_code tare_frontier_finish(struct tare_frontier *f, struct tare_error *err)
{
    return f ? tare_frontier_reach(f, f->total, err) : TARE_OK;
}

bool tare_frontier_report(struct tare_frontier *f)
{
    const struct tare_convert_options *options = f->options;
    pthread_mutex_lock(&f->lock);
    const bool stop = options->progress && options->progress(options->user, "convert", f->done, f->total);
    pthread_mutex_unlock(&f->lock);
    return stop;
}

struct tare_passed tare_frontier_passed(struct tare_frontier *f)
{
    pthread_mutex_lock(&f->lock);
    const struct tare_passed passed = f->passed;
    pthread_mutex_unlock(&f->lock);
    return passed;
}
