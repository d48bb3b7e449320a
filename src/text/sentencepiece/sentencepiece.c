/* SPDX-License-Identifier: MIT
 * sentencepiece.c - reads tokenizer.model, SentencePiece's own file: a protobuf message of pieces with scores, of
 * what was asked for in training, and of how texts are normalized. Source: sentencepiece 0.2,
 * sentencepiece_model.proto, model_interface, bpe_model and unigram_model. */
#include "text/sentencepiece/sentencepiece.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/made.h"
#include "text/sentencepiece/protobuf.h"
#include "text/unicode.h"

static const char file[] = "tokenizer.model";

enum type { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };
enum { UNIGRAM = 1, BPE = 2 };

struct piece {
    struct tare_slice text;
    float score;
    int64_t type;
};
struct model {
    struct piece *pieces;
    size_t n, room;
    int64_t kind;
    bool byte_fallback;
    /* A sum of TARE_SPACE_ flags. */
    int mode;
    struct tare_slice charsmap, bos, eos;
    /* The number of the unknown piece, or -1. */
    int64_t unknown;
};

static enum tare_code damaged(struct tare_error *err)
{
    return tare_fail(err, TARE_E_FORMAT, file, "is no protobuf message of SentencePiece's, or was cut: fetch it again");
}

static struct tare_slice slice_of(const struct tare_proto_field *field)
{
    return (struct tare_slice){field->bytes, (uint32_t)field->size};
}

static void set_flag(int *mode, int flag, uint64_t on)
{
    *mode = on ? *mode | flag : *mode & ~flag;
}

/* ---- reading the message; the size of the file, and so of every text, is below 4 GB ------------------------------ */

/* SentencePiece: 1 piece (text), 2 score (float), 3 type. */
static bool read_piece(struct model *model, struct tare_proto proto, struct tare_error *err)
{
    struct piece piece = {.type = NORMAL};
    struct tare_proto_field field;
    while (tare_proto_next(&proto, &field)) {
        if (field.number == 1 && field.wire == TARE_PROTO_BYTES)
            piece.text = slice_of(&field);
        else if (field.number == 2 && field.wire == TARE_PROTO_NARROW)
            piece.score = tare_proto_float(&field);
        else if (field.number == 3 && field.wire == TARE_PROTO_WHOLE)
            piece.type = (int64_t)field.whole;
    }
    if (proto.damaged) {
        damaged(err);
    } else if (!piece.text.size || memchr(piece.text.text, '\0', piece.text.size) ||
               tare_utf8_check(piece.text.text, piece.text.size) < piece.text.size || !isfinite(piece.score)) {
        tare_fail(err, TARE_E_FORMAT, file, "piece %zu is empty, no UTF-8, has U+0000, or its score is no number",
                  model->n);
    } else if (!tare_grow(&model->pieces, &model->room, model->n + 1, sizeof *model->pieces)) {
        tare_fail_memory(err);
    } else {
        model->pieces[model->n++] = piece;
        return true;
    }
    return false;
}

/* TrainerSpec: 3 model_type, 24 treat_whitespace_as_suffix, 35 byte_fallback, 46 bos_piece, 47 eos_piece. */
static bool read_trainer(struct model *model, struct tare_proto proto)
{
    struct tare_proto_field field;
    while (tare_proto_next(&proto, &field)) {
        if (field.number == 3 && field.wire == TARE_PROTO_WHOLE)
            model->kind = (int64_t)field.whole;
        else if (field.number == 24 && field.wire == TARE_PROTO_WHOLE)
            set_flag(&model->mode, TARE_SPACE_BEHIND, field.whole);
        else if (field.number == 35 && field.wire == TARE_PROTO_WHOLE)
            model->byte_fallback = field.whole;
        else if (field.number == 46 && field.wire == TARE_PROTO_BYTES)
            model->bos = slice_of(&field);
        else if (field.number == 47 && field.wire == TARE_PROTO_BYTES)
            model->eos = slice_of(&field);
    }
    return !proto.damaged;
}

