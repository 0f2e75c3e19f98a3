/*
 * What the verbs that change an account have in common while they run: the
 * store, the edit, its outcome, what is read and what is printed.
 */
#ifndef MBJ_CLI_SESSION_H
#define MBJ_CLI_SESSION_H

#include <mbj/open.h>

#include "cli.h"
#include "durability.h"

struct mbj_jmap_set;

struct session {
	const struct cli_call *call;
	struct mbj_client *client; /* the store's, whoever owns it */
	struct mbj_store *store;   /* where the verb needs it for itself */
	struct mbj_edit edit;
	struct mbj_outcome outcome;
	struct mbj_error err;
	struct durability durability;
	const struct mbj_jmap_set *set; /* whose refusals a plan shows */
	bool is_unreceived; /* that was asked for, and did not come to be */
	struct mbj_buf input;
	struct mbj_buf out;
};

/* The account is the second operand. */
void session_init(struct session *s, const struct cli_call *call);
enum mbj_rc session_open(struct session *s) MBJ_MUST_CHECK;
/* The edit's request id, where one was given; session_open sees to it. */
enum mbj_rc session_request(struct session *s) MBJ_MUST_CHECK;
/* In this process: MBJ_EBUSY where a service, or anybody, has the store. */
enum mbj_rc session_open_store(struct session *s) MBJ_MUST_CHECK;
/* The account as it stands, for its policy and its id. */
enum mbj_rc session_account(struct session *s,
			    struct mbj_name_policy *ret_policy,
			    struct mbj_id *ret_id) MBJ_MUST_CHECK;
/* An operand as UTF-8: it is that already, or modified UTF-7. */
enum mbj_rc session_path(struct session *s, const char *path,
			 struct mbj_buf *ret_utf8) MBJ_MUST_CHECK;
/* What an account's names are to be like, as options say; CLI_OK or CLI_USAGE.
 */
int session_policy(const struct cli_call *call, struct mbj_name_policy *policy);
/* Of an account that is there they are what they are.  Returns: MBJ_EINVALID.
 */
enum mbj_rc
session_policy_take(struct session *s,
		    const struct mbj_account *account) MBJ_MUST_CHECK;
/*
 * The mailbox at a path of the account, as options say it is written; uids is
 * the set of UIDs that it is for, or NULL.
 */
enum mbj_rc session_mailbox(struct session *s, const char *path,
			    const char *uids,
			    struct mbj_place *ret_place) MBJ_MUST_CHECK;
/*
 * A set of UIDs as IMAP writes it, of the mailbox: * is the last that there is
 * (RFC 9051: the largest number in use), which costs a walk through them.
 */
enum mbj_rc session_uids(struct session *s, const char *text,
			 const struct mbj_place *place,
			 struct mbj_buf *ret_uids) MBJ_MUST_CHECK;
/*
 * The edit from Mailbox/set arguments on standard input, or from operands
 * SOURCE>TARGET from the third on; the store is opened for the former.
 * Ownership: the caller frees the set, or the arena, once the edit is done.
 */
enum mbj_rc session_set(struct session *s, struct mbj_jmap_set **set,
			struct mbj_id *ret_account) MBJ_MUST_CHECK;
enum mbj_rc session_renames(struct session *s,
			    struct mbj_arena **ret_arena) MBJ_MUST_CHECK;
/*
 * Carry it out, and wait for as many replicas as are asked for: where that does
 * not come to be it is done all the same, and that is said.
 */
enum mbj_rc session_submit(struct session *s) MBJ_MUST_CHECK;
/* Its last step appends that body, which is gone, whatever is returned. */
enum mbj_rc session_submit_body(struct session *s,
				struct mbj_body_writer **body) MBJ_MUST_CHECK;
/* What a dry run would journal; what was: the group, a line or an object. */
enum mbj_rc session_put_plan(struct session *s) MBJ_MUST_CHECK;
enum mbj_rc session_put_group(struct session *s) MBJ_MUST_CHECK;
/*
 * Submit what has no tree, and print what became of it: the group, or, of a dry
 * run, its primitives.
 */
enum mbj_rc session_run(struct session *s) MBJ_MUST_CHECK;
/* Print or complain, free everything, return the exit status. */
int session_end(struct session *s, enum mbj_rc rc);

#endif
