/*
 * A survey's records, shown to people.  Private to mailbox/.
 */
#ifndef MBJ_MAILBOX_STATE_SURVEY_H
#define MBJ_MAILBOX_STATE_SURVEY_H

#include <mbj/survey.h>

#include "state_priv.h"

/* Escaped, and cut. */
struct survey_texts {
	char reason[MBJ_SURVEY_TEXT_MAX];
	char path[MBJ_SURVEY_TEXT_MAX];
	char text[MBJ_SURVEY_TEXT_MAX];
};

/* The record at a place, in words; is_there says whether there is one. */
enum mbj_rc survey_show(struct mbj_txn *txn, const struct mbj_account *account,
			struct mbj_bytes place, struct survey_texts *texts,
			struct mbj_survey_answer *answer,
			struct mbj_error *err) MBJ_MUST_CHECK;

#endif
