/*
 * A compound edit over the wire: all of struct mbj_edit.  What it means, and
 * whether it is any good, is the store's to say: names, numbers and ids go over
 * as they are; only what would not be an enum or a bool here is refused.
 *
 * Threads: pure functions.
 */
#include <mbj/check.h>

#include "wire.h"

/* Bits of a step of messages. */
enum { STEP_HAS_GUID = 1 };

/* Bits of an edit's flags. */
enum {
	EDIT_HAS_IF_IN_STATE = 1 << 0,
	EDIT_IS_DRY_RUN = 1 << 1,
	EDIT_IS_EMPTYING = 1 << 2,
	EDIT_IS_SUBSCRIPTION_KEPT = 1 << 3,
	EDIT_IS_FOLDING = 1 << 4,
	EDIT_HAS_STAGE = 1 << 5,
	EDIT_BITS = (1 << 6) - 1,
};

enum { CHANGE_IS_SUBSCRIBED = 1 << 0, CHANGE_IS_SELECTABLE = 1 << 1 };

enum {
	CHANGE_BITS = CHANGE_IS_SUBSCRIBED | CHANGE_IS_SELECTABLE,
	CHANGE_HAS_ALL = (MBJ_CHANGE_HAS_UIDNEXT << 1) - 1,
	/* The least bytes that one takes. */
	CHANGE_SIZE_MIN = 4 + 4 + 2 * MBJ_ID_SIZE + 4,
	RENAME_SIZE_MIN = 8,
	MESSAGE_SIZE_MIN =
		4 + 2 * MBJ_ID_SIZE + 4 + 8 + 4 + 4 + MBJ_HASH_SIZE + 8 + 8,
	METADATA_SIZE_MIN = 4 + MBJ_ID_SIZE + 8 + 8 + 4 + 4,
	METADATA_HAS_ALL = MBJ_METADATA_HAS_MESSAGES | MBJ_METADATA_HAS_SIZE,
};

static void change_encode(struct mbj_buf *buf, const struct mbj_change *change)
{
	unsigned bits = (change->is_subscribed ? CHANGE_IS_SUBSCRIBED : 0) |
			(change->is_selectable ? CHANGE_IS_SELECTABLE : 0);

	mbj_buf_put_u8(buf, (uint8_t)change->kind);
	mbj_buf_put_u8(buf, (uint8_t)change->has);
	mbj_buf_put_u8(buf, change->role);
	mbj_buf_put_u8(buf, (uint8_t)bits);
	mbj_buf_put_u32(buf, change->uidvalidity);
	mbj_buf_put_id(buf, change->id);
	mbj_buf_put_id(buf, change->parent);
	wire_text_encode(buf, change->name, WIRE_TEXT_MAX);
	if (change->has & MBJ_CHANGE_HAS_UIDNEXT)
		mbj_buf_put_u32(buf, change->uidnext);
}

static bool change_decode(struct mbj_reader *reader, struct mbj_change *change)
{
	unsigned kind = mbj_read_u8(reader);
	unsigned has = mbj_read_u8(reader);
	unsigned bits;

	change->role = mbj_read_u8(reader);
	bits = mbj_read_u8(reader);
	change->uidvalidity = mbj_read_u32(reader);
	change->id = mbj_read_id(reader);
	change->parent = mbj_read_id(reader);
	change->name = mbj_read_block(reader, WIRE_TEXT_MAX);
	if (has & MBJ_CHANGE_HAS_UIDNEXT)
		change->uidnext = mbj_read_u32(reader);
	if (kind < MBJ_CHANGE_CREATE || kind > MBJ_CHANGE_DESTROY ||
	    (has & ~(unsigned)CHANGE_HAS_ALL) != 0 ||
	    (bits & ~(unsigned)CHANGE_BITS) != 0 ||
	    mbj_role_name((enum mbj_role)change->role) == NULL)
		return false;
	change->kind = (enum mbj_change_kind)kind;
	change->has = has;
	change->is_subscribed = (bits & CHANGE_IS_SUBSCRIBED) != 0;
	change->is_selectable = (bits & CHANGE_IS_SELECTABLE) != 0;
	return mbj_reader_ok(reader);
}

static void step_encode(struct mbj_buf *buf, const struct mbj_message_edit *m)
{
	mbj_buf_put_u8(buf, (uint8_t)m->kind);
	mbj_buf_put_u8(buf, (uint8_t)m->mode);
	mbj_buf_put_u8(buf, m->flags);
	mbj_buf_put_u8(buf, m->guid.n > 0 ? STEP_HAS_GUID : 0);
	mbj_buf_put_id(buf, m->mailbox);
	mbj_buf_put_id(buf, m->target);
	mbj_buf_put_u32(buf, m->uid);
	mbj_buf_put_u64(buf, m->modseq);
	wire_text_encode(buf, m->uids, WIRE_TEXT_MAX);
	wire_text_encode(buf, m->keywords, WIRE_TEXT_MAX);
	wire_put_hash(buf, &m->blob);
	mbj_buf_put_u64(buf, m->size);
	mbj_buf_put_u64(buf, (uint64_t)m->time);
	if (m->guid.n > 0)
		wire_text_encode(buf, m->guid, WIRE_SMALL_MAX);
}

