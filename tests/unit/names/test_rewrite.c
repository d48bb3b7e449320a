/* SPDX-License-Identifier: MIT
 * test_rewrite.c - patterns against a plain recursive matcher, and each verb: what it takes, what it leaves alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "module/pattern.h"
#include "names/rewrite.h"
#include "packing/packing.h"

static void decode(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row, int64_t rows,
                   struct tare_codes *codes)
{
    (void)module, (void)part, (void)row, (void)rows, (void)codes;
}

static const struct tare_packing plain = {.name = "plain"};
static const struct tare_packing packed = {.name = "packed", .decode = decode};

static struct tare_arena arena;
static struct tare_weights w;

static int begin(void **state)
{
    (void)state;
    w = (struct tare_weights){.arena = &arena, .source = "models/x.c"};
    return 0;
}

static int end(void **state)
{
    (void)state;
    free(w.entries);
    tare_arena_release(&arena);
    return 0;
}

static struct tare_module *add_module(const char *name, const struct tare_packing *packing, int rank, int64_t a,
                                      int64_t b, int64_t c)
{
    const int64_t shape[] = {a, b, c};
    struct tare_module *m = tare_arena_alloc(&arena, sizeof *m);
    int64_t *own = tare_arena_array(&arena, 3, sizeof *own);
    memcpy(own, shape, sizeof shape);
    *m = (struct tare_module){
        .name = tare_arena_text(&arena, name), .packing = packing, .rank = rank, .shape = own, .dtype = TARE_F16};
    m->packed = packing->decode != NULL;
    assert_true(tare_grow(&w.entries, &w.room, w.n + 1, sizeof *w.entries));
    w.entries[w.n++] = (struct tare_entry){.name = m->name, .recipe = tare_recipe_take(&arena, m)};
    return m;
}

static struct tare_module *put(const char *name)
{
    return add_module(name, &plain, 2, 4, 6, 0);
}

/* As grouping leaves what it cannot use: without a shape. */
static void put_faulty(const char *name)
{
    struct tare_module *m = put(name);
    m->fault = "scales are missing";
    m->fault_name = m->name;
    m->fault_code = TARE_E_STRICT;
    m->shape = NULL;
    m->rank = 0;
    m->packing = &packed;
    m->packed = true;
    w.entries[w.n - 1].recipe = tare_recipe_take(&arena, m);
}

static const struct tare_entry *live(const char *name)
{
    const struct tare_entry *found = NULL;
    for (size_t i = 0; i < w.n; i++)
        if (!w.entries[i].rule && !w.entries[i].absorbed && !strcmp(w.entries[i].name, name)) {
            assert_null(found);
            found = &w.entries[i];
        }
    return found;
}

static size_t count_live(void)
{
    size_t n = 0;
    for (size_t i = 0; i < w.n; i++)
        n += !w.entries[i].rule && !w.entries[i].absorbed;
    return n;
}

static const char *text_of(const struct tare_entry *entry)
{
    return tare_recipe_text(&arena, entry->recipe);
}

static void expect_no_error(void)
{
    assert_int_equal(w.error.code, TARE_OK);
    assert_false(arena.failed);
}

/* ---- patterns ---- */

