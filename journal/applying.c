/*
 * See mbj/applying.h.  One file of fixed places, written in place:
 *
 *	 0   8  magic "MBJAPPLY"
 *	 8  12  what is applied: first LSN 8, groups 4
 *	20  12  a batch that a process ended in, likewise
 *	32   8  of the boot's id, its beginning
 *	40  20  zero
 *	60   4  CRC32C of all before
 *	64      MBJ_STOPPERS_MAX times: LSN 8, version 32, deaths 4, CRC32C 4
 *
 * Invariants:
 *   1. a place that fails its checksum says nothing, and nothing of others; nor
 *      does a note of another boot, or where the boot is not known;
 *   2. a process that ended in a batch speaks against none of its groups; a
 *      group is a stopper once two ended in it alone and it did not go well in
 *      between;
 *   3. a note that cannot be written is taken away: none is left that is over.
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

#include "replicas_impl.h"
#include "store_impl.h"

static const char applying_magic[8] = {'M', 'B', 'J', 'A', 'P', 'P', 'L', 'Y'};

enum {
	NOTE_SIZE = 64,
	SPAN_SIZE = 12,
	AT_NOW = 8,
	AT_SUSPECT = AT_NOW + SPAN_SIZE,
	AT_BOOT = AT_SUSPECT + SPAN_SIZE,
	BOOT_SIZE = 8,
	STOPPER_SIZE = 48,
	AT_VERSION = 8,
	AT_DEATHS = AT_VERSION + STOPPER_VERSION_SIZE,
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

static void span_encode(struct applying_span span, uint8_t *p)
{
	mbj_store_u64(p, span.first.v);
	mbj_store_u32(p + 8, span.count);
}

static struct applying_span span_decode(const uint8_t *p)
{
	return (struct applying_span){{mbj_load_u64(p)}, mbj_load_u32(p + 8)};
}

static void stopper_put(struct applying *a, size_t index)
{
	const struct stopper *stopper = &a->stoppers[index];
	uint64_t at = NOTE_SIZE + index * STOPPER_SIZE;
	uint8_t p[STOPPER_SIZE] = {0};

	mbj_store_u64(p, stopper->lsn.v);
	memcpy(p + AT_VERSION, stopper->version, STOPPER_VERSION_SIZE);
	mbj_store_u32(p + AT_DEATHS, stopper->deaths);
	crc_put(p, sizeof(p));
	if (mbj_file_write(&a->file, at, p, sizeof(p), NULL) == MBJ_OK)
		(void)!mbj_file_sync(&a->file, NULL);
}

/* One that was taken away gets back what is known. */
static bool file_make(struct mbj_store *store)
{
	struct applying *a = &store->applying;
	char path[MBJ_PATH_TEXT_MAX];

	if (a->file.fd >= 0)
		return true;
	if (mbj_path_join(path, store->dir, STORE_APPLYING_NAME, NULL) < 0 ||
	    mbj_file_open(store->sys, path, O_RDWR | O_CREAT, &a->file, NULL) <
		    0)
		return false;
	for (size_t i = 0; i < MBJ_STOPPERS_MAX; i++)
		if (a->stoppers[i].lsn.v > 0)
			stopper_put(a, i);
	return true;
}

/* What it said before may be over. */
static void file_unmake(struct mbj_store *store)
{
	char path[MBJ_PATH_TEXT_MAX];

	mbj_file_close(&store->applying.file);
	if (mbj_path_join(path, store->dir, STORE_APPLYING_NAME, NULL) ==
	    MBJ_OK)
		(void)!mbj_file_remove(store->sys, path, NULL);
}

static void note_write(struct mbj_store *store)
{
	struct applying *a = &store->applying;
	uint8_t p[NOTE_SIZE] = {0};

	if (!file_make(store))
		return;
	memcpy(p, applying_magic, sizeof(applying_magic));
	span_encode(a->now, p + AT_NOW);
	span_encode(a->suspect, p + AT_SUSPECT);
	memcpy(p + AT_BOOT, a->boot.b, BOOT_SIZE);
	crc_put(p, sizeof(p));
	if (mbj_file_write(&a->file, 0, p, sizeof(p), NULL) < 0)
		file_unmake(store);
}

static void stopper_write(struct mbj_store *store, size_t index)
{
	if (file_make(store))
		stopper_put(&store->applying, index);
}

/* -------------------------------------------------------------- stoppers */

static const struct stopper *stopper_find(const struct applying *a,
					  struct mbj_lsn lsn)
{
	for (size_t i = 0; i < MBJ_STOPPERS_MAX; i++)
		if (a->stoppers[i].lsn.v == lsn.v)
			return &a->stoppers[i];
	return NULL;
}

bool mbj_applying_is_stopper(const struct mbj_store *store, struct mbj_lsn lsn)
{
	const struct stopper *stopper = stopper_find(&store->applying, lsn);

	return stopper != NULL && stopper->deaths >= DEATHS_MAX &&
	       strcmp(stopper->version, MBJ_VERSION) == 0;
}

