/*
 * The limits and safety rules of every field of primitives: what is legal
 * comes back, what is not is refused by the check and by decoding alike.
 */
#include <mbj/tree.h>

#include "journal_cases.h"
#include "log_lab.h"

/* Set one member of a good primitive; must it pass? */
struct limit {
	uint16_t kind;
	size_t offset;
	size_t size; /* of the member */
	const void *value;
	bool is_good;
};

static void limit_try(struct lab_rng *lab, const struct limit *limit)
{
	struct mbj_op op = lab_op(lab, limit->kind, 1);
	struct mbj_op copy;
	struct mbj_buf bytes;

	memcpy((char *)&op + limit->offset, limit->value, limit->size);
	mbj_buf_init(&bytes, (size_t)1 << 20);
	lab_op_put(&bytes, &op);
	if (limit->is_good) {
		LAB_OK(mbj_op_check(&op, err));
		LAB_OK(lab_op_get(mbj_buf_view(&bytes), &copy, err));
		ck_assert(mbj_op_equal(&op, &copy));
	} else {
		LAB_FAILS(mbj_op_check(&op, err), MBJ_EINVALID);
		LAB_FAILS(lab_op_get(mbj_buf_view(&bytes), &copy, err),
			  MBJ_ECORRUPT);
	}
	mbj_buf_done(&bytes);
}

#define LIMIT(lab, kind_, member, value_, good)                            \
	limit_try(lab,                                                     \
		  &(struct limit){MBJ_OP_##kind_,                          \
				  offsetof(struct mbj_op, member),         \
				  sizeof(((struct mbj_op *)NULL)->member), \
				  &(value_), good})

/*
 * Goal: numbers at their limits, and one beyond.  Method: each field type that
 * is a number, in a primitive that has it.
 */
START_TEST(op_limits_numbers)
{
	struct mbj_id ids[] = {MBJ_ID_ROOT, MBJ_ID_TEMP, {{1}}};
	uint64_t revs[] = {0, 1, UINT64_MAX - 1, UINT64_MAX};
	struct lab_rng lab;
	struct test_rng seed;

	lab_rng_init(&lab, test_rng_seed(&seed), 40);
	for (unsigned i = 0; i <= UINT8_MAX; i++) {
		uint8_t value = (uint8_t)i;

		LIMIT(&lab, ACCOUNT_CREATE, is_folding, value, i <= 1);
		LIMIT(&lab, ACCOUNT_CREATE, delimiter, value,
		      i == '/' || i == '.');
		LIMIT(&lab, MAILBOX_CREATE, role, value, i <= MBJ_ROLE_TRASH);
		LIMIT(&lab, MAILBOX_CREATE, is_selectable, value, i <= 1);
		LIMIT(&lab, MAILBOX_SET, role_before, value,
		      i <= MBJ_ROLE_TRASH);
		LIMIT(&lab, MAILBOX_SET, is_selectable_before, value, i <= 1);
		LIMIT(&lab, MAILBOX_SET_ATTR, attr_kind, value,
		      i == 1 || i == 2);
	}
	for (unsigned i = 0; i < 4; i++) {
		LIMIT(&lab, MAILBOX_MOVE, rev, revs[i], i == 1 || i == 2);
		LIMIT(&lab, MAILBOX_DELETE, rev, revs[i], i == 1 || i == 2);
	}
	for (unsigned i = 0; i < 3; i++) {
		LIMIT(&lab, MAILBOX_CREATE, id, ids[i], i == 2);
		LIMIT(&lab, MAILBOX_MOVE, id, ids[i], i == 2);
		LIMIT(&lab, MAILBOX_CREATE, to.parent, ids[i], true);
	}
	lab_rng_done(&lab);
}
END_TEST

