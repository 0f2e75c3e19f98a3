/*
 * mbj import --mbox: one mbox into a mailbox, or a directory of them, each file
 * a mailbox, into an account.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include <mbj/check.h>

#include "mail.h"

/* ------------------------------------------------------------- mailboxes */

/* A mailbox's path from an operand: components apart. */
static enum mbj_rc path_read(struct mail_import *m, const char *text,
			     char delimiter, struct mbj_buf *ret_path)
{
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_clear(ret_path);
	if (m->utf7 == NULL)
		mbj_buf_put_str(ret_path, text);
	else
		rc = mbj_utf7_decode(m->utf7, mbj_bytes_str(text), ret_path,
				     &m->s.err);
	for (size_t i = 0; rc == MBJ_OK && i < ret_path->n; i++)
		if (ret_path->p[i] == (uint8_t)delimiter)
			ret_path->p[i] = '\0';
	return rc == MBJ_OK ? mbj_buf_ok(ret_path, &m->s.err) : rc;
}

/* What is below a directory: relative paths of directories to look into. */
struct walk {
	const char *root;
	struct mbj_buf dirs; /* NUL-terminated, those before at are done */
	size_t at;
	struct mbj_buf path;
};

static enum mbj_rc mode_get(struct mail_import *m, const char *place,
			    mode_t *ret_mode)
{
	uid_t uid;
	int rc = m->sys->stat(m->sys->ctx, place, ret_mode, &uid);

	return rc < 0 ? mbj_error_errno(&m->s.err, -rc, "cannot look at", place)
		      : MBJ_OK;
}

/* One entry: below is its path under the root. */
static enum mbj_rc entry_take(struct mail_import *m, struct walk *walk,
			      const char *place, const char *below)
{
	struct mail_folder *folder;
	mode_t mode = 0;
	enum mbj_rc rc = mode_get(m, place, &mode);

	if (rc == MBJ_OK && S_ISDIR(mode)) {
		mbj_buf_put(&walk->dirs, below, strlen(below) + 1);
		return mbj_buf_ok(&walk->dirs, &m->s.err);
	}
	if (rc == MBJ_OK && !S_ISREG(mode))
		rc = mbj_error_set(&m->s.err, MBJ_EINVALID, "it is no file");
	/* On disk it is '/' that separates, whatever the account has. */
	if (rc == MBJ_OK)
		rc = path_read(m, below, '/', &walk->path);
	if (rc == MBJ_OK)
		return mail_folders_add(&m->folders, mbj_buf_view(&walk->path),
					place, &folder, &m->s.err);
	if (rc == MBJ_ENOMEM)
		return rc;
	mail_left_out(&m->report, place, "%s", m->s.err.message);
	return MBJ_OK;
}

/* The entries of one directory; below "" is the root. */
static enum mbj_rc dir_take(struct mail_import *m, struct walk *walk,
			    const char *below)
{
	char dir[MBJ_PATH_TEXT_MAX], place[MBJ_PATH_TEXT_MAX];
	char next[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	enum mbj_rc rc;

	mbj_buf_init(&names, MBJ_MAILDIR_LIST_MAX);
	rc = mbj_path_join(dir, walk->root, below, &m->s.err);
	if (rc == MBJ_OK)
		rc = mbj_dir_list(m->sys, dir, &names, &m->s.err);
	if (rc < 0 && rc != MBJ_ENOMEM && below[0] != '\0') {
		mail_left_out(&m->report, dir, "%s", m->s.err.message);
		rc = MBJ_OK;
	}
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		if (name[0] == '.')
			continue;
		if (below[0] == '\0')
			rc = mbj_path_join(place, walk->root, name, &m->s.err);
		else
			rc = mbj_path_join(place, dir, name, &m->s.err);
		if (rc == MBJ_OK && below[0] != '\0')
			rc = mbj_path_join(next, below, name, &m->s.err);
		if (rc == MBJ_OK)
			rc = entry_take(m, walk, place,
					below[0] != '\0' ? next : name);
	}
	mbj_buf_done(&names);
	return rc;
}

