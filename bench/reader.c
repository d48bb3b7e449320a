/* SPDX-License-Identifier: MIT
 * reader.c - reader CHECKPOINT THREADS WHAT ROWS RUNS: rows of every packed parameter through libtare, module after
 * module, each by one thread; what bench/reader.py times. Prints the best of RUNS: seconds, CPU seconds, rows and bytes
 * of output.
 *
 *   WHAT  float32, float16, bfloat16, mlx or codes; or memcpy: bytes of the size of float32, memcpy16: of float16
 *   ROWS  rows a call; 0: all of a parameter. Where it is 1, every 16th row is read, as a look-up of tokens does
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tare.h>

static const tare_model *model;
static const char **names;
static size_t n_names;
static const char *what;
static int64_t rows_a_call;
static size_t room; /* bytes of the largest parameter as float32 */
static atomic_size_t next_name;

struct work {
    pthread_t thread;
    unsigned char *to, *from; /* room bytes each */
    int64_t rows;
    uint64_t bytes;
    enum tare_code code;
    struct tare_error err;
};

/* Bytes of one row of output. */
static size_t row_bytes(const struct tare_tensor_info *info)
{
    const size_t columns = (size_t)info->columns, groups = (size_t)info->groups;
    if (!strcmp(what, "mlx"))
        return columns * (size_t)info->bits / 8 + groups * 4;
    if (!strcmp(what, "codes"))
        return columns + groups * 8;
    return columns * (!strcmp(what, "float32") || !strcmp(what, "memcpy") ? 4 : 2);
}

static enum tare_code read_rows(const tare_reader *reader, int64_t row, int64_t n, struct work *w)
{
    const struct tare_tensor_info *info = tare_reader_info(reader);
    const size_t count = (size_t)(n * info->columns), groups = (size_t)(n * info->groups);
    if (!strncmp(what, "memcpy", 6)) {
        memcpy(w->to, w->from, (size_t)n * row_bytes(info));
        return TARE_OK;
    }
    if (!strcmp(what, "mlx")) {
        unsigned char *scales = w->to + count;
        return tare_read_mlx(reader, row, n, (uint32_t *)(void *)w->to, scales, scales + 4 * groups, &w->err);
    }
    if (!strcmp(what, "codes")) {
        float *scales = (float *)(void *)(w->to + (count + 3) / 4 * 4);
        return tare_read_codes(reader, row, n, w->to, scales, scales + groups, &w->err);
    }
    return tare_read_floats(reader, row, n, what, w->to, room / 4, &w->err);
}

static enum tare_code read_parameter(const char *name, struct work *w)
{
    tare_reader *reader = NULL;
    enum tare_code code = tare_reader_open(&reader, model, name, TARE_VIEW_PARAMETER, &w->err);
    if (code)
        return code;
    const struct tare_tensor_info *info = tare_reader_info(reader);
    const int64_t most = rows_a_call ? rows_a_call : info->rows, step = most == 1 ? 16 : most;
    for (int64_t row = 0; !code && info->codes != TARE_CODES_NONE && row < info->rows; row += step) {
        const int64_t n = info->rows - row < most ? info->rows - row : most;
        code = read_rows(reader, row, n, w);
        w->rows += n;
        w->bytes += (uint64_t)n * row_bytes(info);
    }
    tare_reader_free(reader);
    return code;
}

static void *run(void *user)
{
    struct work *w = user;
    for (size_t k; !w->code && (k = atomic_fetch_add(&next_name, 1)) < n_names;)
        w->code = read_parameter(names[k], w);
    return NULL;
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static enum tare_code prepare(const char *path, struct tare_error *err)
{
    tare_model *plan = NULL;
    const enum tare_code code = tare_plan(&plan, path, NULL, err);
    model = plan;
    if (code)
        return code;
    n_names = tare_model_names(model, TARE_VIEW_PARAMETER, NULL, 0);
    names = calloc(n_names + 1, sizeof *names);
    if (!names)
        return TARE_E_MEMORY;
    tare_model_names(model, TARE_VIEW_PARAMETER, names, n_names);
    for (size_t k = 0; k < n_names; k++) {
        tare_reader *reader = NULL;
        if (tare_reader_open(&reader, model, names[k], TARE_VIEW_PARAMETER, NULL))
            continue;
        const struct tare_tensor_info *info = tare_reader_info(reader);
        const size_t size = (size_t)(info->rows * info->columns) * 4;
        room = info->codes != TARE_CODES_NONE && size > room ? size : room;
        tare_reader_free(reader);
    }
    return TARE_OK;
}

int main(int argc, char **argv)
{
    struct work works[64];
    struct tare_error err = {0};
    const int threads = argc == 6 ? atoi(argv[2]) : 0, runs = argc == 6 ? atoi(argv[5]) : 0;
    if (threads < 1 || threads > 64)
        return fprintf(stderr, "reader CHECKPOINT THREADS WHAT ROWS RUNS\n"), 2;
    what = argv[3];
    rows_a_call = atoll(argv[4]);
    enum tare_code code = prepare(argv[1], &err);
    for (int k = 0; k < threads; k++) {
        works[k] = (struct work){.to = malloc(2 * room + 64)};
        if (!works[k].to)
            return fprintf(stderr, "no memory\n"), 1;
        works[k].from = memset(works[k].to, 1, 2 * room + 64);
        works[k].from += room;
    }
    double wall = 1e9, cpu = 1e9;
    for (int i = 0; !code && i < runs; i++) {
        const double start = seconds(CLOCK_MONOTONIC), spent = seconds(CLOCK_PROCESS_CPUTIME_ID);
        atomic_store(&next_name, 0);
        for (int k = 0; k < threads; k++) {
            works[k].rows = 0;
            works[k].bytes = 0;
            if (k && pthread_create(&works[k].thread, NULL, run, &works[k]))
                return perror("thread"), 1;
        }
        run(&works[0]);
        for (int k = 1; k < threads; k++)
            pthread_join(works[k].thread, NULL);
        const double took = seconds(CLOCK_MONOTONIC) - start, used = seconds(CLOCK_PROCESS_CPUTIME_ID) - spent;
        wall = took < wall ? took : wall;
        cpu = used < cpu ? used : cpu;
    }
    int64_t rows = 0;
    uint64_t bytes = 0;
    for (int k = 0; k < threads; k++) {
        rows += works[k].rows;
        bytes += works[k].bytes;
        if (works[k].code) {
            err = works[k].err;
            code = works[k].code;
        }
    }
    if (code)
        return fprintf(stderr, "reader: %s: %s: %s\n", tare_code_name(code), err.where, err.text), 1;
    printf("%.6f %.6f %lld %llu\n", wall, cpu, (long long)rows, (unsigned long long)bytes);
    return 0;
}
