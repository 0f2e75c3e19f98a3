/*
 * Which message of one of our mailboxes is which one at the server: a file of
 * lines (push_log.h) for each mailbox, FILE.messages/MAILBOXID beside the
 * push's own.
 *
 *	mbj-push-messages 2 LINEAGE ACCOUNT MAILBOX UIDVALIDITY THERE "TARGET"
 *	append UID UIDNEXT MODSEQ BLOB SIZE SHA-256 HEAD
 *				LAST LAST-THERE MODSEQ BLOB SIZE HEAD
 *	message UID UID-THERE MODSEQ BLOB SIZE HEAD
 *	short UID MODSEQ SENT
 *	asked			the server, of all messages before
 *	left UID
 *	gone UID
 *	over UID-THERE BLOB SIZE HEAD
 *	ended UID-THERE
 *	marked UID UID-THERE BLOB SIZE HEAD
 *	doubt UID UIDNEXT MODSEQ BLOB SIZE SHA-256 HEAD
 *	next UIDNEXT
 *
 * UIDVALIDITY and THERE, of ours and of the server's, are what the UIDs mean.
 * Ours gets another one along with another name, and the UIDs stay: whether
 * they do is looked at, and the file is written anew (push_map_renew).
 * append is on disk before the APPEND is sent: at most one is in doubt, and
 * what the server has from UIDNEXT on tells.  SIZE and SHA-256 are of the bytes
 * with lines that end in CRLF.  message and left settle it, and LAST is the
 * message that the one before it settled, once more (0: none), as no line but
 * append is on disk at once.  next ends what was written anew: the mailbox had
 * that UIDNEXT at least.
 *
 * SIZE and HEAD, a hash of the first bytes, tell a message of ours from another
 * one that has its UID (push_same.c): as they were sent, until asked says that
 * they are what the server told of it.
 *
 * A bad line with at most one append behind it, at the end, is one of those
 * that a power cut took; all of them may be lost, as STOREs and expunges are
 * done again.
 *
 * over is a message of another mailbox of ours that was this one there (INBOX,
 * which cannot be renamed): it is to go.  ended: it is gone; doubt is an append
 * of that one, without LAST.  marked is one of ours that is gone here, and has
 * got \Deleted there and no more, as without UIDPLUS: nothing is done about it,
 * but the mailbox may go along with it.  UID 0: not of the file.
 *
 * MODSEQ is the one of ours whose flags are there, 0 where that is not known.
 * short is behind the message of one that has not all of its keywords: SENT is
 * a hash of what the server took.
 * BLOB the first 16 digits of the digest of its content.  A message without
 * UID-THERE (0) is there, and nobody knows where.
 *
 * Opening writes it anew where half of it is over, or it is of version 1, which
 * has no over, ended, doubt, short and marked.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_CLI_PUSH_MAP_H
#define MBJ_CLI_PUSH_MAP_H

#include <mbj/hash.h>
#include <mbj/message.h>

#include "push_log.h"

struct push_entry {
	uint32_t uid;	/* 0: gone */
	uint32_t there; /* 0: not known */
	uint64_t modseq;
	uint64_t blob;
	uint64_t head;	/* push_map_head of it, there */
	uint64_t sent;	/* push_map_sent of its flags; 0: it has all of them */
	uint32_t size;	/* there; UINT32_MAX also for more */
	bool is_seen;	/* in this run, by whoever walks */
	bool is_over;	/* uid means nothing, but that it is there */
	bool is_marked; /* and is over, and no more is done about it */
};

/* An APPEND whose outcome is not known. */
struct push_attempt {
	bool is_over;
	uint32_t uid;	  /* 0: none */
	uint32_t uidnext; /* it had no UID below */
	uint64_t modseq;
	uint64_t blob;
	uint64_t size;
	struct mbj_hash digest;
	uint64_t head;
};

