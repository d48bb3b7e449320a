/* SPDX-License-Identifier: MIT
 * spelling.h - how GGUF spells what the other formats say: its families, the names of its tensors, the keys of its
 * metadata and its words for pre-tokenizers. Each fact stands in one table, which open/gguf/ reads in one direction
 * (a GGUF file becomes a model of the usual kind) and save/gguf_*.c in the other. Adding a family is one line of
 * families.def, and a list of stems in tensor_names.c when its tensors have names of their own.
 */
#ifndef TARE_GGUF_SPELLING_H
#define TARE_GGUF_SPELLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* ggml's numbers of the types that a value of the metadata has. */
enum tare_gguf_type {
    TARE_GGUF_U8,
    TARE_GGUF_I8,
    TARE_GGUF_U16,
    TARE_GGUF_I16,
    TARE_GGUF_U32,
    TARE_GGUF_I32,
    TARE_GGUF_F32,
    TARE_GGUF_BOOL,
    TARE_GGUF_TEXT,
    TARE_GGUF_LIST,
    TARE_GGUF_U64,
    TARE_GGUF_I64,
    TARE_GGUF_F64,
    TARE_GGUF_TYPES
};

/* llama.cpp's kinds of tokens, the items of tokenizer.ggml.token_type. */
enum tare_gguf_token {
    TARE_GGUF_NORMAL = 1,
    TARE_GGUF_UNKNOWN = 2,
    TARE_GGUF_CONTROL = 3,
    TARE_GGUF_USER_DEFINED = 4,
    TARE_GGUF_UNUSED = 5,
    TARE_GGUF_BYTE = 6
};

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

/* Factors of the rotary embedding, float32, one for each pair of dimensions: tensors that the model's own files have as
 * numbers in config.json. The first is Llama 3's one list, the others are the two lists of longrope. */
#define TARE_GGUF_ROPE_FREQS "rope_freqs.weight"
#define TARE_GGUF_ROPE_SHORT "rope_factors_short.weight"
#define TARE_GGUF_ROPE_LONG "rope_factors_long.weight"

/* A name before ".weight" or ".bias"; in layers, the part that follows "blk.N." or "model.layers.N.". */
struct tare_gguf_stem {
    const char *gguf;
    const char *own; /* the model's own files; mlx-lm's where experts are stacked */
};
/* Lists of a family's own stems, looked up before those that all families share; each is ended by a NULL. */
extern const struct tare_gguf_stem tare_gguf_stems_mixtral[];
extern const struct tare_gguf_stem tare_gguf_stems_sparse[];
extern const struct tare_gguf_stem tare_gguf_stems_four_norms[];
extern const struct tare_gguf_stem tare_gguf_stems_fused[];

/* ---- metadata --------------------------------------------------------------------------------------------------- */

enum tare_gguf_key {
    TARE_GGUF_KEY_NONE,
#define KEY(name, key, own, place) TARE_GGUF_KEY_##name,
#include "gguf/metadata.def"
#undef KEY
    TARE_GGUF_KEYS
};
/* Where the model's own files have the value of a key. */
enum tare_gguf_place {
    TARE_GGUF_ELSEWHERE, /* under no key of the same meaning */
    TARE_GGUF_NEEDED,    /* in config.json; reading refuses a file without it */
    TARE_GGUF_OPTIONAL,  /* in config.json; 0 means that it is absent: no window, no cap */
    TARE_GGUF_SCALING,   /* in rope_scaling of config.json */
    TARE_GGUF_TOKENIZER  /* in tokenizer_config.json, as the text of a token instead of its number */
};
/* By enum tare_gguf_key: one line of metadata.def. */
extern const struct tare_gguf_metadata {
    const char *gguf; /* begins with a dot where it follows the architecture */
    const char *own;  /* NULL: ELSEWHERE */
    enum tare_gguf_place place;
} tare_gguf_metadata[TARE_GGUF_KEYS];

/* ---- families --------------------------------------------------------------------------------------------------- */

