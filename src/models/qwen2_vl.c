/* SPDX-License-Identifier: MIT
 * qwen2_vl.c - the text model of Qwen2-VL and Qwen2.5-VL (mlx-lm: models/qwen2_vl.py; "qwen2_5_vl" is an alias). */
#include "models/family/wrapper.h"

const struct tare_arch tare_arch_qwen2_vl = {
    .name = "qwen2_vl",
    .args = &tare_wrapper_args,
    .sanitize = tare_qwen_vl_sanitize,
    .inner = &tare_arch_qwen2,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
    .inner_flat = true,
};
