/* SPDX-License-Identifier: MIT
 * diff_json.c - a diff in JSON; docs/json.md is the contract. */
#include <math.h>
#include <string.h>

#include "audit/audit.h"

const char *tare_sameness_name(enum tare_sameness sameness)
{
    static const char *const words[TARE_SAMENESS_COUNT] = {
        [TARE_SAME_BYTES] = "bytes",        [TARE_SAME_CODES] = "codes",      [TARE_SAME_VALUES] = "values",
        [TARE_DIFFERENT] = "different",     [TARE_DIFFERENT_SHAPE] = "shape", [TARE_ONLY_FIRST] = "only-first",
        [TARE_ONLY_SECOND] = "only-second",
    };
    return (unsigned)sameness < TARE_SAMENESS_COUNT ? words[sameness] : "?";
}

/* JSON has no word for what is not finite: "nan", "inf", "-inf". */
static void put_real(struct tare_text *t, double value)
{
    if (isfinite(value))
        tare_text_format(t, "%.17g", value);
    else
        tare_text_puts(t, isnan(value) ? "\"nan\"" : value > 0 ? "\"inf\"" : "\"-inf\"");
}

static void put_side(struct tare_text *t, const struct tare_diff_side *side)
{
    if (!side->packing) {
        tare_text_puts(t, "null");
        return;
    }
    tare_text_puts(t, "{");
    tare_put_text(t, "packing", side->packing);
    tare_put_number(t, "bits", (uint64_t)side->bits);
    tare_put_number(t, "group_size", (uint64_t)side->group_size);
    tare_put_key(t, "shape");
    tare_text_puts(t, "[");
    for (int k = 0; k < side->rank; k++)
        tare_text_format(t, "%s%lld", k ? ", " : "", (long long)side->shape[k]);
    tare_text_puts(t, "]}");
}

static void put_row(struct tare_text *t, const struct tare_diff_row *row)
{
    tare_text_puts(t, "{");
    tare_put_text(t, "name", row->name);
    tare_put_text(t, "same", tare_sameness_name(row->sameness));
    tare_put_key(t, "sides");
    tare_text_puts(t, "[");
    put_side(t, row->side[0]);
    tare_text_puts(t, ", ");
    put_side(t, row->side[1]);
    tare_text_puts(t, "]");
    tare_put_number(t, "elements", row->elements);
    if (row->sameness == TARE_DIFFERENT) {
        tare_put_bool(t, "codes", row->codes);
        tare_put_number(t, "differing", row->differing);
        tare_put_key(t, "largest");
        put_real(t, row->largest);
        if (row->relative > 0) { /* it was asked for */
            tare_put_key(t, "relative");
            put_real(t, row->relative);
        }
        tare_put_number(t, "row", (uint64_t)row->row);
        tare_put_number(t, "column", (uint64_t)row->column);
        tare_put_key(t, "values");
        tare_text_puts(t, "[");
        put_real(t, row->value[0]);
        tare_text_puts(t, ", ");
        put_real(t, row->value[1]);
        tare_text_puts(t, "]");
    }
    tare_text_puts(t, "}");
}

char *tare_diff_json(const tare_diff *diff)
{
    const struct tare_diff_report *report = tare_diff_report(diff);
    struct tare_text t = {0};
    if (!report)
        return NULL;
    tare_text_puts(&t, "{");
    tare_put_text(&t, "tare", tare_version());
    tare_put_key(&t, "models");
    tare_text_puts(&t, "[");
    tare_text_json(&t, report->model[0]);
    tare_text_puts(&t, ", ");
    tare_text_json(&t, report->model[1]);
    tare_text_puts(&t, "]");
    tare_put_bool(&t, "equal", report->equal);
    tare_put_number(&t, "exit", report->equal ? 0 : 1);
    tare_put_key(&t, "counts");
    tare_text_puts(&t, "{");
    for (int k = 0; k < TARE_SAMENESS_COUNT; k++)
        tare_put_number(&t, tare_sameness_name((enum tare_sameness)k), report->counts[k]);
    tare_text_puts(&t, "},\n \"parameters\": [");
    for (size_t k = 0; k < report->n_rows; k++) {
        tare_text_puts(&t, k ? ",\n  " : "\n  ");
        put_row(&t, &report->rows[k]);
    }
    tare_text_puts(&t, "]}\n");
    if (t.failed)
        tare_text_release(&t);
    return t.data;
}
