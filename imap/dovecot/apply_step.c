/*
 * Steps of a plan by Dovecot's own means.  See apply_step.h.
 */
#include "apply_step.h"

#include "apply_maildir.h"
#include "maildir_hold.h"

#include <mail-cache.h>
#include <mail-index-alloc-cache.h>
#include <mailbox-uidvalidity.h>

static struct mailbox_update update_of(const struct mbj_node *node)
{
	struct mailbox_update update = {.uid_validity = node->uidvalidity};

	memcpy(update.mailbox_guid, node->id.b, sizeof(node->id.b));
	return update;
}

/*
 * Dovecot keeps an index for a while after its mailbox was closed, and finds it
 * again by its directory, which may be another mailbox's by now.
 */
static void box_leave(struct mailbox **box)
{
	mailbox_free(box);
	mail_index_alloc_cache_destroy_unrefed();
}

static int box_fail(struct apply *apply, struct mailbox *box, const char *what)
{
	return apply_fail(apply, "cannot %s mailbox %s: %s", what, box->vname,
			  mailbox_get_last_internal_error(box, NULL));
}

/*
 * What users make here later, when the journal comes from here, must not get a
 * value that the journal has: so Dovecot's counter passes it.
 */
static void uidvalidity_pass(struct mailbox *box, uint32_t value)
{
	enum { TRIES = 1000 }; /* more of it with the next mailbox */
	const char *path;

	path = t_strconcat(mailbox_list_get_root_forced(
				   box->list, MAILBOX_LIST_PATH_TYPE_CONTROL),
			   "/dovecot-uidvalidity", NULL);
	for (int i = 0; i < TRIES; i++)
		if (mailbox_uidvalidity_next(box->list, path) >= value)
			break;
}

/*
 * A create that failed has left something of ours.  What was there before is
 * somebody else's, and so is what is made there later.
 */
static bool box_is_left(struct mailbox *box)
{
	enum mailbox_existence existence;
	bool is_left = false;

	mail_storage_last_error_push(box->storage);
	if (mailbox_get_last_mail_error(box) != MAIL_ERROR_EXISTS)
		is_left = mailbox_exists(box, false, &existence) < 0 ||
			  existence == MAILBOX_EXISTENCE_SELECT;
	mail_storage_last_error_pop(box->storage);
	return is_left;
}

/* What clients ask for in INBOX is kept at hand in new mailboxes, too. */
static void cache_decisions_copy(struct apply *apply, struct mailbox *box)
{
	struct mailbox *inbox =
		mailbox_alloc(apply->inbox->list, "INBOX",
			      MAILBOX_FLAG_READONLY | MAILBOX_FLAG_IGNORE_ACLS);

	/* Without them it is a mailbox as well. */
	if (mailbox_open(inbox) == 0 && mailbox_open(box) == 0)
		(void)mail_cache_decisions_copy(inbox->cache, box->cache);
	mailbox_free(&inbox);
}

/*
 * Dovecot removes no index of private flags (INDEXPVT) with its mailbox, and
 * ends by an assertion where a mailbox that has the UIDVALIDITY again has lower
 * UIDs.
 */
static void private_forget(struct mailbox *box)
{
	static const char *const ends[] = {"", ".log", ".log.2"};
	const char *dir;

	if (mailbox_list_get_path(box->list, box->name,
				  MAILBOX_LIST_PATH_TYPE_INDEX_PRIVATE,
				  &dir) <= 0)
		return;
	for (size_t i = 0; i < N_ELEMENTS(ends); i++)
		i_unlink_if_exists(t_strconcat(dir, "/", box->index_prefix,
					       ".pvt", ends[i], NULL));
}

/*
 * What mailbox_create does, but for its look whether there is an INBOX: that
 * has Dovecot read the whole list anew behind each change.
 */
static int box_create(struct apply *apply, struct mailbox *box,
		      const struct mailbox_update *update, bool has_inbox)
{
	int ret;

	if (mailbox_verify_create_name(box) < 0)
		return -1;
	if (mailbox_list_lock(box->list) < 0) {
		mail_storage_copy_list_error(box->storage, box->list);
		return -1;
	}
	box->creating = true;
	ret = box->v.create_box(box, update, false);
	box->creating = false;
	mailbox_list_unlock(box->list);
	if (ret == 0) {
		box->list->guid_cache_updated = true;
		private_forget(box);
		if (has_inbox && !box->inbox_any)
			cache_decisions_copy(apply, box);
	} else if (box->opened) {
		mail_storage_last_error_push(box->storage);
		mailbox_close(box);
		mail_storage_last_error_pop(box->storage);
	}
	return ret;
}

static bool box_has_id(struct mailbox *box, struct mbj_id id)
{
	struct mailbox_metadata metadata;

	/* Unopened it is asked of the list's index, which goes by names. */
	return mailbox_open(box) == 0 &&
	       mailbox_get_metadata(box, MAILBOX_METADATA_GUID, &metadata) ==
		       0 &&
	       memcmp(metadata.guid, id.b, sizeof(id.b)) == 0;
}

/*
 * What somebody opened while it was made.  Opening makes INBOX; in a Maildir
 * the directories that are not there yet, of which Dovecot says that the
 * mailbox exists, and gives it its GUID all the same; in a dbox the index, and
 * with it another GUID, which Dovecot leaves as it is, even where it says that
 * all went well.  With mail and another GUID it is somebody else's.
 */
static int box_take(struct apply *apply, const char *vname,
		    const struct mbj_node *node)
{
	struct mailbox *box = apply_box(apply, vname);
	bool is_it = box->inbox_user || box_has_id(box, node->id);

	box_leave(&box);
	if (!is_it && !step_is_new(apply, vname))
		return apply_fail(apply,
				  "cannot make mailbox %s: Mailbox already "
				  "exists",
				  vname);
	return step_update(apply, vname, node);
}

