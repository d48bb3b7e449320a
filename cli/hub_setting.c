/* SPDX-License-Identifier: MIT
 * hub_setting.c - reads HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT and their kin, and the proxies. The environment is
 * read here and nowhere else. */
#include "hub_setting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"
#include "print.h"

#define ENDPOINT "https://huggingface.co"
enum { WORKERS = 8, WORKERS_MOST = 16, TIMEOUT = 10, TIMEOUT_MOST = 3600 };

/* The first of these variables that is set and not empty, or NULL. */
static const char *first_of(const char *a, const char *b, const char *c)
{
    const char *const names[] = {a, b, c};
    for (int i = 0; i < 3; i++) {
        const char *value = names[i] ? getenv(names[i]) : NULL;
        if (value && *value)
            return value;
    }
    return NULL;
}

static bool is_true(const char *name)
{
    const char *value = getenv(name);
    return value && (strcmp(value, "1") == 0 || strcasecmp(value, "on") == 0 || strcasecmp(value, "yes") == 0 ||
                     strcasecmp(value, "true") == 0);
}

static enum tare_code wrong(const char *name, const char *what, struct tare_error *err)
{
    *err = (struct tare_error){.code = TARE_E_ARGUMENT};
    snprintf(err->where, sizeof err->where, "%s", name);
    snprintf(err->text, sizeof err->text, "%s", what);
    return err->code;
}

/* ---- paths ----------------------------------------------------------------------------------------------------- */

/* Adds a text to a path; false when there is no room. */
static bool add(char *path, size_t room, const char *text, size_t n)
{
    const size_t at = strlen(path);
    if (n >= room - at)
        return false;
    memcpy(path + at, text, n);
    path[at + n] = '\0';
    return true;
}

/* Copies a path with "~/" and $NAME or ${NAME} in it replaced, as Python's expanduser and expandvars do: what is not
 * set stays as it is. */
static bool expand(char *path, size_t room, const char *text)
{
    const char *home = getenv("HOME");
    *path = '\0';
    if (text[0] == '~' && (text[1] == '/' || !text[1]) && home) {
        if (!add(path, room, home, strlen(home)))
            return false;
        text++;
    }
    while (*text) {
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
        const bool brace = text[0] == '$' && text[1] == '{';
        const char *name = text + 1 + brace;
        const size_t n = text[0] == '$' ? strspn(name, letters) : 0;
        char variable[128];
        const char *value = NULL;
        if (n && n < sizeof variable && (!brace || name[n] == '}')) {
            memcpy(variable, name, n);
            variable[n] = '\0';
            value = getenv(variable);
        }
        if (!add(path, room, value ? value : text, value ? strlen(value) : 1))
            return false;
        text = value ? name + n + brace : text + 1;
    }
    return true;
}

/* Below which folder hf keeps its things. */
static bool find_home(char *path, size_t room)
{
    const char *home = first_of("HF_HOME", NULL, NULL), *cache = first_of("XDG_CACHE_HOME", NULL, NULL);
    if (home)
        return expand(path, room, home);
    return expand(path, room, cache ? cache : "~/.cache") && add(path, room, "/huggingface", 12);
}

static enum tare_code find_cache(struct cli_hub *setting, const char *chosen, struct tare_error *err)
{
    const char *value = chosen ? chosen : first_of("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", NULL);
    const bool good = value ? expand(setting->cache, sizeof setting->cache, value)
                            : find_home(setting->cache, sizeof setting->cache) &&
                                  add(setting->cache, sizeof setting->cache, "/hub", 4);
    if (!good)
        return wrong("HF_HUB_CACHE", "the path is too long", err);
    for (size_t n = strlen(setting->cache); n > 1 && setting->cache[n - 1] == '/'; n--)
        setting->cache[n - 1] = '\0';
    return TARE_OK;
}

/* ---- the token ------------------------------------------------------------------------------------------------- */

/* Copies a token without line ends and the blanks around it. An empty one is none. */
static bool clean(char *token, size_t room, const char *text)
{
    size_t n = 0;
    text += strspn(text, " \t\r\n");
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '\r' || c == '\n')
            continue;
        if (c < ' ' || c >= 0x7f || n + 1 >= room)
            return false;
        token[n++] = *text;
    }
    while (n && token[n - 1] == ' ')
        n--;
    token[n] = '\0';
    return !strchr(token, ' ');
}

static void read_token_file(char *text, size_t room)
{
    char path[2048];
    const char *value = first_of("HF_TOKEN_PATH", NULL, NULL);
    *text = '\0';
    if (value ? !expand(path, sizeof path, value)
              : !find_home(path, sizeof path) || !add(path, sizeof path, "/token", 6))
        return;
    FILE *file = fopen(path, "rb");
    if (!file)
        return;
    text[fread(text, 1, room - 1, file)] = '\0';
    fclose(file);
}

