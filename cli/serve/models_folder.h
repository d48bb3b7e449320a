/* SPDX-License-Identifier: MIT
 * models_folder.h - the models in a folder, by name. */
#ifndef TARE_CLI_MODELS_FOLDER_H
#define TARE_CLI_MODELS_FOLDER_H

#include <stddef.h>

enum { CLI_MODELS_MOST = 1024 };

struct cli_model {
    char *path;
    /* What clients call it: the last part of the path, without .gguf. */
    char id[128];
};

struct cli_models {
    struct cli_model *items;
    size_t n;
};

/* The last part of a path, without .gguf and .safetensors. */
void cli_model_name(const char *path, char *id, size_t room);

/* Lists a folder, in the order of names: folders that hold config.json or a GGUF file, and .gguf files; of one in
 * parts the first. Returns CLI_GO_ON, or an exit status after a message. */
int cli_models_list(struct cli_models *models, const char *folder);
void cli_models_release(struct cli_models *models);

#endif
