/* SPDX-License-Identifier: MIT
 * save.h - what the files of save/ share: the formats, the layout of a folder, and the folder while it is being
 * written.
 *
 * convert.c is the list of steps. layout.c lays out tensors, shards and tasks, asking the format what each becomes;
 * write_safetensors.c makes the shards with their headers; execute.c runs the tasks, each a tile of one tensor, by the
 * format's own function or dense_tile.c; write_config.c and side_files.c write the rest; commit.c makes the folder
 * appear at once or not at all. One format is one file (NAME_format.c) and one line in formats.def.
 */
#ifndef TARE_SAVE_SAVE_H
#define TARE_SAVE_SAVE_H

#include <pthread.h>

#include "base/pool.h"
#include "base/text.h"
#include "plan/plan.h"

/* What may stand beside the output while it is made: the file of journal.c, and that of quantize/calibrate. */
#define TARE_JOURNAL "journal"
#define TARE_CALIBRATION "calibration"

/* The largest number of axes that a parameter has. */
#define TARE_SAVE_AXES 8

/* Whether the source's bytes can be computed again from what was written. */
enum tare_way {
    TARE_WAY_EXACT,
    TARE_WAY_ROUNDED, /* the codes can; some of the floats were rounded */
    TARE_WAY_ONE      /* they cannot: values were computed, or codes became floats */
};

/* Counts the numbers that were rounded when they were stored. */
struct tare_tally {
    uint64_t rounded;
    uint64_t lost; /* the rounded numbers that the way back cannot restore */
    double most;   /* the largest difference |exact - stored| */
};
static inline void tare_tally_add(struct tare_tally *tally, double exact, double stored, bool lost)
{
    const double difference = exact < stored ? stored - exact : exact - stored;
    if (!(difference > 0)) /* they are equal, or one is NaN, which stays NaN */
        return;
    tally->rounded++;
    tally->lost += lost;
    if (difference > tally->most)
        tally->most = difference;
}

static inline void tare_tally_join(struct tare_tally *all, const struct tare_tally *more)
{
    all->rounded += more->rounded;
    all->lost += more->lost;
    all->most = more->most > all->most ? more->most : all->most;
}

/* One tensor of the folder. */
struct tare_saved {
    const char *name;
    enum tare_dtype dtype;
    int rank;
    const int64_t *shape;
    uint64_t size;   /* bytes */
    size_t shard;    /* index in layout.shards */
    uint64_t offset; /* from the start of the file */
    size_t job;      /* index in layout.jobs, and which of its tensors */
    enum tare_part part;
};

/* What a job becomes in the files of a format. */
struct tare_target {
    /* Weight, scales, and what else the format has for packed modules; else one dense tensor. */
    bool packed;
    /* MLX's mode of a packed one. */
    enum tare_mlx_mode mode;
    /* MLX's nvfp4: a global_scale stands over the scales. */
    bool global;
    /* Of the dense tensor, or of the scales and biases of affine. */
    enum tare_dtype dtype;
    int bits;
    /* Of the target: scales are repeated when it is smaller than the source's. */
    int64_t group_size;
    /* Why the format cannot hold it, or NULL; converting then fails with this sentence. */
    const char *refusal;
    /* Why a packed source becomes dense, or NULL. */
    const char *because;
};

struct tare_shard {
    const char *name; /* "model-00001-of-00002.safetensors" */
    uint64_t size;    /* bytes of the whole file */
    char *header;     /* owned; begins with its own length in 8 bytes */
    size_t header_size;
    int fd; /* -1: closed */
    /* One thread writes to a file at a time. The kernel ensures this too, but its waiting threads spin. */
    pthread_mutex_t lock;
};

/*
 * One parameter or module to be made: its recipe laid flat, and cut into tasks. Each format fills in target for itself;
 * in all of them `packed` means that the format's own tile() makes the bytes, and bits, group_size and mode are those
 * that config.json will have.
 */
