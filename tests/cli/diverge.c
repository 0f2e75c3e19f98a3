/*
 * mbj_diverge REPLICA ACCOUNT MAILBOXID NAME
 * mbj_diverge REPLICA ACCOUNT MAILBOXID %UID|!UID|!
 * mbj_diverge REPLICA ACCOUNT +NAME|-NAME
 * mbj_diverge REPLICA ACCOUNT =GROUP
 *
 * Renames a mailbox, or flags or expunges a message, or deletes a mailbox, or
 * subscribes a name or no longer, or says that a group waits for the account,
 * in a replica's state behind its journal's back: what a bug or a repaired page
 * would leave.  No verb can do that, and without it nothing is ever parked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/message.h>
#include <mbj/replay.h>
#include <mbj/state.h>

static void must(enum mbj_rc rc, const struct mbj_error *err)
{
	if (rc == MBJ_OK)
		return;
	(void)fprintf(stderr, "mbj_diverge: %s\n", err->message);
	exit(EXIT_FAILURE);
}

static void move(struct mbj_txn *txn, char **argv)
{
	struct mbj_account account;
	struct mbj_mailbox mailbox;
	struct mbj_error err;
	struct mbj_slot from;
	struct mbj_slot to;
	struct mbj_id id;

	must(mbj_txn_account_find(txn, mbj_bytes_str(argv[2]), &account, &err),
	     &err);
	if (!mbj_id_parse(mbj_bytes_str(argv[3]), &id))
		must(mbj_error_set(&err, MBJ_EINVALID, "not an id"), &err);
	must(mbj_txn_mailbox_get(txn, account.id, id, &mailbox, &err), &err);
	from = (struct mbj_slot){mailbox.parent, mailbox.name};
	to.parent = mailbox.parent;
	to.name.stored = mbj_bytes_str(argv[4]);
	to.name.key = to.name.stored;
	must(mbj_txn_mailbox_move(txn, account.id, id, mailbox.rev, &from, &to,
				  0, &err),
	     &err);
}

static void flag_or_expunge(struct mbj_txn *txn, struct mbj_id account,
			    struct mbj_id mailbox, const char *uid_text)
{
	uint32_t uid = (uint32_t)strtoul(uid_text + 1, NULL, 10);
	struct mbj_flags_change change = {.mode = MBJ_FLAGS_ADD,
					  .flags = MBJ_FLAG_FLAGGED};
	struct mbj_content content;
	struct mbj_error err;
	struct mbj_buf uids;

	mbj_buf_init(&uids, 1024);
	mbj_uids_put(&uids, uid, uid);
	change.uids = mbj_buf_view(&uids);
	must(mbj_txn_content_get(txn, account, mailbox, &content, &err), &err);
	change.modseq = content.modseq;
	if (uid_text[0] == '%')
		must(mbj_txn_message_flags(txn, account, mailbox, content.rev,
					   &change, &err),
		     &err);
	else
		must(mbj_txn_message_expunge(txn, account, mailbox, content.rev,
					     change.uids, content.modseq,
					     (struct mbj_lsn){1}, &err),
		     &err);
	mbj_buf_done(&uids);
}

/* A message, or the mailbox as a whole. */
static void content(struct mbj_txn *txn, char **argv)
{
	struct mbj_account account;
	struct mbj_mailbox mailbox;
	struct mbj_error err;
	struct mbj_slot from;
	struct mbj_id id;

	must(mbj_txn_account_find(txn, mbj_bytes_str(argv[2]), &account, &err),
	     &err);
	if (!mbj_id_parse(mbj_bytes_str(argv[3]), &id))
		must(mbj_error_set(&err, MBJ_EINVALID, "not an id"), &err);
	if (strcmp(argv[4], "!") != 0) {
		flag_or_expunge(txn, account.id, id, argv[4]);
		return;
	}
	must(mbj_txn_mailbox_get(txn, account.id, id, &mailbox, &err), &err);
	from = (struct mbj_slot){mailbox.parent, mailbox.name};
	must(mbj_txn_mailbox_delete(txn, account.id, id, mailbox.rev, &from,
				    (struct mbj_lsn){1}, &err),
	     &err);
}

static void subscribe(struct mbj_txn *txn, char **argv)
{
	struct mbj_bytes name = mbj_bytes_str(argv[3] + 1);
	const struct mbj_path path = {name, name};
	struct mbj_account account;
	struct mbj_error err;

	must(mbj_txn_account_find(txn, mbj_bytes_str(argv[2]), &account, &err),
	     &err);
	must(argv[3][0] == '+'
		     ? mbj_txn_subscribe(txn, account.id, &path, &err)
		     : mbj_txn_unsubscribe(txn, account.id, &path, &err),
	     &err);
}

static void park(struct mbj_txn *txn, char **argv)
{
	struct mbj_parked parked = {.count = 1,
				    .reason = mbj_bytes_str("by hand")};
	struct mbj_account account;
	struct mbj_error err;

	must(mbj_txn_account_find(txn, mbj_bytes_str(argv[2]), &account, &err),
	     &err);
	parked.account = account.id;
	parked.first.v = strtoull(argv[3] + 1, NULL, 10);
	parked.last = parked.first;
	must(mbj_txn_parked_set(txn, &parked, &err), &err);
}

int main(int argc, char **argv)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct mbj_state *state = NULL;
	struct mbj_identity identity;
	struct mbj_txn *txn = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error err;

	if (argc != 4 && argc != 5)
		return EXIT_FAILURE;
	must(mbj_identity_load(mbj_sys_posix(), argv[1], &identity, &err),
	     &err);
	must(mbj_path_join(path, argv[1], "state", &err), &err);
	must(mbj_state_open(mbj_sys_posix(), path, identity.lineage, &options,
			    &state, &err),
	     &err);
	must(mbj_txn_begin(state, &txn, &err), &err);
	if (argc == 5 && strchr("%!", argv[4][0]) != NULL)
		content(txn, argv);
	else if (argc == 5)
		move(txn, argv);
	else if (argv[3][0] == '=')
		park(txn, argv);
	else
		subscribe(txn, argv);
	must(mbj_txn_commit(&txn, &err), &err);
	mbj_state_close(&state);
	return EXIT_SUCCESS;
}
