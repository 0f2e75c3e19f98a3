/*
 * The bytes of a snapshot; the layout is in snapshot_priv.h.
 *
 * Invariants:
 *   1. what an _encode writes, its _decode accepts and gives back;
 *   2. no byte of a head, an end or the head of a chunk changes unnoticed.
 *
 * Threads: pure functions.
 */
#include <stdio.h>

#include <string.h>

#include <mbj/attribute.h>
#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/tree.h>
#include <mbj/version.h>

#include "snapshot_priv.h"

static const char head_magic[8] = {'M', 'B', 'J', 'S', 'N', 'A', 'P', 'S'};
static const char end_magic[8] = {'M', 'B', 'J', 'S', 'N', 'E', 'N', 'D'};
static const char chunk_magic[4] = {'M', 'B', 'J', 'K'};
const enum db_table snapshot_tables[SNAPSHOT_TABLES] = {
	TABLE_ACCOUNTS,	     TABLE_TOMBSTONES, TABLE_MAILBOXES, TABLE_FLOORS,
	TABLE_SUBSCRIPTIONS, TABLE_ATTRIBUTES, TABLE_PARKED,	TABLE_INTENTS,
	TABLE_CONTENTS,	     TABLE_ORPHANS,    TABLE_MESSAGES,	TABLE_VANISHED,
	TABLE_BLOBS,	     TABLE_WANTED,
};

static const char name_tail[] = ".snap";
static const char part_tail[] = ".part";

enum {
	HEAD_VERSION = 8,
	HEAD_SIZE = 12,
	HEAD_INCOMPATIBLE = 20,
	HEAD_FORMAT = 24,
	HEAD_LINEAGE = 32,
	HEAD_LSN = 48,
	HEAD_EPOCH = 56,
	HEAD_CHAIN = 64,
	HEAD_TIME = 96,
	HEAD_CRC = SNAPSHOT_HEAD_SIZE - 4,
	END_LSN = 8,
	END_CHUNKS = 16,
	END_RECORDS = 24,
	END_ACCOUNTS = 32,
	END_MAILBOXES = 40,
	END_MESSAGES = 48,
	END_DIGEST = 56,
	END_HASH = 88,
	END_CRC = SNAPSHOT_END_SIZE - 4,
	CHUNK_CRC = 4,
	CHUNK_NUMBER = 8,
	CHUNK_SIZE = 16,
	CHUNK_PAYLOAD_CRC = 20,
	CHUNK_COUNT = 24,
	CHUNK_FLAGS = 28,
	CHUNK_ACCOUNT = 32,
};

_Static_assert(END_HASH + MBJ_HASH_SIZE + 4 == END_CRC, "no gap but the zero");

static uint32_t crc_of(const uint8_t *p, size_t n)
{
	return mbj_crc32c(0, mbj_bytes_make(p, n));
}

void mbj_snapshot_name_print(struct mbj_lsn lsn,
			     char name[MBJ_SNAPSHOT_NAME_SIZE])
{
	(void)snprintf(name, MBJ_SNAPSHOT_NAME_SIZE, "%016llx%s",
		       (unsigned long long)lsn.v, name_tail);
}

bool mbj_snapshot_name_parse(const char *name, struct mbj_lsn *ret_lsn)
{
	char again[MBJ_SNAPSHOT_NAME_SIZE];
	struct mbj_lsn lsn = {0};

	for (size_t i = 0; i < 16; i++) {
		unsigned digit = (unsigned char)name[i];

		if (digit >= '0' && digit <= '9')
			digit -= '0';
		else if (digit >= 'a' && digit <= 'f')
			digit -= 'a' - 10;
		else
			return false;
		lsn.v = lsn.v << 4 | digit;
	}
	mbj_snapshot_name_print(lsn, again);
	if (strcmp(name, again) != 0)
		return false;
	*ret_lsn = lsn;
	return true;
}