/* NormalizerSpec: 2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces, 5 escape_whitespaces. */
static bool read_normalizer(struct model *model, struct tare_proto proto)
{
    struct tare_proto_field field;
    while (tare_proto_next(&proto, &field)) {
        if (field.number == 2 && field.wire == TARE_PROTO_BYTES)
            model->charsmap = slice_of(&field);
        else if (field.number == 3 && field.wire == TARE_PROTO_WHOLE)
            set_flag(&model->mode, TARE_SPACE_BEFORE, field.whole);
        else if (field.number == 4 && field.wire == TARE_PROTO_WHOLE)
            set_flag(&model->mode, TARE_SPACE_ONCE, field.whole);
        else if (field.number == 5 && field.wire == TARE_PROTO_WHOLE)
            set_flag(&model->mode, TARE_SPACE_MARKED, field.whole);
    }
    return !proto.damaged;
}

/* Tells tiktoken's files, which some models call tokenizer.model too, by their first line: base64, a space, a rank
 * ("IQ== 0"). */
static bool is_tiktoken(const char *bytes, size_t size)
{
    const char *end = memchr(bytes, '\n', size < 512 ? size : 512), *space = end ? memchr(bytes, ' ', size) : NULL;
    if (!space || space >= end || space == bytes || space + 1 == end)
        return false;
    for (const char *p = bytes; p < end; p++)
        if (p != space && (*p < '!' || *p > 'z' || (p > space && (*p < '0' || *p > '9'))))
            return false;
    return true;
}

/* ModelProto: 1 pieces (repeated), 2 trainer_spec, 3 normalizer_spec. */
static enum tare_code read_message(struct model *model, const char *bytes, size_t size, struct tare_error *err)
{
    struct tare_proto proto = {.at = bytes, .end = bytes + size};
    struct tare_proto_field field;
    struct tare_error why = {0};
    bool fine = true;
    while (fine && tare_proto_next(&proto, &field)) {
        if (field.wire != TARE_PROTO_BYTES)
            continue;
        const struct tare_proto inner = {.at = field.bytes, .end = field.bytes + field.size};
        if (field.number == 1)
            fine = read_piece(model, inner, &why);
        else if (field.number == 2)
            fine = read_trainer(model, inner);
        else if (field.number == 3)
            fine = read_normalizer(model, inner);
    }
    if (why.code) {
        if (err)
            *err = why;
        return why.code;
    }
    return fine && !proto.damaged && model->n ? TARE_OK : damaged(err);
}

static enum tare_code check(struct model *model, struct tare_error *err)
{
    model->unknown = -1;
    if (model->kind != UNIGRAM && model->kind != BPE)
        return tare_fail(err, TARE_E_UNKNOWN, file,
                         "model_type %lld is not known to this version of tare; it knows unigram (1) and bpe (2)",
                         (long long)model->kind);
    /* The space goes after the text instead of before it, but only if one was asked for at all. */
    if (model->mode & TARE_SPACE_BEHIND)
        model->mode &= model->mode & TARE_SPACE_BEFORE ? ~TARE_SPACE_BEFORE : ~TARE_SPACE_BEHIND;
    for (size_t i = 0; i < model->n; i++) {
        const int64_t type = model->pieces[i].type;
        if (type < NORMAL || type > BYTE || (type == UNUSED && model->kind == BPE))
            return tare_fail(err, TARE_E_UNKNOWN, file, "piece %zu is of type %lld, which is not known to this version",
                             i, (long long)type);
        if (type == UNKNOWN && model->unknown >= 0)
            return tare_fail(err, TARE_E_FORMAT, file, "pieces %lld and %zu are both the unknown one",
                             (long long)model->unknown, i);
        if (type == UNKNOWN)
            model->unknown = (int64_t)i;
    }
    return model->unknown >= 0 ? TARE_OK : tare_fail(err, TARE_E_FORMAT, file, "no piece is the unknown one");
}

/* ---- what the tokenizer is made of ------------------------------------------------------------------------------- */

