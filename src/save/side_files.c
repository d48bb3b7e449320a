/* SPDX-License-Identifier: MIT
 * side_files.c - what goes into the folder as it is: tokenizer, chat template, generation settings.
 *
 * Only what is on the list; code and pickles (*.py, *.bin) are never copied.
 */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "save/save.h"

#define MOST ((uint64_t)1 << 30) /* a side file is smaller; the largest tokenizers are 40 MB */

static const char *const patterns[] = {
    "tokenizer*.json",
    "tokenizer.model*",
    "*.tiktoken",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template*",
    "*.jinja",
    "preprocessor_config.json",
    "processor_config.json",
    "image_processor_config.json",
    "video_preprocessor_config.json",
    "spiece.model",
    "sentencepiece*.model",
};
static const char *const never[] = {"*.py", "*.bin", "*.pt", "*.pth", "*.pkl", "*.safetensors", ".*"};

static bool listed(const char *name)
{
    for (size_t k = 0; k < sizeof never / sizeof *never; k++)
        if (!fnmatch(never[k], name, 0))
            return false;
    for (size_t k = 0; k < sizeof patterns / sizeof *patterns; k++)
        if (!fnmatch(patterns[k], name, 0))
            return true;
    return false;
}

static enum tare_code copy(const struct tare_model *model, const char *name, struct tare_folder *folder,
                           struct tare_error *err)
{
    char *data = NULL;
    size_t size = 0;
    enum tare_code code = tare_checkpoint_read(&model->checkpoint, name, MOST, &data, &size, err);
    if (!code)
        code = tare_folder_put(folder, name, data, size, err);
    free(data);
    return code;
}

static enum tare_code copy_folder(const struct tare_model *model, struct tare_folder *folder, struct tare_error *err)
{
    DIR *list = opendir(model->checkpoint.folder);
    if (!list)
        return tare_fail(err, TARE_E_IO, model->checkpoint.folder, "listing it: %s", strerror(errno));
    enum tare_code code = TARE_OK;
    for (const struct dirent *entry; !code && (entry = readdir(list));)
        if (listed(entry->d_name))
            code = copy(model, entry->d_name, folder, err);
    closedir(list);
    return code;
}

static enum tare_code copy_host(const struct tare_model *model, const struct tare_door *door,
                                struct tare_folder *folder, struct tare_error *err)
{
    enum tare_code code = TARE_OK;
    for (size_t k = 0; k < door->host.n_files && !code; k++)
        if (!strchr(door->files[k].name, '/') && listed(door->files[k].name))
            code = copy(model, door->files[k].name, folder, err);
    return code;
}

enum tare_code tare_side_files_copy(const struct tare_model *model, struct tare_folder *folder, struct tare_error *err)
{
    const struct tare_checkpoint *checkpoint = &model->checkpoint;
    const struct tare_memory_file *files = checkpoint->gguf ? checkpoint->made : checkpoint->memory;
    if (!files && checkpoint->door)
        return copy_host(model, checkpoint->door, folder, err);
    if (!files)
        return checkpoint->folder ? copy_folder(model, folder, err) : TARE_OK;
    for (size_t k = 0; k < (checkpoint->gguf ? checkpoint->n_made : checkpoint->n_memory); k++) {
        const enum tare_code code = listed(files[k].name) ? copy(model, files[k].name, folder, err) : TARE_OK;
        if (code)
            return code;
    }
    return TARE_OK;
}
