/*
 * The list between two access control lists, against a model of what Dovecot
 * makes of a list (acl_object_rebuild_cache).
 */
#include "access_order.h"
#include "support.h"

enum { ENTRIES = 9, ALL_ENTRIES = 18, USERS = 12, RIGHTS = 3, LISTS = 1500 };

/* Of each its denial is in the second half. */
static const char *const NAMES[ENTRIES] = {
	"anyone", "authenticated", "$a", "$b", "$c", "bob", "tom", "!$a", "!$b",
};

struct list {
	struct access_value values[ALL_ENTRIES];
};

/* Whom entry i is for: 0 is nobody who is known. */
static bool is_for(size_t i, size_t user)
{
	switch (i) {
	case 0:
		return true;
	case 1:
		return user > 0;
	case 2:
	case 3:
	case 4:
		return user > 0 && ((user - 1) & 7) >> (i - 2) & 1;
	case 5:
		return user >= 4 && user < 8;
	case 6:
		return user >= 8;
	default:
		return user > 0 && ((user - 1) & 7) >> (i - 7) & 1;
	}
}

static uint32_t side_of(const struct access_value *values, size_t user)
{
	enum access_rank rank = ACCESS_RANKS;
	uint32_t rights = 0;

	for (size_t i = 0; i < ENTRIES; i++) {
		enum access_rank mine = access_rank(mbj_bytes_str(NAMES[i]));

		if (!values[i].is_there || !is_for(i, user))
			continue;
		rights = (mine == rank ? rights : 0) | values[i].rights;
		rank = mine;
	}
	return rights;
}

static uint32_t effect(const struct list *list, size_t user)
{
	return side_of(list->values, user) &
	       ~side_of(list->values + ENTRIES, user);
}

static void list_check(const struct list *list, const struct list *most)
{
	for (size_t user = 0; user < USERS; user++)
		ck_assert_uint_eq(effect(list, user) & ~effect(most, user), 0);
}

static void list_fill(struct test_rng *rng, struct list *list)
{
	for (size_t i = 0; i < ALL_ENTRIES; i++) {
		list->values[i].is_there = test_rng_chance(rng, 1, 2);
		list->values[i].rights =
			(uint32_t)test_rng_below(rng, 1 << RIGHTS);
	}
}

/* So that some entries are the same, and some have others' rights. */
static void list_change(struct test_rng *rng, struct list *list)
{
	struct list other;

	list_fill(rng, &other);
	for (size_t i = 0; i < ALL_ENTRIES; i++)
		if (test_rng_chance(rng, 1, 3))
			list->values[i] = other.values[i];
}

/* Entry by entry, in an order where each is one of the rest's first. */
static void list_go(struct test_rng *rng, struct list *list,
		    const struct list *to, bool is_by_rank,
		    const struct list *most)
{
	bool is_done[ALL_ENTRIES] = {false};

	for (size_t n = 0; n < ALL_ENTRIES; n++) {
		size_t at = ALL_ENTRIES;
		int best = -1;

		for (size_t i = 0; i < ALL_ENTRIES; i++) {
			int rank = (int)access_rank(
				mbj_bytes_str(NAMES[i % ENTRIES]));

			if (is_done[i])
				continue;
			if (!is_by_rank || !to->values[i].is_there)
				rank = (int)test_rng_below(rng, 100);
			if (rank > best) {
				best = rank;
				at = i;
			}
		}
		is_done[at] = true;
		list->values[at] = to->values[at];
		list_check(list, most);
	}
}

/*
 * Goal: nobody is let in on the way who is not let in at its end and was not at
 * its beginning, wherever it is left.  Method: lists at random, and all kinds
 * of users, asked after each entry.
 */
START_TEST(order_random)
{
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	for (int n = 0; n < LISTS; n++) {
		struct access_change changes[ALL_ENTRIES];
		struct list before, after, meantime, list;
		size_t at[ALL_ENTRIES], count = 0;

		list_fill(&rng, &before);
		after = before;
		list_change(&rng, &after);
		meantime = (struct list){0};
		for (size_t i = 0; i < ALL_ENTRIES; i++) {
			if (!before.values[i].is_there &&
			    !after.values[i].is_there)
				continue;
			at[count] = i;
			changes[count++] = (struct access_change){
				.rank = access_rank(
					mbj_bytes_str(NAMES[i % ENTRIES])),
				.is_denial = i >= ENTRIES,
				.before = before.values[i],
				.after = after.values[i],
			};
		}
		access_meantime(changes, count);
		for (size_t i = 0; i < count; i++)
			meantime.values[at[i]] = changes[i].meantime;
		list = before;
		list_go(&rng, &list, &meantime, false, &before);
		list_check(&meantime, &after);
		list_go(&rng, &list, &after, true, &after);
	}
}
END_TEST

