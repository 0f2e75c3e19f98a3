/*
 * Intents that were left open, and what a list of mailboxes says of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "intent_lab.h"
#include "journal_cases.h"

/* --------------------------------------------------------------- resolve */

static const struct intent_seen as_it_was[] = {
	{"INBOX", NULL, "INBOX", 0, 0}, {"A", NULL, "A", 0, 0},
	{"A/x", "A", "x", 0, 0},	{"B", NULL, "B", 0, 0},
	{"S", NULL, "S", 0, 0},
};

/*
 * Goal: a list of the server's mailboxes settles what is about mailboxes: done,
 * not done, or neither, and the tree is the list's.  Method: three intents, of
 * which one came true, one did not and one came out differently; a mailbox
 * that the server made with an id of its own.
 */
START_TEST(resolve_results)
{
	const struct intent_seen seen[] = {
		{"INBOX", NULL, "INBOX", 0, 0}, {"A", NULL, "A2", 0, 0},
		{"A/x", "A", "x", 0, 0},	{"B", NULL, "B", 0, 0},
		{"S", NULL, "elsewhere", 0, 0}, {"own", NULL, "New", 0, 0},
	};
	struct mbj_change create = {.kind = MBJ_CHANGE_CREATE,
				    .has = MBJ_CHANGE_HAS_NAME |
					   MBJ_CHANGE_HAS_PARENT,
				    .id = edit_lab_id("ours"),
				    .name = mbj_bytes_str("New")};
	struct mbj_edit edit = intent_edit(MBJ_STAGE_INTENT, "i4");
	unsigned results[4] = {0};
	struct mbj_reader reader;
	struct mbj_group group;
	struct mbj_op op;

	EDIT_LAB_OK(&intent_lab,
		    intent_renamed(MBJ_STAGE_INTENT, "i1", "A", "A2"));
	EDIT_LAB_OK(&intent_lab,
		    intent_renamed(MBJ_STAGE_INTENT, "i2", "B", "B2"));
	EDIT_LAB_OK(&intent_lab,
		    intent_renamed(MBJ_STAGE_INTENT, "i3", "S", "S2"));
	edit.kind = MBJ_EDIT_SET;
	edit.changes = &create;
	edit.change_count = 1;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	ck_assert_str_eq(intent_doubts("i4"), "create >New;");
	EDIT_LAB_REFUSED(&intent_lab,
			 intent_resolved(seen, 6, intent_lab.lsn.v - 1),
			 "stateMismatch", "");
	ck_assert_uint_eq(intent_open_count(), 4);
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 6, intent_lab.lsn.v));
	ck_assert_uint_eq(intent_lab.outcome.intents_closed, 4);
	ck_assert_uint_eq(intent_lab.outcome.intents_left, 0);
	ck_assert_uint_eq(intent_open_count(), 0);
	ck_assert_str_eq(edit_lab_tree(&intent_lab, "u"),
			 "A2/x=A/x A2=A B=B New=own elsewhere=S");
	LAB_OK(mbj_group_parse(mbj_buf_view(&intent_lab.record), &group, err));
	mbj_reader_init(&reader, group.body);
	while (mbj_group_op_next(&group, &reader, &op, NULL) == MBJ_OK) {
		if (op.kind != MBJ_OP_OUTCOME)
			continue;
		ck_assert_uint_eq(op.is_found, 1);
		ck_assert_uint_ge(op.id.b[1], '1');
		ck_assert_uint_le(op.id.b[1], '4');
		results[op.id.b[1] - '1'] = op.result;
	}
	ck_assert_uint_eq(results[0], MBJ_INTENT_DONE);
	ck_assert_uint_eq(results[1], MBJ_INTENT_FAILED);
	ck_assert_uint_eq(results[2], MBJ_INTENT_OTHER);
	ck_assert_uint_eq(results[3], MBJ_INTENT_DONE);
	/* Nothing open, nothing different: no group. */
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 6, 0));
	ck_assert_uint_eq(intent_lab.outcome.lsn.v, 0);
}
END_TEST

/*
 * Goal: what a list of mailboxes does not show stays open: messages that came
 * in, metadata.  Method: UIDNEXT as it was, higher, not given; the mailbox
 * gone.
 */
