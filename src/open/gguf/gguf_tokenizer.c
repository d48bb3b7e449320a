/* SPDX-License-Identifier: MIT
 * gguf_tokenizer.c - the vocabulary and the chat template of a GGUF file -> tokenizer.json and tokenizer_config.json.
 *
 * tokenizer.ggml.model "gpt2" is BPE over bytes, with merges; what cuts the text before is only named
 * (tokenizer.ggml.pre), by llama.cpp's own words. "llama" is SentencePiece's BPE: pieces with scores, whose merges are
 * made in gguf_merges.c. Others are refused by name; check, convert and logits need none.
 * Source: llama.cpp, convert_hf_to_gguf_update.py and llama-vocab.cpp; the tokenizer.json files of these models. */
#include <inttypes.h>
#include <string.h>

#include "open/gguf/gguf_merges.h"

struct vocabulary {
    const struct tare_gguf *gguf;
    const struct tare_gguf_value *tokens, *types;
    const struct tare_gguf_pre *pre; /* NULL: SentencePiece */
    bool space;                      /* SentencePiece: a space goes in front of the text */
    struct tare_text *out;
};

void tare_gguf_quote(struct tare_text *out, const char *text, size_t n)
{
    tare_text_puts(out, "\"");
    for (size_t i = 0; i < n;) {
        size_t run = i;
        while (run < n && (unsigned char)text[run] >= 0x20 && text[run] != '"' && text[run] != '\\')
            run++;
        tare_text_add(out, text + i, run - i);
        if (run < n)
            tare_text_format(out, "\\u%04x", (unsigned)(unsigned char)text[run++]);
        i = run;
    }
    tare_text_puts(out, "\"");
}

static bool flag_of(const struct tare_gguf *gguf, enum tare_gguf_key key, bool fallback)
{
    int64_t number;
    return tare_gguf_integer(tare_gguf_of(gguf, key), &number) ? number != 0 : fallback;
}

/* The token that a key of the metadata names by its number; false: there is none. */
static bool token_of(const struct tare_gguf *gguf, enum tare_gguf_key key, const char **text, size_t *n)
{
    const struct tare_gguf_value *tokens = tare_gguf_of(gguf, TARE_GGUF_KEY_TOKENS);
    const unsigned char *cursor = NULL;
    uint64_t done = 0;
    int64_t id;
    if (!tare_gguf_integer(tare_gguf_of(gguf, key), &id) || id < 0)
        return false;
    while (tare_gguf_next_text(tokens, &done, &cursor, text, n))
        if (done == (uint64_t)id + 1)
            return true;
    return false;
}

/* ---- tokenizer.json ------------------------------------------------------------------------------------------ */

/* Does a piece of SentencePiece's stand for a space, which it writes as U+2581? */
static bool has_space(const char *text, size_t n)
{
    for (size_t i = 0; i + 3 <= n; i++)
        if (!memcmp(text + i, "\xe2\x96\x81", 3))
            return true;
    return false;
}

/* Tokens that are found in the text before it is cut. Control tokens are special, which those of USER_DEFINED are not.
 */
static void put_added(const struct vocabulary *v)
{
    const unsigned char *cursor = NULL;
    const char *text, *comma = "";
    uint64_t done = 0;
    size_t n;
    tare_text_puts(v->out, "  \"added_tokens\": [");
    while (tare_gguf_next_text(v->tokens, &done, &cursor, &text, &n)) {
        const double type = tare_gguf_item(v->types, done - 1);
        if ((type != TARE_GGUF_CONTROL && type != TARE_GGUF_USER_DEFINED && type != TARE_GGUF_UNKNOWN) || !n)
            continue;
        const bool normalized = !v->pre && type == TARE_GGUF_USER_DEFINED && has_space(text, n);
        tare_text_format(v->out, "%s\n    {\"id\": %" PRIu64 ", \"content\": ", comma, done - 1);
        tare_gguf_quote(v->out, text, n);
        tare_text_format(v->out,
                         ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": %s, "
                         "\"special\": %s}",
                         normalized ? "true" : "false", type == TARE_GGUF_USER_DEFINED ? "false" : "true");
        comma = ",";
    }
    tare_text_puts(v->out, "],\n");
}

