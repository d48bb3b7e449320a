/* SPDX-License-Identifier: MIT
 * calibrate.h - codes that are chosen by what the model computes on a text: what the files of this room share.
 *
 * calibrate.c takes all tokens of the text through one layer after another, by the engine's own blocks
 * (walk.c); each layer is quantized on what comes out of the quantized layers before it, and what was found is
 * kept in a file (outcome.c), from which a killed run continues. gram.c and factor.c are the linear algebra,
 * gptq_solve.c is GPTQ (Frantar et al. 2022), awq_fold.c and awq_clip.c are AWQ (Lin et al. 2023).
 *
 * Each number of the result is computed by one task in one order, so it does not depend on the number of threads.
 */
#ifndef TARE_QUANTIZE_CALIBRATE_CALIBRATE_H
#define TARE_QUANTIZE_CALIBRATE_CALIBRATE_H

#include "base/pool.h"
#include "blocks/decoder.h"
#include "blocks/pass.h"
#include "quantize/integer_out.h"
#include "run/session/runner.h"

/* ---- what was found ---------------------------------------------------------------------------------------------- */

/* Of one parameter; nothing of it: all are NULL. */
struct tare_outcome {
    /* A matrix (rows, columns): a stream of bits a row, padded to whole bytes of 8 codes. */
    const unsigned char *codes;
    const float *scale; /* (rows, groups), each a number of the scales' dtype */
    const uint8_t *zero;
    const int32_t *g_idx; /* (columns); NULL: groups are runs of columns */
    int64_t groups;
    int64_t layer; /* that found it */
    int bits;
    /* A vector in the place of the stored one: numbers of its dtype. */
    const float *vector;
};

struct tare_calibration {
    struct tare_outcome *found; /* by parameter index; heap */
    size_t n;
    int64_t layers; /* how many are there, from the first */
    int fd;         /* of the file; -1: none */
    uint64_t end;   /* of what is whole in it */
    /* A part of the file for each layer, mapped: memory that the system may take back. */
    struct tare_outcome_part {
        void *bytes;
        size_t size;
    } * parts; /* heap */
    size_t n_parts, parts_room;
};

/* Bytes of the codes of a row. */
static inline size_t tare_outcome_row(int64_t columns, int bits)
{
    return (size_t)((columns + 7) / 8 * bits);
}
/* A row of codes, a byte each, into one of these, and back. */
void tare_outcome_pack(const uint8_t *code, int bits, int64_t columns, unsigned char *to);
void tare_outcome_unpack(const unsigned char *from, int bits, int64_t columns, uint8_t *code);
/* What the record of a layer is made of: one of these, then its arrays in the order of struct tare_outcome. */
struct tare_outcome_head {
    uint32_t parameter;
    uint32_t kind;                 /* enum tare_outcome_kind */
    int64_t rows, columns, groups; /* of a vector: 1, its length, 0 */
    int64_t bits;                  /* of a code */
};
enum tare_outcome_kind { TARE_OUTCOME_MATRIX, TARE_OUTCOME_ORDERED /* with g_idx */, TARE_OUTCOME_VECTOR };
/* The record of one layer, in memory; its entries are filled one after another, then it is kept. Zeroed by the caller. */
struct tare_outcome_record {
    unsigned char *bytes; /* heap */
    size_t size, room;
};
/* The arrays of an entry that is to be filled. */
struct tare_outcome_arrays {
    unsigned char *codes;
    float *scale, *vector;
    uint8_t *zero;
    int32_t *g_idx;
};
/* Room for one more entry; its arrays stay where they are until the next call. False: no memory. */
bool tare_outcome_add(struct tare_outcome_record *record, const struct tare_outcome_head *head,
                      struct tare_outcome_arrays *arrays);

/* Opens the file beside the output, and takes what an earlier run with the same identity left there. */
enum tare_code tare_outcome_open(struct tare_calibration *calibration, struct tare_folder *folder,
                                 const struct tare_model *model, const unsigned char identity[16],
                                 struct tare_error *err);
