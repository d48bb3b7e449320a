/* SPDX-License-Identifier: MIT
 *
 * tare/session.h - run a model: sessions, sampling and measurements.
 * A part of tare.h, which says what holds for all of it.
 */
#ifndef TARE_SESSION_H
#define TARE_SESSION_H

#include "plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- run --------------------------------------------------------------------------------------------------------- */

/* One text that grows: the ids fed so far, and what the model remembers of them. */
typedef struct tare_session tare_session;

struct tare_session_options {
    /* sizeof(struct tare_session_options). */
    size_t size;
    /* The most tokens of the session; 0: max_position_embeddings or 4096, whichever is less. */
    int64_t context;
    /* 0: as planned. Sessions of one model that ask for the same number have these threads together. */
    int threads;
    /* May be NULL; borrowed while the session lives. When the number becomes other than 0, opening and feeding end with
     * TARE_E_CANCELLED. */
    const volatile int *cancel;
    /* Compute everything in float32. Otherwise activations are rounded to 8 bits, in blocks of 32 with one scale,
     * before they meet packed weights. */
    bool exact;
    /* The bytes that weights and states may take; more is refused before anything is loaded. 0: what is free. */
    uint64_t memory;
    /* "scalar", "avx2", "avx512", "amx" or "neon"; NULL: the best that this processor has. */
    const char *kernels;
    /* Bits of a number in the cache of keys and values: 32 (float32), 16 (float16), 8 or 4; 0: 16, with exact 32. */
    int kv_bits;
    /* The threads to work with, in the place of `threads` and of the plan's; NULL: those. The session holds a
     * reference. */
    tare_threads *pool;
};
#define TARE_SESSION_OPTIONS_INIT TARE_SIZED(tare_session_options)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_session_options). Any thread. */
TARE_API void tare_session_options_init(struct tare_session_options *options, size_t size);

/* How many tokens the model was made for: max_position_embeddings, or the number of learned positions; 0 when the
 * config does not say. Any thread. */
TARE_API int64_t tare_model_context(const tare_model *model);

/*
 * Begin an empty text.
 *
 *   session  receives it; owned, tare_session_free()
 *   model    must load and run. A session holds a reference to it, so either may be freed first
 *   options  may be NULL
 *
 * The first session of a model lays its weights out for the kernels; later ones share them. Of several that open at the
 * same moment one does that and the others wait for it; when it fails or is cancelled, the next one tries. Only a
 * session that a host's run() (tare/threads.h) opens on the thread that is laying out weights cannot wait, and lays out
 * its own. Sessions without a pool of their own or the plan's share their threads.
 *
 * TARE_E_ARGUMENT: an option is out of range; TARE_E_MEMORY: weights and states would take more than options->memory;
 * TARE_E_CANCELLED. Any thread.
 */
TARE_API enum tare_code tare_session_open(tare_session **session, tare_model *model,
                                          const struct tare_session_options *options, struct tare_error *err);

/* Free a session. */
TARE_API void tare_session_free(tare_session *session);

/* The number of columns of logits. */
TARE_API int64_t tare_session_vocabulary(const tare_session *session);

/* The number of columns of hidden states. */
TARE_API int64_t tare_session_width(const tare_session *session);

/* The most tokens that the session takes. */
TARE_API int64_t tare_session_context(const tare_session *session);

/* The number of tokens fed so far. */
TARE_API int64_t tare_session_length(const tare_session *session);

/* About how many bytes the states of a text of that many tokens take, whatever the session holds now; UINT64_MAX when
 * that cannot be counted. Forks share what they have in common, so that several may take less. */
TARE_API uint64_t tare_session_bytes(const tare_session *session, int64_t tokens);

/* Make room for a text of that many tokens, so that feeding them needs no memory for states later. TARE_E_ARGUMENT: they
 * are fewer than it holds or more than the context. After a failure the session is as it was. */
TARE_API enum tare_code tare_session_reserve(tare_session *session, int64_t tokens, struct tare_error *err);