static enum mbj_rc folders_find(struct mail_import *m, const char *root)
{
	struct walk walk = {.root = root};
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&walk.dirs, MBJ_MAILDIR_LIST_MAX);
	mbj_buf_init(&walk.path, 4 * MBJ_PATH_MAX);
	mbj_buf_put_str(&walk.dirs, "");
	mbj_buf_put_u8(&walk.dirs, 0);
	while (rc == MBJ_OK && walk.at < walk.dirs.n) {
		const char *dir = (const char *)walk.dirs.p + walk.at;
		size_t size = strlen(dir) + 1;
		char *below = mbj_arena_alloc(m->folders.arena, size);

		if (below == NULL) {
			rc = mbj_error_nomem(&m->s.err);
			break;
		}
		/* The buffer moves while entries are put into it. */
		memcpy(below, dir, size);
		walk.at += size;
		rc = dir_take(m, &walk, below);
	}
	mbj_buf_done(&walk.dirs);
	mbj_buf_done(&walk.path);
	return rc;
}

/* A file into the mailbox that is named, or INBOX. */
static enum mbj_rc folder_named(struct mail_import *m, const char *place)
{
	const struct cli_call *call = m->s.call;
	struct mail_folder *folder;
	struct mbj_account account;
	struct mbj_txn *txn = NULL;
	struct mbj_buf path;
	enum mbj_rc rc;

	/* How it is written is the account's, where there is one. */
	rc = mbj_store_read(m->s.store, &txn, &m->s.err);
	if (rc == MBJ_OK)
		rc = mbj_txn_account_find(txn, m->s.edit.account, &account,
					  &m->s.err);
	if (rc == MBJ_OK)
		rc = session_policy_take(&m->s, &account);
	mbj_txn_abort(&txn);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	mbj_buf_init(&path, 4 * MBJ_PATH_MAX);
	rc = path_read(m, call->operand_count > 2 ? call->operands[2] : "INBOX",
		       m->s.edit.policy.delimiter, &path);
	if (rc == MBJ_OK)
		rc = mail_folders_add(&m->folders, mbj_buf_view(&path), place,
				      &folder, &m->s.err);
	mbj_buf_done(&path);
	return rc;
}

/* -------------------------------------------------------------- messages */

/* The run over one file. */
struct file_run {
	struct mail_import *m;
	const struct mail_folder *folder;
	struct mail_target *target;
	struct mbj_mbox *mbox;
	struct mail_body body;
	bool is_open;	/* body was begun */
	bool is_bad;	/* the message on its way is left out */
	int64_t mtime;	/* of the file */
	uint64_t count; /* messages seen */
	uint64_t words_bad;
	uint64_t separators_bare;
};

static void message_bad(struct file_run *run, const char *why)
{
	char where[MBJ_PATH_TEXT_MAX + 64];

	(void)snprintf(where, sizeof(where), "%s, byte %" PRIu64,
		       run->folder->place, mbj_mbox_message(run->mbox)->offset);
	mail_left_out(&run->m->report, where, "%s", why);
	mail_body_abort(&run->body);
	run->is_open = false;
	run->is_bad = true;
}

static enum mbj_rc message_end(struct file_run *run)
{
	const struct mbj_mbox_message *found = mbj_mbox_message(run->mbox);
	struct mbj_message message = {
		.flags = found->flags,
		.keywords = found->keywords,
		.time = found->has_time ? found->time : run->mtime,
	};
	struct mbj_error *err = &run->m->s.err;
	bool is_full = false;
	enum mbj_rc rc;

