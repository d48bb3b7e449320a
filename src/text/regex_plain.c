/* SPDX-License-Identifier: MIT
 * regex_plain.c - regular expressions without PCRE2, for a library that is built without tokenizers (TARE_TEXT=OFF).
 *
 * Rules for modules ("re:.*mlp.*" in a config) are then all there is to match: short patterns over short names. They are
 * matched by backtracking over a tree. Steps and depth are bounded, so that a hostile pattern ends in an error and not in
 * a hang or an overflow of the stack. CMakeLists.txt compiles either this file or regex.c.
 */
#include <stdlib.h>
#include <string.h>

#include "text/regex.h"
#include "text/unicode.h"

#define STEPS_MOST 10000000
#define DEPTH_MOST 500 /* calls of run() within one another; a level is some 300 bytes of stack */
#define REPEATS_MOST INT32_MAX

enum kind {
    ONE_OF,     /* a character of a set */
    GROUP,      /* (?:..) */
    ATOMIC,     /* (?>..): what it matched first is final */
    LOOK,       /* (?=..), (?!..), (?<=..), (?<!..) */
    LINE_BEGIN, /* ^ */
    LINE_END,   /* $ */
    TEXT_BEGIN, /* \A */
    TEXT_END,   /* \z */
    LAST_LINE,  /* \Z: the end, or the newline before it */
    SEARCH_FROM /* \G */
};

/* Nodes and branches are numbers into arrays; -1 is none. */
struct node {
    enum kind kind;
    int32_t set;
    int32_t branch; /* the first of a group */
    int32_t next;   /* what follows in the same branch */
    int32_t least, most;
    char mode; /* 0: as many as possible; '?': as few; '+': as many, and none is given back */
    bool behind, negated;
};
struct branch {
    int32_t first, last, next;
};

struct tare_regex {
    struct tare_regex_parts parts; /* the sets */
    struct node *nodes;
    size_t n_nodes, nodes_room;
    struct branch *branches;
    size_t n_branches, branches_room;
};

/* ---- from the parts of a pattern to a tree --------------------------------------------------------------------------- */

#define OPEN_MOST 256

struct builder {
    struct tare_regex *regex;
    int32_t open[OPEN_MOST];   /* groups that are not closed yet; -1: the whole pattern */
    int32_t branch[OPEN_MOST]; /* the branch of each that is being filled */
    int depth;
};

static int32_t new_branch(struct tare_regex *regex)
{
    if (!tare_grow(&regex->branches, &regex->branches_room, regex->n_branches + 1, sizeof *regex->branches))
        return -1;
    regex->branches[regex->n_branches] = (struct branch){.first = -1, .last = -1, .next = -1};
    return (int32_t)regex->n_branches++;
}

/* Appends a node to the branch that is being filled. */
static bool append(struct builder *b, struct node node)
{
    struct tare_regex *regex = b->regex;
    if (!tare_grow(&regex->nodes, &regex->nodes_room, regex->n_nodes + 1, sizeof *regex->nodes))
        return false;
    const int32_t at = (int32_t)regex->n_nodes++;
    struct branch *branch = &regex->branches[b->branch[b->depth]];
    node.next = -1;
    node.least = node.most = 1;
    regex->nodes[at] = node;
    if (branch->first < 0)
        branch->first = at;
    else
        regex->nodes[branch->last].next = at;
    branch->last = at;
    return true;
}

static bool open_group(struct builder *b, struct node node)
{
    node.branch = new_branch(b->regex);
    if (node.branch < 0 || !append(b, node) || b->depth + 1 == OPEN_MOST)
        return false;
    b->depth++;
    b->open[b->depth] = (int32_t)b->regex->n_nodes - 1;
    b->branch[b->depth] = node.branch;
    return true;
}

static bool next_branch(struct builder *b)
{
    const int32_t made = new_branch(b->regex);
    if (made < 0)
        return false;
    b->regex->branches[b->branch[b->depth]].next = made;
    b->branch[b->depth] = made;
    return true;
}

/* Reads a quantifier: "*", "+?", "{2,3}"; returns what follows it. */
static const char *quantify(struct builder *b, const char *p)
{
    const struct branch *branch = &b->regex->branches[b->branch[b->depth]];
    if (branch->last < 0)
        return p + strlen(p);
    struct node *node = &b->regex->nodes[branch->last];
    node->least = *p == '+';
    node->most = *p == '?' ? 1 : REPEATS_MOST;
    if (*p++ == '{') {
        char *end;
        node->least = (int32_t)strtol(p, &end, 10);
        node->most = *end == ',' ? REPEATS_MOST : node->least;
        if (*end == ',' && end[1] != '}')
            node->most = (int32_t)strtol(end + 1, &end, 10);
        p = strchr(end, '}') + 1;
    }
    node->mode = *p == '?' || *p == '+' ? *p++ : '\0';
    return p;
}

