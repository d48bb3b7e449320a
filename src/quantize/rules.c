/* SPDX-License-Identifier: MIT
 * rules.c - what is asked for single modules: "model.layers.*.mlp.down_proj=8", "lm_head=float", and --keep-head.
 *
 * A pattern is that of --dequantize: * stands for a component of a name, ** for any number of them, and what lies in a
 * module goes with it. Of several rules that fit, the first counts. What comes after "=" is the target's to read.
 */
#include <string.h>

#include "module/pattern.h"
#include "quantize/quantizing.h"

#define FLOATS "float"

static enum tare_code read_rule(struct tare_quantizing *q, const char *text, struct tare_quantize_rule *rule,
                                struct tare_error *err)
{
    const char *equals = text ? strrchr(text, '=') : NULL;
    if (!equals || equals == text || !equals[1])
        return tare_fail(err, TARE_E_ARGUMENT, text ? text : "",
                         "is no rule; one is NAME=FORM, as model.layers.*.mlp.down_proj=8 or lm_head=" FLOATS);
    rule->pattern = tare_arena_copy(&q->arena, text, (size_t)(equals - text));
    rule->form = tare_arena_text(&q->arena, equals + 1);
    if (!rule->pattern || !rule->form)
        return tare_fail_memory(err);
    rule->floats = !strcmp(rule->form, FLOATS);
    return rule->floats ? TARE_OK : q->target->rule(q, rule, err);
}

enum tare_code tare_quantizing_rules(struct tare_quantizing *q, struct tare_error *err)
{
    const struct tare_quantize_options *options = q->options;
    if (options->n_rules && !options->rules)
        return tare_fail(err, TARE_E_ARGUMENT, "rules", "is NULL, and n_rules is not 0");
    q->rules = tare_arena_array(&q->arena, options->n_rules + 1, sizeof *q->rules);
    if (!q->rules)
        return tare_fail_memory(err);
    memset(q->rules, 0, (options->n_rules + 1) * sizeof *q->rules);
    for (; q->n_rules < options->n_rules; q->n_rules++) {
        const enum tare_code code = read_rule(q, options->rules[q->n_rules], &q->rules[q->n_rules], err);
        if (code)
            return code;
    }
    return TARE_OK;
}

static bool fits(const struct tare_quantize_rule *rule, const struct tare_job *job, const char *other)
{
    const struct tare_pattern pattern = tare_pattern_read(rule->pattern, false);
    bool found = tare_pattern_match(&pattern, job->name, true, NULL) ||
                 (other && tare_pattern_match(&pattern, other, true, NULL));
    for (size_t k = 0; k < job->flat.n && !found; k++)
        found = tare_pattern_match(&pattern, job->flat.pieces[k].module->name, true, NULL);
    return found;
}

const struct tare_quantize_rule *tare_quantizing_rule(struct tare_quantizing *q, const struct tare_job *job,
                                                      const char *other)
{
    for (size_t k = 0; k < q->n_rules; k++)
        if (fits(&q->rules[k], job, other)) {
            q->rules[k].used = true;
            return &q->rules[k];
        }
    return NULL;
}

/* The output head, or the embedding where that is the head. */
static bool is_head(const struct tare_model *model, const struct tare_job *job)
{
    const struct tare_head *head = &model->tree.head;
    const bool own = head->weight && head->weight->active && head->weight->entry;
    const struct tare_parameter *found = own ? head->weight : head->embedding;
    if (!found || job->parameter)
        return found && job->parameter == found;
    for (size_t k = 0; k < job->flat.n; k++) /* the view by source module */
        if (found->entry && found->entry->recipe && found->entry->recipe->module == job->flat.pieces[k].module)
            return true;
    return false;
}

bool tare_quantizing_stays(const struct tare_quantizing *q, const struct tare_model *model, const struct tare_job *job,
                           const struct tare_quantize_rule *rule)
{
    return rule ? rule->floats : q->options->keep_head && is_head(model, job);
}

enum tare_code tare_quantizing_settle(const struct tare_layout *layout, struct tare_error *err)
{
    const struct tare_quantizing *q = tare_quantizing_of(layout);
    for (size_t k = 0; k < q->n_rules; k++)
        if (!q->rules[k].used)
            return tare_fail(err, TARE_E_ARGUMENT, q->rules[k].pattern,
                             "fits the name of no module that an earlier rule left; tare explain MODEL lists them");
    return q->base->settle ? q->base->settle(layout, err) : TARE_OK;
}
