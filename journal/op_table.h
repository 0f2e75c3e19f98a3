/*
 * The table of primitives as the codec, the comparison and the printer walk
 * it: for each kind its members with type and place in struct mbj_op.  All of
 * it comes from mbj/op.def.  Private to journal/.
 *
 * Adding a field type means: a line here, and a case in each of the four
 * switches that the compiler then names (-Wswitch-enum).
 */
#ifndef MBJ_JOURNAL_OP_TABLE_H
#define MBJ_JOURNAL_OP_TABLE_H

#include <mbj/op.h>

/* X(type, size of the member that holds it) */
#define OP_TYPE_MAP(X)                            \
	X(FLAG, 1)                                \
	X(DELIMITER, 1)                           \
	X(ROLE, 1)                                \
	X(ATTR_KIND, 1)                           \
	X(U32, 4)                                 \
	X(U64, 8)                                 \
	X(REV, 8)                                 \
	X(ID, sizeof(struct mbj_id))              \
	X(HASH, sizeof(struct mbj_hash))          \
	X(ACCOUNT_NAME, sizeof(struct mbj_bytes)) \
	X(ATTR_NAME, sizeof(struct mbj_bytes))    \
	X(ATTR_VALUE, sizeof(struct mbj_bytes))   \
	X(SLOT, sizeof(struct mbj_slot))          \
	X(PATH, sizeof(struct mbj_path))          \
	X(UID, 4)                                 \
	X(MODSEQ, 8)                              \
	X(TIME, 8)                                \
	X(FLAGS, 1)                               \
	X(FLAG_MODE, 1)                           \
	X(KEYWORDS, sizeof(struct mbj_bytes))     \
	X(UIDS, sizeof(struct mbj_bytes))         \
	X(OUTCOME, sizeof(struct mbj_bytes))      \
	X(INTENT, sizeof(struct mbj_bytes))       \
	X(RESULT, 1)

enum op_type {
#define X(name, size) OP_TYPE_##name,
	OP_TYPE_MAP(X)
#undef X
};

/* Bytes of kind, zero, account and size, before the fields. */
enum { OP_HEADER_SIZE = 12 };

struct op_member {
	enum op_type type;
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
