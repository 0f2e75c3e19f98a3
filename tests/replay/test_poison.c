/*
 * Poison: of many accounts on one replica a few meet what always fails there,
 * by each class of failure.  All others go on to equality, and are kept back by
 * nothing; the poisoned ones stand aside, alone, and come back.
 *
 * MBJ_ACCOUNTS says how many accounts (500).  Time is printed and never judged:
 * the same groups go onto a replica without poison as well, in turn.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mbj/blob.h>

#include "resync_lab.h"
#include "store_impl.h"

enum { ACCOUNTS = 500, ACCOUNTS_MIN = 50, ROUNDS = 4, NAME_SIZE = 16 };

/* What is wrong with whom; each is an account of its own. */
enum victim {
	VICTIM_CONFLICT, /* the state has what the journal does not know */
	VICTIM_GAP,	 /* the account is gone from the state */
	VICTIM_DAMAGE,	/* and the group that waits is damaged in the journal */
	VICTIM_CONTENT, /* the source has lost a message's content */
	VICTIM_BENT,	/* the source itself contradicts its own journal */
	VICTIM_COUNT,
	/* These are aside while time is taken; of one a content is missing. */
	VICTIM_ASIDE = VICTIM_CONTENT,
};

/* Of replays: by the clock, and of the processor, which others disturb less. */
struct cost {
	int64_t ms;
	clock_t cpu;
};

struct poison {
	struct fixture f; /* whose replica is poisoned */
	struct mbj_store *clean;
	char clean_dir[MBJ_PATH_TEXT_MAX];
	unsigned accounts;
	struct cost clean_cost;
	struct cost poison_cost;
	struct cost look_cost; /* of a replay of nothing, with some aside */
};

static unsigned accounts(void)
{
	const char *text = getenv("MBJ_ACCOUNTS");
	long value = text == NULL ? ACCOUNTS : strtol(text, NULL, 10);

	return value < ACCOUNTS_MIN ? ACCOUNTS_MIN : (unsigned)value;
}

static void name_print(unsigned number, char name[NAME_SIZE])
{
	(void)snprintf(name, NAME_SIZE, "u%06u", number);
}

/* Spread over all of them. */
static const char *victim_name(const struct poison *p, enum victim victim,
			       char name[NAME_SIZE])
{
	name_print((unsigned)(victim + 1) * p->accounts / (VICTIM_COUNT + 1),
		   name);
	return name;
}

static bool is_victim(const struct poison *p, const char *name, unsigned count)
{
	char victim[NAME_SIZE];

	for (unsigned i = 0; i < count; i++)
		if (strcmp(victim_name(p, (enum victim)i, victim), name) == 0)
			return true;
	return false;
}

static void begin(struct poison *p)
{
	char name[NAME_SIZE];

	memset(p, 0, sizeof(*p));
	p->accounts = accounts();
	fixture_begin(&p->f);
	OK(mbj_path_join(p->clean_dir, p->f.tmpdir, "clean", err));
	OK(mbj_store_init(p->clean_dir, MBJ_STORE_REPLICA, NULL, err));
	OK(mbj_replica_open(p->clean_dir, NULL, &p->clean, err));
	for (unsigned i = 0; i < p->accounts; i++) {
		name_print(i, name);
		fixture_import(&p->f, name, 2);
	}
}

static struct mbj_replay_result
replay_onto(struct poison *p, struct mbj_store *store, struct cost *cost)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	const struct cost before = {mbj_monotonic_ms(), clock()};

	OK(mbj_replay_journal(store, p->f.primary_dir, &options, &result, err));
	cost->ms += mbj_monotonic_ms() - before.ms;
	cost->cpu += clock() - before.cpu;
	return result;
}

/* One group of each account. */
static void round_write(struct poison *p, unsigned round)
{
	char name[NAME_SIZE];

	for (unsigned i = 0; i < p->accounts; i++) {
		name_print(i, name);
		fixture_rename(&p->f, name, round % 2 ? "x" : "m2",
			       round % 2 ? "m2" : "x");
	}
}

