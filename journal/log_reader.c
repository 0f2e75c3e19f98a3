/*
 * The log's readers: how far one may read, and the public calls.
 *
 * With an owner, that is the published LSN, read anew whenever a reader
 * reaches it.  Without one it is what a scan of the last segment finds, synced
 * before the first group is handed out.
 *
 * Invariants:
 *   1. no group above the limit is handed out (inv 6 of mbj/log.h);
 *   2. a journal that is damaged near its end can be read up to the damage,
 *      and then says so: it never just ends.
 *
 * Threads: one at a time per reader.
 */
#include "log_cursor.h"
#include "log_impl.h"

#include <fcntl.h>

#include <mbj/check.h>

struct mbj_log_reader {
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_sha256 *sha;
	struct mbj_file published; /* closed: there was none yet */
	struct log_cursor cursor;
	struct mbj_lsn first; /* the anchor's */
	struct mbj_log_end limit;
	bool is_owned;
	bool is_damaged;	/* without an owner: the chain is not known */
	struct mbj_error fault; /* then: why */
	struct mbj_log_torn torn;
	char torn_file[MBJ_PATH_TEXT_MAX];
};

static enum mbj_rc published_refresh(struct mbj_log_reader *reader,
				     struct mbj_log_end *ret_end,
				     bool *ret_is_damaged,
				     struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	enum mbj_rc rc;

	*ret_is_damaged = false;
	if (reader->published.fd < 0) {
		rc = mbj_path_join(path, reader->dir, LOG_PUBLISHED_NAME, err);
		if (rc < 0)
			return rc;
		/* Another's store may have a FIFO there: reading it fails. */
		rc = mbj_file_open(reader->cursor.sys, path,
				   O_RDONLY | O_NONBLOCK, &reader->published,
				   &why);
		if (rc == MBJ_ENOTFOUND) {
			*ret_end = (struct mbj_log_end){{0}, {{0}}};
			return MBJ_OK;
		}
		if (rc < 0) {
			if (err != NULL)
				*err = why;
			return rc;
		}
	}
	return log_published_read(&reader->published, ret_end, ret_is_damaged,
				  err);
}

/*
 * Move the limit to what is published now.  One that cannot be read is no
 * limit: what lies behind it must not look like a journal that ends here.
 */
static enum mbj_rc limit_refresh(struct mbj_log_reader *reader,
				 struct mbj_error *err)
{
	struct mbj_log_end end;
	bool is_damaged;
	enum mbj_rc rc;

	if (!reader->is_owned)
		return MBJ_OK;
	rc = published_refresh(reader, &end, &is_damaged, err);
	if (rc < 0)
		return rc;
	if (is_damaged)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "%s/%s is damaged: how far this journal "
				     "can be read while it is in use is known "
				     "again after its owner's next change",
				     reader->dir, LOG_PUBLISHED_NAME);
	if (end.lsn.v > reader->limit.lsn.v) {
		reader->limit = end;
		segment_view_drop(&reader->cursor.view);
	}
	return MBJ_OK;
}

/* Without an owner: behind the limit there was more (invariant 2). */
static enum mbj_rc damage_check(const struct mbj_log_reader *reader,
				struct mbj_error *err)
{
	if (!reader->is_damaged)
		return MBJ_OK;
	if (err != NULL)
		*err = reader->fault;
	return reader->fault.rc;
}

/* What was found must be on disk before anybody builds on it. */
static enum mbj_rc last_sync(struct mbj_log_reader *reader,
			     struct mbj_error *err)
{
	struct log_cursor *cursor = &reader->cursor;
	enum mbj_rc rc;

	rc = mbj_file_sync(&cursor->view.file, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(cursor->sys, cursor->dir, err);
	return rc;
}

static void torn_note(struct mbj_log_reader *reader,
		      const struct segment_scan *scan)
{
	const char *path = reader->cursor.view.file.path;

	if (scan->tail != SEGMENT_TORN)
		return;
	memcpy(reader->torn_file, path, strlen(path) + 1);
	reader->torn = (struct mbj_log_torn){scan->torn_size, scan->end_at,
					     reader->torn_file};
}

/* No owner: the last segment itself says where it ends. */
static enum mbj_rc limit_find(struct mbj_log_reader *reader,
			      struct mbj_error *err)
{
	struct log_cursor *cursor = &reader->cursor;
	/* So its end is the anchor or behind it, or that is damage. */
	struct segment_evidence evidence = {.durable = reader->limit.lsn};
	const struct segment_entry *last;
	char name[SEGMENT_NAME_SIZE];
	struct segment_scan scan;
	bool is_damaged;
	enum mbj_rc rc;

	rc = published_refresh(reader, &evidence.published, &is_damaged, err);
	if (rc == MBJ_OK)
		rc = segment_list_load(&cursor->list, cursor->sys, cursor->dir,
				       err);
	if (rc != MBJ_OK)
		return rc;
	if (cursor->list.count == 0) {
		reader->is_damaged =
			evidence.published.lsn.v > reader->limit.lsn.v;
		if (reader->is_damaged)
			(void)log_segments_lost(reader->dir,
						evidence.published.lsn.v,
						&reader->fault);
		return MBJ_OK;
	}
	last = &cursor->list.entries[cursor->list.count - 1];
	segment_name_print(last->number, last->first, name);
	rc = segment_view_open(&cursor->view, cursor->sys, cursor->dir, name,
			       cursor->lineage, &cursor->header, err);
	if (rc == MBJ_OK)
		rc = segment_scan(&cursor->view, &cursor->header, &evidence,
				  SEGMENT_FRAMES, reader->sha, &scan, err);
	if (rc == MBJ_OK)
		rc = last_sync(reader, err);
	if (rc != MBJ_OK)
		return rc;
	torn_note(reader, &scan);
	reader->is_damaged = scan.tail == SEGMENT_DAMAGED;
	if (reader->is_damaged) {
		reader->fault = scan.fault;
		scan.end = (struct mbj_log_end){scan.known, {{0}}};
	}
	MBJ_ASSERT(scan.end.lsn.v >= reader->limit.lsn.v);
	reader->limit = scan.end;
	return MBJ_OK;
}

enum mbj_rc mbj_log_reader_open(const struct mbj_sys *sys, const char *dir,
				struct mbj_id lineage,
				const struct mbj_anchor *anchor, bool is_owned,
				struct mbj_log_reader **ret_reader,
				struct mbj_error *err)
{
	struct mbj_log_reader *reader;
	size_t length = strlen(dir);
	enum mbj_rc rc;

