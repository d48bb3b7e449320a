/* SPDX-License-Identifier: MIT
 * repair.c - tare repair: looks for a patch, shows it, and applies it when that was asked for. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "print.h"
#include "source.h"

static void line(char sign, const char *text)
{
    cli_colour(stdout, sign == '-' ? CLI_BAD : CLI_GOOD);
    printf("  %c ", sign);
    cli_put(stdout, text);
    cli_colour(stdout, CLI_PLAIN);
    putchar('\n');
}

/* Prints one line of a patch: "- key: before" or "+ key: after". */
static void key_line(char sign, const char *key, const char *value)
{
    cli_colour(stdout, sign == '-' ? CLI_BAD : CLI_GOOD);
    printf("  %c ", sign);
    cli_put(stdout, key);
    fputs(*key ? ": " : "", stdout);
    cli_put(stdout, value);
    cli_colour(stdout, CLI_PLAIN);
    putchar('\n');
}

static void show_change(const struct tare_repair_change *c)
{
    const bool tensor = !strcmp(c->kind, "rename") || !strcmp(c->kind, "drop");
    if (tensor) {
        line('-', c->key);
        if (c->after)
            line('+', c->after);
    } else {
        if (c->before)
            key_line('-', c->key, c->before);
        if (c->after)
            key_line('+', c->key, c->after);
    }
}

/* Prints the changes file by file, in the order of each file's first change. Evidence that several changes share is
 * printed once. */
static void show(const struct tare_repair_report *r)
{
    for (size_t i = 0; i < r->n_changes; i++) {
        const char *because = NULL;
        bool shown = false;
        for (size_t k = 0; k < i && !shown; k++)
            shown = !strcmp(r->changes[k].file, r->changes[i].file);
        if (shown)
            continue;
        cli_put(stdout, r->changes[i].file);
        putchar('\n');
        for (size_t k = i; k < r->n_changes; k++) {
            const struct tare_repair_change *c = &r->changes[k];
            if (strcmp(c->file, r->changes[i].file) != 0)
                continue;
            if (!because || strcmp(because, c->because) != 0) {
                cli_colour(stdout, CLI_FAINT);
                fputs("  # ", stdout);
                cli_put(stdout, c->because);
                cli_colour(stdout, CLI_PLAIN);
                putchar('\n');
                because = c->because;
            }
            show_change(c);
        }
    }
    for (size_t i = 0; i < r->n_notes; i++) {
        fputs("left as it is: ", stdout);
        cli_put(stdout, r->notes[i].where);
        fputs(": ", stdout);
        cli_put(stdout, r->notes[i].text);
        putchar('\n');
    }
}

static void verdict(const struct tare_repair_report *r, const char *folder, bool in_place)
{
    if (!r->loads)
        puts(r->n_changes ? "does not load, with these changes either: nothing is written"
                          : "does not load, and there is no change that would certainly mend it");
    else if (!r->n_changes)
        puts(r->n_notes ? "nothing certain to do" : "nothing to do");
    else if (folder || in_place)
        return;
    else if (r->not_in_place) {
        printf("with these changes it %s. -o DIR writes them; not --in-place: ", r->loaded ? "is sound" : "loads");
        cli_put(stdout, r->not_in_place);
        putchar('\n');
    } else
        printf("with these changes it %s. -o DIR or --in-place writes them\n", r->loaded ? "is sound" : "loads");
}

static int apply(const tare_repair *repair, const char *folder, bool json)
{
    struct tare_error err = {0};
    const enum tare_code code = folder ? tare_repair_write(repair, folder, &err) : tare_repair_in_place(repair, &err);
    if (code != TARE_OK)
        return cli_fail(&err);
    if (json)
        return 0;
    if (folder) {
        fputs("written to ", stdout);
        cli_put(stdout, folder);
        putchar('\n');
    } else {
        puts("written; the old files are kept as NAME.before-repair, `tare repair --undo` puts them back");
    }
    return 0;
}

/* Puts back the files that an earlier repair in place has kept. */
static int undo(const char *model)
{
    struct cli_source source;
    struct tare_error err = {0};
    size_t n = 0;
    if (cli_source_find(&source, model, &err) != TARE_OK || tare_repair_undo(source.path, &n, &err) != TARE_OK)
        return cli_fail(&err);
    printf("%zu file%s put back\n", n, n == 1 ? "" : "s");
    return 0;
}

/* Looks for a patch, shows it, and applies it when that was asked for. Returns the exit status. */
static int find(struct cli_source *source, const char *folder, bool in_place, bool json)
{
    struct tare_error err = {0};
    tare_repair *repair = NULL;
    const enum tare_code code = tare_repair_open(&repair, source->path, &source->options, &err);
    int status = code == TARE_OK ? 0 : cli_fail(&err);
    const struct tare_repair_report *report = tare_repair_report(repair);
    if (!report)
        return status;
    if (json) {
        status = cli_put_made(tare_repair_json(repair), status);
    } else {
        show(report);
        verdict(report, folder, in_place);
    }
    if (!status && report->n_changes) /* write nothing that could not be shown */
        status = folder || in_place ? apply(repair, folder, json) : 1;
    tare_repair_free(repair);
    return status;
}

int cli_repair(const struct cli_verb *verb, int argc, char **argv)
{
    const char *folder = NULL;
    bool in_place = false, take_back = false, json = false, no_data = false;
    int words = 0;
    int64_t threads = 0;
    const struct cli_flag flags[] = {
        {"output", 'o', CLI_TEXT, &folder, "DIR", "write the mended checkpoint there; it may not exist yet", 0, 0,
         NULL},
        {"in-place", 0, CLI_SWITCH, &in_place, NULL, "change the files, and keep the old ones as NAME.before-repair", 0,
         0, NULL},
        {"undo", 0, CLI_SWITCH, &take_back, NULL, "put the files that --in-place kept back", 0, 0, NULL},
        {"json", 0, CLI_SWITCH, &json, NULL, "print the patch as one JSON object (docs/json.md)", 0, 0, NULL},
        {"no-data", 0, CLI_SWITCH, &no_data, NULL, "read headers only: what needs values is left as it is", 0, 0, NULL},
        CLI_FLAG_THREADS(&threads),
    };
    const int status = cli_parse(verb, flags, sizeof flags / sizeof *flags, argc, argv, 1, &words);
    if (status != CLI_GO_ON)
        return status;
    if (!words)
        return cli_wrong("repair: MODEL is needed");
    if ((folder != NULL) + in_place + take_back > 1)
        return cli_wrong("repair: one of -o DIR, --in-place and --undo at a time");
    if (take_back)
        return undo(argv[0]);
    struct cli_source source;
    struct tare_error err = {0};
    if (cli_source_find(&source, argv[0], &err) != TARE_OK)
        return cli_fail(&err);
    source.options.no_data = no_data;
    source.options.threads = (int)threads;
    return find(&source, folder, in_place, json);
}
