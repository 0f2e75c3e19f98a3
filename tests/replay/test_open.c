/*
 * Opening a replica whose state and journal do not agree: what its own journal
 * contradicts, or cannot be read, is made anew, once; parking is for what the
 * journal itself does to an account.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "state_priv.h"
#include "store_impl.h"

enum { GROUPS = 6, PAGE = 4096 };

/* ------------------------------------------------------------ the files */

static void path_set(const struct fixture *f, const char *name,
		     char path[MBJ_PATH_TEXT_MAX])
{
	OK(mbj_path_join(path, f->replica_dir, name, err));
}

static bool is_there(const struct fixture *f, const char *name)
{
	char path[MBJ_PATH_TEXT_MAX];

	path_set(f, name, path);
	return access(path, F_OK) == 0;
}

/* One folder of the replica's, as it is, under another name. */
static void folder_copy(const struct fixture *f, const char *from,
			const char *to)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	char source[MBJ_PATH_TEXT_MAX];
	char target[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;

	path_set(f, from, source);
	path_set(f, to, target);
	if (is_there(f, to))
		OK(mbj_state_destroy(sys, target, err));
	OK(mbj_dir_make(sys, target, err));
	mbj_buf_init(&names, 1 << 16);
	OK(mbj_dir_list(sys, source, &names, err));
	for (const char *name = mbj_names_next(&names, NULL); name != NULL;
	     name = mbj_names_next(&names, name)) {
		char path[MBJ_PATH_TEXT_MAX];
		struct mbj_buf bytes;

		OK(mbj_path_join(path, source, name, err));
		mbj_buf_init(&bytes, 64 << 20);
		OK(mbj_file_load(sys, path, 64 << 20, &bytes, err));
		OK(mbj_file_replace(sys, target, name, mbj_buf_view(&bytes),
				    err));
		mbj_buf_done(&bytes);
	}
	mbj_buf_done(&names);
}

/* As after a kill: nobody says what the files were. */
static void seal_remove(const struct fixture *f)
{
	char path[MBJ_PATH_TEXT_MAX];

	path_set(f, "state/seal", path);
	ck_assert_int_eq(unlink(path), 0);
}

static void page_flip(const struct fixture *f, long page)
{
	char path[MBJ_PATH_TEXT_MAX];
	uint8_t byte;
	int fd;

	path_set(f, "state/state.db", path);
	fd = open(path, O_RDWR);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &byte, 1, page * PAGE + 2000), 1);
	byte ^= 0x10;
	ck_assert_int_eq(pwrite(fd, &byte, 1, page * PAGE + 2000), 1);
	ck_assert_int_eq(close(fd), 0);
}

static long page_count(const struct fixture *f)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct stat st;

	path_set(f, "state/state.db", path);
	ck_assert_int_eq(stat(path, &st), 0);
	return (long)(st.st_size / PAGE);
}

/* ------------------------------------------------------------ the stores */

static void reopen(struct fixture *f)
{
	mbj_store_close(&f->replica);
	OK(mbj_replica_open(f->replica_dir, f->options, &f->replica, err));
}

/* What the state was is in state.then. */
static void state_keep(struct fixture *f)
{
	mbj_store_close(&f->replica);
	folder_copy(f, "state", "state.then");
	reopen(f);
}

/* Closed, and behind its own journal: the state is what it was. */
static void state_return(struct fixture *f)
{
	mbj_store_close(&f->replica);
	folder_copy(f, "state.then", "state");
}

/* Groups 3 to GROUPS, journaled on both sides. */
static void tail_make(struct fixture *f)
{
	fixture_rename(f, "alice", "m2", "a");
	fixture_rename(f, "bob", "m2", "b");
	fixture_rename(f, "alice", "m3", "c");
	fixture_rename(f, "bob", "m3", "d");
	(void)fixture_replay(f);
}