	MBJ_ASSERT(sys != NULL && anchor->first.v > 0);
	if (length >= MBJ_PATH_TEXT_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "the path of a journal is over %d bytes",
				     MBJ_PATH_TEXT_MAX - 1);
	reader = mbj_calloc(1, sizeof(*reader));
	if (reader == NULL)
		return mbj_error_nomem(err);
	memcpy(reader->dir, dir, length + 1);
	reader->published = MBJ_FILE_CLOSED;
	reader->is_owned = is_owned;
	reader->first = anchor->first;
	reader->limit =
		(struct mbj_log_end){{anchor->first.v - 1}, anchor->chain};
	rc = mbj_sha256_new(&reader->sha, err);
	log_cursor_init(&reader->cursor, sys, reader->dir, lineage,
			reader->sha);
	log_cursor_stand(&reader->cursor, &reader->limit);
	if (rc == MBJ_OK)
		rc = log_mending_refuse(sys, dir, err);
	if (rc == MBJ_OK)
		rc = is_owned ? limit_refresh(reader, err)
			      : limit_find(reader, err);
	if (rc < 0) {
		mbj_log_reader_close(&reader);
		return rc;
	}
	segment_view_close(&reader->cursor.view);
	*ret_reader = reader;
	return MBJ_OK;
}

void mbj_log_reader_close(struct mbj_log_reader **reader)
{
	struct mbj_log_reader *r;

	MBJ_ASSERT(reader != NULL);
	r = *reader;
	if (r == NULL)
		return;
	mbj_file_close(&r->published);
	log_cursor_done(&r->cursor);
	mbj_sha256_free(&r->sha);
	mbj_free(r);
	*reader = NULL;
}

enum mbj_rc mbj_log_reader_seek(struct mbj_log_reader *reader,
				struct mbj_lsn lsn, struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(lsn.v > 0);
	rc = limit_refresh(reader, err);
	if (rc < 0)
		return rc;
	if (lsn.v < reader->first.v || lsn.v > reader->limit.lsn.v + 1)
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "group %llu is not in the journal in %s, "
				     "which has %llu to %llu",
				     (unsigned long long)lsn.v, reader->dir,
				     (unsigned long long)reader->first.v,
				     (unsigned long long)reader->limit.lsn.v);
	if (lsn.v <= reader->limit.lsn.v)
		return log_cursor_seek(&reader->cursor, lsn, err);
	rc = damage_check(reader, err);
	if (rc == MBJ_OK)
		log_cursor_stand(&reader->cursor, &reader->limit);
	return rc;
}

enum mbj_rc mbj_log_reader_next(struct mbj_log_reader *reader,
				struct mbj_group *ret_group,
				struct mbj_error *err)
{
	struct log_cursor *cursor = &reader->cursor;
	const struct mbj_log_end *limit = &reader->limit;
	struct mbj_group group;
	enum mbj_rc rc;

	if (cursor->before.lsn.v >= limit->lsn.v) {
		rc = limit_refresh(reader, err);
		if (rc < 0)
			return rc;
	}
	if (cursor->before.lsn.v >= limit->lsn.v) {
		rc = damage_check(reader, err);
		return rc == MBJ_OK ? MBJ_ENOTFOUND : rc;
	}
	rc = log_cursor_next(cursor, &group, err);
	if (rc < 0)
		return rc;
	if (!reader->is_damaged && group.header.lsn.v == limit->lsn.v &&
	    memcmp(group.chain.b, limit->chain.b, MBJ_HASH_SIZE) != 0)
		return segment_fault(err, cursor->view.file.path, cursor->at,
				     limit->lsn,
				     "a group has another chain value than was "
				     "published");
	*ret_group = group;
	return MBJ_OK;
}

enum mbj_rc mbj_log_reader_fault(const struct mbj_log_reader *reader,
				 const struct mbj_group *group,
				 struct mbj_error *err)
{
	const struct log_cursor *cursor = &reader->cursor;

	MBJ_ASSERT(!group->is_body_good);
	MBJ_ASSERT(cursor->before.lsn.v == group->header.lsn.v);
	return segment_fault(err, cursor->view.file.path,
			     cursor->at - group->record.n, group->header.lsn,
			     "the body of a group is damaged");
}

enum mbj_rc mbj_log_reader_end(struct mbj_log_reader *reader,
			       struct mbj_log_end *ret_end,
			       struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = limit_refresh(reader, err);
	if (rc == MBJ_OK)
		rc = damage_check(reader, err);
	if (rc == MBJ_OK)
		*ret_end = reader->limit;
	return rc;
}

struct mbj_log_torn mbj_log_reader_torn(const struct mbj_log_reader *reader)
{
	return reader->torn;
}
