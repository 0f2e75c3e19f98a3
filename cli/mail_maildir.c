/*
 * mbj import --maildir: a Maildir++ into an account.
 */
#include <inttypes.h>

#include "mail.h"

/* ------------------------------------------------------------- mailboxes */

/* The UIDVALIDITY and the id that a folder's list gives, before it is read. */
static void list_peek(struct mail_import *m, struct mail_folder *folder)
{
	struct mbj_uidlist list;
	struct mbj_error err;
	struct mbj_buf text;

	mbj_buf_init(&text, MBJ_MAILDIR_LIST_MAX);
	if (mbj_maildir_list_load(m->sys, folder->place, MBJ_MAILDIR_UIDLIST,
				  &text, &err) &&
	    mbj_uidlist_begin(mbj_buf_view(&text), &list, &err) == MBJ_OK) {
		folder->uidvalidity = list.uidvalidity;
		if (list.has_id)
			folder->id = list.id;
	}
	mbj_buf_done(&text);
}

static enum mbj_rc folder_add(struct mail_import *m, struct mbj_bytes path,
			      const char *place)
{
	struct mail_folder *folder;
	enum mbj_rc rc;

	rc = mail_folders_add(&m->folders, path, place, &folder, &m->s.err);
	if (rc == MBJ_OK)
		list_peek(m, folder);
	return rc;
}

/* What has neither is somebody else's, and no mailbox. */
static bool place_has_parts(const struct mail_import *m, const char *place)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error err;

	return (mbj_path_join(path, place, "cur", &err) == MBJ_OK &&
		mbj_path_exists(m->sys, path)) ||
	       (mbj_path_join(path, place, "new", &err) == MBJ_OK &&
		mbj_path_exists(m->sys, path));
}

static enum mbj_rc folders_find(struct mail_import *m, const char *dir)
{
	char place[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names, path;
	enum mbj_rc rc;

	mbj_buf_init(&names, MBJ_MAILDIR_LIST_MAX);
	mbj_buf_init(&path, 8 * MBJ_MAILDIR_NAME_MAX);
	rc = folder_add(m, mbj_bytes_str("INBOX"), dir);
	if (rc == MBJ_OK)
		rc = mbj_maildir_folders(m->sys, dir, &names, &m->s.err);
	for (size_t at = 0; rc == MBJ_OK && at < names.n;) {
		const char *name = (const char *)names.p + at;

		at += strlen(name) + 1;
		rc = mbj_path_join(place, dir, name, &m->s.err);
		if (rc < 0)
			break;
		rc = mbj_maildir_path_parse(m->utf7, mbj_bytes_str(name), &path,
					    &m->s.err);
		if (rc == MBJ_OK && !place_has_parts(m, place))
			rc = mbj_error_set(&m->s.err, MBJ_EINVALID,
					   "it has neither cur nor new");
		if (rc == MBJ_EINVALID) {
			mail_left_out(&m->report, place, "%s",
				      m->s.err.message);
			rc = MBJ_OK;
		} else if (rc == MBJ_OK) {
			rc = folder_add(m, mbj_buf_view(&path), place);
		}
	}
	mbj_buf_done(&names);
	mbj_buf_done(&path);
	return rc;
}

/* One subscription: of a mailbox that is there, or it cannot be kept. */
static void subscription_take(struct mail_import *m, struct mbj_buf *path)
{
	bool is_found = false;

	for (size_t i = 0; i < m->folders.count; i++) {
		struct mail_folder *folder = &m->folders.folders[i];

		if (!mbj_bytes_equal(folder->path, mbj_buf_view(path)))
			continue;
		folder->is_subscribed = true;
		is_found = true;
	}
	for (size_t i = 0; i < path->n; i++)
		if (path->p[i] == '\0')
			path->p[i] = '/';
	if (!is_found)
		mail_note(&m->report, MBJ_MAILDIR_SUBSCRIPTIONS,
			  "there is no mailbox \"%.*s\"", (int)path->n,
			  (const char *)path->p);
}

static enum mbj_rc subscriptions_read(struct mail_import *m, const char *dir)
{
	struct mbj_maildir_subscriptions list;
	struct mbj_buf text, path;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&text, MBJ_MAILDIR_LIST_MAX);
	mbj_buf_init(&path, 4 * MBJ_PATH_MAX);
	if (!mbj_maildir_list_load(m->sys, dir, MBJ_MAILDIR_SUBSCRIPTIONS,
				   &text, &m->s.err) &&
	    m->s.err.rc < 0)
		mail_note(&m->report, MBJ_MAILDIR_SUBSCRIPTIONS, "%s",
			  m->s.err.message);
	mbj_maildir_subscriptions_begin(mbj_buf_view(&text), &list);
	while (rc != MBJ_ENOTFOUND && rc != MBJ_ENOMEM) {
		rc = mbj_maildir_subscriptions_next(&list, m->utf7, &path,
						    &m->s.err);
		if (rc == MBJ_OK)
			subscription_take(m, &path);
		else if (rc == MBJ_EINVALID || rc == MBJ_ELIMIT)
			mail_note(&m->report, MBJ_MAILDIR_SUBSCRIPTIONS, "%s",
				  m->s.err.message);
	}
	mbj_buf_done(&text);
	mbj_buf_done(&path);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* -------------------------------------------------------------- messages */

/* The run over one folder. */
struct folder_run {
	struct mail_import *m;
	const struct mail_folder *folder;
	struct mbj_maildir_folder *maildir;
	struct mail_target *target;
	bool *is_late; /* has no UID, or one that is used */
	size_t count;
};

/* Take one message out, for its own fault. */
static void message_bad(struct folder_run *run, size_t index)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error err;

