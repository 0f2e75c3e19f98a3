/*
 * Accounts that are set aside where files cannot be opened, space is short and
 * chance is known.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "between.h"
#include "quarantine_run.h"
#include "skip_lab.h"

struct outside {
	struct mbj_sys sys;
	struct mbj_id drawn;
	int64_t space;
	bool is_shut;			 /* segments cannot be opened */
	bool is_stuffed;		 /* contents have no room */
	unsigned opened;		 /* segments */
	char reserve[MBJ_PATH_TEXT_MAX]; /* RESERVE bytes, or ""; not in space
					  */
};

enum { RESERVE = 4096 };

static int outside_random(void *ctx, void *p, size_t n)
{
	const struct outside *outside = ctx;

	if (n != MBJ_ID_SIZE || mbj_id_is_root(outside->drawn))
		return mbj_sys_posix()->random(mbj_sys_posix()->ctx, p, n);
	memcpy(p, outside->drawn.b, n);
	return 0;
}

static int64_t outside_space(void *ctx, const char *path)
{
	const struct outside *outside = ctx;

	(void)path;
	if (outside->reserve[0] != '\0' &&
	    !mbj_path_exists(mbj_sys_posix(), outside->reserve))
		return outside->space + RESERVE;
	return outside->space;
}

static int outside_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct outside *outside = ctx;

	if (strstr(path, ".seg") != NULL) {
		outside->opened++;
		if (outside->is_shut)
			return -EIO;
	}
	if (outside->is_stuffed && (flags & O_CREAT) != 0 &&
	    strstr(path, "/blobs/") != NULL)
		return -ENOSPC;
	return mbj_sys_posix()->open(mbj_sys_posix()->ctx, path, flags, mode);
}

/* The real one ignores its context. */
static void outside_init(struct outside *outside,
			 struct mbj_store_options *options)
{
	*outside = (struct outside){.sys = *mbj_sys_posix(),
				    .space = (int64_t)1 << 40};
	outside->sys.ctx = outside;
	outside->sys.open = outside_open;
	outside->sys.random = outside_random;
	outside->sys.space = outside_space;
	*options = MBJ_STORE_OPTIONS_INIT;
	options->sys = &outside->sys;
}

/* Groups wait for alice, and could be carried out by now. */
static void outside_begin(struct outside *outside,
			  struct mbj_store_options *options, struct fixture *f)
{
	outside_init(outside, options);
	aside_begin(f, false, options);
	aside_ghost(f, "alice", false);
}

/*
 * Goal: a journal that cannot be read now says nothing of what waits: the call
 * fails, and all wait as before.  Method: one whose segments nobody may open.
 */
START_TEST(outside_unreadable)
{
	struct mbj_retry_options retry = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_store_options options;
	struct mbj_retry_result result;
	struct outside outside;
	struct mbj_error why;
	struct fixture f;

	outside_begin(&outside, &options, &f);
	outside.is_shut = true;
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &retry, &result, &why),
			 MBJ_EIO);
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &retry, &result, NULL),
			 MBJ_EIO);
	aside_waits(&f, "alice", 3, 3, "group 3");
	outside.is_shut = false;
	ck_assert_uint_eq(fixture_replay(&f).groups_retried, 3);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: processes that come and go do not all look at the same accounts.
 * Method: of 200 the one that is mended is looked at by who draws a place
 * before it, and not by others.
 */
START_TEST(outside_drawn)
{
	struct mbj_store_options options;
	struct outside outside;
	struct mbj_id alice, others;
	struct fixture f;

	outside_begin(&outside, &options, &f);
	alice = fixture_account(f.primary, "alice");
	/* In the order of ids: the others are all behind it. */
	others = alice;
	others.b[MBJ_ID_SIZE - 1] ^= 1;
	for (unsigned i = 0; i < 2; i++) {
		others.b[0] = (uint8_t)(i == 0 ? alice.b[0] + 1 : 0);
		aside_by_hand(&f, i == 0 ? 255u - alice.b[0] : alice.b[0],
			      others, 3);
	}
	for (unsigned i = 0; i < 2; i++) {
		mbj_store_close(&f.replica);
		OK(mbj_replica_open(f.replica_dir, f.options, &f.replica, err));
		outside.drawn = alice;
		if (i == 0)
			outside.drawn.b[0] = (uint8_t)(alice.b[0] + 1);
		ck_assert_uint_eq(fixture_replay(&f).accounts_healed, i);
		outside.drawn = MBJ_ID_ROOT;
	}
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a disk that is full is written to by nobody, and is no reason for a
 * replay to fail.  Method: below the mark, asked for and by itself; above it
 * again.
 */
START_TEST(outside_full)
{
	struct mbj_retry_options retry = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_store_options options;
	struct mbj_retry_result result;
	struct outside outside;
	struct mbj_error why;
	struct fixture f;

	outside_begin(&outside, &options, &f);
	outside.space = MBJ_STORE_SPACE_MIN - 1;
	ck_assert_uint_eq(fixture_replay(&f).groups_retried, 0);
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &retry, &result, &why),
			 MBJ_ENOSPC);
	ck_assert_uint_eq(result.groups, 0);
	aside_waits(&f, "alice", 3, 3, "group 3");
	/* And what the groups take. */
	outside.space += 32 << 10;
	ck_assert_uint_eq(fixture_replay(&f).groups_retried, 3);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/* A step of alice's that is for her first messages, so many. */
