/* SPDX-License-Identifier: MIT
 * os_threads.c - counts the entries of /proc/self/task. */
#include "os_threads.h"

#include <dirent.h>
#include <time.h>

#include "fixture.h"

void os_threads_pause(long nanoseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
}

int os_threads_count(void)
{
    DIR *folder = opendir("/proc/self/task");
    int n = 0;
    for (const struct dirent *entry; folder && (entry = readdir(folder));)
        n += entry->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return n;
}

void os_threads_expect(int n)
{
    int seen = os_threads_count();
    for (int i = 0; seen != n && i < 200; i++) {
        os_threads_pause(10000000);
        seen = os_threads_count();
    }
    assert_int_equal(seen, n);
}
