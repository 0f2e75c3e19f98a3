/*
 * A replica compared with a source that is hostile, or not well, or gone in the
 * middle (verify_far.h).  What an honest one would say is asked of the primary
 * itself, and then bent.
 */
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/client.h>

#include "clock_hold.h"
#include "source_stream.h"
#include "stream_lab.h"

enum { FRAMES_MAX = 16 };

struct far {
	struct fixture f;
	struct mbj_client *replica;
	struct mbj_id account;
	struct stream_message welcome;
	struct mbj_buf answers; /* frames, as they are on their way */
};

/* What the primary answers, honestly. */
static void survey(struct far *far, enum mbj_survey_kind kind,
		   struct mbj_buf *ret_bytes,
		   struct mbj_survey_answer *ret_answer)
{
	const struct mbj_survey_question question = {
		.kind = kind,
		.account = kind == MBJ_SURVEY_LIST ? MBJ_ID_ROOT : far->account,
		.limit = 256};
	struct mbj_txn *txn = NULL;

	mbj_buf_init(ret_bytes, MBJ_SURVEY_ANSWER_MAX);
	OK(mbj_store_read(far->f.primary, &txn, err));
	OK(mbj_txn_survey(txn, &question, ret_bytes, err));
	mbj_txn_abort(&txn);
	OK(mbj_survey_answer_decode(mbj_buf_view(ret_bytes), ret_answer, err));
}

static void frame_put(struct far *far, const struct mbj_survey_answer *answer)
{
	struct stream_message m = {.count = 0};
	struct mbj_buf bytes;

	mbj_buf_init(&bytes, MBJ_SURVEY_ANSWER_MAX);
	mbj_survey_answer_encode(&bytes, answer);
	m.survey = mbj_buf_view(&bytes);
	stream_encode(&far->answers, STREAM_SURVEYED, &m);
	mbj_buf_done(&bytes);
}

static void honest_put(struct far *far, enum mbj_survey_kind kind)
{
	struct mbj_survey_answer answer;
	struct mbj_buf bytes;

	survey(far, kind, &bytes, &answer);
	frame_put(far, &answer);
	mbj_buf_done(&bytes);
}

static void welcome_put(struct far *far)
{
	mbj_buf_clear(&far->answers);
	stream_encode(&far->answers, STREAM_WELCOME, &far->welcome);
}

static void far_begin(struct far *far)
{
	struct mbj_watermark where;
	struct mbj_txn *txn = NULL;

	memset(far, 0, sizeof(*far));
	fixture_begin(&far->f);
	fixture_import(&far->f, "alice", 3);
	(void)fixture_replay(&far->f);
	far->account = fixture_account(far->f.primary, "alice");
	OK(mbj_store_read(far->f.primary, &txn, err));
	OK(mbj_txn_watermark(txn, &where, err));
	mbj_txn_abort(&txn);
	far->welcome = (struct stream_message){
		.version = STREAM_VERSION,
		.identity = *mbj_store_identity(far->f.primary),
		.end = where.lsn,
		.has_chain = true,
		.chain = where.chain,
	};
	OK(mbj_client_take(far->f.replica, &far->replica, err));
	mbj_buf_init(&far->answers, BYTES_MAX);
	welcome_put(far);
}

static void far_end(struct far *far)
{
	mbj_client_close(&far->replica);
	far->f.replica = NULL;
	mbj_buf_done(&far->answers);
	fixture_end(&far->f);
}

/* What a comparison came to. */
struct result {
	enum mbj_rc rc; /* that ended it; MBJ_ENOTFOUND: all was compared */
	struct mbj_error why;
	unsigned kinds; /* of the differences, as bits */
	uint64_t accounts;
};

