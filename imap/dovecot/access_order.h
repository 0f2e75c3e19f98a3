/*
 * How an access control list becomes another one, so that nobody is let in
 * meanwhile: by way of a list that gives nobody more than either of the two.
 *
 * Of a user's entries the most specific rank counts, and within it all of his
 * groups' together; an entry without rights counts as well.  What is taken away
 * is a list by itself, under the same rule.  So an entry that comes may take
 * rights away, where it stands in place of others, and one that goes may give.
 * Owners are not looked after: they have all rights but by an entry of theirs.
 *
 * Pure: no Dovecot.
 */
#ifndef MBJ_DOVECOT_ACCESS_ORDER_H
#define MBJ_DOVECOT_ACCESS_ORDER_H

#include <mbj/types.h>

/* The least specific first. */
enum access_rank {
	ACCESS_ANYONE,
	ACCESS_AUTHENTICATED,
	ACCESS_GROUP,
	ACCESS_OWNER,
	ACCESS_USER,
	ACCESS_OVERRIDE, /* groups that count more than users */
	ACCESS_RANKS
};

/* The identifier's, as the journal has it: '-' in front is a denial. */
enum access_rank access_rank(struct mbj_bytes name);
bool access_is_denial(struct mbj_bytes name);
/* A bit for each letter, 0: it is an entry without rights. */
uint32_t access_rights(struct mbj_bytes letters);

struct access_value {
	bool is_there;
	uint32_t rights;
};

/* One entry of both lists. */
struct access_change {
	enum access_rank rank;
	bool is_denial;
	struct access_value before, after;
	struct access_value meantime; /* set by access_meantime */
};

/*
 * The list between the two.  From the first list on, in whatever order entries
 * are made this one's, nobody has more than by the first; by this one nobody
 * has more than by either; from here on, the most specific ranks first and what
 * goes at any time, nobody has more than by the second.
 * changes: all entries of both lists.
 */
void access_meantime(struct access_change *changes, size_t count);

#endif
