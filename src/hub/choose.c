/* SPDX-License-Identifier: MIT
 * choose.c - which files of a repository a model needs: small ones by name, weights by the index or by kind. */
#include "hub/choose.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "config/json.h"

#define INDEX_END ".safetensors.index.json"

const char *const tare_hub_kin[] = {"config.json",
                                    "generation_config.json",
                                    "quantize_config.json",
                                    "quant_config.json",
                                    "hf_quant_config.json",
                                    "tokenizer.json",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json",
                                    "added_tokens.json",
                                    "vocab.json",
                                    "merges.txt",
                                    "vocab.txt",
                                    "tokenizer.model",
                                    "spiece.model",
                                    "tekken.json",
                                    "chat_template.jinja",
                                    "chat_template.json",
                                    "preprocessor_config.json",
                                    "processor_config.json",
                                    "params.json",
                                    "tare.json",
                                    "README.md",
                                    "LICENSE",
                                    "LICENSE.md",
                                    "LICENSE.txt"};
const size_t tare_hub_n_kin = sizeof tare_hub_kin / sizeof *tare_hub_kin;

/* Pickles, which are programs, and other engines' formats. */
static const char *const pickles[] = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npz"};
static const char *const foreign[] = {".h5", ".msgpack", ".onnx", ".onnx_data", ".ot", ".tflite", ".mlmodel"};
static const char *const folders[] = {"original/", "onnx/", "openvino/", "coreml/", ".git/"};

static bool ends_in(const char *path, const char *const *ends, size_t n)
{
    const size_t length = strlen(path);
    for (size_t i = 0; i < n; i++) {
        const size_t m = strlen(ends[i]);
        if (length >= m && strcasecmp(path + length - m, ends[i]) == 0)
            return true;
    }
    return false;
}
#define ENDS_IN(path, list) ends_in(path, list, sizeof(list) / sizeof *(list))

static bool is_never(const char *path)
{
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (strncmp(path, folders[i], strlen(folders[i])) == 0)
            return true;
    return ENDS_IN(path, pickles) || ENDS_IN(path, foreign);
}

static bool matches(const char *path, const char *const *globs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fnmatch(globs[i], path, 0) == 0)
            return true;
    return false;
}

static bool is_excluded(const struct tare_hub_choice *choice, const char *path)
{
    return is_never(path) || matches(path, choice->exclude, choice->n_exclude);
}

static bool is_kin(const char *path)
{
    for (size_t i = 0; i < tare_hub_n_kin; i++)
        if (strcmp(path, tare_hub_kin[i]) == 0)
            return true;
    return strncmp(path, "additional_chat_templates/", 26) == 0 && tare_ends_with(path, ".jinja");
}

/* ---- small files ----------------------------------------------------------------------------------------------- */

static const struct tare_hub_file *find_index(const struct tare_hub_tree *tree)
{
    const struct tare_hub_file *found = tare_hub_tree_find(tree, "model" INDEX_END);
    for (size_t i = 0; i < tree->n && !found; i++)
        if (tare_ends_with(tree->files[i].path, INDEX_END) && !strchr(tree->files[i].path, '/'))
            found = &tree->files[i];
    return found;
}

void tare_hub_choose_kin(const struct tare_hub_tree *tree, const struct tare_hub_choice *choice, bool *wanted,
                         const struct tare_hub_file **index)
{
    const bool chosen_by_hand = choice->n_include != 0;
    *index = chosen_by_hand || *choice->variant ? NULL : find_index(tree);
    for (size_t i = 0; i < tree->n; i++) {
        const struct tare_hub_file *file = &tree->files[i];
        const bool named = chosen_by_hand ? matches(file->path, choice->include, choice->n_include)
                                          : is_kin(file->path) || file == *index;
        wanted[i] = named && !is_excluded(choice, file->path);
    }
    if (*index && !wanted[*index - tree->files])
        *index = NULL;
}

/* ---- safetensors ----------------------------------------------------------------------------------------------- */

static enum tare_code take_indexed(const struct tare_hub_tree *tree, const struct tare_hub_choice *choice,
                                   const char *id, const char *text, size_t size, bool *wanted, struct tare_error *err)
{
    json_t *json = NULL;
    enum tare_code code = tare_json_parse(&json, id, text, size, err);
    json_t *map = json_object_get(json, "weight_map");
    if (!code && (!json_is_object(map) || json_object_size(map) == 0))
        code = tare_fail(err, TARE_E_FORMAT, id, "the index has no weight_map: which shards are needed is not said");
    for (void *at = json_object_iter(map); at && !code; at = json_object_iter_next(map, at)) {
        const char *name = json_string_value(json_object_iter_value(at));
        const struct tare_hub_file *file = name ? tare_hub_tree_find(tree, name) : NULL;
        if (!file || is_never(name))
            code = tare_fail(err, TARE_E_FORMAT, id, "the index names a shard \"%.200s\" that the repository lacks",
                             name ? name : "?");
        else if (!is_excluded(choice, name))
            wanted[file - tree->files] = true;
    }
    json_decref(json);
    return code;
}

/* A model's weights in one folder, without an index: no adapter, and not Mistral's second copy. */
static bool is_model(const char *path, bool strict)
{
    return tare_ends_with(path, ".safetensors") && !strchr(path, '/') && strncmp(path, "adapter_model", 13) != 0 &&
           !tare_ends_with(path, "adapters.safetensors") && !(strict && strncmp(path, "consolidated", 12) == 0);
}

