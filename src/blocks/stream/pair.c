/* SPDX-License-Identifier: MIT
 * pair.c - two blocks side by side in place of one (Gemma 4's dense and routed experts, Gemma 3n's attention and
 * laurel). */
#include "blocks/stream/pair.h"

#include "blocks/pass.h"

static size_t scratch(const void *block, int64_t tokens)
{
    const struct tare_pair *b = block;
    size_t most = 0;
    for (int i = 0; i < 2; i++) {
        const struct tare_block *part = &b->part[i];
        const size_t own = part->ops->scratch ? part->ops->scratch(part->self, tokens) : 0;
        most = own > most ? own : most;
    }
    return most + 2 * (size_t)tokens * (size_t)b->dim;
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct tare_pair *b = block;
    float *const before = pass->scratch, *normed = before, *other = before + pass->tokens * b->dim;
    float *const into[2] = {y, other};
    pass->scratch = other + pass->tokens * b->dim; /* of the parts */
    for (int i = 0; i < 2; i++) {
        tare_norm_forward(pass, &b->pre[i], b->dim, x, normed);
        b->part[i].ops->forward(b->part[i].self, pass, normed, into[i]);
        tare_norm_forward(pass, &b->post[i], b->dim, into[i], into[i]);
    }
    pass->scratch = before;
    tare_rows_add(pass, b->dim, other, y);
}

static uint64_t spared(const void *block, const struct tare_loaded *loaded)
{
    const struct tare_pair *b = block;
    uint64_t bytes = 0;
    for (int i = 0; i < 2; i++)
        bytes += b->part[i].ops->spared ? b->part[i].ops->spared(b->part[i].self, loaded) : 0;
    return bytes;
}

static int state(const void *block, struct tare_state_part parts[TARE_STATE_PARTS])
{
    const struct tare_pair *b = block;
    return b->part[0].ops->state(b->part[0].self, parts);
}

static const struct tare_block_ops ops = {.name = "pair", .scratch = scratch, .forward = forward, .spared = spared};

static const struct tare_block_ops stateful = {
    .name = "pair", .state = state, .scratch = scratch, .forward = forward, .spared = spared};

void tare_pair(struct tare_block *block, struct tare_at at, const struct tare_pair *pair)
{
    *block = (struct tare_block){0};
    if (pair->part[0].ops && pair->part[1].ops)
        tare_block_set(block, at, pair->part[0].ops->state ? &stateful : &ops, pair, sizeof *pair);
}
