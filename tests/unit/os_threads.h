/* SPDX-License-Identifier: MIT
 * os_threads.h - how many threads the system sees in this process. */
#ifndef TARE_TEST_OS_THREADS_H
#define TARE_TEST_OS_THREADS_H

void os_threads_pause(long nanoseconds);
int os_threads_count(void);
/* Fails the test unless this process has that many threads. One that was joined is still to be seen for a moment. */
void os_threads_expect(int n);

#endif
