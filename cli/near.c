/* SPDX-License-Identifier: MIT
 * near.c - finds the three names that are nearest to a word, by edit distance. */
#include "near.h"

#include <string.h>

enum { LONGEST = 255 };

static size_t min3(size_t a, size_t b, size_t c)
{
    const size_t d = a < b ? a : b;
    return d < c ? d : c;
}

/* Levenshtein's distance, computed row by row. Of a name over 255 letters it is the length of the longer one, so such
 * a name is never near. */
static size_t distance(const char *a, const char *b)
{
    size_t row[LONGEST + 1];
    const size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST)
        return n > m ? n : m;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            const size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[m];
}

struct cli_near cli_near_init(const char *word)
{
    return (struct cli_near){.word = word};
}

void cli_near_offer(struct cli_near *near, const char *name)
{
    const size_t n = strlen(near->word), m = strlen(name), gap = n > m ? n - m : m - n;
    const size_t worst = near->n == CLI_NEAR ? near->distance[CLI_NEAR - 1] : (size_t)-1;
    const int inside = n > 2 && strstr(name, near->word) != NULL;
    if (!inside && gap >= worst)
        return;
    const size_t d = inside ? 1 : distance(near->word, name);
    if (d >= worst)
        return;
    size_t at = near->n < CLI_NEAR ? near->n++ : CLI_NEAR - 1;
    for (; at > 0 && near->distance[at - 1] > d; at--) {
        near->name[at] = near->name[at - 1];
        near->distance[at] = near->distance[at - 1];
    }
    near->name[at] = name;
    near->distance[at] = d;
}
