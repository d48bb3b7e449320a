/* SPDX-License-Identifier: MIT
 * gguf_config.c - the metadata of a GGUF file -> config.json and generation_config.json, so that all later stages read
 * a model of the usual kind. Source: llama.cpp's convert_hf_to_gguf.py, read backwards; gguf-py, gguf/constants.py. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
#include "open/gguf/gguf.h"

struct making {
    const struct tare_gguf *gguf;
    struct tare_arena *arena;
    const struct tare_gguf_family *family;
    struct tare_text *config;
    struct tare_gguf_facts *facts;
    int64_t hidden, layers, heads, kv_heads, head_dim;
    struct tare_error *err;
};

static const struct tare_gguf_value *below(const struct making *m, enum tare_gguf_key key)
{
    char name[256];
    tare_format(name, sizeof name, "%s%s", m->facts->architecture, tare_gguf_metadata[key].gguf);
    return tare_gguf_find(m->gguf, name);
}

static enum tare_code refuse(const struct making *m, enum tare_code code, enum tare_gguf_key key, const char *text)
{
    char where[sizeof m->err->where];
    tare_format(where, sizeof where, "%s: %s%s", m->gguf->file, m->facts->architecture, tare_gguf_metadata[key].gguf);
    return tare_fail(m->err, code, where, "%s", text);
}

/* The shortest decimal that reads as the same number; a float32 of 1e-5 is meant to be 1e-5. */
static void put_real(struct tare_text *out, double number, bool single)
{
    char text[40];
    int digits = 0;
    do
        tare_format(text, sizeof text, "%.*g", ++digits, number);
    while (digits < 17 &&
           (single ? (double)tare_float_parse(text) != number : tare_number_parse(text, NULL) != number));
    tare_text_puts(out, text);
}

/* A number as config.json has it; false when it is none. */
static bool put_number(struct tare_text *out, const struct tare_gguf_value *value)
{
    int64_t integer;
    double real;
    if (tare_gguf_integer(value, &integer)) {
        tare_text_format(out, "%" PRId64, integer);
        return true;
    }
    if (!tare_gguf_real(value, &real))
        return false;
    put_real(out, real, value->type == TARE_GGUF_F32 || value->item == TARE_GGUF_F32);
    return true;
}

static enum tare_code put_keys(struct making *m)
{
    double real;
    for (enum tare_gguf_key key = TARE_GGUF_KEY_NONE; key < TARE_GGUF_KEYS; key++) {
        const struct tare_gguf_metadata *line = &tare_gguf_metadata[key];
        const bool needed = line->place == TARE_GGUF_NEEDED;
        if (!needed && line->place != TARE_GGUF_OPTIONAL)
            continue;
        const struct tare_gguf_value *value = below(m, key);
        if (!value && needed)
            return refuse(m, TARE_E_CONFIG, key, "is missing from the metadata, and the model needs it");
        if (!value || (!needed && tare_gguf_real(value, &real) && real == 0))
            continue;
        tare_text_format(m->config, ",\n  \"%s\": ", line->own);
        if (!put_number(m->config, value))
            return refuse(m, TARE_E_CONFIG, key,
                          "is no number, or a list of unlike ones: a model whose layers differ is not known here");
    }
    int64_t experts = 0;
    if (tare_gguf_integer(below(m, TARE_GGUF_KEY_EXPERTS), &experts))
        tare_text_format(m->config, ",\n  \"%s\": %" PRId64,
                         m->family->experts_key ? m->family->experts_key : "num_experts", experts);
    return TARE_OK;
}

static bool read_size(const struct making *m, enum tare_gguf_key key, int64_t *number)
{
    return tare_gguf_integer(below(m, key), number) && *number >= 1 && *number < INT32_MAX;
}

