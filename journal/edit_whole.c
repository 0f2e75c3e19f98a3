/*
 * RECONCILE and IMPORT: changes of kind CREATE are the whole wanted tree, all
 * or nothing.  Mailboxes that the list names by their id stay, whatever their
 * names and places were; the others of the account go; unknown ids are made,
 * with the id given.
 *
 * INBOX: where the list of a RECONCILE leaves it out, it stays; a list that
 * gives its place to another mailbox, or it another place, is refused unless
 * it has a stage: then it is the server's to say which mailbox is INBOX.  An
 * import without one gets one.
 *
 * Members not given: a mailbox that exists keeps what it has; a new one is
 * selectable, without a role and not subscribed.  An import keeps the
 * UIDVALIDITY that it is given, but never the same one for two mailboxes:
 * after a swap of their names a pair of name and UIDVALIDITY would mean other
 * messages (RFC 9051 section 2.3.1.1).  The first keeps it, the others get
 * fresh ones.
 *
 * Invariant: an item is live exactly where the list names it, or it is INBOX.
 *
 * Threads: as the transaction.
 */
#include <mbj/check.h>
#include <mbj/codec.h>

#include "edit_roles.h"
#include "edit_text.h"

struct whole_run {
	struct edit_work *work;
	const struct mbj_change *changes;
	uint32_t count;
	struct mbj_table by_id; /* items that are to be made */
	uint32_t *items;	/* [count] */
	uint32_t inbox;		/* item, or MBJ_NODE_NONE */
	bool is_import;
};

static enum mbj_rc whole_refuse(const struct whole_run *run, uint32_t i,
				enum mbj_refusal refusal, const char *kind,
				const char *why, struct mbj_error *err)
{
	return edit_refuse_id(err, refusal, kind, run->changes[i].id, why);
}

/* -------------------------------------------------------------- members */

static enum mbj_rc whole_judge_members(const struct whole_run *run, uint32_t i,
				       struct mbj_error *err)
{
	const struct mbj_change *change = &run->changes[i];

	if (change->kind != MBJ_CHANGE_CREATE)
		return whole_refuse(run, i, MBJ_REFUSAL_INVALID_ARGUMENTS, "id",
				    "is not given as one of a list", err);
	if (mbj_id_is_reserved(change->id))
		return whole_refuse(run, i, MBJ_REFUSAL_INVALID_PROPERTIES,
				    "id", "has a reserved id", err);
	if (!(change->has & MBJ_CHANGE_HAS_NAME))
		return whole_refuse(run, i, MBJ_REFUSAL_INVALID_PROPERTIES,
				    "name", "has no name", err);
	if ((change->has & MBJ_CHANGE_HAS_ROLE) &&
	    mbj_role_name((enum mbj_role)change->role) == NULL)
		return whole_refuse(run, i, MBJ_REFUSAL_INVALID_PROPERTIES,
				    "role", "has an unknown role", err);
	if ((change->has & MBJ_CHANGE_HAS_UIDVALIDITY) &&
	    (change->uidvalidity == 0 ||
	     (!run->is_import && !edit_has_storage(run->work->edit))))
		return whole_refuse(run, i, MBJ_REFUSAL_INVALID_PROPERTIES,
				    "uidValidity",
				    "is given a UIDVALIDITY, which only an "
				    "import, or a server with a storage of its "
				    "own, can do, and which is never 0",
				    err);
	return MBJ_OK;
}

/* An id that the account does not have: made, unless it is a deleted one. */
static enum mbj_rc whole_enter_new(struct whole_run *run, uint32_t i,
				   struct mbj_error *err)
{
	struct edit_work *work = run->work;
	struct mbj_id id = run->changes[i].id;
	struct mbj_name name = {{NULL, 0}, {NULL, 0}};
	bool is_dead = false;
	enum mbj_rc rc = MBJ_OK;

	if (!run->is_import)
		rc = edit_view_is_dead(&work->view, id, &is_dead, err);
	if (rc < 0)
		return rc;
	if (is_dead)
		return whole_refuse(run, i, MBJ_REFUSAL_INVALID_PROPERTIES,
				    "id",
				    "was deleted; its id is never used again",
				    err);
	rc = edit_draft_create(&work->draft, id, MBJ_NODE_ROOT, &name, i,
			       &run->items[i], err);
	if (rc < 0)
		return rc;
	return mbj_table_add(&run->by_id, edit_hash_id(work, id), run->items[i],
			     err);
}

/* The item of an id that the list has named so far, or MBJ_NODE_NONE. */
static uint32_t whole_find(const struct whole_run *run, struct mbj_id id)
{
	const struct edit_draft *draft = &run->work->draft;
	uint64_t hash = edit_hash_id(run->work, id);
	uint32_t at = mbj_table_seek(&run->by_id, hash);
	uint32_t item = mbj_tree_find(draft->before, id);

	if (item != MBJ_NODE_NONE)
		return draft->items[item].is_live ? item : MBJ_NODE_NONE;
	while (mbj_table_next(&run->by_id, hash, &at, &item))
		if (mbj_id_equal(draft->items[item].id, id))
			return item;
	return MBJ_NODE_NONE;
}