START_TEST(resolve_messages)
{
	const struct mbj_metadata_edit step = {.kind = MBJ_METADATA_ACL,
					       .mailbox = edit_lab_id("A"),
					       .name = mbj_bytes_str("bob"),
					       .value = mbj_bytes_str("lr")};
	struct mbj_edit edit = intent_edit(MBJ_STAGE_INTENT, "acl");
	struct intent_seen seen[5];

	memcpy(seen, as_it_was, sizeof(seen));
	EDIT_LAB_OK(&intent_lab, intent_appended(MBJ_STAGE_INTENT, "in", "B"));
	ck_assert_str_eq(intent_doubts("in"), "append B>B;");
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 5, 0));
	ck_assert_uint_eq(intent_lab.outcome.intents_left, 1);
	seen[3].uidnext = 2;
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 5, 0));
	ck_assert_uint_eq(intent_lab.outcome.intents_left, 1);
	ck_assert_uint_eq(intent_open_count(), 1);
	/* The intent does not say what came out: its producer must. */
	EDIT_LAB_REFUSED(&intent_lab, intent_told(MBJ_STAGE_DONE, "in"),
			 "invalidArguments",
			 "696e0000000000000000000000000000");
	seen[3].uidnext = 1;
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 5, 0));
	ck_assert_uint_eq(intent_lab.outcome.intents_closed, 1);
	ck_assert_str_eq(intent_result(), "failed");

	EDIT_LAB_OK(&intent_lab, intent_appended(MBJ_STAGE_INTENT, "in", "B"));
	EDIT_LAB_OK(&intent_lab, intent_appended(MBJ_STAGE_DONE, "in", "B"));
	ck_assert_uint_eq(intent_lab.outcome.messages[0].uid, 1);

	EDIT_LAB_OK(&intent_lab, intent_appended(MBJ_STAGE_INTENT, "in", "S"));
	edit.kind = MBJ_EDIT_METADATA;
	edit.metadata = &step;
	edit.metadata_count = 1;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	ck_assert_str_eq(intent_doubts("acl"), "attributes A>A;");
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 4, 0));
	ck_assert_uint_eq(intent_lab.outcome.intents_closed, 1);
	ck_assert_uint_eq(intent_lab.outcome.intents_left, 1);
	ck_assert_str_eq(intent_result(), "other");
	EDIT_LAB_OK(&intent_lab, intent_told(MBJ_STAGE_DONE, "acl"));
	ck_assert_uint_eq(edit_lab_ops(&intent_lab, MBJ_OP_MAILBOX_SET_ATTR),
			  1);
	ck_assert_uint_eq(intent_open_count(), 0);
}
END_TEST

/*
 * Goal: a list does not say whether the messages of an INBOX that was renamed
 * have moved, only that they have not.  Method: the target not there, and
 * there.
 */
START_TEST(resolve_with_messages)
{
	struct intent_seen seen[6];

	memcpy(seen, as_it_was, sizeof(as_it_was));
	seen[5] = (struct intent_seen){"own", NULL, "Old", 0, 0};
	EDIT_LAB_OK(&intent_lab, intent_appended(MBJ_STAGE_NONE, "", "INBOX"));
	EDIT_LAB_OK(&intent_lab,
		    intent_renamed(MBJ_STAGE_INTENT, "i", "INBOX", "Old"));
	ck_assert_str_eq(intent_doubts("i"),
			 "create append >Old;messages INBOX>INBOX;");
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 5, intent_lab.lsn.v));
	ck_assert_str_eq(intent_result(), "failed");
	EDIT_LAB_OK(&intent_lab,
		    intent_renamed(MBJ_STAGE_INTENT, "i", "INBOX", "Old"));
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 6, intent_lab.lsn.v));
	ck_assert_uint_eq(intent_lab.outcome.intents_closed, 0);
	ck_assert_uint_eq(intent_lab.outcome.intents_left, 1);
	ck_assert_uint_eq(intent_open_count(), 1);
	ck_assert_str_eq(intent_result(), "none");
}
END_TEST

/* An intent to make a mailbox of that id at "New". */
static void creation_announce(const char *id, const char *mailbox)
{
	struct mbj_change create = {.kind = MBJ_CHANGE_CREATE,
				    .has = MBJ_CHANGE_HAS_NAME |
					   MBJ_CHANGE_HAS_PARENT,
				    .id = edit_lab_id(mailbox),
				    .name = mbj_bytes_str("New")};
	struct mbj_edit edit = intent_edit(MBJ_STAGE_INTENT, id);

	edit.kind = MBJ_EDIT_SET;
	edit.changes = &create;
	edit.change_count = 1;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
}

