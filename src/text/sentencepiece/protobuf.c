/* SPDX-License-Identifier: MIT
 * protobuf.c - reads the fields of a protobuf message. Source: protobuf.dev, "Encoding". */
#include "text/sentencepiece/protobuf.h"

#include <string.h>

/* A varint has seven bits a byte, the lowest first; the top bit says that another byte follows. */
static bool varint(struct tare_proto *proto, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && proto->at < proto->end; shift += 7) {
        const unsigned char byte = (unsigned char)*proto->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* A little-endian number of 4 or 8 bytes. */
static bool fixed(struct tare_proto *proto, size_t size, uint64_t *value)
{
    *value = 0;
    if ((size_t)(proto->end - proto->at) < size)
        return false;
    for (size_t i = 0; i < size; i++)
        *value |= (uint64_t)(unsigned char)proto->at[i] << 8 * i;
    proto->at += size;
    return true;
}

static bool bytes(struct tare_proto *proto, struct tare_proto_field *field)
{
    uint64_t size;
    if (!varint(proto, &size) || size > (uint64_t)(proto->end - proto->at))
        return false;
    field->bytes = proto->at;
    field->size = (size_t)size;
    proto->at += size;
    return true;
}

/* A field begins with a varint: its number << 3 | its wire type. */
static bool field_of(struct tare_proto *proto, struct tare_proto_field *field)
{
    uint64_t tag;
    if (!varint(proto, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
        return false;
    *field = (struct tare_proto_field){.number = (uint32_t)(tag >> 3), .wire = (enum tare_proto_wire)(tag & 7)};
    switch (field->wire) {
    case TARE_PROTO_WHOLE:
        return varint(proto, &field->whole);
    case TARE_PROTO_WIDE:
        return fixed(proto, 8, &field->whole);
    case TARE_PROTO_BYTES:
        return bytes(proto, field);
    case TARE_PROTO_NARROW:
        return fixed(proto, 4, &field->whole);
    }
    /* Groups are left, which no tokenizer.model has. */
    return false;
}

bool tare_proto_next(struct tare_proto *proto, struct tare_proto_field *field)
{
    if (proto->damaged || proto->at == proto->end)
        return false;
    proto->damaged = !field_of(proto, field);
    return !proto->damaged;
}

float tare_proto_float(const struct tare_proto_field *field)
{
    const uint32_t bits = (uint32_t)field->whole;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
