/* SPDX-License-Identifier: MIT
 * rope.c - rotary positions: pair i of a head turns by position * freq[i]. Su et al. 2021; each scaling names its
 * source below. Frequencies are rounded to float32 and multiplied in it, as the models were trained.
 */
#include <math.h>
#include <string.h>

#include "blocks/rope.h"

#define TWO_PI 6.283185307179586

static void refuse(struct tare_at at, enum tare_code code, const char *text, const char *word)
{
    if (!at.tree->error.code)
        tare_fail(&at.tree->error, code, "config.json: rope_scaling", text, word);
}

static bool read_kind(const char *word, enum tare_rope_kind *kind)
{
    static const struct {
        const char *word;
        enum tare_rope_kind kind;
    } known[] = {
        {"default", TARE_ROPE_DEFAULT},    {"mrope", TARE_ROPE_DEFAULT}, /* text has one position for all three sections
                                                                          */
        {"linear", TARE_ROPE_LINEAR},      {"llama3", TARE_ROPE_LLAMA3},       {"yarn", TARE_ROPE_YARN},
        {"deepseek_yarn", TARE_ROPE_YARN}, {"telechat3-yarn", TARE_ROPE_YARN}, {"longrope", TARE_ROPE_LONGROPE},
        {"su", TARE_ROPE_LONGROPE},        {"dynamic", TARE_ROPE_DYNAMIC},     {"proportional", TARE_ROPE_PROPORTIONAL},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(word, known[i].word)) {
            *kind = known[i].kind;
            return true;
        }
    return false;
}

static bool factors_fit(const json_t *list, int64_t pairs)
{
    bool fit = json_array_size(list) == (size_t)pairs;
    for (size_t i = 0; fit && i < (size_t)pairs; i++)
        fit = json_number_value(json_array_get(list, i)) > 0;
    return fit;
}

/* Checks the numbers that the formulas divide by or take a logarithm of. */
static void check(struct tare_at at, const struct tare_rope *r, const char *word)
{
    const bool scaled = r->kind == TARE_ROPE_LINEAR || r->kind == TARE_ROPE_LLAMA3 || r->kind == TARE_ROPE_YARN ||
                        r->kind == TARE_ROPE_DYNAMIC;
    if (scaled && !(r->factor > 0))
        refuse(at, TARE_E_CONFIG, "rope_type \"%s\" needs a factor above zero", word);
    if (!(r->base > 0) || r->dims < 0)
        refuse(at, TARE_E_CONFIG, "rope_type \"%s\" needs a rope_theta above zero", word);
    if (r->kind == TARE_ROPE_LLAMA3 && !(r->low_freq_factor > 0 && r->high_freq_factor > r->low_freq_factor))
        refuse(at, TARE_E_CONFIG, "rope_type \"%s\" needs 0 < low_freq_factor < high_freq_factor", word);
    if (r->kind == TARE_ROPE_YARN && !(r->beta_fast > 0 && r->beta_slow > 0 && r->original_context > 0 && r->base > 1))
        refuse(at, TARE_E_CONFIG,
               "rope_type \"%s\" needs beta_fast, beta_slow, original_max_position_embeddings above zero", word);
    if (r->kind == TARE_ROPE_LONGROPE &&
        !(factors_fit(r->short_factor, r->dims / 2) && factors_fit(r->long_factor, r->dims / 2)))
        refuse(at, TARE_E_CONFIG,
               "rope_type \"%s\" needs short_factor and long_factor, each a list of half the rotated dimensions", word);
    if (r->kind == TARE_ROPE_DYNAMIC && !(r->context > 0 && r->dims > 2))
        refuse(at, TARE_E_CONFIG, "rope_type \"%s\" needs max_position_embeddings", word);
}

struct tare_rope tare_rope_read(struct tare_at at, int64_t dims, double theta, const json_t *scaling, int64_t context)
{
    struct tare_rope r = {
        .kind = TARE_ROPE_DEFAULT, .dims = dims, .base = tare_json_real(scaling, "rope_theta", theta), .factor = 1};
    const char *word = tare_json_text(scaling, "type", tare_json_text(scaling, "rope_type", "default"));
    if (!read_kind(word, &r.kind))
        refuse(at, TARE_E_UNKNOWN, "the rope_type \"%s\" is not known", word);
    r.context = context > 0 ? (double)context : 0;
    r.factor = tare_json_real(scaling, "factor", r.kind == TARE_ROPE_PROPORTIONAL ? 1 : 0);
    r.low_freq_factor = tare_json_real(scaling, "low_freq_factor", 1);
    r.high_freq_factor = tare_json_real(scaling, "high_freq_factor", 4);
    r.original_context = tare_json_real(scaling, "original_max_position_embeddings",
                                        r.kind == TARE_ROPE_LONGROPE ? 0
                                        : r.context > 0              ? r.context
                                                                     : 4096);
    r.beta_fast = tare_json_real(scaling, "beta_fast", 32);
    r.beta_slow = tare_json_real(scaling, "beta_slow", 1);
    r.mscale = tare_json_real(scaling, "mscale", 0);
    r.mscale_all_dim = tare_json_real(scaling, "mscale_all_dim", 0);
    r.attention_factor = tare_json_real(scaling, "attention_factor", 0);
    r.truncate = !json_is_false(json_object_get(scaling, "truncate"));
    r.short_factor = json_object_get(scaling, "short_factor");
    r.long_factor = json_object_get(scaling, "long_factor");
    r.short_mscale = tare_json_real(scaling, "short_mscale", 0);
    r.long_mscale = tare_json_real(scaling, "long_mscale", 0);
    r.proportion = tare_json_real(scaling, "partial_rotary_factor", 1);
    check(at, &r, word);
    return r;
}

