/* SPDX-License-Identifier: MIT
 * gguf_write.h - what the files of GGUF as an output share. gguf_format.c is the record; gguf_family.c holds the model
 * against what a family of llama.cpp can say, and writes that as metadata; gguf_vocabulary.c adds the tokenizer;
 * gguf_pairs.c is how metadata lie in the file; gguf_tile.c makes rows of blocks.
 */
#ifndef TARE_SAVE_GGUF_WRITE_H
#define TARE_SAVE_GGUF_WRITE_H

#include "gguf/spelling.h"
#include "models/blocks.h"
#include "save/save.h"

/* Metadata as they lie in the file: pairs one after another. */
struct tare_pairs {
    struct tare_text text;
    uint64_t n;
    const char *architecture; /* goes before keys that begin with a dot */
};
void tare_pairs_integer(struct tare_pairs *pairs, enum tare_gguf_key key, int64_t value); /* u32 */
/* The same as another type of ggml's, of so many bytes. */
void tare_pairs_whole(struct tare_pairs *pairs, enum tare_gguf_key key, int type, int size, int64_t value);
void tare_pairs_real(struct tare_pairs *pairs, enum tare_gguf_key key, double value); /* float32 */
void tare_pairs_flag(struct tare_pairs *pairs, enum tare_gguf_key key, bool value);
void tare_pairs_text(struct tare_pairs *pairs, enum tare_gguf_key key, const char *text, size_t n);
/* The head of a list of `n` items of ggml's type (enum tare_gguf_type); the items follow by the functions below. */
void tare_pairs_list(struct tare_pairs *pairs, enum tare_gguf_key key, int type, uint64_t n);
void tare_put_bytes(struct tare_text *text, uint64_t value, int size); /* little-endian */
void tare_put_single(struct tare_text *text, double value);
void tare_put_string(struct tare_text *text, const char *string, size_t n);

/* A small float32 vector that is no parameter of the model: factors of the rotary embedding. */
struct tare_made {
    const char *name;
    float *values;
    int64_t n;
};

/* A model as a file of GGUF: its family, and what the file has beside the tensors of the model. */
struct tare_gguf_out {
    const struct tare_gguf_family *family;
    const char *prefix; /* of the text model's names in a wrapper: "language_model."; else "" */
    int64_t half;       /* rows of half a head, when rows of q and k change places; else 0 */
    struct tare_pairs pairs;
    struct tare_made made[2];
    size_t n_made;
    int64_t file_type; /* general.file_type where floats were rounded; -1: what most of the weights are */
};

/* Fills out from the plan, or refuses by name what no family has. */
enum tare_code tare_gguf_family(struct tare_gguf_out *out, struct tare_model *model, struct tare_arena *arena,
                                const struct tare_convert_options *options, struct tare_error *err);
/* tokenizer.json and its kin into pairs, for a vocabulary of that many rows. */
enum tare_code tare_gguf_vocabulary(struct tare_pairs *pairs, const struct tare_model *model, int64_t rows,
                                    const struct tare_convert_options *options, struct tare_error *err);
tare_tile_fn tare_gguf_tile;
/* Cuts a job into tiles of rows, or of whole heads where rows change places. */
void tare_gguf_cut(struct tare_job *job, double row_bytes);
/* Where row `row` of a parameter goes: rows of a head change places (gguf_tile.c). */
int64_t tare_gguf_row(const struct tare_job *job, int64_t row);

#endif