/* Reads the number of heads and their size. Other numbers are checked by put_keys() and by the model. */
static enum tare_code read_sizes(struct making *m)
{
    int64_t value = 0, rotary = 0;
    if (!read_size(m, TARE_GGUF_KEY_EMBEDDING_LENGTH, &m->hidden) || !read_size(m, TARE_GGUF_KEY_HEADS, &m->heads) ||
        !read_size(m, TARE_GGUF_KEY_BLOCK_COUNT, &m->layers))
        return refuse(m, TARE_E_CONFIG, TARE_GGUF_KEY_HEADS,
                      "or embedding_length or block_count beside it is missing, or no number from 1 on");
    if (!read_size(m, TARE_GGUF_KEY_KV_HEADS, &m->kv_heads))
        m->kv_heads = m->heads;
    if (!read_size(m, TARE_GGUF_KEY_KEY_LENGTH, &m->head_dim))
        m->head_dim = m->hidden / m->heads;
    if (m->head_dim < 1)
        return refuse(m, TARE_E_CONFIG, TARE_GGUF_KEY_HEADS, "is more than embedding_length");
    if (read_size(m, TARE_GGUF_KEY_VALUE_LENGTH, &value) && value != m->head_dim)
        return refuse(m, TARE_E_UNKNOWN, TARE_GGUF_KEY_VALUE_LENGTH,
                      "differs from key_length, which no known model has");
    if (read_size(m, TARE_GGUF_KEY_ROPE_DIMENSIONS, &rotary) && rotary != m->head_dim) {
        if (!m->family->partial_rotary || rotary > m->head_dim)
            return refuse(m, TARE_E_UNKNOWN, TARE_GGUF_KEY_ROPE_DIMENSIONS,
                          "differs from the size of a head, which is not known of this architecture");
        tare_text_puts(m->config, ",\n  \"partial_rotary_factor\": ");
        put_real(m->config, (double)rotary / (double)m->head_dim, false);
    }
    tare_text_format(m->config, ",\n  \"head_dim\": %" PRId64, m->head_dim);
    if (m->family->wide)
        tare_text_format(m->config, ",\n  \"query_pre_attn_scalar\": %" PRId64,
                         m->layers == m->family->wide ? m->hidden / m->heads : m->head_dim);
    return TARE_OK;
}

/* ---- rotary embedding ---------------------------------------------------------------------------------------- */

/* Factors of the rotary frequencies, float32, one a pair of dimensions; NULL when there is no such tensor. */
static const struct tare_tensor *factors_of(const struct making *m, const char *name)
{
    const struct tare_tensor *t = tare_gguf_tensor(m->gguf, name);
    return t && t->dtype == TARE_F32 && t->rank == 1 ? t : NULL;
}

static float factor_at(const struct making *m, const struct tare_tensor *t, int64_t i)
{
    float value;
    memcpy(&value, tare_gguf_bytes(m->gguf, t) + 4 * (uint64_t)i, sizeof value);
    return value;
}

static enum tare_code put_factors(struct making *m, const char *key, const struct tare_tensor *t)
{
    tare_text_format(m->config, ", \"%s\": [", key);
    for (int64_t i = 0; i < t->shape[0]; i++) {
        const float value = factor_at(m, t, i);
        if (!(value > 0) || !isfinite(value))
            return tare_fail(m->err, TARE_E_CONFIG, t->name, "holds a factor that is not above 0");
        tare_text_puts(m->config, i ? ", " : "");
        put_real(m->config, (double)value, true);
    }
    tare_text_puts(m->config, "]");
    return TARE_OK;
}

/*
 * Are these the factors of Llama 3.1 and 3.2: 1 for wavelengths up to 8192 / 4, `factor` from 8192 on, between them
 * 1 / ((1 - s) / factor + s), s = (8192 / wavelength - 1) / 3? Source: transformers, modeling_rope_utils.py, "llama3".
 */
