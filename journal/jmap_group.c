/*
 * Groups as JSON: mbj.log/1, a group per line, so that a log of any size can
 * be written while it is read.
 *
 * The fields of operations come from mbj/op.def; a field's type says how it
 * is written.
 *
 * Invariants:
 *   1. every field of the table is written under its name;
 *   2. a damaged body is said to be damaged, never half shown.
 *
 * Threads: pure.
 */
#include "jmap_group.h"

#include <mbj/check.h>
#include <mbj/jmap.h>

enum { MICROSECONDS = 1000000 };

/* ------------------------------------------------------ fields by type */

static void put_FLAG(struct jmap_out *out, const char *name, uint8_t value)
{
	jmap_out_bool(out, name, value != 0);
}

static void put_ROLE(struct jmap_out *out, const char *name, uint8_t value)
{
	const char *word = mbj_role_name((enum mbj_role)value);

	if (word == NULL)
		jmap_out_number(out, name, value);
	else if (word[0] == '\0')
		jmap_out_null(out, name);
	else
		jmap_out_text(out, name, word);
}

static void put_DELIMITER(struct jmap_out *out, const char *name, uint8_t value)
{
	jmap_out_bytes(out, name, mbj_bytes_make(&value, 1));
}

static void put_ATTR_KIND(struct jmap_out *out, const char *name, uint8_t value)
{
	if (value == MBJ_ATTR_ACL)
		jmap_out_text(out, name, "acl");
	else if (value == MBJ_ATTR_METADATA)
		jmap_out_text(out, name, "metadata");
	else
		jmap_out_number(out, name, value);
}

static void put_U32(struct jmap_out *out, const char *name, uint32_t value)
{
	jmap_out_number(out, name, value);
}

static void put_U64(struct jmap_out *out, const char *name, uint64_t value)
{
	jmap_out_number(out, name, value);
}

static void put_REV(struct jmap_out *out, const char *name, uint64_t value)
{
	jmap_out_number(out, name, value);
}

static void put_ID(struct jmap_out *out, const char *name, struct mbj_id id)
{
	jmap_out_id(out, name, id);
}

static void put_HASH(struct jmap_out *out, const char *name,
		     struct mbj_hash hash)
{
	jmap_out_hex(out, name, mbj_bytes_make(hash.b, sizeof(hash.b)));
}

static void put_ACCOUNT_NAME(struct jmap_out *out, const char *name,
			     struct mbj_bytes bytes)
{
	jmap_out_bytes(out, name, bytes);
}

static void put_ATTR_NAME(struct jmap_out *out, const char *name,
			  struct mbj_bytes bytes)
{
	jmap_out_bytes(out, name, bytes);
}

/* Text where it is text; a value of METADATA may be anything. */
static void put_ATTR_VALUE(struct jmap_out *out, const char *name,
			   struct mbj_bytes bytes)
{
	if (jmap_utf8_is_valid(bytes)) {
		jmap_out_bytes(out, name, bytes);
		return;
	}
	jmap_out_open(out, name, '{');
	jmap_out_hex(out, "hex", bytes);
	jmap_out_close(out);
}

static void put_OUTCOME(struct jmap_out *out, const char *name,
			struct mbj_bytes bytes)
{
	jmap_out_open(out, name, '{');
	jmap_out_hex(out, "hex", bytes);
	jmap_out_close(out);
}

static void put_RESULT(struct jmap_out *out, const char *name, uint8_t value)
{
	const char *word = mbj_intent_result_name(value);

	MBJ_ASSERT(word != NULL);
	jmap_out_text(out, name, word);
}

static void put_INTENT(struct jmap_out *out, const char *name,
		       struct mbj_bytes bytes)
{
	put_OUTCOME(out, name, bytes);
}

static void put_SLOT(struct jmap_out *out, const char *name,
		     struct mbj_slot slot)
{
	jmap_out_open(out, name, '{');
	jmap_out_id(out, "parentId", slot.parent);
	jmap_out_bytes(out, "name", slot.name.stored);
	if (!mbj_bytes_equal(slot.name.stored, slot.name.key))
		jmap_out_bytes(out, "key", slot.name.key);
	jmap_out_close(out);
}

static void put_components(struct jmap_out *out, const char *name,
			   struct mbj_bytes path)
{
	size_t begin = 0;

