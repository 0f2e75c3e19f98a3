/*
 * The bytes between a replica and its source.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "stream_frame.h"

static const enum stream_kind kinds[] = {
#define X(name, number, word, side, fields, size_max) STREAM_##name,
	STREAM_KIND_MAP(X)
#undef X
};

static const enum stream_side sides[] = {
#define X(name, number, word, side, fields, size_max) side,
	STREAM_KIND_MAP(X)
#undef X
};

enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

/* A frame with something in every member. */
static void frame_make(enum stream_kind kind, struct mbj_buf *ret_frame)
{
	struct stream_message m = {
		.version_lowest = 1,
		.version_highest = 3,
		.lineage = fixture_id(1),
		.epoch = {2},
		.applied = {5},
		.chain = {{6, 7}},
		.instance = fixture_id(4),
		.name = mbj_bytes_str("replica-2"),
		.version = STREAM_VERSION,
		.has_chain = true,
		.identity = {.role = MBJ_STORE_REPLICA,
			     .lineage = fixture_id(1),
			     .instance = fixture_id(2),
			     .epoch = {3},
			     .epoch_owner = fixture_id(3),
			     .anchor = {{4}, {{8}}}},
		.end = {UINT64_MAX},
		.from = {7},
		.bytes_max = STREAM_FETCH_MAX,
		.wait_ms = STREAM_WAIT_MAX,
		.received = {6},
		.parked = {4},
		.data = mbj_bytes_str("bytes"),
		.count = 2,
		.size = 77,
		.least = {3},
		.snapshot = {3},
		.paused_ms = MBJ_PAUSE_MS_MAX,
		.rate = MBJ_STREAM_RATE_MIN,
		.level = MBJ_STREAM_LEVEL_MAX,
		.left = {.bytes = 9, .bulk = 9, .is_exact = true},
	};
	const struct mbj_survey_question question = {
		.kind = MBJ_SURVEY_SUMS,
		.account = fixture_id(5),
		.from = mbj_bytes_str("\x02mailbox-of-16-by"),
		.limit = 1,
	};
	const struct mbj_survey_answer answer = {
		.watermark = {{8}, {2}, {{3}}},
		.is_there = true,
		.lsn = {7},
		.name = mbj_bytes_str("alice"),
		.count = 1,
		.last = mbj_bytes_str("\x02mailbox-of-16-by"),
		.records = {{9}},
	};
	struct mbj_buf contents, survey;

	mbj_buf_init(&survey, 1 << 12);
	if (kind == STREAM_SURVEY)
		mbj_survey_question_encode(&survey, &question);
	else
		mbj_survey_answer_encode(&survey, &answer);
	m.survey = mbj_buf_view(&survey);
	mbj_buf_init(&contents, 1 << 12);
	stream_content_put(&contents, &(struct mbj_hash){{1}}, 1);
	stream_content_put(&contents, &(struct mbj_hash){{2}}, UINT64_MAX);
	m.contents = mbj_buf_view(&contents);
	(void)mbj_error_set(&m.error, MBJ_ENOTFOUND, "not \\x1b there");
	mbj_error_at(&m.error, "a/file", 8, 9);
	stream_encode(ret_frame, kind, &m);
	ck_assert_int_eq(mbj_buf_ok(ret_frame, NULL), MBJ_OK);
	mbj_buf_done(&contents);
	mbj_buf_done(&survey);
}

/* A question of a survey is judged where it is answered. */
static enum mbj_rc body_decode(const struct stream_head *head,
			       struct mbj_bytes body, struct stream_message *m,
			       struct mbj_error *err)
{
	struct mbj_survey_question question;
	enum mbj_rc rc = stream_body_decode(head, body, m, err);

	if (rc == MBJ_OK && head->kind == STREAM_SURVEY)
		rc = mbj_survey_question_decode(m->survey, &question, err);
	return rc;
}

