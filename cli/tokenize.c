/* SPDX-License-Identifier: MIT
 * tokenize.c - tare tokenize: turns text into ids, and back. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "file.h"
#include "print.h"
#include "source.h"

static const size_t LARGEST = (size_t)512 << 20;

struct request {
    tare_tokenizer *tokenizer;
    char *text; /* standard input; owned */
    size_t size;
    int32_t *ids; /* to decode; owned */
    size_t n;
    bool json, no_special;
};

static void print_json_text(const char *text, size_t size)
{
    putchar('"');
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static int encode(const struct request *request)
{
    struct tare_error err = {0};
    int32_t *ids;
    size_t n;
    if (tare_tokenizer_encode(request->tokenizer, request->text, request->size, !request->no_special, &ids, &n, &err))
        return cli_fail(&err);
    fputs(request->json ? "{\"ids\": [" : "", stdout);
    for (size_t i = 0; i < n; i++)
        printf("%s%" PRId32, !i ? "" : request->json ? ", " : " ", ids[i]);
    puts(request->json ? "]}" : "");
    tare_ids_free(ids);
    return 0;
}

/* Reads ids: numbers with spaces, commas or brackets between them, or {"ids": [1, 2]}. */
static int read_ids(struct request *request)
{
    size_t room = 0;
    for (size_t i = 0; i < request->size;) {
        const char *at = request->text + i;
        const size_t digits = strspn(at, "0123456789");
        if (!digits && *at && strchr(" \t\r\n,[]{}\":ids", *at)) {
            i++;
            continue;
        }
        char number[16];
        int64_t id;
        snprintf(number, sizeof number, "%.*s", digits < 15 ? (int)digits : 15, at);
        if (!digits || !cli_whole(number, 0, INT32_MAX, &id))
            return cli_wrong("tokenize: byte %zu of standard input begins no id, a number from 0 to 2147483647", i);
        if (request->n == room) {
            room = room ? 2 * room : 1024;
            int32_t *more = realloc(request->ids, room * sizeof *more);
            if (!more)
                return cli_fail_system("standard input");
            request->ids = more;
        }
        request->ids[request->n++] = (int32_t)id;
        i += digits;
    }
    return CLI_GO_ON;
}

static int decode(struct request *request)
{
    struct tare_error err = {0};
    char *text;
    size_t size;
    const int status = read_ids(request);
    if (status != CLI_GO_ON)
        return status;
    if (tare_tokenizer_decode(request->tokenizer, request->ids, request->n, request->no_special, &text, &size, &err))
        return cli_fail(&err);
    if (request->json) {
        fputs("{\"text\": ", stdout);
        print_json_text(text, size);
        puts("}");
    } else if (cli_is_terminal(stdout)) {
        cli_put_lines(stdout, text, size);
        putchar('\n');
    } else {
        fwrite(text, 1, size, stdout);
    }
    tare_text_free(text);
    return 0;
}

struct asked {
    bool json;
    bool no_special;
    bool decode;
};

static const struct cli_flag flags[] = {
    {.name = "json",
     CLI_IS_SWITCH(struct asked, json),
     .usual = true,
     .help = "print {\"ids\": [..]}, or {\"text\": ..}"},
    {.name = "no-special",
     CLI_IS_SWITCH(struct asked, no_special),
     .usual = true,
     .help = "add no special tokens; in text: leave them out"},
    {.name = "decode",
     CLI_IS_SWITCH(struct asked, decode),
     .usual = true,
     .help = "ids on standard input, their text on standard output"},
};

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {0};
    int words = 0, status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    struct request request = {.json = asked.json, .no_special = asked.no_special};
    struct cli_source source;
    struct tare_error err = {0};
    if (cli_source_find(&source, words ? argv[0] : NULL, &err) != TARE_OK ||
        tare_tokenizer_open(&request.tokenizer, source.path, &source.options, &err) != TARE_OK)
        return cli_fail(&err);
    struct cli_file input;
    status = cli_file_take(&input, stdin, "tokenize: standard input", LARGEST);
    request.text = input.data;
    request.size = input.size;
    if (status == CLI_GO_ON)
        status = asked.decode ? decode(&request) : encode(&request);
    tare_tokenizer_free(request.tokenizer);
    free(request.text);
    free(request.ids);
    return status;
}

const struct cli_verb cli_tokenize = {
    .name = "tokenize",
    .summary = "Text on standard input to ids, or back.",
    .about =
        "Prints the ids of the text on standard input, all of it; with --decode the text of ids on standard input, "
        "numbers with spaces or commas between them or what --json prints. "
        "An id without a token gives no text, since a vocabulary may be shorter than the embedding. "
        "Only the tokenizer's files are read, tokenizer.json, tokenizer.model or tekken.json: a folder without "
        "config.json or weights will do.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL, .optional = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"echo \"Once upon a time\" | tare tokenize models/fable", "Prints ids."},
                 {"echo \"Once upon a time\" | tare tokenize | tare tokenize --decode", "Goes there and back."}},
    .see = "template run",
    .run = run,
};