void mbj_snapshot_part_print(struct mbj_lsn lsn,
			     char name[MBJ_SNAPSHOT_PART_SIZE])
{
	mbj_snapshot_name_print(lsn, name);
	memcpy(name + MBJ_SNAPSHOT_NAME_SIZE - 1, part_tail, sizeof(part_tail));
}

bool mbj_snapshot_part_parse(const char *name, struct mbj_lsn *ret_lsn)
{
	const size_t at = MBJ_SNAPSHOT_NAME_SIZE - 1;
	char front[MBJ_SNAPSHOT_NAME_SIZE] = {0};

	if (strlen(name) != MBJ_SNAPSHOT_PART_SIZE - 1 ||
	    strcmp(name + at, part_tail) != 0)
		return false;
	memcpy(front, name, at);
	return mbj_snapshot_name_parse(front, ret_lsn);
}

void snapshot_head_encode(const struct mbj_snapshot_info *info,
			  bool has_skipped, uint8_t bytes[SNAPSHOT_HEAD_SIZE])
{
	memset(bytes, 0, SNAPSHOT_HEAD_SIZE);
	memcpy(bytes, head_magic, sizeof(head_magic));
	mbj_store_u32(bytes + HEAD_VERSION, SNAPSHOT_VERSION);
	mbj_store_u32(bytes + HEAD_SIZE, SNAPSHOT_HEAD_SIZE);
	/* Older versions, which would call the record damaged, refuse it. */
	if (has_skipped)
		mbj_store_u32(bytes + HEAD_INCOMPATIBLE, SNAPSHOT_HAS_SKIPPED);
	mbj_store_u32(bytes + HEAD_FORMAT, MBJ_FORMAT_STATE);
	memcpy(bytes + HEAD_LINEAGE, info->lineage.b, MBJ_ID_SIZE);
	mbj_store_u64(bytes + HEAD_LSN, info->watermark.lsn.v);
	mbj_store_u64(bytes + HEAD_EPOCH, info->watermark.epoch.v);
	memcpy(bytes + HEAD_CHAIN, info->watermark.chain.b, MBJ_HASH_SIZE);
	mbj_store_u64(bytes + HEAD_TIME, (uint64_t)info->time_us);
	mbj_store_u32(bytes + HEAD_CRC, crc_of(bytes, HEAD_CRC));
}

enum mbj_rc snapshot_head_decode(const uint8_t bytes[SNAPSHOT_HEAD_SIZE],
				 struct mbj_snapshot_info *ret_info,
				 struct mbj_error *err)
{
	uint32_t version = mbj_load_u32(bytes + HEAD_VERSION);
	uint32_t format = mbj_load_u32(bytes + HEAD_FORMAT);
	uint32_t unknown = mbj_load_u32(bytes + HEAD_INCOMPATIBLE) &
			   ~(uint32_t)SNAPSHOT_HAS_SKIPPED;

	if (memcmp(bytes, head_magic, sizeof(head_magic)) != 0 ||
	    mbj_load_u32(bytes + HEAD_CRC) != crc_of(bytes, HEAD_CRC))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the head of the snapshot is damaged");
	if (version != SNAPSHOT_VERSION || format != MBJ_FORMAT_STATE)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the snapshot has format %u with records "
				     "of format %u, this program knows %d with "
				     "%d",
				     version, format, SNAPSHOT_VERSION,
				     MBJ_FORMAT_STATE);
	if (unknown != 0)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the snapshot uses features 0x%x that "
				     "this program does not know: use a newer "
				     "one",
				     unknown);
	*ret_info = (struct mbj_snapshot_info){
		.watermark.lsn.v = mbj_load_u64(bytes + HEAD_LSN),
		.watermark.epoch.v = mbj_load_u64(bytes + HEAD_EPOCH),
		.time_us = (int64_t)mbj_load_u64(bytes + HEAD_TIME),
	};
	memcpy(ret_info->lineage.b, bytes + HEAD_LINEAGE, MBJ_ID_SIZE);
	memcpy(ret_info->watermark.chain.b, bytes + HEAD_CHAIN, MBJ_HASH_SIZE);
	return MBJ_OK;
}

