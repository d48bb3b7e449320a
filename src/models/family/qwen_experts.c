/* SPDX-License-Identifier: MIT
 * qwen_experts.c - routed experts as Qwen has them. */
#include "models/family/qwen_experts.h"

#include "models/family/layer_kinds.h"

bool tare_sparse_layer(const json_t *mlp_only_layers, int64_t step, int64_t layer)
{
    return !tare_numbers_have(mlp_only_layers, layer) && (layer + 1) % step == 0;
}

enum tare_code tare_sparse_check(const json_t *mlp_only_layers, int64_t step, const char *place, struct tare_error *err)
{
    if (step < 1)
        return tare_fail(err, TARE_E_CONFIG, place, "decoder_sparse_step is 0; expected at least 1");
    return mlp_only_layers ? tare_layer_numbers_check(mlp_only_layers, 0, "mlp_only_layers", place, err) : TARE_OK;
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
