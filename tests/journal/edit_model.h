/*
 * What a SET means, said as plainly as possible: small arrays, every rule by
 * looking at everything, again and again.  edit_judge.c must agree with it.
 */
#ifndef TEST_JOURNAL_EDIT_MODEL_H
#define TEST_JOURNAL_EDIT_MODEL_H

#include <stdbool.h>

enum { MODEL_BOXES_MAX = 256, MODEL_WISHES_MAX = 16, MODEL_NONE = -1 };

/* A mailbox, by number; parents are numbers, MODEL_NONE is the top. */
struct model_box {
	bool is_live;
	int parent;
	char name;
};

enum model_kind { MODEL_CREATE, MODEL_UPDATE, MODEL_DESTROY };

struct model_wish {
	enum model_kind kind;
	int box;
	int parent;
	char name;
	bool is_refused; /* may be set by the caller: refused by itself */
};

struct model {
	struct model_box boxes[MODEL_BOXES_MAX];
	int count;
};

/* Decide the wishes, and carry out those that stand. */
void model_set(struct model *model, struct model_wish *wishes, int count);

#endif
