/*
 * The bytes between a client and the service.
 */
#include <stdlib.h>

#include "journal_cases.h"
#include "wire_lab.h"

static const enum wire_kind kinds[] = {
#define X(name, number, word, asked, asked_max, answered, answered_max) \
	WIRE_##name,
	WIRE_KIND_MAP(X)
#undef X
};

enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]), BODY_MAX = 1 << 20 };

/* One message of a kind and side, as bytes. */
struct sample {
	struct wire_message message;
	struct mbj_buf records;
	struct mbj_buf body;
	struct mbj_arena *arena;
	enum wire_kind kind;
	enum wire_side side;
};

/* number: of kinds[] twice, requests and answers. */
static void sample_init(struct sample *s, int number)
{
	memset(s, 0, sizeof(*s));
	s->kind = kinds[number / 2];
	s->side = number % 2 ? WIRE_ANSWER : WIRE_REQUEST;
	mbj_buf_init(&s->records, BODY_MAX);
	mbj_buf_init(&s->body, BODY_MAX);
	ck_assert_int_eq(mbj_arena_new(BODY_MAX, &s->arena, NULL), MBJ_OK);
	wire_lab_fill(&s->message, &s->records);
	if (s->kind == WIRE_SURVEY)
		wire_lab_survey(&s->message, s->side, &s->records);
	wire_encode(&s->body, s->kind, s->side, &s->message);
	ck_assert_int_eq(mbj_buf_ok(&s->body, NULL), MBJ_OK);
	ck_assert_uint_le(s->body.n, wire_size_max(s->kind, s->side));
}

static void sample_done(struct sample *s)
{
	wire_lab_done(&s->message);
	mbj_buf_done(&s->records);
	mbj_buf_done(&s->body);
	mbj_arena_free(&s->arena);
}

/*
 * Decode bytes.  What is read encodes to the same bytes; what is not is one of
 * the answers to bad bytes, with words.
 */
static enum mbj_rc decode(struct sample *s, struct mbj_bytes bytes)
{
	struct wire_message m = {0};
	struct mbj_error err = {.rc = MBJ_OK};
	struct mbj_buf again;
	enum mbj_rc rc;

	mbj_arena_reset(s->arena);
	rc = wire_decode(bytes, s->kind, s->side, s->arena, &m, &err);
	if (rc == MBJ_OK) {
		mbj_buf_init(&again, BODY_MAX);
		wire_encode(&again, s->kind, s->side, &m);
		ck_assert(mbj_bytes_equal(mbj_buf_view(&again), bytes));
		mbj_buf_done(&again);
	} else {
		ck_assert_msg(rc == MBJ_ECORRUPT || rc == MBJ_EUNSUPPORTED,
			      "%s", mbj_rc_name(rc));
		ck_assert_ptr_nonnull(
			strstr(err.message, wire_kind_word(s->kind)));
	}
	mbj_outcome_done(&m.outcome);
	mbj_client_status_done(&m.status);
	return rc;
}

/*
 * Goal: a message comes out as it went in.  Method: one of each kind and side
 * with something in every member, encoded, decoded, encoded.
 */
START_TEST(test_round_trip)
{
	struct sample s;

	sample_init(&s, _i);
	ck_assert_int_eq(decode(&s, mbj_buf_view(&s.body)), MBJ_OK);
	sample_done(&s);
}
END_TEST

/* All that differ from these bytes by so many more, or fewer, somewhere. */
static void others_refuse(struct sample *s, struct mbj_bytes bytes, size_t n)
{
	struct mbj_buf other;

	mbj_buf_init(&other, BODY_MAX);
	for (size_t at = 0; at + n <= bytes.n; at++) {
		for (int more = 0; more < 2; more++) {
			size_t from = more ? at : at + n;

			mbj_buf_clear(&other);
			mbj_buf_put(&other, bytes.p, at);
			if (more)
				mbj_buf_put_zero(&other, n);
			mbj_buf_put(&other, bytes.p + from, bytes.n - from);
			ck_assert_msg(decode(s, mbj_buf_view(&other)) < 0,
				      "%zu bytes at %zu", n, at);
		}
	}
	mbj_buf_done(&other);
}

/*
 * Goal: the status of another build, which has a number more or less, is
 * refused, and never read as something else: it has no version of its own.
 * Method: one with something in each list, and an idle primary's; a number of
 * each size, or a pair, put in or taken out anywhere.
 */
