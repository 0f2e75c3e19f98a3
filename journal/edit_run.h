/*
 * From a compound edit to a group, inside an open transaction: the seam
 * between edit*.c (what the edit means) and store.c (when it becomes durable).
 * Private to journal/.
 */
#ifndef MBJ_JOURNAL_EDIT_RUN_H
#define MBJ_JOURNAL_EDIT_RUN_H

#include <mbj/edit.h>
#include <mbj/group.h>
#include <mbj/hash.h>
#include <mbj/state.h>
#include <mbj/sys.h>

#include "standing.h"

/* What one batch lends to the edits in it. */
struct edit_context {
	const struct mbj_sys *sys; /* fresh ids of implied parents */
	/* Secret, for tables of names that users choose. */
	struct mbj_sip_key table_key;
	struct mbj_txn *txn;
	struct mbj_sha256 *sha;
	struct mbj_group_writer *writer;
	struct mbj_arena *arena; /* reset by the caller between edits */
	/* An intent is refused where its producer has one open. */
	bool is_sole;
	/* An outcome leaves its intent open, which stands. */
	bool is_standing;
	/* Which open ones nothing is in doubt of; NULL: none. */
	struct standing *standing;
	/* By which the edit is known again; NULL: no receipt of it. */
	const struct mbj_hash *edit_hash;
	struct mbj_lsn lsn; /* the group's, should there be one */
	struct mbj_epoch epoch;
	int64_t time_us;
	struct mbj_hash chain; /* before the group; after it on return */
};

/*
 * Resolve, plan, check and apply edit to context->txn, and append its encoded
 * group to ret_record.  An edit that changes nothing appends nothing and
 * leaves ret_outcome->lsn 0.  For a dry run everything happens too: the
 * caller rolls back.  ret_outcome->record is left empty: the caller copies it
 * from ret_record where somebody wants it.
 * On any failure transaction, chain and ret_record are as before.
 * Returns: see mbj_store_submit.
 */
enum mbj_rc edit_run(struct edit_context *context, const struct mbj_edit *edit,
		     struct mbj_buf *ret_record,
		     struct mbj_outcome *ret_outcome,
		     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Values of METADATA that are too long, for who sends an edit elsewhere: longer
 * texts do not fit into a frame, and would be refused for another limit.
 */
enum mbj_rc edit_values_check(const struct mbj_edit *edit,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* The same of one step, an ENTRY. */
enum mbj_rc edit_value_check(const struct mbj_metadata_edit *step,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Whether an edit may be answered before it is durable: nothing is lost with it
 * but the outcome of an intent, which stays open then.  That it is open is the
 * batch's to judge.
 */
enum mbj_rc edit_take_check(const struct mbj_edit *edit,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * What the last step appends has these bytes: *ret_steps, which the edit has
 * from then on, and the caller frees.
 * Returns: MBJ_EINVALID (invalidArguments), the last step appends nothing.
 */
enum mbj_rc edit_body_name(struct mbj_edit *edit, const struct mbj_hash *digest,
			   uint64_t size, struct mbj_message_edit **ret_steps,
			   struct mbj_error *err) MBJ_MUST_CHECK;

#endif
