/*
 * What an intent is about: the edit that its producer announced, and which
 * mailboxes are in doubt because of it, as they were then and as they were to
 * become.  From the body of struct mbj_intent; bytes are borrowed from there.
 *
 * Threads: pure.
 */
#ifndef MBJ_DOUBT_H
#define MBJ_DOUBT_H

#include <mbj/edit.h>
#include <mbj/intent.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, bit, word): what was to happen to a mailbox. */
#define MBJ_DOUBT_MAP(X)                                  \
	X(CREATE, 0, "create")                            \
	X(MOVE, 1, "move")                                \
	X(DELETE, 2, "delete")                            \
	X(SET, 3, "set")	   /* role, selectable */ \
	X(APPEND, 4, "append")	   /* messages come in */ \
	X(MESSAGES, 5, "messages") /* change, or go */    \
	X(ATTRIBUTES, 6, "attributes")

enum mbj_doubt_what {
#define X(name, bit, word) MBJ_DOUBT_##name = 1 << (bit),
	MBJ_DOUBT_MAP(X)
#undef X
};

struct mbj_doubt {
	struct mbj_id mailbox;
	unsigned what;		 /* bits */
	uint32_t uidvalidity;	 /* before; 0: there was none */
	uint32_t uidnext;	 /* likewise */
	struct mbj_bytes before; /* its path, UTF-8; empty: it was not there */
	struct mbj_bytes after;	 /* as wanted; empty: gone */
};

struct mbj_intent_view {
	enum mbj_edit_kind kind;
	struct mbj_bytes edit; /* as in a request to the service */
	uint32_t doubt_count;
	struct mbj_bytes doubts; /* mbj_doubt_next */
};

/* "set", "rename", ...: the kinds that intents have; NULL for others. */
MBJ_API const char *mbj_intent_kind_name(enum mbj_edit_kind kind);
/* "create", ... of one bit; NULL for another number. */
MBJ_API const char *mbj_doubt_name(unsigned bit);

/*
 * Judges all of the body.  Returns: MBJ_ECORRUPT, MBJ_EUNSUPPORTED (of a later
 * version).
 */
MBJ_API enum mbj_rc mbj_intent_read(struct mbj_bytes body,
				    struct mbj_intent_view *ret_view,
				    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The next of view->doubts, which it takes off; false where there is none.
 * Requires: bytes that mbj_intent_read has judged.
 */
MBJ_API bool mbj_doubt_next(struct mbj_bytes *doubts,
			    struct mbj_doubt *ret_doubt);

#ifdef __cplusplus
}
#endif

#endif
