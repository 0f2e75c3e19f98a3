/*
 * Edits of few mailboxes: text, rules, shrinking.  The search is in
 * small_search.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "small.h"

static const char name_digits[] = "0123456789abcdef";

void small_die(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: not true: %s\n", file, line, condition);
	abort();
}

bool small_place_equal(struct small_place a, struct small_place b)
{
	return a.parent == b.parent &&
	       (a.parent == SMALL_ABSENT || a.name == b.name);
}

bool small_tree_equal(const struct small_place *a, const struct small_place *b,
		      uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (!small_place_equal(a[i], b[i]))
			return false;
	return true;
}

bool small_is_kept(const struct small *small, uint32_t id)
{
	return small_place_equal(small->before[id], small->after[id]);
}

uint32_t small_changes(const struct small *small)
{
	uint32_t changes = 0;

	for (uint32_t i = 0; i < small->count; i++)
		changes += !small_is_kept(small, i);
	return changes;
}

/* ---------------------------------------------------------------- text */

static char *print_place(char *at, struct small_place place)
{
	if (place.parent == SMALL_ABSENT) {
		*at++ = '-';
		return at;
	}
	*at++ = place.parent == SMALL_ROOT ? '.' : (char)('a' + place.parent);
	*at++ = name_digits[place.name];
	return at;
}

void small_print(const struct small *small, char text[SMALL_TEXT_SIZE])
{
	char *at = text;

	for (uint32_t i = 0; i < small->count; i++) {
		if (i > 0)
			*at++ = ' ';
		*at++ = (char)('a' + i);
		*at++ = ':';
		at = print_place(at, small->before[i]);
		*at++ = '>';
		at = print_place(at, small->after[i]);
	}
	*at = '\0';
}

/* The place at text; NULL where there is none, else what follows. */
static const char *parse_place(const char *text, struct small_place *ret_place)
{
	const char *digit;

	*ret_place = (struct small_place){SMALL_ABSENT, 0};
	if (*text == '-')
		return text + 1;
	if (*text == '.')
		ret_place->parent = SMALL_ROOT;
	else if (*text >= 'a' && *text < 'a' + SMALL_MAX)
		ret_place->parent = (int8_t)(*text - 'a');
	else
		return NULL;
	digit = text[1] == '\0' ? NULL : strchr(name_digits, text[1]);
	if (digit == NULL)
		return NULL;
	ret_place->name = (uint8_t)(digit - name_digits);
	return text + 2;
}

static const char *parse_mailbox(const char *text, struct small *small)
{
	uint32_t id = small->count;

	if (id >= SMALL_MAX || *text != (char)('a' + id) || text[1] != ':')
		return NULL;
	text = parse_place(text + 2, &small->before[id]);
	if (text == NULL || *text != '>')
		return NULL;
	text = parse_place(text + 1, &small->after[id]);
	small->count++;
	return text;
}

bool small_parse(const char *text, struct small *ret_small)
{
	struct small small = {0};

	while (text != NULL && *text != '\0') {
		text = parse_mailbox(text, &small);
		if (text != NULL && *text == ' ')
			text++;
	}
	if (text == NULL || !small_is_valid(&small))
		return false;
	*ret_small = small;
	return true;
}

/* --------------------------------------------------------------- rules */

/* Walking up from place ends at the root or in TEMP. */
static bool walk_ends(const struct small_place *tree, uint32_t count,
		      struct small_place place)
{
	for (uint32_t steps = 0; place.parent >= 0; steps++) {
		if (steps > count || (uint32_t)place.parent >= count)
			return false;
		place = tree[place.parent];
	}
	return place.parent != SMALL_ABSENT;
}

bool small_tree_is_valid(const struct small_place *tree, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (tree[i].parent == SMALL_ABSENT ||
		    tree[i].parent == SMALL_TEMP)
			continue;
		if (!walk_ends(tree, count, tree[i]))
			return false;
		for (uint32_t j = 0; j < i; j++)
			if (small_place_equal(tree[i], tree[j]))
				return false;
	}
	return true;
}

bool small_is_valid(const struct small *small)
{
	for (uint32_t i = 0; i < small->count; i++)
		if (small->before[i].parent == SMALL_ABSENT &&
		    small->after[i].parent == SMALL_ABSENT)
			return false;
	return small_tree_is_valid(small->before, small->count) &&
	       small_tree_is_valid(small->after, small->count);
}

/* --------------------------------------------------------------- cycles */

uint32_t small_slot_cycles(const struct small *small)
{
	uint32_t next[SMALL_MAX];
	uint32_t cycles = 0;

	for (uint32_t i = 0; i < small->count; i++) {
		next[i] = SMALL_MAX;
		for (uint32_t j = 0; j < small->count; j++)
			if (j != i && small->after[i].parent != SMALL_ABSENT &&
			    small_place_equal(small->after[i],
					      small->before[j]))
				next[i] = j;
	}
	for (uint32_t i = 0; i < small->count; i++) {
		uint32_t at = next[i];

		/* Once around from its lowest member: a cycle, counted once. */
		while (at < SMALL_MAX && at > i)
			at = next[at];
		cycles += at == i;
	}
	return cycles;
}

/* ------------------------------------------------------------ shrinking */

/* Without a mailbox, in whose place nobody may be. */
static bool shrink_leave_out(const struct small *small, uint32_t id,
			     struct small *ret_small)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < small->count; i++) {
		struct small_place *places[2] = {&ret_small->before[kept],
						 &ret_small->after[kept]};

		if (small->before[i].parent == (int8_t)id ||
		    small->after[i].parent == (int8_t)id)
			return false;
		if (i == id)
			continue;
		*places[0] = small->before[i];
		*places[1] = small->after[i];
		for (int side = 0; side < 2; side++)
			if (places[side]->parent > (int8_t)id)
				places[side]->parent--;
		kept++;
	}
	ret_small->count = kept;
	return true;
}

bool small_shrink(const struct small *small, uint32_t number,
		  struct small *ret_small)
{
	uint32_t id = number / 2;

	SMALL_CHECK(id < small->count);
	*ret_small = (struct small){0};
	if (number % 2 == 0)
		return shrink_leave_out(small, id, ret_small);
	if (small_is_kept(small, id) ||
	    small->before[id].parent == SMALL_ABSENT)
		return false;
	*ret_small = *small;
	ret_small->after[id] = small->before[id];
	return small_is_valid(ret_small);
}
