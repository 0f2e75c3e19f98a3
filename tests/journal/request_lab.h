/*
 * What the tests of requests share: edits with ids, of a store with accounts,
 * and whole outcomes compared.
 */
#ifndef TEST_JOURNAL_REQUEST_LAB_H
#define TEST_JOURNAL_REQUEST_LAB_H

#include "store_lab.h"

enum { ASK_ACCOUNTS = 9, ASK_MAILBOXES = 4 };

/* The store of the test that runs: a test is a process of its own. */
extern struct site ask_site;

/* "u0" to "u8", with INBOX and m2 to m4. */
void ask_site_begin(void);
void ask_site_end(void);
uint64_t ask_journal_end(void);

/* An edit and all that it borrows. */
struct ask {
	struct mbj_edit edit;
	struct mbj_message_edit steps[4];
	struct mbj_change changes[3];
	struct mbj_rename rename;
	struct mbj_buf uids;
	char account[16];
};

/* request 0: no id.  Ownership: the caller calls ask_done. */
void ask_begin(struct ask *ask, enum mbj_edit_kind kind, unsigned account,
	       unsigned request);
void ask_done(struct ask *ask);
/* A message into INBOX, dated now. */
void ask_append(struct ask *ask, unsigned account, unsigned request);
/* Two appends, a copy that finds them both, flags. */
void ask_messages(struct ask *ask, unsigned account, unsigned request);
/* Three creates, of which one is done. */
void ask_set(struct ask *ask, unsigned account, unsigned request);
void ask_rename(struct ask *ask, unsigned account, unsigned request,
		enum mbj_edit_kind kind, const char *source,
		const char *target);
enum mbj_rc ask_try(const struct ask *ask, struct mbj_outcome *ret_outcome,
		    struct mbj_error *err);
/* Nothing is written, and the answer is the first one. */
void ask_again(const struct ask *ask, const struct mbj_outcome *first);
/* It is carried out: one group. */
void ask_first(const struct ask *ask, struct mbj_outcome *ret_outcome);
void ask_pass(const struct ask *ask);

#endif