static void matching(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"model.norm.weight", "model.norm.weight", true},
        {"model.norm.weight", "model.norm.weights", false},
        {"model.norm.weight", "model.norm", false},
        {"model.norm", "model.norm.weight", false},
        {"model.layers.*.mlp", "model.layers.12.mlp", true},
        {"model.layers.*.mlp", "model.layers.1.2.mlp", false},
        {"model.layers.*.mlp", "model.layers.mlp", false},
        {"*", "a.b", false},
        {"**", "a.b", true},
        {"**", "", true},
        {"*", "", true},
        {"**.inv_freq", "inv_freq", true},
        {"**.inv_freq", "a.b.inv_freq", true},
        {"**.inv_freq", "a.xinv_freq", false},
        {"model.**", "model", true},
        {"model.**", "models.a", false},
        {"a.**.b", "a.b", true},
        {"a.**.b", "a.x.y.b", true},
        {"a.**.b", "a.b.c", false},
        {"a.**.b", "ab", false},
        {"**.*conv_1d.weight", "x.temporal_conv_1d.weight", true},
        {"**.*conv_1d.weight", "x.conv_1d.weight", true},
        {"**.*conv_1d.weight", "x.conv_1d.bias", false},
        {"h.*.attn.c_*.weight", "h.3.attn.c_proj.weight", true},
        {"*a*b*", "xxayybzz", true},
        {"*a*b*", "xxbyyazz", false},
        {"experts.#.w", "experts.1.w", false}, /* a number only in tare_stack() */
        {"experts.#.w", "experts.#.w", true},
        {"a..b", "a..b", true},
        {"a.*.b", "a..b", true},
    };
    for (size_t i = 0; i < FIXTURE_COUNT(cases); i++)
        if (tare_name_matches(cases[i].pattern, cases[i].name) != cases[i].matches)
            fail_msg("%s on %s", cases[i].pattern, cases[i].name);
}

/* What the k-th wildcard took; at < 0: nothing, not even an empty component. */
struct taken {
    int at, size;
};

/*
 * The definition, by trying everything, shortest first. p and s stand at the begin of a component (NULL: none is left),
 * or within one.
 */
static bool slow_components(const char *p, const char *s, const char *name, struct taken *taken);

static bool slow_within(const char *p, const char *s, const char *name, struct taken *taken)
{
    const bool p_ends = !*p || *p == '.', s_ends = !*s || *s == '.';
    if (*p == '*')
        for (const char *e = s;; e++) {
            *taken = (struct taken){(int)(s - name), (int)(e - s)};
            if (slow_within(p + 1, e, name, taken + 1))
                return true;
            if (!*e || *e == '.')
                return false;
        }
    if (p_ends && s_ends)
        return slow_components(*p ? p + 1 : NULL, *s ? s + 1 : NULL, name, taken);
    return !p_ends && *p == *s && slow_within(p + 1, s + 1, name, taken);
}

static bool slow_components(const char *p, const char *s, const char *name, struct taken *taken)
{
    if (!p)
        return !s;
    if (p[0] != '*' || p[1] != '*' || (p[2] && p[2] != '.'))
        return s && slow_within(p, s, name, taken);
    const char *next = p[2] ? p + 3 : NULL;
    *taken = (struct taken){-1, 0};
    if (slow_components(next, s, name, taken + 1))
        return true;
    for (const char *e = s; e;) {
        while (*e && *e != '.')
            e++;
        *taken = (struct taken){(int)(s - name), (int)(e - s)};
        const char *rest = *e ? e + 1 : NULL;
        if (slow_components(next, rest, name, taken + 1))
            return true;
        e = rest;
    }
    return false;
}

static uint64_t seed = 88172645463325252u;

static int below(int n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (int)((seed >> 11) % (uint64_t)n);
}

static void random_word(char *word, int most, const char *letters)
{
    const int n = below(most + 1);
    for (int i = 0; i < n; i++)
        word[i] = letters[below((int)strlen(letters))];
    word[n] = '\0';
}

static void check_captures(const char *pattern, const char *name, const struct tare_match *match, size_t n,
                           const struct taken *taken)
{
    for (size_t k = 0; k < n; k++) {
        const char *at = match->wildcard[k].at;
        if (taken[k].at < 0 ? at != NULL : at != name + taken[k].at || (int)match->wildcard[k].size != taken[k].size)
            fail_msg("%s on %s: wildcard %zu", pattern, name, k);
    }
    struct tare_text text = {0}; /* a pattern filled with what it took is the name again */
    tare_pattern_expand(&text, pattern, match);
    assert_string_equal(text.data, name);
    tare_text_release(&text);
}

