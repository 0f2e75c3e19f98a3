/*
 * Keys and records of the state's tables; see record.h.
 */
#include <stdio.h>
#include <string.h>

#include <mbj/check.h>

#include "record.h"

/* What has its place in the two records that are read and written most. */
enum {
	ACCOUNT_FOLDING = 1,
	ACCOUNT_DELIMITER = 2,
	ACCOUNT_UIDVALIDITY = 3,
	ACCOUNT_QUOTA_MESSAGES = 7,
	ACCOUNT_QUOTA_SIZE = 15,
	ACCOUNT_HEAD_SIZE = 23, /* then the name, then: */
	ACCOUNT_LSN = 0,
	ACCOUNT_MAILBOXES = 8,
	ACCOUNT_SUBSCRIPTIONS = 16,
	ACCOUNT_MESSAGES = 24,
	ACCOUNT_MESSAGES_SIZE = 32,
	ACCOUNT_DIGEST = 40,
	ACCOUNT_TAIL_SIZE = ACCOUNT_DIGEST + MBJ_DIGEST_SIZE,

	MAILBOX_ROLE = 1,
	MAILBOX_SELECTABLE = 2,
	MAILBOX_UIDVALIDITY = 3,
	MAILBOX_REV = 7,
	MAILBOX_PARENT = 15,
	MAILBOX_HEAD_SIZE = MAILBOX_PARENT + MBJ_ID_SIZE, /* then the name */
};

void key_account(struct mbj_buf *ret, struct mbj_id account)
{
	mbj_buf_clear(ret);
	mbj_buf_put_id(ret, account);
}

void key_pair(struct mbj_buf *ret, struct mbj_id account, const void *p,
	      size_t n)
{
	uint8_t pair[MBJ_ID_SIZE + MBJ_HASH_SIZE];

	mbj_buf_clear(ret);
	memcpy(pair, account.b, sizeof(account.b));
	/* An id or a hash, as a rule. */
	if (n > 0 && n <= MBJ_HASH_SIZE) {
		memcpy(pair + MBJ_ID_SIZE, p, n);
		mbj_buf_put(ret, pair, MBJ_ID_SIZE + n);
		return;
	}
	mbj_buf_put(ret, pair, MBJ_ID_SIZE);
	mbj_buf_put(ret, p, n);
}

void key_slot(struct mbj_buf *ret, struct mbj_id account, struct mbj_id parent,
	      struct mbj_bytes key)
{
	key_pair(ret, account, parent.b, sizeof(parent.b));
	mbj_buf_put_bytes(ret, key);
}

void key_attribute(struct mbj_buf *ret, struct mbj_id account,
		   struct mbj_id mailbox, uint8_t kind, struct mbj_bytes name)
{
	key_pair(ret, account, mailbox.b, sizeof(mailbox.b));
	mbj_buf_put_u8(ret, kind);
	mbj_buf_put_bytes(ret, name);
}

void record_begin(struct mbj_buf *ret)
{
	mbj_buf_clear(ret);
	mbj_buf_put_u8(ret, RECORD_VERSION);
}

void record_account_element(struct mbj_buf *ret, const struct mbj_account *a)
{
	uint8_t head[ACCOUNT_HEAD_SIZE] = {RECORD_VERSION};

	head[ACCOUNT_FOLDING] = a->policy.is_folding;
	head[ACCOUNT_DELIMITER] = (uint8_t)a->policy.delimiter;
	mbj_store_u32(head + ACCOUNT_UIDVALIDITY, a->uidvalidity_last);
	mbj_store_u64(head + ACCOUNT_QUOTA_MESSAGES, a->quota_messages);
	mbj_store_u64(head + ACCOUNT_QUOTA_SIZE, a->quota_size);
	mbj_buf_clear(ret);
	mbj_buf_put(ret, head, sizeof(head));
	mbj_buf_put_block(ret, a->name);
}

void record_account_encode(struct mbj_buf *ret, const struct mbj_account *a)
{
	uint8_t tail[ACCOUNT_TAIL_SIZE];

	mbj_store_u64(tail + ACCOUNT_LSN, a->lsn.v);
	mbj_store_u64(tail + ACCOUNT_MAILBOXES, a->mailbox_count);
	mbj_store_u64(tail + ACCOUNT_SUBSCRIPTIONS, a->subscription_count);
	mbj_store_u64(tail + ACCOUNT_MESSAGES, a->message_count);
	mbj_store_u64(tail + ACCOUNT_MESSAGES_SIZE, a->message_size);
	mbj_digest_encode(&a->digest, tail + ACCOUNT_DIGEST);
	record_account_element(ret, a);
	mbj_buf_put(ret, tail, sizeof(tail));
}

bool record_account_decode(struct mbj_id id, struct mbj_bytes value,
			   struct mbj_account *ret)
{
	struct mbj_account a = {.id = id};
	struct mbj_bytes head;
	struct mbj_bytes tail;
	struct mbj_reader r;

