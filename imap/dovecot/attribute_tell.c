/*
 * What Dovecot has of mailboxes' attributes, told to the journal: all of a
 * mailbox's are compared, so what was there before this plugin was comes in
 * with the first change, and an intent that was left open is settled in the
 * same way.  See turn.h.
 */
#include "access.h"
#include "mirror.h"
#include "turn.h"

enum {
	/* Of one edit: far below what the service takes. */
	PIECE_STEPS_MAX = 500,
	PIECE_BYTES_MAX = 4 << 20,
	/* Of the hundred that an account may have open. */
	DOUBTS_MAX = 50,
};

/* A mailbox in Dovecot and in the journal, and what is different. */
struct comparison {
	struct mbj_id mailbox; /* the journal's */
	struct mbj_id guid;    /* Dovecot's */
	uint64_t modseq;       /* likewise; 0: messages are to be told first */
	ARRAY_TYPE(metadata_edit) steps;
};

/* --------------------------------------------------------------- telling */

static int box_compare(struct turn *turn, struct mailbox *box, bool is_meantime,
		       struct comparison *ret_comparison)
{
	struct attributes here, there, meantime;
	ARRAY_TYPE(attribute) changes;
	const struct attribute *change;

	if (attributes_read(box, true, &here, &turn->why) < 0 ||
	    attributes_fetch(turn->account->client,
			     mbj_bytes_str(turn->account->name),
			     mbj_bytes_str(box->vname), box->inbox_user,
			     &ret_comparison->mailbox, &there, &turn->err) < 0)
		return -1;
	if (is_meantime)
		attributes_meantime(&there, &here, &meantime);
	attributes_compare(&there, is_meantime ? &meantime : &here, &changes);
	t_array_init(&ret_comparison->steps, 16);
	array_foreach(&changes, change)
	{
		struct mbj_metadata_edit step =
			attribute_step(change, ret_comparison->mailbox);

		array_push_back(&ret_comparison->steps, &step);
	}
	return 0;
}

/*
 * HIGHESTMODSEQ is told where no flags changed past the plugin: behind it
 * nobody would find them any more.  What changes messages next tells both.
 */
static int modseq_compare(struct turn *turn, struct spot at,
			  struct mirror *mirror, struct content *content,
			  struct comparison *comparison)
{
	ARRAY_TYPE(uint32_t) none;

	if (content_look(content, mbj_bytes_str(at.vname), &turn->err) < 0)
		return -1;
	t_array_init(&none, 1);
	mirror->content = content;
	comparison->modseq = mirror_has_changed(mirror, &none)
				     ? 0
				     : mirror->status.highest_modseq;
	return 0;
}

/*
 * Through a mailbox that is opened once more.  content: NULL, nothing of its
 * messages is told.  -1 with why or err.
 */
static int spot_compare(struct turn *turn, struct spot at, bool is_meantime,
			struct content *content,
			struct comparison *ret_comparison)
{
	struct mirror mirror = {.err = &turn->err};
	int ret;

	turn->why = NULL;
	ret = mirror_open(&mirror, at.list, at.vname, MIRROR_INDEX);
	i_assert(ret <= 0);
	if (ret < 0)
		turn->why = mirror.why;
	ret_comparison->guid = mirror.guid;
	if (ret == 0)
		ret = box_compare(turn, mirror.box, is_meantime,
				  ret_comparison);
	if (ret == 0 && content != NULL)
		ret = modseq_compare(turn, at, &mirror, content,
				     ret_comparison);
	mirror_close(&mirror);
	return ret;
}

/*
 * Dovecot's HIGHESTMODSEQ has risen with it: what changes later at a replica
 * must be above it.
 */
static int modseq_tell(struct turn *turn, struct content *content,
		       uint64_t modseq)
{
	enum mbj_rc rc;

	content->modseq = modseq;
	rc = content_touch(content, &turn->err);
	if (rc == MBJ_OK)
		rc = content_tell(content, &turn->err);
	return rc < 0 ? -1 : 0;
}

/* What is wrong with some steps, not with the journal. */
static bool is_refused(const struct turn *turn)
{
	return turn->err.refusal == MBJ_REFUSAL_INVALID_PROPERTIES ||
	       turn->err.refusal == MBJ_REFUSAL_TOO_LARGE;
}

