/* SPDX-License-Identifier: MIT
 * mend_quant.c - quantization_config, held against the readings of the tensors: keys that are wrong or missing.
 *
 * Only what is certain is set. Where no layout, or more than one, fits every packed tensor, a note says so.
 */
#include <stdlib.h>
#include <string.h>

#include "repair/readings.h"
#include "repair/repair.h"

/* Where the settings lie, or are to lie. */
struct place {
    const char *file;
    const char *path[3];  /* of the object; NULL: the document itself */
    const json_t *object; /* borrowed from owner; NULL: not there */
    json_t *owner;
};

struct mending {
    struct tare_repair *r;
    struct tare_stems *stems;
    struct place place;
    json_t *fresh; /* an object that is made, while it is not in the file yet */
    bool *changed;
    struct tare_error *err;
};

static const json_t *object_at(const json_t *top, const char *key)
{
    const json_t *value = json_object_get(top, key);
    return json_is_object(value) ? value : NULL;
}

/* In the order in which config/quant.c looks. */
static enum tare_code find_place(struct tare_repair *r, struct place *place, struct tare_error *err)
{
    const json_t *config = r->model->config, *text = object_at(config, "text_config");
    *place = (struct place){.file = "config.json"};
    if ((place->object = object_at(config, "quantization")))
        place->path[0] = "quantization";
    else if ((place->object = object_at(config, "quantization_config")))
        place->path[0] = "quantization_config";
    else if ((place->object = object_at(text, "quantization_config"))) {
        place->path[0] = "text_config";
        place->path[1] = "quantization_config";
    } else if (tare_checkpoint_has(&r->model->checkpoint, "quantize_config.json")) {
        char *data = NULL;
        size_t size = 0;
        place->file = "quantize_config.json";
        enum tare_code code = tare_checkpoint_read(&r->model->checkpoint, place->file, 1 << 20, &data, &size, err);
        if (!code)
            code = tare_json_parse(&place->owner, place->file, data, size, err);
        free(data);
        place->object = json_is_object(place->owner) ? place->owner : NULL;
        return code;
    }
    return TARE_OK;
}

/* ---- the plan without it ------------------------------------------------------------------------------------- */

/* config.json without any quantization, as text; heap. */
static char *plain_config(const json_t *config)
{
    json_t *copy = json_deep_copy(config), *text = json_object_get(copy, "text_config");
    json_object_del(copy, "quantization");
    json_object_del(copy, "quantization_config");
    if (json_is_object(text))
        json_object_del(text, "quantization_config");
    char *plain = json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    return plain;
}

/* The stems with what the model declares for them; stems->model stays NULL where nothing was declared. */
static enum tare_code list_stems(struct tare_repair *r, struct tare_stems *stems, struct tare_error *err)
{
    struct tare_edited_file files[2 + TARE_REPAIRED_MOST];
    struct tare_edits edits = r->edits;
    struct tare_model *model = NULL;
    struct tare_options options = r->options;
    struct tare_error ignored;
    char *config = plain_config(r->model->config);
    if (!config)
        return tare_fail_memory(err);
    files[0] = (struct tare_edited_file){"config.json", config, strlen(config)};
    files[1] = (struct tare_edited_file){"quantize_config.json", NULL, 0};
    edits.files = files;
    edits.n_files = 2;
    options.no_data = true; /* heads are not compared here */
    tare_plan_edited(&model, r->path, &options, &edits, &ignored);
    if (model)
        model->checkpoint.edits = NULL; /* they do not outlive this function, and all files were read */
    free(config);
    return model ? tare_stems_list(stems, model, err) : tare_fail_memory(err);
}

/* ---- one key ------------------------------------------------------------------------------------------------- */

static enum tare_code set_at(struct mending *m, const char *const *more, json_t *value, const char *because)
{
    const char *path[6];
    size_t n = 0;
    if (m->fresh) {
        json_t *object = m->fresh;
        for (; more[1]; more++)
            object = json_object_get(object, more[0]);
        return json_object_set_new(object, more[0], value) ? tare_fail_memory(m->err) : TARE_OK;
    }
    for (size_t k = 0; k < 2 && m->place.path[k]; k++)
        path[n++] = m->place.path[k];
    for (; *more; more++)
        path[n++] = *more;
    path[n] = NULL;
    return tare_repair_set(m->r, m->place.file, path, value, because, m->changed, m->err);
}