/* Every id of the list gets its item. */
static enum mbj_rc whole_enter(struct whole_run *run, struct mbj_error *err)
{
	struct edit_draft *draft = &run->work->draft;

	for (uint32_t i = 0; i < run->count; i++) {
		struct mbj_id id = run->changes[i].id;
		uint32_t item = mbj_tree_find(draft->before, id);
		enum mbj_rc rc;

		rc = whole_judge_members(run, i, err);
		if (rc < 0)
			return rc;
		if (whole_find(run, id) != MBJ_NODE_NONE &&
		    (item == MBJ_NODE_NONE ||
		     draft->items[item].change != MBJ_NODE_NONE))
			return whole_refuse(run, i,
					    MBJ_REFUSAL_INVALID_PROPERTIES,
					    "id", "is listed twice", err);
		run->items[i] = item;
		if (item == MBJ_NODE_NONE) {
			rc = whole_enter_new(run, i, err);
			if (rc < 0)
				return rc;
			continue;
		}
		draft->items[item].change = i;
		draft->items[item].is_live = true;
	}
	return MBJ_OK;
}

/* ---------------------------------------------------------------- places */

static enum mbj_rc whole_judge_name(struct whole_run *run, uint32_t i,
				    bool is_top, struct mbj_error *err)
{
	struct edit_draft *draft = &run->work->draft;
	uint32_t item = run->items[i];
	const struct mbj_node *before = NULL;
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc;

	if (item < draft->before_count)
		before = mbj_tree_get(draft->before, item);
	rc = edit_name_make(run->work, run->changes[i].name, is_top, before,
			    &draft->items[item].name, &why);
	if (rc == MBJ_OK)
		return rc;
	if (rc == MBJ_EINVALID) {
		char text[MBJ_ID_TEXT_SIZE];

		mbj_id_print(run->changes[i].id, text);
		return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
					"name", why.subject, "mailbox %s: %s",
					text, why.message);
	}
	if (err != NULL)
		*err = why;
	return rc;
}

/* INBOX's place belongs to INBOX, and INBOX to it. */
static enum mbj_rc whole_judge_inbox(const struct whole_run *run, uint32_t i,
				     struct mbj_error *err)
{
	const struct edit_draft *draft = &run->work->draft;
	const struct mbj_change *change = &run->changes[i];
	bool is_there = edit_draft_is_inbox(draft, run->items[i]);
	bool is_it = run->items[i] == run->inbox;

	if ((is_there || is_it) && (change->has & MBJ_CHANGE_HAS_SELECTABLE) &&
	    !change->is_selectable)
		return whole_refuse(run, i, MBJ_REFUSAL_FORBIDDEN,
				    "isSelectable",
				    "is INBOX, which is always selectable",
				    err);
	if (run->inbox == MBJ_NODE_NONE || is_there == is_it ||
	    edit_has_storage(run->work->edit))
		return MBJ_OK;
	if (is_it)
		return whole_refuse(run, i, MBJ_REFUSAL_FORBIDDEN, "id",
				    "is INBOX and cannot be renamed", err);
	return whole_refuse(run, i, MBJ_REFUSAL_FORBIDDEN, "id",
			    "is called INBOX, which is another mailbox here",
			    err);
}

static enum mbj_rc whole_place(struct whole_run *run, uint32_t i,
			       struct mbj_error *err)
{
	const struct mbj_change *change = &run->changes[i];
	struct edit_item *item = &run->work->draft.items[run->items[i]];
	uint32_t parent = MBJ_NODE_ROOT;
	enum mbj_rc rc;

	if ((change->has & MBJ_CHANGE_HAS_PARENT) &&
	    !mbj_id_is_root(change->parent))
		parent = whole_find(run, change->parent);
	if (parent == MBJ_NODE_NONE)
		return whole_refuse(run, i, MBJ_REFUSAL_INVALID_PROPERTIES,
				    "parentId",
				    "has a parent that is not in the list",
				    err);
	item->parent = parent;
	rc = whole_judge_name(run, i, parent == MBJ_NODE_ROOT, err);
	if (rc < 0)
		return rc;
	return whole_judge_inbox(run, i, err);
}

static enum mbj_rc whole_attributes(struct whole_run *run, uint32_t i,
				    struct mbj_error *err)
{
	const struct mbj_change *change = &run->changes[i];
	struct edit_item *item = &run->work->draft.items[run->items[i]];
	enum mbj_rc rc;

