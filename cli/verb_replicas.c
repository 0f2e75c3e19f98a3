/*
 * mbj replicas: who follows a store, how far each is, and forgetting one.
 */
#include "replicas.h"

enum { REPLICAS_OUTPUT_MAX = 16 << 20 };

static void put_json(const struct mbj_replica_note *notes, size_t count,
		     const struct mbj_pause_left *pauses, size_t pause_count,
		     struct mbj_buf *out)
{
	mbj_buf_put_str(out, "{\"schema\":\"mbj.replicas/1\",\"list\":");
	cli_replicas_json(notes, count, out);
	mbj_buf_put_str(out, ",\"pausesLeft\":");
	cli_pauses_json(pauses, pause_count, out);
	mbj_buf_put_str(out, "}\n");
}

/* Where the store's end cannot be read, that is not known. */
static void behind_note(const char *dir, struct mbj_replica_note *notes,
			size_t count)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_log_end end;

	if (mbj_store_log_reader(mbj_sys_posix(), dir, &reader, NULL) ==
		    MBJ_OK &&
	    mbj_log_reader_end(reader, &end, NULL) == MBJ_OK)
		mbj_replicas_behind(NULL, dir, end.lsn, notes, count);
	mbj_log_reader_close(&reader);
}

static int replicas_list(const struct cli_call *call)
{
	struct mbj_replica_note *notes = NULL;
	struct mbj_pause_left *pauses = NULL;
	struct mbj_identity identity;
	struct mbj_error err;
	struct mbj_buf out;
	size_t pause_count = 0;
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_identity_load(mbj_sys_posix(), call->operands[0], &identity,
			       &err);
	if (rc == MBJ_OK)
		rc = mbj_replica_notes_load(NULL, call->operands[0], &notes,
					    &count, NULL, &err);
	if (rc == MBJ_OK && count > 0)
		behind_note(call->operands[0], notes, count);
	if (rc == MBJ_OK)
		rc = mbj_replica_pauses_left(NULL, call->operands[0], &pauses,
					     &pause_count, &err);
	if (rc < 0) {
		mbj_free(notes);
		return cli_fail(call, &err);
	}
	mbj_buf_init(&out, REPLICAS_OUTPUT_MAX);
	if (call->options.is_json)
		put_json(notes, count, pauses, pause_count, &out);
	else
		cli_replicas_text("", notes, count, &out);
	if (!call->options.is_json)
		cli_pauses_text("", pauses, pause_count, &out);
	mbj_free(notes);
	mbj_free(pauses);
	return cli_write_done(call, &out);
}

static enum mbj_rc replica_forget(const char *dir, const char *text,
				  struct mbj_error *err)
{
	struct mbj_replica_note *notes = NULL;
	struct mbj_identity identity;
	struct mbj_id instance;
	size_t count = 0;
	size_t bad = 0;
	enum mbj_rc rc;

	/* What is no store knows no replica, whatever it is called. */
	rc = mbj_identity_load(mbj_sys_posix(), dir, &identity, err);
	if (rc == MBJ_OK)
		rc = mbj_replica_notes_load(NULL, dir, &notes, &count, &bad,
					    err);
	if (rc == MBJ_OK)
		rc = cli_replica_find(dir, notes, count, text, &instance, err);
	mbj_free(notes);
	return rc == MBJ_OK ? mbj_replica_forget(NULL, dir, instance, err) : rc;
}

int verb_replicas(const struct cli_call *call)
{
	struct mbj_error err;

	if (call->options.forget == NULL)
		return replicas_list(call);
	if (replica_forget(call->operands[0], call->options.forget, &err) < 0)
		return cli_fail(call, &err);
	return CLI_OK;
}
