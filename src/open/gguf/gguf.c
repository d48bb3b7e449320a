/* SPDX-License-Identifier: MIT
 * gguf.c - header, metadata and tensors of a GGUF file, every bound checked before anything is allocated for it.
 *
 * Little-endian: "GGUF", u32 version, u64 tensors, u64 pairs; each pair a text, a u32 type and a value; each tensor a
 * text, u32 axes, u64 sizes (innermost first), u32 type, u64 offset; padding; the data. Source: ggml's specification of
 * GGUF. */
#include "open/gguf/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "open/scan.h"

#define ALIGNMENT 32u       /* without general.alignment */
#define SMALLEST_PAIR 14u   /* bytes: length, one byte of key, type, one byte of value */
#define SMALLEST_TENSOR 33u /* length, one byte of name, axes, one size, type, offset */
#define MOST_AXES 4u

struct reader {
    struct tare_gguf *gguf;
    struct tare_arena *arena;
    const struct tare_gguf_source *source;
    uint64_t at, there;
    enum tare_code code; /* why bytes of the file could not be read, in err; or TARE_OK */
    struct tare_error *err;
};

static enum tare_code fail_short(const struct reader *r, const char *what)
{
    if (r->code)
        return r->code;
    return tare_fail(r->err, TARE_E_FORMAT, r->gguf->file,
                     "%s at byte %" PRIu64 " does not fit the file of %" PRIu64
                     " bytes: the download was cut short, or the header is damaged; fetch it again",
                     what, r->at, r->gguf->size);
}

/* The next n bytes, or NULL when the file does not have that many, or they cannot be read: fail_short() knows. */
static const unsigned char *take(struct reader *r, uint64_t n)
{
    if (r->code || r->gguf->size - r->at < n)
        return NULL;
    if (r->at + n > r->there && (r->code = r->source->hold(r->source->user, r->at + n, &r->there, r->err)))
        return NULL;
    const unsigned char *bytes = r->gguf->data + r->at;
    r->at += n;
    return bytes;
}

static uint64_t number_at(const unsigned char *bytes, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
        number |= (uint64_t)bytes[i] << 8 * i;
    return number;
}

static bool take_number(struct reader *r, size_t size, uint64_t *number)
{
    const unsigned char *bytes = take(r, size);
    *number = bytes ? number_at(bytes, size) : 0;
    return bytes != NULL;
}

static const unsigned char *take_text(struct reader *r, uint64_t *n)
{
    return take_number(r, 8, n) ? take(r, *n) : NULL;
}

/* Reads a key or a name into the arena. Refuses one that contains U+0000, and one that an earlier entry has. */
static enum tare_code take_name(struct reader *r, const char *what, struct tare_map *map, size_t number,
                                const char **name)
{
    uint64_t n = 0;
    uint32_t before;
    const unsigned char *bytes = take_text(r, &n);
    if (!bytes || !n)
        return bytes ? tare_fail(r->err, TARE_E_FORMAT, r->gguf->file, "%s %zu is empty", what, number)
                     : fail_short(r, what);
    if (memchr(bytes, 0, (size_t)n))
        return tare_fail(r->err, TARE_E_FORMAT, r->gguf->file,
                         "%s \"%s\" has U+0000 in it: the file is damaged or made to deceive", what,
                         tare_scan_word(bytes, (size_t)n).text);
    if (!(*name = tare_arena_copy(r->arena, (const char *)bytes, (size_t)n)) ||
        !tare_map_put(map, *name, (size_t)n, (uint32_t)number, &before))
        return tare_fail_memory(r->err);
    return before == TARE_MAP_NONE
               ? TARE_OK
               : tare_fail(r->err, TARE_E_FORMAT, r->gguf->file, "%s \"%s\" stands twice: which one counts is not said",
                           what, tare_scan_word(bytes, (size_t)n).text);
}

/* ---- metadata ------------------------------------------------------------------------------------------------ */

