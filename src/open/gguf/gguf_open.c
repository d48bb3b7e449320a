/* SPDX-License-Identifier: MIT
 * gguf_open.c - a located checkpoint that is a GGUF file: mapped and parsed; its tensors under usual names, and the
 * side files that its metadata stand for. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "open/gguf/gguf.h"
#include "open/locate.h"

static bool is_gguf(const char *name)
{
    return tare_ends_with(name, ".gguf");
}

/* Finds the only GGUF file of a folder without safetensors; projectors of images (mmproj) beside it do not count. *name
 * is NULL when there is none. */
static enum tare_code find_file(struct tare_checkpoint *checkpoint, const char **name, struct tare_error *err)
{
    struct tare_listing listing = {0};
    const char *more = NULL;
    bool other = false;
    *name = NULL;
    if (checkpoint->only) {
        *name = is_gguf(checkpoint->only) ? checkpoint->only : NULL;
        return TARE_OK;
    }
    enum tare_code code = tare_listing_read(&listing, checkpoint, err);
    for (size_t i = 0; i < listing.n; i++) {
        const char *one = listing.names[i];
        other = other || tare_ends_with(one, ".safetensors") || tare_ends_with(one, ".safetensors.index.json");
        if (!is_gguf(one) || strstr(one, "mmproj"))
            continue;
        more = *name ? one : more;
        *name = *name ? *name : one;
    }
    tare_listing_release(&listing);
    if (other)
        *name = NULL;
    else if (!code && more)
        code = tare_fail(err, TARE_E_FORMAT, more,
                         "lies beside %s: which one counts is not said; give one of the files", *name);
    return code;
}

/* Makes the file the only one of checkpoint.files, and maps it. */
static enum tare_code map_file(struct tare_checkpoint *checkpoint, const char *name, struct tare_error *err)
{
    size_t room = 0;
    if (!tare_grow(&checkpoint->files, &room, 1, sizeof *checkpoint->files))
        return tare_fail_memory(err);
    struct tare_file *file = checkpoint->files;
    struct tare_mapping *mapping = tare_arena_alloc(&checkpoint->arena, sizeof *mapping);
    *file = (struct tare_file){.name = tare_arena_text(&checkpoint->arena, name)};
    checkpoint->n_files = 1;
    if (!mapping || !file->name)
        return tare_fail_memory(err);
    for (size_t i = 0; i < checkpoint->n_memory; i++)
        if (!strcmp(checkpoint->memory[i].name, name)) {
            *mapping = (struct tare_mapping){.data = checkpoint->memory[i].data, .size = checkpoint->memory[i].size};
            file->size = mapping->size;
            file->mapping = mapping;
            return TARE_OK;
        }
    int fd = -1;
    file->path = tare_checkpoint_path(checkpoint, name);
    if (!file->path)
        return tare_fail_memory(err);
    enum tare_code code = tare_file_open(&fd, &file->size, file->path, name, err);
    if (code)
        return code;
    close(fd);
    code = tare_mapping_open(mapping, file->path, file->size, checkpoint->no_map, err);
    if (!code)
        file->mapping = mapping;
    return code;
}

/* Adds a side file that was made of the metadata, unless its text is empty. The checkpoint then owns the text. */
static void add_made(struct tare_checkpoint *checkpoint, const char *name, struct tare_text *text)
{
    if (!text->size)
        return;
    checkpoint->made[checkpoint->n_made++] =
        (struct tare_memory_file){.name = name, .data = text->data, .size = text->size};
    *text = (struct tare_text){0};
}

static enum tare_code remark_tokenizer(struct tare_checkpoint *checkpoint, const char *refusal, struct tare_error *err)
{
    if (!tare_grow(&checkpoint->remarks, &checkpoint->remarks_room, checkpoint->n_remarks + 1,
                   sizeof *checkpoint->remarks))
        return tare_fail_memory(err);
    checkpoint->remarks[checkpoint->n_remarks++] = (struct tare_remark){
        .level = TARE_NOTE, .code = "no-tokenizer", .where = checkpoint->files->name, .text = refusal};
    return TARE_OK;
}

