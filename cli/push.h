/*
 * mbj push: an account's mailboxes and subscriptions at any IMAP server.
 *
 * One run: look at what the server has (push_look.c), settle the step that a
 * killed run left in doubt and find our mailboxes there (push_match.c), make
 * the server's tree and the tree it is to be (push_tree.c), plan, and take step
 * after step, each announced in the file before it is taken (push_step.c); all
 * of that again without what was refused (push_out.c); then subscribe
 * (push_subscribe.c), then messages (push_mail.h), then what is to go
 * (push_delete.c).
 *
 * Trees here have names in UTF-8, compared by bytes, without the prefix of the
 * server's namespace.
 */
#ifndef MBJ_CLI_PUSH_H
#define MBJ_CLI_PUSH_H

#include <mbj/client.h>
#include <mbj/plan.h>
#include <mbj/tree.h>
#include <mbj/utf7.h>

#include "cli.h"
#include "push_file.h"
#include "push_wire.h"

/* Names under which mailboxes wait for their place; an id is behind it. */
#define PUSH_PARKED "mbj-parked-"
enum { PUSH_PARKED_SIZE = sizeof(PUSH_PARKED) + MBJ_ID_TEXT_SIZE };

/* A name that the server lists. */
struct push_seen {
	struct mbj_bytes name;	 /* on the wire; INBOX in capitals */
	struct mbj_bytes object; /* its MAILBOXID, or empty */
	uint32_t uidvalidity, uidnext, messages;
	bool has_messages; /* the server told how many */
	bool is_selectable;
	bool is_silent;	  /* listed as a mailbox, and nothing told of it */
	struct mbj_id id; /* which one of ours it is; ROOT: none */
};

/* A node of the tree to be. */
struct push_aim {
	uint32_t wanted; /* the account's node; MBJ_NODE_NONE: not ours */
	bool is_left;	 /* DELETE first: what is below needs the name */
	bool is_filled;	 /* CREATE last: the name is there already */
	bool is_adopted; /* the mailbox that has its name becomes it */
	bool is_going;	 /* DELETE behind all mail, under whatever name */
};

/* One of ours that is not all that it is to be in this run. */
struct push_out {
	struct mbj_id id;
	bool is_placeless; /* it stays where it is, or is not made */
	bool is_stuck;	   /* also where others need its name */
	bool is_staying;   /* it is gone here, and DELETE was refused */
};

/* What is at the server, and is to be no more. */
struct push_going {
	struct mbj_id id;
	bool is_mailbox; /* or a place */
	struct mbj_bytes name;
};

struct push_count {
	uint64_t created, renamed, deleted, adopted, subscribed, unsubscribed;
	uint64_t appended, flagged, expunged; /* messages */
	uint64_t left_out;		      /* said, and not at the server */
};

struct push {
	const struct cli_call *call;
	struct mbj_error err;
	struct mbj_client *client;
	struct mbj_account account;
	struct mbj_tree *wanted;
	struct push_file file;
	struct push_login login;
	struct push_wire wire;
	uint32_t cuts; /* of connections, that others were made behind */
	struct mbj_utf7 *utf7;
	struct mbj_arena *arena;
	struct mbj_buf command, path, name; /* for a moment */
	uint32_t words;			    /* the server's capabilities */
	struct mbj_buf prefix;		    /* of its names, but INBOX */
	char delimiter;			    /* '\0': it has no hierarchy */
	struct push_seen *seen;
	size_t seen_count, seen_capacity;
	struct mbj_table by_name, by_object; /* of seen */
	struct mbj_tree *before, *after, *now;
	uint32_t *before_seen; /* node of before: index of seen, or NONE */
	struct push_aim *aims; /* node of after */
	size_t aim_count, aim_capacity;
	struct mbj_diff diff;
	struct mbj_plan plan;
	struct push_out *outs;
	size_t out_count, out_capacity;
	struct mbj_table by_out; /* of outs */
	size_t stuck_count;	 /* of outs */
	bool is_refused; /* a step of this plan: others of it may not fit */
	bool is_again;	 /* so that another plan is needed */
	bool is_halved;	 /* no more of its steps can be taken */
	struct mbj_error silence; /* what was said of the first silent one */
	bool has_append_max;	  /* APPENDLIMIT */
	uint32_t append_max;
	uint64_t settle_s; /* how long a cut APPEND may still be done: */
	int64_t begun_ms;  /* since this run, or this connection, began */
	uint64_t *lost;	   /* push_map_blob of what could not be appended */
	size_t lost_count, lost_capacity;
	struct push_record handed; /* whose map INBOX's is; no name: its own */
	bool is_changing;	   /* not all was looked at: it is changed */
	struct push_going *going;  /* behind all mail */
	size_t going_count, going_capacity;
	struct push_count count;
	struct mbj_buf out;
	struct mbj_buf boxes; /* for JSON */
};

