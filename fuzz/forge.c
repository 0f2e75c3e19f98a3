/*
 * Snapshots taken apart and put together; see forge.h.
 */
#include <string.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/digest.h>
#include <mbj/hash.h>

#include "forge.h"

enum {
	CHUNK_SIZE = 48,
	END_SIZE = 128,
	RECORD_SIZE = 9,
	SERIES_SIZE = FORGE_ID_SIZE + 4,
	/* Values: where what is summed begins, and how long they are. */
	ACCOUNT_HEAD = 23,
	ACCOUNT_TAIL = 72,
	CONTENT_SERIES = 25,
	CONTENT_TAIL = 48,
	CONTENT_SIZE = CONTENT_SERIES + SERIES_SIZE + CONTENT_TAIL,
	MESSAGE_BYTES = 2,
	MESSAGE_BLOB = 26,
	MESSAGE_SIZE = MESSAGE_BLOB + MBJ_HASH_SIZE + 4,
	BLOB_SIZE = 25,
};

static const uint8_t chunk_magic[4] = {'M', 'B', 'J', 'K'};
static const uint8_t end_magic[8] = {'M', 'B', 'J', 'S', 'N', 'E', 'N', 'D'};
static const uint8_t nobody[FORGE_ID_SIZE];

#define OK(call) MBJ_ASSERT((call) == MBJ_OK)

uint8_t *forge_room(struct forge *forge, size_t size)
{
	uint8_t *at = forge->room + forge->used;

	if (size > sizeof(forge->room) - forge->used)
		return NULL;
	forge->used += size;
	return at;
}

/* ------------------------------------------------------------------ apart */

static bool record_add(struct forge *forge, const struct forge_record *record)
{
	if (forge->count == FORGE_RECORDS_MAX)
		return false;
	forge->records[forge->count++] = *record;
	return true;
}

/* The records of a chunk: as far as they are some. */
static bool chunk_read(struct forge *forge, const uint8_t *account, uint8_t *p,
		       size_t n)
{
	struct forge_record record = {.is_first = true,
				      .table = FORGE_NOTHING,
				      .key = p,
				      .value = p};
	size_t at = 0;

	memcpy(record.account, account, sizeof(record.account));
	if (n < RECORD_SIZE)
		return record_add(forge, &record);
	while (n - at >= RECORD_SIZE) {
		size_t left = n - at - RECORD_SIZE;

		record.table = p[at];
		record.key_size = mbj_load_u32(p + at + 1);
		record.value_size = mbj_load_u32(p + at + 5);
		if (record.key_size > left)
			record.key_size = (uint32_t)left;
		if (record.value_size > left - record.key_size)
			record.value_size = (uint32_t)left - record.key_size;
		record.key = p + at + RECORD_SIZE;
		record.value = record.key + record.key_size;
		if (!record_add(forge, &record))
			return false;
		record.is_first = false;
		at += RECORD_SIZE + record.key_size + record.value_size;
	}
	return true;
}

bool forge_read(struct forge *forge, const uint8_t *data, size_t size)
{
	size_t at = FORGE_HEAD_SIZE;
	uint8_t *copy;

	forge->count = 0;
	forge->used = 0;
	if (size < FORGE_HEAD_SIZE + END_SIZE || size > FORGE_SIZE_MAX)
		return false;
	memcpy(forge->head, data, FORGE_HEAD_SIZE);
	copy = forge_room(forge, size);
	memcpy(copy, data, size);
	while (size - at >= CHUNK_SIZE + END_SIZE) {
		size_t left = size - at - CHUNK_SIZE - END_SIZE;
		size_t n = mbj_load_u32(copy + at + 16);

		if (n > left)
			n = left;
		if (!chunk_read(forge, copy + at + 32, copy + at + CHUNK_SIZE,
				n))
			return false;
		at += CHUNK_SIZE + n;
	}
	return true;
}

/* ------------------------------------------------------------------ order */

/* Where a table's records are among those of an account. */
static unsigned table_rank(uint8_t table)
{
	static const uint8_t order[] = {FORGE_ACCOUNTS,	     FORGE_TOMBSTONES,
					FORGE_MAILBOXES,     FORGE_FLOORS,
					FORGE_SUBSCRIPTIONS, FORGE_ATTRIBUTES,
					FORGE_PARKED,	     FORGE_INTENTS,
					FORGE_CONTENTS,	     FORGE_ORPHANS,
					FORGE_MESSAGES,	     FORGE_VANISHED,
					FORGE_BLOBS,	     FORGE_WANTED};
	unsigned rank = 0;

	while (rank < sizeof(order) && order[rank] != table)
		rank++;
	return rank;
}