/* How readers of GGUF know which layers have a sliding window. */
enum tare_gguf_windows {
    TARE_GGUF_WINDOWS_IGNORED,   /* they attend to the whole text in every layer */
    TARE_GGUF_WINDOWS_ALTERNATE, /* every second layer from the first has one; no key says so */
    TARE_GGUF_WINDOWS_LISTED     /* attention.sliding_window_pattern says it */
};
/* What the family's readers cap by tanh: x -> cap * tanh(x / cap). */
enum tare_gguf_caps {
    TARE_GGUF_CAPS_NONE,
    TARE_GGUF_CAPS_LOGITS, /* the logits, when the metadata have a cap */
    TARE_GGUF_CAPS_BOTH    /* the scores of attention and the logits, always */
};

/* One line of families.def: what a family of llama.cpp is called elsewhere, and where its GGUF differs. */
struct tare_gguf_family {
    const char *architecture; /* general.architecture */
    const char *model_type;   /* of the text model's config.json */
    const char *class_name;   /* of "architectures" in config.json; NULL: the line is never read */
    const struct tare_gguf_stem *stems;
    /* The key that must be a number above 0 for this line to be read; NONE: the line has no condition. */
    enum tare_gguf_key reads_when;
    /* What config.json calls the number of experts; NULL: "num_experts". */
    const char *experts_key;
    const char *activation; /* the only one that readers compute; NULL: not checked */
    /* The number of layers of the one size (Gemma 2 and 3 of 27B) whose scores are scaled by 1 / sqrt(dim / heads)
     * instead of 1 / sqrt(head_dim); the metadata do not say it, llama.cpp tells it by this number too. 0: none. */
    int64_t wide;
    enum tare_gguf_windows windows;
    enum tare_gguf_caps caps;
    bool read_only;         /* tare does not write the family */
    bool permuted;          /* the rows of q and k lie as ggml's rotation of neighbours needs them */
    bool norms_plus_one;    /* norms are stored as weight + 1 */
    bool always_tied;       /* there is no output.weight */
    bool partial_rotary;    /* rope.dimension_count may be less than the size of a head */
    bool one_factor_list;   /* readers take TARE_GGUF_ROPE_FREQS */
    bool factor_lists;      /* readers take TARE_GGUF_ROPE_SHORT and TARE_GGUF_ROPE_LONG */
    bool sparse;            /* config.json lists the layers without experts */
    bool shares_normalized; /* shares of experts sum to 1 where expert_weights_norm is missing */
};

/* Line k of families.def; NULL past the end. */
const struct tare_gguf_family *tare_gguf_family_at(size_t k);
/* The first line with this model_type that is written; NULL: none. */
const struct tare_gguf_family *tare_gguf_family_written(const char *model_type);
/* The names of what is read (architectures) or written (model types), each once: "llama, mistral and phi3". In arena;
 * NULL: no memory. */
const char *tare_gguf_families_text(bool written, struct tare_arena *arena);

/* "model.layers.3.mlp.up_proj.weight" of "blk.3.ffn_up.weight"; a name that the family does not have stays as it is. In
 * arena; NULL: no memory. */
const char *tare_gguf_name(const char *architecture, const char *name, struct tare_arena *arena);
/* The way back: "blk.3.ffn_up.weight" of "model.layers.3.mlp.up_proj.weight". In arena; NULL: the family has no name
 * for it, or there is no memory (arena->failed). */
const char *tare_gguf_name_of(const char *architecture, const char *own, struct tare_arena *arena);

/* ---- pre-tokenizers --------------------------------------------------------------------------------------------- */

/* What cuts a text before BPE, as tokenizer.ggml.pre names it. */
struct tare_gguf_pre {
    const char *name;
    const char *expression;  /* NULL: GPT-2's own, which ByteLevel has */
    bool digits;             /* each digit stands by itself: before GPT-2's expression, after others */
    bool nfc;                /* the normalizer composes characters */
    bool whole_words;        /* a word that is a token is not merged: ignore_merges */
    bool begins;             /* the text begins with bos where the metadata do not say */
    const char *const *cuts; /* expressions that cut first, ended by NULL; NULL: none */
};
/* Line k of the table; NULL past the end. Of several with one meaning the usual name comes first: it is written. */
const struct tare_gguf_pre *tare_gguf_pre_at(size_t k);
const struct tare_gguf_pre *tare_gguf_pre_find(const char *name); /* NULL: not known */

#endif
