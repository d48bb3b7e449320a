/* SPDX-License-Identifier: MIT
 * models.c - finds the record for a model_type. */
#include "models/model.h"

#include <stdio.h>
#include <string.h>

#include "base/sized.h"

static const struct {
    const char *model_type;
    const struct tare_arch *arch;
} known[] = {
#define ARCH(name) {#name, &tare_arch_##name},
#define ALIAS(model_type, name) {#model_type, &tare_arch_##name},
#define NAMED(model_type, name) {#model_type, &tare_arch_##name},
#define CHOSEN(model_type, architecture, name)
#include "models/models.def"
#undef ARCH
#undef ALIAS
#undef NAMED
#undef CHOSEN
};

static const struct {
    const char *model_type, *architecture;
    const struct tare_arch *arch;
} chosen[] = {
#define ARCH(name)
#define ALIAS(model_type, name)
#define NAMED(model_type, name)
#define CHOSEN(model_type, architecture, name) {#model_type, #architecture, &tare_arch_##name},
#include "models/models.def"
#undef ARCH
#undef ALIAS
#undef NAMED
#undef CHOSEN
    {NULL, NULL, NULL},
};

enum { KNOWN = sizeof known / sizeof *known, WORD_MOST = 64, NEAREST = 3 };

/* Levenshtein distance; words beyond WORD_MOST are far from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MOST + 1];
    const size_t m = strlen(a), n = strlen(b);
    if (m > WORD_MOST || n > WORD_MOST)
        return WORD_MOST;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            const size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            const size_t shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = change < shift ? change : shift;
        }
    }
    return row[n];
}

static void nearest(const char *model_type, char *text, size_t room)
{
    bool said[KNOWN] = {false};
    size_t used = 0;
    for (int k = 0; k < NEAREST && k < KNOWN; k++) {
        size_t best = KNOWN, least = 0;
        for (size_t i = 0; i < KNOWN; i++) {
            const size_t far = distance(model_type, known[i].model_type);
            if (!said[i] && (best == KNOWN || far < least)) {
                best = i;
                least = far;
            }
        }
        said[best] = true;
        const int n = snprintf(text + used, room - used, "%s%s", k ? ", " : "", known[best].model_type);
        used += n > 0 && (size_t)n < room - used ? (size_t)n : 0;
    }
}

/* Tells whether it can run, by its own record or by that of its text model. */
static bool arch_runs(const struct tare_arch *arch)
{
    return arch->runs || (arch->inner && arch->inner->runs);
}

bool tare_model_type_get(size_t index, struct tare_model_type *type)
{
    const size_t n_chosen = sizeof chosen / sizeof *chosen - 1;
    if (index >= KNOWN + n_chosen || tare_sized_check(type, "type", NULL))
        return false;
    const bool by_type = index < KNOWN;
    const struct tare_arch *arch = by_type ? known[index].arch : chosen[index - KNOWN].arch;
    const struct tare_model_type found = {
        .model_type = by_type ? known[index].model_type : chosen[index - KNOWN].model_type,
        .architecture = by_type ? NULL : chosen[index - KNOWN].architecture,
        .module = arch->name,
        .text_model = arch->inner ? arch->inner->name : NULL,
        .plans = true,
        .converts = true,
        .runs = arch_runs(arch),
    };
    tare_sized_write(type, &found, sizeof found);
    return true;
}

enum tare_code tare_arch_find(const char *model_type, const json_t *architectures, const struct tare_arch **arch,
                              struct tare_error *err)
{
    char names[160] = "";
    for (size_t i = 0; chosen[i].arch; i++)
        if (!strcmp(chosen[i].model_type, model_type) && tare_json_lists(architectures, chosen[i].architecture)) {
            *arch = chosen[i].arch;
            return TARE_OK;
        }
    for (size_t i = 0; i < KNOWN; i++)
        if (!strcmp(known[i].model_type, model_type)) {
            *arch = known[i].arch;
            return TARE_OK;
        }
    nearest(model_type, names, sizeof names);
    return tare_fail(err, TARE_E_UNKNOWN, "config.json",
                     "model_type \"%.64s\" is not known; the nearest known ones are %s", model_type, names);
}

void tare_model_type_init(struct tare_model_type *type, size_t size)
{
    tare_sized_init(type, size);
}
