/*
 * The laboratory of the tests of applying.
 */
#include <stdlib.h>

#include "apply_lab.h"

void lab_begin(struct lab *lab, enum mbj_state_engine engine)
{
	const struct mbj_state_options options = {4u << 20, 4u << 20, 4u << 20,
						  1024, engine};

	lab_begin_with(lab, &options);
}

void lab_reopen(struct lab *lab, const struct mbj_state_options *options)
{
	struct mbj_id lineage = {{0xee}};
	char *home = test_path_dup(lab->dir, "state");

	mbj_state_close(&lab->state);
	LAB_OK(mbj_state_open(mbj_sys_posix(), home, lineage, options,
			      &lab->state, err));
	free(home);
}

void lab_begin_with(struct lab *lab, const struct mbj_state_options *options)
{
	memset(lab, 0, sizeof(*lab));
	lab->dir = test_tmpdir_new();
	lab_reopen(lab, options);
	LAB_OK(mbj_txn_begin(lab->state, &lab->txn, err));
	LAB_OK(mbj_sha256_new(&lab->sha, err));
	mbj_group_writer_init(&lab->writer);
}

void lab_end(struct lab *lab)
{
	mbj_txn_abort(&lab->txn);
	mbj_state_close(&lab->state);
	mbj_sha256_free(&lab->sha);
	mbj_group_writer_done(&lab->writer);
	test_tmpdir_free(&lab->dir);
}

struct mbj_id lab_account(uint8_t number)
{
	struct mbj_id id = {{0xac}};

	id.b[MBJ_ID_SIZE - 1] = number;
	return id;
}

struct mbj_id lab_mailbox(uint8_t number)
{
	struct mbj_id id = {{0xb0}};

	id.b[MBJ_ID_SIZE - 1] = number;
	return id;
}

struct mbj_slot lab_slot(struct mbj_id parent, const char *name)
{
	struct mbj_bytes bytes = mbj_bytes_str(name);

	return (struct mbj_slot){parent, {bytes, bytes}};
}

struct mbj_op lab_op_account(uint32_t account, const char *name)
{
	return (struct mbj_op){
		.kind = MBJ_OP_ACCOUNT_CREATE,
		.account = account,
		.name = mbj_bytes_str(name),
		.delimiter = '/',
		.uidvalidity = 1,
	};
}

struct mbj_op lab_op_create(uint32_t account, uint8_t number,
			    struct mbj_slot to)
{
	return (struct mbj_op){
		.kind = MBJ_OP_MAILBOX_CREATE,
		.account = account,
		.id = lab_mailbox(number),
		.to = to,
		.uidvalidity = 100u + number,
		.is_selectable = 1,
	};
}

struct mbj_op lab_op_move(uint32_t account, uint8_t number, uint64_t rev,
			  struct mbj_slot from, struct mbj_slot to)
{
	return (struct mbj_op){
		.kind = MBJ_OP_MAILBOX_MOVE,
		.account = account,
		.id = lab_mailbox(number),
		.rev = rev,
		.from = from,
		.to = to,
	};
}

struct mbj_op lab_op_delete(uint32_t account, uint8_t number, uint64_t rev,
			    struct mbj_slot from)
{
	return (struct mbj_op){
		.kind = MBJ_OP_MAILBOX_DELETE,
		.account = account,
		.id = lab_mailbox(number),
		.rev = rev,
		.from = from,
	};
}

uint64_t lab_lsn(struct lab *lab, struct mbj_id account)
{
	struct mbj_account found;

	if (mbj_txn_account_get(lab->txn, account, &found, NULL) != MBJ_OK)
		return 0;
	return found.lsn.v;
}

struct mbj_digest lab_digest(struct lab *lab, struct mbj_id account)
{
	struct mbj_account found = {.digest = {{0}}};

	if (mbj_txn_account_get(lab->txn, account, &found, NULL) != MBJ_OK)
		return (struct mbj_digest){{0}};
	return found.digest;
}

void lab_build(struct lab *lab, const struct lab_group *group,
	       struct mbj_buf *ret_record)
{
	size_t savepoint = mbj_txn_savepoint(lab->txn);
	struct mbj_epoch epoch = {1};

