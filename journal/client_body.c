/*
 * Bytes of messages through a client: into the store and out of it, piece by
 * piece.  A writer and a reader have a dispatcher or a link for themselves.
 */
#include <errno.h>
#include <unistd.h>

#include <mbj/check.h>

#include "client_impl.h"
#include "edit_run.h"

/* What writer and reader have in common. */
struct way {
	struct mbj_client *client;
	struct dispatcher dispatcher;
	struct link *link; /* NULL: the dispatcher */
	bool is_broken;
	bool is_begun;		  /* something was asked by the link */
	struct mbj_error failure; /* the first one stays: rc < 0 */
	struct answer answer;	  /* the last one */
};

struct mbj_body_writer {
	struct way way;
	struct mbj_buf held; /* what is not sent yet: a piece at most */
};

struct mbj_body_reader {
	struct way way;
	struct mbj_bytes rest; /* of the last answer */
	bool is_spent;
};

static void way_init(struct way *way, struct mbj_client *client)
{
	memset(way, 0, sizeof(*way));
	way->client = client;
	way->dispatcher.store = client->store;
	answer_init(&way->answer);
}

static enum mbj_rc way_begin(struct way *way, struct mbj_client *client,
			     struct mbj_error *err)
{
	way_init(way, client);
	if (client->store != NULL)
		return MBJ_OK;
	return link_need(client, false, &way->link, err);
}

/* A link with something half done on it is not for the next call. */
static void way_end(struct way *way, bool is_clean)
{
	if (way->client->store != NULL)
		way->client->local->done(&way->dispatcher);
	link_give(way->client, &way->link, way->is_broken || !is_clean);
	answer_done(&way->answer);
}

static enum mbj_rc way_call(struct way *way, enum wire_kind kind,
			    const struct wire_message *request,
			    struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc;

	if (way->failure.rc < 0)
		goto failed;
	mbj_buf_clear(&way->answer.body);
	if (way->client->store != NULL)
		rc = way->client->local->run(&way->dispatcher, kind, request,
					     &way->answer.body, &why);
	else if (way->is_begun)
		rc = link_call(way->client, way->link, kind, request,
			       &way->answer.body, &way->is_broken, &why);
	else /* Nothing hangs on a link yet. */
		rc = link_ask(way->client, &way->link, kind, request, true,
			      &way->answer.body, &way->is_broken, &why);
	way->is_begun = true;
	if (rc == MBJ_OK) {
		rc = answer_decode(&way->answer, kind, &why);
		way->is_broken |= rc < 0;
	}
	if (rc == MBJ_OK)
		return rc;
	way->failure = why;
failed:
	if (err != NULL)
		*err = way->failure;
	return way->failure.rc;
}

/* ---------------------------------------------------------------- writing */

static void writer_free(struct mbj_body_writer **writer, bool is_clean)
{
	way_end(&(*writer)->way, is_clean);
	mbj_buf_done(&(*writer)->held);
	mbj_free(*writer);
	*writer = NULL;
}

enum mbj_rc mbj_body_begin(struct mbj_client *client,
			   struct mbj_body_writer **ret_writer,
			   struct mbj_error *err)
{
	struct mbj_body_writer *writer = mbj_alloc(sizeof(*writer));
	enum mbj_rc rc;

	if (writer == NULL)
		return mbj_error_nomem(err);
	mbj_buf_init(&writer->held, WIRE_PIECE_MAX);
	rc = way_begin(&writer->way, client, err);
	if (rc == MBJ_OK)
		*ret_writer = writer;
	else
		writer_free(&writer, false);
	return rc;
}

/* What is held, by a request of that kind. */
static enum mbj_rc held_send(struct mbj_body_writer *writer,
			     enum wire_kind kind, struct mbj_error *err)
{
	struct wire_message request = {.data = mbj_buf_view(&writer->held)};
	enum mbj_rc rc = way_call(&writer->way, kind, &request, err);

	mbj_buf_clear(&writer->held);
	return rc;
}

