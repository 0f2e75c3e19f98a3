/*
 * Messages: each mailbox of the account gets what the account has in it.  See
 * apply.h.
 *
 * Both sides are walked by UID.  A UID of Dovecot's is never given twice, so
 * what was compared once stays what it is: only its flags and its being there
 * can change.  Where neither side has changed since the last run, as their
 * revisions and counters say, nothing is walked.
 */
#include "apply.h"

#include <seq-range-array.h>

#include <mbj/message.h>

#include "apply_digest.h"
#include "apply_history.h"
#include "apply_mdbox.h"
#include "apply_origin.h"
#include "apply_save.h"

enum { WALK_TRIES = 5, WALK_MS = 5000 }; /* both, until it is given up */

struct walk {
	struct apply *apply;
	struct mailbox *box;
	uint32_t node;
	struct mbj_id id;
	struct known_box known; /* as of the last run */
	struct mbj_content content;
	struct mailbox_transaction_context *t;
	struct mail *mail;
	uint32_t seq, seq_count; /* the message that mail is at */
	struct apply_save save;
	struct origin origin;
	ARRAY_TYPE(seq_range) saved; /* UIDs; on the heap */
	/* Whom its list lets in behind its mail, once it was read. */
	ARRAY_TYPE(attribute) gives;
	bool is_awaited; /* somebody is to be let in */
	/* The first that is not the journal's of that UID, 0: none. */
	uint32_t kept_uid;
};

static int walk_fail(struct walk *walk, const char *what)
{
	return apply_fail(walk->apply, "cannot %s mailbox %s: %s", what,
			  walk->box->vname,
			  mailbox_get_last_internal_error(walk->box, NULL));
}

/* UID of the message that is next in Dovecot, UINT32_MAX: there is none. */
static uint32_t walk_uid(struct walk *walk)
{
	if (walk->seq > walk->seq_count)
		return UINT32_MAX;
	if (walk->mail->seq != walk->seq)
		mail_set_seq(walk->mail, walk->seq);
	return walk->mail->uid;
}

/* ------------------------------------------------------ what both have */

static int flags_apply(struct walk *walk, const struct mbj_message *message)
{
	const enum mail_flags mask = MAIL_FLAGS_NONRECENT;
	bool is_changed = false;

	if ((mail_get_flags(walk->mail) & mask) != message->flags) {
		mail_update_flags(walk->mail, MODIFY_REPLACE, message->flags);
		is_changed = true;
	}
	if (!apply_keywords_are_same(walk->mail, message)) {
		struct mail_keywords *keywords =
			apply_keywords(walk->apply, walk->box, message);

		if (keywords == NULL)
			return 0; /* told; others go on */
		mail_update_keywords(walk->mail, MODIFY_REPLACE, keywords);
		mailbox_keywords_unref(&keywords);
		is_changed = true;
	}
	if (is_changed)
		mail_update_modseq(walk->mail, message->modseq);
	return 0;
}

/* Mail that is not the journal's stays; others go on. */
static int message_keep(struct walk *walk, const char *why)
{
	if (walk->kept_uid == 0)
		walk->kept_uid = walk->mail->uid;
	(void)apply_fail(walk->apply, "message UID %u of %s %s, and is kept",
			 walk->mail->uid, walk->box->vname, why);
	return 0;
}

/* Below the mark that is known without. */
static int found_apply(struct walk *walk, const struct mbj_message *message)
{
	origin_mark_mail(walk->mail);
	return flags_apply(walk, message);
}

/* Behind a failure of Dovecot's about the message at hand. */
static int mail_fail(struct walk *walk)
{
	return walk->mail->expunged ? 0 : walk_fail(walk, "read");
}

/*
 * It has another GUID, or one that says little.  Where users changed this
 * Dovecot, and the journal was told, it is the journal's all the same, by its
 * bytes: a former primary's has none but such, where its service knew no GUIDs.
 */
