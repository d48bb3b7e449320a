#include "grammar/grammar.h"
enum tare_code tare_schema_write(struct tare_text *gbnf, const char *text, size_t size, struct tare_error *err)
{
    (void)gbnf;
    (void)text;
    (void)size;
    return tare_fail(err, TARE_E_UNKNOWN, "schema", "not written yet");
}
