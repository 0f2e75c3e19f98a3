/*
 * Opening a log for writing.
 *
 *	read "published" -> list segments -> headers -> scan the last segment
 *	  -> sync it and the directory -> take over, begin or continue
 *	  -> publish
 *
 * What happens to the last segment:
 *	clean                       continue behind its last frame
 *	torn                        begin a segment at end + 1, which voids the
 *	                            torn bytes; they stay where they are
 *	"suspect", or sync failed   copy its good frames into a new segment,
 *	                            which voids all of it
 *	damaged                     refuse, naming file, offset and LSN
 *
 * Invariants:
 *   1. nothing is published or handed out before it was synced: after a kill
 *      the tail may be in the page cache alone;
 *   2. opening twice gives the same end as opening once, wherever the first
 *      one stopped.
 *
 * Threads: one at a time.
 */
#include "log_impl.h"

#include <fcntl.h>

#include <mbj/check.h>

/* What opening knows on its way. */
struct log_opening {
	struct mbj_log *log;
	const struct mbj_anchor *anchor;
	struct segment_evidence evidence;
	struct segment_list list;
	struct segment_view view;     /* the last segment */
	struct segment_header header; /* its header */
	struct segment_scan scan;     /* and what became of it */
	bool is_suspect;	      /* the mark "suspect" is there */
};

static enum mbj_rc published_open(struct log_opening *opening,
				  struct mbj_error *err)
{
	struct mbj_log *log = opening->log;
	char path[MBJ_PATH_TEXT_MAX];
	bool is_damaged;
	enum mbj_rc rc;

	rc = mbj_path_join(path, log->dir, LOG_PUBLISHED_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(log->sys, path, O_RDWR | O_CREAT,
				   &log->published, err);
	if (rc == MBJ_OK)
		rc = log_published_read(&log->published,
					&opening->evidence.published,
					&is_damaged, err);
	return rc;
}

static enum mbj_rc entry_open(struct log_opening *opening, size_t index,
			      struct segment_header *ret_header,
			      struct mbj_error *err)
{
	const struct segment_entry *entry = &opening->list.entries[index];
	struct mbj_log *log = opening->log;
	char name[SEGMENT_NAME_SIZE];

	MBJ_ASSERT(index < opening->list.count);
	segment_name_print(entry->number, entry->first, name);
	return segment_view_open(&opening->view, log->sys, log->dir, name,
				 log->lineage, ret_header, err);
}

/* Every header, and the anchor; leaves the last segment open. */
static enum mbj_rc headers_check(struct log_opening *opening,
				 struct mbj_error *err)
{
	const struct mbj_anchor *anchor = opening->anchor;
	struct segment_header *header = &opening->header;
	const struct segment_list *list = &opening->list;
	enum mbj_rc rc;

	MBJ_ASSERT(list->count > 0);
	if (list->entries[0].first.v > anchor->first.v) {
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "the journal begins at LSN %llu instead of "
				   "%llu: segments are missing in %s",
				   (unsigned long long)list->entries[0].first.v,
				   (unsigned long long)anchor->first.v,
				   opening->log->dir);
		mbj_error_at(err, opening->log->dir, 0, anchor->first.v);
		return rc;
	}
	/* What is before the anchor is void, and goes with the next trim. */
	for (size_t i = segment_list_find(list, anchor->first); i < list->count;
	     i++) {
		rc = entry_open(opening, i, header, err);
		if (rc < 0)
			return rc;
		if (header->first.v == anchor->first.v &&
		    memcmp(header->chain.b, anchor->chain.b, MBJ_HASH_SIZE) !=
			    0)
			return segment_fault(err, opening->view.file.path, 0,
					     header->first,
					     "a segment has another chain "
					     "value than the store's anchor");
	}
	return MBJ_OK;
}

static enum mbj_rc scan_result(const struct segment_scan *scan,
			       struct mbj_error *err)
{
	if (scan->tail != SEGMENT_DAMAGED)
		return MBJ_OK;
	if (err != NULL)
		*err = scan->fault;
	return scan->fault.rc;
}

/*
 * The last segment was just begun: its header stands for groups of the one
 * before it, so those are looked at too.
 */
