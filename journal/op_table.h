/*
 * The table of primitives as the codec, the comparison and the printer walk
 * it: for each kind its members with type and place in struct mbj_op.  All of
 * it comes from mbj/op.def.  Private to journal/.
 *
 * Adding a field type means: a line here with its form, which is how it is
 * held and written, and a case in the two switches over types that the
 * compiler then names (-Wswitch-enum): what is legal, and what people see.
 */
#ifndef MBJ_JOURNAL_OP_TABLE_H
#define MBJ_JOURNAL_OP_TABLE_H

#include <mbj/op.h>

/* X(form, size of the member that holds it) */
#define OP_FORM_MAP(X)                     \
	X(U8, 1)                           \
	X(U32, 4)                          \
	X(U64, 8)                          \
	X(ID, sizeof(struct mbj_id))       \
	X(HASH, sizeof(struct mbj_hash))   \
	X(BLOCK, sizeof(struct mbj_bytes)) \
	X(SLOT, sizeof(struct mbj_slot))   \
	X(PATH, sizeof(struct mbj_path))

/* X(type, its form) */
#define OP_TYPE_MAP(X)         \
	X(FLAG, U8)            \
	X(DELIMITER, U8)       \
	X(ROLE, U8)            \
	X(ATTR_KIND, U8)       \
	X(U32, U32)            \
	X(U64, U64)            \
	X(REV, U64)            \
	X(ID, ID)              \
	X(HASH, HASH)          \
	X(ACCOUNT_NAME, BLOCK) \
	X(ATTR_NAME, BLOCK)    \
	X(ATTR_VALUE, BLOCK)   \
	X(SLOT, SLOT)          \
	X(PATH, PATH)          \
	X(UID, U32)            \
	X(MODSEQ, U64)         \
	X(TIME, U64)           \
	X(FLAGS, U8)           \
	X(FLAG_MODE, U8)       \
	X(KEYWORDS, BLOCK)     \
	X(GUID, BLOCK)         \
	X(UIDS, BLOCK)         \
	X(OUTCOME, BLOCK)      \
	X(INTENT, BLOCK)       \
	X(RESULT, U8)

enum op_form {
#define X(name, size) OP_FORM_##name,
	OP_FORM_MAP(X)
#undef X
};

enum op_type {
#define X(name, form) OP_TYPE_##name,
	OP_TYPE_MAP(X)
#undef X
};

/* Bytes of kind, zero, account and size, before the fields. */
enum { OP_HEADER_SIZE = 12 };

struct op_member {
	enum op_type type;
	enum op_form form;
	size_t offset; /* in struct mbj_op */
};

struct op_layout {
	const struct mbj_op_info *info;
	const struct op_member *members; /* [info->field_count] */
};

/* NULL for a number that is not in the table. */
const struct op_layout *op_layout_get(uint16_t kind);

/*
 * The index of the first member whose value breaks its type's rule, or
 * field_count where all are good.
 */
size_t op_fault_find(const struct op_layout *layout, const struct mbj_op *op);

static inline const void *op_member_get(const struct mbj_op *op,
					const struct op_member *member)
{
	return (const char *)op + member->offset;
}

static inline void *op_member_edit(struct mbj_op *op,
				   const struct op_member *member)
{
	return (char *)op + member->offset;
}

#endif
