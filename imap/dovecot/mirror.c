/*
 * Reading messages out of Dovecot.  See mirror.h.
 *
 * Not here: their bytes (mirror_body.c), GUIDs (mirror_guid.c), flags and
 * keywords, and the index of who has the mailbox open (mirror_index.c).
 *
 * Invariants:
 *   1. bytes are as IMAP shows them: lines end with CRLF, whatever is on disk;
 *   2. no message is in memory as a whole, but for short ones (content.h,
 *      kept.c).
 */
#include "mirror_impl.h"

#include <array.h>
#include <index-storage.h>
#include <ioloop.h>

#include <mbj/codec.h>
#include <mbj/sys.h>

#include "uidlist.h"

enum { PAGE_MESSAGES = 1000 };

int mirror_why(struct mirror *mirror, const char *what)
{
	mirror->why =
		t_strdup_printf("%s mailbox %s: %s", what,
				mailbox_get_vname(mirror->box),
				mailbox_get_last_internal_error(mirror->box,
								NULL));
	return -1;
}

/* A Maildir is read as a whole otherwise, however little has changed. */
static int index_sync(struct mailbox *box)
{
	struct mailbox_sync_context *ctx;
	struct mailbox_sync_status status;
	struct mailbox_sync_rec rec;

	if (mail_index_refresh(box->index) < 0) {
		mailbox_set_index_error(box);
		return -1;
	}
	ctx = index_mailbox_sync_init(box, 0, false);
	while (index_mailbox_sync_next(ctx, &rec))
		continue;
	return index_mailbox_sync_deinit(ctx, &status);
}

static int storage_sync(struct mailbox *box, enum mirror_look look)
{
	if (look == MIRROR_INDEX)
		return 0;
	return mailbox_sync(box, look == MIRROR_WHOLE
					 ? MAILBOX_SYNC_FLAG_FULL_READ
					 : 0);
}

static enum mail_flags no_flags(struct mailbox *box ATTR_UNUSED)
{
	return 0;
}

int mirror_open(struct mirror *mirror, struct mailbox_list *list,
		const char *vname, enum mirror_look look)
{
	struct uidlist_head head;

	mirror->box = mailbox_alloc(list, vname, MAILBOX_FLAG_IGNORE_ACLS);
	/* Another user's is as its owner has it: what this one has seen of it
	 * may be in an index of his own (INDEXPVT). */
	if (box_is_others(mirror->box)) {
		mirror->box->v.get_private_flags_mask = no_flags;
		mirror->keeps_seen =
			mirror->box->list->set.index_pvt_dir != NULL;
	}
	if (mailbox_open(mirror->box) < 0)
		return mirror_why(mirror, "cannot read");
	/*
	 * Indexes may be removed, or left behind, and are made anew.  One that
	 * cannot be read is in this process's memory, and says little.
	 */
	if (look == MIRROR_INDEX && uidlist_head(mirror->box, &head) &&
	    !mail_index_is_in_memory(mirror->box->index) &&
	    box_is_behind(mirror->box, &head))
		look = MIRROR_STORAGE;
	/*
	 * A Maildir whose directories are as its index's header says is not
	 * looked into, nor is more of the index read; a message is told in
	 * there behind that header.
	 */
	if (storage_sync(mirror->box, look) < 0 || index_sync(mirror->box) < 0)
		return mirror_why(mirror, "cannot read");
	if (box_head(mirror->box, &head) < 0)
		return mirror_why(mirror, "cannot get the GUID of");
	mirror->guid = head.guid;
	mailbox_get_open_status(mirror->box,
				STATUS_MESSAGES | STATUS_UIDNEXT |
					STATUS_UIDVALIDITY |
					STATUS_HIGHESTMODSEQ,
				&mirror->status);
	/* What is read here is no hint at what clients will read. */
	mirror->t =
		mailbox_transaction_begin(mirror->box,
					  MAILBOX_TRANSACTION_FLAG_NO_CACHE_DEC,
					  "mbj");
	mirror->mail = mail_alloc(mirror->t, 0, NULL);
	mirror->view = mirror->box->view;
	return 0;
}

void mirror_close(struct mirror *mirror)
{
	if (mirror->mail != NULL)
		mail_free(&mirror->mail);
	if (mirror->t != NULL)
		mailbox_transaction_rollback(&mirror->t);
	i_free(mirror->list_end);
	if (mirror->is_borrowed)
		mirror_peek_end(mirror);
	else if (mirror->box != NULL)
		mailbox_free(&mirror->box);
}