void tare_outcome_close(struct tare_calibration *calibration);
/* One more layer is done: its record is written, and becomes a part of what was found. */
enum tare_code tare_outcome_keep(struct tare_calibration *calibration, const struct tare_outcome_record *record,
                                 const struct tare_model *model, struct tare_error *err);

/* ---- the text on its way ----------------------------------------------------------------------------------------- */

/* All tokens of the text, before one part of one layer. */
struct tare_walk {
    const struct tare_decoder *decoder;
    struct tare_runner *runner;
    struct tare_loaded loaded; /* the model's, with matrices and vectors of our own in the layer at work */
    const struct tare_loaded *stored;
    const int32_t *ids;
    int64_t sequences, length;  /* of ids */
    int64_t together;           /* sequences of a pass; 1 where one takes several passes */
    int64_t sample;             /* sequences on which AWQ compares what blocks give */
    float *x;                   /* (sequences, length, dim) */
    float *y, *other;           /* (sample, length, dim): what a part gives */
    struct tare_state **states; /* (together, 2 n_layers) */
    struct tare_span *spans;    /* (together) */
    uint64_t passes;            /* how many were run */
    /* Who is asked whether to go on. */
    tare_progress_fn progress;
    void *user;
    uint64_t done, all;
};

enum tare_code tare_walk_open(struct tare_walk *walk, struct tare_model *model,
                              const struct tare_quantize_options *options, int64_t length, bool compares,
                              struct tare_error *err);
void tare_walk_close(struct tare_walk *walk);
/* States for a layer, in the place of those of the one before. */
enum tare_code tare_walk_layer(struct tare_walk *walk, int64_t layer, struct tare_error *err);
/*
 * A part of a layer on the first n sequences. What comes out goes to `to`, (n, length, dim), which may be walk->x, or
 * nowhere where it is NULL. observer may be NULL.
 */
enum tare_code tare_walk_part(struct tare_walk *walk, int64_t layer, int part, int64_t n,
                              const struct tare_observer *observer, float *to, struct tare_error *err);

/* ---- the linears of a part of a layer ---------------------------------------------------------------------------- */

/* A linear that is quantized, with floats of its own while its layer is at work. */
struct tare_subject {
    const struct tare_linear *linear;
    const struct tare_parameter *parameter;
    struct tare_integer_form form;
    enum tare_dtype dtype; /* of its scales */
    float *w;              /* (out, in); heap. The walk multiplies by it */
    size_t set;            /* of those that read what it reads */
};

/* Linears that read one input. */
struct tare_set {
    int64_t in;
    uint64_t hash; /* of the input in the first pass */
    struct tare_gram *gram;
};

enum { TARE_SUBJECTS = 64 }; /* of a part, at most; the rest is rounded to nearest */
struct tare_part_work {
    struct tare_walk *walk;
    int64_t layer;
    int part;
    struct tare_subject subjects[TARE_SUBJECTS];
    size_t n;
    struct tare_set sets[TARE_SUBJECTS];
    size_t n_sets;
    struct tare_outcome_record *record; /* of the layer */
    float *vectors[TARE_SUBJECTS];      /* heap: in the place of norms and biases */
    size_t n_vectors;
};

/* Finds the linears of a part by what asks for products in a pass, and loads them. */
enum tare_code tare_part_find(struct tare_part_work *work, struct tare_quantizing *quantizing,
                              const struct tare_model *model, struct tare_error *err);
