/*
 * Sessions of a server with a storage of its own, which take its lock in turn,
 * change messages at random, and die in the middle of it; their service stops,
 * or is killed, and comes again.  Wherever nothing is in doubt the store has
 * what the server has.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mbj/doubt.h>

#include "append_lab.h"
#include "client_impl.h"
#include "journal_cases.h"
#include "served_lab.h"
#include "wire.h"

enum {
	BOXES = 2,
	MESSAGES_MAX = 24, /* of a mailbox */
	SESSIONS = 3,
	EPOCHS = 12,	 /* lives of the service */
	CHANGES = 60,	 /* of a session in one of them */
	SETTLES_MAX = 5, /* for what comes late from who has died */
};

struct mail {
	uint32_t uid;
	uint8_t flags;
};

struct box {
	const char *path;
	struct mbj_id id;
	struct mail mails[MESSAGES_MAX];
	size_t count;
	uint32_t uidnext;
};

/* The server's storage, and its lock. */
static struct storage {
	pthread_mutex_t lock;
	struct box boxes[BOXES];
	struct site site;
	char path[MBJ_PATH_TEXT_MAX];
	pid_t service;
	int stop;
} storage;

struct session {
	struct test_rng rng;
	pthread_t thread;
	struct mbj_client *client;
	unsigned changes, refused;
};

static const uint8_t MAIL[] = "x";

/* Steps that are told, and what they borrow. */
struct steps {
	struct mbj_message_edit list[2 * MESSAGES_MAX];
	struct mbj_buf uids[2 * MESSAGES_MAX];
	size_t count;
	bool has_mail; /* the last one appends */
};

/* ----------------------------------------------------------------- steps */

static struct mbj_message_edit *step_add(struct steps *steps,
					 const struct box *box,
					 enum mbj_message_edit_kind kind)
{
	struct mbj_message_edit *step = &steps->list[steps->count];

	*step = (struct mbj_message_edit){.kind = kind, .mailbox = box->id};
	mbj_buf_init(&steps->uids[steps->count++], MBJ_UID_RANGE_SIZE);
	steps->has_mail = kind == MBJ_MESSAGE_APPEND;
	return step;
}

static void step_of(struct steps *steps, const struct box *box,
		    enum mbj_message_edit_kind kind, const struct mail *mail)
{
	struct mbj_message_edit *step = step_add(steps, box, kind);
	struct mbj_buf *uids = &steps->uids[steps->count - 1];

	if (kind == MBJ_MESSAGE_APPEND) {
		step->uid = mail->uid;
		step->time = 1;
	} else {
		mbj_uids_put(uids, mail->uid, mail->uid);
		step->uids = mbj_buf_view(uids);
		step->mode = MBJ_FLAGS_REPLACE;
	}
	step->flags = mail->flags;
}

static void steps_done(struct steps *steps)
{
	for (size_t i = 0; i < steps->count; i++)
		mbj_buf_done(&steps->uids[i]);
	steps->count = 0;
}

/* The server does something, and says what. */
static void box_change(struct session *s, struct box *box, struct steps *steps)
{
	uint64_t what = test_rng_below(&s->rng, 3);
	struct mail *mail;

	if (box->count == MESSAGES_MAX)
		what = 2;
	if (box->count == 0 || what == 0) {
		mail = &box->mails[box->count++];
		*mail = (struct mail){box->uidnext++, 0};
		step_of(steps, box, MBJ_MESSAGE_APPEND, mail);
		return;
	}
	mail = &box->mails[test_rng_below(&s->rng, box->count)];
	if (what == 1) {
		mail->flags ^= (uint8_t)(1U << test_rng_below(&s->rng, 4));
		step_of(steps, box, MBJ_MESSAGE_FLAGS, mail);
		return;
	}
	step_of(steps, box, MBJ_MESSAGE_EXPUNGE, mail);
	memmove(mail, mail + 1,
		(size_t)(&box->mails[box->count] - mail - 1) * sizeof(*mail));
	box->count--;
}

