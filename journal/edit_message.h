/*
 * Steps of MESSAGES: what edit_message.c and edit_message_set.c share.
 * Private to journal/edit_message*.
 */
#ifndef MBJ_JOURNAL_EDIT_MESSAGE_H
#define MBJ_JOURNAL_EDIT_MESSAGE_H

#include "edit_work.h"

/*
 * The highest modseq that an edit may ask for: a mailbox at the very last one
 * can change no more, and half of them are more than it will ever use.
 */
#define STEP_MODSEQ_MAX (MBJ_MODSEQ_MAX / 2)

/* One step on its way. */
struct step {
	struct edit_work *work;
	const struct mbj_message_edit *edit;
	struct mbj_message_result *result;
	struct mbj_mailbox mailbox;
};

/* Refuse, naming a mailbox; why follows "mailbox <id> ". */
enum mbj_rc step_refuse(struct mbj_error *err, enum mbj_refusal refusal,
			const char *kind, struct mbj_id id, enum mbj_rc rc,
			const char *why) MBJ_MUST_CHECK;
/* A mailbox that can hold messages. */
enum mbj_rc step_mailbox_open(struct edit_work *work, struct mbj_id id,
			      const char *kind, struct mbj_mailbox *ret_mailbox,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc step_content_get(const struct step *step, struct mbj_id mailbox,
			     struct mbj_content *ret_content,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* What the caller asks for, or the next; never one that was. */
enum mbj_rc step_modseq_choose(const struct step *step,
			       const struct mbj_content *content,
			       uint64_t *ret_modseq,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* count messages of size bytes more fit into the account's quota. */
enum mbj_rc step_quota_check(const struct step *step, uint64_t count,
			     uint64_t size,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/* The GUID of a message of mailbox, whose content has that revision, if any. */
enum mbj_rc step_guid_emit(struct step *step, struct mbj_id mailbox,
			   uint64_t rev, uint32_t uid, struct mbj_bytes guid,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/* Each with the mailbox open and a good set of UIDs. */
enum mbj_rc step_flags(struct step *step, struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc step_expunge(struct step *step,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* COPY and MOVE. */
enum mbj_rc step_copy(struct step *step, struct mbj_error *err) MBJ_MUST_CHECK;

#endif
