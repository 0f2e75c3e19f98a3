/*
 * mbj subscriptions, subscribe and unsubscribe: names, whether or not there are
 * mailboxes (RFC 9051 section 6.3.7).
 */
#include <mbj/jmap.h>
#include <mbj/utf7.h>

#include "session.h"

enum { NAMES_SIZE_MAX = 256 << 20 };

/* -------------------------------------------------------------- reading */

/* A recorded path as it is typed: components joined by the delimiter. */
static enum mbj_rc path_text(struct session *s, struct mbj_utf7 *utf7,
			     const struct mbj_path *path, char delimiter,
			     struct mbj_buf *text, struct mbj_buf *wire)
{
	enum mbj_rc rc;

	mbj_buf_clear(text);
	mbj_buf_put_bytes(text, path->stored);
	rc = mbj_buf_ok(text, &s->err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < text->n; i++)
		if (text->p[i] == '\0')
			text->p[i] = (uint8_t)delimiter;
	if (utf7 == NULL)
		return MBJ_OK;
	mbj_buf_clear(wire);
	return mbj_utf7_encode(utf7, mbj_buf_view(text), wire, &s->err);
}

static enum mbj_rc names_put(struct session *s, struct mbj_utf7 *utf7,
			     const struct mbj_client_subscriptions *list)
{
	bool is_json = s->call->options.is_json;
	char delimiter = list->account.policy.delimiter;
	struct mbj_buf text, wire;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&text, (size_t)3 * MBJ_PATH_MAX);
	mbj_buf_init(&wire, (size_t)24 * MBJ_PATH_MAX);
	if (is_json)
		mbj_buf_put_str(&s->out, "{\"schema\":\"mbj.subscriptions/1\","
					 "\"list\":[");
	for (size_t i = 0; rc == MBJ_OK && i < list->count; i++) {
		struct mbj_bytes name;

		rc = path_text(s, utf7, &list->paths[i], delimiter, &text,
			       &wire);
		if (rc < 0)
			break;
		name = mbj_buf_view(utf7 == NULL ? &text : &wire);
		if (is_json) {
			mbj_buf_put_str(&s->out, i > 0 ? "," : "");
			mbj_jmap_string_print(name, &s->out);
		} else {
			mbj_name_escape(&s->out, name);
			mbj_buf_put_str(&s->out, "\n");
		}
	}
	if (is_json)
		mbj_buf_put_str(&s->out, "]}\n");
	mbj_buf_done(&text);
	mbj_buf_done(&wire);
	return rc == MBJ_OK ? mbj_buf_ok(&s->out, &s->err) : rc;
}

int verb_subscriptions(const struct cli_call *call)
{
	struct mbj_client_subscriptions list = {.count = 0};
	struct mbj_utf7 *utf7 = NULL;
	struct session s;
	enum mbj_rc rc;

	session_init(&s, call);
	rc = session_open(&s);
	if (rc == MBJ_OK)
		rc = mbj_client_subscriptions(s.client, s.edit.account, &list,
					      &s.err);
	if (rc == MBJ_ENOTFOUND && s.client != NULL)
		rc = cli_no_account(call, &s.err);
	if (rc == MBJ_OK && call->options.is_utf7)
		rc = mbj_utf7_new(&utf7, &s.err);
	if (rc == MBJ_OK)
		rc = names_put(&s, utf7, &list);
	mbj_utf7_free(&utf7);
	mbj_client_subscriptions_done(&list);
	return session_end(&s, rc);
}

/* -------------------------------------------------------------- writing */

/* The operand as UTF-8, in arena. */
static enum mbj_rc name_read(struct session *s, const char *operand,
			     struct mbj_arena *arena, struct mbj_bytes *ret)
{
	struct mbj_buf utf8;
	enum mbj_rc rc;

	mbj_buf_init(&utf8, 4 * MBJ_PATH_MAX);
	rc = session_path(s, operand, &utf8);
	if (rc == MBJ_OK && !mbj_arena_dup(arena, mbj_buf_view(&utf8), ret))
		rc = mbj_error_nomem(&s->err);
	mbj_buf_done(&utf8);
	return rc;
}

static int names_run(const struct cli_call *call,
		     enum mbj_metadata_edit_kind kind)
{
	size_t count = call->operand_count - 2;
	struct mbj_metadata_edit *steps = mbj_calloc(count, sizeof(*steps));
	struct mbj_arena *arena = NULL;
	struct session s;
	enum mbj_rc rc;

	session_init(&s, call);
	rc = steps == NULL ? mbj_error_nomem(&s.err)
			   : mbj_arena_new(NAMES_SIZE_MAX, &arena, &s.err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		steps[i].kind = kind;
		rc = name_read(&s, call->operands[i + 2], arena,
			       &steps[i].name);
	}
	s.edit.kind = MBJ_EDIT_METADATA;
	s.edit.metadata = steps;
	s.edit.metadata_count = count;
	if (rc == MBJ_OK)
		rc = session_open(&s);
	if (rc == MBJ_OK)
		rc = session_run(&s);
	mbj_arena_free(&arena);
	mbj_free(steps);
	return session_end(&s, rc);
}

int verb_subscribe(const struct cli_call *call)
{
	return names_run(call, MBJ_METADATA_SUBSCRIBE);
}

int verb_unsubscribe(const struct cli_call *call)
{
	return names_run(call, MBJ_METADATA_UNSUBSCRIBE);
}
