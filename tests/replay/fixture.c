/*
 * The fixture of the tests of replay/.
 */
#include <stdio.h>
#include <string.h>

#include "fixture.h"

void fixture_begin(struct fixture *f)
{
	fixture_begin_with(f, NULL);
}

void fixture_begin_with(struct fixture *f,
			const struct mbj_store_options *options)
{
	memset(f, 0, sizeof(*f));
	f->options = options;
	f->tmpdir = test_tmpdir_new();
	OK(mbj_path_join(f->primary_dir, f->tmpdir, "p", err));
	OK(mbj_path_join(f->replica_dir, f->tmpdir, "r", err));
	OK(mbj_store_init(f->primary_dir, MBJ_STORE_PRIMARY, options, err));
	OK(mbj_store_init(f->replica_dir, MBJ_STORE_REPLICA, options, err));
	OK(mbj_replica_open(f->primary_dir, f->options, &f->primary, err));
	OK(mbj_replica_open(f->replica_dir, f->options, &f->replica, err));
}

void fixture_begin_two(struct fixture *f)
{
	fixture_begin(f);
	fixture_import(f, "alice", 4);
	fixture_import(f, "bob", 4);
}

void fixture_end(struct fixture *f)
{
	mbj_store_close(&f->primary);
	mbj_store_close(&f->replica);
	test_tmpdir_free(&f->tmpdir);
}

struct mbj_id fixture_id(uint8_t number)
{
	struct mbj_id id = MBJ_ID_ROOT;

	id.b[MBJ_ID_SIZE - 1] = number;
	return id;
}

void fixture_import(struct fixture *f, const char *account, uint8_t count)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};
	struct mbj_change changes[256];
	char names[256][8];

	for (uint8_t i = 0; i < count; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "m%d", i + 1);
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = fixture_id((uint8_t)(i + 1)),
			.name = mbj_bytes_str(i == 0 ? "INBOX" : names[i]),
		};
	}
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str(account);
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = count;
	OK(mbj_store_submit(f->primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

void fixture_rename(struct fixture *f, const char *account, const char *source,
		    const char *target)
{
	const struct mbj_rename rename = {mbj_bytes_str(source),
					  mbj_bytes_str(target)};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};

	edit.kind = MBJ_EDIT_RENAME;
	edit.account = mbj_bytes_str(account);
	edit.renames = &rename;
	edit.rename_count = 1;
	OK(mbj_store_submit(f->primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

struct mbj_id fixture_account(struct mbj_store *store, const char *account)
{
	struct mbj_account found;
	struct mbj_txn *txn = NULL;

	OK(mbj_store_read(store, &txn, err));
	OK(mbj_txn_account_find(txn, mbj_bytes_str(account), &found, err));
	mbj_txn_abort(&txn);
	return found.id;
}

void fixture_name(struct mbj_store *store, const char *account,
		  struct mbj_id mailbox, char text[MBJ_NAME_MAX + 1])
{
	struct mbj_id id = fixture_account(store, account);
	struct mbj_mailbox found;
	struct mbj_txn *txn = NULL;

	OK(mbj_store_read(store, &txn, err));
	OK(mbj_txn_mailbox_get(txn, id, mailbox, &found, err));
	(void)snprintf(text, MBJ_NAME_MAX + 1, "%.*s", (int)found.name.stored.n,
		       (const char *)found.name.stored.p);
	mbj_txn_abort(&txn);
}

struct mbj_replay_result fixture_replay(struct fixture *f)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;

	OK(mbj_replay_journal(f->replica, f->primary_dir, &options, &result,
			      err));
	return result;
}

/* The replica's state by itself, its store closed. */
static struct mbj_state *state_open(struct fixture *f)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct mbj_identity identity = *mbj_store_identity(f->replica);
	struct mbj_state *state = NULL;
	char path[MBJ_PATH_TEXT_MAX];

	if (f->options != NULL)
		options = f->options->state;
	mbj_store_close(&f->replica);
	OK(mbj_path_join(path, f->replica_dir, "state", err));
	OK(mbj_state_open(mbj_sys_posix(), path, identity.lineage, &options,
			  &state, err));
	return state;
}

void fixture_park(struct fixture *f, struct mbj_id account, const char *reason)
{
	struct mbj_parked parked = {.account = account,
				    .first = {1},
				    .last = {1},
				    .count = 1,
				    .reason = mbj_bytes_str(reason)};
	struct mbj_state *state = state_open(f);
	struct mbj_txn *txn = NULL;

	OK(mbj_txn_begin(state, &txn, err));
	OK(mbj_txn_parked_set(txn, &parked, err));
	OK(mbj_txn_commit(&txn, err));
	mbj_state_close(&state);
	OK(mbj_replica_open(f->replica_dir, f->options, &f->replica, err));
}

void fixture_diverge(struct fixture *f, const char *account,
		     struct mbj_id mailbox, const char *name)
{
	struct mbj_id id = fixture_account(f->replica, account);
	struct mbj_state *state = state_open(f);
	struct mbj_mailbox found;
	struct mbj_slot from;
	struct mbj_slot to;
	struct mbj_txn *txn = NULL;

	OK(mbj_txn_begin(state, &txn, err));
	OK(mbj_txn_mailbox_get(txn, id, mailbox, &found, err));
	from = (struct mbj_slot){found.parent, found.name};
	to.parent = found.parent;
	to.name.stored = mbj_bytes_str(name);
	to.name.key = to.name.stored;
	OK(mbj_txn_mailbox_move(txn, id, mailbox, found.rev, &from, &to, 0,
				err));
	OK(mbj_txn_commit(&txn, err));
	mbj_state_close(&state);
	OK(mbj_replica_open(f->replica_dir, f->options, &f->replica, err));
}

void fixture_diverge_primary(struct fixture *f, const char *account,
			     struct mbj_id mailbox, const char *name)
{
	struct fixture turned = *f;

	turned.replica = f->primary;
	memcpy(turned.replica_dir, f->primary_dir, sizeof(f->primary_dir));
	fixture_diverge(&turned, account, mailbox, name);
	f->primary = turned.replica;
}

uint64_t fixture_differences(struct fixture *f,
			     struct mbj_verify_totals *ret_totals)
{
	struct mbj_verify *verify = NULL;
	struct mbj_difference difference;
	struct mbj_error last;
	uint64_t count = 0;

	OK(mbj_verify_begin(f->primary, f->replica, &verify, err));
	while (mbj_verify_next(verify, &difference, &last) == MBJ_OK) {
		ck_assert_str_ne(difference.text, "");
		count++;
	}
	mbj_verify_totals_get(verify, ret_totals);
	mbj_verify_end(&verify);
	return count;
}
