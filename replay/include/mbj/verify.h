/*
 * Comparing two stores account by account: recorded digests, what the records
 * really sum to, and, where they differ, which mailboxes.
 *
 * Differences are pulled one by one: init, then _next until MBJ_ENOTFOUND,
 * then _done.  Both stores are read through snapshots.
 */
#ifndef MBJ_VERIFY_H
#define MBJ_VERIFY_H

#include <mbj/error.h>
#include <mbj/store.h>

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
	X(MAILBOX_DIFFERS, "mailbox-differs")

enum mbj_difference_kind {
#define X(name, word) MBJ_DIFFERENCE_##name,
	MBJ_DIFFERENCE_MAP(X)
#undef X
};

MBJ_API const char *mbj_difference_name(enum mbj_difference_kind kind);

struct mbj_difference {
	enum mbj_difference_kind kind;
	struct mbj_id account;
	struct mbj_id mailbox;	  /* MAILBOX_*, else ROOT */
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

#ifdef __cplusplus
}
#endif

#endif