	if (change->has & MBJ_CHANGE_HAS_ROLE)
		item->role = change->role;
	if (change->has & MBJ_CHANGE_HAS_SELECTABLE)
		item->is_selectable = change->is_selectable;
	if (change->has & MBJ_CHANGE_HAS_UIDVALIDITY) {
		rc = edit_uidvalidity_tell(run->work, item, change->uidvalidity,
					   err);
		if (rc < 0)
			return rc;
	}
	if (!(change->has & MBJ_CHANGE_HAS_SUBSCRIBED))
		return MBJ_OK;
	return edit_wish_add(run->work, run->items[i], change->is_subscribed,
			     err);
}

/* ---------------------------------------------------------------- import */

static bool whole_has_role(const struct whole_run *run, enum mbj_role role)
{
	const struct edit_draft *draft = &run->work->draft;

	for (uint32_t i = 0; i < draft->count; i++)
		if (draft->items[i].is_live && draft->items[i].role == role)
			return true;
	return false;
}

static bool whole_has_inbox(const struct whole_run *run)
{
	const struct edit_draft *draft = &run->work->draft;

	for (uint32_t i = 0; i < draft->count; i++)
		if (draft->items[i].is_live &&
		    draft->items[i].parent == MBJ_NODE_ROOT &&
		    mbj_name_is_inbox(draft->items[i].name.key))
			return true;
	return false;
}

static enum mbj_rc import_inbox(struct whole_run *run, struct mbj_error *err)
{
	struct edit_work *work = run->work;
	struct mbj_name name;
	struct mbj_id id;
	uint32_t item;
	enum mbj_rc rc;

	if (whole_has_inbox(run))
		return MBJ_OK;
	rc = edit_name_make(work, mbj_bytes_str("INBOX"), true, NULL, &name,
			    err);
	if (rc == MBJ_OK)
		rc = mbj_id_generate(work->context->sys, &id, err);
	if (rc == MBJ_OK)
		rc = edit_draft_create(&work->draft, id, MBJ_NODE_ROOT, &name,
				       MBJ_NODE_NONE, &item, err);
	if (rc != MBJ_OK)
		return rc;
	/* A list may have given the role to another: then it stays there. */
	if (!whole_has_role(run, MBJ_ROLE_INBOX))
		work->draft.items[item].role = MBJ_ROLE_INBOX;
	work->outcome.inbox = id;
	return MBJ_OK;
}

/* The first of a value keeps it. */
static enum mbj_rc import_uidvalidity(struct whole_run *run,
				      struct mbj_error *err)
{
	struct edit_draft *draft = &run->work->draft;
	struct mbj_table seen;
	enum mbj_rc rc = MBJ_OK;

	mbj_table_init(&seen);
	for (uint32_t i = 0; rc == MBJ_OK && i < draft->count; i++) {
		struct edit_item *item = &draft->items[i];
		uint64_t hash = edit_hash_slot(run->work, item->uidvalidity,
					       (struct mbj_bytes){0});
		uint32_t at = mbj_table_seek(&seen, hash);
		uint32_t other;
		bool is_taken = !item->is_selectable;

		if (item->uidvalidity == 0)
			continue;
		while (!is_taken && mbj_table_next(&seen, hash, &at, &other))
			is_taken = draft->items[other].uidvalidity ==
				   item->uidvalidity;
		if (is_taken)
			item->uidvalidity = 0;
		else
			rc = mbj_table_add(&seen, hash, i, err);
	}
	mbj_table_done(&seen);
	return rc;
}

/* ---------------------------------------------------------------- limits */

static enum mbj_rc whole_check(struct whole_run *run, struct mbj_error *err)
{
	struct edit_draft *draft = &run->work->draft;
	uint32_t cycle;
	enum mbj_rc rc;

	rc = edit_draft_sort(draft, &cycle, err);
	if (rc < 0)
		return rc;
	if (cycle != MBJ_NODE_NONE)
		return edit_refuse_id(err, MBJ_REFUSAL_INVALID_PROPERTIES,
				      "parentId", draft->items[cycle].id,
				      "lies below itself");
	if (draft->order_count > MBJ_ACCOUNT_MAILBOXES_MAX)
		return mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, NULL, NULL,
					"an account holds at most %d mailboxes",
					(int)MBJ_ACCOUNT_MAILBOXES_MAX);
	for (uint32_t i = 0; i < draft->order_count; i++) {
		uint32_t item = draft->order[i];

		if (!edit_draft_is_placed(draft, item) ||
		    edit_draft_excess(draft, item) == EDIT_EXCESS_NONE)
			continue;
		return edit_refuse_id(
			err, MBJ_REFUSAL_INVALID_PROPERTIES, "id",
			draft->items[item].id,
			"is too deep, or its whole name too long");
	}
	return MBJ_OK;
}

/*
 * What the list leaves out goes, but mail only where that is said; what can be
 * selected no more has none.
 */