void snapshot_end_encode(const struct mbj_snapshot_info *info, uint64_t chunks,
			 const struct mbj_hash *hash,
			 uint8_t bytes[SNAPSHOT_END_SIZE])
{
	memset(bytes, 0, SNAPSHOT_END_SIZE);
	memcpy(bytes, end_magic, sizeof(end_magic));
	mbj_store_u64(bytes + END_LSN, info->watermark.lsn.v);
	mbj_store_u64(bytes + END_CHUNKS, chunks);
	mbj_store_u64(bytes + END_RECORDS, info->records);
	mbj_store_u64(bytes + END_ACCOUNTS, info->accounts);
	mbj_store_u64(bytes + END_MAILBOXES, info->mailboxes);
	mbj_store_u64(bytes + END_MESSAGES, info->messages);
	mbj_digest_encode(&info->digest, bytes + END_DIGEST);
	memcpy(bytes + END_HASH, hash->b, MBJ_HASH_SIZE);
	mbj_store_u32(bytes + END_CRC, crc_of(bytes, END_CRC));
}

bool snapshot_end_decode(const uint8_t bytes[SNAPSHOT_END_SIZE],
			 struct mbj_snapshot_info *info, uint64_t *ret_chunks,
			 struct mbj_hash *ret_hash)
{
	if (memcmp(bytes, end_magic, sizeof(end_magic)) != 0 ||
	    mbj_load_u32(bytes + END_CRC) != crc_of(bytes, END_CRC) ||
	    mbj_load_u64(bytes + END_LSN) != info->watermark.lsn.v)
		return false;
	*ret_chunks = mbj_load_u64(bytes + END_CHUNKS);
	info->records = mbj_load_u64(bytes + END_RECORDS);
	info->accounts = mbj_load_u64(bytes + END_ACCOUNTS);
	info->mailboxes = mbj_load_u64(bytes + END_MAILBOXES);
	info->messages = mbj_load_u64(bytes + END_MESSAGES);
	mbj_digest_decode(bytes + END_DIGEST, &info->digest);
	memcpy(ret_hash->b, bytes + END_HASH, MBJ_HASH_SIZE);
	return true;
}

void snapshot_chunk_encode(const struct snapshot_chunk *chunk,
			   uint8_t bytes[SNAPSHOT_CHUNK_HEAD_SIZE])
{
	memcpy(bytes, chunk_magic, sizeof(chunk_magic));
	mbj_store_u64(bytes + CHUNK_NUMBER, chunk->number);
	mbj_store_u32(bytes + CHUNK_SIZE, chunk->size);
	mbj_store_u32(bytes + CHUNK_PAYLOAD_CRC, chunk->crc);
	mbj_store_u32(bytes + CHUNK_COUNT, chunk->count);
	mbj_store_u32(bytes + CHUNK_FLAGS,
		      chunk->is_last ? SNAPSHOT_IS_LAST : 0);
	memcpy(bytes + CHUNK_ACCOUNT, chunk->account.b, MBJ_ID_SIZE);
	mbj_store_u32(bytes + CHUNK_CRC,
		      crc_of(bytes + CHUNK_NUMBER,
			     SNAPSHOT_CHUNK_HEAD_SIZE - CHUNK_NUMBER));
}

bool snapshot_chunk_decode(const uint8_t bytes[SNAPSHOT_CHUNK_HEAD_SIZE],
			   struct snapshot_chunk *ret_chunk)
{
	uint32_t flags = mbj_load_u32(bytes + CHUNK_FLAGS);

