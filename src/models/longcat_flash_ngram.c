/* SPDX-License-Identifier: MIT
 * longcat_flash_ngram.c - LongCat-Flash with embeddings of n-grams of the last tokens (mlx-lm:
 * models/longcat_flash_ngram.py). */
#include "blocks/stream/ngram.h"
#include "models/family/config_words.h"
#include "models/family/longcat_family.h"

#define ARGS(ARG)                                                                                                      \
    TARE_LONGCAT_ARGS(ARG)                                                                                             \
    ARG(INT, ngram_vocab_size_ratio, 78)                                                                               \
    ARG(INT, emb_neighbor_num, 4)                                                                                      \
    ARG(INT, emb_split_num, 4)
TARE_ARGS(ARGS);

static struct tare_longcat_desc describe(const struct args *a)
{
    return (struct tare_longcat_desc){TARE_LONGCAT(a), .embedding = "ngram_embeddings.word_embeddings"};
}

/* One for each length of a run of tokens from 2 on, and for each of its splits. */
static int64_t embedders(const struct args *a)
{
    return a->emb_split_num * (a->emb_neighbor_num - 1);
}

#define MOST_ROWS ((int64_t)1 << 38) /* of a table: an id times a row's number is a number of 64 bits */

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (a->emb_split_num < 1 || a->emb_neighbor_num < 2 ||
        a->emb_split_num > a->hidden_size / (a->emb_neighbor_num - 1))
        return tare_fail(d->err, TARE_E_CONFIG, d->place,
                         "emb_split_num %lld and emb_neighbor_num %lld do not divide hidden_size %lld into embeddings",
                         (long long)a->emb_split_num, (long long)a->emb_neighbor_num, (long long)a->hidden_size);
    if (a->vocab_size > 0 && a->ngram_vocab_size_ratio > MOST_ROWS / a->vocab_size)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "ngram_vocab_size_ratio %lld times vocab_size is too much",
                         (long long)a->ngram_vocab_size_ratio);
    return tare_keys_needed((const char *const[]){"q_lora_rank"}, 1, d);
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct args *a = args;
    const struct tare_longcat_desc desc = describe(a);
    const int64_t rows = tare_mul(root, a->ngram_vocab_size_ratio, a->vocab_size);

    tare_longcat(root, d, &desc);
    tare_ngram(d, tare_at(root, "model.ngram_embeddings"),
               &(struct tare_ngram_desc){.dim = a->hidden_size,
                                         .width = a->hidden_size / embedders(a),
                                         .vocabulary = a->vocab_size,
                                         .longest = a->emb_neighbor_num,
                                         .splits = a->emb_split_num,
                                         .rows = rows});
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct tare_longcat_desc desc = describe(args);
    tare_longcat_rewrite(w, &desc);
    tare_rename(w, "model.embed_tokens.weight", "model.ngram_embeddings.word_embeddings.weight");
}

const struct tare_arch tare_arch_longcat_flash_ngram = {
    .name = "longcat_flash_ngram",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
