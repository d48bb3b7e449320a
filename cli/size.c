/* SPDX-License-Identifier: MIT
 * size.c - sizes as people write them: a whole number of bytes, or of K, M, G or T of them, in steps of 1000 as
 * safetensors' indices and llama-gguf-split count; a B may follow.
 */
#include "size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "print.h"

const char cli_shard_more[] =
    "A larger tensor has a file of its own. Safetensors has 5GB by default, and an index over several files; gguf is "
    "one "
    "file by default, and with this NAME-00001-of-0000N.gguf in a folder, as llama-gguf-split calls them (its "
    "--split-max-size).";

int cli_size_read(uint64_t *size, const char *flag, const char *text)
{
    static const char units[] = "KMGT";
    char message[160], *end;
    *size = 0;
    if (!text)
        return CLI_GO_ON;
    unsigned long long n = strspn(text, "0123456789") ? strtoull(text, &end, 10) : 0;
    const char *unit = n && *end ? strchr(units, *end) : NULL;
    bool good = n > 0 && n < UINT64_MAX;
    for (const char *k = units; good && unit && k <= unit; k++) {
        good = n <= UINT64_MAX / 1000;
        n *= 1000;
    }
    if (good && unit)
        end++;
    if (good && *end == 'B')
        end++;
    if (good && !*end) {
        *size = n;
        return CLI_GO_ON;
    }
    snprintf(message, sizeof message, "--%s needs a number of bytes, as 5GB, 500M or 1000000", flag);
    cli_error(text, message);
    return tare_code_exit(TARE_E_ARGUMENT);
}
