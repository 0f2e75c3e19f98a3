/*
 * The end of an edit's outcome, wherever it came from.
 */
#include <mbj/edit.h>
#include <mbj/memory.h>

void mbj_outcome_done(struct mbj_outcome *outcome)
{
	if (outcome == NULL)
		return;
	for (size_t i = 0; i < outcome->result_count; i++)
		mbj_free(outcome->results[i].description);
	mbj_free(outcome->results);
	for (size_t i = 0; i < outcome->message_count; i++)
		mbj_buf_done(&outcome->messages[i].uids);
	mbj_free(outcome->messages);
	mbj_buf_done(&outcome->record);
	*outcome = (struct mbj_outcome){0};
}
