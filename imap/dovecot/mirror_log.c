/*
 * What Dovecot's log of a mailbox says of messages that were there.  See
 * mirror.h.
 *
 * The log is read from where it ended before the change.  Where more of it is
 * not told yet it is read from its head file's beginning, or the one before
 * where that has the store's modseq: a file of it has a megabyte at most.
 */
#include "mirror_impl.h"

#include <array.h>
#include <mail-index-private.h>
#include <mail-transaction-log-private.h>
#include <seq-range-array.h>

/* Keywords, and UIDs behind the padded name: log_view_is_record_valid. */
static size_t keyword_uids_at(const void *data)
{
	const struct mail_transaction_keyword_update *record = data;

	return (sizeof(*record) + record->name_size + 3) / 4 * 4;
}

/* Pairs of UIDs, each at the beginning of so many bytes. */
static void uids_take(const void *data, size_t size, size_t each,
		      ARRAY_TYPE(seq_range) * uids)
{
	for (size_t at = 0; at + each <= size; at += each) {
		const uint32_t *range = CONST_PTR_OFFSET(data, at);

		seq_range_array_add_range(uids, range[0], range[1]);
	}
}

/* Dovecot's own flags are nobody else's, nor is a modseq that is raised. */
static void flags_take(const void *data, size_t size,
		       ARRAY_TYPE(seq_range) * uids)
{
	const struct mail_transaction_flag_update *update = data;
	size_t count = size / sizeof(*update);

	for (; count > 0; count--, update++)
		if (((update->add_flags | update->remove_flags) &
		     MBJ_FLAGS_ALL) != 0)
			seq_range_array_add_range(uids, update->uid1,
						  update->uid2);
}

static void record_take(const struct mail_transaction_header *head,
			const void *data, ARRAY_TYPE(seq_range) * uids)
{
	size_t at;

	switch (head->type & MAIL_TRANSACTION_TYPE_MASK) {
	case MAIL_TRANSACTION_FLAG_UPDATE:
		flags_take(data, head->size, uids);
		break;
	case MAIL_TRANSACTION_KEYWORD_UPDATE:
		at = keyword_uids_at(data);
		if (at < head->size)
			uids_take(CONST_PTR_OFFSET(data, at), head->size - at,
				  2 * sizeof(uint32_t), uids);
		break;
	case MAIL_TRANSACTION_KEYWORD_RESET:
		uids_take(data, head->size,
			  sizeof(struct mail_transaction_keyword_reset), uids);
		break;
	default:
		break;
	}
}

struct mirror_spot mirror_spot(struct mailbox *box)
{
	const struct mail_transaction_log_file *head = box->index->log->head;

	if (head == NULL)
		return (struct mirror_spot){.index = NULL};
	return (struct mirror_spot){
		.index = box->index,
		.file = head->hdr.file_seq,
		.offset = head->sync_offset,
		.modseq = head->sync_highest_modseq,
	};
}

/* It is of this file, and the store's modseq is not before it. */
static bool spot_is_in(const struct mirror_spot *spot,
		       const struct mail_transaction_log_file *file,
		       uint64_t modseq)
{
	return spot->index == file->log->index &&
	       spot->file == file->hdr.file_seq &&
	       spot->offset <= file->sync_offset && spot->modseq <= modseq;
}

/* Where modseq is not behind it, if there is such. */
static bool view_begin(struct mail_transaction_log_view *view,
		       const struct mail_transaction_log_file *head,
		       const struct mirror_spot *before, uint64_t modseq)
{
	uint32_t file = head->hdr.file_seq;
	uoff_t offset = 0;
	const char *reason;
	bool is_reset;

	if (spot_is_in(before, head, modseq))
		offset = before->offset;
	else if (head->hdr.initial_modseq > modseq)
		file = head->hdr.prev_file_seq;
	return file != 0 &&
	       mail_transaction_log_view_set(view, file, offset, (uint32_t)-1,
					     UOFF_T_MAX, &is_reset,
					     &reason) > 0 &&
	       mail_transaction_log_view_get_prev_modseq(view) <= modseq;
}

/*
 * Whose flags or keywords have changed since.
 * Returns: false, the log does not go back as far.
 */
static bool log_read(struct mail_index *index, const struct mirror_spot *before,
		     uint64_t modseq, ARRAY_TYPE(seq_range) * uids)
{
	struct mail_transaction_log_view *view;
	const struct mail_transaction_header *head;
	const void *data;
	int ret = -1;

	if (index->log->head == NULL)
		return false;
	view = mail_transaction_log_view_open(index->log);
	if (view_begin(view, index->log->head, before, modseq))
		while ((ret = mail_transaction_log_view_next(view, &head,
							     &data)) > 0)
			if (mail_transaction_log_view_get_prev_modseq(view) >
			    modseq)
				record_take(head, data, uids);
	mail_transaction_log_view_close(&view);
	return ret == 0;
}

bool mirror_has_changed(struct mirror *mirror,
			const ARRAY_TYPE(uint32_t) * uids)
{
	const struct mbj_content *store = &mirror->content->store;
	const struct seq_range *range;
	ARRAY_TYPE(seq_range) changed;
	uint32_t uid;

	if (store->message_count == 0 ||
	    mirror->status.highest_modseq <= store->modseq)
		return false;
	t_array_init(&changed, 16);
	if (!log_read(mirror->box->index, &mirror->before, store->modseq,
		      &changed))
		return true;
	array_foreach_elem(uids, uid) seq_range_array_remove(&changed, uid);
	array_foreach(&changed, range)
	{
		uint32_t seq, last;

		if (range->seq1 >= store->uidnext)
			break;
		mirror_seqs(mirror, range->seq1,
			    I_MIN(range->seq2, store->uidnext - 1), &seq,
			    &last);
		if (seq != 0)
			return true;
	}
	return false;
}
