/* SPDX-License-Identifier: MIT
 * repo_name.c - which words are names. The rules for repositories are huggingface_hub's validate_repo_id; those for
 * revisions are git's check-ref-format. */
#include "hub/repo_name.h"

#include <stdio.h>
#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
#define PART_MOST 96

static bool is_part(const char *text, size_t n)
{
    if (!n || n > PART_MOST || strspn(text, LETTERS) < n || strchr("-.", text[0]) || strchr("-.", text[n - 1]))
        return false;
    for (size_t i = 0; i + 1 < n; i++)
        if ((text[i] == '-' && text[i + 1] == '-') || (text[i] == '.' && text[i + 1] == '.'))
            return false;
    return n < 4 || memcmp(text + n - 4, ".git", 4) != 0;
}

static bool is_id(const char *text, size_t n)
{
    const char *slash = memchr(text, '/', n);
    if (!slash)
        return is_part(text, n);
    const size_t first = (size_t)(slash - text);
    return is_part(text, first) && is_part(slash + 1, n - first - 1);
}

/* Calls `good` for each segment between slashes; false when there is an empty one. */
static bool all_segments(const char *text, bool (*good)(const char *segment, size_t n))
{
    for (;;) {
        const size_t n = strcspn(text, "/");
        if (!n || !good(text, n))
            return false;
        if (!text[n])
            return true;
        text += n + 1;
    }
}

static bool ref_segment(const char *text, size_t n)
{
    if (text[0] == '.' || text[n - 1] == '.' || (n > 5 && memcmp(text + n - 5, ".lock", 5) == 0))
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] <= ' ' || strchr("\\:?*[^~\x7f", text[i]) || (text[i] == '.' && text[i + 1] == '.'))
            return false;
    return true;
}

bool tare_hub_is_revision(const char *text)
{
    return strlen(text) < TARE_HUB_REVISION && text[0] != '-' && !strstr(text, "@{") && all_segments(text, ref_segment);
}

static bool path_segment(const char *text, size_t n)
{
    if (n > 255 || (n <= 2 && memcmp(text, "..", n) == 0) || (n >= 2 && text[1] == ':'))
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == '\\' || text[i] == 0x7f)
            return false;
    return true;
}

bool tare_hub_is_path(const char *text)
{
    return strlen(text) < 1024 && all_segments(text, path_segment);
}

static bool is_hex(const char *text, size_t n)
{
    return strspn(text, "0123456789abcdef") == n && !text[n];
}

bool tare_hub_is_commit(const char *text)
{
    return is_hex(text, 40);
}

bool tare_hub_is_etag(const char *text)
{
    return is_hex(text, 40) || is_hex(text, 64);
}

/* Copies the part after '@' or ':' and returns what follows it, or NULL when it is too long or empty. */
static const char *take(char *to, size_t room, const char *from)
{
    const size_t n = strcspn(from, "@:");
    if (!n || n >= room)
        return NULL;
    memcpy(to, from, n);
    to[n] = '\0';
    return from + n;
}

static bool is_variant(const char *text)
{
    return text[strspn(text, LETTERS)] == '\0' && text[0] != '.';
}

enum tare_code tare_hub_name_read(struct tare_hub_name *name, const char *word, struct tare_error *err)
{
    const size_t n = strcspn(word, "@:");
    *name = (struct tare_hub_name){.revision = "main"};
    if (n >= sizeof name->id || !is_id(word, n))
        return tare_fail(err, TARE_E_ARGUMENT, word,
                         "is no name of the hub: ORG/NAME is expected, of letters, digits, '-', '_' and '.'");
    memcpy(name->id, word, n);
    for (const char *at = word + n; *at;) {
        const bool revision = *at == '@';
        at = revision ? take(name->revision, sizeof name->revision, at + 1)
                      : take(name->variant, sizeof name->variant, at + 1);
        if (!at || (revision && !tare_hub_is_revision(name->revision)) || (!revision && !is_variant(name->variant)))
            return tare_fail(err, TARE_E_ARGUMENT, word, "%s",
                             revision ? "has no revision after '@': a branch, a tag, refs/pr/N or a commit is expected"
                                      : "has no word after ':': a part of a GGUF file's name is expected, as Q4_K_M");
    }
    return TARE_OK;
}
