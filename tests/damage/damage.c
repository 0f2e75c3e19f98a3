/*
 * Making damages, and trying them one by one in children.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "damage.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	BURST_BITS_MAX = 32,
	CHILD_TRIALS_MAX = 4096, /* a library that leaks a little stays small */
	HANG_MS = 20000,
	POLL_MS = 2,
	/* Forbidden outcomes that are told of before the run gives up. */
	FAILURES_MAX = 32,
};

static const char *const kind_words[] = {
#define X(name, word) [DAMAGE_##name] = (word),
	DAMAGE_KIND_MAP(X)
#undef X
};

static const char *const outcome_words[] = {
#define X(name, word) [DAMAGE_##name] = (word),
	DAMAGE_OUTCOME_MAP(X)
#undef X
};

/* What child and parent share. */
struct board {
	uint64_t at; /* the trial that is being made */
	uint64_t counts[DAMAGE_FILES_MAX][DAMAGE_KIND_COUNT]
		       [DAMAGE_OUTCOME_COUNT];
	enum damage_outcome outcome; /* of the trial that ended the child */
	char why[DAMAGE_WHY_MAX];
};

struct damage_runner {
	const char *test_case;
	const char *what;
	const struct damage_plan *plan;
	const char *const *names;
	damage_trial_fn trial;
	void *ctx;
	struct board *board;
	unsigned failures;
};

enum damage_outcome damage_wrong(char why[DAMAGE_WHY_MAX], const char *what,
				 const struct mbj_error *err)
{
	(void)snprintf(why, DAMAGE_WHY_MAX, "%s: %s %s", what,
		       mbj_rc_name(err->rc), err->message);
	return DAMAGE_WRONG;
}

bool damage_is_long(void)
{
	const char *text = getenv("MBJ_DAMAGE");

	return text != NULL && strcmp(text, "long") == 0;
}

/* ---------------------------------------------------------------- plans */

void damage_plan_add(struct damage_plan *plan, const struct damage *damage)
{
	if (plan->count == plan->capacity) {
		plan->capacity = plan->capacity ? 2 * plan->capacity : 1024;
		plan->list = realloc(plan->list,
				     plan->capacity * sizeof(*plan->list));
		ck_assert_ptr_nonnull(plan->list);
	}
	plan->list[plan->count++] = *damage;
}

void damage_plan_done(struct damage_plan *plan)
{
	free(plan->list);
	*plan = (struct damage_plan){.list = NULL};
}

void damage_plan_flips(struct damage_plan *plan, unsigned file, size_t begin,
		       size_t end, size_t count, struct test_rng *rng)
{
	struct damage damage = {(uint16_t)file, DAMAGE_FLIP, 1, 0, 1};
	bool is_drawn = count > 0 && !damage_is_long();
	uint64_t bits = 8 * (uint64_t)(end - begin);

	if (bits == 0)
		return;
	for (uint64_t i = 0; i < (is_drawn ? count : bits); i++) {
		damage.at = 8 * (uint64_t)begin +
			    (is_drawn ? test_rng_below(rng, bits) : i);
		damage_plan_add(plan, &damage);
	}
}

/* From this bit of bytes begin .. on, of which there are so many bits. */
static void burst_add(struct damage_plan *plan, unsigned file, size_t begin,
		      uint64_t bits, uint64_t at, struct test_rng *rng)
{
	struct damage damage = {(uint16_t)file, DAMAGE_BURST, 0, 0, 0};
	uint64_t most = bits - at;

	if (most < 2)
		return;
	if (most > BURST_BITS_MAX)
		most = BURST_BITS_MAX;
	damage.at = 8 * (uint64_t)begin + at;
	damage.size = (uint32_t)test_rng_between(rng, 2, most);
	damage.bits = (uint32_t)test_rng_next(rng) &
		      (uint32_t)((UINT64_C(1) << damage.size) - 1);
	damage.bits |= 1 | (uint32_t)1 << (damage.size - 1);
	damage_plan_add(plan, &damage);
}

void damage_plan_bursts(struct damage_plan *plan, unsigned file, size_t begin,
			size_t end, size_t count, struct test_rng *rng)
{
	bool is_drawn = count > 0 && !damage_is_long();
	uint64_t bits = 8 * (uint64_t)(end - begin);

	if (bits < BURST_BITS_MAX)
		return;
	for (uint64_t i = 0; i < (is_drawn ? count : bits); i++)
		burst_add(plan, file, begin, bits,
			  is_drawn ? test_rng_below(rng, bits) : i, rng);
}

