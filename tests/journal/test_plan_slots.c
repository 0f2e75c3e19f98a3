/*
 * Tests of who holds the slot that an item wants, on numbers chosen so that
 * the hash table has its worst days.
 */
#include <stdlib.h>

#include "journal_cases.h"
#include "plan_priv.h"

/* Items, and for each that wants a slot who holds it. */
struct slots_lab {
	struct mbj_diff diff;
	uint8_t *role;
	uint32_t *occupant;
	uint32_t *expected;
	uint32_t capacity;
};

static void lab_init(struct slots_lab *lab, uint32_t capacity)
{
	*lab = (struct slots_lab){.capacity = capacity};
	lab->diff.key_count = UINT32_MAX;
	lab->diff.items = calloc(capacity, sizeof(*lab->diff.items));
	lab->role = calloc(capacity, 1);
	lab->occupant = calloc(capacity, sizeof(*lab->occupant));
	lab->expected = calloc(capacity, sizeof(*lab->expected));
	ck_assert(lab->diff.items != NULL && lab->role != NULL &&
		  lab->occupant != NULL && lab->expected != NULL);
}

static void lab_done(struct slots_lab *lab)
{
	free(lab->expected);
	free(lab->occupant);
	free(lab->role);
	free(lab->diff.items);
}

static uint32_t lab_add(struct slots_lab *lab, enum mbj_diff_kind kind,
			uint32_t parent, uint32_t key, uint32_t holder)
{
	uint32_t item = lab->diff.count++;
	enum mbj_side side = kind == MBJ_DIFF_DELETE ? MBJ_BEFORE : MBJ_AFTER;

	ck_assert_uint_lt(item, lab->capacity);
	lab->diff.items[item].parent[side] = parent;
	lab->diff.items[item].key[side] = key;
	lab->diff.items[item].parent[1 - side] = MBJ_NODE_NONE;
	lab->role[item] = (uint8_t)kind;
	lab->expected[item] = holder;
	return item;
}

/* An item that goes, and leaves a slot; returns it. */
static uint32_t lab_vacate(struct slots_lab *lab, uint32_t parent, uint32_t key)
{
	return lab_add(lab, MBJ_DIFF_DELETE, parent, key, PLAN_NONE);
}

/* One that comes, to the slot that holder has before. */
static void lab_want(struct slots_lab *lab, uint32_t parent, uint32_t key,
		     uint32_t holder)
{
	(void)lab_add(lab, MBJ_DIFF_CREATE, parent, key, holder);
}

static void lab_match(struct slots_lab *lab)
{
	ck_assert_int_eq(plan_slots_match(&lab->diff, lab->role, lab->occupant,
					  NULL),
			 MBJ_OK);
	for (uint32_t i = 0; i < lab->diff.count; i++)
		ck_assert_uint_eq(lab->occupant[i], lab->expected[i]);
}

/* The next key at the top, from *key on, that an attempt puts into place 0. */
static uint32_t key_next(uint32_t *key, unsigned attempt, unsigned place_bits)
{
	while (plan_slots_hash(PLAN_SLOTS_MULTIPLIER(attempt), MBJ_NODE_ROOT,
			       *key) >>
		       (64 - place_bits) !=
	       0)
		++*key;
	return (*key)++;
}

/*
 * Goal: slots chosen to collide are matched right, and in time.  Method:
 * 300,000 of which the first hash says they begin in one place of 256; probing
 * them one by one would take minutes.
 */
START_TEST(test_hostile)
{
	const uint32_t count = 300000;
	struct slots_lab lab;
	uint32_t key = 0;

	lab_init(&lab, count);
	lab.diff.count = count;
	for (uint32_t i = 0; i < count; i++) {
		lab.diff.items[i].parent[0] = MBJ_NODE_ROOT;
		lab.diff.items[i].parent[1] = MBJ_NODE_ROOT;
		lab.diff.items[i].key[0] = key_next(&key, 0, 8);
		lab.role[i] = MBJ_DIFF_MOVE;
	}
	for (uint32_t i = 0; i < count; i++) {
		lab.expected[i] = (i + 7) % count;
		lab.diff.items[i].key[1] =
			lab.diff.items[lab.expected[i]].key[0];
	}
	lab_match(&lab);
	lab_done(&lab);
}
END_TEST

/*
 * Goal: an attempt may be given up anywhere.  Method: slots that collide under
 * the first multiplier, so few that probes run out while the second and last
 * block goes in; then a few that are asked for so often that they run out in a
 * block of questions, and in the last questions.
 */
