/*
 * A change of messages, announced and told; see append_lab.h.
 */
#include "append_lab.h"

void append_make_at(struct mbj_client *client, struct append *append,
		    const char *path)
{
	static uint16_t number;

	*append = (struct append){.edit = MBJ_EDIT_INIT, .path = path};
	SITE_OK(mbj_client_mailbox(client, mbj_bytes_str("u3"),
				   mbj_bytes_str(path), false, &append->place,
				   err));
	append->step.kind = MBJ_MESSAGE_DOUBT;
	append->step.mailbox = append->place.mailbox.id;
	append->edit.kind = MBJ_EDIT_MESSAGES;
	append->edit.account = mbj_bytes_str("u3");
	append->edit.stage = MBJ_STAGE_INTENT;
	append->edit.producer = mbj_bytes_str("imap");
	append->edit.messages = &append->step;
	append->edit.message_count = 1;
	append->edit.request.b[0] = 9;
	append->edit.request.b[1] = (uint8_t)++number;
	append->edit.request.b[4] = (uint8_t)(number >> 8);
}

void append_make(struct mbj_client *client, struct append *append)
{
	append_make_at(client, append, "m2");
}

enum mbj_rc append_begin(struct mbj_client *client, struct append *append,
			 struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	enum mbj_rc rc;

	rc = mbj_client_begin(client, mbj_bytes_str(append->path),
			      &append->edit, &append->place, &outcome, err);
	if (rc == MBJ_OK)
		append->edit.intent = outcome.intent;
	mbj_outcome_done(&outcome);
	return rc;
}

void append_outcome(struct append *append)
{
	append->edit.stage = MBJ_STAGE_DONE;
	append->edit.producer = mbj_bytes_make(NULL, 0);
	append->edit.request.b[2]++;
	append->step.kind = MBJ_MESSAGE_APPEND;
	append->step.time = 1;
}

void append_failed(struct append *append)
{
	append->edit.stage = MBJ_STAGE_FAILED;
	append->edit.kind = MBJ_EDIT_INTENT;
	append->edit.producer = mbj_bytes_make(NULL, 0);
	append->edit.request.b[2]++;
	append->edit.message_count = 0;
}

enum mbj_rc append_tell(struct mbj_client *client, const struct append *append,
			const uint8_t *body, size_t n, struct mbj_error *err)
{
	return mbj_client_outcome_body(client, &append->edit,
				       mbj_bytes_make(body, n), err);
}

static void *racer_run(void *arg)
{
	struct append_racer *racer = arg;

	racer->rc = append_begin(racer->client, &racer->append, NULL);
	return NULL;
}

void racer_begin(struct append_racer *racer)
{
	ck_assert_int_eq(pthread_create(&racer->thread, NULL, racer_run, racer),
			 0);
}

size_t intents_open(struct mbj_client *client)
{
	struct mbj_client_intents open = {.count = 0};
	size_t count;

	SITE_OK(mbj_client_intents(client, mbj_bytes_str("u3"), &open, err));
	count = open.count;
	mbj_client_intents_done(&open);
	return count;
}