static enum tare_code find_token(struct cli_hub *setting, const char *chosen, struct tare_error *err)
{
    char text[sizeof setting->token];
    const char *from = chosen;
    if (!chosen && is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN"))
        return TARE_OK;
    if (!from)
        from = first_of("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", NULL);
    if (!from) {
        read_token_file(text, sizeof text);
        from = text;
    }
    if (!clean(setting->token, sizeof setting->token, from))
        return wrong(chosen ? "--token" : "HF_TOKEN", "is no token: one word of plain letters is expected", err);
    setting->hub.token = *setting->token ? setting->token : NULL;
    return TARE_OK;
}

/* ---- the rest -------------------------------------------------------------------------------------------------- */

static enum tare_code find_endpoint(struct cli_hub *setting, struct tare_error *err)
{
    const char *value = first_of("HF_ENDPOINT", NULL, NULL);
    value = value ? value : ENDPOINT;
    size_t n = strlen(value);
    while (n && value[n - 1] == '/')
        n--;
    if (n >= sizeof setting->endpoint || !n)
        return wrong("HF_ENDPOINT", "is no address", err);
    memcpy(setting->endpoint, value, n);
    setting->endpoint[n] = '\0';
    return TARE_OK;
}

static int timeout_of(const char *name)
{
    int64_t value = TIMEOUT;
    const char *text = getenv(name);
    return text && cli_whole(text, 1, TIMEOUT_MOST, &value) ? (int)value : TIMEOUT;
}

/* Before it is known how much there is to do, there is no bar. */
static int show(void *user, const char *stage, uint64_t done, uint64_t total)
{
    return total ? cli_progress_show(user, stage, done, total) : cli_interrupt_came();
}

static void note(void *user, const char *where, const char *text)
{
    cli_progress_wipe(user);
    fputs("tare: note: ", stderr);
    cli_put(stderr, where);
    fprintf(stderr, "%s%s\n", *where ? ": " : "", text);
}

enum tare_code cli_hub_read(struct cli_hub *setting, const struct cli_hub_flags *flags, struct tare_error *err)
{
    static const struct cli_hub_flags none = {0};
    static char agent[64];
    flags = flags ? flags : &none;
    memset(setting, 0, sizeof *setting);
    struct tare_hub *hub = &setting->hub;
    enum tare_code code = find_endpoint(setting, err);
    code = code ? code : find_cache(setting, flags->cache, err);
    code = code ? code : find_token(setting, flags->token, err);
    if (code)
        return code;
    snprintf(agent, sizeof agent, "tare/%s", tare_version());
    setting->progress = cli_progress_init();
    setting->progress.on = setting->progress.on && !is_true("HF_HUB_DISABLE_PROGRESS_BARS");
    hub->endpoint = setting->endpoint;
    hub->cache = setting->cache;
    hub->http_proxy = first_of("http_proxy", "HTTP_PROXY", NULL);
    hub->https_proxy = first_of("https_proxy", "HTTPS_PROXY", NULL);
    hub->http_proxy = hub->http_proxy ? hub->http_proxy : first_of("all_proxy", "ALL_PROXY", NULL);
    hub->https_proxy = hub->https_proxy ? hub->https_proxy : first_of("all_proxy", "ALL_PROXY", NULL);
    hub->no_proxy = first_of("no_proxy", "NO_PROXY", NULL);
    hub->ca_file = first_of("SSL_CERT_FILE", NULL, NULL);
    hub->user_agent = agent;
    hub->connections = flags->workers ? (int)flags->workers : WORKERS;
    hub->connect_seconds = timeout_of("HF_HUB_ETAG_TIMEOUT");
    hub->idle_seconds = timeout_of("HF_HUB_DOWNLOAD_TIMEOUT");
    hub->offline = is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE");
    hub->no_links = is_true("HF_HUB_DISABLE_SYMLINKS");
    hub->progress = show;
    hub->note = note;
    hub->user = &setting->progress;
    return TARE_OK;
}

enum tare_code cli_hub_pull(struct cli_hub *setting, struct tare_pull *pull, const struct tare_hub_name *name,
                            struct tare_error *err)
{
    cli_interrupt_catch();
    const enum tare_code code = tare_pull(pull, &setting->hub, name, err);
    cli_progress_wipe(&setting->progress);
    return code;
}

void cli_hub_path(const struct tare_pull *pull, char *path, size_t room)
{
    snprintf(path, room, "%s%s%s", pull->snapshot, *pull->file ? "/" : "", pull->file);
}
