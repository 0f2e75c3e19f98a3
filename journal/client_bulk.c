/*
 * Many things of one kind by one question, through a client.
 */
#include <stdlib.h>

#include <mbj/check.h>

#include "client_impl.h"

_Static_assert((int)MBJ_CLIENT_BODIES_MAX == (int)WIRE_DIGESTS_MAX,
	       "a request has as many digests as a caller may give");

/* Apart: two messages of the wire are much for one stack. */
__attribute__((noinline)) static enum mbj_rc
bulk_ask(struct mbj_client *client, enum wire_kind kind, struct mbj_bytes name,
	 struct mbj_bytes list, size_t count, struct answer *ret_answer,
	 struct mbj_error *err)
{
	struct wire_message request = {.name = name,
				       .list = list,
				       .count = (uint32_t)count};

	return client_call(client, kind, &request, ret_answer, err);
}

static enum mbj_rc bodies_read(const struct answer *answer,
			       struct mbj_bytes *bodies, struct mbj_error *err)
{
	struct mbj_reader reader;

	mbj_reader_init(&reader, answer->message.list);
	for (uint32_t i = 0; i < answer->message.count; i++)
		bodies[i] = mbj_read_block(&reader, WIRE_BLOBS_MAX);
	return mbj_reader_is_spent(&reader) ? MBJ_OK : wire_bad(err, "list");
}

enum mbj_rc mbj_client_bodies(struct mbj_client *client,
			      const struct mbj_hash *digests, size_t count,
			      struct mbj_client_bodies *ret_list,
			      struct mbj_error *err)
{
	struct mbj_bytes asked =
		mbj_bytes_make(digests, count * sizeof(*digests));
	struct mbj_client_bodies list = {.count = 0};
	struct answer answer;
	enum mbj_rc rc;

	MBJ_ASSERT(count > 0 && count <= MBJ_CLIENT_BODIES_MAX);
	_Static_assert(sizeof(*digests) == MBJ_HASH_SIZE, "bytes alone");
	rc = bulk_ask(client, WIRE_BLOBS, mbj_bytes_make(NULL, 0), asked, count,
		      &answer, err);
	if (rc == MBJ_OK && answer.message.count > count)
		rc = wire_bad(err, "list");
	if (rc == MBJ_OK) {
		list.count = answer.message.count;
		list.bodies = mbj_calloc(list.count + 1, sizeof(*list.bodies));
		if (list.bodies == NULL)
			rc = mbj_error_nomem(err);
	}
	if (rc == MBJ_OK)
		rc = bodies_read(&answer, list.bodies, err);
	if (rc == MBJ_OK) {
		list.bytes = answer.body;
		mbj_buf_init(&answer.body, 0);
		*ret_list = list;
	} else {
		mbj_free(list.bodies);
	}
	answer_done(&answer);
	return rc;
}

void mbj_client_bodies_done(struct mbj_client_bodies *list)
{
	mbj_free(list->bodies);
	mbj_buf_done(&list->bytes);
	*list = (struct mbj_client_bodies){.count = 0};
}

static int content_compare(const void *a, const void *b)
{
	const struct mbj_client_content *x = a, *y = b;

	return mbj_id_compare(x->mailbox, y->mailbox);
}

static enum mbj_rc contents_read(const struct answer *answer,
				 struct mbj_client_content *contents,
				 struct mbj_error *err)
{
	uint32_t count = answer->message.count;
	struct mbj_reader reader;
	enum mbj_rc rc = MBJ_OK;

	mbj_reader_init(&reader, answer->message.list);
	for (uint32_t i = 0; rc == MBJ_OK && i < count; i++) {
		contents[i].mailbox = mbj_read_id(&reader);
		rc = wire_content_decode(&reader, &contents[i].content, err);
		contents[i].attr_kinds = mbj_read_u8(&reader);
	}
	if (rc == MBJ_OK && !mbj_reader_is_spent(&reader))
		rc = wire_bad(err, "list");
	if (rc == MBJ_OK)
		qsort(contents, count, sizeof(*contents), content_compare);
	return rc;
}

enum mbj_rc mbj_client_contents(struct mbj_client *client,
				struct mbj_bytes account,
				struct mbj_client_contents *ret_list,
				struct mbj_error *err)
{
	struct mbj_client_contents list = {.count = 0};
	struct answer answer;
	enum mbj_rc rc;

	rc = bulk_ask(client, WIRE_CONTENTS, account, mbj_bytes_make(NULL, 0),
		      0, &answer, err);
	if (rc == MBJ_OK) {
		list.count = answer.message.count;
		list.contents =
			mbj_calloc(list.count + 1, sizeof(*list.contents));
		if (list.contents == NULL)
			rc = mbj_error_nomem(err);
	}
	if (rc == MBJ_OK)
		rc = contents_read(&answer, list.contents, err);
	if (rc == MBJ_OK) {
		list.account = answer.message.account;
		*ret_list = list;
	} else {
		mbj_free(list.contents);
	}
	answer_done(&answer);
	return rc;
}

void mbj_client_contents_done(struct mbj_client_contents *list)
{
	mbj_free(list->contents);
	*list = (struct mbj_client_contents){.count = 0};
}