	if (mbj_maildir_folder_path(run->maildir, index, path, &err) < 0)
		(void)mbj_text_escape(path, sizeof(path),
				      mbj_bytes_str(run->folder->place));
	mail_left_out(&run->m->report, path, "%s", run->m->s.err.message);
}

/*
 * The bytes of an open file.  *ret_is_bad: not to be had, err says why; what is
 * returned is the store's.
 */
static enum mbj_rc body_copy(struct mail_import *m, struct mbj_file *file,
			     struct mail_body *body, bool *ret_is_bad)
{
	uint64_t at = 0;
	size_t n = MAIL_STEP;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && n == MAIL_STEP) {
		*ret_is_bad = mbj_file_read(file, at, m->step, MAIL_STEP, &n,
					    &m->s.err) < 0;
		if (*ret_is_bad)
			return MBJ_OK;
		at += n;
		if (n > 0)
			rc = mail_body_write(body, mbj_bytes_make(m->step, n),
					     &m->s.err);
	}
	*ret_is_bad = rc == MBJ_ELIMIT || (rc == MBJ_OK && at == 0);
	if (rc == MBJ_OK && at == 0)
		(void)mbj_error_set(&m->s.err, MBJ_EINVALID, "it is empty");
	return rc == MBJ_ELIMIT ? MBJ_OK : rc;
}

static enum mbj_rc message_take(struct folder_run *run, size_t index,
				uint32_t uid)
{
	struct mail_import *m = run->m;
	struct mbj_maildir_message found;
	struct mbj_message message = {.uid = uid};
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct mail_body body = {.size = 0};
	bool is_bad = true;
	enum mbj_rc rc = MBJ_OK;

	if (mbj_maildir_folder_read(run->maildir, index, &file, &m->s.err) ==
		    MBJ_OK &&
	    mbj_file_time(&file, &message.time, &m->s.err) == MBJ_OK) {
		rc = mail_body_begin(&body, m->blobs, &m->s.err);
		if (rc == MBJ_OK)
			rc = body_copy(m, &file, &body, &is_bad);
	}
	mbj_file_close(&file);
	if (rc == MBJ_OK && is_bad)
		message_bad(run, index);
	else if (rc == MBJ_OK)
		rc = mail_body_finish(&body, &message.blob, &message.size,
				      &m->s.err);
	mail_body_abort(&body);
	if (rc < 0 || is_bad)
		return rc;
	rc = mbj_maildir_folder_get(run->maildir, index, &found, &m->s.err);
	if (rc < 0)
		return rc;
	message.flags = found.flags;
	message.keywords = found.keywords;
	return mail_target_append(run->target, uid, &message);
}

/* Where a message with a UID belongs. */
static enum mbj_rc listed_take(struct folder_run *run, size_t index,
			       uint32_t uid)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	enum mail_place place;
	uint64_t size = 0;

	if (mbj_maildir_folder_read(run->maildir, index, &file,
				    &run->m->s.err) < 0 ||
	    mbj_file_size(&file, &size, &run->m->s.err) < 0) {
		mbj_file_close(&file);
		message_bad(run, index);
		return MBJ_OK;
	}
	mbj_file_close(&file);
	place = mail_target_look(run->target, uid, size);
	if (place == MAIL_FREE)
		return message_take(run, index, uid);
	run->is_late[index] = place == MAIL_USED;
	return MBJ_OK;
}

