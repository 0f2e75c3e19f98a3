/*
 * Both ends of a stream; see stream_lab.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/blob.h>

#include "stream_lab.h"

void pair_open(struct pair *pair)
{
	int size = SOCKET_SIZE;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	for (int i = 0; i < 2; i++)
		(void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size,
				 sizeof(size));
	pair->near = fds[0];
	pair->far = fds[1];
}

void pair_close(struct pair *pair)
{
	(void)close(pair->near);
	(void)close(pair->far);
}

static void bytes_say(int fd, struct mbj_bytes bytes)
{
	if (bytes.n > 0)
		ck_assert_int_eq(send(fd, bytes.p, bytes.n, MSG_NOSIGNAL),
				 (ssize_t)bytes.n);
}

/*
 * What the source in dir, which packs at level_max at most, says to these
 * requests, and what it returns.
 */
enum mbj_rc source_ask_bounded(const char *dir, unsigned level_max,
			       const struct mbj_buf *requests,
			       struct mbj_buf *ret_answers,
			       struct mbj_error *ret_why)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	uint8_t bytes[4096];
	struct pair pair;
	enum mbj_rc rc;
	ssize_t n;

	pair_open(&pair);
	bytes_say(pair.far, mbj_buf_view(requests));
	ck_assert_int_eq(shutdown(pair.far, SHUT_WR), 0);
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	options.timeout_ms = 2000;
	options.level_max = level_max;
	rc = mbj_stream_send(dir, &options, ret_why);
	ck_assert_int_eq(shutdown(pair.near, SHUT_WR), 0);
	mbj_buf_clear(ret_answers);
	while ((n = read(pair.far, bytes, sizeof(bytes))) > 0)
		mbj_buf_put(ret_answers, bytes, (size_t)n);
	ck_assert_int_eq(mbj_buf_ok(ret_answers, NULL), MBJ_OK);
	pair_close(&pair);
	return rc;
}

/* One that packs as it is asked to. */
enum mbj_rc source_ask(const char *dir, const struct mbj_buf *requests,
		       struct mbj_buf *ret_answers, struct mbj_error *ret_why)
{
	return source_ask_bounded(dir, MBJ_STREAM_LEVEL_MAX, requests,
				  ret_answers, ret_why);
}

/* options: once or not, packed or not; *ret_sent: what it said, or NULL. */
static enum mbj_rc replica_run(struct mbj_store *replica,
			       struct mbj_bytes answers,
			       struct mbj_stream_options options,
			       struct mbj_stream_result *ret_result,
			       struct mbj_buf *ret_sent,
			       struct mbj_error *ret_why)
{
	uint8_t bytes[4096];
	struct pair pair;
	enum mbj_rc rc;
	ssize_t n;

	pair_open(&pair);
	bytes_say(pair.far, answers);
	ck_assert_int_eq(shutdown(pair.far, SHUT_WR), 0);
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	options.timeout_ms = 2000;
	rc = mbj_stream_follow(replica, &options, ret_result, ret_why);
	(void)shutdown(pair.near, SHUT_WR);
	while (ret_sent != NULL &&
	       (n = read(pair.far, bytes, sizeof(bytes))) > 0)
		mbj_buf_put(ret_sent, bytes, (size_t)n);
	pair_close(&pair);
	return rc;
}

/* A replica hears these bytes, and then that the source hangs up. */
enum mbj_rc replica_hear(struct mbj_store *replica, struct mbj_bytes answers,
			 struct mbj_stream_result *ret_result,
			 struct mbj_error *ret_why)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;

	options.is_once = true;
	return replica_run(replica, answers, options, ret_result, NULL,
			   ret_why);
}

/* One that asked for what is packed; *ret_sent, or NULL: what it said. */
enum mbj_rc replica_hear_packed(struct mbj_store *replica,
				struct mbj_bytes answers,
				struct mbj_stream_result *ret_result,
				struct mbj_buf *ret_sent,
				struct mbj_error *ret_why)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;

	options.is_once = true;
	options.level = 3;
	return replica_run(replica, answers, options, ret_result, ret_sent,
			   ret_why);
}

/* The same, and it would hear more. */
enum mbj_rc replica_stay(struct mbj_store *replica, struct mbj_bytes answers,
			 struct mbj_stream_result *ret_result,
			 struct mbj_error *ret_why)
{
	return replica_run(replica, answers, MBJ_STREAM_OPTIONS_INIT,
			   ret_result, NULL, ret_why);
}

void hello_put(struct mbj_buf *buf, uint16_t lowest, uint16_t highest,
	       uint64_t applied)
{
	struct stream_message m = {.version_lowest = lowest,
				   .version_highest = highest,
				   .applied = {applied}};

	stream_encode(buf, STREAM_HELLO, &m);
}

void fetch_put(struct mbj_buf *buf, uint64_t from, uint32_t bytes_max)
{
	struct stream_message m = {.from = {from}, .bytes_max = bytes_max};

	stream_encode(buf, STREAM_FETCH, &m);
}

void contents_put(struct mbj_buf *buf, const struct mbj_hash *blob,
		  uint64_t size)
{
	struct stream_message m = {.count = 1};
	struct mbj_buf contents;

	mbj_buf_init(&contents, BYTES_MAX);
	stream_content_put(&contents, blob, size);
	m.contents = mbj_buf_view(&contents);
	stream_encode(buf, STREAM_CONTENTS, &m);
	mbj_buf_done(&contents);
}

