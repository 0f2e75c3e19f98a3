/*
 * The naive model of messages; see model_mail.h.
 */
#include <mbj/check.h>

#include "model.h"

size_t model_mail_count(const struct model *model, struct mbj_id mailbox)
{
	size_t count = 0;

	for (size_t i = 0; i < model->mail.count; i++) {
		const struct model_message *message = &model->mail.list[i];

		count += !message->is_gone &&
			 mbj_id_equal(message->mailbox, mailbox);
	}
	return count;
}

/* One that can hold messages, NULL: there is none. */
static struct model_box *box_open(struct model *model, struct mbj_id id)
{
	struct model_box *box = model_of(model, id);

	return box != NULL && box->uidvalidity != 0 ? box : NULL;
}

static bool is_meant(const struct model_message *message,
		     const struct model_mail_step *step)
{
	return !message->is_gone &&
	       mbj_id_equal(message->mailbox, step->mailbox) &&
	       (step->uids == 0 ||
		(message->uid <= 8 &&
		 (step->uids >> (message->uid - 1) & 1) != 0));
}

static enum model_verdict message_add(struct model *model,
				      struct model_box *box, uint32_t uid,
				      uint8_t content, uint8_t flags,
				      bool has_guid,
				      struct model_mail_step *step)
{
	struct model_mail *mail = &model->mail;

	if (box->uidnext == 0)
		box->uidnext = 1;
	if (uid == 0)
		uid = box->uidnext;
	if (uid < box->uidnext)
		return MODEL_REFUSED;
	if (mail->count == MODEL_MESSAGES_MAX)
		return MODEL_FULL;
	mail->list[mail->count++] = (struct model_message){
		.mailbox = box->id,
		.uid = uid,
		.content = content,
		.flags = flags,
		.has_guid = has_guid,
	};
	box->uidnext = uid + 1;
	if (step->first_uid == 0)
		step->first_uid = uid;
	return MODEL_DONE;
}

static uint8_t flags_change(uint8_t before, const struct model_mail_step *step)
{
	switch (step->mode) {
	case MODEL_ADD:
		return before | step->flags;
	case MODEL_REMOVE:
		return (uint8_t)(before & ~step->flags);
	case MODEL_REPLACE:
	default:
		return step->flags;
	}
}

static void flags_run(struct model *model, struct model_mail_step *step)
{
	for (size_t i = 0; i < model->mail.count; i++) {
		struct model_message *message = &model->mail.list[i];
		uint8_t after = flags_change(message->flags, step);

		if (!is_meant(message, step) || after == message->flags)
			continue;
		message->flags = after;
		step->count++;
	}
}

static void expunge_run(struct model *model, struct model_mail_step *step)
{
	for (size_t i = 0; i < model->mail.count; i++) {
		if (!is_meant(&model->mail.list[i], step))
			continue;
		model->mail.list[i].is_gone = true;
		step->count++;
	}
}

/* A mailbox's messages are in the order of their UIDs. */
static enum model_verdict copy_run(struct model *model,
				   struct model_box *target,
				   struct model_mail_step *step)
{
	enum model_verdict verdict = MODEL_DONE;
	size_t end = model->mail.count;

	for (size_t i = 0; i < end && verdict == MODEL_DONE; i++) {
		struct model_message *message = &model->mail.list[i];

		if (!is_meant(message, step))
			continue;
		if (step->kind == MODEL_MOVE_MAIL)
			message->is_gone = true;
		verdict = message_add(model, target, 0, message->content,
				      message->flags,
				      message->has_guid && message->is_gone,
				      step);
		step->count++;
	}
	return verdict;
}

static enum model_verdict step_run(struct model *model,
				   struct model_mail_step *step)
{
	struct model_box *box = box_open(model, step->mailbox);
	struct model_box *target;

	step->first_uid = 0;
	step->count = 0;
	if (box == NULL)
		return MODEL_REFUSED;
	switch (step->kind) {
	case MODEL_APPEND:
		step->count = 1;
		return message_add(model, box, step->uid, step->content,
				   step->flags,
				   model_mail_has_guid(step->content), step);
	case MODEL_FLAGS:
		flags_run(model, step);
		return MODEL_DONE;
	case MODEL_EXPUNGE:
		expunge_run(model, step);
		return MODEL_DONE;
	case MODEL_COPY:
	case MODEL_MOVE_MAIL:
	default:
		target = box_open(model, step->target);
		return target != NULL ? copy_run(model, target, step)
				      : MODEL_REFUSED;
	}
}

enum model_verdict model_mail_run(struct model *model,
				  struct model_mail_step *steps, size_t count)
{
	enum model_verdict verdict = MODEL_DONE;

	for (size_t i = 0; i < count && verdict == MODEL_DONE; i++)
		verdict = step_run(model, &steps[i]);
	return verdict;
}

void model_mail_take(struct model *model, struct mbj_id from, struct mbj_id to)
{
	struct model_mail *mail = &model->mail;
	struct model_box *target = model_of(model, to);
	const struct model_box *source = model_of(model, from);
	size_t end = mail->count;

	MBJ_ASSERT(target != NULL && source != NULL);
	if (model_mail_count(model, from) == 0)
		return;
	target->uidnext = source->uidnext;
	for (size_t i = 0; i < end; i++) {
		struct model_message *message = &mail->list[i];

		if (message->is_gone || !mbj_id_equal(message->mailbox, from))
			continue;
		MBJ_ASSERT(mail->count < MODEL_MESSAGES_MAX);
		mail->list[mail->count] = *message;
		mail->list[mail->count++].mailbox = to;
		message->is_gone = true;
	}
}

void model_mail_leave(struct model *model)
{
	struct model_mail *mail = &model->mail;
	size_t kept = 0;

	for (size_t i = 0; i < mail->count; i++) {
		const struct model_message *message = &mail->list[i];

		if (model_of(model, message->mailbox) != NULL)
			mail->list[kept++] = *message;
		else
			mail->left[message->content] += !message->is_gone;
	}
	mail->count = kept;
}