static enum mbj_rc previous_check(struct log_opening *opening,
				  struct mbj_error *err)
{
	struct mbj_log_end end = {{opening->header.first.v - 1},
				  opening->header.chain};
	struct segment_evidence evidence = {end.lsn, end, end.lsn};
	struct segment_header header;
	struct segment_scan scan;
	size_t index;
	enum mbj_rc rc;

	index = segment_list_find(&opening->list, end.lsn);
	if (index == opening->list.count)
		return MBJ_OK;
	rc = entry_open(opening, index, &header, err);
	if (rc == MBJ_OK)
		rc = segment_scan(&opening->view, &header, &evidence,
				  SEGMENT_GROUPS, opening->log->sha, &scan,
				  err);
	if (rc == MBJ_OK)
		rc = scan_result(&scan, err);
	if (rc == MBJ_OK)
		rc = entry_open(opening, opening->list.count - 1,
				&opening->header, err);
	return rc;
}

static enum mbj_rc last_scan(struct log_opening *opening, struct mbj_error *err)
{
	struct mbj_log *log = opening->log;
	enum mbj_rc rc;

	rc = headers_check(opening, err);
	if (rc == MBJ_OK)
		rc = segment_scan(&opening->view, &opening->header,
				  &opening->evidence, SEGMENT_GROUPS, log->sha,
				  &opening->scan, err);
	if (rc == MBJ_OK)
		rc = scan_result(&opening->scan, err);
	if (rc == MBJ_OK && opening->scan.frames == 0)
		rc = previous_check(opening, err);
	if (rc < 0)
		return rc;
	log->number = opening->header.number;
	log->salt = opening->header.salt;
	log->end = opening->scan.end;
	log->at = opening->scan.end_at;
	log->torn_size = opening->scan.torn_size;
	/* What is beyond may be a hole: a crash came before its sync. */
	log->reserved = log->at;
	return MBJ_OK;
}

/* Take the good frames of the last segment over into a new one. */
static enum mbj_rc last_copy(struct log_opening *opening, struct mbj_error *err)
{
	struct mbj_log_end before = {{opening->header.first.v - 1},
				     opening->header.chain};
	struct log_copy copy = {&opening->view, opening->header.salt,
				opening->scan.end_at};
	struct mbj_log *log = opening->log;

	/* No room reserved: a full disk must not stand in the way. */
	return log_segment_begin(log, &before, 0, &copy, err);
}

/* Begin a segment; a full disk is met when it is needed. */
static enum mbj_rc fresh_begin(struct mbj_log *log, struct mbj_error *err)
{
	struct mbj_error why;
	enum mbj_rc rc;

	rc = log_segment_begin(log, &log->end, 0, NULL, &why);
	if (rc < 0 && rc != MBJ_ENOSPC && err != NULL)
		*err = why;
	return rc == MBJ_ENOSPC ? MBJ_OK : rc;
}

static enum mbj_rc last_settle(struct log_opening *opening,
			       struct mbj_error *err)
{
	struct mbj_log *log = opening->log;
	enum mbj_rc rc;

	rc = mbj_file_open(log->sys, opening->view.file.path, O_RDWR,
			   &log->segment, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_sync(&log->segment, NULL);
	if (rc < 0) {
		/* Said once: the next sync may succeed without the data. */
		log_suspect_set(log->sys, log->dir);
		opening->is_suspect = true;
	}
	rc = mbj_dir_sync(log->sys, log->dir, err);
	if (rc < 0) {
		log_suspect_set(log->sys, log->dir);
		return rc;
	}
	if (opening->is_suspect || log->torn_size > 0)
		mbj_file_close(&log->segment);
	if (opening->is_suspect)
		return last_copy(opening, err);
	if (log->torn_size > 0)
		return fresh_begin(log, err);
	return MBJ_OK;
}

/* No segment yet: nothing may have been durable. */
static enum mbj_rc empty_settle(struct log_opening *opening,
				struct mbj_error *err)
{
	uint64_t durable = opening->evidence.durable.v;
	struct mbj_log *log = opening->log;

