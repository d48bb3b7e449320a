/* SPDX-License-Identifier: MIT
 * shown.c FOLDER - the least program that plans with the library: names of the version and of the model's parameters. Uses only
 * what every choice of rooms has. */
#include <stdio.h>
#include <tare.h>

int main(int argc, char **argv)
{
    tare_model *model = NULL;
    struct tare_error error = {0};
    if (argc != 2 || tare_plan(&model, argv[1], NULL, &error) != TARE_OK) {
        fprintf(stderr, "%s: %s\n", error.where, error.text);
        return 1;
    }
    printf("%s, %zu tensors\n", tare_version(), tare_model_sources(model, NULL, 0));
    tare_model_free(model);
    return 0;
}