/*
 * Goal: a mailbox at the place of one that was to be made is not taken for it
 * where it may be another's.  Method: two intents for one place, of which the
 * list shows one by its id, or one by an id of the server's own; a mailbox that
 * was there before the list.
 */
START_TEST(resolve_rivals)
{
	struct intent_seen seen[6];

	memcpy(seen, as_it_was, sizeof(as_it_was));
	creation_announce("i1", "X1");
	creation_announce("i2", "X2");
	seen[5] = (struct intent_seen){"own", NULL, "New", 0, 0};
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 6, 0));
	ck_assert_uint_eq(intent_lab.outcome.intents_left, 2);
	/* By now it was there before the list. */
	EDIT_LAB_OK(&intent_lab, intent_told(MBJ_STAGE_FAILED, "i2"));
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 6, 0));
	ck_assert_uint_eq(intent_lab.outcome.intents_left, 1);
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 5, 0));
	ck_assert_str_eq(intent_result(), "failed");

	creation_announce("i1", "X1");
	creation_announce("i2", "X2");
	seen[5] = (struct intent_seen){"X2", NULL, "New", 0, 0};
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 6, 0));
	ck_assert_str_eq(intent_result(), "done");
	ck_assert_uint_eq(intent_lab.outcome.intents_closed, 1);
	ck_assert_uint_eq(intent_lab.outcome.intents_left, 1);
}
END_TEST

/*
 * Goal: what is no mailbox's place stays open: a list does not show it.
 * Method: a role; and messages where the server numbered a mailbox anew.
 */
START_TEST(resolve_unseen)
{
	struct mbj_change role = {.kind = MBJ_CHANGE_UPDATE,
				  .has = MBJ_CHANGE_HAS_ROLE,
				  .id = edit_lab_id("A"),
				  .role = MBJ_ROLE_ARCHIVE};
	struct mbj_edit edit = intent_edit(MBJ_STAGE_INTENT, "role");
	struct intent_seen seen[5];

	memcpy(seen, as_it_was, sizeof(seen));
	edit.kind = MBJ_EDIT_SET;
	edit.changes = &role;
	edit.change_count = 1;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 5, 0));
	ck_assert_uint_eq(intent_lab.outcome.intents_left, 1);
	EDIT_LAB_OK(&intent_lab, intent_told(MBJ_STAGE_FAILED, "role"));
	EDIT_LAB_OK(&intent_lab, intent_appended(MBJ_STAGE_INTENT, "in", "B"));
	seen[3].uidnext = 1;
	seen[3].uidvalidity =
		edit_lab_mailbox(&intent_lab, "u", "B").uidvalidity + 1;
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 5, 0));
	ck_assert_uint_eq(intent_lab.outcome.intents_left, 1);
	ck_assert_uint_eq(intent_lab.outcome.intents_closed, 0);
}
END_TEST

/*
 * Goal: UIDVALIDITY values are the server's where it says them: of mailboxes
 * that it made, of those that it moved, and where it gave another; but not
 * under messages that were known under another.  Method: each in turn.
 */
