/*
 * Primitives: the table, the one form in which each is written, and the line
 * for people.  The limits of fields are test_op_limits.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include <mbj/tree.h>

#include "journal_cases.h"
#include "log_lab.h"

enum { ROUNDS = 3000 };

/*
 * Goal: numbers are stable for ever.  Method: the list as it was released,
 * compared with the table, and lookups of everything else.
 */
START_TEST(op_numbers)
{
	static const struct {
		uint16_t kind;
		const char *word;
	} released[] = {
		{1, "account-create"},	  {2, "account-delete"},
		{3, "account-rename"},	  {4, "account-set"},
		{5, "account-set-attr"},  {16, "mailbox-create"},
		{17, "mailbox-move"},	  {18, "mailbox-delete"},
		{19, "mailbox-set"},	  {20, "mailbox-set-attr"},
		{21, "name-retire"},	  {32, "message-append"},
		{33, "message-flags"},	  {34, "message-expunge"},
		{35, "message-take-all"}, {36, "message-guid"},
		{48, "subscribe"},	  {49, "unsubscribe"},
		{80, "intent"},		  {81, "outcome"},
		{96, "receipt"},
	};
	size_t count = sizeof(released) / sizeof(released[0]);
	size_t known = 0;

	ck_assert_uint_eq(mbj_op_info_count(), count);
	for (size_t i = 0; i < count; i++) {
		const struct mbj_op_info *info =
			mbj_op_info_get(released[i].kind);

		ck_assert_ptr_nonnull(info);
		ck_assert_str_eq(info->word, released[i].word);
		ck_assert_uint_eq(info->since, 1);
		ck_assert_ptr_eq(mbj_op_info_at(i), info);
		ck_assert_uint_gt(info->field_count, 0);
	}
	for (unsigned kind = 0; kind <= UINT16_MAX; kind++)
		known += mbj_op_info_get((uint16_t)kind) != NULL;
	ck_assert_uint_eq(known, count);
}
END_TEST

/*
 * Goal: what is written comes back, in exactly the bytes it had.  Method:
 * random primitives of every kind, up to the longest values.
 */
START_TEST(op_round_trip)
{
	struct lab_rng lab;
	struct test_rng seed;
	struct mbj_buf bytes;
	struct mbj_buf again;

	lab_rng_init(&lab, test_rng_seed(&seed), 0);
	mbj_buf_init(&bytes, MBJ_OP_SIZE_MAX + OP_HEADER_SIZE);
	mbj_buf_init(&again, MBJ_OP_SIZE_MAX + OP_HEADER_SIZE);
	for (size_t i = 0; i < ROUNDS; i++) {
		size_t at = i % mbj_op_info_count();
		struct mbj_op op = lab_op(&lab, mbj_op_info_at(at)->kind, 9);
		struct mbj_op copy;

		LAB_OK(mbj_op_check(&op, err));
		lab_op_put(&bytes, &op);
		LAB_OK(lab_op_get(mbj_buf_view(&bytes), &copy, err));
		ck_assert(mbj_op_equal(&op, &copy));
		lab_op_put(&again, &copy);
		ck_assert(mbj_bytes_equal(mbj_buf_view(&bytes),
					  mbj_buf_view(&again)));
		mbj_arena_reset(lab.arena);
	}
	mbj_buf_done(&bytes);
	mbj_buf_done(&again);
	lab_rng_done(&lab);
}
END_TEST

/*
 * Goal: equal means equal in every field, and in those only.  Method: one
 * member at a time is taken from another primitive of the same kind.
 */