/* The head of a group, its "(" taken. Returns what follows, or NULL without memory. */
static const char *head(struct builder *b, const char *p)
{
    static const struct {
        const char *text;
        struct node node;
    } heads[] = {
        {"?:", {.kind = GROUP}},
        {"?>", {.kind = ATOMIC}},
        {"?=", {.kind = LOOK}},
        {"?!", {.kind = LOOK, .negated = true}},
        {"?<=", {.kind = LOOK, .behind = true}},
        {"?<!", {.kind = LOOK, .behind = true, .negated = true}},
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (!strncmp(p, heads[i].text, strlen(heads[i].text)))
            return open_group(b, heads[i].node) ? p + strlen(heads[i].text) : NULL;
    return NULL; /* regex_parse.c writes no other */
}

static enum kind anchor(char letter)
{
    return letter == 'A' ? TEXT_BEGIN : letter == 'z' ? TEXT_END : letter == 'Z' ? LAST_LINE : SEARCH_FROM;
}

/* Adds one text of regex_parse.c: a part of a group, an anchor or a quantifier. */
static bool add_text(struct builder *b, const char *p)
{
    while (p && *p)
        switch (*p) {
        case '(':
            p = head(b, p + 1);
            break;
        case ')':
            b->depth--;
            p++;
            break;
        case '|':
            p = next_branch(b) ? p + 1 : NULL;
            break;
        case '^':
        case '$':
            p = append(b, (struct node){.kind = *p == '^' ? LINE_BEGIN : LINE_END}) ? p + 1 : NULL;
            break;
        case '\\':
            p = append(b, (struct node){.kind = anchor(p[1])}) ? p + 2 : NULL;
            break;
        default:
            p = quantify(b, p);
        }
    return p;
}

static int64_t width_of_group(const struct tare_regex *regex, const struct node *node);

/* The characters that a branch always takes, or -1 when it may take fewer or more. */
static int64_t width_of(const struct tare_regex *regex, const struct branch *branch)
{
    int64_t width = 0;
    for (int32_t at = branch->first; at >= 0; at = regex->nodes[at].next) {
        const struct node *node = &regex->nodes[at];
        const int64_t once = node->kind == ONE_OF                          ? 1
                             : node->kind == GROUP || node->kind == ATOMIC ? width_of_group(regex, node)
                                                                           : 0;
        if (once < 0 || (once && node->least != node->most))
            return -1;
        width += once * node->least;
    }
    return width;
}

static int64_t width_of_group(const struct tare_regex *regex, const struct node *node)
{
    const struct branch *branch = &regex->branches[node->branch];
    const int64_t width = width_of(regex, branch);
    for (int32_t k = branch->next; k >= 0; k = regex->branches[k].next)
        if (width_of(regex, &regex->branches[k]) != width)
            return -1;
    return width;
}

/* What lies behind must have a fixed number of characters in each alternative, as PCRE2 asks for. */
static bool looks_behind_fixed(const struct tare_regex *regex)
{
    for (size_t i = 0; i < regex->n_nodes; i++)
        for (int32_t k = regex->nodes[i].behind ? regex->nodes[i].branch : -1; k >= 0; k = regex->branches[k].next)
            if (width_of(regex, &regex->branches[k]) < 0)
                return false;
    return true;
}

static enum tare_code build(struct tare_regex *regex, struct tare_error *err)
{
    struct builder b = {.regex = regex, .open = {-1}, .branch = {new_branch(regex)}};
    bool good = b.branch[0] == 0;
    for (size_t i = 0; i < regex->parts.n_items && good; i++) {
        const struct tare_regex_item *item = &regex->parts.items[i];
        good = item->set < 0 ? add_text(&b, item->text) : append(&b, (struct node){.kind = ONE_OF, .set = item->set});
    }
    return good ? TARE_OK : tare_fail_memory(err);
}

enum tare_code tare_regex_open(struct tare_regex **result, const char *pattern, size_t size, const char *where,
                               struct tare_error *err)
{
    struct tare_regex *regex = calloc(1, sizeof *regex);
    enum tare_code code = regex ? tare_regex_parse(&regex->parts, pattern, size, where, err) : tare_fail_memory(err);
    if (!code)
        code = build(regex, err);
    if (!code && !looks_behind_fixed(regex))
        code = tare_fail(err, TARE_E_FORMAT, where,
                         "regular expression: lookbehind needs a fixed number of characters, in \"%.200s\"", pattern);
    if (code) {
        tare_regex_free(regex);
        regex = NULL;
    }
    *result = regex;
    return code;
}

void tare_regex_free(struct tare_regex *regex)
{
    if (!regex)
        return;
    tare_regex_parts_release(&regex->parts);
    free(regex->nodes);
    free(regex->branches);
    free(regex);
}

/* ---- matching -------------------------------------------------------------------------------------------------------- */

/* What is to be matched after the end of a branch. */
struct then {
    int32_t node;  /* the group that was repeated once more; -1: the end must be at `began` */
    int32_t count; /* repetitions before this one */
    size_t began;  /* where this one began */
    const struct then *up;
};
struct walk {
    const struct tare_regex *regex;
    const char *text;
    size_t size, from, end;
    long steps;
    int depth;
};

enum outcome { NO, YES, GAVE_UP };

static enum outcome run(struct walk *w, int32_t node, size_t at, const struct then *then);

/* Does a set have the character at this byte? *next is the byte after it. */
static bool takes(const struct walk *w, int32_t set, size_t at, size_t *next)
{
    if (at >= w->size)
        return false;
    size_t bytes;
    const uint32_t c = tare_utf8_get(w->text + at, &bytes);
    const struct tare_charset *s = &w->regex->parts.sets[set];
    *next = at + bytes;
    for (size_t i = 0; i < s->n; i++)
        if (c >= s->ranges[i].first && c <= s->ranges[i].last)
            return true;
    return false;
}

static enum outcome any_branch(struct walk *w, const struct node *node, size_t at, const struct then *then)
{
    for (int32_t k = node->branch; k >= 0; k = w->regex->branches[k].next) {
        const enum outcome outcome = run(w, w->regex->branches[k].first, at, then);
        if (outcome != NO)
            return outcome;
    }
    return NO;
}

static enum outcome look(struct walk *w, const struct node *node, size_t at)
{
    const struct then here = {.node = -1, .began = at};
    enum outcome outcome = NO;
    if (!node->behind)
        outcome = any_branch(w, node, at, NULL);
    for (size_t start = at + 1; node->behind && start-- > 0 && outcome == NO;)
        if (start == w->size || ((unsigned char)w->text[start] & 0xc0) != 0x80)
            outcome = any_branch(w, node, start, &here);
    return outcome == GAVE_UP ? GAVE_UP : (outcome == YES) != node->negated ? YES : NO;
}

static bool stands(const struct walk *w, enum kind kind, size_t at)
{
    switch (kind) {
    case LINE_BEGIN:
        return !at || w->text[at - 1] == '\n';
    case LINE_END:
        return at == w->size || w->text[at] == '\n';
    case TEXT_BEGIN:
        return !at;
    case TEXT_END:
        return at == w->size;
    case LAST_LINE:
        return at == w->size || (at + 1 == w->size && w->text[at] == '\n');
    default:
        return at == w->from;
    }
}

static enum outcome repeat(struct walk *w, int32_t node, int32_t count, size_t began, size_t at,
                           const struct then *then);

/* Matches a group or an assertion once more, and then whatever follows. */
static enum outcome once(struct walk *w, int32_t number, int32_t count, size_t at, const struct then *then)
{
    const struct node *node = &w->regex->nodes[number];
    const struct then again = {.node = number, .count = count, .began = at, .up = then};
    enum outcome outcome;
    if (node->kind == GROUP)
        return any_branch(w, node, at, &again);
    if (node->kind == ATOMIC)
        return (outcome = any_branch(w, node, at, NULL)) == YES ? repeat(w, number, count + 1, at, w->end, then)
                                                                : outcome;
    outcome = node->kind == LOOK ? look(w, node, at) : stands(w, node->kind, at) ? YES : NO;
    return outcome == YES ? repeat(w, number, count + 1, at, at, then) : outcome;
}

/* Decides whether a node that was matched `count` times is matched again. An empty repetition is the last one. */
static enum outcome repeat(struct walk *w, int32_t number, int32_t count, size_t began, size_t at,
                           const struct then *then)
{
    const struct node *node = &w->regex->nodes[number];
    const bool empty = count && at == began, may_stop = count >= node->least || empty,
               may_go = count < node->most && !empty;
    enum outcome outcome = NO;
    if (node->mode == '?' && may_stop)
        outcome = run(w, node->next, at, then);
    if (outcome == NO && may_go)
        outcome = once(w, number, count, at, then);
    if (outcome == NO && node->mode != '?' && may_stop)
        outcome = run(w, node->next, at, then);
    return outcome;
}

/* Repeats a set without a level of the stack for each character. */
static enum outcome repeat_set(struct walk *w, const struct node *node, size_t at, const struct then *then)
{
    size_t next = at;
    int32_t count = 0;
    const int32_t first = node->mode == '?' ? node->least : node->most;
    while (count < first && takes(w, node->set, at, &next)) {
        at = next;
        count++;
    }
    if (count < node->least)
        return NO;
    for (;;) {
        const enum outcome outcome = run(w, node->next, at, then);
        if (outcome != NO || node->mode == '+')
            return outcome;
        if (node->mode == '?') {
            if (count++ >= node->most || !takes(w, node->set, at, &next))
                return NO;
            at = next;
        } else {
            if (count-- <= node->least)
                return NO;
            while (((unsigned char)w->text[--at] & 0xc0) == 0x80)
                ;
        }
    }
}

/* A possessive group: its repetitions alone, then what follows. */
static enum outcome keep(struct walk *w, int32_t number, size_t at, const struct then *then)
{
    const struct node *node = &w->regex->nodes[number];
    for (int32_t count = 0; count < node->most; count++) {
        const enum outcome outcome = any_branch(w, node, at, NULL);
        if (outcome == GAVE_UP || (outcome == NO && count < node->least))
            return outcome;
        if (outcome == NO || w->end == at)
            break;
        at = w->end;
    }
    return run(w, node->next, at, then);
}

static enum outcome step(struct walk *w, int32_t number, size_t at, const struct then *then)
{
    const struct node *nodes = w->regex->nodes;
    for (; number >= 0 && nodes[number].kind == ONE_OF && nodes[number].least == 1 && nodes[number].most == 1;
         number = nodes[number].next)
        if (!takes(w, nodes[number].set, at, &at))
            return NO;
    if (number >= 0 && nodes[number].kind == ONE_OF)
        return repeat_set(w, &nodes[number], at, then);
    if (number >= 0 && nodes[number].mode == '+' && (nodes[number].kind == GROUP || nodes[number].kind == ATOMIC))
        return keep(w, number, at, then);
    if (number >= 0)
        return repeat(w, number, 0, at, at, then);
    if (then && then->node >= 0)
        return repeat(w, then->node, then->count + 1, then->began, at, then->up);
    w->end = at;
    return !then || at == then->began ? YES : NO;
}

/* Matches from a node to the end of its branch, and then what follows that. */
static enum outcome run(struct walk *w, int32_t node, size_t at, const struct then *then)
{
    if (++w->steps > STEPS_MOST || w->depth >= DEPTH_MOST)
        return GAVE_UP;
    w->depth++;
    const enum outcome outcome = step(w, node, at, then);
    w->depth--;
    return outcome;
}

enum tare_code tare_matcher_start(struct tare_matcher *matcher, const struct tare_regex *regex, const char *text,
                                  size_t size, struct tare_error *err)
{
    (void)err;
    *matcher = (struct tare_matcher){.regex = regex, .text = text, .size = size, .last = SIZE_MAX};
    return TARE_OK;
}

enum tare_code tare_matcher_next(struct tare_matcher *matcher, bool *found, size_t *start, size_t *end,
                                 struct tare_error *err)
{
    struct walk w = {.regex = matcher->regex, .text = matcher->text, .size = matcher->size, .from = matcher->from};
    *found = false;
    for (size_t at = matcher->from; at <= matcher->size; at++) {
        if (at < matcher->size && ((unsigned char)matcher->text[at] & 0xc0) == 0x80)
            continue;
        const struct branch *branches = matcher->regex->branches;
        enum outcome outcome = NO;
        for (int32_t k = 0; k >= 0 && outcome == NO; k = branches[k].next)
            outcome = run(&w, branches[k].first, at, NULL);
        if (outcome == GAVE_UP)
            return tare_fail(err, TARE_E_FORMAT, "a regular expression",
                             "gave up on \"%.200s\": look at its nested repetitions", matcher->text);
        if (outcome == NO || (w.end == at && w.end == matcher->last))
            continue;
        *start = at;
        *end = matcher->from = matcher->last = w.end;
        *found = true;
        return TARE_OK;
    }
    matcher->from = matcher->size + 1;
    return TARE_OK;
}

void tare_matcher_release(struct tare_matcher *matcher)
{
    *matcher = (struct tare_matcher){0};
}