/*
 * A piece is held back until there is more than it: so the last one goes with
 * the end of the body, and a short body is one request.
 */
enum mbj_rc mbj_body_write(struct mbj_body_writer *writer,
			   struct mbj_bytes piece, struct mbj_error *err)
{
	struct way *way = &writer->way;
	enum mbj_rc rc = way->failure.rc;

	while (rc == MBJ_OK && piece.n > 0) {
		size_t room = WIRE_PIECE_MAX - writer->held.n;
		size_t n = piece.n < room ? piece.n : room;

		if (n == 0) {
			rc = held_send(writer, WIRE_BLOB_WRITE, NULL);
			continue;
		}
		mbj_buf_put(&writer->held, piece.p, n);
		rc = mbj_buf_ok(&writer->held, &way->failure);
		piece.p += n;
		piece.n -= n;
	}
	if (rc < 0 && err != NULL)
		*err = way->failure;
	return rc;
}

enum mbj_rc mbj_body_finish(struct mbj_body_writer **writer,
			    struct mbj_hash *ret_digest, uint64_t *ret_size,
			    struct mbj_error *err)
{
	struct wire_message nothing = {0};
	struct way *way = &(*writer)->way;
	enum mbj_rc rc = MBJ_OK;

	if (way->link == NULL || way->link->version >= WIRE_VERSION_BLOB_LAST) {
		rc = held_send(*writer, WIRE_BLOB_LAST, err);
	} else {
		if ((*writer)->held.n > 0)
			rc = held_send(*writer, WIRE_BLOB_WRITE, err);
		if (rc == MBJ_OK)
			rc = way_call(way, WIRE_BLOB_FINISH, &nothing, err);
	}
	if (rc == MBJ_OK) {
		*ret_digest = way->answer.message.digest;
		*ret_size = way->answer.message.size;
	}
	writer_free(writer, rc == MBJ_OK);
	return rc;
}

/* Pieces of it are there already. */
static enum mbj_rc long_submit(struct mbj_body_writer **writer,
			       const struct mbj_edit *edit,
			       struct mbj_outcome *ret_outcome,
			       struct mbj_error *err)
{
	struct mbj_client *client = (*writer)->way.client;
	struct mbj_message_edit *steps = NULL;
	struct mbj_edit named = *edit;
	struct mbj_hash digest;
	uint64_t size;
	enum mbj_rc rc;

	rc = mbj_body_finish(writer, &digest, &size, err);
	if (rc == MBJ_OK)
		rc = edit_body_name(&named, &digest, size, &steps, err);
	if (rc == MBJ_OK)
		rc = mbj_client_submit(client, &named, ret_outcome, err);
	mbj_free(steps);
	return rc;
}

enum mbj_rc mbj_body_submit(struct mbj_body_writer **writer,
			    const struct mbj_edit *edit,
			    struct mbj_outcome *ret_outcome,
			    struct mbj_error *err)
{
	struct way *way = &(*writer)->way;
	struct mbj_client *client = way->client;
	struct mbj_buf body;
	enum mbj_rc rc = way->failure.rc;

	if (rc == MBJ_OK)
		rc = client_edit_check(edit, err);
	else if (err != NULL)
		*err = way->failure;
	if (rc == MBJ_OK && way->is_begun)
		return long_submit(writer, edit, ret_outcome, err);
	body = (*writer)->held;
	mbj_buf_init(&(*writer)->held, 0);
	writer_free(writer, !way->is_begun);
	if (rc == MBJ_OK)
		rc = mbj_client_submit_body(client, edit, mbj_buf_view(&body),
					    ret_outcome, err);
	mbj_buf_done(&body);
	return rc;
}

void mbj_body_abort(struct mbj_body_writer **writer)
{
	/* The service drops what a connection leaves. */
	if (*writer != NULL)
		writer_free(writer, false);
}