static size_t size_of(uint64_t type)
{
    static const unsigned char sizes[TARE_GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < TARE_GGUF_TYPES ? sizes[type] : 0;
}

static enum tare_code fail_type(const struct reader *r, const char *key, uint64_t type)
{
    return tare_fail(r->err, TARE_E_UNKNOWN, r->gguf->file,
                     "the value of %s is of type %" PRIu64 "; tare knows 0 to 12", key, type);
}

static enum tare_code take_list(struct reader *r, const char *key, struct tare_gguf_value *value)
{
    uint64_t type;
    if (!take_number(r, 4, &type) || !take_number(r, 8, &value->n))
        return fail_short(r, key);
    if (type >= TARE_GGUF_TYPES)
        return fail_type(r, key, type);
    if (type == TARE_GGUF_LIST)
        return tare_fail(r->err, TARE_E_UNKNOWN, r->gguf->file, "%s is a list of lists, which no known key is", key);
    value->item = (enum tare_gguf_type)type;
    const size_t item = type == TARE_GGUF_TEXT ? 8 : size_of(type); /* a text is at least its length */
    if (value->n > (r->gguf->size - r->at) / item)
        return fail_short(r, key);
    value->at = r->gguf->data + r->at;
    if (type != TARE_GGUF_TEXT)
        return take(r, value->n * item) ? TARE_OK : fail_short(r, key);
    for (uint64_t i = 0, n; i < value->n; i++)
        if (!take_text(r, &n))
            return fail_short(r, key);
    return TARE_OK;
}

static enum tare_code take_value(struct reader *r, const char *key, struct tare_gguf_value *value)
{
    uint64_t type;
    if (!take_number(r, 4, &type))
        return fail_short(r, key);
    if (type >= TARE_GGUF_TYPES)
        return fail_type(r, key, type);
    value->type = (enum tare_gguf_type)type;
    if (type == TARE_GGUF_LIST)
        return take_list(r, key, value);
    value->at = type == TARE_GGUF_TEXT ? take_text(r, &value->n) : take(r, size_of(type));
    if (!value->at)
        return fail_short(r, key);
    if (type == TARE_GGUF_BOOL && *value->at > 1)
        return tare_fail(r->err, TARE_E_FORMAT, r->gguf->file, "%s is a truth value of %d: the header is damaged", key,
                         *value->at);
    return TARE_OK;
}

static enum tare_code take_pairs(struct reader *r, uint64_t n)
{
    struct tare_gguf *gguf = r->gguf;
    if (n > (gguf->size - r->at) / SMALLEST_PAIR || n >= TARE_MAP_NONE)
        return tare_fail(r->err, TARE_E_FORMAT, gguf->file,
                         "the header says %" PRIu64 " keys, which do not fit the file: it is damaged", n);
    if (!(gguf->pairs = tare_arena_array(r->arena, (size_t)n + 1, sizeof *gguf->pairs)))
        return tare_fail_memory(r->err);
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < n && !code; i++) {
        struct tare_gguf_pair *pair = &gguf->pairs[i];
        code = take_name(r, "the key", &gguf->keys, i, &pair->key);
        if (!code)
            code = take_value(r, pair->key, &pair->value);
        gguf->n_pairs = i + 1;
    }
    return code;
}

const struct tare_gguf_value *tare_gguf_find(const struct tare_gguf *gguf, const char *key)
{
    const uint32_t at = tare_map_get(&gguf->keys, key, strlen(key));
    return at == TARE_MAP_NONE ? NULL : &gguf->pairs[at].value;
}

const struct tare_gguf_value *tare_gguf_of(const struct tare_gguf *gguf, enum tare_gguf_key key)
{
    return tare_gguf_find(gguf, tare_gguf_metadata[key].gguf);
}

static bool integer_at(enum tare_gguf_type type, const unsigned char *at, int64_t *number)
{
    const size_t size = size_of(type);
    const uint64_t raw = number_at(at, size);
    const bool is_signed = type == TARE_GGUF_I8 || type == TARE_GGUF_I16 || type == TARE_GGUF_I32;
    if (!size || type == TARE_GGUF_F32 || type == TARE_GGUF_F64 || (type == TARE_GGUF_U64 && raw > INT64_MAX))
        return false;
    const uint64_t top = is_signed ? (uint64_t)1 << (8 * size - 1) : 0;
    *number = (int64_t)((raw ^ top) - top); /* extends the sign bit to 64 bits */
    return true;
}

