/*
 * What the tests of intents share: an account "u" with A, A/x, B and S
 * (subscribed) in edit_lab, whose every group is applied to a replica too; and
 * short ways of writing stages down.  Ids are tags, as there.
 */
#ifndef TEST_JOURNAL_INTENT_LAB_H
#define TEST_JOURNAL_INTENT_LAB_H

#include <mbj/doubt.h>

#include "edit_lab.h"

extern struct edit_lab intent_lab;

void intent_lab_begin(void);
void intent_lab_end(void);

/* MBJ_EDIT_INTENT in a stage. */
struct mbj_edit intent_edit(enum mbj_intent_stage stage, const char *id);
/* A rename in a stage. */
enum mbj_rc intent_renamed(enum mbj_intent_stage stage, const char *id,
			   const char *source, const char *target);
/* A message into a mailbox. */
enum mbj_rc intent_appended(enum mbj_intent_stage stage, const char *id,
			    const char *mailbox);
/* What the intent itself holds, or nothing. */
enum mbj_rc intent_told(enum mbj_intent_stage stage, const char *id);

/* A mailbox as the server has it; uidvalidity, uidnext 0: not said. */
struct intent_seen {
	const char *id;
	const char *parent; /* NULL: the top */
	const char *name;
	uint32_t uidvalidity;
	uint32_t uidnext;
};

/* as_of 0: the account's state as it is. */
enum mbj_rc intent_resolved(const struct intent_seen *seen, size_t count,
			    uint64_t as_of);

/* Open intents of the account, the same in both states. */
unsigned intent_open_count(void);
/* What an open intent is about, of the replica: "move A>C;...". */
const char *intent_doubts(const char *id);
/* The result that the last group records for its last outcome. */
const char *intent_result(void);

#endif
