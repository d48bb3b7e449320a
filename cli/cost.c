/* SPDX-License-Identifier: MIT
 * cost.c - what a model of the hub costs: to look at, to download, to run. */
#include "cost.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "print.h"

/* "1.20 GiB for the weights and 0.30 GiB for a context of 4096 tokens", or "" when it is not known. The library says it
 * when it is asked to run with no memory at all; nothing is read for that. */
static void memory_of(const struct cli_look *look, char *text, size_t room)
{
    static const char start[] = "this takes ";
    struct tare_session_options options = TARE_SESSION_OPTIONS_INIT;
    struct tare_error err = {0};
    tare_session *session = NULL;
    *text = '\0';
    options.memory = 1;
    if (look->code != TARE_OK || tare_session_open(&session, look->model, &options, &err) != TARE_E_MEMORY ||
        strncmp(err.text, start, sizeof start - 1) != 0) {
        tare_session_free(session);
        return;
    }
    const char *from = err.text + sizeof start - 1;
    snprintf(text, room, "%.*s", (int)strcspn(from, ";"), from);
}

/* What the library can do with models of this type. */
static struct tare_model_type type_of(const struct cli_look *look)
{
    struct tare_model_type type = TARE_MODEL_TYPE_INIT;
    const struct tare_model_type none = TARE_MODEL_TYPE_INIT;
    const char *name = look->report->model_type;
    for (size_t i = 0; name && tare_model_type_get(i, &type); i++)
        if (strcmp(type.model_type, name) == 0)
            return type;
    return none;
}

/* The verbs that take it, with `between` between them. */
static void verbs_of(const struct cli_look *look, const char *between, char *text, size_t room)
{
    static const char *const sound[] = {"diff", "verify"}, *const runs[] = {"run", "chat", "logits", "perplexity",
                                                                            "bench"};
    const struct tare_model_type type = type_of(look);
    const bool loads = look->code == TARE_OK;
    int at = snprintf(text, room, "check%sexplain", between);
    for (size_t i = 0; i < sizeof sound / sizeof *sound && loads; i++)
        at += snprintf(text + at, room - (size_t)at, "%s%s", between, sound[i]);
    if (!loads)
        at += snprintf(text + at, room - (size_t)at, "%srepair", between);
    if (loads && type.converts)
        at += snprintf(text + at, room - (size_t)at, "%sconvert", between);
    for (size_t i = 0; i < sizeof runs / sizeof *runs && loads && type.runs; i++)
        at += snprintf(text + at, room - (size_t)at, "%s%s", between, runs[i]);
}

void cli_cost_print(const struct cli_look *look)
{
    char text[256];
    if (!look->source.remote)
        return;
    const struct tare_remote_account account = tare_remote_account(look->source.remote);
    printf("  hub        %s read", cli_bytes(account.received).text);
    printf("; a download is %zu files, %s\n", account.files, cli_bytes(account.bytes).text);
    memory_of(look, text, sizeof text);
    if (*text)
        printf("  memory     %s\n", text);
    verbs_of(look, " ", text, sizeof text);
    printf("  verbs      %s\n", text);
}

char *cli_cost_json(const struct cli_look *look, char *text)
{
    char memory[256], verbs[192], more[1024];
    char *end = text ? strrchr(text, '}') : NULL;
    if (!look->source.remote || !end)
        return text;
    const struct tare_remote_account account = tare_remote_account(look->source.remote);
    memory_of(look, memory, sizeof memory);
    verbs_of(look, "\", \"", verbs, sizeof verbs);
    const int n = snprintf(more, sizeof more,
                           ", \"hub\": {\"bytes_read\": %" PRIu64 ", \"files\": %zu, \"bytes\": %" PRIu64
                           ", \"weights\": %" PRIu64 ", \"memory\": \"%s\", \"verbs\": [\"%s\"]}}\n",
                           account.received, account.files, account.bytes, account.weights, memory, verbs);
    const size_t at = (size_t)(end - text);
    char *longer = malloc(at + (size_t)n + 1);
    if (longer) {
        memcpy(longer, text, at);
        memcpy(longer + at, more, (size_t)n + 1);
    }
    tare_text_free(text);
    return longer;
}