static int record_compare(const struct forge_record *a,
			  const struct forge_record *b)
{
	size_t n = a->key_size < b->key_size ? a->key_size : b->key_size;
	unsigned x = table_rank(a->table), y = table_rank(b->table);
	int order = memcmp(a->account, b->account, sizeof(a->account));

	if (order == 0)
		order = (x > y) - (x < y);
	if (order == 0 && n > 0)
		order = memcmp(a->key, b->key, n);
	if (order == 0)
		order = (a->key_size > b->key_size) -
			(a->key_size < b->key_size);
	return order;
}

/* By insertion: what is sorted was so, but for a change or two. */
void forge_sort(struct forge *forge)
{
	for (size_t i = 1; i < forge->count; i++) {
		struct forge_record record = forge->records[i];
		size_t at = i;

		while (at > 0 &&
		       record_compare(&record, &forge->records[at - 1]) < 0) {
			forge->records[at] = forge->records[at - 1];
			at--;
		}
		forge->records[at] = record;
	}
}

/* ------------------------------------------------------------------- sums */

struct summing {
	struct forge *forge;
	struct mbj_sha256 *sha;
	struct mbj_hash key;
	uint8_t element[FORGE_SIZE_MAX + 8];
};

static bool is_same(const struct forge_record *a, const struct forge_record *b)
{
	return memcmp(a->account, b->account, sizeof(a->account)) == 0;
}

/* Onto the digest: the key as BYTES, then the value's first bytes. */
static void element_add(struct summing *s, const struct forge_record *record,
			size_t value_size, struct mbj_digest *digest)
{
	size_t n = 4 + (size_t)record->key_size + value_size;

	if (n > sizeof(s->element))
		return;
	mbj_store_u32(s->element, record->key_size);
	if (record->key_size > 0)
		memcpy(s->element + 4, record->key, record->key_size);
	if (value_size > 0)
		memcpy(s->element + 4 + record->key_size, record->value,
		       value_size);
	OK(mbj_digest_add(digest, s->sha, &s->key, record->table,
			  mbj_bytes_make(s->element, n), NULL));
}

static bool is_message(const struct forge_record *record)
{
	return record->table == FORGE_MESSAGES &&
	       record->key_size == SERIES_SIZE + 4 &&
	       record->value_size >= MESSAGE_SIZE;
}

/* A series that waits to be reaped is nobody's. */
static bool is_orphan(const struct forge *forge,
		      const struct forge_record *message)
{
	for (size_t i = 0; i < forge->count; i++) {
		const struct forge_record *r = &forge->records[i];

		if (r->table == FORGE_ORPHANS && is_same(r, message) &&
		    r->key_size == SERIES_SIZE &&
		    memcmp(r->key, message->key, SERIES_SIZE) == 0)
			return true;
	}
	return false;
}

/* What a content, or with NULL an account, has of messages. */
static void messages_sum(struct summing *s, const struct forge_record *whose,
			 const uint8_t *series, uint8_t *tail,
			 struct mbj_digest *digest)
{
	uint64_t count = 0, size = 0;

	for (size_t i = 0; i < s->forge->count; i++) {
		const struct forge_record *r = &s->forge->records[i];

		if (!is_message(r) || !is_same(r, whose) ||
		    (series != NULL &&
		     memcmp(r->key, series, SERIES_SIZE) != 0) ||
		    is_orphan(s->forge, r))
			continue;
		count++;
		size += mbj_load_u64(r->value + MESSAGE_BYTES);
		if (digest != NULL)
			element_add(s, r, r->value_size, digest);
	}
	mbj_store_u64(tail, count);
	mbj_store_u64(tail + 8, size);
}

static void content_sum(struct summing *s, struct forge_record *content)
{
	struct mbj_digest digest = {{0}};
	uint8_t *tail;

	if (content->value == NULL || content->value_size != CONTENT_SIZE)
		return;
	tail = content->value + CONTENT_SERIES + SERIES_SIZE;
	messages_sum(s, content, content->value + CONTENT_SERIES, tail,
		     &digest);
	mbj_digest_encode(&digest, tail + 16);
}

static bool is_summed(uint8_t table)
{
	return table == FORGE_MAILBOXES || table == FORGE_SUBSCRIPTIONS ||
	       table == FORGE_FLOORS || table == FORGE_ATTRIBUTES ||
	       table == FORGE_CONTENTS || table == FORGE_INTENTS;
}

