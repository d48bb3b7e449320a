/* SPDX-License-Identifier: MIT
 * api.c - the hub's JSON: revision, tree, search. Every name, size and hash is held against what it may be. */
#include "hub/api.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/json.h"
#include "hub/refusal.h"
#include "hub/url.h"

/* A page has a thousand rows of some 400 bytes. */
#define PAGE_MOST ((uint64_t)8 << 20)
enum { PAGES_MOST = 200, FILES_MOST = 100000 };

/* ---- one page -------------------------------------------------------------------------------------------------- */

/* A JSON answer: collected, then parsed. */
struct page {
    struct tare_request request;
    struct tare_text text;
};

static enum tare_code collect(struct tare_request *request, const void *bytes, size_t n, struct tare_error *err)
{
    struct page *page = request->user;
    if (request->got == 0)
        page->text.size = 0;
    tare_text_add(&page->text, bytes, n);
    return page->text.failed ? tare_fail_memory(err) : TARE_OK;
}

/* Asks for `url`, which it frees, and parses the answer. */
static enum tare_code ask(struct page *page, struct tare_http *http, char *url, json_t **json, struct tare_error *err)
{
    struct tare_request *request = &page->request;
    page->text.size = 0;
    request->url = url;
    request->size = request->total = TARE_HTTP_UNKNOWN;
    request->most = PAGE_MOST;
    request->body = collect;
    request->user = page;
    *json = NULL;
    enum tare_code code = tare_http_add(http, request, err);
    if (!code && (code = tare_http_finish(http, err)))
        tare_http_drop(http, request);
    else if (!code && (code = request->code) && err)
        *err = request->err;
    if (code)
        return code;
    struct tare_error why = {0};
    const struct tare_hub_place place = tare_hub_place(request);
    code = tare_json_parse(json, place.text, page->text.size ? page->text.data : "", page->text.size, &why);
    if (code == TARE_E_MEMORY)
        return tare_fail_memory(err);
    return code ? tare_fail(err, TARE_E_FORMAT, place.text,
                            "the answer is not JSON: this is no hub, or something between answers for it")
                : TARE_OK;
}

static enum tare_code not_a_hub(const struct page *page, const char *what, struct tare_error *err)
{
    return tare_fail(err, TARE_E_FORMAT, tare_hub_place(&page->request).text,
                     "the hub's answer has no %s as a hub gives it", what);
}

/* ---- revision -------------------------------------------------------------------------------------------------- */

static enum tare_code read_commit(char commit[TARE_HUB_COMMIT], struct tare_http *http, const struct tare_hub *hub,
                                  const struct tare_hub_name *name, struct tare_error *err)
{
    struct page page = {.request = {.repo = name->id, .revision = name->revision}};
    struct tare_text url = {0};
    json_t *json = NULL;
    tare_text_format(&url, "%s/api/models/%s/revision/", hub->endpoint, name->id);
    tare_url_quote(&url, name->revision, false);
    enum tare_code code = url.failed ? tare_fail_memory(err) : ask(&page, http, url.data, &json, err);
    const char *sha = json_string_value(json_object_get(json, "sha"));
    if (!code && (!sha || !tare_hub_is_commit(sha)))
        code = not_a_hub(&page, "commit", err);
    if (!code)
        memcpy(commit, sha, TARE_HUB_COMMIT);
    json_decref(json);
    tare_text_release(&page.text);
    return code;
}

/* ---- tree ------------------------------------------------------------------------------------------------------ */

static enum tare_code bad_row(const struct page *page, const char *path, const char *what, struct tare_error *err)
{
    return tare_fail(err, TARE_E_FORMAT, tare_hub_place(&page->request).text,
                     "the hub lists a file \"%.200s\" %s: nothing is taken from such a list", path ? path : "?", what);
}

