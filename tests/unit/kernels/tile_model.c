/* SPDX-License-Identifier: MIT
 * tile_model.c - the set `amx` with tile registers in plain C in place of the processor's: what test_wide_tiles checks
 * on machines that have no such registers. It needs AVX-512 with VNNI all the same. */
#include "kernels/tiles.h"

#include <stdlib.h>

/* Eight registers of 16 rows of 64 bytes, which exist between ldtilecfg and tilerelease. Source: Intel's Software
 * Developer's Manual, volume 1, "Programming with Intel AMX". */
static _Thread_local struct {
    bool configured;
    uint8_t data[8][16][64];
} tiles;

static inline void must(bool holds)
{
    if (!holds)
        abort();
}

static inline void model_configure(const void *config)
{
    const uint8_t *byte = config;
    must(byte[0] == 1 && byte[1] == 0);
    for (int k = 0; k < 8; k++)
        must(byte[16 + 2 * k] == 64 && byte[17 + 2 * k] == 0 && byte[48 + k] == 16);
    memset(&tiles, 0, sizeof tiles);
    tiles.configured = true;
}

static inline void model_load(int k, const void *from)
{
    must(tiles.configured);
    memcpy(tiles.data[k], from, sizeof tiles.data[k]);
}

static inline void model_store(int k, void *to)
{
    must(tiles.configured);
    memcpy(to, tiles.data[k], sizeof tiles.data[k]);
}

/* c[m][n] += sum over k of a[m][k] * b[k / 4][4 n + k % 4], the bytes of a signed and those of b not */
static inline void model_dot(int c, int a, int b)
{
    must(tiles.configured);
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 16; n++) {
            int32_t sum;
            memcpy(&sum, &tiles.data[c][m][4 * n], sizeof sum);
            for (int k = 0; k < 64; k++)
                sum += (int8_t)tiles.data[a][m][k] * tiles.data[b][k / 4][4 * n + k % 4];
            memcpy(&tiles.data[c][m][4 * n], &sum, sizeof sum);
        }
}

#define TARE_TILE_MODEL
#define TILE_ZERO(c) memset(tiles.data[c], 0, sizeof tiles.data[c])
#define TILE_LOAD(k, at) model_load(k, at)
#define TILE_STORE(k, at) model_store(k, at)
#define TILE_DOT(c, a, b) model_dot(c, a, b)
#define TILE_RELEASE() (tiles.configured = false)
#define TILE_CONFIGURE(config) model_configure(config)
void tare_kernels_tile_model(struct tare_kernels *kernels);
#define tare_kernels_amx_tiles tare_kernels_tile_model
#include "kernels/amx_tiles.c"
