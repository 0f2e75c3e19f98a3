/*
 * The state on either engine: preconditions, savepoints, snapshots, reopening,
 * damage.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mbj/state.h>

#include "cases.h"

static struct mbj_error err;

/* A state in a directory of its own, with one account. */
struct lab {
	char *tmpdir;
	char *home;
	struct mbj_state *state;
	struct mbj_txn *txn;
	struct mbj_id account;
	enum mbj_state_engine engine;
};

enum { ENGINES = MBJ_STATE_MEMORY + 1 };

static struct mbj_state_options lab_options(const struct lab *lab)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;

	options.cache_size = 4 << 20;
	options.engine = lab->engine;
	return options;
}

static void lab_open(struct lab *lab)
{
	struct mbj_state_options options = lab_options(lab);

	test_ok(mbj_state_open(mbj_sys_posix(), lab->home, test_id(999),
			       &options, &lab->state, &err),
		err);
}

/* The index of a loop test is the engine. */
static void lab_begin(struct lab *lab, int engine)
{
	struct mbj_account account = {
		.policy = MBJ_NAME_POLICY_DEFAULT,
		.name = mbj_bytes_str("alice"),
	};

	memset(lab, 0, sizeof(*lab));
	lab->engine = (enum mbj_state_engine)engine;
	lab->tmpdir = test_tmpdir_new();
	lab->home = test_path_dup(lab->tmpdir, "state");
	lab->account = test_id(1000);
	account.id = lab->account;
	lab_open(lab);
	test_ok(mbj_txn_begin(lab->state, &lab->txn, &err), err);
	test_ok(mbj_txn_account_create(lab->txn, &account, &err), err);
}

static void lab_end(struct lab *lab)
{
	mbj_txn_abort(&lab->txn);
	mbj_state_close(&lab->state);
	free(lab->home);
	test_tmpdir_free(&lab->tmpdir);
}

static void lab_commit(struct lab *lab)
{
	test_ok(mbj_txn_commit(&lab->txn, &err), err);
	test_ok(mbj_txn_begin(lab->state, &lab->txn, &err), err);
}

static struct mbj_slot slot(uint64_t parent, const char *name)
{
	struct mbj_bytes bytes = mbj_bytes_str(name);

	return (struct mbj_slot){parent ? test_id(parent) : MBJ_ID_ROOT,
				 {bytes, bytes}};
}

static enum mbj_rc create(struct lab *lab, uint64_t id, uint64_t parent,
			  const char *name)
{
	struct mbj_slot at = slot(parent, name);
	struct mbj_mailbox mailbox = {
		.id = test_id(id),
		.parent = at.parent,
		.name = at.name,
		.uidvalidity = (uint32_t)id,
		.is_selectable = true,
	};

	return mbj_txn_mailbox_create(lab->txn, lab->account, &mailbox, &err);
}

static enum mbj_rc move(struct lab *lab, uint64_t id, uint64_t rev,
			struct mbj_slot from, struct mbj_slot to)
{
	return mbj_txn_mailbox_move(lab->txn, lab->account, test_id(id), rev,
				    &from, &to, 0, &err);
}

static enum mbj_rc delete_box(struct lab *lab, uint64_t id, uint64_t rev,
			      struct mbj_slot from)
{
	return mbj_txn_mailbox_delete(lab->txn, lab->account, test_id(id), rev,
				      &from, (struct mbj_lsn){7}, &err);
}

static struct mbj_digest digest(struct lab *lab)
{
	struct mbj_digest summed;
	struct mbj_account account;

	test_ok(mbj_txn_account_get(lab->txn, lab->account, &account, &err),
		err);
	test_ok(mbj_txn_account_check(lab->txn, lab->account, &summed, &err),
		err);
	ck_assert(mbj_digest_equal(&summed, &account.digest));
	return summed;
}

/*
 * Goal: every expected value is checked.  Method: break one at a time; the
 * digest shows that nothing changed.
 */