/* What the store lacks, or has too much, as steps; none: it is the same. */
static void box_compare(const struct box *box,
			const struct mbj_client_messages *page,
			struct steps *steps)
{
	size_t at = 0;

	for (size_t i = 0; i < page->count; i++) {
		const struct mbj_message *there = &page->messages[i];
		struct mail mail = {there->uid, there->flags};

		if (at == box->count || box->mails[at].uid != mail.uid)
			step_of(steps, box, MBJ_MESSAGE_EXPUNGE, &mail);
		else if (box->mails[at++].flags != mail.flags)
			step_of(steps, box, MBJ_MESSAGE_FLAGS,
				&box->mails[at - 1]);
	}
	for (; at < box->count; at++)
		step_of(steps, box, MBJ_MESSAGE_APPEND, &box->mails[at]);
}

static enum mbj_rc box_read(struct mbj_client *client, const struct box *box,
			    struct steps *steps)
{
	struct mbj_client_messages page = {.count = 0};
	struct mbj_place place;
	enum mbj_rc rc;

	rc = mbj_client_mailbox(client, mbj_bytes_str("u3"),
				mbj_bytes_str(box->path), false, &place, NULL);
	if (rc == MBJ_OK)
		rc = mbj_client_messages(client, place.account.id, box->id, 1,
					 0, 0, &page, NULL);
	if (rc == MBJ_OK)
		box_compare(box, &page, steps);
	mbj_client_messages_done(&page);
	return rc;
}

static void box_check(struct mbj_client *client, const struct box *box)
{
	struct steps steps = {.count = 0};

	if (box_read(client, box, &steps) == MBJ_OK)
		ck_assert_msg(steps.count == 0,
			      "%s differs by %zu steps, and is not in doubt",
			      box->path, steps.count);
	steps_done(&steps);
}

/* --------------------------------------------------------------- telling */

static struct mbj_edit edit_make(struct session *s)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("u3");
	test_rng_fill(&s->rng, edit.request.b, sizeof(edit.request.b));
	edit.request.b[0] = 1;
	return edit;
}

static struct mbj_edit outcome_make(struct session *s, struct mbj_id intent,
				    const struct steps *steps)
{
	struct mbj_edit edit = edit_make(s);

	edit.intent = intent;
	edit.stage = MBJ_STAGE_DONE;
	edit.messages = steps->list;
	edit.message_count = steps->count;
	if (steps->count > 0)
		return edit;
	edit.stage = MBJ_STAGE_FAILED;
	edit.kind = MBJ_EDIT_INTENT;
	return edit;
}

/* With the bytes of what the last step appends; others' are there. */
static enum mbj_rc steps_tell(struct mbj_client *client,
			      const struct mbj_edit *edit, struct steps *steps)
{
	size_t last = steps->count - (steps->has_mail ? 1 : 0);
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < last; i++) {
		if (steps->list[i].kind != MBJ_MESSAGE_APPEND)
			continue;
		steps->list[i].size = 1;
		rc = mbj_body_put(client, mbj_bytes_make(MAIL, 1),
				  &steps->list[i].blob, NULL);
	}
	if (rc < 0)
		return rc;
	return steps->has_mail
		       ? mbj_client_outcome_body(client, edit,
						 mbj_bytes_make(MAIL, 1), NULL)
		       : mbj_client_outcome(client, edit, NULL);
}

