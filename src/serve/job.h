/* SPDX-License-Identifier: MIT
 * job.h - one request with a body, from its arrival to its answer. */
#ifndef TARE_SERVE_JOB_H
#define TARE_SERVE_JOB_H

#include <event2/buffer.h>
#include <jansson.h>
#include <time.h>

#include "serve/failure.h"
#include "serve/http/http.h"
#include "serve/models/model_table.h"
#include "serve/tools/toolset.h"

struct serve;
struct serve_job;

/* A prompt of a request. */
struct serve_prompt {
    int32_t *ids;
    size_t n;
    /* As echo repeats it; owned. */
    char *text;
    size_t bytes;
};

/* A request whose every field was checked. */
struct serve_asked {
    /* -1: to the end of the context. */
    int64_t max_tokens;
    struct tare_sampling sampling;
    struct tare_bias *bias;
    const char **stops;
    size_t *stop_sizes;
    size_t n_stops;
    int64_t n;
    int64_t best_of;
    int64_t top;
    bool logprobs;
    bool echo;
    bool stream;
    bool include_usage;
    bool ignore_eos;
    tare_grammar *grammar;
    /* The grammar of response_format as GBNF; NULL: none. */
    char *format;
    struct toolset tools;
    struct serve_prompt *prompts;
    size_t n_prompts;
};

/* One text of the answer. */
struct serve_choice {
    struct evbuffer *text;
    struct evbuffer *reasoning;
    /* Logprobs as JSON, entries with commas between: that of chat, and the columns of completions. Those of ids whose
     * text is held back are pending. A stream takes them out as it sends them. */
    struct evbuffer *lines[5];
    struct evbuffer *pending[5];
    /* What echo repeats of the prompt was sent. */
    bool echoed;
    /* Of a completion with logprobs: the text of each id, and characters so far. */
    tare_stream *pieces;
    size_t offset;
    struct tool_parser parser;
    /* Of a chat, whose stops are looked for in the content alone: what may be the beginning of one is held. */
    struct tool_bytes held;
    bool stopped;
    int64_t tokens;
    int64_t reasoning_tokens;
    double sum_logprob;
    enum tare_finish finish;
    size_t stop;
};

/* How the answer is written. All are called by the thread of the event loop. */
struct serve_form {
    /* `text`: what is new of a choice; it may come in several calls. */
    void (*begin)(struct serve_job *job, struct evbuffer *out);
    void (*choice_begin)(struct serve_job *job, size_t choice, struct evbuffer *out);
    /* All logprobs of the prompt are in the lines of the choice. */
    void (*prompt_scored)(struct serve_job *job, size_t choice, struct evbuffer *out);
    void (*piece)(struct serve_job *job, size_t choice, const struct tool_piece *piece, struct evbuffer *out);
    void (*choice_end)(struct serve_job *job, size_t choice, struct evbuffer *out);
    void (*end)(struct serve_job *job, struct evbuffer *out);
    /* The whole answer, without a stream. */
    void (*whole)(struct serve_job *job, struct evbuffer *out);
};

struct serve_route {
    const char *method;
    const char *path;
    /* Reads job->body and fills what follows, in a worker's thread. Returns false where job->failure says why not. */
    bool (*prepare)(struct serve_job *job);
    const struct serve_form *form;
    /* Answers at once from the event loop, in the place of `prepare`. */
    void (*answer)(struct serve *serve, struct http_connection *connection, struct evbuffer *out);
    const char *type;
    bool anthropic;
};

struct serve_job {
    struct serve *serve;
    const struct serve_route *route;
    /* NULL: the client left. */
    struct http_connection *connection;
    struct serve_job *next;
    /* Among all jobs of the server. */
    struct serve_job *after;
    struct serve_job **link;
    char *text;
    size_t size;
    json_t *body;
    /* The body as it came, where `body` is what it became for chat. */
    json_t *given;
    struct serve_model *model;
    /* The model that stays in memory for this request; since when it waits for that. */
    struct serve_model *taken;
    double parked_at;
    struct serve_asked asked;
    struct serve_failure failure;
    /* An answer that needs no engine. */
    struct evbuffer *ready;
    char client[80];

    char id[48];
    time_t created;
    struct serve_run *runs;
    size_t n_runs;
    size_t n_ended;
    struct serve_choice *choices;
    float *hidden;
    /* Prompt tokens that were not read again. */
    size_t cached;
    /* The engine has its runs. */
    bool running;
    bool streaming;
    /* Of forms whose streams have items: the number of the next event, the number of the open item, or of the next one,
     * and of which kind the open one is. */
    int64_t sequence;
    size_t item;
    enum { SERVE_ITEM_NONE, SERVE_ITEM_TEXT, SERVE_ITEM_THOUGHT, SERVE_ITEM_CALL } open;
    /* Where the open text or thought began in what was written. */
    size_t opened_at;
    double arrived;
    double last;
    /* When the stream got its last bytes. */
    double sent;
};

void serve_job_free(struct serve_job *job);
double serve_now(void);

/* ---- prepare.c: requests that are read, in a worker's thread ---- */

bool serve_prepare_chat(struct serve_job *job);
bool serve_prepare_completion(struct serve_job *job);
bool serve_prepare_embeddings(struct serve_job *job);
bool serve_prepare_tokenize(struct serve_job *job);
bool serve_prepare_detokenize(struct serve_job *job);
bool serve_prepare_template(struct serve_job *job);
bool serve_prepare_responses(struct serve_job *job);
bool serve_prepare_messages(struct serve_job *job);

/* Finds the model that the request names. */
bool serve_find_model(struct serve_job *job);
/* The fields that all requests for a text share. */
bool serve_asked_take(struct serve_job *job, bool chat);
void serve_asked_release(struct serve_asked *asked);
/* Checks room and makes the runs. */
bool serve_make_runs(struct serve_job *job);
/* What the template makes of messages; text is owned, tare_text_free(). */
bool serve_render(struct serve_job *job, bool tools, char **text, size_t *size);
bool serve_encode(struct serve_job *job, const char *text, size_t size, bool special, struct serve_prompt *prompt);

/* ---- the forms ---- */
extern const struct serve_form serve_form_chat, serve_form_completion, serve_form_embeddings, serve_form_responses,
    serve_form_messages;

/* Tokens of all choices, and of all prompts. */
int64_t serve_job_tokens(const struct serve_job *job);
int64_t serve_job_prompt_tokens(const struct serve_job *job);
const char *serve_finish_word(const struct serve_job *job, size_t choice);
void serve_put_usage(const struct serve_job *job, struct evbuffer *out);
/* Keeps the logprobs of an event in the choice, pending; and moves them to its lines. */
void serve_take_logprobs(struct serve_job *job, struct serve_choice *choice, const struct serve_event *event);
void serve_commit_logprobs(struct serve_choice *choice);
/* Does a text of this prompt come first, and which one is it? */
const struct serve_prompt *serve_prompt_of(const struct serve_job *job, size_t choice);
/* Moves a buffer's bytes, as text of JSON where `quoted`. */
void serve_put_buffer(struct evbuffer *out, struct evbuffer *text, bool quoted);

#endif