START_TEST(op_equal)
{
	struct mbj_buf bytes[2];
	struct lab_rng lab;
	struct test_rng seed;

	lab_rng_init(&lab, test_rng_seed(&seed), 64);
	for (int i = 0; i < 2; i++)
		mbj_buf_init(&bytes[i], MBJ_OP_SIZE_MAX + OP_HEADER_SIZE);
	for (size_t round = 0; round < ROUNDS; round++) {
		struct mbj_op a = lab_op(&lab, 0, 1);
		struct mbj_op b = lab_op(&lab, a.kind, 1);
		const struct op_layout *layout = op_layout_get(a.kind);

		for (size_t i = 0; i < layout->info->field_count; i++) {
			struct mbj_op mixed = a;
			size_t at = layout->members[i].offset;
			size_t end = sizeof(a);

			for (size_t j = 0; j < layout->info->field_count; j++) {
				size_t next = layout->members[j].offset;

				if (next > at && next < end)
					end = next;
			}
			memcpy((char *)&mixed + at, (char *)&b + at, end - at);
			mixed.account = a.account;
			lab_op_put(&bytes[0], &a);
			lab_op_put(&bytes[1], &mixed);
			ck_assert_int_eq(
				mbj_op_equal(&a, &mixed),
				mbj_bytes_equal(mbj_buf_view(&bytes[0]),
						mbj_buf_view(&bytes[1])));
		}
		b = a;
		b.account++;
		ck_assert(!mbj_op_equal(&a, &b));
		mbj_arena_reset(lab.arena);
	}
	for (int i = 0; i < 2; i++)
		mbj_buf_done(&bytes[i]);
	lab_rng_done(&lab);
}
END_TEST

/*
 * Goal: a cut-off primitive is never one.  Method: every proper prefix, and
 * every size field that is too small or too large.
 */
START_TEST(op_truncated)
{
	struct lab_rng lab;
	struct test_rng seed;
	struct mbj_buf bytes;
	struct mbj_op op;

	lab_rng_init(&lab, test_rng_seed(&seed), 12);
	mbj_buf_init(&bytes, MBJ_OP_SIZE_MAX + OP_HEADER_SIZE + 1);
	for (size_t k = 0; k < mbj_op_info_count(); k++) {
		struct mbj_op whole = lab_op(&lab, mbj_op_info_at(k)->kind, 1);
		uint32_t size;

		lab_op_put(&bytes, &whole);
		size = mbj_load_u32(bytes.p + 8);
		ck_assert_uint_eq(size + OP_HEADER_SIZE, bytes.n);
		for (size_t n = 0; n < bytes.n; n++)
			LAB_FAILS(lab_op_get(mbj_bytes_make(bytes.p, n), &op,
					     err),
				  MBJ_ECORRUPT);
		mbj_buf_put_u8(&bytes, 0);
		for (uint32_t wrong = 0; wrong <= size + 1; wrong++) {
			if (wrong == size)
				continue;
			mbj_store_u32(bytes.p + 8, wrong);
			LAB_FAILS(lab_op_get(mbj_buf_view(&bytes), &op, err),
				  MBJ_ECORRUPT);
		}
		mbj_store_u32(bytes.p + 8, UINT32_MAX);
		LAB_FAILS(lab_op_get(mbj_buf_view(&bytes), &op, err),
			  MBJ_ECORRUPT);
	}
	mbj_buf_done(&bytes);
	lab_rng_done(&lab);
}
END_TEST

/*
 * Goal: whatever is accepted has one form only.  Method: every single bit of
 * random primitives flipped; what still decodes must encode to those bytes.
 */