static double real_at(enum tare_gguf_type type, const unsigned char *at)
{
    int64_t number;
    float single;
    double value;
    if (type == TARE_GGUF_F32) {
        memcpy(&single, at, sizeof single);
        return (double)single;
    }
    if (type == TARE_GGUF_F64) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    return integer_at(type, at, &number) ? (double)number : NAN;
}

/* The value of a scalar, or of a list whose items are all equal. */
static bool one_value(const struct tare_gguf_value *value, enum tare_gguf_type *type, const unsigned char **at)
{
    if (!value || value->type == TARE_GGUF_TEXT)
        return false;
    const bool list = value->type == TARE_GGUF_LIST;
    *type = list ? value->item : value->type;
    *at = value->at;
    const size_t size = size_of(*type);
    if (list && (!size || !value->n))
        return false;
    for (uint64_t i = 1; list && i < value->n; i++)
        if (memcmp(value->at, value->at + i * size, size) != 0)
            return false;
    return true;
}

bool tare_gguf_integer(const struct tare_gguf_value *value, int64_t *number)
{
    enum tare_gguf_type type;
    const unsigned char *at;
    return one_value(value, &type, &at) && integer_at(type, at, number);
}

bool tare_gguf_real(const struct tare_gguf_value *value, double *number)
{
    enum tare_gguf_type type;
    const unsigned char *at;
    if (!one_value(value, &type, &at))
        return false;
    *number = real_at(type, at);
    return isfinite(*number);
}

double tare_gguf_item(const struct tare_gguf_value *list, uint64_t i)
{
    const size_t size = list && list->type == TARE_GGUF_LIST ? size_of(list->item) : 0;
    return size && i < list->n ? real_at(list->item, list->at + i * size) : NAN;
}

const char *tare_gguf_word(const struct tare_gguf *gguf, struct tare_arena *arena, const char *key,
                           const char *fallback)
{
    const struct tare_gguf_value *value = tare_gguf_find(gguf, key);
    return value && value->type == TARE_GGUF_TEXT ? tare_arena_copy(arena, (const char *)value->at, (size_t)value->n)
                                                  : fallback;
}

bool tare_gguf_next_text(const struct tare_gguf_value *list, uint64_t *done, const unsigned char **cursor,
                         const char **text, size_t *n)
{
    if (!list || list->type != TARE_GGUF_LIST || list->item != TARE_GGUF_TEXT || *done >= list->n)
        return false;
    const unsigned char *at = *cursor ? *cursor : list->at; /* within the file: take_list() went over all of them */
    *n = (size_t)number_at(at, 8);
    *text = (const char *)at + 8;
    *cursor = at + 8 + *n;
    ++*done;
    return true;
}

/* ---- tensors ------------------------------------------------------------------------------------------------- */

static const struct {
    unsigned number;
    enum tare_dtype dtype;
} types[] = {{0, TARE_F32},          {1, TARE_F16},  {24, TARE_I8},  {25, TARE_I16},
             {26, TARE_I32},         {27, TARE_I64}, {28, TARE_F64}, {30, TARE_BF16},
#define BLOCK_TYPE(name, number, columns, bytes) {number, TARE_##name},
             TARE_BLOCKS(BLOCK_TYPE)
#undef BLOCK_TYPE
};

static bool dtype_of(uint64_t number, enum tare_dtype *dtype)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].number == number) {
            *dtype = types[i].dtype;
            return true;
        }
    return false;
}

unsigned tare_gguf_number(enum tare_dtype dtype)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dtype == dtype)
            return types[i].number;
    return UINT32_MAX;
}

/* Axes, innermost first in the file, outermost first in ours; and the bytes that they take. */
static enum tare_code take_shape(struct reader *r, struct tare_tensor *t)
{
    uint64_t rank, size;
    if (!take_number(r, 4, &rank))
        return fail_short(r, t->name);
    if (rank < 1 || rank > MOST_AXES)
        return tare_fail(r->err, TARE_E_FORMAT, t->name, "has %" PRIu64 " axes; GGUF has 1 to 4", rank);
    int64_t *shape = tare_arena_array(r->arena, (size_t)rank, sizeof *shape);
    if (!shape)
        return tare_fail_memory(r->err);
    for (uint64_t k = 0; k < rank; k++) {
        if (!take_number(r, 8, &size))
            return fail_short(r, t->name);
        if (size < 1 || size > INT64_MAX)
            return tare_fail(r->err, TARE_E_FORMAT, t->name, "has an axis of %" PRIu64 ": the header is damaged", size);
        shape[rank - 1 - k] = (int64_t)size;
    }
    t->rank = (int)rank;
    t->shape = shape;
    return TARE_OK;
}

