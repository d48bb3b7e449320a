/* SPDX-License-Identifier: MIT
 * serve_verb.c - tare serve: an OpenAI-compatible server. */
#include "serve/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "file.h"
#include "models_folder.h"
#include "print.h"
#include "report.h"
#include "source.h"

enum { MODELS_MOST = 16 };

struct asked {
    const char *host, *cors, *certificate, *key_file, *tls_key, *folder;
    struct cli_list aliases, keys, hosts;
    int64_t port, parallel, context, queue, memory, models_memory, kv_bits, threads, timeout;
    bool exact;
    bool no_page;
    int tie;
    int zeros;
};

static const struct cli_flag flags[] = {
    {.name = "host",
     CLI_IS_TEXT(struct asked, host),
     .value = "HOST",
     .usual = true,
     .help = "the address to listen on; default 127.0.0.1"},
    {.name = "port",
     CLI_IS_WHOLE(struct asked, port, 0, 65535),
     .value = "N",
     .usual = true,
     .help = "the port; default 8080; 0: any free one"},
    {.name = "alias",
     CLI_IS_LIST(struct asked, aliases),
     .value = "ID",
     .help = "what clients call the model; default its folder's name",
     .more = "Of several models, the first alias is the first model's."},
    {.name = "models-dir",
     CLI_IS_TEXT(struct asked, folder),
     .value = "DIR",
     .takes = CLI_TAKES_FOLDER,
     .help = "offer all models in DIR, and load one when a request names it",
     .more =
         "A model is a folder or a .gguf file, called by its name without .gguf. The one that was not used for longest "
         "is unloaded when another one needs the memory."},
    {.name = "models-memory",
     CLI_IS_WHOLE(struct asked, models_memory, 1, INT32_MAX),
     .value = "MIB",
     .help = "MiB for the weights and states of all models; default what is free"},
    {.name = "parallel",
     CLI_IS_WHOLE(struct asked, parallel, 1, 256),
     .value = "N",
     .help = "texts that are made at the same moment; default 32"},
    {.name = "context",
     CLI_IS_WHOLE(struct asked, context, 1, INT32_MAX),
     .value = "N",
     .help = "most tokens, prompt and text; default: the model's, at most 4096"},
    {.name = "max-queue",
     CLI_IS_WHOLE(struct asked, queue, 1, 100000),
     .value = "N",
     .help = "texts that wait before requests are refused with 429; default 512"},
    {.name = "timeout",
     CLI_IS_WHOLE(struct asked, timeout, 1, 1000000),
     .value = "SECONDS",
     .help = "the longest that a request may take; default: any time"},
    {.name = "memory",
     CLI_IS_WHOLE(struct asked, memory, 1, INT32_MAX),
     .value = "MIB",
     .help = "MiB for what a model's texts remember; default a quarter of --models-memory",
     .more =
         "A text begins when what it may come to need is free. Prefixes of texts that ended are kept in what is left."},
    {.name = "api-key",
     CLI_IS_LIST(struct asked, keys),
     .value = "KEY",
     .help = "a key that clients must send",
     .more = "Other users of this machine can see it in the list of processes; --api-key-file and TARE_SERVE_API_KEY "
             "are better."},
    {.name = "api-key-file",
     CLI_IS_TEXT(struct asked, key_file),
     .value = "FILE",
     .takes = CLI_TAKES_FILE,
     .help = "a file of keys, one a line"},
    {.name = "allow-host",
     CLI_IS_LIST(struct asked, hosts),
     .value = "NAME",
     .help = "a further name of this server in Host fields"},
    {.name = "cors",
     CLI_IS_TEXT(struct asked, cors),
     .value = "ORIGIN",
     .help = "let pages of that origin in; *: of all"},
    {.name = "no-page",
     CLI_IS_SWITCH(struct asked, no_page),
     .help = "serve the API alone, without the page for people"},
    {.name = "cert",
     CLI_IS_TEXT(struct asked, certificate),
     .value = "FILE",
     .takes = CLI_TAKES_FILE,
     .help = "serve TLS with this certificate, in PEM"},
    {.name = "key",
     CLI_IS_TEXT(struct asked, tls_key),
     .value = "FILE",
     .takes = CLI_TAKES_FILE,
     .help = "its private key, in PEM"},
    {.name = "exact",
     CLI_IS_SWITCH(struct asked, exact),
     .help = "all in float32; without it activations are rounded to 8 bits"},
    CLI_FLAG_KV_BITS(struct asked, kv_bits),
    CLI_FLAG_TIE(struct asked, tie),
    CLI_FLAG_ZEROS(struct asked, zeros),
    CLI_FLAG_THREADS(struct asked, threads),
};

