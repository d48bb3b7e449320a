/* SPDX-License-Identifier: MIT
 * findings.c - what verify found, in words: what, where, what was expected, what to do. */
#include <stdlib.h>
#include <string.h>

#include "audit/content.h"

static bool finding(struct tare_verify *v, const char *code, const char *where, const char *format, ...)
    TARE_PRINTF(4, 5);
static bool finding(struct tare_verify *v, const char *code, const char *where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = tare_arena_vformat(&v->arena, format, args);
    va_end(args);
    if (!text || !tare_grow(&v->findings, &v->room, v->n_findings + 1, sizeof *v->findings))
        return false;
    v->findings[v->n_findings++] = (struct tare_report_finding){TARE_WARNING, code, where, text};
    return true;
}

/* ---- files --------------------------------------------------------------------------------------------------- */

static const char *const source_of[TARE_BYS] = {[TARE_BY_HUB] = "hub cache", [TARE_BY_PROOF] = "tare.json"};

static bool matches(const struct tare_digest *d, int by)
{
    return !d->expected[by] || !strcmp(tare_digest_of(d, by), d->expected[by]);
}

static bool say_hash(struct tare_verify *v, const struct tare_digest *d, int by)
{
    if (matches(d, by))
        return true;
    if (by == TARE_BY_HUB)
        return finding(
            v, "hash", d->name,
            "its content is not what the hub cache's name of it says: %s is %s, %s was expected; it was damaged "
            "or changed in place, remove it and fetch it again",
            strlen(d->expected[by]) == 40 ? "git's sha1" : "sha256", tare_digest_of(d, by), d->expected[by]);
    return finding(v, "hash", d->name,
                   "its content is not what tare.json says: sha256 is %s, %s was expected; it was damaged or changed "
                   "after the conversion",
                   d->sha256, d->expected[by]);
}

/* Reports files of equal content: each of them but the first is said to be a copy of the first. */
static bool say_duplicate(struct tare_verify *v, size_t k)
{
    const struct tare_digest *all = v->digests.digests, *d = &all[k];
    if (!d->content || !d->size)
        return true;
    for (size_t i = 0; i < k; i++)
        if (all[i].content && all[i].size == d->size && !strcmp(all[i].sha256, d->sha256))
            return finding(v, "duplicate", d->name,
                           "has the same content as %s (sha256 %s): one of the two is a copy, or stands where another "
                           "file should",
                           all[i].name, d->sha256);
    return true;
}

static bool say_files(struct tare_verify *v)
{
    const struct tare_digests *all = &v->digests;
    struct tare_verify_file *files = tare_arena_array(&v->arena, all->n, sizeof *files);
    if (!files)
        return false;
    if (all->proof_fault && !finding(v, "proof", "tare.json", "cannot be used: %s", all->proof_fault))
        return false;
    v->report.files = files;
    v->report.n_files = all->n;
    for (size_t k = 0; k < all->n; k++) {
        const struct tare_digest *d = &all->digests[k];
        int by = d->expected[TARE_BY_HUB] && (!matches(d, TARE_BY_HUB) || !d->expected[TARE_BY_PROOF]) ? TARE_BY_HUB
                                                                                                       : TARE_BY_PROOF;
        files[k] =
            (struct tare_verify_file){.name = d->name,
                                      .size = d->size,
                                      .expected = d->expected[by],
                                      .source = d->expected[by] ? source_of[by] : NULL,
                                      .matches = !d->absent && matches(d, TARE_BY_HUB) && matches(d, TARE_BY_PROOF)};
        memcpy(files[k].sha256, d->sha256, sizeof d->sha256);
        if (d->absent) {
            if (!finding(v, "file-absent", d->name, "tare.json names it, and it is not there"))
                return false;
            continue;
        }
        v->report.bytes_hashed += d->size;
        if (!say_hash(v, d, TARE_BY_HUB) || !say_hash(v, d, TARE_BY_PROOF) || !say_duplicate(v, k))
            return false;
    }
    return true;
}

/* ---- numbers ------------------------------------------------------------------------------------------------- */

/* "(3, 17)" of element `at`. */
static const char *place(struct tare_verify *v, const struct tare_tensor *t, uint64_t at)
{
    struct tare_text text = {0};
    int64_t index[16];
    if (t->rank > 16)
        return tare_arena_format(&v->arena, "element %llu", (unsigned long long)at);
    for (int k = t->rank - 1; k >= 0; k--) {
        index[k] = (int64_t)(at % (uint64_t)t->shape[k]);
        at /= (uint64_t)t->shape[k];
    }
    for (int k = 0; k < t->rank; k++)
        tare_text_format(&text, "%s%lld", k ? ", " : "(", (long long)index[k]);
    tare_text_puts(&text, t->rank ? ")" : "(0)");
    const char *copy = text.failed ? NULL : tare_arena_text(&v->arena, text.data);
    tare_text_release(&text);
    return copy;
}

