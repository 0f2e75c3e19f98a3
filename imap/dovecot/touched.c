/*
 * Reading a transaction that is not committed yet.  See touched.h.
 */
#include "touched.h"

#include "others.h"

#include <mail-index-transaction-private.h>

static bool flags_are_kept(const struct mail_index_flag_update *update)
{
	return ((update->add_flags | update->remove_flags) & MBJ_FLAGS_ALL) !=
	       0;
}

/* Messages that were there before the transaction. */
static void seqs_take(struct mail_index_view *view,
		      const struct mail_index_transaction *index,
		      uint32_t first, uint32_t last,
		      ARRAY_TYPE(uint32_t) * uids)
{
	if (array_is_created(&index->appends) && last >= index->first_new_seq)
		last = index->first_new_seq - 1;
	for (uint32_t seq = first; seq <= last; seq++) {
		uint32_t uid = 0;

		mail_index_lookup_uid(view, seq, &uid);
		array_push_back(uids, &uid);
	}
}

static void ranges_take(struct mail_index_view *view,
			const struct mail_index_transaction *index,
			const ARRAY_TYPE(seq_range) * seqs,
			ARRAY_TYPE(uint32_t) * uids)
{
	const struct seq_range *range;

	if (array_is_created(seqs))
		array_foreach(seqs, range)
			seqs_take(view, index, range->seq1, range->seq2, uids);
}

static void flags_take(struct mail_index_view *view,
		       const struct mail_index_transaction *index,
		       ARRAY_TYPE(uint32_t) * uids)
{
	const struct mail_index_flag_update *update;

	if (array_is_created(&index->updates))
		array_foreach(&index->updates,
			      update) if (flags_are_kept(update))
			seqs_take(view, index, update->uid1, update->uid2,
				  uids);
}

void touched_list(const struct mailbox_transaction_context *t,
		  ARRAY_TYPE(uint32_t) * uids)
{
	const struct mail_index_transaction *index = t->itrans;
	const struct mail_index_transaction_keyword_update *keyword;
	const struct mail_transaction_expunge_guid *expunge;

	flags_take(t->view, index, uids);
	/* An index of private flags (INDEXPVT) has sequences of its own. */
	if (t->itrans_pvt != NULL && !box_is_others(t->box))
		flags_take(t->view_pvt, t->itrans_pvt, uids);
	if (array_is_created(&index->keyword_updates))
		array_foreach(&index->keyword_updates, keyword)
		{
			ranges_take(t->view, index, &keyword->add_seq, uids);
			ranges_take(t->view, index, &keyword->remove_seq, uids);
		}
	/* They have sequence numbers until the commit. */
	if (array_is_created(&index->expunges))
		array_foreach(&index->expunges, expunge)
			seqs_take(t->view, index, expunge->uid, expunge->uid,
				  uids);
}

static int uid_order(const uint32_t *a, const uint32_t *b)
{
	return *a < *b ? -1 : *a > *b;
}

void touched_sort(ARRAY_TYPE(uint32_t) * uids)
{
	uint32_t *list;
	unsigned int count, kept = 0;

	array_sort(uids, uid_order);
	list = array_get_modifiable(uids, &count);
	for (unsigned int i = 0; i < count; i++)
		if (list[i] != 0 && (kept == 0 || list[kept - 1] != list[i]))
			list[kept++] = list[i];
	array_delete(uids, kept, count - kept);
}

/* By what Dovecot calls it: of IMAP as the client wrote it. */
static bool is_reader(const struct mailbox_transaction_context *t)
{
	const char *service = t->box->storage->user->service;

	return (t->reason != NULL &&
		strstr(t_str_ucase(t->reason), "FETCH") != NULL) ||
	       (service != NULL && strcmp(service, "pop3") == 0);
}

/* Something is marked as seen, and nothing else is done to flags. */
static bool flags_are_seen(const struct mail_index_transaction *index)
{
	const struct mail_index_flag_update *update;

	array_foreach(&index->updates,
		      update) if ((update->add_flags & MBJ_FLAGS_ALL) !=
					  MBJ_FLAG_SEEN ||
				  (update->remove_flags & MBJ_FLAGS_ALL) !=
					  0) return false;
	return true;
}

/* What is private raises the modseq in the index that is not. */
static bool has_flags(const struct mail_index_transaction *index)
{
	const struct mail_index_flag_update *update;

	if (array_is_created(&index->updates))
		array_foreach(&index->updates,
			      update) if (flags_are_kept(update)) return true;
	return false;
}

bool touched_is_only_read(const struct mailbox_transaction_context *t)
{
	const struct mail_index_transaction *index = t->itrans;

	if (t->save_count > 0 || array_is_created(&index->expunges) ||
	    array_is_created(&index->keyword_updates) || !is_reader(t))
		return false;
	if (t->itrans_pvt != NULL && array_is_created(&t->itrans_pvt->updates))
		return !has_flags(index) && flags_are_seen(t->itrans_pvt);
	return array_is_created(&index->updates) && flags_are_seen(index);
}
