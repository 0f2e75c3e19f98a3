/*
 * What a run of groups comes to, taken at once: the end is the same as with
 * one group after the other, and contents of messages that are gone by then are
 * not fetched.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <mbj/audit.h>
#include <mbj/blob.h>
#include <mbj/collect.h>

#include "aside_lab.h"
#include "db_engine.h"

enum {
	BOXES = 4,
	POOL = 12,	 /* contents that messages of the play share */
	NOTED = 1 << 12, /* contents that a batch keeps in mind */
	EACH = 1000,
	ALLOCATIONS_MOST = 2000,
	ROUNDS = 3,
	PLAY = 60, /* groups */
	HEALED_BY = 5,
	BYTES_MOST = 16 << 20,
};

/* A primary, and two replicas of it. */
struct pair {
	struct mbj_store_options options;
	struct fixture f;     /* its replica takes many groups at once */
	struct fixture alone; /* this one takes each by itself */
	struct test_rng rng;
	const char *spared; /* by the play, or NULL */
};

static void pair_begin(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	p->options = MBJ_STORE_OPTIONS_INIT;
	p->options.state.engine = MBJ_STATE_MEMORY;
	fixture_begin_with(&p->f, &p->options);
	p->alone = p->f;
	OK(mbj_path_join(p->alone.replica_dir, p->f.tmpdir, "alone", err));
	OK(mbj_store_init(p->alone.replica_dir, MBJ_STORE_REPLICA, &p->options,
			  err));
	OK(mbj_replica_open(p->alone.replica_dir, &p->options,
			    &p->alone.replica, err));
}

static void pair_end(struct pair *p)
{
	mbj_store_close(&p->alone.replica);
	fixture_end(&p->f);
}

/* So many groups at once; 0: many, as for a backup. */
static struct mbj_replay_result replay(struct fixture *f, uint64_t until,
				       uint32_t batch)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;

	options.until.v = until;
	options.batch_groups_max = batch;
	options.is_duplicating = batch == 0;
	if (batch == 0)
		options.batch_groups_max = 1000;
	OK(mbj_replay_journal(f->replica, f->primary_dir, &options, &result,
			      err));
	return result;
}

/* --------------------------------------------------------------- messages */

static struct mbj_hash content_put(struct fixture *f, unsigned number,
				   uint64_t *ret_size)
{
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash digest;
	char text[16];

	(void)snprintf(text, sizeof(text), "content %04u", number);
	*ret_size = strlen(text);
	OK(mbj_store_blobs(f->primary, &blobs, err));
	OK(mbj_blob_put(blobs, mbj_bytes_str(text), &digest, err));
	return digest;
}

/* Whether it came about: the play asks for what cannot be done, too. */
static bool edit_do(struct fixture *f, const char *account,
		    struct mbj_edit *edit)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	enum mbj_rc rc;

	edit->account = mbj_bytes_str(account);
	rc = mbj_store_submit(f->primary, edit, &outcome, NULL);
	mbj_outcome_done(&outcome);
	return rc == MBJ_OK;
}

static bool messages_do(struct fixture *f, const char *account,
			struct mbj_message_edit *steps, size_t count)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = steps;
	edit.message_count = count;
	return edit_do(f, account, &edit);
}

static struct mbj_hash append(struct fixture *f, const char *account,
			      unsigned number)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.mailbox = fixture_id(1)};

	step.blob = content_put(f, number, &step.size);
	ck_assert(messages_do(f, account, &step, 1));
	return step.blob;
}

static void expunge(struct fixture *f, const char *account, uint32_t first,
		    uint32_t last)
{
	uint8_t range[MBJ_UID_RANGE_SIZE];
	struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_EXPUNGE,
		.mailbox = fixture_id(1),
		.uids = mbj_bytes_make(range, sizeof(range)),
	};

	mbj_store_u32(range, first);
	mbj_store_u32(range + 4, last);
	ck_assert(messages_do(f, account, &step, 1));
}

