/*
 * What names of attributes can be recorded.  See mbj/edit.h.  In a file of
 * their own, since producers ask before they tell.
 *
 * Threads: pure functions.
 */
#include <string.h>

#include <mbj/edit.h>
#include <mbj/limits.h>

#include "edit_text.h"

const char *mbj_identifier_fault(struct mbj_bytes name)
{
	if (name.n == 0 || (name.n == 1 && name.p[0] == '-'))
		return "is nobody's";
	if (name.n > MBJ_ATTR_NAME_MAX)
		return "is longer than 1024 bytes";
	return edit_text_fault(name);
}

static bool entry_begins(struct mbj_bytes name, const char *word)
{
	size_t n = strlen(word);

	if (name.n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = name.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c - 'A' + 'a');
		if (c != (uint8_t)word[i])
			return false;
	}
	return true;
}

const char *mbj_entry_fault(struct mbj_bytes name)
{
	if (name.n > MBJ_ATTR_NAME_MAX)
		return "is longer than 1024 bytes";
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] < 0x20 || name.p[i] >= 0x7f)
			return "is not printable ASCII";
		if (name.p[i] == '*' || name.p[i] == '%')
			return "contains * or %";
		if (name.p[i] == '/' &&
		    (i + 1 == name.n || name.p[i + 1] == '/'))
			return "has an empty component";
	}
	if (!entry_begins(name, "/private/") && !entry_begins(name, "/shared/"))
		return "does not begin with /private/ or /shared/";
	return NULL;
}
