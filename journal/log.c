/*
 * The log's writer: reserve, append, publish.
 *
 *	          reserve              append
 *	  ready --zeroes, sync--> ready --write, sync, publish--> ready
 *	    |  no space: ready, nothing done      |
 *	    +-------- any other failure ----------+--> failed, until reopened
 *
 * Opening is log_open.c, segments are begun by log_segment.c.
 *
 * Invariants (beside those of mbj/log.h):
 *   1. end is what is durable and published: it moves last;
 *   2. a failed log writes nothing any more, but the mark "suspect";
 *   3. nothing is written that mbj_group_parse or the chain would refuse.
 *
 * Threads: one at a time.
 */
#include "log_impl.h"

#include <fcntl.h>

#include <mbj/check.h>

/* Larger staging buffers are not kept from batch to batch. */
enum { FRAME_KEPT_MAX = 4 << 20 };

struct mbj_log_end mbj_log_end_get(const struct mbj_log *log)
{
	return log->end;
}

uint64_t mbj_log_torn_get(const struct mbj_log *log)
{
	return log->torn_size;
}

bool mbj_log_is_failed(const struct mbj_log *log)
{
	return log->is_failed;
}

enum mbj_rc log_fail(struct mbj_log *log, struct mbj_error *err)
{
	log->is_failed = true;
	log_suspect_set(log->sys, log->dir);
	if (err != NULL)
		err->rc = MBJ_EIO;
	return MBJ_EIO;
}

enum mbj_rc log_publish(struct mbj_log *log, const struct mbj_log_end *end,
			struct mbj_error *err)
{
	uint8_t bytes[LOG_PUBLISHED_SIZE];

	MBJ_ASSERT(!log->is_failed);
	MBJ_ASSERT(end->lsn.v >= log->end.lsn.v);
	log_published_encode(end, bytes);
	return mbj_file_write(&log->published, 0, bytes, sizeof(bytes), err);
}

static enum mbj_rc failed_before(const struct mbj_log *log,
				 struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_EIO,
			     "the journal failed before and takes nothing "
			     "until it is opened again: %s",
			     log->dir);
}

/* ------------------------------------------------------------ reserving */

/* Where the zeroes should end so that a frame of size bytes fits. */
static uint64_t reserve_target(const struct mbj_log *log, uint64_t from,
			       uint64_t at, uint64_t size)
{
	uint64_t needed = at + size;
	uint64_t target = from + log->reserve_step;

	if (target > log->options.segment_size)
		target = log->options.segment_size;
	return target < needed ? needed : target;
}

static void reserve_step_grow(struct mbj_log *log)
{
	log->reserve_step *= 2;
	if (log->reserve_step > log->options.reserve_max)
		log->reserve_step = log->options.reserve_max;
}

/* More zeroes behind those of the segment. */
static enum mbj_rc reserve_extend(struct mbj_log *log, uint64_t size,
				  struct mbj_error *err)
{
	uint64_t target = reserve_target(log, log->reserved, log->at, size);
	enum mbj_rc rc;

	rc = log_zero_write(&log->segment, log->reserved, target, err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&log->segment, err);
	if (rc == MBJ_ENOSPC)
		return rc;
	if (rc < 0)
		return log_fail(log, err);
	log->reserved = target;
	return MBJ_OK;
}

static enum mbj_rc reserve_rotate(struct mbj_log *log, uint64_t size,
				  struct mbj_error *err)
{
	uint64_t target;
	enum mbj_rc rc;

	target = reserve_target(log, SEGMENT_HEADER_SIZE, SEGMENT_HEADER_SIZE,
				size);
	rc = log_segment_begin(log, &log->end, target - SEGMENT_HEADER_SIZE,
			       NULL, err);
	if (rc == MBJ_EIO && !log->is_failed)
		return log_fail(log, err);
	return rc;
}

enum mbj_rc mbj_log_reserve(struct mbj_log *log, size_t size,
			    struct mbj_error *err)
{
	uint64_t frame_size = (uint64_t)SEGMENT_FRAME_SIZE + size;
	enum mbj_rc rc;

	if (log->is_failed)
		return failed_before(log, err);
	if (size > MBJ_LOG_BATCH_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "a batch of %zu bytes, at most %d are "
				     "legal",
				     size, MBJ_LOG_BATCH_MAX);
	/* A segment that holds something and would grow too large is full. */
	if (log->segment.fd < 0 ||
	    (log->at > SEGMENT_HEADER_SIZE &&
	     log->at + frame_size > log->options.segment_size))
		rc = reserve_rotate(log, frame_size, err);
	else if (log->at + frame_size > log->reserved)
		rc = reserve_extend(log, frame_size, err);
	else
		return MBJ_OK;
	if (rc < 0)
		return rc;
	reserve_step_grow(log);
	MBJ_ASSERT(log->at + frame_size <= log->reserved);
	return MBJ_OK;
}

enum mbj_rc mbj_log_rotate(struct mbj_log *log, struct mbj_error *err)
{
	if (log->is_failed)
		return failed_before(log, err);
	if (log->at <= SEGMENT_HEADER_SIZE)
		return MBJ_OK;
	return reserve_rotate(log, SEGMENT_FRAME_SIZE, err);
}

/* ------------------------------------------------------------ appending */

/*
 * The groups continue the log (invariant 3): a caller's bug stops the process
 * here, before it can reach the disk.
 */