static bool is_here(struct fixture *f, const struct mbj_hash *content,
		    unsigned number)
{
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash same;
	uint64_t size;
	bool is = false;

	same = content_put(f, number, &size);
	ck_assert_mem_eq(same.b, content->b, sizeof(same.b));
	OK(mbj_store_blobs_read(NULL, f->replica_dir, &blobs, err));
	OK(mbj_blob_has(blobs, content, size, &is, err));
	mbj_blobs_close(&blobs);
	return is;
}

static unsigned wanted_count(struct fixture *f)
{
	struct mbj_scan scan = {0};
	struct mbj_txn *txn = NULL;
	struct mbj_hash blob;
	uint64_t count, size;
	unsigned wanted = 0;

	OK(mbj_store_read(f->replica, &txn, err));
	OK(mbj_scan_blobs(txn, true, &scan, err));
	while (mbj_scan_next_blob(&scan, &blob, &count, &size, NULL) == MBJ_OK)
		wanted++;
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	return wanted;
}

/*
 * Goal: the content of a message that is gone further on in what is taken at
 * once is not fetched; that of one that stays, or that another one has, is, and
 * all are for a backup.  Method: three messages, of which two go, one with a
 * content that stays.
 */
START_TEST(net_contents)
{
	struct mbj_hash gone, stays, shared;
	struct pair p;

	pair_begin(&p);
	fixture_import(&p.f, "alice", 2);
	gone = append(&p.f, "alice", 1);
	stays = append(&p.f, "alice", 2);
	shared = append(&p.f, "alice", 3);
	(void)append(&p.f, "alice", 3);
	expunge(&p.f, "alice", 1, 1);
	expunge(&p.f, "alice", 3, 3);
	ck_assert_uint_eq(replay(&p.f, 0, 1000).blobs_missing, 0);
	ck_assert(!is_here(&p.f, &gone, 1));
	ck_assert(is_here(&p.f, &stays, 2));
	ck_assert(is_here(&p.f, &shared, 3));
	ck_assert_uint_eq(wanted_count(&p.f), 0);
	aside_equal(&p.f);

	ck_assert_uint_eq(replay(&p.alone, 0, 0).blobs_missing, 0);
	ck_assert(is_here(&p.alone, &gone, 1));
	ck_assert(is_here(&p.alone, &shared, 3));
	pair_end(&p);
}
END_TEST

/*
 * Goal: what waits for an account that is set aside has its contents, though
 * no message of the state has them.  Method: an account that diverged, whose
 * message comes and goes; the source loses its contents, and what waits is
 * carried out.
 */
START_TEST(net_aside)
{
	struct mbj_hash gone, stays;
	struct pair p;

	pair_begin(&p);
	fixture_import(&p.f, "alice", 2);
	(void)replay(&p.f, 0, 1000);
	aside_ghost(&p.f, "alice", true);
	gone = append(&p.f, "alice", 1);
	stays = append(&p.f, "alice", 2);
	expunge(&p.f, "alice", 1, 1);
	ck_assert_uint_eq(replay(&p.f, 0, 1000).groups_parked, 3);
	aside_waits(&p.f, "alice", 3, 2, "account ");
	ck_assert(is_here(&p.f, &gone, 1));
	ck_assert(is_here(&p.f, &stays, 2));
	aside_ghost(&p.f, "alice", false);
	ck_assert_uint_eq(aside_retry(&p.f, "alice").groups, 3);
	aside_equal(&p.f);
	pair_end(&p);
}
END_TEST

/*
 * Goal: a transaction with more contents than are kept in mind fetches all that
 * messages have.  Method: more, of which nobody has stored any, and which are
 * wanted therefore; those that are not settled yet when they go are not.
 */
START_TEST(net_many)
{
	static struct mbj_message_edit steps[EACH];
	unsigned count = NOTED + EACH;
	struct pair p;

	pair_begin(&p);
	fixture_import(&p.f, "alice", 2);
	for (unsigned at = 0; at < count; at += EACH) {
		for (unsigned i = 0; i < EACH; i++) {
			steps[i] = (struct mbj_message_edit){
				.kind = MBJ_MESSAGE_APPEND,
				.mailbox = fixture_id(1),
				.size = 1,
			};
			mbj_store_u32(steps[i].blob.b, at + i + 1);
		}
		ck_assert(messages_do(&p.f, "alice", steps,
				      count - at < EACH ? count - at : EACH));
	}
	ck_assert_uint_eq(replay(&p.f, 0, 1000).blobs_missing, count);
	ck_assert_uint_eq(wanted_count(&p.f), count);
	pair_end(&p);
}
END_TEST