/* Over a socket; told: what stops it, or -1. */
static struct result compare_over(struct far *far, int fd, int told,
				  uint32_t share, uint32_t patience_ms)
{
	struct mbj_verify_far_options options = MBJ_VERIFY_FAR_OPTIONS_INIT;
	struct mbj_stream_options stream = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_verify_far_totals totals = {.accounts = 0};
	struct mbj_verify_far *verify = NULL;
	struct mbj_difference difference;
	struct result result = {.kinds = 0};

	options.share = share;
	options.patience_ms = patience_ms;
	stream.in_fd = fd;
	stream.out_fd = fd;
	stream.stop_fd = told;
	result.rc =
		mbj_verify_far_begin(far->replica, far->f.replica_dir, &stream,
				     &options, &verify, &result.why);
	while (result.rc == MBJ_OK) {
		result.rc =
			mbj_verify_far_next(verify, &difference, &result.why);
		if (result.rc == MBJ_OK)
			result.kinds |= 1u << difference.kind;
	}
	if (verify != NULL)
		mbj_verify_far_totals_get(verify, &totals);
	result.accounts = totals.accounts;
	mbj_verify_far_end(&verify);
	return result;
}

/* With a source that has said all of it already, and hung up. */
static struct result compare(struct far *far, struct mbj_bytes answers,
			     uint32_t patience_ms)
{
	struct result result;
	struct pair pair;

	pair_open(&pair);
	ck_assert_int_eq(send(pair.far, answers.p, answers.n, MSG_NOSIGNAL),
			 (ssize_t)answers.n);
	(void)shutdown(pair.far, SHUT_WR);
	result = compare_over(far, pair.near, -1, 100, patience_ms);
	pair_close(&pair);
	return result;
}

/* All answers there are end so, with these differences and no others. */
static void expect(struct far *far, enum mbj_rc rc, unsigned kinds)
{
	struct result result = compare(far, mbj_buf_view(&far->answers), 0);

	ck_assert_msg(result.rc == rc, "%s: %s", mbj_rc_name(result.rc),
		      result.why.message);
	ck_assert_uint_eq(result.kinds, kinds);
	if (rc == MBJ_ENOTFOUND)
		return;
	ck_assert_int_eq(result.why.rc, rc);
	ck_assert_str_ne(result.why.message, "");
}

/*
 * Goal: a connection that is cut is told, and is no difference.  Method: what
 * an honest source says, cut at every byte; all of it.
 */
START_TEST(far_cut)
{
	struct result result;
	struct far far;

	far_begin(&far);
	honest_put(&far, MBJ_SURVEY_LIST);
	honest_put(&far, MBJ_SURVEY_SUMS);
	for (size_t n = 0; n < far.answers.n; n++) {
		result = compare(&far, mbj_bytes_make(far.answers.p, n), 0);
		ck_assert_msg(result.rc == MBJ_EIO, "%zu: %s", n,
			      mbj_rc_name(result.rc));
		ck_assert_uint_eq(result.kinds, 0);
	}
	expect(&far, MBJ_ENOTFOUND, 0);
	far_end(&far);
}
END_TEST

/*
 * Goal: whom it is not to be compared with is refused by name.  Method: another
 * store, a fork, one that is behind, one that was trimmed, one that is too old,
 * one that has paused us, another frame, a fault.
 */
START_TEST(far_strangers)
{
	static const enum mbj_rc expected[] = {MBJ_EFENCED,  MBJ_EFENCED,
					       MBJ_EFENCED,  MBJ_ENOTFOUND,
					       MBJ_EBUSY,    MBJ_EUNSUPPORTED,
					       MBJ_ECORRUPT, MBJ_ENOMEM};
	struct stream_message m = {.paused_ms = 1000,
				   .data = mbj_bytes_str("x")};
	struct far far;

	far_begin(&far);
	if (_i == 0)
		far.welcome.identity.lineage = fixture_id(99);
	else if (_i == 1)
		far.welcome.chain.b[0] ^= 1;
	else if (_i == 2)
		far.welcome.end.v--;
	else if (_i == 3)
		far.welcome.has_chain = false;
	else if (_i == 5)
		far.welcome.version = STREAM_VERSION_SURVEY - 1;
	welcome_put(&far);
	(void)mbj_error_set(&m.error, MBJ_ENOMEM, "there is no memory");
	if (_i == 4)
		mbj_buf_clear(&far.answers);
	if (_i == 4)
		stream_encode(&far.answers, STREAM_PAUSED, &m);
	else if (_i == 6)
		stream_encode(&far.answers, STREAM_PIECE, &m);
	else if (_i == 7)
		stream_encode(&far.answers, STREAM_FAULT, &m);
	expect(&far, expected[_i], 0);
	far_end(&far);
}
END_TEST

