/* SPDX-License-Identifier: MIT
 * test_faults_names.c - rewriting and flattening with the n-th allocation failing, for every n: an error, no crash, no
 * leak. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "fixture.h"
#include "names/rewrite.h"
#include "packing/packing.h"

#define NAME_SIZE                                                                                                      \
    ((1 << 20) + 100) /* longer than a block of the arena: a name has one of its own, and leaves no room behind it */
#define EXPERTS 4

static const struct tare_packing plain = {.name = "plain"};
static char names[EXPERTS + 2][NAME_SIZE];
static struct tare_module modules[EXPERTS + 2];

static void long_name(char *name, const char *front, const char *back)
{
    memset(name, 'x', NAME_SIZE - 1);
    memcpy(name, front, strlen(front));
    memcpy(name + NAME_SIZE - 1 - strlen(back), back, strlen(back));
}

static void make_modules(void)
{
    static const int64_t matrix[] = {4, 6}, convolution[] = {4, 1, 6};
    for (int i = 0; i < EXPERTS; i++) {
        char back[32];
        snprintf(back, sizeof back, ".experts.%d.up", i);
        long_name(names[i], "", back);
    }
    long_name(names[EXPERTS], "old.", ".conv1d");
    long_name(names[EXPERTS + 1], "gone.", "");
    for (int i = 0; i < EXPERTS + 2; i++)
        modules[i] = (struct tare_module){.name = names[i],
                                          .packing = &plain,
                                          .rank = i == EXPERTS ? 3 : 2,
                                          .shape = i == EXPERTS ? convolution : matrix,
                                          .dtype = TARE_F16};
}

static void edit(struct tare_weights *w)
{
    static const char *const parts[] = {"**.allocations", "**.right"};
    tare_drop(w, "gone*", "not used");
    tare_drop_containing(w, "nowhere", "not used");
    tare_rename(w, "old*.**", "new*.**");
    tare_add_prefix(w, "m");
    tare_conv_channels_last(w, "**.conv1d");
    tare_transpose(w, "**.up");
    tare_add(w, "**.up", 1);
    tare_stack(w, "**.experts.#.up", "**.switch.up", EXPERTS);
    tare_split(w, "**.switch.up", -2, parts, 2);
}

/* All of it once; TARE_E_MEMORY, or OK with what should come out. */
static enum tare_code act(void)
{
    struct tare_arena arena = {0};
    struct tare_weights w = {.arena = &arena, .source = "models/x.c"};
    struct tare_flat flat = {0};
    struct tare_error err = {0};
    for (int i = 0; i < EXPERTS + 2 && !w.error.code; i++) {
        if (!tare_grow(&w.entries, &w.room, w.n + 1, sizeof *w.entries))
            tare_fail_memory(&w.error);
        else
            w.entries[w.n++] = (struct tare_entry){.name = names[i], .recipe = tare_recipe_take(&arena, &modules[i])};
    }
    if (arena.failed && !w.error.code)
        tare_fail_memory(&w.error);
    edit(&w);
    enum tare_code code = w.error.code;
    if (!code) {
        const struct tare_entry *last = &w.entries[w.n - 1];
        assert_string_equal(last->name + strlen(last->name) - 6, ".right");
        assert_string_not_equal(last->steps->text, "");
        code = tare_recipe_flatten(last->recipe, &arena, &flat, &err);
        assert_true(code || flat.n == EXPERTS);
        if (!code && !*tare_recipe_text(&arena, last->recipe))
            code = TARE_E_MEMORY;
    }
    assert_true(code == TARE_OK || code == TARE_E_MEMORY);
    assert_true(!arena.failed || code);
    free(w.entries);
    tare_arena_release(&arena);
    return code;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    make_modules();
    for (long n = 0;; n++) {
        allocations = n;
        const enum tare_code code = act();
        const bool through = allocations >= 0;
        allocations = -1;
        assert_int_equal(code, through ? TARE_OK : TARE_E_MEMORY);
        if (through) {
            assert_true(n > 40); /* it counts those of every verb */
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
