/*
 * What the tests of stores share: a store in a directory of its own, edits of
 * it, and a system table that fails where it is told to.
 */
#ifndef TEST_JOURNAL_STORE_LAB_H
#define TEST_JOURNAL_STORE_LAB_H

#include <stdatomic.h>

#include <mbj/store.h>

#include "support.h"

/* Fails the test with the error's text; the call names its error "err". */
#define SITE_OK(call)                                             \
	do {                                                      \
		struct mbj_error err_ = {.rc = MBJ_OK};           \
		struct mbj_error *err = &err_;                    \
		enum mbj_rc rc_ = (call);                         \
		ck_assert_msg(rc_ == MBJ_OK, "%s: %s: %s", #call, \
			      mbj_rc_name(rc_), err->message);    \
	} while (0)

/* Must fail with this code; the message stays in error. */
#define SITE_FAILS(call, expected, error)                                     \
	do {                                                                  \
		struct mbj_error *err = (error);                              \
		enum mbj_rc rc_;                                              \
		memset(err, 0, sizeof(*err));                                 \
		rc_ = (call);                                                 \
		ck_assert_msg(rc_ == (expected), "%s: %s, not %s: %s", #call, \
			      mbj_rc_name(rc_), mbj_rc_name(expected),        \
			      err->message);                                  \
	} while (0)

/* Calls that a faulty system counts and may fail, one bit each. */
enum site_call {
	SITE_CALL_OPEN = 1 << 0,
	SITE_CALL_PREAD = 1 << 1,
	SITE_CALL_PWRITE = 1 << 2,
	SITE_CALL_SYNC = 1 << 3, /* fdatasync and fsync */
	SITE_CALL_RENAME = 1 << 4,
	SITE_CALL_UNLINK = 1 << 5,
	SITE_CALL_MKDIR = 1 << 6,
	SITE_CALL_CREATE = 1 << 7, /* open with O_CREAT */
	SITE_CALL_ALL = (1 << 8) - 1,
};

/* Any thread may call through it; the knobs are set while nobody does. */
struct site_sys {
	struct mbj_sys table;
	/* Set while somebody may call: a store's own threads do. */
	atomic_uint calls;	 /* which ones count */
	atomic_long fail_at;	 /* 0: never; from 1 */
	atomic_bool is_for_good; /* all later ones fail too */
	atomic_int errnum;
	atomic_size_t write_size_min; /* shorter writes do not count */
	atomic_long sync_us;	      /* what a sync takes longer, 0: nothing */
	atomic_long count;
	atomic_bool is_held; /* these calls wait as long as it is so */
};

void site_sys_init(struct site_sys *sys);
/* Fail the n-th of these calls from now on. */
void site_sys_arm(struct site_sys *sys, unsigned calls, long fail_at,
		  int errnum, bool is_for_good);

struct site {
	char *tmp;
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_store_options options;
	struct mbj_store *store;
};

/* Small caches and segments, so that tests are quick and roll over. */
struct mbj_store_options site_options(void);
/* A primary, made and open. */
void site_begin(struct site *site);
void site_begin_on(struct site *site, enum mbj_state_engine engine);
void site_end(struct site *site);
void site_reopen(struct site *site);
/* dir/a or dir/a/b, in a buffer of the caller's. */
void site_path(const struct site *site, const char *name,
	       char path[MBJ_PATH_TEXT_MAX]);

/* The id of the number-th mailbox of an account imported below. */
struct mbj_id site_mailbox(unsigned account, unsigned number);
/* An account "uN" with INBOX (number 1) and mailboxes m2..mCOUNT. */
void site_import(struct mbj_store *store, unsigned account, unsigned count);
/* An edit that renames by path, and what it borrows. */
struct site_rename {
	struct mbj_edit edit;
	struct mbj_rename rename;
	char account[16];
};

void site_rename_make(struct site_rename *ret, unsigned account,
		      const char *source, const char *target);
/* Rename by path; the outcome's LSN where wanted. */
enum mbj_rc site_rename(struct mbj_store *store, unsigned account,
			const char *source, const char *target,
			struct mbj_lsn *ret_lsn, struct mbj_error *err);
/* The stored name of a mailbox, whatever its parent. */
void site_name(struct mbj_store *store, unsigned account, unsigned number,
	       char text[MBJ_NAME_MAX + 1]);
/* So many threads, or more, wait for their turn or their batch. */
void site_await_waiting(struct mbj_store *store, size_t count);
/* Every account can be read and checked. */
bool site_is_sound(struct mbj_store *store);
/* Sum of all accounts' digests, after checking every account's records. */
struct mbj_digest site_digest(struct mbj_store *store);
/* The same where records may be damaged. */
enum mbj_rc site_digest_try(struct mbj_store *store,
			    struct mbj_digest *ret_digest,
			    struct mbj_error *err);
/* Another number for each of what is set aside, and from which group on. */
enum mbj_rc site_parked_sum(struct mbj_txn *txn, uint64_t *ret_sum,
			    struct mbj_error *err);
/*
 * In the state of a store, which is closed, a mailbox of u1 moved behind the
 * journal's back: what a bug would leave.
 */
void site_bend(const struct mbj_store_options *options, const char *dir,
	       struct mbj_id lineage, unsigned mailbox);

#endif
