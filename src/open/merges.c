/* SPDX-License-Identifier: MIT
 * merges.c - pieces and scores as the merges of a BPE; the order of equal scores is that of transformers,
 * tokenization_utils_sentencepiece.py, generate_merges. */
#include "open/merges.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/map.h"

#define LONGEST 256 /* bytes of a piece that is looked at */

struct joining {
    const struct tare_scored *pieces;
    struct tare_map by_text;
    struct tare_merge *merges;
    size_t n, room;
};

/* Sorts by score, then by the letters of the left part, then of the right part, each in descending order. */
static int by_score(const void *left, const void *right)
{
    const struct tare_merge *a = left, *b = right;
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

static bool add_cuts(struct joining *joining, uint32_t number)
{
    const struct tare_scored *piece = &joining->pieces[number];
    uint32_t letters = 0, before = 0;
    for (uint32_t i = 0; i < piece->size; i++)
        letters += is_letter_start(piece->text[i]);
    for (uint32_t cut = 1; cut < piece->size; cut++) {
        if (!is_letter_start(piece->text[cut]))
            continue;
        before++;
        if (tare_map_get(&joining->by_text, piece->text, cut) == TARE_MAP_NONE ||
            tare_map_get(&joining->by_text, piece->text + cut, piece->size - cut) == TARE_MAP_NONE)
            continue;
        if (!tare_grow(&joining->merges, &joining->room, joining->n + 1, sizeof *joining->merges))
            return false;
        joining->merges[joining->n++] = (struct tare_merge){piece->score, number, cut, before, letters};
    }
    return true;
}

static bool joins(const struct tare_scored *piece)
{
    return piece->joins && piece->size && piece->size <= LONGEST && piece->score == piece->score;
}

bool tare_merges_make(const struct tare_scored *pieces, size_t n, struct tare_merge **merges, size_t *n_merges)
{
    struct joining joining = {.pieces = pieces};
    bool room = n < TARE_MAP_NONE && tare_map_reserve(&joining.by_text, n);
    for (size_t i = 0; i < n && room; i++)
        room = !joins(&pieces[i]) || tare_map_put(&joining.by_text, pieces[i].text, pieces[i].size, (uint32_t)i, NULL);
    for (size_t i = 0; i < n && room; i++)
        room = !joins(&pieces[i]) || add_cuts(&joining, (uint32_t)i);
    tare_map_release(&joining.by_text);
    if (joining.n)
        qsort(joining.merges, joining.n, sizeof *joining.merges, by_score);
    if (!room) {
        free(joining.merges);
        joining.merges = NULL;
        joining.n = 0;
    }
    *merges = joining.merges;
    *n_merges = joining.n;
    return room;
}
