/*
 * METADATA: each step, in order, to a primitive on what the steps before left:
 * limits of the quota, entries of access control lists and of METADATA,
 * subscribed names.  What a name or a value may be is judged here: replicas
 * take what was recorded.
 *
 * Not here: whether messages fit into a quota (edit_message.c), subscriptions
 * that follow their mailboxes (edit_subscribe.c), roles (edit_roles.c).
 *
 * Invariants:
 *   1. a step that changes nothing emits nothing;
 *   2. names and rights are recorded in one form, so that equal ones are equal
 *      bytes.
 *
 * Threads: as the transaction.
 */
#include <string.h>

#include <mbj/attribute.h>
#include <mbj/check.h>

#include "edit_rights.h"
#include "edit_run.h"
#include "edit_text.h"
#include "edit_work.h"

static enum mbj_rc text_refuse(struct mbj_error *err, const char *kind,
			       struct mbj_bytes text, const char *why)
{
	struct edit_text raw, shown;

	return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES, kind,
				edit_text_raw(&raw, text), "the %s \"%s\" %s",
				kind, edit_text_show(&shown, text), why);
}

/* ---------------------------------------------------------------- quota */

static enum mbj_rc step_quota(struct edit_work *work,
			      const struct mbj_metadata_edit *step,
			      struct mbj_error *err)
{
	const unsigned all = MBJ_METADATA_HAS_MESSAGES | MBJ_METADATA_HAS_SIZE;
	struct mbj_op op = {.kind = MBJ_OP_ACCOUNT_SET};
	struct mbj_account account;
	enum mbj_rc rc;

	if ((step->has & ~all) != 0 || step->quota_messages > MBJ_QUOTA_MAX ||
	    step->quota_size > MBJ_QUOTA_MAX)
		return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
					"quota", NULL,
					"a limit of a quota is at most %llu",
					(unsigned long long)MBJ_QUOTA_MAX);
	rc = mbj_txn_account_get(work->context->txn, work->account.id, &account,
				 err);
	if (rc < 0)
		return rc;
	op.quota_messages = step->has & MBJ_METADATA_HAS_MESSAGES
				    ? step->quota_messages
				    : account.quota_messages;
	op.quota_size = step->has & MBJ_METADATA_HAS_SIZE ? step->quota_size
							  : account.quota_size;
	if (op.quota_messages == account.quota_messages &&
	    op.quota_size == account.quota_size)
		return MBJ_OK;
	return edit_emit_op(&work->emit, &op, err);
}

/* ----------------------------------------------------------- attributes */

/* One more entry is not too many; only a new one is counted. */
static enum mbj_rc attr_count_check(struct edit_work *work,
				    struct mbj_id mailbox,
				    struct mbj_error *err)
{
	bool is_account = mbj_id_is_root(mailbox);
	size_t most =
		is_account ? MBJ_ACCOUNT_ATTRS_MAX : MBJ_MAILBOX_ATTRS_MAX;
	struct mbj_scan scan = {0};
	struct mbj_attr attr;
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_scan_attrs(work->context->txn, work->account.id, mailbox,
			    MBJ_ATTR_ANY, &scan, err);
	while (rc == MBJ_OK && count < most) {
		rc = mbj_scan_next_attr(&scan, &attr, err);
		count += rc == MBJ_OK;
	}
	mbj_scan_done(&scan);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0)
		return rc;
	if (is_account)
		return edit_refuse_id_as(
			err, MBJ_REFUSAL_TOO_LARGE, "account", work->account.id,
			MBJ_ELIMIT,
			"has as many entries as an account may have");
	return edit_refuse_id_as(err, MBJ_REFUSAL_TOO_LARGE, "mailbox", mailbox,
				 MBJ_ELIMIT,
				 "has as many entries as a mailbox may have");
}

/* An empty value is no entry. */
static enum mbj_rc attr_emit(struct edit_work *work, struct mbj_op *op,
			     struct mbj_error *err)
{
	struct mbj_bytes before = {NULL, 0};
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_attr_seek(work->context->txn, work->account.id, op->id,
			       op->attr_kind, op->name, &before, &is_found,
			       err);
	if (rc < 0 || mbj_bytes_equal(before, op->value))
		return rc;
	if (!is_found)
		rc = attr_count_check(work, op->id, err);
	if (rc < 0)
		return rc;
	return edit_emit_op(&work->emit, op, err);
}

