/* SPDX-License-Identifier: MIT
 * pair.c - two blocks side by side in place of one (Gemma 4's dense and routed experts, Gemma 3n's attention and
 * laurel). */
#include "blocks/stream/pair.h"

#include "blocks/pass.h"
#include "blocks/scratch.h"

struct room {
    float *normed; /* (tokens, dim): what the part in turn takes */
    float *other;  /* (tokens, dim): what the second part gives */
    float *inner;  /* the scratch of the part in turn */
};

static size_t lay_out(const struct tare_pair *b, int64_t tokens, float *memory, struct room *room)
{
    struct tare_scratch s = {memory, 0};
    size_t most = 0;
    for (int i = 0; i < 2; i++) {
        const struct tare_block *part = &b->part[i];
        const size_t own = part->ops->scratch ? part->ops->scratch(part->self, tokens) : 0;
        most = own > most ? own : most;
    }
    room->inner = tare_scratch_take(&s, 1, (int64_t)most); /* first: it may need more alignment than a float */
    room->normed = tare_scratch_take(&s, tokens, b->dim);
    room->other = tare_scratch_take(&s, tokens, b->dim);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct room counted;
    return lay_out(block, tokens, NULL, &counted);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct tare_pair *b = block;
    float *const whole = pass->scratch;
    struct room room;
    lay_out(b, pass->tokens, whole, &room);
    float *const into[2] = {y, room.other};
    pass->scratch = room.inner;
    for (int i = 0; i < 2; i++) {
        tare_norm_forward(pass, &b->pre[i], b->dim, x, room.normed);
        b->part[i].ops->forward(b->part[i].self, pass, room.normed, into[i]);
        tare_norm_forward(pass, &b->post[i], b->dim, into[i], into[i]);
    }
    pass->scratch = whole;
    tare_rows_add(pass, b->dim, room.other, y);
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
