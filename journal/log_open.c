/*
 * Opening the log for writing: find its end, tell a torn tail from damage,
 * and make sure that everything up to the end is on disk before anybody is
 * told of it.  See mbj/log.h for the invariants.
 */
#include <fcntl.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "log_impl.h"

static const uint8_t published_magic[8] = "MBJPUBL1";

/* Where the fields of "published" are. */
enum { PUBLISHED_LSN = 8, PUBLISHED_CHAIN = 16, PUBLISHED_CRC = 60 };

enum { COPY_SIZE = 1 << 20 };

void log_published_encode(const struct mbj_log_end *end,
			  uint8_t bytes[LOG_PUBLISHED_SIZE])
{
	memset(bytes, 0, LOG_PUBLISHED_SIZE);
	memcpy(bytes, published_magic, sizeof(published_magic));
	mbj_store_u64(bytes + PUBLISHED_LSN, end->lsn.v);
	memcpy(bytes + PUBLISHED_CHAIN, end->chain.b, MBJ_HASH_SIZE);
	mbj_store_u32(bytes + PUBLISHED_CRC,
		      mbj_crc32c(0, mbj_bytes_make(bytes, PUBLISHED_CRC)));
}

static bool published_decode(const uint8_t bytes[LOG_PUBLISHED_SIZE],
			     struct mbj_log_end *ret_end)
{
	if (memcmp(bytes, published_magic, sizeof(published_magic)) != 0 ||
	    mbj_load_u32(bytes + PUBLISHED_CRC) !=
		    mbj_crc32c(0, mbj_bytes_make(bytes, PUBLISHED_CRC)))
		return false;
	ret_end->lsn.v = mbj_load_u64(bytes + PUBLISHED_LSN);
	memcpy(ret_end->chain.b, bytes + PUBLISHED_CHAIN, MBJ_HASH_SIZE);
	return true;
}

enum mbj_rc log_published_load(const struct mbj_sys *sys, const char *dir,
			       struct mbj_log_end *ret_end,
			       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf bytes;
	enum mbj_rc rc;

	memset(ret_end, 0, sizeof(*ret_end));
	rc = mbj_path_join(path, dir, LOG_PUBLISHED_NAME, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&bytes, LOG_PUBLISHED_SIZE);
	rc = mbj_file_load(sys, path, LOG_PUBLISHED_SIZE, &bytes, err);
	if (rc == MBJ_OK && bytes.n == LOG_PUBLISHED_SIZE &&
	    !published_decode(bytes.p, ret_end))
		memset(ret_end, 0, sizeof(*ret_end));
	mbj_buf_done(&bytes);
	return rc == MBJ_ENOTFOUND || rc == MBJ_ELIMIT ? MBJ_OK : rc;
}

/* What opening finds out about the last segment. */
struct last {
	struct segment_view view;
	struct segment_header header;
	struct segment_scan scan;
	char name[SEGMENT_NAME_SIZE];
};

static enum mbj_rc last_scan(struct mbj_log *log,
			     const struct segment_entry *entry,
			     const struct segment_evidence *evidence,
			     struct last *ret_last, struct mbj_error *err)
{
	struct mbj_sha256 *sha = NULL;
	enum mbj_rc rc;

	segment_name_print(entry->number, entry->first, ret_last->name);
	rc = segment_view_open(&ret_last->view, log->sys, log->dir,
			       ret_last->name, log->lineage, &ret_last->header,
			       err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_new(&sha, err);
	if (rc == MBJ_OK)
		rc = segment_scan(&ret_last->view, &ret_last->header, evidence,
				  sha, &ret_last->scan, err);
	mbj_sha256_free(&sha);
	if (rc < 0)
		return rc;
	if (ret_last->scan.tail == SEGMENT_DAMAGED) {
		if (err)
			*err = ret_last->scan.fault;
		return MBJ_ECORRUPT;
	}
	return MBJ_OK;
}

/* Write on behind the last good frame of the segment that is there. */
static enum mbj_rc last_continue(struct mbj_log *log, const struct last *last,
				 struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, log->dir, last->name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(log->sys, path, O_RDWR, &log->file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(&log->file, &log->size, err);
	if (rc < 0)
		return rc;
	log->header = last->header;
	log->at = last->scan.end_at;
	return MBJ_OK;
}

/*
 * Copy the good frames of the last segment into a new one that voids it.  The
 * salt is part of a frame's header, so the copy keeps the old one.
 */
static enum mbj_rc last_copy(struct mbj_log *log, struct last *last,
			     struct mbj_error *err)
{
	struct mbj_log_end before = {{last->header.first.v - 1},
				     last->header.chain};
	uint64_t salt = last->header.salt;
	uint8_t bytes[SEGMENT_HEADER_SIZE];
	struct mbj_bytes piece;
	enum mbj_rc rc;

	rc = log_segment_begin(log, last->header.number + 1, before, err);
	if (rc < 0)
		return rc;
	log->header.salt = salt;
	segment_header_encode(&log->header, bytes);
	rc = mbj_file_write(&log->file, 0, bytes, sizeof(bytes), err);
	while (rc == MBJ_OK && log->at < last->scan.end_at) {
		uint64_t left = last->scan.end_at - log->at;

		rc = segment_view_get(&last->view, log->at,
				      left < COPY_SIZE ? (size_t)left
						       : COPY_SIZE,
				      &piece, err);
		if (rc == MBJ_OK && piece.n == 0)
			rc = mbj_error_set(err, MBJ_EIO,
					   "%s became shorter while it was "
					   "copied",
					   last->name);
		if (rc == MBJ_OK)
			rc = mbj_file_write(&log->file, log->at, piece.p,
					    piece.n, err);
		if (rc == MBJ_OK)
			log->at += piece.n;
	}
	log->size = log->at;
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&log->file, err);
	return rc;
}

/* The word that an earlier process left about its last batch. */
static enum mbj_rc suspect_clear(struct mbj_log *log, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, log->dir, LOG_SUSPECT_NAME, err);
	if (rc == MBJ_OK && mbj_path_exists(log->sys, path))
		rc = mbj_file_remove(log->sys, path, err);
	return rc;
}

