/* SPDX-License-Identifier: MIT
 * test_loaded.c - packed modules as they are loaded: which storage they get, that each row, exactly computed, is that
 * of tare_module_floats(), and that the memory budget knew before how many bytes they take. */
#include "run/weights/loaded.h"

#include <math.h>
#include <stdlib.h>

#include "run/weights/budget.h"
#include "world.h"

enum { ROWS = 48, COLUMNS = 256 };

struct packed {
    const struct tare_packing *packing;
    int bits;
    int64_t group;
    bool act_order;
    enum tare_storage storage;
};

static void *noise(int64_t bytes, bool halves, uint64_t seed)
{
    return random_bytes((size_t)bytes, halves, seed);
}

/* g_idx with `group` columns a group, shuffled. */
static int32_t *shuffled(int64_t group)
{
    int32_t *g = malloc(COLUMNS * sizeof *g);
    uint64_t state = 8;
    for (int32_t i = 0; i < COLUMNS; i++)
        g[i] = i / (int32_t)group;
    for (int i = COLUMNS - 1; i > 0; i--) {
        const int k = (int)(random_word(&state) % (uint32_t)(i + 1));
        const int32_t other = g[k];
        g[k] = g[i];
        g[i] = other;
    }
    return g;
}

/* The parts of a module in this packing; tensors are named by their suffixes. Returns how many. */
static size_t tensors_of(const struct packed *p, struct fixture_tensor t[4])
{
    const int64_t words = COLUMNS * p->bits / 32, groups = COLUMNS / p->group;
    const bool floats = p->packing->codes != TARE_CODE_INTEGER;
    if (tare_packing_gptq_v2.shape == p->packing->shape) {
        const int64_t zeros = ROWS * p->bits / 32 + (ROWS * p->bits % 32 ? 1 : 0);
        t[0] = (struct fixture_tensor){"w.qweight", "I32", 2, {words, ROWS}, noise(4 * words * ROWS, false, 1)};
        t[1] = (struct fixture_tensor){"w.scales", "F16", 2, {groups, ROWS}, noise(2 * groups * ROWS, true, 2)};
        t[2] = (struct fixture_tensor){"w.qzeros", "I32", 2, {groups, zeros}, noise(4 * (groups * zeros), false, 3)};
        t[3] = (struct fixture_tensor){"w.g_idx", "I32", 1, {COLUMNS}, shuffled(p->group)};
        return p->act_order ? 4 : 3;
    }
    t[0] = (struct fixture_tensor){"w.weight", "U32", 2, {ROWS, words}, noise(4 * words * ROWS, false, 1)};
    t[1] = (struct fixture_tensor){
        "w.scales", floats ? "U8" : "BF16", 2, {ROWS, groups}, noise(2 * groups * ROWS, true, 2)};
    unsigned char *scale = (unsigned char *)(uintptr_t)t[1].data;
    for (int64_t i = 0; floats && i < groups * ROWS; i++)
        scale[i] |= 0x40; /* no product is below what bfloat16 has */
    t[2] = (struct fixture_tensor){"w.biases", "BF16", 2, {ROWS, groups}, noise(2 * groups * ROWS, true, 3)};
    return floats ? 2 : 3;
}

static struct tare_module *module_of(struct world *world, const struct packed *p)
{
    const struct tare_quant quant = {
        .method = tare_packing_gptq_v2.shape == p->packing->shape ? TARE_METHOD_GPTQ : TARE_METHOD_MLX,
        .bits = p->bits,
        .group_size = p->group,
        .mode = p->packing->codes == TARE_CODE_INTEGER ? NULL : p->packing->name + strlen("mlx-"),
        .gptq.desc_act = p->act_order};
    struct tare_module *module = module_new(world);
    module->name = "w.weight";
    module->packing = p->packing;
    module->packed = true;
    for (int k = 0; k < TARE_PARTS; k++)
        if (p->packing->suffix[k])
            module->part[k] = tare_checkpoint_find(
                &world->model.checkpoint, tare_arena_format(&world->model.arena, "w%s", p->packing->suffix[k]));
    p->packing->shape(module, &quant, &world->model.arena);
    if (module->fault)
        fail_msg("%s", module->fault);
    module->act_order = p->act_order;
    assert_int_equal(module->bits, p->bits);
    return module;
}

static bool has_nan(const float *x, int64_t n)
{
    bool any = false;
    for (int64_t i = 0; i < n; i++)
        any = any || isnan(x[i]);
    return any;
}

static void compare(struct world *world, const struct tare_module *module, const struct tare_matrix *m)
{
    const void *part[TARE_PARTS] = {NULL};
    struct tare_arena work = {0};
    float want[COLUMNS], got[COLUMNS];
    const float most = module->packing->biases ? 1e-4f : 0; /* with biases the kernels round once, and not twice */
    assert_int_equal(tare_module_data(&world->model.checkpoint, module, part, NULL), TARE_OK);
    for (int64_t r = 0; r < ROWS; r++) {
        assert_int_equal(tare_module_floats(module, part, r, 1, want, &work, NULL), TARE_OK);
        tare_matrix_row(&tare_kernels_scalar, m, r, got);
        for (int i = 0; i < COLUMNS; i++)
            if (!(fabsf(want[i] - got[i]) <= most || want[i] == got[i] || isnan(want[i]) ||
                  (m->storage == TARE_STORE_E4M3 && has_nan(want + i / m->group * m->group, m->group))))
                fail_msg("row %d, column %d: %.9g, expected %.9g", (int)r, i, (double)got[i], (double)want[i]);
    }
    tare_arena_release(&work);
}