struct tare_job {
    const char *name;                       /* of the parameter, or of the module's logical tensor */
    const struct tare_parameter *parameter; /* NULL in the view by source module */
    const struct tare_module *module;       /* NULL in the view by parameter */
    enum tare_kind kind;                    /* of the parameter that the module is used for; PLAIN: of none */
    struct tare_target target;
    struct tare_flat flat;
    const void *(*parts)[TARE_PARTS];     /* the bytes of each piece's module */
    const float **norms;                  /* of each piece, or NULL (packing/value.h) */
    struct tare_saved *saved[TARE_PARTS]; /* its tensors, by their role; dense: TARE_PART_WEIGHT only */
    float *globals;                       /* nvfp4's global scales: one for all rows below the same leading indices */
    bool turned;                          /* struct tare_source */
    enum tare_way way;                    /* the best that the format can promise; ROUNDED: a number may get lost */
    bool exact;                           /* mlx: biases are computed in target.dtype, not in that of the scales */
    bool symmetric;                       /* every zero is 2^(bits - 1), and the format leaves them out */
    int64_t half; /* gguf: how many rows half a head has, when rows change places (gguf_tile.c); 0: they do not */
    int rank;     /* of flat; 1 for a single number, 2 for packed modules */
    int64_t shape[TARE_SAVE_AXES];
    int axis;        /* a tile is a range of this axis, at one index of all axes before it */
    int64_t step;    /* length of the range */
    int64_t leading; /* product of the axes before `axis` */
    int64_t tiles;   /* tiles for each of these indices */
    size_t first_task;
};

/* The form that most packed jobs have; config.json lists the others as exceptions. bits is 0 when none is packed. */
struct tare_form {
    int bits;
    int64_t group_size;
    enum tare_mlx_mode mode;
    bool symmetric;
};

struct tare_layout {
    const struct tare_save_format *format;
    struct tare_checkpoint *checkpoint; /* that the pieces of jobs lie in */
    struct tare_arena arena;            /* owns names, shapes, recipes laid flat */
    struct tare_saved *saved;           /* heap; by name */
    size_t n_saved, saved_room;
    struct tare_shard *shards; /* heap */
    size_t n_shards, shards_room;
    struct tare_job *jobs; /* heap */
    size_t n_jobs, jobs_room, n_tasks;
    uint64_t bytes;      /* of all tensors */
    uint64_t parameters; /* logical elements */
    struct tare_form usual;
    void *own;                  /* the format's, from its begin() to its release() */
    struct tare_folder *folder; /* where it will be written; NULL: nowhere */
    /* Set by the format's begin() where floats are quantized: "affine, 4 bits, group size 64", which the card, tare.json
     * and the identity of the output have; NULL: nothing is quantized. In the arena. */
    const char *rounding;
};

struct tare_box;
struct tare_worker;
struct tare_integer_limits;

typedef enum tare_code tare_tile_fn(const struct tare_layout *layout, const struct tare_job *job,
                                    const struct tare_box *box, struct tare_worker *worker, uint64_t *bytes,
                                    struct tare_error *err);

/* A format of output. */
struct tare_save_format {
    const char *name;     /* its word for --to */
    enum tare_view view;  /* whose names the folder has (docs/tour.md) */
    const char *metadata; /* "format" in the header of a shard: for which library names and layout are */
    const char *library;  /* of the model card */
    const char *usage;    /* of the model card: shell lines, %s is the folder's name */
    const char *file;     /* MAY: all is in one file of this name, and the folder holds nothing else */
    /* MAY: stage 7 of a plan asks what would be worth knowing before anything is written; it becomes findings. */
    enum tare_code (*foresee)(struct tare_model *model, struct tare_error *err);
    /* MAY: before all jobs. What the format has no form for is refused here. release() is called also after a
     * failure. */
    enum tare_code (*begin)(struct tare_layout *layout, struct tare_model *model,
                            const struct tare_convert_options *options, struct tare_error *err);
    void (*release)(struct tare_layout *layout);
    /* MAY: the header of the shard that holds the n tensors of `order`, instead of that of safetensors: fills
     * shard->header, header_size and size, and every tensor's offset. */
    enum tare_code (*header)(struct tare_layout *layout, struct tare_shard *shard, struct tare_saved *const *order,
                             size_t n, struct tare_error *err);
    /*
     * MUST: what a job becomes. Sets target and, by tare_layout_add(), its tensors; then tare_job_cut() or
     * tare_job_cut_rows(). What the format cannot hold is refused here: TARE_E_TARGET, and the sentence says why.
     */
    enum tare_code (*lay_out)(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                              const struct tare_convert_options *options, struct tare_error *err);
    /* MAY: after all jobs, layout->usual is known: refuse what cannot stand beside the others. */
    enum tare_code (*settle)(const struct tare_layout *layout, struct tare_error *err);
    /* MUST, where lay_out() makes packed jobs: the rows of one that lie in the box; adds the bytes written to
     * *bytes. */
    tare_tile_fn *tile;
    /* MAY: what modules of that many bits must be, of a format of integers (integer_rows.h). */
    struct tare_integer_limits (*limits)(int bits);
    /* MUST, where `file` is NULL: the format's keys into a copy of the source's config, without its quantization.
     * False: no memory. */
    bool (*config)(json_t *config, const struct tare_layout *layout, const struct tare_model *model);
};
#define TARE_USAGE_TRANSFORMERS                                                                                        \
    "pip install transformers torch\npython -c \"from transformers import AutoModelForCausalLM as m; "                 \
    "m.from_pretrained('./%s')\""
