/* SPDX-License-Identifier: MIT
 * manual.c - the pages of the manual, in the macros of man(7): tare(1) from all verbs, tare-VERB(1) from one. */
#include "documents/manual.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "documents/help.h"

/* Letters of a line of the source, after which a word begins a new one. Marks of fonts make it longer. */
enum { WIDTH = 60 };

/* Where a text is in its line of the source. */
struct line {
    const struct cli_verb *verb;
    size_t column;
};

/* Writes n letters so that roff prints them. `literal`: a dash is that of a flag, and a quote is straight. */
static void put_letters(const char *text, size_t n, bool literal)
{
    for (size_t i = 0; i < n; i++)
        switch (text[i]) {
        case '\\':
            fputs("\\e", stdout);
            break;
        case '-':
            fputs(literal ? "\\-" : "-", stdout);
            break;
        case '\'':
            fputs(literal ? "\\(aq" : "'", stdout);
            break;
        case '"':
            fputs("\\(dq", stdout);
            break;
        case '~':
            fputs("\\(ti", stdout);
            break;
        case '^':
            fputs("\\(ha", stdout);
            break;
        case '`':
            fputs("\\(ga", stdout);
            break;
        default:
            putchar(text[i]);
        }
}

static bool equals(const char *word, size_t n, const char *name)
{
    return name && strlen(name) == n && memcmp(word, name, n) == 0;
}

/* Is it a placeholder of the verb: MODEL, or the value of a flag? */
static bool is_placeholder(const struct cli_verb *verb, const char *word, size_t n)
{
    if (equals(word, n, "MODEL"))
        return true;
    for (int i = 0; verb && i < CLI_WORDS; i++)
        if (equals(word, n, verb->words[i].name))
            return true;
    for (size_t i = 0; verb && i < verb->n_flags; i++)
        if (equals(word, n, verb->flags[i].value) && isupper((unsigned char)*word))
            return true;
    return false;
}

static bool is_flag(const char *word, size_t n)
{
    return word[0] == '-' && ((n == 2 && isalpha((unsigned char)word[1])) ||
                              (n > 2 && word[1] == '-' && isalpha((unsigned char)word[2])));
}

/* Writes one word of a text, a flag in bold and a placeholder in italics. */
static void put_word(struct line *line, const char *word, size_t n)
{
    size_t head = strspn(word, "(["), tail = 0;
    head = head < n ? head : n;
    while (tail < n - head && strchr(".,;:)]?", word[n - 1 - tail]))
        tail++;
    if (line->column && line->column + n >= WIDTH) {
        putchar('\n');
        line->column = 0;
    }
    if (line->column)
        putchar(' ');
    else if (*word == '.' || *word == '\'')
        fputs("\\&", stdout);
    line->column += n + 1;
    const char *core = word + head;
    const size_t length = n - head - tail;
    const bool flag = is_flag(core, length);
    put_letters(word, head, false);
    if (flag || is_placeholder(line->verb, core, length)) {
        fputs(flag ? "\\fB" : "\\fI", stdout);
        put_letters(core, length, true);
        fputs("\\fR", stdout);
    } else {
        put_letters(core, length, core[0] == '-');
    }
    put_letters(core + length, tail, false);
}

/* Writes sentences, each from a new line on. An empty line in the text begins a paragraph. */
static void put_text(const struct cli_verb *verb, const char *text)
{
    struct line line = {.verb = verb};
    while (*text) {
        const size_t n = strcspn(text, " \n");
        if (n)
            put_word(&line, text, n);
        const bool ends = n > 1 && strchr(".?", text[n - 1]) && !strchr(".", text[n - 2]) && text[n];
        text += n;
        if (text[0] == '\n' && text[1] == '\n') {
            fputs("\n.PP", stdout);
            text++;
        }
        if ((ends || *text == '\n') && line.column) {
            putchar('\n');
            line.column = 0;
        }
        text += *text != '\0';
    }
    if (line.column)
        putchar('\n');
}

/* Writes the text as a sentence: its first letter large, and a period at its end. */
static void put_sentence(const struct cli_verb *verb, const char *text)
{
    char sentence[CLI_LINE + 1];
    const size_t n = strlen(text);
    snprintf(sentence, sizeof sentence, "%s%s", text, n && strchr(".?", text[n - 1]) ? "" : ".");
    sentence[0] = (char)toupper((unsigned char)sentence[0]);
    put_text(verb, sentence);
}

