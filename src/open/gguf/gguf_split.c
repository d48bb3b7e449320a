/* SPDX-License-Identifier: MIT
 * gguf_split.c - a model that is split into files: what their names and metadata say of the parts.
 *
 * Part k of n is called STEM-0000k-of-0000n.gguf, and its metadata are split.no (k - 1), split.count (n) and
 * split.tensors.count (of all parts). All other metadata stand in the first part; tensors lie in any, at offsets of its
 * own. Source: docs/layouts.md, "GGUF in parts"; llama.cpp, tools/gguf-split. */
#include <inttypes.h>
#include <string.h>

#include "open/gguf/gguf.h"

#define TAIL (sizeof "-00001-of-00001.gguf" - 1)
#define DIGITS 5

static bool number_at(const char *text, uint32_t *number)
{
    *number = 0;
    for (int k = 0; k < DIGITS; k++) {
        if (text[k] < '0' || text[k] > '9')
            return false;
        *number = *number * 10 + (uint32_t)(text[k] - '0');
    }
    return true;
}

bool tare_gguf_part_of(const char *name, struct tare_gguf_part *part)
{
    const size_t n = strlen(name);
    if (n < TAIL)
        return false;
    const char *tail = name + n - TAIL;
    part->stem = n - TAIL;
    return *tail == '-' && number_at(tail + 1, &part->number) && !strncmp(tail + 6, "-of-", 4) &&
           number_at(tail + 10, &part->count) && !strcmp(tail + 15, ".gguf") && part->number &&
           part->number <= part->count;
}

const char *tare_gguf_part_name(struct tare_arena *arena, const char *name, uint32_t number)
{
    const char *tail = name + strlen(name) - TAIL;
    return tare_arena_format(arena, "%.*s-%05" PRIu32 "%s", (int)(tail - name), name, number, tail + 6);
}

/* The number of a key, 0 to 2^31 - 1; `absent` when there is no such key, or its value is none. */
static int64_t key_of(const struct tare_gguf *gguf, enum tare_gguf_key key, int64_t absent)
{
    int64_t number;
    const bool is = tare_gguf_integer(tare_gguf_of(gguf, key), &number);
    return is && number >= 0 && number <= INT32_MAX ? number : absent;
}

static enum tare_code check_whole(const struct tare_gguf *gguf, struct tare_error *err)
{
    const int64_t count = key_of(gguf, TARE_GGUF_KEY_SPLIT_COUNT, 1);
    if (count <= 1)
        return TARE_OK;
    return tare_fail(err, TARE_E_FORMAT, gguf->file,
                     "is part %" PRId64 " of %" PRId64 " of a split file by its split.no and split.count, but its name "
                     "does not end in -%05" PRId64 "-of-%05" PRId64 ".gguf: the other parts are found by that name; "
                     "rename it back",
                     key_of(gguf, TARE_GGUF_KEY_SPLIT_NUMBER, 0) + 1, count,
                     key_of(gguf, TARE_GGUF_KEY_SPLIT_NUMBER, 0) + 1, count);
}

static enum tare_code check_part(const struct tare_gguf *gguf, const struct tare_gguf_part *part,
                                 struct tare_error *err)
{
    const int64_t count = key_of(gguf, TARE_GGUF_KEY_SPLIT_COUNT, -1),
                  number = key_of(gguf, TARE_GGUF_KEY_SPLIT_NUMBER, -1);
    if (part->count > 1 && (count < 0 || number < 0))
        return tare_fail(err, TARE_E_FORMAT, gguf->file,
                         "is part %" PRIu32 " of %" PRIu32 " by its name, but has no %s: if it is a whole file, rename "
                         "it; else fetch it again",
                         part->number, part->count, count < 0 ? "split.count" : "split.no");
    if (count >= 0 && count != part->count)
        return tare_fail(err, TARE_E_FORMAT, gguf->file,
                         "its split.count is %" PRId64 ", its name says %" PRIu32
                         " parts: it belongs to another split of the model; fetch all parts of one",
                         count, part->count);
    if (number >= 0 && number + 1 != part->number)
        return tare_fail(err, TARE_E_FORMAT, gguf->file,
                         "is part %" PRIu32 " by its name and part %" PRId64
                         " by its split.no, counted from 1: the parts were renamed or are damaged; fetch them again",
                         part->number, number + 1);
    return TARE_OK;
}

enum tare_code tare_gguf_parts_check(const struct tare_gguf *first, struct tare_error *err)
{
    struct tare_gguf_part part;
    size_t tensors = 0;
    if (!tare_gguf_part_of(first->file, &part))
        return check_whole(first, err);
    const int64_t all = key_of(first, TARE_GGUF_KEY_SPLIT_TENSORS, -1);
    for (const struct tare_gguf *gguf = first; gguf; gguf = gguf->next) {
        const bool named = tare_gguf_part_of(gguf->file, &part);
        const enum tare_code code = named ? check_part(gguf, &part, err) : TARE_OK;
        if (code)
            return code;
        if (key_of(gguf, TARE_GGUF_KEY_SPLIT_TENSORS, all) != all)
            return tare_fail(err, TARE_E_FORMAT, gguf->file,
                             "its split.tensors.count is %" PRId64 ", that of %s is %" PRId64
                             ": the parts are not of one model; fetch all parts of one",
                             key_of(gguf, TARE_GGUF_KEY_SPLIT_TENSORS, -1), first->file, all);
        tensors += gguf->n_tensors;
    }
    if (all >= 0 && (uint64_t)all != tensors)
        return tare_fail(err, TARE_E_FORMAT, first->file,
                         "its split.tensors.count is %" PRId64 ", and the %" PRIu32
                         " parts have %zu tensors: they are not of one model, or one is damaged; fetch them again",
                         all, part.count, tensors);
    return TARE_OK;
}

enum tare_code tare_gguf_refuse_cut(const char *name, struct tare_error *err)
{
    const char *part = strstr(name, ".gguf.part"), *split = strstr(name, ".gguf-split-");
    if (!part && !split)
        return TARE_OK;
    const char *end = part ? part : split;
    const int stem = (int)(end - name) + (int)sizeof ".gguf" - 1;
    return tare_fail(err, TARE_E_FORMAT, name,
                     "is a piece of a GGUF file that was cut at any byte: join the pieces in order, cat %.*s%s* > "
                     "%.*s, and give that file",
                     stem, name, part ? ".part" : "-split-", stem, name);
}
