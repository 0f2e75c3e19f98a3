/*
 * Receipts: hash of an edit, outcome into a group and out of it.
 *
 * An outcome may be longer than a primitive: it goes in pieces, each of which
 * names the edit, and ends with the last receipt of the group.
 *
 * Not here: which group a request id belongs to (recall.c, store_recall.c).
 *
 * Threads: as their arguments.
 */
#include "receipt.h"

#include <mbj/check.h>

#include "wire.h"

enum { RECEIPT_VERSION = 1 };

static const char hash_label[] = "mbj edit 1";

enum mbj_rc receipt_hash(struct mbj_sha256 *sha, const struct mbj_edit *edit,
			 struct mbj_hash *ret_hash, struct mbj_error *err)
{
	struct mbj_bytes parts[2];
	struct mbj_buf bytes;
	enum mbj_rc rc;

	mbj_buf_init(&bytes, WIRE_EDIT_MAX);
	wire_edit_encode(&bytes, edit);
	rc = mbj_buf_ok(&bytes, err);
	if (rc < 0)
		(void)mbj_error_prefix(err, rc, "an edit with a request id");
	if (rc == MBJ_OK) {
		parts[0] = mbj_bytes_make(hash_label, sizeof(hash_label));
		parts[1] = mbj_buf_view(&bytes);
		rc = mbj_sha256_digest(sha, parts, 2, ret_hash, err);
	}
	mbj_buf_done(&bytes);
	return rc;
}

enum mbj_rc receipt_emit(struct edit_emit *emit, const struct mbj_hash *hash,
			 const struct mbj_outcome *outcome,
			 struct mbj_error *err)
{
	struct mbj_op op = {.kind = MBJ_OP_RECEIPT, .edit_hash = *hash};
	struct mbj_outcome bare = *outcome;
	struct mbj_bytes rest;
	struct mbj_buf bytes;
	enum mbj_rc rc;

	/* The group is not to hold itself. */
	mbj_buf_init(&bare.record, 0);
	mbj_buf_init(&bytes, MBJ_GROUP_MAX);
	mbj_buf_put_u8(&bytes, RECEIPT_VERSION);
	wire_outcome_encode(&bytes, &bare);
	rc = mbj_buf_ok(&bytes, err);
	rest = mbj_buf_view(&bytes);
	while (rc == MBJ_OK && rest.n > 0) {
		op.value = rest;
		if (op.value.n > MBJ_ATTR_VALUE_MAX)
			op.value.n = MBJ_ATTR_VALUE_MAX;
		rest.p += op.value.n;
		rest.n -= op.value.n;
		rc = edit_emit_op(emit, &op, err);
	}
	mbj_buf_done(&bytes);
	return rc;
}

/* All pieces, one behind the other; of one edit. */
static enum mbj_rc pieces_join(const struct mbj_group *group,
			       struct mbj_hash *ret_hash, struct mbj_buf *bytes,
			       struct mbj_error *err)
{
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc;

	mbj_reader_init(&reader, group->body);
	do {
		rc = mbj_group_op_next(group, &reader, &op, err);
		if (rc == MBJ_OK && op.kind == MBJ_OP_RECEIPT) {
			*ret_hash = op.edit_hash;
			mbj_buf_put_bytes(bytes, op.value);
		}
	} while (rc == MBJ_OK);
	return rc == MBJ_ENOTFOUND ? mbj_buf_ok(bytes, err) : rc;
}

static enum mbj_rc outcome_read(const struct mbj_group *group,
				struct mbj_bytes bytes,
				struct mbj_outcome *outcome,
				struct mbj_error *err)
{
	struct mbj_reader reader;
	unsigned version;
	enum mbj_rc rc;

	mbj_reader_init(&reader, bytes);
	version = mbj_read_u8(&reader);
	if (version != RECEIPT_VERSION)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "a receipt has format %u, this program "
				     "knows format %d: use a newer one",
				     version, RECEIPT_VERSION);
	rc = wire_outcome_decode(&reader, outcome, err);
	if (rc == MBJ_OK && (!mbj_reader_is_spent(&reader) ||
			     outcome->lsn.v != group->header.lsn.v))
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "a receipt is longer than it should be, or "
				   "of another group");
	if (rc < 0)
		return rc;
	mbj_buf_init(&outcome->record, MBJ_GROUP_MAX);
	mbj_buf_put_bytes(&outcome->record, group->record);
	return mbj_buf_ok(&outcome->record, err);
}

/* What was found, against what was asked. */
static enum mbj_rc receipt_judge(const struct mbj_group *group,
				 const struct mbj_hash *found,
				 const struct mbj_hash *asked, bool is_there,
				 struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];

	if (is_there && memcmp(found, asked, sizeof(*found)) == 0)
		return MBJ_OK;
	mbj_id_print(group->header.request, text);
	if (is_there)
		return mbj_error_set(err, MBJ_ECONFLICT,
				     "request %s was carried out as group "
				     "%llu, and was another edit; nothing was "
				     "done",
				     text,
				     (unsigned long long)group->header.lsn.v);
	return mbj_error_set(err, MBJ_EEXISTS,
			     "request %s was carried out as group %llu, which "
			     "does not say what became of it; nothing was done",
			     text, (unsigned long long)group->header.lsn.v);
}

enum mbj_rc receipt_read(const struct mbj_group *group,
			 const struct mbj_hash *hash,
			 struct mbj_outcome *ret_outcome, struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_hash found = {{0}};
	struct mbj_buf bytes;
	enum mbj_rc rc;

	MBJ_ASSERT(group->is_body_good);
	mbj_buf_init(&bytes, MBJ_GROUP_MAX);
	rc = pieces_join(group, &found, &bytes, err);
	if (rc == MBJ_OK)
		rc = receipt_judge(group, &found, hash, bytes.n > 0, err);
	if (rc == MBJ_OK)
		rc = outcome_read(group, mbj_buf_view(&bytes), &outcome, err);
	mbj_buf_done(&bytes);
	if (rc == MBJ_OK) {
		*ret_outcome = outcome;
		return MBJ_OK;
	}
	mbj_outcome_done(&outcome);
	mbj_error_at(err, NULL, 0, group->header.lsn.v);
	return rc;
}