static struct access_change grant(const char *name, const char *before,
				  const char *after)
{
	return (struct access_change){
		.rank = access_rank(mbj_bytes_str(name)),
		.is_denial = access_is_denial(mbj_bytes_str(name)),
		.before = {before[0] != '\0',
			   access_rights(mbj_bytes_str(before))},
		.after = {after[0] != '\0',
			  access_rights(mbj_bytes_str(after))},
	};
}

/* Goal: no more than that is taken away meanwhile.  Method: by hand. */
START_TEST(order_least)
{
	static const struct {
		const char *names[2], *before[2], *after[2], *meantime[2];
	} ROWS[] = {
		/* what comes and takes nothing waits, what goes goes */
		{{"bob", "tom"}, {"", "lr"}, {"lr", ""}, {"", ""}},
		{{"bob", "anyone"}, {"", "l"}, {"lr", "l"}, {"", "l"}},
		{{"bob", "anyone"}, {"lr", "l"}, {"", "l"}, {"", "l"}},
		/* what stands in place of others, or did */
		{{"bob", "anyone"}, {"", "lr"}, {"l", "lr"}, {"l", "lr"}},
		{{"bob", "anyone"}, {"l", "lr"}, {"", "lr"}, {"l", "lr"}},
		{{"$a", "anyone"}, {"l", "lr"}, {"", "l"}, {"l", "l"}},
		{{"bob", "anyone"}, {"", "l"}, {"l", "lrs"}, {"", "l"}},
		{{"bob", "$a"}, {"", "lrs"}, {"lr", "lrs"}, {"0", "lrs"}},
		{{"bob", "tom"}, {"", "lrs"}, {"lr", "lrs"}, {"", "lrs"}},
		{{"bob", "tom"}, {"", ""}, {"0", "l"}, {"0", ""}},
		{{"bob", "tom"}, {"0", ""}, {"", "l"}, {"0", ""}},
		{{"bob", "owner"}, {"", "lrs"}, {"l", "lr"}, {"", "lr"}},
		{{"owner", "bob"}, {"", "l"}, {"l", "l"}, {"l", "l"}},
		/* both */
		{{"bob", "tom"}, {"lr", "l"}, {"ls", "l"}, {"l", "l"}},
		{{"-bob", "tom"}, {"r", "l"}, {"s", "l"}, {"rs", "l"}},
		{{"-bob", "-$a"}, {"", "r"}, {"s", "r"}, {"rs", "r"}},
		{{"-bob", "-$a"}, {"s", "r"}, {"", "r"}, {"rs", "r"}},
		{{"-bob", "-$a"}, {"", "r"}, {"0", "r"}, {"", "r"}},
	};

	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct access_change changes[2];

		for (size_t k = 0; k < 2; k++)
			changes[k] = grant(ROWS[i].names[k], ROWS[i].before[k],
					   ROWS[i].after[k]);
		access_meantime(changes, 2);
		for (size_t k = 0; k < 2; k++) {
			const char *wanted = ROWS[i].meantime[k];
			const struct access_value *got = &changes[k].meantime;

			if (!changes[k].before.is_there &&
			    !changes[k].after.is_there)
				continue;
			ck_assert_msg(
				got->is_there == (wanted[0] != '\0') &&
					(!got->is_there ||
					 got->rights ==
						 access_rights(mbj_bytes_str(
							 wanted))),
				"row %zu, %s", i, ROWS[i].names[k]);
		}
	}
}
END_TEST

static TCase *order_case(void)
{
	TCase *cases = tcase_create("order");

	tcase_add_test(cases, order_random);
	tcase_add_test(cases, order_least);
	return cases;
}

int main(void)
{
	static const test_case_fn cases[] = {order_case};

	return test_run("access_order", cases,
			sizeof(cases) / sizeof(cases[0]));
}