#define FORMAT(name) extern const struct tare_save_format tare_format_##name;
#include "save/formats.def"
#undef FORMAT

/* Format number k; NULL past the end. */
const struct tare_save_format *tare_format_at(size_t k);
/* That of a word for --to, or NULL. */
const struct tare_save_format *tare_format_find(const char *name);

/* tare_convert() without its reading of options->to: a plan into the files of a format, which need not be one of those
 * that formats.def lists. The options are whole ones of this library. */
enum tare_code tare_save(struct tare_model *model, const char *folder, const struct tare_save_format *format,
                         const struct tare_convert_options *options, struct tare_error *err);

/* Stage 6 of a plan, target: every format is asked what it foresees for the model. */
enum tare_code tare_target_foresee(struct tare_model *model, struct tare_error *err);

/* From a plan that loads: what the folder holds. layout is zeroed but for its format; tare_layout_release() also after
 * a failure. */
enum tare_code tare_layout_make(struct tare_layout *layout, struct tare_model *model,
                                const struct tare_convert_options *options, struct tare_error *err);
/* The same with one parameter alone, and without shards: jobs[0] is its job, bound to its tensors. */
enum tare_code tare_layout_parameter(struct tare_layout *layout, struct tare_model *model,
                                     const struct tare_parameter *parameter, const struct tare_convert_options *options,
                                     struct tare_error *err);
void tare_layout_release(struct tare_layout *layout);
/*
 * The view by source module: every module that the plan uses, and every one that a rewriting set aside because mlx-lm
 * has no use for it (other readers may): each once, in the order of the files. Not among them: what is redundant. The
 * array is the caller's to free(), also after a failure.
 */
struct tare_source {
    const struct tare_module *module;
    enum tare_kind kind; /* of the parameter that is made of it; PLAIN: of none */
    bool turned;         /* packed, and as floats its last two axes change places (struct tare_turned) */
};
enum tare_code tare_source_modules(const struct tare_model *model, struct tare_source **sources, size_t *n,
                                   struct tare_error *err);
/* "model.layers.0.mlp.up_proj" of "model.layers.0.mlp.up_proj.weight"; the name itself where it has no such end. */
const char *tare_job_path(const struct tare_job *job, struct tare_arena *arena);
/* One more tensor of the last job: its name (NULL: no memory; in the layout's arena), and its shape, of which a copy
 * is made. */
enum tare_code tare_layout_add(struct tare_layout *layout, enum tare_part part, const char *name, enum tare_dtype dtype,
                               int rank, const int64_t *shape, struct tare_error *err);
/* A dense job: one tensor of its own shape in target.dtype, cut. Casting is refused where the dtype is no float. */
enum tare_code tare_layout_add_dense(struct tare_layout *layout, struct tare_job *job, struct tare_error *err);
/* A lay_out() for the view by module: plain ones as they are or in --dtype, packed ones dequantized. */
enum tare_code tare_lay_out_dense(struct tare_layout *layout, struct tare_model *model, struct tare_job *job,
                                  const struct tare_convert_options *options, struct tare_error *err);
/* Cuts a dense job into tiles. */
void tare_job_cut(struct tare_job *job);
/* Cuts a packed job into ranges of its rows; a tile lies at one index of the axes before them. */
void tare_job_cut_rows(struct tare_job *job, int64_t step);
/* dtype of options->dtype, or `kept` where it is NULL. */
enum tare_dtype tare_dtype_wanted(const struct tare_convert_options *options, enum tare_dtype kept);

