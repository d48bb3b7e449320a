/* SPDX-License-Identifier: MIT
 * write_safetensors.c - the shards of a layout: their headers, the files, and the index over them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "save/save.h"

/* In a shard wide dtypes come first, so that every tensor is aligned to its elements. */
static int by_place(const void *a, const void *b)
{
    const struct tare_saved *x = *(struct tare_saved *const *)a, *y = *(struct tare_saved *const *)b;
    const size_t wide = tare_dtype_size(x->dtype), wider = tare_dtype_size(y->dtype);
    if (x->shard != y->shard)
        return x->shard < y->shard ? -1 : 1;
    if (wide != wider)
        return wide > wider ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void write_header(struct tare_shard *shard, const char *metadata, struct tare_saved *const *order, size_t n)
{
    struct tare_text text = {0};
    uint64_t at = 0;
    tare_text_add(&text, "\0\0\0\0\0\0\0\0", 8);
    tare_text_format(&text, "{\"__metadata__\":{\"format\":\"%s\"}", metadata);
    for (size_t k = 0; k < n; k++) {
        tare_text_puts(&text, ",");
        tare_text_json(&text, order[k]->name);
        tare_text_format(&text, ":{\"dtype\":\"%s\",\"shape\":[", tare_dtype_name(order[k]->dtype));
        for (int i = 0; i < order[k]->rank; i++)
            tare_text_format(&text, "%s%lld", i ? "," : "", (long long)order[k]->shape[i]);
        tare_text_format(&text, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                         (unsigned long long)(at + order[k]->size));
        order[k]->offset = at;
        at += order[k]->size;
    }
    tare_text_puts(&text, "}");
    while (text.size % 8 && !text.failed)
        tare_text_puts(&text, " ");
    if (text.failed) {
        tare_text_release(&text);
        return;
    }
    for (int i = 0; i < 8; i++)
        text.data[i] = (char)((text.size - 8) >> 8 * i & 255);
    for (size_t k = 0; k < n; k++)
        order[k]->offset += text.size;
    shard->header = text.data;
    shard->header_size = text.size;
    shard->size = text.size + at;
}

enum tare_code tare_shards_place(struct tare_layout *layout, struct tare_error *err)
{
    struct tare_saved **order = malloc((layout->n_saved + 1) * sizeof(struct tare_saved *));
    if (!order)
        return tare_fail_memory(err);
    for (size_t k = 0; k < layout->n_saved; k++)
        order[k] = &layout->saved[k];
    qsort(order, layout->n_saved, sizeof(struct tare_saved *), by_place);
    bool failed = false;
    enum tare_code code = TARE_OK;
    for (size_t k = 0, end; !code && k < layout->n_saved; k = end) {
        for (end = k; end < layout->n_saved && order[end]->shard == order[k]->shard; end++)
            ;
        struct tare_shard *shard = &layout->shards[order[k]->shard];
        if (layout->format->header)
            code = layout->format->header(layout, shard, order + k, end - k, err);
        else
            write_header(shard, layout->format->metadata, order + k, end - k);
        failed |= !shard->header;
    }
    free(order);
    return code ? code : failed ? tare_fail_memory(err) : TARE_OK;
}

enum tare_code tare_shards_begin(struct tare_layout *layout, struct tare_folder *folder, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (size_t k = 0; !code && k < layout->n_shards; k++) {
        struct tare_shard *shard = &layout->shards[k];
        code = tare_folder_create(folder, shard->name, shard->size, &shard->fd, err);
        if (!code)
            code = tare_folder_write(shard->fd, shard->name, shard->header, shard->header_size, 0, err);
    }
    return code;
}

enum tare_code tare_saved_write(const struct tare_layout *layout, const struct tare_saved *saved, const void *data,
                                size_t n, uint64_t at, struct tare_error *err)
{
    struct tare_shard *shard = &layout->shards[saved->shard];
    pthread_mutex_lock(&shard->lock);
    const enum tare_code code = tare_folder_write(shard->fd, shard->name, data, n, saved->offset + at, err);
    pthread_mutex_unlock(&shard->lock);
    return code;
}

enum tare_code tare_saved_write_strided(const struct tare_layout *layout, const struct tare_saved *saved,
                                        const void *data, size_t n, int64_t count, uint64_t at, uint64_t stride,
                                        struct tare_error *err)
{
    if (n == stride) /* they follow one another there too */
        return tare_saved_write(layout, saved, data, n * (size_t)count, at, err);
    struct tare_shard *shard = &layout->shards[saved->shard];
    enum tare_code code = TARE_OK;
    pthread_mutex_lock(&shard->lock);
    for (int64_t k = 0; !code && k < count; k++)
        code = tare_folder_write(shard->fd, shard->name, (const unsigned char *)data + (size_t)k * n, n,
                                 saved->offset + at + (uint64_t)k * stride, err);
    pthread_mutex_unlock(&shard->lock);
    return code;
}

enum tare_code tare_shards_finish(struct tare_layout *layout, struct tare_error *err)
{
    for (size_t k = 0; k < layout->n_shards; k++) {
        const int fd = layout->shards[k].fd;
        layout->shards[k].fd = -1;
        const enum tare_code code = tare_folder_finish(fd, layout->shards[k].name, err);
        if (code)
            return code;
    }
    return TARE_OK;
}

enum tare_code tare_index_write(const struct tare_layout *layout, struct tare_folder *folder, struct tare_error *err)
{
    struct tare_text text = {0};
    tare_text_format(
        &text,
        "{\n    \"metadata\": {\n        \"total_size\": %llu,\n        \"total_parameters\": %llu\n    },\n"
        "    \"weight_map\": {",
        (unsigned long long)layout->bytes, (unsigned long long)layout->parameters);
    for (size_t k = 0; k < layout->n_saved; k++) {
        tare_text_puts(&text, k ? ",\n        " : "\n        ");
        tare_text_json(&text, layout->saved[k].name);
        tare_text_format(&text, ": \"%s\"", layout->shards[layout->saved[k].shard].name);
    }
    tare_text_puts(&text, layout->n_saved ? "\n    }\n}\n" : "}\n}\n");
    const enum tare_code code =
        text.failed ? tare_fail_memory(err)
                    : tare_folder_put(folder, "model.safetensors.index.json", text.data, text.size, err);
    tare_text_release(&text);
    return code;
}