static int other_apply(struct walk *walk, const struct mbj_message *message)
{
	const char *why = "";
	int ret = apply_is_same_message(walk->mail, message, &why);

	if (ret > 0)
		return found_apply(walk, message);
	if (ret < 0)
		return walk->mail->expunged
			       ? 0
			       : message_keep(walk,
					      t_strconcat("cannot be read, ",
							  why, NULL));
	ret = origin_look(&walk->origin, walk->mail);
	if (ret < 0)
		return mail_fail(walk);
	if (ret == 0)
		return message_keep(walk, "is not the journal's of that UID");
	/*
	 * One of the journal's that got another's UID: no user has it.  The
	 * next run looks whether it went: an mdbox's indexes that are made anew
	 * meanwhile have it still.
	 */
	mail_expunge(walk->mail);
	if (walk->kept_uid == 0)
		walk->kept_uid = walk->mail->uid;
	(void)apply_fail(walk->apply,
			 "message UID %u of %s was another one of the "
			 "journal's, and is gone: Dovecot does not give "
			 "that UID again",
			 message->uid, walk->box->vname);
	return 0;
}

static int same_apply(struct walk *walk, const struct mbj_message *message)
{
	const char *guid;

	if (message->uid < walk->known.mark)
		return flags_apply(walk, message);
	if (mail_get_special(walk->mail, MAIL_FETCH_GUID, &guid) < 0)
		return mail_fail(walk);
	return origin_is_message(&walk->origin, walk->mail, guid, message)
		       ? found_apply(walk, message)
		       : other_apply(walk, message);
}

/* ------------------------------------------------- what one has only */

static int extra_apply(struct walk *walk)
{
	int ret = walk->mail->uid < walk->known.mark
			  ? 1
			  : origin_look(&walk->origin, walk->mail);

	if (ret < 0)
		return mail_fail(walk);
	if (ret == 0)
		return message_keep(walk, "is not the journal's");
	mail_expunge(walk->mail);
	return 0;
}

static int missing_apply(struct walk *walk, const struct mbj_message *message)
{
	if (message->uid >= walk->save.next_uid) {
		seq_range_array_add(&walk->saved, message->uid);
		return save_message(&walk->save, message);
	}
	(void)apply_fail(walk->apply,
			 "message UID %u of %s is missing, and Dovecot gives "
			 "no UID below %u any more",
			 message->uid, walk->box->vname, walk->save.next_uid);
	return 0;
}

/* ------------------------------------------------------------- walking */

static int message_apply(struct walk *walk, const struct mbj_message *message)
{
	int ret = 0;

	while (ret == 0 && walk_uid(walk) < message->uid) {
		ret = extra_apply(walk);
		walk->seq++;
	}
	if (ret < 0)
		return ret;
	if (walk_uid(walk) != message->uid)
		return missing_apply(walk, message);
	ret = same_apply(walk, message);
	walk->seq++;
	return ret;
}

/* Returns: 1, it has changed; -1, told, or it is gone, as after the next run.
 */
static int content_fail(struct walk *walk, enum mbj_rc rc,
			const struct mbj_error *err)
{
	if (rc == MBJ_ECONFLICT)
		return 1;
	if (rc == MBJ_ENOTFOUND)
		return -1;
	return apply_fail(walk->apply, "mailbox %s: %s", walk->box->vname,
			  err->message);
}

/* As content_fail. */
static int pages_apply(struct walk *walk)
{
	uint32_t uid = 1;
	int ret = 0;

	while (ret == 0 && uid != 0) {
		struct mbj_client_messages page;
		struct mbj_error err;
		enum mbj_rc rc =
			mbj_client_messages(walk->apply->client,
					    walk->apply->account.id, walk->id,
					    uid, 0, walk->content.rev, &page,
					    &err);

		if (rc < 0)
			return content_fail(walk, rc, &err);
		ret = history_hold(walk->apply);
		save_page_begin(&walk->save, &page);
		for (size_t i = 0; ret == 0 && i < page.count; i++)
			T_BEGIN
			{
				ret = message_apply(walk, &page.messages[i]);
			}
		T_END;
		save_page_end(&walk->save);
		uid = page.next_uid;
		mbj_client_messages_done(&page);
	}
	for (; ret == 0 && walk_uid(walk) != UINT32_MAX; walk->seq++)
		ret = extra_apply(walk);
	return ret;
}

