/* SPDX-License-Identifier: MIT
 * save.h - what the files of save/ share: the layout of an MLX folder, and the folder while it is being written.
 *
 * convert.c is the list of steps. mlx_layout.c lays out tensors, shards and tasks; write_safetensors.c makes the shards
 * with their headers; execute.c runs the tasks, each a tile of one parameter, by packed_tile.c and dense_tile.c;
 * write_config.c and side_files.c write the rest; commit.c makes the folder appear at once or not at all.
 */
#ifndef TARE_SAVE_SAVE_H
#define TARE_SAVE_SAVE_H

#include <pthread.h>

#include "base/pool.h"
#include "base/text.h"
#include "plan/plan.h"

/* Parameters are declared, by no more axes than this. */
#define TARE_SAVE_AXES 8

/* One tensor of the folder. */
struct tare_saved {
    const char *name;
    enum tare_dtype dtype;
    int rank;
    const int64_t *shape;
    uint64_t size;   /* bytes */
    size_t shard;    /* index in layout.shards */
    uint64_t offset; /* from the start of the file */
};

struct tare_shard {
    const char *name; /* "model-00001-of-00002.safetensors" */
    uint64_t size;    /* of the file */
    char *header;     /* owned; the length before it included */
    size_t header_size;
    int fd;               /* -1: closed */
    pthread_mutex_t lock; /* one writer a file: the system has it so, but lets the others spin instead of sleep */
};

/* One parameter to be made: its recipe laid flat, and cut into tasks. */
struct tare_job {
    const struct tare_parameter *parameter;
    struct tare_target target;
    struct tare_flat flat;
    const void *(*parts)[TARE_PARTS];            /* the bytes of each piece's module */
    const float **norms;                         /* of each piece, or NULL (packing/value.h) */
    struct tare_saved *weight, *scales, *biases; /* dense: weight only; biases: affine only */
    struct tare_saved *global;                   /* nvfp4 with a global_scale, or NULL */
    float *globals;                              /* its numbers: one for all rows below the same leading indices */
    int rank;                                    /* of flat, a number counts as one axis */
    int64_t shape[TARE_SAVE_AXES];
    int axis;               /* tiles are ranges of this axis: all axes before it are one index each */
    int64_t step;           /* of the range */
    int64_t leading, tiles; /* indices before axis; tiles an index */
    size_t first_task;
};

struct tare_layout {
    struct tare_arena arena;  /* owns names, shapes, recipes laid flat */
    struct tare_saved *saved; /* heap; by name */
    size_t n_saved, saved_room;
    struct tare_shard *shards; /* heap */
    size_t n_shards, shards_room;
    struct tare_job *jobs; /* heap */
    size_t n_jobs, jobs_room, n_tasks;
    uint64_t bytes;      /* of all tensors */
    uint64_t parameters; /* logical elements */
    int bits;            /* of most packed modules, 0: none is packed */
    int64_t group_size;
    enum tare_mlx_mode mode;
};

/* From a plan that loads: what the folder holds. layout is zeroed; tare_layout_release() also after a failure. */
enum tare_code tare_layout_make(struct tare_layout *layout, struct tare_model *model,
                                const struct tare_convert_options *options, struct tare_error *err);
void tare_layout_release(struct tare_layout *layout);
/* "model.layers.0.mlp.up_proj" of the weight's name. */
const char *tare_job_path(const struct tare_job *job, struct tare_arena *arena);

/* The output while it is being written: a folder beside it, of another name. */
struct tare_folder {
    const char *wanted;     /* as the caller gave it, for errors */
    char *name, *temporary; /* heap; in parent */
    int parent, fd;         /* -1: none */
};

/* Zeroed by the caller. Refuses an output that exists, lies in the input, or whose parent is missing. input may be
 * NULL. */
enum tare_code tare_folder_begin(struct tare_folder *folder, const char *wanted, const char *input,
                                 struct tare_error *err);
/* A new file in it, of so many bytes already set aside where the file system can; *fd is the caller's. */
enum tare_code tare_folder_create(struct tare_folder *folder, const char *name, uint64_t size, int *fd,
                                  struct tare_error *err);
/* All n bytes at offset. */
enum tare_code tare_folder_write(int fd, const char *name, const void *data, size_t n, uint64_t offset,
                                 struct tare_error *err);
/* Bring a file to the disk and close it; closes also after a failure. */
enum tare_code tare_folder_finish(int fd, const char *name, struct tare_error *err);
/* A whole small file, finished. */
enum tare_code tare_folder_put(struct tare_folder *folder, const char *name, const void *data, size_t n,
                               struct tare_error *err);
/* Give the folder its name; syncs it and its parent. */
enum tare_code tare_folder_commit(struct tare_folder *folder, struct tare_error *err);
/* Remove what was not committed, and forget all. */
void tare_folder_release(struct tare_folder *folder);

/* Headers of the shards, and the files with them; tare_shards_finish() syncs and closes. */
enum tare_code tare_shards_begin(struct tare_layout *layout, struct tare_folder *folder, struct tare_error *err);
enum tare_code tare_shards_finish(struct tare_layout *layout, struct tare_error *err);
/* n bytes of a tensor, from its byte `at` on; from any thread. */
enum tare_code tare_saved_write(const struct tare_layout *layout, const struct tare_saved *saved, const void *data,
                                size_t n, uint64_t at, struct tare_error *err);
/* model.safetensors.index.json */
enum tare_code tare_index_write(const struct tare_layout *layout, struct tare_folder *folder, struct tare_error *err);

/* A worker's own memory: grows to the largest tile. */
struct tare_buffer {
    void *data;
    size_t room;
};
void *tare_buffer_room(struct tare_buffer *buffer, size_t size); /* NULL: no memory; what was there is lost */

struct tare_worker {
    struct tare_buffer tile, scales, biases, stage[3], floats;
    struct tare_arena arena;
};

/* A box of a parameter: [low, high) of each axis. */
struct tare_box {
    int64_t low[TARE_SAVE_AXES], high[TARE_SAVE_AXES];
};

/* Run all tasks on the pool; writes into the shards. */
enum tare_code tare_layout_execute(const struct tare_layout *layout, struct tare_pool *pool,
                                   const struct tare_convert_options *options, struct tare_error *err);
/* One tile of a packed parameter: its rows of weight, scales and biases. Adds the bytes written to *bytes. */
enum tare_code tare_packed_tile(const struct tare_layout *layout, const struct tare_job *job,
                                const struct tare_box *box, struct tare_worker *worker, uint64_t *bytes,
                                struct tare_error *err);
enum tare_code tare_dense_tile(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                               struct tare_worker *worker, uint64_t *bytes, struct tare_error *err);

/* config.json, written last of all; and the model card. */
enum tare_code tare_config_write(const struct tare_layout *layout, const struct tare_model *model,
                                 struct tare_folder *folder, struct tare_error *err);
enum tare_code tare_card_write(const struct tare_layout *layout, const struct tare_model *model,
                               struct tare_folder *folder, struct tare_error *err);
/* JSON as mlx-lm writes it: indent 4, the outermost object sorted, numbers as short as they can be. */
void tare_config_text(struct tare_text *text, const json_t *config);

/* Tokenizer, chat template and their kin, copied as they are. */
enum tare_code tare_side_files_copy(const struct tare_model *model, struct tare_folder *folder, struct tare_error *err);

#endif
