/* SPDX-License-Identifier: MIT
 * mlx_target.h - what a parameter becomes in an MLX folder, before the options of a conversion are asked. */
#ifndef TARE_SAVE_MLX_TARGET_H
#define TARE_SAVE_MLX_TARGET_H

#include "save/save.h"

/* The dtype of floats. From AWQ and GPTQ every float is cast to the dtype of the scales, as mlx-lm does. */
struct tare_mlx_floats {
    /* There are packed weights whose format asks for casts; else all floats keep their dtype. */
    bool casts;
    /* What they are cast to. */
    enum tare_dtype dtype;
    /* The scales differ in dtype, and how many packed weights have scales of each. */
    bool differ;
    size_t count[TARE_DTYPE_COUNT];
};
enum tare_code tare_mlx_floats(const struct tare_model *model, struct tare_mlx_floats *floats, struct tare_error *err);

/* What one parameter becomes when it is made by the recipe. Sentences are in the arena, which is marked failed without
 * memory. */
struct tare_target tare_mlx_target(const struct tare_model *model, const struct tare_parameter *parameter,
                                   const struct tare_recipe *recipe, const struct tare_mlx_floats *floats,
                                   struct tare_arena *arena);

/* The format's foresee(): findings about scales of unlike dtypes and about global scales. */
enum tare_code tare_mlx_foresee(struct tare_model *model, struct tare_error *err);

#endif