/*
 * Feed ids to a session.
 *
 *   ids      n of them, at least one
 *   all      the logits of every id are wanted, not only those of the last one
 *   logits   may be NULL; has room for, and receives, float32 (n, vocabulary) when all, else (1, vocabulary)
 *
 * TARE_E_ARGUMENT: an id is outside the vocabulary, or the context is full. After a failure the session holds the ids
 * that went through completely, and tare_session_length() says how many. Up to 256 ids go through together, so a feed
 * no longer than that goes through completely or not at all.
 */
TARE_API enum tare_code tare_session_feed(tare_session *session, const int32_t *ids, size_t n, bool all, float *logits,
                                          struct tare_error *err);

/*
 * Feed ids to a session as tare_session_feed() does, for their hidden states in the place of logits.
 *
 *   hidden   receives float32 (n, width) when all, else (1, width); see struct tare_feed
 */
TARE_API enum tare_code tare_session_hidden(tare_session *session, const int32_t *ids, size_t n, bool all,
                                            float *hidden, struct tare_error *err);

/* What one session is fed; the fields are the parameters of tare_session_feed(). */
struct tare_feed {
    tare_session *session;
    const int32_t *ids;
    size_t n;
    bool all;
    float *logits;
    /* May be NULL; receives float32 (n, width) when all, else (1, width): the hidden states of the last layer after the
     * final norm, which the head is multiplied with. width is tare_session_width(). */
    float *hidden;
    /* How many ids of the same text later feeds will bring. Ropes that depend on the length of the text count them, so
     * that a prompt that is fed in parts gives what it gives at once. */
    size_t later;
};

/*
 * Feed several sessions of one model in one step, which reads the weights once for all of them.
 *
 *   feeds    n of them, each for another session, stride bytes apart (0: sizeof(struct tare_feed)). Their numbers of
 *            ids may differ: a prompt beside texts that grow by one token
 *
 * A session's logits do not depend on the sessions that are fed with it. The threads and `cancel` are those of the
 * first session. Errors are those of tare_session_feed().
 */
TARE_API enum tare_code tare_session_feed_each(const struct tare_feed *feeds, size_t n, size_t stride,
                                               struct tare_error *err);

/*
 * Begin a second text that starts as the first one did, and shares what both hold so far.
 *
 *   fork     receives it; owned, tare_session_free()
 *
 * A fork uses the threads and work memory of its origin. The two may be used in turns or in one step, but not by two
 * threads at the same time.
 */
TARE_API enum tare_code tare_session_fork(tare_session **fork, const tare_session *session, struct tare_error *err);

/* Forget all but the first `length` tokens. Recurrent models compute some of them again for that. TARE_E_ARGUMENT:
 * length is below 0 or beyond what the session holds. */
TARE_API enum tare_code tare_session_rewind(tare_session *session, int64_t length, struct tare_error *err);

/* The tare_session_length() ids fed so far. Borrowed, valid until the session changes. */
TARE_API const int32_t *tare_session_ids(const tare_session *session);

/* Write a session into a file, so that a long prompt is computed once. The file appears under its name when it is
 * complete. */
TARE_API enum tare_code tare_session_save(const tare_session *session, const char *path, struct tare_error *err);

/*
 * Read a session from a file, in the place of what it held. TARE_E_FORMAT: the file is damaged, of another model, of
 * other kv_bits, or of more tokens than the session takes; the session is then empty.
 */
TARE_API enum tare_code tare_session_load(tare_session *session, const char *path, struct tare_error *err);

/* ---- sampling ---------------------------------------------------------------------------------------------------- */

/* Added to the logit of one id; -INFINITY forbids it. */
struct tare_bias {
    int32_t id;
    float value;
};
/*
 * How an id is chosen. The steps and their order are llama.cpp's: first bias and penalties (tare_sample_adjust()); then
 * top-k, typical, top-p and min-p, each on the probabilities at temperature 1 of the ids that the step before left;
 * then the temperature and the draw (tare_sample()). Zero switches a step off.
 */
