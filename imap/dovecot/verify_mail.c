/*
 * Messages of one mailbox, compared.  See verify.h.
 *
 * Both sides are walked by UID.  Bytes are read once; a look that follows holds
 * on to what was found.
 */
#include "verify.h"

#include <hex-binary.h>
#include <str.h>

#include <mbj/message.h>

#include "apply_digest.h"
#include "apply_origin.h"

struct look {
	struct verify *verify;
	struct verify_rows *rows;
	struct mailbox *box;
	uint32_t node;
	struct mbj_id id;
	struct mbj_content content;
	struct mailbox_status status;
	struct mail *mail;
	uint32_t seq;	   /* the message that mail is at */
	uint32_t read_uid; /* up to here bytes were read */
	bool is_read;	   /* a look came to its end */
	/* Whose bytes are others, ascending: VERIFY_ROWS_MAX at most. */
	ARRAY_TYPE(uint32_t) others;
};

static int look_fail(struct look *look, const char *what)
{
	return apply_fail(&look->verify->apply, "cannot %s mailbox %s: %s",
			  what, look->box->vname,
			  mailbox_get_last_internal_error(look->box, NULL));
}

/* UID of the message that is next in Dovecot, UINT32_MAX: there is none. */
static uint32_t look_uid(struct look *look)
{
	if (look->seq > look->status.messages)
		return UINT32_MAX;
	if (look->mail->seq != look->seq)
		mail_set_seq(look->mail, look->seq);
	return look->mail->uid;
}

static void tell(struct look *look, uint32_t uid, const char *what,
		 const char *here, const char *there)
{
	verify_row_add(look->rows, look->box->vname, uid, what, here, there);
}

/* -------------------------------------------------------------- messages */

static const char *flags_show(uint8_t flags)
{
	static const struct {
		uint8_t bit;
		const char *name;
	} NAMES[] = {
		{MBJ_FLAG_ANSWERED, "\\Answered"},
		{MBJ_FLAG_FLAGGED, "\\Flagged"},
		{MBJ_FLAG_DELETED, "\\Deleted"},
		{MBJ_FLAG_SEEN, "\\Seen"},
		{MBJ_FLAG_DRAFT, "\\Draft"},
	};
	string_t *text = t_str_new(64);

	for (size_t i = 0; i < N_ELEMENTS(NAMES); i++) {
		if ((flags & NAMES[i].bit) == 0)
			continue;
		if (str_len(text) > 0)
			str_append_c(text, ' ');
		str_append(text, NAMES[i].name);
	}
	return str_c(text);
}

static const char *keywords_show(struct mbj_bytes keywords)
{
	string_t *text = t_str_new(64);
	struct mbj_bytes word;

	while (mbj_keywords_next(&keywords, &word)) {
		if (str_len(text) > 0)
			str_append_c(text, ' ');
		str_append_data(text, word.p, word.n);
	}
	return str_c(text);
}

static const char *digest_show(const uint8_t digest[MBJ_HASH_SIZE])
{
	return t_strdup_printf("sha256 %s",
			       binary_to_hex(digest, MBJ_HASH_SIZE));
}

/* Returns: 1, 0 the message went meanwhile, -1 told. */
static int bytes_digest(struct look *look, struct mbj_hash *ret_digest)
{
	const char *why;

	if (apply_digest(look->mail, ret_digest, &why) == 0)
		return 1;
	if (look->mail->expunged)
		return 0;
	return apply_fail(&look->verify->apply,
			  "cannot read message UID %u of %s: %s",
			  look->mail->uid, look->box->vname, why);
}

static int bytes_compare(struct look *look, const struct mbj_message *message)
{
	struct mbj_hash digest;
	int ret = bytes_digest(look, &digest);

	if (ret <= 0 || memcmp(digest.b, message->blob.b, MBJ_HASH_SIZE) == 0)
		return ret;
	if (array_count(&look->others) < VERIFY_ROWS_MAX)
		array_push_back(&look->others, &message->uid);
	tell(look, message->uid, "bytes", digest_show(digest.b),
	     digest_show(message->blob.b));
	return 1;
}

/*
 * One that was brought before the plugin kept GUIDs, or that this storage
 * cannot have, has one of apply's, of the same bytes.
 */