	run->count++;
	run->words_bad += found->keywords_bad;
	run->separators_bare += found->separators_bare;
	if (run->is_bad)
		return MBJ_OK;
	if (run->body.size == 0) {
		message_bad(run, "it is empty");
		return MBJ_OK;
	}
	run->is_open = false;
	rc = mail_body_finish(&run->body, &message.blob, &message.size, err);
	if (rc == MBJ_OK)
		rc = mail_target_append(run->target, 0, &message, &is_full);
	if (is_full)
		message_bad(run, err->message);
	return rc;
}

static enum mbj_rc event_take(struct file_run *run, enum mbj_mbox_event event,
			      struct mbj_bytes bytes)
{
	struct mbj_error *err = &run->m->s.err;
	enum mbj_rc rc = MBJ_OK;

	switch (event) {
	case MBJ_MBOX_BEGIN:
		run->is_bad = false;
		rc = mail_body_begin(&run->body, run->m->blobs, err);
		run->is_open = rc == MBJ_OK;
		break;
	case MBJ_MBOX_BODY:
		if (!run->is_bad)
			rc = mail_body_write(&run->body, bytes, err);
		if (rc == MBJ_ELIMIT) {
			message_bad(run, err->message);
			rc = MBJ_OK;
		}
		break;
	case MBJ_MBOX_END:
		rc = message_end(run);
		break;
	case MBJ_MBOX_NONE:
		mail_left_out(&run->m->report, run->folder->place,
			      "it is no mbox: it does not begin with a line "
			      "like \"From somebody@example.org Thu Nov 26 "
			      "08:40:34 2026\"");
		break;
	case MBJ_MBOX_MORE:
		break;
	}
	return rc;
}

/* All events of what was fed. */
static enum mbj_rc events_take(struct file_run *run, bool *ret_is_none)
{
	enum mbj_mbox_event event;
	struct mbj_bytes bytes = {NULL, 0};
	enum mbj_rc rc;

	do {
		event = mbj_mbox_next(run->mbox, &bytes);
		rc = event_take(run, event, bytes);
	} while (rc == MBJ_OK && event != MBJ_MBOX_MORE &&
		 event != MBJ_MBOX_NONE);
	*ret_is_none = event == MBJ_MBOX_NONE;
	return rc;
}

static enum mbj_rc file_read(struct file_run *run, struct mbj_file *file)
{
	struct mail_import *m = run->m;
	struct mbj_error why;
	uint64_t at = 0, size = 0;
	size_t n = MAIL_STEP;
	bool is_none = false;
	enum mbj_rc rc = MBJ_OK;

	/* For progress alone. */
	if (mbj_file_size(file, &size, &why) < 0)
		size = 0;
	while (rc == MBJ_OK && n > 0 && !is_none) {
		if (mbj_file_read(file, at, m->step, MAIL_STEP, &n, &why) < 0) {
			/* What came before it stands; the rest is not known. */
			mail_left_out(&m->report, run->folder->place,
				      "from byte %" PRIu64 " on: %s", at,
				      why.message);
			break;
		}
		at += n;
		mbj_mbox_feed(run->mbox, mbj_bytes_make(m->step, n));
		rc = events_take(run, &is_none);
		mail_progress(&m->report, run->folder->place, at, size);
	}
	return rc;
}

static enum mbj_rc file_open(struct file_run *run, struct mbj_file *file,
			     bool *ret_is_open)
{
	struct mail_import *m = run->m;
	enum mbj_rc rc;

	rc = mbj_file_open(m->sys, run->folder->place, O_RDONLY | O_NONBLOCK,
			   file, &m->s.err);
	if (rc == MBJ_OK)
		rc = mbj_file_time(file, &run->mtime, &m->s.err);
	*ret_is_open = rc == MBJ_OK;
	if (rc < 0)
		mail_left_out(&m->report, run->folder->place, "%s",
			      m->s.err.message);
	return MBJ_OK;
}