bool mirror_is_even(const struct mirror *mirror)
{
	const struct mbj_content *store = &mirror->content->store;
	const struct mailbox_status *status = &mirror->status;

	if (status->messages == 0 && store->message_count == 0)
		return true;
	/* A RENAME leaves an index of private flags behind, and raises none. */
	if (mirror->box->list->set.index_pvt_dir != NULL &&
	    !box_is_others(mirror->box))
		return false;
	return status->messages == store->message_count &&
	       status->highest_modseq == store->modseq;
}

/* ----------------------------------------------------------------- steps */

/*
 * UIDs only go up in the store, so what is passed cannot come in later.  That
 * one message is bad, and not this process without a key or a descriptor,
 * shows where one behind it can be read; that it stays so, where an earlier
 * turn stopped at it.  Until then what came in after it waits, too.
 */
static void message_wait(struct mirror *mirror)
{
	bool is_passed = mirror->is_lenient && !mirror->has_new;

	e_error(mirror->box->event,
		is_passed ? "mbj: left out, once one behind it is read: %s"
			  : "mbj: waits, with what is behind it: %s",
		mirror->why);
	mirror->why = NULL;
	mirror->is_unread = true;
	mirror->is_cut = !is_passed;
}

/*
 * Its size on disk shows that, so that nobody sends 4 GiB in vain.  is_short:
 * it may be held; lines get longer on the way.
 */
static bool message_is_too_large(struct mirror *mirror, uint32_t uid,
				 const struct kept_message *kept,
				 bool *ret_is_short)
{
	uoff_t size;

	*ret_is_short = false;
	if (kept != NULL)
		size = kept->size;
	else if (mail_get_physical_size(mirror->mail, &size) < 0)
		return false;
	*ret_is_short = size <= CONTENT_HELD_MAX;
	if (size <= MBJ_BLOB_MAX)
		return false;
	e_error(mirror->box->event,
		"mbj: left out: message %u of mailbox %s has %llu bytes", uid,
		mailbox_get_vname(mirror->box), (unsigned long long)size);
	return true;
}

/*
 * What was kept of it, unless one before it cannot be read: that this one can
 * is to show that it is not for want of a key.
 */
static const struct kept_message *message_kept(const struct mirror *mirror,
					       uint32_t uid)
{
	return mirror->is_unread ? NULL : kept_find(mirror->kept, uid);
}

/* Returns: 1, 0 the message is gone, -1. */
static int message_date(struct mirror *mirror, const struct kept_message *kept,
			int64_t *ret_date)
{
	time_t date;

	if (kept != NULL && kept->received_date != (time_t)-1)
		date = kept->received_date;
	else if (mail_get_received_date(mirror->mail, &date) < 0)
		return mirror->mail->expunged
			       ? 0
			       : mirror_why(mirror,
					    t_strdup_printf("message %u of",
							    mirror->mail->uid));
	*ret_date = date;
	return 1;
}

static int message_append(struct mirror *mirror, uint32_t seq)
{
	struct content_message message = mirror_message(mirror, seq);
	const struct kept_message *kept = message_kept(mirror, message.uid);
	struct mbj_buf body;
	bool is_short;
	int ret;

	if (kept == NULL || kept->received_date == (time_t)-1)
		mirror_body_hint(mirror);
	if (message_is_too_large(mirror, message.uid, kept, &is_short))
		return 0;
	mbj_buf_init(&body, CONTENT_HELD_MAX);
	ret = message_date(mirror, kept, &message.time);
	if (ret > 0)
		ret = mirror_guid(mirror, kept, &message);
	if (ret > 0)
		ret = mirror_body_put(mirror, kept, is_short, &message, &body);
	if (ret < 0 && mirror->why != NULL) {
		message_wait(mirror);
		ret = 0;
	} else if (ret > 0) {
		mirror->has_new = true;
		mirror->last_uid = message.uid;
		mirror->is_unread = false;
		ret = content_append(mirror->content, &message, &body,
				     mirror->err) < 0
			      ? -1
			      : 0;
	}
	mbj_buf_done(&body);
	return ret;
}

/* before: the message that was looked at last. */
static bool mirror_is_late(struct mirror *mirror, uint32_t before)
{
	bool has_more = mirror->late_uid != 0 && before + 1 >= mirror->late_uid;
	int64_t deadline = has_more ? mirror->late_ms : mirror->deadline_ms;

	mirror->is_cut = deadline != 0 && mbj_monotonic_ms() > deadline;
	return mirror->is_cut;
}

