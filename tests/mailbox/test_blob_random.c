/*
 * Contents that come, are found, read and go in any order: in bulk, by a log
 * and one by one, packed and not, while calls fail and power does.
 */
#include <errno.h>
#include <stdlib.h>

#include "blob_lab.h"
#include "blob_priv.h"
#include "disk_impl.h"

enum {
	LOG_SIZE = 4 * BLOB_LOG_BLOCK,
	CONTENTS = 14,
	SEEDS = 30,
	STEPS = 120,
	CUT_EVERY = 23, /* changing calls, on the average */
};

static const char root[] = "/d";
static const char dir[] = "/d/blobs";

struct chance {
	struct test_rng rng;
	struct test_rng cuts; /* the same whatever they cost */
	struct disk *disk;
	struct disk *after;
	struct mbj_blobs *blobs;
	struct content contents[CONTENTS];
	/* Stored or found, when so many had been dropped. */
	bool is_stored[CONTENTS];
	uint64_t drops[CONTENTS];
	/* A sync was over since. */
	bool is_promised[CONTENTS];
	bool is_bulk;
	bool is_failing;
	unsigned cut_count;
};

/* A call of those that come fails, or all from then on. */
static void fault(struct chance *c)
{
	static const unsigned calls[] = {
		DISK_CALL_SYNC,	  DISK_CALL_SYNC,   DISK_CALL_WRITE,
		DISK_CALL_RENAME, DISK_CALL_CREATE, DISK_CALL_ALL,
	};
	unsigned n = sizeof(calls) / sizeof(calls[0]);

	c->is_failing = test_rng_chance(&c->rng, 1, 2);
	disk_fail(c->disk,
		  &(struct disk_fault){
			  .calls = c->is_failing
					   ? calls[test_rng_below(&c->rng, n)]
					   : 0,
			  .at = test_rng_between(&c->rng, 1, 5),
			  .errnum =
				  test_rng_chance(&c->rng, 1, 3) ? ENOSPC : EIO,
			  .is_for_good = test_rng_chance(&c->rng, 1, 3)});
}

static void fault_end(struct chance *c)
{
	disk_fail(c->disk, &(struct disk_fault){.calls = 0});
	c->is_failing = false;
}

/* Where that fails it works later: nothing is lost. */
static void folder_open(struct chance *c)
{
	bool is_logging = test_rng_chance(&c->rng, 4, 5);
	struct mbj_error err;
	enum mbj_rc rc;

	if (test_rng_chance(&c->rng, 1, 3))
		fault(c);
	rc = mbj_blobs_open(disk_sys(c->disk), dir, true, &c->blobs, &err);
	if (rc < 0) {
		ck_assert(c->is_failing);
		fault_end(c);
		rc = mbj_blobs_open(disk_sys(c->disk), dir, true, &c->blobs,
				    &err);
	}
	test_ok(rc, err);
	mbj_blobs_pack(c->blobs, (unsigned)test_rng_below(&c->rng, 2));
	mbj_blobs_log(c->blobs, is_logging ? LOG_SIZE : 0);
	c->is_bulk = false;
	memset(c->is_stored, 0, sizeof(c->is_stored));
}

/* What was promised is there, and nothing but what names say. */
static void disk_check(const struct chance *c, struct disk *disk)
{
	struct mbj_blobs *blobs = NULL;
	struct mbj_error err;

	test_ok(mbj_blobs_open(disk_sys(disk), dir, true, &blobs, &err), err);
	mbj_blobs_pack(blobs, 1);
	(void)blobs_count(blobs);
	for (unsigned i = 0; i < CONTENTS; i++)
		if (c->is_promised[i])
			blob_read_check(blobs, &c->contents[i].digest,
					c->contents[i].p, c->contents[i].n,
					CONTENT_MAX);
	mbj_blobs_close(&blobs);
}

static void cut(struct chance *c, struct disk *disk, struct disk *after)
{
	struct disk_choice choice = {.count = 0};
	enum disk_cut_kind kind =
		(enum disk_cut_kind)test_rng_below(&c->cuts, DISK_CUT_COUNT);

	disk_choose(disk, kind, test_rng_next(&c->cuts), &choice);
	disk_cut(after, disk, kind, &choice);
	disk_choice_done(&choice);
}

static void chance_watch(void *context, struct disk *disk, enum disk_call call,
			 const char *path)
{
	struct chance *c = context;

	(void)call;
	(void)path;
	if (!test_rng_chance(&c->cuts, 1, CUT_EVERY))
		return;
	cut(c, disk, c->after);
	disk_check(c, c->after);
	c->cut_count++;
}

/* ------------------------------------------------------------ what happens */

static void stored(struct chance *c, unsigned i)
{
	if (!c->is_stored[i])
		c->drops[i] = mbj_blobs_drops(c->blobs);
	c->is_stored[i] = true;
}

static void put(struct chance *c, unsigned i)
{
	uint64_t drops = mbj_blobs_drops(c->blobs);
	struct mbj_hash digest;

	if (mbj_blob_put(c->blobs, content_bytes(&c->contents[i]), &digest,
			 NULL) < 0)
		return;
	c->is_stored[i] = true;
	c->drops[i] = drops;
	/* What it began with may be in a round that it was itself in. */
	if (drops != mbj_blobs_drops(c->blobs))
		c->is_stored[i] = false;
}

