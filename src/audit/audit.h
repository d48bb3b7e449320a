/* SPDX-License-Identifier: MIT
 * audit.h - what the files of audit/ share. diff.c holds two plans against each other, content.c looks at the content
 * of one. Both read tiles of parameters as numbers or as codes (read/reading.h).
 */
#ifndef TARE_AUDIT_AUDIT_H
#define TARE_AUDIT_AUDIT_H

#include "base/pool.h"
#include "base/text.h"
#include "plan/plan.h"
#include "read/reading.h"

/* "key": value of JSON, with the comma that belongs before it. */
void tare_put_key(struct tare_text *text, const char *key);
void tare_put_text(struct tare_text *text, const char *key, const char *value);
void tare_put_number(struct tare_text *text, const char *key, uint64_t value);
void tare_put_bool(struct tare_text *text, const char *key, bool value);

#endif
