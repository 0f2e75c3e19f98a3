/*
 * The naive model of an account's messages: one flat list, in which each has
 * its mailbox's id.  Shares no code with the library.  Functions: model.h.
 */
#ifndef FUZZ_MODEL_MAIL_H
#define FUZZ_MODEL_MAIL_H

#include <mbj/types.h>

enum { MODEL_MESSAGES_MAX = 64, MODEL_CONTENTS = 4 };

/* Beside the five of IMAP, a bit that stands for one keyword. */
enum { MODEL_KEYWORD = 0x20, MODEL_FLAGS_ALL = 0x3f };

struct model_message {
	struct mbj_id mailbox;
	uint32_t uid;
	uint8_t content;
	uint8_t flags;
	bool has_guid; /* its content's: it came with one, and is no copy */
	bool is_gone;  /* expunged: the mailbox says so for ever */
};

struct model_mail {
	size_t count;
	struct model_message list[MODEL_MESSAGES_MAX];
	/* Had by messages whose mailbox was destroyed, and not reaped yet. */
	uint32_t left[MODEL_CONTENTS];
};

/* Every other content comes with a GUID. */
static inline bool model_mail_has_guid(uint8_t content)
{
	return content % 2 == 1;
}

enum model_mail_kind {
	MODEL_APPEND,
	MODEL_FLAGS,
	MODEL_EXPUNGE,
	MODEL_COPY,
	MODEL_MOVE_MAIL
};
enum model_flag_mode { MODEL_ADD, MODEL_REMOVE, MODEL_REPLACE };

struct model_mail_step {
	enum model_mail_kind kind;
	struct mbj_id mailbox;
	struct mbj_id target;
	uint32_t uid; /* APPEND; 0: the next */
	uint8_t uids; /* bit n: UID n + 1; 0: all there are */
	uint8_t content;
	uint8_t flags;
	enum model_flag_mode mode;
	/* What comes of it. */
	uint32_t first_uid; /* of those that came in, 0: none */
	uint64_t count;	    /* that came in, changed or went */
};

#endif