/* Returns the number of the control piece with this text, or -1. */
static int64_t control_of(const struct model *model, struct tare_slice text)
{
    for (size_t i = 0; i < model->n; i++) {
        const struct piece *piece = &model->pieces[i];
        if (piece->type == CONTROL && piece->text.size == text.size && !memcmp(piece->text.text, text.text, text.size))
            return (int64_t)i;
    }
    return -1;
}

/* The score of a piece; -INFINITY for a piece that is never found in a text. SentencePiece's unigram_model gives a
 * user-defined piece length * max_score - 0.1, so that it beats all others; with max_score at least FLT_MIN, the
 * product adds nothing to the sum. */
static double score_of(const struct model *model, const struct piece *piece)
{
    if (model->kind == UNIGRAM && piece->type == USER_DEFINED)
        return -0.1;
    return piece->type == NORMAL || (model->kind == BPE && piece->type == USER_DEFINED) ? (double)piece->score
                                                                                        : -INFINITY;
}

static enum tare_code fill_vocab(const struct model *model, struct tare_tokenizer_json *json, struct tare_error *err)
{
    struct tare_scored *pieces = calloc(model->n + 1, sizeof *pieces);
    bool room = pieces && tare_made_vocab(json, model->n);
    for (size_t i = 0; i < model->n && room; i++) {
        const struct piece *piece = &model->pieces[i];
        json->vocab[i] = (struct tare_vocab_entry){piece->text, (uint32_t)i};
        json->scores[i] = score_of(model, piece);
        pieces[i] =
            (struct tare_scored){piece->text.text, piece->text.size, piece->type == NORMAL, (double)piece->score};
    }
    json->n_vocab = model->n;
    json->has_vocab = true;
    json->scored = model->kind == UNIGRAM;
    room = room && (json->scored || tare_made_merges(json, pieces, model->n));
    free(pieces);
    return room ? TARE_OK : tare_fail_memory(err);
}

/* Collects the user-defined pieces: normalizing leaves them as they are, and BPE cuts the text at them. */
static enum tare_code fill_kept(const struct model *model, struct tare_tokenizer *tokenizer, struct tare_error *err)
{
    struct tare_added_token *tokens = calloc(model->n + 1, sizeof *tokens);
    size_t n = 0;
    enum tare_code code = tokens ? TARE_OK : tare_fail_memory(err);
    for (size_t i = 0; i < model->n && !code; i++) {
        const struct piece *piece = &model->pieces[i];
        if (piece->type != USER_DEFINED)
            continue;
        const char *text = tare_arena_copy(&tokenizer->arena, piece->text.text, piece->text.size);
        tokens[n++] = (struct tare_added_token){.content = {text, piece->text.size}, .id = (uint32_t)i};
        code = text ? TARE_OK : tare_fail_memory(err);
    }
    if (!code)
        code = tare_added_set_make(&tokenizer->added.kept, tokens, n, err);
    if (!code && model->kind == BPE)
        code = tare_added_set_make(&tokenizer->added.normalized, tokens, n, err);
    free(tokens);
    return code;
}

static enum tare_code fill_normalizer(const struct model *model, struct tare_tokenizer *tokenizer,
                                      struct tare_error *err)
{
    struct tare_steps *steps = &tokenizer->normalizers;
    const struct tare_slice charsmap = {
        tare_arena_copy(&tokenizer->arena, model->charsmap.size ? model->charsmap.text : "", model->charsmap.size),
        model->charsmap.size};
    if (!charsmap.text || !tare_grow(&steps->items, &steps->room, 1, sizeof *steps->items))
        return tare_fail_memory(err);
    steps->n = 1;
    return tare_sentencepiece_normalizer(&steps->items[0], charsmap, model->mode, &tokenizer->added.kept, file, err);
}

