/* SPDX-License-Identifier: MIT
 * kernels.h - the arithmetic of running, as a struct of pointers: scalar.c fills all of it, each instruction set that
 * the CPU has overwrites what it does better. Everything computes in float32; weights stay as they are stored.
 *
 * A packed weight is w[r][i] = scale[r][g] * code[r][i] + offset[r][g], g = i / group. A zero point z becomes the
 * offset -z * scale: exact for 16-bit scales, and so is the sum, because a product of 11 bits and 8 bits fits the 24 of
 * a float32.
 */
#ifndef TARE_KERNELS_KERNELS_H
#define TARE_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tare_storage {
    TARE_STORE_F32,
    TARE_STORE_F16,
    TARE_STORE_BF16,
    TARE_STORE_E4M3, /* by rows: floats of one byte (base/small_float.h), with scales */
    TARE_STORE_Q4,   /* packed by rows: what cannot be tiled */
    TARE_STORE_Q8,
    TARE_STORE_T4, /* packed by tiles of rows: what is run fast */
    TARE_STORE_T8,
    TARE_STORE_T2,
    TARE_STORE_T3,
    TARE_STORE_T5,
    TARE_STORE_T6,
    TARE_STORES
};

/*
 * A matrix (rows, in). Stored by rows, these lie `stride` bytes apart, and data need not be aligned.
 *
 *   Q4  blocks of 128 columns in 64 bytes, which are 16 words of 32 bits: bits 4k .. 4k + 3 of word l hold column
 *       16k + l of the block. So one shift of a register of 16 words brings 16 neighbouring columns to the lowest bits.
 *
 *   Q8  one byte a column
 *
 *   E4M3  one byte a column, w = scale * value. Groups are multiples of 16 columns, or all of them. A group with a
 *         NaN among its weights has the scale NaN.
 *
 * By tiles (kernels/tiles.h): 16 rows together, `stride` bytes a tile, aligned to 64 bytes. Everything of a tile lies
 * in the order in which it is used, so that a product reads one stream.
 */
struct tare_matrix {
    enum tare_storage storage;
    int64_t rows, in;
    const unsigned char *data;
    size_t stride;
    const float *scale, *offset; /* (rows, groups); NULL unless Q4, Q8, E4M3 (which has no offset) */
    int64_t group, groups;
    /* Tiles only: how scales and offsets are stored. */
    enum { TARE_SCALES_F32, TARE_SCALES_F16, TARE_SCALES_BF16 } scales;
    /* Tiles only: an offset is a zero point z, and w = scale * (code - z); otherwise w = scale * code + offset. */
    bool zeros;
    /* T4 only: code c stands for table[c], one of 16 bytes, each below 32 unless wide. NULL: it stands for itself. */
    const uint8_t *table;
    bool wide;
    /* Tiles only: column i is multiplied by x[order[i]]. NULL: by x[i]. */
    const int32_t *order;
    /* Tiles only: groups by the supergroup of `super` columns, whose scale and offset stand in its header; each group
     * has a factor of one byte, and its scale is scale * factor. With zeros, all its groups have the same zero;
     * otherwise a group has a second byte, unsigned, and its offset is offset * byte. 0: no supergroups. */
    int64_t super;
    enum tare_factors { TARE_FACTORS_NONE, TARE_FACTORS_I8, TARE_FACTORS_E4M3, TARE_FACTORS_E8M0 } factors;
    /* T4 with zeros only: the codes stand for any 16 floats, w = scale * levels[c], and 256 * table[c] + low[c] comes
     * close: levels[c] ~ unit * (256 * table[c] + low[c] - zero). tiles() reckons with the tables and leaves out
     * `unit`, which the caller multiplies the sums by; all else reads levels. NULL: table alone is exact. */
    const float *levels;
    const uint8_t *low;
    float unit;
};

#define TARE_Q4_BLOCK 128 /* columns */
#define TARE_Q4_BYTES 64  /* of a block */
#define TARE_PANEL_ROWS 32
#define TARE_PANEL_COLUMNS 1024                                  /* a multiple of TARE_Q4_BLOCK */
#define TARE_PANEL_FLOATS (TARE_PANEL_ROWS * TARE_PANEL_COLUMNS) /* 128 KiB: work memory of one thread, fits L2 */

/*
 * How the rows of an attention cache are stored. Vectors of 16 numbers are read whole, so rows are filled up with
 * zeros.
 *
 *   F32  as they are
 *
 *   F16  numbers beyond the largest float16 become that; filled up to 16
 *
 *   Q8   blocks of 32: a float16 scale = max |x| / 127, then 32 codes of 8 bits; x ~ scale * code
 *
 *   Q4   blocks of 32: float16 scale = (max - min) / 15 and min, then 16 bytes, byte j with code j in its low half and
 *        code 16 + j in its high one; x ~ fma(scale, code, min)
 *
 * A block with a NaN or an infinity is all NaN.
 */
