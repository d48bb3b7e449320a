/* SPDX-License-Identifier: MIT
 * initialisers.c - every struct that a host makes, by its .._INIT. It is C11, C++17 and C++20 without a warning (tests
 * header-c, header-c++17, header-c++20). */
#include "tare.h"

int main(void)
{
    struct tare_model_type type = TARE_MODEL_TYPE_INIT;
    struct tare_options options = TARE_OPTIONS_INIT;
    struct tare_host host = TARE_HOST_INIT;
    struct tare_mlx_info mlx = TARE_MLX_INFO_INIT;
    struct tare_source_info source = TARE_SOURCE_INFO_INIT;
    struct tare_convert_options convert = TARE_CONVERT_OPTIONS_INIT;
    struct tare_convert_summary summary = TARE_CONVERT_SUMMARY_INIT;
    struct tare_diff_options diff = TARE_DIFF_OPTIONS_INIT;
    struct tare_verify_options verify = TARE_VERIFY_OPTIONS_INIT;
    struct tare_session_options session = TARE_SESSION_OPTIONS_INIT;
    struct tare_sampling sampling = TARE_SAMPLING_INIT;
    struct tare_generate_options generate = TARE_GENERATE_OPTIONS_INIT;
    struct tare_generated step = TARE_GENERATED_INIT;
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    struct tare_threads_options threads = TARE_THREADS_OPTIONS_INIT;
    generate.sampling = &sampling;
    options.host = &host;
    convert.summary = &summary;
    return type.size == sizeof type && options.size == sizeof options && mlx.size == sizeof mlx &&
                   source.size == sizeof source && convert.size == sizeof convert && summary.size == sizeof summary &&
                   diff.size == sizeof diff && verify.size == sizeof verify && session.size == sizeof session &&
                   sampling.bias_stride == sizeof(struct tare_bias) && generate.size == sizeof generate &&
                   step.size == sizeof step && request.turns_stride == sizeof(struct tare_turn) &&
                   options.files_stride == sizeof(struct tare_memory_file) &&
                   host.files_stride == sizeof(struct tare_host_file) && threads.size == sizeof threads
               ? 0
               : 1;
}
