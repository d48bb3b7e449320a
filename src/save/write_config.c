/* SPDX-License-Identifier: MIT
 * write_config.c - config.json of a folder, and its model card.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
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
        tare_format(digits, sizeof digits, "%.*g", precision, value);
        if (tare_number_parse(digits, NULL) == value)
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

/* JSON as mlx-lm writes it: indent 4, the outermost object sorted, numbers as short as they can be. */
static void config_text(struct tare_text *text, const json_t *config)
{
    put_value(text, config, 0, true);
    tare_text_puts(text, "\n");
}

/* Where the folder's head is its own though a reader of the config would tie it, the config has to say so. */
static bool untied_here(const struct tare_model *model)
{
    const struct tare_head *head = &model->tree.head;
    return (model->tie.untied || model->options.tie == TARE_TIE_KEEP) && head->weight && head->weight->active &&
           head->weight->entry;
}

/* What dense tensors are, where --dtype asked for it: both spellings of the key, where they stand. False: no memory. */
static bool say_dtype(json_t *config, const char *dtype)
{
    static const char *const keys[] = {"dtype", "torch_dtype"};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        if (json_is_string(json_object_get(config, keys[k])) &&
            json_object_set_new(config, keys[k], json_string(dtype)))
            return false;
    return true;
}

/* The keys that differ from the source's: quantization, which is the format's, dtype, and tying. False: no memory. */
static bool edit(json_t *config, const struct tare_layout *layout, const struct tare_model *model, const char *dtype)
{
    json_t *inner = model->inner_path ? json_object_get(config, model->inner_path) : NULL;
    json_t *text = json_object_get(config, "text_config");
    json_object_del(config, "_name_or_path");
    json_object_del(config, "quantization");
    json_object_del(config, "quantization_config");
    if (json_is_object(text)) {
        json_object_del(text, "quantization");
        json_object_del(text, "quantization_config");
    }
    if (dtype && (!say_dtype(config, dtype) || (json_is_object(text) && !say_dtype(text, dtype))))
        return false;
    if (untied_here(model) &&
        json_object_set_new(json_is_object(inner) ? inner : config, "tie_word_embeddings", json_false()))
        return false;
    if (model->tie.say_tied &&
        json_object_set_new(json_is_object(inner) ? inner : config, "tie_word_embeddings", json_true()))
        return false;
    return layout->format->config(config, layout, model);
}

/* config.json of the folder, appended to text. */
static enum tare_code make_config(const struct tare_layout *layout, const struct tare_model *model, const char *dtype,
                                  struct tare_text *text, struct tare_error *err)
{
    json_t *config = json_deep_copy(model->config);
    const bool made = config && edit(config, layout, model, dtype);
    if (made)
        config_text(text, config);
    json_decref(config);
    return made && !text->failed ? TARE_OK : tare_fail_memory(err);
}

enum tare_code tare_config_write(const struct tare_layout *layout, const struct tare_model *model, const char *dtype,
                                 struct tare_folder *folder, struct tare_error *err)
{
    struct tare_text text = {0};
    enum tare_code code = make_config(layout, model, dtype, &text, err);
    if (!code)
        code = tare_folder_put(folder, "config.json", text.data, text.size, err);
    tare_text_release(&text);
    return code;
}

enum tare_code tare_convert_config(const struct tare_model *model, const char *to, char **text, struct tare_error *err)
{
    const struct tare_convert_options options = TARE_CONVERT_OPTIONS_INIT;
    const struct tare_save_format *format = tare_format_find(to ? to : "mlx");
    if (text)
        *text = NULL;
    if (!model || !text || !format || format->file)
        return tare_fail(
            err, TARE_E_ARGUMENT, to ? to : "",
            "tare_convert_config needs a model, a place for the text, and a format that has a config.json");
    if (model->code)
        return tare_fail(err, model->error.code, model->error.where, "%s", model->error.text);
    struct tare_layout layout = {.format = format};
    struct tare_text made = {0};
    /* Laying out maps files, which is thread-safe, and changes nothing else of the model. */
    enum tare_code code = tare_layout_make(&layout, (struct tare_model *)(uintptr_t)model, &options, err);
    if (!code)
        code = make_config(&layout, model, NULL, &made, err);
    if (!code && !(*text = strdup(made.data)))
        code = tare_fail_memory(err);
    tare_text_release(&made);
    tare_layout_release(&layout);
    return code;
}

const char *tare_path_name(const char *path, char room[128])
{
    size_t end = strlen(path), start;
    while (end > 1 && path[end - 1] == '/')
        end--;
    for (start = end; start > 0 && path[start - 1] != '/'; start--)
        ;
    tare_format(room, 128, "%.*s", (int)(end - start < 127 ? end - start : 127), path + start);
    return room;
}

enum tare_code tare_card_write(const struct tare_layout *layout, const struct tare_model *model,
                               struct tare_folder *folder, struct tare_error *err)
{
    char from[128], name[128];
    struct tare_text text = {0};
    tare_path_name(model->checkpoint.path ? model->checkpoint.path : "", from);
    tare_path_name(folder->wanted, name);
    const char *library = layout->format->library, *usage = layout->format->usage, *mark = strstr(usage, "%s");
    tare_text_format(&text, "---\nlibrary_name: %s\npipeline_tag: text-generation\ntags:\n- %s\n---\n\n", library,
                     layout->format->name);
    tare_text_format(&text, "# %s\n\nMade by tare %s from %s", name, tare_version(), from);
    if (layout->rounding)
        tare_text_format(&text, ": floats quantized, %s", layout->rounding);
    else if (layout->usual.bits)
        tare_text_format(&text, ": %d bits, group size %lld. Codes and scales are those of the source, unchanged",
                         layout->usual.bits, (long long)layout->usual.group_size);
    tare_text_format(&text, ".\n\n```bash\n%.*s%s%s\n```\n", (int)(mark ? (size_t)(mark - usage) : strlen(usage)),
                     usage, mark ? name : "", mark ? mark + 2 : "");
    const enum tare_code code =
        text.failed ? tare_fail_memory(err) : tare_folder_put(folder, "README.md", text.data, text.size, err);
    tare_text_release(&text);
    return code;
}
