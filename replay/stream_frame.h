/*
 * The bytes between a replica and the source that it follows (docs/FORMAT.md,
 * "Stream").
 *
 * A frame is a head of STREAM_HEAD_SIZE bytes and a body; both are under a
 * CRC32C, so that what is damaged on the way is never taken for what was sent.
 * What a body has follows from its kind alone: one table gives each kind who
 * sends it, its fields, and the most that its body may have.  Pure: no
 * descriptors, no store, no clock.
 *
 * The replica asks and the source answers, each question in order:
 *
 *	hello     ->  welcome | fault | paused (from version 3 on)
 *	fetch     ->  groups... , then end | fault; left before the end, where
 *		      more is there (from version 7 on)
 *	contents  ->  for each: piece..., then here | lost
 *	snapshot  ->  offer, piece..., then here | lost; or fault
 *	part      ->  the same, so many bytes of it (from version 2 on)
 *	pace      ->  nothing: no faster than that (from version 3 on)
 *	pack      ->  nothing: groups and pieces may come packed (version 4 on)
 *		      packs: whether they do, and how (from version 6 on)
 *	survey    ->  surveyed | fault (from version 5 on)
 *
 * hello is the first question, and may be the next one after a snapshot: the
 * replica then asks what the source has where the snapshot ends.
 *
 * Bytes are hostile.  What is wrong is MBJ_ECORRUPT (or MBJ_EUNSUPPORTED,
 * MBJ_ELIMIT) naming the field; nothing is allocated for what a frame says it
 * has.  One message has one form: decoded and encoded again it is the same
 * bytes.
 *
 * Threads: pure functions.
 */
#ifndef MBJ_STREAM_FRAME_H
#define MBJ_STREAM_FRAME_H

#include <mbj/codec.h>
#include <mbj/error.h>
#include <mbj/memory.h>
#include <mbj/replicas.h>
#include <mbj/store.h>
#include <mbj/stream.h>
#include <mbj/survey.h>

enum {
	/* Both sides speak all from 1 to this; 2 has part, 3 paused and
	 * pace, 4 pack, 5 survey, 6 packs, 7 left. */
	STREAM_VERSION = 7,
	STREAM_VERSION_PARTS = 2,
	STREAM_VERSION_PAUSED = 3,
	STREAM_VERSION_PACE = 3,
	STREAM_VERSION_PACK = 4,
	STREAM_VERSION_SURVEY = 5,
	STREAM_VERSION_PACKS = 6,
	STREAM_VERSION_LEFT = 7,
	STREAM_HEAD_SIZE = 16,
	STREAM_FRAME_MAX = 1 << 20, /* head and body */
	STREAM_DATA_MAX = STREAM_FRAME_MAX - STREAM_HEAD_SIZE,
	STREAM_PACKED_SIZE = 4,	   /* before the bytes of a packed body */
	STREAM_CONTENTS_MAX = 256, /* asked for at once */
	STREAM_CONTENT_SIZE = MBJ_HASH_SIZE + 8,
	STREAM_WAIT_MAX = 60000,    /* ms that a fetch may wait */
	STREAM_FETCH_MAX = 1 << 24, /* bytes that it may ask for */
	STREAM_SMALL_MAX = 1024,
};

/* X(name, bit, what it holds): in the order in which a body has them. */
#define STREAM_FIELD_MAP(X)                                                 \
	X(VERSIONS, 0, "magic, lowest and highest version spoken")          \
	X(REPLICA, 1,                                                       \
	  "lineage, epoch, applied LSN, chain value there, instance, name") \
	X(SOURCE, 2, "version, identity, last LSN, chain value at replica") \
	X(WANT, 3, "first LSN, bytes, ms to wait, LSNs that are safe")      \
	X(DATA, 4, "bytes")                                                 \
	X(END, 5, "groups and bytes that were sent, the source's last LSN") \
	X(DIGESTS, 6, "a number of SHA-256 and sizes")                      \
	X(ERROR, 7, "an error")                                             \
	X(SNAPSHOT, 8, "LSN of a snapshot, bytes")                          \
	X(PART, 9,                                                          \
	  "lowest and highest LSN of a snapshot, a place in it, bytes")     \
	X(PAUSE, 10, "ms that are left of a pause")                         \
	X(RATE, 11, "bytes a second")                                       \
	X(METHOD, 12, "how to pack: 1, zstd; and its level")                \
	X(SURVEY, 13, "a question about an account's records")              \
	X(SURVEYED, 14, "what they sum to")                                 \
	X(LEVEL, 15, "how the source packs: a level, 0: it does not")       \
	X(LEFT, 16, "bytes behind what is applied, in bulk; exactly or about")