void damage_plan_bytes(struct damage_plan *plan, unsigned file, size_t end,
		       struct test_rng *rng)
{
	uint64_t bits = 8 * (uint64_t)end;

	for (uint64_t at = 0; at < bits; at += 8)
		burst_add(plan, file, 0, bits, at + test_rng_below(rng, 8),
			  rng);
}

void damage_plan_blocks(struct damage_plan *plan, unsigned file, size_t end,
			size_t block)
{
	struct damage damage = {.file = (uint16_t)file};

	for (size_t at = 0; at < end; at += block) {
		damage.at = at;
		damage.kind = DAMAGE_ZERO;
		damage.size = (uint32_t)block;
		damage_plan_add(plan, &damage);
		damage.kind = DAMAGE_CUT;
		damage.size = 0;
		damage_plan_add(plan, &damage);
		damage.at = at + block / 2 + 1;
		if (damage.at < end)
			damage_plan_add(plan, &damage);
	}
	damage.kind = DAMAGE_GONE;
	damage.at = 0;
	damage_plan_add(plan, &damage);
}

/* -------------------------------------------------------------- damages */

static void bits_flip(uint8_t *bytes, size_t n, const struct damage *damage)
{
	for (uint32_t i = 0; i < damage->size; i++) {
		uint64_t bit = damage->at + i;

		if ((damage->bits >> i & 1) == 0)
			continue;
		ck_assert_uint_lt(bit / 8, n);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

bool damage_apply(const struct damage *damage, struct mbj_bytes bytes,
		  struct mbj_bytes source, uint8_t **ret_bytes, size_t *ret_n)
{
	struct mbj_bytes from = damage->kind == DAMAGE_SWAP ? source : bytes;
	uint8_t *copy;

	if (damage->kind == DAMAGE_GONE)
		return false;
	copy = malloc(from.n + 1);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, from.p, from.n);
	*ret_n = from.n;
	if (damage->kind == DAMAGE_FLIP || damage->kind == DAMAGE_BURST) {
		bits_flip(copy, from.n, damage);
	} else if (damage->kind == DAMAGE_ZERO) {
		for (size_t i = damage->at;
		     i < damage->at + damage->size && i < from.n; i++)
			copy[i] = 0;
	} else if (damage->kind == DAMAGE_CUT) {
		ck_assert_uint_le(damage->at, from.n);
		*ret_n = damage->at;
	}
	*ret_bytes = copy;
	return true;
}

/* --------------------------------------------------------------- trials */

static void damage_print(const struct damage *damage, char text[128])
{
	(void)snprintf(text, 128, "%u %s %" PRIu64 " %" PRIu32 " 0x%" PRIx32,
		       damage->file, kind_words[damage->kind], damage->at,
		       damage->size, damage->bits);
}

/* From the environment: one damage alone, of this plan or another one. */
static bool damage_parse(const char *what, struct damage_plan *plan)
{
	const char *text = getenv("MBJ_DAMAGE");
	struct damage damage = {.file = 0};
	const char *rest;
	unsigned file;
	char word[16];

	if (text == NULL || damage_is_long())
		return false;
	rest = strrchr(text, ':');
	ck_assert_msg(rest != NULL &&
			      sscanf(rest + 1,
				     "%u %15s %" SCNu64 " %" SCNu32 " %" SCNx32,
				     &file, word, &damage.at, &damage.size,
				     &damage.bits) == 5,
		      "MBJ_DAMAGE is not \"what: file kind at size bits\": %s",
		      text);
	damage.file = (uint16_t)file;
	while (damage.kind < DAMAGE_KIND_COUNT &&
	       strcmp(word, kind_words[damage.kind]) != 0)
		damage.kind++;
	ck_assert_msg(damage.kind < DAMAGE_KIND_COUNT, "no kind %s", word);
	if (strlen(what) == (size_t)(rest - text) &&
	    strncmp(what, text, strlen(what)) == 0)
		damage_plan_add(plan, &damage);
	return true;
}

static void outcome_count(const struct damage_runner *run, uint64_t at,
			  enum damage_outcome outcome)
{
	const struct damage *damage = &run->plan->list[at];

	run->board->counts[damage->file][damage->kind][outcome]++;
}

/* In the child: trials from the board's place on, to the first bad one. */
_Noreturn static void child_run(const struct damage_runner *run, uint64_t end)
{
	struct board *board = run->board;

	for (uint64_t i = board->at; i < end; i++) {
		__atomic_store_n(&board->at, i, __ATOMIC_RELAXED);
		/* Of a trial that ends in an assertion of the test's. */
		board->outcome = DAMAGE_CRASHED;
		board->outcome =
			run->trial(run->ctx, &run->plan->list[i], board->why);
		if (board->outcome >= DAMAGE_WRONG)
			_exit(1);
		outcome_count(run, i, board->outcome);
	}
	__atomic_store_n(&board->at, end, __ATOMIC_RELAXED);
	_exit(0);
}

/* Wait; a child that stays at one trial for too long is killed. */
static int child_wait(const struct board *board, pid_t child, bool *ret_is_hung)
{
	uint64_t last = UINT64_MAX;
	int waited = 0;
	int status = 0;

	*ret_is_hung = false;
	while (waitpid(child, &status, WNOHANG) == 0) {
		uint64_t at = __atomic_load_n(&board->at, __ATOMIC_RELAXED);

		waited = at == last ? waited + POLL_MS : 0;
		last = at;
		if (waited > HANG_MS) {
			*ret_is_hung = true;
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			break;
		}
		(void)poll(NULL, 0, POLL_MS);
	}
	return status;
}

static void failure_tell(struct damage_runner *run, uint64_t at,
			 enum damage_outcome outcome)
{
	const struct damage *damage = &run->plan->list[at];
	char text[128];

	damage_print(damage, text);
	printf("%s: %s of %s: %s\n", outcome_words[outcome], text,
	       run->names[damage->file],
	       outcome == DAMAGE_WRONG ? run->board->why : "");
	printf("again: MBJ_DAMAGE='%s: %s' CK_RUN_CASE=%s "
	       "build/dev/tests/damage/" DAMAGE_BINARY "\n",
	       run->what, text, run->test_case);
	run->failures++;
}

static void table_print(const struct damage_runner *run)
{
	printf("%-24s %-6s", "file", "kind");
	for (int o = 0; o < DAMAGE_OUTCOME_COUNT; o++)
		printf(" %9s", outcome_words[o]);
	printf("\n");
	for (int f = 0; f < DAMAGE_FILES_MAX; f++) {
		for (int k = 0; k < DAMAGE_KIND_COUNT; k++) {
			const uint64_t *counts = run->board->counts[f][k];
			uint64_t sum = 0;

			for (int o = 0; o < DAMAGE_OUTCOME_COUNT; o++)
				sum += counts[o];
			if (sum == 0)
				continue;
			printf("%-24s %-6s", run->names[f], kind_words[k]);
			for (int o = 0; o < DAMAGE_OUTCOME_COUNT; o++)
				printf(" %9" PRIu64, counts[o]);
			printf("\n");
		}
	}
}

static void run_all(struct damage_runner *run)
{
	struct board *board = run->board;

	while (board->at < run->plan->count && run->failures < FAILURES_MAX) {
		uint64_t end = board->at + CHILD_TRIALS_MAX;
		enum damage_outcome outcome = DAMAGE_CRASHED;
		bool is_hung;
		pid_t child;
		int status;

		if (end > run->plan->count)
			end = run->plan->count;
		fflush(stdout);
		child = fork();
		ck_assert_int_ge(child, 0);
		if (child == 0)
			child_run(run, end);
		status = child_wait(board, child, &is_hung);
		if (damage_is_long()) {
			printf("%s: %" PRIu64 " of %zu\n", run->what, board->at,
			       run->plan->count);
			fflush(stdout);
		}
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			continue;
		if (is_hung)
			outcome = DAMAGE_HUNG;
		else if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
			outcome = board->outcome;
		outcome_count(run, board->at, outcome);
		failure_tell(run, board->at, outcome);
		board->at++;
	}
}

/* Those of this part. */
static void part_take(const struct damage_plan *plan, struct damage_plan *taken)
{
	struct test_part part;

	test_part_init(&part);
	for (size_t i = 0; i < plan->count; i++) {
		if (test_part_takes(&part))
			damage_plan_add(taken, &plan->list[i]);
	}
}

void damage_run(const char *test_case, const char *what,
		const struct damage_plan *plan,
		const char *const names[DAMAGE_FILES_MAX],
		damage_trial_fn trial, void *ctx)
{
	struct damage_plan taken = {.list = NULL};
	struct damage_runner run = {
		.test_case = test_case,
		.what = what,
		.plan = &taken,
		.names = names,
		.trial = trial,
		.ctx = ctx,
	};

	if (!damage_parse(what, &taken))
		part_take(plan, &taken);
	run.board = mmap(NULL, sizeof(*run.board), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(run.board, MAP_FAILED);
	run_all(&run);
	table_print(&run);
	(void)munmap(run.board, sizeof(*run.board));
	damage_plan_done(&taken);
	ck_assert_msg(run.failures == 0, "forbidden outcomes");
}
