/* SPDX-License-Identifier: MIT
 * content.h - what the files of verify share. content.c runs the tasks, dead.c looks at groups, findings.c puts into
 * words what was found. */
#ifndef TARE_AUDIT_CONTENT_H
#define TARE_AUDIT_CONTENT_H

#include <stdatomic.h>

#include "audit/audit.h"
#include "audit/digest.h"
#include "audit/specials.h"

/* What can be wrong with a group of a packed module. */
enum tare_group_fault {
    TARE_GROUP_DEAD,     /* its scale is 0, or all its codes are the zero */
    TARE_GROUP_BEYOND,   /* its zero is out of range */
    TARE_GROUP_NAN,      /* where scales lie within the weight's blocks: one is NaN or infinite */
    TARE_GROUP_DENORMAL, /* likewise: one is denormal */
    TARE_GROUP_FAULTS
};
/* How many there are of each; the first, row * groups + group, and its scale and zero; zero-initialise. */
struct tare_groups_found {
    uint64_t count[TARE_GROUP_FAULTS], first[TARE_GROUP_FAULTS];
    float scale[TARE_GROUP_FAULTS], zero[TARE_GROUP_FAULTS];
};

/* One module and what was found in it. */
struct tare_inspected {
    const struct tare_module *module;
    const void *part[TARE_PARTS];
    struct tare_specials specials[TARE_PARTS];
    struct tare_groups_found groups;
    atomic_bool suspected; /* a group may be dead, by a look at the bits */
};

struct tare_verify {
    struct tare_arena arena;
    struct tare_model *model;
    struct tare_verify_report report;
    struct tare_digests digests;
    struct tare_inspected *inspected; /* heap; by module */
    size_t n_inspected;
    struct tare_report_finding *findings; /* heap */
    size_t n_findings, room;
};

/* The dtype by which a part's numbers are looked at, or BOOL: it has none. */
enum tare_dtype tare_part_numbers(const struct tare_module *module, enum tare_part part);
/* Rows [row, row + rows) of a packed module; from any thread. */
enum tare_code tare_groups_inspect(const struct tare_module *module, const void *const part[TARE_PARTS], int64_t row,
                                   int64_t rows, struct tare_arena *work, struct tare_groups_found *found,
                                   struct tare_error *err);
void tare_groups_add(struct tare_groups_found *sum, const struct tare_groups_found *found);

/* After all tasks: findings and files of the report. False: no memory. */
bool tare_verify_say(struct tare_verify *verify, bool hashed);

#endif
