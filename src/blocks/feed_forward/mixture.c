/* SPDX-License-Identifier: MIT
 * mixture.c - routed experts: what is declared, and the way of a pass through router, experts and shared expert.
 * Shazeer et al. 2017. */
#include "blocks/feed_forward/mixture.h"

#include "blocks/feed_forward/mixture_self.h"

/* The parts of the work memory. It is aligned for the products, which come first. */
static size_t lay_out(const struct tare_mixture *b, int64_t tokens, float *memory, struct tare_mixture_job *j)
{
    const int64_t n = b->router.n, top = b->router.top, wave = tare_experts_wave(b, tokens);
    const int64_t groups = b->router.groups > 0 ? b->router.groups : 0;
    struct tare_scratch s = {memory, 0};
    j->products = tare_scratch_take(&s, 2 * n, (int64_t)(sizeof(struct tare_product) / sizeof(float)));
    j->logits = tare_scratch_take(&s, tokens, n);
    j->choice = tare_scratch_take(&s, tokens, n + groups);
    j->weight = tare_scratch_take(&s, tokens, top);
    j->chosen = tare_scratch_take(&s, tokens, top);
    j->slot = tare_scratch_take(&s, tokens, top);
    j->pair = tare_scratch_take(&s, tokens, top);
    j->begin = tare_scratch_take(&s, 1, n + 1);
    j->units = tare_scratch_take(&s, wave, 2 * b->hidden);
    j->rows = tare_scratch_take(&s, wave, b->width);
    j->shared = tare_scratch_take(&s, tokens, 2 * b->shared.hidden);
    j->shared_y = tare_scratch_take(&s, b->shared.hidden > 0 ? tokens : 0, b->dim);
    j->coefficient = tare_scratch_take(&s, tokens, 2);
    j->narrow = tare_scratch_take(&s, b->narrow.weight ? tokens : 0, 2 * b->width);
    j->normed = tare_scratch_take(&s, b->gate_norm.kind ? tokens : 0, b->dim);
    return s.floats;
}

static size_t scratch(const void *block, int64_t tokens)
{
    struct tare_mixture_job counted;
    return lay_out(block, tokens, NULL, &counted);
}

static void choose(void *user, size_t i, int worker)
{
    (void)worker;
    const struct tare_mixture_job *j = user;
    const struct tare_router *r = &j->b->router;
    const int64_t t = (int64_t)i, groups = r->groups > 0 ? r->groups : 0;
    const float *correction = j->b->correction ? tare_loaded_vector(j->pass->loaded, j->b->correction) : NULL;
    const float *gain = j->b->gain ? tare_loaded_vector(j->pass->loaded, j->b->gain) : NULL;
    float *logits = j->logits + t * r->n;
    for (int64_t e = 0; j->b->logit_scale != 1 && e < r->n; e++)
        logits[e] *= j->b->logit_scale;
    tare_router_choose(r, correction, logits, j->choice + t * (r->n + groups), j->chosen + t * r->top,
                       j->weight + t * r->top);
    for (int64_t k = t * r->top; gain && k < (t + 1) * r->top; k++)
        j->weight[k] *= gain[j->chosen[k]];
}

static void gate(const struct tare_mixture_job *j, const float *x)
{
    const struct tare_mixture *b = j->b;
    if (b->bare) {
        const struct tare_matrix m = {.storage = TARE_STORE_F32,
                                      .rows = b->router.n,
                                      .in = b->dim,
                                      .data = (const unsigned char *)tare_loaded_vector(j->pass->loaded, b->bare),
                                      .stride = (size_t)b->dim * sizeof(float)};
        tare_matmul(&j->pass->kernels, j->pass->pool, &m, NULL, x, b->dim, j->pass->tokens, j->logits, b->router.n,
                    j->pass->work);
    } else {
        tare_linear_forward(j->pass, &b->gate, x, b->dim, j->logits, b->router.n);
    }
    tare_pool_run(j->pass->pool, (size_t)j->pass->tokens, choose, (void *)j);
}

