/*
 * Walking the journal group by group, from segment to segment.
 *
 * Invariants:
 *   1. LSNs are dense and each chain value continues the one before, also
 *      across segments, whatever segment the bytes came from;
 *   2. a segment is left where the next one in file number order begins, even
 *      in the middle of a batch;
 *   3. a place that is not what it should be is looked up once more by the
 *      directory as it is now (the writer may have gone on in another
 *      segment) before it is called damage.
 *
 * Threads: one at a time.
 */
#include "log_cursor.h"

#include <mbj/check.h>

#include "group_record.h"

void log_cursor_init(struct log_cursor *cursor, const struct mbj_sys *sys,
		     const char *dir, struct mbj_id lineage,
		     struct mbj_sha256 *sha)
{
	*cursor = (struct log_cursor){
		.sys = sys,
		.dir = dir,
		.lineage = lineage,
		.sha = sha,
	};
	segment_list_init(&cursor->list);
	segment_view_init(&cursor->view);
}

void log_cursor_done(struct log_cursor *cursor)
{
	segment_list_done(&cursor->list);
	segment_view_done(&cursor->view);
}

void log_cursor_stand(struct log_cursor *cursor,
		      const struct mbj_log_end *before)
{
	segment_view_close(&cursor->view);
	cursor->before = *before;
	cursor->left = 0;
}

static struct mbj_lsn lsn_next(const struct log_cursor *cursor)
{
	return (struct mbj_lsn){cursor->before.lsn.v + 1};
}

static enum mbj_rc cursor_fault(const struct log_cursor *cursor,
				const char *what, struct mbj_error *err)
{
	return segment_fault(err, cursor->view.file.path, cursor->at,
			     lsn_next(cursor), what);
}

/*
 * The frame at the cursor, which must be the next one; its chain value is
 * compared, or taken where is_trusted.
 */
static enum mbj_rc frame_enter(struct log_cursor *cursor, bool is_trusted,
			       struct mbj_error *err)
{
	struct mbj_log_end *before = &cursor->before;
	struct segment_frame frame;
	struct mbj_bytes bytes;
	enum mbj_rc rc;

	rc = segment_view_get(&cursor->view, cursor->at, SEGMENT_FRAME_SIZE,
			      &bytes, err);
	if (rc < 0)
		return rc;
	if (bytes.n < SEGMENT_FRAME_SIZE ||
	    !segment_frame_decode(bytes.p, cursor->header.salt, &frame))
		return cursor_fault(cursor,
				    "a batch is damaged, or the journal ends "
				    "before an LSN that was durable",
				    err);
	if (is_trusted)
		before->chain = frame.chain;
	if (frame.first.v != before->lsn.v + 1 ||
	    memcmp(frame.chain.b, before->chain.b, MBJ_HASH_SIZE) != 0)
		return cursor_fault(cursor,
				    "a batch does not continue the one "
				    "before it",
				    err);
	cursor->at += SEGMENT_FRAME_SIZE;
	cursor->frame_end = cursor->at + frame.payload_size;
	cursor->left = frame.count;
	return MBJ_OK;
}

/* The record at the cursor, as long as its header says. */
static enum mbj_rc record_view(struct log_cursor *cursor, bool is_header_only,
			       struct mbj_bytes *ret_bytes,
			       struct mbj_error *err)
{
	uint64_t room = cursor->frame_end - cursor->at;
	uint32_t header_size = 0;
	struct mbj_bytes bytes;
	uint64_t size = 0;
	enum mbj_rc rc;

	MBJ_ASSERT(cursor->left > 0);
	MBJ_ASSERT(cursor->at <= cursor->frame_end);
	rc = segment_view_get(&cursor->view, cursor->at, GROUP_HEADER_SIZE_MIN,
			      &bytes, err);
	if (rc != MBJ_OK)
		return rc;
	if (bytes.n < GROUP_HEADER_SIZE_MIN ||
	    !group_size_peek(bytes, &header_size, &size) || size > room ||
	    (cursor->left == 1 && size < room))
		return cursor_fault(cursor, "the header of a group is damaged",
				    err);
	return segment_view_get(&cursor->view, cursor->at,
				is_header_only ? header_size : (size_t)size,
				ret_bytes, err);
}

/* A group's own words, with its place. */
static enum mbj_rc group_fault(const struct log_cursor *cursor,
			       const struct mbj_error *why,
			       struct mbj_error *err)
{
	if (why->rc == MBJ_ECORRUPT || why->rc == MBJ_ENOTFOUND)
		return cursor_fault(cursor, why->message, err);
	if (err != NULL)
		*err = *why;
	mbj_error_at(err, cursor->view.file.path, cursor->at,
		     lsn_next(cursor).v);
	return why->rc;
}

static enum mbj_rc order_check(const struct log_cursor *cursor,
			       const struct mbj_group *group,
			       struct mbj_error *err)
{
	if (group->header.lsn.v == lsn_next(cursor).v)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT, "group %llu is out of order",
			     (unsigned long long)group->header.lsn.v);
}

static void group_pass(struct log_cursor *cursor, const struct mbj_group *group)
{
	MBJ_ASSERT(cursor->left > 0);
	cursor->at += group->record.n;
	cursor->left--;
	cursor->before = (struct mbj_log_end){group->header.lsn, group->chain};
}

/* Past one group, by its header. */
static enum mbj_rc group_skip(struct log_cursor *cursor, struct mbj_error *err)
{
	struct mbj_bytes bytes;
	struct mbj_group group;
	struct mbj_error why;
	uint64_t chain_at;
	enum mbj_rc rc;