static void put_title(const char *verb, const char *date)
{
    fputs(".TH TARE", stdout);
    for (const char *c = verb; c && *c; c++)
        printf("%s%c", c == verb ? "\\-" : "", toupper((unsigned char)*c));
    printf(" 1 \"%s\" \"tare %s\" \"User commands\"\n", date ? date : "", tare_version());
}

static void put_synopsis(const struct cli_verb *verb)
{
    static const struct cli_marks marks = {"\\fB", "\\fI", "\\fR", "\\-"};
    char text[CLI_LINE];
    cli_help_marked_usage(verb, &marks, text);
    /* A line is broken before a bracket that stands in no other. */
    int depth = 0, column = 0;
    for (const char *c = text; *c; c++) {
        depth += *c == '[';
        depth -= *c == ']';
        if (*c == ' ' && c[1] == '[' && depth == 0 && column > 40) {
            putchar('\n');
            column = 0;
            continue;
        }
        putchar(*c);
        column++;
    }
    putchar('\n');
}

static void put_range(const struct cli_flag *flag)
{
    const char *what = flag->kind == CLI_WHOLE ? "A whole number" : "A number";
    if (flag->most < INT32_MAX)
        printf("%s from %lld to %lld.\n", what, (long long)flag->least, (long long)flag->most);
    else if (flag->least > 0)
        printf("%s, at least %lld.\n", what, (long long)flag->least);
}

static void put_options(const struct cli_verb *verb)
{
    char text[CLI_LINE];
    puts(".SH OPTIONS");
    for (size_t i = 0; i < verb->n_flags; i++) {
        const struct cli_flag *flag = &verb->flags[i];
        fputs(".TP\n", stdout);
        if (flag->letter)
            printf("\\fB\\-%c\\fR, ", flag->letter);
        fputs("\\fB\\-\\-", stdout);
        put_letters(flag->name, strlen(flag->name), true);
        fputs("\\fR", stdout);
        if (flag->value)
            printf(" \\fI%s\\fR", flag->value);
        putchar('\n');
        cli_help_line(flag, text);
        put_sentence(verb, text);
        if (flag->kind == CLI_WHOLE || flag->kind == CLI_REAL)
            put_range(flag);
        if (flag->more)
            put_text(verb, flag->more);
        for (size_t k = 0; flag->either && k < verb->n_flags; k++)
            if (k != i && verb->flags[k].either == flag->either) {
                snprintf(text, sizeof text, "Not together with --%s.", verb->flags[k].name);
                put_text(verb, text);
            }
    }
    puts(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nPrint the usage and the flags.");
}

struct exit_code {
    const char *name;
    int status;
    const char *text;
};

static const struct exit_code codes[] = {
#define CODE(number, name, status, text) {#name, status, text},
    TARE_CODES(CODE)
#undef CODE
};

/* What an exit status stands for: its codes of the library and their texts. */
static void put_status(int status)
{
    char text[CLI_LINE];
    int n = 0;
    printf(".TP\n.B %d\n", status);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].status == status) {
            if (status == CLI_USAGE)
                snprintf(text, sizeof text, "wrong usage: the line on stderr says what was expected");
            else
                snprintf(text, sizeof text, "%s: %s", codes[i].name, codes[i].text);
            if (n++)
                puts(".br");
            put_sentence(NULL, text);
        }
}

static void put_exit(const struct cli_verb *verb)
{
    const bool may_warn = !verb || !(verb->only_prints || verb->exit_one);
    printf(".SH EXIT STATUS\n.TP\n.B 0\nAll is well%s.\n", may_warn ? "; warnings may stand on stderr" : "");
    if (!verb || verb->exit_one)
        puts(".TP\n.B 1");
    if (!verb)
        put_text(NULL, "It loads, but there are findings, differences, or a patch: the page of the verb says which.");
    else if (verb->exit_one)
        put_text(verb, verb->exit_one);
    put_status(CLI_USAGE);
    if (!verb || !verb->only_prints)
        for (int status = CLI_USAGE + 1; status < 128; status++)
            for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
                if (codes[i].status == status) {
                    put_status(status);
                    break;
                }
    if (verb && verb->only_prints)
        put_status(tare_code_exit(TARE_E_SPACE));
    else
        put_status(tare_code_exit(TARE_E_CANCELLED));
    if (verb && verb->only_prints)
        return;
    puts(".PP");
    put_text(NULL, "The first line on stderr says what was found, what was expected and what to look at.");
}

static void put_example(const struct cli_example *example, bool first)
{
    if (!first)
        puts(".PP");
    put_text(NULL, example->does);
    fputs(".PP\n.EX\n", stdout);
    fputs(example->command[0] == '.' ? "\\&" : "", stdout);
    put_letters(example->command, strlen(example->command), true);
    puts("\n.EE");
}

