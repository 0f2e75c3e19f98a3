/*
 * A content that is being changed: what state_content.c, state_message.c and
 * state_vanished.c share.  Private to mailbox/.
 */
#ifndef MBJ_MAILBOX_STATE_CONTENT_H
#define MBJ_MAILBOX_STATE_CONTENT_H

#include "state_priv.h"

/* Records as they were; the changed ones are written by content_close. */
struct content_edit {
	struct mbj_txn *txn;
	struct mbj_id mailbox;
	struct mbj_account account;
	struct mbj_content content;
};

/* The content as a change expects it, or MBJ_ECONFLICT. */
enum mbj_rc content_open(struct mbj_txn *txn, struct mbj_id account,
			 struct mbj_id mailbox, uint64_t rev, uint64_t modseq,
			 struct content_edit *ret_edit,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* The next revision, this HIGHESTMODSEQ; content and account are written. */
enum mbj_rc content_close(struct content_edit *edit, uint64_t modseq,
			  struct mbj_error *err) MBJ_MUST_CHECK;

/* A message's record is written, its share added to the content's digest. */
enum mbj_rc message_put(struct content_edit *edit,
			const struct mbj_message *message,
			struct mbj_error *err) MBJ_MUST_CHECK;
/* The share of the message that is in txn->key and txn->value. */
enum mbj_rc message_sum(struct content_edit *edit, bool is_added,
			struct mbj_error *err) MBJ_MUST_CHECK;
/* One message of size more or less, in content and account. */
enum mbj_rc content_count(struct content_edit *edit, uint64_t size,
			  bool is_added, struct mbj_error *err) MBJ_MUST_CHECK;
/* state_vanished.c: note, under the revision before, what goes. */
enum mbj_rc vanished_put(struct content_edit *edit, struct mbj_bytes uids,
			 uint64_t modseq, struct mbj_error *err) MBJ_MUST_CHECK;
/* Everything that was ever there. */
enum mbj_rc vanished_put_all(struct content_edit *edit, uint64_t modseq,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* Once in many changes: what went long ago is noted no more. */
enum mbj_rc vanished_trim(struct content_edit *edit,
			  struct mbj_error *err) MBJ_MUST_CHECK;

#endif
