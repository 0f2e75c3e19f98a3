/*
 * The bytes of a primitive: docs/FORMAT.md section "Primitive operation".
 *
 * One walk over the table for each direction; no kind has code of its own, and
 * types of one form share theirs.
 *
 * Invariants:
 *   1. decoding accepts exactly what encoding writes: one primitive has one
 *      form (a key equal to its name is left out, never repeated);
 *   2. total over arbitrary bytes: every length is judged before it is used,
 *      and nothing is allocated.
 *
 * Threads: pure.
 */
#include "op_table.h"

#include <mbj/check.h>

enum { OFFSET_SIZE = 8 };

_Static_assert(OP_HEADER_SIZE == OFFSET_SIZE + 4, "the size comes last");
_Static_assert(4 * MBJ_PATH_MAX + 64 <= MBJ_OP_SIZE_MAX, "a path fits");
_Static_assert(MBJ_KEYWORDS_MAX + MBJ_UID_RANGES_MAX * MBJ_UID_RANGE_SIZE +
				       128 <=
			       MBJ_OP_SIZE_MAX &&
		       MBJ_UID_RANGES_MAX * MBJ_UID_RANGE_SIZE <=
			       MBJ_ATTR_VALUE_MAX,
	       "a set of UIDs fits, as a block and in a primitive");
_Static_assert((int)MBJ_INTENT_SIZE_MAX <= (int)MBJ_ATTR_VALUE_MAX,
	       "an intent fits where a value does");
_Static_assert(MBJ_ATTR_NAME_MAX + MBJ_ATTR_VALUE_MAX + 64 <= MBJ_OP_SIZE_MAX,
	       "an attribute fits");

/* The key is empty where it equals the stored name (invariant 1). */
static void name_put(struct mbj_buf *buf, struct mbj_bytes stored,
		     struct mbj_bytes key)
{
	mbj_buf_put_block(buf, stored);
	if (mbj_bytes_equal(stored, key))
		mbj_buf_put_u32(buf, 0);
	else
		mbj_buf_put_block(buf, key);
}

static void value_put(struct mbj_buf *buf, enum op_form form, const void *p)
{
	const struct mbj_slot *slot = p;
	const struct mbj_path *path = p;

	switch (form) {
	case OP_FORM_U8:
		mbj_buf_put_u8(buf, *(const uint8_t *)p);
		return;
	case OP_FORM_U32:
		mbj_buf_put_u32(buf, *(const uint32_t *)p);
		return;
	case OP_FORM_U64:
		mbj_buf_put_u64(buf, *(const uint64_t *)p);
		return;
	case OP_FORM_ID:
		mbj_buf_put_id(buf, *(const struct mbj_id *)p);
		return;
	case OP_FORM_HASH:
		mbj_buf_put(buf, p, MBJ_HASH_SIZE);
		return;
	case OP_FORM_BLOCK:
		mbj_buf_put_block(buf, *(const struct mbj_bytes *)p);
		return;
	case OP_FORM_SLOT:
		mbj_buf_put_id(buf, slot->parent);
		name_put(buf, slot->name.stored, slot->name.key);
		return;
	case OP_FORM_PATH:
		name_put(buf, path->stored, path->key);
		return;
	}
	MBJ_UNREACHABLE();
}

void mbj_op_encode(struct mbj_buf *buf, const struct mbj_op *op)
{
	const struct op_layout *layout = op_layout_get(op->kind);
	size_t begin = buf->n;
	size_t size;

	MBJ_ASSERT(layout != NULL);
	mbj_buf_put_u16(buf, op->kind);
	mbj_buf_put_u16(buf, 0);
	mbj_buf_put_u32(buf, op->account);
	mbj_buf_put_u32(buf, 0); /* the size, once it is known */
	for (size_t i = 0; i < layout->info->field_count; i++) {
		const struct op_member *member = &layout->members[i];

		value_put(buf, member->form, op_member_get(op, member));
	}
	if (buf->failed != MBJ_OK)
		return;
	size = buf->n - begin - OP_HEADER_SIZE;
	MBJ_ASSERT(size <= UINT32_MAX);
	mbj_store_u32(buf->p + begin + OFFSET_SIZE, (uint32_t)size);
}

