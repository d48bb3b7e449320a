/* SPDX-License-Identifier: MIT
 * remote.h - a repository read where it is: small files whole, of weights only the ranges that are asked for. Nothing of
 * it is written to the cache. */
#ifndef TARE_HUB_REMOTE_H
#define TARE_HUB_REMOTE_H

#include "hub/choose.h"

struct tare_remote;

/* What it costs, and what a download would. */
struct tare_remote_account {
    /* Bytes of answers so far. */
    uint64_t received;
    /* Files that a model needs, and their bytes; of the weights alone. */
    size_t files;
    uint64_t bytes, weights;
};

/*
 * Asks for the files of a revision, and reads ahead, many requests at once, what a plan needs: config and its kin, the
 * index, and the headers of the weights. hub and name are borrowed. Fails as tare_pull() does.
 */
enum tare_code tare_remote_open(struct tare_remote **remote, const struct tare_hub *hub,
                                const struct tare_hub_name *name, struct tare_error *err);
/* NULL is allowed. */
void tare_remote_free(struct tare_remote *remote);

/* The files that a model needs, as tare_hub_tree_find() knows them: the n-th, or NULL past the end. */
const struct tare_hub_file *tare_remote_file(const struct tare_remote *remote, size_t n);
/* The GGUF file that is the model, or NULL for safetensors. */
const char *tare_remote_gguf(const struct tare_remote *remote);
struct tare_remote_account tare_remote_account(struct tare_remote *remote);

/* Is it one of weights that has a sha256, which whoever reads it in a stream checks? */
bool tare_remote_is_hashed(const struct tare_hub_file *file);
/* From now on nothing of such files is kept, and others are read whole and checked here. False: one of those is too
 * large for that. Before any other thread reads. */
bool tare_remote_stream(struct tare_remote *remote);

/* Reads a range, which must lie within the file. Any thread; as many at once as the hub's connections. */
enum tare_code tare_remote_read(struct tare_remote *remote, const char *path, uint64_t offset, void *bytes,
                                size_t length, struct tare_error *err);

#endif
