/*
 * Reading the log, by its owner or by anybody else; see mbj/log.h.
 *
 * A position is an LSN that is wanted; where it is on disk is looked up when
 * it is first read.  Every group handed out is verified: header, density,
 * chain.  The list of segments is read again where a wanted LSN is not where
 * it should be, since the writer may have begun a new segment.
 */
#include <fcntl.h>
#include <string.h>

#include <mbj/check.h>

#include "group_record.h"
#include "log_priv.h"

/* First look at a group; most are smaller. */
enum { READ_FIRST = 4 << 10 };

struct mbj_log_reader {
	const struct mbj_sys *sys;
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_id lineage;
	struct mbj_anchor anchor;
	bool is_owned;
	struct segment_list list;
	struct segment_view view;
	struct segment_header header;
	size_t segment; /* index in list of what view shows */
	struct mbj_sha256 *sha;
	struct mbj_log_end end; /* may be read to here */
	struct mbj_lsn wanted;	/* the next group */
	bool is_placed;		/* at and chain are those of wanted */
	uint64_t at;		/* next group or frame */
	uint64_t frame_end;	/* of the frame around at, or at */
	struct mbj_hash chain;	/* before wanted */
};

void mbj_log_reader_close(struct mbj_log_reader **reader)
{
	struct mbj_log_reader *r = *reader;

	if (!r)
		return;
	segment_view_done(&r->view);
	segment_list_done(&r->list);
	mbj_sha256_free(&r->sha);
	mbj_free(r);
	*reader = NULL;
}

/* Sync what an absent owner may have left in the page cache alone. */
static enum mbj_rc file_sync(struct mbj_log_reader *r, const char *name,
			     struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, r->dir, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(r->sys, path, O_RDONLY, &file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&file, err);
	mbj_file_close(&file);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(r->sys, r->dir, err);
	return rc;
}

/* Without an owner: everything whole, once it is on disk. */
static enum mbj_rc end_find(struct mbj_log_reader *r, struct mbj_error *err)
{
	struct segment_evidence evidence = {{0}, {{0}, {{0}}}, {0}};
	const struct segment_entry *last;
	char name[SEGMENT_NAME_SIZE];
	struct segment_scan scan;
	enum mbj_rc rc;

	r->end = log_end_of_anchor(&r->anchor);
	rc = log_published_load(r->sys, r->dir, &evidence.published, err);
	if (rc < 0 || r->list.count == 0)
		return rc;
	evidence.durable = evidence.published.lsn;
	last = &r->list.entries[r->list.count - 1];
	segment_name_print(last->number, last->first, name);
	rc = segment_view_open(&r->view, r->sys, r->dir, name, r->lineage,
			       &r->header, err);
	if (rc == MBJ_OK)
		rc = file_sync(r, name, err);
	if (rc == MBJ_OK)
		rc = segment_scan(&r->view, &r->header, &evidence, r->sha,
				  &scan, err);
	segment_view_close(&r->view);
	if (rc < 0)
		return rc;
	r->end = scan.end;
	/* Reading on meets the damage and names it. */
	if (scan.tail == SEGMENT_DAMAGED)
		r->end.lsn = scan.known;
	return MBJ_OK;
}

static enum mbj_rc end_refresh(struct mbj_log_reader *r, struct mbj_error *err)
{
	struct mbj_log_end published;
	enum mbj_rc rc;

	if (!r->is_owned)
		return MBJ_OK;
	rc = log_published_load(r->sys, r->dir, &published, err);
	if (rc == MBJ_OK && published.lsn.v > r->end.lsn.v)
		r->end = published;
	return rc;
}

enum mbj_rc mbj_log_reader_open(const struct mbj_sys *sys, const char *dir,
				struct mbj_id lineage,
				const struct mbj_anchor *anchor, bool is_owned,
				struct mbj_log_reader **ret_reader,
				struct mbj_error *err)
{
	struct mbj_log_reader *r;
	enum mbj_rc rc;

	if (strlen(dir) >= MBJ_PATH_TEXT_MAX)
		return mbj_error_set(err, MBJ_ELIMIT, "the path is too long");
	r = mbj_calloc(1, sizeof(*r));
	if (!r)
		return mbj_error_nomem(err);
	r->sys = sys;
	memcpy(r->dir, dir, strlen(dir) + 1);
	r->lineage = lineage;
	r->anchor = *anchor;
	r->is_owned = is_owned;
	r->end = log_end_of_anchor(anchor);
	r->wanted = anchor->first;
	segment_list_init(&r->list);
	segment_view_init(&r->view);
	rc = mbj_sha256_new(&r->sha, err);
	if (rc == MBJ_OK)
		rc = segment_list_load(&r->list, sys, dir, err);
	if (rc == MBJ_OK)
		rc = is_owned ? end_refresh(r, err) : end_find(r, err);
	if (rc < 0)
		mbj_log_reader_close(&r);
	else
		*ret_reader = r;
	return rc;
}

