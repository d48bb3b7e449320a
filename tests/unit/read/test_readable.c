/* SPDX-License-Identifier: MIT
 * test_readable.c - tiles of any recipe have the numbers that its pieces say, however the parameter is cut. */
#include "audit/audit.h"
#include "world.h"

/* Element `at` of a module. */
static float element(const struct tare_readable *view, size_t piece, int64_t at)
{
    const struct tare_module *module = view->flat.pieces[piece].module;
    const int64_t columns = tare_module_columns(module);
    struct tare_arena work = {0};
    float row[IN * 2];
    assert_true(columns <= (int64_t)FIXTURE_COUNT(row));
    assert_int_equal(tare_module_floats(module, view->parts[piece], at / columns, 1, row, &work, NULL), TARE_OK);
    tare_arena_release(&work);
    return row[at % columns];
}

/* The whole parameter, straight from what module.h says of pieces; values are multiplied by two where computed. */
static float *reference(const struct tare_readable *view, int64_t n)
{
    float *to = calloc((size_t)n + 1, sizeof *to);
    assert_non_null(to);
    for (size_t k = 0; k < view->flat.n; k++) {
        const struct tare_piece *p = &view->flat.pieces[k];
        int64_t count = 1;
        for (int i = 0; i < view->flat.rank; i++)
            count *= p->shape[i];
        for (int64_t e = 0; e < count; e++) {
            int64_t rest = e, from = p->start, at = 0, stride = 1;
            for (int i = view->flat.rank - 1; i >= 0; i--) {
                const int64_t index = rest % p->shape[i];
                rest /= p->shape[i];
                from += index * p->stride[i];
                at += (p->at[i] + index) * stride;
                stride *= view->flat.shape[i];
            }
            to[at] = element(view, k, from) * (p->value ? 2.0f : 1.0f);
        }
    }
    return to;
}

static void tiles_agree(const struct tare_readable *view, struct tare_grid grid, const float *want)
{
    int64_t seen = 0;
    struct tare_arena work = {0}, codes_of = {0};
    for (int64_t k = 0; k < grid.n; k++) {
        const struct tare_tile tile = tare_grid_tile(&grid, k);
        float *got = malloc((size_t)tile.count * sizeof *got);
        double *wide = malloc((size_t)tile.count * sizeof *wide);
        assert_true(got && wide);
        assert_int_equal(tile.first, seen);
        seen += tile.count;
        assert_int_equal(tare_readable_floats(view, &tile, got, &work, NULL), TARE_OK);
        assert_memory_equal(got, want + tile.first, (size_t)tile.count * sizeof *got);
        assert_int_equal(tare_readable_doubles(view, &tile, wide, &work, NULL), TARE_OK);
        for (int64_t i = 0; i < tile.count; i++)
            assert_true(wide[i] == (double)got[i]);
        if (view->codes && grid.axis <= grid.rank - 2) {
            struct tare_codes codes;
            tare_arena_reset(&codes_of);
            const size_t groups = (size_t)(tile.count / view->group_size);
            codes.code = tare_arena_alloc(&codes_of, (size_t)tile.count);
            codes.scale = tare_arena_array(&codes_of, groups, sizeof *codes.scale);
            codes.offset = tare_arena_array(&codes_of, groups, sizeof *codes.offset);
            assert_int_equal(tare_readable_codes(view, &tile, &codes, &codes_of, NULL), TARE_OK);
            tare_codes_floats(view->first, &codes, tile.count / view->shape[view->rank - 1], got);
            assert_memory_equal(got, want + tile.first, (size_t)tile.count * sizeof *got);
        }
        free(got);
        free(wide);
    }
    tare_arena_release(&work);
    tare_arena_release(&codes_of);
}

