/*
 * Keys and records of contents, messages, expunge history, blobs' counts and
 * series to be reaped; see record.h.
 */
#include <string.h>

#include <mbj/check.h>

#include "record.h"

/* Of a message with a GUID; all other records have RECORD_VERSION. */
enum { MESSAGE_VERSION_GUID = 2 };

/* Big-endian, so that keys sort as numbers do. */
static void put_be32(struct mbj_buf *ret, uint32_t v)
{
	const uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16),
				  (uint8_t)(v >> 8), (uint8_t)v};

	mbj_buf_put(ret, bytes, sizeof(bytes));
}

static uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

void key_series(struct mbj_buf *ret, struct mbj_id account,
		struct mbj_series series)
{
	key_pair(ret, account, series.mailbox.b, sizeof(series.mailbox.b));
	put_be32(ret, series.birth);
}

void key_message(struct mbj_buf *ret, struct mbj_id account,
		 struct mbj_series series, uint32_t uid)
{
	key_series(ret, account, series);
	put_be32(ret, uid);
}

int series_compare(struct mbj_series a, struct mbj_series b)
{
	int order = mbj_id_compare(a.mailbox, b.mailbox);

	return order != 0 ? order : (a.birth > b.birth) - (a.birth < b.birth);
}

uint32_t key_uid(struct mbj_bytes rest)
{
	return rest.n == 4 ? load_be32(rest.p) : 0;
}

uint64_t key_rev(struct mbj_bytes rest)
{
	if (rest.n != 8)
		return UINT64_MAX;
	return (uint64_t)load_be32(rest.p) << 32 | load_be32(rest.p + 4);
}

void key_vanished(struct mbj_buf *ret, struct mbj_id account,
		  struct mbj_id mailbox, uint64_t rev)
{
	uint8_t bytes[8];

	key_pair(ret, account, mailbox.b, sizeof(mailbox.b));
	mbj_store_be64(bytes, rev);
	mbj_buf_put(ret, bytes, sizeof(bytes));
}

void record_content_encode(struct mbj_buf *ret, const struct mbj_content *c)
{
	uint8_t digest[MBJ_DIGEST_SIZE];

	record_begin(ret);
	mbj_buf_put_u64(ret, c->rev);
	mbj_buf_put_u32(ret, c->births);
	mbj_buf_put_u32(ret, c->uidnext);
	mbj_buf_put_u64(ret, c->modseq);
	mbj_buf_put_id(ret, c->series.mailbox);
	mbj_buf_put_u32(ret, c->series.birth);
	mbj_buf_put_u64(ret, c->message_count);
	mbj_buf_put_u64(ret, c->message_size);
	mbj_digest_encode(&c->digest, digest);
	mbj_buf_put(ret, digest, sizeof(digest));
}

bool record_content_decode(struct mbj_bytes value, struct mbj_content *ret)
{
	struct mbj_content c = {0};
	struct mbj_bytes digest;
	struct mbj_reader r;
	uint8_t version;

	mbj_reader_init(&r, value);
	version = mbj_read_u8(&r);
	c.rev = mbj_read_u64(&r);
	c.births = mbj_read_u32(&r);
	c.uidnext = mbj_read_u32(&r);
	c.modseq = mbj_read_u64(&r);
	c.series.mailbox = mbj_read_id(&r);
	c.series.birth = mbj_read_u32(&r);
	c.message_count = mbj_read_u64(&r);
	c.message_size = mbj_read_u64(&r);
	digest = mbj_read_bytes(&r, MBJ_DIGEST_SIZE);
	if (version != RECORD_VERSION || !mbj_reader_is_spent(&r) ||
	    c.uidnext == 0)
		return false;
	mbj_digest_decode(digest.p, &c.digest);
	*ret = c;
	return true;
}

/* A message without a GUID is what it was before there were any. */
void record_message_encode(struct mbj_buf *ret, const struct mbj_message *m)
{
	mbj_buf_clear(ret);
	mbj_buf_put_u8(ret,
		       m->guid.n > 0 ? MESSAGE_VERSION_GUID : RECORD_VERSION);
	mbj_buf_put_u8(ret, m->flags);
	mbj_buf_put_u64(ret, m->size);
	mbj_buf_put_u64(ret, (uint64_t)m->time);
	mbj_buf_put_u64(ret, m->modseq);
	mbj_buf_put(ret, m->blob.b, sizeof(m->blob.b));
	mbj_buf_put_block(ret, m->keywords);
	if (m->guid.n > 0)
		mbj_buf_put_block(ret, m->guid);
}

