/* SPDX-License-Identifier: MIT
 * gguf_rows.c - undoes, by verbs, what a GGUF file stores otherwise than the checkpoint that it was made of: the order
 * of the rows of q and k, norms stored plus one, and factors of the rotary embedding stored as tensors. */
#include "names/gguf_rows.h"

#include "names/verb.h"

/* ggml rotates neighbouring rows (2j, 2j + 1) of a head, while the checkpoint has the two rows half a head apart. The
 * writer took (heads, 2, half, ..) and swapped axes 1 and 2; here they are swapped back. Source: llama.cpp,
 * convert_hf_to_gguf.py, LlamaModel.permute. */
static const struct tare_recipe *unite_halves(struct tare_arena *arena, const struct tare_recipe *r, const void *how)
{
    static const int order[4] = {0, 2, 1, 3};
    (void)how;
    if (r->op != TARE_OP_TAKE || r->module->packed)
        return r;
    const int64_t heads = r->module->part[TARE_PART_WEIGHT]->heads, in = r->rank == 2 ? r->shape[1] : 1;
    if (!heads)
        return r;
    const int64_t halves[4] = {heads, r->shape[0] / heads / 2, 2, in};
    const struct tare_recipe *apart = tare_recipe_reshape(arena, r, 4, halves);
    return tare_recipe_reshape(arena, tare_recipe_transpose(arena, apart, order), r->rank, r->shape);
}

void tare_gguf_restore(struct tare_weights *w, const struct tare_gguf_facts *facts, struct tare_module *modules,
                       size_t n)
{
    w->source = "names/gguf_rows.c";
    for (const char *const *name = facts->aside; name && *name; name++)
        tare_drop_exact(w, *name, "its values are in the config, as rope_scaling");
    tare_drop_exact(w, "blk.*.attn_rot_embd.weight", "a table of the rotary embedding");
    tare_verb_edit(w, "model.layers.*.self_attn.*_proj.*", true, unite_halves, NULL,
                   "halves of each head's rows united");
    if (facts->norms_plus_one) {
        tare_add(w, "model.norm.weight", -1);
        tare_add(w, "model.layers.*.*norm.weight", -1);
        tare_add(w, "model.layers.*.self_attn.*norm.weight", -1);
    }
    for (size_t k = 0; k < n && k < w->n; k++) {
        w->entries[k].redundant = w->entries[k].redundant || w->entries[k].rule;
        if (w->entries[k].recipe->op != TARE_OP_TAKE)
            modules[k].restored = w->entries[k].recipe;
    }
}
