/* SPDX-License-Identifier: MIT
 * checkpoint.h - stage 1, open: a folder, a file or memory -> files and a table of tensors. Headers only. */
#ifndef TARE_OPEN_CHECKPOINT_H
#define TARE_OPEN_CHECKPOINT_H

#include <pthread.h>

#include "base/arena.h"
#include "base/dtype.h"
#include "base/map.h"
#include "open/mapping.h"
#include "open/window.h"

/* One tensor of a file, as its header has it. */
struct tare_tensor {
    const char *name;
    const char *stored; /* its name in the file, where that is another one (GGUF); else NULL */
    enum tare_dtype dtype;
    int rank;
    const int64_t *shape;
    uint32_t file;         /* index in checkpoint.files */
    uint64_t offset, size; /* bytes, from the start of the file */
    int64_t heads; /* GGUF: row 2j + k of each of that many heads is the checkpoint's row k * half + j; else 0 */
};

/* The name under which its file has it. */
static inline const char *tare_tensor_own_name(const struct tare_tensor *tensor)
{
    return tensor->stored ? tensor->stored : tensor->name;
}

struct tare_file {
    const char *name; /* plain file name */
    const char *path; /* for open(2); NULL when the checkpoint is in memory or the host's */
    uint64_t size;
    struct tare_mapping *mapping; /* NULL until the first byte is asked for, and when there is a window */
    struct tare_window *window;   /* the same, of a file that is not mapped */
};

/* A tensor that was read whole and stays in memory (data.c). */
struct tare_copy {
    uint64_t place[2]; /* file and offset */
    void *data;        /* heap */
};

/*
 * Something about the files that does not stop loading: becomes a finding of the plan. Codes: file-outside-index and
 * shards-absent (warnings), adapter-not-read and consolidated-not-read (notes).
 */
struct tare_remark {
    enum tare_level level;
    const char *code, *where, *text;
};

/* How the tensors of a GGUF file differ from the checkpoint that it was made of, together with tensor.heads;
 * names/gguf_rows.c undoes the difference. */
struct tare_gguf_facts {
    const char *architecture; /* "llama" */
    const char *const *aside; /* tensors whose values are in the config, ended by NULL; their names here */
    int64_t heads, kv_heads;  /* of rows of q and k that lie as ggml's rotary embedding has them; else 0 */
    bool norms_plus_one;      /* norms are stored as weight + 1 */
};

struct tare_edits;

struct tare_checkpoint {
    struct tare_arena arena;               /* owns names, shapes, paths */
    const char *path;                      /* as given */
    const char *folder;                    /* where config.json lies; NULL in memory and with a host */
    const struct tare_memory_file *memory; /* borrowed; n_memory files */
    size_t n_memory;
    struct tare_door *door; /* the host's files, or NULL */
    const char *only;       /* the file that path names, beside which config.json lies; NULL when path is a folder */
    struct tare_gguf *gguf; /* NULL: no GGUF file */
    struct tare_gguf_facts facts;  /* of gguf */
    struct tare_memory_file *made; /* side files made of the metadata of gguf; in the place of those of the folder */
    size_t n_made;
    const char *index;              /* the name of the index that was read, or NULL */
    const struct tare_edits *edits; /* set before opening: see it as it would be; or NULL (open/edits.h) */
    bool windowed;                  /* files are read where they are held: nothing is mapped, no_map or a host */
    bool has_lock, has_shelf;
    pthread_mutex_t lock;    /* around files[].mapping, files[].window and copies; the struct may not be copied */
    struct tare_shelf shelf; /* of the windows */
    struct tare_copy **copies;
    size_t n_copies, copies_room;
    struct tare_map by_place; /* tare_copy.place -> index in copies */
    struct tare_file *files;  /* the shards that count, in order of name */
    size_t n_files;
    struct tare_tensor *tensors; /* sorted by name */
    size_t n_tensors;
    struct tare_map by_name; /* tensor name -> index in tensors */
    struct tare_remark *remarks;
    size_t n_remarks, remarks_room;
};

/*
 * Open a checkpoint and read the headers of its shards. With model.safetensors.index.json the index says which shards
 * count; without one, all *.safetensors of the folder that are no adapter do. checkpoint is zeroed by the caller and
 * released by tare_checkpoint_release() also after a failure. Rules and errors: docs/bad-input.md, P1, P2, P4, P5,
 * P8 to P11, P14 and P15.
 */
