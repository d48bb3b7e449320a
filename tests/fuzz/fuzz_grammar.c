/* SPDX-License-Identifier: MIT
 * fuzz_grammar.c - a schema or, after a NUL, a grammar: refused with a sentence, or a machine that goes some steps and
 * is the same after a flush. */
#include <string.h>

#include "fuzz.h"
#include "grammar/grammar.h"

static void go(const struct tare_rules *rules)
{
    struct tare_machine *machine = NULL;
    FUZZ_CHECK(!tare_machine_open(&machine, rules, NULL));
    uint32_t at = tare_machine_start(machine), *kept[] = {&at};
    for (int step = 0; step < 40 && at != TARE_STATE_FAILED && at != TARE_STATE_DEAD; step++) {
        uint32_t next = TARE_STATE_DEAD;
        for (int byte = 0; byte < 256 && next == TARE_STATE_DEAD; byte++)
            next = tare_machine_next(machine, at, (unsigned char)(byte * 7 + step));
        const bool complete = tare_machine_complete(machine, at);
        /* at the limit of depth or of stacks there is no way on; else each state can be completed */
        FUZZ_CHECK(tare_machine_flush(machine, kept, 1) && tare_machine_complete(machine, at) == complete);
        for (int byte = 0; byte < 256; byte++) {
            const uint32_t again = tare_machine_next(machine, at, (unsigned char)(byte * 7 + step));
            if (again == TARE_STATE_DEAD)
                continue;
            FUZZ_CHECK(next != TARE_STATE_DEAD);
            at = again;
            break;
        }
        if (next == TARE_STATE_DEAD)
            break;
    }
    tare_machine_free(machine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tare_error err = {0};
    struct tare_rules rules = {0};
    const bool gbnf = size && data[0] == 0;
    char *made = NULL;
    enum tare_code code = gbnf ? TARE_OK : tare_grammar_from_schema(&made, (const char *)data, size, &err);
    if (!code)
        code = tare_gbnf_read(&rules, gbnf ? (const char *)data + 1 : made, gbnf ? size - 1 : strlen(made), &err);
    FUZZ_CHECK(code == err.code && (!code || err.text[0]));
    if (!code)
        go(&rules);
    tare_rules_release(&rules);
    free(made);
    return 0;
}
