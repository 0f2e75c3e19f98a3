/*
 * Filling one mailbox: what it holds already, and groups of appends.
 *
 * What it holds is known by UID, for sources whose UIDs mean the same, and by
 * digest, each message standing for one of the source's; so a run that goes on
 * where another was killed passes over exactly what that one brought.
 *
 * Invariants:
 *   1. a message is taken at most once;
 *   2. at most BATCH_MAX messages wait for their group, their bodies in the
 *      blob store, never in memory.
 *
 * Threads: one.
 */
#include <stdlib.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "mail.h"

enum {
	BATCH_MAX = 1000,
	BATCH_SIZE_MAX = 64 << 20, /* bytes of bodies */
	BATCH_ARENA = BATCH_MAX * (MBJ_KEYWORDS_MAX + MBJ_GUID_MAX),
};

/* A message that was there before. */
struct held {
	uint32_t uid;
	uint32_t size;
	struct mbj_hash blob;
	bool is_taken;
};

struct mail_target {
	struct session *s;
	struct mail_report *report;
	struct mbj_id mailbox;
	uint32_t uidnext; /* with all that was appended, waiting or not */
	bool has_uids;
	bool is_same; /* the very mailbox that the source is of, by its id */
	struct held *held; /* by UID */
	size_t held_count;
	size_t held_capacity;
	struct mbj_table by_blob;
	struct mbj_message_edit *steps;
	size_t step_count;
	uint64_t step_size;
	struct mbj_arena *arena; /* keywords of steps */
};

static uint64_t blob_hash(const struct mbj_hash *blob)
{
	return mbj_load_u64(blob->b);
}

/* ------------------------------------------------------ what is there */

static enum mbj_rc held_add(struct mail_target *target,
			    const struct mbj_message *message)
{
	void *array = target->held;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&array, &target->held_capacity,
			       target->held_count + 1, sizeof(*target->held),
			       UINT32_MAX / 2, &target->s->err);
	target->held = array;
	if (rc == MBJ_OK)
		rc = mbj_table_add(&target->by_blob, blob_hash(&message->blob),
				   (uint32_t)target->held_count,
				   &target->s->err);
	if (rc < 0)
		return rc;
	target->held[target->held_count++] = (struct held){
		.uid = message->uid,
		.size = (uint32_t)message->size,
		.blob = message->blob,
	};
	return MBJ_OK;
}