START_TEST(resolve_uidvalidity)
{
	struct mbj_change create = {.kind = MBJ_CHANGE_CREATE,
				    .has = MBJ_CHANGE_HAS_NAME |
					   MBJ_CHANGE_HAS_PARENT |
					   MBJ_CHANGE_HAS_UIDVALIDITY,
				    .id = edit_lab_id("N"),
				    .name = mbj_bytes_str("N"),
				    .uidvalidity = 4000000000};
	struct mbj_edit edit = intent_edit(MBJ_STAGE_INTENT, "i");
	struct intent_seen seen[6];
	uint32_t before;

	memcpy(seen, as_it_was, sizeof(as_it_was));
	edit.kind = MBJ_EDIT_SET;
	edit.changes = &create;
	edit.change_count = 1;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	EDIT_LAB_OK(&intent_lab, intent_told(MBJ_STAGE_DONE, "i"));
	ck_assert_uint_eq(edit_lab_mailbox(&intent_lab, "u", "N").uidvalidity,
			  4000000000);
	/* Without a stage it is nobody's to give. */
	edit.stage = MBJ_STAGE_NONE;
	create.id = edit_lab_id("O");
	create.name = mbj_bytes_str("O");
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	ck_assert_uint_eq(intent_lab.outcome.refused_count, 1);

	seen[5] = (struct intent_seen){"N", NULL, "N", 0, 0};
	before = edit_lab_mailbox(&intent_lab, "u", "A").uidvalidity;
	seen[1].uidvalidity = 5;
	EDIT_LAB_OK(&intent_lab,
		    intent_renamed(MBJ_STAGE_INTENT, "i", "A", "A2"));
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 6, 0));
	ck_assert_str_eq(intent_result(), "other");
	ck_assert_uint_ne(before, 5);
	ck_assert_uint_eq(edit_lab_mailbox(&intent_lab, "u", "A").uidvalidity,
			  5);
	ck_assert_uint_eq(edit_lab_ops(&intent_lab, MBJ_OP_MAILBOX_SET), 1);
	/* Moved where a higher value was shown: it keeps what it has. */
	seen[1].name = "B";
	seen[3].name = "A";
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 6, 0));
	ck_assert_uint_eq(edit_lab_mailbox(&intent_lab, "u", "A").uidvalidity,
			  5);
	ck_assert_str_eq(edit_lab_tree(&intent_lab, "u"),
			 "A=B B/x=A/x B=A N=N S=S");
	/* Moved, and another value: with the move. */
	seen[1].name = "C";
	seen[1].uidvalidity = 6;
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 6, 0));
	ck_assert_uint_eq(edit_lab_mailbox(&intent_lab, "u", "A").uidvalidity,
			  6);
	ck_assert_uint_eq(edit_lab_ops(&intent_lab, MBJ_OP_MAILBOX_SET), 0);
	EDIT_LAB_OK(&intent_lab, intent_appended(MBJ_STAGE_NONE, "", "A"));
	seen[1].uidvalidity = 7;
	EDIT_LAB_REFUSED(&intent_lab, intent_resolved(seen, 6, 0),
			 "mailboxHasEmail", "41000000000000000000000000000000");
	ck_assert_int_eq(intent_lab.rc, MBJ_ECONFLICT);
}
END_TEST

/* A SET of one mailbox that was there: name and UIDVALIDITY. */
static enum mbj_rc renumbered(const char *id, const char *name,
			      uint32_t uidvalidity)
{
	const struct mbj_change update = {
		.kind = MBJ_CHANGE_UPDATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_UIDVALIDITY,
		.id = edit_lab_id(id),
		.name = mbj_bytes_str(name),
		.uidvalidity = uidvalidity,
	};
	struct mbj_edit edit = intent_edit(MBJ_STAGE_INTENT, "i");
	enum mbj_rc rc;

	edit.kind = MBJ_EDIT_SET;
	edit.changes = &update;
	edit.change_count = 1;
	rc = edit_lab_run(&intent_lab, &edit);
	return rc < 0 ? rc : intent_told(MBJ_STAGE_DONE, "i");
}

/*
 * Goal: so in an outcome of a rename that is told one by one.  Method: to a
 * name that showed a higher value, with a value that it keeps; with another;
 * the same under a message.
 */
START_TEST(set_uidvalidity)
{
	uint32_t a = edit_lab_mailbox(&intent_lab, "u", "A").uidvalidity;

	EDIT_LAB_OK(&intent_lab, renumbered("B", "t", 4000000000));
	ck_assert_uint_eq(edit_lab_mailbox(&intent_lab, "u", "B").uidvalidity,
			  4000000000);
	EDIT_LAB_OK(&intent_lab, renumbered("B", "u", 4000000000));
	EDIT_LAB_OK(&intent_lab, renumbered("A", "t", a));
	ck_assert_uint_eq(edit_lab_mailbox(&intent_lab, "u", "A").uidvalidity,
			  a);
	EDIT_LAB_OK(&intent_lab, intent_appended(MBJ_STAGE_NONE, "", "A"));
	EDIT_LAB_OK(&intent_lab, renumbered("A", "v", a));
	EDIT_LAB_REFUSED(&intent_lab, renumbered("A", "w", a + 1),
			 "mailboxHasEmail", "41000000000000000000000000000000");
	ck_assert_int_eq(intent_lab.rc, MBJ_ECONFLICT);
	ck_assert_uint_eq(intent_open_count(), 0);
}
END_TEST

/*
 * Goal: no other mailbox gets a value that a server has told of one.  Method:
 * a set makes two, tells of the first the value that would be the next, and
 * leaves the second to the store.
 */
