/*
 * What is done around a change of a mailbox's attributes, METADATA and access
 * control list: an intent in the journal before, and after it what Dovecot has.
 *
 * METADATA is set in a transaction, and announced when that is committed; an
 * access control list is written at once, by the plugin acl.  The outcome is
 * read from Dovecot, all of the mailbox's attributes: so what was there before
 * this plugin was comes in with the first change, and an intent that was left
 * open is settled in the same way.
 */
#include "access.h"
#include "mirror.h"
#include "turn.h"

#include <acl-api-private.h>

/* A mailbox in Dovecot and in the journal, and what is different. */
struct comparison {
	struct mbj_id mailbox; /* the journal's */
	struct mbj_id guid;    /* Dovecot's */
	uint64_t modseq;       /* likewise */
	ARRAY_TYPE(metadata_edit) steps;
};

/* --------------------------------------------------------------- telling */

static int box_compare(struct turn *turn, struct mailbox *box,
		       struct comparison *ret_comparison)
{
	struct attributes here, there;
	ARRAY_TYPE(attribute) changes;
	const struct attribute *change;

	if (attributes_read(box, true, &here, &turn->why) < 0 ||
	    attributes_fetch(turn->account->client,
			     mbj_bytes_str(turn->account->name),
			     mbj_bytes_str(box->vname), box->inbox_user,
			     &ret_comparison->mailbox, &there, &turn->err) < 0)
		return -1;
	attributes_compare(&there, &here, &changes);
	t_array_init(&ret_comparison->steps, 16);
	array_foreach(&changes, change)
	{
		struct mbj_metadata_edit step =
			attribute_step(change, ret_comparison->mailbox);

		array_push_back(&ret_comparison->steps, &step);
	}
	return 0;
}

/* Through a mailbox that is opened once more.  -1 with why or err. */
static int spot_compare(struct turn *turn, struct spot at,
			struct comparison *ret_comparison)
{
	struct mirror mirror = {.err = &turn->err};
	int ret;

	turn->why = NULL;
	ret = mirror_open(&mirror, at.list, at.vname, true);
	i_assert(ret <= 0);
	if (ret < 0)
		turn->why = mirror.why;
	ret_comparison->guid = mirror.guid;
	ret_comparison->modseq = mirror.status.highest_modseq;
	if (ret == 0)
		ret = box_compare(turn, mirror.box, ret_comparison);
	mirror_close(&mirror);
	return ret;
}

/*
 * Dovecot's HIGHESTMODSEQ has risen with it: what changes later at a replica
 * must be above it.
 */
static int modseq_tell(struct turn *turn, struct spot at, uint64_t modseq)
{
	struct content content;
	enum mbj_rc rc;

	content_init(&content, turn->account);
	rc = content_look(&content, mbj_bytes_str(at.vname), &turn->err);
	content.modseq = modseq;
	if (rc == MBJ_OK)
		rc = content_touch(&content, &turn->err);
	if (rc == MBJ_OK)
		rc = content_tell(&content, &turn->err);
	content_done(&content);
	return rc < 0 ? -1 : 0;
}

static struct mbj_edit comparison_edit(const struct turn *turn,
				       const struct comparison *comparison)
{
	unsigned int count;
	const struct mbj_metadata_edit *steps =
		array_get(&comparison->steps, &count);

	return account_metadata(turn->account, steps, count);
}

/*
 * The intent's outcome is what Dovecot has; is_in_transaction: HIGHESTMODSEQ is
 * about to rise.  -1 with why or err.
 */
static int outcome_tell(struct turn *turn, struct spot at,
			struct mbj_id mailbox, bool is_in_transaction)
{
	struct comparison found;
	struct mbj_edit edit;

	if (spot_compare(turn, at, &found) < 0)
		return -1;
	if (!mbj_id_equal(found.mailbox, mailbox) ||
	    !mbj_id_equal(found.guid, mailbox)) {
		turn->why = t_strdup_printf("%s is another mailbox by now",
					    at.vname);
		return -1;
	}
	if (modseq_tell(turn, at, found.modseq + is_in_transaction) < 0)
		return -1;
	edit = comparison_edit(turn, &found);
	return (edit.metadata_count > 0
			? account_done_tell(turn->account, &edit, &turn->err)
			: account_failed_tell(turn->account, &turn->err)) < 0
		       ? -1
		       : 0;
}