static enum tare_code set(struct mending *m, const char *key, json_t *value, const char *because)
{
    const char *const path[] = {key, NULL};
    return value ? set_at(m, path, value, because) : tare_fail_memory(m->err);
}

static const json_t *get(const struct mending *m, const char *key)
{
    const json_t *value = json_object_get(m->place.object, key);
    return json_is_null(value) ? NULL : value;
}

static const char *text_of(const struct mending *m, const char *key)
{
    return json_string_value(get(m, key));
}

/* Set the key unless it says so already; one of two names that a key may have is kept. */
static enum tare_code want_integer(struct mending *m, const char *key, const char *other, int64_t value,
                                   const char *because)
{
    const char *name = !get(m, key) && other && get(m, other) ? other : key;
    const json_t *there = get(m, name);
    return json_is_integer(there) && json_integer_value(there) == value ? TARE_OK
                                                                        : set(m, name, json_integer(value), because);
}

static enum tare_code want_text(struct mending *m, const char *key, const char *value, const char *because)
{
    const char *there = text_of(m, key);
    return there && !strcasecmp(there, value) ? TARE_OK : set(m, key, json_string(value), because);
}

static const char *format(struct mending *m, const char *text, const char *where, long long a, long long b)
{
    const char *made = tare_arena_format(&m->r->arena, text, where, a, b);
    return made ? made : "the shapes of the tensors";
}

/* ---- group_size ---------------------------------------------------------------------------------------------- */

/* What all stems have in common: the group size, -1 where each has one group and they are of unlike width; 0: nothing.
 */
static int64_t common_group(const struct tare_stems *s, enum tare_layout_bit layout)
{
    int64_t size = 0;
    bool whole = true, same = true;
    for (size_t i = 0; i < s->n; i++) {
        const struct tare_reading r = tare_stem_read(&s->list[i], layout);
        whole = whole && r.groups == 1;
        same = same && r.group_size && (!size || size == r.group_size);
        size = r.group_size;
    }
    return same ? size : whole ? -1 : 0;
}

/* Does a group size fit every stem? */
static bool group_fits(const struct tare_stems *s, enum tare_layout_bit layout, int64_t size)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct tare_reading r = tare_stem_read(&s->list[i], layout);
        if (!tare_reading_fits(&r, size))
            return false;
        if (layout != TARE_LAYOUT_GPTQ && !r.padded && size > 0 && r.group_size != size)
            return false; /* only GPTQ has short groups, and sizes beyond the row */
    }
    return true;
}

/* Where groups are padded: the only size that fits all stems; 0: several do, which are in `several`. */
static int64_t padded_group(struct mending *m, enum tare_layout_bit layout, const char **several)
{
    static const int64_t sizes[] = {32, 64, 128, 256, 512, 1024, -1};
    int64_t found = 0;
    *several = NULL;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        if (!group_fits(m->stems, layout, sizes[k]) || (sizes[k] == -1 && found))
            continue;
        if (found)
            *several = *several ? tare_arena_format(&m->r->arena, "%s, %lld", *several, (long long)sizes[k])
                                : tare_arena_format(&m->r->arena, "%lld, %lld", (long long)found, (long long)sizes[k]);
        found = sizes[k];
    }
    return *several ? 0 : found;
}

static enum tare_code mend_group(struct mending *m, enum tare_layout_bit layout)
{
    const struct tare_stem *first = &m->stems->list[0];
    const struct tare_reading r = tare_stem_read(first, layout);
    const char *name = get(m, "group_size") || !get(m, "q_group_size") ? "group_size" : "q_group_size";
    const char *several = NULL;
    const json_t *there = get(m, name);
    if (json_is_integer(there) && group_fits(m->stems, layout, json_integer_value(there)))
        return TARE_OK;
    const int64_t size = r.padded ? padded_group(m, layout, &several) : common_group(m->stems, layout);
    if (!size) {
        tare_repair_note(m->r, m->place.file,
                         several ? "group_size is %s, and more than one size fits the shapes: %s"
                                 : "group_size is %s, and no one size fits all packed tensors",
                         there ? "wrong" : "missing", several);
        return TARE_OK;
    }
    return set(m, name, json_integer(size),
               format(m, "scales of %s have %lld groups over %lld input columns, and the others agree", first->path,
                      (long long)(r.padded ? r.padded : r.groups), (long long)r.in));
}

