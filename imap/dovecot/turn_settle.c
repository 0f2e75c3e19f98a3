/*
 * An account that is not as Dovecot is, or has intents open that are not about
 * messages, is made as Dovecot is.  See turn.h.
 *
 * Not here: how (account_settle.c); what Dovecot has (list.c).
 */
#include "turn.h"

/* INBOX of the account's tree.  ROOT: there is none yet. */
static struct mbj_id inbox_told(const struct turn *turn)
{
	const struct mbj_tree *tree = turn->account->tree;
	struct changes known;
	uint32_t at;

	if (tree == NULL)
		return MBJ_ID_ROOT;
	changes_init(&known, tree, turn->account->delimiter);
	at = changes_find(&known, mbj_bytes_str("INBOX"));
	return at == MBJ_NODE_NONE ? MBJ_ID_ROOT : mbj_tree_get(tree, at)->id;
}

/*
 * The mailbox that was refused has to be another one.  Ids are used once, in
 * the journal: Dovecot, where sessions delete and make mailboxes of one name at
 * the same time, finds the index of the old one in its memory, and somebody may
 * put back what was taken away behind it.  And messages are of one UIDVALIDITY:
 * somebody gave a mailbox that has some another one behind the plugin.
 */
static bool turn_refused_whom(const struct turn *turn, struct mbj_id *ret_id)
{
	const struct mbj_error *err = &turn->err;
	const struct mbj_tree *tree = turn->account->tree;
	bool is_live;

	if (err->subject_kind == NULL ||
	    !mbj_id_parse(mbj_bytes_str(err->subject), ret_id))
		return false;
	is_live = tree != NULL && mbj_tree_find(tree, *ret_id) != MBJ_NODE_NONE;
	if (is_live)
		return err->refusal == MBJ_REFUSAL_HAS_EMAIL &&
		       strcmp(err->subject_kind, "uidValidity") == 0;
	return err->refusal == MBJ_REFUSAL_INVALID_PROPERTIES &&
	       strcmp(err->subject_kind, "id") == 0;
}

/*
 * It gets another GUID.
 * Returns: 1 renewed, 0 it was not that.
 */
static int turn_renew(struct turn *turn, const struct account_listing *listing,
		      struct mbj_id *last)
{
	struct mail_namespace *all = turn->capture->user->namespaces;
	struct mbj_id id;
	struct spot at;

	if (!turn_refused_whom(turn, &id) || mbj_id_equal(id, *last))
		return 0;
	*last = id;
	for (size_t i = 0; i < listing->folder_count; i++) {
		const char *vname = (const char *)listing->folders[i].path.p;

		if (!mbj_id_equal(listing->folders[i].id, id))
			continue;
		e_warning(turn->box->event, "mbj: new GUID for %s: %s", vname,
			  turn->err.message);
		at.vname = vname;
		at.list = mail_namespace_find(all, vname)->list;
		turn->is_renewed |= strcmp(vname, turn->at.vname) == 0;
		return turn_give_guid(turn, at, inbox_told(turn)) < 0 ? -1 : 1;
	}
	return 0;
}