/* Brings the experts' input to their own width; the second half of `narrow` is for their sum. */
static void enter_latent(struct tare_mixture_job *j)
{
    const struct tare_mixture *b = j->b;
    const float *from = j->in;
    j->in = j->narrow;
    j->sum = j->narrow + j->pass->tokens * b->width;
    tare_linear_forward(j->pass, &b->narrow, from, b->dim, j->narrow, b->width);
    tare_norm_forward(j->pass, &b->down_norm, b->width, j->narrow, j->narrow);
}

static void leave_latent(const struct tare_mixture_job *j)
{
    const struct tare_mixture *b = j->b;
    tare_norm_forward(j->pass, &b->narrow_norm, b->width, j->sum, j->sum);
    tare_linear_forward(j->pass, &b->widen, j->sum, b->width, j->y, b->dim);
}

static void forward(const void *block, struct tare_pass *pass, const float *x, float *y)
{
    const struct tare_mixture *b = block;
    struct tare_mixture_job j = {.b = b, .pass = pass, .x = x, .y = y, .in = x, .sum = y};
    lay_out(b, pass->tokens, pass->scratch, &j);
    if (b->gate_norm.kind) {
        tare_norm_forward(pass, &b->gate_norm, b->dim, x, y); /* y is free until the experts are summed there */
        tare_norm_forward(pass, &b->experts_norm, b->dim, x, j.normed);
        j.in = j.normed;
    }
    if (b->narrow.weight)
        enter_latent(&j);
    gate(&j, b->gate_norm.kind ? y : x);
    tare_experts_run(&j);
    if (b->narrow.weight)
        leave_latent(&j);
    if (b->shared.hidden > 0)
        tare_shared_run(&j);
}

static uint64_t spared(const void *block, const struct tare_loaded *loaded)
{
    const struct tare_mixture *b = block;
    uint64_t bytes = 0;
    for (int i = 0; i < 3; i++) {
        if (b->stacked[i].weight)
            bytes += tare_matrix_bytes(tare_loaded_matrix(loaded, b->stacked[i].weight));
        for (int64_t e = 0; b->each[i] && e < b->working; e++)
            bytes += tare_matrix_bytes(tare_loaded_matrix(loaded, b->each[i][e].weight));
    }
    return bytes / (uint64_t)b->router.n * (uint64_t)(b->router.n - b->router.top);
}

static const struct tare_linear *router(const void *block)
{
    const struct tare_mixture *b = block;
    return &b->gate;
}

static const struct tare_block_ops ops = {
    .name = "routed", .scratch = scratch, .forward = forward, .spared = spared, .router = router};

static const char *given(const char *name, const char *usual)
{
    return name ? name : usual;
}

static const char *part_name(const struct tare_mixture_variant *v, int i)
{
    static const char *const usual[] = {"gate_proj", "up_proj", "down_proj"};
    return given(v->parts[i], usual[i]);
}

static void declare_experts(struct tare_mixture *b, struct tare_at parent, const struct tare_routed_desc *d,
                            const struct tare_mixture_variant *v)
{
    const struct tare_at at = tare_at(parent, "%s", given(d->experts, "switch_mlp"));
    if (v->latent.each_norm) {
        b->each_norm = tare_rms_norm(at, v->latent.each_norm, b->width, v->latent.each_eps);
        b->each_norm.kind = TARE_NORM_RMS_BEFORE;
    }
    for (int i = v->ungated ? TARE_EXPERT_UP : TARE_EXPERT_GATE; i < TARE_EXPERT_PARTS; i++) {
        const int64_t in = i < TARE_EXPERT_DOWN ? b->width : d->hidden,
                      out = i < TARE_EXPERT_DOWN ? d->hidden : b->width;
        if (!v->one_by_one) {
            b->stacked[i] = tare_experts(at, part_name(v, i), b->working, in, out, d->bias);
            continue;
        }
        b->each[i] = tare_arena_array(at.tree->arena, (size_t)b->working, sizeof *b->each[i]);
        if (!b->each[i] && !at.tree->error.code)
            tare_fail_memory(&at.tree->error);
        for (int64_t e = 0; e < b->working && !at.tree->error.code; e++)
            b->each[i][e] = tare_linear(tare_at(at, "%lld", (long long)e), part_name(v, i), in, out, d->bias);
    }
}

