/* SPDX-License-Identifier: MIT
 * jinja_builtin.h - how filters, tests and methods are written down: BUILTIN(name) { .. } for each, and a row of a
 * table with its name and its parameters. Only for files of such tables. */
#ifndef TARE_TEMPLATE_JINJA_BUILTIN_H
#define TARE_TEMPLATE_JINJA_BUILTIN_H

#include "template/jinja.h"

#define BUILTIN(name)                                                                                                  \
    static struct tare_jinja_value name(struct tare_jinja_state *s, const struct tare_jinja_value *a,                  \
                                        const struct tare_jinja_args *args)
#define UNUSED (void)s, (void)args, (void)a
/* One whose body is one expression. */
#define BUILTIN_IS(name, result)                                                                                       \
    BUILTIN(name)                                                                                                      \
    {                                                                                                                  \
        UNUSED;                                                                                                        \
        return (result);                                                                                               \
    }                                                                                                                  \
    struct tare_jinja_state

#endif