enum mbj_rc mbj_log_reader_end(struct mbj_log_reader *reader,
			       struct mbj_log_end *ret_end,
			       struct mbj_error *err)
{
	enum mbj_rc rc = end_refresh(reader, err);

	if (rc == MBJ_OK)
		*ret_end = reader->end;
	return rc;
}

enum mbj_rc mbj_log_reader_seek(struct mbj_log_reader *reader,
				struct mbj_lsn lsn, struct mbj_error *err)
{
	enum mbj_rc rc = end_refresh(reader, err);

	if (rc < 0)
		return rc;
	if (lsn.v < reader->anchor.first.v || lsn.v > reader->end.lsn.v + 1)
		return mbj_error_set(
			err, MBJ_ENOTFOUND,
			"group %llu is not in the journal, which has %llu to "
			"%llu",
			(unsigned long long)lsn.v,
			(unsigned long long)reader->anchor.first.v,
			(unsigned long long)reader->end.lsn.v);
	reader->wanted = lsn;
	reader->is_placed = false;
	return MBJ_OK;
}

static enum mbj_rc reader_fault(struct mbj_log_reader *r, const char *what,
				struct mbj_error *err)
{
	return segment_fault(err, r->view.file.path, r->at, r->wanted, what);
}

/* Open the segment that counts for the wanted group. */
static enum mbj_rc segment_select(struct mbj_log_reader *r,
				  struct mbj_error *err)
{
	char name[SEGMENT_NAME_SIZE];
	enum mbj_rc rc;

	rc = segment_list_load(&r->list, r->sys, r->dir, err);
	if (rc < 0)
		return rc;
	r->segment = segment_list_find(&r->list, r->wanted);
	if (r->segment == r->list.count) {
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "no segment in %s holds group %llu", r->dir,
				   (unsigned long long)r->wanted.v);
		mbj_error_at(err, r->dir, 0, r->wanted.v);
		return rc;
	}
	segment_name_print(r->list.entries[r->segment].number,
			   r->list.entries[r->segment].first, name);
	rc = segment_view_open(&r->view, r->sys, r->dir, name, r->lineage,
			       &r->header, err);
	if (rc < 0)
		return rc;
	r->at = SEGMENT_HEADER_SIZE;
	r->frame_end = r->at;
	r->chain = r->header.chain;
	return MBJ_OK;
}

/* The frame at r->at, which must be there: wanted is published. */
static enum mbj_rc frame_enter(struct mbj_log_reader *r,
			       struct segment_frame *ret_frame,
			       struct mbj_error *err)
{
	struct mbj_bytes bytes;
	enum mbj_rc rc;

	rc = segment_view_get(&r->view, r->at, SEGMENT_FRAME_SIZE, &bytes, err);
	if (rc < 0)
		return rc;
	if (bytes.n < SEGMENT_FRAME_SIZE ||
	    !segment_frame_decode(bytes.p, r->header.salt, ret_frame)) {
		/* What was read ahead may be older than what is there now. */
		segment_view_drop(&r->view);
		rc = segment_view_get(&r->view, r->at, SEGMENT_FRAME_SIZE,
				      &bytes, err);
		if (rc < 0)
			return rc;
		if (bytes.n < SEGMENT_FRAME_SIZE ||
		    !segment_frame_decode(bytes.p, r->header.salt, ret_frame))
			return reader_fault(r, "a batch header is damaged",
					    err);
	}
	return MBJ_OK;
}

/* The group at r->at, not yet judged. */
static enum mbj_rc group_get(struct mbj_log_reader *r,
			     struct mbj_group *ret_group, struct mbj_error *err)
{
	uint64_t left = r->frame_end - r->at;
	size_t n = left < READ_FIRST ? (size_t)left : READ_FIRST;
	uint32_t header_size;
	struct mbj_bytes bytes;
	uint64_t size = 0;
	enum mbj_rc rc;