/* -------------------------------------------------------------- settling */

/* Without an intent: what was set without this plugin. */
static int spot_tell(struct turn *turn, struct spot at)
{
	struct comparison found;
	struct mbj_edit edit;

	if (spot_compare(turn, at, &found) < 0)
		return -1;
	edit = comparison_edit(turn, &found);
	if (edit.metadata_count == 0)
		return 0;
	return account_tell(turn->account, &edit, &turn->err) < 0 ? -1 : 0;
}

int turn_compare_attributes(struct turn *turn)
{
	return spot_tell(turn, turn->at);
}

int turn_settle_server(struct turn *turn)
{
	struct spot inbox = {turn->capture->inbox->list, "INBOX"};
	struct account_folder folder;
	enum folder_kind kind;

	if (folder_look(inbox.list, inbox.vname, &kind, &folder, &turn->why) <
	    0)
		return -1;
	return kind == FOLDER_MAILBOX ? spot_tell(turn, inbox) : 0;
}

static int doubt_settle(struct turn *turn, const struct account_doubt *doubt)
{
	struct account_folder folder;
	enum folder_kind kind;
	struct spot at;

	turn->account->intent = doubt->intent;
	if (turn_find(turn, doubt->mailbox, &at)) {
		if (folder_look(at.list, at.vname, &kind, &folder, &turn->why) <
		    0)
			return -1;
		if (kind == FOLDER_MAILBOX &&
		    mbj_id_equal(folder.id, doubt->mailbox))
			return outcome_tell(turn, at, doubt->mailbox, false);
		/* It is elsewhere, or went: the tree is made Dovecot's. */
		turn->why = NULL;
		if (turn_refresh(turn) < 0)
			return -1;
		turn->account->intent = doubt->intent;
		if (turn_find(turn, doubt->mailbox, &at))
			return outcome_tell(turn, at, doubt->mailbox, false);
	}
	return account_failed_tell(turn->account, &turn->err) < 0 ? -1 : 0;
}

