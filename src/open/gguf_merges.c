/* SPDX-License-Identifier: MIT
 * gguf_merges.c - SentencePiece's pieces and scores as the merges of a BPE: SentencePiece joins the two neighbours
 * whose piece has the highest score. So every cut of a piece into two pieces is a merge, in order of the piece's score,
 * longer left parts first (transformers, tokenization_utils_sentencepiece.py, generate_merges, orders them so). */
#include "open/gguf_merges.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST 256 /* bytes of a piece that is looked at; none of a known vocabulary is as long */

struct slice {
    const char *text;
    uint32_t n;
};

struct merge {
    double score;
    uint32_t piece, left; /* its number; bytes of the left part */
    uint32_t left_letters, letters;
};

struct pieces {
    struct slice *list;
    size_t n;
    struct tare_map by_text;
    struct merge *merges;
    size_t n_merges, room;
};

/* By score, then letters of the left and of the right part, all from the highest down. */
static int by_score(const void *left, const void *right)
{
    const struct merge *a = left, *b = right;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->left_letters != b->left_letters)
        return a->left_letters > b->left_letters ? -1 : 1;
    if (a->letters != b->letters)
        return a->letters > b->letters ? -1 : 1;
    return (a->piece > b->piece) - (a->piece < b->piece);
}

static bool is_letter_start(char byte)
{
    return ((unsigned char)byte & 0xc0) != 0x80;
}

static bool add_cuts(struct pieces *p, size_t number, double score)
{
    const struct slice piece = p->list[number];
    uint32_t letters = 0, before = 0;
    for (uint32_t i = 0; i < piece.n; i++)
        letters += is_letter_start(piece.text[i]);
    for (uint32_t cut = 1; cut < piece.n && piece.n <= LONGEST; cut++) {
        if (!is_letter_start(piece.text[cut]))
            continue;
        before++;
        if (tare_map_get(&p->by_text, piece.text, cut) == TARE_MAP_NONE ||
            tare_map_get(&p->by_text, piece.text + cut, piece.n - cut) == TARE_MAP_NONE)
            continue;
        if (!tare_grow(&p->merges, &p->room, p->n_merges + 1, sizeof *p->merges))
            return false;
        p->merges[p->n_merges++] = (struct merge){score, (uint32_t)number, cut, before, letters};
    }
    return true;
}

/* Only ordinary pieces are joined, and those of the user's own, which are found first. */
static bool joins(const struct tare_gguf_value *types, uint64_t i)
{
    const double type = tare_gguf_item(types, i);
    return !types || type == 1 || type == 4;
}

static bool collect(struct pieces *p, const struct tare_gguf_value *tokens, const struct tare_gguf_value *types,
                    const struct tare_gguf_value *scores)
{
    const unsigned char *cursor = NULL;
    const char *text;
    uint64_t done = 0;
    size_t n;
    while (tare_gguf_next_text(tokens, &done, &cursor, &text, &n)) {
        if (done >= TARE_MAP_NONE)
            break;
        p->list[p->n++] = (struct slice){text, n <= LONGEST ? (uint32_t)n : 0};
        if (n && n <= LONGEST && joins(types, done - 1) &&
            !tare_map_put(&p->by_text, text, n, (uint32_t)(done - 1), NULL))
            return false;
    }
    for (size_t i = 0; i < p->n; i++) {
        const double score = tare_gguf_item(scores, i);
        if (score == score && joins(types, i) && !add_cuts(p, i, score))
            return false;
    }
    return true;
}

static void put(const struct pieces *p, struct tare_text *out)
{
    tare_text_puts(out, "\"merges\": [");
    for (size_t i = 0; i < p->n_merges; i++) {
        const struct merge *m = &p->merges[i];
        const struct slice piece = p->list[m->piece];
        tare_text_puts(out, i ? ", [" : "[");
        tare_gguf_quote(out, piece.text, m->left);
        tare_text_puts(out, ", ");
        tare_gguf_quote(out, piece.text + m->left, piece.n - m->left);
        tare_text_puts(out, "]");
    }
    tare_text_puts(out, "]");
}

bool tare_gguf_merges(const struct tare_gguf_value *tokens, const struct tare_gguf_value *types,
                      const struct tare_gguf_value *scores, struct tare_text *out)
{
    struct pieces p = {.list = calloc((size_t)tokens->n + 1, sizeof *p.list)};
    const bool room = p.list && collect(&p, tokens, types, scores);
    if (room && p.n_merges)
        qsort(p.merges, p.n_merges, sizeof *p.merges, by_score);
    if (room)
        put(&p, out);
    tare_map_release(&p.by_text);
    free(p.list);
    free(p.merges);
    return room;
}
