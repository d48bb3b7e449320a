/* SPDX-License-Identifier: MIT
 * frontier.h - the files of a host whose hashes are known (tare_host.sha256), read once from first byte to last. The
 * tiles of a conversion are made in the order in which their bytes come by.
 */
#ifndef TARE_SAVE_FRONTIER_H
#define TARE_SAVE_FRONTIER_H

#include "save/account.h"

struct tare_box;

/* Begins where account->passed is. *frontier is NULL where no file has a hash. Its threads wait for the host, not for
 * a processor. */
enum tare_code tare_frontier_open(struct tare_frontier **frontier, struct tare_account *account,
                                  const struct tare_convert_options *options, struct tare_error *err);
/* NULL is fine. */
void tare_frontier_free(struct tare_frontier *frontier);

/* Where the last byte lies that a box takes of the largest tensors of its pieces: a number that grows from the first
 * file to the last. What else it takes is small. */
uint64_t tare_frontier_place(const struct tare_frontier *frontier, const struct tare_job *job,
                             const struct tare_box *box);
/* Waits until all before a place was read and hashed. */
enum tare_code tare_frontier_reach(struct tare_frontier *frontier, uint64_t place, struct tare_error *err);
/* Waits for all that there is. TARE_OK: every file is what its hash says. */
enum tare_code tare_frontier_finish(struct tare_frontier *frontier, struct tare_error *err);
/* Reports progress: true when the caller wants no more. */
bool tare_frontier_report(struct tare_frontier *frontier);
/* For the journal: how far it is now. */
struct tare_passed tare_frontier_passed(struct tare_frontier *frontier);

#endif