/*
 * Decode a frame.  What is read encodes to the same bytes; what is not is one
 * of the answers to bad bytes, with words.
 */
static enum mbj_rc decode(struct mbj_bytes frame, enum stream_side side)
{
	struct stream_message m = {.count = 0};
	struct mbj_error err = {.rc = MBJ_OK};
	struct stream_head head = {.size = 0};
	struct mbj_bytes packed = {NULL, 0};
	struct mbj_bytes body;
	struct mbj_buf again;
	uint32_t size = 0;
	enum mbj_rc rc;

	rc = stream_head_decode(frame.p, side, &head, &err);
	if (rc == MBJ_OK && head.size + STREAM_HEAD_SIZE != frame.n)
		return MBJ_EIO; /* more bytes are waited for, or fewer */
	body = mbj_bytes_make(frame.p + STREAM_HEAD_SIZE, head.size);
	if (rc == MBJ_OK && head.packing != STREAM_PLAIN)
		rc = stream_packed_decode(&head, body, &size, &packed, &err);
	else if (rc == MBJ_OK)
		rc = body_decode(&head, body, &m, &err);
	if (rc < 0) {
		ck_assert_msg(rc == MBJ_ECORRUPT || rc == MBJ_ELIMIT, "%s",
			      mbj_rc_name(rc));
		ck_assert_str_ne(err.message, "");
		return rc;
	}
	mbj_buf_init(&again, STREAM_FRAME_MAX);
	if (head.packing != STREAM_PLAIN)
		stream_encode_packed(&again, head.kind, head.packing, size,
				     packed);
	else
		stream_encode(&again, head.kind, &m);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&again), frame));
	mbj_buf_done(&again);
	return MBJ_OK;
}

/* Make the checksums right again: what is behind them is to be reached. */
static void mend(struct mbj_buf *frame)
{
	uint8_t *p = frame->p;
	size_t n = frame->n - STREAM_HEAD_SIZE;

	mbj_store_u32(p + 8,
		      mbj_crc32c(0, mbj_bytes_make(p + STREAM_HEAD_SIZE, n)));
	mbj_store_u32(p + 12, mbj_crc32c(0, mbj_bytes_make(p, 12)));
}

/* Goal: a frame comes out as it went in, from its own side.  Method: each. */
START_TEST(frame_round_trip)
{
	struct mbj_buf frame;

	mbj_buf_init(&frame, STREAM_FRAME_MAX);
	frame_make(kinds[_i], &frame);
	ck_assert_int_eq(decode(mbj_buf_view(&frame), sides[_i]), MBJ_OK);
	ck_assert_int_eq(decode(mbj_buf_view(&frame),
				sides[_i] == STREAM_REPLICA ? STREAM_SOURCE
							    : STREAM_REPLICA),
			 MBJ_ECORRUPT);
	mbj_buf_done(&frame);
}
END_TEST

/*
 * Goal: a flipped bit never passes.  Method: each bit of each kind's frame; and
 * again with checksums that are right, where it is an error or another message.
 */
START_TEST(frame_flipped)
{
	struct mbj_buf frame;

	mbj_buf_init(&frame, STREAM_FRAME_MAX);
	frame_make(kinds[_i], &frame);
	for (size_t bit = 0; bit < 8 * frame.n; bit++) {
		uint8_t saved[STREAM_HEAD_SIZE];
		uint8_t *at = &frame.p[bit / 8];

		memcpy(saved, frame.p, sizeof(saved));
		*at ^= (uint8_t)(1 << bit % 8);
		ck_assert_int_eq(decode(mbj_buf_view(&frame), sides[_i]),
				 MBJ_ECORRUPT);
		mend(&frame);
		(void)decode(mbj_buf_view(&frame), sides[_i]);
		*at ^= (uint8_t)(1 << bit % 8);
		memcpy(frame.p, saved, sizeof(saved));
	}
	ck_assert_int_eq(decode(mbj_buf_view(&frame), sides[_i]), MBJ_OK);
	mbj_buf_done(&frame);
}
END_TEST

