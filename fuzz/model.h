/*
 * The naive model of one account: mailboxes are path strings.  It applies
 * simultaneous renames one by one, through a place outside the tree, and
 * shares no code with the library.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <mbj/types.h>

/* A path of all mailboxes, with names of two bytes, has room. */
enum { MODEL_BOXES_MAX = 56, MODEL_PATH_SIZE = 176, MODEL_NAME_SIZE = 8 };

struct model_box {
	char path[MODEL_PATH_SIZE];
	struct mbj_id id; /* ROOT: not known yet */
	uint32_t uidvalidity;
};

struct model {
	size_t count;
	struct model_box boxes[MODEL_BOXES_MAX];
};

struct model_rename {
	char source[MODEL_PATH_SIZE];
	char target[MODEL_PATH_SIZE];
};

enum model_kind { MODEL_NEW, MODEL_MOVE, MODEL_GONE };

/* Where one mailbox is to be, by ids. */
struct model_place {
	enum model_kind kind;
	struct mbj_id id;
	struct mbj_id parent;
	char name[MODEL_NAME_SIZE];
};

enum model_verdict {
	MODEL_DONE,
	MODEL_REFUSED, /* no tree comes of it */
	MODEL_FULL,    /* more than the model can hold: nobody knows */
};

struct model_box *model_at(struct model *model, const char *path);
struct model_box *model_of(struct model *model, struct mbj_id id);
/* The mailbox above a path, NULL at the top; and a path's last name. */
struct model_box *model_above(struct model *model, const char *path);
const char *model_name(const char *path);

/* All at once, at most MODEL_BOXES_MAX; spoilt unless MODEL_DONE. */
enum model_verdict model_rename(struct model *model,
				const struct model_rename *renames,
				size_t count);
enum model_verdict model_set(struct model *model,
			     const struct model_place *places, size_t count);

#endif