static enum mbj_rc whole_check_messages(const struct whole_run *run,
					struct mbj_error *err)
{
	const struct edit_work *work = run->work;
	const struct edit_draft *draft = &work->draft;

	for (uint32_t i = 0; i < draft->before_count; i++) {
		const struct edit_item *item = &draft->items[i];
		struct mbj_content content;
		enum mbj_rc rc;

		if (item->is_live ? item->is_selectable ||
					    !mbj_tree_get(draft->before, i)
						     ->is_selectable
				  : work->edit->is_emptying)
			continue;
		rc = mbj_txn_content_get(work->context->txn, work->account.id,
					 item->id, &content, err);
		if (rc < 0)
			return rc;
		if (content.message_count > 0)
			return edit_refuse_id(
				err, MBJ_REFUSAL_HAS_EMAIL, "id", item->id,
				item->is_live ? "has messages and is not to be "
						"selectable"
					      : "has messages and is not in "
						"the list");
	}
	return MBJ_OK;
}

static enum mbj_rc whole_begin(struct whole_run *run, struct mbj_error *err)
{
	struct edit_work *work = run->work;
	struct edit_draft *draft = &work->draft;
	struct mbj_name inbox;
	enum mbj_rc rc = MBJ_OK;

	if (run->is_import)
		work->view.is_whole = true; /* there is nothing to load */
	else
		rc = edit_view_whole(&work->view, err);
	if (rc == MBJ_OK)
		rc = edit_draft_init(draft, work->view.tree, err);
	if (rc == MBJ_OK)
		rc = edit_name_make(work, mbj_bytes_str("INBOX"), true, NULL,
				    &inbox, err);
	if (rc != MBJ_OK)
		return rc;
	run->inbox =
		mbj_tree_find_slot(draft->before, MBJ_NODE_ROOT, inbox.key);
	for (uint32_t i = 0; i < draft->count; i++)
		draft->items[i].is_live = i == run->inbox;
	return MBJ_OK;
}

/*
 * One that the list does not name leaves its place to one that it names; and
 * then nothing can be below it.
 */
static enum mbj_rc whole_inbox_yield(const struct whole_run *run,
				     struct mbj_error *err)
{
	const struct edit_draft *draft = &run->work->draft;

	if (run->inbox == MBJ_NODE_NONE ||
	    draft->items[run->inbox].change != MBJ_NODE_NONE)
		return MBJ_OK;
	for (uint32_t i = 0; i < draft->count; i++)
		if (i != run->inbox && draft->items[i].is_live &&
		    edit_draft_is_inbox(draft, i))
			draft->items[run->inbox].is_live = false;
	for (uint32_t i = 0;
	     i < run->count && !draft->items[run->inbox].is_live; i++)
		if (draft->items[run->items[i]].parent == run->inbox)
			return whole_refuse(run, i,
					    MBJ_REFUSAL_INVALID_PROPERTIES,
					    "parentId",
					    "is below INBOX, which "
					    "leaves its place to another",
					    err);
	return MBJ_OK;
}

static enum mbj_rc whole_resolve(struct whole_run *run, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = whole_begin(run, err);
	if (rc == MBJ_OK)
		rc = whole_enter(run, err);
	for (uint32_t i = 0; rc == MBJ_OK && i < run->count; i++) {
		rc = whole_place(run, i, err);
		if (rc == MBJ_OK)
			rc = whole_attributes(run, i, err);
	}
	if (rc == MBJ_OK)
		rc = whole_inbox_yield(run, err);
	if (rc == MBJ_OK)
		rc = edit_inbox_check(run->work, err);
	if (rc == MBJ_OK)
		rc = edit_roles_check(&run->work->draft, err);
	if (rc == MBJ_OK && run->is_import)
		rc = import_inbox(run, err);
	if (rc == MBJ_OK && run->is_import)
		rc = import_uidvalidity(run, err);
	if (rc == MBJ_OK)
		rc = whole_check(run, err);
	if (rc == MBJ_OK)
		rc = whole_check_messages(run, err);
	return rc;
}

enum mbj_rc edit_whole_resolve(struct edit_work *work, struct mbj_error *err)
{
	struct whole_run run = {
		.work = work,
		.changes = work->edit->changes,
		.count = (uint32_t)work->edit->change_count,
		.is_import = work->edit->kind == MBJ_EDIT_IMPORT,
	};
	enum mbj_rc rc;

	MBJ_ASSERT(work->edit->change_count <= EDIT_CHANGES_MAX);
	run.items = mbj_calloc((size_t)run.count + 1, sizeof(*run.items));
	if (run.items == NULL)
		rc = mbj_error_nomem(err);
	else
		rc = whole_resolve(&run, err);
	mbj_table_done(&run.by_id);
	mbj_free(run.items);
	return rc;
}
