/*
 * The table of primitives, and what needs nothing but the table: looking a
 * kind up, comparing two primitives, judging one.
 *
 * Not here: bytes (op_codec.c), text (op_print.c), meaning (apply_op.c).
 *
 * Invariants:
 *   1. a field of type T names a member of the size of T's form: asserted by
 *      the compiler below;
 *   2. what op_fault_find passes is what mbj_op_decode accepts: both sides of
 *      the journal share one rule.
 *
 * Threads: pure functions over constant tables.
 */
#include "op_table.h"

#include <mbj/check.h>
#include <mbj/tree.h>

enum {
#define X(name, size) OP_FORM_SIZE_##name = (size),
	OP_FORM_MAP(X)
#undef X
};

enum {
#define X(name, form) OP_TYPE_SIZE_##name = OP_FORM_SIZE_##form,
	OP_TYPE_MAP(X)
#undef X
};

/* Names of the types' forms. */
enum {
#define X(name, form) OP_TYPE_FORM_##name = OP_FORM_##form,
	OP_TYPE_MAP(X)
#undef X
};

/* Invariant 1. */
#define MBJ_FIELD(type, member)                                   \
	_Static_assert(sizeof(((struct mbj_op *)NULL)->member) == \
			       OP_TYPE_SIZE_##type,               \
		       "type of " #member);
#define MBJ_OP(name, number, word, since, fields, pre, post, inverse) fields
#include <mbj/op.def>
#undef MBJ_OP
#undef MBJ_FIELD

/* Names of the fields, for people. */
#define MBJ_FIELD(type, member) {#type, #member},
#define MBJ_OP(name, number, word, since, fields, pre, post, inverse) \
	static const struct mbj_op_field fields_##name[] = {fields};
#include <mbj/op.def>
#undef MBJ_OP
#undef MBJ_FIELD

/* Places of the fields, for the machine. */
#define MBJ_FIELD(type, member)                             \
	{OP_TYPE_##type, (enum op_form)OP_TYPE_FORM_##type, \
	 offsetof(struct mbj_op, member)},
#define MBJ_OP(name, number, word, since, fields, pre, post, inverse) \
	static const struct op_member members_##name[] = {fields};
#include <mbj/op.def>
#undef MBJ_OP
#undef MBJ_FIELD

#define MBJ_FIELD(type, member)

/* Position in the table. */
enum {
#define MBJ_OP(name, number, word, since, fields, pre, post, inverse) \
	INFO_AT_##name,
#include <mbj/op.def>
#undef MBJ_OP
	INFO_COUNT
};

static const struct mbj_op_info infos[INFO_COUNT] = {
#define MBJ_OP(name, number, text, first, list, pre, post, back)          \
	[INFO_AT_##name] = {                                              \
		.kind = (number),                                         \
		.since = (first),                                         \
		.word = (text),                                           \
		.precondition = (pre),                                    \
		.postcondition = (post),                                  \
		.inverse = (back),                                        \
		.fields = fields_##name,                                  \
		.field_count =                                            \
			sizeof(fields_##name) / sizeof(fields_##name[0]), \
	},
#include <mbj/op.def>
#undef MBJ_OP
};

/* By number: a lookup is one load.  Unused numbers have no info. */
static const struct op_layout layouts[] = {
#define MBJ_OP(name, number, word, since, fields, pre, post, inverse) \
	[number] = {&infos[INFO_AT_##name], members_##name},
#include <mbj/op.def>
#undef MBJ_OP
};

#undef MBJ_FIELD

const struct op_layout *op_layout_get(uint16_t kind)
{
	if (kind >= sizeof(layouts) / sizeof(layouts[0]) ||
	    layouts[kind].info == NULL)
		return NULL;
	MBJ_ASSERT(layouts[kind].info->kind == kind);
	return &layouts[kind];
}

const struct mbj_op_info *mbj_op_info_get(uint16_t kind)
{
	const struct op_layout *layout = op_layout_get(kind);

	return layout == NULL ? NULL : layout->info;
}

size_t mbj_op_info_count(void)
{
	return INFO_COUNT;
}

const struct mbj_op_info *mbj_op_info_at(size_t index)
{
	MBJ_ASSERT(index < INFO_COUNT);
	return &infos[index];
}

/* ---------------------------------------------------------- comparing */

static bool name_equal(const struct mbj_name *a, const struct mbj_name *b)
{
	return mbj_bytes_equal(a->stored, b->stored) &&
	       mbj_bytes_equal(a->key, b->key);
}

static bool slot_equal(const struct mbj_slot *a, const struct mbj_slot *b)
{
	return mbj_id_equal(a->parent, b->parent) &&
	       name_equal(&a->name, &b->name);
}

static bool path_equal(const struct mbj_path *a, const struct mbj_path *b)
{
	return mbj_bytes_equal(a->stored, b->stored) &&
	       mbj_bytes_equal(a->key, b->key);
}

static bool value_equal(enum op_form form, const void *a, const void *b)
{
	switch (form) {
	case OP_FORM_U8:
		return memcmp(a, b, 1) == 0;
	case OP_FORM_U32:
		return memcmp(a, b, sizeof(uint32_t)) == 0;
	case OP_FORM_U64:
		return memcmp(a, b, sizeof(uint64_t)) == 0;
	case OP_FORM_ID:
		return memcmp(a, b, sizeof(struct mbj_id)) == 0;
	case OP_FORM_HASH:
		return memcmp(a, b, sizeof(struct mbj_hash)) == 0;
	case OP_FORM_BLOCK:
		return mbj_bytes_equal(*(const struct mbj_bytes *)a,
				       *(const struct mbj_bytes *)b);
	case OP_FORM_SLOT:
		return slot_equal(a, b);
	case OP_FORM_PATH:
		return path_equal(a, b);
	}
	MBJ_UNREACHABLE();
}

bool mbj_op_equal(const struct mbj_op *a, const struct mbj_op *b)
{
	const struct op_layout *layout = op_layout_get(a->kind);

	MBJ_ASSERT(layout != NULL);
	if (a->kind != b->kind || a->account != b->account)
		return false;
	for (size_t i = 0; i < layout->info->field_count; i++) {
		const struct op_member *member = &layout->members[i];

		if (!value_equal(member->form, op_member_get(a, member),
				 op_member_get(b, member)))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------ judging */

/* Names that people see and that become parts of keys: no NUL. */
static bool text_is_good(const struct mbj_bytes *text, size_t max)
{
	return text->n > 0 && text->n <= max &&
	       memchr(text->p, 0, text->n) == NULL;
}

static bool value_is_good(enum op_type type, const void *p)
{
	const struct mbj_bytes *bytes = p;
	const struct mbj_slot *slot = p;
	const uint8_t *byte = p;

	switch (type) {
	case OP_TYPE_FLAG:
		return *byte <= 1;
	case OP_TYPE_DELIMITER:
		return *byte == '/' || *byte == '.';
	case OP_TYPE_ROLE:
		return mbj_role_name((enum mbj_role) * byte) != NULL;
	case OP_TYPE_ATTR_KIND:
		return *byte == MBJ_ATTR_ACL || *byte == MBJ_ATTR_METADATA;
	case OP_TYPE_U32:
	case OP_TYPE_U64:
	case OP_TYPE_HASH:
	case OP_TYPE_TIME:
		return true;
	case OP_TYPE_UID:
		return *(const uint32_t *)p - 1 < MBJ_UIDNEXT_MAX - 1;
	case OP_TYPE_MODSEQ:
		return *(const uint64_t *)p - 1 < MBJ_MODSEQ_MAX;
	case OP_TYPE_FLAGS:
		return *byte <= MBJ_FLAGS_ALL;
	case OP_TYPE_FLAG_MODE:
		return *byte >= MBJ_FLAGS_ADD && *byte <= MBJ_FLAGS_REPLACE;
	case OP_TYPE_KEYWORDS:
		return mbj_keywords_are_good(*bytes);
	case OP_TYPE_GUID:
		return mbj_guid_is_good(*bytes);
	case OP_TYPE_UIDS:
		return mbj_uids_are_good(*bytes);
	case OP_TYPE_REV:
		return *(const uint64_t *)p - 1 < UINT64_MAX - 1;
	case OP_TYPE_ID:
		return !mbj_id_is_reserved(*(const struct mbj_id *)p);
	case OP_TYPE_ACCOUNT_NAME:
		return text_is_good(bytes, MBJ_ACCOUNT_NAME_MAX);
	case OP_TYPE_ATTR_NAME:
		return text_is_good(bytes, MBJ_ATTR_NAME_MAX);
	case OP_TYPE_ATTR_VALUE:
		return bytes->n <= MBJ_ATTR_VALUE_MAX;
	case OP_TYPE_OUTCOME:
		return bytes->n > 0 && bytes->n <= MBJ_ATTR_VALUE_MAX;
	case OP_TYPE_INTENT:
		return bytes->n > 0 && bytes->n <= MBJ_INTENT_SIZE_MAX;
	case OP_TYPE_RESULT:
		return mbj_intent_result_name(*byte) != NULL;
	case OP_TYPE_SLOT:
		return mbj_name_is_safe(slot->name.stored, slot->name.key);
	case OP_TYPE_PATH:
		return mbj_path_is_safe(p);
	}
	MBJ_UNREACHABLE();
}

size_t op_fault_find(const struct op_layout *layout, const struct mbj_op *op)
{
	MBJ_ASSERT(layout->info->kind == op->kind);
	for (size_t i = 0; i < layout->info->field_count; i++) {
		const struct op_member *member = &layout->members[i];

		if (!value_is_good(member->type, op_member_get(op, member)))
			return i;
	}
	return layout->info->field_count;
}

enum mbj_rc mbj_op_check(const struct mbj_op *op, struct mbj_error *err)
{
	const struct op_layout *layout = op_layout_get(op->kind);
	size_t at;

	if (layout == NULL)
		return mbj_error_set(err, MBJ_EINVALID,
				     "%u is not the number of a primitive",
				     op->kind);
	at = op_fault_find(layout, op);
	if (at < layout->info->field_count)
		return mbj_error_set(err, MBJ_EINVALID,
				     "%s: field %s is not a legal %s",
				     layout->info->word,
				     layout->info->fields[at].name,
				     layout->info->fields[at].type);
	return MBJ_OK;
}