/* One thing about an answer that cannot be. */
static void bend(struct mbj_survey_answer *a, int which, struct mbj_buf *bytes)
{
	struct mbj_survey_entry entry = {mbj_bytes_str("\x01short"), {{0}}};
	uint8_t root[1 + MBJ_ID_SIZE] = {MBJ_SURVEY_ACCOUNT};

	mbj_buf_init(bytes, MBJ_SURVEY_ANSWER_MAX);
	if (which == 1)
		entry.place = mbj_bytes_make(root, sizeof(root));
	if (which < 2) {
		mbj_survey_entry_put(bytes, &entry);
		a->entries = mbj_buf_view(bytes);
		a->entry_count = 1;
	} else if (which == 2) {
		a->entry_count = 257;
		for (uint32_t i = 0; i < a->entry_count; i++) {
			mbj_store_be32(root + 1, i + 1);
			entry.place = mbj_bytes_make(root, sizeof(root));
			mbj_survey_entry_put(bytes, &entry);
		}
		a->entries = mbj_buf_view(bytes);
	} else if (which == 3) {
		a->count = 257;
	}
}

/*
 * Goal: what cannot be an answer ends it, with what it is, and is no
 * difference.  Method: a list with a place of another size, with ROOT in it,
 * with more than was asked for.
 */
START_TEST(far_bent)
{
	struct mbj_survey_answer answer;
	struct mbj_buf bytes, bent;
	struct far far;

	far_begin(&far);
	survey(&far, MBJ_SURVEY_LIST, &bytes, &answer);
	bend(&answer, _i, &bent);
	frame_put(&far, &answer);
	expect(&far, MBJ_ECORRUPT, 0);
	mbj_buf_done(&bent);
	mbj_buf_done(&bytes);
	far_end(&far);
}
END_TEST

/* Sums, until nobody asks for more, of a source that has something else. */
static void sums_put(struct far *far, uint64_t more, uint64_t lsn_more)
{
	struct mbj_survey_answer answer;
	struct mbj_buf bytes;

	survey(far, MBJ_SURVEY_SUMS, &bytes, &answer);
	answer.records.lane[0] += more;
	answer.lsn.v += lsn_more;
	frame_put(far, &answer);
	mbj_buf_done(&bytes);
}

/*
 * Goal: a source whose records are not what it says is damaged, and said to be;
 * that its records are equal one by one ends the search.  Method: sums with one
 * bit more, then each record.
 */
START_TEST(far_damaged)
{
	struct far far;

	far_begin(&far);
	honest_put(&far, MBJ_SURVEY_LIST);
	/* Looked at; then a slice, and the same as a small one, twice each. */
	for (int i = 0; i < 5; i++)
		sums_put(&far, 1, 0);
	honest_put(&far, MBJ_SURVEY_EACH);
	expect(&far, MBJ_ENOTFOUND, 1u << MBJ_DIFFERENCE_ACCOUNT_DAMAGED);
	far_end(&far);
}
END_TEST

/*
 * Goal: a record that cannot be read is damage of that account, no end of all.
 * Method: a fault of that kind where sums are asked for, and where it is
 * searched for what differs.
 */
