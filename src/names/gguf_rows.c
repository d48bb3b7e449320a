/* SPDX-License-Identifier: MIT
 * gguf_rows.c - what GGUF stores otherwise than the checkpoint it was made of, undone by verbs: rows of q and k, norms
 * plus one, factors of the rotary embedding as tensors. */
#include "names/gguf_rows.h"

#include "names/verb.h"

/*
 * ggml rotates neighbouring rows (2j, 2j + 1) of a head, the checkpoint has them half a head apart. The writer took
 * (heads, 2, half, ..) and swapped axes 1 and 2; here they are swapped back. Source: llama.cpp, convert_hf_to_gguf.py,
 * LlamaModel.permute.
 */
static const struct tare_recipe *unite_halves(struct tare_arena *arena, const struct tare_recipe *r, const void *how)
{
    static const int order[4] = {0, 2, 1, 3};
    const int64_t heads = *(const int64_t *)how, in = r->rank == 2 ? r->shape[1] : 1;
    if (r->rank < 1 || r->rank > 2 || heads < 1 || r->shape[0] % heads || r->shape[0] / heads % 2)
        return r;
    const int64_t halves[4] = {heads, r->shape[0] / heads / 2, 2, in};
    const struct tare_recipe *apart = tare_recipe_reshape(arena, r, 4, halves);
    return tare_recipe_reshape(arena, tare_recipe_transpose(arena, apart, order), r->rank, r->shape);
}

static void restore_rows(struct tare_weights *w, const char *pattern, const int64_t *heads)
{
    tare_verb_edit(w, pattern, true, unite_halves, heads, "halves of each head's rows united");
}

void tare_gguf_restore(struct tare_weights *w, const struct tare_gguf_facts *facts)
{
    w->source = "names/gguf_rows.c";
    for (const char *const *name = facts->aside; name && *name; name++)
        tare_drop_exact(w, *name, "its values are in the config, as rope_scaling");
    tare_drop_exact(w, "blk.*.attn_rot_embd.weight", "a table of the rotary embedding");
    if (facts->rows_permuted) {
        restore_rows(w, "model.layers.*.self_attn.q_proj.*", &facts->heads);
        restore_rows(w, "model.layers.*.self_attn.k_proj.*", &facts->kv_heads);
    }
    if (facts->norms_plus_one) {
        tare_add(w, "model.norm.weight", -1);
        tare_add(w, "model.layers.*.*norm.weight", -1);
        tare_add(w, "model.layers.*.self_attn.*norm.weight", -1);
    }
}
