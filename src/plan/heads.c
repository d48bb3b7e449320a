/* SPDX-License-Identifier: MIT
 * heads.c - heads that the rule drops are compared with the embedding, and the policy (--tie) has its say. The rule and
 * the policy are docs/head.md. */
#include <string.h>

#include "plan/plan.h"
#include "tree/prove.h"

/* The module of the live entry of this name, if the entry was only renamed; else NULL. */
static const struct tare_module *module_of(const struct tare_model *m, const char *name)
{
    for (size_t i = 0; i < m->weights.n; i++) {
        const struct tare_entry *e = &m->weights.entries[i];
        if (!e->rule && !e->absorbed && !strcmp(e->name, name))
            return e->recipe->op == TARE_OP_TAKE && !e->recipe->module->fault ? e->recipe->module : NULL;
    }
    return NULL;
}

static const struct tare_entry *weight_of(const struct tare_model *m, const struct tare_head_decision *head)
{
    for (size_t i = 0; i < m->weights.n; i++)
        if (tare_head_has(head, &m->weights.entries[i]) && !strcmp(strrchr(m->weights.entries[i].name, '.'), ".weight"))
            return &m->weights.entries[i];
    return NULL;
}

static enum tare_code prove(struct tare_model *m, struct tare_head_decision *head, struct tare_error *err)
{
    const struct tare_parameter *embedding = m->tree.head.embedding;
    const struct tare_entry *weight = weight_of(m, head);
    const struct tare_module *right = embedding ? module_of(m, embedding->name) : NULL;
    struct tare_pool *pool = NULL;
    if (!weight || weight->recipe->op != TARE_OP_TAKE || weight->recipe->module->fault || !right || right->unusable ||
        weight->recipe->module->unusable || m->options.no_data) {
        tare_plan_finding(m, TARE_NOTE, TARE_OK, "head-not-compared", head->prefix,
                          "not compared with the embedding: %s",
                          m->options.no_data ? "weights were not to be read" : "one of the two is incomplete");
        return TARE_OK;
    }
    enum tare_code code = tare_plan_pool(&pool, m, NULL, 0, err);
    if (!code)
        code = tare_head_prove(&m->checkpoint, weight->recipe->module, right, pool, &m->arena, &head->proof,
                               &head->difference, err);
    tare_pool_free(pool);
    return code;
}

/* Point 7: AWQ has no g_idx, so one on its head is refused; a bias on a dropped head must be zero. */
static enum tare_code settle_bias(struct tare_model *m, const struct tare_head_decision *head, struct tare_error *err)
{
    const struct tare_entry *weight = weight_of(m, head);
    if (weight && weight->recipe->op == TARE_OP_TAKE && weight->recipe->module->part[TARE_PART_G_IDX] &&
        m->quant.method == TARE_METHOD_AWQ)
        return tare_fail(err, TARE_E_FORMAT, weight->recipe->module->part[TARE_PART_G_IDX]->name,
                         "awq has no g_idx; this looks like gptq, look at quant_method in config.json");
    const char *name = tare_arena_format(&m->arena, "%s.bias", head->prefix);
    for (size_t i = 0; name && i < m->weights.n; i++) {
        struct tare_entry *e = &m->weights.entries[i];
        bool zero = false;
        if (e->rule || e->absorbed || strcmp(e->name, name) != 0 || tare_tree_find(&m->tree, name))
            continue;
        if (m->options.no_data || e->recipe->op != TARE_OP_TAKE)
            return TARE_OK; /* The bias stays, and strict loading reports it. */
        const enum tare_code code = tare_module_is_zero(&m->checkpoint, e->recipe->module, &zero, err);
        if (code)
            return code;
        if (!zero)
            return tare_fail(err, TARE_E_HEAD, e->name,
                             "the head is the embedding, which has no bias, and this one is not zero: dropping it "
                             "would change the model");
        e->rule = "bias of a redundant output head, all zero";
        e->evidence = head->evidence;
        e->redundant = true;
    }
    return m->arena.failed ? tare_fail_memory(err) : TARE_OK;
}

static enum tare_code restore(struct tare_model *m, struct tare_head_decision *head, struct tare_error *err)
{
    return tare_head_restore(&m->tree, &m->weights, head)
               ? TARE_OK
               : tare_fail(err, TARE_E_HEAD, head->prefix,
                           "a head of its own was asked for, and %s has no name for one", m->model_type);
}

