/* SPDX-License-Identifier: MIT
 * protobuf.h - the fields of a protobuf message, in the order in which they lie. */
#ifndef TARE_TEXT_PROTOBUF_H
#define TARE_TEXT_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is left of a message; zero-initialise but for these two. Borrows the bytes. */
struct tare_proto {
    const char *at, *end;
    bool damaged; /* sticky: no field begins at `at`, or it does not fit */
};
enum tare_proto_wire { TARE_PROTO_WHOLE = 0, TARE_PROTO_WIDE = 1, TARE_PROTO_BYTES = 2, TARE_PROTO_NARROW = 5 };
struct tare_proto_field {
    uint32_t number;
    enum tare_proto_wire wire;
    uint64_t whole;    /* WHOLE; WIDE and NARROW: the bits */
    const char *bytes; /* BYTES: size bytes, in the message; also a message within */
    size_t size;
};
/* The next field; false at the end, and where the message is damaged. */
bool tare_proto_next(struct tare_proto *proto, struct tare_proto_field *field);
float tare_proto_float(const struct tare_proto_field *field); /* of a NARROW field */

#endif
