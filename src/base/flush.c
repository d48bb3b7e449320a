/* SPDX-License-Identifier: MIT
 * flush.c - fsync(), and F_FULLFSYNC where fsync() ends in the cache of the drive (macOS: man 2 fsync). */
#include "base/flush.h"

#include <fcntl.h>
#include <unistd.h>

#if defined(F_FULLFSYNC)
int tare_flush(int fd)
{
    return fcntl(fd, F_FULLFSYNC) ? fsync(fd) : 0; /* file systems of other machines (SMB) do not know F_FULLFSYNC */
}
#else
int tare_flush(int fd)
{
    return fsync(fd);
}
#endif
