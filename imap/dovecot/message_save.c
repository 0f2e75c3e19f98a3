/*
 * Messages on the way into a transaction: their bytes are kept as they are
 * saved (kept.h), and a dbox's get their GUIDs.  What is behind that is
 * message.c's.
 */
#include "kept.h"
#include "plugin.h"
#include "turn.h"

#include <istream.h>
#include <mdbox-storage.h>
#include <sdbox-storage.h>

/* A delivery to a Maildir would leave it to others to give UIDs. */
static struct mailbox_transaction_context *
capture_transaction_begin(struct mailbox *box,
			  enum mailbox_transaction_flags flags,
			  const char *reason)
{
	if (!turn_passes_messages(box))
		flags |= MAILBOX_TRANSACTION_FLAG_ASSIGN_UIDS;
	return capture_box_of(box)->module_ctx.super.transaction_begin(box,
								       flags,
								       reason);
}

static struct kept *kept_of(struct mailbox_transaction_context *t)
{
	struct capture_transaction *mine = capture_transaction_of(t);

	return mine != NULL ? mine->kept : NULL;
}

/*
 * dbox gives a message a GUID as its save ends, and does not say which: it gets
 * it here.  Elsewhere it is known once the message has a UID.
 */
static const char *guid_give(struct mail_save_context *ctx)
{
	const char *storage = ctx->transaction->box->storage->name;
	guid_128_t guid;

	if (strcmp(storage, SDBOX_STORAGE_NAME) != 0 &&
	    strcmp(storage, MDBOX_STORAGE_NAME) != 0)
		return "";
	if (ctx->data.guid == NULL) {
		guid_128_generate(guid);
		mailbox_save_set_guid(ctx, guid_128_to_string(guid));
	}
	return ctx->data.guid;
}

static int capture_save_begin(struct mail_save_context *ctx,
			      struct istream *input)
{
	struct mailbox_transaction_context *t = ctx->transaction;
	struct capture_box *box = capture_box_of(t->box);
	struct mailbox_vfuncs *super = &box->module_ctx.super;
	bool is_copy = ctx->copying_or_moving && !ctx->saving;
	struct capture_transaction *mine;
	int ret;

	kept_forget(kept_of(t), t->save_count);
	/* Another plugin may copy past capture_copy (mail_crypt). */
	box->is_copied_to |= is_copy;
	/*
	 * Who copies can read, and need not send what the store has.  dsync
	 * brings UIDs of all that it saves, in any order.
	 */
	if (turn_passes_messages(t->box) || is_copy || ctx->data.uid != 0)
		return super->save_begin(ctx, input);
	mine = capture_transaction_need(t);
	if (mine->kept == NULL)
		mine->kept = kept_new(t->box);
	input = kept_begin(mine->kept, t->save_count, guid_give(ctx), input);
	ret = super->save_begin(ctx, input);
	i_stream_unref(&input);
	return ret;
}

static int capture_save_finish(struct mail_save_context *ctx)
{
	struct mailbox_transaction_context *t = ctx->transaction;
	struct kept *kept = kept_of(t);
	int ret = capture_box_of(t->box)->module_ctx.super.save_finish(ctx);

	if (ret < 0)
		kept_forget(kept, t->save_count);
	else if (kept != NULL)
		kept_end(kept, ctx->dest_mail);
	return ret;
}

static void capture_save_cancel(struct mail_save_context *ctx)
{
	struct mailbox_transaction_context *t = ctx->transaction;

	kept_forget(kept_of(t), t->save_count);
	capture_box_of(t->box)->module_ctx.super.save_cancel(ctx);
}

/* Of a delivery, too, which Dovecot saves by a copy of what came in. */
static int capture_copy(struct mail_save_context *ctx, struct mail *mail)
{
	struct mailbox_transaction_context *t = ctx->transaction;
	struct capture_box *mine = capture_box_of(t->box);

	mine->is_copied_to = true;
	kept_forget(kept_of(t), t->save_count);
	return mine->module_ctx.super.copy(ctx, mail);
}

void capture_messages(struct mailbox *box, struct mailbox_vfuncs *v)
{
	(void)box;
	v->transaction_begin = capture_transaction_begin;
	v->save_begin = capture_save_begin;
	v->save_finish = capture_save_finish;
	v->save_cancel = capture_save_cancel;
	v->copy = capture_copy;
}
