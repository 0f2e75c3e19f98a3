/*
 * What the records of an account sum to, range by range: how two states that
 * are far from each other are compared, and where they differ.
 *
 * All records that are in an account's digest, and its messages, have one
 * order: by section, and within one by key.  A *place* is a section and a key.
 * A survey goes through the records between two places in one snapshot and
 * says what they sum to; sums are order-free (mbj/digest.h), so those of ranges
 * that touch add up.  How many records one question may read is bounded; the
 * answer says how far it came.
 *
 * Codec of questions and answers: bytes are hostile; one question and one
 * answer have one form.
 *
 * Threads: as of a transaction; the codec is pure.
 */
#ifndef MBJ_SURVEY_H
#define MBJ_SURVEY_H

#include <mbj/codec.h>
#include <mbj/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * X(name, number, least, most): in the order of places; bytes that a key there
 * has.  Of attributes MAILBOXID or ROOT, kind and name, of messages the
 * MAILBOXID that has it and UID big-endian.
 */
#define MBJ_SURVEY_SECTION_MAP(X)                                              \
	X(ACCOUNT, 1, 0, 0)			   /* no key */                \
	X(MAILBOXES, 2, MBJ_ID_SIZE, MBJ_ID_SIZE)  /* MAILBOXID */             \
	X(SUBSCRIPTIONS, 3, 1, 3 * MBJ_PATH_MAX)   /* key of a path */         \
	X(FLOORS, 4, MBJ_HASH_SIZE, MBJ_HASH_SIZE) /* of a name */             \
	X(ATTRIBUTES, 5, MBJ_ID_SIZE + 2, MBJ_ID_SIZE + 1 + MBJ_ATTR_NAME_MAX) \
	X(CONTENTS, 6, MBJ_ID_SIZE, MBJ_ID_SIZE) /* MAILBOXID */               \
	X(INTENTS, 7, MBJ_ID_SIZE, MBJ_ID_SIZE)	 /* its id */                  \
	X(MESSAGES, 8, MBJ_ID_SIZE + 4, MBJ_ID_SIZE + 4)

enum mbj_survey_section {
#define X(name, number, least, most) MBJ_SURVEY_##name = (number),
	MBJ_SURVEY_SECTION_MAP(X)
#undef X
};

enum {
	/* Records that one question may read, summed, or one by one. */
	MBJ_SURVEY_LIMIT_MAX = 1 << 18,
	MBJ_SURVEY_EACH_MAX = 4096,
	/* A record counts once more for each so many bytes that it has. */
	MBJ_SURVEY_RECORD_SIZE = 4096,
	/* Section and key: the longest is that of a subscription. */
	MBJ_SURVEY_PLACE_MAX = 192 << 10,
	/* Bytes of entries after which no other one begins. */
	MBJ_SURVEY_ENTRIES_SIZE = 256 << 10,
	/* Of a path and of a text, escaped, cut to that. */
	MBJ_SURVEY_TEXT_MAX = 512,
	/* A question, an answer, as bytes. */
	MBJ_SURVEY_QUESTION_MAX = 2 * MBJ_SURVEY_PLACE_MAX + 64,
	/* The last entry, two places and what is around them beside those. */
	MBJ_SURVEY_ANSWER_MAX = 644 << 10,
};

/* X(name, number, what) */
#define MBJ_SURVEY_KIND_MAP(X)                                              \
	X(LIST, 1, "accounts behind one: an entry each, its id and digest") \
	X(SUMS, 2, "what records of an account sum to")                     \
	X(EACH, 3, "the same, and an entry for each")                       \
	X(SHOW, 4, "one record, for people to read")

enum mbj_survey_kind {
#define X(name, number, what) MBJ_SURVEY_##name = (number),
	MBJ_SURVEY_KIND_MAP(X)
#undef X
};

struct mbj_survey_question {
	enum mbj_survey_kind kind;
	struct mbj_id account;	/* LIST: those behind it, ROOT: all */
	struct mbj_bytes from;	/* records behind that place, empty: all;
				   SHOW: that place; LIST: empty */
	struct mbj_bytes until; /* the last place, empty: no last one */
	uint32_t limit;		/* records, at least 1: large ones count more */
};

/*
 * Byte strings of one that was decoded are borrowed; those of one that is
 * encoded are the caller's.
 */
struct mbj_survey_answer {
	struct mbj_watermark watermark; /* of the snapshot */
	bool is_there;			/* the account, or the record */
	bool is_parked;
	bool is_skipped; /* groups of it were given up: it differs, knowingly */
	bool is_whole;	 /* up to until, or to the end */
	struct mbj_lsn lsn;	   /* the last group that named the account */
	struct mbj_digest digest;  /* its own, as it is recorded */
	struct mbj_bytes name;	   /* of the account */
	struct mbj_bytes reason;   /* why it is parked, or skipped */
	uint32_t count;		   /* records that were read */
	struct mbj_bytes last;	   /* the place up to where, unless is_whole */
	struct mbj_digest records; /* but messages */
	struct mbj_digest messages;
	struct mbj_digest contents; /* what contents say of their messages */
	uint32_t entry_count;
	struct mbj_bytes entries; /* mbj_survey_entry_next */
	struct mbj_bytes path;	  /* of the mailbox that SHOW is about */
	struct mbj_bytes text;
};

struct mbj_survey_entry {
	struct mbj_bytes place; /* of LIST: the account's id */
	struct mbj_digest digest;
};

/* Could a record be there?  Its section has keys of that size. */
bool mbj_survey_place_is_good(struct mbj_bytes place);

/*
 * A place that no record can have is refused, so that whoever answers goes on
 * right behind the one that it is given, and passes over nothing.
 * Returns: MBJ_ECORRUPT naming what; byte strings are borrowed.
 */
enum mbj_rc mbj_survey_question_decode(struct mbj_bytes bytes,
				       struct mbj_survey_question *ret_question,
				       struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_survey_question_encode(struct mbj_buf *buf,
				const struct mbj_survey_question *question);
/* As of questions.  Entries ascend, and all of them can be read. */
enum mbj_rc mbj_survey_answer_decode(struct mbj_bytes bytes,
				     struct mbj_survey_answer *ret_answer,
				     struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_survey_answer_encode(struct mbj_buf *buf,
			      const struct mbj_survey_answer *answer);
void mbj_survey_entry_put(struct mbj_buf *entries,
			  const struct mbj_survey_entry *entry);
/* Cut the first off.  Requires: *entries is of an answer that was decoded. */
bool mbj_survey_entry_next(struct mbj_bytes *entries,
			   struct mbj_survey_entry *ret_entry);

/*
 * Answer it from a snapshot; the answer is appended, encoded.
 * Requires: a question that could be decoded.  An account that is not there is
 * an answer.
 */
enum mbj_rc mbj_txn_survey(struct mbj_txn *txn,
			   const struct mbj_survey_question *question,
			   struct mbj_buf *ret_answer,
			   struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
