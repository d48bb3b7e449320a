/* SPDX-License-Identifier: MIT
 * gguf_open.c - a located checkpoint that is a GGUF file: mapped or held, and parsed; its tensors under usual names, and the
 * side files that its metadata stand for. */
#include <stdlib.h>
#include <string.h>

#include "open/gguf/gguf.h"
#include "open/locate.h"

#define HEAD_FIRST ((uint64_t)1 << 20) /* bytes of a header that are read at first: vocabularies take some MiB */
#define HEAD_MOST ((uint64_t)1 << 30)

static bool is_gguf(const char *name)
{
    return tare_ends_with(name, ".gguf");
}

/* Are both names of parts of the same model? */
static bool are_parts(const char *a, const char *b)
{
    struct tare_gguf_part first, second;
    return tare_gguf_part_of(a, &first) && tare_gguf_part_of(b, &second) && first.stem == second.stem &&
           first.count == second.count && !strncmp(a, b, first.stem);
}

/* Finds the only GGUF file of a folder without safetensors, or one of the parts of the only one that is split;
 * projectors of images (mmproj) beside it do not count. *name is NULL when there is none. */
static enum tare_code find_file(struct tare_checkpoint *checkpoint, const char **name, struct tare_error *err)
{
    struct tare_listing listing = {0};
    const char *more = NULL, *cut = NULL;
    bool other = false;
    *name = NULL;
    if (checkpoint->only) {
        *name = is_gguf(checkpoint->only) ? checkpoint->only : NULL;
        return *name ? TARE_OK : tare_gguf_refuse_cut(checkpoint->only, err);
    }
    enum tare_code code = tare_listing_read(&listing, checkpoint, err);
    for (size_t i = 0; i < listing.n; i++) {
        const char *one = listing.names[i];
        other = other || tare_ends_with(one, ".safetensors") || tare_ends_with(one, ".safetensors.index.json");
        cut = !cut && tare_gguf_refuse_cut(one, NULL) ? one : cut;
        if (!is_gguf(one) || strstr(one, "mmproj") || (*name && are_parts(*name, one)))
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
    else if (!code && cut && !*name)
        code = tare_gguf_refuse_cut(cut, err);
    return code;
}

/* Makes the file the next one of checkpoint.files, which have room for it, and its bytes visible. */
static enum tare_code see_file(struct tare_checkpoint *checkpoint, const char *name, struct tare_error *err)
{
    struct tare_bytes bytes;
    struct tare_file *file = &checkpoint->files[checkpoint->n_files];
    *file = (struct tare_file){.name = tare_arena_text(&checkpoint->arena, name)};
    checkpoint->n_files++;
    if (checkpoint->folder)
        file->path = tare_checkpoint_path(checkpoint, name);
    if (!file->name || (checkpoint->folder && !file->path))
        return tare_fail_memory(err);
    enum tare_code code = tare_checkpoint_bytes(checkpoint, file->name, &bytes, err);
    if (code)
        return code;
    file->size = bytes.size;
    if (bytes.memory) {
        file->mapping = tare_arena_alloc(&checkpoint->arena, sizeof *file->mapping);
        if (!file->mapping)
            return tare_fail_memory(err);
        *file->mapping = (struct tare_mapping){.data = bytes.memory, .size = bytes.size};
    }
    tare_bytes_close(&bytes);
    return tare_checkpoint_see(checkpoint, file, err);
}

/* The part of a header that is there already, of a file that is not mapped. */
struct head {
    struct tare_checkpoint *checkpoint;
    struct tare_holds holds;
    uint32_t file;
    uint64_t held;
};

/* What is held doubles with each call, so a header of some MiB takes a handful of them. */
static enum tare_code hold_head(void *user, uint64_t end, uint64_t *there, struct tare_error *err)
{
    struct head *head = user;
    const struct tare_file *file = &head->checkpoint->files[head->file];
    const uint64_t twice = 2 * head->held > HEAD_FIRST ? 2 * head->held : HEAD_FIRST;
    uint64_t next = end > twice ? end : twice;
    next = next < file->size ? next : file->size;
    if (end > HEAD_MOST)
        return tare_fail(err, TARE_E_FORMAT, file->name,
                         "has a header of more than 1 GiB, which no known file has: it is damaged");
    const struct tare_tensor part = {.file = head->file, .size = next};
    const enum tare_code code = tare_holds_add(&head->holds, head->checkpoint, &part, head->held, next, err);
    if (!code)
        *there = head->held = next;
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

/* Opens the file or the part called name, and parses it into *gguf. */
static enum tare_code open_file(struct tare_checkpoint *checkpoint, const char *name, struct tare_gguf **gguf,
                                struct tare_holds *holds, struct tare_error *err)
{
    const uint32_t at = (uint32_t)checkpoint->n_files;
    enum tare_code code = see_file(checkpoint, name, err);
    if (code)
        return code;
    struct tare_gguf *made = tare_arena_alloc(&checkpoint->arena, sizeof *made);
    if (!made)
        return tare_fail_memory(err);
    const struct tare_file *file = &checkpoint->files[at];
    struct head head = {.checkpoint = checkpoint, .holds = *holds, .file = at};
    const struct tare_gguf_source source = {
        .file = file->name,
        .data = file->window ? tare_window_data(file->window) : file->mapping->data,
        .size = file->size,
        .hold = file->window ? hold_head : NULL,
        .user = &head,
    };
    made->at = at;
    *gguf = made; /* from here on released with the checkpoint */
    code = tare_gguf_parse(made, &source, &checkpoint->arena, err);
    *holds = head.holds;
    return code;
}

/* Opens the file called name, or all parts of the model that it is a part of. */
static enum tare_code open_files(struct tare_checkpoint *checkpoint, const char *name, struct tare_holds *holds,
                                 struct tare_error *err)
{
    struct tare_gguf_part part;
    struct tare_gguf **next = &checkpoint->gguf;
    const bool split = tare_gguf_part_of(name, &part);
    const uint32_t n = split ? part.count : 1;
    size_t room = 0;
    enum tare_code code = TARE_OK;
    if (!tare_grow(&checkpoint->files, &room, n, sizeof *checkpoint->files))
        return tare_fail_memory(err);
    for (uint32_t k = 0; k < n && !code; k++) {
        const char *one = split ? tare_gguf_part_name(&checkpoint->arena, name, k + 1) : name;
        if (!one)
            return tare_fail_memory(err);
        code = open_file(checkpoint, one, next, holds, err);
        if (code == TARE_E_ABSENT && split)
            code = tare_fail(err, TARE_E_ABSENT, one, "is not beside %s: the model is split into %u files; fetch it",
                             name, (unsigned)n);
        if (!code)
            next = &(*next)->next;
    }
    return code ? code : tare_gguf_parts_check(checkpoint->gguf, err);
}

/* The few tensors whose values become a part of the config. */
static enum tare_code hold_factors(struct tare_checkpoint *checkpoint, struct tare_holds *holds, struct tare_error *err)
{
    static const char *const names[] = {TARE_GGUF_ROPE_FREQS, TARE_GGUF_ROPE_SHORT, TARE_GGUF_ROPE_LONG};
    enum tare_code code = TARE_OK;
    for (size_t k = 0; k < sizeof names / sizeof *names && !code; k++) {
        const struct tare_tensor *t = tare_gguf_tensor(checkpoint->gguf, names[k]);
        if (t)
            code = tare_holds_add(holds, checkpoint, t, 0, t->size, err);
    }
    return code;
}

enum tare_code tare_gguf_locate(struct tare_checkpoint *checkpoint, struct tare_error *err)
{
    const char *name;
    struct tare_holds holds = {0};
    enum tare_code code = find_file(checkpoint, &name, err);
    if (code || !name)
        return code;
    code = open_files(checkpoint, name, &holds, err);
    if (!code)
        code = hold_factors(checkpoint, &holds, err);
    if (!code)
        code = make_files(checkpoint, err);
    tare_holds_release(&holds); /* what is needed of the metadata was copied */
    return code;
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

/* A tensor under the name that the model's other files have. False: no memory. */
static bool take_tensor(struct tare_checkpoint *checkpoint, const struct tare_gguf *gguf, size_t i,
                        struct tare_tensor *t)
{
    static const char gate[] = "shared_expert_gate.weight";
    *t = gguf->tensors[i];
    t->stored = t->name;
    if (!(t->name = tare_gguf_name(checkpoint->facts.architecture, t->name, &checkpoint->arena)))
        return false;
    t->heads = heads_of(&checkpoint->facts, t);
    if (t->rank != 1 || !tare_ends_with(t->name, gate))
        return true;
    int64_t *shape = tare_arena_array(&checkpoint->arena, 2, sizeof *shape); /* axes of 1 are not written */
    if (!shape)
        return false;
    shape[0] = 1;
    shape[1] = t->shape[0];
    t->rank = 2;
    t->shape = shape;
    return true;
}

enum tare_code tare_gguf_list(struct tare_checkpoint *checkpoint, struct tare_error *err)
{
    size_t room = 0;
    if (!tare_grow(&checkpoint->tensors, &room, tare_gguf_tensors(checkpoint->gguf) + 1, sizeof *checkpoint->tensors))
        return tare_fail_memory(err);
    for (const struct tare_gguf *gguf = checkpoint->gguf; gguf; gguf = gguf->next)
        for (size_t i = 0; i < gguf->n_tensors; i++)
            if (!take_tensor(checkpoint, gguf, i, &checkpoint->tensors[checkpoint->n_tensors++]))
                return tare_fail_memory(err);
    return TARE_OK;
}