	mbj_reader_init(&r, value);
	head = mbj_read_bytes(&r, ACCOUNT_HEAD_SIZE);
	a.name = mbj_read_block(&r, MBJ_ACCOUNT_NAME_MAX);
	tail = mbj_read_bytes(&r, ACCOUNT_TAIL_SIZE);
	if (!mbj_reader_is_spent(&r) || head.p[0] != RECORD_VERSION ||
	    head.p[ACCOUNT_FOLDING] > 1 ||
	    (head.p[ACCOUNT_DELIMITER] != '/' &&
	     head.p[ACCOUNT_DELIMITER] != '.'))
		return false;
	a.policy.is_folding = head.p[ACCOUNT_FOLDING] != 0;
	a.policy.delimiter = (char)head.p[ACCOUNT_DELIMITER];
	a.uidvalidity_last = mbj_load_u32(head.p + ACCOUNT_UIDVALIDITY);
	a.quota_messages = mbj_load_u64(head.p + ACCOUNT_QUOTA_MESSAGES);
	a.quota_size = mbj_load_u64(head.p + ACCOUNT_QUOTA_SIZE);
	a.lsn.v = mbj_load_u64(tail.p + ACCOUNT_LSN);
	a.mailbox_count = mbj_load_u64(tail.p + ACCOUNT_MAILBOXES);
	a.subscription_count = mbj_load_u64(tail.p + ACCOUNT_SUBSCRIPTIONS);
	a.message_count = mbj_load_u64(tail.p + ACCOUNT_MESSAGES);
	a.message_size = mbj_load_u64(tail.p + ACCOUNT_MESSAGES_SIZE);
	mbj_digest_decode(tail.p + ACCOUNT_DIGEST, &a.digest);
	*ret = a;
	return true;
}

/* The key is left out where it equals the stored name, as it mostly does. */
void record_mailbox_encode(struct mbj_buf *ret, const struct mbj_mailbox *m)
{
	uint8_t head[MAILBOX_HEAD_SIZE] = {RECORD_VERSION};
	struct mbj_bytes key = m->name.key;

	if (mbj_bytes_equal(key, m->name.stored))
		key.n = 0;
	head[MAILBOX_ROLE] = m->role;
	head[MAILBOX_SELECTABLE] = m->is_selectable;
	mbj_store_u32(head + MAILBOX_UIDVALIDITY, m->uidvalidity);
	mbj_store_u64(head + MAILBOX_REV, m->rev);
	memcpy(head + MAILBOX_PARENT, m->parent.b, sizeof(m->parent.b));
	mbj_buf_clear(ret);
	mbj_buf_put(ret, head, sizeof(head));
	mbj_buf_put_block(ret, m->name.stored);
	mbj_buf_put_block(ret, key);
}

bool record_mailbox_decode(struct mbj_id id, struct mbj_bytes value,
			   struct mbj_mailbox *ret)
{
	struct mbj_mailbox m = {.id = id};
	struct mbj_bytes head;
	struct mbj_reader r;

	mbj_reader_init(&r, value);
	head = mbj_read_bytes(&r, MAILBOX_HEAD_SIZE);
	m.name.stored = mbj_read_block(&r, MBJ_KEY_MAX);
	m.name.key = mbj_read_block(&r, MBJ_KEY_MAX);
	if (!mbj_reader_is_spent(&r) || head.p[0] != RECORD_VERSION ||
	    head.p[MAILBOX_SELECTABLE] > 1 || m.name.stored.n == 0)
		return false;
	m.role = head.p[MAILBOX_ROLE];
	m.is_selectable = head.p[MAILBOX_SELECTABLE] != 0;
	m.uidvalidity = mbj_load_u32(head.p + MAILBOX_UIDVALIDITY);
	m.rev = mbj_load_u64(head.p + MAILBOX_REV);
	memcpy(m.parent.b, head.p + MAILBOX_PARENT, sizeof(m.parent.b));
	if (m.name.key.n == 0)
		m.name.key = m.name.stored;
	*ret = m;
	return true;
}

void record_tombstone_encode(struct mbj_buf *ret, const struct mbj_tombstone *t)
{
	record_begin(ret);
	mbj_buf_put_u64(ret, t->rev);
	mbj_buf_put_u32(ret, t->uidvalidity);
	mbj_buf_put_u64(ret, t->lsn.v);
}

bool record_tombstone_decode(struct mbj_id id, struct mbj_bytes value,
			     struct mbj_tombstone *ret)
{
	struct mbj_tombstone t = {.id = id};
	struct mbj_reader r;
	uint8_t version;

	mbj_reader_init(&r, value);
	version = mbj_read_u8(&r);
	t.rev = mbj_read_u64(&r);
	t.uidvalidity = mbj_read_u32(&r);
	t.lsn.v = mbj_read_u64(&r);
	if (version != RECORD_VERSION || !mbj_reader_is_spent(&r))
		return false;
	*ret = t;
	return true;
}