static enum mbj_rc mailbox_attr_set(struct edit_work *work, struct mbj_id id,
				    uint8_t kind, struct mbj_bytes name,
				    struct mbj_bytes value,
				    struct mbj_error *err)
{
	struct mbj_op op = {
		.kind = MBJ_OP_MAILBOX_SET_ATTR,
		.id = id,
		.attr_kind = kind,
		.name = name,
		.value = value,
	};
	struct mbj_mailbox mailbox;
	enum mbj_rc rc = edit_mailbox_find(work, id, "mailbox", &mailbox, err);

	if (rc < 0)
		return rc;
	op.rev = mailbox.rev;
	return attr_emit(work, &op, err);
}

/* ------------------------------------------------------------------ ACL */

static enum mbj_rc identifier_judge(struct mbj_bytes name,
				    struct mbj_error *err)
{
	const char *why = mbj_identifier_fault(name);

	return why == NULL ? MBJ_OK : text_refuse(err, "identifier", name, why);
}

/* What the mode makes of the rights that the identifier has. */
static enum mbj_rc rights_change(struct edit_work *work,
				 const struct mbj_metadata_edit *step,
				 uint32_t given, uint32_t *ret_rights,
				 struct mbj_error *err)
{
	struct mbj_bytes value = {NULL, 0};
	uint32_t before = 0;
	bool is_found;
	enum mbj_rc rc;

	rc = mbj_txn_attr_seek(work->context->txn, work->account.id,
			       step->mailbox, MBJ_ATTR_ACL, step->name, &value,
			       &is_found, err);
	if (rc < 0)
		return rc;
	/* Recorded by a later version, maybe. */
	if (!edit_rights_parse(value, &before))
		return text_refuse(err, "rights", value,
				   "that are there are more than this version "
				   "knows: give all of them anew");
	*ret_rights =
		step->mode == MBJ_RIGHTS_ADD ? before | given : before & ~given;
	return MBJ_OK;
}

static enum mbj_rc step_acl(struct edit_work *work,
			    const struct mbj_metadata_edit *step,
			    struct mbj_error *err)
{
	char text[EDIT_RIGHTS_SIZE] = "";
	uint32_t rights = 0;
	enum mbj_rc rc = identifier_judge(step->name, err);

	if (rc < 0)
		return rc;
	if (!step->is_removed && !edit_rights_parse(step->value, &rights))
		return text_refuse(err, "rights", step->value,
				   "are not all of lrswipkxtea, c, d and "
				   "digits");
	if (!step->is_removed && step->mode != MBJ_RIGHTS_REPLACE)
		rc = rights_change(work, step, rights, &rights, err);
	if (rc < 0)
		return rc;
	edit_rights_print(rights, text);
	return mailbox_attr_set(work, step->mailbox, MBJ_ATTR_ACL, step->name,
				mbj_bytes_str(text), err);
}

/* -------------------------------------------------------------- entries */

static uint8_t ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

static enum mbj_rc step_entry(struct edit_work *work,
			      const struct mbj_metadata_edit *step,
			      struct mbj_error *err)
{
	const char *why = mbj_entry_fault(step->name);
	struct mbj_bytes value = step->value;
	uint8_t *name;
	enum mbj_rc rc;

	if (why == NULL && !step->is_removed && value.n == 0)
		why = "cannot be empty: it is removed, or has a value";
	if (why != NULL)
		return text_refuse(err, "entry", step->name, why);
	if (step->is_removed)
		value.n = 0;
	rc = edit_value_check(step, err);
	if (rc < 0)
		return rc;
	name = mbj_arena_alloc(work->context->arena, step->name.n);
	if (name == NULL)
		return mbj_error_nomem(err);
	for (size_t i = 0; i < step->name.n; i++)
		name[i] = ascii_lower(step->name.p[i]);
	if (step->kind == MBJ_METADATA_ENTRY)
		return mailbox_attr_set(work, step->mailbox, MBJ_ATTR_METADATA,
					mbj_bytes_make(name, step->name.n),
					value, err);
	return attr_emit(work,
			 &(struct mbj_op){
				 .kind = MBJ_OP_ACCOUNT_SET_ATTR,
				 .id = MBJ_ID_ROOT,
				 .attr_kind = MBJ_ATTR_METADATA,
				 .name = mbj_bytes_make(name, step->name.n),
				 .value = value,
			 },
			 err);
}

