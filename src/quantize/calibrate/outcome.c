/* SPDX-License-Identifier: MIT
 * outcome.c - the file beside the output that holds what calibrating has found, layer by layer: from it a killed run
 * continues, and the output is written.
 *
 *     "tare calibration" and an identity of 16 bytes; then for each layer, from a multiple of PAGE on:
 *     size (8 bytes), XXH3-64 of what follows (8), entries
 *
 * A record that is cut short or whose sum is wrong ends the file, as does one that does not fit the model. So the file
 * is not brought to the disk: after a crash of the machine less of it counts.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "quantize/calibrate/calibrate.h"

#define MAGIC "tare calibration"
#define PAGE 65536 /* a multiple of the pages of all systems: a part of a file is mapped from such a place on */
#define HEAD 16    /* size and sum of a record */

static uint64_t eights(uint64_t n)
{
    return (n + 7) / 8 * 8;
}

struct sizes {
    uint64_t codes, scale, zero, g_idx, vector, all;
};

/* Bytes of the arrays of an entry. The numbers are those of a parameter's shape, or were held against it. */
static struct sizes sizes_of(const struct tare_outcome_head *head)
{
    const uint64_t rows = (uint64_t)head->rows, columns = (uint64_t)head->columns, groups = (uint64_t)head->groups;
    struct sizes s = {0};
    if (head->kind == TARE_OUTCOME_VECTOR) {
        s.vector = eights(columns * sizeof(float));
    } else {
        s.codes = eights(rows * tare_outcome_row(head->columns, (int)head->bits));
        s.scale = eights(rows * groups * sizeof(float));
        s.zero = eights(rows * groups);
        s.g_idx = head->kind == TARE_OUTCOME_ORDERED ? eights(columns * sizeof(int32_t)) : 0;
    }
    s.all = sizeof *head + s.codes + s.scale + s.zero + s.g_idx + s.vector;
    return s;
}

bool tare_outcome_add(struct tare_outcome_record *record, const struct tare_outcome_head *head,
                      struct tare_outcome_arrays *arrays)
{
    const struct sizes s = sizes_of(head);
    if (record->size < HEAD)
        record->size = HEAD;
    if (!tare_grow(&record->bytes, &record->room, record->size + s.all, 1))
        return false;
    unsigned char *at = record->bytes + record->size;
    memset(at, 0, s.all);
    memcpy(at, head, sizeof *head);
    record->size += s.all;
    at += sizeof *head;
    arrays->codes = at;
    arrays->scale = (float *)(void *)(at + s.codes);
    arrays->zero = at + s.codes + s.scale;
    arrays->g_idx = s.g_idx ? (int32_t *)(void *)(at + s.codes + s.scale + s.zero) : NULL;
    arrays->vector = s.vector ? (float *)(void *)at : NULL;
    return true;
}

void tare_outcome_pack(const uint8_t *code, int bits, int64_t columns, unsigned char *to)
{
    const int64_t whole = columns / 8 * 8;
    uint8_t rest[8] = {0};
    tare_mlx_pack(code, bits, whole, to);
    if (whole == columns)
        return;
    memcpy(rest, code + whole, (size_t)(columns - whole));
    tare_mlx_pack(rest, bits, 8, to + (size_t)(whole / 8 * bits));
}

void tare_outcome_unpack(const unsigned char *from, int bits, int64_t columns, uint8_t *code)
{
    const int64_t whole = columns / 8 * 8;
    uint8_t rest[8];
    tare_mlx_unpack(from, bits, whole, code);
    if (whole == columns)
        return;
    tare_mlx_unpack(from + (size_t)(whole / 8 * bits), bits, 8, rest);
    memcpy(code + whole, rest, (size_t)(columns - whole));
}

/* Whether an entry is one that this model can have. */
static bool fits(const struct tare_model *model, const struct tare_outcome_head *head)
{
    if (head->parameter >= model->tree.n || head->kind > TARE_OUTCOME_VECTOR)
        return false;
    const struct tare_parameter *p = model->tree.parameters[head->parameter];
    if (head->kind == TARE_OUTCOME_VECTOR)
        return p->rank == 1 && head->columns == p->shape[0] && head->rows == 1 && !head->groups;
    return p->rank == 2 && head->rows == p->shape[0] && head->columns == p->shape[1] && head->groups > 0 &&
           head->groups <= head->columns && head->bits >= 2 && head->bits <= 8;
}