static void two_begin(struct fixture *f,
		      const struct mbj_store_options *options)
{
	fixture_begin_with(f, options);
	fixture_import(f, "alice", 4);
	fixture_import(f, "bob", 4);
	(void)fixture_replay(f);
}

/* A replica whose state, when returned, contradicts its journal. */
static void bent_begin(struct fixture *f,
		       const struct mbj_store_options *options)
{
	two_begin(f, options);
	fixture_diverge(f, "alice", fixture_id(2), "elsewhere");
	state_keep(f);
	tail_make(f);
}

static const struct mbj_store_recovery *recovery_of(const struct fixture *f)
{
	return mbj_store_recovery_get(f->replica);
}

static void reason_has(const struct fixture *f, const char *words)
{
	ck_assert(recovery_of(f)->is_rebuilt);
	ck_assert_msg(strstr(recovery_of(f)->reason, words) != NULL, "%s",
		      recovery_of(f)->reason);
}

/* At the journal's end, with so many accounts parked. */
static void settled_check(struct fixture *f, uint64_t parked)
{
	struct mbj_verify_totals totals;
	uint64_t differences = fixture_differences(f, &totals);

	ck_assert_uint_eq(totals.accounts_parked, parked);
	ck_assert(parked > 0 || differences == 0);
	ck_assert_uint_eq(totals.second.v, mbj_store_end(f->replica).lsn.v);
	ck_assert(!is_there(f, "state.old"));
}

/* A slot goes, the mailbox in it stays: what half a transaction leaves. */
static void slot_lose(struct fixture *f, const char *account)
{
	struct mbj_id id = fixture_account(f->replica, account);
	struct mbj_txn *txn = NULL;

	OK(mbj_txn_begin(f->replica->state, &txn, err));
	key_slot(&txn->key, id, MBJ_ID_ROOT, mbj_bytes_str("m4"));
	OK(txn_del(txn, TABLE_SLOTS, err));
	OK(mbj_txn_commit(&txn, err));
}

/* ---------------------------------------------------------------- tests */

/*
 * Goal: a state that its own journal contradicts is made anew, and nobody is
 * parked for it.  Method: a state bent behind the journal's back, put back
 * under a journal that has gone on.
 */
