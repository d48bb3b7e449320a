/* SPDX-License-Identifier: MIT
 * picked.c - prints the name of the kernels that this CPU is given. */
#include <stdio.h>

#include "kernels/kernels.h"

int main(void)
{
    struct tare_kernels k;
    if (!tare_kernels_pick(&k, NULL))
        return 1;
    puts(k.name);
    return 0;
}
