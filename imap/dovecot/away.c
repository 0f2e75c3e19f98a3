/*
 * Changes while the service is away: noted in the user's spool before they are
 * made, where that is wanted (plugin { mbj_when_away }), and told by whoever
 * makes a change when it is there again.  See turn.h, spool.h.
 *
 * All of it is under the user's lock.  What is in the spool is told before
 * anything else of that user's, so the journal has nothing in another order
 * than Dovecot: names, which are settled as a whole, before any change; a
 * mailbox before a change of its own.
 */
#include "turn.h"
#include "uidlist.h"

#include <guid.h>
#include <mail-storage.h>

#include <mbj/memory.h>
#include <mbj/sys.h>

/* A service that hangs is not asked again at once. */
enum { AWAY_SLOW_MS = 1000 };

int turn_spool_load(struct turn *turn)
{
	struct capture_user *capture = turn->capture;
	struct mbj_error err;

	if (spool_load(&capture->spool, &err) < 0) {
		turn->why = t_strdup(err.message);
		return -1;
	}
	if (capture->spool.tree_since != 0)
		turn->account->is_stale = true;
	if (capture->is_spooling && capture->away_ms != 0 &&
	    mbj_monotonic_ms() < capture->away_ms) {
		(void)mbj_error_set(&turn->err, MBJ_EIO,
				    "the service at %s did not answer a "
				    "moment ago",
				    turn->account->socket);
		return -1;
	}
	capture->away_ms = 0;
	return 0;
}

/*
 * Not what it refuses, whoever asks, as a replica does.  What it has not is
 * refused, too: what is not found then is the socket.
 */
static bool error_is_away(const struct mbj_error *err)
{
	return err->refusal == MBJ_REFUSAL_NONE &&
	       (err->rc == MBJ_EIO || err->rc == MBJ_EBUSY ||
		err->rc == MBJ_ENOSPC || err->rc == MBJ_ENOTFOUND);
}

bool turn_can_spool(struct turn *turn)
{
	struct capture_user *capture = turn->capture;
	int64_t now = mbj_monotonic_ms();

	/* A mailbox of the spool that is another one there waits in it. */
	if (!capture->is_spooling || turn->why != NULL ||
	    (!error_is_away(&turn->err) && turn->err.rc != MBJ_ECONFLICT))
		return false;
	if (capture->away_ms == 0 && now > turn->begin_ms + AWAY_SLOW_MS)
		capture->away_ms = now + turn->account->patience_ms;
	return true;
}

bool turn_spool_is_ours(struct turn *turn)
{
	const struct spool *spool = &turn->capture->spool;

	return spool->tree_since != 0 && turn->account->tree != NULL &&
	       !mbj_id_is_root(spool->inbox) &&
	       mbj_tree_find(turn->account->tree, spool->inbox) !=
		       MBJ_NODE_NONE;
}

/* Whose storage this is, before it is changed.  ROOT: nothing shows it. */
static struct mbj_id inbox_look(struct turn *turn)
{
	struct mailbox_list *list = turn->capture->inbox->list;
	struct account_folder folder;
	enum folder_kind kind;
	const char *why;

	if (folder_look(list, mailbox_list_get_vname(list, "INBOX"), &kind,
			&folder, &why) < 0 ||
	    kind != FOLDER_MAILBOX)
		return MBJ_ID_ROOT;
	return folder.id;
}

static int spool_refuse(struct turn *turn, const char *why)
{
	mail_storage_set_error(turn->box->storage, MAIL_ERROR_UNAVAILABLE,
			       "Mailboxes cannot be changed now: the journal "
			       "is not available, and neither is its spool");
	e_error(turn->box->event, "mbj: refused: %s; and no spool: %s",
		turn->err.message, why);
	return -1;
}