static enum mbj_rc steps_submit(struct turn *turn,
				const struct mbj_metadata_edit *steps,
				size_t count)
{
	struct mbj_edit edit = account_metadata(turn->account, steps, count);

	return account_tell(turn->account, &edit, &turn->err);
}

static void step_leave_out(const struct turn *turn,
			   const struct mbj_metadata_edit *step)
{
	e_warning(turn->box->event, "mbj: left out: %s %s of %s: %s",
		  step->kind == MBJ_METADATA_ACL ? "access of" : "entry",
		  attribute_show(step->name), turn->at.vname,
		  turn->err.message);
}

/*
 * Each by itself: one that the store refuses keeps no other one from it, least
 * of all rights that are taken away.  Twice, since others may make room.
 */
static enum mbj_rc steps_submit_singly(struct turn *turn,
				       const struct mbj_metadata_edit *steps,
				       size_t count)
{
	bool *is_told = t_new(bool, count);
	enum mbj_rc rc = MBJ_OK;

	for (size_t k = 0; rc == MBJ_OK && k < 2 * count; k++) {
		size_t i = k % count;

		if (is_told[i])
			continue;
		rc = steps_submit(turn, &steps[i], 1);
		is_told[i] = rc == MBJ_OK;
		if (rc == MBJ_OK || !is_refused(turn))
			continue;
		if (k >= count)
			step_leave_out(turn, &steps[i]);
		rc = MBJ_OK;
	}
	return rc;
}

/* How many of the steps go into one edit: one of them at least. */
static size_t piece_size(const struct mbj_metadata_edit *steps, size_t count)
{
	size_t size = 0, n = 0;

	while (n < count && n < PIECE_STEPS_MAX && size < PIECE_BYTES_MAX)
		size += steps[n++].value.n;
	return n;
}

static enum mbj_rc steps_tell(struct turn *turn,
			      const struct mbj_metadata_edit *steps,
			      size_t count)
{
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && count > 0) {
		size_t n = piece_size(steps, count);

		rc = steps_submit(turn, steps, n);
		if (rc < 0 && is_refused(turn))
			rc = steps_submit_singly(turn, steps, n);
		steps += n;
		count -= n;
	}
	return rc;
}

/* In one edit, if it can be, else in pieces, of which the last closes it. */
static enum mbj_rc outcome_tell(struct turn *turn,
				const struct mbj_metadata_edit *steps,
				size_t count)
{
	struct mbj_edit edit = account_metadata(turn->account, steps, count);
	enum mbj_rc rc = MBJ_OK;

	if (count > 0 && piece_size(steps, count) == count) {
		rc = account_done_tell(turn->account, &edit, &turn->err);
		if (rc == MBJ_OK || !is_refused(turn))
			return rc;
	}
	rc = steps_tell(turn, steps, count);
	return rc == MBJ_OK ? account_failed_tell(turn->account, &turn->err)
			    : rc;
}

static int attributes_tell(struct turn *turn, struct spot at,
			   struct mbj_id mailbox, bool is_in_transaction,
			   struct content *content)
{
	const struct mbj_metadata_edit *steps;
	struct comparison found;
	unsigned int count;

	if (spot_compare(turn, at, false, content, &found) < 0)
		return -1;
	if (!mbj_id_equal(found.mailbox, mailbox) ||
	    !mbj_id_equal(found.guid, mailbox)) {
		turn->why = t_strdup_printf("%s is another mailbox by now",
					    at.vname);
		return -1;
	}
	if (found.modseq > 0 &&
	    modseq_tell(turn, content, found.modseq + is_in_transaction) < 0)
		return -1;
	steps = array_get(&found.steps, &count);
	return outcome_tell(turn, steps, count) < 0 ? -1 : 0;
}

int turn_tell_attributes(struct turn *turn, struct spot at,
			 struct mbj_id mailbox, bool is_in_transaction)
{
	struct content content;
	int ret;

	content_init(&content, turn->account);
	ret = attributes_tell(turn, at, mailbox, is_in_transaction, &content);
	content_done(&content);
	return ret;
}

