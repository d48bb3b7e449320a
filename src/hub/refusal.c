/* SPDX-License-Identifier: MIT
 * refusal.c - statuses and X-Error-Code into sentences, in the order in which huggingface_hub reads them. */
#include "hub/refusal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct tare_hub_place tare_hub_place(const struct tare_request *request)
{
    struct tare_hub_place place;
    const bool revision = !request->file && request->revision && strcmp(request->revision, "main") != 0;
    const char *repo = request->repo ? request->repo : "";
    if (request->file)
        snprintf(place.text, sizeof place.text, "%s%s%.180s", repo, *repo ? ": " : "", request->file);
    else
        snprintf(place.text, sizeof place.text, "%s%s%.100s", repo, revision ? "@" : "",
                 revision ? request->revision : "");
    return place;
}

static enum tare_code gated(const struct tare_hub *hub, const struct tare_request *request, const char *place,
                            struct tare_error *err)
{
    return tare_fail(err, TARE_E_ABSENT, place,
                     "is gated%s: ask for access on %s/%s, then set HF_TOKEN to a token of that account",
                     request->answer.status == 403 ? ", and this token has no access" : " and needs a token",
                     hub->endpoint, request->repo);
}

static enum tare_code by_status(const struct tare_hub *hub, const struct tare_request *request, const char *place,
                                struct tare_error *err)
{
    const int status = request->answer.status;
    if (status == 401 && hub->token)
        return tare_fail(err, TARE_E_ABSENT, place, "the hub does not accept the token: look at HF_TOKEN, or unset it");
    if (status == 401 || status == 404)
        return tare_fail(err, TARE_E_ABSENT, place, "is not on the hub, or private%s",
                         hub->token ? " and not for this token" : ": a private one needs HF_TOKEN");
    if (status == 403)
        return tare_fail(err, TARE_E_ABSENT, place, "the hub refuses access (403)%s",
                         hub->token ? "; has the token the right to read it?" : "; a token in HF_TOKEN may have it");
    if (status == 429)
        return tare_fail(err, TARE_E_ABSENT, place,
                         "the hub says there were too many requests (429): wait some minutes and try again%s",
                         hub->token ? "" : "; with a token in HF_TOKEN more are allowed");
    if (status >= 500)
        return tare_fail(err, TARE_E_ABSENT, place, "the hub has a fault of its own (%d): try again later", status);
    if (status == 416)
        return tare_fail(err, TARE_E_FORMAT, place,
                         "the server has fewer bytes of it than the hub says (416): try again later");
    return tare_fail(err, TARE_E_FORMAT, place, "was answered with status %d, which no hub gives; is %s one?", status,
                     hub->endpoint);
}

enum tare_code tare_hub_refusal(const struct tare_hub *hub, const struct tare_request *request, struct tare_error *err)
{
    const struct tare_answer *answer = &request->answer;
    const struct tare_hub_place where = tare_hub_place(request);
    const char *place = where.text, *code = request->abroad ? "" : answer->error;
    const char *message = request->abroad ? "" : answer->message;
    if (strcmp(code, "RevisionNotFound") == 0)
        return tare_fail(err, TARE_E_ABSENT, place, "%s has no revision \"%.100s\": its branches and tags are on %s/%s",
                         request->repo, request->revision ? request->revision : "main", hub->endpoint, request->repo);
    if (strcmp(code, "EntryNotFound") == 0)
        return tare_fail(err, TARE_E_ABSENT, place, "the repository has no such file");
    if (strcmp(code, "GatedRepo") == 0)
        return gated(hub, request, place, err);
    if (strncasecmp(message, "Access to this resource is disabled", 35) == 0)
        return tare_fail(err, TARE_E_ABSENT, place, "was disabled by the hub: it cannot be downloaded any more");
    if (strcmp(code, "RepoNotFound") == 0)
        return tare_fail(err, TARE_E_ABSENT, place, "is not on the hub, or private%s",
                         hub->token ? " and not for this token" : ": a private one needs a token in HF_TOKEN");
    return by_status(hub, request, place, err);
}
