/*
 * Messages of a play; see play.h.
 */
#include <string.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "play_check.h"
#include "play_mail.h"

static const char *const contents[MODEL_CONTENTS] = {"", "a", "bc", "def"};
static const char keyword[] = "$k";
static const char *const kind_words[] = {
	[MODEL_APPEND] = "append",	     [MODEL_FLAGS] = "flags",
	[MODEL_EXPUNGE] = "expunge",	     [MODEL_COPY] = "copy",
	[MODEL_MOVE_MAIL] = "move messages",
};

enum { RANGES_MAX = 4, SET_SIZE = RANGES_MAX * MBJ_UID_RANGE_SIZE };

void play_mail_begin(struct play *play)
{
	static const struct mbj_hash none;
	struct mbj_sha256 *sha = NULL;

	play->mail_count = 0;
	if (memcmp(&play->contents[0], &none, sizeof(none)) != 0)
		return;
	MBJ_ASSERT(mbj_sha256_new(&sha, NULL) == MBJ_OK);
	for (size_t i = 0; i < MODEL_CONTENTS; i++) {
		struct mbj_bytes bytes = mbj_bytes_str(contents[i]);

		MBJ_ASSERT(mbj_sha256_digest(sha, &bytes, 1, &play->contents[i],
					     NULL) == MBJ_OK);
	}
	mbj_sha256_free(&sha);
}

/* ---------------------------------------------------------------- steps */

static struct mbj_id box_pick(const struct play *play, uint8_t operand)
{
	return play->model.boxes[operand % play->model.count].id;
}

void play_mail_step(struct play *play, const struct script_step *step,
		    enum model_mail_kind kind)
{
	struct model_mail_step *mail = &play->mails[play->mail_count];

	if (play->mail_count == PLAY_PENDING_MAX)
		return;
	*mail = (struct model_mail_step){
		.kind = kind,
		.mailbox = box_pick(play, step->a),
		.uids = step->b,
		.flags = step->c & MODEL_FLAGS_ALL,
		.mode = (enum model_flag_mode)(step->c / 0x40 % 3),
		.content = step->b % MODEL_CONTENTS,
	};
	/* Some UIDs are the caller's, and may have been used. */
	if (kind == MODEL_APPEND && step->b >= 0xc0)
		mail->uid = 1u + step->b / 4 % 16;
	if (kind == MODEL_COPY) {
		mail->target = box_pick(play, step->c % 0x80);
		if (step->c >= 0x80)
			mail->kind = MODEL_MOVE_MAIL;
	}
	play->mail_count++;
	play_say(play, "%s, mailbox %d, UIDs %02x, %02x",
		 kind_words[mail->kind], step->a % (int)play->model.count,
		 step->b, step->c);
}

/* --------------------------------------------------------------- submit */

static struct mbj_bytes set_make(uint8_t mask, uint8_t set[SET_SIZE])
{
	size_t n = 0;

	if (mask == 0) {
		mbj_store_u32(set, 1);
		mbj_store_u32(set + 4, UINT32_MAX - 1);
		return mbj_bytes_make(set, MBJ_UID_RANGE_SIZE);
	}
	for (uint32_t bit = 0; bit < 8; bit++) {
		if ((mask >> bit & 1) == 0)
			continue;
		if (bit == 0 || (mask >> (bit - 1) & 1) == 0) {
			mbj_store_u32(set + n, bit + 1);
			n += MBJ_UID_RANGE_SIZE;
		}
		mbj_store_u32(set + n - 4, bit + 1);
	}
	return mbj_bytes_make(set, n);
}

static struct mbj_bytes keywords_of(uint8_t flags)
{
	if ((flags & MODEL_KEYWORD) == 0)
		return (struct mbj_bytes){0};
	return mbj_bytes_make((const uint8_t *)keyword, sizeof(keyword));
}

static struct mbj_bytes guid_of(bool has_guid, uint8_t content)
{
	return has_guid ? mbj_bytes_str(contents[content])
			: (struct mbj_bytes){0};
}

static struct mbj_message_edit edit_of(const struct play *play,
				       const struct model_mail_step *mail,
				       uint8_t set[SET_SIZE])
{
	static const enum mbj_message_edit_kind kinds[] = {
		[MODEL_APPEND] = MBJ_MESSAGE_APPEND,
		[MODEL_FLAGS] = MBJ_MESSAGE_FLAGS,
		[MODEL_EXPUNGE] = MBJ_MESSAGE_EXPUNGE,
		[MODEL_COPY] = MBJ_MESSAGE_COPY,
		[MODEL_MOVE_MAIL] = MBJ_MESSAGE_MOVE,
	};
	static const enum mbj_flag_mode modes[] = {
		[MODEL_ADD] = MBJ_FLAGS_ADD,
		[MODEL_REMOVE] = MBJ_FLAGS_REMOVE,
		[MODEL_REPLACE] = MBJ_FLAGS_REPLACE,
	};

	return (struct mbj_message_edit){
		.kind = kinds[mail->kind],
		.mailbox = mail->mailbox,
		.target = mail->target,
		.uids = set_make(mail->uids, set),
		.mode = modes[mail->mode],
		.uid = mail->uid,
		.flags = mail->flags & MBJ_FLAGS_ALL,
		.keywords = keywords_of(mail->flags),
		.blob = play->contents[mail->content],
		.size = strlen(contents[mail->content]),
		.guid = guid_of(mail->kind == MODEL_APPEND &&
					model_mail_has_guid(mail->content),
				mail->content),
	};
}

