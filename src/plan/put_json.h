/* SPDX-License-Identifier: MIT
 * put_json.h - the few words of JSON that reports write. Each call puts a comma before its member, unless it is the
 * first of its object or list. key NULL: an element of a list.
 */
#ifndef TARE_PLAN_PUT_JSON_H
#define TARE_PLAN_PUT_JSON_H

#include "base/text.h"

/* "key": without a value, which the caller writes. */
void tare_put_key(struct tare_text *text, const char *key);
/* value NULL becomes null. */
void tare_put_text(struct tare_text *text, const char *key, const char *value);
void tare_put_number(struct tare_text *text, const char *key, uint64_t value);
void tare_put_bool(struct tare_text *text, const char *key, bool value);

#endif
