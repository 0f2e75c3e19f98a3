/*
 * All of a user's: the account is made as Dovecot is, folders, subscriptions,
 * attributes and messages, where no change brings that in (doveadm mbj
 * capture).
 *
 * Or what is in the user's spool of it, where nobody makes a change (doveadm
 * mbj drain).
 *
 * Mailbox by mailbox, in turns as of a change, of half of mbj_timeout at most:
 * the user's sessions go on in between.  Killed anywhere, it is run again.
 */
#include "turn.h"

#include <mail-storage.h>

/* Of turns that bring a mailbox no further: it is renewed, and lenient. */
enum { IDLE_TURNS_MAX = 4 };

int mbj_plugin_capture(struct mail_user *user);
int mbj_plugin_drain(struct mail_user *user);

struct progress {
	uint32_t uidnext;
	unsigned int idle_turns;
	bool has_attributes, is_cut;
};

static int turn_compare(struct turn *turn, struct progress *progress)
{
	uint32_t before = progress->uidnext;

	if (!progress->has_attributes &&
	    turn_compare_attributes(turn, true) < 0)
		return -1;
	progress->has_attributes = true;
	if (turn_compare_messages(turn, progress->idle_turns > 1,
				  &progress->uidnext, &progress->is_cut) < 0)
		return -1;
	if (!progress->is_cut && turn_compare_attributes(turn, false) < 0)
		return -1;
	if (progress->uidnext > before)
		progress->idle_turns = 0;
	if (progress->is_cut && progress->idle_turns++ == IDLE_TURNS_MAX) {
		turn->why =
			t_strdup_printf("what comes behind UID %u of %s "
					"cannot be brought in",
					progress->uidnext - 1, turn->at.vname);
		return -1;
	}
	return 0;
}

/* One that is not there any more is told with the tree. */
static int mailbox_capture(struct mailbox *box)
{
	struct progress progress = {.is_cut = true};
	struct account_folder folder;
	enum folder_kind kind;
	struct turn turn;
	int ret = 0;

	while (ret == 0 && progress.is_cut) {
		if (turn_begin(&turn, box) < 0)
			return -1;
		ret = folder_look(turn.at.list, turn.at.vname, &kind, &folder,
				  &turn.why);
		progress.is_cut = kind == FOLDER_MAILBOX;
		if (ret == 0 && kind == FOLDER_MAILBOX)
			ret = turn_compare(&turn, &progress);
		if (ret < 0)
			(void)turn_refuse(&turn);
		turn_end(&turn);
	}
	return ret;
}

static int path_capture(struct capture_user *capture, const char *vname)
{
	struct mail_namespace *ns =
		mail_namespace_find(capture->user->namespaces, vname);
	struct mailbox *box =
		mailbox_alloc(ns->list, vname, MAILBOX_FLAG_IGNORE_ACLS);
	int ret = mailbox_capture(box);

	if (ret < 0)
		e_error(capture->user->event, "mbj: mailbox %s: %s", vname,
			mailbox_get_last_internal_error(box, NULL));
	mailbox_free(&box);
	return ret;
}

static int name_order(const char *const *a, const char *const *b)
{
	return strcmp(*a, *b);
}

/* A turn of INBOX.  Returns: -1, told; box is to be freed in any case. */
static int inbox_begin(struct capture_user *capture, struct turn *turn,
		       struct mailbox **ret_box)
{
	int ret;

	*ret_box = mailbox_alloc(capture->inbox->list, "INBOX",
				 MAILBOX_FLAG_IGNORE_ACLS);
	ret = turn_begin(turn, *ret_box);
	if (ret < 0)
		e_error(capture->user->event, "mbj: %s",
			mailbox_get_last_internal_error(*ret_box, NULL));
	return ret;
}

/*
 * The tree is made Dovecot's; its mailboxes are those that there are, without
 * Dovecot's lists being read once more.
 */