	if (durable < opening->evidence.published.lsn.v)
		durable = opening->evidence.published.lsn.v;
	log->end = (struct mbj_log_end){{opening->anchor->first.v - 1},
					opening->anchor->chain};
	if (durable > log->end.lsn.v)
		return log_segments_lost(log->dir, durable, err);
	return fresh_begin(log, err);
}

static enum mbj_rc opening_run(struct log_opening *opening,
			       struct mbj_error *err)
{
	struct mbj_log *log = opening->log;
	enum mbj_rc rc;

	rc = log_mending_refuse(log->sys, log->dir, err);
	if (rc == MBJ_OK)
		rc = published_open(opening, err);
	if (rc == MBJ_OK)
		rc = log_suspect_get(log->sys, log->dir, &opening->is_suspect,
				     err);
	if (rc == MBJ_OK)
		rc = segment_list_load(&opening->list, log->sys, log->dir, err);
	if (rc == MBJ_OK && opening->list.count == 0)
		rc = empty_settle(opening, err);
	else if (rc == MBJ_OK)
		rc = last_scan(opening, err);
	if (rc == MBJ_OK && opening->list.count > 0)
		rc = last_settle(opening, err);
	if (rc == MBJ_OK && opening->is_suspect)
		rc = log_suspect_clear(log->sys, log->dir, err);
	if (rc == MBJ_OK)
		rc = log_publish(log, &log->end, err);
	return rc;
}

static enum mbj_rc log_make(const struct mbj_sys *sys, const char *dir,
			    struct mbj_id lineage,
			    const struct mbj_log_options *options,
			    struct mbj_log **ret_log, struct mbj_error *err)
{
	size_t length = strlen(dir);
	struct mbj_log *log;
	enum mbj_rc rc;

	if (length >= MBJ_PATH_TEXT_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "the path of a journal is over %d bytes",
				     MBJ_PATH_TEXT_MAX - 1);
	log = mbj_calloc(1, sizeof(*log));
	if (log == NULL)
		return mbj_error_nomem(err);
	rc = mbj_sha256_new(&log->sha, err);
	if (rc < 0) {
		mbj_free(log);
		return rc;
	}
	memcpy(log->dir, dir, length + 1);
	log->sys = sys;
	log->lineage = lineage;
	log->options = *options;
	log->published = MBJ_FILE_CLOSED;
	log->segment = MBJ_FILE_CLOSED;
	log->reserve_step = LOG_RESERVE_MIN;
	if (log->reserve_step > options->reserve_max)
		log->reserve_step = options->reserve_max;
	mbj_buf_init(&log->frame, SEGMENT_FRAME_SIZE + MBJ_LOG_BATCH_MAX);
	*ret_log = log;
	return MBJ_OK;
}

enum mbj_rc mbj_log_open(const struct mbj_sys *sys, const char *dir,
			 struct mbj_id lineage, const struct mbj_anchor *anchor,
			 struct mbj_lsn known,
			 const struct mbj_log_options *options,
			 struct mbj_log **ret_log, struct mbj_error *err)
{
	struct log_opening opening = {.anchor = anchor,
				      .evidence = {.durable = known}};
	struct mbj_log *log = NULL;
	enum mbj_rc rc;

	MBJ_ASSERT(sys != NULL && dir != NULL);
	MBJ_ASSERT(anchor->first.v > 0);
	rc = log_make(sys, dir, lineage, options, &log, err);
	if (rc < 0)
		return rc;
	opening.log = log;
	/* What the anchor stands on was durable when it was set. */
	if (known.v < anchor->first.v - 1)
		opening.evidence.durable.v = anchor->first.v - 1;
	segment_list_init(&opening.list);
	segment_view_init(&opening.view);
	rc = opening_run(&opening, err);
	segment_view_done(&opening.view);
	segment_list_done(&opening.list);
	if (rc < 0) {
		mbj_file_close(&log->published);
		mbj_log_close(&log);
		return mbj_error_prefix(
			err, rc,
			rc == MBJ_ECORRUPT
				? "cannot open the journal (fsck --repair "
				  "--from, another store of its lineage, may "
				  "mend it)"
				: "cannot open the journal");
	}
	*ret_log = log;
	return MBJ_OK;
}