static void name_read(struct mbj_reader *reader, size_t max,
		      struct mbj_bytes *ret_stored, struct mbj_bytes *ret_key)
{
	*ret_stored = mbj_read_block(reader, max);
	*ret_key = mbj_read_block(reader, 3 * max);
	if (ret_key->n == 0)
		*ret_key = *ret_stored;
	else if (mbj_bytes_equal(*ret_stored, *ret_key))
		reader->failed = true; /* not the one form */
}

static void value_read(struct mbj_reader *reader, enum op_form form, void *p)
{
	struct mbj_slot *slot = p;
	struct mbj_path *path = p;
	struct mbj_bytes bytes;

	switch (form) {
	case OP_FORM_U8:
		*(uint8_t *)p = mbj_read_u8(reader);
		return;
	case OP_FORM_U32:
		*(uint32_t *)p = mbj_read_u32(reader);
		return;
	case OP_FORM_U64:
		*(uint64_t *)p = mbj_read_u64(reader);
		return;
	case OP_FORM_ID:
		*(struct mbj_id *)p = mbj_read_id(reader);
		return;
	case OP_FORM_HASH:
		bytes = mbj_read_bytes(reader, MBJ_HASH_SIZE);
		if (bytes.n == MBJ_HASH_SIZE)
			memcpy(p, bytes.p, MBJ_HASH_SIZE);
		return;
	case OP_FORM_BLOCK:
		*(struct mbj_bytes *)p =
			mbj_read_block(reader, MBJ_ATTR_VALUE_MAX);
		return;
	case OP_FORM_SLOT:
		slot->parent = mbj_read_id(reader);
		name_read(reader, MBJ_NAME_MAX, &slot->name.stored,
			  &slot->name.key);
		return;
	case OP_FORM_PATH:
		name_read(reader, MBJ_PATH_MAX, &path->stored, &path->key);
		return;
	}
	MBJ_UNREACHABLE();
}

/* All fields from exactly their bytes, then judged. */
static enum mbj_rc fields_decode(struct mbj_bytes bytes,
				 const struct op_layout *layout,
				 struct mbj_op *op, struct mbj_error *err)
{
	struct mbj_reader reader;
	size_t at;

	mbj_reader_init(&reader, bytes);
	for (size_t i = 0; i < layout->info->field_count; i++) {
		const struct op_member *member = &layout->members[i];

		value_read(&reader, member->form, op_member_edit(op, member));
	}
	if (!mbj_reader_is_spent(&reader))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a primitive %s does not fill its %zu "
				     "bytes as its fields demand",
				     layout->info->word, bytes.n);
	at = op_fault_find(layout, op);
	if (at < layout->info->field_count)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a primitive %s has a field %s that is "
				     "not a legal %s",
				     layout->info->word,
				     layout->info->fields[at].name,
				     layout->info->fields[at].type);
	return MBJ_OK;
}

enum mbj_rc mbj_op_decode(struct mbj_reader *reader, struct mbj_op *ret_op,
			  struct mbj_error *err)
{
	const struct op_layout *layout;
	struct mbj_op *op = ret_op;
	struct mbj_bytes fields;
	uint16_t zero;

	*op = (struct mbj_op){.kind = mbj_read_u16(reader)};
	zero = mbj_read_u16(reader);
	op->account = mbj_read_u32(reader);
	fields = mbj_read_block(reader, MBJ_OP_SIZE_MAX);
	if (!mbj_reader_ok(reader))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a primitive is cut off, or longer than "
				     "%d bytes",
				     MBJ_OP_SIZE_MAX);
	if (zero != 0)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a primitive has %u where zero belongs",
				     zero);
	layout = op_layout_get(op->kind);
	if (layout == NULL)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "primitive number %u is not known to "
				     "this program: use a newer one",
				     op->kind);
	return fields_decode(fields, layout, op, err);
}
