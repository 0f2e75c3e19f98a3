/*
 * What is done around a change of a mailbox's attributes, METADATA and access
 * control list: an intent in the journal before, and after it what Dovecot has
 * (attribute_tell.c).
 *
 * METADATA is set in a transaction, and announced when that is committed; an
 * access control list is written at once, by the plugin acl.
 */
#include "access.h"
#include "turn.h"

#include <acl-api-private.h>

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
	enum mbj_rc rc;
	uint32_t node;

	if (turn_follow(turn) < 0 ||
	    folder_look(turn->at.list, turn->at.vname, &kind, &folder,
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
	rc = account_intent(turn->account, &edit, &turn->err);
	/* Entries of METADATA make room for rights, when that is told. */
	if (rc < 0 && turn->err.refusal == MBJ_REFUSAL_TOO_LARGE &&
	    list[0].kind == MBJ_METADATA_ACL) {
		array_foreach_modifiable(steps, step) step->is_removed = true;
		rc = account_intent(turn->account, &edit, &turn->err);
	}
	return rc < 0 ? turn_refuse(turn) : 0;
}

/* After.  Where it fails the intent stays open, for the next turn. */
static void steps_tell(struct turn *turn, struct mbj_id mailbox,
		       bool is_in_transaction, int ret)
{
	if (ret < 0)
		mail_storage_last_error_push(turn->box->storage);
	/* Where Dovecot refused it nothing rises. */
	if (turn_tell_attributes(turn, turn->at, mailbox,
				 is_in_transaction && ret == 0) < 0)
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

static void step_note(struct mailbox_transaction_context *t,
		      const struct attribute *attribute, const char *value)
{
	struct capture_transaction *mine = capture_transaction_need(t);
	struct mbj_metadata_edit step = attribute_step(attribute, MBJ_ID_ROOT);

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
	if (box->deleting || box_is_others(box) || turn_passes_messages(box) ||
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

	mail_storage_last_error_push(box->storage);
	capture_box_of(box)->module_ctx.super.transaction_rollback(t);
	mail_storage_last_error_pop(box->storage);
	return -1;
}

static int attributes_commit(struct mailbox_transaction_context *t,
			     struct capture_transaction *mine,
			     struct mail_transaction_commit_changes *changes)
{
	struct mailbox *box = t->box;
	struct mbj_id mailbox;
	struct turn turn;
	int ret;

	if (turn_begin(&turn, box) < 0)
		return attributes_refuse(t);
	ret = turn.is_away ? -1 : steps_announce(&turn, &mine->steps, &mailbox);
	if (turn.is_away)
		ret = turn_spool_box(&turn);
	if (ret < 0) {
		turn_end(&turn);
		return attributes_refuse(t);
	}
	ret = capture_messages_commit(t, mine->kept, changes);
	if (!turn.is_away)
		steps_tell(&turn, mailbox, false, ret);
	turn_end(&turn);
	return ret;
}

static int
capture_transaction_commit(struct mailbox_transaction_context *t,
			   struct mail_transaction_commit_changes *changes)
{
	struct capture_transaction *mine = capture_transaction_take(t);
	int ret;

	/* Within a turn: told with the mailbox's next change of these. */
	if (mine == NULL || array_is_empty(&mine->steps) || turn_passes(t->box))
		ret = capture_messages_commit(t,
					      mine != NULL ? mine->kept : NULL,
					      changes);
	else
		ret = attributes_commit(t, mine, changes);
	capture_transaction_free(&mine);
	return ret;
}

static void capture_transaction_rollback(struct mailbox_transaction_context *t)
{
	struct capture_transaction *mine = capture_transaction_take(t);
	struct mailbox_vfuncs *super =
		&capture_box_of(t->box)->module_ctx.super;

	super->transaction_rollback(t);
	capture_transaction_free(&mine);
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
	if (letters[0] == '\0' && mode == ACL_MODIFY_MODE_REPLACE)
		letters = ACCESS_NONE;
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
	ret = turn->is_away ? -1 : steps_announce(turn, &steps, &mailbox);
	if (turn->is_away)
		ret = turn_spool_box(turn);
	if (ret < 0)
		return ret;
	ret = turn->capture->acl_update(object, update);
	if (!turn->is_away)
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
