/* SPDX-License-Identifier: MIT
 * routed.c - routed experts in a decoder like Llama. */
#include "models/routed.h"

#include <string.h>

#include "models/experts.h"

static const char *const projections[] = {"gate_proj", "up_proj", "down_proj"};

static const char *or(const char *name, const char *usual)
{
    return name ? name : usual;
}

/* n 0: one network, not stacked. */
static void glu(struct tare_at parent, const char *name, int64_t n, int64_t dim, int64_t hidden, bool bias)
{
    const struct tare_at at = tare_at(parent, "%s", name);
    for (int i = 0; i < 3; i++) {
        const int64_t in = i < 2 ? dim : hidden, out = i < 2 ? hidden : dim;
        if (n > 0)
            tare_experts(at, projections[i], n, in, out, bias);
        else
            tare_linear(at, projections[i], in, out, bias);
    }
}

void tare_routed(struct tare_at parent, int64_t dim, const struct tare_routed *r)
{
    const struct tare_at at = tare_at(parent, "%s", or(r->name, "mlp"));
    if (r->n < 1 || r->hidden < 1) {
        if (!at.tree->error.code)
            tare_fail(&at.tree->error, TARE_E_CONFIG, at.path,
                      "the config gives %lld experts of width %lld; both must be at least 1", (long long)r->n,
                      (long long)r->hidden);
        return;
    }
    if (r->gate_bare)
        tare_plain(tare_at(at, "%s", or(r->gate, "gate")), "weight", 2, r->n, dim);
    else
        tare_linear(at, or(r->gate, "gate"), dim, r->n, NO_BIAS);
    if (r->correction)
        tare_plain(at, r->correction, 1, r->n);
    glu(at, or(r->experts, "switch_mlp"), r->n, dim, r->hidden, r->bias);
    if (r->shared_hidden > 0)
        glu(at, or(r->shared, "shared_experts"), 0, dim, r->shared_hidden, r->shared_bias);
}

/* The dense family's hooks carry the routed model; the model's own ones get its args. */
static void vary(struct tare_dense *copy, int64_t i)
{
    const struct tare_routed_dense *model = copy->args;
    copy->no_ffn = model->is_routed ? model->is_routed(model->dense.args, i) : i >= model->first;
    copy->args = model->dense.args;
    if (model->dense.vary)
        model->dense.vary(copy, i);
    copy->args = model;
}

static void more(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense)
{
    const struct tare_routed_dense *model = dense->args;
    struct tare_dense own = *dense;
    own.args = model->dense.args;
    if (dense->no_ffn)
        tare_routed(at, dense->skeleton.dim, &model->routed);
    if (model->dense.more)
        model->dense.more(l, at, &own);
}

void tare_routed_dense(struct tare_at root, struct tare_decoder *d, const struct tare_routed_dense *model)
{
    struct tare_dense dense = model->dense;
    dense.args = model;
    dense.vary = vary;
    dense.more = more;
    tare_dense(root, d, &dense);
}

enum tare_code tare_mlp_only_check(const json_t *mlp_only_layers, const char *place, struct tare_error *err)
{
    bool numbers = json_is_array(mlp_only_layers);
    for (size_t i = 0; numbers && i < json_array_size(mlp_only_layers); i++)
        numbers = json_is_integer(json_array_get(mlp_only_layers, i));
    return numbers ? TARE_OK : tare_fail(err, TARE_E_CONFIG, place, "mlp_only_layers must be a list of layer numbers");
}

bool tare_mlp_only(const json_t *mlp_only_layers, int64_t layer)
{
    for (size_t i = 0; i < json_array_size(mlp_only_layers); i++)
        if (json_integer_value(json_array_get(mlp_only_layers, i)) == layer)
            return true;
    return false;
}

enum tare_code tare_topk_method_check(const char *topk_method, const char *place, struct tare_error *err)
{
    if (!strcmp(topk_method, "noaux_tc"))
        return TARE_OK;
    return tare_fail(err, TARE_E_CONFIG, place, "topk_method is %s; only noaux_tc is known", topk_method);
}

void tare_routed_rewrite(struct tare_weights *w, const char *block, const char *to, int64_t n, int64_t dim)
{
    const char *from = tare_arena_format(w->arena, "%s.experts", block);
    const char *stacked = tare_arena_format(w->arena, "%s.%s", block, to);
    if (!from || !stacked) {
        tare_fail_memory(&w->error);
        return;
    }
    tare_experts_rewrite(w, &(struct tare_experts_desc){.from = from, .to = stacked, .n = n, .dim = dim});
    for (int i = 0; i < 3; i++) {
        const char *one = tare_arena_format(w->arena, "%s.#.%s.bias", from, projections[i]);
        const char *all = tare_arena_format(w->arena, "%s.%s.bias", stacked, projections[i]);
        if (one && all)
            tare_stack(w, one, all, n);
        else
            tare_fail_memory(&w->error);
    }
}