/* -------------------------------------------------------- subscriptions */

/* A path as it is recorded: components joined by NUL. */
static enum mbj_rc path_make(struct edit_work *work, struct mbj_bytes text,
			     struct mbj_buf *stored, struct mbj_buf *key,
			     struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_name *names;
	struct edit_text raw;
	size_t count;
	enum mbj_rc rc;

	rc = mbj_path_split(&work->account.policy, text, work->context->arena,
			    &names, &count, &why);
	if (rc == MBJ_EINVALID)
		return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
					"path", edit_text_raw(&raw, text), "%s",
					why.message);
	if (rc < 0) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	for (size_t i = 0; i < count; i++) {
		if (i > 0) {
			mbj_buf_put_u8(stored, 0);
			mbj_buf_put_u8(key, 0);
		}
		mbj_buf_put_bytes(stored, names[i].stored);
		mbj_buf_put_bytes(key, names[i].key);
	}
	rc = mbj_buf_ok(stored, err);
	return rc == MBJ_OK ? mbj_buf_ok(key, err) : rc;
}

static enum mbj_rc subscribe(struct edit_work *work, struct mbj_op *op,
			     struct mbj_error *err)
{
	struct mbj_txn *txn = work->context->txn;
	bool is_wanted = op->kind == MBJ_OP_SUBSCRIBE;
	struct mbj_account account;
	bool is_there = false;
	enum mbj_rc rc;

	rc = mbj_txn_subscribed(txn, work->account.id, op->path.key, &is_there,
				err);
	if (rc < 0 || is_there == is_wanted)
		return rc;
	rc = mbj_txn_account_get(txn, work->account.id, &account, err);
	if (rc < 0)
		return rc;
	if (is_wanted &&
	    account.subscription_count >= MBJ_ACCOUNT_SUBSCRIPTIONS_MAX) {
		(void)mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, NULL, NULL,
				       "the account has %llu subscriptions: no "
				       "more names are subscribed",
				       (unsigned long long)
					       account.subscription_count);
		return edit_text_recode(err, MBJ_ELIMIT);
	}
	return edit_emit_op(&work->emit, op, err);
}

static enum mbj_rc step_subscription(struct edit_work *work,
				     const struct mbj_metadata_edit *step,
				     struct mbj_error *err)
{
	struct mbj_op op = {.kind = step->kind == MBJ_METADATA_SUBSCRIBE
					    ? MBJ_OP_SUBSCRIBE
					    : MBJ_OP_UNSUBSCRIBE};
	struct mbj_buf stored, key;
	enum mbj_rc rc;

	mbj_buf_init(&stored, MBJ_PATH_MAX);
	mbj_buf_init(&key, (size_t)3 * MBJ_PATH_MAX);
	rc = path_make(work, step->name, &stored, &key, err);
	op.path.stored = mbj_buf_view(&stored);
	op.path.key = mbj_buf_view(&key);
	if (rc == MBJ_OK)
		rc = subscribe(work, &op, err);
	mbj_buf_done(&stored);
	mbj_buf_done(&key);
	return rc;
}

/* ---------------------------------------------------------------- steps */

static enum mbj_rc step_run(struct edit_work *work,
			    const struct mbj_metadata_edit *step,
			    struct mbj_error *err)
{
	switch (step->kind) {
	case MBJ_METADATA_QUOTA:
		return step_quota(work, step, err);
	case MBJ_METADATA_ACL:
		if (step->mode > MBJ_RIGHTS_REMOVE)
			break;
		return step_acl(work, step, err);
	case MBJ_METADATA_ENTRY:
	case MBJ_METADATA_ACCOUNT_ENTRY:
		return step_entry(work, step, err);
	case MBJ_METADATA_SUBSCRIBE:
	case MBJ_METADATA_UNSUBSCRIBE:
		return step_subscription(work, step, err);
	default:
		break;
	}
	return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS, NULL, NULL,
				"a step of metadata is of an unknown kind");
}

enum mbj_rc edit_metadata_run(struct edit_work *work, struct mbj_error *err)
{
	const struct mbj_edit *edit = work->edit;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < edit->metadata_count; i++)
		rc = step_run(work, &edit->metadata[i], err);
	return rc;
}
