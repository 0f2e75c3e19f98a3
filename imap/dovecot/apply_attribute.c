/*
 * Attributes of mailboxes, METADATA and access control lists, made the
 * account's.  See apply.h.
 *
 * All of them are read on both sides each time: neither Dovecot nor the plugin
 * acl has a number that shows whether somebody has changed them here.
 */
#include "apply.h"

#include "access.h"
#include "apply_history.h"

enum { RENAME_TRIES = 5 };

static int entry_set(struct mailbox_transaction_context *t,
		     const struct attribute *change)
{
	struct mail_attribute_value value;
	enum mail_attribute_type type;
	const char *key = attribute_key(change, &type);

	memset(&value, 0, sizeof(value));
	if (change->value.n > 0)
		value.value = t_strndup(change->value.p, change->value.n);
	if (key == NULL ||
	    (change->value.n > 0 && strlen(value.value) < change->value.n)) {
		mail_storage_set_error(t->box->storage, MAIL_ERROR_NOTPOSSIBLE,
				       "Dovecot cannot have it");
		return -1;
	}
	return mailbox_attribute_set(t, type, key, &value);
}

static void change_fail(struct apply *apply, struct mailbox *box,
			const struct attribute *change, const char *why)
{
	(void)apply_fail(apply, "mailbox %s: cannot %s %s %.*s: %s", box->vname,
			 change->value.n > 0 ? "set" : "remove",
			 change->kind == MBJ_ATTR_ACL ? "access of" : "entry",
			 (int)change->name.n, (const char *)change->name.p,
			 why);
}

/* Each by itself: one that Dovecot refuses keeps no other one from it. */
static void entry_apply(struct apply *apply, struct mailbox *box,
			const struct attribute *change)
{
	struct mailbox_transaction_context *t =
		mailbox_transaction_begin(box, 0, "mbj apply");

	if (entry_set(t, change) < 0) {
		change_fail(apply, box, change,
			    mailbox_get_last_internal_error(box, NULL));
		mailbox_transaction_rollback(&t);
	} else if (mailbox_transaction_commit(&t) < 0) {
		change_fail(apply, box, change,
			    mailbox_get_last_internal_error(box, NULL));
	}
}

/*
 * In their order, and after one that failed no more: what it was to forbid, or
 * whoever it names, would have what comes later.  Returns: -1, told.
 */
static int access_apply(struct apply *apply, struct mailbox *box,
			const ARRAY_TYPE(attribute) * changes)
{
	const struct attribute *change;
	const char *why;

	array_foreach(changes, change)
	{
		if (change->kind != MBJ_ATTR_ACL)
			continue;
		if (access_write(box, change, &why) < 0) {
			change_fail(apply, box, change, why);
			return -1;
		}
	}
	return 0;
}

static void entries_apply(struct apply *apply, struct mailbox *box,
			  const ARRAY_TYPE(attribute) * changes)
{
	const struct attribute *change;

	array_foreach(changes, change)
	{
		if (change->kind == MBJ_ATTR_ACL)
			continue;
		if (attribute_is_internal(change))
			e_warning(box->event,
				  "mbj: left out: entry %s is Dovecot's own, "
				  "of another host",
				  attribute_show(change->name));
		else
			entry_apply(apply, box, change);
	}
}

/* What this Dovecot cannot have at all is said, and is no failure. */
static void lacks_note(struct apply *apply, const struct attributes *here,
		       const struct attributes *there)
{
	const struct attribute *attribute;

	array_foreach(&there->list, attribute)
	{
		bool is_acl = attribute->kind == MBJ_ATTR_ACL;

		if (is_acl ? here->has_acl : here->has_entries)
			continue;
		if (is_acl)
			apply->lacks_acl = true;
		else
			apply->lacks_entries = true;
	}
}

/* Returns: 1, 0 that path is another one's by now, or nobody's, -1 told. */
static int wanted_read_at(struct apply *apply, struct mbj_id id,
			  const char *vname, struct mbj_bytes path,
			  struct attributes *ret_there)
{
	struct mbj_id found;
	struct mbj_error err;
	enum mbj_rc rc =
		attributes_fetch(apply->client, mbj_bytes_str(apply->name),
				 path, strcmp(vname, "INBOX") == 0, &found,
				 ret_there, &err);

	if (rc < 0 && err.refusal == MBJ_REFUSAL_NOT_FOUND)
		return 0;
	if (rc < 0)
		return apply_fail(apply, "attributes of mailbox %s: %s", vname,
				  err.message);
	return history_hold(apply) < 0 ? -1 : mbj_id_equal(found, id);
}

/* Its path by now.  Returns: 1, 0 it is gone, -1 told. */
static int path_find(struct apply *apply, struct mbj_id id, const char *vname,
		     struct mbj_buf *path)
{
	struct mbj_tree *tree = NULL;
	struct mbj_account account;
	struct mbj_error err;
	uint32_t node = MBJ_NODE_NONE;
	enum mbj_rc rc =
		mbj_client_tree(apply->client, mbj_bytes_str(apply->name),
				&account, &tree, &err);

	if (rc == MBJ_OK)
		node = mbj_tree_find(tree, id);
	mbj_buf_clear(path);
	if (node != MBJ_NODE_NONE)
		mbj_tree_path(tree, node, account.policy.delimiter, path);
	mbj_tree_free(&tree);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(path, &err);
	if (rc < 0)
		return apply_fail(apply, "where mailbox %s is by now: %s",
				  vname, err.message);
	return node != MBJ_NODE_NONE;
}

