/*
 * Mail that is not the journal's, in mailboxes that it deleted.  See apply.h.
 */
#include "apply.h"

#include "apply_origin.h"

/* From the end: below the mark all came from the journal. */
static bool mails_are_own(struct origin *origin, struct mailbox *box,
			  uint32_t count, uint32_t mark)
{
	struct mailbox_transaction_context *t =
		mailbox_transaction_begin(box, 0, "mbj apply");
	struct mail *mail = mail_alloc(t, 0, NULL);
	bool is_own = false;

	for (uint32_t seq = count; !is_own && seq > 0; seq--) {
		mail_set_seq(mail, seq);
		if (mail->uid < mark)
			break;
		is_own = origin_look(origin, mail) <= 0;
	}
	mail_free(&mail);
	mailbox_transaction_rollback(&t);
	return is_own;
}

static bool box_has_own(struct apply *apply, struct mailbox *box,
			struct mbj_id id)
{
	const struct known_box *found = known_find(&apply->known, id);
	struct known_box known = {.mark = 0};
	struct origin origin = {.apply = apply, .mailbox = id};
	struct mailbox_status status;

	if (found != NULL)
		known = *found;
	if (apply_box_open(apply, box, id) < 0)
		return true;
	mailbox_get_open_status(box, APPLY_STATUS, &status);
	known_adapt(apply, &known, box, &status);
	origin.doubt = known.doubt;
	return mails_are_own(&origin, box, status.messages, known.mark);
}

bool apply_has_own(struct apply *apply, const char *vname, struct mbj_id id)
{
	struct mailbox *box = apply_box(apply, vname);
	bool has_own = box_has_own(apply, box, id);

	mailbox_free(&box);
	return has_own;
}
