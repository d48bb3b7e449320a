/* SPDX-License-Identifier: MIT
 * gguf_vocabulary.c - tokenizer.json, tokenizer_config.json and the chat template as metadata of GGUF.
 *
 * llama.cpp has no stages: it knows a few kinds by name. BPE over bytes is "gpt2", with merges, and what cuts the text
 * before by its name (the table of gguf/pre_tokenizers.c); BPE with a fallback to bytes is SentencePiece's,
 * "llama", whose pieces have scores: here the place of the first merge that makes a piece, so that the same neighbours
 * are joined first. What none of its kinds does is refused: it would read text otherwise. Source: llama.cpp,
 * src/llama-vocab.cpp, conversion/base.py; gguf-py, gguf/vocab.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/spelling.h"
#include "save/gguf_write.h"
#include "text/tokenizer_json.h"

#define MOST ((uint64_t)1 << 30)
#define SPACE "\xe2\x96\x81" /* U+2581, SentencePiece's space */

struct token {
    const char *text; /* NULL: no token has this number */
    size_t n;
    int kind;
    double score;
};

struct vocabulary {
    const struct tare_model *model;
    struct tare_pairs *pairs;
    const struct tare_convert_options *options;
    struct tare_tokenizer_json json, config; /* tokenizer.json; tokenizer_config.json */
    json_t *generation;                      /* borrowed */
    struct token *tokens;                    /* heap */
    int64_t n;
    struct tare_map by_text;
    bool pieces; /* SentencePiece's kind */
    struct tare_error *err;
};

static enum tare_code refuse(const struct vocabulary *v, const char *what)
{
    return tare_fail(v->err, TARE_E_TARGET, "tokenizer.json",
                     "%s, which no reader of GGUF does; --to mlx or dense keeps it", what);
}

static const char *text_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : "";
}

/* ---- the kind of tokenizer
 * ------------------------------------------------------------------------------------------------ */

/* A stage, or the stages of a sequence: number k of them, NULL past the end. */
static const json_t *stage_at(const json_t *stage, const char *list, size_t k)
{
    if (!json_is_object(stage))
        return NULL;
    if (strcmp(text_at(stage, "type"), "Sequence") != 0)
        return k ? NULL : stage;
    return json_array_get(json_object_get(stage, list), k);
}

