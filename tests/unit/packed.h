/* SPDX-License-Identifier: MIT
 * packed.h - for tests of packings: a safetensors file grouped into modules as a plan does it, and its values.
 */
#ifndef TARE_TESTS_PACKED_H
#define TARE_TESTS_PACKED_H

#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "names/group.h"
#include "packing/mlx/to_mlx.h"

struct packed {
    struct tare_checkpoint checkpoint;
    struct tare_arena arena;
    struct tare_module *modules;
    size_t n;
    struct tare_weights weights;
    char *folder; /* or NULL */
};

static inline void packed_group(struct packed *p, const struct tare_quant *quant)
{
    static const struct tare_quant none = {.zero_point = -1};
    const struct tare_packing *announced = NULL;
    struct tare_error err = {0};
    assert_int_equal(tare_packing_choose(quant ? quant : &none, &announced, &err), TARE_OK);
    assert_int_equal(tare_modules_group(&p->checkpoint, quant ? quant : &none, announced, &p->arena, &p->modules, &p->n,
                                        &p->weights, &err),
                     TARE_OK);
}

/* tests/data/packing/<name>.safetensors; quant may be NULL: the config announces none. */
static inline struct packed *packed_open(const char *name, const struct tare_quant *quant)
{
    char path[512];
    struct packed *p = calloc(1, sizeof *p);
    struct tare_error err = {0};
    snprintf(path, sizeof path, "%s/packing/%s.safetensors", TARE_TEST_DATA, name);
    assert_non_null(p);
    assert_int_equal(tare_checkpoint_open(&p->checkpoint, path, NULL, &err), TARE_OK);
    packed_group(p, quant);
    return p;
}

/* Tensors without data. */
static inline struct packed *packed_made(const struct fixture_tensor *tensors, size_t n, const struct tare_quant *quant)
{
    char *folder = fixture_begin();
    struct packed *p = calloc(1, sizeof *p);
    struct tare_error err = {0};
    assert_non_null(p);
    fixture_safetensors(folder, "model.safetensors", tensors, n);
    assert_int_equal(tare_checkpoint_open(&p->checkpoint, fixture_path(folder, "model.safetensors"), NULL, &err),
                     TARE_OK);
    p->folder = folder;
    packed_group(p, quant);
    return p;
}

static inline void packed_close(struct packed *p)
{
    free(p->weights.entries);
    tare_arena_release(&p->arena);
    tare_checkpoint_release(&p->checkpoint);
    if (p->folder)
        fixture_end(p->folder);
    free(p);
}

static inline const struct tare_module *packed_find(const struct packed *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->modules[i].name, name))
            return &p->modules[i];
    fail_msg("no module %s", name);
    return NULL;
}

/* The module has this packing and shape (0 ends it early), and no fault. */
static inline void packed_expect(const struct tare_module *m, const struct tare_packing *packing, int64_t a, int64_t b,
                                 int64_t c)
{
    const int64_t shape[] = {a, b, c};
    if (m->fault)
        fail_msg("%s: %s", m->fault_name, m->fault);
    assert_ptr_equal(m->packing, packing);
    assert_int_equal(m->rank, c ? 3 : 2);
    assert_memory_equal(m->shape, shape, (size_t)m->rank * sizeof *shape);
}

/* Its only packed module has this fault, at a tensor. */
static inline void packed_refused(const struct fixture_tensor *tensors, size_t n, const struct tare_quant *quant,
                                  enum tare_code code, const char *where, const char *phrase)
{
    struct packed *p = packed_made(tensors, n, quant);
    const struct tare_module *m = &p->modules[0];
    assert_non_null(m->fault);
    if (!strstr(m->fault, phrase))
        fail_msg("\"%s\" does not say \"%s\"", m->fault, phrase);
    assert_string_equal(m->fault_name, where);
    assert_int_equal(m->fault_code, code);
    packed_close(p);
}

