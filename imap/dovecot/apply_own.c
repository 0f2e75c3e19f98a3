/*
 * Whose the mail is in a mailbox that is about to go, or to be another one. See
 * apply.h.
 */
#include "apply.h"

#include "apply_maildir.h"
#include "apply_origin.h"

/* What says whose a mailbox's mail is. */
struct whose {
	struct origin origin;
	uint32_t mark; /* below all came from the journal */
	struct mailbox_status status;
};

/* Of an open mailbox that has that id. */
static void whose_init(struct apply *apply, struct mailbox *box,
		       struct mbj_id id, struct whose *ret_whose)
{
	const struct known_box *found = known_find(&apply->known, id);
	struct known_box known = {.mark = 0};

	if (found != NULL)
		known = *found;
	mailbox_get_open_status(box, APPLY_STATUS, &ret_whose->status);
	known_adapt(apply, &known, box, &ret_whose->status);
	ret_whose->mark = known.mark;
	ret_whose->origin =
		(struct origin){.apply = apply,
				.mailbox = id,
				.uidvalidity = ret_whose->status.uidvalidity,
				.doubt = known.doubt};
}

/* From the end. */
static bool mails_are_own(struct whose *whose, struct mailbox *box)
{
	struct mailbox_transaction_context *t =
		mailbox_transaction_begin(box, 0, "mbj apply");
	struct mail *mail = mail_alloc(t, 0, NULL);
	bool is_own = false;

	for (uint32_t seq = whose->status.messages; !is_own && seq > 0; seq--) {
		mail_set_seq(mail, seq);
		if (mail->uid < whose->mark)
			break;
		is_own = origin_look(&whose->origin, mail) <= 0;
	}
	mail_free(&mail);
	mailbox_transaction_rollback(&t);
	return is_own;
}

bool apply_has_own(struct apply *apply, const char *vname, struct mbj_id id)
{
	struct mailbox *box = apply_box(apply, vname);
	bool has_own = true;
	struct whose whose;

	if (apply_box_open(apply, box, id) == 0) {
		whose_init(apply, box, id, &whose);
		has_own = mails_are_own(&whose, box);
	}
	mailbox_free(&box);
	return has_own;
}

/* Those of the journal's. */
static void uids_list(struct whose *whose, struct mailbox *box,
		      ARRAY_TYPE(seq_range) * ret_uids)
{
	struct mailbox_transaction_context *t =
		mailbox_transaction_begin(box, 0, "mbj apply");
	struct mail *mail = mail_alloc(t, 0, NULL);

	for (uint32_t seq = 1; seq <= whose->status.messages; seq++) {
		mail_set_seq(mail, seq);
		if (mail->uid < whose->mark ||
		    origin_look(&whose->origin, mail) > 0)
			seq_range_array_add(ret_uids, mail->uid);
	}
	mail_free(&mail);
	mailbox_transaction_rollback(&t);
}

static int mails_expunge(struct mailbox *box, uint32_t count)
{
	struct mailbox_transaction_context *t =
		mailbox_transaction_begin(box, 0, "mbj apply");
	struct mail *mail = mail_alloc(t, 0, NULL);

	for (uint32_t seq = 1; seq <= count; seq++) {
		mail_set_seq(mail, seq);
		mail_expunge(mail);
	}
	mail_free(&mail);
	return mailbox_transaction_commit(&t) < 0 ? -1 : mailbox_sync(box, 0);
}

/* Returns: -1, an error of the box. */
static int id_read(struct mailbox *box, struct mbj_id *ret_id)
{
	struct mailbox_metadata metadata;

	if (mailbox_open(box) < 0 || mailbox_sync(box, 0) < 0 ||
	    mailbox_get_metadata(box, MAILBOX_METADATA_GUID, &metadata) < 0)
		return -1;
	memcpy(ret_id->b, metadata.guid, sizeof(ret_id->b));
	return 0;
}

int apply_own_part(struct apply *apply, struct mailbox *box,
		   const struct mbj_node *node, bool *ret_is_emptied)
{
	ARRAY_TYPE(seq_range) uids;
	struct whose whose;
	struct mbj_id id;

	*ret_is_emptied = false;
	if (!maildir_is(box))
		return 0;
	if (id_read(box, &id) < 0)
		return -1;
	whose_init(apply, box, id, &whose);
	if (whose.status.uidvalidity == node->uidvalidity)
		return 0;
	t_array_init(&uids, 8);
	uids_list(&whose, box, &uids);
	if (!mbj_id_equal(id, node->id) &&
	    seq_range_count(&uids) == whose.status.messages) {
		*ret_is_emptied = true;
		return mails_expunge(box, whose.status.messages);
	}
	return array_is_empty(&uids)
		       ? 0
		       : note_uids(apply, node->id, node->uidvalidity, &uids);
}