/*
 * Goal: a body that is cut off is refused, and one with more behind it.
 * Method: at every byte, with a length and checksums that say so, in a block of
 * exactly that size (sanitizers look).  Bytes of data have no end of their own.
 */
START_TEST(frame_cut)
{
	bool is_data = kinds[_i] == STREAM_GROUPS || kinds[_i] == STREAM_PIECE;
	struct mbj_buf frame;
	size_t whole;

	mbj_buf_init(&frame, STREAM_FRAME_MAX);
	frame_make(kinds[_i], &frame);
	whole = frame.n;
	mbj_buf_put_u8(&frame, 0);
	for (size_t n = STREAM_HEAD_SIZE; n <= whole + 1; n++) {
		struct mbj_buf cut = {.p = malloc(n), .n = n};
		enum mbj_rc rc;

		ck_assert_ptr_nonnull(cut.p);
		memcpy(cut.p, frame.p, n);
		mbj_store_u32(cut.p, (uint32_t)(n - STREAM_HEAD_SIZE));
		mend(&cut);
		rc = decode(mbj_buf_view(&cut), sides[_i]);
		if (n == whole || (is_data && n > STREAM_HEAD_SIZE))
			ck_assert_int_eq(rc, MBJ_OK);
		else
			ck_assert_int_lt(rc, MBJ_OK);
		free(cut.p);
	}
	mbj_buf_done(&frame);
}
END_TEST

/*
 * Goal: a head is judged before anything is allocated.  Method: each kind with
 * the most bytes and one more; a kind that is not.
 */
START_TEST(frame_limits)
{
	size_t max = stream_size_max(kinds[_i]);
	struct mbj_error err;
	struct stream_head head;
	struct mbj_buf frame;

	ck_assert_uint_le(max + STREAM_HEAD_SIZE, STREAM_FRAME_MAX);
	mbj_buf_init(&frame, STREAM_FRAME_MAX);
	frame_make(kinds[_i], &frame);
	mbj_store_u32(frame.p, (uint32_t)max);
	mend(&frame);
	ck_assert_int_eq(stream_head_decode(frame.p, sides[_i], &head, NULL),
			 MBJ_OK);
	ck_assert_int_eq(head.kind, kinds[_i]);
	ck_assert_uint_eq(head.size, max);
	mbj_store_u32(frame.p, (uint32_t)max + 1);
	mend(&frame);
	ck_assert_int_eq(stream_head_decode(frame.p, sides[_i], &head, &err),
			 MBJ_ELIMIT);
	ck_assert_ptr_nonnull(strstr(err.message, stream_kind_word(kinds[_i])));
	mbj_store_u32(frame.p, 0);
	mbj_store_u16(frame.p + 4, STREAM_KIND_LAST + 1 + (uint16_t)_i);
	mend(&frame);
	ck_assert_int_eq(stream_head_decode(frame.p, sides[_i], &head, &err),
			 MBJ_ECORRUPT);
	mbj_buf_done(&frame);
}
END_TEST

/*
 * Goal: limits of a fetch, a pause, a rate, packing and of contents hold at the
 * limit and not one above. Method: the fields where they are in the frame.
 */
