/*
 * A status between builds that have more or fewer numbers.
 */
#include "journal_cases.h"
#include "wire_lab.h"

enum { BODY_MAX = 1 << 16 };

/* The same status in both forms. */
struct bodies {
	struct wire_message message;
	struct mbj_buf records;
	struct mbj_buf first;	/* as version 1 has it */
	struct mbj_buf third;	/* as version 3 has it */
	struct mbj_buf counted; /* as this build has it */
	struct mbj_arena *arena;
};

static void status_encode(struct mbj_buf *buf, uint16_t version,
			  struct wire_message *m)
{
	m->version = version;
	mbj_buf_clear(buf);
	wire_encode(buf, WIRE_STATUS, WIRE_ANSWER, m);
	ck_assert_int_eq(mbj_buf_ok(buf, NULL), MBJ_OK);
}

static void bodies_init(struct bodies *b)
{
	memset(b, 0, sizeof(*b));
	mbj_buf_init(&b->records, BODY_MAX);
	mbj_buf_init(&b->first, BODY_MAX);
	mbj_buf_init(&b->third, BODY_MAX);
	mbj_buf_init(&b->counted, BODY_MAX);
	ck_assert_int_eq(mbj_arena_new(BODY_MAX, &b->arena, NULL), MBJ_OK);
	wire_lab_fill(&b->message, &b->records);
	status_encode(&b->first, 1, &b->message);
	status_encode(&b->third, 3, &b->message);
	status_encode(&b->counted, 0, &b->message);
}

static void bodies_done(struct bodies *b)
{
	wire_lab_done(&b->message);
	mbj_buf_done(&b->records);
	mbj_buf_done(&b->first);
	mbj_buf_done(&b->third);
	mbj_buf_done(&b->counted);
	mbj_arena_free(&b->arena);
}

/* Where this number is, the only one of its value. */
static size_t number_find(const struct mbj_buf *buf, uint64_t number)
{
	size_t found = 0;

	for (size_t at = 0; at + 8 <= buf->n; at++) {
		if (mbj_load_u64(buf->p + at) != number)
			continue;
		ck_assert_uint_eq(found, 0);
		found = at;
	}
	ck_assert_uint_gt(found, 0);
	return found;
}

/* The bytes, with others put in at a place and so many taken out there. */
static void splice(struct mbj_buf *buf, size_t at, size_t in, size_t out)
{
	struct mbj_buf other;

	mbj_buf_init(&other, BODY_MAX);
	mbj_buf_put(&other, buf->p, at);
	for (size_t i = 0; i < in; i++)
		mbj_buf_put_u8(&other, 0xa5);
	mbj_buf_put(&other, buf->p + at + out, buf->n - at - out);
	mbj_buf_clear(buf);
	mbj_buf_put_bytes(buf, mbj_buf_view(&other));
	mbj_buf_done(&other);
}

/* What is read from bytes, as this build would say it, in *bytes.  No version
 * before 4 has the reason. */
static void reread(struct bodies *b, uint16_t version, struct mbj_buf *bytes,
		   bool has_all)
{
	struct wire_message m = {.version = version};
	struct mbj_error err;
	enum mbj_rc rc;

	rc = wire_decode(mbj_buf_view(bytes), WIRE_STATUS, WIRE_ANSWER,
			 b->arena, &m, &err);
	ck_assert_msg(rc == MBJ_OK, "%s", err.message);
	if (!has_all) {
		ck_assert_uint_eq(m.status.service.taken, 0);
		ck_assert_uint_eq(m.status.service.taken_lost, 0);
		ck_assert_uint_eq(m.status.service.answers, 0);
		ck_assert_uint_eq(m.status.service.answers_max, 0);
		ck_assert_uint_eq(m.status.service.unread, 0);
		ck_assert_uint_eq(m.status.service.stood, 0);
		ck_assert_uint_eq(m.status.service.content_log, 0);
		ck_assert_uint_eq(m.status.service.content_log_failures, 0);
		ck_assert_uint_eq(m.status.upstream.level_asked, 0);
		ck_assert_uint_eq(m.status.upstream.level, 0);
		m.status.service.taken = b->message.status.service.taken;
		m.status.service.taken_lost =
			b->message.status.service.taken_lost;
		m.status.service.answers = b->message.status.service.answers;
		m.status.service.answers_max =
			b->message.status.service.answers_max;
		m.status.service.unread = b->message.status.service.unread;
		m.status.service.stood = b->message.status.service.stood;
		m.status.service.content_log =
			b->message.status.service.content_log;
		m.status.service.content_log_failures =
			b->message.status.service.content_log_failures;
		m.status.upstream.level_asked =
			b->message.status.upstream.level_asked;
		m.status.upstream.level = b->message.status.upstream.level;
		ck_assert_uint_eq(m.status.upstream.behind_known, 0);
		m.status.upstream.behind = b->message.status.upstream.behind;
		m.status.upstream.behind_bulk =
			b->message.status.upstream.behind_bulk;
		m.status.upstream.behind_known =
			b->message.status.upstream.behind_known;
		ck_assert_uint_eq(m.status.upstream.refused_ms, 0);
		m.status.upstream.refused_ms =
			b->message.status.upstream.refused_ms;
	}
	if (version != 0 && version < WIRE_VERSION_REASON) {
		ck_assert_ptr_null(m.status.content_log_reason);
		ck_assert_int_eq(
			wire_reason_set(&m.status,
					b->message.status.content_log_reason,
					NULL),
			MBJ_OK);
	}
	status_encode(&b->records, 0, &m);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&b->records),
				  mbj_buf_view(&b->counted)));
	mbj_client_status_done(&m.status);
}

