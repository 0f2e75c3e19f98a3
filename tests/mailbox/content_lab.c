/*
 * Messages in a state beside a naive model; see content_lab.h.
 */
#include "content_lab.h"

#include <stdlib.h>
#include <string.h>

#include <mbj/codec.h>

static struct mbj_error err;

struct mbj_hash content_blob(unsigned blob)
{
	struct mbj_hash hash = {{(uint8_t)(blob + 1), 0x55}};

	return hash;
}

uint64_t content_blob_size(unsigned blob)
{
	return 1000 + 10 * (uint64_t)blob;
}

static struct mbj_bytes keyword_bytes(unsigned keywords, char bytes[6])
{
	size_t n = 0;

	for (unsigned i = 0; i < 3; i++) {
		if (!(keywords >> i & 1))
			continue;
		bytes[n++] = (char)('a' + i);
		bytes[n++] = '\0';
	}
	return mbj_bytes_make(bytes, n);
}

/* -------------------------------------------------------------- the state */

void content_lab_open(struct content_lab *lab)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;

	options.cache_size = 4 << 20;
	options.engine = lab->engine;
	test_ok(mbj_state_open(mbj_sys_posix(), lab->home, test_id(999),
			       &options, &lab->state, &err),
		err);
	test_ok(mbj_txn_begin(lab->state, &lab->txn, &err), err);
}

static void box_create(struct content_lab *lab, struct content_box *box)
{
	char name[16] = "box";
	struct mbj_mailbox mailbox = {
		.parent = MBJ_ID_ROOT,
		.uidvalidity = (uint32_t)++lab->model->next_id,
		.is_selectable = true,
	};

	memset(box, 0, sizeof(*box));
	box->is_live = true;
	box->id = lab->model->next_id;
	box->rev = 1;
	box->uidnext = 1;
	box->modseq = MBJ_MODSEQ_FIRST;
	name[3] = (char)('0' + (box - lab->model->boxes));
	mailbox.id = test_id((uint32_t)box->id);
	mailbox.name.stored = mbj_bytes_str(name);
	mailbox.name.key = mailbox.name.stored;
	test_ok(mbj_txn_mailbox_create(lab->txn, lab->account, &mailbox, &err),
		err);
}

struct mbj_message content_sample(uint32_t uid)
{
	return (struct mbj_message){
		.uid = uid,
		.size = content_blob_size(0),
		.modseq = 5,
		.blob = content_blob(0),
	};
}

void content_lab_begin(struct content_lab *lab, int engine)
{
	struct mbj_account account = {
		.policy = MBJ_NAME_POLICY_DEFAULT,
		.name = mbj_bytes_str("alice"),
	};

	memset(lab, 0, sizeof(*lab));
	(void)test_rng_seed(&lab->rng);
	lab->engine = (enum mbj_state_engine)engine;
	lab->tmpdir = test_tmpdir_new();
	lab->home = test_path_dup(lab->tmpdir, "state");
	lab->account = test_id(1000);
	lab->model = calloc(1, sizeof(*lab->model));
	ck_assert_ptr_nonnull(lab->model);
	lab->model->next_id = 1;
	account.id = lab->account;
	content_lab_open(lab);
	test_ok(mbj_txn_account_create(lab->txn, &account, &err), err);
	for (unsigned i = 0; i < CONTENT_BOXES; i++)
		box_create(lab, &lab->model->boxes[i]);
}

void content_lab_end(struct content_lab *lab)
{
	mbj_txn_abort(&lab->txn);
	mbj_state_close(&lab->state);
	free(lab->model);
	free(lab->home);
	test_tmpdir_free(&lab->tmpdir);
}

struct mbj_id content_box_id(const struct content_box *box)
{
	return test_id((uint32_t)box->id);
}

/* ------------------------------------------------------------- comparing */

static void message_equal(const struct mbj_message *got, uint32_t uid,
			  const struct content_message *message)
{
	struct mbj_hash blob = content_blob(message->blob);
	char bytes[6];

	ck_assert_uint_eq(got->uid, uid);
	ck_assert_uint_eq(got->flags, message->flags);
	ck_assert_uint_eq(got->modseq, message->modseq);
	ck_assert_uint_eq(got->size, content_blob_size(message->blob));
	ck_assert_int_eq(got->time, -(int64_t)uid);
	ck_assert_mem_eq(got->blob.b, blob.b, sizeof(blob.b));
	ck_assert(mbj_bytes_equal(got->keywords,
				  keyword_bytes(message->keywords, bytes)));
}