/* Of the whole file. */
static void file_notes(const struct file_run *run)
{
	struct mail_report *report = &run->m->report;

	if (run->words_bad > 0)
		mail_note(report, run->folder->place,
			  "%" PRIu64 " words of X-Keywords are no keywords, "
			  "and are not kept",
			  run->words_bad);
	if (run->separators_bare > 0)
		mail_note(report, run->folder->place,
			  "%" PRIu64 " lines are like the beginning of a "
			  "message, and have no empty line before them: they "
			  "are text of the message before",
			  run->separators_bare);
}

static enum mbj_rc folder_import(struct mail_import *m,
				 const struct mail_folder *folder)
{
	struct file_run run = {.m = m, .folder = folder};
	struct mbj_file file = MBJ_FILE_CLOSED;
	bool is_open = false;
	enum mbj_rc rc;

	if (folder->is_left_out)
		return MBJ_OK;
	rc = file_open(&run, &file, &is_open);
	if (rc == MBJ_OK && is_open)
		rc = mbj_mbox_new(m->s.call->options.is_mboxo, &run.mbox,
				  &m->s.err);
	if (rc == MBJ_OK && is_open)
		rc = mail_target_open(&m->s, &m->report, folder, &run.target);
	if (rc == MBJ_OK && is_open)
		rc = file_read(&run, &file);
	if (rc == MBJ_OK && is_open)
		rc = mail_target_flush(run.target, 0);
	file_notes(&run);
	if (run.is_open)
		mail_body_abort(&run.body);
	mail_target_close(&run.target);
	mbj_mbox_free(&run.mbox);
	mbj_file_close(&file);
	return rc;
}

/* What --mbox names: a directory is walked, all else is one file. */
static enum mbj_rc source_look(struct mail_import *m, bool *ret_is_dir)
{
	const char *place = m->s.call->options.mbox;
	char below[MBJ_PATH_TEXT_MAX];
	mode_t mode = 0;
	enum mbj_rc rc = mode_get(m, place, &mode);

	if (rc < 0)
		return rc;
	/* A link is followed where the user names it. */
	if (S_ISLNK(mode) &&
	    mbj_path_join(below, place, ".", &m->s.err) == MBJ_OK &&
	    mbj_path_exists(m->sys, below))
		mode = S_IFDIR;
	*ret_is_dir = S_ISDIR(mode);
	if (*ret_is_dir && m->s.call->operand_count > 2)
		rc = mbj_error_refuse(
			&m->s.err, MBJ_REFUSAL_INVALID_ARGUMENTS, "mailbox",
			m->s.call->operands[2],
			"%s is a directory: its files say which mailboxes "
			"there are, not \"%.200s\"",
			place, m->s.call->operands[2]);
	return rc;
}

static enum mbj_rc mbox_run(struct mail_import *m)
{
	const char *place = m->s.call->options.mbox;
	bool is_dir = false;
	enum mbj_rc rc = source_look(m, &is_dir);

	if (rc == MBJ_OK && m->s.call->options.is_utf7)
		rc = mbj_utf7_new(&m->utf7, &m->s.err);
	if (rc == MBJ_OK && is_dir)
		rc = folders_find(m, place);
	if (rc == MBJ_OK)
		rc = mail_import_open(m);
	if (rc == MBJ_OK && !is_dir)
		rc = folder_named(m, place);
	if (rc == MBJ_OK)
		rc = mail_folders_make(&m->folders, &m->s, &m->report);
	for (size_t i = 0; rc == MBJ_OK && i < m->folders.count; i++)
		rc = folder_import(m, &m->folders.folders[i]);
	return rc;
}

int mail_import_mbox(const struct cli_call *call,
		     const struct mbj_name_policy *policy)
{
	struct mail_import m;
	enum mbj_rc rc;

	rc = mail_import_begin(&m, call, policy);
	if (rc == MBJ_OK)
		rc = mbox_run(&m);
	return mail_import_end(&m, rc);
}