static enum tare_code add_row(struct tare_hub_tree *tree, const struct page *page, const json_t *row,
                              struct tare_error *err)
{
    const char *type = json_string_value(json_object_get(row, "type"));
    const char *path = json_string_value(json_object_get(row, "path"));
    const json_t *lfs = json_object_get(row, "lfs");
    const json_t *size = json_object_get(json_is_object(lfs) ? lfs : row, "size");
    const char *oid = json_string_value(json_object_get(json_is_object(lfs) ? lfs : row, "oid"));
    if (!type || (strcmp(type, "file") != 0 && strcmp(type, "directory") != 0))
        return not_a_hub(page, "list of files", err);
    if (strcmp(type, "directory") == 0)
        return TARE_OK;
    if (!path || !tare_hub_is_path(path))
        return bad_row(page, path, "whose name is no plain path", err);
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return bad_row(page, path, "without a size", err);
    if (!oid || !tare_hub_is_etag(oid) || (strlen(oid) == 64) != json_is_object(lfs))
        return bad_row(page, path, "without a hash that is one", err);
    if (tree->n == FILES_MOST || !tare_grow(&tree->files, &tree->room, tree->n + 1, sizeof *tree->files))
        return tree->n == FILES_MOST ? not_a_hub(page, "list of files that ends", err) : tare_fail_memory(err);
    struct tare_hub_file *file = &tree->files[tree->n++];
    file->path = tare_arena_text(&tree->arena, path);
    file->size = (uint64_t)json_integer_value(size);
    memcpy(file->etag, oid, strlen(oid) + 1);
    return file->path ? TARE_OK : tare_fail_memory(err);
}

static int by_path(const void *left, const void *right)
{
    const struct tare_hub_file *a = left, *b = right;
    return strcmp(a->path, b->path);
}

/* The address of the next page, which must be the endpoint's own: what Link says decides neither host nor token. */
static enum tare_code next_page(const struct page *page, const struct tare_hub *hub, char **url, struct tare_error *err)
{
    struct tare_origin here, there;
    const struct tare_answer *answer = &page->request.answer;
    *url = NULL;
    if (!*answer->next)
        return TARE_OK;
    char *next = tare_url_join(hub->endpoint, answer->next);
    if (!next || tare_url_origin(hub->endpoint, &here, NULL) || tare_url_origin(next, &there, NULL) ||
        !tare_origin_same(&here, &there)) {
        free(next);
        return not_a_hub(page, "next page of its own", err);
    }
    *url = next;
    return TARE_OK;
}

static enum tare_code read_pages(struct tare_hub_tree *tree, struct page *page, struct tare_http *http,
                                 const struct tare_hub *hub, char *url, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (int pages = 0; url && !code; pages++) {
        json_t *json = NULL;
        if (pages == PAGES_MOST) {
            free(url);
            return not_a_hub(page, "list of files that ends", err);
        }
        code = ask(page, http, url, &json, err);
        url = NULL;
        if (!code && !json_is_array(json))
            code = not_a_hub(page, "list of files", err);
        for (size_t i = 0; i < json_array_size(json) && !code; i++)
            code = add_row(tree, page, json_array_get(json, i), err);
        json_decref(json);
        if (!code)
            code = next_page(page, hub, &url, err);
    }
    return code;
}

enum tare_code tare_hub_tree_read(struct tare_hub_tree *tree, struct tare_http *http, const struct tare_hub *hub,
                                  const struct tare_hub_name *name, struct tare_error *err)
{
    struct page page = {.request = {.repo = name->id, .revision = name->revision}};
    struct tare_text url = {0};
    enum tare_code code = TARE_OK;
    if (tare_hub_is_commit(name->revision))
        memcpy(tree->commit, name->revision, TARE_HUB_COMMIT);
    else
        code = read_commit(tree->commit, http, hub, name, err);
    if (code)
        return code;
    tare_text_format(&url, "%s/api/models/%s/tree/%s?recursive=true&expand=false", hub->endpoint, name->id,
                     tree->commit);
    code = url.failed ? tare_fail_memory(err) : read_pages(tree, &page, http, hub, url.data, err);
    tare_text_release(&page.text);
    if (tree->n)
        qsort(tree->files, tree->n, sizeof *tree->files, by_path);
    for (size_t i = 1; i < tree->n && !code; i++)
        if (strcmp(tree->files[i - 1].path, tree->files[i].path) == 0)
            code = bad_row(&page, tree->files[i].path, "twice", err);
    return code;
}

