/*
 * The naive model.  Whoever moves first goes out of the tree, to the path
 * "\x01<number>", with all that is below it, deepest first; then each comes
 * back to where it is to be.
 */
#include <stdio.h>
#include <string.h>

#include "model.h"

enum { CHANGES_MAX = MODEL_BOXES_MAX };

static unsigned depth_of(const char *path)
{
	unsigned depth = 0;

	for (; *path != '\0'; path++)
		depth += *path == '/';
	return depth;
}

static bool is_away(const char *path)
{
	return path[0] == '\x01';
}

static void away_path(char path[MODEL_PATH_SIZE], size_t number)
{
	(void)snprintf(path, MODEL_PATH_SIZE, "\x01%zu", number);
}

struct model_box *model_at(struct model *model, const char *path)
{
	for (size_t i = 0; i < model->count; i++)
		if (model->boxes[i].hole == 0 &&
		    strcmp(model->boxes[i].path, path) == 0)
			return &model->boxes[i];
	return NULL;
}

struct model_box *model_of(struct model *model, struct mbj_id id)
{
	for (size_t i = 0; i < model->count; i++)
		if (model->boxes[i].hole == 0 &&
		    mbj_id_equal(model->boxes[i].id, id))
			return &model->boxes[i];
	return NULL;
}

void model_parent(const char *path, char parent[MODEL_PATH_SIZE])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash != NULL ? (size_t)(slash - path) : 0;

	memcpy(parent, path, n);
	parent[n] = '\0';
}

static struct model_box *box_add(struct model *model, const char *path)
{
	struct model_box *box = &model->boxes[model->count];

	if (model->count == MODEL_BOXES_MAX)
		return NULL;
	memset(box, 0, sizeof(*box));
	(void)snprintf(box->path, sizeof(box->path), "%s", path);
	model->count++;
	return box;
}

/* One rename, of the mailbox at from and of all paths below it. */
static bool rename_one(struct model *model, const char *from, const char *to)
{
	size_t n = strlen(from);

	for (size_t i = 0; i < model->count; i++) {
		char *path = model->boxes[i].path;
		char fresh[2 * MODEL_PATH_SIZE];

		if (strncmp(path, from, n) != 0 ||
		    (path[n] != '\0' && path[n] != '/') ||
		    (path[n] == '\0' && model->boxes[i].hole != 0))
			continue;
		if (strlen(to) + strlen(path + n) >= MODEL_PATH_SIZE)
			return false;
		(void)snprintf(fresh, sizeof(fresh), "%s%s", to, path + n);
		memcpy(path, fresh, strlen(fresh) + 1);
	}
	return true;
}

static void holes_drop(struct model *model)
{
	for (size_t i = model->count; i-- > 0;)
		if (model->boxes[i].hole != 0)
			model->boxes[i] = model->boxes[--model->count];
}

/*
 * The parents that a target needs are made, as long as rename i does not need
 * one in the very place that it left: it would lie below itself.
 */
static enum model_verdict parents_make(struct model *model, const char *target,
				       size_t i)
{
	char path[MODEL_PATH_SIZE];

	for (const char *at = strchr(target, '/'); at != NULL;
	     at = strchr(at + 1, '/')) {
		const struct model_box *box;

		memcpy(path, target, (size_t)(at - target));
		path[at - target] = '\0';
		box = model_at(model, path);
		if (box != NULL && !mbj_id_is_root(box->id))
			continue;
		for (size_t k = 0; k < model->count; k++)
			if (model->boxes[k].hole == i + 1 &&
			    strcmp(model->boxes[k].path, path) == 0)
				return MODEL_REFUSED;
		if (box == NULL && box_add(model, path) == NULL)
			return MODEL_FULL;
	}
	return MODEL_DONE;
}

/* Out of the tree, leaving a hole that says who was there. */
static enum model_verdict leave(struct model *model, const char *path, size_t i)
{
	char away[MODEL_PATH_SIZE];
	struct model_box *hole;

	away_path(away, i);
	if (!rename_one(model, path, away))
		return MODEL_FULL;
	hole = box_add(model, path);
	if (hole == NULL)
		return MODEL_FULL;
	hole->hole = (uint32_t)i + 1;
	return MODEL_DONE;
}