static void declare_latent(struct tare_mixture *b, struct tare_at at, const struct tare_latent *latent)
{
    if (latent->width < 1)
        return;
    b->narrow = tare_linear(at, latent->down, b->dim, latent->width, latent->bias);
    b->widen = tare_linear(at, latent->up, latent->width, b->dim, latent->bias);
    if (latent->norm)
        b->narrow_norm = tare_rms_norm(at, latent->norm, latent->width, latent->eps);
    if (latent->down_norm)
        b->down_norm = tare_rms_norm(at, latent->down_norm, latent->width, latent->eps);
}

static void declare_apart(struct tare_mixture *b, struct tare_at at, const struct tare_apart *apart)
{
    b->logit_scale = apart->logit_scale != 0 ? (float)apart->logit_scale : 1;
    if (apart->gate)
        b->gate_norm = (struct tare_norm){
            .kind = TARE_NORM_RMS, .weight = tare_plain(at, apart->gate, 1, b->dim), .dim = b->dim, .eps = apart->eps};
    if (apart->gate && apart->experts)
        b->experts_norm = tare_rms_norm(at, apart->experts, b->dim, apart->eps);
    if (apart->gain)
        b->gain = tare_plain(at, apart->gain, 1, b->router.n);
}

static void declare_router(struct tare_mixture *b, struct tare_at at, const struct tare_routed_desc *d,
                           const struct tare_mixture_variant *v)
{
    const char *name = given(d->gate, "gate");
    if (d->gate_kind == TARE_ROUTER_PARAMETER)
        b->bare = tare_plain(tare_at(at, "%s", name), "weight", 2, d->router.n, d->dim);
    else
        b->gate = tare_linear(at, name, d->dim, d->router.n, d->gate_kind == TARE_ROUTER_LINEAR_BIAS);
    if (d->correction && v->correction_optional)
        b->correction = tare_optional(at, d->correction, 1, d->router.n);
    else if (d->correction)
        b->correction = tare_plain(at, d->correction, 1, d->router.n);
}

void tare_routed(struct tare_layer *layer, struct tare_at parent, const struct tare_routed_desc *d)
{
    static const struct tare_mixture_variant plain = {0};
    const struct tare_mixture_variant *v = d->variant ? d->variant : &plain;
    const struct tare_at at = tare_at(parent, "%s", given(d->name, "mlp"));
    struct tare_mixture b = {.router = d->router,
                             .dim = d->dim,
                             .hidden = d->hidden,
                             .working = d->router.n - v->idle,
                             .width = v->latent.width > 0 ? v->latent.width : d->dim,
                             .ungated = v->ungated,
                             .weigh_input = v->weigh_input,
                             .activation = d->activation,
                             .limit = d->limit};
    if ((b.working < 1 || v->idle < 0 || d->hidden < 1) && !at.tree->error.code)
        tare_fail(&at.tree->error, TARE_E_CONFIG, at.path,
                  "the config gives %lld experts of width %lld; both must be at least 1", (long long)b.working,
                  (long long)d->hidden);
    if (at.tree->error.code)
        return;
    declare_router(&b, at, d, v);
    declare_experts(&b, at, d, v);
    declare_latent(&b, at, &v->latent);
    declare_apart(&b, at, &v->apart);
    if (d->shared.hidden > 0)
        tare_shared_declare(&b, at, d);
    if (tare_router_fits(&d->router))
        tare_block_set(&layer->ffn, at, &ops, &b, sizeof b);
}
