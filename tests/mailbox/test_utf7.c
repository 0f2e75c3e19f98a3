/*
 * Tests of modified UTF-7: known pairs, forms that must be refused (among
 * them all that ICU's converter accepts too much), and the two laws: what is
 * encoded decodes to itself, what is decoded encodes to itself.
 */
#include <mbj/limits.h>
#include <mbj/utf7.h>

#include "cases.h"
#include "name_impl.h"

static struct mbj_utf7 *utf7;
static struct mbj_buf wire_buf;
static struct mbj_buf utf8_buf;

static void setup(void)
{
	struct mbj_error err;

	test_ok(mbj_utf7_new(&utf7, &err), err);
	mbj_buf_init(&wire_buf, 4 * MBJ_PATH_MAX);
	mbj_buf_init(&utf8_buf, 4 * MBJ_PATH_MAX);
}

static void teardown(void)
{
	mbj_utf7_free(&utf7);
	ck_assert_ptr_null(utf7);
	mbj_buf_done(&wire_buf);
	mbj_buf_done(&utf8_buf);
}

static enum mbj_rc encode(struct mbj_bytes utf8, struct mbj_error *err)
{
	mbj_buf_clear(&wire_buf);
	return mbj_utf7_encode(utf7, utf8, &wire_buf, err);
}

static enum mbj_rc decode(struct mbj_bytes wire, struct mbj_error *err)
{
	mbj_buf_clear(&utf8_buf);
	return mbj_utf7_decode(utf7, wire, &utf8_buf, err);
}

static const struct {
	const char *wire;
	const char *utf8;
} pairs[] = {
	{"", ""},
	{"INBOX", "INBOX"},
	{"a/b.c~\\+", "a/b.c~\\+"},
	{"&-", "&"},
	{"&-&-", "&&"},
	{"a&-b", "a&b"},
	{"Entw&APw-rfe", "Entw\xc3\xbcrfe"},
	{"&AOQA9gD8-", "\xc3\xa4\xc3\xb6\xc3\xbc"},
	{"&AOQ-&-&AOQ-", "\xc3\xa4&\xc3\xa4"},
	/* The examples of RFC 3501 section 5.1.3. */
	{"~peter/mail/&U,BTFw-/&ZeVnLIqe-",
	 "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/"
	 "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
	{"&Jjo-!", "\xe2\x98\xba!"},
	{"&U,BTF2XlZyyKng-",
	 "\xe5\x8f\xb0\xe5\x8c\x97\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
	/* Beyond the BMP: a pair of surrogates on the wire. */
	{"&2D3caQ-", "\xf0\x9f\x91\xa9"},
	{"&2D3caQ-x", "\xf0\x9f\x91\xa9x"},
	{"&AKA-", "\xc2\xa0"},
};

/* Goal: known pairs, both ways.  Method: the table. */
START_TEST(known_pairs_convert)
{
	struct mbj_bytes wire = mbj_bytes_str(pairs[_i].wire);
	struct mbj_bytes utf8 = mbj_bytes_str(pairs[_i].utf8);
	struct mbj_error err;

	test_ok(encode(utf8, &err), err);
	ck_assert_msg(mbj_bytes_equal(mbj_buf_view(&wire_buf), wire), "%.*s",
		      (int)wire_buf.n, (const char *)wire_buf.p);
	test_ok(decode(wire, &err), err);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&utf8_buf), utf8));
}
END_TEST

#define WIRE(text)                       \
	{                                \
		(text), sizeof(text) - 1 \
	}

