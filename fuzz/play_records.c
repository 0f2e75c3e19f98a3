/*
 * A replica's records against the primary's; see play_records.h.
 *
 * The primary's were checked one by one, against their sums and each other
 * (mbj_txn_account_check); what equals them needs no check of its own, which
 * would cost five times as much.
 */
#include <string.h>

#include <mbj/check.h>

#include "db_engine.h"
#include "play_records.h"
#include "state_priv.h"

/* What groups say of an account, and what follows from it. */
static const enum db_table tables[] = {TABLE_ACCOUNTS,	    TABLE_MAILBOXES,
				       TABLE_SLOTS,	    TABLE_FLOORS,
				       TABLE_SUBSCRIPTIONS, TABLE_ATTRIBUTES,
				       TABLE_TOMBSTONES,    TABLE_CONTENTS,
				       TABLE_INTENTS};

static bool record_next(struct db_cursor *cursor, struct mbj_bytes prefix,
			struct mbj_bytes *ret_key, struct mbj_bytes *ret_value)
{
	enum mbj_rc rc = db_cursor_next(cursor, ret_key, ret_value, NULL);

	MBJ_ASSERT(rc == MBJ_OK || rc == MBJ_ENOTFOUND);
	return rc == MBJ_OK && ret_key->n >= prefix.n &&
	       memcmp(ret_key->p, prefix.p, prefix.n) == 0;
}

static void table_compare(struct play *play, enum db_table table,
			  struct mbj_bytes prefix,
			  struct mbj_txn *const txns[2], int side)
{
	struct db_cursor *cursors[2] = {NULL, NULL};
	struct mbj_bytes keys[2];
	struct mbj_bytes values[2];
	bool is_there;

	for (int i = 0; i < 2; i++)
		MBJ_ASSERT(db_cursor_open(txns[i]->txn, table, prefix,
					  &cursors[i], NULL) == MBJ_OK);
	do {
		is_there =
			record_next(cursors[0], prefix, &keys[0], &values[0]);
		play_check(play,
			   record_next(cursors[1], prefix, &keys[1],
				       &values[1]) == is_there,
			   "replica %d has %s of %s", side,
			   is_there ? "fewer" : "more", db_table_name(table));
		play_check(play,
			   !is_there || (mbj_bytes_equal(keys[0], keys[1]) &&
					 mbj_bytes_equal(values[0], values[1])),
			   "replica %d differs in %s", side,
			   db_table_name(table));
	} while (is_there);
	for (int i = 0; i < 2; i++)
		db_cursor_close(&cursors[i]);
}

/* Of mailboxes that are there: what is left of others goes at other times. */
static void messages_compare(struct play *play, struct mbj_txn *const txns[2],
			     int side)
{
	struct mbj_content content;
	struct mbj_buf prefix;

	mbj_buf_init(&prefix, 64);
	for (size_t i = 0; i < play->model.count; i++) {
		const struct model_box *box = &play->model.boxes[i];

		if (box->uidnext == 0)
			continue;
		MBJ_ASSERT(mbj_txn_content_get(txns[0], play->account, box->id,
					       &content, NULL) == MBJ_OK);
		key_series(&prefix, play->account, content.series);
		table_compare(play, TABLE_MESSAGES, mbj_buf_view(&prefix), txns,
			      side);
		key_pair(&prefix, play->account, box->id.b, sizeof(box->id.b));
		table_compare(play, TABLE_VANISHED, mbj_buf_view(&prefix), txns,
			      side);
	}
	mbj_buf_done(&prefix);
}

void play_records_compare(struct play *play, struct mbj_txn *primary,
			  struct mbj_txn *replica, int side)
{
	struct mbj_txn *const txns[2] = {primary, replica};

	for (int i = 0; i < 2; i++)
		MBJ_ASSERT(txns[i]->is_reading ||
			   mbj_txn_flush(txns[i], NULL) == MBJ_OK);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		table_compare(play, tables[i],
			      mbj_bytes_make(play->account.b,
					     sizeof(play->account.b)),
			      txns, side);
	messages_compare(play, txns, side);
}
