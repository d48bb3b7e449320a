/* SPDX-License-Identifier: MIT
 * sparse.c - what decoders with routed experts share. */
#include "models/family/sparse.h"

#include "models/family/experts.h"

bool tare_sparse_layer(const json_t *mlp_only_layers, int64_t step, int64_t layer)
{
    for (size_t i = 0; i < json_array_size(mlp_only_layers); i++)
        if (json_integer_value(json_array_get(mlp_only_layers, i)) == layer)
            return false;
    return (layer + 1) % step == 0;
}

enum tare_code tare_sparse_check(const json_t *mlp_only_layers, int64_t step, const char *place, struct tare_error *err)
{
    if (step < 1)
        return tare_fail(err, TARE_E_CONFIG, place, "decoder_sparse_step is 0; expected at least 1");
    return mlp_only_layers ? tare_layer_numbers_check(mlp_only_layers, 0, "mlp_only_layers", place, err) : TARE_OK;
}

enum tare_code tare_layer_numbers_check(const json_t *list, int64_t n, const char *key, const char *place,
                                        struct tare_error *err)
{
    bool fits = json_is_array(list) && json_array_size(list) >= (size_t)n;
    for (size_t i = 0; fits && i < json_array_size(list); i++)
        fits = json_is_integer(json_array_get(list, i));
    return fits ? TARE_OK
                : tare_fail(err, TARE_E_CONFIG, place, "%s must be a list of integers, %lld at least", key,
                            (long long)n);
}

void tare_shared_experts(struct tare_layer *l, struct tare_at at, const struct tare_shared_experts *e)
{
    tare_routed(l, at,
                &(struct tare_routed_desc){.dim = e->dim,
                                           .router = {.n = e->n, .top = e->top, .normalize = e->normalize},
                                           .hidden = e->hidden,
                                           .shared.name = "shared_expert",
                                           .shared.hidden = e->shared_hidden,
                                           .shared.gate = "shared_expert_gate",
                                           .activation = tare_activation_read(at, e->hidden_act, TARE_SILU)});
}

void tare_sparse_rewrite(struct tare_weights *w, const char *block, int64_t n, int64_t dim)
{
    const char *from = tare_arena_format(w->arena, "model.layers.*.%s.experts", block);
    const char *to = tare_arena_format(w->arena, "model.layers.*.%s.switch_mlp", block);
    if (!from || !to)
        tare_fail_memory(&w->error);
    else
        tare_experts_rewrite(w, &(struct tare_experts_desc){.from = from, .to = to, .n = n, .dim = dim});
}

int64_t tare_head_dim(struct tare_at at, int64_t given, int64_t dim, int64_t heads)
{
    return given > 0 ? given : tare_div(at, "hidden_size", dim, "num_attention_heads", heads);
}
