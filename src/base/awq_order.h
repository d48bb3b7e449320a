/* SPDX-License-Identifier: MIT
 * awq_order.h - the order of the eight 4-bit numbers in a 32-bit word of AWQ. From the lowest bits on they belong to
 * columns 0 2 4 6 1 3 5 7. Source: docs/layouts.md, "AWQ, gemm". */
#ifndef TARE_BASE_AWQ_ORDER_H
#define TARE_BASE_AWQ_ORDER_H

#include <stdint.h>

static const int tare_awq_column[8] = {0, 2, 4, 6, 1, 3, 5, 7};         /* the column of nibble k */
static const int tare_awq_nibble[8] = {0, 4, 1, 5, 2, 6, 3, 7};         /* the nibble of column j */
static const int32_t tare_awq_shift[8] = {0, 16, 4, 20, 8, 24, 12, 28}; /* the lowest bit of column j: 4 * its nibble */

#endif
