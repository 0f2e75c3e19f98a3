/*
 * Comparing two stores account by account: recorded digests, what the records
 * really sum to, and, where they differ, which mailboxes.
 *
 * Differences are pulled one by one: init, then _next until MBJ_ENOTFOUND,
 * then _done.  Both stores are read through snapshots.
 */
#ifndef MBJ_VERIFY_H
#define MBJ_VERIFY_H

#include <mbj/client.h>
#include <mbj/error.h>
#include <mbj/store.h>
#include <mbj/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, word) */
#define MBJ_DIFFERENCE_MAP(X)                                               \
	X(ACCOUNT_MISSING, "account-missing") /* only in the first */       \
	X(ACCOUNT_EXTRA, "account-extra")     /* only in the second */      \
	X(ACCOUNT_DAMAGED, "account-damaged") /* records deny the digest */ \
	X(ACCOUNT_DIFFERS, "account-differs") /* digest, nothing finer */   \
	X(ACCOUNT_PARKED, "account-parked")   /* in the second */           \
	X(ACCOUNT_SKIPPED, "account-skipped") /* it differs, knowingly */   \
	X(MAILBOX_MISSING, "mailbox-missing")                               \
	X(MAILBOX_EXTRA, "mailbox-extra")                                   \
	X(MAILBOX_DIFFERS, "mailbox-differs")                               \
	/* From here on of mbj_verify_far alone. */                         \
	X(ACCOUNT_BUSY, "account-busy") /* it never stood still */          \
	X(MESSAGE_MISSING, "message-missing")                               \
	X(MESSAGE_EXTRA, "message-extra")                                   \
	X(MESSAGE_DIFFERS, "message-differs")

enum mbj_difference_kind {
#define X(name, word) MBJ_DIFFERENCE_##name,
	MBJ_DIFFERENCE_MAP(X)
#undef X
};

MBJ_API const char *mbj_difference_name(enum mbj_difference_kind kind);

struct mbj_difference {
	enum mbj_difference_kind kind;
	struct mbj_id account;
	struct mbj_id mailbox;	  /* MAILBOX_*, MESSAGE_*, else ROOT */
	const char *account_name; /* escaped; borrowed until _next */
	const char *text;	  /* what differs, one line; likewise */
};

struct mbj_verify;

struct mbj_verify_totals {
	uint64_t accounts;
	uint64_t accounts_parked;
	uint64_t accounts_skipped; /* of which groups were given up */
	uint64_t differences;
	struct mbj_lsn first; /* watermarks of the two states */
	struct mbj_lsn second;
};

MBJ_API enum mbj_rc mbj_verify_begin(struct mbj_store *first,
				     struct mbj_store *second,
				     struct mbj_verify **ret_verify,
				     struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API enum mbj_rc mbj_verify_next(struct mbj_verify *verify,
				    struct mbj_difference *ret_difference,
				    struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_verify_totals_get(const struct mbj_verify *verify,
				   struct mbj_verify_totals *ret_totals);
MBJ_API void mbj_verify_end(struct mbj_verify **verify);

/*
 * A replica and its source on another host, while both are served and change:
 * the source through a stream (mbj/stream.h), the replica through its service,
 * or the store itself.  First is the source, second the replica.  Each side's
 * records are summed again and held against the digests that the journal
 * recorded, so that what happens meanwhile is no difference; an account that
 * cannot be pinned down within patience_ms is ACCOUNT_BUSY.  Nothing is
 * changed, in no register is the replica by it.
 */
struct mbj_verify_far;

struct mbj_verify_far_options {
	size_t size; /* sizeof(struct mbj_verify_far_options) */
	/* How much of the time may be spent with asking, 1 to 100 per cent. */
	uint32_t share;
	/* How long one account is tried, or waited for until the replica has
	 * what the source has of it. */
	uint32_t patience_ms;
};

#define MBJ_VERIFY_FAR_OPTIONS_INIT       \
	((struct mbj_verify_far_options){ \
		sizeof(struct mbj_verify_far_options), 50, 10000})

struct mbj_verify_far_totals {
	uint64_t accounts;
	uint64_t accounts_parked;
	uint64_t accounts_skipped;
	uint64_t accounts_busy;
	uint64_t differences;  /* those of all are among them */
	uint64_t records;      /* that were read, on both sides */
	struct mbj_lsn source; /* where they stood at the beginning */
	struct mbj_lsn replica;
};

/*
 * dir: the replica's.  Of stream the descriptors, stop_fd, timeout_ms, channel
 * and pin count.  replica, dir and what stream points to stay until _end.
 * Returns: MBJ_EFENCED (a fork, another store), MBJ_EUNSUPPORTED (the source is
 * too old), MBJ_ENOTFOUND (the replica has nothing, or is too far behind),
 * MBJ_EBUSY (paused, or the source is not served), MBJ_EIO (the connection
 * broke, or it was told to stop).
 */
MBJ_API enum mbj_rc
mbj_verify_far_begin(struct mbj_client *replica, const char *dir,
		     const struct mbj_stream_options *stream,
		     const struct mbj_verify_far_options *options,
		     struct mbj_verify_far **ret_verify,
		     struct mbj_error *err) MBJ_MUST_CHECK;
/* As mbj_verify_next. */
MBJ_API enum mbj_rc mbj_verify_far_next(struct mbj_verify_far *verify,
					struct mbj_difference *ret_difference,
					struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void
mbj_verify_far_totals_get(const struct mbj_verify_far *verify,
			  struct mbj_verify_far_totals *ret_totals);
MBJ_API void mbj_verify_far_end(struct mbj_verify_far **verify);

#ifdef __cplusplus
}
#endif

#endif
