/* SPDX-License-Identifier: MIT
 * test_hash.c - SHA-256 and SHA-1 of the examples of FIPS 180-4 (csrc.nist.gov, "Secure Hash Standard" examples), in pieces
 * of every size. CMake builds it twice: with libcrypto and with hash_plain.c. */
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void hashes_to(enum tare_hash_kind kind, const char *bytes, size_t size, size_t piece, const char *expected)
{
    char hex[TARE_HASH_ROOM];
    struct tare_hashes *hashes = tare_hashes_open();
    assert_non_null(hashes);
    struct tare_hash *hash = tare_hash_begin(hashes, kind);
    assert_non_null(hash);
    for (size_t at = 0; at < size; at += piece)
        assert_true(tare_hash_add(hash, bytes + at, size - at < piece ? size - at : piece));
    assert_true(tare_hash_end(hash, hex));
    assert_string_equal(hex, expected);
    tare_hash_free(hash);
    tare_hashes_free(hashes);
}

static void examples(void **state)
{
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static char million[1000000];
    (void)state;
    memset(million, 'a', sizeof million);
    hashes_to(TARE_HASH_SHA256, "", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hashes_to(TARE_HASH_SHA256, "abc", 3, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hashes_to(TARE_HASH_SHA1, "", 0, 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    hashes_to(TARE_HASH_SHA1, "abc", 3, 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
    for (size_t piece = 1; piece < sizeof two_blocks; piece++) {
        hashes_to(TARE_HASH_SHA256, two_blocks, sizeof two_blocks - 1, piece,
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        hashes_to(TARE_HASH_SHA1, two_blocks, sizeof two_blocks - 1, piece, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    }
    for (size_t piece = 61; piece <= 130; piece++)
        hashes_to(TARE_HASH_SHA1, million, sizeof million, piece, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    hashes_to(TARE_HASH_SHA256, million, sizeof million, 4099,
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* A state that is copied half way, as another process would take it up, ends as the hash of the whole. */
static void chains(void **state)
{
    static unsigned char bytes[5000];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 251);
    for (size_t size = 0; size <= sizeof bytes; size += 61) {
        for (size_t cut = 0; cut <= size; cut += 640) {
            char hex[TARE_HASH_ROOM];
            struct tare_chain chain, later;
            tare_chain_begin(&chain);
            tare_chain_add(&chain, bytes, cut);
            later = chain;
            tare_chain_end(&later, bytes + cut, size - cut, hex);
            hashes_to(TARE_HASH_SHA256, (const char *)bytes, size, 4099, hex);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(examples), cmocka_unit_test(chains)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