static const struct {
	const char *p;
	size_t n;
} bad_wires[] = {
	/* ICU accepts these: a superfluous shift ... */
	WIRE("&U,BTFw-&ZeVnLIqe-"),
	WIRE("&AOQ-&APY-"),
	/* ... lone surrogates ... */
	WIRE("&2D0-"),
	WIRE("&3gA-"),
	WIRE("&3GnYPQ-"),
	WIRE("a&2D0-b"),
	/* ... and encoded controls. */
	WIRE("&AAA-"),
	WIRE("&AAo-"),
	WIRE("&AA0ACg-"),
	WIRE("&AH8-"),
	WIRE("&AIA-"),
	WIRE("&AJ8-"),
	/* Printable ASCII must stand for itself. */
	WIRE("&AGE-"),
	WIRE("&ACY-"),
	WIRE("&AC8-"),
	WIRE("&AGEA5A-"),
	/* Not closed, not opened, nothing in it. */
	WIRE("&"),
	WIRE("a&"),
	WIRE("&AOQ"),
	WIRE("&AOQ x"),
	WIRE("&x"),
	/* Stray bits: 6, 12, and padding that is not zero. */
	WIRE("&A-"),
	WIRE("&AO-"),
	WIRE("&AOR-"),
	WIRE("&AOQA-"),
	WIRE("&AOQAA-"),
	/* Base64 of another kind. */
	WIRE("&AOQ=-"),
	WIRE("&U/BTFw-"),
	WIRE("&AO Q-"),
	/* Raw bytes that no wire name has. */
	WIRE("Entw\xc3\xbcrfe"),
	WIRE("\xff"),
	WIRE("a\0b"),
	WIRE("a\nb"),
	WIRE("a\x7f"),
	WIRE("&AOQ-\0"),
};

/*
 * Goal: each other form is refused, and the converter is none the worse.
 * Method: the table, each entry followed by a good name.
 */
START_TEST(bad_wires_are_refused)
{
	struct mbj_bytes bad = mbj_bytes_make(bad_wires[_i].p, bad_wires[_i].n);
	struct mbj_error err;

	mbj_buf_clear(&utf8_buf);
	mbj_buf_put_str(&utf8_buf, "kept");
	test_rc(mbj_utf7_decode(utf7, bad, &utf8_buf, &err), MBJ_EINVALID);
	ck_assert_int_eq(err.refusal, MBJ_REFUSAL_INVALID_PROPERTIES);
	ck_assert_str_eq(err.subject_kind, "name");
	/* As it came, for programs; the longest one is cut. */
	ck_assert_int_eq(err.subject[0], bad_wires[_i].p[0]);
	ck_assert_ptr_null(strpbrk(err.message, "\n\x7f"));
	/* What was in the buffer is all that is in it. */
	ck_assert(mbj_bytes_equal(mbj_buf_view(&utf8_buf),
				  mbj_bytes_str("kept")));
	test_rc(mbj_utf7_decode(utf7, bad, &utf8_buf, NULL), MBJ_EINVALID);
	test_ok(decode(mbj_bytes_str("&AOQ-"), &err), err);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&utf8_buf),
				  mbj_bytes_str("\xc3\xa4")));
}
END_TEST

static const struct {
	const char *p;
	size_t n;
} bad_utf8[] = {
	WIRE("\xff"),	      WIRE("a\xc3"),	WIRE("\xed\xa0\x80"),
	WIRE("\xc0\x80"),     WIRE("a\0b"),	WIRE("a\nb"),
	WIRE("\x7f"),	      WIRE("\xc2\x80"), WIRE("\xf4\x90\x80\x80"),
	WIRE("\xc3\xa4\x01"),
};

/* Goal: nothing bad is put on the wire.  Method: the table. */
START_TEST(bad_utf8_is_not_encoded)
{
	struct mbj_bytes bad = mbj_bytes_make(bad_utf8[_i].p, bad_utf8[_i].n);
	struct mbj_error err;

	test_rc(encode(bad, &err), MBJ_EINVALID);
	ck_assert_uint_eq(wire_buf.n, 0);
	test_ok(encode(mbj_bytes_str("\xc3\xa4"), &err), err);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&wire_buf),
				  mbj_bytes_str("&AOQ-")));
}
END_TEST

/* ------------------------------------------------------------------ laws */