	lab->lsn.v++;
	mbj_group_writer_begin(&lab->writer, lab->lsn, epoch, 1000,
			       MBJ_ORIGIN_LIVE, MBJ_ID_ROOT);
	for (size_t i = 0; i < group->account_count; i++) {
		struct mbj_lsn previous = {lab_lsn(lab, group->accounts[i])};
		uint32_t index;

		LAB_OK(mbj_group_writer_account(&lab->writer,
						group->accounts[i], previous,
						&index, err));
		ck_assert_uint_eq(index, i);
	}
	for (size_t i = 0; i < group->op_count; i++) {
		const struct mbj_op *op = &group->ops[i];
		enum mbj_verdict verdict;

		LAB_OK(mbj_apply_op(lab->txn, group->accounts[op->account],
				    lab->lsn, op, &verdict, err));
		ck_assert_int_eq(verdict, MBJ_VERDICT_APPLY);
		mbj_group_writer_op(&lab->writer, op);
	}
	for (size_t i = 0; i < group->account_count; i++) {
		struct mbj_digest digest = lab_digest(lab, group->accounts[i]);

		mbj_group_writer_digest(&lab->writer, (uint32_t)i, &digest);
	}
	mbj_txn_rollback(lab->txn, savepoint);
	mbj_buf_init(ret_record, MBJ_GROUP_MAX);
	LAB_OK(mbj_group_writer_finish(&lab->writer, lab->sha, &lab->chain,
				       ret_record, err));
}

struct mbj_apply_report lab_apply(struct lab *lab, const struct mbj_buf *record)
{
	struct mbj_apply_report report;
	struct mbj_group group;

	LAB_OK(mbj_group_parse(mbj_buf_view(record), &group, err));
	LAB_OK(mbj_apply_group(lab->txn, &group, &report, err));
	return report;
}

void lab_do(struct lab *lab, const struct lab_group *group,
	    struct mbj_buf *ret_record)
{
	struct mbj_apply_report report;

	lab_build(lab, group, ret_record);
	report = lab_apply(lab, ret_record);
	ck_assert_msg(report.verdict == MBJ_VERDICT_APPLY, "%s",
		      report.why.message);
	ck_assert_uint_eq(report.applied, group->op_count);
	ck_assert_uint_eq(report.op_index, group->op_count);
}

struct mbj_op lab_op_set(uint8_t number, uint64_t rev, uint8_t before,
			 uint8_t is_before)
{
	return (struct mbj_op){
		.kind = MBJ_OP_MAILBOX_SET,
		.id = lab_mailbox(number),
		.rev = rev,
		.role_before = before,
		.role = MBJ_ROLE_TRASH,
		.is_selectable_before = is_before,
		.is_selectable = 1,
	};
}

struct mbj_op lab_op_attr(uint8_t number, uint64_t rev)
{
	return (struct mbj_op){
		.kind = MBJ_OP_MAILBOX_SET_ATTR,
		.id = lab_mailbox(number),
		.rev = rev,
		.attr_kind = MBJ_ATTR_ACL,
		.name = mbj_bytes_str("bob"),
		.value = mbj_bytes_str("lr"),
	};
}

struct mbj_op lab_op_retire(uint32_t uidvalidity)
{
	return (struct mbj_op){
		.kind = MBJ_OP_NAME_RETIRE,
		.name_hash = {{1, 2, 3}},
		.uidvalidity = uidvalidity,
	};
}

struct mbj_op lab_op_subscription(enum mbj_op_kind kind)
{
	struct mbj_bytes name = mbj_bytes_str("some name");

	return (struct mbj_op){.kind = (uint16_t)kind, .path = {name, name}};
}

struct mbj_op lab_op_of(enum mbj_op_kind kind, const char *name)
{
	return (struct mbj_op){
		.kind = (uint16_t)kind,
		.name = mbj_bytes_str(name),
		.value = mbj_bytes_str("carol"),
		.quota_messages = 5,
		.delimiter = '/',
		.uidvalidity = 1,
	};
}

/*
 * Account 1 with: mailbox 1 "a" at revision 3, its child 2 "a/c", mailbox 3
 * "b", and 4, deleted at revision 2 (tombstone 3 after a move).
 */
void lab_world(struct lab *lab)
{
	struct lab_group group = {.accounts = {lab_account(1)},
				  .account_count = 1};
	struct mbj_op ops[] = {
		lab_op_account(0, "alice"),
		lab_op_create(0, 1, lab_slot(MBJ_ID_ROOT, "x")),
		lab_op_move(0, 1, 1, lab_slot(MBJ_ID_ROOT, "x"),
			    lab_slot(MBJ_ID_ROOT, "y")),
		lab_op_move(0, 1, 2, lab_slot(MBJ_ID_ROOT, "y"),
			    lab_slot(MBJ_ID_ROOT, "a")),
		lab_op_create(0, 2, lab_slot(lab_mailbox(1), "c")),
		lab_op_create(0, 3, lab_slot(MBJ_ID_ROOT, "b")),
		lab_op_create(0, 4, lab_slot(MBJ_ID_ROOT, "d")),
		lab_op_move(0, 4, 1, lab_slot(MBJ_ID_ROOT, "d"),
			    lab_slot(MBJ_ID_ROOT, "e")),
		lab_op_delete(0, 4, 2, lab_slot(MBJ_ID_ROOT, "e")),
	};
	struct mbj_buf record;

	memcpy(group.ops, ops, sizeof(ops));
	group.op_count = sizeof(ops) / sizeof(ops[0]);
	lab_do(lab, &group, &record);
	mbj_buf_done(&record);
}