/* Adds the lines of a file of keys; its bytes are `owned`. */
static int take_keys(struct asked *asked, char **owned)
{
    struct cli_file file = {0};
    if (!asked->key_file)
        return CLI_GO_ON;
    const int status = cli_file_read(&file, asked->key_file, (size_t)1 << 16);
    if (status != CLI_GO_ON)
        return status;
    *owned = calloc(file.size + 1, 1);
    if (*owned)
        memcpy(*owned, file.data, file.size);
    free(file.data);
    const size_t before = asked->keys.n;
    for (char *line = *owned; line && *line;) {
        char *end = line + strcspn(line, "\r\n");
        const bool more = *end != '\0';
        *end = '\0';
        if (end > line && asked->keys.n < CLI_LIST_MOST)
            asked->keys.items[asked->keys.n++] = line;
        line = end + more;
    }
    return asked->keys.n > before ? CLI_GO_ON : cli_wrong("serve: %s has no key", asked->key_file);
}

static void ready(const char *address)
{
    fprintf(stderr, "tare serve: %s\n", address);
    fflush(stderr);
}

static void say(const char *line)
{
    fprintf(stderr, "tare serve: %s\n", line);
}

struct opened {
    struct cli_source found[MODELS_MOST];
    tare_model *models[MODELS_MOST];
    char ids[MODELS_MOST][128];
    struct cli_models folder;
    /* Of models in the folder. */
    struct tare_options options;
    struct serve_source sources[MODELS_MOST + CLI_MODELS_MOST];
    /* That are open, and that are offered. */
    size_t n, all;
};

static void take_options(struct tare_options *options, const struct asked *asked)
{
    options->tie = (enum tare_tie)asked->tie;
    options->zeros = (enum tare_zeros)asked->zeros;
    options->threads = (int)asked->threads;
}

static bool is_offered(const struct opened *o, const char *id)
{
    for (size_t k = 0; k < o->all; k++)
        if (!strcmp(o->sources[k].id, id))
            return true;
    return false;
}

/* Opens the models that are named; without any, and without a folder, fable. */
static int open_named(struct opened *o, const struct asked *asked, int words, char **argv)
{
    struct tare_error err = {0};
    const int n = words || asked->folder ? words : 1;
    if (words > MODELS_MOST)
        return cli_wrong("serve: at most %d models are served; --models-dir offers more", MODELS_MOST);
    for (int i = 0; i < n; i++) {
        struct cli_source *source = &o->found[i];
        if (cli_source_find(source, words ? argv[i] : NULL, &err))
            return cli_fail(&err);
        take_options(&source->options, asked);
        o->n++;
        if (cli_source_plan(source, &o->models[i], &err))
            return cli_fail(&err);
        cli_report_warn(o->models[i]);
        cli_model_name(words ? argv[i] : "fable", o->ids[i], sizeof o->ids[i]);
        if ((size_t)i < asked->aliases.n)
            snprintf(o->ids[i], sizeof o->ids[i], "%s", asked->aliases.items[i]);
        if (is_offered(o, o->ids[i]))
            return cli_wrong("serve: two models are called %s; --alias gives them other names", o->ids[i]);
        o->sources[o->all++] = (struct serve_source){o->models[i], source->path, &source->options, o->ids[i]};
    }
    return CLI_GO_ON;
}