	rc = segment_view_get(&r->view, r->at, n, &bytes, err);
	if (rc < 0)
		return rc;
	if (bytes.n < GROUP_HEADER_SIZE_MIN ||
	    !group_size_peek(bytes, &header_size, &size) || size > left)
		return reader_fault(r, "a group's header is damaged", err);
	if (size > bytes.n) {
		rc = segment_view_get(&r->view, r->at, (size_t)size, &bytes,
				      err);
		if (rc < 0)
			return rc;
	}
	rc = mbj_group_parse(bytes, ret_group, err);
	if (rc == MBJ_ENOTFOUND)
		return reader_fault(r, "a group is cut short", err);
	if (rc == MBJ_ECORRUPT)
		return reader_fault(r, "a group's header is damaged", err);
	return rc;
}

/* Frames are skipped by their headers until the one that holds wanted. */
static enum mbj_rc place_frame(struct mbj_log_reader *r, struct mbj_error *err)
{
	struct segment_frame frame;
	enum mbj_rc rc;

	for (;;) {
		rc = frame_enter(r, &frame, err);
		if (rc < 0)
			return rc;
		if (frame.first.v > r->wanted.v)
			return reader_fault(r, "a batch skips groups", err);
		r->at += SEGMENT_FRAME_SIZE;
		r->frame_end = r->at + frame.payload_size;
		r->chain = frame.chain;
		if (r->wanted.v < frame.first.v + frame.count)
			return MBJ_OK;
		r->at = r->frame_end;
	}
}

/* Stand before the wanted group. */
static enum mbj_rc reader_place(struct mbj_log_reader *r, struct mbj_error *err)
{
	struct mbj_group group;
	enum mbj_rc rc;

	rc = segment_select(r, err);
	if (rc == MBJ_OK)
		rc = place_frame(r, err);
	while (rc == MBJ_OK) {
		rc = group_get(r, &group, err);
		if (rc < 0 || group.header.lsn.v == r->wanted.v)
			break;
		if (group.header.lsn.v > r->wanted.v ||
		    r->at + group.record.n >= r->frame_end)
			return reader_fault(r, "a batch lacks a group", err);
		r->at += group.record.n;
		r->chain = group.chain;
	}
	r->is_placed = rc == MBJ_OK;
	return rc;
}

/* From the end of a frame into the next one, perhaps of another segment. */
static enum mbj_rc reader_advance(struct mbj_log_reader *r,
				  struct mbj_error *err)
{
	const struct segment_list *list = &r->list;
	struct segment_frame frame;
	enum mbj_rc rc;

	if (r->segment + 1 < list->count &&
	    list->entries[r->segment + 1].first.v <= r->wanted.v)
		return reader_place(r, err);
	rc = frame_enter(r, &frame, NULL);
	/* The writer may have begun a new segment since. */
	if (rc == MBJ_ECORRUPT)
		return reader_place(r, err);
	if (rc < 0)
		return mbj_error_set(err, rc, "cannot read %s",
				     r->view.file.path);
	if (frame.first.v != r->wanted.v)
		return reader_fault(r,
				    "a batch does not continue the one "
				    "before it",
				    err);
	r->at += SEGMENT_FRAME_SIZE;
	r->frame_end = r->at + frame.payload_size;
	return MBJ_OK;
}

enum mbj_rc mbj_log_reader_next(struct mbj_log_reader *reader,
				struct mbj_group *ret_group,
				struct mbj_error *err)
{
	struct mbj_log_reader *r = reader;
	struct mbj_group group;
	enum mbj_rc rc;

	if (r->wanted.v > r->end.lsn.v) {
		rc = end_refresh(r, err);
		if (rc < 0)
			return rc;
		if (r->wanted.v > r->end.lsn.v)
			return MBJ_ENOTFOUND;
	}
	if (!r->is_placed)
		rc = reader_place(r, err);
	else
		rc = r->at < r->frame_end ? MBJ_OK : reader_advance(r, err);
	if (rc == MBJ_OK)
		rc = group_get(r, &group, err);
	if (rc < 0)
		return rc;
	if (group.header.lsn.v != r->wanted.v)
		return reader_fault(r, "a group has another LSN", err);
	if (group.is_body_good) {
		rc = mbj_group_chain_check(&group, r->sha, &r->chain, NULL);
		if (rc == MBJ_ECORRUPT)
			return reader_fault(r,
					    "a group's chain value does "
					    "not follow",
					    err);
		if (rc < 0)
			return mbj_error_set(err, rc, "SHA-256 failed");
	}
	r->at += group.record.n;
	r->chain = group.chain;
	r->wanted.v++;
	*ret_group = group;
	return MBJ_OK;
}
