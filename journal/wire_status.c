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

enum {
	SERVICE_NUMBERS = sizeof(struct mbj_service_stats) / 8,
	UPSTREAM_NUMBERS = (offsetof(struct mbj_upstream_status, reason) -
			    offsetof(struct mbj_upstream_status, end)) /
			   8,
};

/* Numbers of the lists that grow, in one body. */
struct counts {
	uint8_t service;
	uint8_t upstream;
};

static const struct counts counts_here = {SERVICE_NUMBERS, UPSTREAM_NUMBERS};
/* Of version 1, which does not say so; no body has fewer. */
static const struct counts counts_first = {11, 9};

/* Were one put in before these, version 1 would be another. */
_Static_assert(offsetof(struct mbj_service_stats, memory_max) == 10 * 8,
	       "new numbers of the service come last");
_Static_assert(offsetof(struct mbj_upstream_status, resync_size) -
			       offsetof(struct mbj_upstream_status, end) ==
		       8 * 8,
	       "new numbers of the upstream come last");

static bool is_counted(uint16_t version)
{
	return version == 0 || version >= WIRE_VERSION_COUNTED;
}

static bool has_reason(uint16_t version)
{
	return version == 0 || version >= WIRE_VERSION_REASON;
}

enum mbj_rc wire_reason_set(struct mbj_client_status *status,
			    const char *reason, struct mbj_error *err)
{
	size_t n = strlen(reason) + 1;
	char *copy;

	if (n == 1)
		return MBJ_OK;
	copy = mbj_alloc(n);
	if (copy == NULL)
		return mbj_error_nomem(err);
	memcpy(copy, reason, n);
	mbj_free(status->content_log_reason);
	status->content_log_reason = copy;
	return MBJ_OK;
}

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

static void service_encode(struct mbj_buf *buf, unsigned count,
			   const struct mbj_service_stats *service)
{
	unsigned at = 0;

#define X(member, word, what) \
	if (at++ < count)     \
		mbj_buf_put_u64(buf, service->member);
	MBJ_SERVICE_STATS_MAP(X)
#undef X
	MBJ_ASSERT(at >= count);
}

static void upstream_encode(struct mbj_buf *buf, unsigned count,
			    const struct mbj_upstream_status *upstream)
{
	unsigned at = 0;

	mbj_buf_put_u8(buf, (uint8_t)upstream->state);
	mbj_buf_put_u8(buf, upstream->resync);
	mbj_buf_put_u8(buf, upstream->is_resync_whole);
	mbj_buf_put_u8(buf, upstream->was_met);
	mbj_buf_put_u8(buf, upstream->was_current);
#define X(member, word, what) \
	if (at++ < count)     \
		mbj_buf_put_u64(buf, upstream->member);
	MBJ_UPSTREAM_NUMBERS_MAP(X)
#undef X
	MBJ_ASSERT(at >= count);
	mbj_buf_put_block(buf, mbj_bytes_str(upstream->reason));
}

void wire_status_encode(struct mbj_buf *buf, uint16_t version,
			const struct mbj_client_status *status)
{
	struct counts counts = is_counted(version) ? counts_here : counts_first;

	if (is_counted(version)) {
		mbj_buf_put_u8(buf, counts.service);
		mbj_buf_put_u8(buf, counts.upstream);
	}
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
	service_encode(buf, counts.service, &status->service);
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
	upstream_encode(buf, counts.upstream, &status->upstream);
	if (has_reason(version))
		mbj_buf_put_block(buf,
				  mbj_bytes_str(
					  status->content_log_reason != NULL
						  ? status->content_log_reason
						  : ""));
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

static void service_decode(struct mbj_reader *reader, unsigned count,
			   struct mbj_service_stats *service)
{
	unsigned at = 0;

#define X(member, word, what) \
	if (at++ < count)     \
		service->member = mbj_read_u64(reader);
	MBJ_SERVICE_STATS_MAP(X)
#undef X
	for (; at < count; at++)
		(void)mbj_read_u64(reader);
}

static enum mbj_rc upstream_decode(struct mbj_reader *reader, unsigned count,
				   struct mbj_upstream_status *upstream,
				   struct mbj_error *err)
{
	uint8_t state = mbj_read_u8(reader);
	unsigned at = 0;

	upstream->resync = mbj_read_u8(reader);
	upstream->is_resync_whole = wire_read_bool(reader);
	upstream->was_met = wire_read_bool(reader);
	upstream->was_current = wire_read_bool(reader);
#define X(member, word, what) \
	if (at++ < count)     \
		upstream->member = mbj_read_u64(reader);
	MBJ_UPSTREAM_NUMBERS_MAP(X)
#undef X
	for (; at < count; at++)
		(void)mbj_read_u64(reader);
	if (state > MBJ_UPSTREAM_LAST || upstream->resync > MBJ_RESYNC_LAST ||
	    !wire_message_read(reader, upstream->reason))
		return wire_bad(err, "upstream");
	upstream->state = (enum mbj_upstream_state)state;
	return MBJ_OK;
}

static enum mbj_rc numbers_decode(struct mbj_reader *reader, unsigned count,
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
	service_decode(reader, count, &s->service);
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

static enum mbj_rc reason_decode(struct mbj_reader *reader,
				 struct mbj_client_status *s,
				 struct mbj_error *err)
{
	char reason[MBJ_ERROR_MESSAGE_MAX];

	if (!wire_message_read(reader, reason))
		return wire_bad(err, "reason");
	return wire_reason_set(s, reason, err);
}

/* What is no status of a version that counts begins with something else. */
static enum mbj_rc counts_decode(struct mbj_reader *reader, uint16_t version,
				 struct counts *ret_counts,
				 struct mbj_error *err)
{
	*ret_counts = counts_first;
	if (!is_counted(version))
		return MBJ_OK;
	ret_counts->service = mbj_read_u8(reader);
	ret_counts->upstream = mbj_read_u8(reader);
	if (!mbj_reader_ok(reader))
		return wire_bad(err, "status");
	if (ret_counts->service < counts_first.service ||
	    ret_counts->upstream < counts_first.upstream)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the service is of another version, whose "
				     "status cannot be read");
	return MBJ_OK;
}

enum mbj_rc wire_status_decode(struct mbj_reader *reader, uint16_t version,
			       struct mbj_client_status *ret_status,
			       struct mbj_error *err)
{
	struct counts counts;
	enum mbj_rc rc;

	rc = counts_decode(reader, version, &counts, err);
	if (rc == MBJ_OK)
		rc = wire_identity_decode(reader, &ret_status->identity, err);
	if (rc == MBJ_OK)
		rc = numbers_decode(reader, counts.service, ret_status, err);
	if (rc == MBJ_OK)
		rc = parked_decode(reader, ret_status, err);
	if (rc == MBJ_OK)
		rc = skipped_decode(reader, ret_status, err);
	if (rc == MBJ_OK)
		rc = peers_decode(reader, ret_status, err);
	if (rc == MBJ_OK)
		rc = upstream_decode(reader, counts.upstream,
				     &ret_status->upstream, err);
	if (rc == MBJ_OK && has_reason(version))
		rc = reason_decode(reader, ret_status, err);
	return rc;
}

void mbj_client_status_done(struct mbj_client_status *status)
{
	if (status == NULL)
		return;
	mbj_free(status->parked);
	mbj_free(status->skipped);
	mbj_free(status->peers);
	mbj_free(status->content_log_reason);
	mbj_buf_done(&status->bytes);
	*status = (struct mbj_client_status){0};
}