int step_create(struct apply *apply, const char *vname,
		const struct mbj_node *node, bool has_inbox)
{
	struct mailbox_update update = update_of(node);
	struct mailbox *box;
	bool is_opened;
	int ret;

	if (apply_namespace(apply, vname) == NULL ||
	    known_forget(apply, node->id) < 0 ||
	    note_uids_forget(apply, node->id) < 0 ||
	    note_making(apply, vname) < 0)
		return -1;
	box = apply_box(apply, vname);
	ret = box_create(apply, box, &update, has_inbox);
	if (ret < 0 && !box_is_left(box) && note_making(apply, NULL) < 0) {
		box_leave(&box);
		return -1;
	}
	is_opened =
		ret < 0 ? mailbox_get_last_mail_error(box) == MAIL_ERROR_EXISTS
			: !box_has_id(box, node->id);
	if (ret < 0 && !is_opened)
		(void)box_fail(apply, box, "make");
	else if (!is_opened)
		uidvalidity_pass(box, node->uidvalidity);
	box_leave(&box);
	if (is_opened)
		ret = box_take(apply, vname, node);
	return ret < 0 ? ret : note_making(apply, NULL);
}

int step_list(struct apply *apply, const char *vname)
{
	struct mailbox *box = apply_box(apply, vname);
	int ret = mailbox_sync(box, 0);

	if (ret < 0)
		(void)box_fail(apply, box, "synchronise");
	box_leave(&box);
	return ret;
}

/*
 * What mailbox_rename does within one list, but for its look at the length of
 * names below: that has Dovecot read the whole list anew behind each change.
 */
static int box_rename(struct mailbox *box, struct mailbox *target)
{
	int ret;

	if (box->list != target->list || box->storage != target->storage ||
	    box->name[0] == '\0' || strcmp(box->name, target->name) == 0)
		return mailbox_rename(box, target);
	if (mailbox_verify_name(box) < 0 ||
	    mailbox_verify_create_name(target) < 0)
		return -1;
	if (mailbox_list_lock(box->list) < 0) {
		mail_storage_copy_list_error(box->storage, box->list);
		return -1;
	}
	ret = box->v.rename_box(box, target);
	mailbox_list_unlock(box->list);
	box->list->guid_cache_invalidated = true;
	return ret;
}

/* The list's lock first (maildir_hold.h): Dovecot's own takes it once more. */
static int box_move(struct mailbox *box, struct mailbox *target,
		    enum step_below below)
{
	struct hold hold;
	int ret = -1;

	if (mailbox_list_lock(box->list) < 0) {
		mail_storage_copy_list_error(box->storage, box->list);
		return -1;
	}
	if (hold_take(&hold, box, below != STEP_BELOW_NOTHING) == 0) {
		ret = below == STEP_BELOW_LONG ? mailbox_rename(box, target)
					       : box_rename(box, target);
		(void)hold_drop(&hold, target);
	}
	mailbox_list_unlock(box->list);
	return ret;
}

int step_move(struct apply *apply, const char *from, const char *to,
	      bool is_place, enum step_below below)
{
	struct mailbox *box, *target;
	int ret;

	if (apply_namespace(apply, to) == NULL)
		return -1;
	box = apply_box(apply, from);
	target = apply_box(apply, to);
	ret = box_move(box, target, below);
	if (ret < 0 && is_place &&
	    mailbox_get_last_mail_error(box) == MAIL_ERROR_NOTFOUND)
		ret = 0;
	if (ret < 0)
		(void)box_fail(apply, box,
			       t_strdup_printf("rename to %s the", to));
	box_leave(&target);
	box_leave(&box);
	return ret;
}

int step_delete(struct apply *apply, const char *vname, bool is_place)
{
	struct mailbox *box = apply_box(apply, vname);
	int ret;

	/* A place is there as long as something is below it, or is empty. */
	if (is_place) {
		(void)mailbox_list_delete_dir(box->list, box->name);
		box_leave(&box);
		return 0;
	}
	ret = mailbox_delete(box);
	if (ret < 0)
		(void)box_fail(apply, box, "delete");
	box_leave(&box);
	return ret;
}

int step_delete_new(struct apply *apply, const char *vname)
{
	struct mailbox *box = apply_box(apply, vname);
	int ret = mailbox_delete_empty(box);

	if (ret < 0)
		(void)box_fail(apply, box, "delete");
	box_leave(&box);
	return ret;
}

int step_update(struct apply *apply, const char *vname,
		const struct mbj_node *node)
{
	struct mailbox_update update = update_of(node);
	struct mailbox *box = apply_box(apply, vname);
	bool is_emptied = false;
	int ret = apply_own_part(apply, box, node, &is_emptied);

	if (ret == 0)
		ret = is_emptied ? maildir_update_anew(box, &update)
				 : mailbox_update(box, &update);
	if (ret < 0)
		(void)box_fail(apply, box, "set GUID and UIDVALIDITY of");
	else
		uidvalidity_pass(box, node->uidvalidity);
	box_leave(&box);
	return ret;
}

bool step_is_new(struct apply *apply, const char *vname)
{
	struct mailbox *box = apply_box(apply, vname);
	struct mailbox_status status;
	/* Unopened it is asked of the list's index, which goes by names. */
	bool is_new = mailbox_open(box) == 0 &&
		      mailbox_sync(box, MAILBOX_SYNC_FLAG_FULL_READ) == 0 &&
		      mailbox_get_status(box, STATUS_MESSAGES | STATUS_UIDNEXT,
					 &status) == 0 &&
		      status.messages == 0 && status.uidnext <= 1;

	box_leave(&box);
	return is_new;
}
