/*
 * What a source says of how many bytes a replica lacks, and what the replica's
 * board makes of it.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/store.h>

#include "stream_lab.h"

enum { BEFORE = STREAM_VERSION_LEFT - 1 };

/* What there is in the answers. */
struct said {
	unsigned lefts;
	unsigned ends;
	struct mbj_log_behind left; /* the last */
};

static struct said answers_read(const struct mbj_buf *answers)
{
	struct said said = {.lefts = 0};
	struct stream_message m;
	struct mbj_error why;

	for (size_t at = 0; at < answers->n;) {
		struct stream_head head;
		struct mbj_bytes body;

		ck_assert_int_eq(stream_head_decode(answers->p + at,
						    STREAM_SOURCE, &head, &why),
				 MBJ_OK);
		at += STREAM_HEAD_SIZE;
		body = mbj_bytes_make(answers->p + at, head.size);
		ck_assert_int_eq(stream_body_decode(&head, body, &m, &why),
				 MBJ_OK);
		at += head.size;
		said.ends += head.kind == STREAM_END;
		if (head.kind != STREAM_LEFT)
			continue;
		/* Before the end that it belongs to. */
		ck_assert_uint_eq(said.lefts++, said.ends);
		said.left = m.left;
	}
	return said;
}

/* Bytes of the groups behind one, of those in bulk alone or of all. */
static uint64_t bytes_behind(struct lab *lab, uint64_t after, bool is_bulk)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	uint64_t sum = 0;

	OK(mbj_store_log_reader(mbj_sys_posix(), lab->f.primary_dir, &reader,
				err));
	while (mbj_log_reader_next(reader, &group, NULL) == MBJ_OK)
		if (group.header.lsn.v > after &&
		    (!is_bulk || group.header.origin == MBJ_ORIGIN_BULK))
			sum += group.record.n;
	mbj_log_reader_close(&reader);
	return sum;
}

