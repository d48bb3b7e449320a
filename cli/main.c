/* SPDX-License-Identifier: MIT
 * main.c - the table of verbs; start reading here. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "near.h"
#include "print.h"

static const struct cli_verb verbs[] = {
    {"check", "[MODEL] [--json] [--no-data] [--tie=RULE]", "Will it load, is it sound, what is set aside and why?",
     cli_check},
    {"pull", "ORG/NAME[@REVISION] [--dry-run]", "Download a model from the hub into the Hugging Face cache.", cli_pull},
    {"ls", "[--json]", "What the Hugging Face cache holds: formats, size, is it sound, when it was used.", cli_ls},
    {"rm", "ORG/NAME[@REVISION] [--yes]", "Remove a model, or one revision of it, from the cache.", cli_rm},
    {"search", "WORD .. [--limit N] [--json]", "Find models on the hub.", cli_search},
    {"models", "[--json]", "The model types, and what works for each.", cli_models},
    {"explain", "[MODEL [TENSOR]] [--json]", "The whole plan, or where one tensor comes from or went.", cli_explain},
    {"convert", "[MODEL] -o DIR [--to FORMAT] [--tie=RULE]", "Write it as a folder that another program loads.",
     cli_convert},
    {"repair", "MODEL [-o DIR | --in-place | --undo] [--json]",
     "Mend config.json, index and headers; shows the patch first.", cli_repair},
    {"run", "[MODEL] [PROMPT] [--max-tokens N] [--temp T]", "Continue a text.", cli_run},
    {"chat", "[MODEL] [--system TEXT] [--temp T]", "Talk with it.", cli_chat},
    {"logits", "[MODEL] --ids 1,2,3 [-o FILE.npy]", "The model's float32 logits for some ids.", cli_logits},
    {"perplexity", "MODEL FILE [--context N] [--json]", "How well it predicts a text.", cli_perplexity},
    {"bench", "[MODEL] [--threads 1,2,..] [--json]", "How fast it runs here, and how near to the memory's speed.",
     cli_bench},
    {"diff", "A B [--json] [--all]", "Two checkpoints in any formats: what is equal, and how far the rest is.",
     cli_diff},
    {"verify", "[MODEL] [--json]", "Is the content what it should be: hashes, and every number?", cli_verify},
    {"template", "MODEL [--json]", "What the chat template makes of the messages on standard input.", cli_template},
    {"tokenize", "[MODEL] [--json] [--no-special] [--decode]", "Text on standard input to ids, or back.", cli_tokenize},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static void print_help(FILE *file)
{
    fputs("tare loads, checks, converts and runs quantized language-model checkpoints.\n\n", file);
    for (size_t i = 0; i < VERBS; i++)
        fprintf(file, "  tare %-10s %s\n      %s\n", verbs[i].name, verbs[i].usage, verbs[i].summary);
    fputs("\n  tare help VERB        the flags of a verb\n"
          "  tare --version\n\n"
          "MODEL is a folder, a .safetensors or .gguf file, or ORG/NAME in the Hugging Face cache.\n"
          "Without MODEL: fable, a small story model that is built in.\n\n"
          "Exit codes: 0 ok, 1 it loads, with findings (check, verify) or differences (diff), 2 usage, 3 a file is not "
          "there,\n"
          "4 refused, 5 out of memory or space, 130 interrupted.\n",
          file);
}

static int run_verb(const char *name, int argc, char **argv)
{
    struct cli_near near = cli_near_init(name);
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return verbs[i].run(&verbs[i], argc, argv);
        cli_near_offer(&near, verbs[i].name);
    }
    if (name[0] == '-')
        return cli_wrong("unknown flag %s; tare --help lists what there is", name);
    if (near.distance[0] <= 2)
        return cli_wrong("unknown verb \"%s\"; did you mean tare %s?", name, near.name[0]);
    return cli_wrong("unknown verb \"%s\"; tare --help lists them (the nearest is %s)", name, near.name[0]);
}

static int help(int argc, char **argv)
{
    char flag[] = "--help", *only[] = {flag, NULL};
    if (argc == 0) {
        print_help(stdout);
        return 0;
    }
    if (argc > 1)
        return cli_wrong("help: one verb at a time");
    return run_verb(argv[0], 1, only);
}

static int version(void)
{
    printf("tare %s\n", tare_version());
    return 0;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return help(argc - 2, argv + 2);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "version") == 0)
        return version();
    return run_verb(argv[1], argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
    return cli_finish(dispatch(argc, argv));
}
