/* SPDX-License-Identifier: MIT
 * test_hadamard.c - signed Walsh-Hadamard transforms, and the products and embeddings that need them.
 */
#include "blocks/hadamard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "sample.h"

enum { WIDTH = 24, BLOCK = 8, OUT = 5, TOKENS = 7 };

static float x[TOKENS * WIDTH], turned[TOKENS * WIDTH], want[TOKENS * WIDTH];
static const float signs[WIDTH] = {1, -1, -1, 1, 1, 1, -1, 1, -1, -1, -1, 1, 1, 1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1};

/* By the sum that defines it. */
static void turn_slowly(const float *from, float *to)
{
    for (int i = 0; i < WIDTH; i++) {
        double sum = 0;
        for (int k = 0; k < BLOCK; k++) {
            const int at = i / BLOCK * BLOCK + k;
            const double h = __builtin_popcount((unsigned)(i % BLOCK & k)) % 2 ? -1 : 1;
            sum += h * (double)signs[at] * (double)from[at];
        }
        to[i] = (float)(sum / sqrt(BLOCK));
    }
}

static void test_turns(void **unused)
{
    (void)unused;
    turn_slowly(x, want);
    tare_hadamard_turn(signs, BLOCK, WIDTH, x, turned);
    sample_near(turned, want, WIDTH, 1e-6f);
    tare_hadamard_back(signs, BLOCK, WIDTH, turned);
    sample_near(turned, x, WIDTH, 1e-6f);
}

/* A linear whose rows are turned, and says so, gives what it would give unturned; x may lie in wider rows. */
static void test_linear(void **unused)
{
    (void)unused;
    struct sample_block b;
    const struct tare_at at = sample_block_begin(&b, 3, WIDTH);
    struct tare_linear plain = tare_linear(at, "plain", WIDTH, OUT, BIAS),
                       other = tare_linear(at, "other", WIDTH, OUT, BIAS);
    float wide[TOKENS * (WIDTH + 3)], y[2][TOKENS * OUT];
    other.weight->signs = tare_plain(at, "other.signs", 1, (int64_t)WIDTH);
    other.weight->block = BLOCK;
    sample_block_load(&b);
    memcpy(b.loaded.vectors[other.weight->signs->index], signs, sizeof signs);
    memcpy(b.loaded.vectors[other.bias->index], b.loaded.vectors[plain.bias->index], OUT * sizeof(float));
    for (int r = 0; r < OUT; r++)
        turn_slowly(b.loaded.vectors[plain.weight->index] + r * WIDTH,
                    b.loaded.vectors[other.weight->index] + r * WIDTH);
    for (int t = 0; t < TOKENS; t++)
        memcpy(wide + t * (WIDTH + 3), x + t * WIDTH, WIDTH * sizeof *x);
    b.pass.turned = turned;
    b.pass.tokens = TOKENS;
    tare_linear_forward(&b.pass, &plain, x, WIDTH, y[0], OUT);
    tare_linear_forward(&b.pass, &other, wide, WIDTH + 3, y[1], OUT);
    sample_near(y[1], y[0], TOKENS * OUT, 1e-5f);
    sample_block_end(&b);
}

/* A row of an embedding is rounded to float16, turned back, and rounded again. */
static void test_embedded(void **unused)
{
    (void)unused;
    struct sample_block b;
    const struct tare_at at = sample_block_begin(&b, 1, WIDTH);
    struct tare_parameter *embedding = tare_embedding(at, "embedding", 2, WIDTH);
    float row[WIDTH], rounded[WIDTH];
    embedding->signs = tare_plain(at, "signs", 1, (int64_t)WIDTH);
    embedding->block = BLOCK;
    sample_block_load(&b);
    memcpy(b.loaded.vectors[embedding->signs->index], signs, sizeof signs);
    tare_hadamard_turn(signs, BLOCK, WIDTH, x, row);
    tare_hadamard_embedded(&b.pass, embedding, WIDTH, row);
    sample_near(row, x, WIDTH, 1e-6f);
    embedding->halved = true;
    tare_hadamard_turn(signs, BLOCK, WIDTH, x, row);
    tare_hadamard_embedded(&b.pass, embedding, WIDTH, row);
    sample_near(row, x, WIDTH, 2e-3f);
    for (int i = 0; i < WIDTH; i++)
        rounded[i] = tare_from_float16(tare_to_float16(row[i]));
    assert_memory_equal(row, rounded, sizeof row);
    assert_memory_not_equal(row, x, sizeof row);
    sample_block_end(&b);
}

int main(void)
{
    sample_fill(x, TOKENS * WIDTH, "x", 0, 2);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_turns), cmocka_unit_test(test_linear),
                                       cmocka_unit_test(test_embedded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
