/* SPDX-License-Identifier: MIT
 * test_faults_text.c - tokenizers opened and used, templates rendered, with the n-th allocation failing, for every n.
 */
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "tare.h"

#define PROTO_PIECES                                                                                                   \
    "\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02"                                                                            \
    "\n\x0c\n\x03<s>\x15\0\0\0\0\x18\x03"                                                                              \
    "\n\x0a\n\x01"                                                                                                     \
    "a\x15\0\0\x80\xbf\x18\x01"                                                                                        \
    "\n\x0a\n\x01"                                                                                                     \
    "b\x15\0\0\x80\xbf\x18\x01"                                                                                        \
    "\n\x0b\n\x02"                                                                                                     \
    "ab\x15\0\0\0\xbf\x18\x01"                                                                                         \
    "\n\x0b\n\x02zz\x15\0\0\0\0\x18\x04"
static const char bpe[] = PROTO_PIECES "\x12\x02\x18\x02\x1a\x04\x18\x00 \x00";
static const char unigram[] = PROTO_PIECES "\x12\x02\x18\x01";
static const char tekken[] =
    "{\"config\": {\"pattern\": \"a|.\", \"default_vocab_size\": 4, \"default_num_special_tokens\": 2}, \"vocab\": "
    "[{\"rank\": 0, \"token_bytes\": \"YQ==\"}, {\"rank\": 1, \"token_bytes\": \"YWE=\"}], \"special_tokens\": "
    "[{\"rank\": 0, \"token_str\": \"<s>\"}, {\"rank\": 1, \"token_str\": \"</s>\", \"is_control\": false}]}";
static const char words[] =
    "{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 0, \"\\u0062\": 1}, \"unk_token\": "
    "\"a\"}, \"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"b\"}, "
    "\"behavior\": \"Isolated\", \"invert\": false}, \"normalizer\": {\"type\": \"NFD\"}}";

static const struct tare_memory_file models[][2] = {
    {{"tokenizer.model", bpe, sizeof bpe - 1}, {"added_tokens.json", "{\"<x>\": 9}", 10}},
    {{"tokenizer.model", unigram, sizeof unigram - 1},
     {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"9\": {\"content\": \"<x>\"}}}", 51}},
    {{"tekken.json", tekken, sizeof tekken - 1}, {"tokenizer_config.json", "{\"eos_token\": \"</s>\"}", 21}},
    {{"tokenizer.json", words, sizeof words - 1}, {"generation_config.json", "{\"eos_token_id\": [1]}", 21}},
};

static enum tare_code there_and_back(void *user, struct tare_error *err)
{
    struct tare_options options = TARE_OPTIONS_INIT;
    tare_tokenizer *tokenizer;
    tare_stream *stream = NULL;
    int32_t *ids = NULL;
    const char *piece;
    char *text = NULL;
    size_t n = 0;
    options.files = user;
    options.n_files = 2;
    enum tare_code code = tare_tokenizer_open(&tokenizer, "model", &options, err);
    if (!code)
        code = tare_tokenizer_encode(tokenizer, "abzzaab\xc3\xa9<s>", 12, true, &ids, &n, err);
    if (!code)
        code = tare_tokenizer_decode(tokenizer, ids, n, false, &text, NULL, err);
    if (!code)
        code = tare_stream_open(&stream, tokenizer, false, err);
    for (size_t i = 0; i < n && !code; i++)
        code = tare_stream_put(stream, ids[i], &piece, NULL, err);
    if (!code)
        code = tare_stream_end(stream, &piece, NULL, err);
    if (!code)
        code = tare_tokenizer_token(tokenizer, ids[0], &piece, &n, NULL, err);
    tare_stream_free(stream);
    tare_text_free(text);
    tare_ids_free(ids);
    tare_tokenizer_free(tokenizer);
    return code;
}

static void tokenizers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        assert_true(fault_each(there_and_back, (void *)(uintptr_t)models[i]) > 20);
}

static enum tare_code render(void *user, struct tare_error *err)
{
    struct tare_options options = TARE_OPTIONS_INIT;
    const struct tare_turn turn = {"user", "hello"};
    struct tare_template_request request = TARE_TEMPLATE_REQUEST_INIT;
    tare_template *template;
    char *text = NULL;
    size_t size;
    options.files = user;
    options.n_files = 1;
    request.turns = &turn;
    request.n_turns = 1;
    request.tools = "[{\"name\": \"f\", \"list\": [1, 2.5, null]}]";
    enum tare_code code = tare_template_open(&template, "model", &options, err);
    if (!code)
        code = tare_template_render(template, &request, &text, &size, err);
    tare_text_free(text);
    tare_template_free(template);
    return code;
}

static void templates(void **state)
{
    (void)state;
    static const char text[] =
        "{% macro m(x, y='d') %}{{ x ~ y | upper }}{% endmacro %}{% set ns = namespace(n=0) %}"
        "{% for i in messages + [{'content': 'b'}] %}{% set ns.n = ns.n + 1 %}{{ m(i.content | trim) }}"
        "{{ i | tojson(indent=2) }}{{ loop.index }}{% endfor %}{{ tools[0].items() | list | length }}"
        "{{ '%s %d' | format('a', ns.n) }}{{ [3, 1, 2] | sort | map('string') | join(', ') }}{{ 'a,b'.split(',') }}"
        "{% if tools is defined and 'f' in tools[0].name %}{{ 'x' * 5000 }}{% endif %}{{ {'a': [1]} }}";
    static const struct tare_memory_file file = {"chat_template.jinja", text, sizeof text - 1};
    assert_true(fault_each(render, (void *)(uintptr_t)&file) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokenizers), cmocka_unit_test(templates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
