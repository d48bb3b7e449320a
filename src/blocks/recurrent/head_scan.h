/* SPDX-License-Identifier: MIT
 * head_scan.h - the recurrence of Mamba-2: heads of a few channels that decay alike (Dao & Gu 2024).
 *
 *     dt = clamp(softplus(dt + bias), least, most)
 *     h[n][p] = exp(-exp(a_log) dt) h[n][p] + b[n] dt x[p]          y[p] = sum_n c[n] h[n][p] + skip x[p]
 *
 * b and c are of a group of heads, all else is of a head.
 */
#ifndef TARE_BLOCKS_RECURRENT_HEAD_SCAN_H
#define TARE_BLOCKS_RECURRENT_HEAD_SCAN_H

#include "blocks/pass.h"

struct tare_head_scan {
    int64_t heads, head, groups, state; /* head: channels of one */
    const float *a_log, *skip, *bias;   /* (heads) */
    float least, most;                  /* of the steps dt */
    const float *x, *b, *c, *dt;        /* of a token: (heads, head), (groups, state), the same, (heads) */
    int64_t ldx, ldb, lddt;             /* from one token to the next; ldb: of b and c */
    float *y;                           /* (heads, head); may be x */
    int64_t ldy;
};

bool tare_head_scan_fits(const struct tare_head_scan *scan); /* whether such sizes can run */
struct tare_state_part tare_head_scan_state(const struct tare_head_scan *scan);
/* The tokens of one span; x, b, c, dt, y point at its first. part: of the running block's state. */
void tare_head_scan(const struct tare_pass *pass, const struct tare_span *span, const struct tare_head_scan *scan,
                    int part);

#endif