/* The output while it is being written: a folder beside it, of another name. */
struct tare_folder {
    const char *wanted;     /* as the caller gave it, for errors */
    const char *single;     /* the output is this one of its files, not the folder; NULL: the folder */
    char *name, *temporary; /* heap; in parent */
    char *path;             /* heap; of the folder that becomes the output */
    int parent, hold, fd;   /* -1: none; hold: the temporary folder; fd: the one that path names */
    int lock;               /* of the temporary folder */
    bool keep;              /* leave the temporary folder for a later run */
};

/* Zeroed by the caller. Refuses an output that exists, lies in the input, or whose parent is missing. input may be
 * NULL. What an earlier run left is kept until tare_folder_clear(). One that another process writes just now is
 * refused. */
enum tare_code tare_folder_begin(struct tare_folder *folder, const char *wanted, const char *input,
                                 struct tare_error *err);
/* Creates a file in the folder and sets its bytes aside where the file system can; the caller closes *fd. */
enum tare_code tare_folder_create(struct tare_folder *folder, const char *name, uint64_t size, int *fd,
                                  struct tare_error *err);
/* Removes all files of the folder, and the journal. */
enum tare_code tare_folder_clear(struct tare_folder *folder, struct tare_error *err);
/* Removes the files for which keep() returns false. */
enum tare_code tare_folder_keep_only(struct tare_folder *folder, bool (*keep)(const void *user, const char *name),
                                     const void *user, struct tare_error *err);
/* Names of its files, sorted; tare_folder_list_free() also after a failure. */
enum tare_code tare_folder_list(const struct tare_folder *folder, char ***names, size_t *n, struct tare_error *err);
void tare_folder_list_free(char **names, size_t n);
/* Opens a file that an earlier run left, when it has exactly this size. */
bool tare_folder_reopen(struct tare_folder *folder, const char *name, uint64_t size, int *fd);
/* One of its files, to be read; and its size. */
bool tare_folder_read(const struct tare_folder *folder, const char *name, int *fd);
bool tare_folder_size(const struct tare_folder *folder, const char *name, uint64_t *size);
/* One of the two files beside it: new, or the one that is there; *fd is the caller's, -1: there is none. */
enum tare_code tare_folder_beside(struct tare_folder *folder, const char *name, bool create, int *fd,
                                  struct tare_error *err);
/* Writes all n bytes at the offset, or fails. */
enum tare_code tare_folder_write(int fd, const char *name, const void *data, size_t n, uint64_t offset,
                                 struct tare_error *err);
/* Syncs a file to the disk and closes it; it is closed also after a failure. */
enum tare_code tare_folder_finish(int fd, const char *name, struct tare_error *err);
/* Writes a whole small file, synced and closed. */
enum tare_code tare_folder_put(struct tare_folder *folder, const char *name, const void *data, size_t n,
                               struct tare_error *err);
/* Gives the folder its name, and syncs it and its parent. */
enum tare_code tare_folder_commit(struct tare_folder *folder, struct tare_error *err);
/* Removes what was not committed, unless `keep` is set, and releases the struct. */
void tare_folder_release(struct tare_folder *folder);

/* Headers of the shards and the places of tensors; then the files; tare_shards_finish() syncs and closes. */
enum tare_code tare_shards_place(struct tare_layout *layout, struct tare_error *err);
enum tare_code tare_shards_begin(struct tare_layout *layout, struct tare_folder *folder, struct tare_error *err);
enum tare_code tare_shards_finish(struct tare_layout *layout, struct tare_error *err);
/* Writes n bytes of a tensor, from its byte `at` on. Any thread may call it. */
enum tare_code tare_saved_write(const struct tare_layout *layout, const struct tare_saved *saved, const void *data,
                                size_t n, uint64_t at, struct tare_error *err);
/* Stretches of n bytes that follow one another in data, and lie `stride` bytes apart in the tensor, from `at` on. */
enum tare_code tare_saved_write_strided(const struct tare_layout *layout, const struct tare_saved *saved,
                                        const void *data, size_t n, int64_t count, uint64_t at, uint64_t stride,
                                        struct tare_error *err);
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
    struct tare_holds holds; /* what the tile reads */
    struct tare_tally tally; /* of the tile */
};

void tare_worker_release(struct tare_worker *worker); /* frees its memory, not the struct */

/* A box of a parameter: [low, high) of each axis. */
struct tare_box {
    int64_t low[TARE_SAVE_AXES], high[TARE_SAVE_AXES];
};

