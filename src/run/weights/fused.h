/* SPDX-License-Identifier: MIT
 * fused.h - the packings that are met most, straight into tiles, without the neutral form between. */
#ifndef TARE_RUN_WEIGHTS_FUSED_H
#define TARE_RUN_WEIGHTS_FUSED_H

#include "kernels/tiles.h"
#include "packing/packing.h"

/* Whole tiles that are made of neighbouring rows of one module. */
struct tare_stretch {
    const struct tare_module *module;
    const void *const *part; /* the bytes of its parts */
    int64_t from;            /* its row that becomes the first of the tiles */
    const struct tare_matrix *m;
    unsigned char *to; /* the first tile, of m->stride bytes */
    int64_t tiles;
};

/* Make the tiles: the bytes that packing->decode() and tare_tile_put() give. False, and nothing is written: this module
 * or this matrix has to go by them. */
bool tare_fused(const struct tare_stretch *stretch);

#endif
