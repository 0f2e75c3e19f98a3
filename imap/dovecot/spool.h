/*
 * The spool: which of a user's mailboxes were changed while the service was
 * away, in a file beside the mail.
 *
 * It says what is in doubt, and not what was done: bodies are in Dovecot once,
 * and comparing it with the journal gives what replaying would have come to,
 * whatever was done in which order.  So a mailbox is in it once, however often
 * it is changed, and a file that cannot be read, a torn one, say, means that
 * all of the user's mailboxes are in doubt.
 *
 * The file: a line "mbj-spool 1", then records of 61 bytes, each a line: kind,
 * mailbox, seconds since 1970 (when it was first changed), CRC32C of these.
 *
 *	T	names, subscriptions, which mailboxes there are; mailbox is what
 *		INBOX was before, or another one that was there
 *	M	messages and attributes of a mailbox
 *	N	the same, and what came in is told
 *	S	the same, where comparing it has stopped once before all came in
 *	W	of all mailboxes
 *
 * Whoever calls holds the user's lock (turn.h); spool_load may be called
 * without, to look.  Threads: one at a time per object.
 */
#ifndef MBJ_DOVECOT_SPOOL_H
#define MBJ_DOVECOT_SPOOL_H

#include <mbj/sys.h>

#define SPOOL_NAME "mbj-spool"

/* More mailboxes than these are all of them. */
enum { SPOOL_ENTRIES_MAX = 4096 };

struct spool_entry {
	struct mbj_id mailbox;
	int64_t since; /* seconds since 1970, UTC */
	bool is_new_told;
	bool is_stopped;
	bool has_had_turn; /* to tell what came in: it waits for no time */
	bool is_done;	   /* spool_save leaves it out */
};

struct spool {
	const struct mbj_sys *sys;
	const char *dir; /* borrowed */
	struct spool_entry *entries;
	size_t count;
	size_t capacity;
	int64_t tree_since;  /* 0: it is in no doubt */
	struct mbj_id inbox; /* the record's mailbox; ROOT: not known */
	int64_t whole_since; /* 0: entries are all that there is */
	/* The file's content, where this process has it on disk for sure. */
	bool is_synced;
	uint32_t synced_crc;
	uint64_t synced_size;
	bool is_changed; /* what is here is not what the file says */
};

void spool_init(struct spool *spool, const struct mbj_sys *sys,
		const char *dir);
void spool_done(struct spool *spool);

/* What the file has; no file is nothing. */
enum mbj_rc spool_load(struct spool *spool,
		       struct mbj_error *err) MBJ_MUST_CHECK;
bool spool_is_empty(const struct spool *spool);
/* A mailbox is in doubt. */
bool spool_has(const struct spool *spool, struct mbj_id mailbox);
/* When the oldest of it was noted, 0: there is none. */
int64_t spool_since(const struct spool *spool);

/*
 * The tree is about to change, and these mailboxes; inbox counts where
 * spool->inbox is ROOT.  Durability: on disk once it returns.  After a failure
 * nothing may be changed.
 */
enum mbj_rc spool_add(struct spool *spool, struct mbj_id inbox,
		      const struct mbj_id *mailboxes, size_t count,
		      struct mbj_error *err) MBJ_MUST_CHECK;

/* It is not about to change after all.  Durability: as spool_add. */
enum mbj_rc spool_drop(struct spool *spool, struct mbj_id mailbox,
		       struct mbj_error *err) MBJ_MUST_CHECK;

/* The tree is settled.  Where all mailboxes are in doubt, these are they. */
enum mbj_rc spool_settled(struct spool *spool, const struct mbj_id *mailboxes,
			  size_t count, struct mbj_error *err) MBJ_MUST_CHECK;
/* Without what is done; the file goes with the last of it. */
enum mbj_rc spool_save(struct spool *spool,
		       struct mbj_error *err) MBJ_MUST_CHECK;

#endif
