/*
 * mbj replicas: who follows a store, how far each is, and forgetting one.
 */
#include <inttypes.h>
#include <string.h>

#include <mbj/jmap.h>

#include "replicas.h"

enum { REPLICAS_OUTPUT_MAX = 16 << 20 };

static void put_json(const struct mbj_replica_note *notes, size_t count,
		     struct mbj_buf *out)
{
	mbj_buf_put_str(out, "{\"schema\":\"mbj.replicas/1\",\"list\":");
	cli_replicas_json(notes, count, out);
	mbj_buf_put_str(out, "}\n");
}

static int replicas_list(const struct cli_call *call)
{
	struct mbj_replica_note *notes = NULL;
	struct mbj_identity identity;
	struct mbj_error err;
	struct mbj_buf out;
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_identity_load(mbj_sys_posix(), call->operands[0], &identity,
			       &err);
	if (rc == MBJ_OK)
		rc = mbj_replica_notes_load(NULL, call->operands[0], &notes,
					    &count, NULL, &err);
	if (rc < 0)
		return cli_fail(call, &err);
	mbj_buf_init(&out, REPLICAS_OUTPUT_MAX);
	if (call->options.is_json)
		put_json(notes, count, &out);
	else
		cli_replicas_text("", notes, count, &out);
	mbj_free(notes);
	return cli_write_done(call, &out);
}

/* By its instance, or by a name that one alone has. */
static enum mbj_rc replica_find(const char *dir, const char *text,
				struct mbj_id *ret_instance,
				struct mbj_error *err)
{
	struct mbj_replica_note *notes = NULL;
	size_t count = 0;
	size_t found = 0;
	size_t bad = 0;
	enum mbj_rc rc;

	if (mbj_id_parse(mbj_bytes_str(text), ret_instance))
		return MBJ_OK;
	rc = mbj_replica_notes_load(NULL, dir, &notes, &count, &bad, err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		if (strcmp(notes[i].name, text) != 0)
			continue;
		*ret_instance = notes[i].instance;
		found++;
	}
	mbj_free(notes);
	if (rc == MBJ_OK && found == 0)
		rc = mbj_error_set(err, MBJ_ENOTFOUND,
				   "%s knows no replica \"%s\"", dir, text);
	if (rc == MBJ_OK && found > 1)
		rc = mbj_error_set(err, MBJ_EINVALID,
				   "%zu replicas are called \"%s\": say which "
				   "by its instance",
				   found, text);
	return rc;
}

int verb_replicas(const struct cli_call *call)
{
	const char *dir = call->operands[0];
	struct mbj_id instance;
	struct mbj_error err;
	enum mbj_rc rc;

	if (call->options.forget == NULL)
		return replicas_list(call);
	rc = replica_find(dir, call->options.forget, &instance, &err);
	if (rc == MBJ_OK)
		rc = mbj_replica_forget(NULL, dir, instance, &err);
	return rc < 0 ? cli_fail(call, &err) : CLI_OK;
}