START_TEST(test_other_status)
{
	static const size_t sizes[] = {1, 4, 8, 16};
	struct wire_message idle = {0};
	struct mbj_client_peer peer = {4711, 1, 2, 3, 4};
	struct mbj_buf bytes;
	struct sample s;

	sample_init(&s, 2 * (WIRE_STATUS - 1) + 1);
	ck_assert_int_eq(s.kind, WIRE_STATUS);
	idle.status.identity = s.message.status.identity;
	idle.status.peers = &peer;
	idle.status.peer_count = 1;
	mbj_buf_init(&bytes, BODY_MAX);
	wire_encode(&bytes, s.kind, s.side, &idle);
	ck_assert_int_eq(decode(&s, mbj_buf_view(&bytes)), MBJ_OK);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		others_refuse(&s, mbj_buf_view(&s.body), sizes[i]);
		others_refuse(&s, mbj_buf_view(&bytes), sizes[i]);
	}
	mbj_buf_done(&bytes);
	sample_done(&s);
}
END_TEST

/*
 * Goal: no member of an edit or its outcome is lost.  Method: compared one by
 * one after decoding.
 */
START_TEST(test_every_member)
{
	struct wire_message m = {0};
	struct sample s;

	sample_init(&s, 0);
	mbj_buf_clear(&s.body);
	wire_encode(&s.body, WIRE_SUBMIT, WIRE_REQUEST, &s.message);
	ck_assert_int_eq(wire_decode(mbj_buf_view(&s.body), WIRE_SUBMIT,
				     WIRE_REQUEST, s.arena, &m, NULL),
			 MBJ_OK);
	wire_lab_edit_equal(&s.message.edit, &m.edit);
	mbj_buf_clear(&s.body);
	wire_encode(&s.body, WIRE_SUBMIT, WIRE_ANSWER, &s.message);
	ck_assert_int_eq(wire_decode(mbj_buf_view(&s.body), WIRE_SUBMIT,
				     WIRE_ANSWER, s.arena, &m, NULL),
			 MBJ_OK);
	wire_lab_outcome_equal(&s.message.outcome, &m.outcome);
	ck_assert_ptr_eq(m.outcome.results[1].property,
			 wire_word_find(mbj_bytes_str("parentId")));
	mbj_outcome_done(&m.outcome);
	sample_done(&s);
}
END_TEST

/*
 * Goal: a body that is cut off is refused, and so is one with more behind it.
 * Method: at every byte, in a block of exactly that size (sanitizers look).
 */
START_TEST(test_cut)
{
	struct sample s;

	sample_init(&s, _i);
	for (size_t n = 0; n < s.body.n; n++) {
		uint8_t *exact = malloc(n + 1);

		ck_assert_ptr_nonnull(exact);
		memcpy(exact, s.body.p, n);
		ck_assert_int_lt(decode(&s, mbj_bytes_make(exact, n)), 0);
		free(exact);
	}
	mbj_buf_put_u8(&s.body, 0);
	ck_assert_int_eq(decode(&s, mbj_buf_view(&s.body)), MBJ_ECORRUPT);
	sample_done(&s);
}
END_TEST

/*
 * Goal: damage is an error or another message, never worse.  Method: every bit
 * flipped, every byte set to its extremes.
 */
START_TEST(test_damaged)
{
	struct sample s;

	sample_init(&s, _i);
	for (size_t i = 0; i < s.body.n; i++) {
		uint8_t was = s.body.p[i];

		for (int bit = 0; bit < 8; bit++) {
			s.body.p[i] = (uint8_t)(was ^ 1 << bit);
			(void)decode(&s, mbj_buf_view(&s.body));
		}
		s.body.p[i] = 0xff;
		(void)decode(&s, mbj_buf_view(&s.body));
		s.body.p[i] = 0;
		(void)decode(&s, mbj_buf_view(&s.body));
		s.body.p[i] = was;
	}
	sample_done(&s);
}
END_TEST

/*
 * Goal: a head is judged before anything is allocated.  Method: each kind and
 * side with the most bytes and one more; kinds and sides that are not.
 */
