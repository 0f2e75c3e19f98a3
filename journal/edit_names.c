/*
 * UIDVALIDITY marks of names.  See edit_names.h.
 *
 * Every value of an account's counter is given out once, and an import keeps
 * no value twice; so a pair of name and UIDVALIDITY could only come back with
 * the mailbox that it belonged to.  Marks add that the values which a name
 * shows rise: clients compare them (RFC 9051 section 2.3.1.1).  Inferiors of
 * a moved mailbox are not marked, which keeps a rename's cost independent of
 * what lies below: for them the first rule is enough.
 *
 * Invariants:
 *   1. the retired names are distinct: full names of one tree are;
 *   2. a mark is never above the account's counter, so a fresh value is above
 *      each of them.
 *
 * Threads: as the transaction.
 */
#include "edit_names.h"

#include <mbj/check.h>
#include <mbj/codec.h>

#include "edit_text.h"

enum mbj_rc edit_hashes_init(struct edit_hashes *hashes, struct mbj_txn *txn,
			     const struct mbj_tree *tree, struct mbj_error *err)
{
	size_t count = (size_t)mbj_tree_size(tree) + 1;

	MBJ_ASSERT(txn != NULL);
	*hashes = (struct edit_hashes){.txn = txn, .tree = tree};
	hashes->nodes = mbj_calloc(count, sizeof(*hashes->nodes));
	if (hashes->nodes == NULL)
		return mbj_error_nomem(err);
	return MBJ_OK;
}

void edit_hashes_done(struct edit_hashes *hashes)
{
	mbj_free(hashes->nodes);
	*hashes = (struct edit_hashes){0};
}

enum mbj_rc edit_hashes_get(struct edit_hashes *hashes, uint32_t node,
			    struct mbj_hash *ret_hash, struct mbj_error *err)
{
	struct edit_hash *nodes = hashes->nodes;
	struct mbj_hash hash = {{0}};
	uint32_t count = 0;

	MBJ_ASSERT(node < mbj_tree_size(hashes->tree));
	while (node != MBJ_NODE_ROOT && !nodes[node].is_known) {
		nodes[count++].path = node;
		node = mbj_tree_get(hashes->tree, node)->parent;
		MBJ_ASSERT(node != MBJ_NODE_TEMP);
	}
	if (node != MBJ_NODE_ROOT)
		hash = nodes[node].hash;
	while (count > 0) {
		enum mbj_rc rc;

		node = nodes[--count].path;
		rc = mbj_txn_name_hash(
			hashes->txn, &hash,
			mbj_tree_get(hashes->tree, node)->name.key,
			&nodes[node].hash, err);
		if (rc < 0)
			return rc;
		nodes[node].is_known = true;
		hash = nodes[node].hash;
	}
	*ret_hash = hash;
	return MBJ_OK;
}

enum mbj_rc edit_names_init(struct edit_names *names, struct edit_work *work,
			    struct mbj_error *err)
{
	struct mbj_txn *txn = work->context->txn;
	enum mbj_rc rc;

	*names = (struct edit_names){.work = work};
	rc = edit_hashes_init(&names->before, txn, work->view.tree, err);
	if (rc == MBJ_OK)
		rc = edit_hashes_init(&names->after, txn, work->after, err);
	return rc;
}

void edit_names_done(struct edit_names *names)
{
	edit_hashes_done(&names->before);
	edit_hashes_done(&names->after);
	mbj_table_done(&names->by_hash);
	mbj_free(names->retired);
	*names = (struct edit_names){0};
}

/* A name hash is as good as random: its end is a hash of it. */
static uint64_t retired_hash(const struct mbj_hash *name_hash)
{
	return mbj_load_u64(name_hash->b);
}

enum mbj_rc edit_names_retire(struct edit_names *names, uint32_t node,
			      struct mbj_error *err)
{
	struct edit_retired retired;
	enum mbj_rc rc;

	retired.uidvalidity =
		mbj_tree_get(names->before.tree, node)->uidvalidity;
	if (retired.uidvalidity == 0)
		return MBJ_OK;
	rc = edit_hashes_get(&names->before, node, &retired.name_hash, err);
	if (rc < 0)
		return rc;
	rc = mbj_array_reserve((void **)&names->retired,
			       &names->retired_capacity,
			       names->retired_count + 1,
			       sizeof(*names->retired), MBJ_NODE_MAX, err);
	if (rc == MBJ_OK)
		rc = mbj_table_add(&names->by_hash,
				   retired_hash(&retired.name_hash),
				   (uint32_t)names->retired_count, err);
	if (rc == MBJ_OK)
		names->retired[names->retired_count++] = retired;
	return rc;
}

/* The highest value that a name ever showed, this edit's losses included. */
static enum mbj_rc names_floor(struct edit_names *names,
			       const struct mbj_hash *name_hash,
			       uint32_t *ret_floor, struct mbj_error *err)
{
	uint64_t hash = retired_hash(name_hash);
	uint32_t at = mbj_table_seek(&names->by_hash, hash);
	uint32_t floor, i;
	enum mbj_rc rc;

	rc = mbj_txn_floor_get(names->work->context->txn,
			       names->work->account.id, name_hash, &floor, err);
	if (rc < 0)
		return rc;
	while (mbj_table_next(&names->by_hash, hash, &at, &i)) {
		const struct edit_retired *retired = &names->retired[i];

		MBJ_ASSERT(i < names->retired_count);
		if (memcmp(retired->name_hash.b, name_hash->b, MBJ_HASH_SIZE) ==
			    0 &&
		    retired->uidvalidity > floor)
			floor = retired->uidvalidity;
	}
	*ret_floor = floor;
	return MBJ_OK;
}

enum mbj_rc edit_names_choose(struct edit_names *names, uint32_t node,
			      uint32_t uidvalidity, uint32_t *ret_uidvalidity,
			      struct mbj_error *err)
{
	struct mbj_hash name_hash;
	uint32_t floor = 0;
	enum mbj_rc rc;

	MBJ_ASSERT(mbj_tree_get(names->after.tree, node)->is_selectable);
	rc = edit_hashes_get(&names->after, node, &name_hash, err);
	if (rc == MBJ_OK)
		rc = names_floor(names, &name_hash, &floor, err);
	if (rc < 0)
		return rc;
	if (floor > uidvalidity)
		return edit_names_fresh(names->work, ret_uidvalidity, err);
	*ret_uidvalidity = 0;
	return MBJ_OK;
}

enum mbj_rc edit_names_fresh(struct edit_work *work, uint32_t *ret_uidvalidity,
			     struct mbj_error *err)
{
	struct edit_text name;

	if (work->uidvalidity_last == UINT32_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "account \"%s\" has used up its 2^32 - 1 "
				     "UIDVALIDITY values; move it to a new "
				     "account",
				     edit_text_show(&name, work->account.name));
	*ret_uidvalidity = ++work->uidvalidity_last;
	return MBJ_OK;
}

enum mbj_rc edit_names_emit(struct edit_names *names, struct mbj_error *err)
{
	struct edit_work *work = names->work;

	for (size_t i = 0; i < names->retired_count; i++) {
		struct mbj_op op = {
			.kind = MBJ_OP_NAME_RETIRE,
			.name_hash = names->retired[i].name_hash,
			.uidvalidity = names->retired[i].uidvalidity,
		};
		uint32_t mark;
		enum mbj_rc rc;

		rc = mbj_txn_floor_get(work->context->txn, work->account.id,
				       &op.name_hash, &mark, err);
		if (rc == MBJ_OK && mark < op.uidvalidity)
			rc = edit_emit_op(&work->emit, &op, err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}
