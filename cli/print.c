/* SPDX-License-Identifier: MIT
 * print.c - prints errors, sizes and colours. */
#include "print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put(FILE *file, const char *text, size_t size, bool lines)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == 0xC2 && i + 1 < size && (unsigned char)text[i + 1] >= 0x80 && (unsigned char)text[i + 1] < 0xA0) {
            fprintf(file, "\\x%02X", (unsigned char)text[++i]); /* U+0080 to U+009F: C1 controls */
            continue;
        }
        if ((c < 0x20 && !(lines && (c == '\n' || c == '\t'))) || c == 0x7F)
            fprintf(file, "\\x%02X", c);
        else
            putc(c, file);
    }
}

void cli_put(FILE *file, const char *text)
{
    put(file, text, strlen(text), false);
}

void cli_put_lines(FILE *file, const char *text, size_t size)
{
    put(file, text, size, true);
}

void cli_error(const char *where, const char *text)
{
    fflush(stdout);
    fputs("tare: ", stderr);
    if (where && *where) {
        cli_put(stderr, where);
        fputs(": ", stderr);
    }
    cli_put(stderr, text);
    putc('\n', stderr);
}

int cli_fail(const struct tare_error *err)
{
    cli_error(err->where, *err->text ? err->text : tare_code_name(err->code));
    return tare_code_exit(err->code);
}

int cli_fail_system(const char *where)
{
    const int number = errno;
    cli_error(where, strerror(number));
    if (number == ENOSPC || number == EDQUOT)
        return tare_code_exit(TARE_E_SPACE);
    if (number == ENOMEM)
        return tare_code_exit(TARE_E_MEMORY);
    return tare_code_exit(number == ENOENT ? TARE_E_ABSENT : TARE_E_IO);
}

static struct cli_size scaled(uint64_t number, const char *unit)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T", "P", "E"};
    struct cli_size s;
    double x = (double)number;
    size_t i = 0;
    for (; x >= 999.5 && i + 1 < sizeof prefix / sizeof *prefix; i++)
        x /= 1000;
    snprintf(s.text, sizeof s.text, i == 0 || x >= 99.95 ? "%.0f%s%s%s" : "%.1f%s%s%s", x,
             *prefix[i] || *unit ? " " : "", prefix[i], unit);
    return s;
}

void cli_put_json(FILE *file, const char *text)
{
    putc('"', file);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < ' ' || c == 0x7f)
            fprintf(file, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            fprintf(file, "\\%c", c);
        else
            putc(c, file);
    }
    putc('"', file);
}

int cli_put_made(char *text, int status)
{
    if (!text) {
        cli_error("", "out of memory");
        return tare_code_exit(TARE_E_MEMORY);
    }
    const size_t n = strlen(text);
    fputs(text, stdout);
    if (!n || text[n - 1] != '\n')
        putchar('\n');
    tare_text_free(text);
    return status;
}

struct cli_size cli_bytes(uint64_t bytes)
{
    return scaled(bytes, "B");
}

struct cli_size cli_number(uint64_t count)
{
    return scaled(count, "");
}

struct cli_shape cli_shape(int rank, const int64_t *shape)
{
    struct cli_shape s = {"("};
    for (int i = 0; i < rank; i++) {
        const size_t at = strlen(s.text);
        snprintf(s.text + at, sizeof s.text - at, "%s%" PRId64, i ? ", " : "", shape[i]);
    }
    const size_t at = strlen(s.text);
    snprintf(s.text + at, sizeof s.text - at, ")");
    return s;
}

bool cli_is_terminal(FILE *file)
{
    return isatty(fileno(file)) == 1;
}

void cli_colour(FILE *file, enum cli_colour colour)
{
    static const char *const code[] = {"\033[0m", "\033[32m", "\033[33m", "\033[31m", "\033[2m"};
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    if ((!no || !*no) && term && strcmp(term, "dumb") != 0 && cli_is_terminal(file))
        fputs(code[colour], file);
}

int cli_finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    const int failed = cli_fail_system("standard output");
    return status ? status : failed;
}

void cli_write(const char *text, size_t size)
{
    if (cli_is_terminal(stdout))
        cli_put_lines(stdout, text, size);
    else
        fwrite(text, 1, size, stdout);
    fflush(stdout);
}