static bool step_decode(struct mbj_reader *reader, struct mbj_message_edit *m)
{
	unsigned kind = mbj_read_u8(reader);
	unsigned mode = mbj_read_u8(reader);
	unsigned bits;

	m->flags = mbj_read_u8(reader);
	bits = mbj_read_u8(reader);
	m->mailbox = mbj_read_id(reader);
	m->target = mbj_read_id(reader);
	m->uid = mbj_read_u32(reader);
	m->modseq = mbj_read_u64(reader);
	m->uids = mbj_read_block(reader, WIRE_TEXT_MAX);
	m->keywords = mbj_read_block(reader, WIRE_TEXT_MAX);
	m->blob = wire_read_hash(reader);
	m->size = mbj_read_u64(reader);
	m->time = (int64_t)mbj_read_u64(reader);
	if (bits == STEP_HAS_GUID)
		m->guid = mbj_read_block(reader, WIRE_SMALL_MAX);
	if (kind < MBJ_MESSAGE_APPEND || kind > MBJ_MESSAGE_GUID ||
	    mode > MBJ_FLAGS_REPLACE || bits > STEP_HAS_GUID ||
	    (bits == STEP_HAS_GUID && m->guid.n == 0))
		return false;
	m->kind = (enum mbj_message_edit_kind)kind;
	m->mode = (enum mbj_flag_mode)mode;
	return mbj_reader_ok(reader);
}

static void metadata_encode(struct mbj_buf *buf,
			    const struct mbj_metadata_edit *m)
{
	mbj_buf_put_u8(buf, (uint8_t)m->kind);
	mbj_buf_put_u8(buf, (uint8_t)m->mode);
	mbj_buf_put_u8(buf, (uint8_t)m->has);
	mbj_buf_put_u8(buf, m->is_removed);
	mbj_buf_put_id(buf, m->mailbox);
	mbj_buf_put_u64(buf, m->quota_messages);
	mbj_buf_put_u64(buf, m->quota_size);
	wire_text_encode(buf, m->name, WIRE_TEXT_MAX);
	wire_text_encode(buf, m->value, WIRE_TEXT_MAX);
}

static bool metadata_decode(struct mbj_reader *reader,
			    struct mbj_metadata_edit *m)
{
	unsigned kind = mbj_read_u8(reader);
	unsigned mode = mbj_read_u8(reader);
	unsigned has = mbj_read_u8(reader);

	m->is_removed = wire_read_bool(reader);
	m->mailbox = mbj_read_id(reader);
	m->quota_messages = mbj_read_u64(reader);
	m->quota_size = mbj_read_u64(reader);
	m->name = mbj_read_block(reader, WIRE_TEXT_MAX);
	m->value = mbj_read_block(reader, WIRE_TEXT_MAX);
	if (kind < MBJ_METADATA_QUOTA || kind > MBJ_METADATA_ACCOUNT_ENTRY ||
	    mode > MBJ_RIGHTS_REMOVE ||
	    (has & ~(unsigned)METADATA_HAS_ALL) != 0)
		return false;
	m->kind = (enum mbj_metadata_edit_kind)kind;
	m->mode = (enum mbj_rights_mode)mode;
	m->has = has;
	return mbj_reader_ok(reader);
}

/* Last, and of this kind of edit alone: the others are as they always were. */
static void metadata_list_encode(struct mbj_buf *buf,
				 const struct mbj_edit *edit)
{
	if (edit->kind != MBJ_EDIT_METADATA)
		return;
	mbj_buf_put_u32(buf, (uint32_t)edit->metadata_count);
	for (size_t i = 0; i < edit->metadata_count && buf->failed == MBJ_OK;
	     i++)
		metadata_encode(buf, &edit->metadata[i]);
}

/* Behind all else, of edits that have a stage. */
static void stage_encode(struct mbj_buf *buf, const struct mbj_edit *edit)
{
	if (edit->stage == MBJ_STAGE_NONE)
		return;
	mbj_buf_put_u8(buf, (uint8_t)edit->stage);
	mbj_buf_put_id(buf, edit->intent);
	wire_text_encode(buf, edit->producer, WIRE_TEXT_MAX);
}

