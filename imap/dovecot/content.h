/*
 * The messages of one mailbox in the store, and what becomes of them: an
 * intent before Dovecot changes them, then steps, told in pieces of bounded
 * size, the last of which closes the intent.
 *
 * Whoever calls holds the user's lock (turn.c).
 *
 * Threads: one at a time per object.
 */
#ifndef MBJ_DOVECOT_CONTENT_H
#define MBJ_DOVECOT_CONTENT_H

#include "account.h"

enum { CONTENT_HELD_MAX = 32 << 10 };

struct content {
	struct account *account;
	/* As of content_look. */
	struct mbj_id account_id;
	struct mbj_id mailbox;
	uint32_t uidvalidity;
	struct mbj_content store;
	bool is_fresh; /* nothing was told since */
	/* HIGHESTMODSEQ in Dovecot, which changes get where they can. */
	uint64_t modseq;
	struct mbj_id intent; /* ROOT: none is open */
	bool has_told;	      /* steps, since then */
	struct mbj_arena *arena;
	struct mbj_message_edit *steps;
	size_t step_count;
	size_t step_capacity;
	size_t bytes;	 /* of keywords and GUIDs in steps */
	size_t uids;	 /* that steps are about */
	void *last_uids; /* the last step's, in arena */
	/*
	 * Bytes of what the last step appends, which the store has not yet: an
	 * outcome takes them along, anything else comes behind them.
	 */
	struct mbj_buf held;
};

/* A message of Dovecot's; keywords in the form of mbj/message.h. */
struct content_message {
	uint32_t uid;
	uint8_t flags;
	struct mbj_bytes keywords;
	struct mbj_hash blob; /* content_append only */
	uint64_t size;
	int64_t time;
	struct mbj_bytes guid; /* or empty; of mbj_client_knows_guids alone */
};

void content_init(struct content *content, struct account *account);
void content_done(struct content *content);
/* Steps that were refused. */
void content_clear(struct content *content);

/* Returns: refused notFound, accountNotFound. */
enum mbj_rc content_look(struct content *content, struct mbj_bytes path,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same as of account_enter_messages, which has announced its change.
 * Returns: false, it did not, or that of another mailbox.
 */
bool content_look_begun(struct content *content, struct mbj_id mailbox);
/*
 * All messages of the mailbox are in doubt: durable once it returns.  Does
 * nothing where that is open already, as content->intent.
 */
enum mbj_rc content_announce(struct content *content,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Its bytes are in the store, by blob and size, or in body, whose ownership is
 * taken: at least one then, at most CONTENT_HELD_MAX.
 * Requires: the UID is above all so far.
 */
enum mbj_rc content_append(struct content *content,
			   const struct content_message *message,
			   struct mbj_buf *body,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* These are its flags and keywords now. */
enum mbj_rc content_flags(struct content *content,
			  const struct content_message *message,
			  struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc content_expunge(struct content *content, uint32_t uid,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * HIGHESTMODSEQ is content->modseq, or was above it, whether or not the steps
 * so far change a message.
 */
enum mbj_rc content_touch(struct content *content,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* Tell what there is so far; the intent stays as it is. */
enum mbj_rc content_tell(struct content *content,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* That was all, HIGHESTMODSEQ with it (content_touch): closes the intent. */
enum mbj_rc content_end(struct content *content,
			struct mbj_error *err) MBJ_MUST_CHECK;

#endif
