/*
 * The naive model of one account: mailboxes are path strings.  It applies
 * simultaneous renames one by one, through a place outside the tree, and
 * shares no code with the library.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <string.h>

#include "model_mail.h"

/* A path of all mailboxes, with names of two bytes, has room. */
enum { MODEL_BOXES_MAX = 56, MODEL_PATH_SIZE = 176, MODEL_NAME_SIZE = 8 };

struct model_box {
	char path[MODEL_PATH_SIZE];
	struct mbj_id id; /* ROOT: not known yet */
	uint32_t uidvalidity;
	uint32_t uidnext; /* 0: never had a message */
	uint64_t rev;	  /* of its content, as seen last, 0: never */
	uint64_t modseq;
};

struct model {
	size_t count;
	struct model_box boxes[MODEL_BOXES_MAX];
	struct model_mail mail; /* by ids; model_mail.c's */
};

/* What is there; the rest of to stays as it was. */
static inline void model_copy(struct model *to, const struct model *from)
{
	to->count = from->count;
	memcpy(to->boxes, from->boxes, from->count * sizeof(from->boxes[0]));
	to->mail.count = from->mail.count;
	memcpy(to->mail.list, from->mail.list,
	       from->mail.count * sizeof(from->mail.list[0]));
	memcpy(to->mail.left, from->mail.left, sizeof(to->mail.left));
}

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

/* "above/name", "name" where above is ""; false where that has no room. */
bool model_path(char path[MODEL_PATH_SIZE], const char *above,
		const char *name);

/* All at once, at most MODEL_BOXES_MAX; spoilt unless MODEL_DONE. */
enum model_verdict model_rename(struct model *model,
				const struct model_rename *renames,
				size_t count);
enum model_verdict model_set(struct model *model,
			     const struct model_place *places, size_t count);

/* Steps on messages, in order, all or nothing; spoilt unless MODEL_DONE. */
enum model_verdict model_mail_run(struct model *model,
				  struct model_mail_step *steps, size_t count);
/* One mailbox hands all that it has over to a new one; there is room. */
void model_mail_take(struct model *model, struct mbj_id from, struct mbj_id to);
/* What was in mailboxes that are no longer there is left. */
void model_mail_leave(struct model *model);
/* Messages that are there. */
size_t model_mail_count(const struct model *model, struct mbj_id mailbox);

#endif