/* In its own place, or in that of the oldest group; free ones are 0. */
static void stopper_die(struct mbj_store *store, struct mbj_lsn lsn)
{
	struct stopper *stoppers = store->applying.stoppers;
	struct stopper next = {lsn, 1, MBJ_VERSION, false};
	size_t index = 0;

	for (size_t i = 0; i < MBJ_STOPPERS_MAX; i++) {
		if (stoppers[i].lsn.v == lsn.v) {
			index = i;
			break;
		}
		if (stoppers[i].lsn.v < stoppers[index].lsn.v)
			index = i;
	}
	if (stoppers[index].lsn.v == lsn.v &&
	    strcmp(stoppers[index].version, MBJ_VERSION) == 0)
		next.deaths = DEATHS_MAX;
	stoppers[index] = next;
	stopper_write(store, index);
}

void mbj_applying_well(struct mbj_store *store, struct mbj_lsn lsn)
{
	struct stopper *stoppers = store->applying.stoppers;

	for (size_t i = 0; i < MBJ_STOPPERS_MAX; i++)
		if (stoppers[i].lsn.v == lsn.v)
			stoppers[i].is_well = true;
}

void mbj_applying_settle(struct mbj_store *store, bool is_committed)
{
	struct stopper *stoppers = store->applying.stoppers;

	for (size_t i = 0; i < MBJ_STOPPERS_MAX; i++) {
		if (!stoppers[i].is_well)
			continue;
		stoppers[i].is_well = false;
		if (!is_committed)
			continue;
		stoppers[i] = (struct stopper){.deaths = 0};
		stopper_write(store, i);
	}
}

/* ------------------------------------------------------------------ notes */

/* A process ended there. */
static void death_note(struct mbj_store *store)
{
	struct applying *a = &store->applying;
	struct applying_span died = a->now;

	a->now = (struct applying_span){.count = 0};
	if (died.count == 1)
		stopper_die(store, died.first);
	else
		a->suspect = died;
	note_write(store);
}

static void note_decode(struct applying *a, const uint8_t *p)
{
	/* A machine that stopped says nothing of the program. */
	if (!crc_is_good(p, NOTE_SIZE) || mbj_id_is_root(a->boot) ||
	    memcmp(p, applying_magic, sizeof(applying_magic)) != 0 ||
	    memcmp(p + AT_BOOT, a->boot.b, BOOT_SIZE) != 0)
		return;
	a->now = span_decode(p + AT_NOW);
	a->suspect = span_decode(p + AT_SUSPECT);
}

static void stoppers_decode(struct applying *a, const uint8_t *p)
{
	for (size_t i = 0; i < MBJ_STOPPERS_MAX; i++, p += STOPPER_SIZE) {
		struct stopper *stopper = &a->stoppers[i];

		if (!crc_is_good(p, STOPPER_SIZE))
			continue;
		stopper->lsn.v = mbj_load_u64(p);
		stopper->deaths = mbj_load_u32(p + AT_DEATHS);
		memcpy(stopper->version, p + AT_VERSION, STOPPER_VERSION_SIZE);
		stopper->version[STOPPER_VERSION_SIZE - 1] = '\0';
	}
}

void applying_load_in(struct mbj_store *store, struct mbj_id boot)
{
	struct applying *a = &store->applying;
	uint8_t p[FILE_SIZE] = {0};
	char path[MBJ_PATH_TEXT_MAX];
	size_t n = 0;

	MBJ_ASSERT(a->file.fd < 0);
	a->boot = boot;
	if (mbj_path_join(path, store->dir, STORE_APPLYING_NAME, NULL) < 0 ||
	    mbj_file_open(store->sys, path, O_RDWR, &a->file, NULL) < 0 ||
	    mbj_file_read(&a->file, 0, p, sizeof(p), &n, NULL) < 0)
		return;
	note_decode(a, p);
	stoppers_decode(a, p + NOTE_SIZE);
	if (a->now.first.v > 0)
		death_note(store);
}

void mbj_applying_load(struct mbj_store *store)
{
	applying_load_in(store, boot_id_read(store->sys));
}

static uint64_t span_end(struct applying_span span)
{
	return span.first.v + span.count;
}

uint32_t mbj_applying_span(const struct mbj_store *store, struct mbj_lsn lsn,
			   uint32_t usual)
{
	const struct applying *a = &store->applying;
	bool is_suspect =
		lsn.v >= a->suspect.first.v && lsn.v < span_end(a->suspect);

	return is_suspect || stopper_find(a, lsn) != NULL ? 1 : usual;
}

void mbj_applying_begin(struct mbj_store *store, struct mbj_lsn lsn,
			uint32_t usual)
{
	struct applying *a = &store->applying;
	uint32_t count = mbj_applying_span(store, lsn, usual);

	MBJ_ASSERT(lsn.v > 0 && count > 0);
	if (count > 1 && a->now.first.v > 0)
		return;
	a->now = (struct applying_span){lsn, count};
	note_write(store);
}

void mbj_applying_pass(struct mbj_store *store)
{
	struct applying *a = &store->applying;

	if (a->suspect.first.v == 0)
		return;
	a->suspect = (struct applying_span){.count = 0};
	note_write(store);
}

/* Whoever ended a process in a batch of which all has gone well is not in it.
 */
void mbj_applying_end(struct mbj_store *store)
{
	struct applying *a = &store->applying;

	if (a->now.first.v == 0)
		return;
	if (a->now.count == 1 && span_end(a->now) >= span_end(a->suspect))
		a->suspect = (struct applying_span){.count = 0};
	a->now = (struct applying_span){.count = 0};
	note_write(store);
}
