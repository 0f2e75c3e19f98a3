/*
 * Edits of at most SMALL_MAX mailboxes as plain numbers: their text form, the
 * rules of trees written anew, and the true minimum of steps by breadth-first
 * search.  Shares no code with the library: it is what the library is measured
 * against, so it is written to be obviously right rather than general.
 *
 * Every mailbox has a place before and a place after; ABSENT on one side makes
 * it a created or a deleted one.  Names are numbers below SMALL_NAMES.
 *
 * Text form, for the command that repeats one case: mailboxes in order, each
 * "<id>:<place>><place>", a place being parent and name ("." is the root,
 * names are hexadecimal digits), or
 * "-" where it is absent.  A swap of two top-level mailboxes is
 * "a:.0>.1 b:.1>.0", a below b with b's old name "a:.0>b1 b:.1>.2".
 */
#ifndef TEST_SMALL_H
#define TEST_SMALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SMALL_MAX = 10,
	SMALL_NAMES = 16,
	SMALL_ROOT = -1,
	SMALL_ABSENT = -2,
	SMALL_TEMP = -3, /* of a walk, never of an edit */
	SMALL_TEXT_SIZE = 9 * SMALL_MAX + 1,
};

/*
 * What cannot be: the process ends, which the hunt (hunt.h) takes for a
 * failing case.  libcheck's assertions write to a file each time they hold.
 */
#define SMALL_CHECK(condition) \
	((condition) ? (void)0 : small_die(#condition, __FILE__, __LINE__))
void small_die(const char *condition, const char *file, int line)
	__attribute__((noreturn));

struct small_place {
	int8_t parent; /* mailbox, SMALL_ROOT or SMALL_ABSENT */
	uint8_t name;
};

struct small {
	uint32_t count;
	struct small_place before[SMALL_MAX];
	struct small_place after[SMALL_MAX];
};

void small_print(const struct small *small, char text[SMALL_TEXT_SIZE]);
/* False where the text is no edit, or one of its trees none. */
bool small_parse(const char *text, struct small *ret_small);

bool small_place_equal(struct small_place a, struct small_place b);
/* In its place: nothing has to be done with it. */
bool small_is_kept(const struct small *small, uint32_t id);
/* How many mailboxes are created, deleted or moved. */
uint32_t small_changes(const struct small *small);

/*
 * Slots are unique, parents are there, no mailbox is below itself.  Places in
 * TEMP are in nobody's way.
 */
bool small_tree_is_valid(const struct small_place *tree, uint32_t count);
/* Both trees are. */
bool small_is_valid(const struct small *small);

/* Every mailbox in its place before, or in its place after. */
bool small_tree_equal(const struct small_place *a, const struct small_place *b,
		      uint32_t count);

/*
 * The fewest steps beyond small_changes by any sequence of steps: each mailbox
 * can be in its place before, in TEMP or in its place after, never to come
 * back, and those in their place already can be parked as well.  No other
 * place is ever of use: one in TEMP is in nobody's way.  (test_exhaustive.c
 * checks that against a search that knows all places.)
 */
struct small_search;

struct small_search *small_search_new(void);
void small_search_free(struct small_search **search);
uint32_t small_parks(struct small_search *search, const struct small *small);

/* Cycles of "wants the slot of": all that tools for flat names count. */
uint32_t small_slot_cycles(const struct small *small);

/*
 * Leave out a mailbox, or undo its change; false where that is no edit any
 * more.  Numbers run from 0 below 2 * count: the ways to make a case smaller.
 */
bool small_shrink(const struct small *small, uint32_t number,
		  struct small *ret_small);

#endif