static enum model_verdict arrive(struct model *model,
				 const struct model_rename *rename, size_t i)
{
	char away[MODEL_PATH_SIZE];
	enum model_verdict verdict;

	away_path(away, i);
	verdict = parents_make(model, rename->target, i);
	if (verdict != MODEL_DONE)
		return verdict;
	if (model_at(model, rename->target) != NULL)
		return MODEL_REFUSED;
	return rename_one(model, away, rename->target) ? MODEL_DONE
						       : MODEL_FULL;
}

enum model_verdict model_rename(struct model *model,
				const struct model_rename *renames,
				size_t count)
{
	enum model_verdict verdict = MODEL_DONE;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(renames[i].source, "INBOX") == 0 ||
		    strcmp(renames[i].target, "INBOX") == 0 ||
		    model_at(model, renames[i].source) == NULL)
			return MODEL_REFUSED;
		for (size_t k = 0; k < i; k++)
			if (strcmp(renames[i].source, renames[k].source) == 0)
				return MODEL_REFUSED;
	}
	for (unsigned depth = MODEL_PATH_SIZE; depth-- > 0;)
		for (size_t i = 0; i < count && verdict == MODEL_DONE; i++)
			if (depth_of(renames[i].source) == depth)
				verdict = leave(model, renames[i].source, i);
	for (unsigned depth = 0; depth < MODEL_PATH_SIZE; depth++)
		for (size_t i = 0; i < count && verdict == MODEL_DONE; i++)
			if (depth_of(renames[i].target) == depth)
				verdict = arrive(model, &renames[i], i);
	holes_drop(model);
	return verdict;
}

/* Put down what is away where its parent is; MODEL_REFUSED: not yet. */
static enum model_verdict put_down(struct model *model,
				   const struct model_place *place, size_t i)
{
	char target[MODEL_PATH_SIZE + MODEL_NAME_SIZE + 1];
	const struct model_box *parent = NULL;
	char away[MODEL_PATH_SIZE];

	away_path(away, i);
	if (place->kind == MODEL_GONE || model_at(model, away) == NULL)
		return MODEL_REFUSED;
	if (!mbj_id_is_root(place->parent)) {
		parent = model_of(model, place->parent);
		if (parent == NULL || is_away(parent->path))
			return MODEL_REFUSED;
	}
	(void)snprintf(target, sizeof(target), "%s%s%s",
		       parent != NULL ? parent->path : "",
		       parent != NULL ? "/" : "", place->name);
	if (model_at(model, target) != NULL)
		return MODEL_REFUSED;
	return rename_one(model, away, target) ? MODEL_DONE : MODEL_FULL;
}

enum model_verdict model_set(struct model *model,
			     const struct model_place *places, size_t count)
{
	char away[MODEL_PATH_SIZE];
	char path[MODEL_PATH_SIZE];
	bool is_again = true;

	for (size_t i = 0; i < count; i++) {
		struct model_box *box;

		if (places[i].kind != MODEL_NEW)
			continue;
		away_path(away, i);
		box = box_add(model, away);
		if (box == NULL)
			return MODEL_FULL;
		box->id = places[i].id;
	}
	for (unsigned depth = MODEL_PATH_SIZE; depth-- > 0;)
		for (size_t i = 0; i < count; i++) {
			struct model_box *box = model_of(model, places[i].id);

			if (places[i].kind == MODEL_NEW)
				continue;
			if (box == NULL)
				return MODEL_REFUSED;
			if (is_away(box->path) || depth_of(box->path) != depth)
				continue;
			away_path(away, i);
			memcpy(path, box->path, sizeof(path));
			(void)rename_one(model, path, away);
		}
	while (is_again) {
		is_again = false;
		for (size_t i = 0; i < count; i++) {
			enum model_verdict verdict;

			verdict = put_down(model, &places[i], i);
			if (verdict == MODEL_FULL)
				return verdict;
			is_again |= verdict == MODEL_DONE;
		}
	}
	for (size_t i = 0; i < count; i++) {
		struct model_box *box;

		away_path(away, i);
		box = model_at(model, away);
		if (box != NULL && places[i].kind == MODEL_GONE)
			*box = model->boxes[--model->count];
	}
	for (size_t i = 0; i < model->count; i++)
		if (is_away(model->boxes[i].path))
			return MODEL_REFUSED;
	return MODEL_DONE;
}
