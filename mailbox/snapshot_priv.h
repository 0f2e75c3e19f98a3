/*
 * The bytes of a snapshot, and walking them record by record.  Private to
 * mailbox/.
 *
 * A file is a head, chunks, an end.  A chunk holds records of one account, or
 * of none (the first ones); an account's chunks follow one another, and the
 * last of them says so.  Accounts come in the order of their ids.
 *
 * Head:
 *	  0   8  magic "MBJSNAPS"
 *	  8   4  format version, 1
 *	 12   4  size of the head, 256
 *	 16   4  compatible flags
 *	 20   4  incompatible flags
 *	 24   4  format of the records
 *	 28   4  zero
 *	 32  16  lineage
 *	 48   8  LSN
 *	 56   8  epoch
 *	 64  32  chain value at the LSN
 *	 96   8  time
 *	104 148  zero
 *	252   4  CRC32C of all before
 * Chunk:
 *	  0   4  magic "MBJK"
 *	  4   4  CRC32C of bytes 8 to 47
 *	  8   8  number of the chunk, from 0
 *	 16   4  bytes of records
 *	 20   4  CRC32C of these
 *	 24   4  how many records
 *	 28   4  flags: 1 the account's last
 *	 32  16  account, zero: none
 * Record:
 *	  0   1  table
 *	  1   4  bytes of the key
 *	  5   4  bytes of the record
 *	  9      key (without account id), record
 * End:
 *	  0   8  magic "MBJSNEND"
 *	  8   8  LSN
 *	 16   8  chunks
 *	 24   8  records
 *	 32   8  accounts
 *	 40   8  mailboxes
 *	 48   8  messages
 *	 56  32  sum of the digests
 *	 88  32  SHA-256 of all before the end
 *	120   4  zero
 *	124   4  CRC32C of the end before
 */
#ifndef MBJ_MAILBOX_SNAPSHOT_PRIV_H
#define MBJ_MAILBOX_SNAPSHOT_PRIV_H

#include <mbj/hash.h>
#include <mbj/snapshot.h>

#include "gather.h"
#include "state_priv.h"

enum {
	SNAPSHOT_VERSION = 1,
	SNAPSHOT_HEAD_SIZE = 256,
	SNAPSHOT_END_SIZE = 128,
	SNAPSHOT_CHUNK_HEAD_SIZE = 48,
	SNAPSHOT_RECORD_HEAD_SIZE = 9,
	/* A chunk is full when it has so much. */
	SNAPSHOT_CHUNK_FULL = 64 << 10,
	/* And has at most so much: one record of any table behind that. */
	SNAPSHOT_CHUNK_MAX = 1 << 20,
	SNAPSHOT_IS_LAST = 1, /* flag of a chunk */
	/* Incompatible flags of a head: groups of some account were given up.
	 */
	SNAPSHOT_HAS_SKIPPED = 1,
	/* Of an account, then those of none. */
	SNAPSHOT_ACCOUNT_TABLES = 12,
	SNAPSHOT_TABLES = 14,
};

/* In the order of a reader: what it has to know of a message comes before. */
extern const enum db_table snapshot_tables[SNAPSHOT_TABLES];

struct snapshot_chunk {
	uint64_t number;
	uint32_t size;
	uint32_t crc;
	uint32_t count;
	bool is_last;
	struct mbj_id account;
};

struct snapshot_record {
	enum db_table table;
	struct mbj_bytes key; /* without the account's id */
	struct mbj_bytes value;
};

/* What the records of one account sum up to. */
struct snapshot_sum {
	struct mbj_account account; /* name borrowed from name */
	bool is_account;	    /* else: what is left of a dead one */
	bool is_dead;		    /* it has the tombstone of one */
	struct mbj_lsn died;	    /* in that group, where is_dead */
	bool is_parked;		    /* set aside where it was written */
	bool is_skipped;	    /* groups of it were given up there */
	struct mbj_skipped skipped;
	uint64_t records;    /* of any table */
	uint64_t elements;   /* those that are in a digest */
	unsigned rank;	     /* of the last one's table */
	struct mbj_buf last; /* its key */
	struct mbj_buf name;
	struct mbj_buf values;	  /* of the account's element */
	struct mbj_buf element;	  /* what is summed up now */
	struct mbj_digest digest; /* of its elements */
	struct gather gather;	  /* its mailboxes, contents, messages */
	bool is_gathering;
	uint64_t mailboxes;
	uint64_t subscriptions;
	uint64_t message_count;
	uint64_t message_size;
	struct mbj_series *orphans; /* in the order of their keys */
	size_t orphan_count;
	size_t orphan_capacity;
	size_t orphan_at; /* whose messages may come now */
};

/* What summing takes. */
struct snapshot_summing {
	const struct mbj_sys *sys;
	struct mbj_sha256 *sha;
	struct mbj_hash key; /* of the lineage */
};

/* What holds over all accounts; keys are of this reading alone. */
struct snapshot_across {
	struct mbj_sip_key keys[2];
	/*
	 * What is said of how many messages have each content, less the
	 * messages that have one, summed.
	 */
	uint64_t owed[2];
	struct mbj_table by_name;    /* of accounts, into names */
	struct snapshot_name *names; /* what is left of them */
	size_t count;
	size_t capacity;
};

