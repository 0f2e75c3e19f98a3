/*
 * Failing reads of a state; see read_fault.h.
 */
#include "read_fault.h"

#include "db_ops.h"
#include "state_priv.h"

static const struct db_ops *real_ops;
static struct db_ops failing_ops;
static uint64_t read_count;
static uint64_t fail_at;
static bool fails_for_good;
static uint64_t damage_at;

static enum mbj_rc failing_get(struct db_txn *txn, enum db_table table,
			       struct mbj_bytes key, struct mbj_buf *ret_value,
			       struct mbj_error *err)
{
	size_t before = ret_value->n;
	enum mbj_rc rc;

	read_count++;
	if (fail_at != 0 &&
	    (read_count == fail_at || (fails_for_good && read_count > fail_at)))
		return mbj_error_set(err, MBJ_EIO, "read %llu of %s fails",
				     (unsigned long long)read_count,
				     db_table_name(table));
	rc = real_ops->get(txn, table, key, ret_value, err);
	if (rc == MBJ_OK && read_count == damage_at && ret_value->n > before) {
		ret_value->p[before] ^= 0xff;
		ret_value->n = before + 1;
	}
	return rc;
}

void read_fault_begin(struct mbj_state *state)
{
	if (state->db->ops == &failing_ops)
		return;
	real_ops = state->db->ops;
	failing_ops = *real_ops;
	failing_ops.get = failing_get;
	state->db->ops = &failing_ops;
}

void read_fault_at(uint64_t k, bool is_for_good)
{
	read_count = 0;
	fail_at = k;
	fails_for_good = is_for_good;
	damage_at = 0;
}

void read_fault_damage(uint64_t k)
{
	read_fault_at(0, false);
	damage_at = k;
}

uint64_t read_fault_count(void)
{
	return read_count;
}