/* Reports one kind of special numbers in one tensor. */
static bool say_special(struct tare_verify *v, const struct tare_tensor *t, const struct tare_specials *found,
                        enum tare_special special, const char *code, const char *what, const char *cause)
{
    const uint64_t n = found->count[special];
    if (!n)
        return true;
    const char *file = v->model->checkpoint.files[t->file].name;
    const uint64_t of = t->size / tare_dtype_size(t->dtype);
    const char *first = place(v, t, found->first[special]);
    return first && finding(v, code, t->name, "%s: %llu of %llu numbers %s %s, the first at %s; %s", file,
                            (unsigned long long)n, (unsigned long long)of, n == 1 ? "is" : "are", what, first, cause);
}

static bool say_numbers(struct tare_verify *v, const struct tare_inspected *in, int part)
{
    static const char damage[] = "the file is damaged, or its producer overflowed";
    const struct tare_tensor *t = in->module->part[part];
    const struct tare_specials *found = &in->specials[part];
    const bool scale = part == TARE_PART_SCALES || part == TARE_PART_GLOBAL;
    if (!t)
        return true;
    return say_special(v, t, found, TARE_IS_NAN, scale ? "scale-nan" : "nan", "NaN", damage) &&
           say_special(v, t, found, TARE_IS_INFINITE, scale ? "scale-nan" : "infinite", "infinite", damage) &&
           (!scale || tare_dtype_size(t->dtype) == 1 || /* small floats live there */
            say_special(v, t, found, TARE_IS_DENORMAL, "scale-denormal", "denormal",
                        "such scales have few bits, and hardware that flushes them reads 0"));
}

/* One kind of fault of a module's groups; the text ends what "N of M groups, the first is group G of row R:" begins. */
static bool say_fault(struct tare_verify *v, const struct tare_inspected *in, enum tare_group_fault fault,
                      const char *code, const char *text)
{
    const uint64_t groups = (uint64_t)tare_module_groups(in->module), n = in->groups.count[fault];
    const uint64_t first = in->groups.first[fault];
    return !n || !text ||
           finding(v, code, in->module->name, "%llu of %llu groups, the first is group %llu of row %llu: %s",
                   (unsigned long long)n, (unsigned long long)tare_module_rows(in->module) * groups,
                   (unsigned long long)(first % groups), (unsigned long long)(first / groups), text);
}

static bool say_groups(struct tare_verify *v, const struct tare_inspected *in)
{
    const struct tare_groups_found *found = &in->groups;
    const bool beyond = found->count[TARE_GROUP_BEYOND], denormal = found->count[TARE_GROUP_DENORMAL];
    const char *range = !beyond ? NULL
                                : tare_arena_format(&v->arena,
                                                    "its zero is %g, %d bits hold 0 to %d; readers disagree "
                                                    "about such a zero",
                                                    (double)found->zero[TARE_GROUP_BEYOND], in->module->bits,
                                                    (1 << in->module->bits) - 1);
    const char *small = !denormal ? NULL
                                  : tare_arena_format(&v->arena,
                                                      "its scale %g is denormal, and hardware that flushes "
                                                      "such numbers reads 0",
                                                      (double)found->scale[TARE_GROUP_DENORMAL]);
    return (!beyond || range) && (!denormal || small) &&
           say_fault(
               v, in, TARE_GROUP_DEAD, "dead-group",
               found->scale[TARE_GROUP_DEAD] == 0
                   ? "its scale is 0; padding and pruned rows look so, and so do rows that were lost"
                   : "all its codes are the zero; padding and pruned rows look so, and so do rows that were lost") &&
           say_fault(v, in, TARE_GROUP_BEYOND, "zero-range", range) &&
           say_fault(v, in, TARE_GROUP_NAN, "scale-nan",
                     "its scale or minimum is no finite number; the file is damaged, "
                     "or its producer overflowed") &&
           say_fault(v, in, TARE_GROUP_DENORMAL, "scale-denormal", small);
}

bool tare_verify_say(struct tare_verify *v, bool hashed)
{
    if (hashed && !say_files(v))
        return false;
    for (size_t k = 0; k < v->n_inspected; k++) {
        for (int part = 0; part < TARE_PARTS; part++)
            if (!say_numbers(v, &v->inspected[k], part))
                return false;
        if (!say_groups(v, &v->inspected[k]))
            return false;
    }
    v->report.model = v->model->report.model;
    v->report.size = sizeof v->report;
    v->report.files_stride = sizeof *v->report.files;
    v->report.findings_stride = sizeof *v->report.findings;
    v->report.findings = v->findings;
    v->report.n_findings = v->n_findings;
    return true;
}