/* ---- awq ----------------------------------------------------------------------------------------------------- */

static enum tare_code mend_zero_point(struct mending *m)
{
    const json_t *there = get(m, "zero_point");
    size_t with = 0;
    bool eight = true;
    for (size_t i = 0; i < m->stems->n; i++)
        with += m->stems->list[i].zeros != NULL;
    if (with && with < m->stems->n) {
        if (!json_is_false(there))
            tare_repair_note(m->r, m->place.file,
                             "zero_point: %zu of %zu packed tensors have qzeros; whether those of the others are lost "
                             "or all 8 cannot be told",
                             with, m->stems->n);
        return TARE_OK;
    }
    if (!with)
        return json_is_false(there) ? TARE_OK
                                    : set(m, "zero_point", json_false(),
                                          "no packed tensor has qzeros: every zero is 8, the middle of the codes");
    if (json_is_true(there))
        return TARE_OK;
    if (json_is_false(there)) { /* GPTQModel writes false and zeros that are all 8 */
        if (m->r->options.no_data)
            return TARE_OK;
        const enum tare_code code = tare_stems_all_eight(m->stems, &eight, m->err);
        if (code || eight)
            return code;
        return set(m, "zero_point", json_true(), "qzeros hold other zeros than 8");
    }
    return set(m, "zero_point", json_true(), "the packed tensors have qzeros");
}

static enum tare_code mend_awq(struct mending *m, enum tare_layout_bit layout)
{
    static const char *const formats[] = {"format", "checkpoint_format"};
    const struct tare_stem *first = &m->stems->list[0];
    const struct tare_reading reading = tare_stem_read(first, layout);
    const char *version = layout == TARE_LAYOUT_AWQ_GEMV        ? "gemv"
                          : layout == TARE_LAYOUT_AWQ_GEMV_FAST ? "gemv_fast"
                                                                : "gemm";
    const char *because = format(m,
                                 "qweight and scales of %s are laid out as awq lays them out (%lld bits over %lld "
                                 "input columns), and the others agree",
                                 first->path, reading.bits, (long long)reading.in);
    enum tare_code code = want_text(m, "quant_method", "awq", because);
    if (!code)
        code = want_integer(m, "bits", "w_bit", reading.bits, because);
    if (!code)
        code = mend_group(m, layout);
    if (!code && !(layout == TARE_LAYOUT_AWQ_GEMV_FAST && text_of(m, "version") &&
                   !strcasecmp(text_of(m, "version"), "llm-awq")))
        code = want_text(m, "version", version, because);
    for (size_t k = 0; k < 2 && !code; k++) /* GPTQModel says it twice more */
        if (get(m, formats[k]) && layout != TARE_LAYOUT_AWQ_GEMV_FAST)
            code = want_text(m, formats[k], version, because);
    return code || layout == TARE_LAYOUT_AWQ_GEMV_FAST ? code : mend_zero_point(m);
}

/* ---- gptq ---------------------------------------------------------------------------------------------------- */

/* The bits of all stems, or 0. */
static int common_bits(const struct tare_stems *s, enum tare_layout_bit layout)
{
    int bits = 0;
    for (size_t i = 0; i < s->n; i++) {
        const int own = tare_stem_read(&s->list[i], layout).bits;
        if (!own || (bits && own != bits))
            return 0;
        bits = own;
    }
    return bits;
}

/* The plan has judged from the data what a stored zero means (plan/gptq_zeros.c), and config.json says otherwise. */
static enum tare_code mend_format(struct mending *m)
{
    const struct tare_finding *finding = tare_repair_finding(m->r->model, "zeros-contradicted");
    const char *name = get(m, "checkpoint_format") || !get(m, "format") ? "checkpoint_format" : "format";
    const int common = finding ? common_bits(m->stems, TARE_LAYOUT_GPTQ) : 0;
    int zero = -1; /* fields that are all the same, read in order, are not planes */
    const enum tare_code code = common ? tare_stems_one_zero(m->stems, common, &zero, m->err) : TARE_OK;
    if (!finding || code)
        return code;
    for (size_t i = 0; i < m->stems->n && zero < 0; i++) {
        const int bits = tare_stem_read(&m->stems->list[i], TARE_LAYOUT_GPTQ).bits;
        if (bits == 2 || bits == 4 || bits == 8)
            continue;
        tare_repair_note(
            m->r, m->place.file,
            "%s; but of %d bits there are two layouts of the same shapes, so it may be that gptq_p is right",
            finding->text, bits);
        return TARE_OK;
    }
    return set(m, name, json_string(m->r->model->quant.gptq.format == TARE_GPTQ_V1 ? "gptq_v2" : "gptq"),
               finding->text);
}

