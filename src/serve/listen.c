/* SPDX-License-Identifier: MIT
 * listen.c - the sockets that the server listens on, its own or systemd's, and what it tells systemd. */
#include <errno.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve/server.h"

/* The first descriptor that systemd hands over (sd_listen_fds(3)). */
#define FIRST_HANDED 3
#define BACKLOG 1024
#define DESCRIPTORS 65536

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length,
                      void *user)
{
    struct serve *s = user;
    char peer[64] = "?";
    (void)listener;
    getnameinfo(address, (socklen_t)length, peer, sizeof peer, NULL, 0, NI_NUMERICHOST);
    http_accept(s->http, fd, peer);
}

/* accept() failed, mostly because no descriptor is free: idle connections end soon, so it is tried again then. */
static void on_error(struct evconnlistener *listener, void *user)
{
    (void)listener;
    (void)user;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static enum tare_code listen_on(struct serve *s, int fd)
{
    if (s->n_listeners == SERVE_LISTENERS)
        return TARE_E_ARGUMENT;
    evutil_make_socket_nonblocking(fd);
    struct evconnlistener *l =
        evconnlistener_new(s->base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
    if (!l)
        return TARE_E_IO;
    evconnlistener_set_error_cb(l, on_error);
    s->listeners[s->n_listeners++] = l;
    return TARE_OK;
}

static enum tare_code fail(struct tare_error *err, const char *where, const char *why)
{
    *err = (struct tare_error){.code = TARE_E_IO};
    snprintf(err->where, sizeof err->where, "%s", where);
    snprintf(err->text, sizeof err->text, "%s", why);
    return TARE_E_IO;
}

/* How many sockets systemd handed over: those in LISTEN_FDS, if LISTEN_PID is this process (sd_listen_fds(3)). */
static long handed_sockets(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    const long n = pid && count && strtol(pid, NULL, 10) == (long)getpid() ? strtol(count, NULL, 10) : 0;
    unsetenv("LISTEN_PID"); /* not for programs that this one starts */
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return n > 0 ? n : 0;
}

static enum tare_code take_handed(struct serve *s, long n, struct tare_error *err)
{
    for (long i = 0; i < n; i++) {
        const int fd = FIRST_HANDED + (int)i;
        int listens = 0;
        socklen_t size = sizeof listens;
        char where[40];
        snprintf(where, sizeof where, "LISTEN_FDS, descriptor %d", fd);
        if (n > SERVE_LISTENERS)
            return fail(err, "LISTEN_FDS", "more sockets are handed over than are taken, 16");
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || !listens)
            return fail(err, where, "it is no socket that listens for streams; tare.socket needs ListenStream=");
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (listen_on(s, fd))
            return fail(err, where, "it cannot be listened on");
    }
    return TARE_OK;
}

/* Each connection takes a descriptor, and the usual limit is 1024 although the system would allow more. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < DESCRIPTORS) {
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

enum tare_code serve_listen(struct serve *s, struct tare_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[16], where[250];
    int last = 0;
    raise_descriptors();
    const long handed = handed_sockets();
    if (handed)
        return take_handed(s, handed, err);
    snprintf(port, sizeof port, "%d", s->options->port);
    snprintf(where, sizeof where, "%s:%s", s->options->host, port);
    const int status = getaddrinfo(s->options->host, port, &hints, &list);
    if (status != 0)
        return fail(err, where, gai_strerror(status));
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        const int one = 1, fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (a->ai_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
        if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 || listen_on(s, fd)) {
            last = errno;
            close(fd);
        }
    }
    freeaddrinfo(list);
    return s->n_listeners ? TARE_OK : fail(err, where, strerror(last));
}

void serve_listen_stop(struct serve *s)
{
    while (s->n_listeners)
        evconnlistener_free(s->listeners[--s->n_listeners]);
}

int serve_port(const struct serve *s)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char port[16] = "0";
    if (getsockname(evconnlistener_get_fd(s->listeners[0]), (struct sockaddr *)&address, &length) == 0)
        getnameinfo((struct sockaddr *)&address, length, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    return (int)strtol(port, NULL, 10);
}

void serve_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    if (fd >= 0) {
        const socklen_t length = (socklen_t)(sizeof address.sun_family + strlen(path));
        (void)!sendto(fd, state, strlen(state), 0, (struct sockaddr *)&address, length);
        close(fd);
    }
}