static void as_by_definition(void **state)
{
    (void)state;
    size_t matches = 0, leading = 0;
    for (int round = 0; round < 400000; round++) {
        char pattern[16], name[16], whole[32];
        struct taken taken[16];
        struct tare_match match = {0};
        random_word(pattern, 8, "ab.***");
        random_word(name, 8, "aab..");
        const struct tare_pattern p = tare_pattern_read(pattern, false);
        const bool want = slow_components(pattern, name, name, taken);
        if (tare_pattern_match(&p, name, false, &match) != want)
            fail_msg("%s on %s: %d by definition", pattern, name, want);
        if (want)
            check_captures(pattern, name, &match, p.wildcards, taken);
        matches += want;
        snprintf(whole, sizeof whole, "%s.**", pattern);
        const bool starts = slow_components(whole, name, name, taken);
        if (tare_pattern_match(&p, name, true, NULL) != starts)
            fail_msg("%s leading %s: %d by definition", pattern, name, starts);
        leading += starts && !want;
    }
    assert_true(matches > 5000 && leading > 5000);
}

/* Both would take longer than the sun has left if every wildcard were tried at every place. */
static void no_blowup(void **state)
{
    (void)state;
    enum { SIZE = 20000 };
    char *name = malloc(2 * SIZE + 2);
    const double start = fixture_clock();
    memset(name, 'a', 2 * SIZE);
    name[2 * SIZE] = '\0';
    assert_false(tare_name_matches("*a*a*a*a*a*a*a*b", name));
    for (int i = 1; i < 2 * SIZE; i += 2)
        name[i] = '.';
    assert_false(tare_name_matches("**.a.**.a.**.a.**.*a*.**.a.b", name));
    assert_false(tare_name_matches("**.a*.*.**.*.*a.**.b", name));
    assert_true(fixture_clock() - start < 5);
    free(name);
}

/* ---- setting aside ---- */

static void drops(void **state)
{
    (void)state;
    static const char *const names[] = {
        "vision_tower.a.weight",   "vision_tower", "vision_towers.a", "model.vision_tower.a", "x.rotary_emb.inv_freq",
        "x.rotary_emb_2.inv_freq", "model.mtp.a",  "model.mtpa"};
    for (size_t i = 0; i < FIXTURE_COUNT(names); i++)
        put(names[i]);
    char why[] = "another tower";
    tare_drop(&w, "vision_tower", why);
    memset(why, 'x', sizeof why - 1); /* the caller's own */
    assert_int_equal(count_live(), 6);
    assert_string_equal(w.entries[0].rule, "another tower");
    assert_string_equal(w.entries[0].evidence, "models/x.c");
    assert_string_equal(w.entries[0].steps->text, "set aside: another tower (models/x.c)");
    assert_string_equal(w.entries[1].rule, "another tower");
    tare_drop(&w, "**.rotary_emb", "computed");
    assert_null(live("x.rotary_emb.inv_freq"));
    assert_non_null(live("x.rotary_emb_2.inv_freq"));
    tare_drop(&w, "vision_tower*", "all of them");
    assert_null(live("vision_towers.a"));
    assert_non_null(live("model.vision_tower.a"));
    assert_string_equal(w.entries[0].rule, "another tower"); /* the first rule stays */
    tare_drop_containing(&w, "mtp.", "further tokens");
    assert_null(live("model.mtp.a"));
    assert_non_null(live("model.mtpa"));
    tare_drop_exact(&w, "model", "not all of it");
    tare_drop_exact(&w, "model.mtp*", "this one");
    assert_int_equal(count_live(), 2);
    assert_string_equal(w.entries[7].rule, "this one");
    expect_no_error();
}

/* ---- names ---- */

