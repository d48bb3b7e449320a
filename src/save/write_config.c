/* SPDX-License-Identifier: MIT
 * write_config.c - config.json of an MLX folder, and its model card.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packing/to_mlx.h"
#include "save/save.h"

static void put_value(struct tare_text *text, const json_t *value, int depth, bool sorted);

static void put_line(struct tare_text *text, int depth)
{
    tare_text_puts(text, "\n");
    for (int k = 0; k < depth; k++)
        tare_text_puts(text, "    ");
}

/* The shortest decimal that reads back as the same number, and that JSON readers take for a real. */
static void put_real(struct tare_text *text, double value)
{
    char digits[40];
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    tare_text_puts(text, digits);
    if (!strpbrk(digits, ".e"))
        tare_text_puts(text, ".0");
}

/* json.c reads a bare Infinity as this string; mlx-lm writes non-finite numbers so, and strict JSON readers take it. */
static void put_string(struct tare_text *text, const char *string)
{
    const bool number = !strcmp(string, "Infinity") || !strcmp(string, "-Infinity") || !strcmp(string, "NaN");
    tare_text_puts(text, number ? "{\"__float__\": " : "");
    tare_text_json(text, string);
    tare_text_puts(text, number ? "}" : "");
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_object(struct tare_text *text, const json_t *object, int depth, bool sorted)
{
    const size_t n = json_object_size(object);
    const char **keys = malloc((n + 1) * sizeof *keys), *key;
    json_t *value;
    size_t k = 0;
    if (!keys) {
        text->failed = true;
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)object, key, value) keys[k++] = key;
    if (sorted)
        qsort(keys, n, sizeof *keys, by_key);
    tare_text_puts(text, "{");
    for (k = 0; k < n; k++) {
        if (k)
            tare_text_puts(text, ",");
        put_line(text, depth + 1);
        tare_text_json(text, keys[k]);
        tare_text_puts(text, ": ");
        put_value(text, json_object_get(object, keys[k]), depth + 1, false);
    }
    if (n)
        put_line(text, depth);
    tare_text_puts(text, "}");
    free(keys);
}

static void put_array(struct tare_text *text, const json_t *array, int depth)
{
    const size_t n = json_array_size(array);
    tare_text_puts(text, "[");
    for (size_t k = 0; k < n; k++) {
        if (k)
            tare_text_puts(text, ",");
        put_line(text, depth + 1);
        put_value(text, json_array_get(array, k), depth + 1, false);
    }
    if (n)
        put_line(text, depth);
    tare_text_puts(text, "]");
}

static void put_value(struct tare_text *text, const json_t *value, int depth, bool sorted)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        put_object(text, value, depth, sorted);
        break;
    case JSON_ARRAY:
        put_array(text, value, depth);
        break;
    case JSON_STRING:
        put_string(text, json_string_value(value));
        break;
    case JSON_INTEGER:
        tare_text_format(text, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        put_real(text, json_real_value(value));
        break;
    case JSON_TRUE:
        tare_text_puts(text, "true");
        break;
    case JSON_FALSE:
        tare_text_puts(text, "false");
        break;
    case JSON_NULL:
        tare_text_puts(text, "null");
        break;
    }
}

void tare_config_text(struct tare_text *text, const json_t *config)
{
    put_value(text, config, 0, true);
    tare_text_puts(text, "\n");
}

/* NULL: no memory. A module's own entry says that it has a global scale: mlx-lm hands it to to_quantized(). */
static json_t *format_of(int64_t group_size, int bits, enum tare_mlx_mode mode, bool global)
{
    json_t *format = json_pack("{s:I, s:i, s:s}", "group_size", (json_int_t)group_size, "bits", bits, "mode",
                               tare_mlx_mode_word(mode));
    if (!format || !global || !json_object_set_new(format, "global_scale", json_true()))
        return format;
    json_decref(format);
    return NULL;
}

/* {"group_size", "bits", "mode"}, and the modules that differ, by path. NULL: no memory. */
static json_t *quantization_of(const struct tare_layout *layout)
{
    json_t *all = format_of(layout->group_size, layout->bits, layout->mode, false);
    struct tare_arena work = {0};
    bool failed = !all;
    for (size_t k = 0; !failed && k < layout->n_jobs; k++) {
        const struct tare_job *job = &layout->jobs[k];
        const struct tare_target *target = &job->target;
        if (target->packed &&
            (target->bits != layout->bits || target->group_size != layout->group_size || target->mode != layout->mode))
            failed =
                json_object_set_new(all, tare_job_path(job, &work),
                                    format_of(target->group_size, target->bits, target->mode, target->global)) != 0;
    }
    failed |= work.failed;
    tare_arena_release(&work);
    if (!failed)
        return all;
    json_decref(all);
    return NULL;
}

