/* SPDX-License-Identifier: MIT
 * test_faults_audit.c - diff and verify with the n-th allocation failing, for every n: an error and no leak.
 * tests/CMakeLists.txt wraps the allocations.
 */
#include "faults.h"
#include "world.h"

/* Names are looked up, as in a plan. */
static void findable(struct world *world)
{
    for (size_t k = 0; k < world->model.tree.n; k++)
        assert_true(tare_map_put(&world->model.tree.by_name, world->list[k]->name, strlen(world->list[k]->name),
                                 (uint32_t)k, NULL));
    world->model.modules = world->modules;
    world->model.n_modules = world->n_modules;
}

static void end(struct world *world)
{
    tare_map_release(&world->model.tree.by_name);
    world_end(world);
}

/* A second world whose a.weight is b.weight, so that something differs. */
static void test_diff(void **state)
{
    struct tare_diff_options options = TARE_DIFF_OPTIONS_INIT;
    (void)state;
    options.threads = 1;
    for (long n = 0;; n++) {
        struct world world[2];
        struct tare_error err = {0};
        tare_diff *diff = NULL;
        for (int k = 0; k < 2; k++) {
            small_world(&world[k]);
            findable(&world[k]);
        }
        world[1].entries[0].recipe = world[1].entries[1].recipe;
        allocations = n;
        enum tare_code code = tare_diff_open(&diff, &world[0].model, &world[1].model, &options, &err);
        char *json = code ? NULL : tare_diff_json(diff);
        const bool through = allocations >= 0;
        allocations = -1;
        if (!code && !json)
            code = tare_fail_memory(&err);
        if (!code)
            assert_int_equal(tare_diff_report(diff)->counts[TARE_DIFFERENT], 1);
        assert_true(code == (through ? TARE_OK : TARE_E_MEMORY));
        tare_text_free(json);
        tare_diff_free(diff);
        end(&world[0]);
        end(&world[1]);
        if (through) {
            assert_true(n > 20);
            return;
        }
    }
}

static void test_verify(void **state)
{
    struct tare_verify_options options = TARE_VERIFY_OPTIONS_INIT;
    (void)state;
    options.threads = 1;
    for (long n = 0;; n++) {
        struct world world;
        struct tare_error err = {0};
        tare_verify *verify = NULL;
        small_world(&world);
        findable(&world);
        fixture_text(world.folder, "in/tare.json",
                     "{\"files\": {\"merges.txt\": \"x\", \"gone\": {\"sha256\": "
                     "\"0000000000000000000000000000000000000000000000000000000000000000\"}}}");
        fixture_link(world.folder, "in/linked.json", "../blobs/0123456789012345678901234567890123456789");
        fixture_folder(world.folder, "blobs");
        fixture_text(world.folder, "blobs/0123456789012345678901234567890123456789", "{}");
        allocations = n;
        enum tare_code code = tare_verify_open(&verify, &world.model, &options, &err);
        char *json = code ? NULL : tare_verify_json(verify);
        const bool through = allocations >= 0;
        allocations = -1;
        if (!code && !json)
            code = tare_fail_memory(&err);
        if (!code) {
            const struct tare_verify_report *report = tare_verify_report(verify);
            assert_int_equal(report->n_files, 3);
            assert_true(report->n_findings >= 3); /* proof, hash, file-absent */
        }
        assert_true(code == (through ? TARE_OK : TARE_E_MEMORY));
        tare_text_free(json);
        tare_verify_free(verify);
        end(&world);
        if (through) {
            assert_true(n > 20);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_diff), cmocka_unit_test(test_verify)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