/* What else GPTQ's settings say of the data. */
static enum tare_code mend_flags(struct mending *m, int bits)
{
    const struct tare_finding *order = tare_repair_finding(m->r->model, "act-order");
    int zero = -1;
    enum tare_code code = TARE_OK;
    if (order && order->level == TARE_WARNING)
        code = set(m, "desc_act", json_true(), "g_idx puts columns into groups in another order than their own");
    if (code || !json_is_true(get(m, "sym")) || m->r->options.no_data || get(m, "dynamic") ||
        m->r->model->quant.gptq.format == TARE_GPTQ_PLANAR || !m->stems->list[0].zeros)
        return code;
    code = tare_stems_one_zero(m->stems, bits, &zero, m->err);
    return code || zero >= 0 ? code : set(m, "sym", json_false(), "the zeros differ: the file is not symmetric");
}

/* Modules of several widths. */
static enum tare_code mend_mixed(struct mending *m)
{
    const enum tare_code code = mend_format(m);
    if (code || *m->changed || !m->r->model->code || m->place.owner)
        return code;
    return tare_mend_by_trial(m->r, m->place.path, m->place.object, m->changed, m->err);
}

static enum tare_code mend_gptq(struct mending *m)
{
    const struct tare_stem *first = &m->stems->list[0];
    const int bits = common_bits(m->stems, TARE_LAYOUT_GPTQ);
    const char *because = format(m,
                                 "qweight of %s is laid out as gptq lays it out (%lld bits over %lld input columns), "
                                 "and the others agree",
                                 first->path, tare_stem_read(first, TARE_LAYOUT_GPTQ).bits,
                                 (long long)tare_stem_read(first, TARE_LAYOUT_GPTQ).in);
    enum tare_code code = m->place.owner ? TARE_OK : want_text(m, "quant_method", "gptq", because);
    if (!code && !bits) /* `dynamic`: the general settings are those of most modules only */
        return *m->changed ? TARE_OK : mend_mixed(m);
    if (!code)
        code = want_integer(m, "bits", NULL, bits, because);
    if (!code)
        code = mend_group(m, TARE_LAYOUT_GPTQ);
    if (!code && !*m->changed)
        code = mend_format(m);
    if (!code && !*m->changed && !m->r->model->code)
        code = mend_flags(m, bits);
    return code;
}

static json_t *gptq_object(int bits, int64_t group, bool symmetric, const char *version)
{
    return json_pack("{s:s, s:i, s:I, s:b, s:b, s:s}", "quant_method", "gptq", "bits", bits, "group_size",
                     (json_int_t)group, "sym", (int)symmetric, "desc_act", 0, "checkpoint_format", version);
}

/* Do the data contradict this version? Then it is the other one, if they contradict only one. */
static enum tare_code contradicted(struct mending *m, const json_t *object, bool *contradicts)
{
    const char *const path[] = {"quantization_config", NULL};
    struct tare_model *trial = NULL;
    const enum tare_code code = tare_repair_try(m->r, path, object, false, &trial, m->err);
    *contradicts = !trial || tare_repair_finding(trial, "zeros-contradicted");
    tare_model_free(trial);
    return code;
}

/* A whole object is made only where one reading is left: of 3, 5, 6 and 7 bits there are two layouts of the same
 * shapes, and zeros may be stored less one or not. */
static enum tare_code make_gptq(struct mending *m)
{
    static const char *const versions[] = {"gptq", "gptq_v2"};
    const int bits = common_bits(m->stems, TARE_LAYOUT_GPTQ);
    const int64_t group = common_group(m->stems, TARE_LAYOUT_GPTQ);
    const char *why = !bits                                 ? "their number of bits differs or is not certain"
                      : !group                              ? "their group size differs"
                      : bits != 2 && bits != 4 && bits != 8 ? "of these bits there are two layouts of the same shapes"
                      : m->r->options.no_data               ? "whether zeros are stored less one was not to be read"
                                                            : NULL;
    json_t *made[2] = {NULL, NULL};
    bool off[2] = {false, false};
    int zero = -1;
    enum tare_code code = why ? TARE_OK : tare_stems_one_zero(m->stems, bits, &zero, m->err);
    for (int k = 0; k < 2 && !code && !why; k++) {
        made[k] = gptq_object(bits, group, zero >= 0, versions[k]);
        code = made[k] ? contradicted(m, made[k], &off[k]) : tare_fail_memory(m->err);
    }
    if (!code && !why && off[0] != off[1])
        m->fresh = json_incref(made[off[0] ? 1 : 0]);
    else if (!code)
        tare_repair_note(m->r, "config.json", "the tensors are packed as gptq packs them, but %s: two readings fit",
                         why ? why : "the data do not say whether zeros are stored less one");
    json_decref(made[0]);
    json_decref(made[1]);
    return code;
}

