/* SPDX-License-Identifier: MIT
 * prompt_cache.c - writes and reads the file that prompt_cache.h describes. A file may come from anywhere: its size
 * must be what the model's states take before it is read, and its hash must be right before its contents are used. */
#include "run/session/prompt_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/flush.h"
#include "packing/packing.h"

static const char MAGIC[8] = {'T', 'A', 'R', 'E', ' ', 'T', 'X', 'T'};
#define VERSION 1u
#define SAMPLE 64 /* bytes of each tensor that the model's hash covers */

struct header {
    char magic[8];
    uint32_t version, kv_bits;
    uint64_t model;
    int64_t length, states, turn;
};

static enum tare_code fail_file(struct tare_error *err, const char *path, const char *what)
{
    return tare_fail(err, errno == ENOENT ? TARE_E_ABSENT : TARE_E_IO, path, "%s: %s", what, strerror(errno));
}

static void hash_tensor(XXH3_state_t *hash, struct tare_checkpoint *checkpoint, const struct tare_tensor *tensor)
{
    unsigned char sample[SAMPLE];
    XXH3_64bits_update(hash, tensor->name, strlen(tensor->name));
    XXH3_64bits_update(hash, &tensor->size, sizeof tensor->size);
    const size_t n = tensor->size < SAMPLE ? (size_t)tensor->size : SAMPLE;
    if (!tare_tensor_read(checkpoint, tensor, (tensor->size - n) / 2, n, sample, NULL))
        XXH3_64bits_update(hash, sample, n);
}

static bool identify(struct tare_model *model, uint64_t *id)
{
    XXH3_state_t *hash = XXH3_createState();
    if (!hash)
        return false;
    XXH3_64bits_reset(hash);
    for (size_t i = 0; i < model->n_modules; i++)
        for (int k = 0; k < TARE_PARTS; k++)
            if (model->modules[i].part[k])
                hash_tensor(hash, &model->checkpoint, model->modules[i].part[k]);
    *id = XXH3_64bits_digest(hash);
    XXH3_freeState(hash);
    return true;
}

/* A file that is written or read while it is hashed. */
struct stream {
    FILE *file;
    XXH3_state_t *hash;
};

static bool put(void *user, void *data, size_t n)
{
    const struct stream *s = user;
    return XXH3_64bits_update(s->hash, data, n) == XXH_OK && fwrite(data, 1, n, s->file) == n;
}

static bool get(void *user, void *data, size_t n)
{
    const struct stream *s = user;
    return fread(data, 1, n, s->file) == n && XXH3_64bits_update(s->hash, data, n) == XXH_OK;
}

static bool write_all(struct stream *s, struct header *header, const struct tare_saved_session *saved)
{
    bool fine = put(s, header, sizeof *header) && put(s, saved->ids, (size_t)saved->length * sizeof *saved->ids);
    for (int64_t i = 0; i < saved->n_states && fine; i++)
        fine = !saved->states[i] || tare_state_bytes(saved->states[i], saved->length, saved->turn, put, s);
    const uint64_t digest = XXH3_64bits_digest(s->hash);
    return fine && fwrite(&digest, sizeof digest, 1, s->file) == 1 && fflush(s->file) == 0 &&
           tare_flush(fileno(s->file)) == 0;
}

/* Writes under another name first and renames at the end, so that a file is whole or does not exist. */
enum tare_code tare_prompt_cache_write(const char *path, struct tare_model *model,
                                       const struct tare_saved_session *saved, struct tare_error *err)
{
    struct header header = {.version = VERSION,
                            .kv_bits = (uint32_t)saved->kv_bits,
                            .length = saved->length,
                            .states = saved->n_states,
                            .turn = saved->turn};
    memcpy(header.magic, MAGIC, sizeof MAGIC);
    const size_t size = strlen(path) + sizeof ".XXXXXX";
    char *name = malloc(size);
    struct stream s = {.hash = XXH3_createState()};
    enum tare_code code = name && s.hash && identify(model, &header.model) ? TARE_OK : tare_fail_memory(err);
    if (code == TARE_OK) {
        XXH3_64bits_reset(s.hash);
        snprintf(name, size, "%s.XXXXXX", path);
        const int fd = mkstemp(name);
        s.file = fd < 0 ? NULL : fdopen(fd, "wb");
        if (!s.file)
            code = fail_file(err, path, "making it");
        else if (!write_all(&s, &header, saved) || rename(name, path))
            code = fail_file(err, path, "writing it");
        if (fd >= 0 && code)
            unlink(name);
        if (s.file)
            fclose(s.file);
        else if (fd >= 0)
            close(fd);
    }
    XXH3_freeState(s.hash);
    free(name);
    return code;
}

