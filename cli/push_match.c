/*
 * Which of the server's mailboxes are ours: by MAILBOXID where the server has
 * them (RFC 8474), else by name and UIDVALIDITY, where UIDNEXT did not go back.
 *
 * At most one step is in doubt.  Before a rename the old name is taken and the
 * new one free, after it the other way round; evidence tells where a name may
 * have been taken by others since.
 */
#include "push.h"

bool push_is_same(const struct push *p, const struct push_seen *seen,
		  uint32_t uidvalidity, uint32_t uidnext,
		  struct mbj_bytes object)
{
	if (!seen->is_selectable)
		return false;
	if (push_can(p, MBJ_IMAP_CAPABILITY_OBJECTID) && object.n > 0)
		return mbj_bytes_equal(seen->object, object);
	return seen->uidvalidity == uidvalidity && seen->uidnext >= uidnext;
}

/*
 * A mailbox of which the server told nothing, although it lists it, may be the
 * one that is looked for: by its name, or, where MAILBOXIDs tell and none is
 * it, any that could be ours.
 */
static bool is_silent(const struct push *p, struct mbj_bytes name,
		      struct mbj_bytes object)
{
	const struct push_seen *seen = push_seen_find(p, name);

	if (push_can(p, MBJ_IMAP_CAPABILITY_OBJECTID) && object.n > 0)
		return p->silence.rc < 0 &&
		       push_seen_find_object(p, object) == NULL;
	return seen != NULL && seen->is_silent;
}

static enum mbj_rc silence_say(struct push *p)
{
	p->err = p->silence;
	return p->err.rc;
}

/* ----------------------------------------------------- the step in doubt */

/* Was it another one of ours, which has its name no more? */
static bool is_others(const struct push *p, const struct push_seen *seen,
		      struct mbj_id id)
{
	for (size_t i = 0; i < p->file.count; i++) {
		const struct push_record *it = &p->file.records[i];
		const struct push_seen *old = push_seen_find(p, it->name);

		if (it->name.n > 0 && !mbj_id_equal(it->id, id) &&
		    push_is_same(p, seen, it->uidvalidity, it->uidnext,
				 it->object) &&
		    (old == NULL || !push_is_same(p, old, it->uidvalidity,
						  it->uidnext, it->object)))
			return true;
	}
	return false;
}

static enum mbj_rc create_settle(struct push *p, const struct push_doubt *step)
{
	const struct push_seen *seen = push_seen_find(p, step->to);
	struct push_record record = {.id = step->id, .name = step->to};
	char mail[PUSH_MAIL_TEXT];

	if (seen == NULL || !seen->is_selectable ||
	    is_others(p, seen, step->id))
		return push_file_settled(&p->file, &p->err);
	/* There was none of that name.  Mail may have come since; where others
	 * made it, theirs is as safe in one of ours. */
	if (!push_is_empty(seen))
		push_say(p, seen->name,
			 "is taken as ours: a push was cut when it created it, "
			 "and it has %s by now",
			 push_mail_text(seen, mail));
	record.uidvalidity = seen->uidvalidity;
	record.uidnext = seen->uidnext;
	record.object = seen->object;
	return push_file_mailbox(&p->file, &record, &p->err);
}

static bool rename_is_done(const struct push *p, const struct push_doubt *step)
{
	const struct push_seen *from = push_seen_find(p, step->from);
	const struct push_seen *to = push_seen_find(p, step->to);
	const struct push_seen *it;

	if (push_can(p, MBJ_IMAP_CAPABILITY_OBJECTID) && step->object.n > 0) {
		it = push_seen_find_object(p, step->object);
		return it != NULL && mbj_bytes_equal(it->name, step->to);
	}
	if (from != NULL &&
	    push_is_same(p, from, step->uidvalidity, 0, step->object))
		return false;
	return to != NULL && to->is_selectable;
}

/*
 * One of the mailboxes that a rename took along: what its record is to say.  A
 * server may have renamed a mailbox and not, or not yet, all that is below it:
 * what is where it was is left there, and planned again.  Some servers give
 * another UIDVALIDITY along with another name.
 */
static enum mbj_rc record_follow(struct push *p, const struct push_doubt *step,
				 struct push_record record)
{
	const struct push_seen *old = push_seen_find(p, record.name), *seen;
	enum mbj_rc rc;

