/* SPDX-License-Identifier: MIT
 * matmul.c - products of weights with the activations of one or many tokens, shared out over threads.
 *
 * With tiles, the rows of x are quantized once (or only put into the order of the columns, when the product is exact);
 * then each task multiplies some tiles by all tokens. With weights by rows, one token is a dot product for each row;
 * for many tokens, rows are unpacked to float32 one panel at a time and multiplied by blocks.
 */
#include "kernels/tiles.h"

#include "base/pool.h"

#define WIDE_TILES 4     /* of rows, of a task for tiles of tokens: enough to use a token's activations several times */
#define TASK_BYTES 65536 /* of weights for a few tokens: enough to pay for handing it out, small enough to balance */

struct job {
    const struct tare_kernels *kernels;
    const struct tare_product *products;
    size_t n;
    float *const *work;
};

static bool is_tiled(const struct tare_matrix *m)
{
    return m->storage >= TARE_STORE_T4;
}

/* Tells whether a set multiplies by tiles of tokens. It depends on the matrix alone: one token gets the same bits as
 * many. */
static bool is_wide(const struct tare_kernels *kernels, const struct tare_matrix *m)
{
    return !kernels->exact && kernels->wide.takes && is_tiled(m) && kernels->wide.takes(m);
}

/* Tells whether one token is multiplied row by row, by dot(). A token alone must get the same bits as among others. The
 * vector sets leave dot() of packed rows to the scalar set, whose order of additions is not that of their panel(): they
 * unpack such rows for one token too. */
static bool by_dots(const struct tare_product *p)
{
    return p->tokens == 1 && p->matrix.storage < TARE_STORE_Q4; /* E4M3 too */
}

static void add_bias(const struct tare_product *p, int64_t row, int64_t rows)
{
    for (int64_t t = 0; p->bias && t < p->tokens; t++)
        for (int64_t r = row; r < row + rows; r++)
            p->y[t * p->ldy + r] += p->bias[r];
}

static void many_tokens(const struct tare_kernels *kernels, const struct tare_product *p, int64_t row, int64_t rows,
                        float *w)
{
    const struct tare_matrix *m = &p->matrix;
    for (int64_t start = 0; start < m->in; start += TARE_PANEL_COLUMNS) {
        const int64_t k = m->in - start < TARE_PANEL_COLUMNS ? m->in - start : TARE_PANEL_COLUMNS;
        for (int64_t r = 0; r < rows; r++)
            kernels->unpack[m->storage](m, row + r, start, k, w + r * TARE_PANEL_COLUMNS);
        kernels->panel(w, TARE_PANEL_COLUMNS, rows, p->x + start, p->ldx, p->tokens, k, p->y + row, p->ldy, start > 0);
    }
}

/* The rows of tiles [tile, tile + n) that the matrix has. */
static int64_t tile_rows(const struct tare_matrix *m, int64_t tile, int64_t n)
{
    const int64_t left = m->rows - tile * TARE_TILE_ROWS;
    return left < n * TARE_TILE_ROWS ? left : n * TARE_TILE_ROWS;
}

static void multiply(float *y, int64_t ldy, int tokens, int64_t rows, float factor)
{
    for (int t = 0; t < tokens; t++)
        for (int64_t r = 0; r < rows; r++)
            y[t * ldy + r] *= factor;
}

static void many_tiles(const struct tare_kernels *kernels, const struct tare_product *p, int64_t tile, int64_t n)
{
    const struct tare_matrix *m = &p->matrix;
    for (int64_t t = 0; t < p->tokens; t += TARE_TILE_TOKENS) {
        const int tokens = (int)(p->tokens - t < TARE_TILE_TOKENS ? p->tokens - t : TARE_TILE_TOKENS);
        float *y = p->y + t * p->ldy + tile * TARE_TILE_ROWS;
        if (kernels->exact)
            kernels->tiles_exact[m->storage](m, tile, n, p->input.exact + t * p->input.ldx, p->input.ldx, tokens, y,
                                             p->ldy);
        else
            kernels->tiles[m->storage](m, tile, n, &p->input.quantized, t, tokens, y, p->ldy);
        if (m->levels && !kernels->exact)
            multiply(y, p->ldy, tokens, tile_rows(m, tile, n), m->unit);
    }
}