/* A module of tensors without data has this fault, at a tensor. */
static inline void packed_fault(struct tare_module module, const struct tare_quant *quant, enum tare_code code,
                                const char *where, const char *phrase)
{
    struct tare_arena arena = {0};
    module.packing->shape(&module, quant, &arena);
    assert_non_null(module.fault);
    if (!strstr(module.fault, phrase))
        fail_msg("\"%s\" does not say \"%s\"", module.fault, phrase);
    assert_int_equal(module.fault_code, code);
    assert_string_equal(module.fault_name, where);
    tare_arena_release(&arena);
}

/* The same tensor with another shape, which must outlive it. */
static inline struct tare_tensor packed_reshaped(const struct tare_tensor *tensor, int rank, const int64_t *shape)
{
    struct tare_tensor changed = *tensor;
    changed.rank = rank;
    changed.shape = shape;
    return changed;
}

/* All values of a module, a few rows at a time; free(). */
static inline float *packed_values(struct packed *p, const struct tare_module *m)
{
    const void *part[TARE_PARTS];
    struct tare_error err = {0};
    const int64_t rows = tare_module_rows(m), columns = tare_module_columns(m);
    float *made = calloc((size_t)(rows * columns), sizeof *made);
    assert_non_null(made);
    assert_int_equal(tare_module_data(&p->checkpoint, m, part, &err), TARE_OK);
    for (int64_t row = 0, n; row < rows; row += n) {
        n = rows - row < 5 ? rows - row : 5;
        assert_int_equal(tare_module_floats(m, part, row, n, made + row * columns, &p->arena, &err), TARE_OK);
    }
    return made;
}

/* They are those of the tensor "truth", float32 or rounded to bfloat16, to the last bit (zeros of either sign). */
static inline void packed_true(struct packed *p, const struct tare_module *m)
{
    const struct tare_tensor *truth = tare_checkpoint_find(&p->checkpoint, "truth");
    const void *data;
    float *made = packed_values(p, m);
    assert_non_null(truth);
    assert_int_equal(tare_shape_count(truth->rank, truth->shape), tare_shape_count(m->rank, m->shape));
    assert_int_equal(tare_tensor_data(&p->checkpoint, truth, &data, NULL), TARE_OK);
    for (int64_t k = 0; k < tare_shape_count(m->rank, m->shape); k++) {
        const float want = tare_float_at(data, truth->dtype, k);
        const float got = truth->dtype == TARE_BF16 ? tare_from_bfloat16(tare_to_bfloat16(made[k])) : made[k];
        if (!(got == want))
            fail_msg("%s: element %lld is %.9g, want %.9g", m->name, (long long)k, (double)got, (double)want);
    }
    free(made);
}

/* The fused way into MLX equals the neutral one, whole and from an odd row on. */
static inline void packed_same_ways(struct packed *p, const struct tare_module *m)
{
    const void *part[TARE_PARTS];
    struct tare_error err = {0};
    const int64_t rows = tare_module_rows(m), groups = tare_module_groups(m);
    const size_t codes = (size_t)(rows * tare_module_columns(m) * m->bits / 8), scales = (size_t)(rows * groups) * 4;
    assert_int_equal(tare_module_data(&p->checkpoint, m, part, &err), TARE_OK);
    for (int64_t first = 0; first < rows && first < 4; first += 3) {
        struct tare_mlx_rows to[2];
        for (int k = 0; k < 2; k++) {
            to[k] = (struct tare_mlx_rows){calloc(codes, 1), calloc(scales, 1), calloc(scales, 1)};
            assert_true(to[k].weight && to[k].scales && to[k].biases);
        }
        m->packing->to_mlx(m, part, first, rows - first, &to[0]);
        assert_true(tare_neutral_to_mlx(m, part, first, rows - first, m->dtype, &to[1], &p->arena));
        assert_memory_equal(to[0].weight, to[1].weight, codes);
        assert_memory_equal(to[0].scales, to[1].scales, scales);
        assert_memory_equal(to[0].biases, to[1].biases, scales);
        for (int k = 0; k < 2; k++) {
            free(to[k].weight);
            free(to[k].scales);
            free(to[k].biases);
        }
    }
}

#endif