/* First those with UIDs, as far as these are kept; then all others. */
static enum mbj_rc messages_take(struct folder_run *run)
{
	const struct mbj_uidlist *list =
		mbj_maildir_folder_uidlist(run->maildir);
	bool has_uids = mail_target_has_uids(run->target);
	struct mbj_maildir_message message;
	size_t done = 0, letters = 0;
	enum mbj_rc rc = MBJ_OK;

	for (int late = 0; rc == MBJ_OK && late < 2; late++) {
		for (size_t i = 0; rc == MBJ_OK && i < run->count; i++) {
			rc = mbj_maildir_folder_get(run->maildir, i, &message,
						    &run->m->s.err);
			if (rc < 0)
				break;
			if (late == 0 && (message.uid == 0 || !has_uids))
				run->is_late[i] = true;
			else if (late == 0)
				rc = listed_take(run, i, message.uid);
			else if (run->is_late[i])
				rc = message_take(run, i, 0);
			if (late == 0)
				letters += message.has_unknown_letters;
			done += run->is_late[i] == (late == 1);
			mail_progress(&run->m->report, run->folder->place, done,
				      run->count);
		}
		if (rc == MBJ_OK)
			rc = mail_target_flush(run->target,
					       has_uids ? list->uidnext : 0);
	}
	if (letters > 0)
		mail_note(
			&run->m->report, run->folder->place,
			"%zu messages have letters that no keyword belongs to",
			letters);
	return rc;
}

static enum mbj_rc folder_import(struct mail_import *m,
				 const struct mail_folder *folder)
{
	struct folder_run run = {.m = m, .folder = folder};
	bool has_list_error;
	enum mbj_rc rc;

	if (folder->is_left_out)
		return MBJ_OK;
	rc = mbj_maildir_folder_open(m->sys, folder->place, &run.maildir,
				     &has_list_error, &m->s.err);
	if (rc == MBJ_ENOMEM)
		return rc;
	if (rc < 0) {
		mail_left_out(&m->report, folder->place, "%s",
			      m->s.err.message);
		return MBJ_OK;
	}
	if (has_list_error)
		mail_note(&m->report, folder->place, "%s", m->s.err.message);
	run.count = mbj_maildir_folder_count(run.maildir);
	run.is_late = mbj_calloc(run.count + 1, sizeof(bool));
	rc = run.is_late != NULL
		     ? mail_target_open(&m->s, &m->report, folder, &run.target)
		     : mbj_error_nomem(&m->s.err);
	if (rc == MBJ_OK && folder->uidvalidity != 0 &&
	    !mail_target_has_uids(run.target))
		mail_note(&m->report, folder->place,
			  "its UIDs are not kept: the mailbox has another "
			  "UIDVALIDITY");
	if (rc == MBJ_OK)
		rc = messages_take(&run);
	if (rc == MBJ_OK)
		rc = mail_acl_import(m, folder);
	mail_target_close(&run.target);
	mbj_free(run.is_late);
	mbj_maildir_folder_close(&run.maildir);
	return rc;
}

static enum mbj_rc maildir_run(struct mail_import *m)
{
	const char *dir = m->s.call->options.maildir;
	struct mbj_maildir_folder *inbox = NULL;
	bool has_list_error;
	enum mbj_rc rc;

	/* What is no Maildir makes no account. */
	rc = mbj_maildir_folder_open(m->sys, dir, &inbox, &has_list_error,
				     &m->s.err);
	mbj_maildir_folder_close(&inbox);
	if (rc < 0)
		return mbj_error_prefix(&m->s.err, rc, "%s is no Maildir", dir);
	rc = mbj_utf7_new(&m->utf7, &m->s.err);
	if (rc == MBJ_OK)
		rc = folders_find(m, dir);
	if (rc == MBJ_OK)
		rc = subscriptions_read(m, dir);
	if (rc == MBJ_OK)
		rc = mail_import_open(m);
	if (rc == MBJ_OK)
		rc = mail_folders_make(&m->folders, &m->s, &m->report);
	for (size_t i = 0; rc == MBJ_OK && i < m->folders.count; i++)
		rc = folder_import(m, &m->folders.folders[i]);
	return rc;
}

int mail_import_maildir(const struct cli_call *call,
			const struct mbj_name_policy *policy)
{
	struct mail_import m;
	enum mbj_rc rc;

	rc = mail_import_begin(&m, call, policy);
	if (rc == MBJ_OK)
		rc = maildir_run(&m);
	return mail_import_end(&m, rc);
}
