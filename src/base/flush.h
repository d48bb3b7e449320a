/* SPDX-License-Identifier: MIT
 * flush.h - brings a file or folder to the disk. */
#ifndef TARE_BASE_FLUSH_H
#define TARE_BASE_FLUSH_H

/* As fsync(2): 0, or -1 and errno. When it returns, the data outlive a loss of power, which on macOS fsync() alone does not
 * promise. */
int tare_flush(int fd);

#endif