/* Writes "tare(1), tare-check(1)" of the names with spaces between. */
static void put_see(const char *names)
{
    puts(".SH SEE ALSO");
    fputs(".BR tare (1)", stdout);
    while (names && *names) {
        const size_t n = strcspn(names, " ");
        printf(",\n.BR tare\\-%.*s (1)", (int)n, names);
        names += n + (names[n] == ' ');
    }
    putchar('\n');
}

static const char what_model_is[] = "MODEL is a folder, a .safetensors or .gguf file, or ORG/NAME in the Hugging Face "
                                    "cache.";
static const char without_model[] = "Without MODEL it is fable, a small story model that is built in.";

static void put_verb_page(const struct cli_verb *verb)
{
    printf(".SH NAME\ntare\\-%s \\-\n", verb->name);
    char summary[CLI_LINE];
    snprintf(summary, sizeof summary, "%s", verb->summary);
    const size_t n = strlen(summary);
    summary[0] = (char)tolower((unsigned char)summary[0]);
    if (n && summary[n - 1] == '.')
        summary[n - 1] = '\0';
    put_text(NULL, summary);
    puts(".SH SYNOPSIS");
    put_synopsis(verb);
    puts(".SH DESCRIPTION");
    put_text(verb, verb->about);
    bool model = false, may_miss = false;
    for (int i = 0; i < CLI_WORDS && verb->words[i].name; i++) {
        model = model || verb->words[i].takes == CLI_TAKES_MODEL;
        may_miss = may_miss || (verb->words[i].takes == CLI_TAKES_MODEL && verb->words[i].optional);
    }
    if (model) {
        puts(".PP");
        put_text(verb, what_model_is);
    }
    if (may_miss)
        put_text(verb, without_model);
    put_options(verb);
    put_exit(verb);
    puts(".SH EXAMPLES");
    for (int i = 0; i < CLI_EXAMPLES && verb->examples[i].command; i++)
        put_example(&verb->examples[i], i == 0);
    put_see(verb->see);
}

static void put_overview(void)
{
    const struct cli_verb *verb;
    puts(".SH NAME\ntare \\- load, check, convert and run quantized language-model checkpoints\n"
         ".SH SYNOPSIS");
    for (size_t i = 0; (verb = cli_verb_get(i)); i++) {
        put_synopsis(verb);
        puts(".br");
    }
    puts("\\fBtare \\-\\-version\\fR\n.SH DESCRIPTION");
    put_text(NULL,
             "tare decides from the headers of a checkpoint alone what becomes of every tensor in it: a parameter "
             "of the model, or set aside by a rule that is named. "
             "That is the plan; each verb prints or executes it. "
             "Nothing is lost or changed in silence.\n\n");
    put_text(NULL, what_model_is);
    put_text(NULL, without_model);
    puts(".SH VERBS");
    for (size_t i = 0; (verb = cli_verb_get(i)); i++) {
        printf(".TP\n.BR tare\\-%s (1)\n", verb->name);
        put_text(verb, verb->summary);
    }
    puts(".SH OPTIONS");
    put_text(NULL, "The page of each verb has its flags. "
                   "The value of a flag is the next word, or follows an equals sign: --threads 2 is --threads=2. "
                   "A word -- ends the flags.");
    puts(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nPrint the verbs, or after a verb its flags.\n"
         ".TP\n\\fB\\-V\\fR, \\fB\\-\\-version\\fR\nPrint the version.");
    put_exit(NULL);
    puts(".SH ENVIRONMENT\n.TP\n.BR HF_HUB_CACHE \", \" HF_HOME \", \" XDG_CACHE_HOME");
    put_text(NULL, "Where the Hugging Face cache is; ~/.cache/huggingface/hub without them.");
    puts(".TP\n.B NO_COLOR\nNo colours, also on a terminal.\n.SH EXAMPLES");
    for (size_t i = 0; (verb = cli_verb_get(i)); i++)
        put_example(&verb->examples[0], i == 0);
    puts(".SH SEE ALSO");
    for (size_t i = 0; (verb = cli_verb_get(i)); i++)
        printf(".BR tare\\-%s (1)%s\n", verb->name, cli_verb_get(i + 1) ? "," : "");
}

void cli_manual_print(const struct cli_verb *verb, const char *date)
{
    put_title(verb ? verb->name : NULL, date);
    if (verb)
        put_verb_page(verb);
    else
        put_overview();
}
