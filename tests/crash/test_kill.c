/*
 * kill -9 of a process that submits: nothing acknowledged is lost.
 *
 * MBJ_KILLS sets the number of rounds (quick: 60).
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_lab.h"

enum {
	PRODUCERS = 4,
	KILLS_QUICK = 60,
	MAILBOXES = 4,
	LIFE_OPENING_MS = 120,
	LIFE_ANSWERING_MS = 40,
	ANSWER_MS_MAX = 60000,
};

/* Acknowledgements go through a pipe in one write each. */
struct ack {
	uint32_t producer;
	uint32_t turn;
};

struct producer {
	struct mbj_store *store;
	int pipe;
	uint32_t number;
	uint32_t turn; /* mailbox 2 is called n<turn> */
};

static void turn_name(char name[16], uint32_t turn)
{
	(void)snprintf(name, 16, "n%u", turn);
}

/* Rename for ever; in the child, which has no test to fail but its status. */
static void *producer_run(void *context)
{
	struct producer *producer = context;

	for (;; producer->turn++) {
		struct ack ack = {producer->number, producer->turn + 1};
		char from[16];
		char to[16];

		turn_name(from, producer->turn);
		turn_name(to, producer->turn + 1);
		if (site_rename(producer->store, producer->number + 1, from, to,
				NULL, NULL) < 0)
			_exit(2);
		if (write(producer->pipe, &ack, sizeof(ack)) != sizeof(ack))
			_exit(3);
	}
	return NULL;
}

_Noreturn static void child_run(const struct site *site, int pipe,
				const uint32_t turns[PRODUCERS])
{
	struct producer producers[PRODUCERS];
	pthread_t threads[PRODUCERS];
	struct mbj_store *store = NULL;

	if (mbj_store_open(site->dir, &site->options, &store, NULL) < 0)
		_exit(1);
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		producers[i] = (struct producer){store, pipe, i, turns[i]};
		if (pthread_create(&threads[i], NULL, producer_run,
				   &producers[i]) != 0)
			_exit(4);
	}
	for (;;)
		(void)pause();
}

/*
 * One life of a child; what it acknowledged is added to acks.  One that may
 * answer lives until its first acknowledgement and a while longer, however
 * slow the machine is; any other may die while it opens the store.
 */
static void child_kill(const struct site *site, struct test_rng *rng,
		       bool may_answer, const uint32_t turns[PRODUCERS],
		       uint32_t acks[PRODUCERS])
{
	uint64_t life_ms_max = may_answer ? LIFE_ANSWERING_MS : LIFE_OPENING_MS;
	struct ack ack;
	int status = 0;
	int fds[2];
	pid_t child;

	ck_assert_int_eq(pipe(fds), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		close(fds[0]);
		child_run(site, fds[1], turns);
	}
	close(fds[1]);
	if (may_answer) {
		struct pollfd ready = {.fd = fds[0], .events = POLLIN};

		ck_assert_int_eq(poll(&ready, 1, ANSWER_MS_MAX), 1);
	}
	(void)poll(NULL, 0, (int)test_rng_between(rng, 0, life_ms_max));
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFSIGNALED(status), "the child ended with %d",
		      WEXITSTATUS(status));
	while (read(fds[0], &ack, sizeof(ack)) == sizeof(ack)) {
		ck_assert_uint_lt(ack.producer, PRODUCERS);
		acks[ack.producer] = ack.turn;
	}
	close(fds[0]);
}

/* Reopen: each name is the last acknowledged or the one after. */
static void round_check(struct site *site, uint32_t turns[PRODUCERS],
			const uint32_t acks[PRODUCERS])
{
	SITE_OK(mbj_store_open(site->dir, &site->options, &site->store, err));
	ck_assert_msg(!mbj_store_recovery_get(site->store)->is_rebuilt, "%s",
		      mbj_store_recovery_get(site->store)->reason);
	(void)site_digest(site->store);
	for (unsigned i = 0; i < PRODUCERS; i++) {
		char text[MBJ_NAME_MAX + 1];
		uint32_t turn;

		site_name(site->store, i + 1, 2, text);
		turn = (uint32_t)strtoul(text + 1, NULL, 10);
		ck_assert_msg(turn == acks[i] || turn == acks[i] + 1,
			      "producer %u: %u acknowledged, %u there", i,
			      acks[i], turn);
		turns[i] = turn;
	}
	mbj_store_close(&site->store);
}

/*
 * Goal: what was acknowledged survives a kill at any moment, opening
 * included; accounts stay whole.  Method: a child of four producing threads
 * is killed within 120 ms of its birth or 40 ms of its first answer, in turn,
 * again and again on the same store; at the end the state made anew from the
 * journal is the one that lived through it all.
 */
START_TEST(kill_producers)
{
	const char *text = getenv("MBJ_KILLS");
	unsigned kills =
		text != NULL ? (unsigned)strtoul(text, NULL, 10) : KILLS_QUICK;
	uint32_t turns[PRODUCERS] = {0};
	uint32_t acks[PRODUCERS] = {0};
	struct mbj_digest before;
	struct mbj_digest after;
	struct test_rng rng;
	unsigned long total = 0;
	struct site site;

	(void)test_rng_seed(&rng);
	site_begin(&site);
	for (unsigned i = 1; i <= PRODUCERS; i++) {
		site_import(site.store, i, MAILBOXES);
		SITE_OK(site_rename(site.store, i, "m2", "n0", NULL, err));
	}
	mbj_store_close(&site.store);
	for (unsigned i = 0; i < kills; i++) {
		memcpy(acks, turns, sizeof(acks));
		child_kill(&site, &rng, i % 2 == 1, turns, acks);
		round_check(&site, turns, acks);
	}
	for (unsigned i = 0; i < PRODUCERS; i++)
		total += turns[i];
	printf("%u kills, %lu edits stand\n", kills, total);
	/* One child of two is killed after an edit that it acknowledged. */
	ck_assert_uint_ge(total, kills / 2);
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	before = site_digest(site.store);
	site.options.is_rebuild_forced = true;
	site_reopen(&site);
	after = site_digest(site.store);
	ck_assert(mbj_digest_equal(&before, &after));
	site_end(&site);
}
END_TEST

static TCase *test_kill_case(void)
{
	TCase *tc = tcase_create("kill");

	tcase_set_timeout(tc, 600);
	tcase_add_test(tc, kill_producers);
	return tc;
}

int main(void)
{
	static const test_case_fn cases[] = {test_kill_case};

	return test_run("crash", cases, 1);
}
