/*
 * What holds over all accounts of a snapshot, as its records come by: the
 * counts of contents are what the messages come to, and no two accounts have
 * one name.
 *
 * Method: sums and hashes under keys that are drawn for each reading, so that
 * nobody can make a file for which they fit by chance alone.
 *
 * Memory: of each account 16 bytes, and as much in a table.
 *
 * Threads: one at a time per reading.
 */
#include <string.h>

#include <mbj/codec.h>

#include "snapshot_priv.h"

enum { NAMES_MAX = 1 << 25 };

struct snapshot_name {
	uint64_t hash[2];
};

enum mbj_rc snapshot_across_init(struct snapshot_across *across,
				 const struct mbj_sys *sys,
				 struct mbj_error *err)
{
	struct mbj_id id;
	enum mbj_rc rc = MBJ_OK;

	*across = (struct snapshot_across){.count = 0};
	mbj_table_init(&across->by_name);
	for (int i = 0; rc == MBJ_OK && i < 2; i++) {
		rc = mbj_id_generate(sys, &id, err);
		if (rc < 0)
			break;
		across->keys[i].k0 = mbj_load_u64(id.b);
		across->keys[i].k1 = mbj_load_u64(id.b + 8);
	}
	return rc;
}

void snapshot_across_done(struct snapshot_across *across)
{
	mbj_table_done(&across->by_name);
	mbj_free(across->names);
	across->names = NULL;
}

void snapshot_across_begin(struct snapshot_across *across)
{
	memset(across->owed, 0, sizeof(across->owed));
	mbj_table_clear(&across->by_name);
	across->count = 0;
}

/* So many messages are said to have a content, or one fewer is without. */
static void owed_add(struct snapshot_across *across,
		     const struct mbj_hash *blob, uint64_t size, uint64_t times)
{
	uint8_t bytes[MBJ_HASH_SIZE + 8];

	memcpy(bytes, blob->b, MBJ_HASH_SIZE);
	mbj_store_u64(bytes + MBJ_HASH_SIZE, size);
	for (int i = 0; i < 2; i++)
		across->owed[i] +=
			times *
			mbj_siphash(across->keys[i],
				    mbj_bytes_make(bytes, sizeof(bytes)));
}

static enum mbj_rc name_add(struct snapshot_across *across,
			    struct mbj_bytes text, struct mbj_error *err)
{
	const struct snapshot_name name = {
		{mbj_siphash(across->keys[0], text),
		 mbj_siphash(across->keys[1], text)}};
	uint32_t at = mbj_table_seek(&across->by_name, name.hash[0]);
	void *names = across->names;
	uint32_t other;
	enum mbj_rc rc;

	while (mbj_table_next(&across->by_name, name.hash[0], &at, &other))
		if (memcmp(&across->names[other], &name, sizeof(name)) == 0)
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "two accounts have the same name");
	rc = mbj_array_reserve(&names, &across->capacity, across->count + 1,
			       sizeof(name), NAMES_MAX, err);
	across->names = names;
	if (rc == MBJ_OK)
		rc = mbj_table_add(&across->by_name, name.hash[0],
				   (uint32_t)across->count, err);
	if (rc == MBJ_OK)
		across->names[across->count++] = name;
	return rc;
}

/* Counts of contents are in no digest: they are what the messages come to. */
enum mbj_rc snapshot_across_add(struct snapshot_across *across,
				const struct snapshot_record *record,
				struct mbj_error *err)
{
	struct mbj_account account;
	struct mbj_message message;
	struct blob_count count;
	struct mbj_hash blob;

	if (record->table == TABLE_ACCOUNTS &&
	    record_account_decode(MBJ_ID_ROOT, record->value, &account))
		return name_add(across, account.name, err);
	if (record->table == TABLE_BLOBS &&
	    record_blob_decode(record->value, &count)) {
		memcpy(blob.b, record->key.p, MBJ_HASH_SIZE);
		owed_add(across, &blob, count.size, count.count);
	} else if (record->table == TABLE_MESSAGES &&
		   record_message_decode(snapshot_key_uid(record->key),
					 record->value, &message)) {
		owed_add(across, &message.blob, message.size, UINT64_MAX);
	}
	return MBJ_OK;
}

bool snapshot_across_is_good(const struct snapshot_across *across)
{
	return across->owed[0] == 0 && across->owed[1] == 0;
}
