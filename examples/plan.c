/* SPDX-License-Identifier: MIT
 * plan.c - plan a checkpoint, say what was set aside and why, then ask which id follows three.
 *
 *     cc plan.c $(pkg-config --cflags --libs tare) -o plan && ./plan models/fable
 */
#include <stdio.h>
#include <stdlib.h>
#include <tare.h>

int main(int argc, char **argv)
{
    struct tare_error err = {0};
    tare_model *model = NULL;
    tare_session *session = NULL;
    float *logits = NULL;
    const int32_t ids[] = {1, 2, 3};

    enum tare_code code = tare_plan(&model, argc > 1 ? argv[1] : "models/fable", NULL, &err);
    const struct tare_report *report = model ? tare_model_report(model) : NULL;
    for (size_t i = 0; report && i < report->n_set_aside; i++)
        printf("%s: %s (%s)\n", report->set_aside[i].name, report->set_aside[i].rule, report->set_aside[i].evidence);

    if (code == TARE_OK && (code = tare_session_open(&session, model, NULL, &err)) == TARE_OK) {
        const int64_t n = tare_session_vocabulary(session);
        int64_t best = 0;
        logits = calloc((size_t)n, sizeof *logits);
        if (logits && (code = tare_session_feed(session, ids, 3, false, logits, &err)) == TARE_OK) {
            for (int64_t i = 1; i < n; i++)
                best = logits[i] > logits[best] ? i : best;
            printf("after 1, 2, 3 comes %lld\n", (long long)best);
        }
    }
    if (code != TARE_OK)
        fprintf(stderr, "%s: %s\n", err.where, err.text);
    free(logits);
    tare_session_free(session);
    tare_model_free(model);
    return tare_code_exit(code);
}
