/*
 * Messages of each kind with something in every member, for the tests of the
 * wire and of what speaks over it.
 */
#ifndef TEST_JOURNAL_WIRE_LAB_H
#define TEST_JOURNAL_WIRE_LAB_H

#include "support.h"
#include "wire.h"

/* Requires: *m is zero.  Static bytes, but for the outcome and the status. */
void wire_lab_fill(struct wire_message *m, struct mbj_buf *records);
/* What a survey asks, or answers, of it, in records, which is emptied. */
void wire_lab_survey(struct wire_message *m, enum wire_side side,
		     struct mbj_buf *records);
void wire_lab_done(struct wire_message *m);

/* Fails the test where one member differs. */
void wire_lab_edit_equal(const struct mbj_edit *a, const struct mbj_edit *b);
void wire_lab_outcome_equal(const struct mbj_outcome *a,
			    const struct mbj_outcome *b);

#endif