static bool is_suspect(const struct mbj_log *log)
{
	char path[MBJ_PATH_TEXT_MAX];

	return mbj_path_join(path, log->dir, LOG_SUSPECT_NAME, NULL) ==
		       MBJ_OK &&
	       mbj_path_exists(log->sys, path);
}

/* From what the scan found to a file that can be appended to. */
static enum mbj_rc last_settle(struct mbj_log *log, struct last *last,
			       struct mbj_error *err)
{
	bool must_copy = is_suspect(log);
	enum mbj_rc rc = MBJ_OK;

	log->end = last->scan.end;
	if (!must_copy) {
		rc = last_continue(log, last, err);
		if (rc < 0)
			return rc;
		/* After a kill the tail may be in the page cache alone. */
		must_copy = mbj_file_sync(&log->file, NULL) < 0;
	}
	if (must_copy) {
		mbj_file_close(&log->file);
		rc = last_copy(log, last, err);
	} else if (last->scan.tail == SEGMENT_TORN) {
		log->torn_size = last->scan.torn_size;
		rc = log_segment_begin(log, last->header.number + 1, log->end,
				       err);
	}
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(log->sys, log->dir, err);
	if (rc == MBJ_OK)
		rc = suspect_clear(log, err);
	return rc;
}

static enum mbj_rc lost_error(const struct mbj_log *log, struct mbj_lsn lsn,
			      struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_error_set(err, MBJ_ECORRUPT,
			   "the journal in %s has lost groups: it was durable "
			   "to group %llu",
			   log->dir, (unsigned long long)lsn.v);
	mbj_error_at(err, log->dir, 0, lsn.v);
	return rc;
}

static enum mbj_rc log_begin(struct mbj_log *log,
			     const struct mbj_anchor *anchor,
			     const struct segment_evidence *evidence,
			     struct mbj_error *err)
{
	struct segment_list list;
	struct last last;
	enum mbj_rc rc;

	memset(&last, 0, sizeof(last));
	segment_view_init(&last.view);
	segment_list_init(&list);
	rc = segment_list_load(&list, log->sys, log->dir, err);
	if (rc < 0)
		goto out;
	if (list.count == 0) {
		log->end = log_end_of_anchor(anchor);
		rc = evidence->durable.v > log->end.lsn.v
			     ? lost_error(log, evidence->durable, err)
			     : log_segment_begin(log, 1, log->end, err);
		goto out;
	}
	if (list.entries[0].first.v > anchor->first.v) {
		rc = lost_error(log, anchor->first, err);
		goto out;
	}
	rc = last_scan(log, &list.entries[list.count - 1], evidence, &last,
		       err);
	if (rc == MBJ_OK)
		rc = last_settle(log, &last, err);
out:
	segment_view_done(&last.view);
	segment_list_done(&list);
	return rc;
}

static enum mbj_rc published_open(struct mbj_log *log, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, log->dir, LOG_PUBLISHED_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(log->sys, path, O_RDWR | O_CREAT,
				   &log->published, err);
	if (rc == MBJ_OK)
		rc = log_publish(log, err);
	return rc;
}

enum mbj_rc mbj_log_open(const struct mbj_sys *sys, const char *dir,
			 struct mbj_id lineage, const struct mbj_anchor *anchor,
			 struct mbj_lsn known,
			 const struct mbj_log_options *options,
			 struct mbj_log **ret_log, struct mbj_error *err)
{
	struct segment_evidence evidence = {.durable = known};
	struct mbj_log *log;
	enum mbj_rc rc;

	MBJ_ASSERT(anchor->first.v > 0);
	if (strlen(dir) >= MBJ_PATH_TEXT_MAX)
		return mbj_error_set(err, MBJ_ELIMIT, "the path is too long");
	log = mbj_calloc(1, sizeof(*log));
	if (!log)
		return mbj_error_nomem(err);
	log->sys = sys;
	memcpy(log->dir, dir, strlen(dir) + 1);
	log->lineage = lineage;
	log->options = *options;
	log->file = MBJ_FILE_CLOSED;
	log->published = MBJ_FILE_CLOSED;
	mbj_buf_init(&log->frame, (size_t)1 << 31);
	rc = log_published_load(sys, dir, &evidence.published, err);
	if (evidence.durable.v < evidence.published.lsn.v)
		evidence.durable = evidence.published.lsn;
	if (rc == MBJ_OK)
		rc = log_begin(log, anchor, &evidence, err);
	if (rc == MBJ_OK)
		rc = published_open(log, err);
	if (rc < 0) {
		/* Nothing was promised: closing must not leave evidence. */
		log->is_failed = true;
		mbj_log_close(&log);
	} else {
		*ret_log = log;
	}
	return rc;
}
