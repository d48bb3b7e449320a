/* SPDX-License-Identifier: MIT
 * account.h - what is known about each job once it is done: checksums of its source and of its result, and how many
 * numbers were rounded. tare.json publishes it, and the journal keeps it so that a killed run can be resumed.
 */
#ifndef TARE_SAVE_ACCOUNT_H
#define TARE_SAVE_ACCOUNT_H

#include <xxhash.h>

#include "base/hash.h"
#include "save/save.h"

struct tare_frontier;

/* How far the files of a host were hashed (frontier.c): those before `file` are, and are what they should be. */
struct tare_passed {
    size_t file;
    struct tare_chain chain; /* of the bytes of `file` before chain.bytes */
};

struct tare_sum {
    unsigned char byte[16]; /* XXH3-128, canonical: as xxh128sum prints it */
};
struct tare_record {
    bool done; /* its tensors are complete in the shards */
    bool kept; /* an earlier run wrote them */
    struct tare_tally tally;
    const struct tare_tensor **sources; /* the tensors that it is made of, sorted by name */
    size_t n_sources;
    struct tare_sum *source;            /* of each of `sources` */
    struct tare_sum target[TARE_PARTS]; /* of each tensor that was written, by its role */
};
struct tare_account {
    struct tare_arena arena;
    const struct tare_layout *layout;
    struct tare_record *records;       /* in the arena, one for each job */
    bool sums;                         /* compute checksums, and keep a journal */
    const struct tare_tensor *tensors; /* of the checkpoint */
    struct tare_sum *known;            /* of each tensor that was hashed: a module may be a source of many jobs */
    bool *is_known;
    bool has_lock;
    pthread_mutex_t lock; /* held while `known` or the journal changes */
    char identity[33];
    int journal; /* -1: none */
    uint64_t journal_end, since_sync;
    struct tare_passed passed;      /* where an earlier run was */
    struct tare_frontier *frontier; /* owned; NULL: the files of the source have no hashes */
};

/* What the output depends on, as 32 digits: files (size, mtime, headers), configs, options, version of tare. */
enum tare_code tare_identity_make(struct tare_account *account, const struct tare_model *model,
                                  const struct tare_convert_options *options, struct tare_error *err);
/* The same of a checkpoint alone, and of the version of tare. */
enum tare_code tare_identity_checkpoint(const struct tare_checkpoint *checkpoint, unsigned char identity[16],
                                        struct tare_error *err);
/* Zeroed by the caller; tare_account_release() also after a failure. */
enum tare_code tare_account_begin(struct tare_account *account, const struct tare_layout *layout,
                                  const struct tare_model *model, const struct tare_convert_options *options,
                                  struct tare_error *err);
void tare_account_release(struct tare_account *account);
/* Called when all tiles of a job are written: hashes it and notes it in the journal. Any thread may call it. */
enum tare_code tare_account_close(struct tare_account *account, size_t job, struct tare_worker *worker,
                                  struct tare_error *err);
/* Computes the checksum of a tensor of the folder by reading it back. */
enum tare_code tare_saved_sum(const struct tare_layout *layout, const struct tare_saved *saved,
                              struct tare_buffer *buffer, struct tare_sum *sum, struct tare_error *err);
/* Whether the job's source can be computed again from its result; never better than what its tally allows. */
enum tare_way tare_job_way(const struct tare_job *job, const struct tare_record *record);
struct tare_sum tare_sum_of(XXH128_hash_t hash);
void tare_sum_text(const struct tare_sum *sum, char text[33]);

/*
 * The journal of a folder that an earlier run left, of the same identity: which jobs are done. *resumed is false where
 * there is none that fits; the folder is then empty. The shards are open, and a job counts as done only if its tensors
 * still have the sums that the journal says.
 */
enum tare_code tare_journal_resume(struct tare_account *account, struct tare_layout *layout, struct tare_folder *folder,
                                   struct tare_pool *pool, bool *resumed, struct tare_error *err);
/* Begins a new journal, after the shards have got their headers. */
enum tare_code tare_journal_begin(struct tare_account *account, struct tare_folder *folder, struct tare_error *err);
/* Appends the line of a job that is done. The caller holds the lock. Now and then the shards and then the journal are
 * synced. */
enum tare_code tare_journal_note(struct tare_account *account, size_t job, struct tare_error *err);

/* Writes tare.json, with the sha256 of every file except the model card, which people edit. proved: tare_proof_run()
 * succeeded. */
enum tare_code tare_record_write(const struct tare_account *account, const struct tare_model *model,
                                 const struct tare_convert_options *options, bool proved, struct tare_folder *folder,
                                 struct tare_pool *pool, struct tare_error *err);

/* --proof: refuses a conversion that cannot be proved, before anything is written. */
enum tare_code tare_proof_check(const struct tare_layout *layout, struct tare_error *err);
/* --proof: opens the folder that was written, computes the source's bytes from it and compares them. */
enum tare_code tare_proof_run(const struct tare_layout *layout, const struct tare_folder *folder,
                              struct tare_pool *pool, const struct tare_convert_options *options,
                              struct tare_error *err);

#endif
