/* SPDX-License-Identifier: MIT
 * hub.h - where the hub is, who asks, and how patiently: what every file of this room is told. The room reads no
 * environment; the command does, and fills this in. */
#ifndef TARE_HUB_HUB_H
#define TARE_HUB_HUB_H

#include <stdbool.h>
#include <stdint.h>

/* All texts are borrowed and must outlive whatever is opened with them; NULL where nothing is said otherwise. */
struct tare_hub {
    /* "https://huggingface.co", without a slash at the end; never NULL. */
    const char *endpoint;
    /* Sent to the endpoint's origin alone, and over plain http only to this machine. */
    const char *token;
    /* The folder that holds models--ORG--NAME; never NULL. */
    const char *cache;
    /* Proxies as curl spells them, and the hosts that need none. */
    const char *http_proxy;
    const char *https_proxy;
    const char *no_proxy;
    /* Certificates to trust instead of the system's. */
    const char *ca_file;
    /* "tare/0.1.0". */
    const char *user_agent;
    /* Requests that are under way at once; at least 1. */
    int connections;
    /* Seconds to connect in, and seconds without a sign of life after which a request is given up. */
    int connect_seconds;
    int idle_seconds;
    /* No request at all. */
    bool offline;
    /* Files instead of links in snapshots/. */
    bool no_links;
    /* Called a few times a second, may be NULL: what is done, of how many bytes. Not 0: stop. */
    int (*progress)(void *user, const char *stage, uint64_t done, uint64_t total);
    /* Called for what a person should know while it goes on, may be NULL: "waiting for another program". */
    void (*note)(void *user, const char *where, const char *text);
    void *user;
};

#endif