/* One of path's names is that, as an error has it. */
static bool path_has(const struct turn *turn, struct mbj_bytes path,
		     const char *name)
{
	const char separators[] = {turn->account->delimiter, '\0'};
	const char *const *names = t_strsplit((const char *)path.p, separators);

	for (; *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

/*
 * What the store finds with Unicode's tables, and listing_read could not: a
 * name that it cannot have is left out with what is below it, or a
 * subscription. Returns: something was.
 */
static bool turn_leave_out(struct turn *turn, struct account_listing *listing)
{
	const char *kind = turn->err.subject_kind;
	size_t folders = 0, names = 0;
	bool is_less;

	if (turn->err.refusal != MBJ_REFUSAL_INVALID_PROPERTIES || kind == NULL)
		return false;
	for (size_t i = 0; i < listing->folder_count; i++)
		if (strcmp(kind, "name") != 0 ||
		    !path_has(turn, listing->folders[i].path,
			      turn->err.subject))
			listing->folders[folders++] = listing->folders[i];
	for (size_t i = 0; i < listing->subscription_count; i++)
		if (strcmp(kind, "path") != 0 ||
		    !mbj_bytes_equal(listing->subscriptions[i],
				     mbj_bytes_str(turn->err.subject)))
			listing->subscriptions[names++] =
				listing->subscriptions[i];
	is_less = folders < listing->folder_count ||
		  names < listing->subscription_count;
	listing->folder_count = folders;
	listing->subscription_count = names;
	if (is_less)
		e_warning(turn->box->event, "mbj: left out: %s",
			  turn->err.message);
	return is_less;
}

/*
 * It has a mailbox that this turn gave another GUID, and that was in the
 * account's storage: it is that, though it may have no other of the account's.
 */
static bool listing_is_renewed(const struct turn *turn,
			       const struct account_listing *listing)
{
	if (!turn->capture->has_renewed)
		return false;
	for (size_t i = 0; i < listing->folder_count; i++)
		if (spool_has(&turn->capture->spool, listing->folders[i].id))
			return true;
	return false;
}

static int settle_by_listing(struct turn *turn)
{
	const bool is_adopting = turn->account->is_adopting;
	struct account_listing listing = {.folder_count = 0};
	struct mbj_id renewed = MBJ_ID_ROOT;
	enum account_need need;
	bool is_late = false;
	size_t tries = 0;
	enum mbj_rc rc;
	int ret;

	turn->is_settling = true;
	/* Whatever is about these is closed by what follows. */
	if (turn->account->has_server_doubt && turn_settle_server(turn) < 0)
		return -1;
	do {
		bool is_whole = account_is_doubtful(turn->account);

		if (listing_read(turn->capture, &listing, &turn->why) < 0)
			return -1;
		turn->account->is_adopting =
			is_adopting || listing_is_renewed(turn, &listing);
		do {
			rc = account_settle(turn->account, &listing,
					    &turn->err);
		} while (rc < 0 && turn_leave_out(turn, &listing));
		if (rc == MBJ_OK) {
			turn->is_settling = false;
			turn->is_settled = is_whole;
			return 0;
		}
		/* Somebody changed the account meanwhile: once more. */
		if (turn->err.refusal == MBJ_REFUSAL_STATE_MISMATCH &&
		    !is_late) {
			is_late = true;
			ret = account_enter(turn->account, &need, &turn->err) ==
			      MBJ_OK;
		} else {
			ret = turn_renew(turn, &listing, &renewed);
		}
	} while (ret > 0 && tries++ <= listing.folder_count);
	return -1;
}

/* Make the account as Dovecot is, and close what is open. */
static int turn_settle(struct turn *turn)
{
	struct account *account = turn->account;
	bool is_adopting = account->is_adopting;
	int ret;

	ret = settle_by_listing(turn);
	account->is_adopting = is_adopting;
	return ret;
}

/* The account and Dovecot are not the same: once, they are made so. */
int turn_refresh(struct turn *turn)
{
	enum account_need need;

	turn->account->is_stale = true;
	if (turn->account->tree == NULL &&
	    account_enter(turn->account, &need, &turn->err) < 0)
		return -1;
	return turn_settle(turn);
}

/*
 * A change was announced, and what came out is not what was: its outcome is
 * what Dovecot has.  Where even that fails, the next change begins with it.
 */
void turn_look_again(struct turn *turn)
{
	enum account_need need;

	mail_storage_last_error_push(turn->box->storage);
	turn->why = NULL;
	turn->account->is_stale = true;
	if (account_enter(turn->account, &need, &turn->err) < 0 ||
	    turn_settle(turn) < 0)
		e_error(turn->box->event,
			"mbj: the outcome of a change is not told yet: %s",
			turn->why != NULL ? turn->why : turn->err.message);
	mail_storage_last_error_pop(turn->box->storage);
}

int turn_enter_settle(struct turn *turn)
{
	struct account *account = turn->account;
	bool is_adopting = account->is_adopting;
	int ret;

	turn_drain_new(turn);
	/* All mailboxes may have become other ones since it was begun. */
	account->is_adopting |= turn_spool_is_ours(turn);
	ret = turn_settle(turn);
	account->is_adopting = is_adopting;
	return ret;
}
