/*
 * Hunting through families of small edits; see hunt.h.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "hunt.h"

/* What the hunting process shares with the one that waits for it. */
struct shared {
	struct small at; /* the case it is looking at */
	uint64_t looked; /* its number, from 1 */
	struct exam_tally tally;
	bool is_failed;
	bool is_done;
	char why[EXAM_WHY_SIZE];
};

struct hunter {
	struct shared *shared;
	struct exam *exam;
	struct small_search *search;
	const struct hunt *hunt;
	uint64_t number; /* of the edit in its family */
};

static struct shared *shared_new(void)
{
	void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert(p != MAP_FAILED);
	return p;
}

/* A bit for each number that depends on the seed alone. */
static bool is_taken(const struct hunt *hunt, uint64_t number)
{
	uint64_t x = number + hunt->seed * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) % hunt->one_in == 0;
}

static bool hunter_look(struct hunter *hunter, const struct small *small)
{
	struct shared *shared = hunter->shared;
	uint32_t parks = small_parks(hunter->search, small);

	shared->at = *small;
	shared->looked++;
	if (exam_case(hunter->exam, small, parks, &shared->tally, shared->why))
		return true;
	shared->is_failed = true;
	return false;
}

static bool hunter_each(void *context, const struct small *small)
{
	struct hunter *hunter = context;
	uint64_t number = hunter->number++;

	if (hunter->hunt->one_in > 1 && !is_taken(hunter->hunt, number))
		return true;
	return hunter_look(hunter, small);
}

/* In the child: the hunt itself, or one case alone. */
static void hunter_live(struct shared *shared, const struct hunt *hunt,
			const struct small *small)
{
	struct hunter hunter = {.shared = shared, .hunt = hunt};

	SMALL_CHECK(hunt != NULL || small != NULL);
	hunter.exam = exam_new(hunt == NULL || !hunt->is_hasty);
	hunter.search = small_search_new();
	if (small != NULL)
		(void)hunter_look(&hunter, small);
	else
		(void)hunt->source(hunt->numbers, hunter_each, &hunter);
	small_search_free(&hunter.search);
	exam_free(&hunter.exam);
	shared->is_done = true;
}

/* False where it failed, by what it found or by how it ended. */
static bool shared_run(struct shared *shared, const struct hunt *hunt,
		       const struct small *small)
{
	int status = 0;
	pid_t child;

	memset(shared, 0, sizeof(*shared));
	(void)fflush(NULL);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		hunter_live(shared, hunt, small);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	if (shared->is_done && status == 0)
		return !shared->is_failed;
	if (!shared->is_failed)
		(void)snprintf(shared->why, sizeof(shared->why),
			       "the process ended with status %#x", status);
	shared->is_failed = true;
	return false;
}

/* Smaller and smaller while it fails, whatever the reason. */
static void minimise(struct small *small)
{
	struct shared *shared = shared_new();
	uint32_t number = 0;

	while (number < 2 * small->count) {
		struct small less;

		if (small_shrink(small, number, &less) && less.count > 0 &&
		    !shared_run(shared, NULL, &less)) {
			*small = less;
			number = 0;
		} else {
			number++;
		}
	}
	(void)munmap(shared, sizeof(*shared));
}

static void failure_print(const char *name, const struct shared *failed)
{
	char text[SMALL_TEXT_SIZE];
	struct small small = failed->at;

	small_print(&small, text);
	printf("%s, case %" PRIu64 ": %s\n  %s\n", name, failed->looked,
	       failed->why, text);
	minimise(&small);
	small_print(&small, text);
	printf("  repeat: test_exhaustive --case \"%s\"\n", text);
}

bool hunt_run(const struct hunt *hunt, struct exam_tally *ret_tally)
{
	struct shared *shared = shared_new();
	bool is_good = shared_run(shared, hunt, NULL);

	if (!is_good)
		failure_print(hunt->name, shared);
	*ret_tally = shared->tally;
	(void)munmap(shared, sizeof(*shared));
	return is_good;
}

bool hunt_repeat(const char *text)
{
	struct exam_tally tally = {0};
	struct shared *shared;
	struct small small;
	bool is_good;

	ck_assert_msg(small_parse(text, &small), "no valid edit: %s", text);
	shared = shared_new();
	is_good = shared_run(shared, NULL, &small);
	tally = shared->tally;
	if (!is_good)
		printf("%s\n", shared->why);
	(void)munmap(shared, sizeof(*shared));
	hunt_print(text, &tally, 0);
	return is_good;
}

void hunt_print(const char *name, const struct exam_tally *tally,
		double seconds)
{
	printf("%s: %" PRIu64 " edits, %" PRIu64 " steps, %" PRIu64
	       " resumes, %.1f s\n"
	       "  primitives again: %" PRIu64 ", too early: %" PRIu64
	       "; edits undone: %" PRIu64 ", as groups: %" PRIu64 "\n",
	       name, tally->cases, tally->steps, tally->resumes, seconds,
	       tally->already, tally->early, tally->undone, tally->groups);
	printf("  parks:");
	for (int i = 0; i <= EXAM_PARKS_MAX; i++)
		if (tally->parks[i] > 0)
			printf(" %d: %" PRIu64, i, tally->parks[i]);
	printf("; more than slot cycles: %" PRIu64 ", not proven: %" PRIu64
	       "\n",
	       tally->beyond_cycles, tally->unproven);
}