/* It has said all of it, and hears no answer any more. */
static void tell_and_die(struct session *s, const struct mbj_edit *edit,
			 const struct steps *steps)
{
	struct wire_message *message = calloc(1, sizeof(*message));
	struct wire_head head = {.kind = WIRE_TAKE,
				 .side = WIRE_REQUEST,
				 .number = 1 << 20};
	struct link *link = s->client->idle;
	struct mbj_buf out;

	ck_assert_ptr_nonnull(message);
	message->version = WIRE_VERSION;
	message->edit = *edit;
	message->data = mbj_bytes_make(MAIL, steps->has_mail ? 1 : 0);
	mbj_buf_init(&out, WIRE_LIST_MAX);
	mbj_buf_put_zero(&out, WIRE_HEAD_SIZE);
	wire_encode(&out, WIRE_TAKE, WIRE_REQUEST, message);
	SITE_OK(mbj_buf_ok(&out, err));
	head.size = (uint32_t)(out.n - WIRE_HEAD_SIZE);
	wire_head_encode(&head, out.p);
	if (link != NULL)
		(void)send(link->fd, out.p, out.n, MSG_NOSIGNAL);
	mbj_buf_done(&out);
	free(message);
}

/* -------------------------------------------------------------- settling */

static struct box *box_of(const struct mbj_intent *intent)
{
	struct mbj_intent_view view;
	struct mbj_doubt doubt;

	SITE_OK(mbj_intent_read(intent->body, &view, err));
	ck_assert(mbj_doubt_next(&view.doubts, &doubt));
	for (size_t i = 0; i < BOXES; i++)
		if (mbj_id_equal(storage.boxes[i].id, doubt.mailbox))
			return &storage.boxes[i];
	ck_abort_msg("an intent is about no mailbox");
}

/* By what the server has: like the session that died would have told. */
static enum mbj_rc intent_settle(struct session *s,
				 const struct mbj_intent *intent)
{
	struct steps steps = {.count = 0};
	enum mbj_rc rc = box_read(s->client, box_of(intent), &steps);
	struct mbj_edit edit = outcome_make(s, intent->id, &steps);

	if (rc == MBJ_OK)
		rc = steps_tell(s->client, &edit, &steps);
	steps_done(&steps);
	return rc;
}

/* All that is in doubt, and what is not is the same. */
static enum mbj_rc settle(struct session *s)
{
	for (int i = 0; i < SETTLES_MAX; i++) {
		struct mbj_client_intents open = {.count = 0};
		bool is_open[BOXES] = {false};
		size_t count;
		enum mbj_rc rc;

		rc = mbj_client_intents(s->client, mbj_bytes_str("u3"), &open,
					NULL);
		if (rc < 0)
			return rc;
		count = open.count;
		for (size_t k = 0; k < count; k++)
			is_open[box_of(&open.intents[k].intent) -
				storage.boxes] = true;
		for (size_t k = 0; k < BOXES; k++)
			if (!is_open[k])
				box_check(s->client, &storage.boxes[k]);
		for (size_t k = 0; k < count && rc != MBJ_EIO; k++)
			rc = intent_settle(s, &open.intents[k].intent);
		mbj_client_intents_done(&open);
		if (count == 0 || rc == MBJ_EIO)
			return rc;
	}
	ck_abort_msg("what is in doubt cannot be settled");
}

/* -------------------------------------------------------------- sessions */

static enum mbj_rc announce(struct session *s, const struct box *box,
			    bool is_begin, struct mbj_edit *edit,
			    struct mbj_id *ret_intent)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_DOUBT,
					.mailbox = box->id};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_place place;
	enum mbj_rc rc;

	edit->stage = MBJ_STAGE_INTENT;
	edit->producer = mbj_bytes_str("imap");
	edit->messages = &step;
	edit->message_count = 1;
	rc = is_begin ? mbj_client_begin(s->client, mbj_bytes_str(box->path),
					 edit, &place, &outcome, NULL)
		      : mbj_client_submit(s->client, edit, &outcome, NULL);
	*ret_intent = outcome.intent;
	mbj_outcome_done(&outcome);
	return rc;
}

/* Asks, settles what has to be, and perhaps asks twice. */
static enum mbj_rc begin(struct session *s, const struct box *box,
			 struct mbj_id *ret_intent)
{
	struct mbj_edit edit = edit_make(s);
	enum mbj_rc rc = announce(s, box, true, &edit, ret_intent);
	struct mbj_id again;