static size_t put_random_point(struct test_rng *rng, uint8_t *p)
{
	static const uint32_t least[] = {0x20, 0xa0, 0x800, 0xe000, 0x10000};
	static const uint32_t most[] = {0x7e, 0x7ff, 0xd7ff, 0xffff, 0x10ffff};
	uint32_t kind = test_pick(rng, 5);
	uint32_t c = (uint32_t)test_rng_between(rng, least[kind], most[kind]);

	if (c < 0x80) {
		p[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		p[0] = (uint8_t)(0xc0 | c >> 6);
		p[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		p[0] = (uint8_t)(0xe0 | c >> 12);
		p[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		p[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	p[0] = (uint8_t)(0xf0 | c >> 18);
	p[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	p[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	p[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

/*
 * Goal: decode(encode(x)) is x.
 * Method: random strings of code points of all widths, no controls.
 */
START_TEST(encoded_names_decode_to_themselves)
{
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	for (int round = 0; round < 30000; round++) {
		uint8_t bytes[20 * 4];
		uint32_t count = test_pick(&rng, 21);
		struct mbj_error err;
		size_t n = 0;

		for (uint32_t i = 0; i < count; i++)
			n += put_random_point(&rng, bytes + n);
		test_ok(encode(mbj_bytes_make(bytes, n), &err), err);
		ck_assert(name_is_plain(mbj_buf_view(&wire_buf)));
		test_ok(decode(mbj_buf_view(&wire_buf), &err), err);
		ck_assert(mbj_bytes_equal(mbj_buf_view(&utf8_buf),
					  mbj_bytes_make(bytes, n)));
	}
}
END_TEST

/*
 * Goal: a name has one wire form: whatever is accepted encodes to itself.
 * Method: random strings of the alphabet's letters, and good ones damaged.
 */
START_TEST(accepted_wires_are_canonical)
{
	static const char alphabet[] = "&&&---AAAOQQq2D3wcaU,BTFgZ+/x";
	uint32_t accepted = 0;
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	for (int round = 0; round < 200000; round++) {
		uint8_t bytes[32] = {0};
		size_t n = 1 + test_pick(&rng, 12);
		struct mbj_error err;

		for (size_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)
				alphabet[test_pick(&rng, sizeof(alphabet) - 1)];
		if (test_rng_chance(&rng, 1, 2)) {
			const char *good =
				pairs[test_pick(&rng, sizeof(pairs) /
							      sizeof(pairs[0]))]
					.wire;
			uint8_t letter = bytes[0];

			n = strlen(good) < sizeof(bytes) ? strlen(good) : 1;
			memcpy(bytes, good, n);
			if (n > 0)
				bytes[test_pick(&rng, (uint32_t)n)] = letter;
		}
		if (decode(mbj_bytes_make(bytes, n), NULL) < 0)
			continue;
		accepted++;
		test_ok(encode(mbj_buf_view(&utf8_buf), &err), err);
		ck_assert(mbj_bytes_equal(mbj_buf_view(&wire_buf),
					  mbj_bytes_make(bytes, n)));
	}
	ck_assert_uint_gt(accepted, 1000);
}
END_TEST

/* ---------------------------------------------------------------- limits */

static struct mbj_bytes repeat(uint8_t *bytes, const char *piece, size_t n)
{
	size_t size = strlen(piece);

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)piece[i % size];
	return mbj_bytes_make(bytes, n);
}

/*
 * Goal: every path that may be can travel, though the wire form of one may
 * be two and a half times as long; nothing longer is looked at.
 * Method: paths of MBJ_PATH_MAX bytes that expand most, and one byte more.
 */
START_TEST(longest_paths_make_the_round_trip)
{
	static const char *const pieces[] = {"a", "&", "\xc3\xa4\x61",
					     "\xc3\xa4&", "\xe5\x8f\xb0/"};
	size_t size = strlen(pieces[_i]);
	size_t n = MBJ_PATH_MAX - MBJ_PATH_MAX % size;
	uint8_t *bytes = malloc(4 * MBJ_PATH_MAX);
	struct mbj_bytes path;
	struct mbj_error err;

	ck_assert_ptr_nonnull(bytes);
	path = repeat(bytes, pieces[_i], n);
	test_ok(encode(path, &err), err);
	test_ok(decode(mbj_buf_view(&wire_buf), &err), err);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&utf8_buf), path));
	path = repeat(bytes, pieces[_i], n + size);
	if (path.n > MBJ_PATH_MAX)
		test_rc(encode(path, &err), MBJ_EINVALID);
	free(bytes);
}
END_TEST

/*
 * Goal: a wire form whose name would be too long is refused, however short or
 * long it is itself.
 * Method: plain, doubled and encoded letters beyond MBJ_PATH_MAX.
 */
START_TEST(overlong_wires_are_refused)
{
	static const char *const pieces[] = {"a", "&-", "&T,A-a"};
	uint8_t *bytes = malloc(4 * MBJ_PATH_MAX);
	struct mbj_error err;

	ck_assert_ptr_nonnull(bytes);
	test_rc(decode(repeat(bytes, "a", MBJ_PATH_MAX), &err), MBJ_OK);
	test_rc(decode(repeat(bytes, "a", MBJ_PATH_MAX + 1), &err),
		MBJ_EINVALID);
	test_rc(decode(repeat(bytes, "&-", 2 * MBJ_PATH_MAX), &err), MBJ_OK);
	test_rc(decode(repeat(bytes, "&-", 2 * MBJ_PATH_MAX + 2), &err),
		MBJ_EINVALID);
	ck_assert_ptr_nonnull(strstr(err.message, "longer"));
	ck_assert_uint_eq(utf8_buf.n, 0);
	for (int i = 0; i < 3; i++) {
		test_rc(decode(repeat(bytes, pieces[i], 4 * MBJ_PATH_MAX - 4),
			       &err),
			MBJ_EINVALID);
		ck_assert_ptr_nonnull(strstr(err.message, "longer"));
		ck_assert_uint_lt(strlen(err.message), 300);
	}
	free(bytes);
}
END_TEST

/*
 * Goal: a full buffer and missing memory are errors.
 * Method: a buffer too small by one; every allocation failing in turn.
 */
START_TEST(converters_survive_failures)
{
	struct mbj_utf7 *other = NULL;
	struct mbj_error err;
	struct mbj_buf small;
	uint64_t k = 0;
	enum mbj_rc rc;

	mbj_buf_init(&small, 1);
	test_rc(mbj_utf7_decode(utf7, mbj_bytes_str("&AOQ-"), &small, &err),
		MBJ_ELIMIT);
	mbj_buf_done(&small);
	mbj_buf_init(&small, 4);
	test_rc(mbj_utf7_encode(utf7, mbj_bytes_str("\xc3\xa4"), &small, &err),
		MBJ_ELIMIT);
	mbj_buf_done(&small);
	do {
		test_alloc_fail_at(++k);
		rc = mbj_utf7_new(&other, &err);
		test_alloc_fail_at(0);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
		ck_assert_int_eq(other != NULL, rc == MBJ_OK);
	} while (rc < 0);
	ck_assert_uint_gt(k, 1);
	mbj_utf7_free(&other);
	mbj_utf7_free(&other);
}
END_TEST

TCase *test_utf7_case(void)
{
	TCase *all = tcase_create("utf7");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_loop_test(all, known_pairs_convert, 0,
			    sizeof(pairs) / sizeof(pairs[0]));
	tcase_add_loop_test(all, bad_wires_are_refused, 0,
			    sizeof(bad_wires) / sizeof(bad_wires[0]));
	tcase_add_loop_test(all, bad_utf8_is_not_encoded, 0,
			    sizeof(bad_utf8) / sizeof(bad_utf8[0]));
	tcase_add_test(all, encoded_names_decode_to_themselves);
	tcase_add_test(all, accepted_wires_are_canonical);
	tcase_add_loop_test(all, longest_paths_make_the_round_trip, 0, 5);
	tcase_add_test(all, overlong_wires_are_refused);
	tcase_add_test(all, converters_survive_failures);
	return all;
}
