/* SPDX-License-Identifier: MIT
 * pre_tokenizers.c - what tokenizer.ggml.pre names: the expressions that cut a text before BPE. They are those of the
 * models' own tokenizer.json, which llama.cpp writes otherwise where its engine cannot run them. Source: llama.cpp,
 * convert_hf_to_gguf_update.py and llama-vocab.cpp; the tokenizer.json files of these models. */
#include <string.h>

#include "gguf/spelling.h"

#define LLAMA3                                                                                                         \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"           \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define QWEN2                                                                                                          \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"                \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define O200K                                                                                                          \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"                        \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"                        \
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|"         \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define QWEN35                                                                                                         \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|"  \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TEKKEN                                                                                                         \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"                       \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}|"                \
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define BAILING                                                                                                        \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|"        \
    "\\s+(?!\\S)|\\s+"
#define SEED                                                                                                           \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|"                \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* DeepSeek's: letters of alphabets with case, punctuation, and CJK, each by itself. */
static const char *const deepseek_llm[] = {
    "[\r\n]",
    "\\s?[A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-"
    "\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}"
    "\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}"
    "\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}"
    "\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}"
    "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}"
    "\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}"
    "\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}"
    "\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}"
    "\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-"
    "\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}"
    "\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}"
    "\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}"
    "\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-"
    "\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}]+",
    "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+",
    "\\s+$",
    "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+",
    NULL};
static const char *const deepseek_coder[] = {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+",
                                             "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+", NULL};
static const char *const deepseek_v3[] = {
    "\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
    " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
    NULL};

/* Of several with one meaning the usual name comes first: it is what is written. */
static const struct tare_gguf_pre pres[] = {
    {"gpt-2", NULL, false, false, false, false, NULL},
    {"phi-2", NULL, false, false, false, false, NULL},
    {"mpt", NULL, false, false, false, false, NULL},
    {"olmo", NULL, false, false, false, false, NULL},
    {"jais", NULL, false, false, false, false, NULL},
    {"gigachat", NULL, false, false, false, false, NULL},
    {"a.x-4.0", NULL, false, false, false, false, NULL},
    {"mellum", NULL, false, false, false, false, NULL},
    {"exaone4", NULL, false, false, false, false, NULL},
    {"trillion", NULL, false, false, false, false, NULL},
    {"modern-bert", NULL, false, false, false, false, NULL},
    {"llama-bpe", LLAMA3, false, false, true, true, NULL},
    {"llama3", LLAMA3, false, false, true, true, NULL},
    {"llama-v3", LLAMA3, false, false, true, true, NULL},
    {"falcon3", LLAMA3, false, false, true, true, NULL},
    {"falcon-h1", LLAMA3, false, false, true, true, NULL},
    {"pixtral", LLAMA3, false, false, true, true, NULL},
    {"midm-2.0", LLAMA3, false, false, true, true, NULL},
    {"lfm2", LLAMA3, false, false, true, true, NULL},
    {"dbrx", LLAMA3, false, false, false, false, NULL},
    {"smaug-bpe", LLAMA3, false, false, false, false, NULL},
    {"chatglm-bpe", LLAMA3, false, false, false, false, NULL},
    {"glm4", LLAMA3, false, false, true, false, NULL},
    {"qwen2", QWEN2, false, true, false, false, NULL},
    {"deepseek-r1-qwen", QWEN2, false, true, false, false, NULL},
    {"megrez", QWEN2, false, true, false, false, NULL},
    {"kormo", QWEN2, false, true, false, false, NULL},
    {"stablelm2", QWEN2, false, true, false, false, NULL},
    {"hunyuan", QWEN2, false, true, false, false, NULL},
    {"qwen35", QWEN35, false, true, false, false, NULL},
    {"gpt-4o", O200K, false, false, false, false, NULL},
    {"llama4", O200K, false, false, false, false, NULL},
    {"kanana2", O200K, false, false, false, false, NULL},
    {"tekken", TEKKEN, false, false, true, false, NULL},
    {"bailingmoe", BAILING, false, false, false, false, NULL},
    {"bailingmoe2", BAILING, false, false, false, false, NULL},
    {"seed-coder", SEED, false, false, false, false, NULL},
    {"smollm", NULL, true, false, false, false, NULL},
    {"starcoder", NULL, true, false, false, false, NULL},
    {"refact", NULL, true, false, false, false, NULL},
    {"codeshell", NULL, true, false, false, false, NULL},
    {"exaone", NULL, true, false, false, false, NULL},
    {"minerva-7b", NULL, true, false, false, false, NULL},
    {"command-r", NULL, true, true, false, false, NULL},
    {"deepseek-llm", NULL, true, false, false, false, deepseek_llm},
    {"deepseek-coder", NULL, true, false, false, false, deepseek_coder},
    {"deepseek-v3", NULL, false, false, false, false, deepseek_v3},
};

const struct tare_gguf_pre *tare_gguf_pre_find(const char *name)
{
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++)
        if (!strcmp(pres[i].name, name))
            return &pres[i];
    return NULL;
}

const struct tare_gguf_pre *tare_gguf_pre_at(size_t k)
{
    return k < sizeof pres / sizeof *pres ? &pres[k] : NULL;
}
