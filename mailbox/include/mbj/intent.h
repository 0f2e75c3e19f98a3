/*
 * Open intents: what a producer whose mail is in a storage of its own was
 * about to do, and has not yet told the outcome of.  One record for each, by
 * account and id; gone once the outcome is known, or a while after that: the
 * service that was told knows whether anything is in doubt (standing.h).
 *
 * They are in the account's digest (mbj/state.h inv 2): a copy that had lost
 * one would take for certain what is in doubt.
 *
 * Here is what was recorded, byte for byte.  What a body says is mbj/doubt.h's
 * word, which intents there may be the edit's (mbj/edit.h).
 *
 * Threads: as the transaction.
 */
#ifndef MBJ_INTENT_H
#define MBJ_INTENT_H

#include <mbj/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, word): what became of one; numbers are those of primitives.
 */
#define MBJ_INTENT_RESULT_MAP(X) \
	X(DONE, 1, "done")       \
	X(FAILED, 2, "failed")   \
	X(OTHER, 3, "other") /* neither: what came out is something else */

enum mbj_intent_result {
#define X(name, number, word) MBJ_INTENT_##name = (number),
	MBJ_INTENT_RESULT_MAP(X)
#undef X
};

/* NULL for another number. */
MBJ_API const char *mbj_intent_result_name(uint8_t result);

struct mbj_intent {
	struct mbj_id id;
	struct mbj_id account;
	struct mbj_lsn lsn;	   /* of the group that it came with */
	int64_t time;		   /* then, seconds since 1970 */
	struct mbj_bytes producer; /* who, 1 .. MBJ_ATTR_NAME_MAX bytes */
	struct mbj_bytes body;	   /* 1 .. MBJ_INTENT_SIZE_MAX bytes */
};

/* A miss is an answer.  Borrowed as of mbj_txn_*_get. */
enum mbj_rc mbj_txn_intent_seek(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_id id, struct mbj_intent *ret_intent,
				bool *ret_is_found,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* Requires: none of that id is open.  Returns: MBJ_ECONFLICT. */
enum mbj_rc mbj_txn_intent_open(struct mbj_txn *txn,
				const struct mbj_intent *intent,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* Requires: it is open.  Returns: MBJ_ECONFLICT. */
enum mbj_rc mbj_txn_intent_close(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_id id,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/* Those of an account, or of all (ROOT): by account and id. */
enum mbj_rc mbj_scan_intents(struct mbj_txn *txn, struct mbj_id account,
			     struct mbj_scan *ret_scan,
			     struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_scan_next_intent(struct mbj_scan *scan,
				 struct mbj_intent *ret_intent,
				 struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