struct mbj_snapshot {
	const struct mbj_sys *sys;
	struct mbj_file file;
	char called[MBJ_PATH_TEXT_MAX]; /* by what is wrong with it */
	struct mbj_snapshot_info info;
	uint64_t chunks;
	struct mbj_hash hash; /* of the file, as its end says */
	struct snapshot_summing summing;
	struct mbj_sha256 *sha_all; /* of the file, as it is read */
	uint8_t *payload;	    /* SNAPSHOT_CHUNK_MAX */
	struct snapshot_chunk chunk;
	uint64_t next_at; /* of the next chunk */
	uint64_t next_number;
	size_t at;     /* in the payload */
	uint32_t left; /* records of the chunk */
	bool is_whole; /* all of it is read, not one account */
	bool is_begun; /* a chunk was entered */
	struct snapshot_sum sum;
	struct snapshot_across across;
	struct mbj_snapshot_info found; /* counts and digest so far */
	uint64_t place;			/* offset of what is looked at */
};

/* ------------------------------------------------------ snapshot_bytes.c */

void snapshot_head_encode(const struct mbj_snapshot_info *info,
			  bool has_skipped, uint8_t bytes[SNAPSHOT_HEAD_SIZE]);
enum mbj_rc snapshot_head_decode(const uint8_t bytes[SNAPSHOT_HEAD_SIZE],
				 struct mbj_snapshot_info *ret_info,
				 struct mbj_error *err) MBJ_MUST_CHECK;
void snapshot_end_encode(const struct mbj_snapshot_info *info, uint64_t chunks,
			 const struct mbj_hash *hash,
			 uint8_t bytes[SNAPSHOT_END_SIZE]);
/* Counts and digest into *info.  False: damaged, or of another head. */
bool snapshot_end_decode(const uint8_t bytes[SNAPSHOT_END_SIZE],
			 struct mbj_snapshot_info *info, uint64_t *ret_chunks,
			 struct mbj_hash *ret_hash);
void snapshot_chunk_encode(const struct snapshot_chunk *chunk,
			   uint8_t bytes[SNAPSHOT_CHUNK_HEAD_SIZE]);
bool snapshot_chunk_decode(const uint8_t bytes[SNAPSHOT_CHUNK_HEAD_SIZE],
			   struct snapshot_chunk *ret_chunk);
void snapshot_record_encode(struct mbj_buf *buf,
			    const struct snapshot_record *record);
/* What a record takes.  False: it is not whole. */
bool snapshot_record_decode(struct mbj_bytes bytes,
			    struct snapshot_record *ret_record,
			    size_t *ret_size);
/* Where records of this table are; SNAPSHOT_TABLES: in no snapshot. */
unsigned snapshot_table_rank(enum db_table table);
/* The UID that ends a message's key. */
uint32_t snapshot_key_uid(struct mbj_bytes key);
/* Key and record have the form that the table asks for. */
bool snapshot_record_is_good(const struct snapshot_record *record);

/* -------------------------------------------------------- snapshot_sum.c */

void snapshot_sum_init(struct snapshot_sum *sum);
void snapshot_sum_done(struct snapshot_sum *sum);
/* Begin the account of this id. */
void snapshot_sum_begin(struct snapshot_sum *sum, struct mbj_id account);
enum mbj_rc snapshot_sum_add(struct snapshot_sum *sum,
			     const struct snapshot_summing *with,
			     const struct snapshot_record *record,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * MBJ_ECORRUPT where they are no account, its sums and counts are others, or it
 * is ahead of the snapshot's group.
 */
enum mbj_rc snapshot_sum_judge(struct snapshot_sum *sum, struct mbj_lsn at,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* ----------------------------------------------------- snapshot_across.c */

enum mbj_rc snapshot_across_init(struct snapshot_across *across,
				 const struct mbj_sys *sys,
				 struct mbj_error *err) MBJ_MUST_CHECK;
void snapshot_across_done(struct snapshot_across *across);
/* Before the first record. */
void snapshot_across_begin(struct snapshot_across *across);
enum mbj_rc snapshot_across_add(struct snapshot_across *across,
				const struct snapshot_record *record,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* Behind the last one. */
bool snapshot_across_is_good(const struct snapshot_across *across);

/* ------------------------------------------------------- snapshot_read.c */

/* mbj_snapshot_verify, until told to give up. */
enum mbj_rc snapshot_judge(struct mbj_snapshot *snapshot,
			   const struct mbj_halt *halt,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* Before the first record of all. */
enum mbj_rc snapshot_rewind(struct mbj_snapshot *snapshot,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* Before the first record of an account.  MBJ_ENOTFOUND: it has none. */
enum mbj_rc snapshot_seek(struct mbj_snapshot *snapshot, struct mbj_id account,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The next record, borrowed until the next call; MBJ_ENOTFOUND (err untouched)
 * at the end, everything judged.
 */
enum mbj_rc snapshot_next(struct mbj_snapshot *snapshot,
			  struct snapshot_record *ret_record,
			  struct mbj_error *err) MBJ_MUST_CHECK;

#endif