/* What was done until something failed is right, and stays. */
static int walk_apply(struct walk *walk)
{
	int ret;

	walk->t = mailbox_transaction_begin(walk->box,
					    MAILBOX_TRANSACTION_FLAG_SYNC,
					    "mbj apply");
	walk->mail = mail_alloc(walk->t, 0, NULL);
	walk->seq = 1;
	ret = pages_apply(walk);
	if (save_done(&walk->save) < 0)
		ret = -1;
	mail_free(&walk->mail);
	if (mailbox_transaction_commit(&walk->t) < 0)
		ret = walk_fail(walk, "change");
	save_abort(&walk->save);
	if (mailbox_sync(walk->box, 0) < 0)
		ret = walk_fail(walk, "synchronise");
	return ret;
}

/* UIDNEXT and HIGHESTMODSEQ only ever rise. */
static int counters_apply(struct walk *walk, struct mailbox_status *status)
{
	struct mailbox_update update = {.uid_validity = 0};

	mailbox_get_open_status(walk->box, APPLY_STATUS, status);
	if (status->uidnext < walk->content.uidnext)
		update.min_next_uid = walk->content.uidnext;
	if (status->highest_modseq < walk->content.modseq)
		update.min_highest_modseq = walk->content.modseq;
	if (update.min_next_uid == 0 && update.min_highest_modseq == 0)
		return 0;
	if (mailbox_update(walk->box, &update) < 0 ||
	    mailbox_sync(walk->box, 0) < 0)
		return walk_fail(walk, "set UIDNEXT and HIGHESTMODSEQ of");
	mailbox_get_open_status(walk->box, APPLY_STATUS, status);
	return 0;
}

static bool is_as_left(const struct walk *walk,
		       const struct mailbox_status *status)
{
	const struct known_box *known = &walk->known;

	return known->mark != 0 && known->rev == walk->content.rev &&
	       known->uidvalidity == status->uidvalidity &&
	       known->uidnext == status->uidnext &&
	       known->modseq == status->highest_modseq &&
	       known->messages == status->messages;
}

/* rev: as of mbj_client_messages.  Returns: as content_fail. */
static int content_read(struct walk *walk, uint64_t rev)
{
	struct mbj_client_messages page;
	struct mbj_error err;
	enum mbj_rc rc = mbj_client_messages(walk->apply->client,
					     walk->apply->account.id, walk->id,
					     1, 1, rev, &page, &err);

	if (rc < 0)
		return content_fail(walk, rc, &err);
	walk->content = page.content;
	mbj_client_messages_done(&page);
	return history_hold(walk->apply);
}

/* From that UID on there is nothing but what was saved. */
static bool only_saved_is_from(struct walk *walk, uint32_t first_uid)
{
	ARRAY_TYPE(seq_range) seqs, uids;
	uint32_t seq, last;

	mailbox_get_seq_range(walk->box, first_uid, (uint32_t)-1, &seq, &last);
	if (seq == 0)
		return true;
	t_array_init(&seqs, 1);
	t_array_init(&uids, 32);
	seq_range_array_add_range(&seqs, seq, last);
	mailbox_get_uid_range(walk->box, &seqs, &uids);
	(void)seq_range_array_remove_seq_range(&uids, &walk->saved);
	return array_is_empty(&uids);
}

