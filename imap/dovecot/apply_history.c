/*
 * Whether the journal that is applied is the one of earlier runs.  See
 * apply_history.h.
 */
#include "apply_history.h"

#include <mbj/hash.h>

enum history {
	HISTORY_SAME,	/* it goes on from there */
	HISTORY_OTHER,	/* it went another way, or nobody can tell */
	HISTORY_BEHIND, /* it is not as far, and may come there */
	HISTORY_MUTE,	/* a service, or a note, of before does not say */
};

static enum history history_judge(const struct applied *then,
				  const struct applied *now,
				  const struct mbj_chain_at *at)
{
	if (then->end.lsn.v > at->last.v)
		return HISTORY_BEHIND;
	if (at->is_there)
		return memcmp(at->chain.b, then->end.chain.b,
			      sizeof(at->chain.b)) == 0
			       ? HISTORY_SAME
			       : HISTORY_OTHER;
	/* Trimmed: what one reign has written is one history. */
	return applied_is_of_reign(then, now->epoch, now->owner)
		       ? HISTORY_SAME
		       : HISTORY_OTHER;
}

static bool account_is_behind(const struct apply *apply)
{
	return apply->account.lsn.v < apply->known.applied.lsn.v;
}

/* Returns: -1, told. */
static int history_find(struct apply *apply, const struct applied *now,
			enum history *ret_history)
{
	const struct applied *then = &apply->known.applied;
	struct mbj_chain_at at;
	struct mbj_error err;
	enum mbj_rc rc;

	*ret_history = HISTORY_SAME;
	/* All of it that can be in Dovecot is what the account has. */
	if (mbj_id_is_root(then->lineage) ||
	    applied_is_at(then, &apply->account))
		return 0;
	rc = applied_is_mute(then) ? MBJ_EUNSUPPORTED
				   : mbj_client_chain(apply->client,
						      then->end.lsn, &at, &err);
	if (rc == MBJ_EUNSUPPORTED)
		*ret_history = HISTORY_MUTE;
	else if (rc < 0)
		return apply_fail(apply, "%s", err.message);
	else
		*ret_history = history_judge(then, now, &at);
	/* The journal may be there, and its state not. */
	if (*ret_history == HISTORY_SAME && account_is_behind(apply))
		*ret_history = HISTORY_BEHIND;
	return 0;
}

/* -------------------------------------------------------------- what now */

static int behind_fail(struct apply *apply, const struct applied *now)
{
	const struct applied *then = &apply->known.applied;
	bool is_account = account_is_behind(apply);

	return apply_fail(
		apply,
		"the %s is at group %" PRIu64 " there, and was at %" PRIu64
		" in an earlier run: nothing is changed before it is as far "
		"again; where it has gone another way by then all mail is "
		"compared anew",
		is_account ? "account" : "journal",
		is_account ? apply->account.lsn.v : now->end.lsn.v,
		is_account ? then->lsn.v : then->end.lsn.v);
}

/* What came then may be no part of what the journal has: nothing is relied on.
 */
static void marks_forget(struct known *known, bool is_in_doubt)
{
	struct known_box *box;

	array_foreach_modifiable(&known->boxes, box)
	{
		box->rev = 0;
		box->mark = 0;
		if (is_in_doubt)
			box->doubt = KNOWN_DOUBT_ALL;
	}
	known->is_changed = true;
}

/*
 * Nor is anything that is there taken for the journal's by what it is called:
 * what it lacks may never have been in it.
 */
static void history_part(struct apply *apply)
{
	struct known *known = &apply->known;

	marks_forget(known, true);
	e_warning(apply->user->event,
		  "mbj: the journal has not the group %" PRIu64
		  " of an earlier run, or can tell no more whether it had it: "
		  "all mail is compared anew, and what the journal does not "
		  "have is kept",
		  known->applied.end.lsn.v);
}

static struct applied applied_now(const struct apply *apply,
				  const struct mbj_client_status *status)
{
	/* Read behind the tree: what comes is of then. */
	const struct mbj_account *account =
		apply->is_former ? &apply->account : &apply->contents.account;

	return (struct applied){
		.lineage = status->identity.lineage,
		.account = account->id,
		.lsn = account->lsn,
		.digest = account->digest,
		.end = {status->applied.lsn, status->applied.chain},
		.epoch = status->identity.epoch,
		.owner = status->identity.epoch_owner,
	};
}

