/*
 * Messages of mailboxes that are there: which are to be appended, whose flags
 * are to be changed, which are to be expunged, and doing that.
 *
 * Two walks over the mailboxes whose content is not the one that was pushed:
 * the first appends and changes flags, the second expunges.  So what was moved
 * from one to another is never at neither; what could not be brought to the one
 * stays in the other, and so does all that is in a mailbox that is passed over.
 */
#ifndef MBJ_CLI_PUSH_MAIL_H
#define MBJ_CLI_PUSH_MAIL_H

#include <mbj/hash.h>
#include <mbj/message.h>

#include "push.h"
#include "push_map.h"

struct push_head {
	uint8_t b[PUSH_HEAD_MAX];
	size_t n;
};

/* Bytes as a server may keep them: every line ends in CRLF. */
struct push_canon {
	struct mbj_sha256 *sha; /* NULL: they are not hashed */
	struct mbj_buf *out;	/* NULL: nor kept */
	struct push_head *head; /* NULL: nor the first ones */
	uint64_t size;
	bool is_cr; /* the last byte was */
};

enum mbj_rc push_canon_begin(struct push_canon *canon,
			     struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_canon_update(struct push_canon *canon, struct mbj_bytes piece,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_canon_end(struct push_canon *canon, struct mbj_hash *ret_hash,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The content of a message that is about to be sent: with lines that end in
 * CRLF, as RFC 5322 has them; some servers refuse others.
 */
struct push_body {
	struct mbj_client *client;
	struct mbj_sha256 *sha;
	struct mbj_hash blob; /* its digest here */
	uint64_t size;	      /* here */
	uint64_t canon_size;  /* as it is sent */
	struct mbj_hash canon_hash;
	struct push_head canon_head;
	struct mbj_buf kept; /* all of it, where it is short; else a piece */
	size_t at;	     /* read of that */
	struct push_canon canon;
	struct mbj_body_reader *reader;
};

/* One of our mailboxes, at its turn. */
struct push_box {
	struct push *p;
	const struct mbj_node *node;
	struct push_record record;
	struct push_map map;
	uint32_t uidnext; /* no message there that we do not know is below */
	bool has_flags;	  /* PERMANENTFLAGS were told: */
	struct mbj_buf flags;
	struct push_body *body;
	size_t known;  /* entries of the map, before a page was appended */
	uint64_t rev;  /* of our content that is walked over */
	uint64_t seen; /* of the map's entries */
	uint64_t appended, size, flagged, expunged;
	uint64_t left_out; /* said */
	bool is_empty;	   /* the server's, when it was selected */
	bool is_passed;	   /* nothing is known of what it has there */
	bool is_undated;   /* the message that was sent last */
	uint32_t other;	   /* that UID here is not the map's message; 0: none */
};

/* push_body.c */
enum mbj_rc push_body_init(struct push_body *body, struct mbj_client *client,
			   struct mbj_error *err) MBJ_MUST_CHECK;
void push_body_done(struct push_body *body);
/*
 * Read all of it, once, so that nothing is begun that cannot be brought to its
 * end.  Returns: MBJ_ENOTFOUND, MBJ_ECORRUPT naming what is wrong.
 */
enum mbj_rc push_body_look(struct push_body *body, const struct mbj_hash *blob,
			   uint64_t size, struct mbj_error *err) MBJ_MUST_CHECK;
/* And again, as a push_read_fn; from its beginning after _look and _again. */
enum mbj_rc push_body_read(void *context, void *p, size_t n, size_t *ret_got,
			   struct mbj_error *err) MBJ_MUST_CHECK;
void push_body_again(struct push_body *body);

/* push_evidence.c */
/*
 * The UID there, in the mailbox that is selected, of what was appended by the
 * attempt: it has the same bytes, but for the ends of lines, and no UID below
 * the attempt's.  0: there is none.  What is not it comes before *uidnext from
 * then on.
 */
enum mbj_rc push_evidence(struct push *p, struct mbj_sha256 *sha,
			  const struct push_attempt *attempt, uint32_t *uidnext,
			  uint32_t *ret_there) MBJ_MUST_CHECK;
/* Settle the attempt that is in doubt, if there is one. */
enum mbj_rc push_settle(struct push_box *box) MBJ_MUST_CHECK;

/* push_append.c */
/* What cannot be appended is said, and left out. */
enum mbj_rc push_append(struct push_box *box,
			const struct mbj_message *message) MBJ_MUST_CHECK;

/* Where nothing is to be done: one more, or said why not. */
enum mbj_rc push_append_count(struct push_box *box,
			      const struct mbj_message *message) MBJ_MUST_CHECK;

/* push_flags.c */
enum push_flags_kind {
	PUSH_FLAGS_ALL,	 /* but keywords that the server does not take */
	PUSH_FLAGS_BARE, /* no keywords */
	PUSH_FLAGS_NONE,
};
/* "(\Seen word)".  *ret_sent: push_map_sent of that, 0: none is left off. */
void push_flags_put(const struct push_box *box,
		    const struct mbj_message *message,
		    enum push_flags_kind kind, struct mbj_buf *out,
		    uint64_t *ret_sent);
/* Of messages of one page, those whose flags are others now. */
enum mbj_rc push_flags(struct push_box *box, const struct mbj_message *messages,
		       size_t count) MBJ_MUST_CHECK;
/* push_expunge.c: all entries that nobody has seen. */
enum mbj_rc push_expunge(struct push_box *box) MBJ_MUST_CHECK;

/* push_same.c */
/* Messages of a map, and what the server tells of them. */
struct push_same {
	struct push *p;
	struct push_map *map;
	struct push_same_uid *uids;
	size_t count, capacity;
	bool is_learning, is_forgetting; /* what is other, or nothing is done */
	uint64_t told;			 /* UIDs of which it told */
	uint64_t alien;			 /* that are none of these */
	uint64_t others;
	uint32_t first; /* of the others, there */
};

void push_same_begin(struct push_same *same, struct push *p,
		     struct push_map *map);
void push_same_end(struct push_same *same);
/* Nothing without a UID there. */
enum mbj_rc push_same_add(struct push_same *same,
			  const struct push_entry *entry) MBJ_MUST_CHECK;
/*
 * Ask for the size of each, and its first bytes; is_all: of all that are there.
 * others, if any, are not what the map says.
 */
enum mbj_rc push_same_ask(struct push_same *same, bool has_heads,
			  bool is_all) MBJ_MUST_CHECK;
/* Where any is not ours the box is passed over from then on. */
enum mbj_rc push_same_judge(struct push_box *box, struct push_same *same,
			    bool has_heads) MBJ_MUST_CHECK;
/*
 * Of those that were appended since somebody asked: the map has what the server
 * made of them.  is_late: it may be too late for that; what is not as it was
 * sent has no UID there any more, and that is said.
 */
enum mbj_rc push_same_learn(struct push_box *box, bool is_late) MBJ_MUST_CHECK;

/* push_box.c */
/* Said: what is there is let be. */
MBJ_PRINTF(2, 3)
enum mbj_rc push_pass(struct push_box *box, const char *format,
		      ...) MBJ_MUST_CHECK;
/*
 * Map and server's mailbox, and nothing in doubt any more.  *ret_is_it false:
 * it was said why not.
 */
enum mbj_rc push_box_open(struct push_box *box, bool *ret_is_it) MBJ_MUST_CHECK;
/*
 * The connection ended at an APPEND: by another one that is settled.
 * *ret_is_it false: it was said why the mailbox is passed over.
 * Returns: p->err as it was, where there is no other one to be had.
 */
enum mbj_rc push_box_again(struct push_box *box,
			   bool *ret_is_it) MBJ_MUST_CHECK;
enum mbj_rc push_map_path(struct push *p, struct mbj_id id,
			  char path[MBJ_PATH_TEXT_MAX]) MBJ_MUST_CHECK;

/* push_owned.c */
/*
 * The map of a mailbox that is gone here, to be looked at; closed by the caller
 * in any case.
 */
enum mbj_rc push_map_read(struct push *p, const struct push_record *record,
			  struct push_map *map) MBJ_MUST_CHECK;

/* push_hand.c */
/* The map of a record, all of it over, as that of another mailbox. */
enum mbj_rc push_hand_read(struct push *p, const struct push_record *from,
			   const struct mbj_node *to, struct push_map *map,
			   uint64_t *ret_unknown) MBJ_MUST_CHECK;

/* push_mail.c */
typedef enum mbj_rc push_page_do(struct push_box *box,
				 const struct mbj_client_messages *page);
/*
 * All of the mailbox here, a page at a time; rev as of mbj_client_messages.
 * *ret_is_changed: it is of another one by now, and the walk has ended.
 */
enum mbj_rc push_pages(struct push_box *box, push_page_do *take, uint64_t rev,
		       bool *ret_is_changed) MBJ_MUST_CHECK;
/* Said and counted; blob (or 0) stays wherever else it is there. */
MBJ_PRINTF(4, 5)
enum mbj_rc push_leave_out(struct push_box *box, uint64_t count, uint64_t blob,
			   const char *format, ...) MBJ_MUST_CHECK;
bool push_is_lost(const struct push *p, uint64_t blob);

#endif
