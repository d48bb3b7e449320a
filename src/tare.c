/* SPDX-License-Identifier: MIT
 * tare.c - the table of contents: a plan is made by the stages listed in stages(). Start reading here; docs/tour.md
 * follows one tensor through them.
 *
 * What becomes of a plan:
 *     plan/explain.c             it is told in words or JSON
 *     save/execute.c             it is written into files
 *     audit/                     two are compared, one is verified
 *     repair/                    it is made again with a patch, until nothing is left to mend
 *     run/weights/loaded.c       its matrices are made for the kernels, once a model
 *     run/session/session.c      a session runs one text through them: generate.c feeds and samples, runner.c holds
 *                                threads and memory, blocks/decoder.c makes one pass through all layers
 */
#include "plan/stages.h"
#include "repair/repair.h"
#include "save/save.h"

/* The eight stages. They stop at the first that fails; each leaves its findings in the model. */
static enum tare_code stages(struct tare_model *m, const char *path, struct tare_error *err)
{
    enum tare_code code;
    if ((code = tare_checkpoint_open(&m->checkpoint, path, &m->options, err)) || /* open/    files, shards, tensors */
        (code = tare_plan_configure(m, err)) || /* config/  config.json, quantization       */
        (code = tare_plan_declare(m, err)) ||   /* models/  model_type -> parameter tree    */
        (code = tare_plan_group(m, err)) ||     /* names/   tensors -> modules and formats  */
        (code = tare_plan_rewrite(m, err)) ||   /* names/   checkpoint names -> our names   */
        (code = tare_plan_tie(m, err)) ||       /* tree/    one head or two, and its proof  */
        (code = tare_target_foresee(m, err)) || /* save/    what a folder would be          */
        (code = tare_plan_close(m, err)))       /* plan/    nothing missing, nothing over   */
        return code;
    return TARE_OK;
}

enum tare_code tare_plan(tare_model **model, const char *path, const struct tare_options *options,
                         struct tare_error *err)
{
    return tare_plan_make(model, path, options, NULL, stages, err);
}

enum tare_code tare_repair_open(tare_repair **repair, const char *path, const struct tare_options *options,
                                struct tare_error *err)
{
    return tare_patch_find(repair, path, options, stages, err);
}