/* UIDs that are not there must be in the history, if they ever were. */
static void history_check(struct content_lab *lab,
			  const struct content_box *box)
{
	struct mbj_scan scan = {0};
	struct mbj_vanished vanished;
	uint64_t modseq = 0;
	unsigned count = 0;

	test_ok(mbj_scan_vanished(lab->txn, lab->account, content_box_id(box),
				  &scan, &err),
		err);
	while (mbj_scan_next_vanished(&scan, &vanished, &err) == MBJ_OK) {
		ck_assert_uint_ge(vanished.modseq, modseq);
		ck_assert_uint_le(vanished.modseq, box->modseq);
		modseq = vanished.modseq;
		count++;
		for (size_t i = 0; i < mbj_uids_count(vanished.uids); i++) {
			struct mbj_uid_range range =
				mbj_uids_get(vanished.uids, i);

			for (uint32_t uid = range.first; uid <= range.last;
			     uid++)
				ck_assert(!box->messages[uid].is_there);
		}
	}
	mbj_scan_done(&scan);
	ck_assert_uint_eq(count, box->expunges);
}

static void box_equal(struct content_lab *lab, const struct content_box *box)
{
	struct mbj_content content;
	struct mbj_message message;
	struct mbj_scan scan = {0};
	uint64_t count = 0;
	uint64_t size = 0;

	test_ok(mbj_txn_content_get(lab->txn, lab->account, content_box_id(box),
				    &content, &err),
		err);
	ck_assert_uint_eq(content.rev, box->rev);
	ck_assert_uint_eq(content.uidnext, box->uidnext);
	ck_assert_uint_eq(content.modseq, box->modseq);
	test_ok(mbj_scan_messages(lab->txn, lab->account, content.series, 1,
				  &scan, &err),
		err);
	for (uint32_t uid = 1; uid < box->uidnext; uid++) {
		if (!box->messages[uid].is_there)
			continue;
		test_ok(mbj_scan_next_message(&scan, &message, &err), err);
		message_equal(&message, uid, &box->messages[uid]);
		count++;
		size += message.size;
	}
	test_rc(mbj_scan_next_message(&scan, &message, &err), MBJ_ENOTFOUND);
	mbj_scan_done(&scan);
	ck_assert_uint_eq(content.message_count, count);
	ck_assert_uint_eq(content.message_size, size);
	history_check(lab, box);
}

static void blobs_equal(struct content_lab *lab)
{
	for (unsigned blob = 0; blob < CONTENT_BLOBS; blob++) {
		struct mbj_hash hash = content_blob(blob);
		uint64_t expected = lab->model->left[blob];
		uint64_t count, size;

		for (unsigned i = 0; i < CONTENT_BOXES; i++)
			for (uint32_t uid = 1; uid < CONTENT_UIDS_MAX; uid++)
				expected += lab->model->boxes[i].is_live &&
					    lab->model->boxes[i]
						    .messages[uid]
						    .is_there &&
					    lab->model->boxes[i]
							    .messages[uid]
							    .blob == blob;
		test_ok(mbj_txn_blob_count(lab->txn, &hash, &count, &size,
					   &err),
			err);
		ck_assert_uint_eq(count, expected);
	}
}

void content_lab_check(struct content_lab *lab)
{
	struct mbj_account account;
	struct mbj_digest summed;

	for (unsigned i = 0; i < CONTENT_BOXES; i++)
		if (lab->model->boxes[i].is_live)
			box_equal(lab, &lab->model->boxes[i]);
	blobs_equal(lab);
	test_ok(mbj_txn_account_check(lab->txn, lab->account, &summed, &err),
		err);
	test_ok(mbj_txn_account_get(lab->txn, lab->account, &account, &err),
		err);
	ck_assert(mbj_digest_equal(&summed, &account.digest));
}

/* ----------------------------------------------------------------- steps */

static uint64_t modseq_next(struct content_lab *lab,
			    const struct content_box *box)
{
	return box->modseq + test_rng_below(&lab->rng, 3);
}

