/* SPDX-License-Identifier: MIT
 * merges.h - pieces and scores as the merges of a BPE. */
#ifndef TARE_OPEN_MERGES_H
#define TARE_OPEN_MERGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tare_scored {
    const char *text; /* UTF-8 of `size` bytes; borrowed */
    uint32_t size;
    bool joins; /* two of these are joined, if their joint is one too */
    double score;
};
/* One cut of a piece into two. */
struct tare_merge {
    double score;
    uint32_t piece, left; /* its number; bytes of the left part */
    uint32_t left_letters, letters;
};

/*
 * SentencePiece joins the two neighbours whose piece has the highest score, tiktoken those whose piece has the lowest
 * rank. So every cut of a piece into two pieces is a merge: they come by score from the highest down, then by the
 * letters of the left part. Pieces of more than 256 bytes are left out: no known vocabulary has one. *merges is owned
 * by the caller, free(); NULL when there are none. False: no memory.
 */
bool tare_merges_make(const struct tare_scored *pieces, size_t n, struct tare_merge **merges, size_t *n_merges);

#endif