enum tare_cache { TARE_CACHE_F32, TARE_CACHE_F16, TARE_CACHE_Q8, TARE_CACHE_Q4, TARE_CACHES };
#define TARE_CACHE_BLOCK 32
size_t tare_cache_row(enum tare_cache cache, int64_t n); /* bytes of a row of n numbers */

struct tare_rows {
    enum tare_cache cache;
    const unsigned char *data; /* tare_cache_row() bytes apart; need not be aligned, except F32 */
    int64_t n, dim;
};

/*
 * Activations: rows of x, quantized to 8 bits by blocks of 16 columns. x[i] ~ scale[i / 16] * q[i], where scale is
 * max |x| / 127 of the block. sum[b] is scale[b] times the sum of the block's q. A block with a NaN or an infinity has
 * the scale NaN.
 */
/* With 32 the KL divergence of SmolLM2-135M is 1.4 times as large; see docs/performance.md. */
#define TARE_ACTIVATION_BLOCK 16
struct tare_activations {
    int8_t *q;          /* (tokens, in) */
    float *scale, *sum; /* (tokens, in / 16) */
    int64_t in;
};
/* Replaces the sum of each group's first block by the sum of the whole group, which is what tiles() reads. */
void tare_activations_group(const struct tare_activations *x, int64_t token, int64_t group);
/*
 * Activations of 12 bits, for matrices with groups of 32, 64 or 128 columns, one scale a group: x[i] ~ scale * c, where
 * c = 16 * high + low is at most TARE_WIDE_MOST in size and low lies in [-8, 7]. The parts lie in units of 64 bytes: for
 * groups of 32, a unit has the group's high parts, then its low ones; otherwise units of the high parts of 64 columns
 * and of their low parts take turns. The units of the same columns lie together: (in / 32, tokens, 64). Tile registers
 * are read by 16 tokens, so up to TARE_WIDE_PAST bytes past the units. sum is scale times the sum of the group's c. A
 * group with a NaN or an infinity has the scale NaN.
 */
#define TARE_WIDE_MOST 2039
#define TARE_WIDE_PAST 1024
struct tare_wide {
    int8_t *q;
    float *scale, *sum; /* (groups, tokens) */
    int64_t in, tokens;
};
#define TARE_TILE_ROWS 16
#define TARE_TILE_TOKENS 8 /* the most tokens that one call takes */

/* One step of a selective state space (Gu & Dao 2023), for some channels, each with the same number of states:
 *     h[k][i] = decay[k][i] h[k][i] + b[k] x[i]          y[i] = sum_k c[k] h[k][i]
 * With ldd 0 all states of a channel decay alike. The arrays do not overlap. */
struct tare_scan {
    float *h; /* (states, channels), rows ldh apart */
    int64_t ldh;
    const float *decay; /* the same, ldd */
    int64_t ldd;
    const float *x, *b, *c; /* (channels), (states), (states) */
    int64_t states, channels;
    float *y; /* (channels) */
};

/* One step of a delta rule, for some channels: the state decays, and is corrected by the value that it holds for a key
 * (Schlag et al. 2021; gated: Yang et al. 2024; RWKV-7: Peng et al. 2025).
 *     said[i] = sum_k ask[k] from[k][i]
 *     h[k][i] = decay[k] from[k][i] + key[k] x[i] + back[k] said[i]          y[i] = sum_k query[k] h[k][i]
 * h may be the same array as from, and y the same as x; nothing else overlaps. Channels are stored by tiles, whose sums
 * stay in registers while the loop runs over the states. The tile of channels [at, at + n), where n is TARE_DELTA_TILE
 * or what is left of the channels, begins at h + at * states and has the shape (states, n). */
#define TARE_DELTA_TILE 32
struct tare_delta_step {
    float *h;                                      /* by tiles */
    const float *from;                             /* the same */
    const float *ask, *decay, *key, *back, *query; /* (states) */
    const float *x;                                /* (channels) */
    int64_t states, channels;
    float *y; /* (channels) */
};

/* Queries that look at the same rows (rows, dim) in float32. */
struct tare_queries {
    int64_t n, rows, dim;
    float *x;     /* (n, dim): with keys the queries, which are read, with values the sums, which are added to */
    float *score; /* (n, ld), written or read */
    int64_t ld;
};

