/* SPDX-License-Identifier: MIT
 * gguf_refused.c - the types of ggml that are not read, by name. Source: ggml.h, enum ggml_type. */
#include <inttypes.h>

#include "open/gguf/gguf.h"

static const struct {
    unsigned number;
    const char *name, *help;
} refused[] = {
    {4, "Q4_2", "of the year 2023, which llama.cpp has dropped: fetch a file of a newer type"},
    {5, "Q4_3", "of the year 2023, which llama.cpp has dropped: fetch a file of a newer type"},
    {9, "Q8_1", "of activations and not of weights: the file was made wrongly; fetch another"},
    {15, "Q8_K", "of activations and not of weights: the file was made wrongly; fetch another"},
    {31, "Q4_0_4_4", "of rows moved for ARM processors, which llama.cpp has dropped: fetch the file of Q4_0"},
    {32, "Q4_0_4_8", "of rows moved for ARM processors, which llama.cpp has dropped: fetch the file of Q4_0"},
    {33, "Q4_0_8_8", "of rows moved for ARM processors, which llama.cpp has dropped: fetch the file of Q4_0"},
    {36, "IQ4_NL_4_4", "of rows moved for ARM processors, which llama.cpp has dropped: fetch the file of IQ4_NL"},
    {37, "IQ4_NL_4_8", "of rows moved for ARM processors, which llama.cpp has dropped: fetch the file of IQ4_NL"},
    {38, "IQ4_NL_8_8", "of rows moved for ARM processors, which llama.cpp has dropped: fetch the file of IQ4_NL"},
    {40, "NVFP4", "which tare reads in safetensors only: fetch the model in that form, or a file of another type"},
};

enum tare_code tare_gguf_refuse_type(const char *tensor, uint64_t type, struct tare_error *err)
{
    for (size_t k = 0; k < sizeof refused / sizeof *refused; k++)
        if (refused[k].number == type)
            return tare_fail(err, TARE_E_UNKNOWN, tensor, "is of ggml's type %s, %s", refused[k].name, refused[k].help);
    return tare_fail(
        err, TARE_E_UNKNOWN, tensor,
        "is of ggml's type %" PRIu64 ", which tare does not know (those from 97 on are ik_llama.cpp's "
        "own); it reads F32, F16, BF16, F64, I8 to I64, Q1_0 to Q8_0, Q2_K to Q6_K, IQ1_S to IQ4_XS, TQ1_0, "
        "TQ2_0 and MXFP4: fetch a file of one of these",
        type);
}
