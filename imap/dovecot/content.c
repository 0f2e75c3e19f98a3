/*
 * Messages of a mailbox, as steps of edits.  See content.h.
 */
#include "content.h"

#include <string.h>

#include <mbj/codec.h>
#include <mbj/memory.h>
#include <mbj/sys.h>

enum {
	STEPS_MAX = 1000,
	STEPS_BYTES_MAX = 1 << 20,
	/* Of one edit: the store takes no more in a step. */
	UIDS_MAX = MBJ_EDIT_MESSAGES_MAX,
	ARENA_MAX = 8 << 20,
};

void content_init(struct content *content, struct account *account)
{
	*content = (struct content){.account = account, .intent = MBJ_ID_ROOT};
	mbj_buf_init(&content->held, CONTENT_HELD_MAX);
}

void content_done(struct content *content)
{
	mbj_free(content->steps);
	mbj_arena_free(&content->arena);
	mbj_buf_done(&content->held);
	content->steps = NULL;
}

static void place_take(struct content *content, const struct mbj_place *place)
{
	content->account_id = place->account.id;
	content->mailbox = place->mailbox.id;
	content->uidvalidity = place->mailbox.uidvalidity;
	content->store = place->content;
	content->is_fresh = true;
}

bool content_look_begun(struct content *content, struct mbj_id mailbox)
{
	const struct account *account = content->account;

	if (mbj_id_is_root(account->begun_intent) ||
	    !mbj_id_equal(account->begun.mailbox.id, mailbox))
		return false;
	place_take(content, &account->begun);
	return true;
}

enum mbj_rc content_look(struct content *content, struct mbj_bytes path,
			 struct mbj_error *err)
{
	struct mbj_place place;
	enum mbj_rc rc;

	rc = mbj_client_mailbox(content->account->client,
				mbj_bytes_str(content->account->name), path,
				false, &place, err);
	if (rc == MBJ_OK)
		place_take(content, &place);
	return rc;
}

enum mbj_rc content_announce(struct content *content, struct mbj_error *err)
{
	const struct mbj_message_edit step = {.kind = MBJ_MESSAGE_DOUBT,
					      .mailbox = content->mailbox};
	struct account *account = content->account;
	struct mbj_edit edit = account_messages(account, &step, 1);
	struct mbj_id outer = account->intent;
	enum mbj_rc rc;

	if (!mbj_id_is_root(content->intent))
		return MBJ_OK;
	content->has_told = false;
	if (!mbj_id_is_root(account->begun_intent) &&
	    mbj_id_equal(account->begun.mailbox.id, content->mailbox)) {
		content->intent = account->begun_intent;
		account->begun_intent = MBJ_ID_ROOT;
		return MBJ_OK;
	}
	rc = account_intent(content->account, &edit, err);
	if (rc == MBJ_OK)
		content->intent = content->account->intent;
	content->account->intent = outer;
	return rc;
}

/* ------------------------------------------------------------------ steps */

/*
 * What changes in a mailbox has Dovecot's HIGHESTMODSEQ, or the next one where
 * the store's is higher.  It is the same one where more comes in of what
 * Dovecot had then.
 */
static uint64_t modseq_of(const struct content *content)
{
	return content->modseq >= content->store.modseq ? content->modseq : 0;
}

void content_clear(struct content *content)
{
	content->step_count = 0;
	content->bytes = 0;
	content->uids = 0;
	mbj_buf_clear(&content->held);
	mbj_arena_free(&content->arena);
}

/* What the last step appends is in the store from now on. */
static enum mbj_rc held_put(struct content *content, struct mbj_error *err)
{
	struct mbj_message_edit *last;
	enum mbj_rc rc;

	if (content->held.n == 0)
		return MBJ_OK;
	last = &content->steps[content->step_count - 1];
	last->size = content->held.n;
	rc = mbj_body_put(content->account->client,
			  mbj_buf_view(&content->held), &last->blob, err);
	if (rc == MBJ_OK)
		mbj_buf_clear(&content->held);
	return rc;
}

static enum mbj_rc step_add(struct content *content,
			    const struct mbj_message_edit *step,
			    struct mbj_error *err)
{
	struct mbj_message_edit *added;
	enum mbj_rc rc = held_put(content, err);
	void *steps;

	if (rc < 0)
		return rc;
	if (content->step_count >= STEPS_MAX ||
	    content->bytes >= STEPS_BYTES_MAX || content->uids >= UIDS_MAX)
		rc = content_tell(content, err);
	if (rc == MBJ_OK && content->arena == NULL)
		rc = mbj_arena_new(ARENA_MAX, &content->arena, err);
	steps = content->steps;
	if (rc == MBJ_OK)
		rc = mbj_array_reserve(&steps, &content->step_capacity,
				       content->step_count + 1,
				       sizeof(*content->steps), STEPS_MAX, err);
	content->steps = steps;
	if (rc < 0)
		return rc;
	added = &content->steps[content->step_count];
	*added = *step;
	added->mailbox = content->mailbox;
	added->modseq = modseq_of(content);
	content->last_uids =
		mbj_arena_alloc(content->arena, MBJ_UID_RANGE_SIZE);
	if (!mbj_arena_dup(content->arena, step->keywords, &added->keywords) ||
	    !mbj_arena_dup(content->arena, step->guid, &added->guid) ||
	    content->last_uids == NULL)
		return mbj_error_nomem(err);
	if (step->uids.n > 0) {
		memcpy(content->last_uids, step->uids.p, MBJ_UID_RANGE_SIZE);
		added->uids =
			mbj_bytes_make(content->last_uids, MBJ_UID_RANGE_SIZE);
	}
	content->bytes += step->keywords.n + step->guid.n;
	content->step_count++;
	return MBJ_OK;
}