static void account_sum(struct summing *s, struct forge_record *account)
{
	uint8_t *tail = account->value + account->value_size - ACCOUNT_TAIL;
	struct mbj_digest digest = {{0}};
	uint64_t mailboxes = 0, subscriptions = 0;

	if (account->value_size < ACCOUNT_HEAD + 4 + ACCOUNT_TAIL)
		return;
	element_add(s, account, account->value_size - ACCOUNT_TAIL, &digest);
	for (size_t i = 0; i < s->forge->count; i++) {
		const struct forge_record *r = &s->forge->records[i];

		if (!is_same(r, account) || !is_summed(r->table))
			continue;
		mailboxes += r->table == FORGE_MAILBOXES;
		subscriptions += r->table == FORGE_SUBSCRIPTIONS;
		element_add(s, r, r->value_size, &digest);
	}
	mbj_store_u64(tail + 8, mailboxes);
	mbj_store_u64(tail + 16, subscriptions);
	messages_sum(s, account, NULL, tail + 24, NULL);
	mbj_digest_encode(&digest, tail + 40);
}

/* The blob that a message has, or, where it is unknown, the first one. */
static struct forge_record *blob_find(struct forge *forge, const uint8_t *hash)
{
	struct forge_record *first = NULL;

	for (size_t i = 0; i < forge->count; i++) {
		struct forge_record *r = &forge->records[i];

		if (r->table != FORGE_BLOBS || r->key_size != MBJ_HASH_SIZE ||
		    r->value_size != BLOB_SIZE)
			continue;
		if (memcmp(r->key, hash, MBJ_HASH_SIZE) == 0)
			return r;
		if (first == NULL)
			first = r;
	}
	return first;
}

/* Each message has a content that is known, of its size, and is counted. */
static void blobs_count(struct forge *forge)
{
	for (size_t i = 0; i < forge->count; i++)
		if (forge->records[i].table == FORGE_BLOBS &&
		    forge->records[i].value_size == BLOB_SIZE)
			mbj_store_u64(forge->records[i].value + 1, 0);
	for (size_t i = 0; i < forge->count; i++) {
		struct forge_record *r = &forge->records[i];
		struct forge_record *blob;
		uint64_t count;

		if (!is_message(r))
			continue;
		blob = blob_find(forge, r->value + MESSAGE_BLOB);
		if (blob == NULL)
			continue;
		count = mbj_load_u64(blob->value + 1);
		mbj_store_u64(blob->value + 1, count + 1);
		memcpy(r->value + MESSAGE_BLOB, blob->key, MBJ_HASH_SIZE);
		memcpy(r->value + MESSAGE_BYTES, blob->value + 9, 8);
	}
}

static void sums_put(struct forge *forge)
{
	struct summing s = {.forge = forge};
	struct mbj_id lineage;

	memcpy(lineage.b, forge->head + 32, sizeof(lineage.b));
	OK(mbj_sha256_new(&s.sha, NULL));
	OK(mbj_digest_key(s.sha, lineage, &s.key, NULL));
	blobs_count(forge);
	for (size_t i = 0; i < forge->count; i++)
		if (forge->records[i].table == FORGE_CONTENTS)
			content_sum(&s, &forge->records[i]);
	for (size_t i = 0; i < forge->count; i++)
		if (forge->records[i].table == FORGE_ACCOUNTS)
			account_sum(&s, &forge->records[i]);
	mbj_sha256_free(&s.sha);
}

/* --------------------------------------------------------------- together */

struct writing {
	uint8_t *data;
	size_t at;
	uint64_t chunks;
	size_t chunk_at; /* of the one that is written */
};

static void crc_put(uint8_t *at, const uint8_t *from, size_t n)
{
	mbj_store_u32(at, mbj_crc32c(0, mbj_bytes_make(from, n)));
}

static void chunk_begin(struct writing *w, const uint8_t *account)
{
	uint8_t *head = w->data + w->at;

	w->chunk_at = w->at;
	memset(head, 0, CHUNK_SIZE);
	memcpy(head, chunk_magic, sizeof(chunk_magic));
	mbj_store_u64(head + 8, w->chunks++);
	memcpy(head + 32, account, FORGE_ID_SIZE);
	w->at += CHUNK_SIZE;
}

static void chunk_end(struct writing *w, bool is_last)
{
	uint8_t *head = w->data + w->chunk_at;
	size_t n = w->at - w->chunk_at - CHUNK_SIZE;

	mbj_store_u32(head + 16, (uint32_t)n);
	crc_put(head + 20, head + CHUNK_SIZE, n);
	mbj_store_u32(head + 28, is_last);
	crc_put(head + 4, head + 8, CHUNK_SIZE - 8);
}

