/*
 * What the service says of itself and its store, over the wire.
 *
 * Threads: pure functions.
 */
#include <mbj/check.h>

#include "wire.h"

enum {
	PARKED_SIZE_MIN = MBJ_ID_SIZE + 8 + 8 + 8 + 4 + 4,
	SKIPPED_SIZE_MIN = MBJ_ID_SIZE + 8 + 8 + 8 + 4,
	PEER_SIZE = 8 + 4 + 4 + 8 + 8,
};

static void parked_encode(struct mbj_buf *buf,
			  const struct mbj_client_parked *p)
{
	mbj_buf_put_id(buf, p->parked.account);
	mbj_buf_put_u64(buf, p->parked.first.v);
	mbj_buf_put_u64(buf, p->parked.last.v);
	mbj_buf_put_u64(buf, p->parked.count);
	wire_text_encode(buf, p->parked.reason, MBJ_ERROR_MESSAGE_MAX);
	wire_text_encode(buf, p->name, MBJ_ACCOUNT_NAME_MAX);
}

static void skipped_encode(struct mbj_buf *buf,
			   const struct mbj_client_skipped *s)
{
	mbj_buf_put_id(buf, s->skipped.account);
	mbj_buf_put_u64(buf, s->skipped.first.v);
	mbj_buf_put_u64(buf, s->skipped.last.v);
	mbj_buf_put_u64(buf, s->skipped.count);
	wire_text_encode(buf, s->name, MBJ_ACCOUNT_NAME_MAX);
}

static void upstream_encode(struct mbj_buf *buf,
			    const struct mbj_upstream_status *upstream)
{
	mbj_buf_put_u8(buf, (uint8_t)upstream->state);
	mbj_buf_put_u8(buf, upstream->resync);
	mbj_buf_put_u8(buf, upstream->is_resync_whole);
	mbj_buf_put_u8(buf, upstream->was_met);
	mbj_buf_put_u8(buf, upstream->was_current);
#define X(member, word, what) mbj_buf_put_u64(buf, upstream->member);
	MBJ_UPSTREAM_NUMBERS_MAP(X)
#undef X
	mbj_buf_put_block(buf, mbj_bytes_str(upstream->reason));
}

void wire_status_encode(struct mbj_buf *buf,
			const struct mbj_client_status *status)
{
	wire_identity_encode(buf, &status->identity);
	mbj_buf_put_u64(buf, status->end.lsn.v);
	wire_put_hash(buf, &status->end.chain);
	mbj_buf_put_u64(buf, status->usage.segments);
	mbj_buf_put_u64(buf, status->usage.size);
	mbj_buf_put_u64(buf, status->space.left);
	mbj_buf_put_u64(buf, status->space.min);
	mbj_buf_put_u64(buf, status->space.reserve);
	mbj_buf_put_u8(buf, (uint8_t)status->house.work);
	mbj_buf_put_u64(buf, status->house.ms);
	mbj_buf_put_u64(buf, status->applied.lsn.v);
	mbj_buf_put_u64(buf, status->applied.epoch.v);
	wire_put_hash(buf, &status->applied.chain);
	mbj_buf_put_u64(buf, status->recovery.groups_applied);
	mbj_buf_put_u64(buf, status->recovery.torn_size);
	mbj_buf_put_u8(buf, status->recovery.is_rebuilt);
	mbj_buf_put_block(buf, mbj_bytes_str(status->recovery.reason));
	mbj_buf_put_u64(buf, status->account_count);
	mbj_buf_put_u64(buf, status->intent_count);
	mbj_buf_put_u64(buf, (uint64_t)status->intent_oldest);
#define X(member, word, what) mbj_buf_put_u64(buf, status->service.member);
	MBJ_SERVICE_STATS_MAP(X)
#undef X
	mbj_buf_put_u32(buf, (uint32_t)status->parked_count);
	for (size_t i = 0; i < status->parked_count; i++)
		parked_encode(buf, &status->parked[i]);
	mbj_buf_put_u32(buf, (uint32_t)status->skipped_count);
	for (size_t i = 0; i < status->skipped_count; i++)
		skipped_encode(buf, &status->skipped[i]);
	mbj_buf_put_u32(buf, (uint32_t)status->peer_count);
	for (size_t i = 0; i < status->peer_count; i++) {
		mbj_buf_put_u64(buf, status->peers[i].process);
		mbj_buf_put_u32(buf, status->peers[i].uid);
		mbj_buf_put_u32(buf, status->peers[i].gid);
		mbj_buf_put_u64(buf, status->peers[i].requests);
		mbj_buf_put_u64(buf, status->peers[i].idle_ms);
	}
	upstream_encode(buf, &status->upstream);
}