/* The last step, where it does the same to the UID below. */
static struct mbj_message_edit *step_below(struct content *content,
					   const struct mbj_message_edit *step,
					   uint32_t uid)
{
	struct mbj_message_edit *last;

	if (content->step_count == 0 || content->uids >= UIDS_MAX)
		return NULL;
	last = &content->steps[content->step_count - 1];
	if (last->kind != step->kind || last->flags != step->flags ||
	    !mbj_bytes_equal(last->keywords, step->keywords) ||
	    mbj_uids_get(last->uids, 0).last != uid - 1)
		return NULL;
	return last;
}

/* A step about one UID that is there, or one more of the step before. */
static enum mbj_rc step_on(struct content *content,
			   struct mbj_message_edit *step, uint32_t uid,
			   struct mbj_error *err)
{
	struct mbj_message_edit *below = step_below(content, step, uid);
	uint32_t first = uid;
	struct mbj_buf uids;
	enum mbj_rc rc;

	if (below != NULL)
		first = mbj_uids_get(below->uids, 0).first;
	mbj_buf_init(&uids, MBJ_UID_RANGE_SIZE);
	mbj_uids_put(&uids, first, uid);
	rc = mbj_buf_ok(&uids, err);
	if (rc == MBJ_OK && below != NULL) {
		/* In its place: a run may be long. */
		memcpy(content->last_uids, uids.p, MBJ_UID_RANGE_SIZE);
	} else if (rc == MBJ_OK) {
		step->uids = mbj_buf_view(&uids);
		rc = step_add(content, step, err);
	}
	mbj_buf_done(&uids);
	if (rc == MBJ_OK)
		content->uids++;
	return rc;
}

enum mbj_rc content_append(struct content *content,
			   const struct content_message *message,
			   struct mbj_buf *body, struct mbj_error *err)
{
	const struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_APPEND,
		.uid = message->uid,
		.flags = message->flags,
		.keywords = message->keywords,
		.blob = message->blob,
		.size = message->size,
		.time = message->time,
		.guid = message->guid,
	};
	enum mbj_rc rc = step_add(content, &step, err);

	if (rc == MBJ_OK && body->n > 0) {
		mbj_buf_done(&content->held);
		content->held = *body;
		mbj_buf_init(body, 0);
	}
	return rc;
}

enum mbj_rc content_flags(struct content *content,
			  const struct content_message *message,
			  struct mbj_error *err)
{
	struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_FLAGS,
		.mode = MBJ_FLAGS_REPLACE,
		.flags = message->flags,
		.keywords = message->keywords,
	};

	return step_on(content, &step, message->uid, err);
}

enum mbj_rc content_expunge(struct content *content, uint32_t uid,
			    struct mbj_error *err)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_EXPUNGE};

	return step_on(content, &step, uid, err);
}

/* An expunge may be of what went long ago, which is nothing to the store. */
static bool is_raised(const struct content *content)
{
	return content->step_count > 0 &&
	       content->steps[content->step_count - 1].kind !=
		       MBJ_MESSAGE_EXPUNGE;
}

enum mbj_rc content_touch(struct content *content, struct mbj_error *err)
{
	struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_FLAGS,
		.mode = MBJ_FLAGS_ADD,
	};

	if (content->modseq <= content->store.modseq || is_raised(content))
		return MBJ_OK;
	return step_on(content, &step, 1, err);
}

/* ---------------------------------------------------------------- telling */

enum mbj_rc content_tell(struct content *content, struct mbj_error *err)
{
	struct mbj_edit edit =
		account_messages(content->account, content->steps,
				 content->step_count);
	enum mbj_rc rc;

	if (content->step_count == 0)
		return MBJ_OK;
	rc = held_put(content, err);
	if (rc == MBJ_OK)
		rc = account_tell(content->account, &edit, err);
	if (rc < 0)
		return rc;
	content->has_told = true;
	content->is_fresh = false;
	content_clear(content);
	return MBJ_OK;
}

enum mbj_rc content_end(struct content *content, struct mbj_error *err)
{
	struct mbj_id outer = content->account->intent;
	struct mbj_edit edit;
	bool is_done;
	enum mbj_rc rc;

	rc = content_touch(content, err);
	if (rc < 0)
		return rc;
	if (mbj_id_is_root(content->intent))
		return content_tell(content, err);
	edit = account_messages(content->account, content->steps,
				content->step_count);
	is_done = content->step_count > 0 || content->has_told;
	content->account->intent = content->intent;
	rc = is_done ? account_done_tell_body(content->account, &edit,
					      mbj_buf_view(&content->held), err)
		     : account_failed_tell(content->account, err);
	content->account->intent = outer;
	if (rc < 0)
		return rc;
	content->intent = MBJ_ID_ROOT;
	content->has_told = false;
	content->is_fresh = false;
	content_clear(content);
	return MBJ_OK;
}