static enum mbj_rc batch_check(const struct mbj_log *log,
			       struct mbj_bytes groups, size_t count,
			       struct mbj_log_end *ret_end,
			       struct mbj_error *err)
{
	struct mbj_log_end end = log->end;
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_group group;
	enum mbj_rc rc;

	for (size_t i = 0; i < count; i++) {
		rc = mbj_group_parse(groups, &group, &why);
		MBJ_ASSERT(rc == MBJ_OK);
		MBJ_ASSERT(group.header.lsn.v == end.lsn.v + 1);
		rc = mbj_group_chain_check(&group, log->sha, &end.chain, &why);
		MBJ_ASSERT(rc == MBJ_OK || rc == MBJ_ENOMEM);
		if (rc < 0) {
			if (err != NULL)
				*err = why;
			return rc;
		}
		end = (struct mbj_log_end){group.header.lsn, group.chain};
		groups.p += group.record.n;
		groups.n -= group.record.n;
	}
	MBJ_ASSERT(groups.n == 0);
	*ret_end = end;
	return MBJ_OK;
}

/* Header and groups back to back, for one write. */
static enum mbj_rc frame_make(struct mbj_log *log, struct mbj_bytes groups,
			      size_t count, struct mbj_error *err)
{
	uint8_t bytes[SEGMENT_FRAME_SIZE];
	struct segment_frame frame = {
		.payload_size = groups.n,
		.first = {log->end.lsn.v + 1},
		.count = (uint32_t)count,
		.payload_crc = mbj_crc32c(0, groups),
		.chain = log->end.chain,
	};

	segment_frame_encode(&frame, log->salt, bytes);
	mbj_buf_clear(&log->frame);
	mbj_buf_put(&log->frame, bytes, sizeof(bytes));
	mbj_buf_put_bytes(&log->frame, groups);
	return mbj_buf_ok(&log->frame, err);
}

/* Write, sync, publish: a failure of any has outcome unknown. */
static enum mbj_rc frame_write(struct mbj_log *log,
			       const struct mbj_log_end *end,
			       struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(log->at % SEGMENT_ALIGN == 0);
	MBJ_ASSERT(log->at + log->frame.n <= log->reserved);
	rc = mbj_file_write(&log->segment, log->at, log->frame.p, log->frame.n,
			    err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&log->segment, err);
	if (rc == MBJ_OK)
		rc = log_publish(log, end, err);
	if (rc < 0)
		return log_fail(log, err);
	log->at += log->frame.n;
	log->end = *end;
	return MBJ_OK;
}

enum mbj_rc mbj_log_append(struct mbj_log *log, struct mbj_bytes groups,
			   size_t count, struct mbj_error *err)
{
	struct mbj_log_end end;
	enum mbj_rc rc;

	MBJ_ASSERT(count > 0 && count <= UINT32_MAX);
	rc = mbj_log_reserve(log, groups.n, err);
	if (rc == MBJ_OK)
		rc = batch_check(log, groups, count, &end, err);
	if (rc == MBJ_OK)
		rc = frame_make(log, groups, count, err);
	if (rc == MBJ_OK)
		rc = frame_write(log, &end, err);
	if (log->frame.capacity > FRAME_KEPT_MAX)
		mbj_buf_done(&log->frame);
	return rc;
}

void mbj_log_close(struct mbj_log **log)
{
	enum mbj_rc rc = MBJ_OK;
	struct mbj_log *l;

	MBJ_ASSERT(log != NULL);
	l = *log;
	if (l == NULL)
		return;
	/* Evidence for the next opening: worth a sync, no loss without it. */
	if (!l->is_failed && l->published.fd >= 0)
		rc = mbj_file_sync(&l->published, NULL);
	(void)rc;
	mbj_file_close(&l->published);
	mbj_file_close(&l->segment);
	mbj_sha256_free(&l->sha);
	mbj_buf_done(&l->frame);
	mbj_free(l);
	*log = NULL;
}

/* A segment that went between the listing and now counts as nothing. */
static enum mbj_rc usage_add(const struct mbj_sys *sys, const char *dir,
			     const char *name, struct mbj_log_usage *usage,
			     struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	uint64_t size = 0;
	enum mbj_rc rc;

	rc = mbj_path_join(path, dir, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, path, O_RDONLY, &file, err);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc == MBJ_OK)
		rc = mbj_file_size(&file, &size, err);
	mbj_file_close(&file);
	if (rc < 0)
		return rc;
	usage->segments++;
	usage->size += size;
	return MBJ_OK;
}

enum mbj_rc mbj_log_usage_get(const struct mbj_sys *sys, const char *dir,
			      struct mbj_log_usage *ret_usage,
			      struct mbj_error *err)
{
	struct mbj_log_usage usage = {0, 0};
	struct mbj_buf names;
	enum mbj_rc rc;

	mbj_buf_init(&names, SEGMENT_NAMES_SIZE_MAX);
	rc = mbj_dir_list(sys, dir, &names, err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		struct mbj_lsn first;
		uint32_t number;

		if (!segment_name_parse(name, &number, &first))
			continue;
		rc = usage_add(sys, dir, name, &usage, err);
	}
	mbj_buf_done(&names);
	if (rc == MBJ_ENOTFOUND)
		rc = segment_list_missing(dir, err);
	if (rc == MBJ_OK)
		*ret_usage = usage;
	return rc;
}