/*
 * What the account has, first under the name that the run began with: it may
 * have another one by now, which the next run brings.
 * Returns: 1, 0 it is gone, as after the next run, -1 told.
 */
static int wanted_read(struct apply *apply, uint32_t node, const char *vname,
		       struct attributes *ret_there)
{
	struct mbj_id id = mbj_tree_get(apply->wanted, node)->id;
	struct mbj_buf path;
	int ret, is_there = 1;

	mbj_buf_init(&path, MBJ_PATH_MAX * 2);
	mbj_tree_path(apply->told != NULL ? apply->told : apply->wanted, node,
		      apply->account.policy.delimiter, &path);
	ret = wanted_read_at(apply, id, vname, mbj_buf_view(&path), ret_there);
	for (int i = 0; ret == 0 && is_there > 0 && i < RENAME_TRIES; i++) {
		is_there = path_find(apply, id, vname, &path);
		if (is_there > 0)
			ret = wanted_read_at(apply, id, vname,
					     mbj_buf_view(&path), ret_there);
	}
	mbj_buf_done(&path);
	if (ret == 0 && is_there > 0)
		return apply_fail(apply,
				  "mailbox %s changes its name all the time",
				  vname);
	return is_there < 0 ? -1 : ret;
}

int apply_mailbox_attributes(struct apply *apply, uint32_t node,
			     ARRAY_TYPE(attribute) * ret_gives)
{
	const char *path = apply_path(apply, apply->wanted, node), *why;
	struct attributes here, there = {.has_acl = false}, meantime;
	ARRAY_TYPE(attribute) changes;
	struct mailbox *box;
	int ret = -1;

	if (wanted_read(apply, node, path, &there) <= 0)
		return -1;
	box = apply_box(apply, path);
	if (mailbox_open(box) < 0) {
		(void)apply_fail(apply, "cannot open mailbox %s: %s", path,
				 mailbox_get_last_internal_error(box, NULL));
	} else if (attributes_read(box, false, &here, &why) < 0) {
		(void)apply_fail(apply, "%s", why);
	} else {
		lacks_note(apply, &here, &there);
		attributes_meantime(&here, &there, &meantime);
		attributes_compare(&here, &meantime, &changes);
		attributes_compare(&meantime, &there, ret_gives);
		ret = access_apply(apply, box, &changes);
		entries_apply(apply, box, &changes);
	}
	mailbox_free(&box);
	return ret;
}

int apply_mailbox_gives(struct apply *apply, uint32_t node,
			const ARRAY_TYPE(attribute) * gives)
{
	struct mailbox *box;
	int ret;

	if (array_count(gives) == 0)
		return 0;
	box = apply_box(apply, apply_path(apply, apply->wanted, node));
	if (mailbox_open(box) < 0)
		ret = apply_fail(apply, "cannot open mailbox %s: %s",
				 box->vname,
				 mailbox_get_last_internal_error(box, NULL));
	else
		ret = access_apply(apply, box, gives);
	mailbox_free(&box);
	return ret;
}

/*
 * This Dovecot cannot have any of it, and the journal said when the run began
 * what it has: nothing is to be asked.  INBOX has the account's, too.
 */
static bool is_without(struct apply *apply, uint32_t node)
{
	const char *path = apply_path(apply, apply->wanted, node);
	const struct mbj_client_content *content =
		apply_content(apply, mbj_tree_get(apply->wanted, node)->id);
	struct mailbox *box;
	bool can_have;

	if (content == NULL || strcmp(path, "INBOX") == 0)
		return false;
	box = apply_box(apply, path);
	can_have = attributes_can_be(box);
	mailbox_free(&box);
	if (can_have)
		return false;
	if ((content->attr_kinds & 1U << MBJ_ATTR_ACL) != 0)
		apply->lacks_acl = true;
	if ((content->attr_kinds & 1U << MBJ_ATTR_METADATA) != 0)
		apply->lacks_entries = true;
	return true;
}

static enum apply_access node_apply(struct apply *apply, uint32_t node)
{
	ARRAY_TYPE(attribute) gives;

	if (is_without(apply, node))
		return APPLY_ACCESS_DONE;

	if (apply_mailbox_attributes(apply, node, &gives) < 0)
		return APPLY_ACCESS_SHUT;
	return array_count(&gives) > 0 ? APPLY_ACCESS_WAITS : APPLY_ACCESS_DONE;
}

void apply_attributes(struct apply *apply)
{
	uint32_t size = mbj_tree_size(apply->wanted);

	apply->access = p_new(apply->user->pool, uint8_t, size + 1);
	for (uint32_t i = 0; i < size; i++) {
		const struct mbj_node *node = mbj_tree_get(apply->wanted, i);

		if (node->is_live && node->is_selectable)
			T_BEGIN
			{
				apply->access[i] =
					(uint8_t)node_apply(apply, i);
			}
		T_END;
	}
	if (apply->lacks_entries)
		e_warning(apply->user->event,
			  "mbj: METADATA is left out: mail_attribute_dict is "
			  "not set");
	if (apply->lacks_acl)
		e_warning(apply->user->event,
			  "mbj: access control lists are left out: the plugin "
			  "acl is not loaded, or has no setting");
}