/* Enters the entries of a record; false: they are not those of this model. */
static bool enter(struct tare_calibration *calibration, const struct tare_model *model, const unsigned char *bytes,
                  size_t size)
{
    for (size_t at = HEAD; at < size;) {
        struct tare_outcome_head head;
        if (size - at < sizeof head)
            return false;
        memcpy(&head, bytes + at, sizeof head);
        if (!fits(model, &head))
            return false;
        const struct sizes s = sizes_of(&head);
        if (s.all > size - at)
            return false;
        const unsigned char *data = bytes + at + sizeof head;
        struct tare_outcome *found = &calibration->found[head.parameter];
        *found = (struct tare_outcome){.layer = calibration->layers};
        if (s.vector) {
            found->vector = (const float *)(const void *)data;
        } else {
            found->codes = data;
            found->bits = (int)head.bits;
            found->groups = head.groups;
            found->scale = (const float *)(const void *)(data + s.codes);
            found->zero = data + s.codes + s.scale;
            found->g_idx = s.g_idx ? (const int32_t *)(const void *)(data + s.codes + s.scale + s.zero) : NULL;
        }
        at += s.all;
    }
    return true;
}

static uint64_t next_page(uint64_t end)
{
    return (end + PAGE - 1) / PAGE * PAGE;
}

/* Maps the record at the end of what is known, if there is a whole one. */
static bool take(struct tare_calibration *calibration, const struct tare_model *model, uint64_t file_size)
{
    uint64_t head[2];
    const uint64_t at = next_page(calibration->end);
    if (at > file_size || file_size - at < HEAD || pread(calibration->fd, head, sizeof head, (off_t)at) != HEAD ||
        head[0] < HEAD || head[0] > file_size - at ||
        !tare_grow(&calibration->parts, &calibration->parts_room, calibration->n_parts + 1, sizeof *calibration->parts))
        return false;
    const size_t size = (size_t)head[0];
    void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, calibration->fd, (off_t)at);
    if (bytes == MAP_FAILED)
        return false;
    if (XXH3_64bits((const unsigned char *)bytes + HEAD, size - HEAD) != head[1] ||
        !enter(calibration, model, bytes, size)) {
        munmap(bytes, size);
        return false;
    }
    calibration->parts[calibration->n_parts++] = (struct tare_outcome_part){bytes, size};
    calibration->end = at + size;
    calibration->layers++;
    return true;
}

/* The file of an earlier run with the same identity; false: there is none, or another. */
static bool resume(struct tare_calibration *calibration, const struct tare_model *model,
                   const unsigned char identity[16])
{
    unsigned char head[32];
    struct stat info;
    if (calibration->fd < 0 || fstat(calibration->fd, &info) || !S_ISREG(info.st_mode) ||
        pread(calibration->fd, head, sizeof head, 0) != (ssize_t)sizeof head || memcmp(head, MAGIC, 16) ||
        memcmp(head + 16, identity, 16))
        return false;
    calibration->end = sizeof head;
    while (take(calibration, model, (uint64_t)info.st_size))
        ;
    return true;
}

enum tare_code tare_outcome_open(struct tare_calibration *calibration, struct tare_folder *folder,
                                 const struct tare_model *model, const unsigned char identity[16],
                                 struct tare_error *err)
{
    calibration->n = model->tree.n;
    calibration->fd = -1;
    calibration->found = calloc(calibration->n + 1, sizeof *calibration->found);
    if (!calibration->found)
        return tare_fail_memory(err);
    enum tare_code code = tare_folder_beside(folder, TARE_CALIBRATION, false, &calibration->fd, err);
    if (code || resume(calibration, model, identity))
        return code;
    if (calibration->fd < 0 && (code = tare_folder_beside(folder, TARE_CALIBRATION, true, &calibration->fd, err)))
        return code;
    calibration->end = 32;
    if (ftruncate(calibration->fd, 0))
        return tare_fail_system(err, TARE_CALIBRATION, "emptying it");
    if ((code = tare_folder_write(calibration->fd, TARE_CALIBRATION, MAGIC, 16, 0, err)))
        return code;
    return tare_folder_write(calibration->fd, TARE_CALIBRATION, identity, 16, 16, err);
}

enum tare_code tare_outcome_keep(struct tare_calibration *calibration, const struct tare_outcome_record *record,
                                 const struct tare_model *model, struct tare_error *err)
{
    const uint64_t at = next_page(calibration->end);
    unsigned char empty[HEAD] = {0}, *bytes = record->size ? record->bytes : empty;
    const uint64_t size = record->size ? record->size : HEAD;
    const uint64_t head[2] = {size, XXH3_64bits(bytes + HEAD, size - HEAD)};
    memcpy(bytes, head, HEAD);
    const enum tare_code code = tare_folder_write(calibration->fd, TARE_CALIBRATION, bytes, size, at, err);
    if (code)
        return code;
    if (!take(calibration, model, at + size))
        return tare_fail(err, TARE_E_INTERNAL, TARE_CALIBRATION, "what was written there cannot be read again");
    return TARE_OK;
}

void tare_outcome_close(struct tare_calibration *calibration)
{
    for (size_t k = 0; k < calibration->n_parts; k++)
        munmap(calibration->parts[k].bytes, calibration->parts[k].size);
    free(calibration->parts);
    free(calibration->found);
    if (calibration->fd >= 0)
        close(calibration->fd);
    *calibration = (struct tare_calibration){.fd = -1};
}
