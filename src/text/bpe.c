/* SPDX-License-Identifier: MIT
 * bpe.c - byte-pair encoding: of all neighbouring pairs the one with the lowest rank is merged (the leftmost when
 * ranks are equal), until no pair has a rank. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "text/token_model.h"
#include "text/unicode.h"

/* Words of at most that many symbols find their lowest pair by a search; longer words use a heap. */
#define SHORT_WORD 32
/* The cache holds words of at most that many bytes and that many ids. */
#define CACHED_BYTES 30
#define CACHED_IDS 7
/* The most words that the cache holds; a power of two. */
#define CACHE_MOST 16384
#define NO_RANK UINT32_MAX

/* A merge: the tokens left and right become the token id. A free entry of the table has the id NO_RANK. */
struct pair {
    uint32_t left, right, rank, id;
};

struct bpe {
    const struct tare_vocab *vocab;
    struct pair *pairs;
    /* Slots of the hash table `pairs`, a power of two; at most half of them are used. */
    size_t room;
    /* Every pair of characters that some merge joins, as last << 32 | first; NULL when words are not cut at joints. */
    uint64_t *joints;
    size_t joints_room;
    /* The ids of tokens of one character below U+0800, by code point; TARE_TOKEN_NONE where there is none. */
    uint32_t few[0x800];
    /* The ids of the byte tokens <0x00> .. <0xFF>. */
    uint32_t bytes[256];
    /* continuing_subword_prefix marks symbols that do not begin a word, end_of_word_suffix the symbol that ends it. */
    struct tare_slice prefix;
    struct tare_slice suffix;
    uint32_t unk;
    char unk_name[48];
    bool has_unk;
    /* Neighbouring unknown characters become one unknown token. */
    bool fuse_unk;
    /* A character that is no token is written as the tokens of its bytes. */
    bool byte_fallback;
    /* A word that is a token as a whole is taken without looking at merges. */
    bool ignore_merges;
    struct tare_arena arena;
};

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0x9fb21c651e98df25u;
    return x ^ x >> 28;
}

/* Returns the slot of a pair, or the free slot where it belongs (open addressing with linear probing). */
static struct pair *pair_of(const struct bpe *bpe, uint32_t left, uint32_t right)
{
    size_t at = (size_t)mix((uint64_t)left << 32 | right) & (bpe->room - 1);
    for (;; at = (at + 1) & (bpe->room - 1)) {
        struct pair *pair = &bpe->pairs[at];
        if (pair->id == NO_RANK || (pair->left == left && pair->right == right))
            return pair;
    }
}

static enum tare_code no_token(const char *what, const char *text, size_t size, struct tare_error *err)
{
    return tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "model.merges: the %s \"%.*s\" is not in the vocabulary",
                     what, (int)(size < 100 ? size : 100), text);
}

/* Enters one merge. Its result is the left token followed by the right one without the prefix of inner parts. */
static enum tare_code add_merge(struct bpe *bpe, const struct tare_slice both[2], uint32_t rank,
                                struct tare_text *joined, struct tare_error *err)
{
    /* The right token carries the prefix of inner parts, which the joined token has only once. */
    const size_t cut = bpe->prefix.size;
    if (both[1].size < cut)
        return no_token("merge with", both[1].text, both[1].size, err);
    joined->size = 0;
    tare_text_add(joined, both[0].text, both[0].size);
    tare_text_add(joined, both[1].text + cut, both[1].size - cut);
    if (joined->failed)
        return tare_fail_memory(err);
    const uint32_t left = tare_vocab_find(bpe->vocab, both[0].text, both[0].size);
    const uint32_t right = tare_vocab_find(bpe->vocab, both[1].text, both[1].size);
    const uint32_t id = tare_vocab_find(bpe->vocab, joined->data, joined->size);
    if (left == TARE_TOKEN_NONE)
        return no_token("left side", both[0].text, both[0].size, err);
    if (right == TARE_TOKEN_NONE)
        return no_token("right side", both[1].text, both[1].size, err);
    if (id == TARE_TOKEN_NONE)
        return no_token("result", joined->data, joined->size, err);
    *pair_of(bpe, left, right) =
        /* When a pair comes twice, the later one counts. */
        (struct pair){left, right, rank, id};
    return TARE_OK;
}