static bool is_llama3(const struct making *m, const struct tare_tensor *t, double *factor)
{
    double theta = 10000;
    tare_gguf_real(below(m, TARE_GGUF_KEY_ROPE_BASE), &theta);
    const int64_t n = t->shape[0];
    *factor = (double)factor_at(m, t, n - 1);
    bool same = *factor > 1;
    for (int64_t i = 0; i < n && same; i++) {
        const double wavelength = 6.283185307179586 * pow(theta, (double)i / (double)n);
        const double s = fmin(fmax((8192 / wavelength - 1) / 3, 0), 1);
        same = fabs(1 / ((1 - s) / *factor + s) - (double)factor_at(m, t, i)) <= 1e-4 * *factor;
    }
    return same;
}

static enum tare_code put_one_list(struct making *m, const struct tare_tensor *t)
{
    double factor;
    int64_t context = 4096;
    if (t->shape[0] != m->head_dim / 2)
        return tare_fail(m->err, TARE_E_SHAPE, t->name,
                         "has %" PRId64 " factors; a head of %" PRId64 " has %" PRId64 " pairs of dimensions",
                         t->shape[0], m->head_dim, m->head_dim / 2);
    if (is_llama3(m, t, &factor)) {
        tare_text_puts(m->config, ",\n  \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": ");
        put_real(m->config, factor, true);
        tare_text_puts(m->config, ", \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
                                  "\"original_max_position_embeddings\": 8192}");
        return TARE_OK;
    }
    read_size(m, TARE_GGUF_KEY_CONTEXT_LENGTH, &context);
    tare_text_puts(m->config, ",\n  \"rope_scaling\": {\"rope_type\": \"longrope\"");
    enum tare_code code = put_factors(m, "short_factor", t);
    if (!code)
        code = put_factors(m, "long_factor", t);
    tare_text_format(m->config, ", \"attention_factor\": 1.0, \"original_max_position_embeddings\": %" PRId64 "}",
                     context);
    return code;
}

static enum tare_code put_two_lists(struct making *m, const struct tare_tensor *brief,
                                    const struct tare_tensor *lasting)
{
    int64_t context = 0;
    if (!read_size(m, TARE_GGUF_KEY_SCALING_CONTEXT, &context))
        return refuse(m, TARE_E_CONFIG, TARE_GGUF_KEY_SCALING_CONTEXT,
                      "is missing, and the two lists of rotary factors need it");
    tare_text_format(m->config,
                     ",\n  \"original_max_position_embeddings\": %" PRId64
                     ",\n  \"rope_scaling\": {\"rope_type\": \"longrope\", \"type\": \"longrope\"",
                     context);
    enum tare_code code = put_factors(m, "short_factor", brief);
    if (!code)
        code = put_factors(m, "long_factor", lasting);
    tare_text_puts(m->config, "}");
    return code;
}

/* A number of rope_scaling, when the metadata have it. */
static void put_below(struct making *m, enum tare_gguf_key key)
{
    const struct tare_gguf_value *value = below(m, key);
    double number;
    if (!tare_gguf_real(value, &number))
        return;
    tare_text_format(m->config, ", \"%s\": ", tare_gguf_metadata[key].own);
    put_number(m->config, value);
}

/* Writes rope_scaling for a rope.scaling.type of none, linear or yarn, or for the older key rope.scale_linear. */
static enum tare_code put_scaling(struct making *m)
{
    const struct tare_gguf_value *type = below(m, TARE_GGUF_KEY_SCALING_TYPE);
    const bool linear = type && type->type == TARE_GGUF_TEXT && type->n == 6 && !memcmp(type->at, "linear", 6);
    const bool yarn = type && type->type == TARE_GGUF_TEXT && type->n == 4 && !memcmp(type->at, "yarn", 4);
    const bool none = type && type->type == TARE_GGUF_TEXT && type->n == 4 && !memcmp(type->at, "none", 4);
    double factor = 1;
    if (!type && tare_gguf_real(below(m, TARE_GGUF_KEY_SCALING_FACTOR_OLD), &factor) && factor != 1) {
        tare_text_puts(m->config, ",\n  \"rope_scaling\": {\"rope_type\": \"linear\"");
        put_below(m, TARE_GGUF_KEY_SCALING_FACTOR_OLD);
        tare_text_puts(m->config, "}");
    }
    if (type && !linear && !yarn && !none)
        return refuse(m, TARE_E_UNKNOWN, TARE_GGUF_KEY_SCALING_TYPE, "is not known; tare reads none, linear and yarn");
    if (!linear && !yarn)
        return TARE_OK;
    tare_text_format(m->config, ",\n  \"rope_scaling\": {\"rope_type\": \"%s\"", linear ? "linear" : "yarn");
    put_below(m, TARE_GGUF_KEY_SCALING_FACTOR);
    put_below(m, TARE_GGUF_KEY_SCALING_CONTEXT);
    if (yarn) {
        put_below(m, TARE_GGUF_KEY_SCALING_BETA_FAST);
        put_below(m, TARE_GGUF_KEY_SCALING_BETA_SLOW);
    }
    tare_text_puts(m->config, "}");
    return TARE_OK;
}

/* Llama 3.1 and Phi-3 scale their rotation by tensors in GGUF, by numbers of config.json elsewhere: the values move to
 * the config, and facts->aside lists the tensors, which are then no parameters. */
static enum tare_code put_rotary(struct making *m)
{
    const struct tare_tensor *one = factors_of(m, TARE_GGUF_ROPE_FREQS);
    const struct tare_tensor *brief = factors_of(m, TARE_GGUF_ROPE_SHORT);
    const struct tare_tensor *lasting = factors_of(m, TARE_GGUF_ROPE_LONG);
    const char **aside = tare_arena_array(m->arena, 4, sizeof *aside);
    size_t n = 0;
    if (!aside)
        return tare_fail_memory(m->err);
    m->facts->aside = aside;
    if (one)
        aside[n++] = one->name;
    if (!brief != !lasting)
        return tare_fail(m->err, TARE_E_FORMAT, brief ? brief->name : lasting->name,
                         "stands alone: rope_factors_short and rope_factors_long belong together");
    if (brief) {
        aside[n++] = brief->name;
        aside[n++] = lasting->name;
        return put_two_lists(m, brief, lasting);
    }
    return one ? put_one_list(m, one) : put_scaling(m);
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

static void put_flag(struct making *m, const char *key, bool value)
{
    tare_text_format(m->config, ",\n  \"%s\": %s", key, value ? "true" : "false");
}

static bool has(const struct making *m, const char *tensor)
{
    return tare_gguf_tensor(m->gguf, tensor) != NULL;
}

/* Only the tensors show which layers have experts. Where no key says whether their shares are normalized, the family
 * decides, as in llama.cpp. */
static void put_sparse(struct making *m)
{
    const char *comma = "";
    int64_t normalized = m->family->shares_normalized;
    tare_gguf_integer(below(m, TARE_GGUF_KEY_EXPERT_SHARES_NORMALIZED), &normalized);
    put_flag(m, "norm_topk_prob", normalized);
    tare_text_puts(m->config, ",\n  \"decoder_sparse_step\": 1,\n  \"mlp_only_layers\": [");
    for (int64_t i = 0; i < m->layers && i < (int64_t)tare_gguf_tensors(m->gguf); i++) {
        char name[64];
        tare_format(name, sizeof name, "blk.%" PRId64 ".ffn_gate_inp.weight", i);
        if (has(m, name))
            continue;
        tare_text_format(m->config, "%s%" PRId64, comma, i);
        comma = ", ";
    }
    tare_text_puts(m->config, "]");
}

static void put_ids(const struct making *m, struct tare_text *out, bool all)
{
    static const enum tare_gguf_key ends[] = {TARE_GGUF_KEY_EOS, TARE_GGUF_KEY_EOT, TARE_GGUF_KEY_EOM};
    int64_t id;
    if (tare_gguf_integer(tare_gguf_of(m->gguf, TARE_GGUF_KEY_BOS), &id) && id >= 0)
        tare_text_format(out, ",\n  \"bos_token_id\": %" PRId64, id);
    size_t n = 0;
    for (size_t i = 0; i < (all ? sizeof ends / sizeof *ends : 1); i++)
        if (tare_gguf_integer(tare_gguf_of(m->gguf, ends[i]), &id) && id >= 0)
            tare_text_format(out, "%s%" PRId64,
                             n++   ? ", "
                             : all ? ",\n  \"eos_token_id\": ["
                                   : ",\n  \"eos_token_id\": ",
                             id);
    tare_text_puts(out, n && all ? "]" : "");
}

/* Whether a line of families.def is the one to read: the key that it asks for, if any, is a number above 0. */
static bool applies(const struct making *m, const struct tare_gguf_family *family)
{
    int64_t number = 0;
    if (!family->class_name || strcmp(family->architecture, m->facts->architecture) != 0)
        return false;
    return !family->reads_when || (tare_gguf_integer(below(m, family->reads_when), &number) && number > 0);
}

static enum tare_code choose_family(struct making *m)
{
    const char *word = tare_gguf_word(m->gguf, m->arena, tare_gguf_metadata[TARE_GGUF_KEY_ARCHITECTURE].gguf, "");
    const struct tare_gguf_family *family;
    if (!word)
        return tare_fail_memory(m->err);
    m->facts->architecture = word;
    for (size_t k = 0; (family = tare_gguf_family_at(k)); k++)
        if (applies(m, family))
            m->family = family; /* the last line that applies */
    if (m->family)
        return TARE_OK;
    const char *known = tare_gguf_families_text(false, m->arena);
    return known ? tare_fail(m->err, TARE_E_UNKNOWN, m->gguf->file,
                             "general.architecture \"%.64s\" is not known as GGUF; tare reads %s", word, known)
                 : tare_fail_memory(m->err);
}

enum tare_code tare_gguf_config(const struct tare_gguf *gguf, struct tare_arena *arena, struct tare_gguf_facts *facts,
                                struct tare_text *config, struct tare_text *generation, struct tare_error *err)
{
    struct making m = {.gguf = gguf, .arena = arena, .config = config, .facts = facts, .err = err};
    enum tare_code code = choose_family(&m);
    if (code)
        return code;
    tare_text_format(config, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\"", m.family->class_name,
                     m.family->model_type);
    if ((code = put_keys(&m)) || (code = read_sizes(&m)) || (code = put_rotary(&m)))
        return code;
    const struct tare_tensor *embedding = tare_gguf_tensor(gguf, "token_embd.weight");
    if (embedding && embedding->rank == 2)
        tare_text_format(config, ",\n  \"vocab_size\": %" PRId64, embedding->shape[0]);
    put_flag(&m, "tie_word_embeddings", !has(&m, "output.weight"));
    if (m.family->permuted) {
        put_flag(&m, "attention_bias", has(&m, "blk.0.attn_q.bias"));
        put_flag(&m, "mlp_bias", has(&m, "blk.0.ffn_gate.bias"));
    }
    if (m.family->sparse)
        put_sparse(&m);
    put_ids(&m, config, false);
    tare_text_puts(config, "\n}\n");
    tare_text_puts(generation, "{\n  \"_from_model_config\": true");
    put_ids(&m, generation, true);
    tare_text_puts(generation, "\n}\n");
    facts->heads = m.family->permuted ? m.heads : 0;
    facts->kv_heads = m.family->permuted ? m.kv_heads : 0;
    facts->norms_plus_one = m.family->norms_plus_one;
    return config->failed || generation->failed ? tare_fail_memory(err) : TARE_OK;
}