START_TEST(open_contradicted)
{
	struct fixture f;

	bent_begin(&f, NULL);
	settled_check(&f, 1);
	state_return(&f);
	reopen(&f);
	reason_has(&f, "group 3");
	settled_check(&f, 0);
	reopen(&f);
	ck_assert(!recovery_of(&f)->is_rebuilt);
	settled_check(&f, 0);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what is the journal's own fault parks the account, after one attempt
 * with a new state.  Method: a primary that was bent writes the groups.
 */
START_TEST(open_journal_conflicts)
{
	struct fixture f;

	two_begin(&f, NULL);
	state_keep(&f);
	fixture_diverge_primary(&f, "alice", fixture_id(2), "elsewhere");
	fixture_rename(&f, "alice", "elsewhere", "a");
	fixture_rename(&f, "bob", "m2", "b");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	state_return(&f);
	reopen(&f);
	reason_has(&f, "group 3");
	settled_check(&f, 1);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a page that is met when the journal's tail is applied costs a rebuild,
 * and the reason is what was met first.  Method: after a kill, each page of
 * the tables in turn.
 */
START_TEST(open_page_damaged)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	unsigned rebuilt = 0;
	struct fixture f;
	long pages;

	options.state.cache_size = 1u << 20;
	two_begin(&f, &options);
	state_keep(&f);
	tail_make(&f);
	state_return(&f);
	pages = page_count(&f);
	ck_assert_int_gt(pages, 10);
	for (long page = 1; page < pages; page++) {
		state_return(&f);
		seal_remove(&f);
		page_flip(&f, page);
		reopen(&f);
		if (!recovery_of(&f)->is_rebuilt)
			continue;
		ck_assert_msg(strstr(recovery_of(&f)->reason,
				     "failed earlier") == NULL,
			      "page %ld: %s", page, recovery_of(&f)->reason);
		ck_assert_str_ne(recovery_of(&f)->reason, "");
		settled_check(&f, 0);
		rebuilt++;
	}
	ck_assert_uint_gt(rebuilt, 5);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: the records of a parked account, which its groups do not compare, are
 * looked at after a kill.  Method: one of them lost, with a seal that says
 * that nothing changed since, and without.
 */
START_TEST(open_parked_damaged)
{
	struct fixture f;

	two_begin(&f, NULL);
	fixture_diverge(&f, "alice", fixture_id(2), "elsewhere");
	/* Known nowhere: nothing to look at. */
	fixture_park(&f, fixture_id(77), "by hand");
	tail_make(&f);
	slot_lose(&f, "alice");
	reopen(&f);
	ck_assert(!recovery_of(&f)->is_rebuilt);
	mbj_store_close(&f.replica);
	seal_remove(&f);
	reopen(&f);
	reason_has(&f, "slots");
	settled_check(&f, 0);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a fault that is found by asking is mended by the next opening.
 * Method: a record lost; opened, checked, opened again.
 */
START_TEST(open_suspect)
{
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_digest digest;
	struct mbj_txn *txn = NULL;
	struct fixture f;

	two_begin(&f, NULL);
	slot_lose(&f, "alice");
	reopen(&f);
	ck_assert(!recovery_of(&f)->is_rebuilt);
	OK(mbj_store_read(f.replica, &txn, err));
	ck_assert_int_eq(
		mbj_txn_account_check(txn, fixture_account(f.replica, "bob"),
				      &digest, &why),
		MBJ_OK);
	ck_assert(!mbj_store_state_is_suspect(f.replica));
	ck_assert_int_eq(
		mbj_txn_account_check(txn, fixture_account(f.replica, "alice"),
				      &digest, &why),
		MBJ_ECORRUPT);
	mbj_txn_abort(&txn);
	ck_assert(mbj_store_state_is_suspect(f.replica));
	reopen(&f);
	ck_assert(recovery_of(&f)->is_rebuilt);
	settled_check(&f, 0);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what was set aside stays until a replica has its journal's tail, and
 * an opening that was killed before is told of by the next one.  Method: the
 * first half of an opening; the second; one that had nothing to do.
 */
START_TEST(open_twice)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	char path[MBJ_PATH_TEXT_MAX];
	struct fixture f;

	two_begin(&f, NULL);
	tail_make(&f);
	mbj_store_close(&f.replica);
	options.is_rebuild_forced = true;
	OK(mbj_store_open(f.replica_dir, &options, &f.replica, err));
	ck_assert(is_there(&f, "state.old"));
	reopen(&f);
	ck_assert(recovery_of(&f)->is_rebuilt);
	settled_check(&f, 0);

	path_set(&f, "state.old", path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	reopen(&f);
	reason_has(&f, "earlier opening");
	settled_check(&f, 0);
	reopen(&f);
	ck_assert(!recovery_of(&f)->is_rebuilt);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: memory that ends is no fault of a state: what cannot be done now is
 * done by the next opening, which finds as much as this one.  Method: each
 * allocation of an opening with a tail fails, with a sound state, with one that
 * the tail contradicts, and with Berkeley DB's after a kill.
 */
START_TEST(open_no_memory)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	bool is_bent = _i == 1;
	unsigned failures = 0;
	struct fixture f;

	if (_i < 2)
		options.state.engine = MBJ_STATE_MEMORY;
	if (is_bent) {
		bent_begin(&f, &options);
	} else {
		two_begin(&f, &options);
		state_keep(&f);
		tail_make(&f);
	}
	for (uint64_t k = 1;; k++) {
		struct mbj_error why = {.rc = MBJ_OK};
		bool is_over;
		enum mbj_rc rc;

		state_return(&f);
		if (_i == 2)
			seal_remove(&f);
		test_alloc_fail_at(k);
		rc = mbj_replica_open(f.replica_dir, &options, &f.replica,
				      k % 2 == 0 ? NULL : &why);
		is_over = test_alloc_count() < k;
		test_alloc_fail_at(0);
		if (rc == MBJ_OK)
			ck_assert_int_eq(recovery_of(&f)->is_rebuilt, is_bent);
		if (is_over)
			break;
		/* What is noted of a checkpoint is worth having, no more. */
		if (rc != MBJ_OK) {
			/* EIO: of a transaction that wrote on after it. */
			ck_assert(rc == MBJ_ENOMEM || rc == MBJ_EIO);
			ck_assert(k % 2 == 0 || why.message[0] != '\0');
			failures++;
		}
		reopen(&f);
		ck_assert(is_bent || !recovery_of(&f)->is_rebuilt);
		settled_check(&f, 0);
	}
	ck_assert_uint_gt(failures, 50);
	settled_check(&f, 0);
	fixture_end(&f);
}
END_TEST

/* A group whose checksums are right and whose body says nothing. */
static void garbage_journal(struct fixture *f, const char *name)
{
	struct mbj_log_end end = mbj_store_end(f->primary);
	const struct mbj_identity *identity = mbj_store_identity(f->primary);
	struct mbj_op op = {.kind = MBJ_OP_ACCOUNT_DELETE,
			    .name = mbj_bytes_str(name)};
	struct mbj_group_writer writer;
	struct mbj_sha256 *sha = NULL;
	struct mbj_account account;
	struct mbj_txn *txn = NULL;
	struct mbj_buf record;

	OK(mbj_store_read(f->primary, &txn, err));
	OK(mbj_txn_account_find(txn, mbj_bytes_str(name), &account, err));
	OK(mbj_sha256_new(&sha, err));
	mbj_buf_init(&record, 4096);
	mbj_group_writer_init(&writer);
	mbj_group_writer_begin(&writer, (struct mbj_lsn){end.lsn.v + 1},
			       identity->epoch, 1, MBJ_ORIGIN_LIVE,
			       MBJ_ID_ROOT);
	OK(mbj_group_writer_account(&writer, account.id, account.lsn,
				    &op.account, err));
	mbj_group_writer_op(&writer, &op);
	memset(writer.body.p, 0xff, writer.body.n);
	OK(mbj_group_writer_finish(&writer, sha, &end.chain, &record, err));
	OK(mbj_log_append(f->primary->log, mbj_buf_view(&record), 1, err));
	mbj_group_writer_done(&writer);
	mbj_buf_done(&record);
	mbj_sha256_free(&sha);
	mbj_txn_abort(&txn);
}

/*
 * Goal: a group that is rubbish under good checksums parks its account, and is
 * no reason to doubt the state: nothing is made anew for it.
 */
START_TEST(open_garbage)
{
	struct fixture f;

	two_begin(&f, NULL);
	state_keep(&f);
	garbage_journal(&f, "alice");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	state_return(&f);
	reopen(&f);
	ck_assert(!recovery_of(&f)->is_rebuilt);
	ck_assert_uint_eq(fixture_replay(&f).accounts_parked, 1);
	ck_assert_uint_eq(mbj_store_end(f.replica).lsn.v, 3);
	fixture_end(&f);
}
END_TEST

TCase *test_open_case(void)
{
	TCase *tcase = tcase_create("open");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, open_contradicted);
	tcase_add_test(tcase, open_journal_conflicts);
	tcase_add_test(tcase, open_page_damaged);
	tcase_add_test(tcase, open_parked_damaged);
	tcase_add_test(tcase, open_suspect);
	tcase_add_test(tcase, open_twice);
	tcase_add_loop_test(tcase, open_no_memory, 0, 3);
	tcase_add_test(tcase, open_garbage);
	return tcase;
}