START_TEST(test_preconditions)
{
	struct mbj_digest before;
	struct mbj_digest after;
	struct lab lab;

	lab_begin(&lab, _i);
	test_ok(create(&lab, 1, 0, "a"), err);
	test_ok(create(&lab, 2, 1, "b"), err);
	test_ok(create(&lab, 3, 0, "c"), err);
	before = digest(&lab);
	test_rc(create(&lab, 1, 0, "z"), MBJ_ECONFLICT);
	test_rc(create(&lab, 4, 0, "a"), MBJ_ECONFLICT);
	test_rc(create(&lab, 4, 77, "z"), MBJ_ECONFLICT);
	test_rc(move(&lab, 9, 1, slot(0, "a"), slot(0, "z")), MBJ_ECONFLICT);
	test_rc(move(&lab, 1, 2, slot(0, "a"), slot(0, "z")), MBJ_ECONFLICT);
	test_rc(move(&lab, 1, 1, slot(0, "c"), slot(0, "z")), MBJ_ECONFLICT);
	test_rc(move(&lab, 1, 1, slot(0, "a"), slot(0, "c")), MBJ_ECONFLICT);
	test_rc(move(&lab, 1, 1, slot(0, "a"), slot(77, "z")), MBJ_ECONFLICT);
	test_rc(move(&lab, 1, 1, slot(0, "a"), slot(1, "z")), MBJ_ECONFLICT);
	test_rc(move(&lab, 1, 1, slot(0, "a"), slot(2, "z")), MBJ_ECONFLICT);
	test_rc(delete_box(&lab, 1, 1, slot(0, "a")), MBJ_ECONFLICT);
	test_rc(delete_box(&lab, 3, 2, slot(0, "c")), MBJ_ECONFLICT);
	test_rc(delete_box(&lab, 3, 1, slot(0, "x")), MBJ_ECONFLICT);
	after = digest(&lab);
	ck_assert(mbj_digest_equal(&before, &after));
	test_ok(delete_box(&lab, 3, 1, slot(0, "c")), err);
	test_rc(create(&lab, 3, 0, "c"), MBJ_ECONFLICT);
	test_ok(create(&lab, 5, 0, "c"), err);
	test_ok(move(&lab, 2, 1, slot(1, "b"), slot(0, "b")), err);
	test_ok(move(&lab, 1, 1, slot(0, "a"), slot(2, "a")), err);
	(void)digest(&lab);
	lab_end(&lab);
}
END_TEST

/* A model: for each of N mailboxes, parent and name, or absent. */
enum { MODEL_COUNT = 12, MODEL_NAMES = 6 };

struct model {
	bool is_live[MODEL_COUNT + 1];
	bool is_dead[MODEL_COUNT + 1]; /* deleted once: never again */
	uint64_t parent[MODEL_COUNT + 1];
	unsigned name[MODEL_COUNT + 1];
	uint64_t rev[MODEL_COUNT + 1];
};

static const char *const model_names[MODEL_NAMES] = {"a", "b", "c",
						     "d", "e", "f"};

static bool model_is_free(const struct model *m, uint64_t parent, unsigned name,
			  uint64_t except)
{
	for (uint64_t i = 1; i <= MODEL_COUNT; i++) {
		if (i != except && m->is_live[i] && m->parent[i] == parent &&
		    m->name[i] == name)
			return false;
	}
	return true;
}

static bool model_is_below(const struct model *m, uint64_t id, uint64_t top)
{
	while (id != 0) {
		if (id == top)
			return true;
		id = m->parent[id];
	}
	return false;
}

static bool model_has_child(const struct model *m, uint64_t id)
{
	for (uint64_t i = 1; i <= MODEL_COUNT; i++) {
		if (m->is_live[i] && m->parent[i] == id)
			return true;
	}
	return false;
}

/* One random operation on both; they must agree on whether it is legal. */
static void model_step(struct lab *lab, struct model *m, struct test_rng *rng)
{
	uint64_t id = 1 + test_rng_below(rng, MODEL_COUNT);
	uint64_t parent = test_rng_below(rng, MODEL_COUNT + 1);
	unsigned name = (unsigned)test_rng_below(rng, MODEL_NAMES);
	bool is_parent = parent == 0 || m->is_live[parent];
	bool is_legal;
	enum mbj_rc rc;

	if (!m->is_live[id]) {
		is_legal = !m->is_dead[id] && is_parent &&
			   model_is_free(m, parent, name, id);
		rc = create(lab, id, parent, model_names[name]);
		if (is_legal)
			m->rev[id] = 1;
	} else if (test_rng_chance(rng, 1, 12)) {
		is_legal = !model_has_child(m, id);
		rc = delete_box(lab, id, m->rev[id],
				slot(m->parent[id], model_names[m->name[id]]));
		ck_assert_int_eq(rc, is_legal ? MBJ_OK : MBJ_ECONFLICT);
		if (is_legal) {
			m->is_live[id] = false;
			m->is_dead[id] = true;
		}
		return;
	} else {
		is_legal = is_parent && !model_is_below(m, parent, id) &&
			   model_is_free(m, parent, name, id);
		rc = move(lab, id, m->rev[id],
			  slot(m->parent[id], model_names[m->name[id]]),
			  slot(parent, model_names[name]));
		if (is_legal)
			m->rev[id]++;
	}
	ck_assert_int_eq(rc, is_legal ? MBJ_OK : MBJ_ECONFLICT);
	if (is_legal) {
		m->is_live[id] = true;
		m->parent[id] = parent;
		m->name[id] = name;
	}
}