static void first_messages(struct fixture *f, enum mbj_message_edit_kind kind,
			   enum mbj_flag_mode mode, uint8_t last)
{
	const uint8_t uids[8] = {1, 0, 0, 0, last};

	skip_messages(f, "alice",
		      &(struct mbj_message_edit){
			      .kind = kind,
			      .mailbox = fixture_id(1),
			      .mode = mode,
			      .flags = MBJ_FLAG_SEEN,
			      .uids = mbj_bytes_make(uids, sizeof(uids)),
		      });
}

/* "no space left" says what the group takes. */
static uint64_t takes_read(const struct mbj_error *why)
{
	const char *said = strstr(why->message, "up to ");
	unsigned long long takes;

	ck_assert_ptr_nonnull(said);
	ck_assert_int_eq(sscanf(said, "up to %llu", &takes), 1);
	return takes;
}

/*
 * The replica ends there, and goes no further for lack of space; what the next
 * group takes.
 */
static uint64_t room_lacks(struct fixture *f, uint64_t end)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_error why;

	ck_assert_int_eq(mbj_replay_journal(f->replica, f->primary_dir,
					    &options, &result, &why),
			 MBJ_ENOSPC);
	ck_assert_uint_eq(mbj_store_end(f->replica).lsn.v, end);
	ck_assert_uint_eq(result.applied.v, end);
	return takes_read(&why);
}

/* Alice's messages are at both, which a step can be for; bob has none. */
static void mail_begin(struct fixture *f, struct outside *outside,
		       struct mbj_store_options *options, unsigned count)
{
	outside_init(outside, options);
	fixture_begin_with(f, options);
	fixture_import(f, "alice", 2);
	fixture_import(f, "bob", 2);
	for (unsigned i = 0; i < count; i++)
		skip_append(f, "alice", "one\n");
	(void)fixture_replay(f);
}

/* Of alice's second mailbox, to and fro. */
static void renames(struct fixture *f, unsigned count)
{
	char name[MBJ_NAME_MAX + 1];

	for (unsigned i = 0; i < count; i++) {
		fixture_name(f->primary, "alice", fixture_id(2), name);
		fixture_rename(f, "alice", name,
			       strcmp(name, "m2") == 0 ? "n2" : "m2");
	}
}

/*
 * Goal: a group without room takes none before it along, however short its
 * record is, and none is taken twice; one that has room alone is taken alone.
 * Method: renames, then one step that flags all messages; room for the renames,
 * then for all; the same again, with room for either.
 */
