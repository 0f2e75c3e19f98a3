/*
 * What happens to the stores that are damaged; see history.h.
 */
#include "history.h"

#include <stdio.h>

#include <mbj/codec.h>
#include <mbj/message.h>

#include "store_lab.h"

enum { MAILBOXES = 6 };

void history_begin(struct mbj_store *store)
{
	site_import(store, 1, MAILBOXES);
	site_import(store, 2, MAILBOXES);
}

static void change_submit(struct mbj_store *store,
			  const struct mbj_change *changes, size_t count)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};

	edit.kind = MBJ_EDIT_SET;
	edit.account = mbj_bytes_str("u1");
	edit.changes = changes;
	edit.change_count = count;
	SITE_OK(mbj_store_submit(store, &edit, &outcome, err));
	ck_assert_uint_eq(outcome.refused_count, 0);
	mbj_outcome_done(&outcome);
}

/* Content is known by its digest alone: nobody asks for its bytes here. */
static struct mbj_message_edit message_append(unsigned account, unsigned step)
{
	return (struct mbj_message_edit){
		.kind = MBJ_MESSAGE_APPEND,
		.mailbox = site_mailbox(account, 2),
		.flags = MBJ_FLAG_SEEN,
		.keywords = mbj_bytes_make((const uint8_t *)"$Junk", 6),
		.blob = {{(uint8_t)(1 + step / 2)}},
		.size = 100 + step / 2,
		.time = 1700000000,
		.guid = mbj_bytes_str(step % 2 == 0 ? "" : "1.M2P3.host"),
	};
}

/* Two come, one with a GUID, all are flagged, some copied, in the end the first
 * one goes. */
static void messages_step(struct mbj_store *store, unsigned step)
{
	unsigned account = 1 + step % 2;
	uint8_t all[MBJ_UID_RANGE_SIZE];
	uint8_t first[MBJ_UID_RANGE_SIZE];
	struct mbj_message_edit steps[] = {
		message_append(account, step),
		message_append(account, step + 1),
		{.kind = MBJ_MESSAGE_FLAGS,
		 .mailbox = site_mailbox(account, 2),
		 .uids = mbj_bytes_make(all, sizeof(all)),
		 .mode = MBJ_FLAGS_ADD,
		 .flags = MBJ_FLAG_FLAGGED},
		{.kind = MBJ_MESSAGE_COPY,
		 .mailbox = site_mailbox(account, 2),
		 .target = site_mailbox(account, 3),
		 .uids = mbj_bytes_make(all, sizeof(all))},
		{.kind = MBJ_MESSAGE_EXPUNGE,
		 .mailbox = site_mailbox(account, 2),
		 .uids = mbj_bytes_make(first, sizeof(first))},
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};

	mbj_store_u32(all, 1);
	mbj_store_u32(all + 4, 100);
	mbj_store_u32(first, step / 2 + 1);
	mbj_store_u32(first + 4, step / 2 + 1);
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str(account == 1 ? "u1" : "u2");
	edit.messages = steps;
	edit.message_count = sizeof(steps) / sizeof(steps[0]);
	SITE_OK(mbj_store_submit(store, &edit, &outcome, err));
	ck_assert_uint_gt(outcome.lsn.v, 0);
	mbj_outcome_done(&outcome);
}

/* What a server may do of which it does not know yet what came of it. */
static void intent_step(struct mbj_store *store, unsigned step)
{
	struct mbj_change change = {
		.kind = MBJ_CHANGE_DESTROY,
		.id = site_mailbox(2, MAILBOXES),
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};

	edit.kind = MBJ_EDIT_SET;
	edit.stage = MBJ_STAGE_INTENT;
	edit.intent = site_mailbox(3, step + 1);
	edit.producer = mbj_bytes_str("imap");
	edit.account = mbj_bytes_str("u2");
	edit.changes = &change;
	edit.change_count = 1;
	SITE_OK(mbj_store_submit(store, &edit, &outcome, err));
	ck_assert(!mbj_id_is_root(outcome.intent));
	mbj_outcome_done(&outcome);
}

static void metadata_step(struct mbj_store *store, unsigned step)
{
	char text[24];
	struct mbj_metadata_edit steps[] = {
		{.kind = MBJ_METADATA_ACL,
		 .mailbox = site_mailbox(2, 2),
		 .name = mbj_bytes_str("anyone"),
		 .value = mbj_bytes_str("lr"),
		 .mode = MBJ_RIGHTS_REPLACE},
		{.kind = MBJ_METADATA_ENTRY,
		 .mailbox = site_mailbox(2, 3),
		 .name = mbj_bytes_str("/shared/comment")},
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};

	(void)snprintf(text, sizeof(text), "step %u", step);
	steps[1].value = mbj_bytes_str(text);
	edit.kind = MBJ_EDIT_METADATA;
	edit.account = mbj_bytes_str("u2");
	edit.metadata = steps;
	edit.metadata_count = sizeof(steps) / sizeof(steps[0]);
	SITE_OK(mbj_store_submit(store, &edit, &outcome, err));
	ck_assert_uint_gt(outcome.lsn.v, 0);
	mbj_outcome_done(&outcome);
}

/* One of each kind of change, all at once; step makes it differ. */
void history_step(struct mbj_store *store, unsigned step)
{
	unsigned fresh = MAILBOXES + 1 + step;
	struct mbj_change changes[4] = {
		{.kind = MBJ_CHANGE_CREATE,
		 .has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT |
			MBJ_CHANGE_HAS_SUBSCRIBED,
		 .id = site_mailbox(1, fresh),
		 .name = mbj_bytes_str("\xc3\x84pfel"),
		 .parent = site_mailbox(1, 2 + step % (MAILBOXES - 1)),
		 .is_subscribed = true},
		{.kind = MBJ_CHANGE_DESTROY, .id = site_mailbox(1, fresh - 1)},
	};
	char from[16];
	char to[16];

	change_submit(store, changes, step == 0 ? 1 : 2);
	(void)snprintf(from, sizeof(from), step == 0 ? "m3" : "n%u", step);
	(void)snprintf(to, sizeof(to), "n%u", step + 1);
	SITE_OK(site_rename(store, 2, from, to, NULL, err));
	if (step % 4 < 2)
		messages_step(store, step);
	if (step % 4 == 0) {
		metadata_step(store, step);
		intent_step(store, step);
	}
}