static void refused(struct bodies *b, uint16_t version, struct mbj_buf *bytes,
		    enum mbj_rc expected)
{
	struct wire_message m = {.version = version};
	struct mbj_error err;

	ck_assert_int_eq(wire_decode(mbj_buf_view(bytes), WIRE_STATUS,
				     WIRE_ANSWER, b->arena, &m, &err),
			 expected);
	if (expected == MBJ_EUNSUPPORTED)
		ck_assert_ptr_nonnull(strstr(err.message, "another version"));
	mbj_client_status_done(&m.status);
}

/*
 * Goal: version 1 has the body that it had, and is read, and so have those
 * without the reason.  Method: it is this build's without the counts, the
 * numbers that are new and the reason, byte for byte.
 */
START_TEST(status_first)
{
	struct mbj_buf expected;
	struct bodies b;

	bodies_init(&b);
	mbj_buf_init(&expected, BODY_MAX);
	mbj_buf_put_bytes(&expected, mbj_buf_view(&b.counted));
	ck_assert_uint_eq(expected.p[0], 19);
	ck_assert_uint_eq(expected.p[1], 15);
	splice(&expected,
	       number_find(&expected, b.message.status.upstream.level_asked), 0,
	       6 * 8);
	splice(&expected,
	       number_find(&expected, b.message.status.service.taken), 0,
	       8 * 8);
	splice(&expected, 0, 0, 2);
	expected.n -= 4 + strlen(b.message.status.content_log_reason);
	ck_assert_uint_eq(expected.n, b.first.n);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&expected),
				  mbj_buf_view(&b.first)));
	mbj_buf_done(&expected);
	reread(&b, 1, &b.first, false);
	ck_assert_uint_eq(b.third.n + 4 +
				  strlen(b.message.status.content_log_reason),
			  b.counted.n);
	ck_assert_int_eq(memcmp(b.third.p, b.counted.p, b.third.n), 0);
	for (unsigned version = 2; version <= WIRE_VERSION; version++)
		reread(&b, (uint16_t)version,
		       version < WIRE_VERSION_REASON ? &b.third : &b.counted,
		       true);
	bodies_done(&b);
}
END_TEST

/*
 * Goal: what both builds know is taken.  Method: a later build's status, with
 * numbers that there are not yet, in either place; an earlier one's, with
 * those that version 1 had.
 */
START_TEST(status_other_build)
{
	struct bodies b;
	size_t last, failures;
	struct mbj_buf body;

	bodies_init(&b);
	mbj_buf_init(&body, BODY_MAX);
	mbj_buf_put_bytes(&body, mbj_buf_view(&b.counted));
	last = number_find(&body, b.message.status.upstream.refused_ms);
	failures = number_find(&body,
			       b.message.status.service.content_log_failures);
	splice(&body, last + 8, 1 * 8, 0);
	body.p[1] += 1;
	reread(&b, 0, &body, true);
	splice(&body, failures + 8, 3 * 8, 0);
	body.p[0] += 3;
	reread(&b, 0, &body, true);
	mbj_buf_clear(&body);
	mbj_buf_put_u8(&body, 11);
	mbj_buf_put_u8(&body, 9);
	mbj_buf_put_bytes(&body, mbj_buf_view(&b.first));
	reread(&b, 3, &body, false);
	mbj_buf_done(&body);
	bodies_done(&b);
}
END_TEST

/*
 * Goal: what is not of the version that is spoken is refused, as that.  Method:
 * each form for the other; this build's numbers uncounted; counts below those
 * of version 1, or of numbers that are not there.
 */
START_TEST(status_refused)
{
	static const uint8_t first[2] = {11, 9};
	struct mbj_buf body;
	struct bodies b;

	bodies_init(&b);
	mbj_buf_init(&body, BODY_MAX);
	refused(&b, 0, &b.first, MBJ_EUNSUPPORTED);
	refused(&b, 1, &b.counted, MBJ_ECORRUPT);
	refused(&b, 3, &b.counted, MBJ_ECORRUPT);
	refused(&b, 4, &b.third, MBJ_ECORRUPT);
	mbj_buf_put_bytes(&body, mbj_buf_view(&b.counted));
	splice(&body, 0, 0, 2);
	refused(&b, 0, &body, MBJ_EUNSUPPORTED);
	for (size_t which = 0; which < 2; which++) {
		uint8_t count = b.counted.p[which];

		for (unsigned other = 0; other <= UINT8_MAX; other++) {
			if (other == count)
				continue;
			b.counted.p[which] = (uint8_t)other;
			refused(&b, 0, &b.counted,
				other < first[which] ? MBJ_EUNSUPPORTED
						     : MBJ_ECORRUPT);
		}
		b.counted.p[which] = count;
	}
	mbj_buf_done(&body);
	bodies_done(&b);
}
END_TEST

TCase *test_wire_status_case(void)
{
	TCase *tc = tcase_create("wire_status");

	tcase_add_test(tc, status_first);
	tcase_add_test(tc, status_other_build);
	tcase_add_test(tc, status_refused);
	return tc;
}