START_TEST(outside_room)
{
	enum { MESSAGES = 200, RENAMES = 5 };
	struct mbj_replay_result result;
	struct mbj_store_options options;
	struct outside outside;
	struct fixture f;
	uint64_t takes = 0;
	uint64_t end;

	mail_begin(&f, &outside, &options, MESSAGES);
	renames(&f, RENAMES);
	end = mbj_store_end(f.primary).lsn.v;
	first_messages(&f, MBJ_MESSAGE_FLAGS, MBJ_FLAGS_ADD, MESSAGES);
	renames(&f, 1);
	outside.space = MBJ_STORE_SPACE_MIN + (64 << 10);
	for (unsigned i = 0; i < 2; i++)
		takes = room_lacks(&f, end);
	mbj_store_close(&f.replica);
	OK(mbj_replica_open(f.replica_dir, f.options, &f.replica, err));
	outside.space = (int64_t)1 << 40;
	result = fixture_replay(&f);
	ck_assert_uint_eq(result.groups, 2);
	ck_assert_uint_eq(result.groups_parked, 0);
	aside_equal(&f);
	renames(&f, RENAMES + 1);
	first_messages(&f, MBJ_MESSAGE_FLAGS, MBJ_FLAGS_REMOVE, MESSAGES);
	renames(&f, 1);
	outside.space = (int64_t)(MBJ_STORE_SPACE_MIN + takes + 2000);
	result = fixture_replay(&f);
	ck_assert_uint_eq(result.groups, RENAMES + 3);
	ck_assert_uint_eq(result.groups_parked, 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: of what waits for accounts that are aside all is carried out that has
 * room: what is before a group that has none, and what others wait for behind
 * it; its account says what it lacks.  Method: renames of two, between them one
 * step that flags all messages; room for the renames, by itself and asked for;
 * then for all.
 */
START_TEST(outside_waiting)
{
	enum { MESSAGES = 200, RENAMES = 5 };
	struct mbj_retry_options retry = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_store_options options;
	struct mbj_retry_result result;
	struct outside outside;
	struct mbj_error why;
	struct fixture f;
	uint64_t large;

	mail_begin(&f, &outside, &options, MESSAGES);
	for (unsigned i = 0; i < 2; i++) {
		(void)fixture_replay(&f);
		aside_ghost(&f, "alice", true);
		aside_ghost(&f, "bob", true);
		renames(&f, RENAMES);
		fixture_rename(&f, "bob", i == 0 ? "m2" : "c", "b");
		first_messages(&f, MBJ_MESSAGE_FLAGS,
			       i == 0 ? MBJ_FLAGS_ADD : MBJ_FLAGS_REMOVE,
			       MESSAGES);
		large = mbj_store_end(f.primary).lsn.v;
		renames(&f, 1);
		fixture_rename(&f, "bob", "b", "c");
		(void)fixture_replay(&f);
		aside_ghost(&f, "alice", false);
		aside_ghost(&f, "bob", false);
		outside.space = MBJ_STORE_SPACE_MIN + (64 << 10);
		if (i == 0)
			ck_assert_uint_eq(fixture_replay(&f).groups_retried,
					  RENAMES + 2);
		ck_assert_int_eq(mbj_quarantine_retry(f.replica, &retry,
						      &result, &why),
				 MBJ_ENOSPC);
		ck_assert_uint_eq(result.groups, i == 0 ? 0 : RENAMES + 2);
		ck_assert_uint_eq(result.accounts_parked, 1);
		aside_waits(&f, "alice", 2, large, "no space left");
		aside_waits(&f, "bob", 0, 0, "");
		outside.space = (int64_t)1 << 40;
		ck_assert_uint_eq(aside_retry(&f, NULL).groups, 2);
		aside_equal(&f);
	}
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what is read once more, as a group had no room beside others, does not
 * count twice: where a bound is met at it, what is before it is carried out
 * nevertheless.  Method: renames, one of them of another account, and such a
 * group, which is the last that may be read, and with some more.
 */
START_TEST(outside_bound)
{
	enum { MESSAGES = 200, RENAMES = 5 };
	struct mbj_retry_pace pace = {.read_max = RENAMES + 2 + (unsigned)_i};
	struct mbj_store_options options;
	struct mbj_retry_result result;
	struct outside outside;
	struct fixture f;
	uint64_t large;

	mail_begin(&f, &outside, &options, MESSAGES);
	aside_ghost(&f, "alice", true);
	renames(&f, RENAMES);
	fixture_rename(&f, "bob", "m2", "b");
	first_messages(&f, MBJ_MESSAGE_FLAGS, MBJ_FLAGS_ADD, MESSAGES);
	large = mbj_store_end(f.primary).lsn.v;
	renames(&f, 1);
	(void)fixture_replay(&f);
	aside_ghost(&f, "alice", false);
	outside.space = MBJ_STORE_SPACE_MIN + (64 << 10);
	OK(retry_by_itself(f.replica, &pace, &result, err));
	ck_assert_uint_eq(result.groups, RENAMES);
	aside_waits(&f, "alice", 2, large, "no space left");
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what is read once more begins where the transaction did, however far
 * back somebody waits.  Method: of steps that flag all messages each has room
 * alone, and is behind many segments that one who waits for none of it may wait
 * for.
 */
START_TEST(outside_again)
{
	enum { MESSAGES = 100, STEPS = 8, IMPORTS = 30 };
	struct mbj_retry_options retry = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_store_options options;
	struct mbj_retry_result result;
	struct outside outside;
	struct mbj_error why;
	struct fixture f;
	char name[8];
	uint64_t begin;

	outside_init(&outside, &options);
	options.log.segment_size = 1 << 16;
	fixture_begin_with(&f, &options);
	fixture_import(&f, "alice", 2);
	fixture_import(&f, "carol", 2);
	for (unsigned i = 0; i < MESSAGES; i++)
		skip_append(&f, "alice", "one\n");
	begin = mbj_store_end(f.primary).lsn.v + 1;
	for (unsigned i = 0; i < IMPORTS; i++) {
		(void)snprintf(name, sizeof(name), "u%u", i);
		fixture_import(&f, name, 250);
		(void)fixture_replay(&f);
	}
	aside_ghost(&f, "alice", true);
	for (unsigned i = 0; i < STEPS; i++)
		first_messages(&f, MBJ_MESSAGE_FLAGS,
			       i % 2 == 0 ? MBJ_FLAGS_ADD : MBJ_FLAGS_REMOVE,
			       MESSAGES);
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, STEPS);
	aside_ghost(&f, "alice", false);
	outside.space = MBJ_STORE_SPACE_MIN + (64 << 10);
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &retry, &result, &why),
			 MBJ_ENOSPC);
	aside_by_hand(&f, 1, fixture_account(f.primary, "carol"), begin);
	outside.space =
		(int64_t)(MBJ_STORE_SPACE_MIN + takes_read(&why) * 3 / 2);
	outside.opened = 0;
	result = aside_retry(&f, NULL);
	ck_assert_uint_eq(result.groups, STEPS);
	ck_assert_uint_eq(result.accounts_healed, 2);
	ck_assert_uint_gt(outside.opened, 4);
	ck_assert_uint_lt(outside.opened, 4 * STEPS);
	outside.space = (int64_t)1 << 40;
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a replica takes what makes room where its primary does, and gives its
 * reserve for it, where that is enough.  Method: an expunge, and the end of an
 * account, at half of the mark, below it with a reserve, and below that.
 */
START_TEST(outside_freeing)
{
	const int64_t half = MBJ_STORE_SPACE_MIN / 2;
	static const uint8_t zeroes[RESERVE];
	struct mbj_store_options options;
	struct outside outside;
	struct fixture f;
	uint64_t end;

	outside_init(&outside, &options);
	fixture_begin_with(&f, &options);
	fixture_import(&f, "alice", 2);
	skip_append(&f, "alice", "one\n");
	skip_append(&f, "alice", "two\n");
	(void)fixture_replay(&f);
	end = mbj_store_end(f.primary).lsn.v;
	first_messages(&f, MBJ_MESSAGE_EXPUNGE, MBJ_FLAGS_ADD, 1);
	outside.space = half - 1;
	(void)room_lacks(&f, end);
	outside.space = half;
	ck_assert_uint_eq(fixture_replay(&f).groups, 1);
	OK(mbj_path_join(outside.reserve, f.replica_dir, "reserve", err));
	OK(mbj_file_replace(mbj_sys_posix(), f.replica_dir, "reserve",
			    mbj_bytes_make(zeroes, RESERVE), err));
	outside.space = (int64_t)1 << 40;
	aside_delete(&f, "alice");
	outside.space = half - RESERVE - 1;
	(void)room_lacks(&f, end + 1);
	ck_assert(mbj_path_exists(mbj_sys_posix(), outside.reserve));
	outside.space++;
	ck_assert_uint_eq(fixture_replay(&f).groups, 1);
	ck_assert(!mbj_path_exists(mbj_sys_posix(), outside.reserve));
	/* Nothing else. */
	outside.space = (int64_t)1 << 40;
	fixture_import(&f, "bob", 2);
	outside.space = MBJ_STORE_SPACE_MIN - RESERVE - 1;
	(void)room_lacks(&f, end + 2);
	outside.space = (int64_t)1 << 40;
	ck_assert_uint_eq(fixture_replay(&f).groups, 1);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: where a content that comes through a stream has no room, the groups
 * before the one that needs it are taken, and it is the room that is said to be
 * lacking.  Method: renames, two messages, a rename; then there is room.
 */
START_TEST(outside_content)
{
	const struct encounter whole = {.cut = ENOUGH, .flip = ENOUGH};
	struct mbj_store_options options;
	struct outside outside;
	struct meeting meeting;
	struct fixture f;
	uint64_t end;

	outside_init(&outside, &options);
	fixture_begin_with(&f, &options);
	fixture_import(&f, "alice", 2);
	renames(&f, 3);
	end = mbj_store_end(f.primary).lsn.v;
	skip_append(&f, "alice", "one\n");
	skip_append(&f, "alice", "two\n");
	renames(&f, 1);
	outside.is_stuffed = true;
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(meet_with(&f, f.primary_dir, &whole, &meeting),
				 MBJ_ENOSPC);
		ck_assert(!meeting.result.is_lost);
		ck_assert_uint_eq(mbj_store_end(f.replica).lsn.v, end);
	}
	outside.is_stuffed = false;
	ck_assert_int_eq(meet_with(&f, f.primary_dir, &whole, &meeting),
			 MBJ_OK);
	ck_assert_uint_eq(meeting.result.replay.blobs_missing, 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

TCase *test_outside_case(void)
{
	TCase *tcase = tcase_create("outside");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, outside_unreadable);
	tcase_add_test(tcase, outside_drawn);
	tcase_add_test(tcase, outside_full);
	tcase_add_test(tcase, outside_room);
	tcase_add_test(tcase, outside_waiting);
	tcase_add_loop_test(tcase, outside_bound, 0, 4);
	tcase_add_test(tcase, outside_again);
	tcase_add_test(tcase, outside_freeing);
	tcase_add_test(tcase, outside_content);
	return tcase;
}