enum stream_field {
#define X(name, bit, what) STREAM_HAS_##name = 1 << (bit),
	STREAM_FIELD_MAP(X)
#undef X
		STREAM_HAS_NONE = 0
};

enum stream_side { STREAM_REPLICA = 0, STREAM_SOURCE = 1 };

/* X(name, number, word, who sends it, fields, most bytes of its body).
 * Numbers stay what they are. */
#define STREAM_KIND_MAP(X)                                                     \
	X(HELLO, 1, "hello", STREAM_REPLICA,                                   \
	  STREAM_HAS_VERSIONS | STREAM_HAS_REPLICA, STREAM_SMALL_MAX)          \
	X(WELCOME, 2, "welcome", STREAM_SOURCE, STREAM_HAS_SOURCE,             \
	  STREAM_SMALL_MAX)                                                    \
	X(FETCH, 3, "fetch", STREAM_REPLICA, STREAM_HAS_WANT,                  \
	  STREAM_SMALL_MAX)                                                    \
	X(GROUPS, 4, "groups", STREAM_SOURCE, STREAM_HAS_DATA,                 \
	  STREAM_DATA_MAX)                                                     \
	X(END, 5, "end", STREAM_SOURCE, STREAM_HAS_END, STREAM_SMALL_MAX)      \
	X(CONTENTS, 6, "contents", STREAM_REPLICA, STREAM_HAS_DIGESTS,         \
	  4 + STREAM_CONTENTS_MAX * STREAM_CONTENT_SIZE)                       \
	X(PIECE, 7, "piece", STREAM_SOURCE, STREAM_HAS_DATA, STREAM_DATA_MAX)  \
	X(HERE, 8, "here", STREAM_SOURCE, STREAM_HAS_NONE, 0)                  \
	X(LOST, 9, "lost", STREAM_SOURCE, STREAM_HAS_ERROR, STREAM_SMALL_MAX)  \
	X(FAULT, 10, "fault", STREAM_SOURCE, STREAM_HAS_ERROR,                 \
	  STREAM_SMALL_MAX)                                                    \
	X(SNAPSHOT, 11, "snapshot", STREAM_REPLICA, STREAM_HAS_SNAPSHOT,       \
	  STREAM_SMALL_MAX)                                                    \
	X(OFFER, 12, "offer", STREAM_SOURCE, STREAM_HAS_SNAPSHOT,              \
	  STREAM_SMALL_MAX)                                                    \
	X(PART, 13, "part", STREAM_REPLICA, STREAM_HAS_PART, STREAM_SMALL_MAX) \
	X(PAUSED, 14, "paused", STREAM_SOURCE, STREAM_HAS_PAUSE,               \
	  STREAM_SMALL_MAX)                                                    \
	X(PACE, 15, "pace", STREAM_REPLICA, STREAM_HAS_RATE, STREAM_SMALL_MAX) \
	X(PACK, 16, "pack", STREAM_REPLICA, STREAM_HAS_METHOD,                 \
	  STREAM_SMALL_MAX)                                                    \
	X(SURVEY, 17, "survey", STREAM_REPLICA, STREAM_HAS_SURVEY,             \
	  MBJ_SURVEY_QUESTION_MAX)                                             \
	X(SURVEYED, 18, "surveyed", STREAM_SOURCE, STREAM_HAS_SURVEYED,        \
	  MBJ_SURVEY_ANSWER_MAX)                                               \
	X(PACKS, 19, "packs", STREAM_SOURCE, STREAM_HAS_LEVEL,                 \
	  STREAM_SMALL_MAX)                                                    \
	X(LEFT, 20, "left", STREAM_SOURCE, STREAM_HAS_LEFT, STREAM_SMALL_MAX)

enum stream_kind {
#define X(name, number, word, side, fields, size_max) STREAM_##name = (number),
	STREAM_KIND_MAP(X)
#undef X
		STREAM_KIND_LAST = STREAM_LEFT
};

/*
 * How a body is.  Only those that are bytes and nothing else are packed: the
 * bytes that they are, which are fewer, behind how many they will be.  What
 * packs them, and remembers what went before, is stream_pack.h's.
 */