/*
 * Goal: memory that is not to be had loses nothing.  Method: each allocation of
 * a replay of one message fails in turn, until none is left; the next attempt
 * has it.
 */
START_TEST(net_memory)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_hash content;
	uint64_t k;
	struct pair p;

	pair_begin(&p);
	fixture_import(&p.f, "alice", 2);
	content = append(&p.f, "alice", 1);
	for (k = 1;; k++) {
		enum mbj_rc rc;

		ck_assert_uint_lt(k, ALLOCATIONS_MOST);
		test_alloc_fail_at(k);
		rc = mbj_replay_journal(p.f.replica, p.f.primary_dir, &options,
					&result, NULL);
		test_alloc_fail_at(0);
		if (rc == MBJ_OK)
			break;
		/* It may be closed for it, as its state cannot follow. */
		mbj_store_close(&p.f.replica);
		OK(mbj_replica_open(p.f.replica_dir, &p.options, &p.f.replica,
				    err));
	}
	ck_assert_uint_gt(k, 10);
	(void)replay(&p.f, 0, 1000);
	ck_assert(is_here(&p.f, &content, 1));
	aside_equal(&p.f);
	pair_end(&p);
}
END_TEST

static atomic_uint syncs;

static int counted_fdatasync(void *ctx, int fd)
{
	(void)atomic_fetch_add(&syncs, 1);
	return mbj_sys_posix()->fdatasync(ctx, fd);
}

/* Syncs of a replica that takes three messages, said to be of this size. */
static unsigned syncs_of(uint64_t size)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.mailbox = fixture_id(1),
					.size = size};
	struct mbj_sys sys = *mbj_sys_posix();
	struct pair p;

	pair_begin(&p);
	sys.fdatasync = counted_fdatasync;
	mbj_store_close(&p.f.replica);
	p.options.sys = &sys;
	OK(mbj_replica_open(p.f.replica_dir, &p.options, &p.f.replica, err));
	fixture_import(&p.f, "alice", 2);
	for (uint8_t i = 1; i <= 3; i++) {
		step.blob.b[0] = i;
		ck_assert(messages_do(&p.f, "alice", &step, 1));
	}
	atomic_store(&syncs, 0);
	ck_assert_uint_eq(replay(&p.f, 0, 1000).blobs_missing, 3);
	pair_end(&p);
	return atomic_load(&syncs);
}

/*
 * Goal: a transaction ends where its contents are very large.  Method: messages
 * of 64 MiB, and of one byte; a transaction is a sync of the journal.
 */
START_TEST(net_large)
{
	ck_assert_uint_eq(syncs_of(64 << 20), syncs_of(1) + 2);
}
END_TEST

/* ------------------------------------------------------------------- play */

static const char *play_name(struct pair *p)
{
	static const char *const names[] = {"alice", "bob", "carol"};
	const char *name;

	do
		name = names[test_rng_below(&p->rng, 3)];
	while (name == p->spared);
	return name;
}

static struct mbj_id play_box(struct pair *p)
{
	return fixture_id((uint8_t)(1 + test_rng_below(&p->rng, BOXES)));
}

static void play_messages(struct pair *p, const char *account)
{
	static const enum mbj_message_edit_kind kinds[] = {
		MBJ_MESSAGE_APPEND,  MBJ_MESSAGE_APPEND,  MBJ_MESSAGE_APPEND,
		MBJ_MESSAGE_FLAGS,   MBJ_MESSAGE_EXPUNGE, MBJ_MESSAGE_COPY,
		MBJ_MESSAGE_EXPUNGE, MBJ_MESSAGE_MOVE,	  MBJ_MESSAGE_TAKE_ALL,
	};
	uint8_t range[MBJ_UID_RANGE_SIZE];
	uint32_t first = (uint32_t)test_rng_between(&p->rng, 1, 8);
	struct mbj_message_edit step = {
		.kind = kinds[test_rng_below(&p->rng,
					     sizeof(kinds) / sizeof(kinds[0]))],
		.mailbox = play_box(p),
		.target = play_box(p),
		.uids = mbj_bytes_make(range, sizeof(range)),
		.mode = test_rng_chance(&p->rng, 1, 2) ? MBJ_FLAGS_ADD
						       : MBJ_FLAGS_REMOVE,
		.flags = MBJ_FLAG_SEEN,
	};

	mbj_store_u32(range, first);
	mbj_store_u32(range + 4, first + (uint32_t)test_rng_below(&p->rng, 3));
	if (step.kind == MBJ_MESSAGE_APPEND)
		step.blob = content_put(&p->f,
					(unsigned)test_rng_below(&p->rng, POOL),
					&step.size);
	(void)messages_do(&p->f, account, &step, 1);
}

