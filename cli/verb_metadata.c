/*
 * mbj acl and metadata, setacl and setmetadata: the attributes of a mailbox,
 * and of an account, which is the mailbox ''.
 */
#include <string.h>

#include <mbj/jmap.h>
#include <mbj/name.h>

#include "session.h"

/* -------------------------------------------------------------- reading */

/* The attributes of the mailbox that the third operand names. */
static enum mbj_rc attrs_read(struct session *s,
			      struct mbj_client_attrs *ret_list)
{
	const char *path = s->call->operands[2];
	struct mbj_buf utf8;
	enum mbj_rc rc;

	mbj_buf_init(&utf8, 4 * MBJ_PATH_MAX);
	rc = session_open(s);
	if (rc == MBJ_OK)
		rc = session_path(s, path, &utf8);
	if (rc == MBJ_OK)
		rc = mbj_client_attrs(s->client, s->edit.account,
				      mbj_buf_view(&utf8), ret_list, &s->err);
	if (rc == MBJ_ENOTFOUND &&
	    s->err.refusal == MBJ_REFUSAL_ACCOUNT_NOT_FOUND)
		rc = cli_no_account(s->call, &s->err);
	else if (rc == MBJ_ENOTFOUND && s->client != NULL)
		rc = cli_no_mailbox(path, &s->err);
	mbj_buf_done(&utf8);
	return rc;
}

static void attr_put(struct mbj_buf *out, bool is_json, bool is_first,
		     const struct mbj_attr *attr)
{
	bool is_acl = attr->kind == MBJ_ATTR_ACL;

	if (!is_json) {
		mbj_name_escape(out, attr->name);
		mbj_buf_put_str(out, is_acl ? "  " : ": ");
		mbj_name_escape(out, attr->value);
		mbj_buf_put_str(out, "\n");
		return;
	}
	mbj_buf_format(out, "%s{\"%s\":", is_first ? "" : ",",
		       is_acl ? "identifier" : "entry");
	mbj_jmap_string_print(attr->name, out);
	mbj_buf_format(out, ",\"%s\":", is_acl ? "rights" : "value");
	mbj_jmap_value_print(attr->value, out);
	mbj_buf_put_str(out, "}");
}

static void attrs_put(struct session *s, const struct mbj_client_attrs *list,
		      uint8_t kind)
{
	bool is_json = s->call->options.is_json;
	bool is_account = mbj_id_is_root(list->mailbox.id);
	char id[MBJ_ID_TEXT_SIZE];
	bool is_first = true;

	mbj_id_print(is_account ? list->account.id : list->mailbox.id, id);
	if (is_json)
		mbj_buf_format(&s->out,
			       "{\"schema\":\"mbj.%s/1\",\"%s\":\"%s\","
			       "\"list\":[",
			       s->call->verb->word,
			       is_account ? "accountId" : "mailboxId", id);
	for (size_t i = 0; i < list->count; i++) {
		if (list->attrs[i].kind != kind)
			continue;
		attr_put(&s->out, is_json, is_first, &list->attrs[i]);
		is_first = false;
	}
	if (is_json)
		mbj_buf_put_str(&s->out, "]}\n");
}

int verb_acl(const struct cli_call *call)
{
	struct mbj_client_attrs list = {.count = 0};
	struct session s;
	enum mbj_rc rc;

	session_init(&s, call);
	rc = attrs_read(&s, &list);
	/* An account has no list: there is no mailbox of that name. */
	if (rc == MBJ_OK && mbj_id_is_root(list.mailbox.id))
		rc = cli_no_mailbox(call->operands[2], &s.err);
	if (rc == MBJ_OK)
		attrs_put(&s, &list, MBJ_ATTR_ACL);
	mbj_client_attrs_done(&list);
	return session_end(&s, rc);
}

