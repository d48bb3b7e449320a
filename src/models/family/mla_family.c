/* SPDX-License-Identifier: MIT
 * mla_family.c - multi-head latent attention: scaled rotary embeddings, and kv_b_proj cut per head. */
#include "models/family/mla_family.h"

#include <math.h>

void tare_mla_turn(struct tare_mla_desc *d, struct tare_at at, const struct tare_mla_rotary *r)
{
    d->rotary = tare_rope_read(at, d->rope, r->theta, r->scaling, r->context);
    d->rotary.interleaved = !r->halves;
    const double all = d->rotary.kind != TARE_ROPE_DEFAULT ? d->rotary.mscale_all_dim : 0;
    const double twice = d->rotary.factor > 1 ? 0.1 * all * log(d->rotary.factor) + 1 : 1;
    d->scale = twice * twice / sqrt((double)(d->nope + d->rope));
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