static enum mbj_rc stage_decode(struct mbj_reader *reader,
				struct mbj_edit *edit, struct mbj_error *err)
{
	unsigned stage = mbj_read_u8(reader);

	edit->intent = mbj_read_id(reader);
	edit->producer = mbj_read_block(reader, WIRE_TEXT_MAX);
	if (!mbj_reader_ok(reader) || stage < MBJ_STAGE_INTENT ||
	    stage > MBJ_STAGE_RESOLVE)
		return wire_bad(err, "stage of an edit");
	edit->stage = (enum mbj_intent_stage)stage;
	return MBJ_OK;
}

void wire_edit_encode(struct mbj_buf *buf, const struct mbj_edit *edit)
{
	unsigned bits =
		(edit->has_if_in_state ? EDIT_HAS_IF_IN_STATE : 0) |
		(edit->is_dry_run ? EDIT_IS_DRY_RUN : 0) |
		(edit->is_emptying ? EDIT_IS_EMPTYING : 0) |
		(edit->is_subscription_kept ? EDIT_IS_SUBSCRIPTION_KEPT : 0) |
		(edit->policy.is_folding ? EDIT_IS_FOLDING : 0) |
		(edit->stage != MBJ_STAGE_NONE ? EDIT_HAS_STAGE : 0);

	mbj_buf_put_u8(buf, (uint8_t)edit->kind);
	mbj_buf_put_u8(buf, (uint8_t)bits);
	mbj_buf_put_u8(buf, (uint8_t)edit->origin);
	mbj_buf_put_u8(buf, (uint8_t)edit->policy.delimiter);
	mbj_buf_put_u64(buf, edit->if_in_state.v);
	mbj_buf_put_id(buf, edit->request);
	wire_text_encode(buf, edit->account, WIRE_TEXT_MAX);
	mbj_buf_put_u32(buf, (uint32_t)edit->change_count);
	mbj_buf_put_u32(buf, (uint32_t)edit->rename_count);
	mbj_buf_put_u32(buf, (uint32_t)edit->message_count);
	/* What is too much for its limit need not be put together. */
	for (size_t i = 0; i < edit->change_count && buf->failed == MBJ_OK; i++)
		change_encode(buf, &edit->changes[i]);
	for (size_t i = 0; i < edit->rename_count && buf->failed == MBJ_OK;
	     i++) {
		wire_text_encode(buf, edit->renames[i].source, WIRE_TEXT_MAX);
		wire_text_encode(buf, edit->renames[i].target, WIRE_TEXT_MAX);
	}
	for (size_t i = 0; i < edit->message_count && buf->failed == MBJ_OK;
	     i++)
		step_encode(buf, &edit->messages[i]);
	metadata_list_encode(buf, edit);
	stage_encode(buf, edit);
}

/* The edit's own numbers, without its lists. */
static bool edit_head_decode(struct mbj_reader *reader, struct mbj_edit *edit,
			     bool *ret_has_stage)
{
	unsigned kind = mbj_read_u8(reader);
	unsigned bits = mbj_read_u8(reader);
	unsigned origin = mbj_read_u8(reader);

	edit->size = sizeof(*edit);
	edit->policy.delimiter = (char)mbj_read_u8(reader);
	edit->if_in_state.v = mbj_read_u64(reader);
	edit->request = mbj_read_id(reader);
	edit->account = mbj_read_block(reader, WIRE_TEXT_MAX);
	if (kind < MBJ_EDIT_SET || kind > MBJ_EDIT_INTENT ||
	    (bits & ~(unsigned)EDIT_BITS) != 0 || origin > MBJ_ORIGIN_SALVAGE)
		return false;
	edit->kind = (enum mbj_edit_kind)kind;
	edit->origin = (enum mbj_origin)origin;
	edit->has_if_in_state = (bits & EDIT_HAS_IF_IN_STATE) != 0;
	edit->is_dry_run = (bits & EDIT_IS_DRY_RUN) != 0;
	edit->is_emptying = (bits & EDIT_IS_EMPTYING) != 0;
	edit->is_subscription_kept = (bits & EDIT_IS_SUBSCRIPTION_KEPT) != 0;
	edit->policy.is_folding = (bits & EDIT_IS_FOLDING) != 0;
	*ret_has_stage = (bits & EDIT_HAS_STAGE) != 0;
	return mbj_reader_ok(reader);
}

/*
 * Memory for as many as are said to come, if there can be as many: NULL and
 * MBJ_OK for none.
 */