static int identity_check(struct apply *apply, struct mbj_id lineage)
{
	const struct known *known = &apply->known;
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(known->applied.lineage, text);
	if (mbj_id_is_root(known->applied.lineage))
		return 0;
	if (!mbj_id_equal(known->applied.lineage, lineage))
		return apply_fail(
			apply,
			"the service has another store than the one, "
			"of lineage %s, that this user's mailboxes "
			"came from: nothing is changed; without %s it "
			"is taken for the right one",
			text, known->path);
	if (!mbj_id_equal(known->applied.account, apply->account.id))
		return apply_fail(apply,
				  "account %s is another one than this user's "
				  "mailboxes came from, made again or given "
				  "the name since: nothing is changed; without "
				  "%s it is taken for the right one",
				  apply->name, known->path);
	return 0;
}

/* The run says no more of anything: the next one looks what there is. */
static int elsewhere_fail(struct apply *apply, const char *what)
{
	if (apply->is_elsewhere)
		return -1;
	apply->is_elsewhere = true;
	return apply_fail(apply,
			  "the service has another %s than when this run "
			  "began, which ends here: another run compares",
			  what);
}

int history_hold(struct apply *apply)
{
	const struct mbj_identity *then = &apply->identity;
	const struct mbj_identity *now = mbj_client_identity(apply->client);

	if (!apply->is_elsewhere && mbj_id_equal(then->lineage, now->lineage) &&
	    mbj_id_equal(then->instance, now->instance) &&
	    then->epoch.v == now->epoch.v &&
	    mbj_id_equal(then->epoch_owner, now->epoch_owner))
		return 0;
	return elsewhere_fail(apply, "store, or reign,");
}

int history_check(struct apply *apply, const struct mbj_client_status *status)
{
	struct applied now = applied_now(apply, status);
	struct known *known = &apply->known;
	struct applied *then = &known->applied;
	enum history history;

	if (history_hold(apply) < 0 || identity_check(apply, now.lineage) < 0 ||
	    history_find(apply, &now, &history) < 0)
		return -1;
	if (history == HISTORY_BEHIND)
		return behind_fail(apply, &now);
	/* Once it is as far again nothing will tell what it is. */
	if (history == HISTORY_MUTE && account_is_behind(apply)) {
		marks_forget(known, false);
		return known_replace(apply) < 0 ? -1 : behind_fail(apply, &now);
	}
	if (history == HISTORY_OTHER)
		history_part(apply);
	apply->is_of_one_moment = now.lsn.v == apply->account.lsn.v;
	if (history == HISTORY_OTHER || now.lsn.v != then->lsn.v ||
	    !mbj_digest_equal(&now.digest, &then->digest) ||
	    !applied_is_of_reign(then, now.epoch, now.owner)) {
		*then = now;
		known->is_changed = true;
	}
	return 0;
}

/* It goes on from what is noted, for all that its service can say. */
static int reach_check(struct apply *apply, const struct mbj_account *account,
		       const struct mbj_client_status *status)
{
	const struct applied *then = &apply->known.applied;
	const struct applied now = {.epoch = status->identity.epoch,
				    .owner = status->identity.epoch_owner};
	struct mbj_chain_at at;
	struct mbj_error err;
	enum mbj_rc rc;

	rc = mbj_client_chain(apply->client, then->end.lsn, &at, &err);
	if (rc < 0 && rc != MBJ_EUNSUPPORTED)
		return apply_fail(apply, "%s", err.message);
	if (account->lsn.v < then->lsn.v ||
	    (rc == MBJ_OK && history_judge(then, &now, &at) != HISTORY_SAME))
		return elsewhere_fail(apply, "journal");
	return history_hold(apply);
}

static void reach_note(struct apply *apply, const struct mbj_account *account,
		       const struct mbj_client_status *status)
{
	struct applied *applied = &apply->known.applied;

	applied->lsn = account->lsn;
	applied->digest = account->digest;
	applied->is_done = false;
	applied->end.lsn = status->applied.lsn;
	applied->end.chain = status->applied.chain;
	apply->is_of_one_moment = false;
}

int history_reach(struct apply *apply, struct mbj_id mailbox,
		  const struct mbj_content *content)
{
	const struct mbj_client_content *then = apply_content(apply, mailbox);
	struct mbj_bytes name = mbj_bytes_str(apply->name);
	struct mbj_client_status status;
	struct mbj_account account;
	struct mbj_error err;
	enum mbj_rc rc;
	int ret;

	if (apply->is_former ||
	    (then != NULL && then->content.rev == content->rev))
		return 0;
	memset(&status, 0, sizeof(status));
	rc = mbj_client_account(apply->client, name, &account, &err);
	if (rc == MBJ_OK)
		rc = mbj_client_status(apply->client, &status, &err);
	ret = rc < 0 ? apply_fail(apply, "%s", err.message)
		     : reach_check(apply, &account, &status);
	if (ret == 0)
		reach_note(apply, &account, &status);
	mbj_client_status_done(&status);
	return ret < 0 ? -1 : known_replace(apply);
}