START_TEST(test_heads)
{
	uint8_t bytes[WIRE_HEAD_SIZE];
	struct mbj_error err;
	struct wire_head head;
	struct wire_head got;

	for (int i = 0; i < 3 * KIND_COUNT; i++) {
		head.kind = kinds[i / 3];
		head.side = (enum wire_side)(i % 3);
		head.number = UINT64_MAX - (uint64_t)i;
		head.size = (uint32_t)wire_size_max(head.kind, head.side);
		wire_head_encode(&head, bytes);
		ck_assert_int_eq(wire_head_decode(bytes, &got, NULL), MBJ_OK);
		ck_assert_int_eq(got.kind, head.kind);
		ck_assert_int_eq(got.side, head.side);
		ck_assert_uint_eq(got.number, head.number);
		ck_assert_uint_eq(got.size, head.size);
		mbj_store_u32(bytes, head.size + 1);
		ck_assert_int_eq(wire_head_decode(bytes, &got, &err),
				 MBJ_ELIMIT);
		ck_assert_ptr_nonnull(
			strstr(err.message, wire_kind_word(head.kind)));
	}
	mbj_store_u32(bytes, 0);
	mbj_store_u16(bytes + 6, 3);
	ck_assert_int_eq(wire_head_decode(bytes, &got, NULL), MBJ_ECORRUPT);
	mbj_store_u16(bytes + 6, 0);
	mbj_store_u16(bytes + 4, 0);
	ck_assert_int_eq(wire_head_decode(bytes, &got, NULL), MBJ_ECORRUPT);
	mbj_store_u16(bytes + 4, WIRE_KIND_LAST + 1);
	ck_assert_int_eq(wire_head_decode(bytes, &got, NULL), MBJ_ECORRUPT);
}
END_TEST

/*
 * Goal: an error is the same on the other side.  Method: each code and each
 * refusal; cut at every byte; numbers that are none.
 */
START_TEST(test_errors)
{
	struct mbj_error error;
	struct mbj_error got;
	struct mbj_buf body;

	mbj_buf_init(&body, BODY_MAX);
	for (int i = 0; i <= MBJ_REFUSAL_OVER_QUOTA; i++) {
		(void)mbj_error_refuse(&error, MBJ_REFUSAL_FORBIDDEN,
				       "parentId", "a\nb", "refused for %d", i);
		error.refusal = (enum mbj_refusal)i;
		error.rc = (enum mbj_rc)(-1 - i % 14);
		mbj_error_at(&error, "journal/1.seg", 77, 78);
		mbj_buf_clear(&body);
		wire_error_encode(&body, &error);
		ck_assert_int_eq(wire_error_decode(mbj_buf_view(&body), &got),
				 error.rc);
		ck_assert_int_eq(got.refusal, error.refusal);
		ck_assert_str_eq(got.subject_kind, error.subject_kind);
		ck_assert_str_eq(got.subject, error.subject);
		ck_assert_str_eq(got.message, error.message);
		ck_assert_str_eq(got.file, error.file);
		ck_assert_uint_eq(got.offset, 77);
		ck_assert_uint_eq(got.lsn, 78);
	}
	for (size_t n = 0; n < body.n; n++)
		ck_assert_int_eq(wire_error_decode(mbj_bytes_make(body.p, n),
						   &got),
				 MBJ_ECORRUPT);
	body.p[0] = 0;
	ck_assert_int_eq(wire_error_decode(mbj_buf_view(&body), NULL),
			 MBJ_ECORRUPT);
	body.p[0] = 15;
	ck_assert_int_eq(wire_error_decode(mbj_buf_view(&body), NULL),
			 MBJ_ECORRUPT);
	mbj_buf_done(&body);
}
END_TEST

/*
 * Goal: a count costs no memory that its bytes do not pay for.  Method: an
 * edit of nothing that says it has 4,000,000,000 changes, renames, steps of
 * messages, of metadata.
 */
START_TEST(test_lies)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct wire_message m = {0};
	struct mbj_arena *arena = NULL;
	struct mbj_buf body;
	size_t at;

	edit.kind = MBJ_EDIT_METADATA;
	m.edit = edit;
	ck_assert_int_eq(mbj_arena_new(1 << 16, &arena, NULL), MBJ_OK);
	mbj_buf_init(&body, BODY_MAX);
	wire_encode(&body, WIRE_SUBMIT, WIRE_REQUEST, &m);
	at = body.n - 16 + 4 * (size_t)_i;
	mbj_store_u32(body.p + at, 4000000000u);
	ck_assert_int_eq(wire_decode(mbj_buf_view(&body), WIRE_SUBMIT,
				     WIRE_REQUEST, arena, &m, NULL),
			 MBJ_ECORRUPT);
	mbj_buf_done(&body);
	mbj_arena_free(&arena);
}
END_TEST

/*
 * Goal: what is too long to send is said before it is sent.  Method: an
 * account's name at the limit and one byte over it.
 */