/* Of sets that multiply tiles of tokens by instructions of their own; all NULL in others. */
struct tare_wide_kernels {
    bool (*takes)(const struct tare_matrix *m); /* does the set multiply m so? Then one token of it too. */
    void (*quantize)(const float *x, const struct tare_matrix *m, const struct tare_wide *to, int64_t token);
    /* As tiles() below, for tokens [first, first + tokens) of x.
     *   work   TARE_PANEL_FLOATS floats */
    void (*tiles)(const struct tare_matrix *m, int64_t tile, int64_t n, const struct tare_wide *x, int64_t first,
                  int64_t tokens, float *y, int64_t ldy, float *work);
};

struct tare_kernels {
    const char *name;
    struct tare_wide_kernels wide;
    bool exact; /* activations stay float32 */
    /* Quantizes one row of n floats (a multiple of 16) into row `token` of to. order is that of struct tare_matrix. */
    void (*quantize)(const float *x, const int32_t *order, int64_t n, const struct tare_activations *to, int64_t token);
    /*
     * y[t * ldy + r] = sum_i w[row][i] * x[first + t][i] for the rows of tiles [tile, tile + n) that the matrix has, r
     * counted from the first of them; tokens is at most TARE_TILE_TOKENS. Sums are integers within a block of columns
     * and float32 between blocks. Each row and token gets the same bits, whatever is computed beside it. Of a group:
     *
     * A set need not know all matrices: it keeps the entry that it found, and hands over to it what it cannot compute.
     *
     *   g = sum over its blocks of scale[b] * (code . q[b]),   v = sum[its first block]
     *   with zeros:      y = y + s * (g - z * v)
     *   without:         y = (y + s * g) + o * v
     *
     * Each sum of a product is a fused multiply-add.
     */
    void (*tiles[TARE_STORES])(const struct tare_matrix *m, int64_t tile, int64_t n, const struct tare_activations *x,
                               int64_t first, int tokens, float *y, int64_t ldy);
    /* The same with float32 x (tokens, ldx), whose columns are in the matrix's order already. */
    void (*tiles_exact[TARE_STORES])(const struct tare_matrix *m, int64_t tile, int64_t n, const float *x, int64_t ldx,
                                     int tokens, float *y, int64_t ldy);
    /* y[r] = sum_i w[row + r][i] * x[i], r in [0, rows) */
    void (*dot[TARE_STORES])(const struct tare_matrix *m, int64_t row, int64_t rows, const float *x, float *y);
    /* dst[i] = w[row][start + i], i in [0, n); start is a multiple of TARE_Q4_BLOCK */
    void (*unpack[TARE_STORES])(const struct tare_matrix *m, int64_t row, int64_t start, int64_t n, float *dst);
    /* y[t * ldy + r] (+)= sum_k w[r * ldw + k] * x[t * ldx + k]; adds when `add` */
    void (*panel)(const float *w, int64_t ldw, int64_t rows, const float *x, int64_t ldx, int64_t tokens, int64_t k,
                  float *y, int64_t ldy, bool add);
    /* Rows of an attention cache. cache_store gives the same bytes in all sets; cache_load writes x (n, dim).
     * cache_scores and cache_mix give the same bits as loading the rows and calling `scores` and `mix` on them. */
    void (*cache_store)(enum tare_cache cache, const float *x, int64_t n, unsigned char *row);
    void (*cache_load)(const struct tare_rows *rows, float *x);
    void (*cache_scores)(const float *q, const struct tare_rows *keys, float scale, float *scores);
    void (*cache_mix)(const float *p, const struct tare_rows *values, float *y);
    /* `scores` and `mix` for each of several queries, with the same bits. */
    void (*scores_each)(const struct tare_queries *queries, const float *keys, float scale);
    void (*mix_each)(const struct tare_queries *queries, const float *values);
    /* scores[j] = scale * sum_d q[d] * keys[j * dim + d] */
    void (*scores)(const float *q, const float *keys, int64_t n, int64_t dim, float scale, float *scores);
    /* y[d] += sum_j p[j] * values[j * dim + d] */
    void (*mix)(const float *p, const float *values, int64_t n, int64_t dim, float *y);
    /* s[j] = exp(s[j] - most); returns their sum */
    float (*exponents)(float *s, int64_t n, float most);
    /* gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i]; up NULL: times 1 */
    void (*silu)(float *gate, const float *up, int64_t n);
    float (*squares)(const float *x, int64_t n); /* sum_i x[i]^2 */
    /* Rounds n floats to float16 or bfloat16 and stores them one after another, at any alignment. All sets give the bytes
     * of tare_to_float16() and tare_to_bfloat16() (base/half.h). `to` does not overlap x. */
    void (*to_float16)(const float *x, int64_t n, void *to);
    void (*to_bfloat16)(const float *x, int64_t n, void *to);
    void (*scan)(const struct tare_scan *s);
    void (*delta)(const struct tare_delta_step *s);
};