/* Where the folder's head is its own though a reader of the config would tie it, the config has to say so. */
static bool untied_here(const struct tare_model *model)
{
    const struct tare_head *head = &model->tree.head;
    return (model->tie.untied || model->options.tie == TARE_TIE_KEEP) && head->weight && head->weight->active &&
           head->weight->entry;
}

/* Transformers 5 writes the base of the rotary embedding into rope_parameters only, and mlx-lm then runs with a
 * default: it gets the older key beside. False: no memory. */
static bool rope_theta_for_mlx(json_t *config)
{
    const json_t *theta = json_object_get(json_object_get(config, "rope_parameters"), "rope_theta");
    return !json_is_number(theta) || json_object_get(config, "rope_theta") ||
           json_object_set_new(config, "rope_theta", json_deep_copy(theta)) == 0;
}

/* The keys that differ from the source's: quantization, what the folder has no tensors for, and tying. False: no
 * memory. */
static bool edit(json_t *config, const struct tare_layout *layout, const struct tare_model *model)
{
    json_t *inner = model->inner_path ? json_object_get(config, model->inner_path) : NULL;
    json_t *text = json_object_get(config, "text_config");
    json_object_del(config, "_name_or_path");
    json_object_del(config, "vision_config"); /* as mlx-lm: the folder holds the language model only */
    json_object_del(config, "quantization");
    json_object_del(config, "quantization_config");
    if (json_is_object(text)) {
        json_object_del(text, "quantization");
        json_object_del(text, "quantization_config");
    }
    if (!rope_theta_for_mlx(config) || (json_is_object(inner) && !rope_theta_for_mlx(inner)))
        return false;
    if (untied_here(model) &&
        json_object_set_new(json_is_object(inner) ? inner : config, "tie_word_embeddings", json_false()))
        return false;
    if (model->tie.say_tied &&
        json_object_set_new(json_is_object(inner) ? inner : config, "tie_word_embeddings", json_true()))
        return false;
    if (!layout->bits)
        return true;
    json_t *quantization = quantization_of(layout);
    const bool set = quantization && !json_object_set(config, "quantization", quantization) &&
                     !json_object_set(config, "quantization_config", quantization);
    json_decref(quantization);
    return set;
}

enum tare_code tare_config_write(const struct tare_layout *layout, const struct tare_model *model,
                                 struct tare_folder *folder, struct tare_error *err)
{
    struct tare_text text = {0};
    json_t *config = json_deep_copy(model->config);
    enum tare_code code = TARE_OK;
    if (!config || !edit(config, layout, model))
        code = tare_fail_memory(err);
    if (!code) {
        tare_config_text(&text, config);
        code = text.failed ? tare_fail_memory(err) : tare_folder_put(folder, "config.json", text.data, text.size, err);
    }
    tare_text_release(&text);
    json_decref(config);
    return code;
}

/* The last part of a path, for people: never the whole path of somebody's disk. */
static const char *base_name(const char *path, char room[128])
{
    size_t end = strlen(path), start;
    while (end > 1 && path[end - 1] == '/')
        end--;
    for (start = end; start > 0 && path[start - 1] != '/'; start--)
        ;
    snprintf(room, 128, "%.*s", (int)(end - start < 127 ? end - start : 127), path + start);
    return room;
}

enum tare_code tare_card_write(const struct tare_layout *layout, const struct tare_model *model,
                               struct tare_folder *folder, struct tare_error *err)
{
    char from[128], name[128];
    struct tare_text text = {0};
    base_name(model->checkpoint.path ? model->checkpoint.path : "", from);
    base_name(folder->wanted, name);
    tare_text_puts(&text, "---\nlibrary_name: mlx\npipeline_tag: text-generation\ntags:\n- mlx\n---\n\n");
    tare_text_format(&text, "# %s\n\nMade by tare %s from %s", name, tare_version(), from);
    if (layout->bits)
        tare_text_format(&text, ": %d bits, group size %lld", layout->bits, (long long)layout->group_size);
    tare_text_puts(&text, ". Codes and scales are those of the source, unchanged.\n\n```bash\npip install mlx-lm\n");
    tare_text_format(&text, "mlx_lm.generate --model ./%s --prompt \"Once upon a time\"\n```\n", name);
    const enum tare_code code =
        text.failed ? tare_fail_memory(err) : tare_folder_put(folder, "README.md", text.data, text.size, err);
    tare_text_release(&text);
    return code;
}