enum mbj_rc mbj_body_put(struct mbj_client *client, struct mbj_bytes bytes,
			 struct mbj_hash *ret_digest, struct mbj_error *err)
{
	struct mbj_body_writer *writer = NULL;
	uint64_t size;
	enum mbj_rc rc;

	rc = mbj_body_begin(client, &writer, err);
	if (rc == MBJ_OK)
		rc = mbj_body_write(writer, bytes, err);
	if (rc == MBJ_OK)
		rc = mbj_body_finish(&writer, ret_digest, &size, err);
	mbj_body_abort(&writer);
	return rc;
}

enum mbj_rc mbj_body_write_fd(struct mbj_body_writer *writer, int fd,
			      const char *name, uint64_t *ret_size,
			      struct mbj_error *err)
{
	uint8_t *step = mbj_alloc(WIRE_PIECE_MAX);
	enum mbj_rc rc = MBJ_OK;
	uint64_t size = 0;
	ssize_t n = 1;

	if (step == NULL)
		return mbj_error_nomem(err);
	while (rc == MBJ_OK && n != 0) {
		n = read(fd, step, WIRE_PIECE_MAX);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = mbj_error_errno(err, errno, "cannot read", name);
			break;
		}
		rc = mbj_body_write(writer, mbj_bytes_make(step, (size_t)n),
				    err);
		size += (size_t)n;
	}
	mbj_free(step);
	if (rc == MBJ_OK)
		*ret_size = size;
	return rc;
}

enum mbj_rc mbj_body_put_fd(struct mbj_client *client, int fd, const char *name,
			    struct mbj_hash *ret_digest, uint64_t *ret_size,
			    struct mbj_error *err)
{
	struct mbj_body_writer *writer = NULL;
	enum mbj_rc rc;

	rc = mbj_body_begin(client, &writer, err);
	if (rc == MBJ_OK)
		rc = mbj_body_write_fd(writer, fd, name, ret_size, err);
	if (rc == MBJ_OK)
		rc = mbj_body_finish(&writer, ret_digest, ret_size, err);
	mbj_body_abort(&writer);
	return rc;
}

/* ---------------------------------------------------------------- reading */

enum mbj_rc mbj_body_open(struct mbj_client *client,
			  const struct mbj_hash *digest,
			  struct mbj_body_reader **ret_reader,
			  uint64_t *ret_size, struct mbj_error *err)
{
	struct wire_message request = {.digest = *digest};
	struct mbj_body_reader *reader = mbj_calloc(1, sizeof(*reader));
	enum mbj_rc rc;

	if (reader == NULL)
		return mbj_error_nomem(err);
	way_init(&reader->way, client);
	rc = way_call(&reader->way, WIRE_BLOB_OPEN, &request, err);
	if (rc == MBJ_OK) {
		*ret_size = reader->way.answer.message.size;
		*ret_reader = reader;
		return MBJ_OK;
	}
	way_end(&reader->way, true);
	mbj_free(reader);
	return rc;
}

enum mbj_rc mbj_body_read(struct mbj_body_reader *reader, void *p, size_t n,
			  size_t *ret_got, struct mbj_error *err)
{
	struct wire_message request = {.size = WIRE_PIECE_MAX};
	enum mbj_rc rc;

	if (reader->rest.n == 0 && !reader->is_spent && n > 0) {
		rc = way_call(&reader->way, WIRE_BLOB_READ, &request, err);
		if (rc < 0)
			return rc;
		reader->rest = reader->way.answer.message.data;
		reader->is_spent = reader->rest.n == 0;
	}
	if (n > reader->rest.n)
		n = reader->rest.n;
	*ret_got = n;
	if (n == 0)
		return MBJ_OK;
	memcpy(p, reader->rest.p, n);
	reader->rest.p += n;
	reader->rest.n -= n;
	return MBJ_OK;
}

void mbj_body_close(struct mbj_body_reader **reader)
{
	if (*reader == NULL)
		return;
	/* The service drops what is not read on. */
	way_end(&(*reader)->way, true);
	mbj_free(*reader);
	*reader = NULL;
}