static enum tare_code read_merges(struct bpe *bpe, const struct tare_tokenizer_json *json, struct tare_error *err)
{
    const size_t n = json->n_merges / 2;
    if (n >= NO_RANK / 4)
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "model.merges: %zu merges", n);
    bpe->room = 16;
    while (bpe->room / 2 < n)
        bpe->room *= 2;
    bpe->pairs = malloc(bpe->room * sizeof *bpe->pairs);
    if (!bpe->pairs)
        return tare_fail_memory(err);
    memset(bpe->pairs, 0xff, bpe->room * sizeof *bpe->pairs);
    struct tare_text joined = {0};
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < n && !code; i++)
        code = add_merge(bpe, json->merges + 2 * i, json->ranks ? json->ranks[i] : (uint32_t)i, &joined, err);
    tare_text_release(&joined);
    return code;
}

/* ---- joints ------------------------------------------------------------------------------------------------------ */

/* Without a pre-tokenizer the whole text is one word. Take two neighbouring characters x y that no merge joins, that
 * is, no merge has a left side ending with x and a right side beginning with y. They stay apart whatever happens
 * around them, so the word may be cut between them: the result is exact, and words become short. With prefixes and
 * suffixes this does not hold, because a token's text is then not that of its characters. */
static bool is_joint(const struct bpe *bpe, uint64_t joint, size_t *at)
{
    for (*at = (size_t)mix(joint) & (bpe->joints_room - 1); bpe->joints[*at] != UINT64_MAX;
         *at = (*at + 1) & (bpe->joints_room - 1))
        if (bpe->joints[*at] == joint)
            return true;
    return false;
}

/* The joint of a merge: the last character of its left side and the first one of its right side. */
static uint64_t joint_of(const struct tare_slice both[2])
{
    size_t last = both[0].size - 1, bytes;
    while (last && ((unsigned char)both[0].text[last] & 0xc0) == 0x80)
        last--;
    return (uint64_t)tare_utf8_get(both[0].text + last, &bytes) << 32 | tare_utf8_get(both[1].text, &bytes);
}

static enum tare_code read_joints(struct bpe *bpe, const struct tare_tokenizer_json *json, struct tare_error *err)
{
    const size_t n = json->n_merges;
    /* The texts are UTF-8, which yajl has checked, but an empty one has no characters. */
    for (size_t i = 0; i < n; i++)
        if (!json->merges[i].size)
            return TARE_OK;
    bpe->joints_room = 16;
    while (bpe->joints_room < n)
        bpe->joints_room *= 2;
    bpe->joints = malloc(bpe->joints_room * sizeof *bpe->joints);
    if (!bpe->joints)
        return tare_fail_memory(err);
    memset(bpe->joints, 0xff, bpe->joints_room * sizeof *bpe->joints);
    for (size_t i = 0; i + 1 < n; i += 2) {
        size_t at;
        const uint64_t joint = joint_of(json->merges + i);
        if (!is_joint(bpe, joint, &at))
            bpe->joints[at] = joint;
    }
    return TARE_OK;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static enum tare_code field_text(const json_t *model, const char *key, struct tare_arena *arena,
                                 struct tare_slice *text, struct tare_error *err)
{
    const json_t *value = json_object_get(model, key);
    if (!value || json_is_null(value))
        return TARE_OK;
    const size_t size = json_string_length(value);
    if (!json_is_string(value) || size > UINT32_MAX / 2)
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "model.%s is no text", key);
    *text = (struct tare_slice){tare_arena_copy(arena, json_string_value(value), size), (uint32_t)size};
    return text->text ? TARE_OK : tare_fail_memory(err);
}

