/* SPDX-License-Identifier: MIT
 * targets.c - targets and ignore lists of compressed-tensors. */
#include "names/targets.h"

#include <stdlib.h>
#include <string.h>

static enum tare_code compile(struct tare_regex **regex, const char *target, const char *place, struct tare_error *err)
{
    if (strncmp(target, "re:", 3) != 0)
        return TARE_OK;
    return tare_regex_open(regex, target + 3, strlen(target + 3), place ? place : "quantization_config", err);
}

enum tare_code tare_targets_open(struct tare_targets *targets, const struct tare_quant *quant, struct tare_error *err)
{
    size_t n = 0, at = 0;
    *targets = (struct tare_targets){.quant = quant};
    if (quant->method != TARE_METHOD_COMPRESSED)
        return TARE_OK;
    for (size_t k = 0; k < quant->n_groups; k++)
        n += quant->groups[k].n_targets;
    n += quant->n_skipped;
    targets->targets = calloc(n + 1, sizeof(struct tare_regex *));
    if (!targets->targets)
        return tare_fail_memory(err);
    targets->n = n;
    enum tare_code code = TARE_OK;
    for (size_t k = 0; k < quant->n_groups; k++)
        for (size_t i = 0; !code && i < quant->groups[k].n_targets; i++)
            code = compile(&targets->targets[at++], quant->groups[k].targets[i], quant->place, err);
    for (size_t i = 0; !code && i < quant->n_skipped; i++)
        code = compile(&targets->targets[at++], quant->skipped[i], quant->place, err);
    return code;
}

void tare_targets_release(struct tare_targets *targets)
{
    for (size_t i = 0; i < targets->n; i++)
        tare_regex_free(targets->targets[i]);
    free(targets->targets);
    tare_matcher_release(&targets->matcher);
}

/* Does a pattern match from the start of the path, as Python's re.match()? It may end anywhere. */
static enum tare_code begins(struct tare_targets *targets, const struct tare_regex *regex, const char *path, bool *does,
                             struct tare_error *err)
{
    size_t start = 0, end = 0;
    bool found = false;
    enum tare_code code = tare_matcher_start(&targets->matcher, regex, path, strlen(path), err);
    if (!code)
        code = tare_matcher_next(&targets->matcher, &found, &start, &end, err);
    *does = found && start == 0;
    return code;
}

/*
 * Does a target name the class of this module? Classes ("Linear", "Embedding") begin with a capital, paths of modules
 * do not. The class of a module is told from the last component of its path, because every architecture calls its
 * tables of embeddings by one of these names.
 */
static bool of_class(const char *target, const char *path)
{
    const char *dot = strrchr(path, '.'), *last = dot ? dot + 1 : path;
    const bool table = strstr(last, "embed") || !strcmp(last, "wte") || !strcmp(last, "word_embeddings");
    if (*target < 'A' || *target > 'Z' || strchr(target, '.'))
        return false;
    return table == (strstr(target, "Embedding") != NULL);
}

enum tare_code tare_targets_find(struct tare_targets *targets, const char *path, const struct tare_quant_group **group,
                                 bool *ignored, struct tare_error *err)
{
    const struct tare_quant *quant = targets->quant;
    size_t at = 0;
    int best = 0; /* how the best target so far fits: 3 by name, 2 by a pattern, 1 by class, 0 not at all */
    *group = NULL;
    *ignored = false;
    for (size_t k = 0; k < quant->n_groups; k++)
        for (size_t i = 0; i < quant->groups[k].n_targets; i++, at++) {
            const char *target = quant->groups[k].targets[i];
            bool does = false;
            enum tare_code code = TARE_OK;
            if (targets->targets[at] && best < 2 && (code = begins(targets, targets->targets[at], path, &does, err)))
                return code;
            const int fit = !strcmp(target, path) ? 3 : does ? 2 : of_class(target, path) ? 1 : 0;
            if (fit > best) {
                best = fit;
                *group = &quant->groups[k];
            }
        }
    for (size_t i = 0; !*ignored && i < quant->n_skipped; i++, at++) {
        *ignored = !strcmp(quant->skipped[i], path);
        if (targets->targets[at]) {
            const enum tare_code code = begins(targets, targets->targets[at], path, ignored, err);
            if (code)
                return code;
        }
    }
    return TARE_OK;
}
