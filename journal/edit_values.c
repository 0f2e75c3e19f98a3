/*
 * Limits that an edit is held to before it is sent or planned.  Known to a
 * client that only connects: nothing of the planner is needed here.
 *
 * Threads: pure.
 */
#include <mbj/attribute.h>
#include <mbj/doubt.h>

#include "edit_run.h"
#include "edit_text.h"

enum mbj_rc edit_value_check(const struct mbj_metadata_edit *step,
			     struct mbj_error *err)
{
	if (step->is_removed || step->value.n <= MBJ_ATTR_VALUE_MAX)
		return MBJ_OK;
	(void)mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, "entry", NULL,
			       "an entry's value has %zu bytes, at most %d are "
			       "allowed",
			       step->value.n, (int)MBJ_ATTR_VALUE_MAX);
	return edit_text_recode(err, MBJ_ELIMIT);
}

enum mbj_rc edit_values_check(const struct mbj_edit *edit,
			      struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (edit->kind != MBJ_EDIT_METADATA)
		return MBJ_OK;
	for (size_t i = 0; rc == MBJ_OK && i < edit->metadata_count; i++)
		if (edit->metadata[i].kind == MBJ_METADATA_ENTRY ||
		    edit->metadata[i].kind == MBJ_METADATA_ACCOUNT_ENTRY)
			rc = edit_value_check(&edit->metadata[i], err);
	return rc;
}

enum mbj_rc edit_take_check(const struct mbj_edit *edit, struct mbj_error *err)
{
	bool is_outcome =
		edit->stage == MBJ_STAGE_FAILED
			? edit->kind == MBJ_EDIT_INTENT
			: edit->stage == MBJ_STAGE_DONE &&
				  mbj_intent_kind_name(edit->kind) != NULL;

	if (is_outcome && !edit->is_dry_run)
		return MBJ_OK;
	return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS, NULL, NULL,
				"only the outcome of an open intent may be "
				"answered before it is durable: submit "
				"anything else");
}

enum mbj_rc edit_body_name(struct mbj_edit *edit, const struct mbj_hash *digest,
			   uint64_t size, struct mbj_message_edit **ret_steps,
			   struct mbj_error *err)
{
	size_t count = edit->message_count;
	struct mbj_message_edit *steps;

	if (edit->kind != MBJ_EDIT_MESSAGES || count == 0 ||
	    edit->messages[count - 1].kind != MBJ_MESSAGE_APPEND)
		return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS,
					NULL, NULL,
					"an edit that comes with the bytes of "
					"a message appends one last");
	steps = mbj_calloc(count, sizeof(*steps));
	if (steps == NULL)
		return mbj_error_nomem(err);
	memcpy(steps, edit->messages, count * sizeof(*steps));
	steps[count - 1].blob = *digest;
	steps[count - 1].size = size;
	edit->messages = steps;
	*ret_steps = steps;
	return MBJ_OK;
}