static void model_equal(struct lab *lab, const struct model *m)
{
	struct mbj_mailbox found;

	(void)digest(lab);
	for (uint64_t i = 1; i <= MODEL_COUNT; i++) {
		enum mbj_rc rc = mbj_txn_mailbox_get(lab->txn, lab->account,
						     test_id(i), &found, &err);
		struct mbj_slot at;

		ck_assert_int_eq(rc, m->is_live[i] ? MBJ_OK : MBJ_ENOTFOUND);
		if (rc < 0)
			continue;
		at = slot(m->parent[i], model_names[m->name[i]]);
		ck_assert(mbj_id_equal(found.parent, at.parent));
		ck_assert(mbj_bytes_equal(found.name.key, at.name.key));
		ck_assert_uint_eq(found.rev, m->rev[i]);
	}
}

/*
 * Goal: mutations, savepoints, flushes, commits, aborts and reopening leave
 * what they should.  Method: random operations against a naive model.
 */
START_TEST(test_model)
{
	struct model now = {0};
	struct model committed = {0};
	struct test_rng rng;
	struct lab lab;

	(void)test_rng_seed(&rng);
	lab_begin(&lab, _i);
	lab_commit(&lab);
	for (int round = 0; round < 600; round++) {
		struct model saved = now;
		size_t savepoint = mbj_txn_savepoint(lab.txn);

		for (int i = 0; i < 12; i++) {
			model_step(&lab, &now, &rng);
			if (test_rng_chance(&rng, 1, 10))
				test_ok(mbj_txn_flush(lab.txn, &err), err);
		}
		if (test_rng_chance(&rng, 1, 3)) {
			mbj_txn_rollback(lab.txn, savepoint);
			now = saved;
		}
		if (test_rng_chance(&rng, 1, 4)) {
			lab_commit(&lab);
			committed = now;
		} else if (test_rng_chance(&rng, 1, 6)) {
			mbj_txn_abort(&lab.txn);
			test_ok(mbj_txn_begin(lab.state, &lab.txn, &err), err);
			now = committed;
		}
		if (test_rng_chance(&rng, 1, 60)) {
			mbj_txn_abort(&lab.txn);
			mbj_state_close(&lab.state);
			lab_open(&lab);
			test_ok(mbj_txn_begin(lab.state, &lab.txn, &err), err);
			now = committed;
		}
		if (round % 10 == 0)
			model_equal(&lab, &now);
		/* Every id is dead some day: start over with a new account. */
		if (round % 40 == 39) {
			test_ok(mbj_txn_account_delete(lab.txn, lab.account,
						       (struct mbj_lsn){1},
						       &err),
				err);
			lab.account = test_id(2000 + (uint64_t)round);
			test_ok(mbj_txn_account_create(
					lab.txn,
					&(struct mbj_account){
						.id = lab.account,
						.name = mbj_bytes_str("alice"),
						.policy =
							MBJ_NAME_POLICY_DEFAULT},
					&err),
				err);
			lab_commit(&lab);
			memset(&now, 0, sizeof(now));
			committed = now;
		}
	}
	model_equal(&lab, &now);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: readers see a committed state and do not wait.  Method: a snapshot
 * taken before a commit still shows the old slot after it.
 */
START_TEST(test_snapshot)
{
	struct mbj_txn *reader = NULL;
	struct mbj_mailbox found;
	struct lab lab;

	lab_begin(&lab, _i);
	test_ok(create(&lab, 1, 0, "a"), err);
	lab_commit(&lab);
	test_ok(mbj_txn_begin_read(lab.state, &reader, &err), err);
	test_ok(mbj_txn_mailbox_get(reader, lab.account, test_id(1), &found,
				    &err),
		err);
	test_ok(move(&lab, 1, 1, slot(0, "a"), slot(0, "b")), err);
	test_ok(mbj_txn_flush(lab.txn, &err), err);
	lab_commit(&lab);
	test_ok(mbj_txn_mailbox_get(reader, lab.account, test_id(1), &found,
				    &err),
		err);
	ck_assert(mbj_bytes_equal(found.name.key, mbj_bytes_str("a")));
	mbj_txn_abort(&reader);
	test_ok(mbj_txn_begin_read(lab.state, &reader, &err), err);
	test_ok(mbj_txn_mailbox_get(reader, lab.account, test_id(1), &found,
				    &err),
		err);
	ck_assert(mbj_bytes_equal(found.name.key, mbj_bytes_str("b")));
	mbj_txn_abort(&reader);
	lab_end(&lab);
}
END_TEST

static void subscribe(struct lab *lab, const void *key, size_t n)
{
	const struct mbj_path path = {mbj_bytes_make(key, n),
				      mbj_bytes_make(key, n)};

	test_ok(mbj_txn_subscribe(lab->txn, lab->account, &path, &err), err);
}

/*
 * Goal: "at or below" is by component, not by prefix.  Method: names that
 * begin alike.
 */
START_TEST(test_subscriptions)
{
	struct mbj_scan scan = {0};
	struct mbj_path path;
	struct lab lab;
	int count = 0;

	lab_begin(&lab, _i);
	subscribe(&lab, "a", 1);
	subscribe(&lab, "a\0b", 3);
	subscribe(&lab, "a\0b\0c", 5);
	subscribe(&lab, "ab", 2);
	subscribe(&lab, "ab", 2);
	(void)digest(&lab);
	test_ok(mbj_scan_subscriptions(lab.txn, lab.account, mbj_bytes_str("a"),
				       &scan, &err),
		err);
	while (mbj_scan_next_subscription(&scan, &path, &err) == MBJ_OK) {
		ck_assert(!mbj_bytes_equal(path.key, mbj_bytes_str("ab")));
		count++;
	}
	mbj_scan_done(&scan);
	ck_assert_int_eq(count, 3);
	path.key = path.stored = mbj_bytes_str("a");
	test_ok(mbj_txn_unsubscribe(lab.txn, lab.account, &path, &err), err);
	test_ok(mbj_txn_unsubscribe(lab.txn, lab.account, &path, &err), err);
	(void)digest(&lab);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: foreign and damaged environments are refused, never believed.
 * Method: another lineage, a DB_CONFIG, zeroed and flipped pages.
 */
START_TEST(test_refusals)
{
	static const char *const files[ENGINES] = {"state.db", "state.mem"};
	struct mbj_state_options options;
	struct mbj_state *state = NULL;
	struct lab lab;
	char *path;
	int fd;

	lab_begin(&lab, _i);
	options = lab_options(&lab);
	test_ok(create(&lab, 1, 0, "a"), err);
	lab_commit(&lab);
	mbj_txn_abort(&lab.txn);
	mbj_state_close(&lab.state);
	test_rc(mbj_state_open(mbj_sys_posix(), lab.home, test_id(998),
			       &options, &state, &err),
		MBJ_EINVALID);
	path = test_path_dup(lab.home, "DB_CONFIG");
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	(void)close(fd);
	test_rc(mbj_state_open(mbj_sys_posix(), lab.home, test_id(999),
			       &options, &state, &err),
		MBJ_EINVALID);
	ck_assert_int_eq(unlink(path), 0);
	free(path);
	path = test_path_dup(lab.home, files[_i]);
	fd = open(path, O_RDWR);
	ck_assert_int_ge(fd, 0);
	for (off_t at = 60; at < 4096 * 30; at += 4096) {
		char byte = 0;

		if (pread(fd, &byte, 1, at) != 1)
			break;
		byte = (char)(byte ^ 0x40);
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	}
	(void)close(fd);
	free(path);
	ck_assert_int_lt(mbj_state_open(mbj_sys_posix(), lab.home, test_id(999),
					&options, &state, &err),
			 0);
	test_ok(mbj_state_destroy(mbj_sys_posix(), lab.home, &err), err);
	lab_open(&lab);
	lab_end(&lab);
}
END_TEST

/*
 * Move one mailbox to and fro for ever, each time in a transaction of its own
 * with the watermark at the revision that it makes.  No assertion of libcheck:
 * each writes to a file shared with the parent, and would be torn by the kill.
 */
static enum mbj_rc child_step(struct lab *lab, uint64_t rev)
{
	static const char *const names[] = {"b", "a"}; /* by revision % 2 */
	const struct mbj_watermark mark = {.lsn = {rev + 1}};
	enum mbj_rc rc;

	rc = move(lab, 1, rev, slot(0, names[rev % 2]),
		  slot(0, names[(rev + 1) % 2]));
	if (rc == MBJ_OK)
		rc = mbj_txn_watermark_set(lab->txn, &mark, &err);
	if (rc == MBJ_OK)
		rc = mbj_txn_commit(&lab->txn, &err);
	if (rc == MBJ_OK)
		rc = mbj_txn_begin(lab->state, &lab->txn, &err);
	return rc;
}

/* Says so on the pipe when it has committed count times. */
static _Noreturn void child_commit(struct lab *lab, uint64_t count,
				   int pipe_out)
{
	struct mbj_state_options options = lab_options(lab);
	struct mbj_mailbox found = {.rev = 0};
	enum mbj_rc rc;

	rc = mbj_state_open(mbj_sys_posix(), lab->home, test_id(999), &options,
			    &lab->state, &err);
	if (rc == MBJ_OK)
		rc = mbj_txn_begin(lab->state, &lab->txn, &err);
	if (rc == MBJ_OK)
		rc = mbj_txn_mailbox_get(lab->txn, lab->account, test_id(1),
					 &found, &err);
	for (uint64_t rev = found.rev; rc == MBJ_OK; rev++) {
		rc = child_step(lab, rev);
		if (rc == MBJ_OK && rev - found.rev == count &&
		    write(pipe_out, "", 1) != 1)
			break;
	}
	fprintf(stderr, "child: %s\n", err.message);
	_exit(1);
}

/*
 * Goal: after a kill the state is one of those committed, whole.  Method: a
 * child that commits in a loop is killed, sooner and later; watermark and
 * revision must match.  The engine writes its log when its buffer is full, so
 * some thousand commits make sure that something outlives the kill.
 */
START_TEST(test_kill)
{
	struct mbj_watermark mark;
	struct mbj_mailbox found;
	uint64_t last = 1;
	struct lab lab;
	int status = 0;

	lab_begin(&lab, MBJ_STATE_BERKELEY_DB);
	test_ok(create(&lab, 1, 0, "a"), err);
	test_ok(mbj_txn_watermark_set(lab.txn,
				      &(struct mbj_watermark){.lsn = {1}},
				      &err),
		err);
	lab_commit(&lab);
	mbj_txn_abort(&lab.txn);
	mbj_state_close(&lab.state);
	for (uint64_t i = 0; i < 8; i++) {
		int ends[2];
		char byte;
		pid_t child;

		ck_assert_int_eq(pipe(ends), 0);
		child = fork();
		ck_assert_int_ge(child, 0);
		if (child == 0)
			child_commit(&lab, 500 * i, ends[1]);
		ck_assert_int_eq(close(ends[1]), 0);
		ck_assert_int_eq(read(ends[0], &byte, 1), 1);
		ck_assert_int_eq(close(ends[0]), 0);
		(void)nanosleep(&(struct timespec){0, 1000000L * (long)i},
				NULL);
		ck_assert_int_eq(kill(child, SIGKILL), 0);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_msg(WIFSIGNALED(status), "the child failed");
		lab_open(&lab);
		test_ok(mbj_txn_begin(lab.state, &lab.txn, &err), err);
		test_ok(mbj_txn_watermark(lab.txn, &mark, &err), err);
		test_ok(mbj_txn_mailbox_get(lab.txn, lab.account, test_id(1),
					    &found, &err),
			err);
		ck_assert_uint_eq(mark.lsn.v, found.rev);
		ck_assert_uint_ge(found.rev, last);
		last = found.rev;
		(void)digest(&lab);
		mbj_txn_abort(&lab.txn);
		mbj_state_close(&lab.state);
	}
	ck_assert_uint_gt(last, 1);
	free(lab.home);
	test_tmpdir_free(&lab.tmpdir);
}
END_TEST

TCase *test_state_case(void)
{
	TCase *tc = tcase_create("state");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_preconditions, 0, ENGINES);
	tcase_add_loop_test(tc, test_model, 0, ENGINES);
	tcase_add_loop_test(tc, test_snapshot, 0, ENGINES);
	tcase_add_loop_test(tc, test_subscriptions, 0, ENGINES);
	tcase_add_loop_test(tc, test_refusals, 0, ENGINES);
	if (test_can_fork())
		tcase_add_test(tc, test_kill);
	return tc;
}
