/*
 * Mutations of scripts, see script.h: steps are added, dropped, swapped,
 * reversed, rotated and doubled; whole idioms (a swap, a ring, a delivery
 * after a crash, mail that comes and is moved) are put in, because chance alone
 * rarely closes a ring.
 */
#include <string.h>

#include "script.h"

struct dice {
	uint32_t state;
};

static uint32_t roll(struct dice *dice, size_t bound)
{
	dice->state = dice->state * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(dice->state >> 8) * bound) >> 24);
}

static struct script_step step_of(enum script_verb verb, uint32_t a, uint32_t b,
				  uint32_t c)
{
	return (struct script_step){(uint8_t)verb, (uint8_t)a, (uint8_t)b,
				    (uint8_t)c};
}

static struct script_step step_any(struct dice *dice)
{
	/* Half of all steps are renames. */
	uint32_t verb =
		roll(dice, 2) ? SCRIPT_RENAME : roll(dice, SCRIPT_VERBS);

	return step_of((enum script_verb)verb, roll(dice, 256), roll(dice, 256),
		       roll(dice, 256));
}

/* A ring of renames: each takes the next one's place. */
static size_t ring_make(struct dice *dice, struct script_step *steps)
{
	size_t n = 2 + roll(dice, 3);
	uint32_t first = roll(dice, 8);

	for (size_t i = 0; i < n; i++)
		steps[i] = step_of(SCRIPT_RENAME, first + (uint32_t)i,
				   first + (uint32_t)((i + 1) % n), 0xff);
	steps[n++] = step_of(SCRIPT_SUBMIT, 0, 0, 0);
	return n;
}

/* Messages come, and something happens to them; or INBOX is renamed. */
static size_t mail_make(struct dice *dice, struct script_step *steps)
{
	uint32_t verb = SCRIPT_FLAGS + roll(dice, 4);
	size_t count = 1 + roll(dice, 2);
	uint32_t box = roll(dice, 8);
	size_t n = 0;

	while (n < count)
		steps[n++] = step_of(SCRIPT_APPEND, box, roll(dice, 4),
				     roll(dice, 256));
	if (verb > SCRIPT_COPY) {
		for (size_t i = 0; i < n; i++)
			steps[i].a = 0; /* INBOX sorts first */
		steps[n++] = step_of(SCRIPT_SUBMIT, 0, 0, 0);
		steps[n++] = step_of(SCRIPT_RENAME, 0, roll(dice, 8),
				     roll(dice, 0x60));
	} else {
		steps[n++] = step_of((enum script_verb)verb, box,
				     roll(dice, 256), roll(dice, 256));
	}
	steps[n++] = step_of(SCRIPT_SUBMIT, 0, 0, 0);
	return n;
}

/* Put steps in at a place of the script; what does not fit falls off. */
static size_t insert(struct script_step *steps, size_t n, size_t max, size_t at,
		     const struct script_step *added, size_t count)
{
	if (n + count > max)
		return n;
	memmove(steps + at + count, steps + at, (n - at) * sizeof(*steps));
	memcpy(steps + at, added, count * sizeof(*steps));
	return n + count;
}

static void reverse(struct script_step *steps, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct script_step held = steps[i];

		steps[i] = steps[n - 1 - i];
		steps[n - 1 - i] = held;
	}
}

static void rotate(struct script_step *steps, size_t n)
{
	struct script_step first = steps[0];

	memmove(steps, steps + 1, (n - 1) * sizeof(*steps));
	steps[n - 1] = first;
}

static size_t mutate_once(struct script_step *steps, size_t n, size_t max,
			  struct dice *dice)
{
	struct script_step added[8];
	size_t at = roll(dice, n + 1);
	size_t run = n > 1 ? roll(dice, n) : 0; /* where a run begins */
	size_t length = n > 1 ? 1 + roll(dice, n - run) : 0;

	switch (n > 1 ? roll(dice, 11) : roll(dice, 5)) {
	case 0:
		return insert(steps, n, max, at, added, ring_make(dice, added));
	case 1:
		added[0] = step_of(SCRIPT_DELIVER, roll(dice, 2),
				   roll(dice, 256), roll(dice, 256));
		return insert(steps, n, max, at, added, 1);
	case 2:
		added[0] = step_of(SCRIPT_CRASH, roll(dice, 3), roll(dice, 24),
				   roll(dice, 256));
		added[1] = step_of(SCRIPT_DELIVER, roll(dice, 2), 255, 0);
		return insert(steps, n, max, at, added, 2);
	case 3:
		added[0] = step_any(dice);
		return insert(steps, n, max, at, added, 1);
	case 4:
		/* Messages cost most of a run's time, and are not the mission.
		 */
		return insert(steps, n, max, at, added,
			      roll(dice, 4) ? ring_make(dice, added)
					    : mail_make(dice, added));
	case 5:
		memmove(steps + run, steps + run + length,
			(n - run - length) * sizeof(*steps));
		return n - length;
	case 6:
		added[0] = steps[run];
		at = at < n ? at : 0;
		steps[run] = steps[at];
		steps[at] = added[0];
		return n;
	case 7:
		reverse(steps + run, length);
		return n;
	case 8:
		rotate(steps + run, length);
		return n;
	case 9:
		length = length < 8 ? length : 8;
		memcpy(added, steps + run, length * sizeof(*steps));
		return insert(steps, n, max, at, added, length);
	default:
		memcpy((uint8_t *)&steps[run] + roll(dice, SCRIPT_STEP_SIZE),
		       &(uint8_t){(uint8_t)roll(dice, 256)}, 1);
		return n;
	}
}

size_t script_mutate(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	struct script_step steps[SCRIPT_STEPS_MAX];
	struct dice dice = {seed};
	size_t n = size / SCRIPT_STEP_SIZE;

	max /= SCRIPT_STEP_SIZE;
	if (max > SCRIPT_STEPS_MAX)
		max = SCRIPT_STEPS_MAX;
	if (n > max)
		n = max;
	memcpy(steps, data, n * sizeof(*steps));
	for (uint32_t i = 1 + roll(&dice, 4); i > 0; i--)
		n = mutate_once(steps, n, max, &dice);
	memcpy(data, steps, n * sizeof(*steps));
	return n * sizeof(*steps);
}

size_t script_cross(const uint8_t *one, size_t one_size, const uint8_t *two,
		    size_t two_size, uint8_t *out, size_t max, unsigned seed)
{
	struct dice dice = {seed};
	size_t head = roll(&dice, one_size / SCRIPT_STEP_SIZE + 1);
	size_t tail = roll(&dice, two_size / SCRIPT_STEP_SIZE + 1);
	size_t n = two_size / SCRIPT_STEP_SIZE - tail;

	max /= SCRIPT_STEP_SIZE;
	if (head > max)
		head = max;
	if (n > max - head)
		n = max - head;
	memcpy(out, one, head * SCRIPT_STEP_SIZE);
	memcpy(out + head * SCRIPT_STEP_SIZE, two + tail * SCRIPT_STEP_SIZE,
	       n * SCRIPT_STEP_SIZE);
	return (head + n) * SCRIPT_STEP_SIZE;
}