START_TEST(test_too_long)
{
	struct wire_message m = {0};
	char *name = calloc(1, WIRE_SMALL_MAX + 1);
	struct mbj_buf body;

	ck_assert_ptr_nonnull(name);
	mbj_buf_init(&body, BODY_MAX);
	m.name = mbj_bytes_make(name, WIRE_SMALL_MAX);
	wire_encode(&body, WIRE_TREE, WIRE_REQUEST, &m);
	ck_assert_int_eq(mbj_buf_ok(&body, NULL), MBJ_OK);
	mbj_buf_clear(&body);
	m.name.n++;
	wire_encode(&body, WIRE_TREE, WIRE_REQUEST, &m);
	ck_assert_int_eq(mbj_buf_ok(&body, NULL), MBJ_ELIMIT);
	mbj_buf_done(&body);
	free(name);
}
END_TEST

/*
 * Goal: records of lists are as before.  Method: a node and a message with
 * everything, read again, cut at every byte; a flag and a keyword that are
 * none.
 */
START_TEST(test_records)
{
	struct mbj_node node = {.id = {{1}},
				.parent = MBJ_NODE_ROOT,
				.uidvalidity = 2,
				.name = {mbj_bytes_str("A"),
					 mbj_bytes_str("a")},
				.rev = 3,
				.role = MBJ_ROLE_JUNK,
				.is_selectable = true,
				.is_subscribed = true};
	struct mbj_message message = {.uid = 4,
				      .flags = MBJ_FLAGS_ALL,
				      .size = 5,
				      .time = -6,
				      .modseq = 7,
				      .keywords = mbj_bytes_make("a\0b", 4),
				      .guid = mbj_bytes_str("1.M2.host")};
	struct mbj_reader reader;
	struct mbj_message m;
	struct mbj_node n;
	struct mbj_buf buf;

	mbj_buf_init(&buf, BODY_MAX);
	wire_node_encode(&buf, &node);
	mbj_reader_init(&reader, mbj_buf_view(&buf));
	ck_assert_int_eq(wire_node_decode(&reader, &n, NULL), MBJ_OK);
	ck_assert(mbj_reader_is_spent(&reader));
	ck_assert(mbj_id_equal(n.id, node.id) && n.parent == node.parent);
	ck_assert(mbj_bytes_equal(n.name.stored, node.name.stored));
	ck_assert(mbj_bytes_equal(n.name.key, node.name.key));
	ck_assert(n.uidvalidity == 2 && n.rev == 3 && n.role == node.role);
	ck_assert(n.is_selectable && n.is_subscribed && n.is_live);
	for (size_t i = 0; i < buf.n; i++) {
		mbj_reader_init(&reader, mbj_bytes_make(buf.p, i));
		ck_assert_int_eq(wire_node_decode(&reader, &n, NULL),
				 MBJ_ECORRUPT);
	}
	mbj_buf_clear(&buf);
	wire_message_encode(&buf, &message);
	mbj_reader_init(&reader, mbj_buf_view(&buf));
	ck_assert_int_eq(wire_message_decode(&reader, &m, NULL), MBJ_OK);
	ck_assert(m.uid == 4 && m.flags == MBJ_FLAGS_ALL && m.size == 5);
	ck_assert(m.time == -6 && m.modseq == 7);
	ck_assert(mbj_bytes_equal(m.keywords, message.keywords));
	ck_assert(mbj_bytes_equal(m.guid, message.guid));
	for (size_t i = 0; i < buf.n; i++) {
		mbj_reader_init(&reader, mbj_bytes_make(buf.p, i));
		ck_assert_int_eq(wire_message_decode(&reader, &m, NULL),
				 MBJ_ECORRUPT);
	}
	buf.p[buf.n - 1] = ' ';
	mbj_reader_init(&reader, mbj_buf_view(&buf));
	ck_assert_int_eq(wire_message_decode(&reader, &m, NULL), MBJ_ECORRUPT);
	mbj_buf_clear(&buf);
	message.guid.n = 0;
	wire_message_encode(&buf, &message);
	mbj_reader_init(&reader, mbj_buf_view(&buf));
	ck_assert_int_eq(wire_message_decode(&reader, &m, NULL), MBJ_OK);
	ck_assert_uint_eq(m.guid.n, 0);
	buf.p[4] = 0x20;
	mbj_reader_init(&reader, mbj_buf_view(&buf));
	ck_assert_int_eq(wire_message_decode(&reader, &m, NULL), MBJ_ECORRUPT);
	buf.p[4] = 0;
	buf.p[buf.n - 1] = 'x';
	mbj_reader_init(&reader, mbj_buf_view(&buf));
	ck_assert_int_eq(wire_message_decode(&reader, &m, NULL), MBJ_ECORRUPT);
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: attributes and subscribed names are as before.  Method: read again, cut
 * at every byte; a kind that is none, a key that is the name.
 */
START_TEST(test_metadata_records)
{
	struct mbj_attr attr = {.kind = MBJ_ATTR_METADATA,
				.name = mbj_bytes_str("/shared/a"),
				.value = mbj_bytes_make("a\0b", 3)};
	struct mbj_path path = {mbj_bytes_make("A\0B", 3),
				mbj_bytes_make("a\0b", 3)};
	struct mbj_reader reader;
	struct mbj_attr a;
	struct mbj_path p;
	struct mbj_buf buf;

	mbj_buf_init(&buf, BODY_MAX);
	wire_attr_encode(&buf, &attr);
	mbj_reader_init(&reader, mbj_buf_view(&buf));
	ck_assert_int_eq(wire_attr_decode(&reader, &a, NULL), MBJ_OK);
	ck_assert(mbj_reader_is_spent(&reader) && a.kind == attr.kind);
	ck_assert(mbj_bytes_equal(a.name, attr.name));
	ck_assert(mbj_bytes_equal(a.value, attr.value));
	for (size_t i = 0; i < buf.n; i++) {
		mbj_reader_init(&reader, mbj_bytes_make(buf.p, i));
		ck_assert_int_eq(wire_attr_decode(&reader, &a, NULL),
				 MBJ_ECORRUPT);
	}
	buf.p[0] = 3;
	mbj_reader_init(&reader, mbj_buf_view(&buf));
	ck_assert_int_eq(wire_attr_decode(&reader, &a, NULL), MBJ_ECORRUPT);
	mbj_buf_clear(&buf);
	wire_path_encode(&buf, &path);
	mbj_reader_init(&reader, mbj_buf_view(&buf));
	ck_assert_int_eq(wire_path_decode(&reader, &p, NULL), MBJ_OK);
	ck_assert(mbj_reader_is_spent(&reader));
	ck_assert(mbj_bytes_equal(p.stored, path.stored));
	ck_assert(mbj_bytes_equal(p.key, path.key));
	for (size_t i = 0; i < buf.n; i++) {
		mbj_reader_init(&reader, mbj_bytes_make(buf.p, i));
		ck_assert_int_eq(wire_path_decode(&reader, &p, NULL),
				 MBJ_ECORRUPT);
	}
	memcpy(buf.p + buf.n - 3, path.stored.p, 3);
	mbj_reader_init(&reader, mbj_buf_view(&buf));
	ck_assert_int_eq(wire_path_decode(&reader, &p, NULL), MBJ_ECORRUPT);
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: no memory is no crash and no leak.  Method: each allocation of
 * decoding an outcome and a status fails.
 */
START_TEST(test_memory)
{
	static const int numbers[] = {
		2 * 1 + 1,		   /* submit, answered */
		2 * (WIRE_STATUS - 1) + 1, /* status, answered */
		2 * 1,			   /* submit, asked */
	};
	struct wire_message m;
	struct sample s;
	uint64_t k = 0;
	enum mbj_rc rc;

	sample_init(&s, numbers[_i]);
	do {
		memset(&m, 0, sizeof(m));
		test_alloc_fail_at(++k);
		rc = wire_decode(mbj_buf_view(&s.body), s.kind, s.side, s.arena,
				 &m, NULL);
		mbj_outcome_done(&m.outcome);
		mbj_client_status_done(&m.status);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
	} while (test_alloc_count() >= k);
	test_alloc_fail_at(0);
	ck_assert_int_eq(rc, MBJ_OK);
	sample_done(&s);
}
END_TEST

TCase *test_wire_case(void)
{
	TCase *tc = tcase_create("wire");

	tcase_add_test(tc, test_other_status);
	tcase_add_loop_test(tc, test_round_trip, 0, 2 * KIND_COUNT);
	tcase_add_test(tc, test_every_member);
	tcase_add_loop_test(tc, test_cut, 0, 2 * KIND_COUNT);
	tcase_add_loop_test(tc, test_damaged, 0, 2 * KIND_COUNT);
	tcase_add_test(tc, test_heads);
	tcase_add_test(tc, test_errors);
	tcase_add_loop_test(tc, test_lies, 0, 4);
	tcase_add_test(tc, test_too_long);
	tcase_add_test(tc, test_records);
	tcase_add_test(tc, test_metadata_records);
	tcase_add_loop_test(tc, test_memory, 0, 3);
	return tc;
}