static enum tare_code field_flag(const json_t *model, const char *key, bool *flag, struct tare_error *err)
{
    const json_t *value = json_object_get(model, key);
    *flag = json_is_true(value);
    return !value || json_is_null(value) || json_is_boolean(value)
               ? TARE_OK
               : tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "model.%s is neither true nor false", key);
}

static enum tare_code read_fields(struct bpe *bpe, const json_t *model, struct tare_error *err)
{
    struct tare_slice unk = {0};
    const json_t *dropout = json_object_get(model, "dropout");
    enum tare_code code = field_text(model, "continuing_subword_prefix", &bpe->arena, &bpe->prefix, err);
    if (!code)
        code = field_text(model, "end_of_word_suffix", &bpe->arena, &bpe->suffix, err);
    if (!code)
        code = field_text(model, "unk_token", &bpe->arena, &unk, err);
    if (!code)
        code = field_flag(model, "fuse_unk", &bpe->fuse_unk, err);
    if (!code)
        code = field_flag(model, "byte_fallback", &bpe->byte_fallback, err);
    if (!code)
        code = field_flag(model, "ignore_merges", &bpe->ignore_merges, err);
    if (!code && json_is_number(dropout) && json_number_value(dropout) > 0)
        code = tare_fail(err, TARE_E_UNKNOWN, "tokenizer.json",
                         "model.dropout is %g: it makes encoding random; expected null, as for a model in use",
                         json_number_value(dropout));
    if (!code && unk.text) {
        bpe->has_unk = true;
        bpe->unk = tare_vocab_find(bpe->vocab, unk.text, unk.size);
        snprintf(bpe->unk_name, sizeof bpe->unk_name, "%s", unk.text);
    }
    return code;
}

/* Looks up in advance the tokens that are asked for most often: tokens of one character and of one byte. */
static void read_small(struct bpe *bpe)
{
    for (uint32_t c = 0; c < 0x800; c++) {
        char text[4];
        bpe->few[c] = tare_vocab_find(bpe->vocab, text, tare_utf8_put(text, c));
    }
    tare_vocab_bytes(bpe->vocab, bpe->bytes);
}

static void bpe_free(void *model)
{
    struct bpe *bpe = model;
    if (!bpe)
        return;
    free(bpe->pairs);
    free(bpe->joints);
    tare_arena_release(&bpe->arena);
    free(bpe);
}

static enum tare_code bpe_open(void **model, const struct tare_tokenizer *tokenizer,
                               const struct tare_tokenizer_json *json, struct tare_error *err)
{
    struct bpe *bpe = calloc(1, sizeof *bpe);
    *model = bpe;
    if (!bpe)
        return tare_fail_memory(err);
    bpe->vocab = &tokenizer->vocab;
    if (!json->has_vocab || json->scored || !json->has_merges)
        return tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "model.%s",
                         json->scored      ? "vocab is a list, expected an object"
                         : json->has_vocab ? "merges is missing"
                                           : "vocab is missing");
    enum tare_code code = read_fields(bpe, json_object_get(json->root, "model"), err);
    if (!code)
        code = read_merges(bpe, json, err);
    if (!code && !tare_pre_tokenizers_map_bytes(&tokenizer->pre_tokenizers) && !bpe->prefix.size && !bpe->suffix.size &&
        !bpe->ignore_merges)
        code = read_joints(bpe, json, err);
    if (!code)
        read_small(bpe);
    return code;
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

struct symbol {
    uint32_t id;
    /* The places of the neighbours; NO_RANK where there is none. */
    uint32_t before, after;
    bool gone;
};
/* An entry of the heap: the pair that begins at symbol `at` merges to `id`. It is stale when one side changed since. */
struct candidate {
    uint32_t rank, at, id;
};
struct cached {
    /* The size of the word and how many ids it has; size 0 means a free slot. */
    unsigned char size, n;
    char text[CACHED_BYTES];
    uint32_t ids[CACHED_IDS];
};
struct work {
    struct symbol *symbols;
    size_t n, symbols_room;
    struct candidate *heap;
    size_t n_heap, heap_room;
    struct cached *cache;
    size_t cache_room;
    struct tare_text text;
};