/* Offers the models of the folder. One that was named, too, is loaded already. */
static int open_folder(struct opened *o, const struct asked *asked)
{
    const struct tare_options defaults = TARE_OPTIONS_INIT;
    const int status = asked->folder ? cli_models_list(&o->folder, asked->folder) : CLI_GO_ON;
    o->options = defaults;
    take_options(&o->options, asked);
    for (size_t i = 0; i < o->folder.n && status == CLI_GO_ON; i++)
        if (!is_offered(o, o->folder.items[i].id))
            o->sources[o->all++] =
                (struct serve_source){NULL, o->folder.items[i].path, &o->options, o->folder.items[i].id};
    return status;
}

static int serve(const struct asked *asked, const struct opened *o)
{
    struct tare_error err = {0};
    const struct serve_options options = {.sources = o->sources,
                                          .n_sources = o->all,
                                          .host = asked->host ? asked->host : "127.0.0.1",
                                          .port = asked->port < 0 ? 8080 : (int)asked->port,
                                          .context = asked->context,
                                          .kv_bits = (int)asked->kv_bits,
                                          .exact = asked->exact,
                                          .parallel = asked->parallel ? (size_t)asked->parallel : 32,
                                          .most_waiting = asked->queue ? (size_t)asked->queue : 512,
                                          .memory = (uint64_t)asked->memory << 20,
                                          .models_memory = (uint64_t)asked->models_memory << 20,
                                          .keys = asked->keys.items,
                                          .n_keys = asked->keys.n,
                                          .allowed_hosts = asked->hosts.items,
                                          .n_allowed_hosts = asked->hosts.n,
                                          .cors = asked->cors,
                                          .no_page = asked->no_page,
                                          .certificate = asked->certificate,
                                          .private_key = asked->tls_key,
                                          .timeout = (int)asked->timeout,
                                          .ready = ready,
                                          .say = say};
    return serve_run(&options, &err) ? cli_fail(&err) : 0;
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct asked asked = {.port = -1, .tie = TARE_TIE_AUTO, .zeros = TARE_ZEROS_AUTO};
    char *keys = NULL;
    int words = 0, status = cli_parse(verb, &asked, argc, argv, &words);
    if (status != CLI_GO_ON)
        return status;
    if (!asked.certificate != !asked.tls_key)
        return cli_wrong("serve: --cert and --key come together");
    struct opened *o = calloc(1, sizeof *o);
    if (!o)
        return cli_fail_system("serve");
    status = take_keys(&asked, &keys);
    if (status == CLI_GO_ON)
        status = open_named(o, &asked, words, argv);
    if (status == CLI_GO_ON)
        status = open_folder(o, &asked);
    if (status == CLI_GO_ON)
        status = serve(&asked, o);
    for (size_t i = 0; i < o->n; i++)
        tare_model_free(o->models[i]);
    cli_models_release(&o->folder);
    free(o);
    free(keys);
    return status;
}

const struct cli_verb cli_serve = {
    .name = "serve",
    .summary = "Serve models over HTTP, as OpenAI's clients expect it.",
    .about = "Listens on http://127.0.0.1:8080 and answers /v1/chat/completions, /v1/completions, /v1/embeddings, "
             "/v1/models, /tokenize, /detokenize, /apply-template, /health and /metrics. "
             "Several models are served side by side, or all of a folder (--models-dir); requests choose by the field "
             "model. "
             "Each flag may also be given by the environment: TARE_SERVE_PORT=N, TARE_SERVE_NO_PAGE=1. "
             "SIGTERM lets running answers end; a second one ends at once.",
    .words = {{.name = "MODEL", .takes = CLI_TAKES_MODEL, .optional = true, .repeats = true}},
    .flags = flags,
    .n_flags = sizeof flags / sizeof *flags,
    .examples = {{"timeout --preserve-status 1 tare serve --port 0", "Serves the built-in model for a second."}},
    .environment = "TARE_SERVE_",
    .see = "run chat",
    .run = run,
};