static enum mbj_rc held_read(struct mail_target *target, struct mbj_txn *txn,
			     struct mbj_id account,
			     const struct mbj_content *content)
{
	struct mbj_message message;
	struct mbj_scan scan = {0};
	enum mbj_rc rc;

	if (content->message_count == 0)
		return MBJ_OK;
	rc = mbj_scan_messages(txn, account, content->series, 1, &scan,
			       &target->s->err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_message(&scan, &message, &target->s->err);
		if (rc == MBJ_OK)
			rc = held_add(target, &message);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* The mailbox as it stands; in a dry run it may not be there yet. */
static enum mbj_rc target_read(struct mail_target *target,
			       const struct mail_folder *folder)
{
	struct session *s = target->s;
	struct mbj_account account;
	struct mbj_mailbox mailbox = {.uidvalidity = folder->uidvalidity};
	struct mbj_content content = {.uidnext = 1};
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc = mbj_store_read(s->store, &txn, &s->err);

	if (rc < 0)
		return rc;
	rc = mbj_txn_account_find(txn, s->edit.account, &account, &s->err);
	if (rc == MBJ_OK)
		rc = mbj_txn_mailbox_get(txn, account.id, folder->mailbox,
					 &mailbox, &s->err);
	if (rc == MBJ_OK)
		rc = mbj_txn_content_get(txn, account.id, folder->mailbox,
					 &content, &s->err);
	if (rc == MBJ_OK)
		rc = held_read(target, txn, account.id, &content);
	if (rc == MBJ_ENOTFOUND && s->edit.is_dry_run)
		rc = MBJ_OK;
	mbj_txn_abort(&txn);
	target->uidnext = content.uidnext;
	target->has_uids = folder->uidvalidity != 0 &&
			   mailbox.uidvalidity == folder->uidvalidity;
	target->is_same = !mbj_id_is_root(folder->id) &&
			  mbj_id_equal(folder->id, folder->mailbox);
	return rc;
}

enum mbj_rc mail_target_open(struct session *s, struct mail_report *report,
			     const struct mail_folder *folder,
			     struct mail_target **ret_target)
{
	struct mail_target *target = mbj_calloc(1, sizeof(*target));
	enum mbj_rc rc;

	if (target == NULL)
		return mbj_error_nomem(&s->err);
	target->s = s;
	target->report = report;
	target->mailbox = folder->mailbox;
	mbj_table_init(&target->by_blob);
	target->steps = mbj_calloc(BATCH_MAX, sizeof(*target->steps));
	rc = target->steps != NULL
		     ? mbj_arena_new(BATCH_ARENA, &target->arena, &s->err)
		     : mbj_error_nomem(&s->err);
	if (rc == MBJ_OK)
		rc = target_read(target, folder);
	if (rc < 0) {
		mail_target_close(&target);
		return rc;
	}
	*ret_target = target;
	return MBJ_OK;
}

void mail_target_close(struct mail_target **target)
{
	if (*target == NULL)
		return;
	mbj_table_done(&(*target)->by_blob);
	mbj_free((*target)->held);
	mbj_free((*target)->steps);
	mbj_arena_free(&(*target)->arena);
	mbj_free(*target);
	*target = NULL;
}

bool mail_target_has_uids(const struct mail_target *target)
{
	return target->has_uids;
}

static int held_order(const void *a, const void *b)
{
	const struct held *one = a, *two = b;

	return (one->uid > two->uid) - (one->uid < two->uid);
}

static struct held *held_find(const struct mail_target *target, uint32_t uid)
{
	struct held key = {.uid = uid};

	return target->held_count == 0
		       ? NULL
		       : bsearch(&key, target->held, target->held_count,
				 sizeof(key), held_order);
}

enum mail_place mail_target_look(struct mail_target *target, uint32_t uid,
				 uint64_t size)
{
	struct held *held;

	MBJ_ASSERT(target->has_uids && uid != 0);
	held = held_find(target, uid);
	if (held == NULL)
		return uid >= target->uidnext ? MAIL_FREE : MAIL_USED;
	if (held->size != size || held->is_taken)
		return MAIL_USED;
	/* UIDVALIDITYs are seconds: two mailboxes made at once share one. */
	if (!target->is_same)
		return MAIL_ALIKE;
	held->is_taken = true;
	target->report->present_count++;
	return MAIL_PRESENT;
}

bool mail_target_same(struct mail_target *target, uint32_t uid,
		      const struct mbj_hash *blob)
{
	struct held *held = held_find(target, uid);

	MBJ_ASSERT(held != NULL && !held->is_taken);
	if (memcmp(&held->blob, blob, sizeof(*blob)) != 0)
		return false;
	held->is_taken = true;
	target->report->present_count++;
	return true;
}

/* A message with this content that nobody took is taken. */
static bool held_take(struct mail_target *target, const struct mbj_hash *blob)
{
	uint64_t hash = blob_hash(blob);
	uint32_t at = mbj_table_seek(&target->by_blob, hash);
	uint32_t index, best = UINT32_MAX;

	/* The first of them, so that what is taken is always what was put. */
	while (mbj_table_next(&target->by_blob, hash, &at, &index))
		if (!target->held[index].is_taken && index < best &&
		    memcmp(&target->held[index].blob, blob, sizeof(*blob)) == 0)
			best = index;
	if (best == UINT32_MAX)
		return false;
	target->held[best].is_taken = true;
	return true;
}

/* ------------------------------------------------------------ appending */

static enum mbj_rc steps_submit(struct mail_target *target)
{
	struct session *s = target->s;
	enum mbj_rc rc = MBJ_OK;

	s->edit.kind = MBJ_EDIT_MESSAGES;
	s->edit.origin = MBJ_ORIGIN_BULK;
	s->edit.messages = target->steps;
	s->edit.message_count = target->step_count;
	if (target->step_count > 0 && !s->edit.is_dry_run)
		rc = session_submit(s);
	s->edit.messages = NULL;
	s->edit.message_count = 0;
	mbj_outcome_done(&s->outcome);
	if (rc < 0)
		return rc;
	target->report->message_count += target->step_count;
	target->report->message_size += target->step_size;
	target->step_count = 0;
	target->step_size = 0;
	mbj_arena_reset(target->arena);
	return MBJ_OK;
}

static enum mbj_rc step_add(struct mail_target *target, uint32_t uid,
			    const struct mbj_message *message)
{
	struct mbj_message_edit *step = &target->steps[target->step_count];

	MBJ_ASSERT(target->step_count < BATCH_MAX);
	if (uid == 0)
		uid = target->uidnext;
	MBJ_ASSERT(uid >= target->uidnext && uid < MBJ_UIDNEXT_MAX);
	*step = (struct mbj_message_edit){
		.kind = MBJ_MESSAGE_APPEND,
		.mailbox = target->mailbox,
		.uid = uid,
		.flags = message->flags,
		.blob = message->blob,
		.size = message->size,
		.time = message->time,
	};
	if (!mbj_arena_dup(target->arena, message->keywords, &step->keywords) ||
	    !mbj_arena_dup(target->arena, message->guid, &step->guid))
		return mbj_error_nomem(&target->s->err);
	target->uidnext = uid + 1;
	target->step_count++;
	target->step_size += message->size;
	return MBJ_OK;
}

enum mbj_rc mail_target_append(struct mail_target *target, uint32_t uid,
			       const struct mbj_message *message,
			       bool *ret_is_full)
{
	enum mbj_rc rc;

	*ret_is_full = false;
	if (uid == 0 && held_take(target, &message->blob)) {
		target->report->present_count++;
		return MBJ_OK;
	}
	if (uid == 0 && target->uidnext == MBJ_UIDNEXT_MAX) {
		*ret_is_full = true;
		(void)mbj_error_set(&target->s->err, MBJ_ELIMIT,
				    "its mailbox has no UID left");
		return MBJ_OK;
	}
	rc = step_add(target, uid, message);
	if (rc == MBJ_OK && (target->step_count == BATCH_MAX ||
			     target->step_size >= BATCH_SIZE_MAX))
		rc = steps_submit(target);
	return rc;
}

/*
 * UIDNEXT rises with messages only: an empty one gets the UID below, and goes
 * with the same group.
 */
static enum mbj_rc uidnext_raise(struct mail_target *target, uint32_t uidnext)
{
	struct mbj_message empty = {.time = 0};
	uint8_t range[MBJ_UID_RANGE_SIZE];
	struct mbj_blobs *blobs;
	enum mbj_rc rc;

	if (target->s->edit.is_dry_run) {
		target->uidnext = uidnext;
		return MBJ_OK;
	}
	rc = mbj_store_blobs(target->s->store, &blobs, &target->s->err);
	if (rc == MBJ_OK)
		rc = mbj_blob_put(blobs, mbj_bytes_make("", 0), &empty.blob,
				  &target->s->err);
	if (rc == MBJ_OK)
		rc = step_add(target, uidnext - 1, &empty);
	if (rc < 0)
		return rc;
	mbj_store_u32(range, uidnext - 1);
	mbj_store_u32(range + 4, uidnext - 1);
	target->steps[target->step_count++] = (struct mbj_message_edit){
		.kind = MBJ_MESSAGE_EXPUNGE,
		.mailbox = target->mailbox,
		.uids = mbj_bytes_make(range, sizeof(range)),
	};
	rc = steps_submit(target);
	target->report->message_count -= rc == MBJ_OK ? 2 : 0;
	return rc;
}

enum mbj_rc mail_target_flush(struct mail_target *target, uint32_t uidnext)
{
	enum mbj_rc rc = steps_submit(target);

	if (rc == MBJ_OK && uidnext > target->uidnext)
		rc = uidnext_raise(target, uidnext);
	return rc;
}