struct push_map_of {
	struct mbj_id lineage, account, mailbox;
	uint32_t uidvalidity; /* ours; 0: whatever it is */
	uint32_t there;	      /* the server's */
	uint32_t next;	      /* that it had at least; a map with less is old */
	struct mbj_bytes target;
};

struct push_map {
	struct push_log log;
	struct push_map_of of;
	uint32_t uidvalidity; /* ours, as the file has it */
	uint32_t version;     /* of the file */
	struct push_entry *entries;
	size_t count, capacity;
	size_t live; /* entries that are not gone, nor */
	size_t marked;
	size_t asked; /* the server, of the entries before that one */
	struct mbj_table by_uid;
	struct push_attempt attempt;
	struct push_entry last; /* that settled an attempt; uid 0: none */
	uint32_t next;		/* UIDNEXT there was no less */
	bool is_behind; /* an append was read behind a line that is bad */
	bool is_dry;	/* nothing is written */
};

/* A prefix of a digest: what lines call BLOB. */
uint64_t push_map_blob(const struct mbj_hash *blob);

enum { PUSH_HEAD_MAX = 1024 };
/* Of the first PUSH_HEAD_MAX bytes of a message, as a server has them. */
uint64_t push_map_head(const struct push_map *map, struct mbj_bytes bytes);
/* Of flags as they are sent, never 0. */
uint64_t push_map_sent(const struct push_map *map, struct mbj_bytes flags);
uint32_t push_map_size(uint64_t size);

enum push_map_kind {
	PUSH_MAP_OLD,  /* it is to be there */
	PUSH_MAP_NEW,  /* there is none of messages of these UIDs */
	PUSH_MAP_OVER, /* what there is is over */
};
/*
 * Returns: MBJ_ENOTFOUND (it is not there), MBJ_ECORRUPT, also of one that is
 * there and is not to be, MBJ_ECONFLICT (the mailbox there has another
 * UIDVALIDITY than its UIDs), MBJ_EINVALID (another push's).
 */
enum mbj_rc push_map_open(const char *path, const struct push_map_of *of,
			  enum push_map_kind kind, bool is_dry,
			  struct push_map *map,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* Was the mailbox of another UIDVALIDITY here?  Its UIDs may mean others. */
bool push_map_is_renewed(const struct push_map *map);
/* They do not: the file has this one from now on. */
enum mbj_rc push_map_renew(struct push_map *map,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* Accepts one that is zero. */
void push_map_close(struct push_map *map);

/*
 * One that was opened dry is the mailbox's of that id from now on, which wants
 * none of what it has: all of it is over.  It is written to path, unless that
 * is NULL.  *ret_unknown: messages whose UIDs there are not known are let be.
 */
enum mbj_rc push_map_hand(struct push_map *map, const char *path,
			  struct mbj_id mailbox, uint32_t uidvalidity,
			  uint64_t *ret_unknown,
			  struct mbj_error *err) MBJ_MUST_CHECK;

/* NULL: none. */
struct push_entry *push_map_find(const struct push_map *map, uint32_t uid);

/* On disk when it returns. */
enum mbj_rc push_map_attempt(struct push_map *map,
			     const struct push_attempt *attempt,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * On disk with the next attempt, or by push_map_sync: until then a kill leaves
 * the attempt in doubt, and a STORE or an expunge to be done again.
 */
enum mbj_rc push_map_message(struct push_map *map,
			     const struct push_entry *entry,
			     struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_map_left(struct push_map *map,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* What the entries say of what is there is what the server told. */
enum mbj_rc push_map_asked(struct push_map *map,
			   struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_map_gone(struct push_map *map, const struct push_entry *entry,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* It has \Deleted there, and stays. */
enum mbj_rc push_map_marked(struct push_map *map,
			    const struct push_entry *entry,
			    struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_map_sync(struct push_map *map,
			  struct mbj_error *err) MBJ_MUST_CHECK;

#endif
