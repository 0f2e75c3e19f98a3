/*
 * What the tests of edits share: two states, a primary's, on which edits run,
 * and a replica's, to which every record is applied at once; and short ways
 * of writing edits and trees down.
 *
 * A mailbox's id is a tag of at most 15 characters, padded with zeroes; an id
 * that was generated is shown as "?".  Words are separated by single spaces.
 */
#ifndef TEST_JOURNAL_EDIT_LAB_H
#define TEST_JOURNAL_EDIT_LAB_H

#include "apply_lab.h"
#include "edit_run.h"

enum { EDIT_LAB_TEXT_MAX = 1 << 16, EDIT_LAB_WORDS_MAX = 64 };

struct edit_lab {
	char *dir;
	struct mbj_state *states[2]; /* primary, replica */
	struct mbj_txn *txns[2];
	struct mbj_sha256 *sha;
	struct mbj_group_writer writer;
	struct mbj_arena *arena;
	struct mbj_buf record; /* of the last edit */
	struct mbj_lsn lsn;
	struct mbj_hash chain;
	int64_t time_us;
	bool is_dry_run;      /* all edits are, until it is false again */
	uint64_t fail_at;     /* allocation that fails in the next edit, once */
	uint64_t allocations; /* of the last edit */
	enum mbj_rc rc;	      /* of the last edit, as are these */
	struct mbj_error error;
	struct mbj_outcome outcome;
	char text[EDIT_LAB_TEXT_MAX];
};

/*
 * The engine is in memory where the edits alone are looked at; the model's and
 * the large ones are on Berkeley DB.
 */
void edit_lab_begin(struct edit_lab *lab, enum mbj_state_engine engine);
void edit_lab_end(struct edit_lab *lab);

struct mbj_id edit_lab_id(const char *tag);

/*
 * Run an edit.  What succeeds is applied to the replica too; both states are
 * checked in full and must agree.  What fails must leave the primary's as it
 * was.
 */
enum mbj_rc edit_lab_run(struct edit_lab *lab, const struct mbj_edit *edit);

/*
 * Import an account.  Words: [!][*]path, "!" not selectable, "*" subscribed;
 * the id is the path.  INBOX (id "INBOX") comes by itself.
 */
void edit_lab_import(struct edit_lab *lab, const char *account,
		     const char *words);
/* Words: source>target. */
enum mbj_rc edit_lab_rename(struct edit_lab *lab, const char *account,
			    const char *words);
/*
 * Words: +id:place, =id:place, -id, =id; a place is [parent id/]name, and
 * members follow behind "?", separated by commas: sub=0 sel=0 role=NUMBER.
 */
enum mbj_rc edit_lab_set(struct edit_lab *lab, const char *account,
			 const char *words);
/* Words as creates of edit_lab_set, without "+": the whole tree. */
enum mbj_rc edit_lab_reconcile(struct edit_lab *lab, const char *account,
			       const char *words);

enum mbj_rc edit_lab_metadata(struct edit_lab *lab, const char *account,
			      const struct mbj_metadata_edit *steps,
			      size_t count);
enum mbj_rc edit_lab_messages(struct edit_lab *lab, const char *account,
			      const struct mbj_message_edit *steps,
			      size_t count);

/* "ok" or the refusal of each change of the last set. */
const char *edit_lab_results(struct edit_lab *lab);
/* Words: [!]path=id of all mailboxes but INBOX, sorted. */
const char *edit_lab_tree(struct edit_lab *lab, const char *account);
/* The subscribed names, sorted. */
const char *edit_lab_subscribed(struct edit_lab *lab, const char *account);
struct mbj_mailbox edit_lab_mailbox(struct edit_lab *lab, const char *account,
				    const char *tag);
struct mbj_account edit_lab_account(struct edit_lab *lab, const char *account);
/* Primitives of a kind in the last record. */
unsigned edit_lab_ops(struct edit_lab *lab, enum mbj_op_kind kind);

/* Fails, with the reason, where the last edit did. */
#define EDIT_LAB_OK(lab, call)                               \
	ck_assert_msg((call) == MBJ_OK, "%s: %s: %s", #call, \
		      mbj_rc_name((lab)->error.rc), (lab)->error.message)
/* Must be refused for this reason, naming this. */
#define EDIT_LAB_REFUSED(lab, call, why, what)                           \
	do {                                                             \
		ck_assert_int_lt((call), 0);                             \
		ck_assert_str_eq(mbj_refusal_type((lab)->error.refusal), \
				 (why));                                 \
		ck_assert_str_eq((lab)->error.subject, (what));          \
		ck_assert_str_ne((lab)->error.message, "");              \
	} while (0)

#endif