int turn_spool(struct turn *turn, const struct mbj_id *mailboxes, size_t count)
{
	struct capture_user *capture = turn->capture;
	struct mailbox_list *list = capture->inbox->list;
	struct mbj_id inbox = MBJ_ID_ROOT;
	struct mbj_error err;

	if (mailbox_list_mkdir_root(list, capture->spool.dir,
				    MAILBOX_LIST_PATH_TYPE_CONTROL) < 0)
		return spool_refuse(turn,
				    mailbox_list_get_last_internal_error(list,
									 NULL));
	if (mbj_id_is_root(capture->spool.inbox))
		inbox = inbox_look(turn);
	if (spool_add(&capture->spool, inbox, mailboxes, count, &err) < 0)
		return spool_refuse(turn, err.message);
	if (!capture->is_away_told)
		e_warning(turn->box->event,
			  "mbj: changes go to %s/" SPOOL_NAME " for now: %s",
			  capture->spool.dir, turn->err.message);
	capture->is_away_told = true;
	capture->is_spooled = true;
	/* Also of what Dovecot makes on its way. */
	turn->account->is_stale = true;
	return 0;
}

void spool_note(struct capture_user *capture, struct mbj_id mailbox)
{
	struct mailbox_list *list = capture->inbox->list;
	struct spool *spool = &capture->spool;
	struct mbj_error err;

	if (mailbox_list_lock(list) < 0) {
		e_error(capture->user->event,
			"mbj: %s/" SPOOL_NAME ": cannot lock: %s", spool->dir,
			mailbox_list_get_last_internal_error(list, NULL));
		return;
	}
	if (spool_load(spool, &err) < 0 ||
	    spool_add(spool, MBJ_ID_ROOT, &mailbox, 1, &err) < 0)
		e_error(capture->user->event, "mbj: %s/" SPOOL_NAME ": %s",
			spool->dir, err.message);
	mailbox_list_unlock(list);
}

/* A mailbox that did not get its new GUID is not waited for under it. */
static void renewed_drop(struct turn *turn, struct spot at, struct mbj_id fresh)
{
	struct spool *spool = &turn->capture->spool;
	struct account_folder folder;
	enum folder_kind kind;
	struct mbj_error err;
	const char *why;

	if (folder_look(at.list, at.vname, &kind, &folder, &why) == 0 &&
	    !mbj_id_equal(folder.id, fresh) &&
	    spool_drop(spool, fresh, &err) < 0)
		e_error(turn->box->event, "mbj: %s/" SPOOL_NAME ": %s",
			spool->dir, err.message);
}

int turn_give_guid(struct turn *turn, struct spot at, struct mbj_id ours)
{
	struct capture_user *capture = turn->capture;
	struct mailbox_list *list = capture->inbox->list;
	struct spool *spool = &capture->spool;
	struct mbj_id fresh;

	if (mailbox_list_mkdir_root(list, spool->dir,
				    MAILBOX_LIST_PATH_TYPE_CONTROL) < 0) {
		turn->why = mailbox_list_get_last_internal_error(list, NULL);
		return -1;
	}
	guid_128_generate(fresh.b);
	if (spool_add(spool, ours, &fresh, 1, &turn->err) < 0)
		return -1;
	capture->has_renewed = true;
	/* Until a listing has shown it: what the tree has not did not go. */
	turn->account->is_stale = true;
	if (folder_renew(capture, at.list, at.vname, fresh, &turn->why) == 0)
		return 0;
	renewed_drop(turn, at, fresh);
	return -1;
}

int turn_spool_box(struct turn *turn)
{
	struct mbj_id guid;

	if (box_guid_ask(turn->box, &guid) < 0)
		return -1;
	return turn_spool(turn, &guid, 1);
}