	if (old != NULL && push_is_same(p, old, record.uidvalidity,
					record.uidnext, record.object))
		return MBJ_OK;
	mbj_buf_clear(&p->name);
	mbj_buf_put_bytes(&p->name, step->to);
	mbj_buf_put(&p->name, record.name.p + step->from.n,
		    record.name.n - step->from.n);
	rc = mbj_buf_ok(&p->name, &p->err);
	if (rc < 0)
		return rc;
	seen = push_seen_find(p, mbj_buf_view(&p->name));
	if (seen == NULL || !seen->is_selectable ||
	    (push_can(p, MBJ_IMAP_CAPABILITY_OBJECTID) && record.object.n > 0 &&
	     !mbj_bytes_equal(seen->object, record.object)))
		return MBJ_OK;
	record.name = seen->name;
	record.uidvalidity = seen->uidvalidity;
	record.uidnext = seen->uidnext;
	record.object = seen->object;
	return push_file_mailbox(&p->file, &record, &p->err);
}

/* The step stays open until all of them are right. */
static enum mbj_rc rename_settle(struct push *p, const struct push_doubt *step)
{
	enum mbj_rc rc = MBJ_OK;

	if (!rename_is_done(p, step))
		return push_file_settled(&p->file, &p->err);
	for (size_t i = 0; rc == MBJ_OK && i < p->file.count; i++) {
		struct mbj_bytes name = p->file.records[i].name;

		if (mbj_bytes_equal(name, step->from) ||
		    push_is_below(name, step->from, p->delimiter))
			rc = record_follow(p, step, p->file.records[i]);
	}
	return rc == MBJ_OK ? push_file_settled(&p->file, &p->err) : rc;
}

static enum mbj_rc delete_settle(struct push *p, const struct push_doubt *step)
{
	const struct push_seen *seen = push_seen_find(p, step->from);

	if (seen != NULL &&
	    push_is_same(p, seen, step->uidvalidity, 0, step->object))
		return push_file_settled(&p->file, &p->err);
	return push_gone(p, step->id);
}

static enum mbj_rc doubt_say(struct push *p, const struct push_doubt *step)
{
	static const char *const WORDS[] = {
#define X(name, word) [PUSH_STEP_##name] = #name,
		PUSH_STEP_MAP(X)
#undef X
	};
	char from[256], to[256];

	(void)mbj_text_escape(from, sizeof(from), step->from);
	(void)mbj_text_escape(to, sizeof(to), step->to);
	return mbj_error_prefix(
		&p->err, silence_say(p),
		"a push was cut, and whether it did %s%s%s%s%s is not known "
		"yet",
		WORDS[step->kind], step->from.n > 0 ? " " : "", from,
		step->to.n > 0 ? " " : "", to);
}

static enum mbj_rc doubt_settle(struct push *p)
{
	struct push_doubt step = p->file.doubt;

	if (step.kind != PUSH_STEP_NONE &&
	    (is_silent(p, step.from, step.object) ||
	     is_silent(p, step.to, step.object)))
		return doubt_say(p, &step);
	switch (step.kind) {
	case PUSH_STEP_CREATE:
		return create_settle(p, &step);
	case PUSH_STEP_RENAME:
		return rename_settle(p, &step);
	case PUSH_STEP_DELETE:
		return delete_settle(p, &step);
	case PUSH_STEP_NONE:
		break;
	}
	return MBJ_OK;
}

/* ---------------------------------------------------------- what is ours */

static uint32_t wanted_inbox(const struct push *p)
{
	return mbj_tree_find_slot(p->wanted, MBJ_NODE_ROOT,
				  mbj_bytes_str("INBOX"));
}

/* Where the mailbox of a record is now. */
static struct push_seen *record_seen(const struct push *p,
				     const struct push_record *record)
{
	struct push_seen *seen;

	if (push_can(p, MBJ_IMAP_CAPABILITY_OBJECTID) && record->object.n > 0)
		return push_seen_find_object(p, record->object);
	seen = push_seen_find(p, record->name);
	return seen != NULL && push_is_same(p, seen, record->uidvalidity,
					    record->uidnext, record->object)
		       ? seen
		       : NULL;
}

/* Nobody is to find out too late that others work there, too. */
static void record_lost(struct push *p, struct push_record record,
			bool *is_foreign)
{
	const struct push_seen *seen = push_seen_find(p, record.name);
	bool is_wanted = mbj_tree_find(p->wanted, record.id) != MBJ_NODE_NONE;

	if (is_wanted) {
		push_say(p, record.name, "%s",
			 seen != NULL && seen->is_selectable
				 ? "is not the mailbox that was pushed: "
				   "another one has its name"
				 : "was deleted or renamed at the server, and "
				   "not by us");
		*is_foreign = true;
	}
	push_file_find(&p->file, record.id)->is_lost =
		!is_wanted || p->call->options.is_overruling;
}