/* The account's group that waits first, in the replica's journal. */
static uint64_t first_of(struct poison *p, enum victim victim)
{
	char name[NAME_SIZE];
	struct mbj_lsn first;

	OK(mbj_quarantine_first(p->f.replica,
				fixture_account(p->f.primary,
						victim_name(p, victim, name)),
				&first, err));
	return first.v;
}

/* ---------------------------------------------------------------- poison */

static void account_lose(struct poison *p, const char *name)
{
	struct mbj_id id = fixture_account(p->f.replica, name);
	struct mbj_txn *txn = NULL;

	OK(mbj_txn_begin(p->f.replica->state, &txn, err));
	OK(mbj_txn_account_wipe(txn, id, (struct mbj_lsn){p->accounts}, err));
	OK(mbj_txn_commit(&txn, err));
}

static void message_append(struct poison *p, const char *name)
{
	const struct mbj_bytes text = mbj_bytes_str("a message that is lost");
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.mailbox = fixture_id(1),
					.size = text.n};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_blobs *blobs = NULL;

	OK(mbj_store_blobs(p->f.primary, &blobs, err));
	OK(mbj_blob_put(blobs, text, &step.blob, err));
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str(name);
	edit.messages = &step;
	edit.message_count = 1;
	OK(mbj_store_submit(p->f.primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

static void contents_move(struct poison *p, const char *from, const char *to)
{
	char a[MBJ_PATH_TEXT_MAX];
	char b[MBJ_PATH_TEXT_MAX];

	OK(mbj_path_join(a, p->f.primary_dir, from, err));
	OK(mbj_path_join(b, p->f.primary_dir, to, err));
	ck_assert_int_eq(rename(a, b), 0);
}

static void poison_lay(struct poison *p)
{
	char name[NAME_SIZE];

	aside_ghost(&p->f, victim_name(p, VICTIM_CONFLICT, name), true);
	aside_ghost(&p->f, victim_name(p, VICTIM_DAMAGE, name), true);
	account_lose(p, victim_name(p, VICTIM_GAP, name));
}

/* ---------------------------------------------------------------- checks */

/* Nobody but the first so many victims differs, and so many accounts are aside.
 */
static void others_equal(struct poison *p, unsigned count, unsigned aside)
{
	struct mbj_verify *verify = NULL;
	struct mbj_verify_totals totals;
	struct mbj_difference difference;
	enum mbj_rc rc;

	OK(mbj_verify_begin(p->f.primary, p->f.replica, &verify, err));
	while ((rc = mbj_verify_next(verify, &difference, NULL)) == MBJ_OK)
		ck_assert_msg(is_victim(p, difference.account_name, count),
			      "%s: %s", difference.account_name,
			      difference.text);
	ck_assert_int_eq(rc, MBJ_ENOTFOUND);
	mbj_verify_totals_get(verify, &totals);
	mbj_verify_end(&verify);
	ck_assert_uint_eq(totals.accounts, p->accounts);
	ck_assert_uint_eq(totals.accounts_parked, aside);
	ck_assert_uint_eq(totals.first.v, totals.second.v);
}

/* Onto both replicas, the one before the other in turn. */
static void round_replay(struct poison *p, unsigned round)
{
	struct mbj_replay_result result;

	if (round % 2 == 0)
		(void)replay_onto(p, p->clean, &p->clean_cost);
	result = replay_onto(p, p->f.replica, &p->poison_cost);
	ck_assert_uint_eq(result.groups, p->accounts);
	ck_assert_uint_eq(result.groups_parked, VICTIM_ASIDE);
	ck_assert_uint_eq(result.accounts_parked, VICTIM_ASIDE);
	if (round % 2 == 1)
		(void)replay_onto(p, p->clean, &p->clean_cost);
}

/* ---------------------------------------------------------------- healing */

static void source_bend(struct poison *p)
{
	struct mbj_store *replica = p->f.replica;
	char name[NAME_SIZE];

	/* The lab's ghosts are the replica's. */
	p->f.replica = p->f.primary;
	aside_ghost(&p->f, victim_name(p, VICTIM_BENT, name), true);
	p->f.replica = replica;
	round_write(p, ROUNDS);
	ck_assert_uint_eq(fixture_replay(&p->f).groups_parked,
			  VICTIM_ASIDE + 1);
	others_equal(p, VICTIM_COUNT, VICTIM_ASIDE + 1);
}

/* What was mended comes back, so many groups of the journal at a time. */
static uint64_t by_itself(struct poison *p)
{
	struct mbj_replay_result result = {.groups = 0};
	uint64_t tries = p->accounts / 1000 + 1;

	for (; tries > 0 && result.accounts_healed == 0; tries--) {
		result = fixture_replay(&p->f);
		ck_assert_uint_eq(result.blobs_missing, 0);
	}
	return result.accounts_healed;
}

static void heal(struct poison *p)
{
	char name[NAME_SIZE];

	aside_ghost(&p->f, victim_name(p, VICTIM_CONFLICT, name), false);
	aside_ghost(&p->f, victim_name(p, VICTIM_DAMAGE, name), false);
	contents_move(p, "aside", "blobs");
	ck_assert_uint_eq(by_itself(p), 1);
	/* What no retry can help is made again. */
	snapshot_make(p->f.primary);
	(void)resync(&p->f, victim_name(p, VICTIM_GAP, name));
	(void)resync(&p->f, victim_name(p, VICTIM_DAMAGE, name));
	(void)resync(&p->f, victim_name(p, VICTIM_BENT, name));
	aside_equal(&p->f);
}

static void cost_print(const struct poison *p)
{
	const struct cost *with = &p->poison_cost;
	const struct cost *without = &p->clean_cost;

	(void)printf("poison: %u accounts, %d of them aside, %u groups: %lld "
		     "ms, without poison %lld ms; ratio of the processor's "
		     "time %.2f, of which a look at those aside, when all "
		     "others are there, took %.2f in %d replays\n",
		     p->accounts, VICTIM_ASIDE, ROUNDS * p->accounts,
		     (long long)with->ms, (long long)without->ms,
		     (double)with->cpu / (double)(without->cpu + 1),
		     ROUNDS * (double)p->look_cost.cpu /
			     (double)(without->cpu + 1),
		     ROUNDS);
}

/*
 * Goal: what always fails for some accounts keeps no other one back, and all of
 * it comes back.  Method: accounts that conflict, are gone, wait for a damaged
 * group, lack a content, or that the source has bent, among many; the same
 * groups onto a replica without poison for the time; each comes back in its
 * way.
 */
START_TEST(poison_few)
{
	char name[NAME_SIZE];
	struct poison p;

	begin(&p);
	(void)replay_onto(&p, p.clean, &(struct cost){0, 0});
	(void)fixture_replay(&p.f);
	poison_lay(&p);
	for (unsigned round = 0; round < ROUNDS; round++) {
		round_write(&p, round);
		round_replay(&p, round);
		if (round == 0)
			aside_damage(&p.f, first_of(&p, VICTIM_DAMAGE), false);
	}
	(void)replay_onto(&p, p.f.replica, &p.look_cost);
	others_equal(&p, VICTIM_ASIDE, VICTIM_ASIDE);
	cost_print(&p);
	message_append(&p, victim_name(&p, VICTIM_CONTENT, name));
	contents_move(&p, "blobs", "aside");
	ck_assert_uint_eq(fixture_replay(&p.f).blobs_missing, 1);
	source_bend(&p);
	heal(&p);
	mbj_store_close(&p.clean);
	fixture_end(&p.f);
}
END_TEST

TCase *test_poison_case(void)
{
	TCase *tcase = tcase_create("poison");

	tcase_set_timeout(tcase, 600);
	tcase_add_test(tcase, poison_few);
	return tcase;
}
