/*
 * Primitive operations: the smallest journaled steps, each idempotent by
 * (mailbox id, revision) or by its account's LSN.  Everything about them comes
 * from one table, mbj/op.def.  Pure.
 *
 * Bytes in a decoded operation are borrowed from the record.
 */
#ifndef MBJ_OP_H
#define MBJ_OP_H

#include <mbj/attribute.h>
#include <mbj/codec.h>
#include <mbj/error.h>
#include <mbj/intent.h>
#include <mbj/memory.h>
#include <mbj/message.h>
#include <mbj/state.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MBJ_FIELD(type, member)
enum mbj_op_kind {
#define MBJ_OP(name, number, word, since, fields, pre, post, inverse) \
	MBJ_OP_##name = (number),
#include <mbj/op.def>
#undef MBJ_OP
};
#undef MBJ_FIELD

/* One primitive; which members count is the table's word. */
struct mbj_op {
	uint16_t kind;	      /* enum mbj_op_kind */
	uint32_t account;     /* index among the group's accounts */
	struct mbj_id id;     /* mailbox, or intent */
	uint64_t rev;	      /* its revision before, or its content's */
	struct mbj_id target; /* a second mailbox */
	struct mbj_slot from;
	struct mbj_slot to;
	struct mbj_path path;
	struct mbj_bytes name;
	struct mbj_bytes value;
	struct mbj_bytes keywords;
	struct mbj_bytes guid;
	struct mbj_bytes uids;
	struct mbj_hash name_hash;
	struct mbj_hash blob;
	struct mbj_hash edit_hash; /* of the edit that a receipt is for */
	uint64_t size;
	int64_t time; /* seconds since 1970 */
	uint64_t modseq;
	uint64_t quota_messages;
	uint64_t quota_size;
	uint32_t uidvalidity;
	uint32_t uid;
	uint8_t flags;
	uint8_t flag_mode;
	uint8_t role;
	uint8_t role_before;
	uint8_t is_selectable;
	uint8_t is_selectable_before;
	uint8_t is_folding;
	uint8_t delimiter;
	uint8_t attr_kind;
	uint8_t result; /* enum mbj_intent_result */
	uint8_t is_found;
};

/* Largest encoding of one operation, header included. */
enum { MBJ_OP_SIZE_MAX = 4 * (MBJ_PATH_MAX + MBJ_ATTR_VALUE_MAX) };

/* The table, for printers, generators and documentation. */
struct mbj_op_field {
	const char *type; /* "FLAG", "SLOT", ...: see mbj/op.def */
	const char *name; /* member of struct mbj_op */
};

struct mbj_op_info {
	uint16_t kind;
	uint16_t since; /* first format version */
	const char *word;
	const char *precondition;
	const char *postcondition;
	const char *inverse;
	const struct mbj_op_field *fields;
	size_t field_count;
};

/* NULL for a number that this version does not know. */
MBJ_API const struct mbj_op_info *mbj_op_info_get(uint16_t kind);
MBJ_API size_t mbj_op_info_count(void);
MBJ_API const struct mbj_op_info *mbj_op_info_at(size_t index);

/*
 * What every primitive must satisfy wherever it comes from: safety, not
 * policy.  Returns: MBJ_EINVALID, naming kind and field.
 */
MBJ_API enum mbj_rc mbj_op_check(const struct mbj_op *op,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Wire form: u16 kind, u16 zero, u32 account, u32 size of fields, fields.
 * Requires: a kind of the table.
 */
MBJ_API void mbj_op_encode(struct mbj_buf *buf, const struct mbj_op *op);
/*
 * Exactly the bytes that mbj_op_encode would write for the result.
 * Returns: MBJ_ECORRUPT (bad bytes, unsafe names, lengths over limits),
 * MBJ_EUNSUPPORTED (an operation that this version does not know); then
 * *ret_op is worth nothing.
 */
MBJ_API enum mbj_rc mbj_op_decode(struct mbj_reader *reader,
				  struct mbj_op *ret_op,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/* Same kind, account and fields; members that the kind has not are ignored. */
MBJ_API bool mbj_op_equal(const struct mbj_op *a, const struct mbj_op *b);

/* One line for people, names escaped: "mailbox-move <id> rev 3 ...". */
MBJ_API void mbj_op_print(struct mbj_buf *buf, const struct mbj_op *op);

#ifdef __cplusplus
}
#endif

#endif
