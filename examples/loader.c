/* SPDX-License-Identifier: MIT
 * loader.c - how an engine takes the weights of a checkpoint through libtare, whatever packing it is stored in.
 *
 *     cc loader.c $(pkg-config --cflags --libs tare) -lcrypto -lm -o loader
 *     ./loader CHECKPOINT
 *
 * Every module is read twice, as floats and as codes. A line a module: the sha256 of its float32 numbers (out, in), in
 * which -0 counts as 0, its name, how it is stored, and how far scale * code + offset is from the floats at most ("-":
 * it has no codes).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <tare.h>

/* The numbers of a tensor of `rows` rows, and what was read as codes. All heap. */
struct tensor {
    float *values; /* (rows, columns) */
    uint8_t *codes;
    float *scales, *offsets; /* (rows, groups) */
    int32_t *group;          /* of a column */
};

static void release(struct tensor *t)
{
    free(t->values);
    free(t->codes);
    free(t->scales);
    free(t->offsets);
    free(t->group);
}

/* The largest difference between the floats and scale * code + offset. */
static double distance(const struct tensor *t, const struct tare_tensor_info *info)
{
    double most = 0;
    for (int64_t r = 0; r < info->rows; r++)
        for (int64_t i = 0; i < info->columns; i++) {
            const int64_t g = r * info->groups + t->group[i];
            const uint8_t code = t->codes[r * info->columns + i];
            const double number = info->codes == TARE_CODES_FLOAT ? (double)info->table[code] : (double)code;
            const double weight = (double)t->scales[g] * number + (double)t->offsets[g];
            most = fmax(most, fabs(weight - (double)t->values[r * info->columns + i]));
        }
    return most;
}

static enum tare_code read_codes(const tare_reader *reader, struct tensor *t, double *most, struct tare_error *err)
{
    const struct tare_tensor_info *info = tare_reader_info(reader);
    const size_t groups = (size_t)(info->rows * info->groups) + 1;
    t->codes = malloc((size_t)(info->rows * info->columns) + 1);
    t->scales = calloc(groups, sizeof *t->scales);
    t->offsets = calloc(groups, sizeof *t->offsets);
    t->group = calloc((size_t)info->columns + 1, sizeof *t->group);
    if (!t->codes || !t->scales || !t->offsets || !t->group)
        return TARE_E_MEMORY;
    enum tare_code code = tare_read_codes(reader, 0, info->rows, t->codes, t->scales, t->offsets, err);
    if (!code)
        code = tare_reader_groups(reader, t->group, (size_t)info->columns, err);
    if (!code)
        *most = distance(t, info);
    return code;
}

static void print_sum(const float *values, size_t n)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (!EVP_Digest(values, n * sizeof *values, sum, &size, EVP_sha256(), NULL))
        size = 0;
    for (unsigned int k = 0; k < size; k++)
        printf("%02x", sum[k]);
}

static enum tare_code load(const tare_model *model, const char *name, enum tare_view view, struct tare_error *err)
{
    tare_reader *reader = NULL;
    struct tensor t = {0};
    double most = -1;
    enum tare_code code = tare_reader_open(&reader, model, name, view, err);
    if (code)
        return code;
    const struct tare_tensor_info *info = tare_reader_info(reader);
    const size_t n = (size_t)(info->rows * info->columns);
    t.values = malloc(n * sizeof *t.values + 1);
    code = t.values ? tare_read_floats(reader, 0, info->rows, "float32", t.values, n, err) : TARE_E_MEMORY;
    if (!code && info->codes != TARE_CODES_NONE)
        code = read_codes(reader, &t, &most, err);
    if (!code) {
        for (size_t k = 0; k < n; k++)
            t.values[k] += 0.0f; /* -0 + 0 is 0: producers differ in the sign of a zero */
        print_sum(t.values, n);
        printf(" %s %s ", info->name, info->packing);
        if (most < 0)
            printf("-\n");
        else
            printf("%.3g\n", most);
    }
    release(&t);
    tare_reader_free(reader);
    return code;
}

static enum tare_code load_all(const tare_model *model, struct tare_error *err)
{
    const size_t n = tare_model_names(model, TARE_VIEW_SOURCE, NULL, 0);
    const char **names = calloc(n + 1, sizeof *names);
    enum tare_code code = names ? TARE_OK : TARE_E_MEMORY;
    if (names)
        tare_model_names(model, TARE_VIEW_SOURCE, names, n);
    for (size_t k = 0; !code && k < n; k++)
        code = load(model, names[k], TARE_VIEW_SOURCE, err);
    free(names);
    return code;
}

int main(int argc, char **argv)
{
    tare_model *model = NULL;
    struct tare_error error = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: loader CHECKPOINT\n");
        return 2;
    }
    enum tare_code code = tare_plan(&model, argv[1], NULL, &error);
    if (!code)
        code = load_all(model, &error);
    if (code)
        fprintf(stderr, "loader: %s: %s\n", error.where, error.text[0] ? error.text : tare_code_name(code));
    tare_model_free(model);
    return code ? 1 : 0;
}