/* Llama 3.1's: long waves are stretched by factor, short ones stay, those between are blended (Meta, llama-models). */
static double llama3(const struct tare_rope *r, double freq)
{
    const double wave = TWO_PI / freq;
    if (wave > r->original_context / r->low_freq_factor)
        return freq / r->factor;
    if (wave < r->original_context / r->high_freq_factor)
        return freq;
    const double smooth =
        (r->original_context / wave - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return (1 - smooth) * freq / r->factor + smooth * freq;
}

/* The pair that turns `rotations` times within the original context: YaRN, Peng et al. 2023, section 3.2. */
static double yarn_pair(const struct tare_rope *r, double rotations)
{
    return (double)r->dims * log(r->original_context / (rotations * TWO_PI)) / (2 * log(r->base));
}

static double yarn(const struct tare_rope *r, double freq, int64_t pair)
{
    double low = yarn_pair(r, r->beta_fast), high = yarn_pair(r, r->beta_slow);
    if (r->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, (double)(r->dims - 1));
    if (low == high)
        high += 0.001;
    const double ramp = fmin(fmax(((double)pair - low) / (high - low), 0), 1);
    return freq / r->factor * ramp + freq * (1 - ramp);
}

static double yarn_mscale(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

/* The factor on cosine and sine, which scales queries and keys. */
static double amplitude(const struct tare_rope *r, bool is_long)
{
    if (r->kind == TARE_ROPE_YARN) {
        if (r->attention_factor > 0)
            return r->attention_factor;
        if (r->mscale != 0 && r->mscale_all_dim != 0)
            return yarn_mscale(r->factor, r->mscale) / yarn_mscale(r->factor, r->mscale_all_dim);
        return yarn_mscale(r->factor, 1);
    }
    if (r->kind != TARE_ROPE_LONGROPE)
        return 1;
    const double given = is_long ? r->long_mscale : r->short_mscale;
    if (given > 0)
        return given;
    if (r->attention_factor > 0)
        return r->attention_factor;
    const double factor = r->factor > 0 ? r->factor : r->original_context > 0 ? r->context / r->original_context : 1;
    return factor <= 1 || r->original_context <= 1 ? 1 : sqrt(1 + log(factor) / log(r->original_context));
}

static double base_of(const struct tare_rope *r, int64_t total)
{
    if (r->kind != TARE_ROPE_DYNAMIC || (double)total <= r->context)
        return r->base;
    const double stretch = r->factor * (double)total / r->context - (r->factor - 1);
    return r->base * pow(stretch, (double)r->dims / (double)(r->dims - 2));
}

float tare_rope_frequencies(const struct tare_rope *r, int64_t total, float *freq)
{
    const double base = base_of(r, total);
    const bool is_long = (double)total > r->original_context;
    const json_t *list = is_long ? r->long_factor : r->short_factor;
    for (int64_t i = 0; i < r->dims / 2; i++) {
        double f = pow(base, -2 * (double)i / (double)r->dims);
        if (r->kind == TARE_ROPE_LINEAR)
            f /= r->factor;
        else if (r->kind == TARE_ROPE_LLAMA3)
            f = llama3(r, f);
        else if (r->kind == TARE_ROPE_YARN)
            f = yarn(r, f, i);
        else if (r->kind == TARE_ROPE_LONGROPE)
            f /= json_number_value(json_array_get(list, (size_t)i));
        else if (r->kind == TARE_ROPE_PROPORTIONAL)
            f = (double)i < trunc(r->proportion * (double)r->dims / 2) ? f / r->factor : 0;
        freq[i] = (float)(r->backwards ? -f : f);
    }
    return (float)amplitude(r, is_long);
}

void tare_rope_table(const struct tare_rope *r, const float *freq, float factor, int64_t position, float *table)
{
    const int64_t pairs = r->dims / 2;
    for (int64_t i = 0; i < pairs; i++) {
        const float angle = (float)position * freq[i];
        table[i] = factor * cosf(angle);
        table[pairs + i] = factor * sinf(angle);
    }
}

void tare_rope_rotate(const struct tare_rope *r, const float *table, float *head)
{
    const int64_t pairs = r->dims / 2, step = r->interleaved ? 2 : 1, apart = r->interleaved ? 1 : pairs;
    for (int64_t i = 0; i < pairs; i++) {
        float *a = head + i * step, *b = a + apart;
        const float x = *a, y = *b, c = table[i], s = table[pairs + i];
        *a = x * c - y * s;
        *b = y * c + x * s;
    }
}
