/*
 * Keeping house over the wire: what is asked, what it came to.
 *
 * Threads: pure functions.
 */
#include <mbj/check.h>

#include "wire.h"

enum { LANES = sizeof(((struct mbj_digest *)0)->lane) / sizeof(uint64_t) };

void wire_keep_encode(struct mbj_buf *buf,
		      const struct mbj_trim_options *options)
{
	mbj_buf_put_u64(buf, (uint64_t)options->keep_us);
	mbj_buf_put_u64(buf, options->keep_size);
	mbj_buf_put_u64(buf, options->keep_requests);
	mbj_buf_put_u8(buf, options->is_dry_run);
}

enum mbj_rc wire_keep_decode(struct mbj_reader *reader,
			     struct mbj_trim_options *ret_options,
			     struct mbj_error *err)
{
	struct mbj_trim_options o = MBJ_TRIM_OPTIONS_INIT;

	o.keep_us = (int64_t)mbj_read_u64(reader);
	o.keep_size = mbj_read_u64(reader);
	o.keep_requests = mbj_read_u64(reader);
	o.is_dry_run = wire_read_bool(reader);
	if (!mbj_reader_ok(reader))
		return wire_bad(err, "options");
	*ret_options = o;
	return MBJ_OK;
}

static void watermark_encode(struct mbj_buf *buf, const struct mbj_watermark *w)
{
	mbj_buf_put_u64(buf, w->lsn.v);
	mbj_buf_put_u64(buf, w->epoch.v);
	wire_put_hash(buf, &w->chain);
}

static struct mbj_watermark watermark_decode(struct mbj_reader *reader)
{
	struct mbj_watermark w;

	w.lsn.v = mbj_read_u64(reader);
	w.epoch.v = mbj_read_u64(reader);
	w.chain = wire_read_hash(reader);
	return w;
}

static void info_encode(struct mbj_buf *buf,
			const struct mbj_snapshot_info *info)
{
	mbj_buf_put_id(buf, info->lineage);
	watermark_encode(buf, &info->watermark);
	mbj_buf_put_u64(buf, (uint64_t)info->time_us);
	mbj_buf_put_u64(buf, info->size);
	mbj_buf_put_u64(buf, info->records);
	mbj_buf_put_u64(buf, info->accounts);
	mbj_buf_put_u64(buf, info->mailboxes);
	mbj_buf_put_u64(buf, info->messages);
	for (size_t i = 0; i < LANES; i++)
		mbj_buf_put_u64(buf, info->digest.lane[i]);
}

static void info_decode(struct mbj_reader *reader,
			struct mbj_snapshot_info *info)
{
	info->lineage = mbj_read_id(reader);
	info->watermark = watermark_decode(reader);
	info->time_us = (int64_t)mbj_read_u64(reader);
	info->size = mbj_read_u64(reader);
	info->records = mbj_read_u64(reader);
	info->accounts = mbj_read_u64(reader);
	info->mailboxes = mbj_read_u64(reader);
	info->messages = mbj_read_u64(reader);
	for (size_t i = 0; i < LANES; i++)
		info->digest.lane[i] = mbj_read_u64(reader);
}

void wire_snapshot_encode(struct mbj_buf *buf,
			  const struct mbj_snapshot_result *result)
{
	info_encode(buf, &result->info);
	mbj_buf_put_u8(buf, result->is_new);
	mbj_buf_put_u64(buf, result->removed);
	mbj_buf_put_u64(buf, result->damaged);
	mbj_buf_put_block(buf, mbj_bytes_str(result->fault));
}

enum mbj_rc wire_snapshot_decode(struct mbj_reader *reader,
				 struct mbj_snapshot_result *ret_result,
				 struct mbj_error *err)
{
	info_decode(reader, &ret_result->info);
	ret_result->is_new = wire_read_bool(reader);
	ret_result->removed = mbj_read_u64(reader);
	ret_result->damaged = mbj_read_u64(reader);
	if (!wire_message_read(reader, ret_result->fault))
		return wire_bad(err, "snapshot");
	return MBJ_OK;
}

void wire_trim_encode(struct mbj_buf *buf, const struct mbj_trim_result *result)
{
	mbj_buf_put_u64(buf, result->before.v);
	mbj_buf_put_u64(buf, result->first.v);
	mbj_buf_put_u64(buf, result->end.v);
	mbj_buf_put_u64(buf, result->segments);
	mbj_buf_put_u64(buf, result->size);
	mbj_buf_put_u64(buf, result->snapshot.v);
	mbj_buf_put_u8(buf, (uint8_t)result->why);
}

enum mbj_rc wire_trim_decode(struct mbj_reader *reader,
			     struct mbj_trim_result *ret_result,
			     struct mbj_error *err)
{
	struct mbj_trim_result r;
	uint8_t why;

	r.before.v = mbj_read_u64(reader);
	r.first.v = mbj_read_u64(reader);
	r.end.v = mbj_read_u64(reader);
	r.segments = mbj_read_u64(reader);
	r.size = mbj_read_u64(reader);
	r.snapshot.v = mbj_read_u64(reader);
	why = mbj_read_u8(reader);
	if (!mbj_reader_ok(reader) || why > MBJ_TRIM_LAST)
		return wire_bad(err, "trim");
	r.why = (enum mbj_trim_reason)why;
	*ret_result = r;
	return MBJ_OK;
}

void wire_collected_encode(struct mbj_buf *buf,
			   const struct mbj_collect_result *result)
{
	mbj_buf_put_u64(buf, result->removed);
	mbj_buf_put_u64(buf, result->size);
	mbj_buf_put_u64(buf, result->kept);
	mbj_buf_put_u64(buf, result->recent);
}

enum mbj_rc wire_collected_decode(struct mbj_reader *reader,
				  struct mbj_collect_result *ret_result,
				  struct mbj_error *err)
{
	ret_result->removed = mbj_read_u64(reader);
	ret_result->size = mbj_read_u64(reader);
	ret_result->kept = mbj_read_u64(reader);
	ret_result->recent = mbj_read_u64(reader);
	return mbj_reader_ok(reader) ? MBJ_OK : wire_bad(err, "collection");
}