START_TEST(frame_field_limits)
{
	struct stream_message m = {.count = STREAM_CONTENTS_MAX};
	struct mbj_buf contents;
	struct mbj_buf frame;

	mbj_buf_init(&frame, STREAM_FRAME_MAX);
	frame_make(STREAM_FETCH, &frame);
	for (size_t at = 8; at <= 12; at += 4) {
		uint8_t *p = frame.p + STREAM_HEAD_SIZE + at;
		uint32_t was = mbj_load_u32(p);

		mbj_store_u32(p, was + 1);
		mend(&frame);
		ck_assert_int_eq(decode(mbj_buf_view(&frame), STREAM_REPLICA),
				 MBJ_ELIMIT);
		mbj_store_u32(p, was);
	}
	mbj_buf_clear(&frame);
	frame_make(STREAM_PAUSED, &frame);
	for (int i = 0; i < 2; i++) {
		uint64_t ms = i == 0 ? 0 : MBJ_PAUSE_MS_MAX + UINT64_C(1);

		mbj_store_u64(frame.p + STREAM_HEAD_SIZE, ms);
		mend(&frame);
		ck_assert_int_eq(decode(mbj_buf_view(&frame), STREAM_SOURCE),
				 MBJ_ECORRUPT);
	}
	mbj_buf_clear(&frame);
	frame_make(STREAM_PACE, &frame);
	mbj_store_u64(frame.p + STREAM_HEAD_SIZE, MBJ_STREAM_RATE_MIN - 1);
	mend(&frame);
	ck_assert_int_eq(decode(mbj_buf_view(&frame), STREAM_REPLICA),
			 MBJ_ECORRUPT);
	for (unsigned i = 0; i < 4; i++) {
		static const uint8_t bad[4][2] = {
			{0, 1}, {2, 1}, {1, 0}, {1, MBJ_STREAM_LEVEL_MAX + 1}};

		mbj_buf_clear(&frame);
		frame_make(STREAM_PACK, &frame);
		memcpy(frame.p + STREAM_HEAD_SIZE, bad[i], 2);
		mend(&frame);
		ck_assert_int_eq(decode(mbj_buf_view(&frame), STREAM_REPLICA),
				 MBJ_ECORRUPT);
	}
	for (unsigned level = 0; level <= MBJ_STREAM_LEVEL_MAX + 1; level++) {
		mbj_buf_clear(&frame);
		frame_make(STREAM_PACKS, &frame);
		frame.p[STREAM_HEAD_SIZE] = (uint8_t)level;
		mend(&frame);
		ck_assert_int_eq(decode(mbj_buf_view(&frame), STREAM_SOURCE),
				 (level <= MBJ_STREAM_LEVEL_MAX
					  ? MBJ_OK
					  : MBJ_ECORRUPT));
	}
	/* No more in bulk than there are; exactly, or not. */
	for (unsigned i = 0; i < 4; i++) {
		mbj_buf_clear(&frame);
		frame_make(STREAM_LEFT, &frame);
		mbj_store_u64(frame.p + STREAM_HEAD_SIZE, i < 3 ? 9 : 8);
		frame.p[STREAM_HEAD_SIZE + 16] = (uint8_t)(i < 3 ? i : 0);
		mend(&frame);
		ck_assert_int_eq(decode(mbj_buf_view(&frame), STREAM_SOURCE),
				 i < 2 ? MBJ_OK : MBJ_ECORRUPT);
	}
	mbj_buf_clear(&frame);
	mbj_buf_init(&contents, STREAM_FRAME_MAX);
	for (int i = 0; i <= STREAM_CONTENTS_MAX; i++)
		stream_content_put(&contents, &(struct mbj_hash){{1}}, 1);
	m.contents =
		mbj_bytes_make(contents.p, contents.n - STREAM_CONTENT_SIZE);
	stream_encode(&frame, STREAM_CONTENTS, &m);
	ck_assert_uint_eq(frame.n - STREAM_HEAD_SIZE,
			  stream_size_max(STREAM_CONTENTS));
	ck_assert_int_eq(decode(mbj_buf_view(&frame), STREAM_REPLICA), MBJ_OK);
	mbj_store_u32(frame.p + STREAM_HEAD_SIZE, STREAM_CONTENTS_MAX + 1);
	mend(&frame);
	ck_assert_int_eq(decode(mbj_buf_view(&frame), STREAM_REPLICA),
			 MBJ_ECORRUPT);
	mbj_buf_done(&contents);
	mbj_buf_done(&frame);
}
END_TEST