/* -------------------------------------------------------------- settling */

/* Of another mailbox that has the name there: but the account's own are. */
static void steps_of_account(ARRAY_TYPE(metadata_edit) * steps)
{
	unsigned int count, kept = 0;
	struct mbj_metadata_edit *list = array_get_modifiable(steps, &count);

	for (unsigned int i = 0; i < count; i++)
		if (list[i].kind == MBJ_METADATA_ACCOUNT_ENTRY)
			list[kept++] = list[i];
	array_delete(steps, kept, count - kept);
}

/* Without an intent: what was set without this plugin. */
static int spot_tell(struct turn *turn, struct spot at, bool is_meantime)
{
	const struct mbj_metadata_edit *steps;
	struct comparison found;
	unsigned int count;

	if (spot_compare(turn, at, is_meantime, NULL, &found) < 0)
		return -1;
	if (!mbj_id_equal(found.mailbox, found.guid))
		steps_of_account(&found.steps);
	steps = array_get(&found.steps, &count);
	return steps_tell(turn, steps, count) < 0 ? -1 : 0;
}

int turn_compare_attributes(struct turn *turn, bool is_meantime)
{
	return spot_tell(turn, turn->at, is_meantime);
}

int turn_settle_server(struct turn *turn)
{
	struct spot inbox = {turn->capture->inbox->list, "INBOX"};
	struct account_folder folder;
	enum folder_kind kind;

	if (folder_look(inbox.list, inbox.vname, &kind, &folder, &turn->why) <
	    0)
		return -1;
	return kind == FOLDER_MAILBOX ? spot_tell(turn, inbox, false) : 0;
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
			return turn_tell_attributes(turn, at, doubt->mailbox,
						    false);
		/* It is elsewhere, or went: the tree is made Dovecot's. */
		turn->why = NULL;
		if (turn_refresh(turn) < 0)
			return -1;
		turn->account->intent = doubt->intent;
		if (turn_find(turn, doubt->mailbox, &at))
			return turn_tell_attributes(turn, at, doubt->mailbox,
						    false);
	}
	return account_failed_tell(turn->account, &turn->err) < 0 ? -1 : 0;
}

/*
 * Of one mailbox the last is as good as all: so there are no more than two of
 * it, and the user's changes are not refused for their number.  Those that are
 * left: how many.
 */
static size_t doubts_merge(struct turn *turn, struct account_doubt *doubts,
			   size_t count)
{
	size_t left = 0;

	for (size_t i = 0; i < count; i++) {
		bool is_last = true;

		for (size_t k = i + 1; k < count; k++)
			if (mbj_id_equal(doubts[i].mailbox, doubts[k].mailbox))
				is_last = false;
		turn->account->intent = doubts[i].intent;
		if (is_last ||
		    account_failed_tell(turn->account, &turn->err) < 0)
			doubts[left++] = doubts[i];
	}
	return left;
}

/* One that cannot be settled stays, unless there are too many such. */
static bool doubt_drop(struct turn *turn, const struct account_doubt *doubt,
		       size_t count)
{
	bool is_dropped = false;

	e_error(turn->box->event,
		"mbj: what became of attributes is not told yet: %s",
		turn->why != NULL ? turn->why : turn->err.message);
	turn->why = NULL;
	turn->account->intent = doubt->intent;
	if (count > DOUBTS_MAX)
		is_dropped = account_failed_tell(turn->account, &turn->err) ==
			     MBJ_OK;
	if (is_dropped)
		e_error(turn->box->event,
			"mbj: there are too many such mailboxes: it is told "
			"with the next change of its attributes");
	return is_dropped;
}

void turn_settle_attributes(struct turn *turn)
{
	struct account *account = turn->account;
	size_t count = account->attribute_doubt_count, open;
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
	open = count = doubts_merge(turn, left, count);
	for (size_t i = 0; i < count; i++)
		if (doubt_settle(turn, &left[i]) == 0 ||
		    doubt_drop(turn, &left[i], open))
			open--;
	turn->why = NULL;
	account->attribute_doubt_count = 0;
	account->intent = MBJ_ID_ROOT;
}