/* The head differs, and only a default said tied. transformers' default decides: untied makes the head the model's own,
 * tied leaves two readings, and the model is refused. */
static enum tare_code settle_silent(struct tare_model *m, bool transformers_tied, struct tare_head_decision *head,
                                    struct tare_error *err)
{
    if (!transformers_tied && m->tree.head.kind != TARE_HEAD_NONE) {
        const enum tare_code code = restore(m, head, err);
        m->tie.untied = !code;
        if (!code)
            tare_plan_finding(
                m, TARE_WARNING, TARE_OK, "head-differs", head->prefix,
                "config.json does not say whether the head is the embedding; mlx-lm would take it for "
                "tied, transformers "
                "for untied, and this head differs (%s): it is the model's own; `tare repair` writes that down",
                head->difference);
        return code;
    }
    return tare_fail(
        err, TARE_E_HEAD, head->prefix,
        "config.json does not say whether the head is the embedding: a default says it is, but this head differs (%s). "
        "--tie=config drops it, --tie=keep makes it the model's own%s; \"tie_word_embeddings\" in config.json settles "
        "it (`tare repair` sets it)",
        head->difference, m->tree.head.kind != TARE_HEAD_NONE ? "" : " where the architecture has a place");
}

static enum tare_code settle(struct tare_model *m, bool transformers_tied, struct tare_head_decision *head,
                             struct tare_error *err)
{
    enum tare_code code = settle_bias(m, head, err);
    if (!code)
        code = prove(m, head, err);
    if (code)
        return code;
    if (m->options.tie == TARE_TIE_KEEP)
        return restore(m, head, err);
    if (m->options.tie == TARE_TIE_PROVED && head->proof != TARE_PROOF_EQUAL)
        return tare_fail(err, TARE_E_HEAD, head->prefix,
                         "%s%s%s; --tie=proved drops a head only when it is proved redundant",
                         head->proof == TARE_PROOF_DIFFERS ? "the head differs from the embedding ("
                                                           : "the head could not be compared",
                         head->difference ? head->difference : "", head->proof == TARE_PROOF_DIFFERS ? ")" : "");
    if (head->proof != TARE_PROOF_DIFFERS)
        return TARE_OK;
    if (!head->by_flag && m->options.tie == TARE_TIE_AUTO)
        return settle_silent(m, transformers_tied, head, err);
    tare_plan_finding(
        m, TARE_WARNING, TARE_OK, "head-differs", head->prefix,
        "%s says tied, but the head differs from the embedding (%s); it is dropped, as said; is it the flag "
        "that is wrong? `tare repair` sets it where the two have nothing in common",
        head->where, head->difference);
    return TARE_OK;
}

enum tare_code tare_heads_settle(struct tare_model *m, bool transformers_tied, struct tare_error *err)
{
    for (size_t k = 0; k < m->tie.n; k++) {
        struct tare_head_decision *head = &m->tie.heads[k];
        const enum tare_code code =
            head->decision == TARE_DECISION_DROP ? settle(m, transformers_tied, head, err) : TARE_OK;
        if (code)
            return code;
    }
    if (m->tie.bound)
        tare_plan_finding(
            m, TARE_NOTE, TARE_OK, "head-is-embedding", m->tie.bound->name,
            "the only copy lies under the name of the output head; the model is tied, so it is the embedding; "
            "`tare repair` gives it that name");
    if (m->tie.contradiction)
        tare_plan_finding(
            m, TARE_WARNING, TARE_OK, "tie-contradiction", m->tree.head.prefix,
            "tie_word_embeddings is false for the text model, but its authors go by the top of config.json, "
            "and there is no output head: it is the embedding; `tare repair` says so in both places");
    if (m->tie.tied_by_default)
        tare_plan_finding(m, TARE_WARNING, TARE_OK, "no-head", m->tree.head.prefix,
                          "there is no output head and config.json does not say that the model is tied; transformers' "
                          "default is tied, so the head is the embedding. If a shard is missing, this is wrong");
    return tare_tie_bind(&m->tree, &m->weights, &m->tie, err);
}