static void message_append(struct lab *lab)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.mailbox = fixture_id(1),
					.size = LAB_TEXT_SIZE};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_blobs *blobs = NULL;

	OK(mbj_store_blobs(lab->f.primary, &blobs, err));
	OK(mbj_blob_put(blobs, mbj_bytes_str(LAB_TEXT), &lab->blob, err));
	step.blob = lab->blob;
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("alice");
	edit.messages = &step;
	edit.message_count = 1;
	OK(mbj_store_submit(lab->f.primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

/* A primary with GROUPS groups, one with a message; what a replica asks of it
 * from the beginning, and what it answers. */
void lab_begin(struct lab *lab)
{
	memset(lab, 0, sizeof(*lab));
	lab->options = MBJ_STORE_OPTIONS_INIT;
	lab->options.state.engine = MBJ_STATE_MEMORY;
	fixture_begin_with(&lab->f, &lab->options);
	fixture_import(&lab->f, "alice", 3);
	fixture_rename(&lab->f, "alice", "m2", "a");
	message_append(lab);
	fixture_rename(&lab->f, "alice", "m3", "b");
	mbj_buf_init(&lab->requests, BYTES_MAX);
	mbj_buf_init(&lab->answers, BYTES_MAX);
	hello_put(&lab->requests, 1, 1, 0);
	fetch_put(&lab->requests, 1, 1 << 20);
	contents_put(&lab->requests, &lab->blob, LAB_TEXT_SIZE);
	OK(source_ask(lab->f.primary_dir, &lab->requests, &lab->answers, err));
}

void lab_end(struct lab *lab)
{
	mbj_buf_done(&lab->requests);
	mbj_buf_done(&lab->answers);
	fixture_end(&lab->f);
}

/* A replica that has nothing yet, in the place of the one before. */
void replica_renew(struct lab *lab, int number)
{
	struct fixture *f = &lab->f;
	char name[16];

	mbj_store_close(&f->replica);
	(void)snprintf(name, sizeof(name), "r%d", number);
	OK(mbj_path_join(f->replica_dir, f->tmpdir, name, err));
	OK(mbj_store_init(f->replica_dir, MBJ_STORE_REPLICA, f->options, err));
	OK(mbj_replica_open(f->replica_dir, f->options, &f->replica, err));
}

/* It is where the primary is, and has the message's bytes. */
void replica_check(struct lab *lab)
{
	struct mbj_verify_totals totals;
	struct mbj_blobs *blobs = NULL;

	ck_assert_uint_eq(fixture_differences(&lab->f, &totals), 0);
	ck_assert_uint_eq(totals.first.v, totals.second.v);
	OK(mbj_store_blobs(lab->f.replica, &blobs, err));
	OK(mbj_blob_verify(blobs, &lab->blob, LAB_TEXT_SIZE, err));
}

/* What is lacking, by a connection that holds. */
void replica_resume(struct lab *lab)
{
	struct mbj_stream_result result;
	struct mbj_watermark applied;
	struct mbj_buf requests;

	OK(mbj_store_applied(lab->f.replica, &applied, err));
	mbj_buf_init(&requests, BYTES_MAX);
	hello_put(&requests, 1, 1, applied.lsn.v);
	if (applied.lsn.v < GROUPS)
		fetch_put(&requests, applied.lsn.v + 1, 1 << 20);
	contents_put(&requests, &lab->blob, LAB_TEXT_SIZE);
	OK(source_ask(lab->f.primary_dir, &requests, &lab->answers, err));
	OK(replica_hear(lab->f.replica, mbj_buf_view(&lab->answers), &result,
			err));
	ck_assert_uint_eq(result.replay.applied.v, GROUPS);
	ck_assert_uint_eq(result.replay.blobs_missing, 0);
	ck_assert(result.is_met && !result.is_lost && !result.is_stopped);
	mbj_buf_done(&requests);
	replica_check(lab);
}

/* An edit of so many names, which is one group. */
void names_import(struct lab *lab, int count)
{
	struct mbj_change *changes = calloc((size_t)count, sizeof(*changes));
	char(*names)[100] = calloc((size_t)count, sizeof(*names));
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	ck_assert(changes != NULL && names != NULL);
	for (int i = 0; i < count; i++) {
		struct mbj_id id = {{0xcc}};

		mbj_store_u32(id.b + 8, (uint32_t)i);
		(void)snprintf(names[i], sizeof(names[i]), "%090d", i);
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = id,
			.name = mbj_bytes_str(i == 0 ? "INBOX" : names[i]),
		};
	}
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str("bob");
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = (size_t)count;
	OK(mbj_store_submit(lab->f.primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
	free(names);
	free(changes);
}

/* One of more than 2 MiB. */
void large_import(struct lab *lab)
{
	names_import(lab, 20000);
}

/* Serve until the replica hangs up. */
void *sender_run(void *context)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct sender *sender = context;

	options.in_fd = sender->fd;
	options.out_fd = sender->fd;
	sender->rc = mbj_stream_send(sender->dir, &options, NULL);
	(void)shutdown(sender->fd, SHUT_RDWR);
	return NULL;
}