/* Gram matrices of the sets [first, first + n), in one walk. */
enum tare_code tare_part_observe(struct tare_part_work *work, size_t first, size_t n, struct tare_error *err);
/* The walk multiplies by a matrix (rows, in) of floats in the place of a parameter, or has a vector in its place. */
void tare_walk_matrix(struct tare_walk *walk, const struct tare_parameter *parameter, const float *w);
void tare_walk_vector(struct tare_walk *walk, const struct tare_parameter *parameter, float *vector);
/* Frees what a part holds, and gives the walk the stored weights back. */
void tare_part_release(struct tare_part_work *work);
/* Room for the codes of a subject in the layer's record. */
enum tare_code tare_part_room(const struct tare_part_work *work, const struct tare_subject *subject, bool ordered,
                              struct tare_outcome_arrays *arrays, struct tare_error *err);

/* ---- linear algebra ---------------------------------------------------------------------------------------------- */

/* sum_t x[t] x[t]^T of the inputs of a linear, and the mean of |x[t]|. */
struct tare_gram {
    int64_t n;    /* columns */
    float *sum;   /* (n, n); its upper half is made by tare_gram_finish() */
    double *mean; /* (n) */
    int64_t tokens;
    float *turned; /* (n, TARE_GRAM_TOKENS): columns of tokens that wait */
    int64_t waiting;
};
enum { TARE_GRAM_TOKENS = 1024 };
bool tare_gram_open(struct tare_gram **gram, int64_t n);
void tare_gram_free(struct tare_gram *gram);
void tare_gram_add(struct tare_gram *gram, const struct tare_kernels *kernels, struct tare_pool *pool, const float *x,
                   int64_t ldx, int64_t tokens);
void tare_gram_finish(struct tare_gram *gram, const struct tare_kernels *kernels, struct tare_pool *pool);
/* The sum over rows of d G d^T, d (rows, n). room: (rows) doubles. */
double tare_gram_error(const struct tare_gram *gram, const float *d, int64_t rows, const struct tare_kernels *kernels,
                       struct tare_pool *pool, double *room);

/*
 * The upper U with U^T U = A^-1, transposed: in the place of a symmetric positive definite A (n, n), row j has U[k][j] for
 * k <= j. False: A is not positive definite to the precision of floats, or *memory is false; A is lost.
 */
bool tare_factor_inverse(float *a, int64_t n, const struct tare_kernels *kernels, struct tare_pool *pool, bool *memory);

/* ---- GPTQ -------------------------------------------------------------------------------------------------------- */

struct tare_gptq_job {
    const struct tare_integer_form *form;
    enum tare_dtype dtype; /* of scales */
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
    bool *dead;     /* (n), of the factor's columns: what goes in is zero always */
};
/* tare_gptq_release() also after a failure. name: of a linear, for errors. */
enum tare_code tare_gptq_factor(struct tare_gptq_factor *factor, const struct tare_gptq_job *job, const char *name,
                                struct tare_error *err);
void tare_gptq_release(struct tare_gptq_factor *factor);
/* Codes of w (rows, n), which becomes what they stand for. */
enum tare_code tare_gptq_solve(const struct tare_gptq_job *job, const struct tare_gptq_factor *factor, float *w,
                               int64_t rows, const struct tare_outcome_arrays *to, struct tare_error *err);

/* ---- AWQ --------------------------------------------------------------------------------------------------------- */

/* Folds numbers into what comes before linears, where the block says that this is possible and where it lowers the
 * error. Vectors that it changes become a part of the record. */
enum tare_code tare_awq_fold(struct tare_part_work *work, const struct tare_integer_asked *asked,
                             struct tare_error *err);
/* Codes of a subject: rounded to nearest between bounds, of which each group has those of the least error. Its w
 * becomes what they stand for. */
enum tare_code tare_awq_clip(struct tare_part_work *work, struct tare_subject *subject,
                             const struct tare_outcome_arrays *to, struct tare_error *err);

/* ---- all of it --------------------------------------------------------------------------------------------------- */

/* Fills asked->calibration; sum receives 32 digits that stand for the text. */
enum tare_code tare_calibrate(struct tare_quantizing *quantizing, struct tare_layout *layout, struct tare_model *model,
                              char sum[33], struct tare_error *err);
void tare_calibration_free(struct tare_calibration *calibration);

#endif
