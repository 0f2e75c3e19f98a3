/*
 * Failing digests: the linker puts this in front of mbj_sha256_digest (--wrap).
 * libcrypto says that it may fail, and never did: what then happens can be
 * seen in no other way.
 *
 * Threads: one.
 */
#ifndef TEST_JOURNAL_HASH_FAULT_H
#define TEST_JOURNAL_HASH_FAULT_H

#include <stdint.h>

/* The k-th digest from now on fails with MBJ_ENOMEM, once; 0: none. */
void hash_fault_at(uint64_t k);
/* Digests since hash_fault_at. */
uint64_t hash_fault_count(void);

#endif