/* The cutting of a BPE over bytes: what ByteLevel does, or an expression in front of it. False: another one. */
static bool read_cuts(const json_t *root, const char **expression, bool *digits)
{
    const json_t *stage, *all = json_object_get(root, "pre_tokenizer");
    bool bytes = false;
    *expression = NULL;
    *digits = false;
    for (size_t k = 0; (stage = stage_at(all, "pretokenizers", k)); k++) {
        const char *type = text_at(stage, "type");
        if (bytes)
            return false;
        if (!strcmp(type, "ByteLevel")) {
            const bool own = !json_is_false(json_object_get(stage, "use_regex"));
            if (json_is_true(json_object_get(stage, "add_prefix_space")) || own == (*expression != NULL))
                return false;
            bytes = true;
        } else if (!strcmp(type, "Split") && !*expression && !*digits &&
                   !strcmp(text_at(stage, "behavior"), "Isolated") && !json_is_true(json_object_get(stage, "invert"))) {
            *expression = text_at(json_object_get(stage, "pattern"), "Regex");
        } else if (!strcmp(type, "Digits") && !k && json_is_true(json_object_get(stage, "individual_digits"))) {
            *digits = true;
        } else {
            return false;
        }
    }
    return bytes;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static enum tare_code put_bytes_kind(struct vocabulary *v)
{
    const json_t *root = v->json.root, *normalizer = json_object_get(root, "normalizer");
    const bool whole = json_is_true(json_object_get(json_object_get(root, "model"), "ignore_merges"));
    const char *expression;
    bool digits;
    if (json_is_object(normalizer) && strcmp(text_at(normalizer, "type"), "NFC") != 0)
        return refuse(v, "its normalizer changes the text");
    if (json_is_object(normalizer) && v->options->note)
        v->options->note(
            v->options->user, "tokenizer.json: normalizer",
            "readers of GGUF do not compose characters (NFC): a text with decomposed ones is read otherwise");
    if (!read_cuts(root, &expression, &digits))
        return refuse(v, "its pre_tokenizer has other stages than an expression or Digits before ByteLevel");
    const struct tare_gguf_pre *pre, *found = NULL;
    for (size_t k = 0; (pre = tare_gguf_pre_at(k)) && !found; k++)
        if (!pre->cuts && same_text(pre->expression, expression) && pre->digits == digits && pre->whole_words == whole)
            found = pre;
    if (!found)
        return refuse(v, "its pre_tokenizer cuts by an expression that tare knows no name for");
    tare_pairs_text(v->pairs, TARE_GGUF_KEY_TOKENIZER_MODEL, "gpt2", 4);
    tare_pairs_text(v->pairs, TARE_GGUF_KEY_TOKENIZER_PRE, found->name, strlen(found->name));
    return TARE_OK;
}

/* " " -> U+2581 by a normalizer (and one in front), or by Metaspace. False: something else is done as well. */
static bool read_spaces(const json_t *root, bool *front)
{
    const json_t *stage, *normalizer = json_object_get(root, "normalizer"),
                         *cuts = json_object_get(root, "pre_tokenizer");
    bool replaced = false;
    *front = false;
    for (size_t k = 0; (stage = stage_at(normalizer, "normalizers", k)); k++) {
        const char *type = text_at(stage, "type");
        if (!strcmp(type, "Prepend") && !strcmp(text_at(stage, "prepend"), SPACE))
            *front = true;
        else if (!strcmp(type, "Replace") && !strcmp(text_at(json_object_get(stage, "pattern"), "String"), " ") &&
                 !strcmp(text_at(stage, "content"), SPACE))
            replaced = true;
        else
            return false;
    }
    for (size_t k = 0; (stage = stage_at(cuts, "pretokenizers", k)); k++) {
        const char *type = text_at(stage, "type");
        if (!strcmp(type, "Metaspace") && !replaced && !strcmp(text_at(stage, "replacement"), SPACE)) {
            const json_t *scheme = json_object_get(stage, "prepend_scheme");
            *front = scheme ? strcmp(json_string_value(scheme) ? json_string_value(scheme) : "", "never") != 0
                            : !json_is_false(json_object_get(stage, "add_prefix_space"));
            replaced = true;
        } else if (strcmp(type, "Split") != 0 || !replaced ||
                   strcmp(text_at(json_object_get(stage, "pattern"), "String"), " ") != 0) {
            return false; /* a cut at spaces, of which none are left, does nothing */
        }
    }
    return replaced;
}

static enum tare_code put_pieces_kind(struct vocabulary *v)
{
    bool front;
    if (!read_spaces(v->json.root, &front))
        return refuse(v, "it treats spaces otherwise than SentencePiece");
    tare_pairs_text(v->pairs, TARE_GGUF_KEY_TOKENIZER_MODEL, "llama", 5);
    tare_pairs_text(v->pairs, TARE_GGUF_KEY_TOKENIZER_PRE, "default", 7);
    tare_pairs_flag(v->pairs, TARE_GGUF_KEY_ADD_SPACE, front);
    return TARE_OK;
}

/* ---- tokens ---------------------------------------------------------------------------------------------------- */

static bool is_byte(const char *text, size_t n)
{
    return n == 6 && !memcmp(text, "<0x", 3) && text[5] == '>' && strspn(text + 3, "0123456789ABCDEFabcdef") == 2;
}

static enum tare_code set_token(struct vocabulary *v, int64_t id, const char *text, size_t n, int kind)
{
    if (id < 0 || id >= v->n) /* beyond the rows of the embedding: no model gives it */
        return TARE_OK;
    v->tokens[id] = (struct token){text, n, kind, 0};
    return tare_map_put(&v->by_text, text, n, (uint32_t)id, NULL) ? TARE_OK : tare_fail_memory(v->err);
}

static enum tare_code collect(struct vocabulary *v)
{
    const json_t *root = v->json.root, *added = json_object_get(root, "added_tokens");
    const char *unknown = text_at(json_object_get(root, "model"), "unk_token");
    enum tare_code code = TARE_OK;
    for (size_t k = 0; !code && k < v->json.n_vocab; k++) {
        const struct tare_vocab_entry *entry = &v->json.vocab[k];
        const bool unk = v->pieces && strlen(unknown) == entry->token.size && *unknown &&
                         !memcmp(unknown, entry->token.text, entry->token.size);
        code = set_token(v, entry->id, entry->token.text, entry->token.size,
                         unk                                                          ? TARE_GGUF_UNKNOWN
                         : v->pieces && is_byte(entry->token.text, entry->token.size) ? TARE_GGUF_BYTE
                                                                                      : TARE_GGUF_NORMAL);
    }
    for (size_t k = 0; !code && k < json_array_size(added); k++) {
        const json_t *token = json_array_get(added, k), *id = json_object_get(token, "id");
        const json_t *content = json_object_get(token, "content");
        if (!json_is_integer(id) || !json_is_string(content))
            return tare_fail(v->err, TARE_E_FORMAT, "tokenizer.json", "added_tokens: an entry without id or content");
        const int64_t number = json_integer_value(id);
        const bool unk = v->pieces && number >= 0 && number < v->n && v->tokens[number].kind == TARE_GGUF_UNKNOWN;
        code = set_token(v, number, json_string_value(content), json_string_length(content),
                         unk                                               ? TARE_GGUF_UNKNOWN
                         : json_is_true(json_object_get(token, "special")) ? TARE_GGUF_CONTROL
                                                                           : TARE_GGUF_USER_DEFINED);
    }
    return code;
}

/* The score of a piece is minus the place of the first merge that makes it: llama.cpp joins the neighbours with the
 * highest score first, so this keeps the order of the merges. */
static enum tare_code score(struct vocabulary *v)
{
    struct tare_text joined = {0};
    const size_t n = v->json.n_merges / 2;
    for (int64_t id = 0; id < v->n; id++)
        v->tokens[id].score = v->tokens[id].kind == TARE_GGUF_NORMAL ? -(double)n - 1 : 0;
    for (size_t k = n; k-- > 0;) { /* the first one last */
        const struct tare_slice *both = v->json.merges + 2 * k;
        joined.size = 0;
        tare_text_add(&joined, both[0].text, both[0].size);
        tare_text_add(&joined, both[1].text, both[1].size);
        const uint32_t id = joined.failed ? TARE_MAP_NONE : tare_map_get(&v->by_text, joined.data, joined.size);
        if (id != TARE_MAP_NONE)
            v->tokens[id].score = -(double)k;
    }
    const bool failed = joined.failed;
    tare_text_release(&joined);
    return failed ? tare_fail_memory(v->err) : TARE_OK;
}

static void put_tokens(struct vocabulary *v)
{
    struct tare_pairs *pairs = v->pairs;
    tare_pairs_list(pairs, TARE_GGUF_KEY_TOKENS, TARE_GGUF_TEXT, (uint64_t)v->n);
    for (int64_t id = 0; id < v->n; id++) {
        char name[40];
        const struct token *token = &v->tokens[id];
        const int n = snprintf(name, sizeof name, "[PAD%lld]", (long long)id);
        tare_put_string(&pairs->text, token->text ? token->text : name, token->text ? token->n : (size_t)n);
    }
    tare_pairs_list(pairs, TARE_GGUF_KEY_TOKEN_TYPES, TARE_GGUF_I32, (uint64_t)v->n);
    for (int64_t id = 0; id < v->n; id++)
        tare_put_bytes(&pairs->text, (uint64_t)(v->tokens[id].text ? v->tokens[id].kind : TARE_GGUF_UNUSED), 4);
    if (v->pieces) {
        tare_pairs_list(pairs, TARE_GGUF_KEY_SCORES, TARE_GGUF_F32, (uint64_t)v->n);
        for (int64_t id = 0; id < v->n; id++)
            tare_put_single(&pairs->text, v->tokens[id].score);
        return;
    }
    tare_pairs_list(pairs, TARE_GGUF_KEY_MERGES, TARE_GGUF_TEXT, v->json.n_merges / 2);
    for (size_t k = 0; k + 1 < v->json.n_merges; k += 2) {
        const struct tare_slice *both = v->json.merges + k;
        tare_put_bytes(&pairs->text, (uint64_t)both[0].size + 1 + both[1].size, 8);
        tare_text_add(&pairs->text, both[0].text, both[0].size);
        tare_text_add(&pairs->text, " ", 1);
        tare_text_add(&pairs->text, both[1].text, both[1].size);
    }
}

/* ---- special tokens -------------------------------------------------------------------------------------------- */

static int64_t id_of(const struct vocabulary *v, const json_t *token)
{
    const json_t *text = json_is_object(token) ? json_object_get(token, "content") : token;
    const uint32_t id = json_is_string(text)
                            ? tare_map_get(&v->by_text, json_string_value(text), json_string_length(text))
                            : TARE_MAP_NONE;
    return id == TARE_MAP_NONE ? -1 : (int64_t)id;
}

/* Number k of what the configs give for a key; -1: none. */
static int64_t config_id(const struct vocabulary *v, const char *key, size_t k)
{
    const json_t *config = v->model->inner_config && json_object_get(v->model->inner_config, key)
                               ? v->model->inner_config
                               : v->model->config;
    const json_t *value = json_object_get(v->generation, key);
    value = value && !json_is_null(value) ? value : json_object_get(config, key);
    value = json_is_array(value) ? json_array_get(value, k) : k ? NULL : value;
    const int64_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    return id < v->n ? id : -1;
}

static void put_id(const struct vocabulary *v, enum tare_gguf_key key, int64_t id)
{
    if (id >= 0)
        tare_pairs_integer(v->pairs, key, id);
}

/* The special tokens that the post_processor puts around a text; -1: none. False: more than one, or not around it. */
static bool read_ends(const struct vocabulary *v, int64_t *bos, int64_t *eos)
{
    const json_t *step, *post = json_object_get(v->json.root, "post_processor");
    *bos = *eos = -1;
    for (size_t k = 0; (step = stage_at(post, "processors", k)); k++) {
        const json_t *single = json_object_get(step, "single"), *item;
        const char *type = text_at(step, "type");
        bool behind = false;
        size_t i;
        if (!strcmp(type, "ByteLevel"))
            continue;
        if (strcmp(type, "TemplateProcessing") != 0)
            return false;
        json_array_foreach((json_t *)(uintptr_t)single, i, item)
        {
            const json_t *special = json_object_get(item, "SpecialToken");
            int64_t *end = behind ? eos : bos;
            behind = behind || json_object_get(item, "Sequence");
            if (!special)
                continue;
            if (*end >= 0 || (*end = id_of(v, json_object_get(special, "id"))) < 0)
                return false;
        }
    }
    return true;
}

static enum tare_code put_special(struct vocabulary *v)
{
    static const enum tare_gguf_key others[] = {TARE_GGUF_KEY_EOT, TARE_GGUF_KEY_EOM};
    const json_t *named = v->config.root;
    int64_t begins, ends, bos = id_of(v, json_object_get(named, "bos_token")),
                          eos = id_of(v, json_object_get(named, "eos_token"));
    if (!read_ends(v, &begins, &ends))
        return refuse(v, "its post_processor adds more than one token on either side");
    bos = begins >= 0 ? begins : bos >= 0 ? bos : config_id(v, "bos_token_id", 0);
    eos = ends >= 0 ? ends : eos >= 0 ? eos : config_id(v, "eos_token_id", 0);
    put_id(v, TARE_GGUF_KEY_BOS, bos);
    put_id(v, TARE_GGUF_KEY_EOS, eos);
    size_t n = 0;
    for (size_t k = 0; k < 8 && n < 2; k++) {
        const int64_t id = config_id(v, "eos_token_id", k);
        if (id >= 0 && id != eos)
            put_id(v, others[n++], id);
    }
    put_id(v, TARE_GGUF_KEY_UNKNOWN, id_of(v, json_object_get(named, "unk_token")));
    put_id(v, TARE_GGUF_KEY_PADDING, id_of(v, json_object_get(named, "pad_token")));
    tare_pairs_flag(v->pairs, TARE_GGUF_KEY_ADD_BOS, begins >= 0);
    tare_pairs_flag(v->pairs, TARE_GGUF_KEY_ADD_EOS, ends >= 0);
    return TARE_OK;
}

/* ---- chat template --------------------------------------------------------------------------------------------- */

static enum tare_code put_template(struct vocabulary *v)
{
    const json_t *given = json_object_get(v->config.root, "chat_template"), *one;
    const struct tare_checkpoint *checkpoint = &v->model->checkpoint;
    char *data = NULL;
    size_t size = 0, k;
    if (tare_checkpoint_has(checkpoint, "chat_template.jinja")) {
        const enum tare_code code = tare_checkpoint_read(checkpoint, "chat_template.jinja", MOST, &data, &size, v->err);
        if (!code)
            tare_pairs_text(v->pairs, TARE_GGUF_KEY_CHAT_TEMPLATE, data, size);
        free(data);
        return code;
    }
    if (json_is_string(given))
        tare_pairs_text(v->pairs, TARE_GGUF_KEY_CHAT_TEMPLATE, json_string_value(given), json_string_length(given));
    json_array_foreach((json_t *)(uintptr_t)given, k, one)
    {
        const char *name = text_at(one, "name");
        const json_t *text = json_object_get(one, "template");
        if (json_is_string(text) && !strcmp(name, "default"))
            tare_pairs_text(v->pairs, TARE_GGUF_KEY_CHAT_TEMPLATE, json_string_value(text), json_string_length(text));
    }
    return TARE_OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

static enum tare_code put_all(struct vocabulary *v)
{
    const json_t *model = json_object_get(v->json.root, "model");
    enum tare_code code;
    if (strcmp(text_at(model, "type"), "BPE") != 0 || !v->json.has_vocab)
        return refuse(v, "its model is no BPE");
    v->pieces = json_is_true(json_object_get(model, "byte_fallback"));
    v->tokens = calloc((size_t)v->n + 1, sizeof *v->tokens);
    if (!v->tokens)
        return tare_fail_memory(v->err);
    if ((code = v->pieces ? put_pieces_kind(v) : put_bytes_kind(v)) || (code = collect(v)) ||
        (v->pieces && (code = score(v))))
        return code;
    put_tokens(v);
    return (code = put_special(v)) ? code : put_template(v);
}

static enum tare_code read_file(const struct vocabulary *v, const char *file, struct tare_tokenizer_json *json,
                                char **data)
{
    size_t size = 0;
    if (!tare_checkpoint_has(&v->model->checkpoint, file))
        return TARE_OK;
    const enum tare_code code = tare_checkpoint_read(&v->model->checkpoint, file, MOST, data, &size, v->err);
    return code ? code : tare_tokenizer_json_read(json, file, *data, size, v->err);
}

enum tare_code tare_gguf_vocabulary(struct tare_pairs *pairs, const struct tare_model *model, int64_t rows,
                                    const struct tare_convert_options *options, struct tare_error *err)
{
    struct vocabulary v = {
        .model = model, .pairs = pairs, .options = options, .generation = model->generation, .n = rows, .err = err};
    char *text = NULL, *more = NULL;
    if (!tare_checkpoint_has(&model->checkpoint, "tokenizer.json")) {
        tare_pairs_text(pairs, TARE_GGUF_KEY_TOKENIZER_MODEL, "none", 4);
        if (options->note)
            options->note(options->user, "tokenizer.json",
                          "is not there: the GGUF file has no vocabulary, and readers "
                          "take numbers only");
        return TARE_OK;
    }
    if (rows >= (int64_t)TARE_MAP_NONE)
        return tare_fail(err, TARE_E_TARGET, "vocab_size", "more tokens than 32 bits count");
    enum tare_code code = read_file(&v, "tokenizer.json", &v.json, &text);
    if (!code)
        code = read_file(&v, "tokenizer_config.json", &v.config, &more);
    if (!code)
        code = put_all(&v);
    tare_map_release(&v.by_text);
    free(v.tokens);
    tare_tokenizer_json_release(&v.json);
    tare_tokenizer_json_release(&v.config);
    free(text);
    free(more);
    return code;
}