static int tree_capture(struct capture_user *capture,
			ARRAY_TYPE(const_string) * vnames)
{
	const struct mbj_tree *tree;
	struct mailbox *box;
	struct turn turn;
	int ret;

	capture->account.is_stale = true;
	ret = inbox_begin(capture, &turn, &box);
	tree = capture->account.tree;
	for (uint32_t i = 0;
	     ret == 0 && tree != NULL && i < mbj_tree_size(tree); i++) {
		const struct mbj_node *node = mbj_tree_get(tree, i);
		struct spot at;

		if (node->is_live && node->is_selectable &&
		    turn_find(&turn, node->id, &at))
			array_push_back(vnames, &at.vname);
	}
	if (ret == 0)
		turn_end(&turn);
	mailbox_free(&box);
	return ret;
}

/* Returns: -1, told. */
int mbj_plugin_capture(struct mail_user *user)
{
	struct capture_user *capture = capture_user_of(user);
	ARRAY_TYPE(const_string) vnames;
	const char *vname;
	int ret;

	if (capture == NULL) {
		e_error(user->event, "mbj: the plugin is not for this user");
		return -1;
	}
	/* It changes nothing that could be noted. */
	capture->is_spooling = false;
	t_array_init(&vnames, 64);
	if (tree_capture(capture, &vnames) < 0)
		return -1;
	array_sort(&vnames, name_order);
	ret = path_capture(capture, "INBOX");
	array_foreach_elem(&vnames, vname) if (strcmp(vname, "INBOX") != 0 &&
					       path_capture(capture, vname) < 0)
		ret = -1;
	return ret;
}

/* ----------------------------------------------------------------- spool */

/*
 * A turn settles the tree, and some mailboxes of the spool.
 * Returns: -1, told; else how many are left, with the names of these.
 */
static int spool_turn(struct capture_user *capture,
		      ARRAY_TYPE(const_string) * vnames)
{
	const struct spool *spool = &capture->spool;
	struct mailbox *box;
	struct turn turn;
	int ret = inbox_begin(capture, &turn, &box);

	for (size_t i = 0;
	     ret == 0 && turn.account->tree != NULL && i < spool->count; i++) {
		struct spot at;

		if (turn_find(&turn, spool->entries[i].mailbox, &at))
			array_push_back(vnames, &at.vname);
	}
	if (ret == 0) {
		ret = spool_is_empty(spool) ? 0 : 1;
		turn_end(&turn);
	}
	mailbox_free(&box);
	return ret;
}

/* Each mailbox is told in two steps: what came in, and then all of it. */
static size_t spool_steps(const struct spool *spool)
{
	size_t steps = spool->count;

	for (size_t i = 0; i < spool->count; i++)
		steps += !spool->entries[i].is_new_told;
	return steps;
}

/*
 * Turns until one brings it no further.
 * Returns: as spool_turn, of the last.
 */
static int spool_turns(struct capture_user *capture,
		       ARRAY_TYPE(const_string) * vnames)
{
	size_t before, after = SIZE_MAX;
	uint64_t arrivals;
	int ret;

	do {
		before = after;
		arrivals = capture->arrivals;
		array_clear(vnames);
		ret = spool_turn(capture, vnames);
		after = spool_steps(&capture->spool);
	} while (ret > 0 && (after < before || capture->arrivals > arrivals));
	return ret;
}

/* Returns: -1, told. */
int mbj_plugin_drain(struct mail_user *user)
{
	struct capture_user *capture = capture_user_of(user);
	ARRAY_TYPE(const_string) vnames;
	const char *vname;
	struct mbj_error err;
	int ret;

	if (capture == NULL) {
		e_error(user->event, "mbj: the plugin is not for this user");
		return -1;
	}
	if (spool_load(&capture->spool, &err) < 0) {
		e_error(user->event, "mbj: %s", err.message);
		return -1;
	}
	/* Most users have none, and nobody is asked. */
	if (spool_is_empty(&capture->spool))
		return 0;
	capture->is_spooling = false;
	t_array_init(&vnames, 16);
	ret = spool_turns(capture, &vnames);
	if (ret <= 0)
		return ret;
	/* Each for as long as it takes, so that a turn finds it even. */
	array_foreach_elem(&vnames, vname) if (path_capture(capture, vname) < 0)
		ret = -1;
	if (ret > 0)
		ret = spool_turns(capture, &vnames);
	if (ret > 0)
		e_error(user->event,
			"mbj: some of what was changed while the journal was "
			"away is not told yet");
	return ret == 0 ? 0 : -1;
}