bool record_message_decode(uint32_t uid, struct mbj_bytes value,
			   struct mbj_message *ret)
{
	struct mbj_message m = {.uid = uid};
	struct mbj_bytes blob;
	struct mbj_reader r;
	uint8_t version;

	mbj_reader_init(&r, value);
	version = mbj_read_u8(&r);
	m.flags = mbj_read_u8(&r);
	m.size = mbj_read_u64(&r);
	m.time = (int64_t)mbj_read_u64(&r);
	m.modseq = mbj_read_u64(&r);
	blob = mbj_read_bytes(&r, sizeof(m.blob.b));
	m.keywords = mbj_read_block(&r, MBJ_KEYWORDS_MAX);
	if (version == MESSAGE_VERSION_GUID)
		m.guid = mbj_read_block(&r, MBJ_GUID_MAX);
	if (!mbj_reader_is_spent(&r) || uid == 0 || m.flags > MBJ_FLAGS_ALL ||
	    !mbj_keywords_are_good(m.keywords) ||
	    (version == MESSAGE_VERSION_GUID ? !mbj_guid_is_good(m.guid)
					     : version != RECORD_VERSION))
		return false;
	memcpy(m.blob.b, blob.p, sizeof(m.blob.b));
	*ret = m;
	return true;
}

void record_vanished_encode(struct mbj_buf *ret, const struct mbj_vanished *v)
{
	record_begin(ret);
	mbj_buf_put_u64(ret, v->modseq);
	mbj_buf_put_bytes(ret, v->uids);
}

bool record_vanished_decode(struct mbj_bytes value, struct mbj_vanished *ret)
{
	struct mbj_vanished v;
	struct mbj_reader r;
	uint8_t version;

	mbj_reader_init(&r, value);
	version = mbj_read_u8(&r);
	v.modseq = mbj_read_u64(&r);
	if (!mbj_reader_ok(&r) || version != RECORD_VERSION)
		return false;
	v.uids = mbj_bytes_make(value.p + 9, value.n - 9);
	if (!mbj_uids_are_good(v.uids))
		return false;
	*ret = v;
	return true;
}

void record_blob_encode(struct mbj_buf *ret, const struct blob_count *b)
{
	record_begin(ret);
	mbj_buf_put_u64(ret, b->count);
	mbj_buf_put_u64(ret, b->size);
	mbj_buf_put_u64(ret, b->since.v);
}

bool record_blob_decode(struct mbj_bytes value, struct blob_count *ret)
{
	struct blob_count b;
	struct mbj_reader r;
	uint8_t version;

	mbj_reader_init(&r, value);
	version = mbj_read_u8(&r);
	b.count = mbj_read_u64(&r);
	b.size = mbj_read_u64(&r);
	b.since.v = mbj_read_u64(&r);
	if (version != RECORD_VERSION || !mbj_reader_is_spent(&r))
		return false;
	*ret = b;
	return true;
}

void key_orphan(struct mbj_buf *ret, const struct orphan *o)
{
	key_series(ret, o->account, o->series);
}

void record_orphan_encode(struct mbj_buf *ret, const struct orphan *o)
{
	record_begin(ret);
	mbj_buf_put_id(ret, o->mailbox);
}

bool record_orphan_decode(struct mbj_bytes key, struct mbj_bytes value,
			  struct orphan *ret)
{
	struct orphan o;

	if (key.n != 2 * MBJ_ID_SIZE + 4 ||
	    !record_id_decode(value, &o.mailbox))
		return false;
	memcpy(o.account.b, key.p, MBJ_ID_SIZE);
	memcpy(o.series.mailbox.b, key.p + MBJ_ID_SIZE, MBJ_ID_SIZE);
	o.series.birth = load_be32(key.p + 2 * MBJ_ID_SIZE);
	*ret = o;
	return true;
}