void turn_settle_attributes(struct turn *turn)
{
	struct account *account = turn->account;
	size_t count = account->attribute_doubt_count;
	struct account_doubt *left;
	enum account_need need;

	if (count == 0)
		return;
	/* Looking at the account again forgets them. */
	left = p_memdup(pool_datastack_create(), account->attribute_doubts,
			count * sizeof(*left));
	if (account->tree == NULL &&
	    account_enter(account, &need, &turn->err) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (doubt_settle(turn, &left[i]) < 0)
			e_error(turn->box->event,
				"mbj: what became of attributes is not told "
				"yet: %s",
				turn->why != NULL ? turn->why
						  : turn->err.message);
	turn->why = NULL;
	account->attribute_doubt_count = 0;
	account->intent = MBJ_ID_ROOT;
}

/* ------------------------------------------------------------- around it */

/* Announce.  Returns: -1, told to the client. */
static int steps_announce(struct turn *turn, ARRAY_TYPE(metadata_edit) * steps,
			  struct mbj_id *ret_mailbox)
{
	struct mbj_metadata_edit *list, *step;
	struct account_folder folder;
	enum folder_kind kind;
	struct mbj_edit edit;
	unsigned int count;
	uint32_t node;

	if (folder_look(turn->at.list, turn->at.vname, &kind, &folder,
			&turn->why) < 0)
		return turn_refuse(turn);
	if (kind != FOLDER_MAILBOX)
		return turn_refuse_text(turn, "It is no mailbox that the "
					      "journal has");
	if (turn_node(turn, kind, &folder, &node) < 0)
		return -1;
	*ret_mailbox = folder.id;
	array_foreach_modifiable(steps, step) step->mailbox =
		step->kind == MBJ_METADATA_ACCOUNT_ENTRY ? MBJ_ID_ROOT
							 : folder.id;
	list = array_get_modifiable(steps, &count);
	edit = account_metadata(turn->account, list, count);
	if (account_intent(turn->account, &edit, &turn->err) < 0)
		return turn_refuse(turn);
	return 0;
}

/* After.  Where it fails the intent stays open, for the next turn. */
static void steps_tell(struct turn *turn, struct mbj_id mailbox,
		       bool is_in_transaction, int ret)
{
	if (ret < 0)
		mail_storage_last_error_push(turn->box->storage);
	if (outcome_tell(turn, turn->at, mailbox, is_in_transaction) < 0)
		e_error(turn->box->event,
			"mbj: what became of attributes of %s is not told yet: "
			"%s",
			turn->at.vname,
			turn->why != NULL ? turn->why : turn->err.message);
	turn->why = NULL;
	if (ret < 0)
		mail_storage_last_error_pop(turn->box->storage);
}

/* -------------------------------------------------------------- METADATA */

static void steps_forget(struct mailbox_transaction_context *t)
{
	struct capture_transaction *mine = capture_transaction_of(t);

	if (mine == NULL)
		return;
	capture_transaction_set(t, NULL);
	pool_unref(&mine->pool);
}

static void step_note(struct mailbox_transaction_context *t,
		      const struct attribute *attribute, const char *value)
{
	struct capture_transaction *mine = capture_transaction_of(t);
	struct mbj_metadata_edit step = attribute_step(attribute, MBJ_ID_ROOT);

	if (mine == NULL) {
		pool_t pool = pool_alloconly_create("mbj attributes", 1024);

		mine = p_new(pool, struct capture_transaction, 1);
		mine->pool = pool;
		p_array_init(&mine->steps, pool, 4);
		capture_transaction_set(t, mine);
	}
	step.name = mbj_bytes_str(
		p_strdup(mine->pool, t_strndup(step.name.p, step.name.n)));
	step.is_removed = value == NULL;
	step.value =
		mbj_bytes_str(value == NULL ? "" : p_strdup(mine->pool, value));
	array_push_back(&mine->steps, &step);
}

static int capture_attribute_set(struct mailbox_transaction_context *t,
				 enum mail_attribute_type type, const char *key,
				 const struct mail_attribute_value *value)
{
	struct mailbox *box = t->box;
	struct mailbox_vfuncs *super = &capture_box_of(box)->module_ctx.super;
	struct mail_attribute_value given = *value;
	struct attribute attribute;

	/* What goes with its mailbox is told as that. */
	if (box->deleting || turn_passes_messages(box) ||
	    !attribute_name(box, type, key, &attribute))
		return super->attribute_set(t, type, key, value);
	given.value_stream = NULL;
	if (mailbox_attribute_value_to_string(box->storage, value,
					      &given.value) < 0 ||
	    super->attribute_set(t, type, key, &given) < 0)
		return -1;
	step_note(t, &attribute, given.value);
	return 0;
}

static int attributes_refuse(struct mailbox_transaction_context *t)
{
	struct mailbox *box = t->box;

	steps_forget(t);
	mail_storage_last_error_push(box->storage);
	capture_box_of(box)->module_ctx.super.transaction_rollback(t);
	mail_storage_last_error_pop(box->storage);
	return -1;
}

static int
capture_transaction_commit(struct mailbox_transaction_context *t,
			   struct mail_transaction_commit_changes *changes)
{
	struct capture_transaction *mine = capture_transaction_of(t);
	struct mailbox *box = t->box;
	struct mbj_id mailbox;
	struct turn turn;
	int ret;

	/* Within a turn: told with the mailbox's next change of these. */
	if (mine == NULL || turn_passes(box)) {
		steps_forget(t);
		return capture_messages_commit(t, changes);
	}
	if (turn_begin(&turn, box) < 0)
		return attributes_refuse(t);
	if (steps_announce(&turn, &mine->steps, &mailbox) < 0) {
		turn_end(&turn);
		return attributes_refuse(t);
	}
	steps_forget(t);
	ret = capture_messages_commit(t, changes);
	steps_tell(&turn, mailbox, false, ret);
	turn_end(&turn);
	return ret;
}

static void capture_transaction_rollback(struct mailbox_transaction_context *t)
{
	struct mailbox_vfuncs *super =
		&capture_box_of(t->box)->module_ctx.super;

	steps_forget(t);
	super->transaction_rollback(t);
}

/* ---------------------------------------------------------------- access */

static enum mbj_rights_mode mode_of(enum acl_modify_mode mode)
{
	return mode == ACL_MODIFY_MODE_ADD	? MBJ_RIGHTS_ADD
	       : mode == ACL_MODIFY_MODE_REMOVE ? MBJ_RIGHTS_REMOVE
						: MBJ_RIGHTS_REPLACE;
}

/* words NULL: nothing of that is changed, unless all of it goes. */
static bool rights_note(ARRAY_TYPE(metadata_edit) * steps, const char *name,
			const char *const *words, enum acl_modify_mode mode)
{
	struct mbj_metadata_edit step = {
		.kind = MBJ_METADATA_ACL,
		.name = mbj_bytes_str(name),
		.mode = mode_of(mode),
		.is_removed = mode == ACL_MODIFY_MODE_CLEAR,
	};
	const char *letters = "";

	if (words == NULL && !step.is_removed)
		return true;
	if (words != NULL)
		letters = access_letters(words);
	if (letters == NULL)
		return false;
	step.value = mbj_bytes_str(letters);
	array_push_back(steps, &step);
	return true;
}

/* False: the journal cannot have it. */
static bool update_note(ARRAY_TYPE(metadata_edit) * steps,
			const struct acl_rights_update *update)
{
	const struct acl_rights *rights = &update->rights;
	const char *name = access_identifier(rights);

	return name != NULL &&
	       rights_note(steps, name, rights->rights, update->modify_mode) &&
	       rights_note(steps, t_strconcat("-", name, NULL),
			   rights->neg_rights, update->neg_modify_mode);
}

static int access_change(struct turn *turn, struct acl_object *object,
			 const struct acl_rights_update *update)
{
	ARRAY_TYPE(metadata_edit) steps;
	struct mbj_id mailbox;
	int ret;

	t_array_init(&steps, 2);
	if (!update_note(&steps, update)) {
		(void)mbj_error_set(&turn->err, MBJ_EINVALID,
				    "the journal cannot have this identifier "
				    "of an access control list, or its rights");
		return turn_refuse(turn);
	}
	if (steps_announce(turn, &steps, &mailbox) < 0)
		return -1;
	ret = turn->capture->acl_update(object, update);
	steps_tell(turn, mailbox, true, ret);
	return ret;
}

/* Instead of what the plugin acl has; the log has the reason of a failure. */
static int capture_acl_update(struct acl_object *object,
			      const struct acl_rights_update *update)
{
	struct mailbox_list *list = object->backend->list;
	struct capture_user *capture = capture_user_of(list->ns->user);
	struct mailbox *box;
	struct turn turn;
	int ret = -1;

	if (capture->is_aside || object->name[0] == '\0')
		return capture->acl_update(object, update);
	box = mailbox_alloc(list, mailbox_list_get_vname(list, object->name),
			    MAILBOX_FLAG_IGNORE_ACLS);
	if (turn_passes(box)) {
		ret = capture->acl_update(object, update);
	} else if (turn_begin(&turn, box) == 0) {
		ret = access_change(&turn, object, update);
		turn_end(&turn);
	}
	mailbox_free(&box);
	return ret;
}

/* One table for each list of mailboxes, which all its mailboxes lead to. */
static void access_capture(struct mailbox *box)
{
	struct capture_user *capture = capture_user_of(box->storage->user);
	struct acl_backend *backend;

	if (!access_is_on(box))
		return;
	backend = access_of(box)->backend;
	if (backend->v.object_update == capture_acl_update)
		return;
	capture->acl_update = backend->v.object_update;
	backend->v.object_update = capture_acl_update;
}

void capture_attributes(struct mailbox *box, struct mailbox_vfuncs *v)
{
	v->attribute_set = capture_attribute_set;
	v->transaction_commit = capture_transaction_commit;
	v->transaction_rollback = capture_transaction_rollback;
	access_capture(box);
}
