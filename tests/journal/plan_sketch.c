/*
 * Edits for the planner's tests, written as one reads them.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "plan_sketch.h"

enum { PATHS_MAX = 32, PATH_MAX_BYTES = 64 };

/* One side as text, taken apart. */
struct side {
	size_t count;
	char letters[PATHS_MAX];
	char paths[PATHS_MAX][PATH_MAX_BYTES]; /* as written */
	char folded[PATHS_MAX][PATH_MAX_BYTES];
};

static void path_fold(char *folded, const char *path)
{
	size_t i = 0;

	do
		folded[i] = (char)tolower((unsigned char)path[i]);
	while (path[i++] != '\0');
}

static void side_read(struct side *side, const char *text)
{
	side->count = 0;
	while (*text != '\0') {
		size_t n = strcspn(text, " ");
		char *path = side->paths[side->count];

		ck_assert(n > 2 && n < PATH_MAX_BYTES && text[1] == '=');
		ck_assert_uint_lt(side->count, PATHS_MAX);
		side->letters[side->count] = text[0];
		memcpy(path, text + 2, n - 2);
		path[n - 2] = '\0';
		path_fold(side->folded[side->count], path);
		side->count++;
		text += n;
		text += strspn(text, " ");
	}
}

static size_t side_find(const struct side *side, char letter)
{
	size_t i = 0;

	while (i < side->count && side->letters[i] != letter)
		i++;
	return i;
}

uint32_t sketch_item(const struct sketch *sketch, char letter)
{
	const char *found = strchr(sketch->letters, letter);

	ck_assert_msg(found != NULL, "no mailbox %c", letter);
	return (uint32_t)(found - sketch->letters);
}

/* Names are numbered in the order in which they are met. */
static uint32_t name_number(char (*names)[PATH_MAX_BYTES], uint32_t count,
			    const char *name)
{
	uint32_t i = 0;

	while (i < count && strcmp(names[i], name) != 0)
		i++;
	return i;
}

static uint32_t parent_of(const struct sketch *sketch, const struct side *side,
			  const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return MBJ_NODE_ROOT;
	for (size_t i = 0; i < side->count; i++)
		if (strlen(side->folded[i]) == (size_t)(slash - path) &&
		    memcmp(side->folded[i], path, (size_t)(slash - path)) == 0)
			return sketch_item(sketch, side->letters[i]);
	ck_abort_msg("%s has no parent", path);
	return MBJ_NODE_NONE;
}

static void sketch_add_letters(struct sketch *sketch, const struct side *side)
{
	for (size_t i = 0; i < side->count; i++) {
		if (strchr(sketch->letters, side->letters[i]) != NULL)
			continue;
		ck_assert_uint_lt(sketch->diff.count, SKETCH_ITEMS_MAX);
		sketch->letters[sketch->diff.count++] = side->letters[i];
		sketch->letters[sketch->diff.count] = '\0';
	}
}

static enum mbj_diff_kind item_kind(const struct side sides[2], char letter,
				    const struct mbj_diff_item *item)
{
	if (item->parent[0] == MBJ_NODE_NONE)
		return MBJ_DIFF_CREATE;
	if (item->parent[1] == MBJ_NODE_NONE)
		return MBJ_DIFF_DELETE;
	if (item->parent[0] == item->parent[1] &&
	    item->key[0] == item->key[1]) {
		const char *path[2];

		for (int s = 0; s < 2; s++) {
			const char *text =
				sides[s].paths[side_find(&sides[s], letter)];
			const char *slash = strrchr(text, '/');

			path[s] = slash == NULL ? text : slash + 1;
		}
		if (strcmp(path[0], path[1]) == 0)
			return MBJ_DIFF_KEEP;
	}
	return MBJ_DIFF_MOVE;
}

void sketch_make(struct sketch *sketch, const char *before, const char *after)
{
	static char names[2 * PATHS_MAX][PATH_MAX_BYTES];
	struct side sides[2];

	memset(sketch, 0, sizeof(*sketch));
	side_read(&sides[0], before);
	side_read(&sides[1], after);
	sketch_add_letters(sketch, &sides[0]);
	sketch_add_letters(sketch, &sides[1]);
	sketch->diff.items = sketch->items;
	sketch->diff.kind = sketch->kinds;
	for (uint32_t i = 0; i < sketch->diff.count; i++) {
		struct mbj_diff_item *item = &sketch->items[i];

		for (int s = 0; s < 2; s++) {
			size_t at = side_find(&sides[s], sketch->letters[i]);
			const char *path = sides[s].folded[at];
			const char *slash;
			uint32_t number;

			item->parent[s] = MBJ_NODE_NONE;
			item->key[s] = 0;
			if (at == sides[s].count)
				continue;
			slash = strrchr(path, '/');
			slash = slash == NULL ? path : slash + 1;
			number = name_number(names, sketch->diff.key_count,
					     slash);
			if (number == sketch->diff.key_count)
				(void)snprintf(names[sketch->diff.key_count++],
					       PATH_MAX_BYTES, "%s", slash);
			item->parent[s] = parent_of(sketch, &sides[s], path);
			item->key[s] = number;
		}
		sketch->kinds[i] =
			(uint8_t)item_kind(sides, sketch->letters[i], item);
	}
}

void sketch_print(const struct sketch *sketch, const struct mbj_step *steps,
		  size_t count, char text[SKETCH_TEXT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const struct mbj_step *step = &steps[i];

		ck_assert_uint_lt(n + 6, SKETCH_TEXT_MAX);
		if (i > 0)
			text[n++] = ' ';
		if (step->kind == MBJ_STEP_CREATE)
			text[n++] = '+';
		if (step->kind == MBJ_STEP_DELETE)
			text[n++] = '-';
		if (step->is_from_temp)
			text[n++] = '^';
		text[n++] = sketch->letters[step->item];
		if (step->is_to_temp)
			text[n++] = '^';
	}
	text[n] = '\0';
}

size_t sketch_parse(const struct sketch *sketch, const char *text,
		    struct mbj_step *ret_steps)
{
	size_t count = 0;

	while (*text != '\0') {
		struct mbj_step step = {.kind = MBJ_STEP_MOVE};

		if (*text == '+' || *text == '-')
			step.kind = *text++ == '+' ? MBJ_STEP_CREATE
						   : MBJ_STEP_DELETE;
		step.is_from_temp = *text == '^';
		text += step.is_from_temp;
		step.item = sketch_item(sketch, *text++);
		step.is_to_temp = *text == '^';
		text += step.is_to_temp;
		text += *text == ' ';
		ret_steps[count++] = step;
	}
	return count;
}
