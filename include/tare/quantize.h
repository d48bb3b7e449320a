/* SPDX-License-Identifier: MIT
 *
 * tare/quantize.h - round the floats of a plan to few bits.
 * A part of tare.h, which says what holds for all of it.
 */
#ifndef TARE_QUANTIZE_H
#define TARE_QUANTIZE_H

#include "convert.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- quantize ---------------------------------------------------------------------------------------------------- */

struct tare_quantize_options {
    /* sizeof(struct tare_quantize_options). */
    size_t size;
    /* A word of tare_quantize_format(); NULL: "mlx". */
    const char *to;
    /* mlx: a word of tare_quantize_mode(); NULL: "affine". */
    const char *mode;
    /* mlx: a word of tare_quantize_recipe(), for unlike bits in unlike modules; NULL: the model's own rules. */
    const char *recipe;
    /* gguf and bitsandbytes: a word of tare_quantize_type(); NULL: "Q4_0", "nf4". */
    const char *type;
    /* mlx: of a code, 2, 3, 4, 5, 6 or 8; 0: what the mode has, 4 for affine. awq has 4, gptq 2, 3, 4 and 8,
     * compressed-tensors 2 to 8; 0: 4. */
    int bits;
    /* mlx: columns that share a scale, 32, 64 or 128; 0: what the mode has, 64 for affine. awq, gptq and
     * compressed-tensors: any number that divides the columns, -1 a whole row; 0: 128. */
    int group;
    /* gguf: the output head, too, has the type; else, as llama-quantize has it, Q6_K or Q8_0. */
    bool pure;
    /* Write tare.json without hashes. A run that is killed then begins anew. */
    bool no_sums;
    /* 0: as planned. */
    int threads;
    /* What floats are cast to before they are rounded, "float32", "bfloat16" or "float16"; NULL: mlx has the torch_dtype
     * of config.json where there is one, as mlx-lm does, and gguf the stored floats. */
    const char *dtype;
    /* Bytes of a file at most, but for a larger tensor; 0: 5 GB, and one file of gguf. */
    uint64_t shard_size;
    tare_progress_fn progress;
    void *user;
    /* Receives what was done; may be NULL. */
    struct tare_convert_summary *summary;
    /* The threads to work with, in the place of `threads` and of the plan's; NULL: those. */
    tare_threads *pool;
    /* The output head stays as it is: the embedding, where that is the head. */
    bool keep_head;
    /* What single modules become, "NAME=FORM": a name with * for a component and ** for any number of them, and "float",
     * or what the format calls a form: bits ("8"), bits and group ("8:32") or a mode of mlx, a type of gguf. Of several
     * that fit, the first counts; one that fits no module is refused. Borrowed for the call. */
    const char *const *rules;
    size_t n_rules;
    /* awq, gptq, gptq_v2 and compressed-tensors: "symmetric" or "asymmetric"; NULL: awq is asymmetric, which alone it
     * can be, the others symmetric. */
    const char *scheme;
    /* The same: the ids of a text, on which the model runs so that codes are chosen by what it computes
     * (docs/quantizing.md). NULL: all is rounded to nearest. Borrowed for the call. */
    const int32_t *calibrate;
    size_t n_calibrate;
    /* With calibrate: how many ids make a sequence, of which the text is cut; 0: 512. */
    int64_t calibrate_length;
    /* With calibrate: "awq" or "gptq"; NULL: awq for awq, gptq for the others. */
    const char *method;
    /* With gptq's method, in which order columns are rounded: "static", important ones first, in groups that are runs of
     * columns; "none", from left to right; "full", important ones first, and groups of these (g_idx; gptq and gptq_v2
     * only). NULL: "static". */
    const char *act_order;
};
#define TARE_QUANTIZE_OPTIONS_INIT TARE_SIZED(tare_quantize_options)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_quantize_options). Any thread. */
TARE_API void tare_quantize_options_init(struct tare_quantize_options *options, size_t size);

/* The word of format number `index` that tare_quantize() writes, "mlx" first; NULL past the end. Static; any thread. */
TARE_API const char *tare_quantize_format(size_t index);
/* The same of the modes of mlx, "affine" first. */
TARE_API const char *tare_quantize_mode(size_t index);
/* The same of the types of files of gguf, "Q4_0" first, and then of bitsandbytes. */
TARE_API const char *tare_quantize_type(size_t index);
/* The same of the recipes of mlx. */
TARE_API const char *tare_quantize_recipe(size_t index);

/*
 * Round the floats of a plan to nearest, tile by tile, into a folder: the bytes are those that mlx-lm's convert -q,
 * llama-quantize, transformers (fp8) and bitsandbytes write (docs/quantizing.md).
 *
 *   model    must load, and hold floats: a packed module is refused by its name
 *   folder   as for tare_convert(), which says what happens to it, and how a later call continues
 *   options  may be NULL
 *
 * Returns TARE_OK; TARE_E_ARGUMENT for bits, a group or a word that the format does not have; TARE_E_TARGET for a module
 * that cannot be rounded, or a model that cannot be calibrated; and what tare_convert() returns. Memory beyond the mapped
 * input: at most 64 MiB a thread; with options->calibrate that of one layer in float32, of its inputs' Gram matrices and
 * of a row of activations for each id, too.
 */
TARE_API enum tare_code tare_quantize(tare_model *model, const char *folder,
                                      const struct tare_quantize_options *options, struct tare_error *err);

#ifdef __cplusplus
}
#endif
#endif
