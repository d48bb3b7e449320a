/* SPDX-License-Identifier: MIT
 * jinja_tests.c - what may stand behind "is". */
#include "template/jinja.h"

#define TEST(name) static struct j_value name(struct j_state *s, const struct j_value *a, const struct j_args *args)
#define UNUSED (void)s, (void)args

static struct j_value compare(struct j_state *s, const struct j_value *a, const char *op)
{
    const int order = j_order(s, a[0], a[1], op);
    const bool equal = op[1] == '=' && !order;
    return j_bool(equal || (op[0] == '<' ? order < 0 : order > 0));
}

TEST(defined) { UNUSED; return j_bool(a[0].kind != J_UNDEFINED); }
TEST(undefined) { UNUSED; return j_bool(a[0].kind == J_UNDEFINED); }
TEST(none) { UNUSED; return j_bool(a[0].kind == J_NONE); }
TEST(boolean) { UNUSED; return j_bool(a[0].kind == J_BOOL); }
TEST(is_true) { UNUSED; return j_bool(a[0].kind == J_BOOL && a[0].as.truth); }
TEST(is_false) { UNUSED; return j_bool(a[0].kind == J_BOOL && !a[0].as.truth); }
TEST(integer) { UNUSED; return j_bool(a[0].kind == J_INT); }
TEST(is_float) { UNUSED; return j_bool(a[0].kind == J_FLOAT); }
TEST(number) { UNUSED; return j_bool(j_is_number(a[0])); }
TEST(string) { UNUSED; return j_bool(a[0].kind == J_TEXT); }
TEST(mapping) { UNUSED; return j_bool(a[0].kind == J_DICT); }
TEST(escaped) { UNUSED; return (void)a, j_bool(false); }
TEST(equal) { UNUSED; return j_bool(j_equal(s, a[0], a[1])); }
TEST(unequal) { UNUSED; return j_bool(!j_equal(s, a[0], a[1])); }
TEST(less) { UNUSED; return compare(s, a, "<"); }
TEST(less_equal) { UNUSED; return compare(s, a, "<="); }
TEST(greater) { UNUSED; return compare(s, a, ">"); }
TEST(greater_equal) { UNUSED; return compare(s, a, ">="); }
TEST(inside) { UNUSED; return j_bool(j_in(s, a[0], a[1])); }
TEST(filter) { UNUSED; return j_bool(a[0].kind == J_TEXT && j_filter_find(a[0])); }
TEST(test) { UNUSED; return j_bool(a[0].kind == J_TEXT && j_test_find(a[0])); }

TEST(sequence)
{
    UNUSED;
    return j_bool(a[0].kind == J_TEXT || a[0].kind == J_BYTES || a[0].kind == J_LIST || a[0].kind == J_TUPLE ||
                  a[0].kind == J_DICT || a[0].kind == J_RANGE || a[0].kind == J_UNDEFINED);
}

TEST(iterable)
{
    UNUSED;
    return j_bool(j_truth(sequence(s, a, args)) || a[0].kind == J_STREAM || a[0].kind == J_VIEW || a[0].kind == J_LOOP);
}

TEST(callable)
{
    UNUSED;
    return j_bool(a[0].kind == J_MACRO || a[0].kind == J_FUNCTION || a[0].kind == J_METHOD || a[0].kind == J_LOOP ||
                  a[0].kind == J_JOINER || a[0].kind == J_UNDEFINED);
}

static struct j_value rest(struct j_state *s, struct j_value a, struct j_value b)
{
    return j_binary(s, T_MOD, a, b);
}

TEST(odd) { UNUSED; return j_bool(j_equal(s, rest(s, a[0], j_whole(2)), j_whole(1))); }
TEST(even) { UNUSED; return j_bool(j_equal(s, rest(s, a[0], j_whole(2)), j_whole(0))); }
TEST(divisible) { UNUSED; return j_bool(j_equal(s, rest(s, a[0], a[1]), j_whole(0))); }

TEST(lower)
{
    UNUSED;
    return j_call_builtin(s, j_builtin_find(j_text_methods, j_word("islower")), j_string(s, a[0]), args);
}

TEST(upper)
{
    UNUSED;
    return j_call_builtin(s, j_builtin_find(j_text_methods, j_word("isupper")), j_string(s, a[0]), args);
}

TEST(same)
{
    UNUSED;
    if (a[0].kind != a[1].kind)
        return j_bool(false);
    return j_bool(a[0].kind == J_LIST || a[0].kind == J_DICT || a[0].kind == J_TUPLE ? a[0].as.list == a[1].as.list
                                                                                     : j_equal(s, a[0], a[1]));
}

const struct j_builtin *j_test_find(struct j_value name)
{
    static const struct j_builtin tests[] = {
        {"defined", defined, ""}, {"undefined", undefined, ""}, {"none", none, ""}, {"boolean", boolean, ""},
        {"true", is_true, ""}, {"false", is_false, ""}, {"integer", integer, ""}, {"float", is_float, ""},
        {"number", number, ""}, {"string", string, ""}, {"mapping", mapping, ""}, {"sequence", sequence, ""},
        {"iterable", iterable, ""}, {"callable", callable, ""}, {"escaped", escaped, ""}, {"odd", odd, ""},
        {"even", even, ""}, {"divisibleby", divisible, "num"}, {"lower", lower, ""}, {"upper", upper, ""},
        {"sameas", same, "other"}, {"in", inside, "seq"}, {"eq", equal, "b"}, {"equalto", equal, "b"},
        {"==", equal, "b"}, {"ne", unequal, "b"}, {"!=", unequal, "b"}, {"lt", less, "b"}, {"<", less, "b"},
        {"lessthan", less, "b"}, {"le", less_equal, "b"}, {"<=", less_equal, "b"}, {"gt", greater, "b"},
        {">", greater, "b"}, {"greaterthan", greater, "b"}, {"ge", greater_equal, "b"}, {">=", greater_equal, "b"},
        {"filter", filter, ""}, {"test", test, ""}, {NULL, NULL, NULL}};
    return j_builtin_find(tests, name);
}
