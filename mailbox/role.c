/*
 * Roles of mailboxes: their numbers in records, JMAP's words for them.
 * Both come from MBJ_ROLE_MAP; nothing here knows a role of its own.
 *
 * Threads: pure functions.
 */
#include <mbj/check.h>
#include <mbj/tree.h>

static const struct {
	enum mbj_role role;
	const char *word;
} role_words[] = {
#define X(name, number, word) {MBJ_ROLE_##name, (word)},
	MBJ_ROLE_MAP(X)
#undef X
};

enum { ROLE_COUNT = sizeof(role_words) / sizeof(role_words[0]) };

const char *mbj_role_name(enum mbj_role role)
{
	for (int i = 0; i < ROLE_COUNT; i++) {
		if (role_words[i].role == role)
			return role_words[i].word;
	}
	return NULL;
}

bool mbj_role_parse(struct mbj_bytes word, enum mbj_role *ret_role)
{
	MBJ_ASSERT(ret_role != NULL);
	MBJ_ASSERT(word.p != NULL || word.n == 0);
	for (int i = 0; i < ROLE_COUNT; i++) {
		if (!mbj_bytes_equal(word, mbj_bytes_str(role_words[i].word)))
			continue;
		*ret_role = role_words[i].role;
		return true;
	}
	return false;
}
