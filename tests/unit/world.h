/* SPDX-License-Identifier: MIT
 * world.h - plans made by hand, for the tests that convert them. */
#ifndef TARE_TESTS_WORLD_H
#define TARE_TESTS_WORLD_H

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "packing/packing.h"
#include "save/save.h"

/* A model whose plan is made here: modules of one file, parameters with recipes over them. */
struct world {
    char *folder; /* holds in/ and, after a conversion, out/ */
    struct tare_model model;
    struct tare_parameter parameters[16], *list[16];
    struct tare_entry entries[16];
    struct tare_module modules[32];
    size_t n_modules;
};

static uint32_t random_word(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

/* Random bits; halves that are finite float16 of sizes as weights have them. */
static void *random_bytes(size_t n, bool halves, uint64_t seed)
{
    unsigned char *bytes = malloc(n);
    for (size_t k = 0; k + 1 < n; k += 2) {
        const uint16_t half = (uint16_t)((random_word(&seed) & 0x83ff) | (8 + random_word(&seed) % 8) << 10);
        const uint16_t any = (uint16_t)random_word(&seed);
        memcpy(bytes + k, halves ? &half : &any, 2);
    }
    return bytes;
}

static void world_begin(struct world *world, const struct fixture_tensor *tensors, size_t n)
{
    memset(world, 0, sizeof *world);
    world->folder = fixture_begin();
    fixture_folder(world->folder, "in");
    fixture_safetensors(fixture_path(world->folder, "in"), "model.safetensors", tensors, n);
    fixture_text(world->folder, "in/config.json", "{}");
    fixture_text(world->folder, "in/tokenizer.json", "{\"a\": 1}");
    fixture_text(world->folder, "in/merges.txt", "a b\n");
    fixture_text(world->folder, "in/modeling_x.py", "import os\n");
    fixture_text(world->folder, "in/pytorch_model.bin", "pickle");
    struct tare_error err = {0};
    static char path[4096];
    snprintf(path, sizeof path, "%s", fixture_path(world->folder, "in"));
    assert_int_equal(tare_checkpoint_open(&world->model.checkpoint, path, NULL, &err), TARE_OK);
    world->model.config = json_pack("{s:s, s:s, s:{s:s}, s:f, s:[i]}", "model_type", "llama", "_name_or_path",
                                    "/home/x", "quantization_config", "quant_method", "awq", "eps", 1e-6, "list", 7);
    world->model.tree.parameters = world->list;
    world->model.weights.entries = world->entries;
    world->model.options.threads = 2;
}

static void world_end(struct world *world)
{
    free(world->model.findings);
    json_decref(world->model.config);
    tare_checkpoint_release(&world->model.checkpoint);
    tare_arena_release(&world->model.arena);
    fixture_end(world->folder);
}

static struct tare_module *module_new(struct world *world)
{
    assert_true(world->n_modules < 32);
    return &world->modules[world->n_modules++];
}

static const struct tare_recipe *dense(struct world *world, const char *name)
{
    struct tare_module *module = module_new(world);
    module->name = name;
    module->packing = &tare_packing_plain;
    module->part[TARE_PART_WEIGHT] = tare_checkpoint_find(&world->model.checkpoint, name);
    assert_non_null(module->part[TARE_PART_WEIGHT]);
    tare_packing_plain.shape(module, NULL, &world->model.arena);
    return tare_recipe_take(&world->model.arena, module);
}

static const struct tare_recipe *awq(struct world *world, const char *path)
{
    static const char *const parts[] = {"qweight", "scales", "qzeros"};
    static const struct tare_quant quant = {.method = TARE_METHOD_AWQ};
    struct tare_module *module = module_new(world);
    module->name = tare_arena_format(&world->model.arena, "%s.weight", path);
    module->packing = &tare_packing_awq_gemm;
    module->packed = true;
    for (int k = 0; k < 3; k++)
        module->part[k] = tare_checkpoint_find(&world->model.checkpoint,
                                               tare_arena_format(&world->model.arena, "%s.%s", path, parts[k]));
    tare_packing_awq_gemm.shape(module, &quant, &world->model.arena);
    assert_null(module->fault);
    return tare_recipe_take(&world->model.arena, module);
}

static void add(struct world *world, const char *name, enum tare_kind kind, const struct tare_recipe *recipe)
{
    const size_t k = world->model.tree.n++;
    assert_true(k < 16);
    world->entries[k] = (struct tare_entry){.name = name, .recipe = recipe};
    world->parameters[k] = (struct tare_parameter){.name = name,
                                                   .kind = kind,
                                                   .rank = recipe->rank,
                                                   .shape = recipe->shape,
                                                   .active = true,
                                                   .index = (uint32_t)k,
                                                   .entry = &world->entries[k]};
    world->list[k] = &world->parameters[k];
    world->model.weights.n = world->model.tree.n;
}

static inline enum tare_code convert(struct world *world, const struct tare_convert_options *options,
                                     struct tare_error *err)
{
    const char *out = fixture_path(world->folder, "out");
    const enum tare_code code = tare_target_foresee(&world->model, err);
    return code ? code : tare_convert(&world->model, out, options, err);
}

/* What was written. */
static inline void world_open(const struct world *world, struct tare_checkpoint *out)
{
    struct tare_error err = {0};
    static char path[4096];
    snprintf(path, sizeof path, "%s", fixture_path(world->folder, "out"));
    *out = (struct tare_checkpoint){0};
    if (tare_checkpoint_open(out, path, NULL, &err) != TARE_OK)
        fail_msg("%s: %s", err.where, err.text);
}

/* Nothing but in/ lies in the folder. */
static inline void expect_nothing(const struct world *world)
{
    DIR *list = opendir(world->folder);
    assert_non_null(list);
    for (const struct dirent *entry; (entry = readdir(list));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && strcmp(entry->d_name, "in"))
            fail_msg("%s was left", entry->d_name);
    closedir(list);
}

#define IN 256
#define OUT 264
#define GROUP 64

/* Two awq modules, an embedding, a norm in float32. */
static inline void small_world(struct world *world)
{
    void *data[] = {random_bytes(IN * OUT / 2, false, 1),         random_bytes(IN / GROUP * OUT * 2, true, 2),
                    random_bytes(IN / GROUP * OUT / 2, false, 3), random_bytes(IN * OUT / 2, false, 4),
                    random_bytes(IN / GROUP * OUT * 2, true, 5),  random_bytes(IN / GROUP * OUT / 2, false, 6),
                    random_bytes(100 * IN * 2, true, 7)};
    float norm[IN];
    for (int k = 0; k < IN; k++)
        norm[k] = 1.0f + (float)k / 1000.0f;
    const struct fixture_tensor tensors[] = {
        {"a.qweight", "I32", 2, {IN, OUT / 8}, data[0]},        {"a.scales", "F16", 2, {IN / GROUP, OUT}, data[1]},
        {"a.qzeros", "I32", 2, {IN / GROUP, OUT / 8}, data[2]}, {"b.qweight", "I32", 2, {IN, OUT / 8}, data[3]},
        {"b.scales", "F16", 2, {IN / GROUP, OUT}, data[4]},     {"b.qzeros", "I32", 2, {IN / GROUP, OUT / 8}, data[5]},
        {"embed.weight", "F16", 2, {100, IN}, data[6]},         {"norm.weight", "F32", 1, {IN}, norm}};
    world_begin(world, tensors, FIXTURE_COUNT(tensors));
    add(world, "a.weight", TARE_KIND_LINEAR, awq(world, "a"));
    add(world, "b.weight", TARE_KIND_LINEAR, awq(world, "b"));
    add(world, "embed.weight", TARE_KIND_EMBEDDING, dense(world, "embed.weight"));
    add(world, "norm.weight", TARE_KIND_PLAIN, dense(world, "norm.weight"));
    for (size_t k = 0; k < FIXTURE_COUNT(data); k++)
        free(data[k]);
}

#endif
