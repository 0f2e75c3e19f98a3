/*
 * The naive model.  Whoever is to move goes out of the tree, to "\x01<number>",
 * with all that is below; then each comes back to where it is to be.
 */
#include <string.h>

#include <mbj/check.h>

#include "model.h"

struct model_box *model_at(struct model *model, const char *path)
{
	for (size_t i = 0; i < model->count; i++)
		if (strcmp(model->boxes[i].path, path) == 0)
			return &model->boxes[i];
	return NULL;
}

struct model_box *model_of(struct model *model, struct mbj_id id)
{
	for (size_t i = 0; i < model->count; i++)
		if (mbj_id_equal(model->boxes[i].id, id))
			return &model->boxes[i];
	return NULL;
}

const char *model_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

struct model_box *model_above(struct model *model, const char *path)
{
	const char *name = model_name(path);
	size_t n = name > path ? (size_t)(name - path) - 1 : 0;

	for (size_t i = 0; n > 0 && i < model->count; i++)
		if (strncmp(model->boxes[i].path, path, n) == 0 &&
		    model->boxes[i].path[n] == '\0')
			return &model->boxes[i];
	return NULL;
}

bool model_path(char path[MODEL_PATH_SIZE], const char *above, const char *name)
{
	size_t above_size = strlen(above);
	size_t size = strlen(name);
	size_t at = above_size > 0 ? above_size + 1 : 0;

	if (at + size >= MODEL_PATH_SIZE)
		return false;
	memcpy(path, above, above_size);
	path[above_size] = '/';
	memcpy(path + at, name, size);
	path[at + size] = '\0';
	return true;
}

static struct model_box *box_add(struct model *model, const char *path)
{
	struct model_box *box = &model->boxes[model->count];

	if (model->count == MODEL_BOXES_MAX)
		return NULL;
	model->count++;
	memset(box, 0, sizeof(*box));
	memcpy(box->path, path, strlen(path));
	return box;
}

/* One rename, of a mailbox and so of all paths below it. */
static void rename_one(struct model *model, const struct model_box *box,
		       const char *to)
{
	size_t n = strlen(box->path);
	size_t to_size = strlen(to);
	char from[MODEL_PATH_SIZE];

	memcpy(from, box->path, n + 1);
	for (size_t i = 0; i < model->count; i++) {
		char *path = model->boxes[i].path;
		size_t below;

		if (strncmp(path, from, n) != 0 ||
		    (path[n] != '\0' && path[n] != '/'))
			continue;
		below = strlen(path + n);
		MBJ_ASSERT(to_size + below < MODEL_PATH_SIZE);
		memmove(path + to_size, path + n, below + 1);
		memcpy(path, to, to_size);
	}
}

static const char *away_path(char path[MODEL_NAME_SIZE], size_t number)
{
	MBJ_ASSERT(number < MODEL_BOXES_MAX);
	path[0] = '\x01';
	path[1] = (char)('0' + number);
	path[2] = '\0';
	return path;
}

/* Parents are made, but never where the mailbox was, below was_above. */
static enum model_verdict parents_make(struct model *model,
				       const struct model_rename *rename,
				       const struct model_box *was_above)
{
	const char *left = model_name(rename->source);
	const struct model_box *above = NULL;
	const char *at = rename->target;

	while ((at = strchr(at, '/')) != NULL) {
		char path[MODEL_PATH_SIZE] = "";
		const struct model_box *box;

		memcpy(path, rename->target, (size_t)(at++ - rename->target));
		box = model_at(model, path);
		if ((box == NULL || mbj_id_is_root(box->id)) &&
		    above == was_above && strcmp(model_name(path), left) == 0)
			return MODEL_REFUSED;
		above = box != NULL ? box : box_add(model, path);
		if (above == NULL)
			return MODEL_FULL;
	}
	return model_at(model, rename->target) == NULL ? MODEL_DONE
						       : MODEL_REFUSED;
}

enum model_verdict model_rename(struct model *model,
				const struct model_rename *renames,
				size_t count)
{
	const struct model_box *above[MODEL_BOXES_MAX];
	struct model_box *moving[MODEL_BOXES_MAX];
	enum model_verdict verdict = MODEL_DONE;
	size_t sizes[MODEL_BOXES_MAX];
	size_t longest = 0;
	char away[MODEL_NAME_SIZE];

	for (size_t i = 0; i < count; i++) {
		sizes[i] = strlen(renames[i].target);
		if (sizes[i] > longest)
			longest = sizes[i];
		moving[i] = model_at(model, renames[i].source);
		above[i] = model_above(model, renames[i].source);
		if (moving[i] == NULL ||
		    strcmp(renames[i].target, "INBOX") == 0)
			return MODEL_REFUSED;
		for (size_t k = 0; k < i; k++)
			if (moving[k] == moving[i])
				return MODEL_REFUSED;
	}
	/* INBOX stays: one that is new, TEMP till it is named, is renamed. */
	for (size_t i = 0; i < count; i++)
		if (strcmp(renames[i].source, "INBOX") != 0)
			rename_one(model, moving[i], away_path(away, i));
		else if (!(moving[i] = box_add(model, away_path(away, i))))
			return MODEL_FULL;
		else
			moving[i]->id = MBJ_ID_TEMP;
	/* Short paths first: others' parents may come with them. */
	for (size_t n = 0; n <= longest; n++)
		for (size_t i = 0; i < count && verdict == MODEL_DONE; i++) {
			if (sizes[i] != n)
				continue;
			verdict = parents_make(model, &renames[i], above[i]);
			if (verdict == MODEL_DONE)
				rename_one(model, moving[i], renames[i].target);
		}
	for (size_t i = 0; i < count; i++)
		if (mbj_id_is_temp(moving[i]->id))
			moving[i]->id = MBJ_ID_ROOT;
	return verdict;
}

/* Back into the tree, if its parent is there and its place is free. */
static void put_down(struct model *model, const struct model_box *box,
		     const struct model_place *place)
{
	const struct model_box *above = model_of(model, place->parent);
	bool is_top = mbj_id_is_root(place->parent);
	char target[MODEL_PATH_SIZE];

	if (place->kind == MODEL_GONE || box->path[0] != '\x01' ||
	    (!is_top && (above == NULL || above->path[0] == '\x01')))
		return;
	MBJ_ASSERT(model_path(target, is_top ? "" : above->path, place->name));
	if (model_at(model, target) == NULL)
		rename_one(model, box, target);
}

enum model_verdict model_set(struct model *model,
			     const struct model_place *places, size_t count)
{
	struct model_box *moving[MODEL_BOXES_MAX];
	char away[MODEL_NAME_SIZE];

	for (size_t i = 0; i < count; i++) {
		bool is_new = places[i].kind == MODEL_NEW;

		moving[i] = is_new ? box_add(model, away_path(away, i))
				   : model_of(model, places[i].id);
		if (moving[i] == NULL)
			return is_new ? MODEL_FULL : MODEL_REFUSED;
		moving[i]->id = places[i].id;
		rename_one(model, moving[i], away_path(away, i));
	}
	/* A parent may come after its child. */
	for (size_t turn = 0; turn < count; turn++)
		for (size_t i = 0; i < count; i++)
			put_down(model, moving[i], &places[i]);
	for (size_t i = 0; i < count; i++) {
		struct model_box *box = model_of(model, places[i].id);

		if (places[i].kind == MODEL_GONE && box != NULL)
			*box = model->boxes[--model->count];
	}
	for (size_t i = 0; i < model->count; i++)
		if (model->boxes[i].path[0] == '\x01')
			return MODEL_REFUSED;
	return MODEL_DONE;
}
