/*
 * A store as a producer sees it: the same calls whether the process owns the
 * store or the service does (mbj/service.h).  mbj_client_open of mbj/open.h
 * finds out which.
 *
 * Names that a record would borrow are left out (empty) where a call says so:
 * the caller has given them.
 *
 * Where the service goes away in the middle of a call the error is MBJ_EIO and
 * says so; of a submit the outcome is then unknown, as after a crash.  Reads,
 * edits with a request id, and whatever the service did not read as a whole,
 * are tried again once by themselves, but not after a time-out.
 *
 * Threads: a struct mbj_client from any; calls of one do not wait for each
 * other, up to connections_max of them.  A writer, a reader from one at a time;
 * each has a connection for itself.
 */
#ifndef MBJ_CLIENT_H
#define MBJ_CLIENT_H

#include <mbj/attribute.h>
#include <mbj/collect.h>
#include <mbj/message.h>
#include <mbj/status.h>
#include <mbj/store.h>
#include <mbj/survey.h>
#include <mbj/trim.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_client;

struct mbj_client_options {
	size_t size; /* sizeof(struct mbj_client_options) */
	/* Milliseconds without a byte of an answer, 0: for ever. */
	uint32_t timeout_ms;
	uint32_t connections_max;
	/*
	 * Milliseconds that all calls together wait for the service, from
	 * mbj_client_connect or mbj_client_renew on, 0: for ever.  Whoever
	 * holds a lock of others gives it back after that.
	 */
	uint32_t patience_ms;
};

#define MBJ_CLIENT_OPTIONS_INIT                                         \
	((struct mbj_client_options){sizeof(struct mbj_client_options), \
				     120000, 64, 0})

/*
 * Speak to the service at a Unix socket.
 * Returns: MBJ_ENOTFOUND (nobody listens there), MBJ_EBUSY (it takes no more
 * connections), MBJ_EUNSUPPORTED (it speaks other versions), MBJ_EFENCED (it
 * does not know us).
 */
