/* SPDX-License-Identifier: MIT
 * jinja_tests.c - the tests, which stand after "is". */
#include "template/jinja_builtin.h"

static struct tare_jinja_value compare(struct tare_jinja_state *s, const struct tare_jinja_value *a, const char *op)
{
    const int order = tare_jinja_order(s, a[0], a[1], op);
    const bool equal = op[1] == '=' && !order;
    return tare_jinja_bool(equal || (op[0] == '<' ? order < 0 : order > 0));
}

BUILTIN_IS(defined, tare_jinja_bool(a[0].kind != TARE_JINJA_UNDEFINED));
BUILTIN_IS(undefined, tare_jinja_bool(a[0].kind == TARE_JINJA_UNDEFINED));
BUILTIN_IS(none, tare_jinja_bool(a[0].kind == TARE_JINJA_NONE));
BUILTIN_IS(boolean, tare_jinja_bool(a[0].kind == TARE_JINJA_BOOL));
BUILTIN_IS(is_true, tare_jinja_bool(a[0].kind == TARE_JINJA_BOOL && a[0].as.truth));
BUILTIN_IS(is_false, tare_jinja_bool(a[0].kind == TARE_JINJA_BOOL && !a[0].as.truth));
BUILTIN_IS(integer, tare_jinja_bool(a[0].kind == TARE_JINJA_INT));
BUILTIN_IS(is_float, tare_jinja_bool(a[0].kind == TARE_JINJA_FLOAT));
BUILTIN_IS(number, tare_jinja_bool(tare_jinja_is_number(a[0])));
BUILTIN_IS(string, tare_jinja_bool(a[0].kind == TARE_JINJA_TEXT));
BUILTIN_IS(mapping, tare_jinja_bool(a[0].kind == TARE_JINJA_DICT));
BUILTIN_IS(escaped, tare_jinja_bool(false));
BUILTIN_IS(equal, tare_jinja_bool(tare_jinja_equal(s, a[0], a[1])));
BUILTIN_IS(unequal, tare_jinja_bool(!tare_jinja_equal(s, a[0], a[1])));
BUILTIN_IS(less, compare(s, a, "<"));
BUILTIN_IS(less_equal, compare(s, a, "<="));
BUILTIN_IS(greater, compare(s, a, ">"));
BUILTIN_IS(greater_equal, compare(s, a, ">="));
BUILTIN_IS(inside, tare_jinja_bool(tare_jinja_in(s, a[0], a[1])));
BUILTIN_IS(filter, tare_jinja_bool(a[0].kind == TARE_JINJA_TEXT && tare_jinja_filter_find(a[0])));
BUILTIN_IS(test, tare_jinja_bool(a[0].kind == TARE_JINJA_TEXT && tare_jinja_test_find(a[0])));

BUILTIN(sequence)
{
    UNUSED;
    return tare_jinja_bool(a[0].kind == TARE_JINJA_TEXT || a[0].kind == TARE_JINJA_BYTES ||
                           a[0].kind == TARE_JINJA_LIST || a[0].kind == TARE_JINJA_TUPLE ||
                           a[0].kind == TARE_JINJA_DICT || a[0].kind == TARE_JINJA_RANGE ||
                           a[0].kind == TARE_JINJA_UNDEFINED);
}

BUILTIN(iterable)
{
    UNUSED;
    return tare_jinja_bool(tare_jinja_truth(sequence(s, a, args)) || a[0].kind == TARE_JINJA_STREAM ||
                           a[0].kind == TARE_JINJA_VIEW || a[0].kind == TARE_JINJA_LOOP);
}

BUILTIN(callable)
{
    UNUSED;
    return tare_jinja_bool(a[0].kind == TARE_JINJA_MACRO || a[0].kind == TARE_JINJA_FUNCTION ||
                           a[0].kind == TARE_JINJA_METHOD || a[0].kind == TARE_JINJA_LOOP ||
                           a[0].kind == TARE_JINJA_JOINER || a[0].kind == TARE_JINJA_UNDEFINED);
}

static struct tare_jinja_value rest(struct tare_jinja_state *s, struct tare_jinja_value a, struct tare_jinja_value b)
{
    return tare_jinja_binary(s, T_MOD, a, b);
}

BUILTIN_IS(odd, tare_jinja_bool(tare_jinja_equal(s, rest(s, a[0], tare_jinja_whole(2)), tare_jinja_whole(1))));
BUILTIN_IS(even, tare_jinja_bool(tare_jinja_equal(s, rest(s, a[0], tare_jinja_whole(2)), tare_jinja_whole(0))));
BUILTIN_IS(divisible, tare_jinja_bool(tare_jinja_equal(s, rest(s, a[0], a[1]), tare_jinja_whole(0))));

BUILTIN(lower)
{
    UNUSED;
    return tare_jinja_call_builtin(s, tare_jinja_builtin_find(tare_jinja_text_methods, tare_jinja_word("islower")),
                                   tare_jinja_string(s, a[0]), args);
}

BUILTIN(upper)
{
    UNUSED;
    return tare_jinja_call_builtin(s, tare_jinja_builtin_find(tare_jinja_text_methods, tare_jinja_word("isupper")),
                                   tare_jinja_string(s, a[0]), args);
}

BUILTIN(same)
{
    UNUSED;
    if (a[0].kind != a[1].kind)
        return tare_jinja_bool(false);
    return tare_jinja_bool(a[0].kind == TARE_JINJA_LIST || a[0].kind == TARE_JINJA_DICT || a[0].kind == TARE_JINJA_TUPLE
                               ? a[0].as.list == a[1].as.list
                               : tare_jinja_equal(s, a[0], a[1]));
}

const struct tare_jinja_builtin *tare_jinja_test_find(struct tare_jinja_value name)
{
    static const struct tare_jinja_builtin tests[] = {{"defined", defined, ""},
                                                      {"undefined", undefined, ""},
                                                      {"none", none, ""},
                                                      {"boolean", boolean, ""},
                                                      {"true", is_true, ""},
                                                      {"false", is_false, ""},
                                                      {"integer", integer, ""},
                                                      {"float", is_float, ""},
                                                      {"number", number, ""},
                                                      {"string", string, ""},
                                                      {"mapping", mapping, ""},
                                                      {"sequence", sequence, ""},
                                                      {"iterable", iterable, ""},
                                                      {"callable", callable, ""},
                                                      {"escaped", escaped, ""},
                                                      {"odd", odd, ""},
                                                      {"even", even, ""},
                                                      {"divisibleby", divisible, "num"},
                                                      {"lower", lower, ""},
                                                      {"upper", upper, ""},
                                                      {"sameas", same, "other"},
                                                      {"in", inside, "seq"},
                                                      {"eq", equal, "b"},
                                                      {"equalto", equal, "b"},
                                                      {"==", equal, "b"},
                                                      {"ne", unequal, "b"},
                                                      {"!=", unequal, "b"},
                                                      {"lt", less, "b"},
                                                      {"<", less, "b"},
                                                      {"lessthan", less, "b"},
                                                      {"le", less_equal, "b"},
                                                      {"<=", less_equal, "b"},
                                                      {"gt", greater, "b"},
                                                      {">", greater, "b"},
                                                      {"greaterthan", greater, "b"},
                                                      {"ge", greater_equal, "b"},
                                                      {">=", greater_equal, "b"},
                                                      {"filter", filter, ""},
                                                      {"test", test, ""},
                                                      {NULL, NULL, NULL}};
    return tare_jinja_builtin_find(tests, name);
}
