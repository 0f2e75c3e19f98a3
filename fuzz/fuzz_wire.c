/*
 * The bytes between a client and the service: any bytes are an error, or frames
 * whose bodies encode to the same bytes again.  But a status of another build
 * has other counts of numbers: of it what this one knows is taken.
 */
#include <mbj/check.h>

#include "fuzz.h"
#include "wire.h"

enum { ARENA_MAX = 64 << 20, BODY_MAX = 1 << 20 };

/* Errors have one form as well. */
static void error_check(struct mbj_bytes body, struct mbj_buf *again)
{
	struct mbj_error error = {.rc = MBJ_OK};
	enum mbj_rc rc = wire_error_decode(body, &error);

	MBJ_ASSERT(rc < 0);
	wire_error_encode(again, &error);
}

static void records_check(enum wire_kind kind, const struct wire_message *m)
{
	struct mbj_account account;
	struct mbj_message message;
	struct mbj_reader reader;
	struct mbj_node node;
	struct mbj_attr attr;
	struct mbj_path path;
	struct mbj_client_intent intent;
	enum mbj_rc rc = MBJ_OK;

	mbj_reader_init(&reader, m->list);
	while (rc == MBJ_OK && mbj_reader_left(&reader) > 0)
		rc = kind == WIRE_TREE ? wire_node_decode(&reader, &node, NULL)
		     : kind == WIRE_ACCOUNTS
			     ? wire_account_decode(&reader, &account, NULL)
		     : kind == WIRE_ATTRS
			     ? wire_attr_decode(&reader, &attr, NULL)
		     : kind == WIRE_SUBSCRIPTIONS
			     ? wire_path_decode(&reader, &path, NULL)
		     : kind == WIRE_INTENTS
			     ? wire_intent_decode(&reader, &intent, NULL)
			     : wire_message_decode(&reader, &message, NULL);
}

/* Begins with its counts, where the version has them. */
static bool is_other_build(const struct wire_head *head, uint16_t version,
			   struct mbj_bytes body, struct mbj_bytes again)
{
	return head->kind == WIRE_STATUS && head->side == WIRE_ANSWER &&
	       version != 1 && memcmp(body.p, again.p, 2) != 0;
}

static void body_check(const struct wire_head *head, uint16_t version,
		       struct mbj_bytes body, struct mbj_arena *arena,
		       struct mbj_buf *again)
{
	struct wire_message m = {.version = version};
	enum mbj_rc rc;

	mbj_buf_clear(again);
	mbj_arena_reset(arena);
	if (head->side == WIRE_REFUSAL) {
		error_check(body, again);
		return;
	}
	rc = wire_decode(body, head->kind, head->side, arena, &m, NULL);
	if (rc == MBJ_OK) {
		wire_encode(again, head->kind, head->side, &m);
		MBJ_ASSERT(mbj_bytes_equal(mbj_buf_view(again), body) ||
			   is_other_build(head, version, body,
					  mbj_buf_view(again)));
		records_check(head->kind, &m);
		FUZZ_CANARY(head->kind == WIRE_SUBMIT &&
			    head->side == WIRE_REQUEST &&
			    m.edit.rename_count > 0);
	}
	mbj_outcome_done(&m.outcome);
	mbj_client_status_done(&m.status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_arena *arena = NULL;
	struct wire_head head;
	struct mbj_buf again;

	if (size > BODY_MAX || mbj_arena_new(ARENA_MAX, &arena, NULL) < 0)
		return 0;
	mbj_buf_init(&again, 4 * BODY_MAX);
	while (size >= WIRE_HEAD_SIZE &&
	       wire_head_decode(data, &head, NULL) == MBJ_OK) {
		uint8_t bytes[WIRE_HEAD_SIZE];

		wire_head_encode(&head, bytes);
		MBJ_ASSERT(memcmp(bytes, data, sizeof(bytes)) == 0);
		data += WIRE_HEAD_SIZE;
		size -= WIRE_HEAD_SIZE;
		/* A body that is cut off is one that is damaged. */
		if (head.size > size)
			head.size = (uint32_t)size;
		body_check(&head, 0, mbj_bytes_make(data, head.size), arena,
			   &again);
		for (uint16_t version = 1;
		     head.kind == WIRE_STATUS && version < WIRE_VERSION;
		     version++)
			body_check(&head, version,
				   mbj_bytes_make(data, head.size), arena,
				   &again);
		data += head.size;
		size -= head.size;
	}
	mbj_buf_done(&again);
	mbj_arena_free(&arena);
	return 0;
}