static void results_check(const struct play *play,
			  const struct mbj_outcome *outcome)
{
	play_check(play, outcome->message_count == play->mail_count,
		   "%zu results for %zu steps", outcome->message_count,
		   play->mail_count);
	for (size_t i = 0; i < play->mail_count; i++) {
		const struct mbj_message_result *result = &outcome->messages[i];
		const struct model_mail_step *mail = &play->mails[i];

		play_check(play,
			   result->message_count == mail->count &&
				   result->uid == mail->first_uid,
			   "message step %zu: %llu messages, UID %u; the model "
			   "has %llu, UID %u",
			   i, (unsigned long long)result->message_count,
			   result->uid, (unsigned long long)mail->count,
			   mail->first_uid);
	}
}

/* False: the primary crashed in between. */
static bool contents_put(struct play *play)
{
	for (size_t i = 0; i < play->mail_count; i++) {
		const struct model_mail_step *mail = &play->mails[i];
		struct mbj_bytes content =
			mbj_bytes_str(contents[mail->content]);

		if (mail->kind == MODEL_APPEND &&
		    !play->site->content_put(play, content))
			return false;
	}
	return true;
}

void play_mail_submit(struct play *play)
{
	struct mbj_message_edit steps[PLAY_PENDING_MAX];
	uint8_t sets[PLAY_PENDING_MAX][SET_SIZE];
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct model after;
	enum model_verdict verdict;
	struct mbj_error err;
	bool is_lost;
	enum mbj_rc rc;

	model_copy(&after, &play->model);
	verdict = model_mail_run(&after, play->mails, play->mail_count);
	if (verdict == MODEL_FULL || play->lsn + 1 > PLAY_LSN_MAX)
		return;
	for (size_t i = 0; i < play->mail_count; i++)
		steps[i] = edit_of(play, &play->mails[i], sets[i]);
	while (play->site->content_put != NULL && !contents_put(play))
		;
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = steps;
	edit.message_count = play->mail_count;
	rc = play_submit(play, &edit, &is_lost, &outcome, &err);
	play_check(play, (rc == MBJ_OK) == (verdict == MODEL_DONE),
		   "messages: the library says %s, the model %s",
		   rc == MBJ_OK ? "yes" : err.message,
		   verdict == MODEL_DONE ? "yes" : "no");
	if (rc == MBJ_OK && !is_lost) {
		results_check(play, &outcome);
		play_primary_check(play, &after, &outcome);
		play_mail_check(play);
	}
	mbj_outcome_done(&outcome);
}

/* --------------------------------------------------------------- checks */

static void message_check(const struct play *play, const struct model_box *box,
			  const struct model_message *message,
			  const struct mbj_message *found,
			  const struct mbj_content *content)
{
	play_check(play,
		   found->uid == message->uid &&
			   found->flags == (message->flags & MBJ_FLAGS_ALL) &&
			   mbj_bytes_equal(found->keywords,
					   keywords_of(message->flags)) &&
			   mbj_bytes_equal(found->guid,
					   guid_of(message->has_guid,
						   message->content)) &&
			   memcmp(&found->blob,
				  &play->contents[message->content],
				  sizeof(found->blob)) == 0 &&
			   found->size == strlen(contents[message->content]) &&
			   found->modseq <= content->modseq,
		   "%s: message %u is not the model's %u", box->path,
		   found->uid, message->uid);
}

/* UIDNEXT and HIGHESTMODSEQ: higher where something changed, and only there. */
static void content_check(const struct play *play, const struct model_box *box,
			  const struct mbj_content *content)
{
	uint32_t uidnext = box->uidnext == 0 ? 1 : box->uidnext;

	play_check(play,
		   content->uidnext == uidnext &&
			   content->message_count ==
				   model_mail_count(&play->model, box->id),
		   "%s: %llu messages, UIDNEXT %u, the model has %zu and %u",
		   box->path, (unsigned long long)content->message_count,
		   content->uidnext, model_mail_count(&play->model, box->id),
		   uidnext);
	play_check(play,
		   (content->rev == box->rev &&
		    content->modseq == box->modseq) ||
			   (content->rev > box->rev &&
			    content->modseq > box->modseq),
		   "%s: HIGHESTMODSEQ %llu after %llu, revision %llu after "
		   "%llu",
		   box->path, (unsigned long long)content->modseq,
		   (unsigned long long)box->modseq,
		   (unsigned long long)content->rev,
		   (unsigned long long)box->rev);
}

