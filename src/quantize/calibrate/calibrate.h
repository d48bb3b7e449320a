/* SPDX-License-Identifier: MIT
 * calibrate.h - codes that are chosen by what the model computes on a text: what the files of this room share.
 *
 * calibrate.c takes all tokens of the text through one layer after another, by the engine's own blocks
 * (walk.c); each layer is quantized on what comes out of the quantized layers before it, and what was found is
 * kept in a file (found.c), from which a killed run continues. gram.c and factor.c are the linear algebra,
 * gptq_solve.c is GPTQ (Frantar et al. 2022), awq_fold.c and awq_clip.c are AWQ (Lin et al. 2023).
 *
 * Each number of the result is computed by one task in one order, so it does not depend on the number of threads.
 */
#ifndef TARE_QUANTIZE_CALIBRATE_CALIBRATE_H
#define TARE_QUANTIZE_CALIBRATE_CALIBRATE_H

#include "base/pool.h"
#include "blocks/pass.h"
#include "quantize/integer_out.h"
#include "run/session/runner.h"

/* ---- what was found ---------------------------------------------------------------------------------------------- */

/* Of one parameter; nothing of it: all are NULL. */
struct tare_found {
    /* A matrix (rows, columns): a stream of bits a row, padded to whole bytes of 8 codes. */
    const unsigned char *codes;
    const float *scale; /* (rows, groups), each a number of the scales' dtype */
    const uint8_t *zero;
    const int32_t *g_idx; /* (columns); NULL: groups are runs of columns */
    /* A vector in the place of the stored one: numbers of its dtype. */
    const float *vector;
};

struct tare_calibration {
    struct tare_found *found; /* by parameter index; heap */
    size_t n;
    int64_t layers; /* how many are there, from the first */
    int fd;         /* of the file; -1: none */
    uint64_t end;   /* of what is whole in it */
    /* A part of the file for each layer, mapped: memory that the system may take back. */
    struct tare_found_part {
        void *bytes;
        size_t size;
    } *parts; /* heap */
    size_t n_parts, parts_room;
};

/* Bytes of the codes of a row. */
static inline size_t tare_found_row(int64_t columns, int bits)
{
    return (size_t)((columns + 7) / 8 * bits);
}
/* What the record of a layer is made of: one of these, then its arrays in the order of struct tare_found. */
struct tare_found_head {
    uint32_t parameter;
    uint32_t kind; /* enum tare_found_kind */
    int64_t rows, columns, groups; /* of a vector: 1, its length, 0 */
};
enum tare_found_kind { TARE_FOUND_MATRIX, TARE_FOUND_ORDERED /* with g_idx */, TARE_FOUND_VECTOR };
/* The record of one layer, in memory; its entries are filled one after another, then it is kept. Zeroed by the caller. */
struct tare_found_record {
    unsigned char *bytes; /* heap */
    size_t size, room;
};
/* The arrays of an entry that is to be filled. */
struct tare_found_arrays {
    unsigned char *codes;
    float *scale, *vector;
    uint8_t *zero;
    int32_t *g_idx;
};
/* Room for one more entry; its arrays stay where they are until the next call. False: no memory. */
bool tare_found_add(struct tare_found_record *record, const struct tare_found_head *head, int bits,
                    struct tare_found_arrays *arrays);

/* Opens the file beside the output, and takes what an earlier run with the same identity left there. */
enum tare_code tare_found_open(struct tare_calibration *calibration, struct tare_folder *folder,
                               const struct tare_model *model, int bits, const unsigned char identity[16],
                               struct tare_error *err);
void tare_found_close(struct tare_calibration *calibration);
/* One more layer is done: its record is written, and becomes a part of what was found. */
enum tare_code tare_found_keep(struct tare_calibration *calibration, const struct tare_found_record *record,
                               const struct tare_model *model, int bits, struct tare_error *err);

/* ---- the text on its way ----------------------------------------------------------------------------------------- */

struct tare_activations_of;

/* All tokens of the text, before one part of one layer. */
struct tare_walk {
    const struct tare_decoder *decoder;
    struct tare_runner *runner;
    struct tare_loaded loaded; /* the model's, with matrices and vectors of our own in the layer at work */
    struct tare_matrix *matrices;
    float **vectors;
    const int32_t *ids;
    int64_t sequences, length; /* of ids */
    int64_t together;          /* sequences of a pass, 1 where one takes several passes */
    float *x;                  /* (sequences, length, dim) */
    float *y;                  /* (sample, length, dim): what a part gives, for the search */
    struct tare_state **states; /* (together, 2 n_layers) */
    struct tare_observer observer;
};

enum tare_code tare_walk_open(struct tare_walk *walk, struct tare_model *model, const struct tare_integer_out *out,
                              struct tare_error *err);
void tare_walk_close(struct tare_walk *walk);
/* States for a layer, in the place of those of the one before. */
enum tare_code tare_walk_layer(struct tare_walk *walk, int64_t layer, struct tare_error *err);
/*
 * A part of a layer on the first n sequences. to is x for going on, or memory of that many rows for what x would be; or
 * NULL where only the observer (NULL: none) is of interest.
 */
enum tare_code tare_walk_part(struct tare_walk *walk, int64_t layer, int part, int64_t n,
                              const struct tare_observer *observer, float *to, struct tare_error *err);