	if (rc == MBJ_ECONFLICT) {
		s->refused++;
		rc = settle(s);
		if (rc == MBJ_OK)
			rc = announce(s, box, true, &edit, ret_intent);
	}
	if (rc < 0)
		return rc;
	box_check(s->client, box);
	if (test_rng_chance(&s->rng, 1, 8) &&
	    announce(s, box, true, &edit, &again) == MBJ_OK)
		ck_assert(mbj_id_equal(again, *ret_intent));
	return MBJ_OK;
}

/* How a session ends a change.  False: it is dead. */
static bool end(struct session *s, struct mbj_id intent, struct steps *steps)
{
	struct mbj_edit edit = outcome_make(s, intent, steps);
	uint64_t way = test_rng_below(&s->rng, 12);
	enum mbj_rc rc;

	if (way == 0)
		return false;
	if (way == 1) {
		tell_and_die(s, &edit, steps);
		return false;
	}
	/* The answer does not come: it is told again, by another connection. */
	if (way == 2 && s->client->idle != NULL)
		(void)shutdown(s->client->idle->fd, SHUT_RD);
	rc = steps_tell(s->client, &edit, steps);
	if (way == 3 && rc == MBJ_OK && steps->count > 0)
		rc = steps_tell(s->client, &edit, steps);
	return rc == MBJ_OK;
}

/* One change, of one mailbox or of two.  False: the session is dead. */
static bool change(struct session *s)
{
	struct box *box = &storage.boxes[test_rng_below(&s->rng, BOXES)];
	struct box *other = &storage.boxes[storage.boxes == box];
	bool has_two = test_rng_chance(&s->rng, 1, 5);
	struct steps steps = {.count = 0}, more = {.count = 0};
	struct mbj_id intent, beside = MBJ_ID_ROOT;
	struct mbj_edit edit = edit_make(s);
	bool lives = begin(s, box, &intent) == MBJ_OK;

	if (lives && has_two)
		lives = announce(s, other, false, &edit, &beside) == MBJ_OK;
	if (!lives)
		return false;
	s->changes++;
	if (!test_rng_chance(&s->rng, 1, 6))
		box_change(s, box, &steps);
	if (has_two)
		box_change(s, other, &more);
	lives = end(s, intent, &steps);
	if (lives && has_two)
		lives = end(s, beside, &more);
	steps_done(&steps);
	steps_done(&more);
	return lives;
}

static void *session_run(void *arg)
{
	struct session *s = arg;
	enum mbj_rc rc = MBJ_OK;

	for (int i = 0; i < CHANGES && rc == MBJ_OK; i++) {
		bool lives = true;

		pthread_mutex_lock(&storage.lock);
		if (s->client == NULL)
			rc = mbj_client_connect(storage.path, NULL, &s->client,
						NULL);
		if (rc == MBJ_OK)
			lives = change(s);
		pthread_mutex_unlock(&storage.lock);
		if (!lives)
			mbj_client_close(&s->client);
	}
	mbj_client_close(&s->client);
	return NULL;
}

/* --------------------------------------------------------------- service */

static _Noreturn void service_live(int stop)
{
	struct mbj_service_options options;
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	served_options(&options);
	options.stop_fd = stop;
	rc = mbj_store_open(storage.site.dir, &storage.site.options, &store,
			    NULL);
	if (rc == MBJ_OK)
		rc = mbj_service_run(store, &options, NULL);
	mbj_store_close(&store);
	_exit(rc == MBJ_OK ? 0 : 1);
}

