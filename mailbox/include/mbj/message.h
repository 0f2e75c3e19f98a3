/*
 * Messages: what a mailbox holds, beside where it is (mbj/state.h).
 *
 * A mailbox's *content* is a revision, UIDNEXT, HIGHESTMODSEQ and one
 * *series* of messages.  Messages belong to their series, not to the mailbox:
 * a series changes hands as a whole at constant cost (RENAME INBOX, RFC 9051
 * 6.3.6), and is left to be reaped when its mailbox is deleted, whatever it
 * holds.  A series is named after the mailbox in which it began and how many
 * that one had begun before: nothing is invented, nothing is named twice.
 *
 * Invariants:
 *   1. content.digest is the sum over its messages; content itself is an
 *      element of the account's digest.  So one that goes, or changes hands,
 *      takes its messages' share with it;
 *   2. a UID was never used before in its series, and is below UIDNEXT;
 *   3. every change of content raises its revision by one and HIGHESTMODSEQ
 *      at least to the change's (RFC 7162);
 *   4. a blob's count is the number of messages that have its digest, reaped
 *      ones excluded.  Counts, expunge history, what is to be reaped and what
 *      could not be fetched are local: outside the digest.
 *
 * A mailbox that never held a message has no record of its content: revision
 * 1, UIDNEXT 1, HIGHESTMODSEQ 1.
 */
#ifndef MBJ_MESSAGE_H
#define MBJ_MESSAGE_H

#include <mbj/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* System flags (RFC 9051 2.3.2); the bits are the format's. */
#define MBJ_FLAG_MAP(X)              \
	X(ANSWERED, 0, "\\Answered") \
	X(FLAGGED, 1, "\\Flagged")   \
	X(DELETED, 2, "\\Deleted")   \
	X(SEEN, 3, "\\Seen")         \
	X(DRAFT, 4, "\\Draft")

enum mbj_flag {
#define X(name, bit, word) MBJ_FLAG_##name = 1 << (bit),
	MBJ_FLAG_MAP(X)
#undef X
		MBJ_FLAGS_ALL = 0x1f
};

/* HIGHESTMODSEQ of a mailbox in which nothing has happened. */
enum { MBJ_MODSEQ_FIRST = 1 };
/* RFC 7162 3.1: 63 bits. */
#define MBJ_MODSEQ_MAX ((uint64_t)INT64_MAX)
/* The last UID is one less: UIDNEXT must be a UID (RFC 9051 2.3.1.1). */
#define MBJ_UIDNEXT_MAX UINT32_MAX

struct mbj_message {
	uint32_t uid;
	uint8_t flags;		   /* enum mbj_flag */
	uint64_t size;		   /* RFC822.SIZE, bytes of the blob */
	int64_t time;		   /* INTERNALDATE, seconds since 1970, UTC */
	uint64_t modseq;	   /* of its last change */
	struct mbj_hash blob;	   /* SHA-256 of its bytes */
	struct mbj_bytes keywords; /* as mbj_keywords_are_good wants them */
	struct mbj_bytes guid;	   /* as mbj_guid_is_good wants it; or empty */
};

/* The series that began in mailbox as its birth-th, from 0. */
struct mbj_series {
	struct mbj_id mailbox;
	uint32_t birth;
};

struct mbj_content {
	uint64_t rev;	  /* changes of it, plus 1 */
	uint32_t births;  /* series begun here, beyond the first */
	uint32_t uidnext; /* above every UID that was ever used */
	uint64_t modseq;  /* HIGHESTMODSEQ */
	struct mbj_series series;
	uint64_t message_count;
	uint64_t message_size; /* sum of their sizes */
	struct mbj_digest digest;
};

/* ----------------------------------------------------------------- GUIDs */

/*
 * What the mail storage that a message came from knows it by, for a replica's
 * to know it by, too: Dovecot's GUID (a file's name in a Maildir, 32
 * hexadecimal digits else).  Opaque: nothing is looked up by it, and it need
 * not be unique.  It is the message's own, not its bytes': copies that have
 * another one are told so.
 */
enum { MBJ_GUID_MAX = 255 };

/* 1 to MBJ_GUID_MAX printable characters of ASCII, no space among them. */
MBJ_API bool mbj_guid_is_good(struct mbj_bytes guid);

/* -------------------------------------------------------------- UID sets */