void content_append(struct content_lab *lab, struct content_box *box)
{
	uint32_t uid = box->uidnext + (uint32_t)test_rng_below(&lab->rng, 3);
	struct content_message made = {
		.is_there = true,
		.flags = (uint8_t)test_rng_below(&lab->rng, MBJ_FLAGS_ALL + 1),
		.keywords = (unsigned)test_rng_below(&lab->rng, 8),
		.blob = (unsigned)test_rng_below(&lab->rng, CONTENT_BLOBS),
		.modseq = modseq_next(lab, box),
	};
	struct mbj_message message = {
		.uid = uid,
		.flags = made.flags,
		.size = content_blob_size(made.blob),
		.time = -(int64_t)uid,
		.modseq = made.modseq,
		.blob = content_blob(made.blob),
	};
	char bytes[6];

	if (uid >= CONTENT_UIDS_MAX)
		return;
	message.keywords = keyword_bytes(made.keywords, bytes);
	test_ok(mbj_txn_message_append(lab->txn, lab->account,
				       content_box_id(box), box->rev, &message,
				       &err),
		err);
	box->messages[uid] = made;
	box->uidnext = uid + 1;
	box->rev++;
	box->modseq = made.modseq;
	lab->done[0]++;
}

/* A random set below UIDNEXT; false where there is no UID. */
static bool uids_draw(struct content_lab *lab, const struct content_box *box,
		      struct mbj_buf *uids)
{
	uint32_t uid = 1 + (uint32_t)test_rng_below(&lab->rng, 4);

	mbj_buf_clear(uids);
	if (box->uidnext > 8 && test_rng_chance(&lab->rng, 1, 8))
		mbj_uids_put(uids, 1, box->uidnext - 1);
	while (uids->n < 64 && uid < box->uidnext) {
		uint32_t last = uid + (uint32_t)test_rng_below(&lab->rng, 5);

		if (last >= box->uidnext)
			last = box->uidnext - 1;
		if (test_rng_chance(&lab->rng, 1, 2))
			mbj_uids_put(uids, uid, last);
		uid = last + 1 + (uint32_t)test_rng_below(&lab->rng, 60);
	}
	return uids->n > 0;
}

static bool uids_have(struct mbj_bytes uids, uint32_t uid)
{
	for (size_t i = 0; i < mbj_uids_count(uids); i++)
		if (mbj_uids_get(uids, i).first <= uid &&
		    uid <= mbj_uids_get(uids, i).last)
			return true;
	return false;
}

static unsigned bits_change(unsigned before, unsigned change, int mode)
{
	return mode == MBJ_FLAGS_ADD	  ? before | change
	       : mode == MBJ_FLAGS_REMOVE ? before & ~change
					  : change;
}

static void step_flags(struct content_lab *lab, struct content_box *box,
		       struct mbj_bytes uids)
{
	unsigned keywords = (unsigned)test_rng_below(&lab->rng, 8);
	struct mbj_flags_change change = {
		.uids = uids,
		.mode = (enum mbj_flag_mode)test_rng_between(&lab->rng, 1, 3),
		.flags = (uint8_t)test_rng_below(&lab->rng, MBJ_FLAGS_ALL + 1),
		.modseq = modseq_next(lab, box),
	};
	char bytes[6];

	change.keywords = keyword_bytes(keywords, bytes);
	test_ok(mbj_txn_message_flags(lab->txn, lab->account,
				      content_box_id(box), box->rev, &change,
				      &err),
		err);
	for (uint32_t uid = 1; uid < box->uidnext; uid++) {
		struct content_message *message = &box->messages[uid];
		struct content_message after = *message;

		if (!message->is_there || !uids_have(uids, uid))
			continue;
		after.flags = (uint8_t)bits_change(message->flags, change.flags,
						   (int)change.mode);
		after.keywords = bits_change(message->keywords, keywords,
					     (int)change.mode);
		if (after.flags == message->flags &&
		    after.keywords == message->keywords)
			continue;
		after.modseq = change.modseq;
		*message = after;
		lab->done[1]++;
	}
	box->rev++;
	box->modseq = change.modseq;
}

static void step_expunge(struct content_lab *lab, struct content_box *box,
			 struct mbj_bytes uids)
{
	uint64_t modseq = modseq_next(lab, box);