struct tare_sampling {
    /* sizeof(struct tare_sampling). */
    size_t size;
    /* 0: greedy, the likeliest id. */
    float temperature;
    /* Keep the likeliest ids until their probabilities reach this sum; 1 or 0: off. */
    float top_p;
    /* Keep that many of the likeliest ids; 0: off. */
    int top_k;
    /* Keep the ids with at least this share of the likeliest one's probability; 0: off. */
    float min_p;
    uint64_t seed;
    /* Locally typical sampling (Meister et al. 2022): keep the ids whose information is nearest to the entropy, until
     * their probabilities reach this sum; 1 or 0: off. */
    float typical_p;
    /* The penalties change the logits of ids among the last penalty_window ones. A logit above 0 is divided by the
     * repetition penalty and any other one multiplied by it; 1 or 0: off. */
    float repetition_penalty;
    /* Subtracted once. */
    float presence_penalty;
    /* Subtracted as often as the id occurs. */
    float frequency_penalty;
    /* 0: 64, -1: all ids of the text. */
    int penalty_window;
    /* n_bias of them, borrowed; NULL: none. */
    const struct tare_bias *bias;
    size_t n_bias;
    /* Bytes from one bias to the next; 0: as in this version's struct tare_bias. */
    size_t bias_stride;
};
#define TARE_SAMPLING_INIT TARE_SIZED_LIST(tare_sampling, bias_stride, tare_bias)

/* Fill with the defaults, for languages without the macro; size is sizeof(struct tare_sampling). Any thread. */
TARE_API void tare_sampling_init(struct tare_sampling *sampling, size_t size);
/*
 * Apply bias and penalties to one row of logits.
 *
 *   logits      vocabulary numbers, changed in place
 *   sampling    may be NULL
 *   recent      the n ids of the text so far, prompt included, in order
 *
 * TARE_E_ARGUMENT: a bias has an id outside the vocabulary. Such an id among the recent ones is skipped. Any thread.
 */
TARE_API enum tare_code tare_sample_adjust(float *logits, int64_t vocabulary, const struct tare_sampling *sampling,
                                           const int32_t *recent, size_t n, struct tare_error *err);
/*
 * Choose one id from one row of logits.
 *
 *   id          receives the id; -1 on failure
 *   logits      vocabulary numbers, not changed
 *   sampling    may be NULL
 *   draw        the number of this draw in its text, from 0
 *
 * The same seed, draw and logits give the same id on any machine, whatever was drawn before. Of equal logits the
 * smaller id comes first. NaN and -INFINITY make an id impossible, +INFINITY makes it certain. Where all ids are
 * impossible the result is the first one whose logit is not NaN, or 0. TARE_E_ARGUMENT: a NULL, or no vocabulary. Any
 * thread.
 */
TARE_API enum tare_code tare_sample(int32_t *id, const float *logits, int64_t vocabulary,
                                    const struct tare_sampling *sampling, uint64_t draw, struct tare_error *err);

/* ---- measure ----------------------------------------------------------------------------------------------------- */

/* The set of kernels in use, as "avx2". Static. */
TARE_API const char *tare_session_kernels(const tare_session *session);

/* The bytes of weights that decoding one token reads, in the layout in which they run. Of experts, only those count
 * that one token chooses. */
TARE_API uint64_t tare_session_weights(const tare_session *session);

/*
 * Measure how fast this machine reads memory in order, at best.
 *
 *   threads  0: one for each core
 *   bytes    how much is read, at least 256 KiB; the result means something when that is far more than the caches hold
 *   rate     receives bytes a second, the best of five passes
 *
 * Takes a fraction of a second for each GB. Any thread.
 */
TARE_API enum tare_code tare_measure_read(int threads, uint64_t bytes, double *rate, struct tare_error *err);

#ifdef __cplusplus
}
#endif
#endif
