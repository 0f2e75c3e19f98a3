/*
 * An account gathered record by record, wherever these come from, and judged as
 * a whole: its mailboxes are a tree, each content is a mailbox's, and its
 * messages are what it says.  What a state is asked, and a snapshot before it
 * becomes one.  Private to mailbox/.
 *
 *	begin -> mailboxes -> settle -> contents -> messages -> judge -> done
 */
#ifndef MBJ_MAILBOX_GATHER_H
#define MBJ_MAILBOX_GATHER_H

#include <mbj/message.h>
#include <mbj/state.h>
#include <mbj/tree.h>

/* The content of a mailbox. */
struct gathered {
	struct mbj_id mailbox;
	struct mbj_content said;
	struct mbj_content found; /* count, size, digest of its messages */
};

struct gather {
	struct mbj_tree *tree;
	struct mbj_id *parents; /* by node index, until every id is known */
	size_t parents_capacity;
	struct gathered *contents; /* by series, once messages come */
	size_t count;
	size_t capacity;
	size_t at; /* whose messages come now */
	bool is_sorted;
};

/* All: MBJ_ECORRUPT where the account cannot be so. */
enum mbj_rc gather_begin(struct gather *g, const struct mbj_sys *sys,
			 struct mbj_error *err) MBJ_MUST_CHECK;
void gather_done(struct gather *g);
enum mbj_rc gather_mailbox(struct gather *g, const struct mbj_mailbox *mailbox,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* That was the last one. */
enum mbj_rc gather_settle(struct gather *g,
			  struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc gather_content(struct gather *g, struct mbj_id mailbox,
			   const struct mbj_content *content,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* Whose content this series is, or NULL; series only ever ascend. */
struct gathered *gather_seek(struct gather *g, struct mbj_series series);
/* The same of any series. */
bool gather_has(struct gather *g, struct mbj_series series);
/* All but the message's digest, which the caller adds to what was found. */
enum mbj_rc gather_message(struct gathered *gathered,
			   const struct mbj_message *message,
			   struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc gather_judge(struct gather *g, const struct mbj_account *account,
			 struct mbj_error *err) MBJ_MUST_CHECK;

#endif
