/* SPDX-License-Identifier: MIT
 * quantizing.h - floats rounded to few bits while a plan is written: what the files of this room share.
 *
 * Quantizing is a format of output (save/save.h) that is made for one call: that of MLX or of GGUF, say, whose lay_out()
 * and tile() are replaced. So plans, tiles, shards, the journal and tare.json are those of tare_convert(). A target is
 * one file (mlx_out.c, gguf_out.c), which decides what is rounded and to what, and one line in quantize_targets.def; rules.c has
 * what is asked for single modules; mlx_round.c and gguf_round.c round rows and know nothing of models.
 */
#ifndef TARE_QUANTIZE_QUANTIZING_H
#define TARE_QUANTIZE_QUANTIZING_H

#include "packing/mlx/to_mlx.h"
#include "save/save.h"

struct tare_quantizing;
struct tare_quantize_rule;

/* Options that only some targets have: quantize.c refuses one that is set and that the target does not take. */
enum tare_quantize_takes {
    TARE_TAKES_BITS = 1,
    TARE_TAKES_GROUP = 2,
    TARE_TAKES_MODE = 4,
    TARE_TAKES_RECIPE = 8,
    TARE_TAKES_TYPE = 16,
    TARE_TAKES_PURE = 32,
    TARE_TAKES_CALIBRATE = 64,
    TARE_TAKES_SCHEME = 128
};

/* What tare_quantize() writes. */
struct tare_quantize_target {
    const char *name; /* its word for --to */
    unsigned takes;   /* of enum tare_quantize_takes */
    /* MAY: its words for --type, the default first; NULL past the end. No two targets have the same. */
    const char *(*type)(size_t index);
    /* MUST: reads the options; sets base and format, a copy of it with functions replaced, and may leave in `own` what
     * these need, allocated in quantizing->arena. */
    enum tare_code (*begin)(struct tare_quantizing *quantizing, struct tare_error *err);
    /* MUST: reads what a rule asks for ("8" of "model.layers.*.mlp=8") into rule->own, after begin(). */
    enum tare_code (*rule)(struct tare_quantizing *quantizing, struct tare_quantize_rule *rule, struct tare_error *err);
    /* MAY: frees what is not in the arena; called also when begin() failed. */
    void (*release)(struct tare_quantizing *quantizing);
};
#define TARGET(name) extern const struct tare_quantize_target tare_quantize_target_##name;
#include "quantize/quantize_targets.def"
#undef TARGET

/* What was asked for the modules whose names fit a pattern. */
struct tare_quantize_rule {
    const char *pattern, *form; /* copies: "model.layers.*.mlp.down_proj", "8" */
    bool floats;                /* the modules stay as they are */
    bool used;                  /* a module fits */
    const void *own;            /* the target's reading of form; NULL where floats is set */
};

/* A format of output for one call. layout->format points at its first field. */
struct tare_quantizing {
    struct tare_save_format format;
    const struct tare_save_format *base;
    const struct tare_quantize_target *target;
    const struct tare_quantize_options *options; /* whole ones of this library */
    struct tare_quantize_rule *rules;            /* in the arena */
    size_t n_rules;
    struct tare_arena arena;
    void *own; /* the target's */
};

/* That of a layout. It was made for this call alone, so it is no constant. */
struct tare_quantizing *tare_quantizing_of(const struct tare_layout *layout);
/* The index of a word in a list of them that ends with NULL, or -1; word NULL: 0. */
int tare_quantizing_word(const char *(*word_at)(size_t index), const char *word);
/* Sets layout->rounding: what the format says of itself, and the rules, for the card, tare.json and the journal. */
enum tare_code tare_quantizing_say(struct tare_layout *layout, const char *form, struct tare_error *err);

/* ---- rules.c --------------------------------------------------------------------------------------------------- */

/* The options' rules, read by the target. */
enum tare_code tare_quantizing_rules(struct tare_quantizing *quantizing, struct tare_error *err);
/* The first rule for a job, by the name of its parameter, of a module that it is made of, or `other` (NULL: there is no
 * such name); NULL: there is none. */
const struct tare_quantize_rule *tare_quantizing_rule(struct tare_quantizing *quantizing, const struct tare_job *job,
                                                      const char *other);
/* Whether a job was asked to stay as floats: by its rule (may be NULL), or as the output head. */
bool tare_quantizing_stays(const struct tare_quantizing *quantizing, const struct tare_model *model,
                           const struct tare_job *job, const struct tare_quantize_rule *rule);
/* A rule that no module fits is refused. */
enum tare_code tare_quantizing_settle(const struct tare_layout *layout, struct tare_error *err);

/* ---- what every target asks of a job --------------------------------------------------------------------------- */

/* Every leaf of a job is a plain float tensor; else the job is refused by the module's name. */
enum tare_code tare_quantizing_floats(const struct tare_job *job, struct tare_error *err);
/* n values of a row of a job are finite; else the job is refused. */
enum tare_code tare_quantizing_finite(const struct tare_job *job, const float *values, int64_t n, int64_t row,
                                      struct tare_error *err);

/* ---- mlx ------------------------------------------------------------------------------------------------------- */

/* The form of a module in MLX. */
struct tare_mlx_form {
    enum tare_mlx_mode mode;
    int bits; /* 0: the module stays as floats */
    int64_t group_size;
};

/* What was asked of MLX. */
struct tare_mlx_asked {
    struct tare_mlx_form form;
    const char *recipe; /* or NULL */
    /* Recipes: which component of a path is the number of the layer, and how many layers there are. */
    int place;
    int64_t layers;
};

/* Mode number `index`, with the bits and group that it has by itself; affine takes others, too. */
struct tare_mlx_form tare_mlx_mode_form(size_t index);

/* What mlx-lm's own rules for an architecture say of a module (its quant_predicate): false: nothing, so it has the form
 * that was asked for. True: *form is another. */
bool tare_mlx_rule(const char *architecture, const char *path, struct tare_mlx_form *form);
/* Whether mlx-lm's rules for the architecture are known; false for the few that are no list of names. */
bool tare_mlx_rules_known(const char *architecture);
/* Whether mlx-lm leaves a parameter's dtype alone where it casts all others (its cast_predicate). */
bool tare_mlx_keeps_dtype(const char *architecture, const char *name);
/* What a mixed recipe of mlx-lm says of a module. */
struct tare_mlx_form tare_mlx_mixed(const struct tare_mlx_asked *asked, const char *path);
/* Recipe k: its name, NULL past the end. */
const char *tare_mlx_recipe(size_t k);

/*
 * One row of n columns to codes, a byte each, and the scale and bias of each group as float32; n is a multiple of the
 * group size. Source: docs/quantizing.md.
 */
void tare_round_affine(const float *row, int64_t n, int bits, int64_t group_size, uint8_t *code, float *scale,
                       float *bias);
/* The same for mxfp4, mxfp8 and nvfp4: the scale of each group is a byte. stored: the dtype of the floats, in which MLX
 * divides by the largest code. */
void tare_round_floats(const float *row, int64_t n, enum tare_mlx_mode mode, enum tare_dtype stored, uint8_t *code,
                       uint8_t *scale);
/* The byte of a small float, rounded to nearest even; beyond 448 it is 448, as in MLX. */
uint8_t tare_to_e4m3(float value);

/* ---- gguf ------------------------------------------------------------------------------------------------------ */

/* One row of n columns to blocks of a type that gguf_types.def has; n is a multiple of the block's columns. */
void tare_round_blocks(const float *row, int64_t n, enum tare_dtype type, unsigned char *to);

#endif
