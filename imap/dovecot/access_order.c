/*
 * The list between two access control lists.  See access_order.h.
 */
#include "access_order.h"

#include <string.h>

static const uint32_t ALL = UINT32_MAX;

/* ---------------------------------------------------------------- entries */

bool access_is_denial(struct mbj_bytes name)
{
	return name.n > 0 && name.p[0] == '-';
}

static bool is_word(struct mbj_bytes name, const char *word)
{
	return mbj_bytes_equal(name, mbj_bytes_str(word));
}

enum access_rank access_rank(struct mbj_bytes name)
{
	if (access_is_denial(name))
		name = mbj_bytes_make(name.p + 1, name.n - 1);
	if (is_word(name, "anyone"))
		return ACCESS_ANYONE;
	if (is_word(name, "authenticated"))
		return ACCESS_AUTHENTICATED;
	if (is_word(name, "owner"))
		return ACCESS_OWNER;
	if (name.n > 0 && name.p[0] == '$')
		return ACCESS_GROUP;
	return name.n > 1 && memcmp(name.p, "!$", 2) == 0 ? ACCESS_OVERRIDE
							  : ACCESS_USER;
}

uint32_t access_rights(struct mbj_bytes letters)
{
	uint32_t rights = 0;

	for (size_t i = 0; i < letters.n; i++)
		if (letters.p[i] >= 'a' && letters.p[i] <= 'z')
			rights |= UINT32_C(1) << (letters.p[i] - 'a');
	return rights;
}

/* ----------------------------------------------------------------- covers */

/* What entries give, or take, whoever they are for. */
struct cover {
	uint32_t all;	 /* that each of them gives */
	uint32_t any;	 /* that one of them gives */
	bool is_certain; /* one of them is everybody's */
};

struct covers {
	struct cover ranks[ACCESS_RANKS];
};

static void cover_add(struct cover *cover, const struct cover *other)
{
	cover->all &= other->all;
	cover->any |= other->any;
	cover->is_certain |= other->is_certain;
}

static void value_add(struct covers *covers, const struct access_change *change,
		      const struct access_value *value)
{
	const struct cover cover = {
		.all = value->rights,
		.any = value->rights,
		.is_certain = change->rank <= ACCESS_AUTHENTICATED,
	};

	if (value->is_there)
		cover_add(&covers->ranks[change->rank], &cover);
}

static void covers_read(const struct access_change *changes, size_t count,
			bool is_denial, bool is_after,
			struct covers *ret_covers)
{
	for (size_t i = 0; i < ACCESS_RANKS; i++)
		ret_covers->ranks[i] = (struct cover){.all = ALL};
	for (size_t i = 0; i < count; i++)
		if (changes[i].is_denial == is_denial)
			value_add(ret_covers, &changes[i],
				  is_after ? &changes[i].after
					   : &changes[i].before);
}

/*
 * What an entry of that rank stands in place of where it is, and what is there
 * where it is not: also of other groups, which count together.
 */
static struct cover cover_of(const struct covers *covers, enum access_rank rank)
{
	struct cover cover = {.all = ALL};

	for (enum access_rank i = 0; i <= rank; i++)
		if (i != ACCESS_OWNER && (i < rank || rank != ACCESS_USER))
			cover_add(&cover, &covers->ranks[i]);
	if (!cover.is_certain)
		cover.all = 0;
	return cover;
}

/* --------------------------------------------------------------- meantime */

static void grant_judge(struct access_change *change, struct cover before,
			struct cover after)
{
	struct access_value *meantime = &change->meantime;

	if (change->rank == ACCESS_OWNER)
		before = after = (struct cover){.all = ALL, .any = ALL};
	if (!change->before.is_there)
		meantime->is_there = change->after.rights == 0 ||
				     (before.any & ~change->after.rights) != 0;
	else if (!change->after.is_there)
		/* Without rights it may stand in place of what is not here. */
		meantime->is_there = change->before.rights == 0 ||
				     ((before.any | after.any) &
				      ~change->before.rights) != 0;
	meantime->rights &=
		(change->before.is_there ? change->before.rights : before.all) &
		(change->after.is_there ? change->after.rights : after.all);
}

static void denial_judge(struct access_change *change, struct cover before,
			 struct cover after)
{
	struct access_value *meantime = &change->meantime;

	if (change->rank == ACCESS_OWNER)
		before = after = (struct cover){.all = 0};
	/* Without rights it ends what less specific ones take away. */
	if (!change->before.is_there)
		meantime->is_there = change->after.rights != 0;
	meantime->rights =
		(change->before.is_there ? change->before.rights : before.any) |
		(change->after.is_there ? change->after.rights : after.any);
}

void access_meantime(struct access_change *changes, size_t count)
{
	struct covers before[2], after[2];

	for (int i = 0; i < 2; i++) {
		covers_read(changes, count, i == 1, false, &before[i]);
		covers_read(changes, count, i == 1, true, &after[i]);
	}
	for (size_t i = 0; i < count; i++) {
		struct access_change *change = &changes[i];
		int which = change->is_denial ? 1 : 0;
		struct cover b = cover_of(&before[which], change->rank);
		struct cover a = cover_of(&after[which], change->rank);

		change->meantime =
			(struct access_value){.is_there = true, .rights = ALL};
		if (change->is_denial)
			denial_judge(change, b, a);
		else
			grant_judge(change, b, a);
	}
}
