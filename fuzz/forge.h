/*
 * Snapshots taken apart into their records and put together again, with every
 * checksum, count and digest that follows from these: what is behind them is
 * reached, and an input is a snapshot that somebody forged, who knows how.
 * Written from docs/FORMAT.md ("Snapshot"), beside the library's code.
 */
#ifndef FUZZ_FORGE_H
#define FUZZ_FORGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FORGE_HEAD_SIZE = 256,
	FORGE_ID_SIZE = 16,
	FORGE_RECORDS_MAX = 1024,
	FORGE_SIZE_MAX = 64 << 10, /* of an input, and of what is made of it */
	FORGE_ROOM_SIZE = 4 * FORGE_SIZE_MAX,
	FORGE_NOTHING = 0xff, /* in place of a table: a chunk without records */
};

/* Numbers of tables in records. */
enum {
	FORGE_ACCOUNTS = 1,
	FORGE_MAILBOXES = 3,
	FORGE_FLOORS = 5,
	FORGE_SUBSCRIPTIONS = 6,
	FORGE_ATTRIBUTES = 7,
	FORGE_TOMBSTONES = 8,
	FORGE_PARKED = 9,
	FORGE_CONTENTS = 10,
	FORGE_MESSAGES = 11,
	FORGE_VANISHED = 12,
	FORGE_BLOBS = 13,
	FORGE_ORPHANS = 14,
	FORGE_WANTED = 15,
	FORGE_INTENTS = 16,
};

struct forge_record {
	uint8_t account[FORGE_ID_SIZE];
	uint8_t table;
	bool is_first; /* of its chunk */
	uint8_t *key;
	uint8_t *value;
	uint32_t key_size;
	uint32_t value_size;
};

struct forge {
	uint8_t head[FORGE_HEAD_SIZE];
	struct forge_record records[FORGE_RECORDS_MAX];
	size_t count;
	uint8_t room[FORGE_ROOM_SIZE]; /* what keys and values are in */
	size_t used;
};

/* How much is made to fit. */
enum forge_fit {
	FORGE_CHECKSUMS, /* those alone, and the end's counts */
	FORGE_SUMS,	 /* what accounts and contents say of their records */
};

/* As far as it is one; false: it is too short, or there is no room. */
bool forge_read(struct forge *forge, const uint8_t *data, size_t size);
/* Bytes in the room; NULL: there is none for them. */
uint8_t *forge_room(struct forge *forge, size_t size);
/* In the order of a snapshot. */
void forge_sort(struct forge *forge);
/* Returns its size; 0: it has more than max. */
size_t forge_write(struct forge *forge, enum forge_fit fit, uint8_t *data,
		   size_t max);
/* Both: what it is made into, of at most max bytes. */
size_t forge_mend(uint8_t *data, size_t size, size_t max);

#endif
