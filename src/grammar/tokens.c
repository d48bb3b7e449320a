/* SPDX-License-Identifier: MIT
 * tokens.c - arranges the vocabulary as a tree of bytes, so that a state of the grammar meets each common
 * beginning once. */
#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"
#include "text/tokenizer.h"

struct token {
    const char *text;
    uint32_t size;
    int32_t id;
};

static int by_bytes(const void *a, const void *b)
{
    const struct token *x = a, *y = b;
    const uint32_t n = x->size < y->size ? x->size : y->size;
    const int order = memcmp(x->text, y->text, n);
    return order ? order : x->size != y->size ? (x->size < y->size ? -1 : 1) : (x->id > y->id) - (x->id < y->id);
}

void tare_mark_spell(int32_t id, unsigned char bytes[TARE_MARK_BYTES])
{
    bytes[0] = TARE_MARK_FIRST;
    for (int i = TARE_MARK_DIGITS; i > 0; i--, id /= TARE_MARK_BASE)
        bytes[i] = (unsigned char)(TARE_MARK_ZERO + id % TARE_MARK_BASE);
}

/* Spells all ids: the bytes of id i are bytes[offsets[i] .. offsets[i + 1]). Ids that end a text have none, and those that
 * add nothing to a text have some only with `marks`. */
static enum tare_code spell(struct tare_token_tree *tree, const struct tare_tokenizer *tokenizer, bool marks,
                            struct tare_error *err)
{
    struct tare_text one = {0}, all = {0};
    enum tare_code code = TARE_OK;
    const size_t shown = tokenizer->vocab.n_shown, n = tokenizer->vocab.n > shown ? tokenizer->vocab.n : shown;
    tree->offsets = calloc(n + 1, sizeof *tree->offsets);
    if (!tree->offsets)
        return tare_fail_memory(err);
    for (size_t id = 0; id < n && !code; id++) {
        unsigned char mark[TARE_MARK_BYTES];
        code = tare_token_spell(tokenizer, (int32_t)id, &one, err);
        if (!code && marks && one.size == 0) {
            tare_mark_spell((int32_t)id, mark);
            tare_text_add(&one, (const char *)mark, sizeof mark);
        }
        if (!code && all.size + one.size > UINT32_MAX / 2)
            code = tare_fail(err, TARE_E_FORMAT, "tokenizer.json", "tokens of more than 2 GB");
        if (!code && !tare_tokenizer_ends(tokenizer, (int32_t)id) && one.size) {
            tare_text_add(&all, one.data, one.size);
            tree->n_ids++;
            tree->deepest = one.size > tree->deepest ? one.size : tree->deepest;
        }
        tree->offsets[id + 1] = (uint32_t)all.size;
    }
    tare_text_release(&one);
    tree->bytes = all.data;
    tree->n_vocabulary = n;
    return !code && all.failed ? tare_fail_memory(err) : code;
}

/*
 * Makes the nodes of the sorted tokens, in depth-first order: a token shares the nodes of the bytes that it has in
 * common with the token before. `open` is the path from the root to the last node; the subtrees of these are not
 * complete yet.
 */
static bool plant(struct tare_token_tree *tree, const struct token *tokens, uint32_t *open)
{
    size_t depth = 0, room = 0;
    const struct token *before = NULL;
    for (size_t i = 0; i < tree->n_ids; i++) {
        const struct token *t = &tokens[i];
        size_t common = 0;
        while (before && common < t->size && common < before->size && t->text[common] == before->text[common])
            common++;
        while (depth > common)
            tree->nodes[open[--depth]].skip = (uint32_t)tree->n;
        for (; depth < t->size; depth++) {
            if (!tare_grow(&tree->nodes, &room, tree->n + 1, sizeof *tree->nodes))
                return false;
            tree->nodes[tree->n] = (struct tare_token_node){0, 0, 0, (uint32_t)depth, (unsigned char)t->text[depth]};
            open[depth] = (uint32_t)tree->n++;
        }
        /* Equal tokens follow one another, so a node's ids are a run. */
        struct tare_token_node *node = &tree->nodes[open[depth - 1]];
        node->ids = node->ids_end ? node->ids : (uint32_t)i;
        node->ids_end = (uint32_t)i + 1;
        tree->ids[i] = t->id;
        before = t;
    }
    while (depth > 0)
        tree->nodes[open[--depth]].skip = (uint32_t)tree->n;
    return true;
}

enum tare_code tare_token_tree_make(struct tare_token_tree *tree, const tare_tokenizer *tokenizer, bool marks,
                                    struct tare_error *err)
{
    enum tare_code code = spell(tree, tokenizer, marks, err);
    struct token *tokens = calloc(tree->n_ids + 1, sizeof *tokens);
    uint32_t *open = calloc(tree->deepest + 1, sizeof *open);
    tree->ids = calloc(tree->n_ids + 1, sizeof *tree->ids);
    tree->ends = calloc(tokenizer->n_ends + 1, sizeof *tree->ends);
    if (!code && !(tokens && open && tree->ids && tree->ends))
        code = tare_fail_memory(err);
    if (!code) {
        size_t n = 0;
        for (size_t id = 0; id < tree->n_vocabulary; id++)
            if (tree->offsets[id + 1] > tree->offsets[id])
                tokens[n++] = (struct token){tree->bytes + tree->offsets[id], tree->offsets[id + 1] - tree->offsets[id],
                                             (int32_t)id};
        qsort(tokens, n, sizeof *tokens, by_bytes);
        for (size_t i = 0; i < tokenizer->n_ends; i++)
            tree->ends[tree->n_ends++] = tokenizer->ends[i];
        code = plant(tree, tokens, open) ? TARE_OK : tare_fail_memory(err);
    }
    free(tokens);
    free(open);
    return code;
}

void tare_token_tree_release(struct tare_token_tree *tree)
{
    free(tree->nodes);
    free(tree->ids);
    free(tree->ends);
    free(tree->offsets);
    free(tree->bytes);
}