/*
 * What the next run may rely on.  Below the mark is nothing but the journal's,
 * which goes when the journal has it no more: what the walk met, and what it
 * saved, where nothing else came meanwhile.  UIDs only rise, so nothing can
 * come there later.  Where something is not the journal's, all below it is.
 * Only a walk that found nothing to do has seen all that there is (rev): others
 * may have come and gone beside one that did.  A RENAME leaves an index of
 * private flags (INDEXPVT) behind, which shows in no number.
 */
static void box_record(struct walk *walk, const struct mailbox_status *before,
		       const struct mailbox_status *after, bool is_good)
{
	bool has_come = before->uidnext != after->uidnext;
	bool is_same = !has_come && before->messages == after->messages &&
		       before->highest_modseq == after->highest_modseq;
	struct known_box box = {.id = walk->id,
				.mark = walk->content.uidnext,
				.uidvalidity = after->uidvalidity,
				.uidnext = after->uidnext,
				.modseq = after->highest_modseq,
				.messages = after->messages};

	if (has_come && !only_saved_is_from(walk, before->uidnext))
		box.mark = I_MIN(box.mark, before->uidnext);
	if (is_same && is_good && walk->box->list->set.index_pvt_dir == NULL)
		box.rev = walk->content.rev;
	if (walk->kept_uid != 0) {
		box.mark = I_MIN(box.mark, walk->kept_uid);
		box.doubt = walk->known.doubt;
	}
	known_set(&walk->apply->known, &box);
}

/* What comes from now on is of one history: on disk, before any of it does. */
static int doubt_settle(struct walk *walk, const struct mailbox_status *now)
{
	struct known_box box;

	if (walk->known.doubt != KNOWN_DOUBT_ALL)
		return 0;
	walk->known.doubt = now->uidnext;
	box = *known_find(&walk->apply->known, walk->id);
	box.doubt = now->uidnext;
	known_set(&walk->apply->known, &box);
	return now->uidnext <= 1 ? 0 : known_replace(walk->apply);
}

/* All that is in it.  Returns: 1, it has changed meanwhile; -1, told. */
static int content_apply(struct walk *walk, const struct mailbox_status *before)
{
	unsigned int failures = walk->apply->failures;
	struct mailbox_status after;
	int ret;

	known_adapt(walk->apply, &walk->known, walk->box, before);
	if (walk->known.mark == 0 && known_forget(walk->apply, walk->id) < 0)
		return -1;
	if (doubt_settle(walk, before) < 0)
		return -1;
	walk->seq_count = before->messages;
	walk->save =
		(struct apply_save){.apply = walk->apply,
				    .box = walk->box,
				    .mailbox = walk->id,
				    .next_uid = before->uidnext,
				    .ahead = {.is_refused =
						      walk->apply->is_former}};
	walk->origin = (struct origin){.apply = walk->apply,
				       .mailbox = walk->id,
				       .uidvalidity = before->uidvalidity,
				       .rev = walk->content.rev,
				       .doubt = walk->known.doubt};
	i_array_init(&walk->saved, 32);
	ret = walk_apply(walk);
	origin_done(&walk->origin);
	if (ret == 0)
		ret = counters_apply(walk, &after);
	if (ret == 0)
		box_record(walk, before, &after,
			   walk->apply->failures == failures);
	array_free(&walk->saved);
	return ret;
}

/*
 * The list is read between the content and another request for that same
 * revision of it, so the two belong together.  Returns: 1, once more.
 */
