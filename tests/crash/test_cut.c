/*
 * Power cuts at every step of every workload, and again during the recovery.
 *
 *	MBJ_CUTS=ROUNDS[:AGAIN]  seeds for each kind of cut, and one of so many
 *	                         steps of a recovery that is cut (quick: 1:64)
 *	MBJ_CUT=WORKLOAD         one workload
 *	MBJ_CUT=WORKLOAD:STEP:KIND:ROUND[:STEP:KIND]  one state
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cut_lab.h"

/* One word of a place, up to the next colon; false at its end. */
static bool word_next(const char **at, char word[32])
{
	size_t n = strcspn(*at, ":");

	if (n == 0)
		return false;
	ck_assert_uint_lt(n, 32);
	memcpy(word, *at, n);
	word[n] = '\0';
	*at += n;
	*at += **at == ':';
	return true;
}

static enum disk_cut_kind kind_parse(const char *word)
{
	for (int i = 0; i < DISK_CUT_COUNT; i++) {
		if (strcmp(word, disk_cut_name((enum disk_cut_kind)i)) == 0)
			return (enum disk_cut_kind)i;
	}
	ck_abort_msg("no kind of cut: %s", word);
	return DISK_CUT_COUNT;
}

/* False: the whole workload is meant. */
static bool place_parse(const char *text, struct cut_place *ret_place)
{
	char word[32];

	memset(ret_place, 0, sizeof(*ret_place));
	if (!word_next(&text, word))
		return false;
	ret_place->step = strtoull(word, NULL, 10);
	ck_assert(word_next(&text, word));
	ret_place->kind = kind_parse(word);
	ck_assert(word_next(&text, word));
	ret_place->round = (unsigned)strtoul(word, NULL, 10);
	if (!word_next(&text, word))
		return true;
	ret_place->again = strtoull(word, NULL, 10);
	ck_assert(word_next(&text, word));
	ret_place->again_kind = kind_parse(word);
	return true;
}

static double clock_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void counts_add(struct cut_counts *sum, const struct cut_counts *counts)
{
	sum->steps += counts->steps;
	sum->states += counts->states;
	sum->again += counts->again;
	sum->rebuilt += counts->rebuilt;
	sum->damaged += counts->damaged;
	sum->torn += counts->torn;
	sum->unmade += counts->unmade;
	sum->extended += counts->extended;
}

static void counts_print(const char *name, const struct cut_counts *counts,
			 double seconds)
{
	printf("%-10s %6" PRIu64 " steps %7" PRIu64 " states + %7" PRIu64
	       " in recovery; rebuilt %" PRIu64 " (%" PRIu64
	       " on reading), torn %" PRIu64 ", made again %" PRIu64
	       ", extended %" PRIu64 "; %.1f s\n",
	       name, counts->steps, counts->states, counts->again,
	       counts->rebuilt, counts->damaged, counts->torn, counts->unmade,
	       counts->extended, seconds);
}

static void setting_take(struct cut_lab *lab)
{
	const char *text = getenv("MBJ_CUTS");
	char *rest;

	if (text == NULL)
		return;
	lab->rounds = (unsigned)strtoul(text, &rest, 10);
	if (*rest == ':')
		lab->again_odds = (unsigned)strtoul(rest + 1, NULL, 10);
	ck_assert(lab->rounds > 0 && lab->rounds <= 64);
	ck_assert(lab->again_odds > 0);
}

/*
 * Goal: whatever a power cut leaves of what was not synced, and whatever a
 * second one leaves of the recovery, nothing acknowledged is lost and nothing
 * is applied twice.  Method: cut_lab.h.
 */
START_TEST(cut_everywhere)
{
	const char *text = getenv("MBJ_CUT");
	size_t n = text != NULL ? strcspn(text, ":") : 0;
	struct cut_counts sum = {.steps = 0};
	static struct cut_lab lab;
	struct cut_place place;
	double begin = clock_s();
	struct test_rng rng;
	uint64_t seed = test_rng_seed(&rng);

	for (size_t i = 0; i < cut_work_count; i++) {
		double start = clock_s();

		if (text != NULL && (strlen(cut_works[i].name) != n ||
				     strncmp(text, cut_works[i].name, n) != 0))
			continue;
		cut_lab_init(&lab, seed);
		setting_take(&lab);
		if (text != NULL && text[n] == ':' &&
		    place_parse(text + n + 1, &place)) {
			lab.only = &place;
			lab.rounds = place.round + 1;
		}
		cut_work_run(&lab, &cut_works[i]);
		counts_print(cut_works[i].name, &lab.counts, clock_s() - start);
		counts_add(&sum, &lab.counts);
		cut_lab_done(&lab);
	}
	counts_print("all", &sum, clock_s() - begin);
	ck_assert_uint_gt(sum.states, 0);
}
END_TEST

static TCase *test_cut_case(void)
{
	TCase *tc = tcase_create("cut");

	tcase_set_timeout(tc, 36000);
	tcase_add_test(tc, cut_everywhere);
	return tc;
}

int main(void)
{
	static const test_case_fn cases[] = {test_cut_case};

	return test_run("cut", cases, 1);
}
