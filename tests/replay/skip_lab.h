/*
 * What the tests of groups that are given up share.
 */
#ifndef TEST_REPLAY_SKIP_LAB_H
#define TEST_REPLAY_SKIP_LAB_H

#include <mbj/apply.h>
#include <mbj/backup.h>

#include "resync_lab.h"

/* Groups of it that were given up; 0: none were. */
uint64_t skip_count(struct mbj_store *store, struct mbj_id account,
		    uint64_t *ret_first, uint64_t *ret_last);
/* The same of the replica. */
void skip_lacks(struct fixture *f, const char *account, uint64_t count,
		uint64_t first, uint64_t last);
/* Nothing of alice's is given up by now, nor in a state that is made anew. */
void skip_is_over(struct fixture *f);
enum mbj_rc skip_try(struct fixture *f, const char *account, uint64_t lsn,
		     bool is_dry_run, struct mbj_skip_result *ret_result,
		     struct mbj_error *err);
struct mbj_skip_result skip_give_up(struct fixture *f, const char *account,
				    uint64_t lsn);
/* For this reason, in these words. */
void skip_refused(struct fixture *f, const char *account, uint64_t lsn,
		  enum mbj_rc rc, const char *words);
void skip_reopen(struct fixture *f);
/* The group of this number in the replica's journal, onto its state. */
enum mbj_verdict skip_apply_again(struct fixture *f, uint64_t lsn);
/* One edit of alice's, and of an account's messages, by the primary. */
void skip_metadata(struct fixture *f, enum mbj_metadata_edit_kind kind,
		   const char *name, uint64_t quota);
void skip_messages(struct fixture *f, const char *account,
		   const struct mbj_message_edit *step);
/*
 * Under the primary's own journal alice gets a ghost: what comes of her from
 * then on fails on every state that is made from it.
 */
void skip_bend(struct fixture *f);
/* alice has a ghost, and waits for group 3, which renames m2. */
void skip_begin(struct fixture *f, const struct mbj_store_options *options);
/*
 * A primary that was bent under its own journal: group 3, of alice, fails on
 * every state that is made from the journal, and 4 waits behind it.
 */
void skip_begin_bent(struct fixture *f,
		     const struct mbj_store_options *options);
/* A message of the primary, with its content. */
void skip_append(struct fixture *f, const char *account, const char *body);
/*
 * alice and bob have a message each; what the primary does with alice's mail
 * from group 5 on fails on every state that is made from its journal.
 */
void skip_mail_begin(struct fixture *f);
void skip_expunge(struct fixture *f, const char *account, uint32_t uid);
/* What that mailbox of an account holds, and its record. */
struct mbj_content skip_content(struct mbj_store *store, const char *account,
				uint8_t mailbox,
				struct mbj_mailbox *ret_mailbox);
struct mbj_content skip_inbox(struct mbj_store *store, const char *account,
			      struct mbj_mailbox *ret_mailbox);
/* A primary from a backup of the replica takes the place of both. */
struct mbj_backup_result skip_reign_begin(struct fixture *f);

#endif
