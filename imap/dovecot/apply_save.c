/*
 * Saving messages.  See apply_save.h.
 */
#include "apply_save.h"

#include <istream-seekable.h>
#include <istream.h>
#include <seq-range-array.h>
#include <str.h>

#include <maildir-filename.h>

#include <mbj/message.h>

#include "apply_beside.h"
#include "apply_maildir.h"
#include "apply_mdbox.h"
#include "apply_origin.h"

/* Of one transaction: bounds what a kill undoes, and memory. */
enum { SAVE_BATCH = 500 };

enum { BODY_MEMORY = 128 * 1024 };

_Static_assert((int)MAIL_ANSWERED == MBJ_FLAG_ANSWERED &&
		       (int)MAIL_FLAGGED == MBJ_FLAG_FLAGGED &&
		       (int)MAIL_DELETED == MBJ_FLAG_DELETED &&
		       (int)MAIL_SEEN == MBJ_FLAG_SEEN &&
		       (int)MAIL_DRAFT == MBJ_FLAG_DRAFT,
	       "flags have the same bits");

struct mail_keywords *apply_keywords(struct apply *apply, struct mailbox *box,
				     const struct mbj_message *message)
{
	struct mbj_bytes rest = message->keywords, word;
	struct mail_keywords *keywords = NULL;
	ARRAY(const char *) words;

	t_array_init(&words, 8);
	while (mbj_keywords_next(&rest, &word)) {
		const char *text = t_strndup(word.p, word.n);

		array_push_back(&words, &text);
	}
	array_append_zero(&words);
	if (mailbox_keywords_create(box, array_front(&words), &keywords) < 0)
		(void)apply_fail(apply, "keywords of message UID %u of %s: %s",
				 message->uid, box->vname,
				 mailbox_get_last_internal_error(box, NULL));
	return keywords;
}

static int keyword_order(const char *const *a, const char *const *b)
{
	return strcasecmp(*a, *b);
}

bool apply_keywords_are_same(struct mail *mail,
			     const struct mbj_message *message)
{
	const char *const *have = mail_get_keywords(mail), *const * words;
	struct mbj_bytes rest = message->keywords, word;
	ARRAY(const char *) sorted;
	unsigned int count;

	t_array_init(&sorted, 8);
	for (; *have != NULL; have++)
		array_push_back(&sorted, have);
	array_sort(&sorted, keyword_order);
	words = array_get(&sorted, &count);
	/* Ascending without regard to case, as these are. */
	while (mbj_keywords_next(&rest, &word)) {
		if (count == 0 || strlen(*words) != word.n ||
		    strncasecmp(*words, (const char *)word.p, word.n) != 0)
			return false;
		words++;
		count--;
	}
	return count == 0;
}

static int save_fail(struct apply_save *save, const struct mbj_message *message,
		     const char *why)
{
	return apply_fail(save->apply, "cannot save message UID %u of %s: %s",
			  message->uid, save->box->vname, why);
}

/* Of the body's and the storage's errors the first one said. */
static int save_stream(struct apply_save *save, struct mail_save_context **ctx,
		       struct istream *input, const struct mbj_message *message)
{
	int ret = mailbox_save_begin(ctx, input);

	if (ret == 0)
		origin_mark(save->t, (*ctx)->dest_mail->seq);
	while (ret == 0) {
		ssize_t got = i_stream_read(input);

		if (mailbox_save_continue(*ctx) < 0)
			ret = -1;
		if (got == -1)
			break;
	}
	if (input->stream_errno != 0) {
		if (*ctx != NULL)
			mailbox_save_cancel(ctx);
		return save_fail(save, message, i_stream_get_error(input));
	}
	if (ret < 0 && *ctx != NULL)
		mailbox_save_cancel(ctx);
	else if (ret == 0)
		ret = mailbox_save_finish(ctx);
	if (ret < 0)
		(void)save_fail(save, message,
				mailbox_get_last_internal_error(save->box,
								NULL));
	return ret;
}

static void save_begin(struct apply_save *save)
{
	if (save->t != NULL)
		return;
	save->t = beside_transaction_begin(
		save->box, MAILBOX_TRANSACTION_FLAG_EXTERNAL |
				   MAILBOX_TRANSACTION_FLAG_ASSIGN_UIDS |
				   MAILBOX_TRANSACTION_FLAG_SYNC);
	if (!array_is_created(&save->uids))
		i_array_init(&save->uids, 64);
	array_clear(&save->uids);
	save->count = 0;
}

/* As far as the page goes, at once: the disk is waited for once. */
static int guids_note(struct apply_save *save,
		      const struct mbj_message *message)
{
	const struct body_ahead *page = &save->ahead;
	struct apply_note *note = &save->apply->note;
	size_t at = (size_t)(message - page->messages);
	unsigned int n = save->t == NULL ? 0 : save->count, guids = 0;

	if (save->t == NULL)
		note_begin(note);
	for (; n < SAVE_BATCH && at < page->count; n++, at++)
		T_BEGIN
		{
			const char *guid =
				apply_guid_of(save->box, &page->messages[at]);

			if (guid != NULL) {
				note_message(note, save->mailbox, guid);
				guids++;
			}
		}
	T_END;
	save->noted = page->messages + at;
	if (maildir_is(save->box))
		note_names(note, maildir_filename_generate());
	else if (guids == 0 && (note->is_saving || !mdbox_is(save->box)))
		return 0;
	return note_come(save->apply,
			 maildir_is(save->box) || mdbox_is(save->box));
}