static int guid_compare(struct look *look, const struct mbj_message *message)
{
	const char *guid;

	if (message->guid.n == 0)
		return 1;
	if (mail_get_special(look->mail, MAIL_FETCH_GUID, &guid) < 0)
		return look->mail->expunged ? 0 : look_fail(look, "read");
	if (!apply_guid_is(guid, message))
		tell(look, message->uid, "guid", guid,
		     t_strndup(message->guid.p, message->guid.n));
	return 1;
}

static int size_compare(struct look *look, const struct mbj_message *message)
{
	uoff_t size;

	if (mail_get_virtual_size(look->mail, &size) < 0)
		return look->mail->expunged ? 0 : look_fail(look, "read");
	if (size != message->size)
		tell(look, message->uid, "size",
		     t_strdup_printf("%" PRIuUOFF_T, size),
		     t_strdup_printf("%" PRIu64, message->size));
	return 1;
}

static int uid_order(const uint32_t *uid, const uint32_t *other)
{
	return *uid < *other ? -1 : *uid > *other;
}

/* Its bytes were read by an earlier look: they may have been others. */
static void bytes_remember(struct look *look, const struct mbj_message *message)
{
	if (array_bsearch(&look->others, &message->uid, uid_order) != NULL)
		tell(look, message->uid, "bytes", "others",
		     digest_show(message->blob.b));
}

static int same_compare(struct look *look, const struct mbj_message *message)
{
	uint8_t flags =
		(uint8_t)(mail_get_flags(look->mail) & MAIL_FLAGS_NONRECENT);
	time_t date;
	int ret;

	if (flags != message->flags)
		tell(look, message->uid, "flags", flags_show(flags),
		     flags_show(message->flags));
	if (!apply_keywords_are_same(look->mail, message))
		tell(look, message->uid, "keywords",
		     t_strarray_join(mail_get_keywords(look->mail), " "),
		     keywords_show(message->keywords));
	if (mail_get_received_date(look->mail, &date) < 0)
		return look->mail->expunged ? 0 : look_fail(look, "read");
	if (date != message->time)
		tell(look, message->uid, "date",
		     t_strdup_printf("%lld", (long long)date),
		     t_strdup_printf("%lld", (long long)message->time));
	if (look->verify->is_quick)
		return size_compare(look, message);
	ret = guid_compare(look, message);
	if (ret <= 0)
		return ret;
	if (message->uid <= look->read_uid) {
		bytes_remember(look, message);
		return 1;
	}
	look->read_uid = message->uid;
	return bytes_compare(look, message);
}

static void extra_tell(struct look *look)
{
	tell(look, look->mail->uid, "message", "there is one", "none");
	look->seq++;
}

static int message_compare(struct look *look, const struct mbj_message *message)
{
	int ret;

	while (look_uid(look) < message->uid)
		extra_tell(look);
	if (look_uid(look) != message->uid) {
		tell(look, message->uid, "message", "none",
		     digest_show(message->blob.b));
		return 0;
	}
	ret = same_compare(look, message);
	/* It went while it was read. */
	if (ret == 0)
		tell(look, message->uid, "message", "none",
		     digest_show(message->blob.b));
	look->seq++;
	return ret < 0 ? -1 : 0;
}

/* --------------------------------------------------------------- looking */

static void counters_compare(struct look *look)
{
	const struct mailbox_status *status = &look->status;
	const struct mbj_content *content = &look->content;
	bool is_primary = look->verify->is_primary;

	if (status->uidnext != content->uidnext)
		tell(look, 0, "UIDNEXT", dec2str(status->uidnext),
		     dec2str(content->uidnext));
	/*
	 * Where apply writes it, Dovecot raises it with each transaction.  Of a
	 * mailbox that never had a message the journal has none of its own.
	 */
	if (status->highest_modseq < content->modseq ||
	    (is_primary && status->uidnext > 1 &&
	     status->highest_modseq > content->modseq))
		tell(look, 0, "HIGHESTMODSEQ", dec2str(status->highest_modseq),
		     dec2str(content->modseq));
}

/* Returns: 1, it has changed meanwhile; -1, told. */
static int page_read(struct look *look, uint32_t uid, uint32_t limit,
		     uint64_t rev, struct mbj_client_messages *ret_page)
{
	struct apply *apply = &look->verify->apply;
	struct mbj_error err;
	enum mbj_rc rc =
		mbj_client_messages(apply->client, apply->account.id, look->id,
				    uid, limit, rev, ret_page, &err);

	if (rc == MBJ_ECONFLICT || rc == MBJ_ENOTFOUND)
		return 1;
	if (rc < 0)
		return apply_fail(apply, "mailbox %s: %s", look->box->vname,
				  err.message);
	return 0;
}