int turn_create_away(struct turn *turn, const struct mailbox_update *update,
		     bool directory)
{
	struct mailbox_update given = {.uid_validity = 0};
	struct account_folder folder;
	enum folder_kind kind;
	struct mbj_id id;
	int ret;

	if (folder_look(turn->at.list, turn->at.vname, &kind, &folder,
			&turn->why) < 0)
		return turn_refuse(turn);
	/* It will refuse, and a Maildir takes another GUID as it does. */
	if (kind == FOLDER_MAILBOX || (kind == FOLDER_PLACE && directory))
		return turn_spool(turn, NULL, 0) < 0
			       ? -1
			       : turn->super->create_box(turn->box, update,
							 directory);
	if (update != NULL)
		given = *update;
	if (guid_128_is_empty(given.mailbox_guid))
		guid_128_generate(given.mailbox_guid);
	memcpy(id.b, given.mailbox_guid, MBJ_ID_SIZE);
	if (!path_is_storable(turn->capture, turn->at.vname))
		return turn_refuse_text(turn, TURN_NAME_REFUSED);
	if (turn_check_form(turn, turn->at, NULL) < 0)
		return -1;
	if (turn_spool(turn, &id, 1) < 0)
		return -1;
	ret = turn->super->create_box(turn->box, &given, directory);
	/* It found the index of an older one; a list shows it otherwise. */
	if (ret == 0 &&
	    folder_look(turn->at.list, turn->at.vname, &kind, &folder,
			&turn->why) == 0 &&
	    kind == FOLDER_MAILBOX && !mbj_id_equal(folder.id, id) &&
	    folder_renew(turn->capture, turn->at.list, turn->at.vname, id,
			 &turn->why) < 0)
		e_error(turn->box->event, "mbj: %s", turn->why);
	return ret;
}

/* Under which GUID it will be known is not said before. */
int turn_update_away(struct turn *turn, const struct mailbox_update *update)
{
	struct mbj_id id;

	memcpy(id.b, update->mailbox_guid, sizeof(id.b));
	if (turn_spool_box(turn) < 0 ||
	    (!mbj_id_is_root(id) && turn_spool(turn, &id, 1) < 0))
		return -1;
	return turn->super->update_box(turn->box, update);
}

/* -------------------------------------------------------------- draining */

/* All that a listing has just shown. */
static enum mbj_rc spool_spread(struct turn *turn, struct mbj_error *err)
{
	const struct mbj_tree *tree = turn->account->tree;
	struct mbj_id *list;
	size_t count = 0;
	enum mbj_rc rc;

	list = mbj_calloc(mbj_tree_size(tree) + 1U, sizeof(*list));
	if (list == NULL)
		return mbj_error_nomem(err);
	for (uint32_t i = 0; i < mbj_tree_size(tree); i++) {
		const struct mbj_node *node = mbj_tree_get(tree, i);

		if (node->is_live && node->is_selectable)
			list[count++] = node->id;
	}
	rc = spool_settled(&turn->capture->spool, list, count, err);
	mbj_free(list);
	return rc;
}

/*
 * One that has become another one, since its UIDVALIDITY has, goes on under
 * the GUID that it has got; which is in the spool by itself where it got that
 * here.
 */
static void entry_follow(struct turn *turn, size_t at)
{
	struct spool *spool = &turn->capture->spool;
	struct account_folder folder;
	enum folder_kind kind;

	spool->entries[at].is_stopped = true;
	if (mbj_tree_find(turn->account->tree, spool->entries[at].mailbox) !=
		    MBJ_NODE_NONE ||
	    folder_look(turn->at.list, turn->at.vname, &kind, &folder,
			&turn->why) < 0 ||
	    kind != FOLDER_MAILBOX)
		return;
	if (spool_has(spool, folder.id))
		spool->entries[at].is_done = true;
	else
		spool->entries[at].mailbox = folder.id;
}

/* What came in.  Returns: -1, with why or err. */
static int entry_tell_new(struct turn *turn, size_t at)
{
	struct spool *spool = &turn->capture->spool;
	bool is_told, is_late;

	if (spool->entries[at].is_new_told ||
	    !turn_find(turn, spool->entries[at].mailbox, &turn->at))
		return 0;
	spool->entries[at].has_had_turn = true;
	if (turn_compare_attributes(turn, true) < 0 ||
	    turn_tell_new(turn, &is_told, &is_late) < 0)
		return -1;
	spool->entries[at].is_new_told = is_told;
	spool->entries[at].has_had_turn = !is_late;
	spool->is_changed |= is_told;
	return 0;
}

/* All of it.  Returns: -1, with why or err. */
static int entry_drain(struct turn *turn, size_t at)
{
	struct spool *spool = &turn->capture->spool;
	bool is_cut = true;
	uint32_t uidnext;

	/*
	 * It went, and that is told with the tree; or it is of a tree that is
	 * not told yet.
	 */
	if (!turn_find(turn, spool->entries[at].mailbox, &turn->at)) {
		spool->entries[at].is_done =
			spool->tree_since == 0 && !turn->account->is_stale;
		return 0;
	}
	if (turn_compare_attributes(turn, true) < 0 ||
	    turn_compare_messages(turn, spool->entries[at].is_stopped, &uidnext,
				  &is_cut) < 0 ||
	    (!is_cut && turn_compare_attributes(turn, false) < 0))
		return -1;
	spool->entries[at].is_done = !is_cut;
	if (is_cut)
		entry_follow(turn, at);
	spool->is_changed |= is_cut;
	return 0;
}

