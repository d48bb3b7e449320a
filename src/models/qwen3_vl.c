/* SPDX-License-Identifier: MIT
 * qwen3_vl.c - the text model of Qwen3-VL (mlx-lm: models/qwen3_vl.py). */
#include "models/family/wrapper.h"

const struct tare_arch tare_arch_qwen3_vl = {
    .name = "qwen3_vl",
    .args = &tare_wrapper_args,
    .sanitize = tare_qwen_vl_sanitize,
    .inner = &tare_arch_qwen3,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
    .inner_flat = true,
};