static enum tare_code fit(struct reader *r, struct tare_tensor *t)
{
    const struct tare_block_size block = tare_dtype_block(t->dtype);
    const int64_t count = tare_shape_count(t->rank, t->shape), in = t->shape[t->rank - 1];
    if (in % block.columns)
        return tare_fail(r->err, TARE_E_FORMAT, t->name,
                         "has rows of %" PRId64 " columns; %s has them in blocks of %" PRId64, in,
                         tare_dtype_name(t->dtype), block.columns);
    if (count < 0 || count / block.columns > INT64_MAX / block.bytes)
        return tare_fail(r->err, TARE_E_FORMAT, t->name,
                         "the product of its axes does not fit 63 bits: the header is damaged");
    t->size = (uint64_t)(count / block.columns * block.bytes);
    return TARE_OK;
}

static enum tare_code take_tensor(struct reader *r, size_t i)
{
    struct tare_tensor *t = &r->gguf->tensors[i];
    uint64_t type;
    enum tare_code code = take_name(r, "the tensor", &r->gguf->names, i, &t->name);
    if (!code)
        code = take_shape(r, t);
    if (code)
        return code;
    t->file = r->gguf->at;
    if (!take_number(r, 4, &type) || !take_number(r, 8, &t->offset))
        return fail_short(r, t->name);
    return dtype_of(type, &t->dtype) ? fit(r, t) : tare_gguf_refuse_type(t->name, type, r->err);
}

