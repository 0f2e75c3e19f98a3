/*
 * See mbj/applying.h.  One file of fixed places, written in place:
 *
 *	 0   8  magic "MBJAPPLY"
 *	 8  20  what is applied: first LSN 8, groups 4, deaths 4, again 4
 *	28  20  what a process ended in, likewise
 *	48   8  of the boot's id, its beginning
 *	56   4  zero
 *	60   4  CRC32C of all before
 *	64      MBJ_STOPPERS_MAX times: LSN 8, version 32, zero 4, CRC32C 4
 *
 * Invariants:
 *   1. a place that fails its checksum says nothing, nor does a note of another
 *      boot;
 *   2. a group is a stopper once two processes ended in it, or in a batch with
 *      it and then in it alone.
 *
 * Threads: who feeds the replica.
 */
#include "applying.h"

#include <fcntl.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>
#include <mbj/replicas.h>
#include <mbj/version.h>

#include "store_impl.h"

static const char applying_magic[8] = {'M', 'B', 'J', 'A', 'P', 'P', 'L', 'Y'};

enum {
	NOTE_SIZE = 64,
	SPAN_SIZE = 20,
	AT_NOW = 8,
	AT_SUSPECT = AT_NOW + SPAN_SIZE,
	AT_BOOT = AT_SUSPECT + SPAN_SIZE,
	BOOT_SIZE = 8,
	STOPPER_SIZE = 48,
	AT_VERSION = 8,
	FILE_SIZE = NOTE_SIZE + MBJ_STOPPERS_MAX * STOPPER_SIZE,
	DEATHS_MAX = 2,
};

_Static_assert(sizeof(MBJ_VERSION) <= STOPPER_VERSION_SIZE, "it has room");

/* ------------------------------------------------------------------ bytes */

static void crc_put(uint8_t *p, size_t size)
{
	mbj_store_u32(p + size - 4, mbj_crc32c(0, mbj_bytes_make(p, size - 4)));
}

static bool crc_is_good(const uint8_t *p, size_t size)
{
	return mbj_load_u32(p + size - 4) ==
	       mbj_crc32c(0, mbj_bytes_make(p, size - 4));
}

static void span_encode(const struct applying_span *span, uint8_t *p)
{
	mbj_store_u64(p, span->first.v);
	mbj_store_u32(p + 8, span->count);
	mbj_store_u32(p + 12, span->deaths);
	mbj_store_u32(p + 16, span->is_again);
}

static struct applying_span span_decode(const uint8_t *p)
{
	return (struct applying_span){
		.first = {mbj_load_u64(p)},
		.count = mbj_load_u32(p + 8),
		.deaths = mbj_load_u32(p + 12),
		.is_again = mbj_load_u32(p + 16) == 1,
	};
}

static bool file_make(struct mbj_store *store)
{
	struct applying *a = &store->applying;
	char path[MBJ_PATH_TEXT_MAX];

	if (a->file.fd >= 0)
		return true;
	a->is_given_up = a->is_given_up ||
			 mbj_path_join(path, store->dir, STORE_APPLYING_NAME,
				       NULL) < 0 ||
			 mbj_file_open(store->sys, path, O_RDWR | O_CREAT,
				       &a->file, NULL) < 0;
	return !a->is_given_up;
}

/* Where it fails, what was there stays, which costs nobody anything. */
static void note_write(struct mbj_store *store)
{
	struct applying *a = &store->applying;
	uint8_t p[NOTE_SIZE] = {0};

	if (!file_make(store))
		return;
	memcpy(p, applying_magic, sizeof(applying_magic));
	span_encode(&a->now, p + AT_NOW);
	span_encode(&a->suspect, p + AT_SUSPECT);
	memcpy(p + AT_BOOT, a->boot.b, BOOT_SIZE);
	crc_put(p, sizeof(p));
	(void)!mbj_file_write(&a->file, 0, p, sizeof(p), NULL);
}

static void stopper_write(struct mbj_store *store, size_t index)
{
	struct applying *a = &store->applying;
	const struct stopper *stopper = &a->stoppers[index];
	uint64_t at = NOTE_SIZE + index * STOPPER_SIZE;
	uint8_t p[STOPPER_SIZE] = {0};

	if (!file_make(store))
		return;
	mbj_store_u64(p, stopper->lsn.v);
	memcpy(p + AT_VERSION, stopper->version, STOPPER_VERSION_SIZE);
	crc_put(p, sizeof(p));
	if (mbj_file_write(&a->file, at, p, sizeof(p), NULL) == MBJ_OK)
		(void)!mbj_file_sync(&a->file, NULL);
}

/* -------------------------------------------------------------- stoppers */

bool mbj_applying_is_stopper(const struct mbj_store *store, struct mbj_lsn lsn)
{
	const struct applying *a = &store->applying;

	for (size_t i = 0; i < MBJ_STOPPERS_MAX; i++)
		if (a->stoppers[i].lsn.v == lsn.v &&
		    strcmp(a->stoppers[i].version, MBJ_VERSION) == 0)
			return true;
	return false;
}

