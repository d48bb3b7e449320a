/* SPDX-License-Identifier: MIT
 * record.h - adds to the tare.json of an output. */
#ifndef CLI_QUANTIZE_RECORD_H
#define CLI_QUANTIZE_RECORD_H

/* Adds a key, whose value is JSON, to the record of an output: tare.json in a folder, FILE.tare.json beside a file. The
 * file is replaced at once. Returns 0 or the exit status. */
int cli_record_add(const char *output, const char *key, const char *json);

#endif