/*
 * Goal: a replica's name is a text, and no longer than is kept.  Method: none,
 * the longest, one byte more, bytes that would be escaped, an instance.
 */
START_TEST(frame_name)
{
	static const char *const bad[] = {"a\nb", "\x1b[2J", "\xff",
					  "0123456789abcdef0123456789abcdef"};
	uint8_t name[MBJ_REPLICA_NAME_MAX + 1];
	struct stream_message m = {.name = {name, 0}};
	struct mbj_buf frame;

	memset(name, 'n', sizeof(name));
	mbj_buf_init(&frame, STREAM_FRAME_MAX);
	for (size_t n = 0; n <= sizeof(name); n += n == 0 ? 254 : 1) {
		m.name.n = n;
		mbj_buf_clear(&frame);
		stream_encode(&frame, STREAM_HELLO, &m);
		ck_assert_int_eq(decode(mbj_buf_view(&frame), STREAM_REPLICA),
				 n <= MBJ_REPLICA_NAME_MAX ? MBJ_OK
							   : MBJ_ECORRUPT);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		m.name = mbj_bytes_str(bad[i]);
		mbj_buf_clear(&frame);
		stream_encode(&frame, STREAM_HELLO, &m);
		ck_assert_int_eq(decode(mbj_buf_view(&frame), STREAM_REPLICA),
				 MBJ_ECORRUPT);
	}
	mbj_buf_done(&frame);
}
END_TEST

/*
 * Goal: the document has the kinds that there are.  Method: look for the row of
 * each.
 */
START_TEST(frame_documented)
{
	struct mbj_buf text;
	char row[64];

	mbj_buf_init(&text, 1 << 20);
	OK(mbj_file_load(mbj_sys_posix(), STREAM_FORMAT, 1 << 20, &text, err));
	mbj_buf_put_u8(&text, 0);
	(void)snprintf(row, sizeof(row), "| %d | %s | %s |", kinds[_i],
		       stream_kind_word(kinds[_i]),
		       sides[_i] == STREAM_REPLICA ? "replica" : "source");
	ck_assert_msg(strstr((const char *)text.p, row) != NULL, "%s", row);
	mbj_buf_done(&text);
}
END_TEST

/* Goal: memory that is not to be had is said.  Method: fail each allocation. */
START_TEST(frame_no_memory)
{
	struct mbj_buf frame;

	for (uint64_t k = 1;; k++) {
		mbj_buf_init(&frame, STREAM_FRAME_MAX);
		test_alloc_fail_at(k);
		stream_encode(&frame, STREAM_PIECE,
			      &(struct stream_message){
				      .data = mbj_bytes_str("bytes")});
		if (test_alloc_count() < k)
			break;
		ck_assert_int_eq(mbj_buf_ok(&frame, NULL), MBJ_ENOMEM);
		mbj_buf_done(&frame);
	}
	test_alloc_fail_at(0);
	ck_assert_int_eq(decode(mbj_buf_view(&frame), STREAM_SOURCE), MBJ_OK);
	mbj_buf_done(&frame);
}
END_TEST

TCase *test_stream_frame_case(void)
{
	TCase *tcase = tcase_create("stream_frame");

	tcase_add_loop_test(tcase, frame_round_trip, 0, KIND_COUNT);
	tcase_add_loop_test(tcase, frame_flipped, 0, KIND_COUNT);
	tcase_add_loop_test(tcase, frame_cut, 0, KIND_COUNT);
	tcase_add_loop_test(tcase, frame_limits, 0, KIND_COUNT);
	tcase_add_test(tcase, frame_field_limits);
	tcase_add_test(tcase, frame_name);
	tcase_add_loop_test(tcase, frame_documented, 0, KIND_COUNT);
	tcase_add_test(tcase, frame_no_memory);
	return tcase;
}
