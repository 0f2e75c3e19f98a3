/*
 * Appending to the log; see mbj/log.h for the invariants.
 *
 * Not here: opening it (log_open.c), reading it (log_reader.c), the bytes
 * (segment.c).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/check.h>

#include "group_record.h"
#include "log_impl.h"

/* Space is reserved in steps from this to log->options.reserve_max. */
enum { RESERVE_MIN = 64 << 10, ZERO_SIZE = 64 << 10 };

void mbj_log_close(struct mbj_log **log)
{
	struct mbj_log *l = *log;

	if (!l)
		return;
	/* Evidence for the next opening; losing it costs only evidence. */
	if (!l->is_failed && l->published.fd >= 0)
		(void)!mbj_file_sync(&l->published, NULL);
	mbj_file_close(&l->published);
	mbj_file_close(&l->file);
	mbj_buf_done(&l->frame);
	mbj_free(l);
	*log = NULL;
}

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

static enum mbj_rc failed_error(struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_EIO,
			     "the journal failed earlier; what became of its "
			     "last batch is unknown: open the store again");
}

/*
 * The page cache cannot be trusted any more: leave word for the next opening,
 * as far as that is possible.
 */
static void log_fail(struct mbj_log *log)
{
	const struct mbj_bytes none = {NULL, 0};

	log->is_failed = true;
	(void)!mbj_file_replace(log->sys, log->dir, LOG_SUSPECT_NAME, none,
				NULL);
}

enum mbj_rc log_publish(struct mbj_log *log, struct mbj_error *err)
{
	uint8_t bytes[LOG_PUBLISHED_SIZE];

	log_published_encode(&log->end, bytes);
	return mbj_file_write(&log->published, 0, bytes, sizeof(bytes), err);
}

/* Zeroes from the file's size to size, and on disk. */
static enum mbj_rc zeroes_write(struct mbj_log *log, uint64_t size,
				struct mbj_error *err)
{
	static const uint8_t zeroes[ZERO_SIZE];
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(log->size <= size);
	while (rc == MBJ_OK && log->size < size) {
		uint64_t left = size - log->size;
		size_t n = left < ZERO_SIZE ? (size_t)left : ZERO_SIZE;

		rc = mbj_file_write(&log->file, log->size, zeroes, n, err);
		if (rc == MBJ_OK)
			log->size += n;
	}
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&log->file, err);
	return rc;
}

/* Bytes of a frame around size bytes of groups, padding included. */
static uint64_t frame_size(size_t size)
{
	uint64_t all = (uint64_t)SEGMENT_FRAME_SIZE + size;

	return (all + SEGMENT_ALIGN - 1) & ~(uint64_t)(SEGMENT_ALIGN - 1);
}

/* A header under a name that no reader looks at, then its own. */
static enum mbj_rc segment_write(struct mbj_log *log,
				 const struct segment_header *header,
				 struct mbj_error *err)
{
	uint8_t bytes[SEGMENT_HEADER_SIZE];
	char name[SEGMENT_NAME_SIZE];

	segment_header_encode(header, bytes);
	segment_name_print(header->number, header->first, name);
	return mbj_file_replace(log->sys, log->dir, name,
				mbj_bytes_make(bytes, sizeof(bytes)), err);
}

enum mbj_rc log_segment_begin(struct mbj_log *log, uint32_t number,
			      struct mbj_log_end before, struct mbj_error *err)
{
	struct segment_header header = {
		.lineage = log->lineage,
		.first = {before.lsn.v + 1},
		.number = number,
		.created_us = log->sys->now_us(log->sys->ctx),
		.chain = before.chain,
	};
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	char name[SEGMENT_NAME_SIZE];
	struct mbj_id salt;
	enum mbj_rc rc;