void tare_hub_tree_release(struct tare_hub_tree *tree)
{
    free(tree->files);
    tare_arena_release(&tree->arena);
    *tree = (struct tare_hub_tree){0};
}

const struct tare_hub_file *tare_hub_tree_find(const struct tare_hub_tree *tree, const char *path)
{
    const struct tare_hub_file key = {.path = path};
    return tree->n ? bsearch(&key, tree->files, tree->n, sizeof *tree->files, by_path) : NULL;
}

char *tare_hub_file_url(const struct tare_hub *hub, const char *id, const char *commit, const char *path)
{
    struct tare_text url = {0};
    tare_text_format(&url, "%s/%s/resolve/%s/", hub->endpoint, id, commit);
    tare_url_quote(&url, path, true);
    if (url.failed)
        tare_text_release(&url);
    return url.data;
}

/* ---- search ---------------------------------------------------------------------------------------------------- */

static enum tare_code add_found(struct tare_hub_findings *findings, const json_t *row, struct tare_error *err)
{
    struct tare_hub_name name;
    const char *id = json_string_value(json_object_get(row, "id"));
    const json_t *tags = json_object_get(row, "tags"), *gated = json_object_get(row, "gated");
    const json_int_t bytes = json_integer_value(json_object_get(row, "usedStorage"));
    struct tare_text words = {0};
    if (!id || tare_hub_name_read(&name, id, NULL) || strcmp(name.id, id) != 0)
        return TARE_OK; /* a name that nobody could ask for */
    if (!tare_grow(&findings->found, &findings->room, findings->n + 1, sizeof *findings->found))
        return tare_fail_memory(err);
    struct tare_hub_found *found = &findings->found[findings->n++];
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));
        if (tag && !strpbrk(tag, " \n"))
            tare_text_format(&words, "%s%s", words.size ? " " : "", tag);
    }
    found->id = tare_arena_text(&findings->arena, id);
    found->tags = tare_arena_text(&findings->arena, words.size ? words.data : "");
    found->downloads = json_integer_value(json_object_get(row, "downloads"));
    found->likes = json_integer_value(json_object_get(row, "likes"));
    found->bytes = bytes > 0 ? (uint64_t)bytes : 0;
    found->gated = json_is_true(gated) || json_is_string(gated);
    const bool failed = words.failed || findings->arena.failed;
    tare_text_release(&words);
    return failed ? tare_fail_memory(err) : TARE_OK;
}

enum tare_code tare_hub_search(struct tare_hub_findings *findings, struct tare_http *http, const struct tare_hub *hub,
                               const char *words, int limit, struct tare_error *err)
{
    static const char *const fields[] = {"tags", "downloads", "likes", "gated", "usedStorage"};
    struct page page = {.request = {.file = "search"}};
    struct tare_text url = {0};
    json_t *json = NULL;
    tare_text_format(&url, "%s/api/models?search=", hub->endpoint);
    tare_url_quote(&url, words, false);
    tare_text_format(&url, "&sort=downloads&limit=%d", limit);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        tare_text_format(&url, "&expand=%s", fields[i]);
    enum tare_code code = url.failed ? tare_fail_memory(err) : ask(&page, http, url.data, &json, err);
    if (!code && !json_is_array(json))
        code = not_a_hub(&page, "list of models", err);
    for (size_t i = 0; i < json_array_size(json) && i < (size_t)limit && !code; i++)
        code = add_found(findings, json_array_get(json, i), err);
    json_decref(json);
    tare_text_release(&page.text);
    return code;
}

void tare_hub_findings_release(struct tare_hub_findings *findings)
{
    free(findings->found);
    tare_arena_release(&findings->arena);
    *findings = (struct tare_hub_findings){0};
}
