/* SPDX-License-Identifier: MIT
 * mend_quant.c - quantization_config, held against the readings of the tensors: keys that are wrong or missing.
 *
 * Only what is certain is set. Where no layout, or more than one, fits every packed tensor, a note says so.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "repair/settings.h"

static const json_t *object_at(const json_t *top, const char *key)
{
    const json_t *value = json_object_get(top, key);
    return json_is_object(value) ? value : NULL;
}

/* The places of the settings, in the order in which config/quant.c looks. */
static enum tare_code find_place(struct tare_repair *r, struct tare_place *place, struct tare_error *err)
{
    const json_t *config = r->model->config, *text = object_at(config, "text_config");
    *place = (struct tare_place){.file = "config.json"};
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

/* Lists the stems with what the model declares for them, by planning without any quantization. */
static enum tare_code list_stems(struct tare_repair *r, struct tare_stems *stems, struct tare_error *err)
{
    struct tare_edited_file files[2 + TARE_REPAIRED_MOST];
    struct tare_edits edits = r->edits;
    struct tare_model *model = NULL;
    struct tare_options options = r->options;
    char *config = plain_config(r->model->config);
    if (!config)
        return tare_fail_memory(err);
    files[0] = (struct tare_edited_file){"config.json", config, strlen(config)};
    files[1] = (struct tare_edited_file){"quantize_config.json", NULL, 0};
    edits.files = files;
    edits.n_files = 2;
    options.no_data = true; /* Heads need not be compared here. */
    const enum tare_code code = tare_repair_trial(r, &options, &edits, &model, err);
    free(config);
    return code ? code : tare_stems_list(stems, model, err);
}

/* ---- which layout -------------------------------------------------------------------------------------------- */

static unsigned common_layouts(const struct tare_stems *s)
{
    unsigned all = ~0u;
    for (size_t i = 0; i < s->n; i++)
        all &= s->list[i].layouts;
    return s->n ? all : 0;
}

static enum tare_code put_fresh(struct tare_settings *m)
{
    const char *path[] = {"quantization_config", NULL};
    if (!m->fresh)
        return TARE_OK;
    return tare_repair_set(m->r, "config.json", path, json_incref(m->fresh),
                           "names, dtypes and shapes of the packed tensors", m->changed, m->err);
}

static enum tare_code mend_qweights(struct tare_settings *m, unsigned layouts)
{
    if (layouts & (layouts - 1)) {
        if (m->r->model->code)
            tare_repair_note(m->r, m->place.file, "how the packed tensors are laid out: two readings fit their shapes");
        return TARE_OK;
    }
    if (!layouts) /* The plan already says for which tensor, and why. */
        return TARE_OK;
    enum tare_code code = TARE_OK;
    if (!m->place.object && layouts == TARE_LAYOUT_GPTQ) {
        code = tare_make_gptq(m);
    } else if (!m->place.object) {
        m->fresh = json_object();
        code = m->fresh ? tare_mend_awq(m, (enum tare_layout_bit)layouts) : tare_fail_memory(m->err);
    } else {
        return layouts == TARE_LAYOUT_GPTQ ? tare_mend_gptq(m) : tare_mend_awq(m, (enum tare_layout_bit)layouts);
    }
    return code ? code : put_fresh(m);
}

/* Methods whose settings have other keys, or that wrap these layouts under their own name. */
static bool is_foreign(const struct tare_settings *m)
{
    static const char *const foreign[] = {
        "auto-round", "intel/auto-round", "compressed-tensors", "modelopt", "fp8", "mxfp4", "mxfp8", "bitsandbytes"};
    const char *method = tare_settings_text(m, "quant_method");
    for (size_t k = 0; method && k < sizeof foreign / sizeof *foreign; k++)
        if (!strcmp(method, foreign[k]))
            return true;
    return false;
}

/* The plan refuses these settings, and their kind is one whose values are found by trial (mend_trial.c). */
static bool tried(const struct tare_settings *m)
{
    const char *method = tare_settings_text(m, "quant_method");
    return m->r->model->code && !strcmp(m->place.file, "config.json") &&
           (tare_settings_get(m, "config_groups") || (method && !strcmp(method, "auto-round")));
}

static enum tare_code mend(struct tare_settings *m)
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
    struct tare_settings m = {.r = r, .stems = &stems, .changed = changed, .err = err};
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