/*
 * A UID set: pairs of u32 little-endian, first and last, ascending, with a
 * gap between one range and the next: one set has one form.
 */
enum { MBJ_UID_RANGE_SIZE = 8 };

struct mbj_uid_range {
	uint32_t first;
	uint32_t last;
};

MBJ_API bool mbj_uids_are_good(struct mbj_bytes uids);
MBJ_API size_t mbj_uids_count(struct mbj_bytes uids); /* ranges */
MBJ_API struct mbj_uid_range mbj_uids_get(struct mbj_bytes uids, size_t index);
/*
 * Append a range behind what is there, melting into it where it touches.
 * Requires: first is not below the last range's first.
 */
MBJ_API void mbj_uids_put(struct mbj_buf *uids, uint32_t first, uint32_t last);
/*
 * Text as IMAP writes it (RFC 9051 sequence-set): "1:4,7,9:*".  * is last.
 * Ranges may come in any order and overlap.  Returns: MBJ_EINVALID naming what
 * is wrong, MBJ_ELIMIT beyond MBJ_UID_RANGES_MAX ranges, MBJ_ENOMEM.
 */
MBJ_API enum mbj_rc mbj_uids_parse(struct mbj_bytes text, uint32_t last,
				   struct mbj_buf *ret_uids,
				   struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_uids_print(struct mbj_buf *buf, struct mbj_bytes uids);

/* -------------------------------------------------------------- keywords */

/*
 * Keywords of a message: each of them bytes of an atom (RFC 9051), 1 to
 * MBJ_KEYWORD_MAX, then NUL; ascending and different without regard to the
 * case of ASCII letters (RFC 9051 2.3.2); together at most MBJ_KEYWORDS_MAX.
 */
MBJ_API bool mbj_keywords_are_good(struct mbj_bytes keywords);
MBJ_API bool mbj_keyword_is_good(struct mbj_bytes keyword);
/* Cut the first off; the rest is what *keywords becomes.  False: no more. */
MBJ_API bool mbj_keywords_next(struct mbj_bytes *keywords,
			       struct mbj_bytes *ret_keyword);
/* In the table's spelling, NULL for no single system flag. */
MBJ_API const char *mbj_flag_name(enum mbj_flag flag);
/* Without regard to case; 0 where there is no such system flag. */
MBJ_API uint8_t mbj_flag_find(struct mbj_bytes word);

enum mbj_flag_mode {
	MBJ_FLAGS_ADD = 1,
	MBJ_FLAGS_REMOVE = 2,
	MBJ_FLAGS_REPLACE = 3,
};

/*
 * What mode makes of before and change, appended to ret_keywords: of a keyword
 * in both, the spelling before stays.
 */
MBJ_API void mbj_keywords_change(struct mbj_bytes before,
				 struct mbj_bytes change,
				 enum mbj_flag_mode mode,
				 struct mbj_buf *ret_keywords);

/* --------------------------------------------------------------- reading */

/* Also of a mailbox without a record; never MBJ_ENOTFOUND. */
enum mbj_rc mbj_txn_content_get(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_id mailbox,
				struct mbj_content *ret_content,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* MBJ_ENOTFOUND leaves err alone.  Borrowed as of mbj_txn_*_get. */
enum mbj_rc mbj_txn_message_get(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_series series, uint32_t uid,
				struct mbj_message *ret_message,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* Messages of a series from UID first on, ascending. */
enum mbj_rc mbj_scan_messages(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_series series, uint32_t first,
			      struct mbj_scan *ret_scan,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_scan_next_message(struct mbj_scan *scan,
				  struct mbj_message *ret_message,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/* Expunges of a mailbox in the order in which they happened (RFC 7162). */
struct mbj_vanished {
	uint64_t modseq;
	struct mbj_bytes uids; /* some may not have been there */
};
enum mbj_rc mbj_scan_vanished(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_id mailbox, struct mbj_scan *ret_scan,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_scan_next_vanished(struct mbj_scan *scan,
				   struct mbj_vanished *ret_vanished,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * What went behind that modseq, joined, as ranges like those of a set, of which
 * there may be more; into ret_uids, which is empty.  !*ret_is_whole: some of it
 * may be forgotten (MBJ_VANISHED_REVS).  Returns: MBJ_ELIMIT, too many ranges.
 */
enum mbj_rc mbj_txn_vanished(struct mbj_txn *txn, struct mbj_id account,
			     struct mbj_id mailbox, uint64_t modseq,
			     struct mbj_buf *ret_uids, bool *ret_is_whole,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* The size of a blob that the state knows nothing of. */
#define MBJ_BLOB_UNKNOWN UINT64_MAX
/*
 * Messages with this digest in the whole store, and their size: as long as the
 * state remembers the digest every one of them has that size.
 */
enum mbj_rc mbj_txn_blob_count(struct mbj_txn *txn, const struct mbj_hash *blob,
			       uint64_t *ret_count, uint64_t *ret_size,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * All blobs that the state remembers, or those that are wanted; of these the
 * count is 0.  By digest.
 */
enum mbj_rc mbj_scan_blobs(struct mbj_txn *txn, bool is_wanted_only,
			   struct mbj_scan *ret_scan,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* The same, from a digest on. */
enum mbj_rc mbj_scan_blobs_from(struct mbj_txn *txn, bool is_wanted_only,
				const struct mbj_hash *first,
				struct mbj_scan *ret_scan,
				struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_scan_next_blob(struct mbj_scan *scan, struct mbj_hash *ret_blob,
			       uint64_t *ret_count, uint64_t *ret_size,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* The digest behind this one; false: there is none. */
bool mbj_blob_step(struct mbj_hash *blob);

/* ------------------------------------------------------------- mutations */

/* Note that a blob could not be fetched, or that it has been. */
enum mbj_rc mbj_txn_blob_want(struct mbj_txn *txn, const struct mbj_hash *blob,
			      uint64_t size, bool is_wanted,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* Drop the record of a blob that no message has; its file is the caller's. */
enum mbj_rc mbj_txn_blob_forget(struct mbj_txn *txn,
				const struct mbj_hash *blob,
				struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * As all mutations of mbj/state.h: what does not fit is MBJ_ECONFLICT and
 * changes nothing.  rev is the content's revision before.
 */

/* Requires: uid >= UIDNEXT, modseq >= HIGHESTMODSEQ, sizes of a blob agree. */
enum mbj_rc mbj_txn_message_append(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_id mailbox, uint64_t rev,
				   const struct mbj_message *message,
				   struct mbj_error *err) MBJ_MUST_CHECK;
struct mbj_flags_change {
	struct mbj_bytes uids; /* those of them that are there */
	enum mbj_flag_mode mode;
	uint8_t flags;
	struct mbj_bytes keywords;
	uint64_t modseq;
};
enum mbj_rc mbj_txn_message_flags(struct mbj_txn *txn, struct mbj_id account,
				  struct mbj_id mailbox, uint64_t rev,
				  const struct mbj_flags_change *change,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Its GUID from now on; no modseq rises, since clients see none of it.  Nothing
 * of a message that is not there.
 */
enum mbj_rc mbj_txn_message_guid(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_id mailbox, uint64_t rev,
				 uint32_t uid, struct mbj_bytes guid,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * How many messages that would change.  Returns also what the change would:
 * MBJ_ECONFLICT names the message whose keywords would be too many.
 */
enum mbj_rc mbj_txn_message_flags_count(struct mbj_txn *txn,
					struct mbj_id account,
					struct mbj_id mailbox,
					const struct mbj_flags_change *change,
					uint64_t *ret_count,
					struct mbj_error *err) MBJ_MUST_CHECK;
/* Those of uids that are there; lsn is noted where a blob's count ends. */
enum mbj_rc mbj_txn_message_expunge(struct mbj_txn *txn, struct mbj_id account,
				    struct mbj_id mailbox, uint64_t rev,
				    struct mbj_bytes uids, uint64_t modseq,
				    struct mbj_lsn lsn,
				    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Everything in mailbox goes to target, which never held a message: UIDs stay,
 * mailbox keeps UIDNEXT and notes all that it had as vanished.  Constant cost.
 */
enum mbj_rc mbj_txn_message_take_all(struct mbj_txn *txn, struct mbj_id account,
				     struct mbj_id mailbox, uint64_t rev,
				     struct mbj_id target, uint64_t modseq,
				     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Remove at most records_max records of what deleted mailboxes left behind.
 * Local: no group says so, no digest changes.  *ret_is_done: nothing is left.
 * lsn as for mbj_txn_message_expunge.
 */
enum mbj_rc mbj_txn_reap(struct mbj_txn *txn, size_t records_max,
			 struct mbj_lsn lsn, bool *ret_is_done,
			 struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