static void play_boxes(struct pair *p, const char *account)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_change change = {.id = play_box(p)};
	char name[16];

	(void)snprintf(name, sizeof(name), "name-%u",
		       (unsigned)test_rng_below(&p->rng, 6));
	change.name = mbj_bytes_str(name);
	change.kind = test_rng_chance(&p->rng, 1, 5)   ? MBJ_CHANGE_DESTROY
		      : test_rng_chance(&p->rng, 1, 3) ? MBJ_CHANGE_CREATE
						       : MBJ_CHANGE_UPDATE;
	change.has = MBJ_CHANGE_HAS_NAME;
	if (change.kind == MBJ_CHANGE_CREATE) {
		change.id = fixture_id(
			(uint8_t)(20 + test_rng_below(&p->rng, 200)));
		change.has |= MBJ_CHANGE_HAS_PARENT;
	}
	edit.kind = MBJ_EDIT_SET;
	edit.changes = &change;
	edit.change_count = 1;
	edit.is_emptying = true;
	(void)edit_do(&p->f, account, &edit);
}

/* An account goes, and one of its name begins anew. */
static void play_account(struct pair *p, const char *account)
{
	aside_delete(&p->f, account);
	fixture_import(&p->f, account, BOXES);
}

/* So many groups, and a few more. */
static void play(struct pair *p, unsigned groups)
{
	uint64_t end = mbj_store_end(p->f.primary).lsn.v + groups;

	while (mbj_store_end(p->f.primary).lsn.v < end) {
		const char *account = play_name(p);

		if (test_rng_chance(&p->rng, 1, 40))
			play_account(p, account);
		else if (test_rng_chance(&p->rng, 1, 3))
			play_boxes(p, account);
		else
			play_messages(p, account);
	}
}

/* --------------------------------------------------------- the same state */

/*
 * The state's file, but for the group since which no message has a content,
 * which is that of the batch that reaped it.
 */
