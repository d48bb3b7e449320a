/* SPDX-License-Identifier: MIT
 * settings.h - quantization_config while it is being mended: where it lies, its keys, and what the tensors say. */
#ifndef TARE_REPAIR_SETTINGS_H
#define TARE_REPAIR_SETTINGS_H

#include "repair/readings.h"
#include "repair/repair.h"

/* Where the settings lie, or are to lie. */
struct tare_place {
    const char *file;
    const char *path[3];  /* of the object; NULL: the document itself */
    const json_t *object; /* borrowed from owner; NULL: not there */
    json_t *owner;
};

struct tare_settings {
    struct tare_repair *r;
    struct tare_stems *stems;
    struct tare_place place;
    json_t *fresh; /* an object that is made, while it is not in the file yet */
    bool *changed;
    struct tare_error *err;
};

/* A key's value; null counts as absent: NULL. */
const json_t *tare_settings_get(const struct tare_settings *m, const char *key);
const char *tare_settings_text(const struct tare_settings *m, const char *key); /* NULL: no string */
/* Set a key; takes value. */
enum tare_code tare_settings_set(struct tare_settings *m, const char *key, json_t *value, const char *because);
/* The same, unless it says so already; of two names that a key may have, the one that is there is kept. */
enum tare_code tare_settings_want_integer(struct tare_settings *m, const char *key, const char *other, int64_t value,
                                          const char *because);
enum tare_code tare_settings_want_text(struct tare_settings *m, const char *key, const char *value,
                                       const char *because);
/* A sentence of evidence, in the arena; never NULL. */
const char *tare_settings_because(struct tare_settings *m, const char *text, const char *where, long long a,
                                  long long b);

/* What all stems have in common: the group size, -1 where each has one group and they are of unlike width; 0: nothing.
 */
int64_t tare_common_group(const struct tare_stems *stems, enum tare_layout_bit layout);
enum tare_code tare_mend_group(struct tare_settings *m, enum tare_layout_bit layout);
enum tare_code tare_mend_awq(struct tare_settings *m, enum tare_layout_bit layout);
enum tare_code tare_mend_gptq(struct tare_settings *m);
/* Settings where there are none: into m->fresh, or a note. */
enum tare_code tare_make_gptq(struct tare_settings *m);

#endif
