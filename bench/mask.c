/* SPDX-License-Identifier: MIT
 * mask.c - for mask.py: times the masks of a grammar along texts that it allows, id by id.
 *
 *   mask TOKENIZER SCHEMA TEXT... prints one line for each text, each continued from its beginning by states that were
 *   opened with the first: ids, the seconds of all masks, of the slowest one, and of stepping over the ids. Before them
 *   the seconds of opening the grammar.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tare.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int end(const struct tare_error *err)
{
    fprintf(stderr, "mask: %s: %s\n", err->where, err->text);
    return 1;
}

static int follow(const tare_tokenizer *tokenizer, tare_grammar_state *start, const char *text, float *logits,
                  int64_t vocabulary, struct tare_error *err)
{
    tare_grammar_state *state = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    double masks = 0, slowest = 0, steps = 0;
    enum tare_code code = tare_grammar_state_fork(&state, start, err);
    code = code ? code : tare_tokenizer_encode(tokenizer, text, strlen(text), false, &ids, &n, err);
    for (size_t i = 0; i < n && !code; i++) {
        memset(logits, 0, (size_t)vocabulary * sizeof *logits);
        const double begun = now();
        code = tare_grammar_mask(state, logits, vocabulary, NULL, err);
        const double made = now();
        if (!code && logits[ids[i]] < 0) {
            fprintf(stderr, "mask: id %zu of the text is not allowed\n", i);
            return 1;
        }
        code = code ? code : tare_grammar_accept(state, ids[i], err);
        const double spent = made - begun;
        steps += now() - made;
        masks += spent;
        slowest = spent > slowest ? spent : slowest;
    }
    if (!code)
        printf("%zu %.9f %.9f %.9f\n", n, masks, slowest, steps);
    tare_ids_free(ids);
    tare_grammar_state_free(state);
    return code ? end(err) : 0;
}

int main(int argc, char **argv)
{
    struct tare_error err = {0};
    tare_tokenizer *tokenizer = NULL;
    tare_grammar *grammar = NULL;
    tare_grammar_state *state = NULL;
    if (argc < 4)
        return 2;
    if (tare_tokenizer_open(&tokenizer, argv[1], NULL, &err))
        return end(&err);
    const int64_t vocabulary = tare_tokenizer_size(tokenizer);
    float *logits = malloc((size_t)vocabulary * sizeof *logits);
    const double begun = now();
    if (!logits || tare_grammar_open(&grammar, tokenizer, TARE_GRAMMAR_SCHEMA, argv[2], strlen(argv[2]), &err) ||
        tare_grammar_state_open(&state, grammar, &err))
        return end(&err);
    printf("%lld %.9f\n", (long long)vocabulary, now() - begun);
    int status = 0;
    for (int i = 3; i < argc && !status; i++)
        status = follow(tokenizer, state, argv[i], logits, vocabulary, &err);
    tare_grammar_state_free(state);
    tare_grammar_free(grammar);
    tare_tokenizer_free(tokenizer);
    free(logits);
    return status;
}
