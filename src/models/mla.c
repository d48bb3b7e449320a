/* SPDX-License-Identifier: MIT
 * mla.c - multi-head latent attention: its parameters, and kv_b_proj cut per head. */
#include "models/mla.h"

void tare_mla(struct tare_at at, const struct tare_mla_desc *d)
{
    const int64_t q = tare_mul(at, d->heads, d->nope + d->rope);
    if (d->q_rank > 0) {
        tare_linear(at, "q_a_proj", d->dim, d->q_rank, d->bias);
        tare_rms_norm(at, "q_a_layernorm", d->q_rank, d->eps);
        tare_linear(at, "q_b_proj", d->q_rank, q, NO_BIAS);
    } else {
        tare_linear(at, "q_proj", d->dim, q, NO_BIAS);
    }
    tare_linear(at, "kv_a_proj_with_mqa", d->dim, d->kv_rank + d->rope, d->bias);
    tare_rms_norm(at, "kv_a_layernorm", d->kv_rank, d->eps);
    if (d->kv_b_whole) {
        tare_linear(at, "kv_b_proj", d->kv_rank, tare_mul(at, d->heads, d->nope + d->v), NO_BIAS);
    } else {
        tare_experts(at, "embed_q", d->heads, d->nope, d->kv_rank, NO_BIAS);
        tare_experts(at, "unembed_out", d->heads, d->kv_rank, d->v, NO_BIAS);
    }
    tare_linear(at, d->o_name ? d->o_name : "o_proj", tare_mul(at, d->heads, d->v), d->dim, d->bias);
}

void tare_mla_rewrite(struct tare_weights *w, const char *attention, int64_t heads, int64_t nope, int64_t v)
{
    const char *whole = tare_arena_format(w->arena, "%s.kv_b_proj.weight", attention);
    const char *const parts[] = {tare_arena_format(w->arena, "%s.embed_q.weight", attention),
                                 tare_arena_format(w->arena, "%s.unembed_out.weight", attention)};
    if (!whole || !parts[0] || !parts[1]) {
        tare_fail_memory(&w->error);
        return;
    }
    if (!tare_find(w, whole))
        return; /* converted already: embed_q must not be turned again */
    tare_reshape(w, whole, 3, (const int64_t[]){heads, nope + v, -1});
    const char *const cut[] = {tare_arena_format(w->arena, "%s.kv_b_proj.nope", attention), parts[1]};
    if (!cut[0]) {
        tare_fail_memory(&w->error);
        return;
    }
    tare_split_sizes(w, whole, 1, cut, (const int64_t[]){nope, v}, 2);
    tare_swap_axes(w, cut[0]);
    tare_rename(w, cut[0], parts[0]);
}