/* Lengths 0, 1, max, max + 1, and a NUL in the middle, of plain text. */
static void limit_text(struct lab_rng *lab, uint16_t kind, size_t offset,
		       size_t least, size_t most, bool may_have_nul)
{
	struct mbj_bytes text[] = {
		lab_random_text(lab, 0),    lab_random_text(lab, 1),
		lab_random_text(lab, most), lab_random_text(lab, most + 1),
		mbj_bytes_make("a\0b", 3),
	};
	struct limit limit = {kind, offset, sizeof(text[0]), NULL, false};

	for (size_t i = 0; i < 5; i++) {
		limit.value = &text[i];
		limit.is_good = i < 4 ? text[i].n >= least && text[i].n <= most
				      : may_have_nul;
		limit_try(lab, &limit);
	}
}

/*
 * Goal: texts at their limits, and one beyond.  Method: names and values of
 * accounts and attributes.
 */
START_TEST(op_limits_texts)
{
	size_t name = offsetof(struct mbj_op, name);
	size_t value = offsetof(struct mbj_op, value);
	struct lab_rng lab;
	struct test_rng seed;

	lab_rng_init(&lab, test_rng_seed(&seed), 40);
	limit_text(&lab, MBJ_OP_ACCOUNT_CREATE, name, 1, MBJ_ACCOUNT_NAME_MAX,
		   false);
	limit_text(&lab, MBJ_OP_ACCOUNT_RENAME, value, 1, MBJ_ACCOUNT_NAME_MAX,
		   false);
	limit_text(&lab, MBJ_OP_ACCOUNT_SET_ATTR, name, 1, MBJ_ATTR_NAME_MAX,
		   false);
	limit_text(&lab, MBJ_OP_ACCOUNT_SET_ATTR, value, 0, MBJ_ATTR_VALUE_MAX,
		   true);
	limit_text(&lab, MBJ_OP_MAILBOX_SET_ATTR, name, 1, MBJ_ATTR_NAME_MAX,
		   false);
	limit_text(&lab, MBJ_OP_MAILBOX_SET_ATTR, value, 0, MBJ_ATTR_VALUE_MAX,
		   true);
	limit_text(&lab, MBJ_OP_INTENT, name, 1, MBJ_ATTR_NAME_MAX, false);
	limit_text(&lab, MBJ_OP_INTENT, value, 1, MBJ_INTENT_SIZE_MAX, true);
	limit_text(&lab, MBJ_OP_RECEIPT, value, 1, MBJ_ATTR_VALUE_MAX, true);
	lab_rng_done(&lab);
}
END_TEST

/*
 * Goal: names and keys of slots at their limits, and one beyond.  Method:
 * stored names and keys of the lengths in question.
 */
START_TEST(op_limits_slots)
{
	static const struct {
		size_t stored;
		size_t key;
		bool is_good;
	} sizes[] = {
		{0, 1, false},
		{1, 1, true},
		{MBJ_NAME_MAX, MBJ_KEY_MAX, true},
		{MBJ_NAME_MAX + 1, 1, false},
		{1, MBJ_KEY_MAX + 1, false},
	};
	struct mbj_slot slot = {.parent = MBJ_ID_ROOT};
	struct lab_rng lab;
	struct test_rng seed;

	lab_rng_init(&lab, test_rng_seed(&seed), 40);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		slot.name.stored = lab_random_text(&lab, sizes[i].stored);
		slot.name.key = lab_random_text(&lab, sizes[i].key);
		LIMIT(&lab, MAILBOX_CREATE, to, slot, sizes[i].is_good);
		LIMIT(&lab, MAILBOX_DELETE, from, slot, sizes[i].is_good);
	}
	slot.name.stored = mbj_bytes_make("a\0b", 3);
	slot.name.key = mbj_bytes_str("ab");
	LIMIT(&lab, MAILBOX_MOVE, to, slot, false);
	slot.name.stored = mbj_bytes_str("ab");
	slot.name.key = mbj_bytes_make("a\0b", 3);
	LIMIT(&lab, MAILBOX_MOVE, to, slot, false);
	lab_rng_done(&lab);
}
END_TEST