static json_t *decoder_of(const struct model *model)
{
    json_t *list = json_array();
    int failed = !list;
    if (model->mode & TARE_SPACE_MARKED)
        failed |= json_array_append_new(list, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String",
                                                        "\xe2\x96\x81", "content", " "));
    if (model->byte_fallback)
        failed |= json_array_append_new(list, json_pack("{s:s}", "type", "ByteFallback"));
    failed |= json_array_append_new(list, json_pack("{s:s}", "type", "Fuse"));
    /* SentencePiece strips a space at the front even where it adds one at the end. */
    if (model->mode & (TARE_SPACE_BEFORE | TARE_SPACE_BEHIND | TARE_SPACE_ONCE))
        failed |=
            json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ", "start",
                                                  model->mode & TARE_SPACE_ONCE ? INT16_MAX : 1, "stop", 0));
    if (!failed)
        return json_pack("{s:s, s:o}", "type", "Sequence", "decoders", list);
    json_decref(list);
    return NULL;
}

static json_t *model_of(const struct model *model)
{
    const struct tare_slice unknown = model->pieces[model->unknown].text;
    if (model->kind == UNIGRAM)
        return json_pack("{s:s, s:I, s:b}", "type", "Unigram", "unk_id", (json_int_t)model->unknown, "byte_fallback",
                         model->byte_fallback);
    json_t *text = json_stringn(unknown.text, unknown.size);
    return text ? json_pack("{s:s, s:o, s:b, s:b}", "type", "BPE", "unk_token", text, "fuse_unk", 1, "byte_fallback",
                            model->byte_fallback)
                : NULL;
}

/* Writes the tree that tokenizer.json would have. Control pieces become added tokens, since chat templates write them
 * as text; SentencePiece itself does not find them there. */
static enum tare_code fill_tree(const struct model *model, struct tare_tokenizer_json *json,
                                const struct tare_made_config *config, struct tare_error *err)
{
    const int64_t bos = control_of(model, model->bos), eos = control_of(model, model->eos);
    json_t *added = json_array();
    enum tare_code code = added ? TARE_OK : tare_fail_memory(err);
    for (size_t i = 0; i < model->n && !code; i++) {
        const struct piece *piece = &model->pieces[i];
        if ((piece->type == CONTROL || piece->type == UNKNOWN) &&
            json_array_append_new(added, tare_made_token((int64_t)i, piece->text.text, piece->text.size, true)))
            code = tare_fail_memory(err);
    }
    if (!code)
        code = tare_made_add(added, config, err);
    json->made = true;
    json->eos = (int32_t)eos;
    json->root = json_object();
    if (code || !json->root) {
        json_decref(added);
        return code ? code : tare_fail_memory(err);
    }
    int failed = json_object_set_new(json->root, "added_tokens", added);
    failed |= json_object_set_new(json->root, "decoder", decoder_of(model));
    failed |= json_object_set_new(json->root, "model", model_of(model));
    failed |= json_object_set_new(json->root, "post_processor",
                                  tare_made_ends(config, bos, model->kind == BPE, eos, model->kind == UNIGRAM));
    return failed ? tare_fail_memory(err) : TARE_OK;
}

enum tare_code tare_sentencepiece_read(struct tare_tokenizer *tokenizer, struct tare_tokenizer_json *json,
                                       const struct tare_made_config *config, const char *bytes, size_t size,
                                       struct tare_error *err)
{
    struct model model = {.kind = UNIGRAM,
                          .mode = TARE_SPACE_BEFORE | TARE_SPACE_ONCE | TARE_SPACE_MARKED,
                          .bos = {"<s>", 3},
                          .eos = {"</s>", 4}};
    json->file = file;
    if (is_tiktoken(bytes, size))
        return tare_fail(
            err, TARE_E_UNKNOWN, file,
            "lists ranks of tiktoken's, and the expression that goes with them is in the model's code only; "
            "take the tokenizer.json of the same model");
    enum tare_code code = read_message(&model, bytes, size, err);
    if (!code)
        code = check(&model, err);
    if (!code)
        code = fill_vocab(&model, json, err);
    if (!code)
        code = fill_tree(&model, json, config, err);
    if (!code)
        code = fill_kept(&model, tokenizer, err);
    if (!code)
        code = fill_normalizer(&model, tokenizer, err);
    free(model.pieces);
    return code;
}