enum mbj_rc push_lost(struct push *p)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < p->file.count; i++) {
		if (p->file.records[i].name.n > 0 && p->file.records[i].is_lost)
			rc = push_gone(p, p->file.records[i].id);
	}
	return rc;
}

/* What its name and numbers are by now. */
static enum mbj_rc record_take(struct push *p, struct push_record record,
			       struct push_seen *seen, bool *is_foreign)
{
	bool is_renamed = !mbj_bytes_equal(record.name, seen->name);

	if (is_renamed) {
		struct mbj_bytes name = {NULL, 0};
		uint32_t node = mbj_tree_find(p->wanted, record.id);
		enum mbj_rc rc = MBJ_OK;

		if (node != MBJ_NODE_NONE)
			rc = push_name(p, p->wanted, node, &name);
		if (rc < 0)
			return rc;
		/* They may have done what we are about to do. */
		if (!mbj_bytes_equal(name, seen->name)) {
			push_say(p, record.name,
				 "was renamed at the server, and not by us; "
				 "there it is %.*s",
				 (int)seen->name.n, (const char *)seen->name.p);
			*is_foreign = true;
			if (!p->call->options.is_overruling)
				return MBJ_OK;
		}
	}
	seen->id = record.id;
	if (!is_renamed && seen->uidvalidity == record.uidvalidity)
		return MBJ_OK;
	record.name = seen->name;
	record.uidvalidity = seen->uidvalidity;
	record.uidnext = seen->uidnext;
	return push_file_mailbox(&p->file, &record, &p->err);
}

/* INBOX is there always, and is whatever mailbox of ours has that name. */
static enum mbj_rc inbox_take(struct push *p)
{
	struct push_seen *seen = push_seen_find(p, mbj_bytes_str("INBOX"));
	uint32_t node = wanted_inbox(p);
	const struct push_record *record;
	const struct mbj_node *inbox;
	struct push_record now;
	enum mbj_rc rc = MBJ_OK;

	if (seen == NULL || node == MBJ_NODE_NONE)
		return mbj_error_set(&p->err, MBJ_EUNSUPPORTED,
				     "%s has no INBOX",
				     seen == NULL ? "the server"
						  : "the account");
	if (seen->is_silent)
		return silence_say(p);
	inbox = mbj_tree_get(p->wanted, node);
	seen->id = inbox->id;
	record = push_file_find(&p->file, seen->id);
	now = (struct push_record){.id = seen->id,
				   .uidvalidity = seen->uidvalidity,
				   .uidnext = seen->uidnext,
				   .object = seen->object,
				   .name = seen->name};
	if (record == NULL || !mbj_bytes_equal(record->name, seen->name) ||
	    record->uidvalidity != seen->uidvalidity) {
		/* What it had under another name there is not in INBOX. */
		if (record != NULL &&
		    !mbj_bytes_equal(record->name, seen->name))
			rc = push_gone(p, seen->id);
		if (rc == MBJ_OK)
			rc = push_file_mailbox(&p->file, &now, &p->err);
	}
	for (size_t i = 0; rc == MBJ_OK && i < p->file.count; i++) {
		struct push_record other = p->file.records[i];

		if (mbj_bytes_equal(other.name, seen->name) &&
		    !mbj_id_equal(other.id, seen->id))
			rc = push_hand(p, other, inbox, push_is_empty(seen));
	}
	return rc;
}

enum mbj_rc push_match(struct push *p)
{
	bool is_foreign = false;
	enum mbj_rc rc = doubt_settle(p);

	if (rc == MBJ_OK)
		rc = inbox_take(p);
	for (size_t i = 0; rc == MBJ_OK && i < p->file.count; i++) {
		struct push_record record = p->file.records[i];
		struct push_seen *seen;

		if (record.name.n == 0 ||
		    mbj_bytes_equal(record.name, mbj_bytes_str("INBOX")))
			continue;
		seen = record_seen(p, &record);
		if (seen == NULL && is_silent(p, record.name, record.object))
			return silence_say(p);
		if (seen == NULL)
			record_lost(p, record, &is_foreign);
		else
			rc = record_take(p, record, seen, &is_foreign);
	}
	if (rc < 0 || !is_foreign || p->call->options.is_overruling)
		return rc;
	return mbj_error_set(&p->err, MBJ_ECONFLICT,
			     "others have changed mailboxes that were pushed; "
			     "nothing was done; --overrule makes them what the "
			     "journal says");
}
