/*
 * What an edit reports: the refusals of a SET one by one.
 *
 * Threads: one at a time per outcome.
 */
#include <stdarg.h>
#include <stdio.h>

#include <mbj/check.h>

#include "edit_judge.h"

bool edit_result_is_refused(const struct edit_work *work, uint32_t change)
{
	MBJ_ASSERT(change < work->outcome.result_count);
	return work->outcome.results[change].refusal != MBJ_REFUSAL_NONE;
}

enum mbj_rc edit_result_set(struct edit_work *work, uint32_t change,
			    enum mbj_refusal refusal, const char *property,
			    struct mbj_error *err, const char *format, ...)
{
	struct mbj_change_result *result = &work->outcome.results[change];
	char text[MBJ_ERROR_MESSAGE_MAX];
	size_t size;
	va_list args;

	MBJ_ASSERT(refusal != MBJ_REFUSAL_NONE);
	if (edit_result_is_refused(work, change))
		return MBJ_OK;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	size = strlen(text) + 1;
	result->description = mbj_alloc(size);
	if (result->description == NULL)
		return mbj_error_nomem(err);
	memcpy(result->description, text, size);
	result->refusal = refusal;
	result->property = property;
	work->outcome.refused_count++;
	return MBJ_OK;
}