static void state_read(const struct fixture *f, struct mbj_buf *ret)
{
	char dir[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	size_t at = 8;

	mbj_buf_init(ret, BYTES_MOST);
	OK(mbj_path_join(dir, f->replica_dir, "state", err));
	OK(mbj_path_join(path, dir, DB_MEMORY_NAME, err));
	OK(mbj_file_load(mbj_sys_posix(), path, BYTES_MOST, ret, err));
	ret->n -= 4; /* its checksum */
	while (at < ret->n) {
		uint8_t table = ret->p[at];
		uint32_t key = mbj_load_u32(ret->p + at + 1);
		uint32_t value;

		at += 1 + 4 + key;
		value = mbj_load_u32(ret->p + at);
		at += 4 + value;
		ck_assert_uint_le(at, ret->n);
		if (table == TABLE_BLOBS)
			memset(ret->p + at - 8, 0, 8);
	}
}

static void audit_read(const struct fixture *f, struct mbj_buf *ret)
{
	struct mbj_audit_entry entry;
	struct mbj_audit_list list;

	mbj_buf_init(ret, BYTES_MOST);
	OK(mbj_audit_load(mbj_sys_posix(), f->replica_dir, &list, err));
	while (mbj_audit_next(&list, &entry)) {
		mbj_buf_put_u8(ret, (uint8_t)entry.kind);
		mbj_buf_put_id(ret, entry.account);
		mbj_buf_put_u64(ret, entry.first.v);
		mbj_buf_put_u64(ret, entry.count);
		mbj_buf_put_block(ret, entry.reason);
	}
	mbj_audit_list_done(&list);
}

static void bufs_compare(struct mbj_buf *a, struct mbj_buf *b)
{
	ck_assert_uint_eq(a->n, b->n);
	if (a->n > 0)
		ck_assert_mem_eq(a->p, b->p, a->n);
	mbj_buf_done(a);
	mbj_buf_done(b);
}

/* Closed and opened again: the file has what there is then. */
static void pair_compare(struct pair *p)
{
	struct mbj_buf a, b;

	mbj_store_close(&p->f.replica);
	mbj_store_close(&p->alone.replica);
	state_read(&p->f, &a);
	state_read(&p->alone, &b);
	bufs_compare(&a, &b);
	audit_read(&p->f, &a);
	audit_read(&p->alone, &b);
	bufs_compare(&a, &b);
	OK(mbj_replica_open(p->f.replica_dir, &p->options, &p->f.replica, err));
	OK(mbj_replica_open(p->alone.replica_dir, &p->options,
			    &p->alone.replica, err));
}

/* All that both lack, one of them at once. */
static uint64_t pair_replay(struct pair *p, uint64_t until)
{
	uint32_t batch = (uint32_t)test_rng_between(&p->rng, 2, 70);
	struct mbj_replay_result many = replay(&p->f, until, batch);
	struct mbj_replay_result one = replay(&p->alone, until, 1);

	ck_assert_uint_eq(many.groups, one.groups);
	ck_assert_uint_eq(many.groups_parked, one.groups_parked);
	ck_assert_uint_eq(many.accounts_parked, one.accounts_parked);
	ck_assert_uint_eq(many.groups_retried, one.groups_retried);
	ck_assert_uint_eq(many.blobs_missing, 0);
	ck_assert_uint_eq(one.blobs_missing, 0);
	pair_compare(p);
	return many.accounts_parked;
}

/*
 * Goal: many groups at once leave what each by itself leaves: the state byte
 * for byte, with who is set aside since when and why, the watermark, the audit,
 * and all contents of messages.  Method: a random play of three accounts, of
 * which one diverges in the midst of a run and is mended later.
 */
START_TEST(net_play)
{
	struct mbj_verify_totals totals;
	struct mbj_collect_result collected;
	const char *account;
	uint64_t middle;
	struct pair p;

	pair_begin(&p);
	(void)test_rng_seed(&p.rng);
	fixture_import(&p.f, "alice", BOXES);
	fixture_import(&p.f, "bob", BOXES);
	fixture_import(&p.f, "carol", BOXES);
	play(&p, PLAY);
	middle = mbj_store_end(p.f.primary).lsn.v;
	(void)pair_replay(&p, test_rng_between(&p.rng, 4, middle));
	ck_assert_uint_eq(pair_replay(&p, middle), 0);
	/* In the midst of what follows one does not take what the others do. */
	account = play_name(&p);
	aside_ghost(&p.f, account, true);
	aside_ghost(&p.alone, account, true);
	p.spared = account;
	play(&p, PLAY);
	p.spared = NULL;
	(void)append(&p.f, account, POOL);
	play(&p, PLAY);
	ck_assert_uint_gt(pair_replay(&p, 0), 0);
	aside_ghost(&p.f, account, false);
	aside_ghost(&p.alone, account, false);
	for (unsigned i = 0; pair_replay(&p, 0) > 0; i++)
		ck_assert_uint_lt(i, HEALED_BY);
	/* Contents of messages that are gone the source may have forgotten. */
	play(&p, PLAY);
	OK(mbj_store_collect(p.f.primary, false, &collected, err));
	ck_assert_uint_eq(pair_replay(&p, 0), 0);
	ck_assert_uint_eq(fixture_differences(&p.f, &totals), 0);
	pair_end(&p);
}
END_TEST

TCase *test_net_case(void)
{
	TCase *tcase = tcase_create("net");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, net_contents);
	tcase_add_test(tcase, net_aside);
	tcase_add_test(tcase, net_many);
	tcase_add_test(tcase, net_large);
	tcase_add_test(tcase, net_memory);
	tcase_add_loop_test(tcase, net_play, 0, ROUNDS);
	return tcase;
}