bool wire_message_read(struct mbj_reader *reader, char *ret_text)
{
	struct mbj_bytes text =
		mbj_read_block(reader, MBJ_ERROR_MESSAGE_MAX - 1);

	if (!mbj_reader_ok(reader) ||
	    (text.n > 0 && memchr(text.p, '\0', text.n) != NULL))
		return false;
	if (text.n > 0)
		memcpy(ret_text, text.p, text.n);
	ret_text[text.n] = '\0';
	return true;
}

static enum mbj_rc upstream_decode(struct mbj_reader *reader,
				   struct mbj_upstream_status *upstream,
				   struct mbj_error *err)
{
	uint8_t state = mbj_read_u8(reader);

	upstream->resync = mbj_read_u8(reader);
	upstream->is_resync_whole = wire_read_bool(reader);
	upstream->was_met = wire_read_bool(reader);
	upstream->was_current = wire_read_bool(reader);
#define X(member, word, what) upstream->member = mbj_read_u64(reader);
	MBJ_UPSTREAM_NUMBERS_MAP(X)
#undef X
	if (state > MBJ_UPSTREAM_LAST || upstream->resync > MBJ_RESYNC_LAST ||
	    !wire_message_read(reader, upstream->reason))
		return wire_bad(err, "upstream");
	upstream->state = (enum mbj_upstream_state)state;
	return MBJ_OK;
}

static enum mbj_rc numbers_decode(struct mbj_reader *reader,
				  struct mbj_client_status *s,
				  struct mbj_error *err)
{
	uint8_t house;
	bool is_text;

	s->end.lsn.v = mbj_read_u64(reader);
	s->end.chain = wire_read_hash(reader);
	s->usage.segments = mbj_read_u64(reader);
	s->usage.size = mbj_read_u64(reader);
	s->space.left = mbj_read_u64(reader);
	s->space.min = mbj_read_u64(reader);
	s->space.reserve = mbj_read_u64(reader);
	house = mbj_read_u8(reader);
	s->house.ms = mbj_read_u64(reader);
	s->applied.lsn.v = mbj_read_u64(reader);
	s->applied.epoch.v = mbj_read_u64(reader);
	s->applied.chain = wire_read_hash(reader);
	s->recovery.groups_applied = mbj_read_u64(reader);
	s->recovery.torn_size = mbj_read_u64(reader);
	s->recovery.is_rebuilt = wire_read_bool(reader);
	is_text = wire_message_read(reader, s->recovery.reason);
	s->account_count = mbj_read_u64(reader);
	s->intent_count = mbj_read_u64(reader);
	s->intent_oldest = (int64_t)mbj_read_u64(reader);
#define X(member, word, what) s->service.member = mbj_read_u64(reader);
	MBJ_SERVICE_STATS_MAP(X)
#undef X
	if (!is_text || !mbj_reader_ok(reader) || house > MBJ_HOUSE_LAST)
		return wire_bad(err, "status");
	s->house.work = (enum mbj_house_work)house;
	return MBJ_OK;
}

static enum mbj_rc parked_decode(struct mbj_reader *reader,
				 struct mbj_client_status *s,
				 struct mbj_error *err)
{
	uint32_t count = mbj_read_u32(reader);