/* All from a UID on that no message of the store has had. */
static int mirror_new(struct mirror *mirror)
{
	uint32_t seq, last, uid = 0;
	int ret = 0;

	if (mirror->status.uidnext <= mirror->content->store.uidnext)
		return 0;
	mirror_seqs(mirror, mirror->content->store.uidnext, UINT32_MAX, &seq,
		    &last);
	/* What goes is told where what comes is refused, by a quota. */
	if (seq != 0 && content_tell(mirror->content, mirror->err) < 0)
		return -1;
	/* One at least, so that there is an end. */
	for (uint32_t first = seq; ret == 0 && seq != 0 && seq <= last; seq++) {
		if (seq > first && mirror_is_late(mirror, uid))
			break;
		mail_index_lookup_uid(mirror->view, seq, &uid);
		T_BEGIN
		{
			ret = message_append(mirror, seq);
		}
		T_END_PASS_STR_IF(ret < 0, &mirror->why);
		if (mirror->is_cut)
			break;
	}
	mirror->is_cut |= mirror->is_unread;
	return ret;
}

/* One that was there: its flags as they are, or that it is gone. */
static enum mbj_rc message_update(struct mirror *mirror, uint32_t uid)
{
	struct content_message message;
	uint32_t seq;

	if (!mail_index_lookup_seq(mirror->view, uid, &seq))
		return content_expunge(mirror->content, uid, mirror->err);
	message = mirror_message(mirror, seq);
	return content_flags(mirror->content, &message, mirror->err);
}

int mirror_some(struct mirror *mirror, const ARRAY_TYPE(uint32_t) * uids)
{
	enum mbj_rc rc = MBJ_OK;
	uint32_t uid;

	/* What is told is all of a message's flags. */
	if (mirror->keeps_seen && !array_is_empty(uids))
		return mirror_all(mirror);
	mirror->content->modseq = mirror->status.highest_modseq;
	array_foreach_elem(uids, uid)
	{
		if (uid >= mirror->content->store.uidnext)
			continue;
		T_BEGIN
		{
			rc = message_update(mirror, uid);
		}
		T_END;
		if (rc < 0)
			return -1;
	}
	return mirror_new(mirror);
}

bool mirror_has_lost(struct mirror *mirror, const ARRAY_TYPE(uint32_t) * uids)
{
	const struct mbj_content *store = &mirror->content->store;
	uint64_t had = mirror->status.messages;
	uint32_t seq, last, uid;

	mirror_seqs(mirror, store->uidnext, UINT32_MAX, &seq, &last);
	if (seq != 0)
		had -= last - seq + 1;
	array_foreach_elem(uids, uid) had +=
		uid < store->uidnext &&
		!mail_index_lookup_seq(mirror->view, uid, &seq);
	return had < store->message_count;
}

/* ------------------------------------------------------ the same messages */

/* What cannot be read shows nothing. */
static int message_is_same(struct mirror *mirror,
			   const struct mbj_message *have)
{
	uoff_t size;
	time_t date;

	if (mail_get_received_date(mirror->mail, &date) < 0 ||
	    mail_get_virtual_size(mirror->mail, &size) < 0 ||
	    ((int64_t)date == have->time && size == have->size))
		return 0;
	(void)mbj_error_set(
		mirror->err, MBJ_ECONFLICT,
		"message %u of mailbox %s is another one in the journal: "
		"%llu bytes of second %lld here, %llu of %lld there",
		have->uid, mailbox_get_vname(mirror->box),
		(unsigned long long)size, (long long)date,
		(unsigned long long)have->size, (long long)have->time);
	return -1;
}

int mirror_is_same(struct mirror *mirror)
{
	enum { TRIES = 16 }; /* of Dovecot's that the store has not */
	struct content *content = mirror->content;
	bool is_found = false;
	uint32_t seq, last;
	int ret = 0;

	if (content->store.uidnext <= 1)
		return 0;
	mirror_seqs(mirror, 1, content->store.uidnext - 1, &seq, &last);
	for (int i = 0; i < TRIES && ret == 0 && !is_found && last > 0;
	     i++, last--) {
		struct mbj_client_messages page = {.count = 0};

		mail_set_seq(mirror->mail, last);
		if (mbj_client_messages(content->account->client,
					content->account_id, content->mailbox,
					mirror->mail->uid, 1, 0, &page,
					mirror->err) < 0)
			return -1;
		is_found = page.count > 0 &&
			   page.messages[0].uid == mirror->mail->uid;
		if (is_found)
			ret = message_is_same(mirror, &page.messages[0]);
		mbj_client_messages_done(&page);
	}
	return ret;
}

