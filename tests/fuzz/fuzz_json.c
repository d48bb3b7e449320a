/* SPDX-License-Identifier: MIT
 * fuzz_json.c - any bytes as a config: refused with a sentence, or a tree that survives being written and read again.
 */
#include <string.h>

#include "config/json.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tare_error err = {0};
    json_t *json = NULL, *again = NULL;
    const enum tare_code code = tare_json_parse(&json, "config.json", (const char *)data, size, &err);
    FUZZ_CHECK(code == err.code && (code == TARE_OK) == (json != NULL));
    FUZZ_CHECK(!code || (err.text[0] && !strcmp(err.where, code == TARE_E_MEMORY ? "" : "config.json")));
    if (!code) {
        char *text = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
        FUZZ_CHECK(text && !tare_json_parse(&again, "config.json", text, strlen(text), &err) &&
                   json_equal(json, again));
        free(text);
    }
    json_decref(json);
    json_decref(again);
    return 0;
}