	if (memcmp(bytes, chunk_magic, sizeof(chunk_magic)) != 0 ||
	    mbj_load_u32(bytes + CHUNK_CRC) !=
		    crc_of(bytes + CHUNK_NUMBER,
			   SNAPSHOT_CHUNK_HEAD_SIZE - CHUNK_NUMBER) ||
	    mbj_load_u32(bytes + CHUNK_SIZE) > SNAPSHOT_CHUNK_MAX ||
	    flags > SNAPSHOT_IS_LAST)
		return false;
	*ret_chunk = (struct snapshot_chunk){
		.number = mbj_load_u64(bytes + CHUNK_NUMBER),
		.size = mbj_load_u32(bytes + CHUNK_SIZE),
		.crc = mbj_load_u32(bytes + CHUNK_PAYLOAD_CRC),
		.count = mbj_load_u32(bytes + CHUNK_COUNT),
		.is_last = flags == SNAPSHOT_IS_LAST,
	};
	memcpy(ret_chunk->account.b, bytes + CHUNK_ACCOUNT, MBJ_ID_SIZE);
	return true;
}

void snapshot_record_encode(struct mbj_buf *buf,
			    const struct snapshot_record *record)
{
	mbj_buf_put_u8(buf, (uint8_t)record->table);
	mbj_buf_put_u32(buf, (uint32_t)record->key.n);
	mbj_buf_put_u32(buf, (uint32_t)record->value.n);
	mbj_buf_put_bytes(buf, record->key);
	mbj_buf_put_bytes(buf, record->value);
}

bool snapshot_record_decode(struct mbj_bytes bytes,
			    struct snapshot_record *ret_record,
			    size_t *ret_size)
{
	uint32_t key_size;
	uint32_t value_size;
	uint64_t size;

	if (bytes.n < SNAPSHOT_RECORD_HEAD_SIZE || bytes.p[0] >= TABLE_COUNT)
		return false;
	key_size = mbj_load_u32(bytes.p + 1);
	value_size = mbj_load_u32(bytes.p + 5);
	size = (uint64_t)SNAPSHOT_RECORD_HEAD_SIZE + key_size + value_size;
	if (size > bytes.n)
		return false;
	ret_record->table = (enum db_table)bytes.p[0];
	ret_record->key =
		mbj_bytes_make(bytes.p + SNAPSHOT_RECORD_HEAD_SIZE, key_size);
	ret_record->value =
		mbj_bytes_make(ret_record->key.p + key_size, value_size);
	*ret_size = (size_t)size;
	return true;
}

uint32_t snapshot_key_uid(struct mbj_bytes key)
{
	MBJ_ASSERT(key.n >= 4);
	return key_uid(mbj_bytes_make(key.p + key.n - 4, 4));
}

unsigned snapshot_table_rank(enum db_table table)
{
	for (unsigned i = 0; i < SNAPSHOT_TABLES; i++)
		if (snapshot_tables[i] == table)
			return i;
	return SNAPSHOT_TABLES;
}

/* A version byte, then at least one byte of what it is. */
static bool rest_is_good(struct mbj_bytes value)
{
	return value.n > 1 && value.p[0] == RECORD_VERSION;
}

static bool text_is_good(struct mbj_bytes text)
{
	return text.n > 0 && memchr(text.p, 0, text.n) == NULL;
}

static bool subscription_is_good(const struct snapshot_record *r)
{
	const struct mbj_path path = {
		.key = r->key,
		.stored = mbj_bytes_make(r->value.p + 1, r->value.n - 1),
	};

	return rest_is_good(r->value) && mbj_path_is_safe(&path);
}

/* Mailbox, kind, name. */
static bool attribute_is_good(const struct snapshot_record *r)
{
	const size_t head = MBJ_ID_SIZE + 1;

	return r->key.n > head && r->key.n <= head + MBJ_ATTR_NAME_MAX &&
	       mbj_attr_kind_name(r->key.p[MBJ_ID_SIZE]) != NULL &&
	       text_is_good(mbj_bytes_make(r->key.p + head, r->key.n - head)) &&
	       rest_is_good(r->value);
}