static void box_check(struct play *play, struct mbj_txn *txn,
		      struct model_box *box)
{
	const struct model_mail *mail = &play->model.mail;
	struct mbj_scan scan = {0};
	struct mbj_content content;
	struct mbj_message found;
	struct mbj_error err;

	play_check(play,
		   mbj_txn_content_get(txn, play->account, box->id, &content,
				       &err) == MBJ_OK,
		   "%s: %s", box->path, err.message);
	content_check(play, box, &content);
	box->rev = content.rev;
	box->modseq = content.modseq;
	if (content.message_count == 0)
		return;
	MBJ_ASSERT(mbj_scan_messages(txn, play->account, content.series, 1,
				     &scan, NULL) == MBJ_OK);
	for (size_t i = 0; i < mail->count; i++) {
		const struct model_message *message = &mail->list[i];

		if (message->is_gone ||
		    !mbj_id_equal(message->mailbox, box->id))
			continue;
		play_check(play,
			   mbj_scan_next_message(&scan, &found, &err) == MBJ_OK,
			   "%s: no message %u", box->path, message->uid);
		message_check(play, box, message, &found, &content);
	}
	mbj_scan_done(&scan);
}

void play_mail_check(struct play *play)
{
	struct mbj_txn *txn = play->site->look(play, PLAY_PRIMARY);

	for (size_t i = 0; i < play->model.count; i++)
		if (play->model.boxes[i].uidnext > 0)
			box_check(play, txn, &play->model.boxes[i]);
	play->site->looked(play, PLAY_PRIMARY, &txn);
}

static bool set_has(struct mbj_bytes uids, uint32_t uid)
{
	for (size_t i = 0; i < mbj_uids_count(uids); i++) {
		struct mbj_uid_range range = mbj_uids_get(uids, i);

		if (uid >= range.first && uid <= range.last)
			return true;
	}
	return false;
}

/* Clients are told of a message that it vanished, if it did. */
static void vanished_check(struct play *play, struct mbj_txn *txn, int side,
			   const struct model_box *box)
{
	bool is_told[MODEL_MESSAGES_MAX] = {false};
	const struct model_mail *mail = &play->model.mail;
	struct mbj_vanished vanished;
	struct mbj_scan scan = {0};
	uint64_t modseq = 0;

	MBJ_ASSERT(mbj_scan_vanished(txn, play->account, box->id, &scan,
				     NULL) == MBJ_OK);
	while (mbj_scan_next_vanished(&scan, &vanished, NULL) == MBJ_OK) {
		play_check(play, vanished.modseq >= modseq,
			   "side %d, %s: expunges out of order", side,
			   box->path);
		modseq = vanished.modseq;
		for (size_t i = 0; i < mail->count; i++)
			is_told[i] |= set_has(vanished.uids, mail->list[i].uid);
	}
	mbj_scan_done(&scan);
	for (size_t i = 0; i < mail->count; i++)
		play_check(play,
			   !mbj_id_equal(mail->list[i].mailbox, box->id) ||
				   is_told[i] == mail->list[i].is_gone,
			   "side %d, %s: message %u is %s", side, box->path,
			   mail->list[i].uid,
			   is_told[i] ? "said to be gone" : "gone in silence");
}

/* Each content is counted by what has it, and no collector may take it. */
static void counts_check(struct play *play, struct mbj_txn *txn, int side)
{
	const struct model_mail *mail = &play->model.mail;
	uint32_t live[MODEL_CONTENTS] = {0};

	for (size_t i = 0; i < mail->count; i++)
		live[mail->list[i].content] += !mail->list[i].is_gone;
	for (size_t i = 0; i < MODEL_CONTENTS; i++) {
		uint64_t count = 0;
		uint64_t size;

		MBJ_ASSERT(mbj_txn_blob_count(txn, &play->contents[i], &count,
					      &size, NULL) == MBJ_OK);
		play_check(play,
			   count >= live[i] && count <= live[i] + mail->left[i],
			   "side %d: %llu messages are said to have content "
			   "%zu, %u do",
			   side, (unsigned long long)count, i, live[i]);
		if (live[i] > 0 && play->site->content_check != NULL)
			play->site->content_check(play, side,
						  &play->contents[i]);
	}
}

void play_mail_end_check(struct play *play, int side)
{
	struct mbj_txn *txn = play->site->look(play, side);

	for (size_t i = 0; i < play->model.count; i++) {
		if (play->model.boxes[i].uidnext == 0)
			continue;
		box_check(play, txn, &play->model.boxes[i]);
		vanished_check(play, txn, side, &play->model.boxes[i]);
	}
	counts_check(play, txn, side);
	play->site->looked(play, side, &txn);
}
