/* SPDX-License-Identifier: MIT
 * search.c - tare search: finds models on the hub by words. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "hub/api.h"
#include "hub_setting.h"
#include "print.h"

static bool has_tag(const char *tags, const char *tag)
{
    const size_t n = strlen(tag);
    for (const char *at = tags; (at = strstr(at, tag)); at += n)
        if ((at == tags || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return true;
    return false;
}

/* The formats among the hub's tags: files first, then ways of packing. */
static void formats_of(const char *tags, char *text, size_t room)
{
    static const char *const known[] = {"safetensors",  "gguf", "mlx",   "gptq",  "awq",   "compressed-tensors",
                                        "bitsandbytes", "fp8",  "2-bit", "3-bit", "4-bit", "6-bit",
                                        "8-bit",        "onnx"};
    *text = '\0';
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (has_tag(tags, known[i])) {
            const size_t at = strlen(text);
            snprintf(text + at, room - at, "%s%s", at ? ", " : "", known[i]);
        }
}

static void put(const struct tare_hub_findings *findings, bool json)
{
    char formats[160];
    int width = 0;
    for (size_t i = 0; i < findings->n; i++) {
        const int n = (int)strlen(findings->found[i].id);
        width = n > width && n < 60 ? n : width;
    }
    if (json)
        putchar('[');
    for (size_t i = 0; i < findings->n; i++) {
        const struct tare_hub_found *found = &findings->found[i];
        formats_of(found->tags, formats, sizeof formats);
        if (json) {
            printf("%s\n  {\"model\": ", i ? "," : "");
            cli_put_json(stdout, found->id);
            fputs(", \"formats\": ", stdout);
            cli_put_json(stdout, formats);
            printf(", \"bytes\": %" PRIu64 ", \"downloads\": %" PRId64 ", \"likes\": %" PRId64 ", \"gated\": %s}",
                   found->bytes, found->downloads, found->likes, found->gated ? "true" : "false");
            continue;
        }
        printf("%-*s  %9s  %8s downloads  ", width, found->id, found->bytes ? cli_bytes(found->bytes).text : "-",
               cli_number(found->downloads > 0 ? (uint64_t)found->downloads : 0).text);
        printf("%s%s\n", *formats ? formats : "-", found->gated ? "  gated" : "");
    }
    if (json)
        fputs(findings->n ? "\n]\n" : "]\n", stdout);
}

static bool join(char *text, size_t room, char **words, int n)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        const int some = snprintf(text + at, room - at, "%s%s", i ? " " : "", words[i]);
        if (some < 0 || (size_t)some >= room - at)
            return false;
        at += (size_t)some;
    }
    return true;
}

struct asked {
    struct cli_hub_flags hub;
    bool json;
    int64_t limit;
};

static const struct cli_flag flags[] = {
    {.name = "limit",
     CLI_IS_WHOLE(struct asked, limit, 1, 100),
     .value = "N",
     .usual = true,
     .help = "how many; default 20"},
    {.name = "json", CLI_IS_SWITCH(struct asked, json), .usual = true, .help = "print one JSON list (docs/json.md)"},
    {.name = "token", CLI_IS_TEXT(struct asked, hub.token), .value = "TOKEN", .help = "instead of HF_TOKEN"},
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct cli_hub setting;
    struct asked asked = {.limit = 20};
    struct tare_hub_findings findings = {0};
    struct tare_http *http = NULL;
    struct tare_error err = {0};
    char text[512];
    int words = 0;
    const int status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    if (!join(text, sizeof text, argv, words))
        return cli_wrong("search: the words are too long together");
    if (cli_hub_read(&setting, &asked.hub, &err))
        return cli_fail(&err);
    if (setting.hub.offline) {
        cli_error("search", "HF_HUB_OFFLINE keeps tare offline");
        return tare_code_exit(TARE_E_ABSENT);
    }
    cli_interrupt_catch();
    enum tare_code code = tare_http_open(&http, &setting.hub, &err);
    code = code ? code : tare_hub_search(&findings, http, &setting.hub, text, (int)asked.limit, &err);
    cli_progress_wipe(&setting.progress);
    if (!code)
        put(&findings, asked.json);
    if (!code && !findings.n && !asked.json)
        cli_error("search", "nothing was found; fewer words find more");
    tare_http_free(http);
    tare_hub_findings_release(&findings);
    return code ? cli_fail(&err) : 0;
}

const struct cli_verb cli_search = {
    .name = "search",
    .summary = "Find models on the hub.",
    .about =
        "Asks the hub for models with these words in their names, the most downloaded first: size of all their files, "
        "downloads, and the formats among their tags. tare check ORG/NAME says what one is without downloading it.",
    .words = {{.name = "WORD", .repeats = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare search qwen3 awq", "Finds AWQ versions of Qwen 3."}},
    .see = "pull check",
    .run = run,
};
