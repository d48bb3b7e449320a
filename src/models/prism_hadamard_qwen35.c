/* SPDX-License-Identifier: MIT
 * prism_hadamard_qwen35.c - Qwen3.5 in 2 bits, the inputs of its packed linears rotated by signed Hadamard transforms
 * (mlx-lm: models/prism_hadamard_qwen35.py). A list in config.json names these modules. The "dtype" of all is float16,
 * so the output of a packed embedding is rounded to it. */
#include <string.h>

#include "base/map.h"
#include "models/family/qwen3_5_family.h"

#define ARGS(ARG)                                                                                                      \
    ARG(INT, schema_version, 2)                                                                                        \
    ARG(TEXT, tensor_namespace, ABSENT)                                                                                \
    ARG(TEXT, gdn_activation_layout, grouped)                                                                          \
    ARG(JSON, quantization, ABSENT)                                                                                    \
    ARG(JSON, modules, ABSENT)
TARE_ARGS(ARGS);

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    const char *wanted = a->schema_version == 1 ? "mlx-lm-text" : a->schema_version == 2 ? "mlx-vlm-qwen3_5" : NULL;
    if (!wanted || !a->tensor_namespace || strcmp(a->tensor_namespace, wanted))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "schema_version and tensor_namespace name no known pack");
    if (strcmp(a->gdn_activation_layout, "grouped"))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "gdn_activation_layout must be grouped");
    if (json_object_size(a->quantization) != 3 || tare_json_integer(a->quantization, "bits", 0) != 2 ||
        tare_json_integer(a->quantization, "group_size", 0) != 128 ||
        strcmp(tare_json_text(a->quantization, "mode", ""), "affine"))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "quantization must be affine, 2 bits in groups of 128");
    if (!json_array_size(a->modules))
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "modules must list the packed modules");
    return TARE_OK;
}

/* Copies `modules` into the fragment, as the text model sees no other keys. */
static enum tare_code fill(json_t *inner, const void *args, const struct tare_derive *d)
{
    const struct args *a = args;
    if (!d->config)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "text_config is missing; a model of this type needs it");
    return json_object_set(inner, "modules", (json_t *)(uintptr_t)a->modules) ? tare_fail_memory(d->err) : TARE_OK;
}

struct text_args {
    bool tie_word_embeddings;
    const json_t *modules;
    void *qwen; /* its args */
};
static const struct tare_arg text_list[] = {
    {"tie_word_embeddings", TARE_ARG_FLAG, "false", offsetof(struct text_args, tie_word_embeddings)},
    {"modules", TARE_ARG_JSON, "ABSENT", offsetof(struct text_args, modules)}};
static const struct tare_args_info text_info = {text_list, 2, sizeof(struct text_args)};

static enum tare_code text_derive(void *args, const struct tare_derive *d)
{
    struct text_args *a = args;
    const struct tare_arch *qwen = &tare_qwen3_5_text;
    a->qwen = tare_arena_alloc(d->arena, qwen->args->size);
    if (!a->qwen)
        return tare_fail_memory(d->err);
    enum tare_code code = tare_args_read(qwen->args, d->config, d->place, a->qwen, d->err);
    return code || !qwen->derive ? code : qwen->derive(a->qwen, d);
}

static bool block_fits(int64_t block, int64_t width)
{
    return !block ||
           ((block == 512 || block == 1024 || block == 2048 || block == 4096 || block == 8192) && width % block == 0);
}

/* Declares the signs of one module of the list. Returns NULL, or what is wrong with it. */
static const char *rotated(struct tare_at root, const json_t *module, struct tare_decoder *d)
{
    const char *path = tare_json_text(module, "path", ""), *dtype = tare_json_text(module, "dtype", "");
    const json_t *embedding = json_object_get(module, "embedding");
    const int64_t block = tare_json_integer(module, "block", -1);
    const struct tare_at at = tare_at(root, "%s", path);
    struct tare_parameter *p = tare_tree_find(root.tree, tare_at(at, "weight").path);
    if (!p || !p->active || (p->kind != TARE_KIND_LINEAR && p->kind != TARE_KIND_EMBEDDING))
        return "is no linear and no embedding of the model";
    if (!json_is_boolean(embedding) || json_is_true(embedding) != (p->kind == TARE_KIND_EMBEDDING))
        return "is not of the kind that `embedding` says";
    if (strcmp(dtype, "float16") || tare_tree_find(root.tree, tare_at(at, "bias").path))
        return "must be float16 and without a bias";
    if (p->shape[1] % 128 || !block_fits(block, p->shape[1]))
        return "has a width that its block or the groups do not divide";
    p->halved = p->kind == TARE_KIND_EMBEDDING;
    if (!block)
        return NULL;
    p->signs = tare_plain(at, "signs", 1, p->shape[1]);
    p->block = block;
    d->turned = p->shape[1] > d->turned ? p->shape[1] : d->turned;
    return NULL;
}

static void text_declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct text_args *a = args;
    struct tare_map seen = {0};
    tare_qwen3_5_text.declare(root, a->qwen, d);
    for (size_t i = 0; i < json_array_size(a->modules) && !root.tree->error.code; i++) {
        const json_t *module = json_array_get(a->modules, i);
        const char *path = tare_json_text(module, "path", "");
        uint32_t before = TARE_MAP_NONE;
        if (!tare_map_put(&seen, path, strlen(path), (uint32_t)i, &before)) {
            tare_fail_memory(&root.tree->error);
            break;
        }
        const char *wrong = before == TARE_MAP_NONE ? rotated(root, module, d) : "is listed twice";
        if (wrong)
            tare_fail(&root.tree->error, TARE_E_CONFIG, "config.json: modules", "%s %s", path, wrong);
    }
    tare_map_release(&seen);
}

static void text_sanitize(struct tare_weights *w, const void *args)
{
    if (tare_qwen3_5_text.sanitize)
        tare_qwen3_5_text.sanitize(w, ((const struct text_args *)args)->qwen);
}

static const struct tare_arch text = {
    .name = "prism_hadamard_qwen35",
    .args = &text_info,
    .derive = text_derive,
    .declare = text_declare,
    .sanitize = text_sanitize,
    .runs = true,
};

const struct tare_arch tare_arch_prism_hadamard_qwen35 = {
    .name = "prism_hadamard_qwen35",
    .args = &args_info,
    .derive = derive,
    .sanitize = tare_qwen3_5_sanitize,
    .inner = &text,
    .inner_config = "text_config",
    .inner_prefix = "language_model",
    .fill = fill,
};
