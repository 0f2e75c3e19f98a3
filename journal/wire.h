/*
 * The bytes between a client and the service (docs/FORMAT.md, "Service").
 *
 * A frame is a head of WIRE_HEAD_SIZE bytes and a body.  What a body has
 * follows from its kind alone: one table gives each kind its fields, asked and
 * answered, and the most that its bodies may have.  Pure: no sockets, no
 * store, no clock.
 *
 * Bytes are hostile.  What is wrong is MBJ_ECORRUPT (or MBJ_EUNSUPPORTED,
 * MBJ_ELIMIT) naming the field; a count is believed only as far as bytes for
 * it are there.  One message has one form: decoded and encoded again it is the
 * same bytes.
 *
 * Threads: pure functions.
 */
#ifndef MBJ_WIRE_H
#define MBJ_WIRE_H

#include <mbj/attribute.h>
#include <mbj/codec.h>
#include <mbj/collect.h>
#include <mbj/intent.h>
#include <mbj/message.h>
#include <mbj/status.h>
#include <mbj/store.h>
#include <mbj/survey.h>
#include <mbj/trim.h>

enum {
	WIRE_VERSION = 6,
	WIRE_VERSION_LOWEST = 1,
	WIRE_VERSION_COUNTED = 2,   /* the first to count a status's numbers */
	WIRE_VERSION_BLOB_LAST = 2, /* the first to have it */
	WIRE_VERSION_TAKE = 3,	    /* and ENTER and BEGIN */
	WIRE_VERSION_CHAIN = 3,
	WIRE_VERSION_REASON = 4, /* the first to have it at a status's end */
	WIRE_VERSION_BODY = 5,	 /* the first to have SUBMIT_BODY */
	WIRE_VERSION_GUID = 5,	 /* the first to have GUIDs of messages */
	WIRE_VERSION_VANISHED = 6,
	WIRE_HEAD_SIZE = 16,
	/* A piece of a message's bytes. */
	WIRE_PIECE_MAX = 256 << 10,
	/* A path or a name as a user gave it: it is judged by the service. */
	WIRE_TEXT_MAX = 1 << 20,
	WIRE_PATH_MAX = 4 * MBJ_PATH_MAX,
	/* Bodies of most kinds, of an edit, of a list. */
	WIRE_SMALL_MAX = 4 << 10,
	WIRE_EDIT_MAX = 64 << 20,
	WIRE_OUTCOME_MAX = 192 << 20,
	WIRE_LIST_MAX = 256 << 20,
	/* Digests of a request for whole messages, bytes of their list. */
	WIRE_DIGESTS_MAX = 256,
	WIRE_BLOBS_MAX = 1 << 20,
};

/* X(name, bit, what it holds): in the order in which a body has them. */
#define WIRE_FIELD_MAP(X)                                              \
	X(VERSIONS, 0, "magic, lowest and highest version spoken")     \
	X(WELCOME, 1, "version, rights, process, identity, directory") \
	X(NAME, 2, "an account's name")                                \
	X(PATH, 3, "a mailbox's path; whether its last UID is wanted") \
	X(RANGE, 4, "account, mailbox, revision, first UID, how many") \
	X(EDIT, 5, "a compound edit, all of it")                       \
	X(OUTCOME, 6, "its outcome, all of it")                        \
	X(ACCOUNT, 7, "an account's record")                           \
	X(MAILBOX, 8, "a mailbox's record, its last UID")              \
	X(CONTENT, 9, "what a mailbox holds, in numbers")              \
	X(DIGEST, 10, "SHA-256 of a message's bytes")                  \
	X(SIZE, 11, "how many bytes")                                  \
	X(DATA, 12, "bytes of a message")                              \
	X(LIST, 13, "a number of records")                             \
	X(STATUS, 14, "what the service says of itself and its store") \
	X(KEEP, 15, "what a trim leaves there")                        \
	X(SNAPSHOT, 16, "what a snapshot came to")                     \
	X(TRIM, 17, "what a trim came to")                             \
	X(DRY_RUN, 18, "whether nothing is to be changed")             \
	X(COLLECTED, 19, "what a collection came to")                  \
	X(WAIT, 20, "a group, by how many to be received, how long")   \
	X(RECEIVED, 21, "how many replicas have received it")          \
	X(SURVEY, 22, "a question about records, all of it")           \
	X(SURVEYED, 23, "its answer, all of it")                       \
	X(LSN, 24, "a group's LSN")                                    \
	X(CHAIN, 25, "the journal's ends, its chain value at a group") \
	X(PRODUCER, 26, "whose open intents count, nobody: all")       \
	X(SINCE, 27, "account, mailbox, a modseq")                     \
	X(WHOLE, 28, "whether nothing of it may be forgotten")

