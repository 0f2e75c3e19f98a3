/*
 * Keys and records of the state's tables: docs/FORMAT.md "State".
 * Keys sort as their parts do (ids are compared as bytes); records are
 * little-endian and begin with a version byte.  Private to mailbox/.
 *
 * Decoding never asserts: a damaged page is the world's fault.
 */
#ifndef MBJ_MAILBOX_RECORD_H
#define MBJ_MAILBOX_RECORD_H

#include <mbj/codec.h>
#include <mbj/intent.h>
#include <mbj/message.h>
#include <mbj/state.h>

#include "db_engine.h"

enum {
	RECORD_VERSION = 1,
	RECORD_ASIDE_SKIPPED = 2, /* of one that says so, in that table alone */
};

/* Keys: ret is emptied first. */
void key_account(struct mbj_buf *ret, struct mbj_id account);
/* Account and the bytes of whatever comes next. */
void key_pair(struct mbj_buf *ret, struct mbj_id account, const void *p,
	      size_t n);
void key_slot(struct mbj_buf *ret, struct mbj_id account, struct mbj_id parent,
	      struct mbj_bytes key);
void key_attribute(struct mbj_buf *ret, struct mbj_id account,
		   struct mbj_id mailbox, uint8_t kind, struct mbj_bytes name);

/* An empty buffer with the version in it. */
void record_begin(struct mbj_buf *ret);
void record_account_encode(struct mbj_buf *ret, const struct mbj_account *a);
/* What of an account is in its digest. */
void record_account_element(struct mbj_buf *ret, const struct mbj_account *a);
void record_mailbox_encode(struct mbj_buf *ret, const struct mbj_mailbox *m);
void record_tombstone_encode(struct mbj_buf *ret,
			     const struct mbj_tombstone *t);
void record_watermark_encode(struct mbj_buf *ret,
			     const struct mbj_watermark *w);

/* The id is the key's; borrowed from value.  False: damaged. */
bool record_account_decode(struct mbj_id id, struct mbj_bytes value,
			   struct mbj_account *ret);
bool record_mailbox_decode(struct mbj_id id, struct mbj_bytes value,
			   struct mbj_mailbox *ret);
bool record_tombstone_decode(struct mbj_id id, struct mbj_bytes value,
			     struct mbj_tombstone *ret);
bool record_watermark_decode(struct mbj_bytes value, struct mbj_watermark *ret);
bool record_u32_decode(struct mbj_bytes value, uint32_t *ret);
bool record_id_decode(struct mbj_bytes value, struct mbj_id *ret);

/*
 * What a replica says of an account: groups that wait, groups that were given
 * up, or both.
 */
struct record_aside {
	bool is_parked;
	bool is_skipped;
	struct mbj_parked parked;
	struct mbj_skipped skipped;
};

void record_aside_encode(struct mbj_buf *ret, const struct record_aside *a);
bool record_aside_decode(struct mbj_id account, struct mbj_bytes value,
			 struct record_aside *ret);

/* state_intent.c */
bool record_intent_decode(struct mbj_id account, struct mbj_id id,
			  struct mbj_bytes value, struct mbj_intent *ret);

/* ---- messages (record_message.c) */

void key_series(struct mbj_buf *ret, struct mbj_id account,
		struct mbj_series series);
void key_message(struct mbj_buf *ret, struct mbj_id account,
		 struct mbj_series series, uint32_t uid);
void key_vanished(struct mbj_buf *ret, struct mbj_id account,
		  struct mbj_id mailbox, uint64_t rev);
/* In the order of their keys. */
int series_compare(struct mbj_series a, struct mbj_series b);
/* The UID that ends a message's key, or 0. */
uint32_t key_uid(struct mbj_bytes rest);
/* The revision that ends an expunge's key, or UINT64_MAX. */
uint64_t key_rev(struct mbj_bytes rest);

void record_content_encode(struct mbj_buf *ret, const struct mbj_content *c);
void record_message_encode(struct mbj_buf *ret, const struct mbj_message *m);
void record_vanished_encode(struct mbj_buf *ret, const struct mbj_vanished *v);
bool record_content_decode(struct mbj_bytes value, struct mbj_content *ret);
bool record_message_decode(uint32_t uid, struct mbj_bytes value,
			   struct mbj_message *ret);
bool record_vanished_decode(struct mbj_bytes value, struct mbj_vanished *ret);

/* How many messages have a blob, and since when none. */
struct blob_count {
	uint64_t count;
	uint64_t size;
	struct mbj_lsn since; /* where count is 0 */
};

void record_blob_encode(struct mbj_buf *ret, const struct blob_count *b);
bool record_blob_decode(struct mbj_bytes value, struct blob_count *ret);

/* A series without a mailbox, and whose expunge history goes with it. */
struct orphan {
	struct mbj_id account;
	struct mbj_series series;
	struct mbj_id mailbox;
};

void key_orphan(struct mbj_buf *ret, const struct orphan *o);
void record_orphan_encode(struct mbj_buf *ret, const struct orphan *o);
bool record_orphan_decode(struct mbj_bytes key, struct mbj_bytes value,
			  struct orphan *ret);

/* MBJ_ECORRUPT naming the table and the key. */
enum mbj_rc record_damaged(enum db_table table, struct mbj_bytes key,
			   struct mbj_error *err);

#endif