static void bulk_import(struct lab *lab)
{
	const struct mbj_change change = {
		.kind = MBJ_CHANGE_CREATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		.id = fixture_id(1),
		.name = mbj_bytes_str("INBOX"),
	};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str("carol");
	edit.origin = MBJ_ORIGIN_BULK;
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = &change;
	edit.change_count = 1;
	OK(mbj_store_submit(lab->f.primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

static struct said ask(struct lab *lab, uint16_t version, uint64_t from,
		       uint32_t bytes_max, unsigned times)
{
	mbj_buf_clear(&lab->requests);
	hello_put(&lab->requests, 1, version, 0);
	for (unsigned i = 0; i < times; i++)
		fetch_put(&lab->requests, from, bytes_max);
	OK(source_ask(lab->f.primary_dir, &lab->requests, &lab->answers, err));
	return answers_read(&lab->answers);
}

static void left_check(struct lab *lab, const struct said *said)
{
	ck_assert_uint_eq(said->left.bytes, bytes_behind(lab, 0, false));
	ck_assert_uint_eq(said->left.bulk, bytes_behind(lab, 0, true));
	ck_assert(said->left.is_exact);
}

/*
 * Goal: a replica is told what it lacks, from what it has applied on, where it
 * cannot count that itself.  Method: one group of several; all of them, without
 * any in bulk and with one; those behind the first; the same question twice,
 * for which the journal is walked once; of the version before, nothing.
 */
START_TEST(left_said)
{
	struct said said;
	struct lab lab;

	lab_begin(&lab);
	said = ask(&lab, STREAM_VERSION, 1, 1, 1);
	ck_assert_uint_eq(said.lefts, 1);
	left_check(&lab, &said);
	ck_assert_uint_eq(said.left.bulk, 0);
	ck_assert_uint_eq(ask(&lab, STREAM_VERSION, 1, 1 << 20, 1).lefts, 0);
	bulk_import(&lab);
	said = ask(&lab, STREAM_VERSION, 1, 1 << 20, 1);
	ck_assert_uint_eq(said.lefts, 1);
	left_check(&lab, &said);
	ck_assert_uint_gt(said.left.bulk, 0);
	said = ask(&lab, STREAM_VERSION, 2, 1, 2);
	ck_assert_uint_eq(said.lefts, 2);
	left_check(&lab, &said);
	said = ask(&lab, STREAM_VERSION, 2, 1 << 20, 1);
	ck_assert_uint_eq(said.lefts, 1);
	left_check(&lab, &said);
	said = ask(&lab, BEFORE, 1, 1, 1);
	ck_assert_uint_eq(said.lefts, 0);
	ck_assert_uint_eq(said.ends, 1);
	lab_end(&lab);
}
END_TEST

/* What a replica says to these answers, and what its board has then. */
static enum mbj_rc hear(struct lab *lab, const struct mbj_buf *answers,
			struct mbj_upstream_status *ret_status)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_upstream *board = NULL;
	struct mbj_stream_result result;
	struct mbj_error why;
	struct pair pair;
	enum mbj_rc rc;

	OK(mbj_upstream_new(&board, err));
	pair_open(&pair);
	ck_assert_int_eq(send(pair.far, answers->p, answers->n, MSG_NOSIGNAL),
			 (ssize_t)answers->n);
	ck_assert_int_eq(shutdown(pair.far, SHUT_WR), 0);
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	options.timeout_ms = 2000;
	options.upstream = board;
	rc = mbj_stream_follow(lab->f.replica, &options, &result, &why);
	pair_close(&pair);
	mbj_upstream_get(board, ret_status);
	mbj_upstream_free(&board);
	return rc;
}

/* The first group, what is left behind it, and an end behind that. */
static void answers_make(struct lab *lab, uint16_t version, unsigned lefts,
			 struct mbj_buf *ret_answers)
{
	struct stream_message m = {.version = version, .end = {GROUPS}};
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;

	m.identity = *mbj_store_identity(lab->f.primary);
	stream_encode(ret_answers, STREAM_WELCOME, &m);
	OK(mbj_store_log_reader(mbj_sys_posix(), lab->f.primary_dir, &reader,
				err));
	OK(mbj_log_reader_next(reader, &group, err));
	m.data = group.record;
	stream_encode(ret_answers, STREAM_GROUPS, &m);
	m.left = (struct mbj_log_behind){.bytes = 5000, .bulk = 300};
	for (unsigned i = 0; i < lefts; i++)
		stream_encode(ret_answers, STREAM_LEFT, &m);
	m.count = 1;
	m.size = group.record.n;
	stream_encode(ret_answers, STREAM_END, &m);
	mbj_log_reader_close(&reader);
}

/*
 * Goal: the board has what the source says, until its end is reached, and says
 * that it does not know where the source does not.  Method: a source that says
 * it, once or more often than it may, in a version that has it and in one that
 * has not; then all groups.
 */
START_TEST(left_heard)
{
	static const struct {
		uint16_t version;
		unsigned lefts;
		uint64_t known;
		bool is_bad;
	} cases[] = {
		{STREAM_VERSION, 1, 1, false}, {STREAM_VERSION, 0, 0, false},
		{BEFORE, 0, 0, false},	       {STREAM_VERSION, 2, 0, true},
		{BEFORE, 1, 0, true},
	};
	struct mbj_upstream_status status;
	struct mbj_buf answers;
	struct lab lab;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		lab_begin(&lab);
		mbj_buf_init(&answers, 1 << 20);
		answers_make(&lab, cases[i].version, cases[i].lefts, &answers);
		ck_assert_int_eq(hear(&lab, &answers, &status),
				 cases[i].is_bad ? MBJ_ECORRUPT : MBJ_EIO);
		if (!cases[i].is_bad) {
			ck_assert_uint_eq(status.behind_known, cases[i].known);
			ck_assert_uint_eq(status.behind,
					  cases[i].known ? 5000 : 0);
			ck_assert_uint_eq(status.behind_bulk,
					  cases[i].known ? 300 : 0);
		}
		(void)hear(&lab, &lab.answers, &status);
		mbj_buf_done(&answers);
		lab_end(&lab);
	}
	lab_begin(&lab);
	ck_assert_int_eq(hear(&lab, &lab.answers, &status), MBJ_EIO);
	ck_assert_uint_eq(status.end, GROUPS);
	ck_assert_uint_eq(status.behind_known, 2);
	ck_assert_uint_eq(status.behind, 0);
	lab_end(&lab);
}
END_TEST

TCase *test_stream_left_case(void)
{
	TCase *tc = tcase_create("stream_left");

	tcase_add_test(tc, left_said);
	tcase_add_test(tc, left_heard);
	return tc;
}