static int by_offset(const void *left, const void *right)
{
    const struct tare_tensor *a = *(const struct tare_tensor *const *)left,
                             *b = *(const struct tare_tensor *const *)right;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

/* Each tensor must begin where the one before it ends, rounded up to the alignment. Then no two overlap, and every byte
 * belongs to one. */
static enum tare_code check_order(struct reader *r, struct tare_tensor **sorted, uint64_t alignment)
{
    const struct tare_gguf *gguf = r->gguf;
    const uint64_t room = gguf->size - gguf->data_start;
    uint64_t end = 0, padded = 0;
    qsort(sorted, gguf->n_tensors, sizeof(struct tare_tensor *), by_offset);
    for (size_t i = 0; i < gguf->n_tensors; i++) {
        struct tare_tensor *t = sorted[i];
        if (t->offset != padded)
            return tare_fail(r->err, TARE_E_FORMAT, t->name,
                             "its data begin at %" PRIu64 " of the data, where %" PRIu64
                             " is expected: tensors overlap, leave a hole or are not aligned; the header is damaged",
                             t->offset, padded);
        if (t->size > room || t->offset > room - t->size)
            return tare_fail(r->err, TARE_E_FORMAT, t->name,
                             "its data end at byte %" PRIu64 " of a file of %" PRIu64
                             " bytes: the download was cut short; fetch it again",
                             gguf->data_start + t->offset + t->size, gguf->size);
        end = t->offset + t->size;
        padded = end + (alignment - end % alignment) % alignment;
        t->offset += gguf->data_start;
    }
    return room <= padded
               ? TARE_OK
               : tare_fail(r->err, TARE_E_FORMAT, gguf->file,
                           "%" PRIu64 " bytes after the last tensor belong to none; fetch it again", room - padded);
}

static enum tare_code check_data(struct reader *r)
{
    struct tare_gguf *gguf = r->gguf;
    const struct tare_gguf_value *value = tare_gguf_of(gguf, TARE_GGUF_KEY_ALIGNMENT);
    int64_t alignment = ALIGNMENT;
    if (value && (!tare_gguf_integer(value, &alignment) || alignment < 1 || alignment > 1 << 20 ||
                  (alignment & (alignment - 1))))
        return tare_fail(r->err, TARE_E_FORMAT, gguf->file, "general.alignment is no power of two up to 2^20");
    gguf->data_start = (r->at + (uint64_t)alignment - 1) & ~((uint64_t)alignment - 1);
    if (gguf->data_start > gguf->size) /* a vocabulary without weights ends with its header */
        gguf->data_start = gguf->size;
    struct tare_tensor **sorted = malloc((gguf->n_tensors + 1) * sizeof *sorted);
    if (!sorted)
        return tare_fail_memory(r->err);
    for (size_t i = 0; i < gguf->n_tensors; i++)
        sorted[i] = &gguf->tensors[i];
    const enum tare_code code = check_order(r, sorted, (uint64_t)alignment);
    free(sorted);
    return code;
}

static enum tare_code take_tensors(struct reader *r, uint64_t n)
{
    struct tare_gguf *gguf = r->gguf;
    if (n > (gguf->size - r->at) / SMALLEST_TENSOR || n >= TARE_MAP_NONE)
        return tare_fail(r->err, TARE_E_FORMAT, gguf->file,
                         "the header says %" PRIu64 " tensors, which do not fit the file: it is damaged", n);
    if (!(gguf->tensors = tare_arena_array(r->arena, (size_t)n + 1, sizeof *gguf->tensors)))
        return tare_fail_memory(r->err);
    gguf->n_tensors = (size_t)n;
    enum tare_code code = TARE_OK;
    for (size_t i = 0; i < n && !code; i++)
        code = take_tensor(r, i);
    return code ? code : check_data(r);
}

const struct tare_tensor *tare_gguf_tensor(const struct tare_gguf *gguf, const char *name)
{
    for (; gguf; gguf = gguf->next) {
        const uint32_t at = tare_map_get(&gguf->names, name, strlen(name));
        if (at != TARE_MAP_NONE)
            return &gguf->tensors[at];
    }
    return NULL;
}

size_t tare_gguf_tensors(const struct tare_gguf *gguf)
{
    size_t n = 0;
    for (; gguf; gguf = gguf->next)
        n += gguf->n_tensors;
    return n;
}

const unsigned char *tare_gguf_bytes(const struct tare_gguf *gguf, const struct tare_tensor *tensor)
{
    while (gguf->at != tensor->file)
        gguf = gguf->next;
    return gguf->data + tensor->offset;
}

/* ---- the whole file ------------------------------------------------------------------------------------------ */

static enum tare_code check_version(const struct reader *r, uint64_t version)
{
    if (version == 2 || version == 3) /* 3 has the layout of 2, and may be big-endian */
        return TARE_OK;
    if (version && !(version & 0xffff))
        return tare_fail(r->err, TARE_E_UNKNOWN, r->gguf->file,
                         "is big-endian GGUF, which tare does not read: fetch the little-endian file");
    return tare_fail(r->err, TARE_E_UNKNOWN, r->gguf->file, "is GGUF of version %" PRIu64 "; tare reads 2 and 3",
                     version);
}

enum tare_code tare_gguf_parse(struct tare_gguf *gguf, const struct tare_gguf_source *source, struct tare_arena *arena,
                               struct tare_error *err)
{
    struct reader r = {
        .gguf = gguf, .arena = arena, .source = source, .there = source->hold ? 0 : source->size, .err = err};
    const char *file = source->file;
    uint64_t version, tensors, pairs;
    gguf->file = file;
    gguf->data = source->data;
    gguf->size = source->size;
    const unsigned char *magic = take(&r, 4);
    if (r.code)
        return r.code;
    if (!magic || memcmp(magic, "GGUF", 4) != 0)
        return tare_fail(err, TARE_E_FORMAT, file,
                         "does not begin with \"GGUF\": it is no GGUF file, or a damaged one");
    if (!take_number(&r, 4, &version))
        return fail_short(&r, "the header");
    enum tare_code code = check_version(&r, version);
    if (code)
        return code;
    if (!take_number(&r, 8, &tensors) || !take_number(&r, 8, &pairs))
        return fail_short(&r, "the header");
    code = take_pairs(&r, pairs);
    return code ? code : take_tensors(&r, tensors);
}

void tare_gguf_release(struct tare_gguf *gguf)
{
    for (; gguf; gguf = gguf->next) {
        tare_map_release(&gguf->keys);
        tare_map_release(&gguf->names);
    }
}