static enum mbj_rc list_reserve(const struct mbj_reader *reader, uint32_t count,
				size_t size_min, size_t size,
				struct mbj_arena *arena, void **ret_list,
				struct mbj_error *err)
{
	*ret_list = NULL;
	if (count == 0)
		return MBJ_OK;
	if (count > mbj_reader_left(reader) / size_min)
		return wire_bad(err, "number of changes");
	*ret_list = mbj_arena_alloc(arena, (size_t)count * size);
	if (*ret_list == NULL)
		return mbj_error_nomem(err);
	memset(*ret_list, 0, (size_t)count * size);
	return MBJ_OK;
}

static enum mbj_rc changes_decode(struct mbj_reader *reader,
				  struct mbj_arena *arena, uint32_t count,
				  struct mbj_edit *edit, struct mbj_error *err)
{
	struct mbj_change *changes;
	void *list;
	enum mbj_rc rc;

	rc = list_reserve(reader, count, CHANGE_SIZE_MIN, sizeof(*changes),
			  arena, &list, err);
	changes = list;
	if (list == NULL)
		return rc;
	for (uint32_t i = 0; rc == MBJ_OK && i < count; i++)
		if (!change_decode(reader, &changes[i]))
			rc = wire_bad(err, "change of a mailbox");
	edit->changes = changes;
	edit->change_count = count;
	return rc;
}

static enum mbj_rc renames_decode(struct mbj_reader *reader,
				  struct mbj_arena *arena, uint32_t count,
				  struct mbj_edit *edit, struct mbj_error *err)
{
	struct mbj_rename *renames;
	void *list;
	enum mbj_rc rc;

	rc = list_reserve(reader, count, RENAME_SIZE_MIN, sizeof(*renames),
			  arena, &list, err);
	renames = list;
	if (list == NULL)
		return rc;
	for (uint32_t i = 0; rc == MBJ_OK && i < count; i++) {
		renames[i].source = mbj_read_block(reader, WIRE_TEXT_MAX);
		renames[i].target = mbj_read_block(reader, WIRE_TEXT_MAX);
		if (!mbj_reader_ok(reader))
			rc = wire_bad(err, "rename");
	}
	edit->renames = renames;
	edit->rename_count = count;
	return rc;
}

static enum mbj_rc steps_decode(struct mbj_reader *reader,
				struct mbj_arena *arena, uint32_t count,
				struct mbj_edit *edit, struct mbj_error *err)
{
	struct mbj_message_edit *steps;
	void *list;
	enum mbj_rc rc;

	rc = list_reserve(reader, count, MESSAGE_SIZE_MIN, sizeof(*steps),
			  arena, &list, err);
	steps = list;
	if (list == NULL)
		return rc;
	for (uint32_t i = 0; rc == MBJ_OK && i < count; i++)
		if (!step_decode(reader, &steps[i]))
			rc = wire_bad(err, "change of messages");
	edit->messages = steps;
	edit->message_count = count;
	return rc;
}

static enum mbj_rc metadata_list_decode(struct mbj_reader *reader,
					struct mbj_arena *arena,
					struct mbj_edit *edit,
					struct mbj_error *err)
{
	struct mbj_metadata_edit *metadata;
	uint32_t count = mbj_read_u32(reader);
	void *list;
	enum mbj_rc rc;

	if (!mbj_reader_ok(reader))
		return wire_bad(err, "number of changes");
	rc = list_reserve(reader, count, METADATA_SIZE_MIN, sizeof(*metadata),
			  arena, &list, err);
	metadata = list;
	if (list == NULL)
		return rc;
	for (uint32_t i = 0; rc == MBJ_OK && i < count; i++)
		if (!metadata_decode(reader, &metadata[i]))
			rc = wire_bad(err, "change of metadata");
	edit->metadata = metadata;
	edit->metadata_count = count;
	return rc;
}

enum mbj_rc wire_edit_decode(struct mbj_reader *reader, struct mbj_arena *arena,
			     struct mbj_edit *ret_edit, struct mbj_error *err)
{
	uint32_t counts[3];
	bool has_stage = false;
	enum mbj_rc rc;

	if (!edit_head_decode(reader, ret_edit, &has_stage))
		return wire_bad(err, "edit");
	for (int i = 0; i < 3; i++)
		counts[i] = mbj_read_u32(reader);
	if (!mbj_reader_ok(reader))
		return wire_bad(err, "number of changes");
	rc = changes_decode(reader, arena, counts[0], ret_edit, err);
	if (rc == MBJ_OK)
		rc = renames_decode(reader, arena, counts[1], ret_edit, err);
	if (rc == MBJ_OK)
		rc = steps_decode(reader, arena, counts[2], ret_edit, err);
	if (rc == MBJ_OK && ret_edit->kind == MBJ_EDIT_METADATA)
		rc = metadata_list_decode(reader, arena, ret_edit, err);
	if (rc == MBJ_OK && has_stage)
		rc = stage_decode(reader, ret_edit, err);
	return rc;
}