MBJ_API enum mbj_rc mbj_client_connect(const char *socket_path,
				       const struct mbj_client_options *options,
				       struct mbj_client **ret_client,
				       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * One that was not used for a while: its patience begins anew, and a connection
 * is there, another one where the service was restarted.
 * Returns: as mbj_client_connect; the client stays.
 */
MBJ_API enum mbj_rc mbj_client_renew(struct mbj_client *client,
				     struct mbj_error *err) MBJ_MUST_CHECK;
/* Use a store that this process opened.  Ownership: the client's. */
MBJ_API enum mbj_rc mbj_client_take(struct mbj_store *store,
				    struct mbj_client **ret_client,
				    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Accepts NULL.  Requires: no call, writer or reader of it is left.  Closes the
 * store that it took.
 */
MBJ_API void mbj_client_close(struct mbj_client **client);

/* The service answers, not a store of this process. */
MBJ_API bool mbj_client_is_served(const struct mbj_client *client);
/*
 * Messages may have GUIDs there, as of the newest connection.  A service that
 * knows none shows none, and refuses an edit with one (MBJ_EUNSUPPORTED).
 */
MBJ_API bool mbj_client_knows_guids(struct mbj_client *client);
/*
 * As of the newest connection.  Borrowed; a call that connects again writes it,
 * so where other threads use the client, take a copy.
 */
MBJ_API const struct mbj_identity *
mbj_client_identity(const struct mbj_client *client);
/* The same, from any thread. */
MBJ_API void mbj_client_identity_copy(struct mbj_client *client,
				      struct mbj_identity *ret_identity);
/*
 * The store's directory as its owner was told it: a service's may be relative
 * to where that was begun.  "": not known.
 */
MBJ_API const char *mbj_client_dir(const struct mbj_client *client);
/* The store that it took, or NULL. */
MBJ_API struct mbj_store *mbj_client_store(struct mbj_client *client);

/* ----------------------------------------------------------------- edits */

/*
 * mbj_store_submit, of the store that it took or the service's.
 * Returns: also MBJ_ENOTFOUND where a message to append has no bytes in the
 * store, MBJ_ELIMIT where an edit is too long to send.
 */
MBJ_API enum mbj_rc mbj_client_submit(struct mbj_client *client,
				      const struct mbj_edit *edit,
				      struct mbj_outcome *ret_outcome,
				      struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The same of an edit whose last step appends body, which comes with it, in one
 * round trip where it is short: blob and size of that step are not read.
 * Returns: also MBJ_EINVALID (invalidArguments), the last step appends nothing.
 */
MBJ_API enum mbj_rc
mbj_client_submit_body(struct mbj_client *client, const struct mbj_edit *edit,
		       struct mbj_bytes body, struct mbj_outcome *ret_outcome,
		       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The outcome of an open intent (MBJ_STAGE_DONE or MBJ_STAGE_FAILED), for who
 * cannot wait for the disk: his client has its answer to get, and an intent
 * that stays open loses nothing.
 *
 * Once it returns the service has carried the edit out, behind all that it was
 * given before: only the disk or the end of the store can still undo that.
 * An intent about the messages of one mailbox that changes again and again is
 * left open instead, and is the next change's (it stands; nothing of it is in
 * doubt until then); then it returns before that, and what is refused leaves
 * the intent in doubt, and is counted, as what does not become durable.
 * Whoever asks it about that account from then on, by any connection, waits
 * until that is decided, and edits come behind it; status and collections of
 * records by other means (the journal's readers, replicas) have what is
 * durable.
 * Durability: none yet.  It follows at once, by itself, also where the service
 * is stopped in good order.  Where it does not come (power, SIGKILL, a full or
 * failing disk) the intent is open as if nothing had been said: whoever has it
 * settles it by what he has.  The status counts what failed while the service
 * lived (takenLost).
 * The service keeps at most 64 such edits, 4 of one account, of 64 KiB each;
 * any more, a store of this process, and a service that speaks a version of the
 * protocol below 3, answer when it is durable.
 * Returns: as mbj_client_submit; MBJ_EINVALID (invalidArguments), nothing was
 * done, for any other edit.  The same edit with the same request id is never
 * carried out twice.
 */
MBJ_API enum mbj_rc mbj_client_outcome(struct mbj_client *client,
				       const struct mbj_edit *edit,
				       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The same of an edit whose last step appends body, which comes with it, in one
 * round trip where it is short: blob and size of that step are not read.
 * Returns: also MBJ_EINVALID (invalidArguments), the last step appends nothing.
 */
MBJ_API enum mbj_rc
mbj_client_outcome_body(struct mbj_client *client, const struct mbj_edit *edit,
			struct mbj_bytes body,
			struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * mbj_store_received (mbj/received.h) of an edit's group, by its outcome's LSN,
 * of the store that it took or the service's.  The service answers within
 * timeout_ms beyond wait_ms.
 * Returns: also MBJ_ELIMIT where as many wait as the service takes.  Whatever
 * is returned, the group stands, and asking again does no harm: where the
 * service stops meanwhile that is MBJ_EUNRECEIVED, too.
 */
MBJ_API enum mbj_rc mbj_client_received(struct mbj_client *client,
					struct mbj_lsn lsn, uint32_t replicas,
					uint32_t wait_ms, uint32_t *ret_count,
					struct mbj_error *err) MBJ_MUST_CHECK;

/* --------------------------------------------------- bodies of messages */

/*
 * The bytes of a message, before the edit that appends it names them by digest
 * and size; on disk before that edit's group is.
 */
struct mbj_body_writer;

MBJ_API enum mbj_rc mbj_body_begin(struct mbj_client *client,
				   struct mbj_body_writer **ret_writer,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Any number of pieces of any size; what is put together of them is sent later.
 * The first failure stays, and is told by whatever call comes after it.
 */
MBJ_API enum mbj_rc mbj_body_write(struct mbj_body_writer *writer,
				   struct mbj_bytes piece,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/* Ownership: the writer is gone, whatever is returned. */
MBJ_API enum mbj_rc mbj_body_finish(struct mbj_body_writer **writer,
				    struct mbj_hash *ret_digest,
				    uint64_t *ret_size,
				    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * mbj_body_finish, and mbj_client_submit of an edit whose last step appends
 * what was written: as mbj_client_submit_body.  Ownership: as mbj_body_finish.
 */
MBJ_API enum mbj_rc mbj_body_submit(struct mbj_body_writer **writer,
				    const struct mbj_edit *edit,
				    struct mbj_outcome *ret_outcome,
				    struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_body_abort(struct mbj_body_writer **writer);
/* All that can be read from a descriptor; name is for messages. */
MBJ_API enum mbj_rc mbj_body_write_fd(struct mbj_body_writer *writer, int fd,
				      const char *name, uint64_t *ret_size,
				      struct mbj_error *err) MBJ_MUST_CHECK;
/* All of it from memory. */
MBJ_API enum mbj_rc mbj_body_put(struct mbj_client *client,
				 struct mbj_bytes bytes,
				 struct mbj_hash *ret_digest,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/* mbj_body_write_fd, and no more. */
MBJ_API enum mbj_rc mbj_body_put_fd(struct mbj_client *client, int fd,
				    const char *name,
				    struct mbj_hash *ret_digest,
				    uint64_t *ret_size,
				    struct mbj_error *err) MBJ_MUST_CHECK;

struct mbj_body_reader;

MBJ_API enum mbj_rc mbj_body_open(struct mbj_client *client,
				  const struct mbj_hash *digest,
				  struct mbj_body_reader **ret_reader,
				  uint64_t *ret_size,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/* As mbj_blob_reader_read: *ret_got is 0 at the end, and only there. */
MBJ_API enum mbj_rc mbj_body_read(struct mbj_body_reader *reader, void *p,
				  size_t n, size_t *ret_got,
				  struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_body_close(struct mbj_body_reader **reader);

/* All bytes of several, by one question. */
struct mbj_client_bodies {
	struct mbj_bytes *bodies;
	size_t count;
	struct mbj_buf bytes; /* what they borrow */
};

enum { MBJ_CLIENT_BODIES_MAX = 256 }; /* of one answer; 1 MiB of bytes */

/*
 * Of the first ret_list->count of the digests, in their order: it ends before
 * one that is too long for what is left of the answer, is not there, or cannot
 * be read, which may be the first; mbj_body_open says which of these.
 * Requires: count is 1 to MBJ_CLIENT_BODIES_MAX.
 */
MBJ_API enum mbj_rc mbj_client_bodies(struct mbj_client *client,
				      const struct mbj_hash *digests,
				      size_t count,
				      struct mbj_client_bodies *ret_list,
				      struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_client_bodies_done(struct mbj_client_bodies *list);

/* --------------------------------------------------------------- reading */

/* The name is left out.  Returns: MBJ_ENOTFOUND. */
MBJ_API enum mbj_rc mbj_client_account(struct mbj_client *client,
				       struct mbj_bytes name,
				       struct mbj_account *ret_account,
				       struct mbj_error *err) MBJ_MUST_CHECK;

struct mbj_client_accounts {
	struct mbj_account *accounts; /* in id order, with their names */
	size_t count;
	struct mbj_buf bytes; /* what they borrow */
};

MBJ_API enum mbj_rc mbj_client_accounts(struct mbj_client *client,
					struct mbj_client_accounts *ret_list,
					struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_client_accounts_done(struct mbj_client_accounts *list);

/* A mailbox, found by its path. */
struct mbj_place {
	struct mbj_account account; /* the name is left out */
	struct mbj_mailbox mailbox; /* likewise */
	struct mbj_content content;
	uint32_t last_uid; /* of the messages there, where it was asked for */
};

/*
 * path: UTF-8 with the account's delimiter.
 * Returns: MBJ_ENOTFOUND with refusal accountNotFound or notFound,
 * MBJ_EINVALID (no path).
 */
MBJ_API enum mbj_rc mbj_client_mailbox(struct mbj_client *client,
				       struct mbj_bytes account,
				       struct mbj_bytes path,
				       bool is_last_wanted,
				       struct mbj_place *ret_place,
				       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * All mailboxes of an account, with is_subscribed, at one instant.
 * Ownership: the caller frees the tree.
 */
MBJ_API enum mbj_rc mbj_client_tree(struct mbj_client *client,
				    struct mbj_bytes account,
				    struct mbj_account *ret_account,
				    struct mbj_tree **ret_tree,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The same where no intent of this producer is open in the account, in one
 * round trip: for who is about to change it, and would settle those first.
 * producer: empty, where nobody's is.
 * Returns: MBJ_ECONFLICT, one is; MBJ_EUNSUPPORTED, the service speaks a
 * version of the protocol below 3.
 */
MBJ_API enum mbj_rc mbj_client_enter(struct mbj_client *client,
				     struct mbj_bytes account,
				     struct mbj_bytes producer,
				     struct mbj_account *ret_account,
				     struct mbj_tree **ret_tree,
				     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * mbj_client_mailbox and mbj_client_submit of an intent about messages of that
 * mailbox, in one round trip, where the edit's producer has no other intent
 * open in the account: of two at once the second one is refused.  What is at
 * the path is looked up before that, and may be another mailbox by then.
 * edit: has one step.  place and outcome are as of before and behind it.  The
 * same with the same request id has the same outcome, and as place what is
 * there now.  outcome->intent may be one that stood, of an earlier change of
 * that mailbox, unless the edit has an id for it (then with an LSN of 0).
 * Returns: MBJ_ECONFLICT, one is open or another mailbox is there;
 * MBJ_EUNSUPPORTED, as mbj_client_enter; as both calls.  Whatever is refused,
 * nothing is done by this call; but where an answer was lost, and that mailbox
 * is at the path no more when it is asked again, the intent is open.
 */
MBJ_API enum mbj_rc mbj_client_begin(struct mbj_client *client,
				     struct mbj_bytes path,
				     const struct mbj_edit *edit,
				     struct mbj_place *ret_place,
				     struct mbj_outcome *ret_outcome,
				     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The attributes of a mailbox, its access control list and its METADATA; with
 * an empty path those of the account itself (RFC 5464's server annotations).
 */
struct mbj_client_attrs {
	struct mbj_account account; /* the name is left out */
	struct mbj_mailbox mailbox; /* likewise; its id ROOT: the account's */
	struct mbj_attr *attrs;	    /* by kind and name */
	size_t count;
	struct mbj_buf bytes; /* what they borrow */
};

/* As mbj_client_mailbox. */
MBJ_API enum mbj_rc mbj_client_attrs(struct mbj_client *client,
				     struct mbj_bytes account,
				     struct mbj_bytes path,
				     struct mbj_client_attrs *ret_list,
				     struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_client_attrs_done(struct mbj_client_attrs *list);

/* The names that an account subscribes, whether or not there are mailboxes. */
struct mbj_client_subscriptions {
	struct mbj_account account; /* the name is left out */
	struct mbj_path *paths;	    /* by key */
	size_t count;
	struct mbj_buf bytes; /* what they borrow */
};

/* Returns: MBJ_ENOTFOUND. */
MBJ_API enum mbj_rc
mbj_client_subscriptions(struct mbj_client *client, struct mbj_bytes account,
			 struct mbj_client_subscriptions *ret_list,
			 struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void
mbj_client_subscriptions_done(struct mbj_client_subscriptions *list);

/* Open intents (mbj/edit.h; mbj/doubt.h says what they are about). */
struct mbj_client_intents {
	struct mbj_client_intent *intents; /* the oldest first */
	size_t count;
	struct mbj_buf bytes; /* what they borrow */
};

/* account: a name, or empty for all.  Returns: MBJ_ENOTFOUND. */
MBJ_API enum mbj_rc mbj_client_intents(struct mbj_client *client,
				       struct mbj_bytes account,
				       struct mbj_client_intents *ret_list,
				       struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_client_intents_done(struct mbj_client_intents *list);

/* Messages of a mailbox from one UID on. */
struct mbj_client_messages {
	struct mbj_content content;
	struct mbj_message *messages; /* ascending by UID */
	size_t count;
	uint32_t next_uid;    /* to go on with, 0: there are no more */
	struct mbj_buf bytes; /* what they borrow */
};

enum { MBJ_CLIENT_MESSAGES_MAX = 10000 }; /* of one answer */

/*
 * rev 0, or the content's revision that an earlier page told: MBJ_ECONFLICT
 * where it has changed since.  limit 0: as many as one answer may have.
 */
MBJ_API enum mbj_rc
mbj_client_messages(struct mbj_client *client, struct mbj_id account,
		    struct mbj_id mailbox, uint32_t first_uid, uint32_t limit,
		    uint64_t rev, struct mbj_client_messages *ret_page,
		    struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_client_messages_done(struct mbj_client_messages *page);

/*
 * What was expunged of a mailbox behind a modseq, for a server that says
 * VANISHED (EARLIER) to its clients (RFC 7162, section 3.2.10).  Some UIDs may
 * not have been there, or not known to the client, as that allows.
 */
struct mbj_client_vanished {
	struct mbj_content content; /* as of the answer */
	struct mbj_bytes uids;	    /* ranges, as mbj_uids_get reads them */
	/*
	 * false: what went more than MBJ_VANISHED_REVS changes of the mailbox
	 * ago may be missing.  A client whose known UIDs are told is answered
	 * from what is there, and one who tells none what has no message.
	 */
	bool is_whole;
	struct mbj_buf bytes; /* what is borrowed */
};

/*
 * Returns: MBJ_ENOTFOUND, MBJ_EUNSUPPORTED (a service before version 6),
 * MBJ_ELIMIT (more than a million ranges: as if it were not whole).
 */
MBJ_API enum mbj_rc
mbj_client_vanished(struct mbj_client *client, struct mbj_id account,
		    struct mbj_id mailbox, uint64_t modseq,
		    struct mbj_client_vanished *ret_vanished,
		    struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_client_vanished_done(struct mbj_client_vanished *vanished);

/* What each mailbox of an account holds, at one instant. */
struct mbj_client_content {
	struct mbj_id mailbox;
	struct mbj_content content;
	uint8_t attr_kinds; /* bit 1 << enum mbj_attr_kind: it has some */
};

struct mbj_client_contents {
	struct mbj_account account;	     /* the name is left out */
	struct mbj_client_content *contents; /* by mailbox */
	size_t count;
};

/* Returns: MBJ_ENOTFOUND. */
MBJ_API enum mbj_rc mbj_client_contents(struct mbj_client *client,
					struct mbj_bytes account,
					struct mbj_client_contents *ret_list,
					struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_client_contents_done(struct mbj_client_contents *list);

/* -------------------------------------------------------------- surveys */

struct mbj_client_survey {
	struct mbj_survey_answer answer;
	struct mbj_buf bytes; /* what it borrows */
};

/* What an account's records sum to (mbj/survey.h), at one instant. */
enum mbj_rc mbj_client_survey(struct mbj_client *client,
			      const struct mbj_survey_question *question,
			      struct mbj_client_survey *ret_survey,
			      struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_client_survey_done(struct mbj_client_survey *survey);

/* --------------------------------------------------------------- history */

/*
 * mbj_store_chain (mbj/store.h), of the store that it took or the service's.
 * Returns: also MBJ_EUNSUPPORTED where the service speaks a version of the
 * protocol below 3.
 */
MBJ_API enum mbj_rc mbj_client_chain(struct mbj_client *client,
				     struct mbj_lsn lsn,
				     struct mbj_chain_at *ret_at,
				     struct mbj_error *err) MBJ_MUST_CHECK;

/* ---------------------------------------------------------------- status */

MBJ_API enum mbj_rc mbj_client_status(struct mbj_client *client,
				      struct mbj_client_status *ret_status,
				      struct mbj_error *err) MBJ_MUST_CHECK;

/* --------------------------------------------------------- keeping house */

/*
 * mbj_store_snapshot and mbj_store_trim (mbj/trim.h) and mbj_store_collect
 * (mbj/collect.h), of the store that it took or the service's, which others use
 * meanwhile.  Waits as long as it takes: no time-out.  Where the service goes
 * away the outcome is unknown, and asking again does no harm. Returns: also
 * MBJ_EFENCED where we are neither the service's user nor root.
 */
MBJ_API enum mbj_rc mbj_client_snapshot(struct mbj_client *client,
					struct mbj_snapshot_result *ret_result,
					struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API enum mbj_rc mbj_client_trim(struct mbj_client *client,
				    const struct mbj_trim_options *options,
				    struct mbj_trim_result *ret_result,
				    struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API enum mbj_rc mbj_client_collect(struct mbj_client *client,
				       bool is_dry_run,
				       struct mbj_collect_result *ret_result,
				       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Ask the service to stop in good order.  Returns: MBJ_EFENCED where we are
 * neither its user nor root, MBJ_EINVALID without a service.
 */
MBJ_API enum mbj_rc mbj_client_stop(struct mbj_client *client,
				    struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