	jmap_out_open(out, name, '[');
	for (size_t i = 0; i <= path.n; i++) {
		if (i < path.n && path.p[i] != 0)
			continue;
		jmap_out_bytes(out, NULL,
			       mbj_bytes_make(path.p + begin, i - begin));
		begin = i + 1;
	}
	jmap_out_close(out);
}

static void put_PATH(struct jmap_out *out, const char *name,
		     struct mbj_path path)
{
	put_components(out, name, path.stored);
	if (!mbj_bytes_equal(path.stored, path.key))
		put_components(out, "key", path.key);
}

static void put_UID(struct jmap_out *out, const char *name, uint32_t value)
{
	jmap_out_number(out, name, value);
}

static void put_MODSEQ(struct jmap_out *out, const char *name, uint64_t value)
{
	jmap_out_number(out, name, value);
}

/* A UTCDate (RFC 8620 1.4), or null beyond what that can say. */
static void put_time(struct jmap_out *out, const char *name, int64_t time_us)
{
	struct mbj_buf text;

	mbj_buf_init(&text, 64);
	/* Outside the years that RFC 3339 can say there is no text. */
	if (mbj_jmap_time_print(time_us, &text))
		jmap_out_bytes(out, name, mbj_buf_view(&text));
	else
		jmap_out_null(out, name);
	if (text.failed != MBJ_OK && out->buf->failed == MBJ_OK)
		out->buf->failed = text.failed;
	mbj_buf_done(&text);
}

static void put_TIME(struct jmap_out *out, const char *name, int64_t value)
{
	if (value > INT64_MAX / MICROSECONDS ||
	    value < INT64_MIN / MICROSECONDS)
		jmap_out_null(out, name);
	else
		put_time(out, name, value * MICROSECONDS);
}

static void put_FLAGS(struct jmap_out *out, const char *name, uint8_t value)
{
	jmap_out_open(out, name, '[');
	for (unsigned bit = 1; bit <= MBJ_FLAGS_ALL; bit <<= 1)
		if (value & bit)
			jmap_out_text(out, NULL,
				      mbj_flag_name((enum mbj_flag)bit));
	jmap_out_close(out);
}

static void put_FLAG_MODE(struct jmap_out *out, const char *name, uint8_t value)
{
	jmap_out_text(out, name,
		      value == MBJ_FLAGS_ADD	  ? "add"
		      : value == MBJ_FLAGS_REMOVE ? "remove"
						  : "replace");
}

static void put_KEYWORDS(struct jmap_out *out, const char *name,
			 struct mbj_bytes keywords)
{
	struct mbj_bytes keyword;

	jmap_out_open(out, name, '[');
	while (mbj_keywords_next(&keywords, &keyword))
		jmap_out_bytes(out, NULL, keyword);
	jmap_out_close(out);
}

static void put_GUID(struct jmap_out *out, const char *name,
		     struct mbj_bytes guid)
{
	jmap_out_bytes(out, name, guid);
}

static void put_UIDS(struct jmap_out *out, const char *name,
		     struct mbj_bytes uids)
{
	jmap_out_uids(out, name, uids);
}

/* A function for each kind of primitive. */
#define MBJ_FIELD(type, member) put_##type(out, #member, op->member);
#define MBJ_OP(name, number, word, since, fields, pre, post, inverse) \
	static void put_op_##name(struct jmap_out *out,               \
				  const struct mbj_op *op)            \
	{                                                             \
		fields                                                \
	}
#include <mbj/op.def>
#undef MBJ_OP
#undef MBJ_FIELD