enum tare_code tare_checkpoint_open(struct tare_checkpoint *checkpoint, const char *path,
                                    const struct tare_options *options, struct tare_error *err);
/* Only find the folder: what a tokenizer or a config reader needs. Reads no weights' headers. */
enum tare_code tare_checkpoint_locate(struct tare_checkpoint *checkpoint, const char *path,
                                      const struct tare_options *options, struct tare_error *err);
void tare_checkpoint_release(struct tare_checkpoint *checkpoint);

/* NULL when there is no such tensor. */
const struct tare_tensor *tare_checkpoint_find(const struct tare_checkpoint *checkpoint, const char *name);

/*
 * The bytes of a small side file (config.json, tokenizer.json ...), NUL-terminated, owned by the caller: free().
 * TARE_E_ABSENT when it is not there, TARE_E_FORMAT beyond `most` bytes, TARE_E_ARGUMENT when name is no plain file
 * name. Only regular files are opened; links are followed. For tare_checkpoint_has() a link that leads nowhere counts.
 */
enum tare_code tare_checkpoint_read(const struct tare_checkpoint *checkpoint, const char *name, uint64_t most,
                                    char **data, size_t *size, struct tare_error *err);
bool tare_checkpoint_has(const struct tare_checkpoint *checkpoint, const char *name);

/* Open one of the files by its name, to read ranges of it. name is borrowed. TARE_E_ABSENT: it is not there. */
enum tare_code tare_checkpoint_bytes(const struct tare_checkpoint *checkpoint, const char *name,
                                     struct tare_bytes *bytes, struct tare_error *err);

/* ---- the bytes of tensors (data.c) ---- */

/*
 * Where a file is mapped or in memory, its bytes are there. Where it is not (checkpoint.windowed), they must be held
 * before they are read, and tare_holds_*() are the way to do that; with a mapped file these do nothing. Addresses lie
 * where the file has them: not aligned to the dtype where the length of the header is odd. All of it: any thread.
 */

/* The address of a tensor, which stays the same; maps its file when it is the first asked for. */
enum tare_code tare_tensor_address(struct tare_checkpoint *checkpoint, const struct tare_tensor *tensor,
                                   const void **data, struct tare_error *err);
/* The bytes of a tensor, without a hold and as long as the checkpoint lives: read whole into memory when the file is
 * not mapped. For what is small, or used for long. */
enum tare_code tare_tensor_data(struct tare_checkpoint *checkpoint, const struct tare_tensor *tensor, const void **data,
                                struct tare_error *err);
/* n bytes of a tensor from its byte `at` on, into the caller's memory: for a few of them. */
enum tare_code tare_tensor_read(struct tare_checkpoint *checkpoint, const struct tare_tensor *tensor, uint64_t at,
                                size_t n, void *to, struct tare_error *err);
/* Its bytes are not needed for now (tare_mapping_give_back()): what was given stays valid. */
void tare_tensor_give_back(struct tare_checkpoint *checkpoint, const struct tare_tensor *tensor);

/* Ranges that are held. Zero-initialise; one thread at a time. */
struct tare_held {
    struct tare_window *window;
    uint64_t begin, end;
};
struct tare_holds {
    struct tare_held *list; /* heap */
    size_t n, room;
};
/* Hold bytes [begin, end) of a tensor, counted from its start, until tare_holds_let_go(). After a failure what was held
 * before still is. */
enum tare_code tare_holds_add(struct tare_holds *holds, struct tare_checkpoint *checkpoint,
                              const struct tare_tensor *tensor, uint64_t begin, uint64_t end, struct tare_error *err);
void tare_holds_let_go(struct tare_holds *holds);  /* of all of them; room for the next ones stays */
void tare_holds_release(struct tare_holds *holds); /* of all of them, and of the list */

/* With a host, whose bytes are slow to come: keep what was read of the largest tensor (most 2 GiB), so that it can be
 * gone over twice; false: no longer. */
void tare_checkpoint_keep(struct tare_checkpoint *checkpoint, bool largest);

/* Map the file, or open a window on it: the one place that decides. */
enum tare_code tare_checkpoint_see(struct tare_checkpoint *checkpoint, struct tare_file *file, struct tare_error *err);
void tare_checkpoint_close(struct tare_checkpoint *checkpoint); /* mappings, windows and copies; before the arena */

/* Product of a shape, or -1 when it does not fit int64_t. */
int64_t tare_shape_count(int rank, const int64_t *shape);

#endif