static inline bool push_can(const struct push *p,
			    enum mbj_imap_capability capability)
{
	return (p->words >> capability & 1) != 0;
}

/* What the server does not tell may be any number. */
static inline bool push_is_empty(const struct push_seen *seen)
{
	return seen->has_messages && seen->messages == 0;
}

enum { PUSH_MAIL_TEXT = 64 };

/* push_look.c */
/* How many messages it has, for people. */
const char *push_mail_text(const struct push_seen *seen,
			   char text[PUSH_MAIL_TEXT]);
enum mbj_rc push_look(struct push *p) MBJ_MUST_CHECK;
/* NULL: it is not listed. */
struct push_seen *push_seen_find(const struct push *p, struct mbj_bytes name);
struct push_seen *push_seen_find_object(const struct push *p,
					struct mbj_bytes object);
/*
 * What the server says of a mailbox now, in the arena; is_selectable false
 * where it says no.
 */
enum mbj_rc push_status(struct push *p, struct mbj_bytes name,
			struct push_seen *ret_seen) MBJ_MUST_CHECK;
/* Is the name listed, and is there no mailbox? */
enum mbj_rc push_is_place(struct push *p, struct mbj_bytes name,
			  bool *ret_is_place) MBJ_MUST_CHECK;
/* Mailboxes below that name, by LIST, appended to names. */
enum mbj_rc push_list_below(struct push *p, struct mbj_bytes name,
			    struct push_names *names) MBJ_MUST_CHECK;
/* All that one subscribes, by LSUB, appended to names. */
enum mbj_rc push_lsub(struct push *p, struct push_names *names) MBJ_MUST_CHECK;

/* push_match.c */
/*
 * Settle what is in doubt, and say of each name which one of ours it is.
 * Returns: MBJ_ECONFLICT where others changed what is ours, all of it said.
 */
enum mbj_rc push_match(struct push *p) MBJ_MUST_CHECK;
/* What is not there any more is forgotten, once nothing is in the way. */
enum mbj_rc push_lost(struct push *p) MBJ_MUST_CHECK;
/* Is it the mailbox of the evidence? */
bool push_is_same(const struct push *p, const struct push_seen *seen,
		  uint32_t uidvalidity, uint32_t uidnext,
		  struct mbj_bytes object);

/* push_tree.c */
enum mbj_rc push_trees(struct push *p) MBJ_MUST_CHECK;
/* The name on the wire of a node of a tree. */
enum mbj_rc push_name(struct push *p, const struct mbj_tree *tree,
		      uint32_t node, struct mbj_bytes *ret_name) MBJ_MUST_CHECK;
/*
 * A path of the server's, without its prefix, from a name on the wire; empty:
 * no name that ours could have.
 */
enum mbj_rc push_path(struct push *p, struct mbj_bytes name,
		      struct mbj_bytes *ret_path) MBJ_MUST_CHECK;
/* And back; components are separated by NULs.  Empty: it cannot have that. */
enum mbj_rc push_name_of(struct push *p, struct mbj_bytes components,
			 struct mbj_bytes *ret_name) MBJ_MUST_CHECK;

