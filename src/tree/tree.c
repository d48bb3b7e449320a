/* SPDX-License-Identifier: MIT
 * tree.c - the declared parameters. A name, its shape and its kind stand in one call, before any weight is read. */
#include "tree/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A config of a few bytes may ask for 2^31 layers. The largest known tree (671B, per expert) has about 50,000
 * parameters. */
#define PARAMETERS_MOST 4000000u
#define RANK_MOST 8

static struct tare_parameter dummy = {.name = "", .shape = &(const int64_t){0}, .rank = 1};

static void fail(struct tare_tree *tree, enum tare_code code, const char *where, const char *text)
{
    if (!tree->error.code)
        tare_fail(&tree->error, code, where, "%s", text);
}

struct tare_at tare_at(struct tare_at parent, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *name = tare_arena_vformat(parent.tree->arena, format, args);
    va_end(args);
    if (!name)
        fail(parent.tree, TARE_E_MEMORY, parent.path, "out of memory");
    else if (*name && *parent.path)
        name = tare_arena_format(parent.tree->arena, "%s.%s", parent.path, name);
    else if (!*name)
        return parent;
    return (struct tare_at){parent.tree, name ? name : parent.path};
}

/* Append a parameter, or give the dummy. */
static struct tare_parameter *add(struct tare_at at, const char *name, const char *suffix, enum tare_kind kind,
                                  int rank, const int64_t *shape)
{
    struct tare_tree *tree = at.tree;
    if (tree->error.code)
        return &dummy;
    char *full = tare_arena_format(tree->arena, "%s%s%s%s", at.path, *at.path ? "." : "", name, suffix);
    struct tare_parameter *p = tare_arena_alloc(tree->arena, sizeof *p);
    int64_t *own = tare_arena_array(tree->arena, (size_t)rank, sizeof *own);
    uint32_t before = TARE_MAP_NONE;
    if (!full || !p || !own || !tare_grow(&tree->parameters, &tree->room, tree->n + 1, sizeof(void *)) ||
        !tare_map_put(&tree->by_name, full, strlen(full), (uint32_t)tree->n, &before)) {
        fail(tree, TARE_E_MEMORY, name, "out of memory");
        return &dummy;
    }
    if (before != TARE_MAP_NONE || tree->n >= PARAMETERS_MOST) {
        fail(tree, before != TARE_MAP_NONE ? TARE_E_INTERNAL : TARE_E_CONFIG, full,
             before != TARE_MAP_NONE
                 ? "declared twice"
                 : "the config asks for more than 4,000,000 parameters; look at its layer and expert counts");
        return &dummy;
    }
    for (int i = 0; i < rank; i++) {
        own[i] = shape[i];
        if (shape[i] < 0)
            fail(tree, TARE_E_CONFIG, full, "the config gives this parameter a negative dimension");
    }
    if (tare_shape_count(rank, own) < 0)
        fail(tree, TARE_E_CONFIG, full, "the config gives this parameter more than 2^63 elements");
    *p = (struct tare_parameter){
        .name = full, .kind = kind, .rank = rank, .shape = own, .active = true, .index = (uint32_t)tree->n};
    tree->parameters[tree->n++] = p;
    return p;
}

static struct tare_parameter *add_axes(struct tare_at at, const char *name, enum tare_kind kind, int rank, va_list axes)
{
    int64_t shape[RANK_MOST];
    if (rank > RANK_MOST) {
        fail(at.tree, TARE_E_INTERNAL, name, "declared with more than eight axes");
        return &dummy;
    }
    for (int i = 0; i < rank; i++)
        shape[i] = va_arg(axes, int64_t);
    return add(at, name, "", kind, rank, shape);
}

struct tare_parameter *tare_plain(struct tare_at at, const char *name, int rank, ...)
{
    va_list axes;
    va_start(axes, rank);
    struct tare_parameter *p = add_axes(at, name, TARE_KIND_PLAIN, rank, axes);
    va_end(axes);
    return p;
}

struct tare_parameter *tare_optional(struct tare_at at, const char *name, int rank, ...)
{
    va_list axes;
    va_start(axes, rank);
    struct tare_parameter *p = add_axes(at, name, TARE_KIND_PLAIN, rank, axes);
    va_end(axes);
    if (!at.tree->error.code) { /* else it is the dummy */
        p->active = false;
        p->optional = true;
    }
    return p;
}

struct tare_linear tare_linear(struct tare_at at, const char *name, int64_t in, int64_t out, bool bias)
{
    struct tare_linear l = {.in = in, .out = out};
    l.weight = add(at, name, ".weight", TARE_KIND_LINEAR, 2, (const int64_t[]){out, in});
    if (bias)
        l.bias = add(at, name, ".bias", TARE_KIND_PLAIN, 1, &out);
    return l;
}