/* depth components of size bytes, joined by NUL. */
static struct mbj_bytes path_bytes(struct lab_rng *lab, size_t depth,
				   size_t size, int letter)
{
	size_t n = depth * (size + 1) - 1;
	uint8_t *p = mbj_arena_alloc(lab->arena, n + 1);

	ck_assert_ptr_nonnull(p);
	memset(p, letter, n + 1);
	for (size_t i = size; i < n; i += size + 1)
		p[i] = 0;
	return mbj_bytes_make(p, n);
}

/*
 * Goal: depth, length and components of paths at their limits, and one
 * beyond.  Method: paths of equal components; keys that do not fit them.
 */
START_TEST(op_limits_paths)
{
	struct mbj_path path;
	struct lab_rng lab;
	struct test_rng seed;

	lab_rng_init(&lab, test_rng_seed(&seed), 40);
	for (unsigned i = 0; i < 2; i++) {
		path.stored = path_bytes(&lab, MBJ_DEPTH_MAX + i, 1, 'a');
		path.key = path.stored;
		LIMIT(&lab, SUBSCRIBE, path, path, i == 0);
		path.stored = path_bytes(&lab, 3, MBJ_NAME_MAX + i, 'a');
		path.key = path.stored;
		LIMIT(&lab, UNSUBSCRIBE, path, path, i == 0);
		path.stored = path_bytes(&lab, 256, MBJ_NAME_MAX, 'a');
		path.stored.n += i;
		ck_assert_uint_eq(path.stored.n, MBJ_PATH_MAX - 1 + i);
		path.key = path_bytes(&lab, 256, 3, 'A');
		/* Behind the last component there is room for a NUL only. */
		LIMIT(&lab, SUBSCRIBE, path, path, i == 0);
	}
	path.stored = path_bytes(&lab, 2, 1, 'a');
	path.key = path_bytes(&lab, 3, 1, 'A');
	LIMIT(&lab, SUBSCRIBE, path, path, false);
	path.key = path_bytes(&lab, 1, 3, 'A');
	LIMIT(&lab, SUBSCRIBE, path, path, false);
	/* Of any content, in a buffer that would hold it. */
	path.stored = mbj_bytes_str("a");
	path.key = path_bytes(&lab, 1, 3 * MBJ_PATH_MAX + 1, 'A');
	LIMIT(&lab, SUBSCRIBE, path, path, false);
	path.stored = mbj_bytes_make("a\0", 2);
	path.key = path.stored;
	LIMIT(&lab, SUBSCRIBE, path, path, false);
	path.stored = mbj_bytes_make("\0a", 2);
	path.key = path.stored;
	LIMIT(&lab, SUBSCRIBE, path, path, false);
	path.stored = path.key = mbj_bytes_make(NULL, 0);
	LIMIT(&lab, SUBSCRIBE, path, path, false);
	lab_rng_done(&lab);
}
END_TEST

/*
 * Goal: the longest path is legal, one byte more is not.  Method: components
 * of 255 bytes, a last one that fills up to the limit.
 */
START_TEST(op_limits_path_size)
{
	struct mbj_path path;
	struct lab_rng lab;
	struct test_rng seed;
	uint8_t *p;

	lab_rng_init(&lab, test_rng_seed(&seed), 40);
	p = mbj_arena_alloc(lab.arena, MBJ_PATH_MAX + 1);
	ck_assert_ptr_nonnull(p);
	memset(p, 'a', MBJ_PATH_MAX + 1);
	for (size_t i = 199; i < MBJ_PATH_MAX - 50; i += 200)
		p[i] = 0;
	for (size_t i = 0; i < 2; i++) {
		path.stored = mbj_bytes_make(p, MBJ_PATH_MAX + i);
		path.key = path.stored;
		LIMIT(&lab, SUBSCRIBE, path, path, i == 0);
	}
	lab_rng_done(&lab);
}
END_TEST

TCase *test_op_limits_case(void)
{
	TCase *tc = tcase_create("op_limits");

	tcase_add_test(tc, op_limits_numbers);
	tcase_add_test(tc, op_limits_texts);
	tcase_add_test(tc, op_limits_slots);
	tcase_add_test(tc, op_limits_paths);
	tcase_add_test(tc, op_limits_path_size);
	return tc;
}