/*
 * Before anything of it is there: a kill can leave a part, of sdbox files that
 * Dovecot lists when it makes the index anew.
 */
static int message_note(struct apply_save *save,
			const struct mbj_message *message)
{
	return save->t != NULL && save->noted != NULL && message < save->noted
		       ? 0
		       : guids_note(save, message);
}

/* On the data stack; NULL: the stream has the error. */
static const char *guid_choose(struct apply_save *save,
			       const struct mbj_message *message,
			       struct istream *input)
{
	const char *guid = apply_guid_of(save->box, message);
	char made[APPLY_GUID_SIZE];

	if (guid != NULL)
		return guid;
	if (maildir_is(save->box))
		return maildir_guid(save->box, message, input);
	apply_guid(&message->blob, made);
	return t_strdup(made);
}

static int save_body(struct apply_save *save, const struct mbj_message *message,
		     struct mail_keywords *keywords, struct istream *input)
{
	const char *guid = guid_choose(save, message, input);
	struct mail_save_context *ctx;

	if (guid == NULL)
		return save_fail(save, message, i_stream_get_error(input));
	if (message_note(save, message) < 0)
		return -1;
	save_begin(save);
	ctx = mailbox_save_alloc(save->t);
	mailbox_save_set_flags(ctx, message->flags, keywords);
	mailbox_save_set_received_date(ctx, (time_t)message->time, 0);
	mailbox_save_set_uid(ctx, message->uid);
	mailbox_save_set_guid(ctx, guid);
	mailbox_save_set_min_modseq(ctx, message->modseq);
	return save_stream(save, &ctx, input, message);
}

/*
 * What is read twice, for a file's name, is kept meanwhile: in memory, or in a
 * file of its own.
 */
static struct istream *body_twice(struct apply_save *save,
				  const struct mbj_message *message,
				  struct istream *body)
{
	struct istream *input[] = {body, NULL}, *kept;
	string_t *prefix;

	if (!maildir_is(save->box) || body->seekable ||
	    apply_guid_of(save->box, message) != NULL)
		return body;
	prefix = t_str_new(128);
	mail_user_set_get_temp_prefix(prefix, save->apply->user->set);
	kept = i_stream_create_seekable_path(input, BODY_MEMORY, str_c(prefix));
	i_stream_unref(&body);
	return kept;
}

int save_message(struct apply_save *save, const struct mbj_message *message)
{
	struct mail_keywords *keywords;
	struct istream *input;
	const char *why;
	int ret;

	keywords = apply_keywords(save->apply, save->box, message);
	if (keywords == NULL)
		return -1;
	input = body_open(&save->ahead, save->apply->client, message, &why);
	if (input == NULL) {
		mailbox_keywords_unref(&keywords);
		return save_fail(save, message, why);
	}
	input = body_twice(save, message, input);
	ret = save_body(save, message, keywords, input);
	i_stream_unref(&input);
	mailbox_keywords_unref(&keywords);
	if (ret < 0)
		return -1;
	seq_range_array_add(&save->uids, message->uid);
	save->next_uid = message->uid + 1;
	return ++save->count < SAVE_BATCH ? 0 : save_done(save);
}

void save_page_begin(struct apply_save *save,
		     const struct mbj_client_messages *page)
{
	body_ahead_begin(&save->ahead, page);
	save->noted = NULL;
}

void save_page_end(struct apply_save *save)
{
	body_ahead_end(&save->ahead);
	save->noted = NULL;
}

int save_done(struct apply_save *save)
{
	struct mail_transaction_commit_changes changes;
	int ret;

	if (save->t == NULL)
		return 0;
	if (mailbox_transaction_commit_get_changes(&save->t, &changes) < 0) {
		note_failed(&save->apply->note);
		return apply_fail(save->apply, "cannot save messages to %s: %s",
				  save->box->vname,
				  mailbox_get_last_internal_error(save->box,
								  NULL));
	}
	(void)seq_range_array_remove_seq_range(&save->uids,
					       &changes.saved_uids);
	ret = array_count(&save->uids) > 0 ? -1 : 0;
	pool_unref(&changes.pool);
	/* What has a wrong UID is marked, and goes with the next run. */
	if (ret < 0)
		(void)apply_fail(save->apply,
				 "%s: somebody else saved messages meanwhile, "
				 "under UIDs of the journal's",
				 save->box->vname);
	return ret;
}

void save_abort(struct apply_save *save)
{
	if (save->t != NULL)
		mailbox_transaction_rollback(&save->t);
	if (array_is_created(&save->uids))
		array_free(&save->uids);
	body_ahead_end(&save->ahead);
}
