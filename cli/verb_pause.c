/*
 * mbj pause and resume: serve a replica nothing for so long, or again.
 *
 * What is paused is in the store's register, on its disk: whoever serves the
 * replica sees it there, so no process has to be asked.
 */
#include <inttypes.h>

#include <mbj/client.h>

#include "number.h"
#include "replicas.h"
#include "status.h"

enum { PAUSE_OUTPUT_MAX = 16 << 20 };

/* Those of a store that are meant: all of them, or one. */
struct meant {
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_replica_note *notes;
	size_t count;
};

/* What is damaged of others is no reason; of this one it is mended. */
static enum mbj_rc meant_load(struct meant *meant, const struct mbj_id *one,
			      struct mbj_error *err)
{
	size_t bad = 0;
	size_t kept = 0;
	enum mbj_rc rc;

	mbj_free(meant->notes);
	meant->notes = NULL;
	meant->count = 0;
	rc = mbj_replica_notes_load(NULL, meant->dir, &meant->notes,
				    &meant->count, &bad, err);
	if (rc < 0 || one == NULL)
		return rc;
	for (size_t i = 0; i < meant->count; i++)
		if (mbj_id_equal(meant->notes[i].instance, *one))
			meant->notes[kept++] = meant->notes[i];
	meant->count = kept;
	return MBJ_OK;
}

/*
 * None is registered that is meant, by text, or at all.  A pause that is there
 * without a note ends by its instance all the same.
 */
static enum mbj_rc meant_lack(const struct meant *meant,
			      const struct cli_call *call, const char *text,
			      bool is_over, struct mbj_error *err)
{
	struct mbj_id one;

	if (text == NULL)
		return mbj_error_set(err, MBJ_ENOTFOUND, "%s knows no replica",
				     meant->dir);
	if (is_over && mbj_id_parse(mbj_bytes_str(text), &one))
		return call->options.is_dry_run
			       ? MBJ_OK
			       : mbj_replica_pause(NULL, meant->dir, one, 0,
						   err);
	return mbj_error_set(err, MBJ_ENOTFOUND, "%s knows no replica \"%s\"",
			     meant->dir, text);
}

static enum mbj_rc meant_find(struct meant *meant, const struct cli_call *call,
			      bool is_over, struct mbj_error *err)
{
	const char *text = call->operand_count > 1 ? call->operands[1] : NULL;
	struct mbj_id one;
	enum mbj_rc rc;

	rc = cli_store_dir(call->operands[0], meant->dir, err);
	if (rc == MBJ_OK)
		rc = meant_load(meant, NULL, err);
	if (rc == MBJ_OK && text != NULL)
		rc = cli_replica_find(meant->dir, meant->notes, meant->count,
				      text, &one, err);
	if (rc == MBJ_OK && text != NULL)
		rc = meant_load(meant, &one, err);
	if (rc < 0 || meant->count > 0)
		return rc;
	return meant_lack(meant, call, text, is_over, err);
}

static enum mbj_rc meant_pause(struct meant *meant, const struct cli_call *call,
			       uint64_t ms, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < meant->count; i++) {
		struct mbj_replica_note *note = &meant->notes[i];

		if (!call->options.is_dry_run)
			rc = mbj_replica_pause(NULL, meant->dir, note->instance,
					       ms, err);
		note->paused_ms = ms;
	}
	return rc;
}

static int pause_run(const struct cli_call *call, uint64_t ms)
{
	struct meant meant = {.notes = NULL};
	struct mbj_error err;
	struct mbj_buf out;
	enum mbj_rc rc;

	rc = meant_find(&meant, call, ms == 0, &err);
	if (rc == MBJ_OK)
		rc = meant_pause(&meant, call, ms, &err);
	if (rc < 0) {
		mbj_free(meant.notes);
		return cli_fail(call, &err);
	}
	mbj_buf_init(&out, PAUSE_OUTPUT_MAX);
	if (call->options.is_json) {
		mbj_buf_format(&out, "{\"schema\":\"mbj.%s/1\",\"list\":",
			       call->verb->word);
		cli_replicas_json(meant.notes, meant.count, &out);
		mbj_buf_put_str(&out, "}\n");
	} else {
		cli_replicas_text("", meant.notes, meant.count, &out);
	}
	mbj_free(meant.notes);
	return cli_write_done(call, &out);
}

int verb_pause(const struct cli_call *call)
{
	const char *text = call->options.duration;
	uint64_t max = MBJ_PAUSE_MS_MAX / 1000;
	uint64_t s = 0;

	if (text == NULL || !number_duration_read(text, max, &s) || s == 0) {
		cli_say(call,
			"--for says for how long, 1s to 7d: a number with s, "
			"m, h or d behind it%s%.100s%s",
			text != NULL ? ", not \"" : "",
			text != NULL ? text : "", text != NULL ? "\"" : "");
		return CLI_USAGE;
	}
	return pause_run(call, s * 1000);
}

int verb_resume(const struct cli_call *call)
{
	return pause_run(call, 0);
}