static void work_free(void *model_work)
{
    struct work *work = model_work;
    if (!work)
        return;
    free(work->symbols);
    free(work->heap);
    free(work->cache);
    tare_text_release(&work->text);
    free(work);
}

static void *work_open(const void *model, size_t text_size)
{
    (void)model;
    struct work *work = calloc(1, sizeof *work);
    if (!work)
        return NULL;
    work->cache_room = 64;
    while (work->cache_room < CACHE_MOST && work->cache_room < text_size / 8)
        work->cache_room *= 2;
    work->cache = calloc(work->cache_room, sizeof *work->cache);
    if (!work->cache) {
        free(work);
        return NULL;
    }
    return work;
}

/* Adds a candidate to the binary heap, which is ordered by rank, then by place, so that the leftmost pair wins. */
static bool push(struct work *work, uint32_t rank, uint32_t at, uint32_t id)
{
    if (!tare_grow(&work->heap, &work->heap_room, work->n_heap + 1, sizeof *work->heap))
        return false;
    size_t i = work->n_heap++;
    const struct candidate new = {rank, at, id};
    for (; i; i = (i - 1) / 2) {
        const struct candidate *parent = &work->heap[(i - 1) / 2];
        if (parent->rank < rank || (parent->rank == rank && parent->at <= at))
            break;
        work->heap[i] = *parent;
    }
    work->heap[i] = new;
    return true;
}

