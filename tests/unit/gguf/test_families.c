/* SPDX-License-Identifier: MIT
 * test_families.c - the tables of gguf/: every line of families.def has what both directions need. */
#include <string.h>

#include "fixture.h"
#include "gguf/spelling.h"

static void names_go_both_ways(void **state)
{
    struct tare_arena arena = {0};
    const struct tare_gguf_family *family;
    (void)state;
    for (size_t k = 0; (family = tare_gguf_family_at(k)); k++)
        for (const struct tare_gguf_stem *stem = family->stems; stem && stem->gguf; stem++) {
            const char *gguf = tare_arena_format(&arena, "blk.12.%s.weight", stem->gguf);
            const char *own = tare_gguf_name(family->architecture, gguf, &arena);
            assert_string_equal(own, tare_arena_format(&arena, "model.layers.12.%s.weight", stem->own));
            assert_string_equal(tare_gguf_name_of(family->architecture, own, &arena), gguf);
        }
    tare_arena_release(&arena);
}

/* Names depend on the architecture alone, so its lines may not differ in them. */
static void lines_of_an_architecture_agree(void **state)
{
    const struct tare_gguf_family *a, *b;
    (void)state;
    for (size_t i = 0; (a = tare_gguf_family_at(i)); i++)
        for (size_t k = 0; (b = tare_gguf_family_at(k)); k++)
            if (!strcmp(a->architecture, b->architecture))
                assert_ptr_equal(a->stems, b->stems);
}

static void known_families_are_listed_once(void **state)
{
    struct tare_arena arena = {0};
    (void)state;
    assert_string_equal(tare_gguf_families_text(false, &arena),
                        "llama, mistral, qwen2, qwen3, qwen2moe, qwen3moe, gemma, gemma2, gemma3 and phi3");
    assert_string_equal(tare_gguf_families_text(true, &arena),
                        "llama, mistral, mixtral, qwen2, qwen3, gemma, gemma2, gemma3, gemma3_text and phi3");
    assert_null(tare_gguf_family_written("qwen2_moe"));
    assert_string_equal(tare_gguf_family_written("mistral")->architecture, "llama");
    tare_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(lines_of_an_architecture_agree),
        cmocka_unit_test(known_families_are_listed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