enum stream_packing {
	STREAM_PLAIN = 0,
	STREAM_PACKED_ANEW = 1, /* nothing is remembered */
	STREAM_PACKED_ON = 2,	/* it goes on from the packed one before */
};

struct stream_head {
	enum stream_kind kind;
	enum stream_packing packing;
	uint32_t size; /* bytes of the body */
	uint32_t crc;  /* CRC32C of the body */
};

/* What a body says; members that its kind has not are as they were. */
struct stream_message {
	uint16_t version_lowest;
	uint16_t version_highest;
	struct mbj_id lineage; /* ROOT: none yet */
	struct mbj_epoch epoch;
	struct mbj_lsn applied; /* on the replica's disk, with its effects */
	struct mbj_hash chain;	/* at applied; there, as the source has it */
	struct mbj_id instance; /* the replica's */
	struct mbj_bytes name;	/* at most MBJ_REPLICA_NAME_MAX bytes */
	uint16_t version;
	bool has_chain;
	struct mbj_identity identity;
	struct mbj_lsn end; /* the source's last group */
	struct mbj_lsn from;
	uint32_t bytes_max;
	uint32_t wait_ms;
	struct mbj_lsn received; /* on the replica's disk */
	struct mbj_lsn parked;	 /* the oldest group set aside, 0: none */
	struct mbj_bytes data;	 /* never empty */
	uint32_t count;
	uint64_t size;
	struct mbj_bytes contents; /* stream_content_get */
	/*
	 * Asked for: the last group that it may have (0: any), and how many
	 * bytes are here already of the one of exactly that group.  Offered:
	 * its group, and how many bytes it has in all.
	 */
	struct mbj_lsn snapshot;
	/*
	 * Of a part: the newest snapshot from least to snapshot is asked for,
	 * of which size bytes are here; bytes_max of it at most.  Only of one
	 * that is named, least == snapshot, can any be here.
	 */
	struct mbj_lsn least;
	uint64_t paused_ms; /* never 0, at most MBJ_PAUSE_MS_MAX */
	uint64_t rate;	    /* at least MBJ_STREAM_RATE_MIN */
	uint8_t level;	    /* 1 to MBJ_STREAM_LEVEL_MAX; said: or 0 */
	struct mbj_log_behind left;
	struct mbj_bytes survey; /* question or answer, which can be decoded */
	struct mbj_error error;
};

const char *stream_kind_word(enum stream_kind kind);
/* The most bytes that a body may have. */
size_t stream_size_max(enum stream_kind kind);

/* May such a body be packed? */
bool stream_kind_is_packable(enum stream_kind kind);

/* Append a frame.  Requires: message is within the limits. */
void stream_encode(struct mbj_buf *buf, enum stream_kind kind,
		   const struct stream_message *message);
/*
 * Append a packed one: of size bytes, packed are left.
 * Requires: the kind may be; size is at most STREAM_DATA_MAX, and more than the
 * packed ones and STREAM_PACKED_SIZE.
 */
void stream_encode_packed(struct mbj_buf *buf, enum stream_kind kind,
			  enum stream_packing packing, uint32_t size,
			  struct mbj_bytes packed);
/*
 * Returns: MBJ_ECORRUPT (its CRC32C, no such kind, not one that this side
 * sends, packed as there is not), MBJ_ELIMIT (more bytes than that kind may
 * have), before anything is allocated for them.
 */
enum mbj_rc stream_head_decode(const uint8_t bytes[STREAM_HEAD_SIZE],
			       enum stream_side side,
			       struct stream_head *ret_head,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The whole of a body, its CRC32C first.  Byte strings are borrowed from it.
 * Requires: body.n == head->size, it is plain.
 */
enum mbj_rc stream_body_decode(const struct stream_head *head,
			       struct mbj_bytes body,
			       struct stream_message *ret_message,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same of a packed one: its bytes, and how many they are to be.
 * Returns: MBJ_ECORRUPT (its CRC32C, not more than it is itself), MBJ_ELIMIT.
 */
enum mbj_rc stream_packed_decode(const struct stream_head *head,
				 struct mbj_bytes body, uint32_t *ret_size,
				 struct mbj_bytes *ret_packed,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/* One of the contents asked for.  Requires: index < count. */
void stream_content_put(struct mbj_buf *buf, const struct mbj_hash *digest,
			uint64_t size);
void stream_content_get(const struct stream_message *message, uint32_t index,
			struct mbj_hash *ret_digest, uint64_t *ret_size);

#endif