START_TEST(far_unreadable)
{
	struct stream_message m = {.count = 0};
	struct far far;

	far_begin(&far);
	honest_put(&far, MBJ_SURVEY_LIST);
	(void)mbj_error_set(&m.error, MBJ_ECORRUPT, "a record is damaged");
	if (_i == 1)
		sums_put(&far, 1, 0);
	for (int i = 0; i < 2; i++)
		stream_encode(&far.answers, STREAM_FAULT, &m);
	expect(&far, MBJ_ENOTFOUND, 1u << MBJ_DIFFERENCE_ACCOUNT_DAMAGED);
	far_end(&far);
}
END_TEST

/*
 * Goal: a group that the replica has not heard of proves nothing: busy.
 * Method: the source's account one group further, without patience.
 */
START_TEST(far_ahead)
{
	struct far far;

	far_begin(&far);
	honest_put(&far, MBJ_SURVEY_LIST);
	sums_put(&far, 0, 1);
	expect(&far, MBJ_ENOTFOUND, 1u << MBJ_DIFFERENCE_ACCOUNT_BUSY);
	far_end(&far);
}
END_TEST

/*
 * Goal: an account that only one side has is named, once it was looked at
 * twice.  Method: a source that lists another one, and one that lists none.
 */
START_TEST(far_alone)
{
	struct mbj_survey_answer answer;
	struct mbj_buf bytes;
	struct far far;

	far_begin(&far);
	fixture_import(&far.f, "bob", 1);
	fixture_import(&far.f, "carol", 1);
	survey(&far, MBJ_SURVEY_LIST, &bytes, &answer);
	answer.entries = mbj_bytes_make(NULL, 0);
	answer.entry_count = 0;
	answer.last = mbj_bytes_make(NULL, 0);
	frame_put(&far, &answer);
	mbj_buf_done(&bytes);
	survey(&far, MBJ_SURVEY_SUMS, &bytes, &answer);
	answer.is_there = false;
	answer.watermark.lsn.v = far.welcome.end.v;
	for (int i = 0; i < 2; i++)
		frame_put(&far, &answer);
	mbj_buf_done(&bytes);
	expect(&far, MBJ_ENOTFOUND, 1u << MBJ_DIFFERENCE_ACCOUNT_EXTRA);
	far_end(&far);
}
END_TEST

/* --------------------------------------------------------- while it is quiet
 */

enum {
	ANSWER_MS = 60000, /* that an answer takes, in less than it may */
	STEP_MS = 1000,
	HOUR_MS = 3600000,
};

/* What a source does behind its first answer, while nobody asks it. */
enum quiet { HANGS_UP, HAS_US_STOPPED, SPEAKS, HEARS_AGAIN, QUIET_COUNT };

struct quiet_source {
	int fd;
	int told;    /* what makes the other side stop */
	int64_t now; /* where the clock stands */
	enum quiet quiet;
	struct mbj_bytes answers; /* welcome, and to the first question */
	size_t welcome_size;
	bool is_asked_again;
};

static bool frame_hear(int fd)
{
	uint8_t head_bytes[STREAM_HEAD_SIZE];
	uint8_t body[4096];
	struct stream_head head;

	if (recv(fd, head_bytes, sizeof(head_bytes), MSG_WAITALL) !=
	    (ssize_t)sizeof(head_bytes))
		return false;
	OK(stream_head_decode(head_bytes, STREAM_REPLICA, &head, err));
	ck_assert_uint_le(head.size, sizeof(body));
	return recv(fd, body, head.size, MSG_WAITALL) == (ssize_t)head.size;
}