/* Names are recorded in lower case. */
static bool entry_is(const struct mbj_attr *attr, const char *name)
{
	if (attr->kind != MBJ_ATTR_METADATA || attr->name.n != strlen(name))
		return false;
	for (size_t i = 0; i < attr->name.n; i++) {
		char c = name[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if ((char)attr->name.p[i] != c)
			return false;
	}
	return true;
}

/* All but one entry leave the list. */
static enum mbj_rc entry_find(struct session *s, struct mbj_client_attrs *list,
			      const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (entry_is(&list->attrs[i], name)) {
			list->attrs[0] = list->attrs[i];
			list->count = 1;
			return MBJ_OK;
		}
	(void)mbj_error_refuse(&s->err, MBJ_REFUSAL_NOT_FOUND, "entry", name,
			       "\"%.200s\" has no entry \"%.200s\"",
			       s->call->operands[2], name);
	s->err.rc = MBJ_ENOTFOUND;
	return MBJ_ENOTFOUND;
}

int verb_metadata(const struct cli_call *call)
{
	bool has_entry = call->operand_count > 3;
	struct mbj_client_attrs list = {.count = 0};
	struct session s;
	enum mbj_rc rc;

	session_init(&s, call);
	rc = attrs_read(&s, &list);
	if (rc == MBJ_OK && has_entry)
		rc = entry_find(&s, &list, call->operands[3]);
	if (rc == MBJ_OK && has_entry && !call->options.is_json)
		mbj_buf_put_bytes(&s.out, list.attrs[0].value);
	else if (rc == MBJ_OK)
		attrs_put(&s, &list, MBJ_ATTR_METADATA);
	mbj_client_attrs_done(&list);
	return session_end(&s, rc);
}

/* -------------------------------------------------------------- writing */

/* One step on the mailbox that the third operand names, or on the account. */
static int step_run(struct session *s, struct mbj_metadata_edit *step,
		    enum mbj_rc rc)
{
	struct mbj_place place = {.mailbox = {.id = MBJ_ID_ROOT}};

	if (rc == MBJ_OK)
		rc = session_open(s);
	if (rc == MBJ_OK && step->kind != MBJ_METADATA_ACCOUNT_ENTRY)
		rc = session_mailbox(s, s->call->operands[2], NULL, &place);
	if (rc == MBJ_OK) {
		step->mailbox = place.mailbox.id;
		s->edit.kind = MBJ_EDIT_METADATA;
		s->edit.metadata = step;
		s->edit.metadata_count = 1;
		rc = session_run(s);
	}
	return session_end(s, rc);
}

int verb_setacl(const struct cli_call *call)
{
	const char *rights = call->operands[4];
	struct mbj_metadata_edit step = {.kind = MBJ_METADATA_ACL};
	struct session s;

	session_init(&s, call);
	if (rights[0] == '+')
		step.mode = MBJ_RIGHTS_ADD;
	else if (rights[0] == '-')
		step.mode = MBJ_RIGHTS_REMOVE;
	step.name = mbj_bytes_str(call->operands[3]);
	step.value = mbj_bytes_str(rights +
				   (step.mode == MBJ_RIGHTS_REPLACE ? 0 : 1));
	return step_run(&s, &step, MBJ_OK);
}

int verb_setmetadata(const struct cli_call *call)
{
	struct mbj_metadata_edit step = {.kind = MBJ_METADATA_ENTRY};
	bool has_value = call->operand_count > 4;
	struct session s;
	enum mbj_rc rc = MBJ_OK;

	if (call->operands[2][0] == '\0')
		step.kind = MBJ_METADATA_ACCOUNT_ENTRY;
	step.is_removed = call->options.is_remove;
	if (step.is_removed && has_value) {
		cli_say(call, "--remove takes no VALUE");
		return CLI_USAGE;
	}
	session_init(&s, call);
	if (has_value) {
		step.value = mbj_bytes_str(call->operands[4]);
	} else if (!step.is_removed) {
		rc = cli_read("-", &s.input, &s.err);
		step.value = mbj_buf_view(&s.input);
	}
	step.name = mbj_bytes_str(call->operands[3]);
	return step_run(&s, &step, rc);
}