	rc = mbj_id_generate(log->sys, &salt, err);
	if (rc < 0)
		return rc;
	header.salt = mbj_load_u64(salt.b);
	segment_name_print(number, header.first, name);
	rc = segment_write(log, &header, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(path, log->dir, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(log->sys, path, O_RDWR, &file, err);
	if (rc < 0)
		return rc;
	mbj_file_close(&log->file);
	log->file = file;
	log->header = header;
	log->at = SEGMENT_HEADER_SIZE;
	log->size = SEGMENT_HEADER_SIZE;
	return MBJ_OK;
}

enum mbj_rc mbj_log_reserve(struct mbj_log *log, size_t size,
			    struct mbj_error *err)
{
	uint64_t needed = frame_size(size);
	uint64_t step;
	enum mbj_rc rc;

	if (log->is_failed)
		return failed_error(err);
	if (log->at > SEGMENT_HEADER_SIZE &&
	    log->at + needed > log->options.segment_size) {
		rc = log_segment_begin(log, log->header.number + 1, log->end,
				       err);
		if (rc < 0)
			return rc;
	}
	if (log->at + needed <= log->size)
		return MBJ_OK;
	step = log->size < RESERVE_MIN ? RESERVE_MIN : log->size;
	if (step > log->options.reserve_max)
		step = log->options.reserve_max;
	if (step < needed)
		step = needed;
	rc = zeroes_write(log, log->at + step, err);
	/* Zeroes behind the end harm nobody, synced or not; a sync that fails
	 * for another reason than space says that pages may be lost. */
	if (rc < 0 && rc != MBJ_ENOSPC)
		log_fail(log);
	return rc;
}

/* The groups continue the log: our caller's promise, checked before the disk.
 */
static struct mbj_log_end batch_check(const struct mbj_log *log,
				      struct mbj_bytes groups, size_t count)
{
	struct mbj_log_end end = log->end;
	struct mbj_group group;
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		enum mbj_rc rc = mbj_group_parse(mbj_bytes_make(groups.p + at,
								groups.n - at),
						 &group, NULL);

		MBJ_ASSERT(rc == MBJ_OK);
		MBJ_ASSERT(group.header.lsn.v == end.lsn.v + 1);
		end = (struct mbj_log_end){group.header.lsn, group.chain};
		at += group.record.n;
	}
	MBJ_ASSERT(at == groups.n);
	return end;
}

static enum mbj_rc frame_make(struct mbj_log *log, struct mbj_bytes groups,
			      size_t count, struct mbj_error *err)
{
	const struct segment_frame frame = {
		.payload_size = groups.n,
		.first = {log->end.lsn.v + 1},
		.count = (uint32_t)count,
		.payload_crc = mbj_crc32c(0, groups),
		.chain = log->end.chain,
	};
	uint8_t bytes[SEGMENT_FRAME_SIZE];
	uint64_t size = frame_size(groups.n);

	segment_frame_encode(&frame, log->header.salt, bytes);
	mbj_buf_clear(&log->frame);
	mbj_buf_put(&log->frame, bytes, sizeof(bytes));
	mbj_buf_put_bytes(&log->frame, groups);
	mbj_buf_put_zero(&log->frame, (size_t)(size - log->frame.n));
	return mbj_buf_ok(&log->frame, err);
}

enum mbj_rc mbj_log_append(struct mbj_log *log, struct mbj_bytes groups,
			   size_t count, struct mbj_error *err)
{
	struct mbj_log_end end;
	enum mbj_rc rc;

	if (log->is_failed)
		return failed_error(err);
	MBJ_ASSERT(count > 0 && count <= UINT32_MAX);
	end = batch_check(log, groups, count);
	rc = mbj_log_reserve(log, groups.n, err);
	if (rc == MBJ_OK)
		rc = frame_make(log, groups, count, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_write(&log->file, log->at, log->frame.p, log->frame.n,
			    err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&log->file, err);
	if (rc == MBJ_OK) {
		log->at += log->frame.n;
		log->end = end;
		rc = log_publish(log, err);
	}
	if (rc < 0) {
		log_fail(log);
		return mbj_error_prefix(err, MBJ_EIO,
					"whether the batch is durable is "
					"unknown; open the store again");
	}
	return MBJ_OK;
}

enum mbj_rc mbj_log_usage_get(const struct mbj_sys *sys, const char *dir,
			      struct mbj_log_usage *ret_usage,
			      struct mbj_error *err)
{
	struct mbj_log_usage usage = {0, 0};
	char path[MBJ_PATH_TEXT_MAX];
	char name[SEGMENT_NAME_SIZE];
	struct segment_list list;
	uint64_t size;
	enum mbj_rc rc;

	segment_list_init(&list);
	rc = segment_list_load(&list, sys, dir, err);
	for (size_t i = 0; rc == MBJ_OK && i < list.count; i++) {
		struct mbj_file file = MBJ_FILE_CLOSED;

		segment_name_print(list.entries[i].number,
				   list.entries[i].first, name);
		rc = mbj_path_join(path, dir, name, err);
		if (rc == MBJ_OK)
			rc = mbj_file_open(sys, path, O_RDONLY, &file, err);
		if (rc == MBJ_OK)
			rc = mbj_file_size(&file, &size, err);
		mbj_file_close(&file);
		if (rc == MBJ_OK) {
			usage.segments++;
			usage.size += size;
		}
	}
	segment_list_done(&list);
	if (rc == MBJ_OK)
		*ret_usage = usage;
	return rc;
}