static void all_send(int fd, const uint8_t *p, size_t n)
{
	ck_assert_int_eq(send(fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Until it is asked something. */
static bool time_pass(struct quiet_source *s)
{
	struct pollfd fd = {.fd = s->fd, .events = POLLIN};
	int n;

	while ((n = poll(&fd, 1, 1)) == 0) {
		s->now += STEP_MS;
		clock_hold(s->now);
	}
	return n > 0;
}

static void *quiet_source_run(void *context)
{
	struct quiet_source *s = context;

	ck_assert(frame_hear(s->fd));
	all_send(s->fd, s->answers.p, s->welcome_size);
	ck_assert(frame_hear(s->fd));
	s->now += ANSWER_MS;
	clock_hold(s->now);
	all_send(s->fd, s->answers.p + s->welcome_size,
		 s->answers.n - s->welcome_size);
	if (s->quiet == HAS_US_STOPPED)
		all_send(s->told, (const uint8_t *)"x", 1);
	if (s->quiet == SPEAKS)
		all_send(s->fd, (const uint8_t *)"x", 1);
	if (s->quiet == HEARS_AGAIN)
		s->is_asked_again = time_pass(s) && frame_hear(s->fd);
	if (s->quiet == HANGS_UP || s->quiet == HEARS_AGAIN)
		(void)shutdown(s->fd, SHUT_RDWR);
	return NULL;
}

/*
 * Goal: whoever waits out its share notices at once that the source hangs up,
 * says what nobody asked for, or that it is told to stop, and asks nobody
 * anything meanwhile; and lets a source hear that somebody is there.  Method: a
 * list that took minutes, of which a hundredth may be spent, and each of them
 * behind it: no account was looked at by then.
 */
START_TEST(far_quiet)
{
	static const enum mbj_rc expected[] = {MBJ_EIO, MBJ_EIO, MBJ_ECORRUPT,
					       MBJ_EIO};
	static const char *const words[] = {"hung up", "told to stop",
					    "nobody had asked for", "hung up"};
	struct quiet_source source = {.quiet = (enum quiet)_i};
	struct pair pair, stop;
	struct result result;
	pthread_t thread;
	struct far far;

	far_begin(&far);
	source.welcome_size = far.answers.n;
	honest_put(&far, MBJ_SURVEY_LIST);
	source.answers = mbj_buf_view(&far.answers);
	pair_open(&pair);
	pair_open(&stop);
	source.fd = pair.far;
	source.told = stop.far;
	source.now = mbj_monotonic_ms();
	clock_hold(source.now);
	ck_assert_int_eq(pthread_create(&thread, NULL, quiet_source_run,
					&source),
			 0);
	result = compare_over(&far, pair.near, stop.near, 1, HOUR_MS);
	(void)pthread_join(thread, NULL);
	clock_release();
	ck_assert_msg(result.rc == expected[_i], "%s", result.why.message);
	ck_assert_ptr_nonnull(strstr(result.why.message, words[_i]));
	ck_assert_uint_eq(result.accounts, 0);
	ck_assert(source.is_asked_again == (source.quiet == HEARS_AGAIN));
	pair_close(&pair);
	pair_close(&stop);
	far_end(&far);
}
END_TEST

/*
 * Goal: nobody waits for what a source that is gone would have sent.  Method:
 * an account one group further, an hour of patience, and no more answers.
 */
START_TEST(far_gone)
{
	struct result result;
	struct far far;

	far_begin(&far);
	honest_put(&far, MBJ_SURVEY_LIST);
	sums_put(&far, 0, 1);
	result = compare(&far, mbj_buf_view(&far.answers), HOUR_MS);
	ck_assert_int_eq(result.rc, MBJ_EIO);
	ck_assert_uint_eq(result.kinds, 0);
	ck_assert_ptr_nonnull(strstr(result.why.message, "hung up"));
	far_end(&far);
}
END_TEST

TCase *test_far_case(void)
{
	TCase *tcase = tcase_create("far");

	tcase_add_test(tcase, far_cut);
	tcase_add_loop_test(tcase, far_strangers, 0, 8);
	tcase_add_loop_test(tcase, far_bent, 0, 4);
	tcase_add_test(tcase, far_damaged);
	tcase_add_loop_test(tcase, far_unreadable, 0, 2);
	tcase_add_test(tcase, far_ahead);
	tcase_add_test(tcase, far_alone);
	tcase_add_loop_test(tcase, far_quiet, 0, QUIET_COUNT);
	tcase_add_test(tcase, far_gone);
	return tcase;
}