static enum tare_code check_header(const struct header *h, struct tare_model *model,
                                   const struct tare_saved_session *saved, int64_t context, const char *path,
                                   struct tare_error *err)
{
    uint64_t id = 0;
    if (memcmp(h->magic, MAGIC, sizeof MAGIC) || h->version != VERSION)
        return tare_fail(err, TARE_E_FORMAT, path,
                         "is not a prompt cache that this tare writes; delete it to start anew");
    if (!identify(model, &id))
        return tare_fail_memory(err);
    if (h->model != id || h->states != saved->n_states)
        return tare_fail(err, TARE_E_FORMAT, path, "was written with another model; delete it or name another file");
    if (h->kv_bits != (uint32_t)saved->kv_bits)
        return tare_fail(err, TARE_E_FORMAT, path,
                         "holds a cache of %lu bits, and this session keeps %d: see --kv-bits",
                         (unsigned long)h->kv_bits, saved->kv_bits);
    if (h->length < 0 || h->length > context || (h->turn != 0 && h->turn != 1))
        return tare_fail(err, TARE_E_FORMAT, path, "holds %lld tokens; this session has room for %lld",
                         (long long)h->length, (long long)context);
    return TARE_OK;
}

static enum tare_code check_size(FILE *file, const struct header *h, const struct tare_saved_session *saved,
                                 const char *path, struct tare_error *err)
{
    struct stat st;
    uint64_t want = sizeof *h + (uint64_t)h->length * sizeof(int32_t) + sizeof(uint64_t);
    for (int64_t i = 0; i < saved->n_states; i++)
        want += saved->states[i] ? tare_state_size(saved->states[i], h->length) : 0;
    if (fstat(fileno(file), &st))
        return fail_file(err, path, "looking at it");
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != want)
        return tare_fail(err, TARE_E_FORMAT, path, "has %lld bytes; %llu were expected: it is not whole",
                         (long long)st.st_size, (unsigned long long)want);
    return TARE_OK;
}

static enum tare_code read_all(struct stream *s, struct tare_model *model, struct tare_saved_session *saved,
                               int64_t context, const char *path, struct tare_error *err)
{
    struct header h;
    uint64_t digest;
    if (!get(s, &h, sizeof h))
        return tare_fail(err, TARE_E_FORMAT, path, "is too short for a prompt cache");
    enum tare_code code = check_header(&h, model, saved, context, path, err);
    if (!code)
        code = check_size(s->file, &h, saved, path, err);
    for (int64_t i = 0; i < saved->n_states && !code; i++)
        if (saved->states[i])
            code = tare_state_reserve(saved->states[i], 0, h.length, err);
    if (code)
        return code;
    bool fine = get(s, saved->ids, (size_t)h.length * sizeof *saved->ids);
    for (int64_t i = 0; i < saved->n_states && fine; i++)
        fine = !saved->states[i] || tare_state_bytes(saved->states[i], h.length, (int)h.turn, get, s);
    if (!fine || fread(&digest, sizeof digest, 1, s->file) != 1 || digest != XXH3_64bits_digest(s->hash))
        return tare_fail(err, TARE_E_FORMAT, path, "is damaged: its hash does not fit; delete it to start anew");
    saved->length = h.length;
    saved->turn = (int)h.turn;
    return TARE_OK;
}

enum tare_code tare_prompt_cache_read(const char *path, struct tare_model *model, struct tare_saved_session *saved,
                                      int64_t context, struct tare_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would block */
    struct stream s = {.file = fd < 0 ? NULL : fdopen(fd, "rb")};
    if (!s.file) {
        const enum tare_code code = fail_file(err, path, "opening it");
        if (fd >= 0)
            close(fd);
        return code;
    }
    s.hash = XXH3_createState();
    enum tare_code code = TARE_OK;
    if (s.hash) {
        XXH3_64bits_reset(s.hash);
        code = read_all(&s, model, saved, context, path, err);
    } else {
        code = tare_fail_memory(err);
    }
    XXH3_freeState(s.hash);
    fclose(s.file);
    return code;
}