static struct candidate pop(struct work *work)
{
    struct candidate *heap = work->heap;
    const struct candidate top = heap[0], last = heap[--work->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < work->n_heap; i = child) {
        if (child + 1 < work->n_heap &&
            (heap[child + 1].rank < heap[child].rank ||
             (heap[child + 1].rank == heap[child].rank && heap[child + 1].at < heap[child].at)))
            child++;
        if (last.rank < heap[child].rank || (last.rank == heap[child].rank && last.at <= heap[child].at))
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

/* Puts the pair that begins at a symbol on the heap, if some merge joins it. */
static bool propose(const struct bpe *bpe, struct work *work, uint32_t at)
{
    const uint32_t after = at == NO_RANK ? NO_RANK : work->symbols[at].after;
    if (after == NO_RANK)
        return true;
    const struct pair *pair = pair_of(bpe, work->symbols[at].id, work->symbols[after].id);
    return pair->id == NO_RANK || push(work, pair->rank, at, pair->id);
}

/* Merges the symbols of a long word in O(n log n). The symbols are a linked list, and the heap holds every pair that
 * was a candidate at some time. Entries are not removed when a symbol changes; instead, a popped one counts only if
 * its pair still exists with the same rank and result. */
static bool merge_long(const struct bpe *bpe, struct work *work)
{
    struct symbol *symbols = work->symbols;
    work->n_heap = 0;
    for (size_t i = 0; i < work->n; i++) {
        symbols[i].before = i ? (uint32_t)i - 1 : NO_RANK;
        symbols[i].after = i + 1 < work->n ? (uint32_t)i + 1 : NO_RANK;
    }
    for (size_t i = 0; i + 1 < work->n; i++)
        if (!propose(bpe, work, (uint32_t)i))
            return false;
    while (work->n_heap) {
        const struct candidate best = pop(work);
        struct symbol *left = &symbols[best.at];
        if (left->gone || left->after == NO_RANK)
            continue;
        struct symbol *right = &symbols[left->after];
        const struct pair *pair = pair_of(bpe, left->id, right->id);
        if (pair->id != best.id || pair->rank != best.rank)
            continue;
        left->id = best.id;
        left->after = right->after;
        right->gone = true;
        if (left->after != NO_RANK)
            symbols[left->after].before = best.at;
        if (!propose(bpe, work, left->before) || !propose(bpe, work, best.at))
            return false;
    }
    size_t kept = 0;
    for (size_t i = 0; i < work->n; i++)
        if (!symbols[i].gone)
            symbols[kept++].id = symbols[i].id;
    work->n = kept;
    return true;
}

/* Merges the symbols of a short word by searching all pairs each time. pairs[i] is the pair of symbols i and i + 1,
 * so a merge drops one entry and looks its two neighbours up anew. */
static void merge_short(const struct bpe *bpe, struct work *work)
{
    struct symbol *symbols = work->symbols;
    struct pair pairs[SHORT_WORD];
    size_t n = work->n;
    for (size_t i = 0; i + 1 < n; i++)
        pairs[i] = *pair_of(bpe, symbols[i].id, symbols[i + 1].id);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (pairs[i].rank < pairs[best].rank)
                best = i;
        if (pairs[best].rank == NO_RANK)
            break;
        symbols[best].id = pairs[best].id;
        n--;
        memmove(symbols + best + 1, symbols + best + 2, (n - best - 1) * sizeof *symbols);
        if (best + 1 < n) {
            memmove(pairs + best + 1, pairs + best + 2, (n - best - 2) * sizeof *pairs);
            pairs[best] = *pair_of(bpe, symbols[best].id, symbols[best + 1].id);
        }
        if (best)
            pairs[best - 1] = *pair_of(bpe, symbols[best - 1].id, symbols[best].id);
    }
    work->n = n;
}

static enum tare_code add_symbol(struct work *work, uint32_t id, struct tare_error *err)
{
    if (!tare_grow(&work->symbols, &work->symbols_room, work->n + 1, sizeof *work->symbols))
        return tare_fail_memory(err);
    work->symbols[work->n++] = (struct symbol){.id = id};
    return TARE_OK;
}

/* The token of one character. Characters of one byte, and of two (110xxxxx), come from the table `few`. */
static uint32_t token_of(const struct bpe *bpe, const char *text, size_t size)
{
    if (size <= 2 && (size == 1 ? (unsigned char)*text < 0x80 : ((unsigned char)*text & 0xe0) == 0xc0)) {
        size_t bytes;
        return bpe->few[tare_utf8_get(text, &bytes)];
    }
    return tare_vocab_find(bpe->vocab, text, size);
}

/* Encodes a character that is no token as the tokens of its bytes; *done is false when one of these is missing. */
static enum tare_code fall_back(const struct bpe *bpe, struct work *work, const char *text, size_t size, bool *done,
                                struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    *done = bpe->byte_fallback;
    for (size_t i = 0; i < size && *done; i++)
        *done = bpe->bytes[(unsigned char)text[i]] != TARE_TOKEN_NONE;
    for (size_t i = 0; i < size && *done && !code; i++)
        code = add_symbol(work, bpe->bytes[(unsigned char)text[i]], err);
    return code;
}

/* Returns the text of a character within a word: behind the prefix of inner parts unless it is the first, and with
 * the suffix when it is the last. */
static const char *decorate(const struct bpe *bpe, struct work *work, bool first, bool last, const char *text,
                            size_t *size)
{
    const size_t before = first ? 0 : bpe->prefix.size, after = last ? bpe->suffix.size : 0;
    if (!before && !after)
        return text;
    work->text.size = 0;
    tare_text_add(&work->text, bpe->prefix.text, before);
    tare_text_add(&work->text, text, *size);
    tare_text_add(&work->text, bpe->suffix.text, after);
    *size += before + after;
    return work->text.failed ? NULL : work->text.data;
}

/* Makes the symbols that a word starts from. An unknown character waits until a known one comes, so that the next
 * unknown ones can be fused with it. As in the reference, the byte tokens of a character in between are put before
 * the waiting one. */
static enum tare_code symbols_of(const struct bpe *bpe, struct work *work, const char *text, size_t size,
                                 struct tare_error *err)
{
    bool waiting = false, done;
    enum tare_code code = TARE_OK;
    work->n = 0;
    for (size_t i = 0, bytes; i < size && !code; i += bytes) {
        bytes = tare_utf8_size(text[i]);
        size_t length = bytes;
        const char *character = decorate(bpe, work, !i, i + bytes >= size, text + i, &length);
        if (!character)
            return tare_fail_memory(err);
        const uint32_t id = token_of(bpe, character, length);
        if (id != TARE_TOKEN_NONE) {
            code = waiting ? add_symbol(work, bpe->unk, err) : TARE_OK;
            waiting = false;
            code = code ? code : add_symbol(work, id, err);
            continue;
        }
        code = fall_back(bpe, work, character, length, &done, err);
        if (code || done || !bpe->has_unk)
            continue;
        if (bpe->unk == TARE_TOKEN_NONE)
            return tare_fail(err, TARE_E_FORMAT, "tokenizer.json",
                             "a character is in no token, and model.unk_token \"%s\" is not in the vocabulary",
                             bpe->unk_name);
        if (waiting && !bpe->fuse_unk)
            code = add_symbol(work, bpe->unk, err);
        waiting = true;
    }
    return code || !waiting ? code : add_symbol(work, bpe->unk, err);
}

static enum tare_code put_ids(struct tare_encoder *encoder, const uint32_t *ids, size_t n)
{
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < n && !code; i++)
        code = tare_encoder_put(encoder, ids[i]);
    return code;
}