	rc = record_view(cursor, true, &bytes, err);
	if (rc < 0)
		return rc;
	rc = group_header_parse(bytes, &group, &why);
	if (rc == MBJ_OK)
		rc = order_check(cursor, &group, &why);
	if (rc < 0)
		return group_fault(cursor, &why, err);
	chain_at = cursor->at + group.header.header_size +
		   group.header.body_size + 4;
	rc = segment_view_get(&cursor->view, chain_at, MBJ_HASH_SIZE, &bytes,
			      err);
	if (rc < 0)
		return rc;
	if (bytes.n < MBJ_HASH_SIZE)
		return cursor_fault(cursor, "a group is cut off", err);
	memcpy(group.chain.b, bytes.p, MBJ_HASH_SIZE);
	group_pass(cursor, &group);
	return MBJ_OK;
}

/* Open the segment that counts for lsn and stand at its first frame. */
static enum mbj_rc segment_enter(struct log_cursor *cursor, struct mbj_lsn lsn,
				 struct mbj_error *err)
{
	const struct segment_list *list = &cursor->list;
	const struct segment_entry *entry;
	char name[SEGMENT_NAME_SIZE];
	size_t index;
	enum mbj_rc rc;

	index = segment_list_find(list, lsn);
	if (index == list->count)
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "the journal in %s does not reach back to "
				     "LSN %llu",
				     cursor->dir, (unsigned long long)lsn.v);
	entry = &list->entries[index];
	segment_name_print(entry->number, entry->first, name);
	rc = segment_view_open(&cursor->view, cursor->sys, cursor->dir, name,
			       cursor->lineage, &cursor->header, err);
	if (rc < 0)
		return rc;
	cursor->void_from.v =
		index + 1 < list->count ? list->entries[index + 1].first.v : 0;
	cursor->at = SEGMENT_HEADER_SIZE;
	cursor->left = 0;
	cursor->before = (struct mbj_log_end){{cursor->header.first.v - 1},
					      cursor->header.chain};
	return MBJ_OK;
}

/* From frame to frame, then from group to group. */
static enum mbj_rc segment_walk(struct log_cursor *cursor, struct mbj_lsn lsn,
				struct mbj_error *err)
{
	bool is_trusted = false;
	enum mbj_rc rc;

	MBJ_ASSERT(lsn.v > cursor->before.lsn.v);
	for (;;) {
		rc = frame_enter(cursor, is_trusted, err);
		if (rc < 0)
			return rc;
		if (lsn.v - cursor->before.lsn.v <= cursor->left)
			break;
		cursor->before.lsn.v += cursor->left;
		cursor->at = cursor->frame_end;
		is_trusted = true;
	}
	while (lsn_next(cursor).v < lsn.v) {
		rc = group_skip(cursor, err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

enum mbj_rc log_cursor_seek(struct log_cursor *cursor, struct mbj_lsn lsn,
			    struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(lsn.v > 0);
	/* A segment may go between the listing and its opening: once more. */
	for (int attempt = 0; attempt < 2; attempt++) {
		segment_view_close(&cursor->view);
		rc = segment_list_load(&cursor->list, cursor->sys, cursor->dir,
				       err);
		if (rc < 0)
			return rc;
		rc = segment_enter(cursor, lsn, err);
		if (rc != MBJ_ENOTFOUND)
			break;
	}
	if (rc == MBJ_OK)
		rc = segment_walk(cursor, lsn, err);
	if (rc < 0)
		segment_view_close(&cursor->view);
	return rc;
}

/* The place of the next group, found anew; its chain must be the known one. */
static enum mbj_rc place_find(struct log_cursor *cursor, struct mbj_error *err)
{
	struct mbj_log_end before = cursor->before;
	struct mbj_lsn lsn = lsn_next(cursor);
	enum mbj_rc rc;

	rc = log_cursor_seek(cursor, lsn, err);
	if (rc == MBJ_ENOTFOUND)
		rc = segment_fault(err, cursor->dir, 0, lsn,
				   "a group is not in the journal any more");
	if (rc == MBJ_OK &&
	    memcmp(before.chain.b, cursor->before.chain.b, MBJ_HASH_SIZE) != 0)
		rc = cursor_fault(cursor,
				  "a group does not continue the one before it",
				  err);
	if (rc < 0)
		log_cursor_stand(cursor, &before);
	return rc;
}

/* Be at a group: in a frame of the segment that counts for it. */
static enum mbj_rc group_reach(struct log_cursor *cursor, struct mbj_error *err)
{
	uint64_t lsn = lsn_next(cursor).v;
	bool is_here = cursor->view.file.fd >= 0 &&
		       (cursor->void_from.v == 0 || lsn < cursor->void_from.v);
	enum mbj_rc rc;

	if (is_here && cursor->left > 0)
		return MBJ_OK;
	if (is_here) {
		rc = frame_enter(cursor, false, NULL);
		if (rc != MBJ_ECORRUPT)
			return rc == MBJ_OK ? rc
					    : frame_enter(cursor, false, err);
	}
	return place_find(cursor, err);
}

enum mbj_rc log_cursor_next(struct log_cursor *cursor,
			    struct mbj_group *ret_group, struct mbj_error *err)
{
	struct mbj_group group;
	struct mbj_bytes bytes;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = group_reach(cursor, err);
	if (rc == MBJ_OK)
		rc = record_view(cursor, false, &bytes, err);
	if (rc != MBJ_OK)
		return rc;
	rc = mbj_group_parse(bytes, &group, &why);
	if (rc == MBJ_OK)
		rc = order_check(cursor, &group, &why);
	if (rc == MBJ_OK && group.is_body_good)
		rc = mbj_group_chain_check(&group, cursor->sha,
					   &cursor->before.chain, &why);
	if (rc < 0)
		return group_fault(cursor, &why, err);
	group_pass(cursor, &group);
	*ret_group = group;
	return MBJ_OK;
}
