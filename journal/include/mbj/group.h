/*
 * Groups: primitives that become true together.  One LSN, one checksum, one
 * transaction wherever they are applied.  The bytes are docs/FORMAT.md
 * section "Group record"; a replica's are its primary's.  Pure.
 *
 * A record is {header with its accounts, CRC32C} {body, CRC32C} {chain},
 * chain = SHA-256(chain before, header, SHA-256(body)).  A damaged body with a
 * good header costs the accounts that it names; a damaged header is the
 * store's.
 */
#ifndef MBJ_GROUP_H
#define MBJ_GROUP_H

#include <mbj/digest.h>
#include <mbj/hash.h>
#include <mbj/op.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	MBJ_GROUP_MAX = 64 << 20,      /* bytes of one record */
	MBJ_GROUP_ACCOUNTS_MAX = 1024, /* accounts in one group */
	MBJ_GROUP_OPS_MAX = 4 << 20,   /* primitives in one group */
};

/* X(name, number, word): where a group comes from. */
#define MBJ_ORIGIN_MAP(X)            \
	X(LIVE, 0, "live")           \
	X(BULK, 1, "bulk")           \
	X(RECONCILE, 2, "reconcile") \
	X(SALVAGE, 3, "salvage")

enum mbj_origin {
#define X(name, number, word) MBJ_ORIGIN_##name = (number),
	MBJ_ORIGIN_MAP(X)
#undef X
};

MBJ_API const char *mbj_origin_name(enum mbj_origin origin);

struct mbj_group_account {
	struct mbj_id id;
	struct mbj_lsn
		previous; /* group before this one that named it, 0: none */
	struct mbj_digest digest; /* of the account after this group */
};

struct mbj_group_header {
	struct mbj_lsn lsn;
	struct mbj_epoch epoch;
	int64_t time_us; /* primary's clock, UTC; never used for ordering */
	uint8_t origin;	 /* enum mbj_origin */
	uint32_t flags;	 /* low 16 bits compatible, high 16 incompatible */
	struct mbj_id request; /* producer's request id, zero for none */
	uint32_t account_count;
	uint32_t op_count;
	uint32_t header_size; /* bytes, accounts included */
	uint32_t body_size;
};

/* A record taken apart; everything is borrowed from its bytes. */
struct mbj_group {
	struct mbj_group_header header;
	struct mbj_bytes record;   /* the whole record */
	struct mbj_bytes accounts; /* encoded; mbj_group_account_get */
	struct mbj_bytes body;	   /* encoded primitives */
	struct mbj_hash chain;	   /* as recorded */
	bool is_body_good;	   /* its CRC32C matches, padding is zero */
};

/*
 * Take a record apart.  b may hold more than it; the record's size comes from
 * its header.  Returns: MBJ_ENOTFOUND where fewer bytes are there than the
 * header says (err set), MBJ_ECORRUPT for a header that fails its checks,
 * MBJ_EUNSUPPORTED for incompatible flags or version.  A damaged body (or
 * padding) is not an error here: is_body_good.
 */
MBJ_API enum mbj_rc mbj_group_parse(struct mbj_bytes b,
				    struct mbj_group *ret_group,
				    struct mbj_error *err) MBJ_MUST_CHECK;
/* Requires: index < account_count. */
MBJ_API void mbj_group_account_get(const struct mbj_group *group,
				   uint32_t index,
				   struct mbj_group_account *ret_account);
/* The group names the account: it is in that account's order. */
MBJ_API bool mbj_group_names(const struct mbj_group *group,
			     struct mbj_id account);
/*
 * Compare the recorded chain with what chain_before implies.  Returns:
 * MBJ_ECORRUPT, also for a damaged body: nothing can be said of it.
 */
MBJ_API enum mbj_rc mbj_group_chain_check(const struct mbj_group *group,
					  struct mbj_sha256 *sha,
					  const struct mbj_hash *chain_before,
					  struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Walk the primitives: init a reader on group->body, then decode until it is
 * spent; mbj_group_op_next returns MBJ_ENOTFOUND at the end (err untouched),
 * MBJ_ECORRUPT also for an account index out of range.  After a failure but
 * the end *ret_op is worth nothing.
 */
MBJ_API enum mbj_rc mbj_group_op_next(const struct mbj_group *group,
				      struct mbj_reader *reader,
				      struct mbj_op *ret_op,
				      struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Everything about the body that a CRC32C does not say, for bytes that
 * somebody else made: each primitive decodes, the number of them is the
 * header's, no account is named twice.  Returns: MBJ_ECORRUPT,
 * MBJ_EUNSUPPORTED.
 */
MBJ_API enum mbj_rc mbj_group_check(const struct mbj_group *group,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Building: begin, add accounts and operations, set the digests once they are
 * known, finish.  The writer's buffers are reused from group to group.
 */
struct mbj_group_writer {
	struct mbj_group_header header;
	struct mbj_group_account *accounts;
	size_t account_capacity;
	struct mbj_buf body;
	struct mbj_error why; /* rc < 0: what _finish will say */
};

void mbj_group_writer_init(struct mbj_group_writer *writer);
void mbj_group_writer_done(struct mbj_group_writer *writer);
/* Forget the last group, keep the memory. */
void mbj_group_writer_begin(struct mbj_group_writer *writer, struct mbj_lsn lsn,
			    struct mbj_epoch epoch, int64_t time_us,
			    enum mbj_origin origin, struct mbj_id request);
/*
 * The index for operations; an account named before keeps index and previous.
 * Returns: MBJ_ELIMIT over MBJ_GROUP_ACCOUNTS_MAX, MBJ_EINVALID for a reserved
 * id or a previous group that is not before this one.
 */
enum mbj_rc mbj_group_writer_account(struct mbj_group_writer *writer,
				     struct mbj_id account,
				     struct mbj_lsn previous,
				     uint32_t *ret_index,
				     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * A primitive that no replica would accept (mbj_op_check) or one over the
 * limits makes _finish fail.  Requires: op->account is an index from above.
 */
void mbj_group_writer_op(struct mbj_group_writer *writer,
			 const struct mbj_op *op);
void mbj_group_writer_digest(struct mbj_group_writer *writer, uint32_t index,
			     const struct mbj_digest *digest);
/*
 * Append the whole record to ret_record; *chain is the value before and
 * becomes the group's.  Returns: MBJ_ELIMIT over MBJ_GROUP_MAX, naming the
 * size; MBJ_EINVALID for a bad primitive; *chain and ret_record's bytes are
 * then as before.
 */
enum mbj_rc mbj_group_writer_finish(struct mbj_group_writer *writer,
				    struct mbj_sha256 *sha,
				    struct mbj_hash *chain,
				    struct mbj_buf *ret_record,
				    struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
