/*
 * intent STORE ACCOUNT DIR [FROM TO [intent|rename]]
 *
 * A server with a mail storage of its own, as small as one can be: DIR has a
 * directory for each folder, and in it a file "id" with the folder's MAILBOXID.
 * mbj cannot rename a directory in the same transaction as a mailbox, so each
 * rename is told before (an intent) and after (its outcome).
 *
 * At each start the account is made where there is none, and intents that an
 * earlier run left open are resolved: by what DIR has, not by guessing.  Then
 * FROM is renamed to TO.  With a fifth argument the program kills itself behind
 * that step, as a power cut would.
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/mbj.h>

enum { FOLDERS_MAX = 100, NAME_MAX_ = 255 };

struct storage {
	const char *dir;
	char names[FOLDERS_MAX][NAME_MAX_ + 1];
	struct mbj_change changes[FOLDERS_MAX];
	size_t count;
};

static enum mbj_rc fail(struct mbj_error *err, const char *what)
{
	memset(err, 0, sizeof(*err));
	err->rc = MBJ_EIO;
	(void)snprintf(err->message, sizeof(err->message), "%.400s", what);
	return MBJ_EIO;
}

/* The folder's id, from its file. */
static enum mbj_rc id_read(const char *dir, const char *name,
			   struct mbj_id *ret_id, struct mbj_error *err)
{
	char path[4096], text[33] = "";
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s/id", dir, name);
	file = fopen(path, "r");
	if (file == NULL)
		return fail(err, path);
	if (fread(text, 1, 32, file) != 32 ||
	    !mbj_id_parse(mbj_bytes_str(text), ret_id)) {
		(void)fclose(file);
		return fail(err, path);
	}
	return fclose(file) == 0 ? MBJ_OK : fail(err, path);
}

/* What the storage has: the list that a reconciliation wants. */
static enum mbj_rc storage_read(struct storage *s, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;
	DIR *dir = opendir(s->dir);
	struct dirent *entry;

	s->count = 0;
	if (dir == NULL)
		return fail(err, s->dir);
	while (rc == MBJ_OK && (entry = readdir(dir)) != NULL) {
		struct mbj_change *change = &s->changes[s->count];
		char *name = s->names[s->count];

		if (entry->d_name[0] == '.')
			continue;
		if (s->count == FOLDERS_MAX) {
			rc = fail(err, "more folders than this is made for");
			break;
		}
		(void)snprintf(name, NAME_MAX_ + 1, "%s", entry->d_name);
		*change = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.name = mbj_bytes_str(name),
		};
		rc = id_read(s->dir, name, &change->id, err);
		s->count++;
	}
	(void)closedir(dir);
	return rc;
}

/* IMPORT makes the account; RECONCILE settles what an earlier run left. */
static enum mbj_rc storage_tell(struct mbj_client *client, struct storage *s,
				struct mbj_bytes account,
				enum mbj_edit_kind kind, struct mbj_lsn state,
				struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	enum mbj_rc rc = storage_read(s, err);

	if (rc < 0)
		return rc;
	edit.kind = kind;
	edit.account = account;
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = s->changes;
	edit.change_count = s->count;
	if (kind == MBJ_EDIT_RECONCILE) {
		edit.stage = MBJ_STAGE_RESOLVE;
		/* Read before the storage was: nothing is judged by an older
		 * list than its intent. */
		edit.has_if_in_state = true;
		edit.if_in_state = state;
	}
	rc = mbj_client_submit(client, &edit, &outcome, err);
	if (rc == MBJ_OK && kind == MBJ_EDIT_RECONCILE)
		(void)printf("%llu intents resolved\n",
			     (unsigned long long)outcome.intents_closed);
	mbj_outcome_done(&outcome);
	return rc;
}

static enum mbj_rc start(struct mbj_client *client, struct storage *s,
			 struct mbj_bytes account, struct mbj_error *err)
{
	struct mbj_client_intents open = {.count = 0};
	struct mbj_account found;
	enum mbj_rc rc;

	rc = mbj_client_account(client, account, &found, err);
	if (rc == MBJ_ENOTFOUND)
		return storage_tell(client, s, account, MBJ_EDIT_IMPORT,
				    (struct mbj_lsn){0}, err);
	if (rc == MBJ_OK)
		rc = mbj_client_intents(client, account, &open, err);
	if (rc == MBJ_OK && open.count > 0)
		rc = storage_tell(client, s, account, MBJ_EDIT_RECONCILE,
				  found.lsn, err);
	mbj_client_intents_done(&open);
	return rc;
}

/* One stage of the rename; the id of its intent is the first's to say. */
static enum mbj_rc stage(struct mbj_client *client, struct mbj_edit *edit,
			 enum mbj_intent_stage which, struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	enum mbj_rc rc;

	edit->stage = which;
	rc = mbj_client_submit(client, edit, &outcome, err);
	if (rc == MBJ_OK)
		edit->intent = outcome.intent;
	mbj_outcome_done(&outcome);
	return rc;
}

static enum mbj_rc folder_rename(struct mbj_client *client, const char *dir,
				 struct mbj_bytes account, const char *from,
				 const char *to, const char *dies_behind,
				 struct mbj_error *err)
{
	const struct mbj_rename names = {mbj_bytes_str(from),
					 mbj_bytes_str(to)};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	char path[2][4096];
	enum mbj_rc rc;

	edit.kind = MBJ_EDIT_RENAME;
	edit.account = account;
	edit.renames = &names;
	edit.rename_count = 1;
	edit.producer = mbj_bytes_str("example");
	(void)snprintf(path[0], sizeof(path[0]), "%s/%s", dir, from);
	(void)snprintf(path[1], sizeof(path[1]), "%s/%s", dir, to);
	/* Refused here, nothing has happened: the client is told NO. */
	rc = stage(client, &edit, MBJ_STAGE_INTENT, err);
	if (rc < 0)
		return rc;
	if (strcmp(dies_behind, "intent") == 0)
		(void)raise(SIGKILL);
	if (rename(path[0], path[1]) != 0) {
		edit.kind = MBJ_EDIT_INTENT;
		rc = stage(client, &edit, MBJ_STAGE_FAILED, err);
		return rc < 0 ? rc : fail(err, "the directory stays");
	}
	if (strcmp(dies_behind, "rename") == 0)
		(void)raise(SIGKILL);
	return stage(client, &edit, MBJ_STAGE_DONE, err);
}

int main(int argc, char **argv)
{
	struct mbj_client *client = NULL;
	struct storage *storage;
	struct mbj_bytes account;
	struct mbj_error err;
	enum mbj_rc rc;

	if (argc != 4 && argc != 6 && argc != 7) {
		(void)fprintf(stderr, "intent STORE ACCOUNT DIR "
				      "[FROM TO [intent|rename]]\n");
		return 2;
	}
	storage = calloc(1, sizeof(*storage));
	if (storage == NULL)
		return 1;
	storage->dir = argv[3];
	account = mbj_bytes_str(argv[2]);
	rc = mbj_client_open(argv[1], &client, &err);
	if (rc == MBJ_OK)
		rc = start(client, storage, account, &err);
	if (rc == MBJ_OK && argc > 4)
		rc = folder_rename(client, argv[3], account, argv[4], argv[5],
				   argc > 6 ? argv[6] : "", &err);
	mbj_client_close(&client);
	free(storage);
	if (rc < 0)
		(void)fprintf(stderr, "intent: %s\n", err.message);
	return rc < 0;
}
