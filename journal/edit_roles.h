/*
 * Roles in the tree after: at most one mailbox of an account has each (RFC
 * 8621 section 2).  Private to journal/edit*.
 *
 * Judged where an edit is made, never where a group is applied: what a primary
 * accepted must replicate.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_JOURNAL_EDIT_ROLES_H
#define MBJ_JOURNAL_EDIT_ROLES_H

#include "edit_work.h"

/* Roles are numbered densely, NONE among them. */
#define X(name, number, word) EDIT_ROLE_##name,
enum { MBJ_ROLE_MAP(X) EDIT_ROLE_COUNT };
#undef X

struct edit_role_holder {
	struct mbj_id id;
	uint8_t role;
};

/* Who has a role in the tree before. */
struct edit_roles {
	struct edit_role_holder *holders;
	size_t count;
	size_t capacity;
};

/*
 * Read all of them, where a change of the SET gives a role: one scan of the
 * account's mailboxes, which no other edit pays.  edit_roles_done accepts all
 * zero.
 */
enum mbj_rc edit_roles_load(struct edit_roles *roles,
			    const struct edit_work *work,
			    struct mbj_error *err) MBJ_MUST_CHECK;
void edit_roles_done(struct edit_roles *roles);

/*
 * SET: of several mailboxes with one role in the draft, those that had it
 * before stay, then the earliest change; the others are refused in
 * work->outcome.results, and stand in the draft still.
 */
enum mbj_rc edit_roles_judge(const struct edit_roles *roles,
			     struct edit_work *work, bool *ret_is_refused,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * A whole tree: refuse the second holder of a role.
 * Returns: MBJ_EINVALID, invalidProperties, naming the mailbox's id.
 */
enum mbj_rc edit_roles_check(const struct edit_draft *draft,
			     struct mbj_error *err) MBJ_MUST_CHECK;

#endif