static void record_write(struct writing *w, const struct forge_record *r)
{
	uint8_t *head = w->data + w->chunk_at;
	uint8_t *to = w->data + w->at;

	if (r->table == FORGE_NOTHING)
		return;
	mbj_store_u32(head + 24, mbj_load_u32(head + 24) + 1);
	to[0] = r->table;
	mbj_store_u32(to + 1, r->key_size);
	mbj_store_u32(to + 5, r->value_size);
	if (r->key_size > 0)
		memcpy(to + RECORD_SIZE, r->key, r->key_size);
	if (r->value_size > 0)
		memcpy(to + RECORD_SIZE + r->key_size, r->value, r->value_size);
	w->at += RECORD_SIZE + (size_t)r->key_size + r->value_size;
}

static size_t size_most(const struct forge *forge)
{
	size_t size = FORGE_HEAD_SIZE + END_SIZE;

	for (size_t i = 0; i < forge->count; i++)
		size += CHUNK_SIZE + RECORD_SIZE +
			(size_t)forge->records[i].key_size +
			forge->records[i].value_size;
	return size;
}

/* What the end says of all records: they are counted as they are. */
static void end_count(const struct forge *forge, uint8_t *end)
{
	uint64_t records = 0, accounts = 0, mailboxes = 0, messages = 0;
	struct mbj_digest sum = {{0}};
	struct mbj_digest digest;

	for (size_t i = 0; i < forge->count; i++) {
		const struct forge_record *r = &forge->records[i];

		records += r->table != FORGE_NOTHING;
		mailboxes += r->table == FORGE_MAILBOXES;
		messages += is_message(r) && !is_orphan(forge, r);
		if (r->table != FORGE_ACCOUNTS || r->value_size < ACCOUNT_TAIL)
			continue;
		accounts++;
		mbj_digest_decode(r->value + r->value_size - MBJ_DIGEST_SIZE,
				  &digest);
		mbj_digest_join(&sum, &digest);
	}
	mbj_store_u64(end + 24, records);
	mbj_store_u64(end + 32, accounts);
	mbj_store_u64(end + 40, mailboxes);
	mbj_store_u64(end + 48, messages);
	mbj_digest_encode(&sum, end + 56);
}

static void end_write(struct writing *w, const struct forge *forge)
{
	struct mbj_bytes all = mbj_bytes_make(w->data, w->at);
	struct mbj_sha256 *sha = NULL;
	uint8_t *end = w->data + w->at;
	struct mbj_hash hash;

	memset(end, 0, END_SIZE);
	memcpy(end, end_magic, sizeof(end_magic));
	memcpy(end + 8, forge->head + 48, 8);
	mbj_store_u64(end + 16, w->chunks);
	end_count(forge, end);
	OK(mbj_sha256_new(&sha, NULL));
	OK(mbj_sha256_digest(sha, &all, 1, &hash, NULL));
	mbj_sha256_free(&sha);
	memcpy(end + 88, hash.b, MBJ_HASH_SIZE);
	crc_put(end + END_SIZE - 4, end, END_SIZE - 4);
	w->at += END_SIZE;
}

size_t forge_write(struct forge *forge, enum forge_fit fit, uint8_t *data,
		   size_t max)
{
	struct writing w = {.data = data, .at = FORGE_HEAD_SIZE};

	if (size_most(forge) > max)
		return 0;
	if (fit == FORGE_SUMS)
		sums_put(forge);
	memcpy(data, forge->head, FORGE_HEAD_SIZE);
	crc_put(data + FORGE_HEAD_SIZE - 4, data, FORGE_HEAD_SIZE - 4);
	for (size_t i = 0; i < forge->count; i++) {
		const struct forge_record *r = &forge->records[i];
		const struct forge_record *before = i > 0 ? r - 1 : NULL;

		if (before == NULL || r->is_first || !is_same(before, r)) {
			if (before != NULL)
				chunk_end(&w, !is_same(before, r));
			chunk_begin(&w, r->account);
		}
		record_write(&w, r);
	}
	if (forge->count == 0)
		chunk_begin(&w, nobody);
	chunk_end(&w, true);
	end_write(&w, forge);
	return w.at;
}

size_t forge_mend(uint8_t *data, size_t size, size_t max)
{
	static struct forge forge;
	size_t mended;

	if (!forge_read(&forge, data, size))
		return size;
	mended = forge_write(&forge, FORGE_SUMS, data, max);
	return mended > 0 ? mended : size;
}