static void renames(void **state)
{
    (void)state;
    put("transformer.h.0.ln.weight");
    put("h.0.a.up.bias");
    put("model");
    put("q.k.v");
    tare_rename(&w, "transformer.**", "**");
    assert_ptr_equal(live("h.0.ln.weight"), &w.entries[0]);
    assert_string_equal(w.entries[0].steps->text, "renamed from transformer.h.0.ln.weight (models/x.c)");
    tare_rename(&w, "h.*.**.*.*", "layers.*.**.x_*_y.*");
    assert_ptr_equal(live("layers.0.x_ln_y.weight"), &w.entries[0]);
    assert_string_equal(w.entries[0].steps->before->text, "renamed from transformer.h.0.ln.weight (models/x.c)");
    assert_ptr_equal(live("layers.0.a.x_up_y.bias"), &w.entries[1]);
    tare_rename(&w, "model.**", "**"); /* would leave no name */
    assert_ptr_equal(live("model"), &w.entries[2]);
    assert_null(w.entries[2].steps);
    tare_rename(&w, "q.**", "q.**"); /* nothing changes, nothing to explain */
    assert_null(w.entries[3].steps);
    tare_rename(&w, "q.*.v", "q.*");
    assert_ptr_equal(live("q.k"), &w.entries[3]);
    tare_rename(&w, "q.**", "r.**.**"); /* a mistake in a model file */
    assert_int_equal(w.error.code, TARE_E_INTERNAL);
    assert_non_null(live("q.k"));
    tare_add_prefix(&w, "x"); /* after an error verbs do nothing */
    assert_non_null(live("q.k"));
}

static void two_may_get_one_name(void **state)
{
    (void)state;
    put("a.x");
    put("b.x");
    tare_rename(&w, "a.**", "b.**");
    assert_string_equal(w.entries[0].name, "b.x");
    assert_string_equal(w.entries[1].name, "b.x");
    expect_no_error();
}

static void prefixes(void **state)
{
    (void)state;
    put("h.0.w");
    put("model.h.0.w");
    put("models.h.0.w");
    put("model");
    put("gone");
    tare_drop(&w, "gone", "dropped ones keep their name");
    tare_add_prefix(&w, "model");
    assert_string_equal(w.entries[0].name, "model.h.0.w");
    assert_string_equal(w.entries[1].name, "model.h.0.w");
    assert_null(w.entries[1].steps);
    assert_string_equal(w.entries[2].name, "model.models.h.0.w");
    assert_string_equal(w.entries[3].name, "model.model");
    assert_string_equal(w.entries[4].name, "gone");
    expect_no_error();
}

static void finds_the_living(void **state)
{
    (void)state;
    put("a.0.w");
    put("a.1.w");
    tare_drop_exact(&w, "a.0.w", "gone");
    assert_ptr_equal(tare_find(&w, "a.*.w"), &w.entries[1]);
    assert_null(tare_find(&w, "a.0.w"));
    assert_null(tare_find(&w, "a.*"));
}

/* ---- recipes ---- */

static void transposes(void **state)
{
    (void)state;
    put("h.0.c.weight");
    add_module("h.1.c.weight", &packed, 2, 4, 6, 0);
    add_module("h.2.c.weight", &plain, 3, 2, 4, 6);
    add_module("h.3.c.weight", &plain, 1, 4, 0, 0);
    put_faulty("h.4.c.weight");
    put("h.5.d.weight");
    tare_transpose(&w, "h.*.c.weight");
    assert_string_equal(text_of(&w.entries[0]), "transpose (1, 0) of h.0.c.weight");
    assert_string_equal(w.entries[0].steps->text, "transposed (models/x.c)");
    assert_string_equal(text_of(&w.entries[2]), "transpose (0, 2, 1) of h.2.c.weight");
    for (size_t i = 1; i < w.n; i++)
        if (i != 2) {
            assert_string_equal(text_of(&w.entries[i]), "as stored");
            assert_null(w.entries[i].steps);
        }
    /* packed and dense leaves in one entry: it has packed ones, so it stays */
    const struct tare_recipe *both[] = {w.entries[1].recipe, w.entries[5].recipe};
    w.entries[5].recipe = tare_recipe_stack(&arena, both, 2);
    tare_transpose(&w, "h.5.d.weight");
    assert_string_equal(text_of(&w.entries[5]), "stack of 2");
    expect_no_error();
}

