/*
 * Damage to files, and trials of it.
 *
 * A damage is one change of one file: bits flipped, bytes zeroed, the file cut
 * short, gone, or taken from elsewhere.  A plan is a list of damages; each is
 * tried in a child process under a time limit, on a whole copy of the sample,
 * and comes to one outcome.  Outcomes are counted by file and kind; the table
 * is the test's report.
 *
 * What a trial may not come to: other content without a word, a crash, an
 * assertion, a hang.  The first of these ends the test and prints the one
 * command that tries it again.
 *
 * Not here: what is damaged (sample.h), what is asked of it (test_*.c).
 *
 * Threads: one.
 */
#ifndef TEST_DAMAGE_H
#define TEST_DAMAGE_H

#include <mbj/error.h>
#include <mbj/memory.h>

#include "support.h"

/* X(name, word): what is done to a file. */
#define DAMAGE_KIND_MAP(X) \
	X(FLIP, "flip")    \
	X(BURST, "burst")  \
	X(ZERO, "zero")    \
	X(CUT, "cut")      \
	X(GONE, "gone")    \
	X(SWAP, "swap")

enum damage_kind {
#define X(name, word) DAMAGE_##name,
	DAMAGE_KIND_MAP(X)
#undef X
		DAMAGE_KIND_COUNT
};

/* X(name, word): what a trial comes to; the last three are forbidden. */
#define DAMAGE_OUTCOME_MAP(X)   \
	X(NAMED, "named")       \
	X(REBUILT, "rebuilt")   \
	X(HARMLESS, "harmless") \
	X(WRONG, "WRONG")       \
	X(CRASHED, "CRASHED")   \
	X(HUNG, "HUNG")

enum damage_outcome {
#define X(name, word) DAMAGE_##name,
	DAMAGE_OUTCOME_MAP(X)
#undef X
		DAMAGE_OUTCOME_COUNT
};

struct damage {
	uint16_t file; /* index in the sample */
	uint16_t kind; /* enum damage_kind */
	uint32_t size; /* bits (FLIP, BURST) or bytes (ZERO); SWAP: source */
	uint64_t at;   /* bit, or byte, or size to cut to */
	uint32_t bits; /* FLIP, BURST: which of the size bits, lowest first */
};

struct damage_plan {
	struct damage *list;
	size_t count;
	size_t capacity;
};

enum { DAMAGE_FILES_MAX = 16, DAMAGE_WHY_MAX = 1024 };

/* One trial; a forbidden outcome says in why what was wrong. */
typedef enum damage_outcome (*damage_trial_fn)(void *ctx,
					       const struct damage *damage,
					       char why[DAMAGE_WHY_MAX]);

/* What a trial ends with where it says why. */
enum damage_outcome damage_wrong(char why[DAMAGE_WHY_MAX], const char *what,
				 const struct mbj_error *err);

/* MBJ_DAMAGE=long: everything; else the quick share.  MBJ_PART=k/n of it. */
bool damage_is_long(void);

void damage_plan_add(struct damage_plan *plan, const struct damage *damage);
/*
 * Every single bit of bytes begin .. end - 1 of a file; count > 0 and the
 * quick setting: so many, drawn by rng.
 */
void damage_plan_flips(struct damage_plan *plan, unsigned file, size_t begin,
		       size_t end, size_t count, struct test_rng *rng);
/*
 * A burst of 2 to 32 bits, the first and the last of them wrong, from every
 * bit of the file; or from count of them.
 */
void damage_plan_bursts(struct damage_plan *plan, unsigned file, size_t begin,
			size_t end, size_t count, struct test_rng *rng);
/* A burst from one bit of every byte of the file. */
void damage_plan_bytes(struct damage_plan *plan, unsigned file, size_t end,
		       struct test_rng *rng);
/* Blocks of a size, aligned; lengths at and around their borders; gone. */
void damage_plan_blocks(struct damage_plan *plan, unsigned file, size_t end,
			size_t block);
void damage_plan_done(struct damage_plan *plan);

/*
 * A copy of bytes with the damage done, malloc'd; false where the file is to
 * be missing.  source is what SWAP puts there.
 */
bool damage_apply(const struct damage *damage, struct mbj_bytes bytes,
		  struct mbj_bytes source, uint8_t **ret_bytes, size_t *ret_n);

/*
 * Try them all and print the table.  names[file] are for people; what is this
 * plan's own name, of those of a test case.
 * MBJ_DAMAGE="what: file kind at size bits" tries that one alone.
 */
void damage_run(const char *test_case, const char *what,
		const struct damage_plan *plan,
		const char *const names[DAMAGE_FILES_MAX],
		damage_trial_fn trial, void *ctx);

#endif