static void has(struct chance *c, unsigned i)
{
	uint64_t drops = mbj_blobs_drops(c->blobs);
	bool is_there = false;

	if (mbj_blob_has(c->blobs, &c->contents[i].digest, c->contents[i].n,
			 &is_there, NULL) < 0)
		return;
	if (is_there && drops == mbj_blobs_drops(c->blobs))
		stored(c, i);
	if (is_there)
		c->drops[i] = mbj_blobs_drops(c->blobs);
}

static void sync_all(struct chance *c)
{
	if (mbj_blobs_sync(c->blobs, NULL) < 0)
		return;
	for (unsigned i = 0; i < CONTENTS; i++) {
		if (c->is_stored[i] && c->drops[i] == mbj_blobs_drops(c->blobs))
			c->is_promised[i] = true;
		c->is_stored[i] = false;
	}
}

/* Not what a fault may have taken, as long as there may be one. */
static void look(struct chance *c, unsigned i)
{
	struct mbj_error err;
	enum mbj_rc rc;

	rc = mbj_blob_verify(c->blobs, &c->contents[i].digest, c->contents[i].n,
			     &err);
	ck_assert_msg(rc != MBJ_ECORRUPT, "%s", err.message);
	if (c->is_promised[i] && !c->is_failing)
		test_ok(rc, err);
}

static void take(struct chance *c, unsigned i)
{
	c->is_promised[i] = false;
	c->is_stored[i] = false;
	if (mbj_blob_remove(c->blobs, &c->contents[i].digest, NULL) == MBJ_OK)
		return;
}

static void settle(struct chance *c, unsigned i)
{
	enum mbj_rc rc;

	rc = mbj_blob_settle(c->blobs, &c->contents[i].digest, NULL);
	(void)rc;
}

static void rest(struct chance *c, bool is_all)
{
	enum mbj_rc rc = mbj_blobs_rest(c->blobs, is_all, NULL);

	/* A round that was in doubt before may have failed for it. */
	if (rc < 0 && !c->is_failing)
		rc = mbj_blobs_rest(c->blobs, is_all, NULL);
	ck_assert(rc == MBJ_OK || c->is_failing);
}

static void bulk(struct chance *c)
{
	c->is_bulk = !c->is_bulk;
	if (mbj_blobs_bulk(c->blobs, c->is_bulk, NULL) < 0)
		ck_assert(c->is_failing || !c->is_bulk);
}

/* Begun anew: closed in order, killed, or after a power cut. */
static void begin_anew(struct chance *c)
{
	struct disk *after = disk_new(root, 2);
	bool is_orderly = test_rng_chance(&c->rng, 1, 3);

	fault_end(c);
	if (is_orderly) {
		bulk(c);
		sync_all(c);
		rest(c, true);
	}
	cut(c, c->disk, after);
	disk_watch(c->disk, NULL, NULL);
	mbj_blobs_close(&c->blobs);
	disk_free(&c->disk);
	c->disk = after;
	disk_watch(c->disk, chance_watch, c);
	folder_open(c);
}

static void step(struct chance *c)
{
	unsigned i = (unsigned)test_rng_below(&c->rng, CONTENTS);

	switch (test_rng_below(&c->rng, 24)) {
	case 0:
		begin_anew(c);
		break;
	case 1:
	case 2:
		fault(c);
		break;
	case 3:
		bulk(c);
		break;
	case 4:
	case 5:
		rest(c, false);
		break;
	case 6:
		rest(c, true);
		break;
	case 7:
		take(c, i);
		break;
	case 8:
	case 9:
		settle(c, i);
		break;
	case 10:
	case 11:
		look(c, i);
		break;
	case 12:
	case 13:
		has(c, i);
		break;
	case 14:
	case 15:
	case 16:
	case 17:
		sync_all(c);
		break;
	default:
		put(c, i);
		break;
	}
}

/*
 * Goal: after a power cut what was stored or found before a sync that went well
 * is there, and no digest's name stands for anything else; before it as well.
 * Method: steps by chance, cuts after changing calls by chance, a seed each.
 */
START_TEST(blob_random)
{
	const char *more = getenv("MBJ_BLOB_SEEDS");
	uint64_t count = more == NULL ? SEEDS : strtoull(more, NULL, 10);
	struct test_rng seeds;
	static struct chance c;

	(void)test_rng_seed(&seeds);
	for (uint64_t round = 0; round < count; round++) {
		uint64_t seed = test_rng_next(&seeds);

		memset(&c, 0, sizeof(c));
		test_rng_init(&c.rng, seed);
		test_rng_init(&c.cuts, seed + 1);
		c.disk = disk_new(root, seed);
		c.after = disk_new(root, seed);
		for (unsigned i = 0; i < CONTENTS; i++)
			if (i % 3 == 2)
				content_make_text(&c.contents[i], i);
			else
				content_make(&c.contents[i], i);
		disk_watch(c.disk, chance_watch, &c);
		folder_open(&c);
		for (unsigned i = 0; i < STEPS; i++)
			step(&c);
		begin_anew(&c);
		fault_end(&c);
		disk_check(&c, c.disk);
		mbj_blobs_close(&c.blobs);
		disk_free(&c.disk);
		disk_free(&c.after);
	}
}
END_TEST

TCase *test_blob_random_case(void)
{
	TCase *tc = tcase_create("blob_random");

	tcase_add_test(tc, blob_random);
	return tc;
}