static void convolutions(void **state)
{
    (void)state;
    add_module("a.conv1d.weight", &plain, 3, 8, 1, 4);
    add_module("b.conv1d.weight", &plain, 3, 8, 4, 1);
    add_module("c.conv1d.weight", &plain, 3, 8, 1, 1);
    add_module("d.conv1d.weight", &plain, 3, 8, 2, 4);
    add_module("e.conv1d.weight", &plain, 2, 1, 4, 0);
    put_faulty("f.conv1d.weight");
    tare_conv_channels_last(&w, "**.*conv1d.weight");
    assert_string_equal(text_of(&w.entries[0]), "transpose (0, 2, 1) of a.conv1d.weight");
    assert_int_equal(w.entries[0].recipe->shape[1], 4);
    for (size_t i = 1; i < w.n; i++)
        assert_string_equal(text_of(&w.entries[i]), "as stored");
    expect_no_error();
}

static void adds(void **state)
{
    (void)state;
    add_module("a.norm.weight", &plain, 1, 8, 0, 0);
    put_faulty("b.norm.weight");
    add_module("c.other.weight", &plain, 1, 8, 0, 0);
    tare_add(&w, "**.norm.weight", 1);
    assert_string_equal(text_of(&w.entries[0]), "plus 1");
    assert_string_equal(w.entries[0].steps->text, "1 added (models/x.c)");
    assert_string_equal(text_of(&w.entries[1]), "as stored");
    assert_string_equal(text_of(&w.entries[2]), "as stored");
    expect_no_error();
}

static void splits(void **state)
{
    (void)state;
    static const char *const gate_up[] = {"**.s.gate.weight", "**.s.up.weight"};
    add_module("m.0.e.gate_up", &plain, 3, 2, 4, 6);
    add_module("m.1.e.gate_up", &packed, 2, 4, 6, 0);
    add_module("m.2.e.gate_up", &plain, 2, 5, 6, 0); /* does not divide */
    add_module("m.3.e.gate_up", &plain, 1, 4, 0, 0); /* has no axis -2 */
    put_faulty("m.4.e.gate_up");
    add_module("m.5.e.gate_up", &plain, 0, 0, 0, 0);
    tare_split(&w, "**.e.gate_up", -2, gate_up, 2);
    assert_int_equal(count_live(), 8);
    const struct tare_entry *gate = live("m.0.s.gate.weight"), *up = live("m.0.s.up.weight");
    assert_string_equal(text_of(gate), "rows 0 .. 1 of m.0.e.gate_up");
    assert_string_equal(text_of(up), "rows 2 .. 3 of m.0.e.gate_up");
    assert_string_equal(gate->steps->text, "part 1 of 2 of m.0.e.gate_up (models/x.c)");
    assert_string_equal(up->steps->text, "part 2 of 2 of m.0.e.gate_up (models/x.c)");
    assert_int_equal(up->recipe->shape[0], 2);
    assert_int_equal(up->recipe->shape[1], 2);
    assert_true(live("m.1.s.up.weight")->recipe->packed);
    for (size_t i = 2; i < 6; i++)
        assert_string_equal(text_of(&w.entries[i]), "as stored");
    static const char *const columns[] = {"x.left", "x.mid", "x.right"};
    add_module("x", &packed, 2, 4, 6, 0);
    tare_split(&w, "x", 1, columns, 3);
    assert_string_equal(text_of(live("x.mid")), "columns 2 .. 3 of x");
    assert_false(live("x.mid")->recipe->packed);
    tare_split(&w, "x.mid", 2, columns, 2);
    tare_split(&w, "x.mid", -3, columns, 2);
    assert_string_equal(text_of(live("x.mid")), "columns 2 .. 3 of x");
    expect_no_error();
}

/* ---- experts ---- */

#define EXPERT "m.layers.*.mlp.experts.#.up.weight"
#define STACKED "m.layers.*.mlp.switch.up.weight"

static struct tare_module *put_expert(int layer, int expert)
{
    char name[64];
    snprintf(name, sizeof name, "m.layers.%d.mlp.experts.%d.up.weight", layer, expert);
    return put(name);
}