extern const struct tare_kernels tare_kernels_scalar;
/* The entries of tare_kernels_scalar that scalar_cache.c defines. */
void tare_scalar_cache_store(enum tare_cache cache, const float *x, int64_t n, unsigned char *row);
void tare_scalar_cache_load(const struct tare_rows *rows, float *x);
void tare_scalar_cache_scores(const float *q, const struct tare_rows *keys, float scale, float *scores);
void tare_scalar_cache_mix(const float *p, const struct tare_rows *values, float *y);
void tare_scalar_scores_each(const struct tare_queries *queries, const float *keys, float scale);
void tare_scalar_mix_each(const struct tare_queries *queries, const float *values);
/* Each overwrites the entries that its set does better. Each is compiled for its own CPU family, and empty on others.
 */
void tare_kernels_avx2(struct tare_kernels *kernels);
void tare_kernels_avx2_tiles(struct tare_kernels *kernels);
void tare_kernels_avx512(struct tare_kernels *kernels);
void tare_kernels_avx512_tiles(struct tare_kernels *kernels); /* needs VNNI too */
void tare_kernels_amx_tiles(struct tare_kernels *kernels);    /* needs AVX-512 with VNNI too */
void tare_kernels_neon(struct tare_kernels *kernels);
void tare_kernels_neon_tiles(struct tare_kernels *kernels);
void tare_kernels_cache_avx2(struct tare_kernels *kernels);
void tare_kernels_cache_avx512(struct tare_kernels *kernels);
void tare_kernels_cache_neon(struct tare_kernels *kernels);
void tare_kernels_halves_avx2(struct tare_kernels *kernels);
void tare_kernels_halves_avx512(struct tare_kernels *kernels);
void tare_kernels_halves_neon(struct tare_kernels *kernels);

/*
 * Fills in the set called `name` ("scalar", "avx2", "avx512", "amx", "neon"), or with NULL the best set of this CPU. Returns
 * false when the CPU lacks the set or there is none of that name.
 */
bool tare_kernels_pick(struct tare_kernels *kernels, const char *name);

/* Bytes of one row of `in` columns in Q4 and Q8; a multiple of 64. */
size_t tare_q4_stride(int64_t in);
size_t tare_q8_stride(int64_t in);
/* Packs codes (in), each below 16, into one row of Q4. */
void tare_q4_pack(const uint8_t *codes, int64_t in, unsigned char *row);

struct tare_pool;
/*
 * y[t * ldy + r] = sum_i w[r][i] * x[t * ldx + i] + bias[r] for all rows and tokens; bias may be NULL.
 * Rows are cut into tasks and one row is one task's, so results do not depend on the number of threads.
 *   work   one buffer of TARE_PANEL_FLOATS floats for each thread of the pool
 */
void tare_matmul(const struct tare_kernels *kernels, struct tare_pool *pool, const struct tare_matrix *m,
                 const float *bias, const float *x, int64_t ldx, int64_t tokens, float *y, int64_t ldy,
                 float *const *work);
/* The same for several products at once, such as those of a token's experts: their tasks are handed out together. */
struct tare_product {
    struct tare_matrix matrix;
    const float *bias, *x; /* bias NULL: none */
    int64_t ldx, tokens;   /* 0: nothing to do */
    float *y;
    int64_t ldy;
    /* tare_matmul_each() fills in the rest: the product's first task, and its input in the form that tiles read. */
    int64_t first;
    struct tare_input {
        struct tare_activations quantized;
        struct tare_wide wide;
        const float *exact; /* (tokens, ldx) */
        int64_t ldx;
        bool ready; /* the product before has the same input, which is shared */
    } input;
};
void tare_matmul_each(const struct tare_kernels *kernels, struct tare_pool *pool, struct tare_product *products,
                      size_t n, float *const *work);
/* Returns rows [first, first + rows) as a matrix of their own. With tiles, first is a multiple of TARE_TILE_ROWS. */
struct tare_matrix tare_matrix_part(const struct tare_matrix *m, int64_t first, int64_t rows);
/* Bytes of the pool's scratch (base/pool.h) that a product of that many tokens asks for; with less, the product is
 * computed in parts. */
size_t tare_matmul_scratch(int64_t in, int64_t tokens);
/* Unpacks one row of m into dst (in). */
void tare_matrix_row(const struct tare_kernels *kernels, const struct tare_matrix *m, int64_t row, float *dst);

/* Counts the bytes that a product with m reads: its codes or floats, scales and offsets. 0 for a matrix without rows.
 */
uint64_t tare_matrix_bytes(const struct tare_matrix *m);

#endif