static void skipped_encode(struct mbj_buf *ret, const struct mbj_skipped *s)
{
	uint8_t lack[MBJ_DIGEST_SIZE];

	mbj_buf_put_u64(ret, s->first.v);
	mbj_buf_put_u64(ret, s->last.v);
	mbj_buf_put_u64(ret, s->count);
	mbj_digest_encode(&s->lack, lack);
	mbj_buf_put(ret, lack, sizeof(lack));
}

static void skipped_decode(struct mbj_reader *r, struct mbj_skipped *ret)
{
	struct mbj_bytes lack;

	ret->first.v = mbj_read_u64(r);
	ret->last.v = mbj_read_u64(r);
	ret->count = mbj_read_u64(r);
	lack = mbj_read_bytes(r, MBJ_DIGEST_SIZE);
	if (mbj_reader_ok(r))
		mbj_digest_decode(lack.p, &ret->lack);
}

/* One of the second version says that groups were given up, too. */
void record_aside_encode(struct mbj_buf *ret, const struct record_aside *a)
{
	const struct mbj_parked *p = &a->parked;

	MBJ_ASSERT(a->is_parked || a->is_skipped);
	mbj_buf_clear(ret);
	mbj_buf_put_u8(ret,
		       a->is_skipped ? RECORD_ASIDE_SKIPPED : RECORD_VERSION);
	if (a->is_skipped) {
		skipped_encode(ret, &a->skipped);
		mbj_buf_put_u8(ret, a->is_parked);
	}
	if (!a->is_parked)
		return;
	mbj_buf_put_u64(ret, p->first.v);
	mbj_buf_put_u64(ret, p->last.v);
	mbj_buf_put_u64(ret, p->count);
	mbj_buf_put_block(ret, p->reason);
}

bool record_aside_decode(struct mbj_id account, struct mbj_bytes value,
			 struct record_aside *ret)
{
	struct record_aside a = {.is_parked = true};
	struct mbj_reader r;
	uint8_t is_parked = 1;
	uint8_t version;

	mbj_reader_init(&r, value);
	version = mbj_read_u8(&r);
	a.is_skipped = version == RECORD_ASIDE_SKIPPED;
	if (a.is_skipped) {
		skipped_decode(&r, &a.skipped);
		is_parked = mbj_read_u8(&r);
		a.is_parked = is_parked == 1;
	}
	if (a.is_parked) {
		a.parked.first.v = mbj_read_u64(&r);
		a.parked.last.v = mbj_read_u64(&r);
		a.parked.count = mbj_read_u64(&r);
		a.parked.reason = mbj_read_block(&r, MBJ_ERROR_MESSAGE_MAX);
	}
	if ((version != RECORD_VERSION && !a.is_skipped) || is_parked > 1 ||
	    !mbj_reader_is_spent(&r))
		return false;
	a.parked.account = account;
	a.skipped.account = account;
	*ret = a;
	return true;
}

void record_watermark_encode(struct mbj_buf *ret, const struct mbj_watermark *w)
{
	record_begin(ret);
	mbj_buf_put_u64(ret, w->lsn.v);
	mbj_buf_put_u64(ret, w->epoch.v);
	mbj_buf_put(ret, w->chain.b, sizeof(w->chain.b));
}

bool record_watermark_decode(struct mbj_bytes value, struct mbj_watermark *ret)
{
	struct mbj_watermark w = {0};
	struct mbj_bytes chain;
	struct mbj_reader r;
	uint8_t version;

	mbj_reader_init(&r, value);
	version = mbj_read_u8(&r);
	w.lsn.v = mbj_read_u64(&r);
	w.epoch.v = mbj_read_u64(&r);
	chain = mbj_read_bytes(&r, sizeof(w.chain.b));
	if (version != RECORD_VERSION || !mbj_reader_is_spent(&r))
		return false;
	memcpy(w.chain.b, chain.p, sizeof(w.chain.b));
	*ret = w;
	return true;
}

bool record_u32_decode(struct mbj_bytes value, uint32_t *ret)
{
	if (value.n != 5 || value.p[0] != RECORD_VERSION)
		return false;
	*ret = mbj_load_u32(value.p + 1);
	return true;
}

bool record_id_decode(struct mbj_bytes value, struct mbj_id *ret)
{
	if (value.n != 1 + sizeof(ret->b) || value.p[0] != RECORD_VERSION)
		return false;
	memcpy(ret->b, value.p + 1, sizeof(ret->b));
	return true;
}

enum mbj_rc record_damaged(enum db_table table, struct mbj_bytes key,
			   struct mbj_error *err)
{
	char text[2 * 48 + 1];
	size_t n = key.n < 48 ? key.n : 48;

	for (size_t i = 0; i < n; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", key.p[i]);
	text[2 * n] = '\0';
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the state's table %s holds a damaged record at "
			     "key %s%s",
			     db_table_name(table), text,
			     n < key.n ? "..." : "");
}