static void agree(struct world *world, size_t index)
{
    struct tare_readable view;
    struct tare_arena arena = {0};
    struct tare_error err = {0};
    assert_int_equal(tare_readable_make(&view, &world->model.checkpoint, world->list[index]->entry->recipe,
                                        world->list[index]->name, &arena, &err),
                     TARE_OK);
    int64_t n = 1;
    for (int k = 0; k < view.rank; k++)
        n *= view.shape[k];
    float *want = reference(&view, n);
    tiles_agree(&view, tare_grid_make(view.rank, view.shape, false), want);
    for (int axis = 0; axis < view.rank; axis++)
        for (int64_t step = 1; step <= view.shape[axis]; step = step * 3 + 4) {
            struct tare_grid grid = tare_grid_make(view.rank, view.shape, false);
            grid.axis = axis;
            grid.step = step;
            grid.n = grid.tiles = (view.shape[axis] + step - 1) / step;
            for (int k = 0; k < axis; k++)
                grid.n *= view.shape[k];
            if (grid.n < 400)
                tiles_agree(&view, grid, want);
        }
    free(want);
    tare_arena_release(&arena);
}

static void test_recipes(void **state)
{
    static const int swap[] = {1, 0}, turn[] = {2, 0, 1}, inner[] = {1, 0, 2};
    static const struct tare_value twice = {.function = TARE_MULTIPLY, .operand = 2};
    struct world world;
    (void)state;
    small_world(&world);
    struct tare_arena *arena = &world.model.arena;
    const struct tare_recipe *a = world.entries[0].recipe, *b = world.entries[1].recipe, *e = world.entries[2].recipe;
    const struct tare_recipe *two[] = {a, b}, *stacked = tare_recipe_stack(arena, two, 2);
    const int64_t heads[] = {8, 33, IN}, split[] = {OUT, 4, IN / 4};
    const struct tare_recipe *mixed[] = {tare_recipe_slice(arena, a, 0, 3, 5), e,
                                         tare_recipe_slice(arena, b, 0, 260, 4)};
    add(&world, "stacked", TARE_KIND_EXPERTS, stacked);
    add(&world, "joined", TARE_KIND_LINEAR, tare_recipe_join(arena, two, 2, 0));
    add(&world, "beside", TARE_KIND_LINEAR, tare_recipe_join(arena, two, 2, 1));
    add(&world, "every other", TARE_KIND_LINEAR, tare_recipe_alternate(arena, a, 0, 1, 2));
    add(&world, "turned", TARE_KIND_PLAIN, tare_recipe_transpose(arena, a, swap));
    add(&world, "turned rows", TARE_KIND_PLAIN,
        tare_recipe_transpose(arena, tare_recipe_reshape(arena, a, 3, heads), inner));
    add(&world, "columns", TARE_KIND_PLAIN, tare_recipe_slice(arena, stacked, 2, 7, 40));
    add(&world, "odd columns", TARE_KIND_PLAIN, tare_recipe_alternate(arena, a, 1, 1, 2));
    add(&world, "all turned", TARE_KIND_PLAIN, tare_recipe_transpose(arena, stacked, turn));
    add(&world, "split", TARE_KIND_PLAIN, tare_recipe_reshape(arena, a, 3, split));
    add(&world, "mixed", TARE_KIND_PLAIN, tare_recipe_join(arena, mixed, 3, 0));
    add(&world, "doubled", TARE_KIND_PLAIN, tare_recipe_value(arena, e, &twice, TARE_F16));
    for (size_t k = 0; k < world.model.tree.n; k++)
        agree(&world, k);
    world_end(&world);
}

static void test_grid(void **state)
{
    static const int64_t wide[] = {3, 50, 70000}, row[] = {2, (int64_t)1 << 22}, none[] = {4, 0};
    (void)state;
    struct tare_grid grid = tare_grid_make(3, wide, true);
    assert_int_equal(grid.axis, 1);
    assert_int_equal(grid.n, 3 * 8); /* seven rows at once */
    grid = tare_grid_make(2, row, false);
    assert_int_equal(grid.axis, 1); /* within a row */
    assert_int_equal(grid.n, 2 * 8);
    grid = tare_grid_make(2, row, true);
    assert_int_equal(grid.axis, 0);
    assert_int_equal(grid.n, 2);
    assert_int_equal(tare_grid_make(2, none, true).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recipes), cmocka_unit_test(test_grid)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