START_TEST(op_flips)
{
	struct lab_rng lab;
	struct test_rng seed;
	struct mbj_buf bytes;
	struct mbj_buf again;
	unsigned refused = 0;

	lab_rng_init(&lab, test_rng_seed(&seed), 40);
	mbj_buf_init(&bytes, MBJ_OP_SIZE_MAX + OP_HEADER_SIZE);
	mbj_buf_init(&again, MBJ_OP_SIZE_MAX + OP_HEADER_SIZE);
	for (size_t i = 0; i < 20 * mbj_op_info_count(); i++) {
		struct mbj_op op =
			lab_op(&lab,
			       mbj_op_info_at(i % mbj_op_info_count())->kind,
			       1);

		lab_op_put(&bytes, &op);
		for (size_t bit = 0; bit < bytes.n * 8; bit++) {
			struct mbj_reader reader;

			bytes.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
			mbj_reader_init(&reader, mbj_buf_view(&bytes));
			if (mbj_op_decode(&reader, &op, NULL) == MBJ_OK) {
				lab_op_put(&again, &op);
				ck_assert_uint_eq(again.n, reader.offset);
				ck_assert_mem_eq(again.p, bytes.p, again.n);
			} else {
				refused++;
			}
			bytes.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		mbj_arena_reset(lab.arena);
	}
	ck_assert_uint_gt(refused, 0);
	mbj_buf_done(&bytes);
	mbj_buf_done(&again);
	lab_rng_done(&lab);
}
END_TEST

/*
 * Goal: a key equal to its name is left out, never repeated, and reserved
 * bytes are zero.  Method: by hand, next to the form that is accepted.
 */
START_TEST(op_one_form)
{
	static const uint8_t good[] = {
		48, 0, 0, 0, 0,	  0,   0,   0, 11, 0, 0, 0, /* header */
		3,  0, 0, 0, 'a', 'b', 'c', 0, 0,  0, 0,    /* key left out */
	};
	static const uint8_t repeated[] = {
		48, 0, 0, 0,   0,   0,	 0, 0, 14, 0, 0,   0,	3,
		0,  0, 0, 'a', 'b', 'c', 3, 0, 0,  0, 'a', 'b', 'c',
	};
	uint8_t bytes[sizeof(good)];
	struct mbj_op op;

	LAB_OK(lab_op_get(mbj_bytes_make(good, sizeof(good)), &op, err));
	ck_assert_uint_eq(op.kind, MBJ_OP_SUBSCRIBE);
	ck_assert(mbj_bytes_equal(op.path.key, mbj_bytes_str("abc")));
	LAB_FAILS(lab_op_get(mbj_bytes_make(repeated, sizeof(repeated)), &op,
			     err),
		  MBJ_ECORRUPT);
	for (unsigned i = 2; i < 4; i++) {
		memcpy(bytes, good, sizeof(good));
		bytes[i] = 1;
		LAB_FAILS(lab_op_get(mbj_bytes_make(bytes, sizeof(bytes)), &op,
				     err),
			  MBJ_ECORRUPT);
	}
	memcpy(bytes, good, sizeof(good));
	bytes[0] = 50;
	LAB_FAILS(lab_op_get(mbj_bytes_make(bytes, sizeof(bytes)), &op, err),
		  MBJ_EUNSUPPORTED);
	memset(&op, 0, sizeof(op));
	op.kind = 50;
	LAB_FAILS(mbj_op_check(&op, err), MBJ_EINVALID);
}
END_TEST

/* ------------------------------------------------------------ printing */

static void print_is(const struct mbj_op *op, const char *expected)
{
	struct mbj_buf line;

	mbj_buf_init(&line, (size_t)1 << 20);
	mbj_op_print(&line, op);
	mbj_buf_put_u8(&line, 0);
	LAB_OK(mbj_buf_ok(&line, err));
	ck_assert_str_eq((const char *)line.p, expected);
	mbj_buf_done(&line);
}

/*
 * Goal: two forms of a name are both compared, and so is the kind.  Method:
 * keys that differ behind equal names, in a slot and in a path; two kinds with
 * the same fields.
 */
START_TEST(op_equal_keys)
{
	struct mbj_op a = {.kind = MBJ_OP_MAILBOX_MOVE,
			   .to.name = {mbj_bytes_str("n"), mbj_bytes_str("k")}};
	struct mbj_op b = a;

	ck_assert(mbj_op_equal(&a, &b));
	b.to.name.key = mbj_bytes_str("l");
	ck_assert(!mbj_op_equal(&a, &b));
	a = (struct mbj_op){.kind = MBJ_OP_SUBSCRIBE,
			    .path = {mbj_bytes_str("n"), mbj_bytes_str("k")}};
	b = a;
	ck_assert(mbj_op_equal(&a, &b));
	b.path.key = mbj_bytes_str("l");
	ck_assert(!mbj_op_equal(&a, &b));
	b = a;
	b.kind = MBJ_OP_UNSUBSCRIBE;
	ck_assert(!mbj_op_equal(&a, &b));
}
END_TEST

static struct mbj_name name_of_text(const char *stored)
{
	return (struct mbj_name){mbj_bytes_str(stored), mbj_bytes_str("key")};
}

/*
 * Goal: an operator can read a primitive, and no name can forge one.  Method:
 * lines of each field type, with names that hold quotes, newlines and
 * direction marks.
 */
START_TEST(op_print_lines)
{
	struct mbj_op op = {
		.kind = MBJ_OP_MAILBOX_MOVE,
		.id = {{0xab}},
		.rev = 3,
		.from = {MBJ_ID_ROOT, name_of_text("a \"b\" c")},
		.to = {MBJ_ID_TEMP, name_of_text("x\ny\xe2\x80\xae")},
		.uidvalidity = 4294967295u,
	};

	print_is(&op,
		 "mailbox-move ab000000000000000000000000000000 rev 3 "
		 "from ROOT/\"a \\\"b\\\" c\" "
		 "to TEMP/\"x\\u{000A}y\\u{202E}\" uidvalidity 4294967295");
	op = (struct mbj_op){.kind = MBJ_OP_ACCOUNT_CREATE,
			     .name = mbj_bytes_str("alice"),
			     .is_folding = 1,
			     .delimiter = '.',
			     .uidvalidity = 1};
	print_is(&op, "account-create name \"alice\" is_folding 1 "
		      "delimiter '.' uidvalidity 1");
	op = (struct mbj_op){.kind = MBJ_OP_SUBSCRIBE};
	op.path.stored = mbj_bytes_make("a\0b/c", 5);
	op.path.key = op.path.stored;
	print_is(&op, "subscribe path \"a\"/\"b/c\"");
	op = (struct mbj_op){.kind = MBJ_OP_MAILBOX_SET,
			     .id = {{1}},
			     .rev = UINT64_MAX - 1,
			     .role = MBJ_ROLE_SENT,
			     .is_selectable = 1};
	print_is(&op, "mailbox-set 01000000000000000000000000000000 "
		      "rev 18446744073709551614 role_before none role sent "
		      "is_selectable_before 0 is_selectable 1 uidvalidity 0");
	/* What was never judged is printed too: it is wanted in a message. */
	op.role_before = 0xee;
	op.uidvalidity = 1;
	print_is(&op, "mailbox-set 01000000000000000000000000000000 "
		      "rev 18446744073709551614 role_before none role sent "
		      "is_selectable_before 0 is_selectable 1 uidvalidity 1");
	op = (struct mbj_op){.kind = MBJ_OP_RECEIPT,
			     .edit_hash = {{0xfe}},
			     .value = mbj_bytes_make("\x1b\n\0", 3)};
	print_is(&op, "receipt edit_hash "
		      "fe000000000000000000000000000000"
		      "00000000000000000000000000000000 value 3 bytes");
	op = (struct mbj_op){.kind = MBJ_OP_NAME_RETIRE, .uidvalidity = 9};
	print_is(&op, "name-retire name_hash "
		      "00000000000000000000000000000000"
		      "00000000000000000000000000000000 uidvalidity 9");
}
END_TEST

/*
 * Goal: the line of any primitive is one line, of bounded length.  Method:
 * random ones with the longest values.
 */
START_TEST(op_print_any)
{
	struct lab_rng lab;
	struct test_rng seed;
	struct mbj_buf line;

	lab_rng_init(&lab, test_rng_seed(&seed), 0);
	mbj_buf_init(&line, 16384);
	for (size_t i = 0; i < ROUNDS; i++) {
		struct mbj_op op = lab_op(&lab, 0, 1);

		mbj_buf_clear(&line);
		mbj_op_print(&line, &op);
		LAB_OK(mbj_buf_ok(&line, err));
		for (size_t at = 0; at < line.n; at++)
			ck_assert(line.p[at] >= 0x20 && line.p[at] != 0x7f);
		mbj_arena_reset(lab.arena);
	}
	mbj_buf_done(&line);
	lab_rng_done(&lab);
}
END_TEST

TCase *test_op_case(void)
{
	TCase *tc = tcase_create("op");

	tcase_add_test(tc, op_numbers);
	tcase_add_test(tc, op_round_trip);
	tcase_add_test(tc, op_equal);
	tcase_add_test(tc, op_equal_keys);
	tcase_add_test(tc, op_truncated);
	tcase_add_test(tc, op_flips);
	tcase_add_test(tc, op_one_form);
	tcase_add_test(tc, op_print_lines);
	tcase_add_test(tc, op_print_any);
	return tc;
}