static enum tare_code make_files(struct tare_checkpoint *checkpoint, struct tare_error *err)
{
    struct tare_text config = {0}, generation = {0}, tokenizer = {0}, more = {0};
    const char *refusal = NULL;
    checkpoint->made = tare_arena_array(&checkpoint->arena, 4, sizeof *checkpoint->made);
    enum tare_code code = checkpoint->made ? TARE_OK : tare_fail_memory(err);
    if (!code)
        code = tare_gguf_config(checkpoint->gguf, &checkpoint->arena, &checkpoint->facts, &config, &generation, err);
    if (!code)
        code = tare_gguf_tokenizer(checkpoint->gguf, &checkpoint->arena, &tokenizer, &more, &refusal, err);
    if (!code && refusal)
        code = remark_tokenizer(checkpoint, refusal, err);
    if (!code) {
        add_made(checkpoint, "config.json", &config);
        add_made(checkpoint, "generation_config.json", &generation);
        add_made(checkpoint, "tokenizer.json", &tokenizer);
        add_made(checkpoint, "tokenizer_config.json", &more);
    }
    tare_text_release(&config);
    tare_text_release(&generation);
    tare_text_release(&tokenizer);
    tare_text_release(&more);
    return code;
}

enum tare_code tare_gguf_locate(struct tare_checkpoint *checkpoint, struct tare_error *err)
{
    const char *name;
    enum tare_code code = find_file(checkpoint, &name, err);
    if (code || !name)
        return code;
    if ((code = map_file(checkpoint, name, err)))
        return code;
    struct tare_gguf *gguf = tare_arena_alloc(&checkpoint->arena, sizeof *gguf);
    if (!gguf)
        return tare_fail_memory(err);
    const struct tare_file *file = checkpoint->files;
    checkpoint->gguf = gguf; /* from here on released with the checkpoint */
    code = tare_gguf_parse(gguf, file->name, file->mapping->data, file->mapping->size, &checkpoint->arena, err);
    return code ? code : make_files(checkpoint, err);
}

/* How many heads the rows of a tensor form, when they are rows of q or k that a permuted family reorders; else 0. */
static int64_t heads_of(const struct tare_gguf_facts *facts, const struct tare_tensor *t)
{
    const bool q =
        tare_ends_with(t->name, "self_attn.q_proj.weight") || tare_ends_with(t->name, "self_attn.q_proj.bias");
    const bool k =
        tare_ends_with(t->name, "self_attn.k_proj.weight") || tare_ends_with(t->name, "self_attn.k_proj.bias");
    const int64_t heads = q ? facts->heads : k ? facts->kv_heads : 0;
    return heads && t->rank <= 2 && t->shape[0] % heads == 0 && t->shape[0] / heads % 2 == 0 ? heads : 0;
}

enum tare_code tare_gguf_list(struct tare_checkpoint *checkpoint, struct tare_error *err)
{
    static const char gate[] = "shared_expert_gate.weight";
    const struct tare_gguf *gguf = checkpoint->gguf;
    size_t room = 0;
    if (!tare_grow(&checkpoint->tensors, &room, gguf->n_tensors + 1, sizeof *checkpoint->tensors))
        return tare_fail_memory(err);
    for (size_t i = 0; i < gguf->n_tensors; i++) {
        struct tare_tensor *t = &checkpoint->tensors[i];
        *t = gguf->tensors[i];
        t->stored = t->name;
        if (!(t->name = tare_gguf_name(checkpoint->facts.architecture, t->name, &checkpoint->arena)))
            return tare_fail_memory(err);
        t->heads = heads_of(&checkpoint->facts, t);
        if (t->rank != 1 || !tare_ends_with(t->name, gate))
            continue;
        int64_t *shape = tare_arena_array(&checkpoint->arena, 2, sizeof *shape); /* axes of 1 are not written */
        if (!shape)
            return tare_fail_memory(err);
        shape[0] = 1;
        shape[1] = t->shape[0];
        t->rank = 2;
        t->shape = shape;
    }
    checkpoint->n_tensors = gguf->n_tensors;
    return TARE_OK;
}
