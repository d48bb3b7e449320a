/* SPDX-License-Identifier: MIT
 * qwen3_vl_moe.c - the text model of Qwen3-VL with routed experts (mlx-lm: models/qwen3_vl_moe.py). */
#include "models/family/wrapper.h"

const struct tare_arch tare_arch_qwen3_vl_moe = {
    .name = "qwen3_vl_moe",
    .args = &tare_wrapper_args,
    .sanitize = tare_qwen_vl_sanitize,
    .inner = &tare_arch_qwen3_moe,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
};