	if (count > mbj_reader_left(reader) / PARKED_SIZE_MIN)
		return wire_bad(err, "number of parked accounts");
	if (count == 0)
		return MBJ_OK;
	s->parked = mbj_calloc(count, sizeof(*s->parked));
	if (s->parked == NULL)
		return mbj_error_nomem(err);
	s->parked_count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct mbj_client_parked *p = &s->parked[i];

		p->parked.account = mbj_read_id(reader);
		p->parked.first.v = mbj_read_u64(reader);
		p->parked.last.v = mbj_read_u64(reader);
		p->parked.count = mbj_read_u64(reader);
		p->parked.reason =
			mbj_read_block(reader, MBJ_ERROR_MESSAGE_MAX);
		p->name = mbj_read_block(reader, MBJ_ACCOUNT_NAME_MAX);
	}
	return mbj_reader_ok(reader) ? MBJ_OK : wire_bad(err, "parked account");
}

static enum mbj_rc skipped_decode(struct mbj_reader *reader,
				  struct mbj_client_status *s,
				  struct mbj_error *err)
{
	uint32_t count = mbj_read_u32(reader);

	if (count > mbj_reader_left(reader) / SKIPPED_SIZE_MIN)
		return wire_bad(err, "number of accounts that lack groups");
	if (count == 0)
		return MBJ_OK;
	s->skipped = mbj_calloc(count, sizeof(*s->skipped));
	if (s->skipped == NULL)
		return mbj_error_nomem(err);
	s->skipped_count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct mbj_client_skipped *k = &s->skipped[i];

		k->skipped.account = mbj_read_id(reader);
		k->skipped.first.v = mbj_read_u64(reader);
		k->skipped.last.v = mbj_read_u64(reader);
		k->skipped.count = mbj_read_u64(reader);
		k->name = mbj_read_block(reader, MBJ_ACCOUNT_NAME_MAX);
	}
	return mbj_reader_ok(reader)
		       ? MBJ_OK
		       : wire_bad(err, "account that lacks groups");
}

static enum mbj_rc peers_decode(struct mbj_reader *reader,
				struct mbj_client_status *s,
				struct mbj_error *err)
{
	uint32_t count = mbj_read_u32(reader);

	if (count > mbj_reader_left(reader) / PEER_SIZE)
		return wire_bad(err, "number of connections");
	if (count == 0)
		return MBJ_OK;
	s->peers = mbj_calloc(count, sizeof(*s->peers));
	if (s->peers == NULL)
		return mbj_error_nomem(err);
	s->peer_count = count;
	for (uint32_t i = 0; i < count; i++) {
		s->peers[i].process = mbj_read_u64(reader);
		s->peers[i].uid = mbj_read_u32(reader);
		s->peers[i].gid = mbj_read_u32(reader);
		s->peers[i].requests = mbj_read_u64(reader);
		s->peers[i].idle_ms = mbj_read_u64(reader);
	}
	return mbj_reader_ok(reader) ? MBJ_OK : wire_bad(err, "connection");
}

enum mbj_rc wire_status_decode(struct mbj_reader *reader,
			       struct mbj_client_status *ret_status,
			       struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = wire_identity_decode(reader, &ret_status->identity, err);
	if (rc == MBJ_OK)
		rc = numbers_decode(reader, ret_status, err);
	if (rc == MBJ_OK)
		rc = parked_decode(reader, ret_status, err);
	if (rc == MBJ_OK)
		rc = skipped_decode(reader, ret_status, err);
	if (rc == MBJ_OK)
		rc = peers_decode(reader, ret_status, err);
	if (rc == MBJ_OK)
		rc = upstream_decode(reader, &ret_status->upstream, err);
	return rc;
}

void mbj_client_status_done(struct mbj_client_status *status)
{
	if (status == NULL)
		return;
	mbj_free(status->parked);
	mbj_free(status->skipped);
	mbj_free(status->peers);
	mbj_buf_done(&status->bytes);
	*status = (struct mbj_client_status){0};
}