static void entry_complain(struct turn *turn)
{
	e_error(turn->box->event,
		"mbj: what was changed in %s while the journal was away is not "
		"told yet: %s",
		turn->at.vname,
		turn->why != NULL ? turn->why : turn->err.message);
}

/*
 * One at least; a step may add entries, and move them in memory.  Returns: all
 * had their turn.
 */
static bool entries_walk(struct turn *turn, int64_t until, bool is_telling,
			 int (*step)(struct turn *turn, size_t at))
{
	struct spool *spool = &turn->capture->spool;
	int64_t deadline_ms = turn->deadline_ms;
	struct spot at = turn->at;
	bool is_through = true;

	turn->deadline_ms = until;
	for (size_t i = 0; is_through && i < spool->count; i++) {
		is_through = i == 0 || mbj_monotonic_ms() <= until;
		if (!is_through || step(turn, i) >= 0)
			continue;
		if (is_telling)
			entry_complain(turn);
		is_through = turn->why != NULL || !error_is_away(&turn->err);
		turn->why = NULL;
	}
	turn->why = NULL;
	turn->deadline_ms = deadline_ms;
	turn->at = at;
	return is_through;
}

/* Nothing that came in waits for time; what cannot be told does not count. */
static bool entries_are_new_told(struct turn *turn)
{
	const struct spool *spool = &turn->capture->spool;
	struct spot at;

	for (size_t i = 0; i < spool->count; i++)
		if (!spool->entries[i].is_new_told &&
		    !spool->entries[i].has_had_turn &&
		    turn_find(turn, spool->entries[i].mailbox, &at))
			return false;
	return true;
}

/* The user's other sessions wait. */
static int64_t drain_until(const struct turn *turn)
{
	return mbj_monotonic_ms() + turn->account->patience_ms / 16;
}

void turn_drain_new(struct turn *turn)
{
	/* By the names that the journal has: others come in behind it. */
	if (turn->account->tree != NULL)
		(void)entries_walk(turn, drain_until(turn), false,
				   entry_tell_new);
}

void turn_drain(struct turn *turn)
{
	struct spool *spool = &turn->capture->spool;
	int64_t until = drain_until(turn);
	enum account_need need;
	struct mbj_error err;
	enum mbj_rc rc = MBJ_OK;

	turn->capture->is_away_told = false;
	if (spool_is_empty(spool))
		return;
	if (turn->account->tree == NULL)
		rc = account_enter(turn->account, &need, &err);
	/* What could not be settled shows not what went. */
	if (rc == MBJ_OK &&
	    (turn->account->tree == NULL || turn->account->is_stale))
		return;
	if (rc == MBJ_OK)
		rc = spool_spread(turn, &err);
	/* What moved is told where it is before it is told where it was. */
	if (rc == MBJ_OK)
		(void)entries_walk(turn, until, false, entry_tell_new);
	if (rc == MBJ_OK && entries_are_new_told(turn))
		(void)entries_walk(turn, until, true, entry_drain);
	if (rc == MBJ_OK)
		rc = spool_save(spool, &err);
	if (rc < 0)
		e_error(turn->box->event, "mbj: %s/" SPOOL_NAME " stays: %s",
			spool->dir, err.message);
}

void turn_drain_renewed(struct turn *turn)
{
	struct capture_user *capture = turn->capture;
	struct account *account = turn->account;

	/* A service that did not answer would only be waited for once more. */
	if (!capture->has_renewed || capture->is_spooled ||
	    account->client == NULL || account->tree == NULL ||
	    account->is_stale || error_is_away(&turn->err))
		return;
	mail_storage_last_error_push(turn->box->storage);
	turn_drain(turn);
	mail_storage_last_error_pop(turn->box->storage);
}
