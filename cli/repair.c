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

struct asked {
    const char *folder;
    bool in_place;
    bool undo;
    bool json;
    bool no_data;
    int64_t threads;
};

static const struct cli_flag flags[] = {
    {.name = "output",
     .letter = 'o',
     CLI_IS_TEXT(struct asked, folder),
     .value = "DIR",
     .takes = CLI_TAKES_FOLDER,
     .usual = true,
     .either = 'w',
     .help = "write the mended checkpoint there; it may not exist yet",
     .more = "What does not change is linked or copied."},
    {.name = "in-place",
     CLI_IS_SWITCH(struct asked, in_place),
     .usual = true,
     .either = 'w',
     .help = "change the files, and keep the old ones as NAME.before-repair",
     .more = "Each file is replaced at once."},
    {.name = "undo",
     CLI_IS_SWITCH(struct asked, undo),
     .usual = true,
     .either = 'w',
     .help = "put the files that --in-place kept back"},
    {.name = "json",
     CLI_IS_SWITCH(struct asked, json),
     .usual = true,
     .help = "print the patch as one JSON object (docs/json.md)"},
    {.name = "no-data",
     CLI_IS_SWITCH(struct asked, no_data),
     .help = "read headers only: what needs values is left as it is"},
    CLI_FLAG_THREADS(struct asked, threads),
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {0};
    int words = 0;
    const int status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    if (asked.undo)
        return undo(argv[0]);
    struct cli_source source;
    struct tare_error err = {0};
    if (cli_source_find(&source, argv[0], &err) != TARE_OK)
        return cli_fail(&err);
    source.options.no_data = asked.no_data;
    source.options.threads = (int)asked.threads;
    return find(&source, asked.folder, asked.in_place, asked.json);
}

const struct cli_verb cli_repair = {
    .name = "repair",
    .summary = "Mend config.json, index and headers; shows the patch first.",
    .about =
        "Shows what would mend the checkpoint, where that is certain: keys of quantization_config that contradict the "
        "tensors or are missing, tie_word_embeddings by comparing head and embedding, an index that is missing or "
        "wrong, a head without an embedding, biases of zeros on linears that have none. "
        "Without -o and --in-place nothing is written.\n\n"
        "Data is never changed, and the result is planned again before it counts. "
        "What is not certain is left as it is, and said. "
        "Where the model does not load with any certain patch, the exit status is 4.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"tare repair models/fable", "Shows what there is to do, and changes nothing."},
                 {"tare repair models/fable -o fable-mended",
                  "Writes a mended copy, where there is anything to mend."}},
    .exit_one = "There is a patch, which is only shown.",
    .see = "check verify",
    .run = run,
};