static void stacks(void **state)
{
    (void)state;
    for (int i = 11; i >= 0; i--) /* their order in the list is no matter */
        for (int layer = 0; layer < 2; layer++)
            put_expert(layer, i);
    put("m.layers.0.mlp.experts.0.down.weight");
    put("m.layers.0.mlp.experts.00.up.weight");
    put("m.layers.0.mlp.experts.x.up.weight");
    put("m.layers.0.mlp.experts.12.up.weight");
    tare_stack(&w, EXPERT, STACKED, 12);
    assert_int_equal(count_live(), 6);
    assert_int_equal(w.n, 30);
    for (int layer = 0; layer < 2; layer++) {
        char name[64];
        snprintf(name, sizeof name, "m.layers.%d.mlp.switch.up.weight", layer);
        const struct tare_entry *stacked = live(name);
        assert_non_null(stacked);
        assert_string_equal(text_of(stacked), "stack of 12");
        assert_string_equal(stacked->steps->text, "stacked from 12 experts (models/x.c)");
        assert_int_equal(stacked->recipe->shape[0], 12);
        for (int i = 0; i < 12; i++) {
            snprintf(name, sizeof name, "m.layers.%d.mlp.experts.%d.up.weight", layer, i);
            assert_string_equal(stacked->recipe->inputs[i]->module->name, name);
        }
    }
    assert_true(w.entries[0].absorbed);
    assert_null(w.entries[0].rule);
    assert_string_equal(w.entries[0].steps->text, "stacked into m.layers.0.mlp.switch.up.weight (models/x.c)");
    tare_stack(&w, EXPERT, STACKED, 12); /* the absorbed are not stacked again */
    assert_int_equal(w.n, 30);
    expect_no_error();
}

static void one_of_four(void)
{
    for (int i = 0; i < 4; i++)
        put_expert(1, i);
    put_expert(2, 0); /* a whole group beside it still goes */
    for (int i = 1; i < 4; i++)
        put_expert(2, i);
}

static void expect_left_alone(void)
{
    tare_stack(&w, EXPERT, STACKED, 4);
    assert_null(live("m.layers.1.mlp.switch.up.weight"));
    assert_non_null(live("m.layers.1.mlp.experts.0.up.weight"));
    assert_non_null(live("m.layers.2.mlp.switch.up.weight"));
    for (size_t i = 0; i < 4; i++)
        assert_false(w.entries[i].absorbed);
    expect_no_error();
}

static void missing_expert(void **state)
{
    (void)state;
    one_of_four();
    tare_drop_exact(&w, "m.layers.1.mlp.experts.2.up.weight", "gone");
    expect_left_alone();
}

/* Four entries, but one number twice and one missing. */
static void expert_twice(void **state)
{
    (void)state;
    one_of_four();
    w.entries[2].name = w.entries[3].name;
    tare_stack(&w, EXPERT, STACKED, 4);
    assert_null(live("m.layers.1.mlp.switch.up.weight"));
    assert_non_null(live("m.layers.2.mlp.switch.up.weight"));
    assert_int_equal(count_live(), 5);
    expect_no_error();
}

static void unlike_experts(void **state)
{
    for (int kind = 0; kind < 4; kind++) {
        begin(state);
        one_of_four();
        struct tare_module *m =
            add_module("odd", kind == 2 ? &packed : &plain, kind == 0 ? 1 : 2, 4, kind == 1 ? 7 : 6, 0);
        m->dtype = kind == 2 ? TARE_BF16 : TARE_F16;
        if (kind == 3)
            put_faulty("odd");
        else
            w.entries[w.n - 1].recipe = tare_recipe_take(&arena, m);
        w.entries[3].recipe = w.entries[w.n - 1].recipe;
        expect_left_alone();
        end(state);
    }
    begin(state);
}

