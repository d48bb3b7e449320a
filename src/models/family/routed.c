/* SPDX-License-Identifier: MIT
 * routed.c - routed experts in a decoder like Llama. */
#include "models/family/routed.h"

#include <string.h>

#include "models/family/experts.h"

static const char *const projections[] = {"gate_proj", "up_proj", "down_proj"};

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

static void routed(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense)
{
    struct tare_routed_desc desc = ((const struct tare_routed_dense *)dense->args)->routed;
    desc.dim = dense->skeleton.dim;
    desc.activation = tare_activation_read(at, dense->hidden_act, TARE_SILU);
    tare_routed(l, at, &desc);
}

static void more(struct tare_layer *l, struct tare_at at, const struct tare_dense *dense)
{
    const struct tare_routed_dense *model = dense->args;
    struct tare_dense own = *dense;
    own.args = model->dense.args;
    if (dense->no_ffn)
        routed(l, at, dense);
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