struct tare_linear tare_ternary(struct tare_at at, const char *name, int64_t in, int64_t out, bool bias)
{
    const int64_t one = 1;
    struct tare_linear l = {.in = in, .out = out};
    l.weight = add(at, name, ".weight", TARE_KIND_INTEGERS, 2, (const int64_t[]){(out + 3) / 4, in});
    l.weight->ternary = out;
    l.scale = add(at, name, ".weight_scale", TARE_KIND_PLAIN, 1, &one);
    if (bias)
        l.bias = add(at, name, ".bias", TARE_KIND_PLAIN, 1, &out);
    return l;
}

struct tare_linear tare_experts(struct tare_at at, const char *name, int64_t n, int64_t in, int64_t out, bool bias)
{
    struct tare_linear l = {.in = in, .out = out, .experts = n};
    l.weight = add(at, name, ".weight", TARE_KIND_EXPERTS, 3, (const int64_t[]){n, out, in});
    if (bias)
        l.bias = add(at, name, ".bias", TARE_KIND_PLAIN, 2, (const int64_t[]){n, out});
    return l;
}

struct tare_parameter *tare_embedding(struct tare_at at, const char *name, int64_t rows, int64_t dim)
{
    return add(at, name, ".weight", TARE_KIND_EMBEDDING, 2, (const int64_t[]){rows, dim});
}

struct tare_norm tare_rms_norm(struct tare_at at, const char *name, int64_t dim, double eps)
{
    return (struct tare_norm){
        .weight = add(at, name, ".weight", TARE_KIND_PLAIN, 1, &dim), .kind = TARE_NORM_RMS, .dim = dim, .eps = eps};
}

struct tare_norm tare_rms_norm_one_plus(struct tare_at at, const char *name, int64_t dim, double eps)
{
    struct tare_norm norm = tare_rms_norm(at, name, dim, eps);
    norm.kind = TARE_NORM_RMS_ONE_PLUS;
    return norm;
}

struct tare_norm tare_layer_norm(struct tare_at at, const char *name, int64_t dim, double eps, bool bias)
{
    struct tare_norm norm = tare_rms_norm(at, name, dim, eps);
    norm.kind = TARE_NORM_LAYER;
    if (bias)
        norm.bias = add(at, name, ".bias", TARE_KIND_PLAIN, 1, &dim);
    return norm;
}

void tare_head(struct tare_at at, const char *name, struct tare_parameter *embedding, enum tare_head_kind kind,
               bool tied, bool bias)
{
    struct tare_head *head = &at.tree->head;
    *head = (struct tare_head){.kind = kind, .embedding = embedding};
    if (embedding->rank != 2)
        return;
    const struct tare_linear l =
        tare_linear(at, name ? name : "lm_head", embedding->shape[1], embedding->shape[0], bias);
    if (at.tree->error.code) /* the dummy is shared by all trees and never written */
        return;
    head->prefix = tare_at(at, "%s", name ? name : "lm_head").path;
    head->weight = l.weight;
    head->bias = l.bias;
    head->weight->active = kind != TARE_HEAD_NONE && !((kind == TARE_HEAD_FLAG || kind == TARE_HEAD_COPIED) && tied);
    if (head->bias)
        head->bias->active = head->weight->active;
}

struct tare_parameter *tare_tree_find(const struct tare_tree *tree, const char *name)
{
    const uint32_t at = tare_map_get(&tree->by_name, name, strlen(name));
    return at == TARE_MAP_NONE ? NULL : tree->parameters[at];
}

void tare_tree_release(struct tare_tree *tree)
{
    free(tree->parameters);
    tare_map_release(&tree->by_name);
    *tree = (struct tare_tree){0};
}

int64_t tare_mul(struct tare_at at, int64_t a, int64_t b)
{
    int64_t product = 0;
    if (a >= 1 && b >= 1 && !__builtin_mul_overflow(a, b, &product))
        return product;
    if (!at.tree->error.code)
        tare_fail(&at.tree->error, TARE_E_CONFIG, at.path,
                  "the config gives a dimension of %lld x %lld; both must be at least 1", (long long)a, (long long)b);
    return 1;
}

int64_t tare_share(int64_t whole, double share)
{
    const double product = (double)whole * share, most = (double)((int64_t)1 << 40);
    return product > -most && product < most ? (int64_t)product : 0;
}

int64_t tare_width(struct tare_at at, int64_t a, int64_t b)
{
    const int64_t width = tare_mul(at, a, b), most = (int64_t)1 << 40;
    if (width <= most)
        return width;
    if (!at.tree->error.code)
        tare_fail(&at.tree->error, TARE_E_CONFIG, at.path,
                  "the config gives a width of %lld x %lld, out of all proportion", (long long)a, (long long)b);
    return 1;
}

int64_t tare_div(struct tare_at at, const char *a_name, int64_t a, const char *b_name, int64_t b)
{
    if (b >= 1 && a >= 1 && a % b == 0)
        return a / b;
    if (!at.tree->error.code)
        tare_fail(&at.tree->error, TARE_E_CONFIG, "config.json", "%s %lld is not a multiple of %s %lld", a_name,
                  (long long)a, b_name, (long long)b);
    return 1;
}