/* A dense expert among packed ones of the same dtype: stacked, and no longer packed. */
static void packed_experts(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        add_module(i % 2 ? "m.layers.0.mlp.experts.1.up.weight" : "m.layers.0.mlp.experts.0.up.weight",
                   i < 2 ? &packed : &plain, 2, 4, 6, 0);
    w.entries[2].name = "m.layers.1.mlp.experts.0.up.weight";
    w.entries[3].name = "m.layers.1.mlp.experts.1.up.weight";
    w.entries[3].recipe = w.entries[1].recipe;
    tare_stack(&w, EXPERT, STACKED, 2);
    assert_true(live("m.layers.0.mlp.switch.up.weight")->recipe->packed);
    assert_false(live("m.layers.1.mlp.switch.up.weight")->recipe->packed);
    expect_no_error();
}

/* Counts come from a config: none, and far more than there are. */
static void odd_counts(void **state)
{
    (void)state;
    one_of_four();
    tare_stack(&w, EXPERT, STACKED, 0);
    tare_stack(&w, EXPERT, STACKED, -1);
    tare_stack(&w, EXPERT, STACKED, INT64_MAX);
    tare_stack(&w, EXPERT, STACKED, 5);
    put("m.layers.3.mlp.experts.99999999999999999999999.up.weight");
    tare_stack(&w, EXPERT, STACKED, INT64_MAX);
    assert_int_equal(count_live(), w.n);
    expect_no_error();
    tare_stack(&w, EXPERT, "m.*.*.x", 4);
    assert_int_equal(w.error.code, TARE_E_INTERNAL);
}

/* ---- size ---- */

static double stack_all(void)
{
    static const char *const parts[] = {"gate", "up", "down"};
    const double start = fixture_clock();
    for (size_t k = 0; k < 3; k++) {
        char from[64], to[64];
        snprintf(from, sizeof from, "m.layers.*.mlp.experts.#.%s.weight", parts[k]);
        snprintf(to, sizeof to, "m.layers.*.mlp.switch.%s.weight", parts[k]);
        tare_stack(&w, from, to, 256);
    }
    return fixture_clock() - start;
}

/* Bounds are ten times what a slow machine needs: they catch what is quadratic. */
static void large_models(void **state)
{
    (void)state;
    static const char *const parts[] = {"gate", "up", "down"};
    char name[96];
    for (int layer = 0; layer < 61; layer++)
        for (int i = 0; i < 256; i++)
            for (int k = 0; k < 3; k++) {
                snprintf(name, sizeof name, "m.layers.%d.mlp.experts.%d.%s.weight", layer, i, parts[k]);
                put(name);
            }
    const double stacking = stack_all();
    assert_int_equal(count_live(), 61 * 3);
    assert_true(stacking < 2);
    for (int i = 0; i < 53000; i++) {
        snprintf(name, sizeof name, "model.layers.%d.block_%d.self_attn.q_proj.weight", i % 100, i);
        put(name);
    }
    const double start = fixture_clock();
    for (int i = 0; i < 5; i++) {
        tare_drop_containing(&w, "self_attn.rotary_emb", "computed");
        tare_drop(&w, "**.vision_tower", "another tower");
        tare_conv_channels_last(&w, "**.*conv1d.weight");
        tare_rename(&w, "model.layers.*.mlp.**", "model.h.*.mlp.**");
    }
    tare_rename(&w, "model.**", "language_model.model.**");
    tare_add_prefix(&w, "x");
    const double verbs = fixture_clock() - start;
    print_message("stacking 46,848: %.0f ms, 22 verbs on %zu: %.0f ms\n", stacking * 1e3, w.n, verbs * 1e3);
    assert_true(verbs < 4);
    expect_no_error();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(matching),
        TEST(as_by_definition),
        TEST(no_blowup),
        TEST(drops),
        TEST(renames),
        TEST(prefixes),
        TEST(two_may_get_one_name),
        TEST(finds_the_living),
        TEST(transposes),
        TEST(convolutions),
        TEST(adds),
        TEST(splits),
        TEST(stacks),
        TEST(missing_expert),
        TEST(expert_twice),
        TEST(unlike_experts),
        TEST(packed_experts),
        TEST(odd_counts),
        TEST(large_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
