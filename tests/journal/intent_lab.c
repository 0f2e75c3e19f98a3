/*
 * The laboratory of the tests of intents.
 */
#include "intent_lab.h"

#include <stdio.h>
#include <string.h>

struct edit_lab intent_lab;

void intent_lab_begin(void)
{
	edit_lab_begin(&intent_lab, MBJ_STATE_MEMORY);
	edit_lab_import(&intent_lab, "u", "A A/x B *S");
}

void intent_lab_end(void)
{
	edit_lab_end(&intent_lab);
}

struct mbj_edit intent_edit(enum mbj_intent_stage stage, const char *id)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_INTENT;
	edit.account = mbj_bytes_str("u");
	edit.stage = stage;
	edit.intent = edit_lab_id(id);
	edit.producer = mbj_bytes_str("imap");
	return edit;
}

/* A rename in a stage. */
enum mbj_rc intent_renamed(enum mbj_intent_stage stage, const char *id,
			   const char *source, const char *target)
{
	const struct mbj_rename rename = {mbj_bytes_str(source),
					  mbj_bytes_str(target)};
	struct mbj_edit edit = intent_edit(stage, id);

	edit.kind = MBJ_EDIT_RENAME;
	edit.renames = &rename;
	edit.rename_count = 1;
	return edit_lab_run(&intent_lab, &edit);
}

/* What the intent itself holds, or nothing. */
enum mbj_rc intent_told(enum mbj_intent_stage stage, const char *id)
{
	struct mbj_edit edit = intent_edit(stage, id);

	return edit_lab_run(&intent_lab, &edit);
}

enum mbj_rc intent_resolved(const struct intent_seen *seen, size_t count,
			    uint64_t as_of)
{
	struct mbj_edit edit = intent_edit(MBJ_STAGE_RESOLVE, "");
	struct mbj_change changes[8];

	for (size_t i = 0; i < count; i++) {
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = edit_lab_id(seen[i].id),
			.name = mbj_bytes_str(seen[i].name),
			.uidvalidity = seen[i].uidvalidity,
			.uidnext = seen[i].uidnext,
		};
		if (seen[i].parent != NULL)
			changes[i].parent = edit_lab_id(seen[i].parent);
		if (seen[i].uidvalidity != 0)
			changes[i].has |= MBJ_CHANGE_HAS_UIDVALIDITY;
		if (seen[i].uidnext != 0)
			changes[i].has |= MBJ_CHANGE_HAS_UIDNEXT;
	}
	edit.kind = MBJ_EDIT_RECONCILE;
	edit.changes = changes;
	edit.change_count = count;
	edit.has_if_in_state = true;
	edit.if_in_state.v =
		as_of > 0 ? as_of : edit_lab_account(&intent_lab, "u").lsn.v;
	return edit_lab_run(&intent_lab, &edit);
}

/* Open intents of the account, the same in both states. */
unsigned intent_open_count(void)
{
	struct mbj_id account = edit_lab_account(&intent_lab, "u").id;
	unsigned counts[2] = {0, 0};

	for (int side = 0; side < 2; side++) {
		struct mbj_scan scan = {0};
		struct mbj_intent intent;

		LAB_OK(mbj_scan_intents(intent_lab.txns[side], account, &scan,
					err));
		while (mbj_scan_next_intent(&scan, &intent, NULL) == MBJ_OK)
			counts[side]++;
		mbj_scan_done(&scan);
	}
	ck_assert_uint_eq(counts[0], counts[1]);
	return counts[0];
}

/* What an open intent is about, of the replica: "move A>C;...". */
const char *intent_doubts(const char *id)
{
	static char text[4096];
	struct mbj_intent_view view;
	struct mbj_intent intent;
	struct mbj_doubt doubt;
	bool is_found = false;

	LAB_OK(mbj_txn_intent_seek(intent_lab.txns[1],
				   edit_lab_account(&intent_lab, "u").id,
				   edit_lab_id(id), &intent, &is_found, err));
	ck_assert(is_found);
	LAB_OK(mbj_intent_read(intent.body, &view, err));
	text[0] = '\0';
	while (mbj_doubt_next(&view.doubts, &doubt)) {
		size_t n = strlen(text);

		for (unsigned bit = 1; bit <= doubt.what; bit <<= 1)
			if (doubt.what & bit)
				n += (size_t)snprintf(text + n,
						      sizeof(text) - n, "%s ",
						      mbj_doubt_name(bit));
		(void)snprintf(text + n, sizeof(text) - n, "%.*s>%.*s;",
			       (int)doubt.before.n,
			       (const char *)doubt.before.p, (int)doubt.after.n,
			       (const char *)doubt.after.p);
	}
	return text;
}

/* The result that the last group records for its only outcome. */
const char *intent_result(void)
{
	const char *word = "none";
	struct mbj_reader reader;
	struct mbj_group group;
	struct mbj_op op;

	LAB_OK(mbj_group_parse(mbj_buf_view(&intent_lab.record), &group, err));
	mbj_reader_init(&reader, group.body);
	while (mbj_group_op_next(&group, &reader, &op, NULL) == MBJ_OK)
		if (op.kind == MBJ_OP_OUTCOME)
			word = mbj_intent_result_name(op.result);
	return word;
}

enum mbj_rc intent_appended(enum mbj_intent_stage stage, const char *id,
			    const char *mailbox)
{
	const struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					      .mailbox = edit_lab_id(mailbox),
					      .size = 5,
					      .blob = {{7}}};
	struct mbj_edit edit = intent_edit(stage, id);

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = &step;
	edit.message_count = 1;
	return edit_lab_run(&intent_lab, &edit);
}
