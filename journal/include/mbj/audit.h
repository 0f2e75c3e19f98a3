/*
 * The record of what became of accounts that are set aside on a replica: who
 * was, since which group and why, what was tried, what healed them, and who
 * wanted it.  A file of the store beside its state (docs/FORMAT.md, "Audit"),
 * so that a state which is made anew has no part in it.
 *
 * An entry is on disk before what it says is: one that a crash left may say
 * what did not come to be, and is followed by one of what did.
 *
 * Bounded: the oldest entries go, and are counted.
 *
 * Threads: who feeds the replica writes; reading needs no owner.
 */
#ifndef MBJ_AUDIT_H
#define MBJ_AUDIT_H

#include <mbj/codec.h>
#include <mbj/memory.h>
#include <mbj/sys.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_store;

/* X(name, number, word, what it says): in files, numbers stay. */
#define MBJ_AUDIT_MAP(X)                                               \
	X(PARK, 1, "park", "set aside")                                \
	X(RETRY, 2, "retry", "what waits was tried, and still fails")  \
	X(HEAL, 3, "heal", "what waited was carried out")              \
	X(RESYNC, 4, "resync", "made again from a snapshot")           \
	X(REFUSE, 5, "refuse", "not to be made again from a snapshot") \
	X(END, 6, "end", "what waited is given up: it is as it is")    \
	X(SKIP, 7, "skip", "a group was given up")

enum mbj_audit_kind {
#define X(name, number, word, what) MBJ_AUDIT_##name = (number),
	MBJ_AUDIT_MAP(X)
#undef X
		MBJ_AUDIT_LAST = MBJ_AUDIT_SKIP
};

enum {
	MBJ_AUDIT_SIZE_MAX = 256 << 10, /* of the file, bytes */
	MBJ_AUDIT_REASON_MAX = 256,
};

struct mbj_audit_entry {
	uint64_t number; /* from 1 on; not written */
	int64_t time_us; /* since 1970, as the host's clock had it */
	enum mbj_audit_kind kind;
	bool is_asked; /* somebody asked for it; else by itself */
	uint32_t uid;  /* whose process it was */
	struct mbj_id account;
	struct mbj_lsn first;	 /* that waits, or waited */
	struct mbj_lsn snapshot; /* 0: none */
	uint64_t count;		 /* groups that wait, or were carried out */
	struct mbj_bytes reason; /* borrowed; may be empty */
};

const char *mbj_audit_kind_word(enum mbj_audit_kind kind);
const char *mbj_audit_kind_text(enum mbj_audit_kind kind);

/* Entries that are not on disk yet. */
struct mbj_audit {
	struct mbj_store *store;
	bool is_asked;
	uint64_t dropped; /* that were noted, and went for being old */
	struct mbj_buf pending;
};

void mbj_audit_begin(struct mbj_audit *audit, struct mbj_store *store,
		     bool is_asked);
/* One more; time, uid and is_asked are put in.  Lack of memory is said by
 * _flush. */
void mbj_audit_note(struct mbj_audit *audit,
		    const struct mbj_audit_entry *entry);
/*
 * Durability: on return all that was noted is on disk; after a failure, or a
 * crash, nothing of it is.  A file that is damaged is put aside for it
 * ("audit.damaged").
 */
enum mbj_rc mbj_audit_flush(struct mbj_audit *audit,
			    struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_audit_end(struct mbj_audit *audit);

/*
 * All that is in the file of the store in dir: bytes are its, entries are read
 * with _next.  Returns: MBJ_ECORRUPT, MBJ_EUNSUPPORTED; none at all is OK.
 */
struct mbj_audit_list {
	struct mbj_buf bytes;
	uint64_t dropped; /* entries that went for being old */
	uint64_t count;	  /* that are here */
	struct mbj_reader reader;
	uint64_t number;
};

enum mbj_rc mbj_audit_load(const struct mbj_sys *sys, const char *dir,
			   struct mbj_audit_list *ret_list,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* Oldest first; false: that were all. */
bool mbj_audit_next(struct mbj_audit_list *list,
		    struct mbj_audit_entry *ret_entry);
void mbj_audit_list_done(struct mbj_audit_list *list);

#ifdef __cplusplus
}
#endif

#endif