static int pages_compare(struct look *look)
{
	uint32_t uid = 1;
	int ret = 0;

	while (ret == 0 && uid != 0) {
		struct mbj_client_messages page;

		ret = page_read(look, uid, 0, look->content.rev, &page);
		if (ret != 0)
			return ret;
		for (size_t i = 0; ret == 0 && i < page.count; i++)
			T_BEGIN
			{
				ret = message_compare(look, &page.messages[i]);
			}
		T_END;
		uid = page.next_uid;
		mbj_client_messages_done(&page);
	}
	while (ret == 0 && look_uid(look) != UINT32_MAX)
		extra_tell(look);
	return ret;
}

/* Returns: 1, it has another name by now; -1, told. */
static int box_open(struct look *look)
{
	struct mailbox_metadata metadata;

	if (mailbox_open(look->box) < 0 ||
	    mailbox_enable(look->box, MAILBOX_FEATURE_CONDSTORE) < 0 ||
	    mailbox_sync(look->box, MAILBOX_SYNC_FLAG_FULL_READ) < 0 ||
	    mailbox_get_metadata(look->box, MAILBOX_METADATA_GUID, &metadata) <
		    0) {
		if (mailbox_get_last_mail_error(look->box) ==
		    MAIL_ERROR_NOTFOUND)
			return 1;
		return look_fail(look, "open");
	}
	mailbox_get_open_status(look->box,
				STATUS_UIDVALIDITY | STATUS_UIDNEXT |
					STATUS_MESSAGES | STATUS_HIGHESTMODSEQ,
				&look->status);
	return memcmp(metadata.guid, look->id.b, sizeof(look->id.b)) != 0;
}

static int box_compare(struct look *look)
{
	struct mailbox_transaction_context *t;
	struct mbj_client_messages page;
	int ret = page_read(look, 1, 1, 0, &page);

	if (ret != 0)
		return ret;
	look->content = page.content;
	mbj_client_messages_done(&page);
	ret = box_open(look);
	if (ret != 0)
		return ret;
	t = mailbox_transaction_begin(look->box, 0, "mbj verify");
	look->mail = mail_alloc(t, 0, NULL);
	look->seq = 1;
	ret = pages_compare(look);
	if (ret == 0)
		ret = verify_attributes(look->verify, look->box, look->node,
					look->rows);
	mail_free(&look->mail);
	mailbox_transaction_rollback(&t);
	if (ret == 0)
		counters_compare(look);
	return ret;
}

/* Once all was read, under the lock: that takes no longer than an opening. */
static int box_look(struct look *look, const char *vname, unsigned int pauses)
{
	bool is_locked = look->is_read;
	int ret;

	if (is_locked && verify_lock(look->verify, pauses) < 0)
		return -1;
	verify_rows_clear(look->rows);
	look->box = apply_box(&look->verify->apply, vname);
	ret = box_compare(look);
	mailbox_free(&look->box);
	if (is_locked)
		verify_unlock(look->verify);
	look->is_read |= ret == 0;
	return ret;
}

int verify_mailbox(struct verify *verify, const char *vname, uint32_t node,
		   struct verify_rows *rows)
{
	struct look look = {.verify = verify,
			    .rows = rows,
			    .node = node,
			    .id = mbj_tree_get(verify->apply.wanted, node)->id};
	int ret = 1;

	/* It does not grow: others' frames of the stack are above it. */
	t_array_init(&look.others, VERIFY_ROWS_MAX);
	for (unsigned int try = 0; try < VERIFY_TRIES && ret >= 0;) {
		uint32_t read_uid = look.read_uid;

		ret = box_look(&look, vname, try);
		if (ret == 0 && array_is_empty(&rows->list))
			return 0;
		/* A large one that changes is read on from there. */
		if (ret <= 0 || look.read_uid == read_uid)
			try++;
	}
	if (ret > 0)
		return apply_fail(&verify->apply,
				  "mailbox %s changes all the time, or has "
				  "another name by now: it is not compared",
				  vname);
	return ret;
}