/* What the loaded weights take, counted from the matrices and vectors that there are. */
static uint64_t bytes_of(const struct world *world, const struct tare_loaded *loaded)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < loaded->n; i++) {
        const struct tare_matrix *m = &loaded->matrices[i];
        const struct tare_parameter *p = world->list[i];
        sum += tare_matrix_bytes(m) + (m->order ? sizeof *m->order * (uint64_t)m->in : 0);
        sum += loaded->vectors[i] ? sizeof(float) * (uint64_t)tare_shape_count(p->rank, p->shape) : 0;
    }
    return sum;
}

static struct tare_loaded *open_as_budgeted(struct world *world, struct tare_pool *pool)
{
    struct tare_loaded *loaded = NULL;
    struct tare_error err = {0};
    uint64_t bytes = 0;
    if (tare_budget_weights(&world->model, &bytes, &err) || tare_loaded_open(&loaded, &world->model, pool, NULL, &err))
        fail_msg("%s", err.text);
    assert_int_equal(bytes, bytes_of(world, loaded));
    assert_true(bytes > 0);
    assert_int_equal(tare_budget_check(&world->model, 1, 1, bytes + 1, NULL), TARE_OK);
    assert_int_equal(tare_budget_check(&world->model, 1, 1, bytes, NULL), TARE_E_MEMORY);
    return loaded;
}

static void load(const struct packed *p)
{
    struct fixture_tensor t[4] = {{0}};
    struct world world;
    struct tare_pool *pool = NULL;
    world_begin(&world, t, tensors_of(p, t));
    struct tare_module *module = module_of(&world, p);
    add(&world, "w", TARE_KIND_LINEAR, tare_recipe_take(&world.model.arena, module));
    assert_int_equal(tare_pool_open(&pool, 2, NULL), TARE_OK);
    struct tare_loaded *loaded = open_as_budgeted(&world, pool);
    assert_int_equal(loaded->matrices[0].storage, p->storage);
    assert_int_equal(loaded->matrices[0].order != NULL, p->act_order);
    compare(&world, module, &loaded->matrices[0]);
    tare_loaded_free(loaded);
    tare_pool_free(pool);
    world_end(&world);
    for (size_t k = 0; k < FIXTURE_COUNT(t); k++)
        free((void *)(uintptr_t)t[k].data);
}

static void all(void **state)
{
    static const struct packed list[] = {
        {&tare_packing_gptq_v2, 4, 32, false, TARE_STORE_T4},
        {&tare_packing_gptq_v2, 4, 64, true, TARE_STORE_T4},
        {&tare_packing_gptq_v2, 2, 32, false, TARE_STORE_T2},
        {&tare_packing_gptq_v2, 3, 128, true, TARE_STORE_T3},
        {&tare_packing_gptq_v2, 8, 32, true, TARE_STORE_T8},
        {&tare_packing_mlx_affine, 4, 32, false, TARE_STORE_T4},
        {&tare_packing_mlx_affine, 3, 64, false, TARE_STORE_T3},
        {&tare_packing_mlx_affine, 5, 64, false, TARE_STORE_T5},
        {&tare_packing_mlx_affine, 6, 32, false, TARE_STORE_T6},
        {&tare_packing_mlx_mxfp4, 4, 32, false, TARE_STORE_T4},
        {&tare_packing_mlx_nvfp4, 4, 16, false, TARE_STORE_T4},
        {&tare_packing_mlx_mxfp8, 8, 32, false, TARE_STORE_E4M3},
    };
    (void)state;
    for (size_t k = 0; k < FIXTURE_COUNT(list); k++)
        load(&list[k]);
}

/* Dense ones: mapped, turned (and so copied), and a vector. */
static void dense_ones(void **state)
{
    (void)state;
    const struct fixture_tensor t[] = {{"a.weight", "BF16", 2, {ROWS, 32}, noise((int64_t)2 * ROWS * 32, true, 4)},
                                       {"b.weight", "F32", 1, {ROWS}, noise((int64_t)4 * ROWS, true, 5)}};
    struct world world;
    struct tare_pool *pool = NULL;
    world_begin(&world, t, FIXTURE_COUNT(t));
    const struct tare_recipe *matrix = dense(&world, "a.weight");
    add(&world, "mapped", TARE_KIND_LINEAR, matrix);
    add(&world, "turned", TARE_KIND_LINEAR, tare_recipe_transpose(&world.model.arena, matrix, (const int[]){1, 0}));
    add(&world, "vector", TARE_KIND_PLAIN, dense(&world, "b.weight"));
    assert_int_equal(tare_pool_open(&pool, 1, NULL), TARE_OK);
    struct tare_loaded *loaded = open_as_budgeted(&world, pool);
    assert_int_equal(loaded->matrices[0].storage, TARE_STORE_BF16);
    assert_int_equal(loaded->n_owned, 2);
    assert_int_equal(loaded->matrices[1].rows, 32);
    assert_non_null(loaded->vectors[2]);
    tare_loaded_free(loaded);
    tare_pool_free(pool);
    world_end(&world);
    for (size_t k = 0; k < FIXTURE_COUNT(t); k++)
        free((void *)(uintptr_t)t[k].data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all), cmocka_unit_test(dense_ones)};
    return cmocka_run_group_tests_name("loaded", tests, NULL, NULL);
}
