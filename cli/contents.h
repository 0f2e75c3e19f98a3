/*
 * Looking at the contents of all messages of a store, one by one; or at all
 * that are there, whoever needs them, of a store that is not to be opened.
 */
#ifndef MBJ_CLI_CONTENTS_H
#define MBJ_CLI_CONTENTS_H

#include <mbj/blob.h>
#include <mbj/message.h>
#include <mbj/store.h>

struct contents {
	struct mbj_store *store; /* NULL: those that are there */
	struct mbj_txn *txn;
	struct mbj_blobs *blobs;
	struct mbj_scan scan;
	struct mbj_blobs_scan *files;
	uint64_t count; /* that were looked at */
	bool is_deep;
	bool is_reaped;
};

/*
 * That they are there, or, where is_deep, byte for byte.
 * Requires: store, which is in dir, outlives it; where it is NULL, is_deep.
 */
enum mbj_rc contents_begin(struct contents *c, struct mbj_store *store,
			   const char *dir, bool is_deep,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The next one that is not as it should be; whatever keeps it from being read
 * is a fault of that content.  Returns: MBJ_ENOTFOUND, there is none.
 */
enum mbj_rc contents_next_fault(struct contents *c, struct mbj_error *ret_why,
				struct mbj_error *err) MBJ_MUST_CHECK;
void contents_end(struct contents *c);

#endif
