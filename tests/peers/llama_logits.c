/* SPDX-License-Identifier: MIT
 * llama_logits.c - stock llama.cpp as an oracle: the float32 logits of every position of a list of token ids.
 *
 *     llama_logits MODEL.gguf OUT.f32 ID ...
 *     llama_logits MODEL.gguf --text TEXT                  print its ids
 *     llama_logits MODEL.gguf --generate N TEXT            print them, and N greedy ones
 *
 * Built by tools/peers.sh against the llama.cpp of llama-cpp-python's source package.
 */
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quiet(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static struct llama_context *context_of(struct llama_model *model, int n)
{
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = (uint32_t)(n < 64 ? 64 : n);
    params.n_threads = params.n_threads_batch = 2;
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED; /* it rounds to float16 */
    return llama_init_from_model(model, params);
}

/* The ids of a text, and `more` that follow by the largest logit. */
static int print_ids(struct llama_model *model, const char *text, int more)
{
    static llama_token ids[65536];
    const struct llama_vocab *vocab = llama_model_get_vocab(model);
    const int given = llama_tokenize(vocab, text, (int)strlen(text), ids, 32768, true, true);
    const int vocabulary = llama_vocab_n_tokens(vocab);
    struct llama_context *context = more ? context_of(model, given + more) : NULL;
    int n = given;
    if (given < 0 || (more && !context) || more > 32768)
        return 1;
    for (int done = 0; more--; done = n++) {
        if (llama_decode(context, llama_batch_get_one(ids + done, n - done)))
            return 1;
        const float *logits = llama_get_logits_ith(context, -1);
        ids[n] = 0;
        for (int k = 1; k < vocabulary; k++)
            if (logits[k] > logits[ids[n]])
                ids[n] = k;
    }
    for (int i = 0; i < n; i++)
        printf("%d%c", ids[i], i + 1 < n ? ' ' : '\n');
    return 0;
}

static int write_logits(struct llama_model *model, const char *out, int n, char **words)
{
    struct llama_context *context = context_of(model, n);
    const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
    struct llama_batch batch = llama_batch_init(n, 0, 1);
    FILE *file = fopen(out, "wb");
    if (!context || !file)
        return 1;
    for (int i = 0; i < n; i++) {
        batch.token[i] = (llama_token)atol(words[i]);
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    batch.n_tokens = n;
    if (llama_decode(context, batch))
        return 1;
    for (int i = 0; i < n; i++)
        fwrite(llama_get_logits_ith(context, i), sizeof(float), (size_t)vocabulary, file);
    return fclose(file) != 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    llama_log_set(quiet, NULL);
    struct llama_model_params params = llama_model_default_params();
    struct llama_model *model = llama_model_load_from_file(argv[1], params);
    if (!model)
        return 1;
    if (!strcmp(argv[2], "--text"))
        return print_ids(model, argv[3], 0);
    if (!strcmp(argv[2], "--generate") && argc > 4)
        return print_ids(model, argv[4], atoi(argv[3]));
    return write_logits(model, argv[2], argc - 3, argv + 3);
}
