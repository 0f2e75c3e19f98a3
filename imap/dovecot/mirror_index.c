/*
 * What the index of a mailbox says of its messages.  See mirror.h.
 *
 * Invariants:
 *   1. what is read of a mailbox that is borrowed is what opening it by its
 *      name would read: the index at that name is the one that is open;
 *   2. nothing that its session sees is moved: its own view stays.
 */
#include "mirror_impl.h"

#include <array.h>
#include <index-storage.h>
#include <mail-index-modseq.h>
#include <mail-index-private.h>
#include <mail-transaction-log-private.h>
#include <sdbox-storage.h>
#include <sys/stat.h>

#include <mbj/codec.h>

#include "uidlist.h"

void mirror_seqs(const struct mirror *mirror, uint32_t first_uid,
		 uint32_t last_uid, uint32_t *ret_first, uint32_t *ret_last)
{
	if (!mail_index_lookup_seq_range(mirror->view, first_uid, last_uid,
					 ret_first, ret_last))
		*ret_first = *ret_last = 0;
}

/* ------------------------------------------------------ flags, keywords */

static int keyword_order(const char *const *a, const char *const *b)
{
	return strcasecmp(*a, *b);
}

static void keywords_read(const struct mirror *mirror, uint32_t seq,
			  ARRAY_TYPE(const_string) * names)
{
	const ARRAY_TYPE(keywords) *all =
		mail_index_get_keywords(mirror->box->index);
	ARRAY_TYPE(keyword_indexes) indexes;
	unsigned int index;

	t_array_init(&indexes, 8);
	mail_index_lookup_keywords(mirror->view, seq, &indexes);
	array_foreach_elem(&indexes, index)
	{
		const char *name = array_idx_elem(all, index);

		array_push_back(names, &name);
	}
	array_sort(names, keyword_order);
}

/* Sorted, without those that the store cannot have.  On the data stack. */
static struct mbj_bytes keywords_of(const struct mirror *mirror, uint32_t seq)
{
	ARRAY_TYPE(const_string) sorted;
	const char *before = "";
	const char *keyword;
	buffer_t *buf = t_buffer_create(64);

	t_array_init(&sorted, 8);
	keywords_read(mirror, seq, &sorted);
	array_foreach_elem(&sorted, keyword)
	{
		size_t n = strlen(keyword);

		if (strcasecmp(keyword, before) == 0)
			continue;
		if (!mbj_keyword_is_good(mbj_bytes_make(keyword, n)) ||
		    buf->used + n + 1 > MBJ_KEYWORDS_MAX) {
			e_warning(mirror->box->event,
				  "mbj: the journal cannot have keyword %s",
				  keyword);
			continue;
		}
		before = keyword;
		buffer_append(buf, keyword, n + 1);
	}
	return mbj_bytes_make(buf->data, buf->used);
}

/* Dovecot's mail knows what is in an index of private flags, too. */
static uint8_t flags_of(struct mirror *mirror, uint32_t seq)
{
	if (mirror->mail == NULL)
		return mail_index_lookup(mirror->view, seq)->flags &
		       MBJ_FLAGS_ALL;
	mail_set_seq(mirror->mail, seq);
	return mail_get_flags(mirror->mail) & MBJ_FLAGS_ALL;
}

struct content_message mirror_message(struct mirror *mirror, uint32_t seq)
{
	struct content_message message = {
		.flags = flags_of(mirror, seq),
		.keywords = keywords_of(mirror, seq),
	};

	mail_index_lookup_uid(mirror->view, seq, &message.uid);
	return message;
}

/* ------------------------------------------------------------- borrowing */

/*
 * What is open is not what is at the name where something else has come there,
 * or indexes were removed.  The log is what names an index: the other file is
 * written anew at times.
 */
static bool index_is_at_name(const struct mailbox *box)
{
	const struct mail_transaction_log_file *head = box->index->log->head;
	struct stat st;

	return head != NULL && stat(head->filepath, &st) == 0 &&
	       st.st_ino == head->st_ino && st.st_dev == head->st_dev;
}

/* All that came in since the store last heard of some is kept. */
static bool kept_has_new(struct mirror *mirror)
{
	const struct kept_message *kept;
	uint32_t seq, last, uid;

	mirror_seqs(mirror, mirror->content->store.uidnext, UINT32_MAX, &seq,
		    &last);
	for (; seq != 0 && seq <= last; seq++) {
		mail_index_lookup_uid(mirror->view, seq, &uid);
		kept = kept_find(mirror->kept, uid);
		if (kept == NULL || kept->received_date == (time_t)-1 ||
		    !mirror_guid_is_known(mirror, kept, uid))
			return false;
	}
	return true;
}

/* sdbox says what it read as the mailbox was opened; it may have another. */
static bool guid_is_current(const struct mirror *mirror, struct mbj_id guid)
{
	const struct sdbox_mailbox *sdbox = SDBOX_MAILBOX(mirror->box);
	struct sdbox_index_header current = {.rebuild_count = 0};
	const void *data;
	size_t size;

	if (strcmp(mirror->box->storage->name, SDBOX_STORAGE_NAME) != 0)
		return true;
	mail_index_get_header_ext(mirror->view, sdbox->hdr_ext_id, &data,
				  &size);
	if (size > 0)
		memcpy(&current, data, I_MIN(size, sizeof(current)));
	return memcmp(current.mailbox_guid, guid.b, sizeof(guid.b)) == 0;
}

bool mirror_peek(struct mirror *mirror, struct mailbox *box)
{
	const struct mail_index_header *header;
	struct uidlist_head head;

	if (!box->opened || box_is_others(box) ||
	    box->list->set.index_pvt_dir != NULL ||
	    mail_index_is_in_memory(box->index) || !index_is_at_name(box) ||
	    mail_index_refresh(box->index) < 0)
		return false;
	mirror->box = box;
	mirror->is_borrowed = true;
	mirror->view = mail_index_view_open(box->index);
	header = mail_index_get_header(mirror->view);
	mirror->status.messages = header->messages_count;
	mirror->status.uidnext = header->next_uid;
	mirror->status.uidvalidity = header->uid_validity;
	/* As in mailbox_status: there is none of a mailbox that is new. */
	mirror->status.highest_modseq =
		I_MAX(mail_index_modseq_get_highest(mirror->view), 1);
	if (box_head(box, &head) == 0 && header->uid_validity != 0 &&
	    (head.uidvalidity == 0 ||
	     head.uidvalidity == header->uid_validity) &&
	    guid_is_current(mirror, head.guid) && kept_has_new(mirror)) {
		mirror->guid = head.guid;
		return true;
	}
	mirror_close(mirror);
	return false;
}

void mirror_peek_end(struct mirror *mirror)
{
	mail_index_view_close(&mirror->view);
	mirror->box = NULL;
	mirror->is_borrowed = false;
}