	test_ok(mbj_txn_message_expunge(lab->txn, lab->account,
					content_box_id(box), box->rev, uids,
					modseq, (struct mbj_lsn){9}, &err),
		err);
	for (uint32_t uid = 1; uid < box->uidnext; uid++) {
		if (!uids_have(uids, uid) || !box->messages[uid].is_there)
			continue;
		box->messages[uid].is_there = false;
		lab->done[2]++;
	}
	box->rev++;
	box->modseq = modseq;
	box->expunges++;
}

/* Deleted, with all that is in it, and another one in its place. */
static void step_replace(struct content_lab *lab, struct content_box *box)
{
	char name[16] = "box";
	struct mbj_slot slot = {.parent = MBJ_ID_ROOT};

	name[3] = (char)('0' + (box - lab->model->boxes));
	slot.name.stored = mbj_bytes_str(name);
	slot.name.key = slot.name.stored;
	test_ok(mbj_txn_mailbox_delete(lab->txn, lab->account,
				       content_box_id(box), 1, &slot,
				       (struct mbj_lsn){7}, &err),
		err);
	for (uint32_t uid = 1; uid < box->uidnext; uid++)
		lab->model->left[box->messages[uid].blob] +=
			box->messages[uid].is_there;
	box_create(lab, box);
	lab->done[4]++;
}

static void step_take_all(struct content_lab *lab, struct content_box *box,
			  struct content_box *target)
{
	uint64_t modseq;

	/* It must be as it was made, which few are by themselves. */
	if (target->rev != 1 && test_rng_chance(&lab->rng, 1, 4))
		step_replace(lab, target);
	if (box == target || target->rev != 1)
		return;
	modseq = modseq_next(lab, box);
	test_ok(mbj_txn_message_take_all(lab->txn, lab->account,
					 content_box_id(box), box->rev,
					 content_box_id(target), modseq, &err),
		err);
	memcpy(target->messages, box->messages, sizeof(box->messages));
	memset(box->messages, 0, sizeof(box->messages));
	target->rev = 2;
	target->uidnext = box->uidnext;
	target->modseq = box->modseq;
	box->expunges += box->uidnext > 1;
	box->rev++;
	box->modseq = modseq;
	lab->done[3]++;
}

static void step_reap(struct content_lab *lab)
{
	bool is_done = false;

	for (unsigned rounds = 0; !is_done; rounds++) {
		ck_assert_uint_lt(rounds, 10000);
		test_ok(mbj_txn_reap(lab->txn,
				     (size_t)test_rng_between(&lab->rng, 1, 50),
				     (struct mbj_lsn){8}, &is_done, &err),
			err);
	}
	memset(lab->model->left, 0, sizeof(lab->model->left));
	lab->done[5]++;
}

void content_step(struct content_lab *lab, struct mbj_buf *uids)
{
	struct content_box *boxes = lab->model->boxes;
	struct content_box *box =
		&boxes[test_rng_below(&lab->rng, CONTENT_BOXES)];
	uint64_t what = test_rng_below(&lab->rng, 100);

	if (what < 50)
		content_append(lab, box);
	else if (what < 70 && uids_draw(lab, box, uids))
		step_flags(lab, box, mbj_buf_view(uids));
	else if (what < 85 && uids_draw(lab, box, uids))
		step_expunge(lab, box, mbj_buf_view(uids));
	else if (what < 93)
		step_take_all(lab, box,
			      &boxes[test_rng_below(&lab->rng, CONTENT_BOXES)]);
	else if (what < 97)
		step_replace(lab, box);
	else
		step_reap(lab);
}

/* A step that is taken back as if it had never been. */
void content_step_undone(struct content_lab *lab, struct mbj_buf *uids)
{
	struct content_model *before = malloc(sizeof(*before));
	size_t savepoint = mbj_txn_savepoint(lab->txn);

	ck_assert_ptr_nonnull(before);
	*before = *lab->model;
	for (unsigned i = 0; i < 3; i++)
		content_step(lab, uids);
	mbj_txn_rollback(lab->txn, savepoint);
	/* The identifiers that were used meanwhile may be used again. */
	*lab->model = *before;
	free(before);
}