/* One between two groups: it has an id of its own, and is not parked. */
static bool mailbox_is_good(struct mbj_id id, struct mbj_bytes value)
{
	struct mbj_mailbox mailbox;

	return !mbj_id_is_reserved(id) &&
	       record_mailbox_decode(id, value, &mailbox) &&
	       !mbj_id_is_temp(mailbox.parent) &&
	       mbj_role_name((enum mbj_role)mailbox.role) != NULL &&
	       mbj_name_is_safe(mailbox.name.stored, mailbox.name.key);
}

/* Tables whose records are of one account and one mailbox of it, or less. */
static bool mailbox_record_is_good(const struct snapshot_record *r)
{
	struct mbj_tombstone tombstone;
	struct mbj_content content;
	struct mbj_id id;

	if (r->key.n != MBJ_ID_SIZE)
		return false;
	memcpy(id.b, r->key.p, MBJ_ID_SIZE);
	if (r->table == TABLE_MAILBOXES)
		return mailbox_is_good(id, r->value);
	if (r->table == TABLE_TOMBSTONES)
		return record_tombstone_decode(MBJ_ID_ROOT, r->value,
					       &tombstone);
	return record_content_decode(r->value, &content);
}

/* Tables of messages; a series is a mailbox and a birth. */
static bool message_record_is_good(const struct snapshot_record *r)
{
	enum { SERIES_SIZE = MBJ_ID_SIZE + 4 };
	struct mbj_vanished vanished;
	struct mbj_message message;
	struct mbj_id mailbox;

	if (r->table == TABLE_MESSAGES)
		return r->key.n == SERIES_SIZE + 4 &&
		       record_message_decode(snapshot_key_uid(r->key), r->value,
					     &message);
	if (r->table == TABLE_VANISHED)
		return r->key.n == MBJ_ID_SIZE + 8 &&
		       record_vanished_decode(r->value, &vanished);
	return r->key.n == SERIES_SIZE && record_id_decode(r->value, &mailbox);
}

bool snapshot_record_is_good(const struct snapshot_record *r)
{
	struct mbj_account account;
	struct record_aside aside;
	struct mbj_intent intent;
	struct blob_count blob;
	uint32_t uidvalidity;

	switch (r->table) {
	case TABLE_ACCOUNTS:
		return r->key.n == 0 &&
		       record_account_decode(MBJ_ID_ROOT, r->value, &account) &&
		       text_is_good(account.name);
	case TABLE_PARKED:
		return r->key.n == 0 &&
		       record_aside_decode(MBJ_ID_ROOT, r->value, &aside);
	case TABLE_MAILBOXES:
	case TABLE_TOMBSTONES:
	case TABLE_CONTENTS:
		return mailbox_record_is_good(r);
	case TABLE_FLOORS:
		return r->key.n == MBJ_HASH_SIZE &&
		       record_u32_decode(r->value, &uidvalidity);
	case TABLE_SUBSCRIPTIONS:
		return subscription_is_good(r);
	case TABLE_ATTRIBUTES:
		return attribute_is_good(r);
	case TABLE_INTENTS:
		return r->key.n == MBJ_ID_SIZE &&
		       record_intent_decode(MBJ_ID_ROOT, MBJ_ID_ROOT, r->value,
					    &intent);
	case TABLE_MESSAGES:
	case TABLE_VANISHED:
	case TABLE_ORPHANS:
		return message_record_is_good(r);
	case TABLE_BLOBS:
	case TABLE_WANTED:
		return r->key.n == MBJ_HASH_SIZE &&
		       record_blob_decode(r->value, &blob) &&
		       (r->table == TABLE_BLOBS || blob.count == 0);
	case TABLE_META:
	case TABLE_ACCOUNT_NAMES:
	case TABLE_SLOTS:
	case TABLE_COUNT:
		break;
	}
	return false;
}