enum wire_field {
#define X(name, bit, what) WIRE_HAS_##name = 1 << (bit),
	WIRE_FIELD_MAP(X)
#undef X
		WIRE_HAS_NONE = 0
};

/*
 * X(name, number, word, fields asked, most bytes, fields answered, most
 * bytes).  Numbers stay what they are.
 */
#define WIRE_KIND_MAP(X)                                                       \
	X(HELLO, 1, "hello", WIRE_HAS_VERSIONS, WIRE_SMALL_MAX,                \
	  WIRE_HAS_WELCOME, WIRE_SMALL_MAX)                                    \
	X(SUBMIT, 2, "submit", WIRE_HAS_EDIT, WIRE_EDIT_MAX, WIRE_HAS_OUTCOME, \
	  WIRE_OUTCOME_MAX)                                                    \
	X(ACCOUNT, 3, "account", WIRE_HAS_NAME, WIRE_SMALL_MAX,                \
	  WIRE_HAS_ACCOUNT, WIRE_SMALL_MAX)                                    \
	X(ACCOUNTS, 4, "accounts", WIRE_HAS_NONE, 0, WIRE_HAS_LIST,            \
	  WIRE_LIST_MAX)                                                       \
	X(MAILBOX, 5, "mailbox", WIRE_HAS_NAME | WIRE_HAS_PATH,                \
	  WIRE_PATH_MAX + WIRE_SMALL_MAX,                                      \
	  WIRE_HAS_ACCOUNT | WIRE_HAS_MAILBOX | WIRE_HAS_CONTENT,              \
	  WIRE_SMALL_MAX)                                                      \
	X(TREE, 6, "tree", WIRE_HAS_NAME, WIRE_SMALL_MAX,                      \
	  WIRE_HAS_ACCOUNT | WIRE_HAS_LIST, WIRE_LIST_MAX)                     \
	X(MESSAGES, 7, "messages", WIRE_HAS_RANGE, WIRE_SMALL_MAX,             \
	  WIRE_HAS_CONTENT | WIRE_HAS_LIST, WIRE_LIST_MAX)                     \
	X(BLOB_OPEN, 8, "blob-open", WIRE_HAS_DIGEST, WIRE_SMALL_MAX,          \
	  WIRE_HAS_SIZE, WIRE_SMALL_MAX)                                       \
	X(BLOB_READ, 9, "blob-read", WIRE_HAS_SIZE, WIRE_SMALL_MAX,            \
	  WIRE_HAS_DATA, WIRE_PIECE_MAX + WIRE_SMALL_MAX)                      \
	X(BLOB_WRITE, 10, "blob-write", WIRE_HAS_DATA,                         \
	  WIRE_PIECE_MAX + WIRE_SMALL_MAX, WIRE_HAS_NONE, 0)                   \
	X(BLOB_FINISH, 11, "blob-finish", WIRE_HAS_NONE, 0,                    \
	  WIRE_HAS_DIGEST | WIRE_HAS_SIZE, WIRE_SMALL_MAX)                     \
	X(BLOB_ABORT, 12, "blob-abort", WIRE_HAS_NONE, 0, WIRE_HAS_NONE, 0)    \
	X(STATUS, 13, "status", WIRE_HAS_NONE, 0, WIRE_HAS_STATUS,             \
	  WIRE_LIST_MAX)                                                       \
	X(STOP, 14, "stop", WIRE_HAS_NONE, 0, WIRE_HAS_NONE, 0)                \
	X(ATTRS, 15, "attributes", WIRE_HAS_NAME | WIRE_HAS_PATH,              \
	  WIRE_PATH_MAX + WIRE_SMALL_MAX,                                      \
	  WIRE_HAS_ACCOUNT | WIRE_HAS_MAILBOX | WIRE_HAS_LIST, WIRE_LIST_MAX)  \
	X(SUBSCRIPTIONS, 16, "subscriptions", WIRE_HAS_NAME, WIRE_SMALL_MAX,   \
	  WIRE_HAS_ACCOUNT | WIRE_HAS_LIST, WIRE_LIST_MAX)                     \
	X(INTENTS, 17, "intents", WIRE_HAS_NAME, WIRE_SMALL_MAX,               \
	  WIRE_HAS_LIST, WIRE_LIST_MAX)                                        \
	X(SNAPSHOT, 18, "snapshot", WIRE_HAS_NONE, 0, WIRE_HAS_SNAPSHOT,       \
	  WIRE_SMALL_MAX)                                                      \
	X(TRIM, 19, "trim", WIRE_HAS_KEEP, WIRE_SMALL_MAX, WIRE_HAS_TRIM,      \
	  WIRE_SMALL_MAX)                                                      \
	X(COLLECT, 20, "collect", WIRE_HAS_DRY_RUN, WIRE_SMALL_MAX,            \
	  WIRE_HAS_COLLECTED, WIRE_SMALL_MAX)                                  \
	X(RECEIVED, 21, "received", WIRE_HAS_WAIT, WIRE_SMALL_MAX,             \
	  WIRE_HAS_RECEIVED, WIRE_SMALL_MAX)                                   \
	X(SURVEY, 22, "survey", WIRE_HAS_SURVEY, MBJ_SURVEY_QUESTION_MAX,      \
	  WIRE_HAS_SURVEYED, MBJ_SURVEY_ANSWER_MAX)                            \
	X(BLOBS, 23, "blobs", WIRE_HAS_LIST,                                   \
	  WIRE_DIGESTS_MAX *MBJ_HASH_SIZE + WIRE_SMALL_MAX, WIRE_HAS_LIST,     \
	  WIRE_BLOBS_MAX + WIRE_SMALL_MAX)                                     \
	X(CONTENTS, 24, "contents", WIRE_HAS_NAME, WIRE_SMALL_MAX,             \
	  WIRE_HAS_ACCOUNT | WIRE_HAS_LIST, WIRE_LIST_MAX)                     \
	X(BLOB_LAST, 25, "blob-last", WIRE_HAS_DATA,                           \
	  WIRE_PIECE_MAX + WIRE_SMALL_MAX, WIRE_HAS_DIGEST | WIRE_HAS_SIZE,    \
	  WIRE_SMALL_MAX)                                                      \
	X(TAKE, 26, "take", WIRE_HAS_EDIT | WIRE_HAS_DATA, WIRE_EDIT_MAX,      \
	  WIRE_HAS_NONE, 0)                                                    \
	X(CHAIN, 27, "chain", WIRE_HAS_LSN, WIRE_SMALL_MAX, WIRE_HAS_CHAIN,    \
	  WIRE_SMALL_MAX)                                                      \
	X(ENTER, 29, "enter", WIRE_HAS_NAME | WIRE_HAS_PRODUCER,               \
	  WIRE_SMALL_MAX, WIRE_HAS_ACCOUNT | WIRE_HAS_LIST, WIRE_LIST_MAX)     \
	X(BEGIN, 30, "begin", WIRE_HAS_PATH | WIRE_HAS_EDIT, WIRE_EDIT_MAX,    \
	  WIRE_HAS_OUTCOME | WIRE_HAS_ACCOUNT | WIRE_HAS_MAILBOX |             \
		  WIRE_HAS_CONTENT,                                            \
	  WIRE_OUTCOME_MAX)                                                    \
	X(SUBMIT_BODY, 31, "submit-body", WIRE_HAS_EDIT | WIRE_HAS_DATA,       \
	  WIRE_EDIT_MAX, WIRE_HAS_OUTCOME, WIRE_OUTCOME_MAX)                   \
	X(VANISHED, 32, "vanished", WIRE_HAS_SINCE, WIRE_SMALL_MAX,            \
	  WIRE_HAS_CONTENT | WIRE_HAS_LIST | WIRE_HAS_WHOLE, WIRE_LIST_MAX)

