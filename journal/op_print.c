/*
 * A primitive as one line for people: the word, the mailbox, then each field
 * with its name.  Not a format: nothing ever parses it.
 *
 * Names are quoted component by component and escaped (mbj_name_escape), so
 * that no byte that a user chose can move a cursor or forge another line.
 *
 * Threads: pure.
 */
#include "op_table.h"

#include <mbj/check.h>
#include <mbj/tree.h>

/* Bytes of a value that are shown; its size follows where there are more. */
enum { SHOWN_MAX = 256 };

static void id_print(struct mbj_buf *buf, struct mbj_id id)
{
	char text[MBJ_ID_TEXT_SIZE];

	if (mbj_id_is_root(id)) {
		mbj_buf_put_str(buf, "ROOT");
	} else if (mbj_id_is_temp(id)) {
		mbj_buf_put_str(buf, "TEMP");
	} else {
		mbj_id_print(id, text);
		mbj_buf_put_str(buf, text);
	}
}

static void hash_print(struct mbj_buf *buf, const struct mbj_hash *hash)
{
	for (size_t i = 0; i < MBJ_HASH_SIZE; i++)
		mbj_buf_format(buf, "%02x", hash->b[i]);
}

/* In quotes, with those inside it escaped: the end is beyond doubt. */
static void text_print(struct mbj_buf *buf, struct mbj_bytes text)
{
	size_t shown = text.n < SHOWN_MAX ? text.n : SHOWN_MAX;
	size_t begin = 0;

	mbj_buf_put_u8(buf, '"');
	for (size_t i = 0; i <= shown; i++) {
		if (i < shown && text.p[i] != '"')
			continue;
		if (i > begin)
			mbj_name_escape(buf, mbj_bytes_make(text.p + begin,
							    i - begin));
		if (i < shown)
			mbj_buf_put_str(buf, "\\\"");
		begin = i + 1;
	}
	mbj_buf_put_u8(buf, '"');
	if (shown < text.n)
		mbj_buf_format(buf, "... (%zu bytes)", text.n);
}

static void path_print(struct mbj_buf *buf, struct mbj_bytes stored)
{
	size_t shown = stored.n < SHOWN_MAX ? stored.n : SHOWN_MAX;
	size_t begin = 0;

	for (size_t i = 0; i <= shown; i++) {
		if (i < shown && stored.p[i] != 0)
			continue;
		if (begin > 0)
			mbj_buf_put_u8(buf, '/');
		text_print(buf, mbj_bytes_make(stored.p + begin, i - begin));
		begin = i + 1;
	}
	if (shown < stored.n)
		mbj_buf_format(buf, "... (%zu bytes)", stored.n);
}

/* A set of many ranges as its beginning and its size. */
static void uids_print(struct mbj_buf *buf, struct mbj_bytes uids)
{
	struct mbj_bytes shown = uids;

	if (shown.n > SHOWN_MAX)
		shown.n = SHOWN_MAX;
	mbj_uids_print(buf, shown);
	if (shown.n < uids.n)
		mbj_buf_format(buf, "... (%zu ranges)", mbj_uids_count(uids));
}

static void flags_print(struct mbj_buf *buf, unsigned flags)
{
	const char *between = "";

	mbj_buf_put_u8(buf, '(');
	for (unsigned bit = 1; bit <= MBJ_FLAGS_ALL; bit <<= 1) {
		if (!(flags & bit))
			continue;
		mbj_buf_format(buf, "%s%s", between,
			       mbj_flag_name((enum mbj_flag)bit));
		between = " ";
	}
	mbj_buf_put_u8(buf, ')');
}

static void keywords_print(struct mbj_buf *buf, struct mbj_bytes keywords)
{
	struct mbj_bytes keyword;
	const char *between = "";

	mbj_buf_put_u8(buf, '(');
	while (mbj_keywords_next(&keywords, &keyword)) {
		mbj_buf_put_str(buf, between);
		mbj_buf_put_bytes(buf, keyword);
		between = " ";
	}
	mbj_buf_put_u8(buf, ')');
}