START_TEST(resolve_told_once)
{
	struct mbj_change changes[2] = {
		{.kind = MBJ_CHANGE_CREATE,
		 .has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_UIDVALIDITY,
		 .id = edit_lab_id("M"),
		 .name = mbj_bytes_str("M")},
		{.kind = MBJ_CHANGE_CREATE,
		 .has = MBJ_CHANGE_HAS_NAME,
		 .id = edit_lab_id("N"),
		 .name = mbj_bytes_str("N")},
	};
	struct mbj_edit edit = intent_edit(MBJ_STAGE_INTENT, "i");
	uint32_t last = edit_lab_account(&intent_lab, "u").uidvalidity_last;

	changes[0].uidvalidity = last + 1;
	edit.kind = MBJ_EDIT_SET;
	edit.changes = changes;
	edit.change_count = 2;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	EDIT_LAB_OK(&intent_lab, intent_told(MBJ_STAGE_DONE, "i"));
	ck_assert_uint_eq(edit_lab_mailbox(&intent_lab, "u", "M").uidvalidity,
			  last + 1);
	ck_assert_uint_eq(edit_lab_mailbox(&intent_lab, "u", "N").uidvalidity,
			  last + 2);
}
END_TEST

/* INBOX's mailbox becomes "old", N becomes INBOX; count 1: only the first. */
static enum mbj_rc inbox_given(enum mbj_intent_stage stage, size_t count)
{
	const struct mbj_change changes[] = {
		{.kind = MBJ_CHANGE_UPDATE,
		 .has = MBJ_CHANGE_HAS_NAME,
		 .id = edit_lab_id("INBOX"),
		 .name = mbj_bytes_str("old")},
		{.kind = MBJ_CHANGE_CREATE,
		 .has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		 .id = edit_lab_id("N"),
		 .name = mbj_bytes_str("INBOX")},
	};
	struct mbj_edit edit = intent_edit(stage, stage ? "i" : "");

	edit.kind = MBJ_EDIT_SET;
	edit.changes = changes;
	edit.change_count = count;
	return edit_lab_run(&intent_lab, &edit);
}

/* The name of a mailbox at the top. */
static const char *inbox_path(const char *id)
{
	static char name[MBJ_NAME_MAX + 1];
	struct mbj_mailbox mailbox = edit_lab_mailbox(&intent_lab, "u", id);

	(void)snprintf(name, sizeof(name), "%.*s", (int)mailbox.name.stored.n,
		       (const char *)mailbox.name.stored.p);
	return name;
}

/*
 * Goal: a server with a storage of its own says which mailbox is INBOX, and
 * there always is one; nobody else says it.  Method: INBOX's mailbox gets a
 * name, with and without a successor; not done, done, told by lists only;
 * another mailbox in its place; one that goes.
 */
START_TEST(resolve_inbox)
{
	struct mbj_change gone = {.kind = MBJ_CHANGE_DESTROY,
				  .id = edit_lab_id("N")};
	struct mbj_edit edit = intent_edit(MBJ_STAGE_INTENT, "i");
	struct intent_seen seen[6];

	memcpy(seen, as_it_was, sizeof(as_it_was));
	EDIT_LAB_OK(&intent_lab, inbox_given(MBJ_STAGE_NONE, 2));
	ck_assert_uint_eq(intent_lab.outcome.refused_count, 2);
	EDIT_LAB_REFUSED(&intent_lab, inbox_given(MBJ_STAGE_INTENT, 1),
			 "forbidden", "INBOX");
	EDIT_LAB_OK(&intent_lab, inbox_given(MBJ_STAGE_INTENT, 2));
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 5, 0));
	ck_assert_str_eq(intent_result(), "failed");

	EDIT_LAB_OK(&intent_lab, inbox_given(MBJ_STAGE_INTENT, 2));
	EDIT_LAB_OK(&intent_lab, intent_told(MBJ_STAGE_DONE, "i"));
	ck_assert_str_eq(inbox_path("INBOX"), "old");
	ck_assert_str_eq(inbox_path("N"), "INBOX");
	/* By a list alone: they change places. */
	seen[5] = (struct intent_seen){"N", NULL, "t", 0, 0};
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 6, 0));
	ck_assert_str_eq(inbox_path("INBOX"), "INBOX");
	ck_assert_str_eq(inbox_path("N"), "t");
	/* One that the list leaves out yields to one that it names, */
	seen[0].id = "J";
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 6, 0));
	ck_assert_str_eq(inbox_path("J"), "INBOX");
	/* or else stays; but gives no name away without a successor. */
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen + 1, 5, 0));
	ck_assert_str_eq(inbox_path("J"), "INBOX");
	seen[0].name = "u";
	EDIT_LAB_REFUSED(&intent_lab, intent_resolved(seen, 6, 0), "forbidden",
			 "INBOX");
	edit.kind = MBJ_EDIT_SET;
	edit.changes = &gone;
	edit.change_count = 1;
	gone.id = edit_lab_id("J");
	EDIT_LAB_REFUSED(&intent_lab, edit_lab_run(&intent_lab, &edit),
			 "forbidden", "INBOX");
}
END_TEST