/* Returns how many rows one task takes; of tiles a multiple of TARE_TILE_ROWS. */
static int64_t rows_a_task(const struct tare_kernels *kernels, const struct tare_product *p)
{
    if (p->tokens > 1 && is_wide(kernels, &p->matrix))
        return WIDE_TILES * TARE_TILE_ROWS;
    const size_t stride = p->matrix.stride ? p->matrix.stride : 1;
    const int64_t fit = (int64_t)(TASK_BYTES / stride);
    if (is_tiled(&p->matrix))
        return (fit < 1 ? 1 : fit) * TARE_TILE_ROWS;
    return !by_dots(p) ? TARE_PANEL_ROWS : fit < 4 ? 4 : fit;
}

/* Finds the product that task i belongs to: the last one whose first task is not after i. */
static const struct tare_product *product_of(const struct job *j, int64_t i)
{
    size_t low = 0, high = j->n;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (j->products[middle].first <= i)
            low = middle;
        else
            high = middle;
    }
    return &j->products[low];
}

static void task(void *user, size_t i, int worker)
{
    const struct job *j = user;
    const struct tare_product *p = product_of(j, (int64_t)i);
    const struct tare_matrix *m = &p->matrix;
    const int64_t most = rows_a_task(j->kernels, p), row = ((int64_t)i - p->first) * most;
    const int64_t rows = m->rows - row < most ? m->rows - row : most;
    if (is_wide(j->kernels, m))
        j->kernels->wide.tiles(m, row / TARE_TILE_ROWS, (rows + TARE_TILE_ROWS - 1) / TARE_TILE_ROWS, &p->input.wide, 0,
                               p->tokens, p->y + row, p->ldy, j->work ? j->work[worker] : NULL);
    else if (is_tiled(m))
        many_tiles(j->kernels, p, row / TARE_TILE_ROWS, (rows + TARE_TILE_ROWS - 1) / TARE_TILE_ROWS);
    else if (by_dots(p))
        j->kernels->dot[m->storage](m, row, rows, p->x, p->y + row);
    else
        many_tokens(j->kernels, p, row, rows, j->work[worker]);
    add_bias(p, row, rows);
}

size_t tare_matmul_scratch(int64_t in, int64_t tokens)
{
    /* for exact inputs; quantized ones take at most 2.25 bytes a column, and what is read past them */
    return (size_t)tokens * (size_t)in * sizeof(float) + TARE_WIDE_PAST + 64;
}

static size_t input_bytes(const struct tare_kernels *kernels, const struct tare_product *p, int64_t tokens)
{
    const size_t in = (size_t)p->matrix.in, blocks = in / TARE_ACTIVATION_BLOCK;
    if (!is_tiled(&p->matrix) || (kernels->exact && !p->matrix.order))
        return 0;
    if (is_wide(kernels, &p->matrix))
        return ((size_t)tokens * 2 * (in + (size_t)p->matrix.groups * sizeof(float)) + TARE_WIDE_PAST + 63) / 64 * 64;
    const size_t bytes = (size_t)tokens * (kernels->exact ? in * sizeof(float) : in + 2 * blocks * sizeof(float));
    return (bytes + 63) / 64 * 64;
}

static bool same_input(const struct tare_kernels *kernels, const struct tare_product *a, const struct tare_product *b)
{
    return a->x == b->x && a->ldx == b->ldx && a->tokens == b->tokens && a->matrix.in == b->matrix.in &&
           a->matrix.order == b->matrix.order && a->matrix.group == b->matrix.group &&
           is_tiled(&a->matrix) == is_tiled(&b->matrix) && is_wide(kernels, &a->matrix) == is_wide(kernels, &b->matrix);
}

/* Assigns memory to a product's input, or shares that of the product before where it is the same. Returns the bytes
 * used. */
static size_t lay_input(const struct tare_kernels *kernels, struct tare_product *p, const struct tare_product *before,
                        unsigned char *memory)
{
    const size_t in = (size_t)p->matrix.in, n = (size_t)p->tokens, bytes = input_bytes(kernels, p, p->tokens);
    p->input.ready = before && same_input(kernels, p, before);
    if (p->input.ready) {
        p->input = before->input;
        p->input.ready = true;
        return 0;
    }
    p->input.exact = bytes ? (float *)(void *)memory : p->x;
    p->input.ldx = bytes ? p->matrix.in : p->ldx;
    p->input.quantized.q = (int8_t *)memory;
    p->input.quantized.in = p->matrix.in;
    p->input.quantized.scale = (float *)(void *)(memory + n * in);
    p->input.quantized.sum = p->input.quantized.scale + n * (in / TARE_ACTIVATION_BLOCK);
    /* the units, what may be read past them, then scales and sums */
    float *wide = (float *)(void *)(memory + 2 * n * in + TARE_WIDE_PAST);
    p->input.wide =
        (struct tare_wide){(int8_t *)memory, wide, wide + n * (size_t)p->matrix.groups, p->matrix.in, p->tokens};
    return bytes;
}

