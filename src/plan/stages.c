/* SPDX-License-Identifier: MIT
 * stages.c - three short stages: 2, config; 4, group; 5, tie. Each calls the rooms below and asks what GPTQ or the
 * policy of --tie has to add. The order of all stages is in src/tare.c.
 */
#include "plan/stages.h"

#include <stdlib.h>

#include "models/model.h"
#include "names/group.h"
#include "plan/gptq_judge.h"

#define CONFIG_MOST ((uint64_t)64 << 20) /* bytes; the largest known config.json has 200 KB */

static enum tare_code read_json(struct tare_model *m, const char *name, json_t **json, struct tare_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum tare_code code = tare_checkpoint_read(&m->checkpoint, name, CONFIG_MOST, &text, &size, err);
    if (!code)
        code = tare_json_parse(json, name, text, size, err);
    free(text);
    return code;
}

enum tare_code tare_plan_configure(struct tare_model *m, struct tare_error *err)
{
    json_t *beside = NULL;
    enum tare_code code = read_json(m, "config.json", &m->config, err);
    if (code)
        return code;
    if (!json_is_object(m->config))
        return tare_fail(err, TARE_E_CONFIG, "config.json", "expected an object of keys and values");
    m->model_type = json_string_value(json_object_get(m->config, "model_type")); /* for the report; declare judges it */
    if (tare_checkpoint_has(&m->checkpoint, "quantize_config.json"))
        code = read_json(m, "quantize_config.json", &beside, err);
    if (!code)
        code = tare_quant_read(m->config, beside, &m->arena, &m->quant, err);
    json_decref(beside);
    return code;
}

enum tare_code tare_plan_group(struct tare_model *m, struct tare_error *err)
{
    const struct tare_packing *packing = NULL;
    enum tare_code code = tare_packing_choose(&m->quant, &packing, err);
    if (!code)
        code = tare_modules_group(&m->checkpoint, &m->quant, packing, &m->arena, &m->modules, &m->n_modules,
                                  &m->weights, err);
    return code ? code : tare_gptq_judge(m, err);
}

enum tare_code tare_plan_tie(struct tare_model *m, struct tare_error *err)
{
    const struct tare_tie_config config = {
        .config = m->config,
        .args_info = m->arch->args,
        .args = m->args,
        .tied_usual = m->arch->transformers_tied,
        .wrapper = m->inner != NULL,
        .inner = m->inner_config,
        .inner_path = m->inner_path,
        .copied = m->inner_copy != NULL,
        .inner_args_info = m->inner ? m->inner->args : NULL,
        .inner_args = m->inner_args,
    };
    struct tare_tie_level levels[TARE_TIE_LEVELS];
    enum tare_code code = tare_tie_levels(&config, &m->arena, levels, err);
    if (!code)
        code = tare_tie_decide(&m->tree, &m->weights, levels, TARE_TIE_LEVELS, &m->tie, err);
    if (!code)
        code = tare_heads_settle(m, m->arch->transformers_tied, err);
    if (code == TARE_E_MEMORY || code == TARE_E_IO || !code)
        return code;
    tare_plan_keep(m, err); /* The model will not load, but the later stages still report what they find. */
    *err = (struct tare_error){0};
    return TARE_OK;
}