/* Nobody else is there when it is born. */
static void service_begin(void)
{
	struct mbj_client *client = NULL;
	enum mbj_rc rc = MBJ_EIO;
	int stop[2];

	mbj_store_close(&storage.site.store);
	ck_assert_int_eq(pipe(stop), 0);
	storage.service = fork();
	ck_assert_int_ge(storage.service, 0);
	if (storage.service == 0) {
		(void)close(stop[1]);
		service_live(stop[0]);
	}
	(void)close(stop[0]);
	storage.stop = stop[1];
	for (int i = 0; i < 2000 && rc < 0; i++) {
		rc = mbj_client_connect(storage.path, NULL, &client, NULL);
		if (rc < 0)
			(void)poll(NULL, 0, 5);
	}
	ck_assert_int_eq(rc, MBJ_OK);
	mbj_client_close(&client);
}

/* In good order, or not. */
static void service_end(bool is_killed)
{
	int status = 0;

	if (is_killed)
		(void)kill(storage.service, SIGKILL);
	(void)close(storage.stop);
	ck_assert_int_eq(waitpid(storage.service, &status, 0), storage.service);
	ck_assert(is_killed || (WIFEXITED(status) && !WEXITSTATUS(status)));
	SITE_OK(mbj_store_open(storage.site.dir, &storage.site.options,
			       &storage.site.store, err));
}

static void epoch(struct test_rng *rng, struct session *sessions)
{
	bool is_killed = test_rng_chance(rng, 1, 2);
	int ms = (int)test_rng_below(rng, 60);

	service_begin();
	for (int i = 0; i < SESSIONS; i++)
		ck_assert_int_eq(pthread_create(&sessions[i].thread, NULL,
						session_run, &sessions[i]),
				 0);
	if (is_killed) {
		(void)poll(NULL, 0, ms);
		service_end(true);
	}
	for (int i = 0; i < SESSIONS; i++)
		ck_assert_int_eq(pthread_join(sessions[i].thread, NULL), 0);
	if (!is_killed)
		service_end(false);
}

/* As the store is on disk: what is not in doubt there is the same. */
static void storage_check(struct session *s)
{
	SITE_OK(mbj_client_take(storage.site.store, &s->client, err));
	SITE_OK(settle(s));
	for (size_t i = 0; i < BOXES; i++)
		box_check(s->client, &storage.boxes[i]);
	mbj_client_close(&s->client);
	SITE_OK(mbj_store_open(storage.site.dir, &storage.site.options,
			       &storage.site.store, err));
}

START_TEST(standing_model)
{
	struct session sessions[SESSIONS] = {{.client = NULL}};
	static const char *const paths[BOXES] = {"m2", "m3"};
	struct session last = {.client = NULL};
	unsigned changes = 0, refused = 0;
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	memset(&storage, 0, sizeof(storage));
	ck_assert_int_eq(pthread_mutex_init(&storage.lock, NULL), 0);
	site_begin(&storage.site);
	site_import(storage.site.store, 3, 3);
	site_path(&storage.site, "socket", storage.path);
	for (unsigned i = 0; i < BOXES; i++)
		storage.boxes[i] = (struct box){.path = paths[i],
						.id = site_mailbox(3, i + 2),
						.uidnext = 1};
	for (int i = 0; i < SESSIONS; i++)
		test_rng_init(&sessions[i].rng, test_rng_next(&rng));
	test_rng_init(&last.rng, test_rng_next(&rng));
	for (int i = 0; i < EPOCHS; i++) {
		epoch(&rng, sessions);
		storage_check(&last);
	}
	for (int i = 0; i < SESSIONS; i++) {
		changes += sessions[i].changes;
		refused += sessions[i].refused;
	}
	ck_assert_uint_gt(changes, refused);
	ck_assert(site_is_sound(storage.site.store));
	site_end(&storage.site);
	pthread_mutex_destroy(&storage.lock);
}
END_TEST

TCase *test_standing_model_case(void)
{
	TCase *tc = tcase_create("standing_model");

	tcase_add_test(tc, standing_model);
	tcase_set_timeout(tc, 120);
	return tc;
}
