/*
 * Requests carried out on a store, whoever asks: a connection of the service,
 * or a client in the process that owns the store.  A dispatcher is for one of
 * them: it may have one message's bytes on their way, in or out.
 *
 * Threads: one at a time per dispatcher; any number of dispatchers per store.
 */
#ifndef MBJ_DISPATCH_H
#define MBJ_DISPATCH_H

#include "wire.h"

struct request; /* batch_request.h */

struct dispatcher {
	struct mbj_store *store;
	uint64_t asker;	  /* of a connection (standing.h), or 0 */
	uint16_t version; /* of the protocol that it speaks; 0: this build's */
	/*
	 * Bytes that a list has at most: bytes of messages come in smaller
	 * pieces, what does not is MBJ_ELIMIT.  0: what an answer may have.
	 */
	size_t list_max;
	struct mbj_blob_writer *writer;
	struct mbj_blob_reader *reader;
};

/* Whoever asks knows GUIDs of messages. */
static inline bool dispatch_has_guids(const struct dispatcher *dispatcher)
{
	return dispatcher->version == 0 ||
	       dispatcher->version >= WIRE_VERSION_GUID;
}

/* What was on its way in is dropped.  All zero is fine. */
void dispatch_done(struct dispatcher *dispatcher);

/*
 * Carry out a request of any kind but HELLO, STATUS, STOP and TAKE; the
 * answer's body is appended.  One that waits for replicas does so in this
 * thread: of a service they are not for here (service_await.c).
 */
enum mbj_rc dispatch_run(struct dispatcher *dispatcher, enum wire_kind kind,
			 const struct wire_message *request,
			 struct mbj_buf *ret_body,
			 struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * mbj_store_submit, once the bytes of what it appends are there; of no
 * connection.
 */
enum mbj_rc dispatch_submit(struct mbj_store *store,
			    const struct mbj_edit *edit,
			    struct mbj_outcome *ret_outcome,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* Of the dispatcher's. */
enum mbj_rc dispatch_submit_as(struct dispatcher *dispatcher,
			       const struct mbj_edit *edit,
			       struct mbj_outcome *ret_outcome,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* store_take, likewise. */
enum mbj_rc dispatch_take(struct mbj_store *store, const struct mbj_edit *edit,
			  bool is_standing, struct request **ret_request,
			  struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc dispatch_tree(struct mbj_store *store, struct mbj_bytes name,
			  struct mbj_account *ret_account,
			  struct mbj_tree **ret_tree,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* The mailbox at a request's path, of the account of that name. */
enum mbj_rc dispatch_mailbox_find(struct mbj_txn *txn, struct mbj_bytes name,
				  const struct wire_message *request,
				  struct wire_message *answer,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * MBJ_ECONFLICT: something of this producer's, or, where there is none, of
 * anybody's, is in doubt, which whoever asks settles first.
 */
enum mbj_rc dispatch_settled_check(struct mbj_store *store, struct mbj_txn *txn,
				   struct mbj_id account,
				   struct mbj_bytes producer,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * mbj_client_submit of an intent about messages of one mailbox: by the one that
 * stands there, or a new one.
 */
enum mbj_rc dispatch_announce(struct mbj_store *store, uint64_t asker,
			      const struct mbj_edit *edit,
			      struct mbj_outcome *ret_outcome,
			      struct mbj_error *err) MBJ_MUST_CHECK;
bool dispatch_is_announcement(const struct mbj_edit *edit);
/* mbj_client_begin */
enum mbj_rc dispatch_begin(struct mbj_store *store, uint64_t asker,
			   const struct wire_message *request,
			   struct wire_message *answer,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* One message's bytes, a piece at a time: kinds BLOB_OPEN to BLOB_LAST. */
enum mbj_rc dispatch_blob_open(struct dispatcher *dispatcher,
			       const struct mbj_hash *digest,
			       uint64_t *ret_size,
			       struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc dispatch_blob_read(struct dispatcher *dispatcher, uint64_t size,
			       struct mbj_buf *piece,
			       struct mbj_bytes *ret_data,
			       struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc dispatch_blob_write(struct dispatcher *dispatcher,
				struct mbj_bytes data,
				struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc dispatch_blob_finish(struct dispatcher *dispatcher,
				 struct wire_message *answer,
				 struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc dispatch_blob_last(struct dispatcher *dispatcher,
			       struct mbj_bytes data,
			       struct wire_message *answer,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* dispatch_submit_as, of an edit whose last step appends the last bytes. */
enum mbj_rc dispatch_submit_body(struct dispatcher *dispatcher,
				 const struct wire_message *request,
				 struct wire_message *answer,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * All bytes of the first *ret_count of the digests that a request lists: it
 * ends before one that has no room any more, or cannot be read.
 */
enum mbj_rc dispatch_blobs(struct mbj_store *store,
			   const struct wire_message *request,
			   struct mbj_buf *list, uint32_t *ret_count,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* dispatch_messages.c: a page of them; what was expunged; into list. */
enum mbj_rc dispatch_messages(struct mbj_txn *txn, bool has_guids,
			      const struct wire_message *request,
			      struct wire_message *answer, struct mbj_buf *list,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc dispatch_vanished(struct mbj_txn *txn,
			      const struct wire_message *request,
			      struct wire_message *answer, struct mbj_buf *list,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* What each mailbox of an account holds, behind its id. */
enum mbj_rc dispatch_contents(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_buf *list, uint32_t *ret_count,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* All but what the service says of itself. */
enum mbj_rc dispatch_status(struct mbj_store *store,
			    struct mbj_client_status *ret_status,
			    struct mbj_error *err) MBJ_MUST_CHECK;

#endif