static void remember(struct cached *cached, const struct work *work, const char *text, size_t size)
{
    if (work->n > CACHED_IDS)
        return;
    cached->size = (unsigned char)size;
    cached->n = (unsigned char)work->n;
    memcpy(cached->text, text, size);
    for (size_t i = 0; i < work->n; i++)
        cached->ids[i] = work->symbols[i].id;
}

/* Encodes one word: from the cache, as a whole token, or by merging. */
static enum tare_code encode_word(const struct bpe *bpe, struct work *work, struct tare_encoder *encoder,
                                  const char *text, size_t size)
{
    struct cached *cached = NULL;
    enum tare_code code = TARE_OK;
    if (size <= CACHED_BYTES) {
        cached = &work->cache[XXH3_64bits(text, size) & (work->cache_room - 1)];
        if (cached->size == size && !memcmp(cached->text, text, size))
            return put_ids(encoder, cached->ids, cached->n);
    }
    const uint32_t whole = bpe->ignore_merges ? tare_vocab_find(bpe->vocab, text, size) : TARE_TOKEN_NONE;
    if (whole != TARE_TOKEN_NONE) {
        work->n = 0;
        code = add_symbol(work, whole, encoder->err);
    } else {
        code = symbols_of(bpe, work, text, size, encoder->err);
        if (!code && work->n > SHORT_WORD && !merge_long(bpe, work))
            code = tare_fail_memory(encoder->err);
        else if (!code && work->n <= SHORT_WORD)
            merge_short(bpe, work);
    }
    if (!code && cached)
        remember(cached, work, text, size);
    for (size_t i = 0; i < work->n && !code; i++)
        code = tare_encoder_put(encoder, work->symbols[i].id);
    return code;
}

static enum tare_code bpe_encode(const void *model, void *model_work, struct tare_encoder *encoder, const char *text,
                                 size_t size)
{
    const struct bpe *bpe = model;
    if (!bpe->joints)
        return encode_word(bpe, model_work, encoder, text, size);
    enum tare_code code = TARE_OK;
    size_t from = 0, at;
    /* The character before this one, or UINT64_MAX when it is no token. */
    uint64_t last = UINT64_MAX;
    for (size_t i = 0, bytes; i < size && !code; i += bytes) {
        const uint32_t c = tare_utf8_get(text + i, &bytes);
        const bool known = token_of(bpe, text + i, bytes) != TARE_TOKEN_NONE;
        if (known && last != UINT64_MAX && !is_joint(bpe, last << 32 | c, &at)) {
            code = encode_word(bpe, model_work, encoder, text + from, i - from);
            from = i;
        }
        last = known ? c : UINT64_MAX;
    }
    return code ? code : encode_word(bpe, model_work, encoder, text + from, size - from);
}

const struct tare_model_kind tare_model_bpe = {"BPE", bpe_open, bpe_free, work_open, work_free, bpe_encode};