static void put_cut(const struct vocabulary *v, const char *expression)
{
    tare_text_puts(v->out, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
    tare_gguf_quote(v->out, expression, strlen(expression));
    tare_text_puts(v->out, "}, \"behavior\": \"Isolated\", \"invert\": false}, ");
}

static void put_split(const struct vocabulary *v)
{
    const struct tare_gguf_pre *pre = v->pre;
    const char *bytes =
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": ";
    if (!pre->expression && !pre->cuts && !pre->digits) {
        tare_text_format(v->out, "  \"pre_tokenizer\": %strue},\n", bytes);
        return;
    }
    tare_text_puts(v->out, "  \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [");
    for (size_t i = 0; pre->cuts && pre->cuts[i]; i++)
        put_cut(v, pre->cuts[i]);
    if (pre->expression)
        put_cut(v, pre->expression);
    if (pre->digits)
        tare_text_puts(v->out, "{\"type\": \"Digits\", \"individual_digits\": true}, ");
    tare_text_format(v->out, "%s%s}]},\n", bytes, pre->expression || pre->cuts ? "false" : "true");
}

static void put_stages(const struct vocabulary *v)
{
    if (v->pre) {
        tare_text_format(v->out, "  \"normalizer\": %s,\n", v->pre->nfc ? "{\"type\": \"NFC\"}" : "null");
        put_split(v);
        tare_text_puts(v->out, "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
                               "\"trim_offsets\": true, \"use_regex\": true},\n");
        return;
    }
    tare_text_format(
        v->out,
        "  \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [%s{\"type\": \"Replace\", "
        "\"pattern\": {\"String\": \" \"}, \"content\": \"\xe2\x96\x81\"}]},\n  \"pre_tokenizer\": null,\n",
        v->space ? "{\"type\": \"Prepend\", \"prepend\": \"\xe2\x96\x81\"}, " : "");
    tare_text_format(v->out,
                     "  \"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": "
                     "{\"String\": \"\xe2\x96\x81\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": "
                     "\"Fuse\"}%s]},\n",
                     v->space ? ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}" : "");
}

static void put_special(struct tare_text *out, const char *text, size_t n)
{
    tare_text_puts(out, "{\"SpecialToken\": {\"id\": ");
    tare_gguf_quote(out, text, n);
    tare_text_puts(out, ", \"type_id\": 0}}");
}

static void put_special_id(struct tare_text *out, const struct tare_gguf *gguf, enum tare_gguf_key key,
                           const char *text, size_t n)
{
    int64_t id = 0;
    tare_gguf_integer(tare_gguf_of(gguf, key), &id);
    tare_gguf_quote(out, text, n);
    tare_text_puts(out, ": {\"id\": ");
    tare_gguf_quote(out, text, n);
    tare_text_format(out, ", \"ids\": [%" PRId64 "], \"tokens\": [", id);
    tare_gguf_quote(out, text, n);
    tare_text_puts(out, "]}");
}

/* Adds bos before and eos after each text, as far as the metadata ask for it. */
static void put_ends(const struct vocabulary *v)
{
    const char *bos = NULL, *eos = NULL;
    size_t n_bos = 0, n_eos = 0;
    const bool begins = flag_of(v->gguf, TARE_GGUF_KEY_ADD_BOS, v->pre ? v->pre->begins : true) &&
                        token_of(v->gguf, TARE_GGUF_KEY_BOS, &bos, &n_bos);
    const bool ends =
        flag_of(v->gguf, TARE_GGUF_KEY_ADD_EOS, false) && token_of(v->gguf, TARE_GGUF_KEY_EOS, &eos, &n_eos);
    if (!begins && !ends) {
        tare_text_puts(v->out, "  \"post_processor\": null,\n");
        return;
    }
    tare_text_puts(v->out, "  \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [");
    for (int pair = 0; pair < 2; pair++) {
        for (int k = 0; k <= pair; k++) {
            if (begins)
                put_special(v->out, bos, n_bos);
            tare_text_format(v->out, "%s{\"Sequence\": {\"id\": \"%s\", \"type_id\": %d}}%s", begins ? ", " : "",
                             k ? "B" : "A", k, ends ? ", " : "");
            if (ends)
                put_special(v->out, eos, n_eos);
            tare_text_puts(v->out, k < pair ? ", " : "");
        }
        tare_text_puts(v->out, pair ? "], \"special_tokens\": {" : "], \"pair\": [");
    }
    if (begins)
        put_special_id(v->out, v->gguf, TARE_GGUF_KEY_BOS, bos, n_bos);
    if (ends && !(begins && n_bos == n_eos && !memcmp(bos, eos, n_eos))) {
        tare_text_puts(v->out, begins ? ", " : "");
        put_special_id(v->out, v->gguf, TARE_GGUF_KEY_EOS, eos, n_eos);
    }
    tare_text_puts(v->out, "}},\n");
}

static void put_vocab(const struct vocabulary *v)
{
    const unsigned char *cursor = NULL;
    const char *text;
    uint64_t done = 0;
    size_t n;
    tare_text_puts(v->out, "\"vocab\": {");
    while (tare_gguf_next_text(v->tokens, &done, &cursor, &text, &n)) {
        tare_text_puts(v->out, done > 1 ? ", " : "");
        tare_gguf_quote(v->out, text, n);
        tare_text_format(v->out, ": %" PRIu64, done - 1);
    }
    tare_text_puts(v->out, "}, ");
}

static void put_merges(const struct vocabulary *v)
{
    const struct tare_gguf_value *merges = tare_gguf_of(v->gguf, TARE_GGUF_KEY_MERGES);
    const unsigned char *cursor = NULL;
    const char *text;
    uint64_t done = 0;
    size_t n;
    tare_text_puts(v->out, "\"merges\": [");
    while (tare_gguf_next_text(merges, &done, &cursor, &text, &n)) {
        tare_text_puts(v->out, done > 1 ? ", " : "");
        tare_gguf_quote(v->out, text, n);
    }
    tare_text_puts(v->out, "]");
}

static bool put_model(const struct vocabulary *v)
{
    const char *unknown = NULL;
    size_t n = 0;
    bool room = true;
    tare_text_puts(v->out, "  \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": ");
    if (!v->pre && token_of(v->gguf, TARE_GGUF_KEY_UNKNOWN, &unknown, &n))
        tare_gguf_quote(v->out, unknown, n);
    else
        tare_text_puts(v->out, "null");
    tare_text_format(v->out,
                     ", \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": %s, "
                     "\"byte_fallback\": %s, \"ignore_merges\": %s, ",
                     v->pre ? "false" : "true", v->pre ? "false" : "true",
                     v->pre && v->pre->whole_words ? "true" : "false");
    put_vocab(v);
    if (v->pre)
        put_merges(v);
    else
        room = tare_gguf_merges(v->tokens, v->types, tare_gguf_of(v->gguf, TARE_GGUF_KEY_SCORES), v->out);
    tare_text_puts(v->out, "}\n}\n");
    return room;
}

/* ---- tokenizer_config.json ----------------------------------------------------------------------------------- */

static void put_template(struct tare_text *out, const char *name, const struct tare_gguf_value *template)
{
    tare_text_puts(out, "{\"name\": ");
    tare_gguf_quote(out, name, strlen(name));
    tare_text_puts(out, ", \"template\": ");
    tare_gguf_quote(out, (const char *)template->at, (size_t) template->n);
    tare_text_puts(out, "}");
}

/* tokenizer.chat_template, and tokenizer.chat_template.NAME where there are several. */
static void put_templates(const struct tare_gguf *gguf, struct tare_text *out)
{
    const char *key = tare_gguf_metadata[TARE_GGUF_KEY_CHAT_TEMPLATE].gguf;
    const struct tare_gguf_value *usual = tare_gguf_find(gguf, key);
    const size_t n = strlen(key);
    const char *comma = "";
    bool named = false;
    for (size_t i = 0; i < gguf->n_pairs && !named; i++)
        named = !strncmp(gguf->pairs[i].key, key, n) && gguf->pairs[i].key[n] == '.' &&
                gguf->pairs[i].value.type == TARE_GGUF_TEXT;
    if (usual && usual->type != TARE_GGUF_TEXT)
        usual = NULL;
    if (!usual && !named)
        return;
    tare_text_puts(out, ",\n  \"chat_template\": ");
    if (!named) {
        tare_gguf_quote(out, (const char *)usual->at, (size_t)usual->n);
        return;
    }
    tare_text_puts(out, "[");
    for (size_t i = 0; i < gguf->n_pairs; i++) {
        const struct tare_gguf_pair *pair = &gguf->pairs[i];
        const bool own = !strcmp(pair->key, key);
        if (pair->value.type != TARE_GGUF_TEXT || strncmp(pair->key, key, n) != 0 || (!own && pair->key[n] != '.'))
            continue;
        tare_text_puts(out, comma);
        put_template(out, own ? "default" : pair->key + n + 1, &pair->value);
        comma = ", ";
    }
    tare_text_puts(out, "]");
}

static void put_config(const struct tare_gguf *gguf, struct tare_text *out)
{
    const char *text;
    size_t n;
    tare_text_puts(out, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"clean_up_tokenization_spaces\": "
                        "false");
    for (enum tare_gguf_key key = TARE_GGUF_KEY_NONE; key < TARE_GGUF_KEYS; key++)
        if (tare_gguf_metadata[key].place == TARE_GGUF_TOKENIZER && token_of(gguf, key, &text, &n)) {
            tare_text_format(out, ",\n  \"%s\": ", tare_gguf_metadata[key].own);
            tare_gguf_quote(out, text, n);
        }
    put_templates(gguf, out);
    tare_text_puts(out, "\n}\n");
}

/* ---- the kind of vocabulary
 * ----------------------------------------------------------------------------------------------------- */

/* Finds the kind of the vocabulary and fills v->tokens, types, pre and space. Returns why it is not known, or NULL. */
static const char *choose(struct vocabulary *v, struct tare_arena *arena)
{
    const char *model = tare_gguf_word(v->gguf, arena, tare_gguf_metadata[TARE_GGUF_KEY_TOKENIZER_MODEL].gguf, "");
    const char *name = tare_gguf_word(v->gguf, arena, tare_gguf_metadata[TARE_GGUF_KEY_TOKENIZER_PRE].gguf, "");
    v->tokens = tare_gguf_of(v->gguf, TARE_GGUF_KEY_TOKENS);
    v->types = tare_gguf_of(v->gguf, TARE_GGUF_KEY_TOKEN_TYPES);
    if (!model || !name)
        return NULL;
    if (!v->tokens || v->tokens->type != TARE_GGUF_LIST || v->tokens->item != TARE_GGUF_TEXT)
        return "has no vocabulary: text cannot be encoded";
    if (!strcmp(model, "llama")) {
        v->space = flag_of(v->gguf, TARE_GGUF_KEY_ADD_SPACE, true);
        return tare_gguf_of(v->gguf, TARE_GGUF_KEY_SCORES) ? NULL : "has a vocabulary of SentencePiece without scores";
    }
    if (strcmp(model, "gpt2") != 0)
        return tare_arena_format(arena,
                                 "has a vocabulary of the kind \"%.64s\": text cannot be encoded; tare reads gpt2 and "
                                 "llama",
                                 model);
    if (!(v->pre = tare_gguf_pre_find(name)))
        return tare_arena_format(arena,
                                 "has a vocabulary whose text is cut by \"%.64s\" (tokenizer.ggml.pre), which is not "
                                 "known: text cannot be encoded",
                                 name);
    return tare_gguf_of(v->gguf, TARE_GGUF_KEY_MERGES) ? NULL : "has a vocabulary of gpt2's kind without merges";
}

enum tare_code tare_gguf_tokenizer(const struct tare_gguf *gguf, struct tare_arena *arena, struct tare_text *tokenizer,
                                   struct tare_text *config, const char **refusal, struct tare_error *err)
{
    struct vocabulary v = {.gguf = gguf, .out = tokenizer};
    *refusal = choose(&v, arena);
    if (arena->failed)
        return tare_fail_memory(err);
    if (v.tokens)
        put_config(gguf, config);
    if (*refusal)
        return config->failed ? tare_fail_memory(err) : TARE_OK;
    tare_text_puts(tokenizer, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_added(&v);
    put_stages(&v);
    put_ends(&v);
    const bool room = put_model(&v);
    return room && !tokenizer->failed && !config->failed ? TARE_OK : tare_fail_memory(err);
}
