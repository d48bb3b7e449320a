/* SPDX-License-Identifier: MIT
 * gguf.h - a GGUF file: header, metadata and tensors, every bound checked; and what is made of its metadata. Only
 * open/ includes it, and save/gguf_format.c for the numbers of dtypes; names and families are in gguf/spelling.h. */
#ifndef TARE_OPEN_GGUF_GGUF_H
#define TARE_OPEN_GGUF_GGUF_H

#include "base/text.h"
#include "gguf/spelling.h"
#include "open/checkpoint.h"

/* One value of the metadata, where it lies in the file. */
struct tare_gguf_value {
    enum tare_gguf_type type;
    enum tare_gguf_type item; /* LIST: of its items */
    uint64_t n;               /* LIST: items; TEXT: bytes */
    const unsigned char *at;  /* the bytes of a text, or of a number, or the first item */
};
struct tare_gguf_pair {
    const char *key;
    struct tare_gguf_value value;
};

/* The bytes of a file. Where not all of them are there from the first, hold(user, end, &there, err) makes bytes [0, end)
 * be there, and says how many more now are; NULL: all are. */
struct tare_gguf_source {
    const char *file; /* plain file name */
    const unsigned char *data;
    uint64_t size;
    enum tare_code (*hold)(void *user, uint64_t end, uint64_t *there, struct tare_error *err);
    void *user;
};

/* The parsed file; names, keys and arrays live in the arena given to tare_gguf_parse(), values in the file's bytes:
 * those of a file that is not mapped are there until tare_gguf_locate() has made its files of them. */
struct tare_gguf {
    const char *file; /* plain file name */
    const unsigned char *data;
    uint64_t size, data_start;
    struct tare_gguf_pair *pairs;
    size_t n_pairs;
    struct tare_map keys;
    struct tare_tensor *tensors; /* GGUF's own names, in order of the file */
    size_t n_tensors;
    struct tare_map names;
    uint32_t at;            /* its index in checkpoint.files */
    struct tare_gguf *next; /* the next part of a model that is split into files, or NULL */
};

/*
 * Parse a file, of whose bytes only the header is read; values stay there. gguf is zeroed by the caller and released by
 * tare_gguf_release() also after a failure. Refused: other versions than 2 and 3, big-endian files, counts and lengths
 * that do not fit the file, a key or name twice or with U+0000 in it, lists in lists, unknown types, ranges that
 * overlap, are not aligned, leave a hole or do not end at the end of the file (but for padding).
 */
enum tare_code tare_gguf_parse(struct tare_gguf *gguf, const struct tare_gguf_source *source, struct tare_arena *arena,
                               struct tare_error *err);
/* The error of a tensor whose ggml's type is not read: its name, and what would help. */
enum tare_code tare_gguf_refuse_type(const char *tensor, uint64_t type, struct tare_error *err);
void tare_gguf_release(struct tare_gguf *gguf); /* and its parts */

/* NULL when there is no such key. */
const struct tare_gguf_value *tare_gguf_find(const struct tare_gguf *gguf, const char *key);
const struct tare_gguf_value *tare_gguf_of(const struct tare_gguf *gguf, enum tare_gguf_key key); /* not of a family */
/* Values as numbers; false when the value is NULL or none. A list whose items are all the same counts as its item. */
bool tare_gguf_integer(const struct tare_gguf_value *value, int64_t *number);
bool tare_gguf_real(const struct tare_gguf_value *value, double *number);
/* A text of metadata, in arena; fallback when there is none. NULL: no memory. */
const char *tare_gguf_word(const struct tare_gguf *gguf, struct tare_arena *arena, const char *key,
                           const char *fallback);
/* Item i of a list of numbers; NaN beyond it. */
double tare_gguf_item(const struct tare_gguf_value *list, uint64_t i);
/* The texts of a list, one after another: *cursor is NULL before the first. False past the end. */
bool tare_gguf_next_text(const struct tare_gguf_value *list, uint64_t *done, const unsigned char **cursor,
                         const char **text, size_t *n);
/* In the file or the parts after it: a tensor, how many there are, and the bytes of a tensor that is in memory. */
const struct tare_tensor *tare_gguf_tensor(const struct tare_gguf *gguf, const char *name);
size_t tare_gguf_tensors(const struct tare_gguf *gguf);
const unsigned char *tare_gguf_bytes(const struct tare_gguf *gguf, const struct tare_tensor *tensor);

/* A part of a model that is split into files is called STEM-00002-of-00004.gguf, counted from 1. */
struct tare_gguf_part {
    size_t stem; /* bytes of the name before "-00002-of-00004.gguf" */
    uint32_t number, count;
};
/* False: it is the name of a whole file. */
bool tare_gguf_part_of(const char *name, struct tare_gguf_part *part);
/* The name of part `number` of the same model, in arena; NULL: no memory. */
const char *tare_gguf_part_name(struct tare_arena *arena, const char *name, uint32_t number);
/* A file that is alone, or all parts in order, against what split.no, split.count and split.tensors.count say. */
enum tare_code tare_gguf_parts_check(const struct tare_gguf *first, struct tare_error *err);
/* Refuses the name of a piece that was cut at any byte, and says how such pieces become a file again. */
enum tare_code tare_gguf_refuse_cut(const char *name, struct tare_error *err);

/*
 * When the checkpoint that was located is a GGUF file (path, the only file of its kind in a folder without safetensors,
 * or in memory), or one that is split into parts: map it, parse it, fill checkpoint.gguf, facts and made. Else nothing
 * is done. Each part stands for all of them.
 */
enum tare_code tare_gguf_locate(struct tare_checkpoint *checkpoint, struct tare_error *err);
/* Its tensors, under the names that the model's other files have, into checkpoint.tensors (unsorted). */
enum tare_code tare_gguf_list(struct tare_checkpoint *checkpoint, struct tare_error *err);

/* ggml's number of a dtype that GGUF has. */
unsigned tare_gguf_number(enum tare_dtype dtype);

/* config.json and generation_config.json of the metadata, and facts. */
enum tare_code tare_gguf_config(const struct tare_gguf *gguf, struct tare_arena *arena, struct tare_gguf_facts *facts,
                                struct tare_text *config, struct tare_text *generation, struct tare_error *err);
/* tokenizer.json and tokenizer_config.json of the metadata. *refusal: why there is no tokenizer, in arena, or NULL. */
enum tare_code tare_gguf_tokenizer(const struct tare_gguf *gguf, struct tare_arena *arena, struct tare_text *tokenizer,
                                   struct tare_text *config, const char **refusal, struct tare_error *err);
/* n bytes of text, quoted and escaped, U+0000 too. */
void tare_gguf_quote(struct tare_text *out, const char *text, size_t n);

#endif