/* Hold what a tile of a job reads, in worker->holds; tare_holds_let_go() when it is made. */
enum tare_code tare_tile_hold(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                              struct tare_worker *worker, struct tare_error *err);

/* A tile of rows of a packed module, as floats. */
enum tare_code tare_dequantized_tile(const struct tare_layout *layout, const struct tare_job *job,
                                     const struct tare_box *box, struct tare_worker *worker, uint64_t *bytes,
                                     struct tare_error *err);
/* The values of a job that lie in a box, in a float dtype and without gaps. *made is in worker->tile or in the mapped
 * input, and holds until the next tile; worker->stage and worker->floats are used meanwhile. */
enum tare_code tare_dense_values(const struct tare_job *job, enum tare_dtype dtype, const struct tare_box *box,
                                 struct tare_worker *worker, const void **made, struct tare_error *err);
/* Values of `job`, n of them, cast to F16, BF16 or F32 and counted; an overflow is refused. */
enum tare_code tare_cast_floats(const struct tare_job *job, const char *from, const float *values, int64_t n,
                                enum tare_dtype dtype, void *to, struct tare_tally *tally, struct tare_error *err);

/* n rows of piece `number`'s module from row `from` on become rows of the tile from `first` on. */
typedef enum tare_code tare_run(void *user, size_t number, int64_t from, int64_t first, int64_t n);
/* The part of a packed job's piece that lies in a tile's box, by runs of at most `most` rows that are neighbours in the
 * module. columns: of a row. */
enum tare_code tare_job_runs(const struct tare_job *job, const struct tare_box *box, size_t number, int64_t columns,
                             int64_t most, tare_run *visit, void *user);
/* Run all tasks on the pool; writes into the shards. */
struct tare_account;
enum tare_code tare_layout_execute(const struct tare_layout *layout, struct tare_account *account,
                                   struct tare_pool *pool, const struct tare_convert_options *options,
                                   struct tare_error *err);
tare_tile_fn tare_packed_tile;      /* of a packed parameter in MLX's layout: its rows of weight, scales and biases */
tare_tile_fn tare_dense_tile;       /* of a dense job, of any format */
tare_tile_fn tare_dequantized_tile; /* of a dense job that is a packed module: its rows as floats */
/* Values of `job`, n of them, cast to F16, BF16 or F32 and counted; an overflow is refused. */
enum tare_code tare_cast_floats(const struct tare_job *job, const char *from, const float *values, int64_t n,
                                enum tare_dtype dtype, void *to, struct tare_tally *tally, struct tare_error *err);

/* Run all tasks on the pool; writes into the shards. */
struct tare_account;
enum tare_code tare_layout_execute(const struct tare_layout *layout, struct tare_account *account,
                                   struct tare_pool *pool, const struct tare_convert_options *options,
                                   struct tare_error *err);
/* The rows of a packed job that lie in the box, in MLX's layout, into memory of the caller. */
struct tare_mlx_rows;
enum tare_code tare_packed_rows(const struct tare_job *job, const struct tare_box *box, struct tare_worker *worker,
                                const struct tare_mlx_rows *to, struct tare_error *err);
/* A tile of a packed parameter in MLX's layout: its rows of weight, scales and biases. */
enum tare_code tare_packed_tile(const struct tare_layout *layout, const struct tare_job *job,
                                const struct tare_box *box, struct tare_worker *worker, uint64_t *bytes,
                                struct tare_error *err);
/* A tile of a dense job, of any format. */
enum tare_code tare_dense_tile(const struct tare_layout *layout, const struct tare_job *job, const struct tare_box *box,
                               struct tare_worker *worker, uint64_t *bytes, struct tare_error *err);

/* config.json, written last of all, dtype is that asked for or NULL; and the model card. */
enum tare_code tare_config_write(const struct tare_layout *layout, const struct tare_model *model, const char *dtype,
                                 struct tare_folder *folder, struct tare_error *err);
enum tare_code tare_card_write(const struct tare_layout *layout, const struct tare_model *model,
                               struct tare_folder *folder, struct tare_error *err);
/* The last part of a path, for people: never the whole path of somebody's disk. */
const char *tare_path_name(const char *path, char room[128]);

/* Tokenizer, chat template and their kin, copied as they are. */
enum tare_code tare_side_files_copy(const struct tare_model *model, struct tare_folder *folder, struct tare_error *err);

#endif
