/* SPDX-License-Identifier: MIT
 * tiles_dispatch.h - from the entries of struct tare_kernels to a set's own loops, whose shapes are constants there:
 * the end of each tiles file of a set of vector kernels, which has defined before:
 *
 *   TOKENS_OF(storage, look_up)       most tokens whose sums its registers hold: 4 or 8
 *   some_tiles(storage, look_up, T, m, tile, n, tokens, y, ldy)      n tiles times T quantized tokens
 *   exact_tiles(storage, T, m, tile, n, x, ldx, y, ldy)              the same of float32
 *   quantize()
 *
 * look_up says how many tables there are.
 */
#define INLINE_ALWAYS static inline __attribute__((always_inline))

INLINE_ALWAYS void tiles_of(enum tare_storage storage, int look_up, const struct tare_matrix *m, int64_t tile,
                            int64_t n, const struct tare_activations *x, int64_t first, int tokens, float *y,
                            int64_t ldy)
{
    const int64_t blocks = x->in / TARE_ACTIVATION_BLOCK;
    for (int done = 0, now; done < tokens; done += now) {
        const int left = tokens - done;
        const struct tare_tokens from = {x->q + (first + done) * x->in, x->scale + (first + done) * blocks,
                                         x->sum + (first + done) * blocks, x->in, blocks};
        float *to = y + done * ldy;
        now = left >= TOKENS_OF(storage, look_up) ? TOKENS_OF(storage, look_up) : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        if (now == TOKENS_OF(storage, look_up))
            some_tiles(storage, look_up, TOKENS_OF(storage, look_up), m, tile, n, &from, to, ldy);
        else if (now == 4)
            some_tiles(storage, look_up, 4, m, tile, n, &from, to, ldy);
        else if (now == 2)
            some_tiles(storage, look_up, 2, m, tile, n, &from, to, ldy);
        else
            some_tiles(storage, look_up, 1, m, tile, n, &from, to, ldy);
    }
}

static void tiles_t4(const struct tare_matrix *m, int64_t tile, int64_t n, const struct tare_activations *x,
                     int64_t first, int tokens, float *y, int64_t ldy)
{
    if (m->low)
        tiles_of(TARE_STORE_T4, 2, m, tile, n, x, first, tokens, y, ldy);
    else if (m->table)
        tiles_of(TARE_STORE_T4, 1, m, tile, n, x, first, tokens, y, ldy);
    else
        tiles_of(TARE_STORE_T4, 0, m, tile, n, x, first, tokens, y, ldy);
}

/* The entries of a storage without tables. */
#define TILES_OF(name, storage)                                                                                        \
    static void tiles_##name(const struct tare_matrix *m, int64_t tile, int64_t n, const struct tare_activations *x,   \
                             int64_t first, int tokens, float *y, int64_t ldy)                                         \
    {                                                                                                                  \
        tiles_of(storage, 0, m, tile, n, x, first, tokens, y, ldy);                                                    \
    }
TILES_OF(t8, TARE_STORE_T8)
TILES_OF(t2, TARE_STORE_T2)
TILES_OF(t3, TARE_STORE_T3)
TILES_OF(t5, TARE_STORE_T5)
TILES_OF(t6, TARE_STORE_T6)

INLINE_ALWAYS void exact_tokens(enum tare_storage storage, const struct tare_matrix *m, int64_t tile, int64_t n,
                                const float *x, int64_t ldx, int tokens, float *y, int64_t ldy)
{
    for (int done = 0, now; done < tokens; done += now) {
        now = tokens - done >= TOKENS_OF(storage, 0) ? TOKENS_OF(storage, 0) : 1;
        if (now == TOKENS_OF(storage, 0))
            exact_tiles(storage, TOKENS_OF(storage, 0), m, tile, n, x + done * ldx, ldx, y + done * ldy, ldy);
        else
            exact_tiles(storage, 1, m, tile, n, x + done * ldx, ldx, y + done * ldy, ldy);
    }
}

#define EXACT_OF(name, storage)                                                                                        \
    static void exact_##name(const struct tare_matrix *m, int64_t tile, int64_t n, const float *x, int64_t ldx,        \
                             int tokens, float *y, int64_t ldy)                                                        \
    {                                                                                                                  \
        exact_tokens(storage, m, tile, n, x, ldx, tokens, y, ldy);                                                     \
    }
EXACT_OF(t4, TARE_STORE_T4)
EXACT_OF(t8, TARE_STORE_T8)
EXACT_OF(t2, TARE_STORE_T2)
EXACT_OF(t3, TARE_STORE_T3)
EXACT_OF(t5, TARE_STORE_T5)
EXACT_OF(t6, TARE_STORE_T6)

static void fill_tiles(struct tare_kernels *k)
{
    k->quantize = quantize;
    k->tiles[TARE_STORE_T4] = tiles_t4;
    k->tiles[TARE_STORE_T8] = tiles_t8;
    k->tiles[TARE_STORE_T2] = tiles_t2;
    k->tiles[TARE_STORE_T3] = tiles_t3;
    k->tiles[TARE_STORE_T5] = tiles_t5;
    k->tiles[TARE_STORE_T6] = tiles_t6;
    k->tiles_exact[TARE_STORE_T4] = exact_t4;
    k->tiles_exact[TARE_STORE_T8] = exact_t8;
    k->tiles_exact[TARE_STORE_T2] = exact_t2;
    k->tiles_exact[TARE_STORE_T3] = exact_t3;
    k->tiles_exact[TARE_STORE_T5] = exact_t5;
    k->tiles_exact[TARE_STORE_T6] = exact_t6;
}
#undef TILES_OF
#undef EXACT_OF
#undef INLINE_ALWAYS