static int box_apply(struct walk *walk)
{
	struct mailbox_status before;
	bool is_same, is_list_wanted;
	int ret;

	if (content_read(walk, 0) < 0 ||
	    apply_box_open(walk->apply, walk->box, walk->id) < 0)
		return -1;
	mailbox_get_open_status(walk->box, APPLY_STATUS, &before);
	is_same = is_as_left(walk, &before);
	is_list_wanted =
		walk->is_awaited || walk->content.uidnext > before.uidnext;
	if (is_same && !is_list_wanted)
		return 0;
	if (walk->known.uidvalidity == before.uidvalidity &&
	    walk->content.rev < walk->known.rev)
		return apply_fail(walk->apply,
				  "mailbox %s is further back there than it "
				  "was in an earlier run, and is left as it is",
				  walk->box->vname);
	if (history_reach(walk->apply, walk->id, &walk->content) < 0)
		return -1;
	if (is_list_wanted &&
	    apply_mailbox_attributes(walk->apply, walk->node, &walk->gives) < 0)
		return -1;
	walk->is_awaited = is_list_wanted && array_count(&walk->gives) > 0;
	ret = is_same ? content_read(walk, walk->content.rev)
		      : content_apply(walk, &before);
	if (ret != 0 || !walk->is_awaited)
		return ret;
	if (walk->kept_uid != 0)
		return -1;
	return apply_mailbox_gives(walk->apply, walk->node, &walk->gives);
}

static int seen_order(const struct mbj_id *id, const struct seen_box *seen)
{
	return mbj_id_compare(*id, seen->id);
}

/*
 * As it was when the run began both sides were as the last run left them: it
 * need not be opened.  What has come since is the next run's.
 */
static bool is_untouched(struct walk *walk)
{
	const struct mbj_node *node =
		mbj_tree_get(walk->apply->wanted, walk->node);
	const struct mbj_client_content *content =
		apply_content(walk->apply, walk->id);
	const struct seen_box *seen =
		array_bsearch(&walk->apply->seen, &walk->id, seen_order);

	if (content == NULL || seen == NULL || walk->is_awaited ||
	    seen->status.uidvalidity != node->uidvalidity)
		return false;
	walk->content = content->content;
	return is_as_left(walk, &seen->status) &&
	       walk->content.uidnext <= seen->status.uidnext;
}

static void mailbox_apply(struct apply *apply, uint32_t node)
{
	struct walk walk = {.apply = apply,
			    .node = node,
			    .id = mbj_tree_get(apply->wanted, node)->id,
			    .is_awaited =
				    apply->access[node] == APPLY_ACCESS_WAITS};
	const struct known_box *known = known_find(&apply->known, walk.id);
	int64_t until_ms = mbj_monotonic_ms() + WALK_MS;
	int ret = 1;

	if (known != NULL)
		walk.known = *known;
	if (is_untouched(&walk))
		return;
	/* Somebody may change it between two pages: from the front again. */
	for (int i = 0;
	     ret > 0 && (i < WALK_TRIES || mbj_monotonic_ms() < until_ms);
	     i++) {
		walk.kept_uid = 0;
		walk.box = apply_box(apply,
				     apply_path(apply, apply->wanted, node));
		ret = box_apply(&walk);
		mailbox_free(&walk.box);
	}
	if (ret > 0)
		(void)apply_fail(apply, "mailbox %s changes all the time",
				 apply_path(apply, apply->wanted, node));
	if (ret != 0 && walk.is_awaited)
		e_warning(apply->user->event,
			  "mbj: mailbox %s: nobody else is let in before its "
			  "mail is the journal's",
			  apply_path(apply, apply->wanted, node));
}

static void mailboxes_apply(struct apply *apply)
{
	uint32_t size = mbj_tree_size(apply->wanted);

	for (uint32_t i = 0; i < size && !apply->is_elsewhere; i++) {
		const struct mbj_node *node = mbj_tree_get(apply->wanted, i);

		if (node->is_live && node->is_selectable &&
		    apply->access[i] != APPLY_ACCESS_SHUT)
			T_BEGIN
			{
				mailbox_apply(apply, i);
			}
		T_END;
	}
}

/* Indexes that are made anew may have mail again that was not there. */
void apply_messages(struct apply *apply)
{
	uint32_t rebuilds = mdbox_rebuilds(apply);

	mailboxes_apply(apply);
	if (mdbox_rebuilds(apply) == rebuilds)
		return;
	array_clear(&apply->seen);
	mailboxes_apply(apply);
}