static void (*const op_puts[])(struct jmap_out *out,
			       const struct mbj_op *op) = {
#define MBJ_FIELD(type, member)
#define MBJ_OP(name, number, word, since, fields, pre, post, inverse) \
	[MBJ_OP_##name] = put_op_##name,
#include <mbj/op.def>
#undef MBJ_OP
#undef MBJ_FIELD
};

void jmap_op_out(struct jmap_out *out, const struct mbj_op *op)
{
	MBJ_ASSERT(out != NULL);
	MBJ_ASSERT(op != NULL);
	MBJ_ASSERT(mbj_op_info_get(op->kind) != NULL);
	op_puts[op->kind](out, op);
}

void jmap_path_text(struct mbj_bytes path, char delimiter, struct mbj_buf *buf)
{
	size_t begin = 0;

	MBJ_ASSERT(buf != NULL);
	MBJ_ASSERT(delimiter != '\0');
	for (size_t i = 0; i < path.n; i++) {
		if (path.p[i] != 0)
			continue;
		mbj_buf_put(buf, path.p + begin, i - begin);
		mbj_buf_put(buf, &delimiter, 1);
		begin = i + 1;
	}
	if (begin < path.n)
		mbj_buf_put(buf, path.p + begin, path.n - begin);
}

/* --------------------------------------------------------------- groups */

static void put_accounts(struct jmap_out *out, const struct mbj_group *group)
{
	jmap_out_open(out, "accounts", '[');
	for (uint32_t i = 0; i < group->header.account_count; i++) {
		struct mbj_group_account account;
		uint8_t digest[MBJ_DIGEST_SIZE];

		mbj_group_account_get(group, i, &account);
		mbj_digest_encode(&account.digest, digest);
		jmap_out_open(out, NULL, '{');
		jmap_out_id(out, "id", account.id);
		if (account.previous.v == 0)
			jmap_out_null(out, "previous");
		else
			jmap_out_number(out, "previous", account.previous.v);
		jmap_out_hex(out, "digest",
			     mbj_bytes_make(digest, sizeof(digest)));
		jmap_out_close(out);
	}
	jmap_out_close(out);
}

static enum mbj_rc put_operations(struct jmap_out *out,
				  const struct mbj_group *group,
				  struct mbj_error *err)
{
	struct mbj_group_account account;
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc;

	if (!group->is_body_good) {
		jmap_out_null(out, "operations");
		jmap_out_bool(out, "damaged", true);
		return MBJ_OK;
	}
	jmap_out_open(out, "operations", '[');
	mbj_reader_init(&reader, group->body);
	while ((rc = mbj_group_op_next(group, &reader, &op, err)) == MBJ_OK) {
		const struct mbj_op_info *info = mbj_op_info_get(op.kind);

		MBJ_ASSERT(info != NULL);
		mbj_group_account_get(group, op.account, &account);
		jmap_out_open(out, NULL, '{');
		jmap_out_text(out, "op", info->word);
		jmap_out_id(out, "account", account.id);
		jmap_op_out(out, &op);
		jmap_out_close(out);
	}
	jmap_out_close(out);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static void put_origin(struct jmap_out *out, uint8_t origin)
{
	const char *word = mbj_origin_name((enum mbj_origin)origin);

	if (word != NULL)
		jmap_out_text(out, "origin", word);
	else
		jmap_out_number(out, "origin", origin);
}

enum mbj_rc mbj_jmap_log_begin(struct mbj_buf *ret_json, struct mbj_error *err)
{
	MBJ_ASSERT(ret_json != NULL);
	mbj_buf_put_str(ret_json, "{\"schema\":\"mbj.log/1\",\"groups\":[");
	return mbj_buf_ok(ret_json, err);
}

enum mbj_rc mbj_jmap_log_group(const struct mbj_group *group, bool is_first,
			       struct mbj_buf *ret_json, struct mbj_error *err)
{
	const struct mbj_group_header *header = &group->header;
	struct jmap_out out;
	enum mbj_rc rc;

	MBJ_ASSERT(ret_json != NULL);
	mbj_buf_put_str(ret_json, is_first ? "\n" : ",\n");
	jmap_out_init(&out, ret_json);
	jmap_out_open(&out, NULL, '{');
	jmap_out_number(&out, "lsn", header->lsn.v);
	jmap_out_number(&out, "epoch", header->epoch.v);
	put_time(&out, "time", header->time_us);
	put_origin(&out, header->origin);
	jmap_out_id(&out, "request", header->request);
	put_accounts(&out, group);
	rc = put_operations(&out, group, err);
	if (rc < 0)
		return rc;
	jmap_out_hex(&out, "chain",
		     mbj_bytes_make(group->chain.b, sizeof(group->chain.b)));
	jmap_out_close(&out);
	return mbj_buf_ok(ret_json, err);
}

enum mbj_rc mbj_jmap_log_end(struct mbj_buf *ret_json, struct mbj_error *err)
{
	MBJ_ASSERT(ret_json != NULL);
	mbj_buf_put_str(ret_json, "]}\n");
	return mbj_buf_ok(ret_json, err);
}