/* Prepares the input of one token: token i, counted through all products. */
static void prepare_token(void *user, size_t i, int worker)
{
    (void)worker;
    const struct job *j = user;
    const struct tare_product *p = j->products;
    int64_t t = (int64_t)i;
    for (; t >= p->tokens; p++)
        t -= p->tokens;
    const struct tare_matrix *m = &p->matrix;
    const float *x = p->x + t * p->ldx;
    if (p->input.ready || !input_bytes(j->kernels, p, 1))
        return;
    if (is_wide(j->kernels, m)) {
        j->kernels->wide.quantize(x, m, &p->input.wide, t);
        return;
    }
    if (!j->kernels->exact) {
        j->kernels->quantize(x, m->order, m->in, &p->input.quantized, t);
        tare_activations_group(&p->input.quantized, t, m->group);
        return;
    }
    float *to = (float *)(void *)p->input.quantized.q + t * m->in;
    for (int64_t k = 0; k < m->in; k++)
        to[k] = x[m->order[k]];
}

static void prepare(struct job *j, struct tare_pool *pool)
{
    int64_t tokens = 0;
    for (size_t i = 0; i < j->n; i++)
        tokens += j->products[i].tokens;
    if (tokens > 8)
        tare_pool_run(pool, (size_t)tokens, prepare_token, j);
    for (int64_t t = 0; tokens <= 8 && t < tokens; t++) /* cheaper than waking others */
        prepare_token(j, (size_t)t, 0);
}

/* Computes products whose inputs fit into the scratch together. */
static void run_batch(const struct tare_kernels *kernels, struct tare_pool *pool, struct tare_product *products,
                      size_t n, float *const *work)
{
    struct job j = {kernels, products, n, work};
    int64_t tasks = 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t rows = rows_a_task(kernels, &products[i]);
        products[i].first = tasks;
        tasks += products[i].tokens > 0 ? (products[i].matrix.rows + rows - 1) / rows : 0;
    }
    prepare(&j, pool);
    if (tasks > 0)
        tare_pool_run(pool, (size_t)tasks, task, &j);
}

/* Computes one product whose input does not fit into the scratch, some of its tokens at a time. */
static void run_parts(const struct tare_kernels *kernels, struct tare_pool *pool, const struct tare_product *whole,
                      float *const *work)
{
    const size_t room = tare_pool_scratch_size(pool), each = input_bytes(kernels, whole, 1);
    const int64_t fit = (int64_t)(room / each), most = fit > 1 ? fit : 1;
    for (int64_t t = 0; t < whole->tokens; t += most) {
        struct tare_product part = *whole;
        part.x += t * part.ldx;
        part.y += t * part.ldy;
        part.tokens = whole->tokens - t < most ? whole->tokens - t : most;
        lay_input(kernels, &part, NULL, tare_pool_scratch(pool));
        run_batch(kernels, pool, &part, 1, work);
    }
}

void tare_matmul_each(const struct tare_kernels *kernels, struct tare_pool *pool, struct tare_product *products,
                      size_t n, float *const *work)
{
    unsigned char *memory = tare_pool_scratch(pool);
    const size_t room = tare_pool_scratch_size(pool);
    for (size_t from = 0, to; from < n; from = to) {
        size_t used = 0;
        for (to = from; to < n; to++) {
            const struct tare_product *before = to > from ? &products[to - 1] : NULL;
            const size_t bytes = input_bytes(kernels, &products[to], products[to].tokens);
            if (used + bytes > room)
                break;
            used += lay_input(kernels, &products[to], before, memory + used);
        }
        if (to > from)
            run_batch(kernels, pool, products + from, to - from, work);
        else
            run_parts(kernels, pool, &products[to++], work);
    }
}

void tare_matmul(const struct tare_kernels *kernels, struct tare_pool *pool, const struct tare_matrix *m,
                 const float *bias, const float *x, int64_t ldx, int64_t tokens, float *y, int64_t ldy,
                 float *const *work)
{
    struct tare_product product = {
        .matrix = *m, .bias = bias, .x = x, .ldx = ldx, .tokens = tokens, .y = y, .ldy = ldy};
    tare_matmul_each(kernels, pool, &product, 1, work);
}

void tare_matrix_row(const struct tare_kernels *kernels, const struct tare_matrix *m, int64_t row, float *dst)
{
    kernels->unpack[m->storage](m, row, 0, m->in, dst);
}