/* ---- which layout -------------------------------------------------------------------------------------------- */

static unsigned common_layouts(const struct tare_stems *s)
{
    unsigned all = ~0u;
    for (size_t i = 0; i < s->n; i++)
        all &= s->list[i].layouts;
    return s->n ? all : 0;
}

static enum tare_code put_fresh(struct mending *m)
{
    const char *path[] = {"quantization_config", NULL};
    if (!m->fresh)
        return TARE_OK;
    return tare_repair_set(m->r, "config.json", path, json_incref(m->fresh),
                           "names, dtypes and shapes of the packed tensors", m->changed, m->err);
}

static enum tare_code mend_qweights(struct mending *m, unsigned layouts)
{
    if (layouts & (layouts - 1)) {
        if (m->r->model->code)
            tare_repair_note(m->r, m->place.file, "how the packed tensors are laid out: two readings fit their shapes");
        return TARE_OK;
    }
    if (!layouts) /* the plan says of which tensor and why */
        return TARE_OK;
    enum tare_code code = TARE_OK;
    if (!m->place.object && layouts == TARE_LAYOUT_GPTQ) {
        code = make_gptq(m);
    } else if (!m->place.object) {
        m->fresh = json_object();
        code = m->fresh ? mend_awq(m, (enum tare_layout_bit)layouts) : tare_fail_memory(m->err);
    } else {
        return layouts == TARE_LAYOUT_GPTQ ? mend_gptq(m) : mend_awq(m, (enum tare_layout_bit)layouts);
    }
    return code ? code : put_fresh(m);
}

/* Methods whose settings have other keys, or that wrap these layouts under their own name. */
static bool is_foreign(const struct mending *m)
{
    static const char *const foreign[] = {
        "auto-round", "intel/auto-round", "compressed-tensors", "modelopt", "fp8", "mxfp4", "mxfp8", "bitsandbytes"};
    const char *method = text_of(m, "quant_method");
    for (size_t k = 0; method && k < sizeof foreign / sizeof *foreign; k++)
        if (!strcmp(method, foreign[k]))
            return true;
    return false;
}

/* Settings that the plan refuses, and that are of a kind with which each value is tried. */
static bool tried(const struct mending *m)
{
    const char *method = text_of(m, "quant_method");
    return m->r->model->code && !strcmp(m->place.file, "config.json") &&
           (get(m, "config_groups") || (method && !strcmp(method, "auto-round")));
}

static enum tare_code mend(struct mending *m)
{
    const unsigned layouts = common_layouts(m->stems);
    size_t mlx = 0;
    for (size_t i = 0; i < m->stems->n; i++)
        mlx += (m->stems->list[i].layouts & TARE_LAYOUT_MLX) != 0;
    if (tried(m))
        return tare_mend_by_trial(m->r, m->place.path, m->place.object, m->changed, m->err);
    if (!m->stems->n || m->stems->others || is_foreign(m))
        return TARE_OK;
    if (!mlx)
        return mend_qweights(m, layouts);
    return mlx == m->stems->n ? tare_mend_mlx(m->r, m->stems, m->changed, m->err) : TARE_OK;
}

enum tare_code tare_mend_quant(struct tare_repair *r, bool *changed, struct tare_error *err)
{
    struct tare_stems stems = {0};
    struct mending m = {.r = r, .stems = &stems, .changed = changed, .err = err};
    if (!r->model->config)
        return TARE_OK;
    enum tare_code code = find_place(r, &m.place, err);
    if (!code)
        code = list_stems(r, &stems, err);
    if (!code)
        code = mend(&m);
    json_decref(m.fresh);
    json_decref(m.place.owner);
    tare_stems_release(&stems);
    return code;
}
