/* SPDX-License-Identifier: MIT
 * account.h - what is known of each job once it is done: sums of its source and of what was made of it, and what was
 * rounded. It is what tare.json says, and what the journal keeps for a run that was killed.
 */
#ifndef TARE_SAVE_ACCOUNT_H
#define TARE_SAVE_ACCOUNT_H

#include "save/save.h"

struct tare_sum {
    unsigned char byte[16]; /* XXH3-128, canonical: as xxh128sum prints it */
};
struct tare_record {
    bool done; /* its tensors are complete in the shards */
    bool kept; /* by an earlier run */
    struct tare_tally tally;
    const struct tare_tensor **sources; /* all that it is made of, by name */
    size_t n_sources;
    struct tare_sum *source, target[TARE_PARTS]; /* n_sources; by role */
};
struct tare_account {
    struct tare_arena arena;
    const struct tare_layout *layout;
    struct tare_record *records;       /* in the arena, of each job */
    bool sums;                         /* hash, and keep a journal */
    const struct tare_tensor *tensors; /* of the checkpoint */
    struct tare_sum *known;            /* of each tensor that was hashed: a module may be a source of many jobs */
    bool *is_known;
    bool has_lock;
    pthread_mutex_t lock; /* around known and the journal */
    char identity[33];
    int journal; /* -1: none */
    uint64_t journal_end, since_sync;
};

/* What the output depends on, as 32 digits: files (size, mtime, headers), configs, options, version of tare. */
enum tare_code tare_identity_make(struct tare_account *account, const struct tare_model *model,
                                  const struct tare_convert_options *options, struct tare_error *err);
/* Zeroed by the caller; tare_account_release() also after a failure. */
enum tare_code tare_account_begin(struct tare_account *account, const struct tare_layout *layout,
                                  const struct tare_model *model, const struct tare_convert_options *options,
                                  struct tare_error *err);
void tare_account_release(struct tare_account *account);
/* All tiles of a job are written: hash it, and note it in the journal. From any thread. */
enum tare_code tare_account_close(struct tare_account *account, size_t job, struct tare_worker *worker,
                                  struct tare_error *err);
/* The sum of a tensor of the folder, read back. */
enum tare_code tare_saved_sum(const struct tare_layout *layout, const struct tare_saved *saved,
                              struct tare_buffer *buffer, struct tare_sum *sum, struct tare_error *err);
/* Does the way back from the job give the bytes of its source? Never better than what its tally says. */
enum tare_way tare_job_way(const struct tare_job *job, const struct tare_record *record);
void tare_sum_text(const struct tare_sum *sum, char text[33]);

/*
 * The journal of a folder that an earlier run left, of the same identity: which jobs are done. *resumed is false where
 * there is none that fits; the folder is then empty. The shards are open, and a job counts as done only if its tensors
 * still have the sums that the journal says.
 */
enum tare_code tare_journal_resume(struct tare_account *account, struct tare_layout *layout, struct tare_folder *folder,
                                   struct tare_pool *pool, bool *resumed, struct tare_error *err);
/* A new one; the shards have their headers. */
enum tare_code tare_journal_begin(struct tare_account *account, struct tare_folder *folder, struct tare_error *err);
/* One line for a job that is done; the caller has the lock. Brought to the disk now and then, after the shards. */
enum tare_code tare_journal_note(struct tare_account *account, size_t job, struct tare_error *err);

/* tare.json: sha256 of all files but the card, which is for people to edit. proved: by tare_proof_run(). */
enum tare_code tare_record_write(const struct tare_account *account, const struct tare_model *model,
                                 const struct tare_convert_options *options, bool proved, struct tare_folder *folder,
                                 struct tare_pool *pool, struct tare_error *err);

/* --proof: refuses what cannot be proved, before anything is written. */
enum tare_code tare_proof_check(const struct tare_layout *layout, struct tare_error *err);
/* Read the folder that was written as any checkpoint, take the way back and compare it with the source. */
enum tare_code tare_proof_run(const struct tare_layout *layout, const struct tare_folder *folder,
                              struct tare_pool *pool, const struct tare_convert_options *options,
                              struct tare_error *err);

#endif
