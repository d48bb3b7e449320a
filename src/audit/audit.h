/* SPDX-License-Identifier: MIT
 * audit.h - what the files of audit/ share. diff.c holds two plans against each other, content.c looks at the content
 * of one. Both read tiles of parameters as numbers or as codes (read/readable.h).
 */
#ifndef TARE_AUDIT_AUDIT_H
#define TARE_AUDIT_AUDIT_H

#include "base/pool.h"
#include "base/text.h"
#include "plan/plan.h"
#include "plan/put_json.h"
#include "read/readable.h"

#endif
