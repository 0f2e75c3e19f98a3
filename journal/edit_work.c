/*
 * What the resolvers of an edit share: names, wishes, refusals.
 *
 * Not here: the order of an edit's parts (edit.c), which is why none of them
 * needs to know edit.c.
 *
 * Threads: as the transaction.
 */
#include "edit_work.h"

#include <mbj/check.h>

#include "edit_text.h"

bool edit_is_inbox(const struct mbj_node *node)
{
	return node->parent == MBJ_NODE_ROOT &&
	       mbj_name_is_inbox(node->name.key);
}

enum mbj_rc edit_name_make(struct edit_work *work, struct mbj_bytes utf8,
			   bool is_top, const struct mbj_node *before,
			   struct mbj_name *ret_name, struct mbj_error *err)
{
	MBJ_ASSERT(ret_name != NULL);
	/* INBOX is one at the top alone, and has a key of its own there. */
	if (before != NULL && mbj_bytes_equal(before->name.stored, utf8) &&
	    (is_top ? before->parent == MBJ_NODE_ROOT
		    : !edit_is_inbox(before))) {
		*ret_name = before->name;
		return MBJ_OK;
	}
	return mbj_name_make(&work->account.policy, utf8, is_top,
			     work->context->arena, ret_name, err);
}

enum mbj_rc edit_wish_add(struct edit_work *work, uint32_t item,
			  bool is_subscribed, struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(item < work->draft.count);
	rc = mbj_array_reserve((void **)&work->wishes, &work->wish_capacity,
			       work->wish_count + 1, sizeof(*work->wishes),
			       EDIT_CHANGES_MAX, err);
	if (rc == MBJ_OK)
		work->wishes[work->wish_count++] =
			(struct edit_wish){item, is_subscribed};
	return rc;
}

enum mbj_rc edit_refuse_id(struct mbj_error *err, enum mbj_refusal refusal,
			   const char *kind, struct mbj_id id, const char *why)
{
	char text[MBJ_ID_TEXT_SIZE];

	MBJ_ASSERT(refusal != MBJ_REFUSAL_NONE);
	mbj_id_print(id, text);
	return mbj_error_refuse(err, refusal, kind, text, "mailbox %s %s", text,
				why);
}

enum mbj_rc edit_refuse_id_as(struct mbj_error *err, enum mbj_refusal refusal,
			      const char *kind, struct mbj_id id,
			      enum mbj_rc rc, const char *why)
{
	if (edit_refuse_id(err, refusal, kind, id, why) == MBJ_EINVALID)
		return edit_text_recode(err, rc);
	return rc;
}

enum mbj_rc edit_mailbox_find(struct edit_work *work, struct mbj_id id,
			      const char *kind, struct mbj_mailbox *ret_mailbox,
			      struct mbj_error *err)
{
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_mailbox_seek(work->context->txn, work->account.id, id,
				  ret_mailbox, &is_found, err);
	if (rc < 0 || is_found)
		return rc;
	return edit_refuse_id_as(err, MBJ_REFUSAL_NOT_FOUND, kind, id,
				 MBJ_ENOTFOUND, "does not exist");
}

enum mbj_rc edit_uidvalidity_tell(struct edit_work *work,
				  struct edit_item *item, uint32_t uidvalidity,
				  struct mbj_error *err)
{
	struct mbj_content content = {.message_count = 0};
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(uidvalidity != 0);
	/* One that is new has none. */
	if (item->uidvalidity != 0 && item->uidvalidity != uidvalidity)
		rc = mbj_txn_content_get(work->context->txn, work->account.id,
					 item->id, &content, err);
	if (rc < 0)
		return rc;
	if (content.message_count > 0)
		return edit_refuse_id_as(err, MBJ_REFUSAL_HAS_EMAIL,
					 "uidValidity", item->id, MBJ_ECONFLICT,
					 "has messages under another "
					 "UIDVALIDITY than it is given");
	item->is_uidvalidity_told = true;
	item->uidvalidity = uidvalidity;
	/* What this edit chooses itself is another one. */
	if (uidvalidity > work->uidvalidity_last)
		work->uidvalidity_last = uidvalidity;
	return MBJ_OK;
}

enum mbj_rc edit_inbox_check(const struct edit_work *work,
			     struct mbj_error *err)
{
	const struct edit_draft *draft = &work->draft;
	bool is_left = false, is_taken = false;

	for (uint32_t i = 0; i < draft->count; i++) {
		const struct edit_item *item = &draft->items[i];
		bool is_there = item->is_live && edit_draft_is_inbox(draft, i);

		is_taken = is_taken || (is_there && item->is_selectable);
		is_left = is_left ||
			  (i < draft->before_count && !is_there &&
			   edit_is_inbox(mbj_tree_get(draft->before, i)));
	}
	if (!is_left || is_taken)
		return MBJ_OK;
	return mbj_error_refuse(err, MBJ_REFUSAL_FORBIDDEN, "name", "INBOX",
				"INBOX gets another name, or goes, only where "
				"another mailbox becomes INBOX");
}