/*
 * Goal: a mailbox that was INBOX is found where it goes, where case does not
 * count, too.  Method: an account that folds case; a server has another INBOX
 * and the first below A, under the name that it had; a path leads to it.
 */
START_TEST(resolve_inbox_folded)
{
	const struct mbj_change changes[] = {
		{.kind = MBJ_CHANGE_CREATE,
		 .has = MBJ_CHANGE_HAS_NAME,
		 .id = edit_lab_id("INBOX"),
		 .name = mbj_bytes_str("INBOX")},
		{.kind = MBJ_CHANGE_CREATE,
		 .has = MBJ_CHANGE_HAS_NAME,
		 .id = edit_lab_id("A"),
		 .name = mbj_bytes_str("A")},
		{.kind = MBJ_CHANGE_UPDATE,
		 .has = MBJ_CHANGE_HAS_PARENT,
		 .id = edit_lab_id("INBOX"),
		 .parent = edit_lab_id("A")},
		{.kind = MBJ_CHANGE_CREATE,
		 .has = MBJ_CHANGE_HAS_NAME,
		 .id = edit_lab_id("N"),
		 .name = mbj_bytes_str("INBOX")},
	};
	struct mbj_edit edit = intent_edit(MBJ_STAGE_NONE, "");

	edit.account = mbj_bytes_str("f");
	edit.kind = MBJ_EDIT_IMPORT;
	edit.policy = (struct mbj_name_policy){true, '/'};
	edit.changes = changes;
	edit.change_count = 2;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	edit = intent_edit(MBJ_STAGE_INTENT, "i");
	edit.account = mbj_bytes_str("f");
	edit.kind = MBJ_EDIT_SET;
	edit.changes = changes + 2;
	edit.change_count = 2;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	edit.stage = MBJ_STAGE_DONE;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	EDIT_LAB_OK(&intent_lab,
		    edit_lab_rename(&intent_lab, "f", "a/inbox>old"));
}
END_TEST

/*
 * Goal: what lies below an INBOX that yields its place lies nowhere, and is
 * refused.  Method: a list that leaves INBOX out, has another one in its place
 * and a mailbox below the first.
 */
START_TEST(resolve_inbox_below)
{
	struct intent_seen seen[6];

	memcpy(seen, as_it_was, sizeof(as_it_was));
	seen[0].id = "J";
	seen[1].parent = "INBOX";
	EDIT_LAB_REFUSED(&intent_lab, intent_resolved(seen, 5, 0),
			 "invalidProperties",
			 "41000000000000000000000000000000");
	ck_assert_str_eq(intent_lab.error.subject_kind, "parentId");
	/* Where it stays, they do. */
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen + 1, 4, 0));
	ck_assert_str_eq(inbox_path("INBOX"), "INBOX");
}
END_TEST

/* An APPEND with a GUID is in doubt as one without. */
START_TEST(resolve_guid)
{
	const struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					      .mailbox = edit_lab_id("B"),
					      .size = 5,
					      .blob = {{7}},
					      .guid = mbj_bytes_str("g")};
	struct mbj_edit edit = intent_edit(MBJ_STAGE_INTENT, "in");

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = &step;
	edit.message_count = 1;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	ck_assert_str_eq(intent_doubts("in"), "append B>B;");
}
END_TEST

TCase *test_intent_resolve_case(void)
{
	TCase *tc = tcase_create("intent_resolve");

	tcase_add_checked_fixture(tc, intent_lab_begin, intent_lab_end);
	tcase_add_test(tc, resolve_results);
	tcase_add_test(tc, resolve_messages);
	tcase_add_test(tc, resolve_guid);
	tcase_add_test(tc, resolve_with_messages);
	tcase_add_test(tc, resolve_rivals);
	tcase_add_test(tc, resolve_unseen);
	tcase_add_test(tc, resolve_uidvalidity);
	tcase_add_test(tc, set_uidvalidity);
	tcase_add_test(tc, resolve_told_once);
	tcase_add_test(tc, resolve_inbox);
	tcase_add_test(tc, resolve_inbox_folded);
	tcase_add_test(tc, resolve_inbox_below);
	return tc;
}