/* push_step.c */
/* p->is_again: look, plan, and take steps again. */
enum mbj_rc push_steps(struct push *p) MBJ_MUST_CHECK;
/* Send p->command, or print it where nothing is to be done. */
enum mbj_rc push_do(struct push *p) MBJ_MUST_CHECK;

/*
 * Announced, sent, and, where the server said no, not in doubt any more: that
 * is said then, *ret_is_done is false, and what it is about is left out.
 */
enum mbj_rc push_step_do(struct push *p, const struct push_doubt *step,
			 bool *ret_is_done) MBJ_MUST_CHECK;
/* A step with evidence of one of ours; nothing of what others made. */
struct push_doubt push_step_of(const struct push *p, enum push_step_kind kind,
			       struct mbj_id id);
/* A place that nothing needs any more: some servers go on listing it. */
enum mbj_rc push_place_tidy(struct push *p,
			    struct mbj_bytes name) MBJ_MUST_CHECK;

/* push_out.c */
/* What of it is left out, if anything. */
struct push_out push_out_find(const struct push *p, struct mbj_id id);
/* It has no place; why is behind what is said. */
enum mbj_rc push_out_add(struct push *p, struct mbj_id id,
			 struct mbj_bytes name, const char *why) MBJ_MUST_CHECK;
/*
 * The server said no to a step, as p->err has it.
 * Returns: that, where nothing can be left out for it that is not already.
 */
enum mbj_rc push_out_refused(struct push *p,
			     const struct push_doubt *step) MBJ_MUST_CHECK;

/* push_delete.c */
/*
 * A node of before, which has that name now, goes: behind all mail where that
 * is in nobody's way, else at once.  *ret_is_gone false: the server said no.
 */
enum mbj_rc push_delete(struct push *p, uint32_t before, bool is_mailbox,
			struct mbj_bytes name,
			bool *ret_is_gone) MBJ_MUST_CHECK;
enum mbj_rc push_delete_rest(struct push *p) MBJ_MUST_CHECK;
/*
 * Does a node of before stand in nobody's way, and do all that it is below stay
 * where they are, or go as well?
 */
bool push_can_wait(const struct push *p, uint32_t node);

/* push_subscribe.c */
/* By bytes; push_names_has demands that order. */
void push_names_sort(struct push_names *names);
bool push_names_has(const struct push_names *names, struct mbj_bytes name);
enum mbj_rc push_subscribe(struct push *p) MBJ_MUST_CHECK;

/* push_mail.c */
enum mbj_rc push_mail(struct push *p) MBJ_MUST_CHECK;

/* push_box.c */
/* Nothing is known of a mailbox any more, nor of its messages. */
enum mbj_rc push_gone(struct push *p, struct mbj_id id) MBJ_MUST_CHECK;

/* push_hand.c */
/*
 * What the mailbox of a record has there, by its map, is to go from the mailbox
 * of a node, which has its name by now: INBOX.  is_empty: it has nothing.
 */
enum mbj_rc push_hand(struct push *p, struct push_record from,
		      const struct mbj_node *to, bool is_empty) MBJ_MUST_CHECK;

/* push_owned.c */
/*
 * Did we put there all that the mailbox of that id has there, under that name?
 * Nothing is selected behind that.  has_heads: by first bytes, too.
 */
enum mbj_rc push_is_owned(struct push *p, struct mbj_id id,
			  struct mbj_bytes name, bool has_heads,
			  bool *ret_is_owned) MBJ_MUST_CHECK;

/* push_name.c */
void push_parked(struct mbj_id id, char name[PUSH_PARKED_SIZE]);
/* A name on the wire as UTF-8, borrowed until the next call. */
struct mbj_bytes push_name_text(struct push *p, struct mbj_bytes name);
/* A line on standard error about what is left out, or is not as it was. */
MBJ_PRINTF(3, 4)
void push_say(struct push *p, struct mbj_bytes name, const char *format, ...);

#endif