START_TEST(test_giving_up)
{
	const struct {
		uint32_t vacated;
		uint32_t wanted; /* to nobody: each asks all the others */
	} tries[] = {{45, 0}, {60, 640}, {36, 25}};

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		struct slots_lab lab;
		uint32_t key = 0;
		uint32_t last = 0;

		lab_init(&lab, 1000);
		for (uint32_t k = 0; k < tries[i].vacated; k++) {
			uint32_t slot = key_next(&key, 0, 7);

			last = lab_vacate(&lab, MBJ_NODE_ROOT, slot);
		}
		for (uint32_t k = 0; k < tries[i].wanted; k++)
			lab_want(&lab, MBJ_NODE_ROOT, key_next(&key, 0, 7),
				 PLAN_NONE);
		lab_want(&lab, MBJ_NODE_ROOT,
			 lab.diff.items[last].key[MBJ_BEFORE], last);
		lab_match(&lab);
		lab_done(&lab);
	}
}
END_TEST

/*
 * Goal: names of which some collide under every multiplier are matched right,
 * and in time.  Method: 200,000 for each attempt, which it puts in one place
 * of 64; in the last one, too, probing them one by one takes half a minute.
 */
START_TEST(test_no_attempt)
{
	const uint32_t group = 200000;
	const uint32_t strangers = 100;
	struct slots_lab lab;

	lab_init(&lab, 2 * PLAN_SLOTS_ATTEMPT_MAX * group + strangers);
	for (unsigned i = 0; i < PLAN_SLOTS_ATTEMPT_MAX; i++) {
		uint32_t key = i << 28;

		for (uint32_t k = 0; k < group; k++)
			(void)lab_vacate(&lab, MBJ_NODE_ROOT,
					 key_next(&key, i, 6));
	}
	for (uint32_t i = lab.diff.count; i-- > 0;)
		lab_want(&lab, MBJ_NODE_ROOT, lab.diff.items[i].key[MBJ_BEFORE],
			 i);
	/* Nobody has these: there are others in their place, or near it. */
	for (uint32_t i = 0; i < strangers; i++)
		lab_want(&lab, i, lab.diff.items[i].key[MBJ_BEFORE], PLAN_NONE);
	lab_match(&lab);
	lab_done(&lab);
}
END_TEST

/* Slots below mailboxes 0 and 1, by number; the hash has 16 places. */
enum { TWINS_BITS = 20 };

static uint32_t twin_parent(uint64_t number)
{
	return (uint32_t)(number >> (TWINS_BITS - 1)) & 1;
}

static uint32_t twin_key(uint64_t number)
{
	return (uint32_t)number & ((1u << (TWINS_BITS - 1)) - 1);
}

static int twin_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/*
 * A million slots, sorted by what the table knows of each: the tag and the
 * place in the upper 36 bits, the slot's number in the others.
 */
static uint64_t *twins_sort(size_t count)
{
	uint64_t *twins = malloc(count * sizeof(*twins));

	ck_assert_ptr_nonnull(twins);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t hash = plan_slots_hash(PLAN_SLOTS_MULTIPLIER(0),
						twin_parent(i), twin_key(i));

		twins[i] = hash << 32 | hash >> 60 << 28 | i;
	}
	qsort(twins, count, sizeof(*twins), twin_compare);
	return twins;
}

/*
 * Goal: a slot is known by what it is, not by the part of its hash that the
 * table keeps.  Method: look through a million for pairs that differ in
 * nothing but that, below one parent and below two; of each pair first one is
 * there, then both are.
 */
START_TEST(test_twins)
{
	const size_t count = (size_t)1 << TWINS_BITS;
	uint64_t *twins = twins_sort(count);
	uint32_t found[2] = {0, 0};

	for (size_t i = 0; i + 1 < count; i++) {
		uint32_t parents[2];
		uint32_t keys[2];

		if (twins[i] >> 28 != twins[i + 1] >> 28)
			continue;
		for (int k = 0; k < 2; k++) {
			parents[k] = twin_parent(twins[i + (size_t)k]);
			keys[k] = twin_key(twins[i + (size_t)k]);
		}
		found[parents[0] != parents[1]]++;
		for (uint32_t there = 1; there <= 2; there++) {
			struct slots_lab lab;

			lab_init(&lab, 4);
			for (uint32_t k = 0; k < there; k++)
				(void)lab_vacate(&lab, parents[k], keys[k]);
			for (uint32_t k = 0; k < 2; k++)
				lab_want(&lab, parents[k], keys[k],
					 k < there ? k : PLAN_NONE);
			lab_match(&lab);
			lab_done(&lab);
		}
	}
	/* Eight are to be expected. */
	ck_assert(found[0] > 0 && found[1] > 0);
	free(twins);
}
END_TEST

TCase *test_plan_slots_case(void)
{
	TCase *tc = tcase_create("plan_slots");

	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, test_hostile);
	tcase_add_test(tc, test_giving_up);
	tcase_add_test(tc, test_no_attempt);
	tcase_add_test(tc, test_twins);
	return tc;
}