static const char *flag_mode_word(unsigned mode)
{
	return mode == MBJ_FLAGS_ADD	  ? "add"
	       : mode == MBJ_FLAGS_REMOVE ? "remove"
					  : "replace";
}

static void role_print(struct mbj_buf *buf, uint8_t role)
{
	const char *word = mbj_role_name((enum mbj_role)role);

	mbj_buf_put_str(buf, word == NULL || *word == 0 ? "none" : word);
}

static void result_print(struct mbj_buf *buf, uint8_t result)
{
	const char *word = mbj_intent_result_name(result);

	mbj_buf_put_str(buf, word == NULL ? "unknown" : word);
}

static void number_print(struct mbj_buf *buf, uint64_t value)
{
	mbj_buf_format(buf, "%llu", (unsigned long long)value);
}

static void value_print(struct mbj_buf *buf, enum op_type type, const void *p)
{
	const struct mbj_slot *slot = p;
	const struct mbj_path *path = p;

	switch (type) {
	case OP_TYPE_FLAG:
	case OP_TYPE_ATTR_KIND:
		mbj_buf_format(buf, "%u", *(const uint8_t *)p);
		return;
	case OP_TYPE_DELIMITER:
		mbj_buf_format(buf, "'%c'", *(const uint8_t *)p);
		return;
	case OP_TYPE_ROLE:
		role_print(buf, *(const uint8_t *)p);
		return;
	case OP_TYPE_U32:
	case OP_TYPE_UID:
		number_print(buf, *(const uint32_t *)p);
		return;
	case OP_TYPE_U64:
	case OP_TYPE_REV:
	case OP_TYPE_MODSEQ:
		number_print(buf, *(const uint64_t *)p);
		return;
	case OP_TYPE_TIME:
		mbj_buf_format(buf, "%lld", (long long)*(const int64_t *)p);
		return;
	case OP_TYPE_FLAGS:
		flags_print(buf, *(const uint8_t *)p);
		return;
	case OP_TYPE_FLAG_MODE:
		mbj_buf_put_str(buf, flag_mode_word(*(const uint8_t *)p));
		return;
	case OP_TYPE_KEYWORDS:
		keywords_print(buf, *(const struct mbj_bytes *)p);
		return;
	case OP_TYPE_UIDS:
		uids_print(buf, *(const struct mbj_bytes *)p);
		return;
	case OP_TYPE_ID:
		id_print(buf, *(const struct mbj_id *)p);
		return;
	case OP_TYPE_HASH:
		hash_print(buf, p);
		return;
	case OP_TYPE_ACCOUNT_NAME:
	case OP_TYPE_ATTR_NAME:
	case OP_TYPE_ATTR_VALUE:
	case OP_TYPE_GUID:
		text_print(buf, *(const struct mbj_bytes *)p);
		return;
	case OP_TYPE_RESULT:
		result_print(buf, *(const uint8_t *)p);
		return;
	case OP_TYPE_OUTCOME:
	case OP_TYPE_INTENT:
		mbj_buf_format(buf, "%zu bytes",
			       ((const struct mbj_bytes *)p)->n);
		return;
	case OP_TYPE_SLOT:
		id_print(buf, slot->parent);
		mbj_buf_put_u8(buf, '/');
		text_print(buf, slot->name.stored);
		return;
	case OP_TYPE_PATH:
		path_print(buf, path->stored);
		return;
	}
	MBJ_UNREACHABLE();
}

void mbj_op_print(struct mbj_buf *buf, const struct mbj_op *op)
{
	const struct op_layout *layout = op_layout_get(op->kind);

	MBJ_ASSERT(layout != NULL);
	mbj_buf_put_str(buf, layout->info->word);
	for (size_t i = 0; i < layout->info->field_count; i++) {
		const struct op_member *member = &layout->members[i];

		mbj_buf_put_u8(buf, ' ');
		/* The mailbox needs no name in front of it. */
		if (member->offset != offsetof(struct mbj_op, id))
			mbj_buf_format(buf, "%s ",
				       layout->info->fields[i].name);
		value_print(buf, member->type, op_member_get(op, member));
	}
}