enum wire_kind {
#define X(name, number, word, asked, asked_max, answered, answered_max) \
	WIRE_##name = (number),
	WIRE_KIND_MAP(X)
#undef X
		WIRE_KIND_LAST = WIRE_VANISHED
};

/* Whose body it is. */
enum wire_side {
	WIRE_REQUEST = 0,
	WIRE_ANSWER = 1,
	WIRE_REFUSAL = 2, /* an answer that is an error, of any kind */
};

struct wire_head {
	enum wire_kind kind;
	enum wire_side side;
	uint64_t number; /* the client's, repeated in the answer */
	uint32_t size;	 /* bytes of the body */
};

const char *wire_kind_word(enum wire_kind kind);
/* The most bytes that a body may have. */
size_t wire_size_max(enum wire_kind kind, enum wire_side side);

void wire_head_encode(const struct wire_head *head,
		      uint8_t bytes[WIRE_HEAD_SIZE]);
/*
 * Returns: MBJ_ECORRUPT (no such kind or side), MBJ_ELIMIT (more bytes than
 * that kind may have), before anything is allocated for them.
 */
enum mbj_rc wire_head_decode(const uint8_t bytes[WIRE_HEAD_SIZE],
			     struct wire_head *ret_head,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * It keeps house: for the service's user and root alone, and the answer takes
 * as long as that takes.
 */
static inline bool wire_kind_is_house(enum wire_kind kind)
{
	return kind == WIRE_SNAPSHOT || kind == WIRE_TRIM ||
	       kind == WIRE_COLLECT;
}

/*
 * It carries an edit out: an answer of it is not put off, and it is asked again
 * where that is known by its request id.
 */
static inline bool wire_kind_is_edit(enum wire_kind kind)
{
	return kind == WIRE_SUBMIT || kind == WIRE_SUBMIT_BODY ||
	       kind == WIRE_BEGIN || kind == WIRE_TAKE;
}

/* What is to be received, by how many replicas, within which time. */
struct wire_wait {
	struct mbj_lsn lsn;
	uint32_t replicas;
	uint32_t ms;
};

/* Who answers. */
struct wire_welcome {
	uint16_t version;
	bool is_owner; /* the client may stop the service */
	uint64_t process;
	struct mbj_identity identity;
	struct mbj_bytes dir;
};

/* What a body says; members that its kind has not are as they were. */
struct wire_message {
	/* That both sides speak, 0: this build's.  Before encoding, decoding.
	 */
	uint16_t version;
	uint16_t version_lowest;
	uint16_t version_highest;
	bool is_last_wanted;
	bool is_dry_run;
	bool is_whole;
	struct wire_welcome welcome;
	struct mbj_bytes name;
	struct mbj_bytes path;
	struct mbj_id account_id;
	struct mbj_id mailbox_id;
	union {
		uint64_t rev;	 /* RANGE: of the content, 0: any */
		uint64_t modseq; /* SINCE */
	};
	uint32_t uid;
	uint32_t limit;
	struct mbj_edit edit; /* PRODUCER: its producer alone */
	struct mbj_outcome outcome;
	struct mbj_account account;
	struct mbj_mailbox mailbox;
	uint32_t last_uid;
	uint32_t count; /* records in list */
	struct mbj_content content;
	struct mbj_hash digest;
	uint64_t size;
	struct mbj_bytes data;
	struct mbj_bytes list;
	struct mbj_client_status status;
	struct mbj_trim_options keep;
	union { /* no kind has two of these */
		struct mbj_snapshot_result snapshot;
		struct mbj_trim_result trim;
		struct mbj_collect_result collected;
	};
	struct wire_wait wait;
	uint32_t received; /* by so many replicas */
	struct mbj_lsn lsn;
	struct mbj_chain_at chain_at;
	struct mbj_bytes survey; /* question or answer, which can be decoded */
};

/*
 * Append a body.  Where it cannot be said (a text over its limit), the
 * buffer's failure says so: mbj_buf_ok is MBJ_ELIMIT.
 */
void wire_encode(struct mbj_buf *buf, enum wire_kind kind, enum wire_side side,
		 const struct wire_message *message);
/*
 * Decode the whole of a body.  Byte strings are borrowed from it, arrays are in
 * arena; of an outcome and a status the caller frees what is theirs
 * (mbj_outcome_done, mbj_client_status_done), also after a failure.
 * Requires: *ret_message is zero but for its version, side is no WIRE_REFUSAL.
 */
enum mbj_rc wire_decode(struct mbj_bytes body, enum wire_kind kind,
			enum wire_side side, struct mbj_arena *arena,
			struct wire_message *ret_message,
			struct mbj_error *err) MBJ_MUST_CHECK;

/* An error, as it is: all that struct mbj_error holds. */
void wire_error_encode(struct mbj_buf *buf, const struct mbj_error *error);
/*
 * What a peer calls an error becomes ours; an unknown code is MBJ_ECORRUPT.
 * Never MBJ_OK.
 */
enum mbj_rc wire_error_decode(struct mbj_bytes body,
			      struct mbj_error *ret_error);

/* ------------------------------------------------------ fields and records */

/* Static word for one that came over the wire, NULL for an unknown one. */
const char *wire_word_find(struct mbj_bytes word);

void wire_text_encode(struct mbj_buf *buf, struct mbj_bytes text, size_t max);
void wire_edit_encode(struct mbj_buf *buf, const struct mbj_edit *edit);
enum mbj_rc wire_edit_decode(struct mbj_reader *reader, struct mbj_arena *arena,
			     struct mbj_edit *ret_edit,
			     struct mbj_error *err) MBJ_MUST_CHECK;
void wire_outcome_encode(struct mbj_buf *buf,
			 const struct mbj_outcome *outcome);
enum mbj_rc wire_outcome_decode(struct mbj_reader *reader,
				struct mbj_outcome *ret_outcome,
				struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * version: as of a message.  A status of another build has more or fewer
 * numbers, and says how many: those that both know are taken, the rest is 0.
 * Returns: also MBJ_EUNSUPPORTED, it has fewer than ever there were.
 */
void wire_status_encode(struct mbj_buf *buf, uint16_t version,
			const struct mbj_client_status *status);
enum mbj_rc wire_status_decode(struct mbj_reader *reader, uint16_t version,
			       struct mbj_client_status *ret_status,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* A copy of it, unless it is empty. */
enum mbj_rc wire_reason_set(struct mbj_client_status *status,
			    const char *reason,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* A text of ours, for an array of MBJ_ERROR_MESSAGE_MAX bytes. */
bool wire_message_read(struct mbj_reader *reader, char *ret_text);
void wire_keep_encode(struct mbj_buf *buf,
		      const struct mbj_trim_options *options);
enum mbj_rc wire_keep_decode(struct mbj_reader *reader,
			     struct mbj_trim_options *ret_options,
			     struct mbj_error *err) MBJ_MUST_CHECK;
void wire_snapshot_encode(struct mbj_buf *buf,
			  const struct mbj_snapshot_result *result);
enum mbj_rc wire_snapshot_decode(struct mbj_reader *reader,
				 struct mbj_snapshot_result *ret_result,
				 struct mbj_error *err) MBJ_MUST_CHECK;
void wire_trim_encode(struct mbj_buf *buf,
		      const struct mbj_trim_result *result);
enum mbj_rc wire_trim_decode(struct mbj_reader *reader,
			     struct mbj_trim_result *ret_result,
			     struct mbj_error *err) MBJ_MUST_CHECK;
void wire_collected_encode(struct mbj_buf *buf,
			   const struct mbj_collect_result *result);
enum mbj_rc wire_collected_decode(struct mbj_reader *reader,
				  struct mbj_collect_result *ret_result,
				  struct mbj_error *err) MBJ_MUST_CHECK;
void wire_identity_encode(struct mbj_buf *buf,
			  const struct mbj_identity *identity);
enum mbj_rc wire_identity_decode(struct mbj_reader *reader,
				 struct mbj_identity *ret_identity,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/* Records of lists and bodies; those that are decoded borrow. */
void wire_account_encode(struct mbj_buf *buf,
			 const struct mbj_account *account);
enum mbj_rc wire_account_decode(struct mbj_reader *reader,
				struct mbj_account *ret_account,
				struct mbj_error *err) MBJ_MUST_CHECK;
void wire_mailbox_encode(struct mbj_buf *buf,
			 const struct mbj_mailbox *mailbox);
enum mbj_rc wire_mailbox_decode(struct mbj_reader *reader,
				struct mbj_mailbox *ret_mailbox,
				struct mbj_error *err) MBJ_MUST_CHECK;
void wire_content_encode(struct mbj_buf *buf,
			 const struct mbj_content *content);
enum mbj_rc wire_content_decode(struct mbj_reader *reader,
				struct mbj_content *ret_content,
				struct mbj_error *err) MBJ_MUST_CHECK;
void wire_message_encode(struct mbj_buf *buf,
			 const struct mbj_message *message);
enum mbj_rc wire_message_decode(struct mbj_reader *reader,
				struct mbj_message *ret_message,
				struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * A node of a tree, parents first: parent is the place of its parent among
 * them, or MBJ_NODE_ROOT.
 */
void wire_node_encode(struct mbj_buf *buf, const struct mbj_node *node);
enum mbj_rc wire_node_decode(struct mbj_reader *reader,
			     struct mbj_node *ret_node,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/* Of the mailbox that the answer names: without its id. */
void wire_attr_encode(struct mbj_buf *buf, const struct mbj_attr *attr);
enum mbj_rc wire_attr_decode(struct mbj_reader *reader,
			     struct mbj_attr *ret_attr,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* A subscribed name. */
void wire_path_encode(struct mbj_buf *buf, const struct mbj_path *path);
enum mbj_rc wire_path_decode(struct mbj_reader *reader,
			     struct mbj_path *ret_path,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/* An open intent, and the name of its account. */
void wire_intent_encode(struct mbj_buf *buf,
			const struct mbj_client_intent *intent);
enum mbj_rc wire_intent_decode(struct mbj_reader *reader,
			       struct mbj_client_intent *ret_intent,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* Failures of decoders. */
static inline enum mbj_rc wire_bad(struct mbj_error *err, const char *what)
{
	(void)mbj_error_set(err, MBJ_ECORRUPT, "a frame's %s cannot be read",
			    what);
	return MBJ_ECORRUPT;
}
/* 0 or 1; anything else fails the reader. */
bool wire_read_bool(struct mbj_reader *reader);
struct mbj_hash wire_read_hash(struct mbj_reader *reader);
void wire_put_hash(struct mbj_buf *buf, const struct mbj_hash *hash);

#endif