/* ----------------------------------------------------------- all of them */

/* One of both, or of Dovecot's alone. */
static int pair_compare(struct mirror *mirror, const struct mbj_message *have)
{
	struct content_message message =
		mirror_message(mirror, mirror->mail->seq);

	if (have == NULL) {
		e_error(mirror->box->event,
			"mbj: left out: message %u of mailbox %s has a UID "
			"that the journal has passed",
			message.uid, mailbox_get_vname(mirror->box));
		return 0;
	}
	if (mirror->keeps_seen)
		message.flags |= have->flags & MBJ_FLAG_SEEN;
	if (have->flags == message.flags &&
	    mbj_bytes_equal(have->keywords, message.keywords))
		return 0;
	return content_flags(mirror->content, &message, mirror->err) < 0 ? -1
									 : 0;
}

/* Both are ascending; *seq is the first of Dovecot's that is not compared. */
static int page_compare(struct mirror *mirror,
			const struct mbj_client_messages *page, uint32_t *seq,
			uint32_t end)
{
	int ret = 0;

	for (size_t i = 0; ret == 0;) {
		const struct mbj_message *have =
			i < page->count ? &page->messages[i] : NULL;
		uint32_t uid = UINT32_MAX;

		if (*seq <= mirror->status.messages) {
			mail_set_seq(mirror->mail, *seq);
			uid = mirror->mail->uid;
		}
		if (have == NULL && uid >= end)
			break;
		T_BEGIN
		{
			if (have != NULL && have->uid < uid)
				ret = content_expunge(mirror->content,
						      have->uid,
						      mirror->err) < 0
					      ? -1
					      : 0;
			else
				ret = pair_compare(mirror,
						   have != NULL && have->uid ==
									   uid
							   ? have
							   : NULL);
		}
		T_END;
		i += have != NULL && have->uid <= uid;
		*seq += have == NULL || uid <= have->uid;
	}
	return ret;
}

int mirror_all(struct mirror *mirror)
{
	struct content *content = mirror->content;
	uint32_t from = 1, seq = 1;
	int ret = 0;

	content->modseq = mirror->status.highest_modseq;
	while (ret == 0 && from != 0) {
		struct mbj_client_messages page = {.count = 0};

		if (mbj_client_messages(content->account->client,
					content->account_id, content->mailbox,
					from, PAGE_MESSAGES, 0, &page,
					mirror->err) < 0)
			return -1;
		from = page.next_uid;
		ret = page_compare(mirror, &page, &seq,
				   from != 0 ? from : content->store.uidnext);
		mbj_client_messages_done(&page);
	}
	return ret < 0 ? ret : mirror_new(mirror);
}

/*
 * The last UID that was given is one of a message that is gone, and of which
 * nobody knows the bytes: it came, with none, and went.
 */
static int uid_pass(struct mirror *mirror, uint32_t uid)
{
	struct content_message message = {.uid = uid, .time = ioloop_time};
	struct mbj_buf none = {.n = 0};
	struct mbj_body_writer *writer = NULL;
	enum mbj_rc rc;

	/* As before what comes in: a quota may refuse it. */
	rc = content_tell(mirror->content, mirror->err);
	if (rc == MBJ_OK)
		rc = mbj_body_begin(mirror->content->account->client, &writer,
				    mirror->err);
	if (rc == MBJ_OK)
		rc = mbj_body_finish(&writer, &message.blob, &message.size,
				     mirror->err);
	mbj_body_abort(&writer);
	if (rc == MBJ_OK)
		rc = content_append(mirror->content, &message, &none,
				    mirror->err);
	if (rc == MBJ_OK)
		rc = content_expunge(mirror->content, uid, mirror->err);
	return rc < 0 ? -1 : 0;
}

int mirror_level(struct mirror *mirror)
{
	const struct mbj_content *store = &mirror->content->store;
	uint32_t last = mirror->status.uidnext - 1;

	return last >= store->uidnext && last > mirror->last_uid
		       ? uid_pass(mirror, last)
		       : 0;
}
