/*
 * Who has which role.  See edit_roles.h.
 *
 * Threads: one at a time.
 */
#include "edit_roles.h"

#include <stdio.h>

#include <mbj/check.h>

#include "edit_judge.h"

/* A role of a later version has no rule here; it is left alone. */
static bool role_is_judged(uint8_t role)
{
	return role != MBJ_ROLE_NONE && role < EDIT_ROLE_COUNT;
}

/* The change gives a role, and stands so far. */
static bool role_is_given(const struct edit_work *work, uint32_t i)
{
	const struct mbj_change *change = &work->edit->changes[i];

	return change->kind != MBJ_CHANGE_DESTROY &&
	       (change->has & MBJ_CHANGE_HAS_ROLE) &&
	       role_is_judged(change->role) && !edit_result_is_refused(work, i);
}

static enum mbj_rc holders_read(struct edit_roles *roles,
				const struct edit_work *work,
				struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	struct mbj_scan scan = {0};
	enum mbj_rc rc;

	MBJ_ASSERT(roles->count == 0);
	rc = mbj_scan_mailboxes(work->view.txn, work->account.id, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_mailbox(&scan, &mailbox, err);
		if (rc < 0 || !role_is_judged(mailbox.role))
			continue;
		rc = mbj_array_reserve((void **)&roles->holders,
				       &roles->capacity, roles->count + 1,
				       sizeof(*roles->holders),
				       MBJ_ACCOUNT_MAILBOXES_MAX, err);
		if (rc == MBJ_OK)
			roles->holders[roles->count++] =
				(struct edit_role_holder){mailbox.id,
							  mailbox.role};
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc edit_roles_load(struct edit_roles *roles,
			    const struct edit_work *work, struct mbj_error *err)
{
	uint32_t count = (uint32_t)work->edit->change_count;

	for (uint32_t i = 0; i < count; i++)
		if (role_is_given(work, i))
			return holders_read(roles, work, err);
	return MBJ_OK;
}

void edit_roles_done(struct edit_roles *roles)
{
	mbj_free(roles->holders);
	*roles = (struct edit_roles){0};
}

/* Who of those before still has each role; ROOT where nobody does. */
static void holders_keep(const struct edit_roles *roles,
			 const struct edit_draft *draft,
			 struct mbj_id ret_kept[EDIT_ROLE_COUNT])
{
	for (size_t i = 0; i < EDIT_ROLE_COUNT; i++)
		ret_kept[i] = MBJ_ID_ROOT;
	for (size_t i = 0; i < roles->count; i++) {
		const struct edit_role_holder *holder = &roles->holders[i];
		uint32_t item = mbj_tree_find(draft->before, holder->id);

		MBJ_ASSERT(role_is_judged(holder->role));
		/* The edit never looked at it: it stays as it is. */
		if (item == MBJ_NODE_NONE ||
		    (draft->items[item].is_live &&
		     draft->items[item].role == holder->role))
			ret_kept[holder->role] = holder->id;
	}
}

/* One change against whoever came before it. */
static enum mbj_rc claim_judge(struct edit_work *work, uint32_t i,
			       struct mbj_id holders[EDIT_ROLE_COUNT],
			       bool *is_refused, struct mbj_error *err)
{
	const struct mbj_change *change = &work->edit->changes[i];
	struct mbj_id *holder = &holders[change->role];
	char text[MBJ_ID_TEXT_SIZE];

	if (mbj_id_is_root(*holder))
		*holder = change->id;
	if (mbj_id_equal(*holder, change->id))
		return MBJ_OK;
	*is_refused = true;
	mbj_id_print(*holder, text);
	return edit_result_set(work, i, MBJ_REFUSAL_INVALID_PROPERTIES, "role",
			       err, "mailbox %s has this role", text);
}

enum mbj_rc edit_roles_judge(const struct edit_roles *roles,
			     struct edit_work *work, bool *ret_is_refused,
			     struct mbj_error *err)
{
	static const enum mbj_change_kind kinds[] = {MBJ_CHANGE_CREATE,
						     MBJ_CHANGE_UPDATE};
	uint32_t count = (uint32_t)work->edit->change_count;
	struct mbj_id holders[EDIT_ROLE_COUNT];
	bool is_refused = false;

	holders_keep(roles, &work->draft, holders);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (uint32_t i = 0; i < count; i++) {
			enum mbj_rc rc;

			if (work->edit->changes[i].kind != kinds[k] ||
			    !role_is_given(work, i))
				continue;
			rc = claim_judge(work, i, holders, &is_refused, err);
			if (rc < 0)
				return rc;
		}
	}
	*ret_is_refused = is_refused;
	return MBJ_OK;
}

enum mbj_rc edit_roles_check(const struct edit_draft *draft,
			     struct mbj_error *err)
{
	struct mbj_id first[EDIT_ROLE_COUNT];
	char text[MBJ_ID_TEXT_SIZE], why[128];

	for (size_t i = 0; i < EDIT_ROLE_COUNT; i++)
		first[i] = MBJ_ID_ROOT;
	for (uint32_t i = 0; i < draft->count; i++) {
		const struct edit_item *item = &draft->items[i];

		if (!item->is_live || !role_is_judged(item->role))
			continue;
		if (mbj_id_is_root(first[item->role])) {
			first[item->role] = item->id;
			continue;
		}
		mbj_id_print(first[item->role], text);
		(void)snprintf(why, sizeof(why),
			       "cannot have the role \"%s\": mailbox %s has it",
			       mbj_role_name((enum mbj_role)item->role), text);
		return edit_refuse_id(err, MBJ_REFUSAL_INVALID_PROPERTIES,
				      "role", item->id, why);
	}
	return MBJ_OK;
}
