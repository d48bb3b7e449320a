/* SPDX-License-Identifier: MIT
 * qwen3_5.c - Qwen3.5 with a dense feed-forward network (mlx-lm: models/qwen3_5.py). */
#include "models/family/qwen3_5_family.h"
#include "models/family/wrapper.h"

const struct tare_arch tare_arch_qwen3_5 = {
    .name = "qwen3_5",
    .args = &tare_wrapper_args,
    .sanitize = tare_qwen3_5_sanitize,
    .inner = &tare_qwen3_5_text,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
    .inner_flat = true,
};