/* ---- the linears of a part of a layer ---------------------------------------------------------------------------- */

struct tare_gram;

/* A linear that is quantized, with floats of its own while its layer is at work. */
struct tare_subject {
    const struct tare_linear *linear;
    const struct tare_parameter *parameter;
    enum tare_dtype dtype; /* of its scales */
    float *w;              /* (out, in); heap */
    size_t set;            /* which of the inputs it shares */
    bool clips;            /* AWQ may clip it: not queries and keys */
};

enum { TARE_SUBJECTS = 64, TARE_SETS = 32 };
/* Those that read one input. */
struct tare_set {
    int64_t in;
    uint64_t hash; /* of the input in the first pass */
    struct tare_gram *gram;
};

struct tare_part_work {
    int64_t layer;
    int part;
    struct tare_subject subject[TARE_SUBJECTS];
    size_t n;
    struct tare_set set[TARE_SETS];
    size_t n_sets;
};

/* ---- linear algebra ---------------------------------------------------------------------------------------------- */

/* sum_t x[t] x[t]^T of the inputs of a linear, and sum_t |x[t]|. */
struct tare_gram {
    int64_t n;       /* columns */
    float *sum;      /* (n, n), symmetric after tare_gram_finish() */
    double *mean;    /* (n): of |x| */
    int64_t tokens;
    float *turned;   /* (n, TARE_GRAM_TOKENS): columns of tokens that wait */
    int64_t waiting;
};
enum { TARE_GRAM_TOKENS = 1024 };
bool tare_gram_open(struct tare_gram **gram, int64_t n);
void tare_gram_free(struct tare_gram *gram);
void tare_gram_add(struct tare_gram *gram, const struct tare_kernels *kernels, struct tare_pool *pool, const float *x,
                   int64_t ldx, int64_t tokens);
void tare_gram_finish(struct tare_gram *gram, const struct tare_kernels *kernels, struct tare_pool *pool);

/*
 * The upper U with U^T U = A^-1, transposed: (n, n) in the place of a symmetric positive definite A, row j holding U[k][j]
 * for k <= j. False: A is not positive definite to the precision of a float, and what was in it is lost.
 */
bool tare_factor_inverse(float *a, int64_t n, const struct tare_kernels *kernels, struct tare_pool *pool);

/* sum over rows of d G d^T, d (rows, n) */
double tare_gram_error(const struct tare_gram *gram, const float *d, int64_t rows, const struct tare_kernels *kernels,
                       struct tare_pool *pool);

/* ---- GPTQ -------------------------------------------------------------------------------------------------------- */

/* Why a Gram matrix cannot be used, in words; NULL: it can. */
struct tare_gptq_job {
    const struct tare_integer_form *form;
    enum tare_dtype dtype;
    enum tare_act_order order;
    double damp;
    const struct tare_gram *gram;
    const struct tare_kernels *kernels;
    struct tare_pool *pool;
};
/* The factor of a Gram matrix, which linears with one input share. */
struct tare_gptq_factor {
    int64_t n;
    int32_t *place; /* (n): column k of the factor is column place[k] */
    float *u;       /* tare_factor_inverse() */
    bool *dead;     /* (n), by place: columns of x that are all zero */
};
enum tare_code tare_gptq_factor(struct tare_gptq_factor *factor, const struct tare_gptq_job *job, const char *name,
                                struct tare_error *err);
void tare_gptq_release(struct tare_gptq_factor *factor);
/* Codes of w (rows, n), which becomes what they stand for. */
enum tare_code tare_gptq_solve(const struct tare_gptq_job *job, const struct tare_gptq_factor *factor, float *w,
                               int64_t rows, const struct tare_found_arrays *to, struct tare_error *err);

/* Codes of w by rounding to nearest, where `clip` (rows, groups) is not NULL within these bounds; w becomes what they
 * stand for. */
void tare_round_codes(const struct tare_integer_form *form, enum tare_dtype dtype, float *w, int64_t rows, int64_t n,
                      const float *clip, const struct tare_found_arrays *to, struct tare_pool *pool);

/* ---- AWQ --------------------------------------------------------------------------------------------------------- */

/* Folds numbers into what comes before the linears of a part, wherever the block says that this is possible and it lowers
 * the error, and leaves linears, norms and biases so; vectors that changed become a part of the record. */
enum tare_code tare_awq_fold(struct tare_walk *walk, struct tare_part_work *work, const struct tare_integer_out *out,
                             const struct tare_model *model, struct tare_found_record *record, struct tare_error *err);
/* The largest |w| of each group that gives the least error: (rows, groups), infinity where it is not clipped. */
enum tare_code tare_awq_clip(const struct tare_integer_form *form, enum tare_dtype dtype, const struct tare_gram *gram,
                             const float *w, int64_t rows, float *clip, struct tare_pool *pool, struct tare_error *err);

/* ---- all of it --------------------------------------------------------------------------------------------------- */

enum tare_code tare_calibrate(struct tare_calibration **calibration, struct tare_layout *layout,
                              struct tare_model *model, const struct tare_integer_out *out, struct tare_error *err);
void tare_calibration_free(struct tare_calibration *calibration);

#endif
