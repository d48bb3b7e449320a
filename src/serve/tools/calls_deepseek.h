/* SPDX-License-Identifier: MIT
 * calls_deepseek.h - the marks that DeepSeek V3, R1 and V3.1 have in common: a full-width bar at both ends, and U+2581 for spaces. */
#ifndef TARE_SERVE_TOOLS_CALLS_DEEPSEEK_H
#define TARE_SERVE_TOOLS_CALLS_DEEPSEEK_H

#define DEEPSEEK_MARK(words) "<\xef\xbd\x9ctool\xe2\x96\x81" words "\xef\xbd\x9c>"
#define DEEPSEEK_CALLS                                                                                                 \
    DEEPSEEK_MARK("calls\xe2\x96\x81"                                                                                  \
                  "begin")
#define DEEPSEEK_CALLS_END                                                                                             \
    DEEPSEEK_MARK("calls\xe2\x96\x81"                                                                                  \
                  "end")
#define DEEPSEEK_CALL                                                                                                  \
    DEEPSEEK_MARK("call\xe2\x96\x81"                                                                                   \
                  "begin")
#define DEEPSEEK_CALL_END                                                                                              \
    DEEPSEEK_MARK("call\xe2\x96\x81"                                                                                   \
                  "end")
#define DEEPSEEK_SEP DEEPSEEK_MARK("sep")

#endif