/* In its own place, or in that of the oldest group; free ones are 0. */
static void stopper_add(struct mbj_store *store, struct mbj_lsn lsn)
{
	struct stopper *stoppers = store->applying.stoppers;
	size_t index = 0;

	for (size_t i = 0; i < MBJ_STOPPERS_MAX; i++) {
		if (stoppers[i].lsn.v == lsn.v) {
			index = i;
			break;
		}
		if (stoppers[i].lsn.v < stoppers[index].lsn.v)
			index = i;
	}
	stoppers[index] = (struct stopper){lsn, MBJ_VERSION};
	stopper_write(store, index);
}

/* ------------------------------------------------------------------ notes */

/* A process ended there. */
static void death_note(struct mbj_store *store)
{
	struct applying *a = &store->applying;
	struct applying_span died = a->now;

	a->now = (struct applying_span){.count = 0};
	a->suspect = a->now;
	if (died.count > 1 || died.deaths + 1 < DEATHS_MAX) {
		a->suspect = died;
		a->suspect.deaths = 1;
	} else {
		stopper_add(store, died.first);
	}
	note_write(store);
}

static void file_decode(struct applying *a, const uint8_t *p)
{
	/* A machine that stopped says nothing of the program. */
	if (memcmp(p + AT_BOOT, a->boot.b, BOOT_SIZE) == 0) {
		a->now = span_decode(p + AT_NOW);
		a->suspect = span_decode(p + AT_SUSPECT);
	}
	for (size_t i = 0; i < MBJ_STOPPERS_MAX; i++) {
		const uint8_t *s = p + NOTE_SIZE + i * STOPPER_SIZE;
		struct stopper *stopper = &a->stoppers[i];

		if (!crc_is_good(s, STOPPER_SIZE))
			continue;
		stopper->lsn.v = mbj_load_u64(s);
		memcpy(stopper->version, s + AT_VERSION, STOPPER_VERSION_SIZE);
		stopper->version[STOPPER_VERSION_SIZE - 1] = '\0';
	}
}

void mbj_applying_load(struct mbj_store *store)
{
	struct applying *a = &store->applying;
	uint8_t p[FILE_SIZE] = {0};
	char path[MBJ_PATH_TEXT_MAX];
	size_t n = 0;

	MBJ_ASSERT(a->file.fd < 0);
	a->boot = mbj_boot_id();
	if (mbj_path_join(path, store->dir, STORE_APPLYING_NAME, NULL) < 0 ||
	    mbj_file_open(store->sys, path, O_RDWR, &a->file, NULL) < 0 ||
	    mbj_file_read(&a->file, 0, p, sizeof(p), &n, NULL) < 0 ||
	    !crc_is_good(p, NOTE_SIZE) ||
	    memcmp(p, applying_magic, sizeof(applying_magic)) != 0)
		return;
	file_decode(a, p);
	if (a->now.first.v > 0)
		death_note(store);
}

static bool is_suspect(const struct applying *a, struct mbj_lsn lsn,
		       bool is_again)
{
	const struct applying_span *s = &a->suspect;

	return s->first.v > 0 && s->is_again == is_again &&
	       lsn.v >= s->first.v && lsn.v - s->first.v < s->count;
}

uint32_t mbj_applying_span(const struct mbj_store *store, struct mbj_lsn lsn,
			   uint32_t usual)
{
	return is_suspect(&store->applying, lsn, false) ? 1 : usual;
}

static void begin(struct mbj_store *store, struct mbj_lsn lsn, uint32_t count,
		  bool is_again)
{
	struct applying *a = &store->applying;

	MBJ_ASSERT(lsn.v > 0 && count > 0);
	if (a->now.first.v > 0)
		return;
	a->now = (struct applying_span){
		.first = lsn,
		.count = count,
		.deaths = is_suspect(a, lsn, is_again) ? a->suspect.deaths : 0,
		.is_again = is_again,
	};
	note_write(store);
}

void mbj_applying_begin(struct mbj_store *store, struct mbj_lsn lsn,
			uint32_t usual)
{
	begin(store, lsn, mbj_applying_span(store, lsn, usual), false);
}

void mbj_applying_again(struct mbj_store *store, struct mbj_lsn lsn)
{
	begin(store, lsn, 1, true);
}

void mbj_applying_pass(struct mbj_store *store)
{
	struct applying *a = &store->applying;

	if (a->suspect.first.v == 0 || a->suspect.is_again)
		return;
	a->suspect = (struct applying_span){.count = 0};
	note_write(store);
}

/* All that was suspected has gone well: it was somebody who killed. */
void mbj_applying_end(struct mbj_store *store)
{
	struct applying *a = &store->applying;
	uint64_t last = a->suspect.first.v + a->suspect.count;

	if (a->now.first.v == 0)
		return;
	if (a->suspect.first.v > 0 && a->now.is_again == a->suspect.is_again &&
	    a->now.first.v + a->now.count >= last &&
	    (!a->now.is_again || is_suspect(a, a->now.first, true)))
		a->suspect = (struct applying_span){.count = 0};
	a->now = (struct applying_span){.count = 0};
	note_write(store);
}
