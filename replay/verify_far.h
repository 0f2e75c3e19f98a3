/*
 * Comparing a replica with a source that is far from it, while both change:
 * what the files of it share.  Private to replay/.
 *
 * Method: a side's records of an account are summed in slices, each of one
 * snapshot, and all of them at one group of that account.  What they sum to is
 * proven by the journal, which both have: each group says what its accounts sum
 * to behind it.  So neither side has to wait for the other, and what happens
 * meanwhile is no difference.  Only to say what differs, both are asked for the
 * same ranges at the same group.
 *
 * Threads: one.
 */
#ifndef MBJ_VERIFY_FAR_H
#define MBJ_VERIFY_FAR_H

#include <mbj/client.h>

#include "source_stream.h"
#include "verify_priv.h"

enum far_side { FAR_SOURCE = 0, FAR_REPLICA = 1, FAR_SIDES = 2 };

/* The last answer of a side, and what it borrows. */
struct far_answer {
	struct mbj_survey_answer a;
	struct mbj_buf bytes;
};

/* Accounts of a side, in order of ids, a page at a time. */
struct far_page {
	struct mbj_buf ids;
	size_t at; /* bytes of ids that were taken */
	struct mbj_id behind;
	bool is_last;
};

struct mbj_verify_far {
	struct mbj_client *replica;
	const char *dir; /* the replica's */
	struct source_stream source;
	struct far_answer answers[FAR_SIDES];
	struct far_page pages[FAR_SIDES];
	struct verify_list list;
	size_t next; /* in list */
	struct mbj_id account;
	struct mbj_buf account_name; /* escaped, NUL-terminated */
	uint32_t share;
	uint32_t patience_ms;
	int64_t until_ms; /* that the account at hand has */
	int64_t heard_ms; /* the source was asked last */
	uint64_t owed;	  /* rest, in ms * share */
	struct mbj_verify_far_totals totals;
};

/* What one side's records of an account came to. */
struct far_pass {
	bool is_there;
	bool is_parked;
	bool is_skipped;
	bool is_moving;	 /* it changed while it was read, each time */
	bool is_damaged; /* why says so */
	struct mbj_lsn lsn;
	struct mbj_lsn at; /* of the snapshot that was read last */
	struct mbj_digest digest;
	struct mbj_digest records;
	struct mbj_digest messages;
	struct mbj_digest contents;
	struct mbj_error why;
};

/* -------------------------------------------------- verify_far_ask.c */

const char *far_word(enum far_side side);
/* Say hello, and judge who the source is. */
enum mbj_rc far_meet(struct mbj_verify_far *v,
		     const struct mbj_stream_options *options,
		     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Ask a side; the answer is v->answers[side], until it is asked again.  Rests
 * as v->share says.  What damage a side finds is MBJ_ECORRUPT, with
 * far_is_damage.
 */
enum mbj_rc far_ask(struct mbj_verify_far *v, enum far_side side,
		    const struct mbj_survey_question *question,
		    struct mbj_error *err) MBJ_MUST_CHECK;
bool far_is_damage(const struct mbj_verify_far *v, enum mbj_rc rc);
/* A while; *ret_is_over: the account at hand has no more time. */
enum mbj_rc far_wait(struct mbj_verify_far *v, bool *ret_is_over,
		     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * What the replica's journal says that the account sums to behind a group.
 * *ret_is_known: it has that group, and the group names the account.
 */
enum mbj_rc far_recorded(struct mbj_verify_far *v, struct mbj_lsn lsn,
			 struct mbj_digest *ret_digest, bool *ret_is_known,
			 struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------- verify_far_pass.c */

/* Sum one side's records of the account at hand. */
enum mbj_rc far_pass_run(struct mbj_verify_far *v, enum far_side side,
			 struct far_pass *ret_pass,
			 struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------- verify_far_name.c */

/* Find what differs in the account at hand, and list it. */
enum mbj_rc far_name(struct mbj_verify_far *v,
		     struct mbj_error *err) MBJ_MUST_CHECK;

#endif