static bool take_safetensors(const struct tare_hub_tree *tree, const struct tare_hub_choice *choice, bool *wanted)
{
    const struct tare_hub_file *one = tare_hub_tree_find(tree, "model.safetensors");
    for (int strict = 1; strict >= 0; strict--) {
        bool some = false;
        for (size_t i = 0; i < tree->n; i++) {
            const struct tare_hub_file *file = &tree->files[i];
            if ((one ? file == one : is_model(file->path, strict != 0)) && !is_excluded(choice, file->path))
                some = wanted[i] = true;
        }
        if (some)
            return true;
    }
    return false;
}

/* ---- GGUF ------------------------------------------------------------------------------------------------------ */

/* "-00001-of-00003.gguf": the length of what comes before it, or 0 when it is no part of a split file. */
static size_t split_stem(const char *path)
{
    static const char form[] = "-00000-of-00000.gguf";
    const size_t n = strlen(path), m = sizeof form - 1;
    if (n <= m)
        return 0;
    for (size_t i = 0; i < m; i++) {
        const char c = path[n - m + i];
        if (form[i] == '0' ? c < '0' || c > '9' : c != form[i])
            return 0;
    }
    return n - m;
}

/* A model by itself, or the first part of one. Projectors of pictures and importance matrices are no models. */
static bool is_gguf(const char *path)
{
    const size_t stem = split_stem(path);
    return tare_ends_with(path, ".gguf") && !strstr(path, "mmproj") && !strstr(path, "imatrix") &&
           (!stem || strncmp(path + stem, "-00001-", 7) == 0);
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

/* Is `word` one of the path's words, in any case? "Q4_K" is none of "Q4_K_M". */
static bool has_word(const char *path, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = path; strlen(at) >= n; at++)
        if (strncasecmp(at, word, n) == 0 && (at == path || !is_word(at[-1])) && !is_word(at[n]))
            return true;
    return false;
}

const struct tare_hub_file *tare_hub_choose_gguf(const struct tare_hub_tree *tree, const char *variant)
{
    const struct tare_hub_file *found = NULL;
    for (size_t i = 0; i < tree->n; i++) {
        const char *path = tree->files[i].path;
        if (!is_gguf(path) || (*variant && !has_word(path, variant)))
            continue;
        if (found)
            return NULL;
        found = &tree->files[i];
    }
    return found;
}

static void take_parts(const struct tare_hub_tree *tree, const struct tare_hub_file *first, bool *wanted)
{
    const size_t stem = split_stem(first->path);
    wanted[first - tree->files] = true;
    for (size_t i = 0; i < tree->n && stem; i++)
        if (split_stem(tree->files[i].path) == stem && strncmp(tree->files[i].path, first->path, stem) == 0)
            wanted[i] = true;
}

static enum tare_code which_gguf(const struct tare_hub_tree *tree, const char *variant, const char *id,
                                 struct tare_error *err)
{
    struct tare_text list = {0};
    size_t n = 0, match = 0;
    for (size_t i = 0; i < tree->n; i++) {
        if (!is_gguf(tree->files[i].path))
            continue;
        match += *variant && has_word(tree->files[i].path, variant);
        if (list.size < 300)
            tare_text_format(&list, "%s%s (%.1f GB)", n ? ", " : "", tree->files[i].path,
                             (double)tree->files[i].size / 1e9);
        else if (!tare_ends_with(list.data, ", .."))
            tare_text_puts(&list, ", ..");
        n++;
    }
    const enum tare_code code =
        list.failed ? tare_fail_memory(err)
        : !n        ? tare_fail(err, TARE_E_ABSENT, id, "has no GGUF file, so none is called \"%s\"", variant)
                    : tare_fail(err, TARE_E_ARGUMENT, id, "%s: name one as %s:Q4_K_M, by a word of its name: %s",
                         match      ? "has more than one such GGUF file"
                                : *variant ? "has no GGUF file with that word in its name"
                                           : "has several GGUF files",
                                id, list.data);
    tare_text_release(&list);
    return code;
}

/* ---- the choice ------------------------------------------------------------------------------------------------ */

static enum tare_code nothing(const struct tare_hub_tree *tree, const char *id, struct tare_error *err)
{
    for (size_t i = 0; i < tree->n; i++)
        if (ENDS_IN(tree->files[i].path, pickles))
            return tare_fail(err, TARE_E_ABSENT, id,
                             "has its weights only as pickle (%.100s), which can run any program when it is opened: "
                             "tare takes safetensors and GGUF; look for another revision or repository that has them",
                             tree->files[i].path);
    return tare_fail(err, TARE_E_ABSENT, id, "has no weights that tare reads, neither safetensors nor GGUF");
}

enum tare_code tare_hub_choose_weights(const struct tare_hub_tree *tree, const struct tare_hub_choice *choice,
                                       const char *id, const char *index, size_t index_size, bool *wanted,
                                       struct tare_error *err)
{
    bool gguf = false;
    if (choice->n_include) {
        for (size_t i = 0; i < tree->n; i++)
            if (wanted[i])
                return TARE_OK;
        return tare_fail(err, TARE_E_ABSENT, id, "no file matches --include (pickles and ONNX are never taken)");
    }
    if (!*choice->variant && index)
        return take_indexed(tree, choice, id, index, index_size, wanted, err);
    if (!*choice->variant && take_safetensors(tree, choice, wanted))
        return TARE_OK;
    for (size_t i = 0; i < tree->n; i++)
        gguf = gguf || is_gguf(tree->files[i].path);
    if (!gguf && !*choice->variant)
        return nothing(tree, id, err);
    const struct tare_hub_file *file = tare_hub_choose_gguf(tree, choice->variant);
    if (!file)
        return which_gguf(tree, choice->variant, id, err);
    take_parts(tree, file, wanted);
    return TARE_OK;
}
