/*
 * mbj import --maildir: a Maildir++ into an account.
 */
#include <inttypes.h>
#include <sys/stat.h>

#include "export_dir.h"
#include "mail.h"

/*
 * An account's values of UIDVALIDITY only rise: what a damaged list says must
 * not use them up.
 */
#define UIDVALIDITY_LEFT ((uint32_t)1 << 24)

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
		if (list.uidvalidity <= UINT32_MAX - UIDVALIDITY_LEFT)
			folder->uidvalidity = list.uidvalidity;
		else
			mail_note(&m->report, folder->place,
				  "its UIDs are not kept: its UIDVALIDITY, "
				  "%" PRIu32 ", leaves too few for mailboxes "
				  "that are made later",
				  list.uidvalidity);
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

/* Whose mail that is nobody can say to whom a Maildir was given. */
static bool place_is_link(const struct mail_import *m, const char *place)
{
	mode_t mode;
	uid_t uid;

	return m->sys->stat(m->sys->ctx, place, &mode, &uid) == 0 &&
	       S_ISLNK(mode);
}

/* Folders of another layout, which nobody looks into, are not lost unsaid. */
static enum mbj_rc strange_tell(struct mail_import *m, const char *dir)
{
	char place[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	enum mbj_rc rc;

	mbj_buf_init(&names, MBJ_MAILDIR_LIST_MAX);
	rc = mbj_dir_list(m->sys, dir, &names, &m->s.err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		rc = mbj_path_join(place, dir, name, &m->s.err);
		if (rc == MBJ_OK && name[0] != '.' && place_has_parts(m, place))
			mail_left_out(&m->report, place,
				      "its name does not begin with a '.', as "
				      "those of a Maildir++'s folders do: "
				      "import what doveadm backup makes of all "
				      "this without LAYOUT=fs");
	}
	mbj_buf_done(&names);
	return rc;
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
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		rc = mbj_path_join(place, dir, name, &m->s.err);
		if (rc < 0)
			break;
		rc = mbj_maildir_path_parse(m->utf7, mbj_bytes_str(name), &path,
					    &m->s.err);
		if (rc == MBJ_OK && place_is_link(m, place))
			rc = mbj_error_set(&m->s.err, MBJ_EINVALID,
					   "it is a symbolic link: import "
					   "what it leads to by itself");
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

/* One subscription: of a mailbox that is found, or of a name. */
static enum mbj_rc subscription_take(struct mail_import *m,
				     const struct mbj_buf *path,
				     struct mbj_buf *names)
{
	bool is_found = false;

	for (size_t i = 0; i < m->folders.count; i++) {
		struct mail_folder *folder = &m->folders.folders[i];

		if (!mbj_bytes_equal(folder->path, mbj_buf_view(path)))
			continue;
		folder->is_subscribed = true;
		is_found = true;
	}
	if (is_found)
		return MBJ_OK;
	mbj_buf_put_u32(names, (uint32_t)path->n);
	mbj_buf_put_bytes(names, mbj_buf_view(path));
	return mbj_buf_ok(names, &m->s.err);
}

static enum mbj_rc subscriptions_read(struct mail_import *m, const char *dir,
				      struct mbj_buf *names)
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
	while (rc == MBJ_OK || rc == MBJ_EINVALID || rc == MBJ_ELIMIT) {
		rc = mbj_maildir_subscriptions_next(&list, m->utf7, &path,
						    &m->s.err);
		if (rc == MBJ_OK)
			rc = subscription_take(m, &path, names);
		else if (rc == MBJ_EINVALID || rc == MBJ_ELIMIT)
			mail_note(&m->report, MBJ_MAILDIR_SUBSCRIPTIONS, "%s",
				  m->s.err.message);
	}
	mbj_buf_done(&text);
	mbj_buf_done(&path);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* A name of which the source has no folder.  What is refused is noted. */
static enum mbj_rc subscription_tell(struct mail_import *m,
				     struct mbj_buf *name)
{
	struct mbj_metadata_edit step = {.kind = MBJ_METADATA_SUBSCRIBE};
	struct session *s = &m->s;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; i < name->n; i++)
		if (name->p[i] == '\0')
			name->p[i] = (uint8_t)s->edit.policy.delimiter;
	step.name = mbj_buf_view(name);
	s->edit.kind = MBJ_EDIT_METADATA;
	s->edit.metadata = &step;
	s->edit.metadata_count = 1;
	if (!s->edit.is_dry_run)
		rc = session_submit(s);
	s->edit.metadata = NULL;
	s->edit.metadata_count = 0;
	mbj_outcome_done(&s->outcome);
	if (rc == MBJ_OK || s->err.refusal == MBJ_REFUSAL_NONE)
		return rc;
	mail_note(&m->report, MBJ_MAILDIR_SUBSCRIPTIONS, "%s", s->err.message);
	return MBJ_OK;
}

static enum mbj_rc subscriptions_tell(struct mail_import *m,
				      const struct mbj_buf *names)
{
	struct mbj_reader reader;
	struct mbj_buf name;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&name, 4 * MBJ_PATH_MAX);
	mbj_reader_init(&reader, mbj_buf_view(names));
	while (rc == MBJ_OK && mbj_reader_left(&reader) > 0) {
		mbj_buf_clear(&name);
		mbj_buf_put_bytes(&name, mbj_read_bytes(&reader,
							mbj_read_u32(&reader)));
		rc = subscription_tell(m, &name);
	}
	mbj_buf_done(&name);
	return rc;
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
 * What begins like that is no message: Dovecot's plugins zlib and mail_crypt
 * read it.
 */
static const char *content_packed(struct mbj_bytes head)
{
	static const struct {
		const char *name;
		const char *magic;
		size_t size;
	} KINDS[] = {
		{"packed by gzip", "\x1f\x8b\x08", 3},
		{"packed by bzip2", "BZh91AY&SY", 10},
		{"packed by xz",
		 "\xfd"
		 "7zXZ\0",
		 6},
		{"packed by zstd", "\x28\xb5\x2f\xfd", 4},
		{"packed by LZ4", "Dovecot-LZ4\x0d\x2a\x9b\xc5", 15},
		{"encrypted", "CRYPTED\x03\x07", 9},
	};

	for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++)
		if (head.n >= KINDS[i].size &&
		    memcmp(head.p, KINDS[i].magic, KINDS[i].size) == 0)
			return KINDS[i].name;
	return NULL;
}

/* A file that cannot be a message, before anything of it is stored. */
static enum mbj_rc content_judge(struct mail_import *m, struct mbj_file *file)
{
	uint64_t size = 0;
	const char *packed;
	size_t n = 0;
	enum mbj_rc rc = mbj_file_size(file, &size, &m->s.err);

	if (rc == MBJ_OK && size > MBJ_BLOB_MAX)
		rc = mbj_error_set(&m->s.err, MBJ_ELIMIT,
				   "it has %" PRIu64 " bytes, over the limit "
				   "of %" PRIu64,
				   size, (uint64_t)MBJ_BLOB_MAX);
	if (rc == MBJ_OK)
		rc = mbj_file_read(file, 0, m->step, 16, &n, &m->s.err);
	packed = rc == MBJ_OK ? content_packed(mbj_bytes_make(m->step, n))
			      : NULL;
	if (packed != NULL)
		rc = mbj_error_set(&m->s.err, MBJ_EINVALID,
				   "it is %s: import what doveadm backup "
				   "makes of it without that plugin",
				   packed);
	return rc;
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

/*
 * Bytes and date, into blobs, or hashed where that is NULL.  *ret_is_bad: it
 * was left out.
 */
static enum mbj_rc message_read(struct folder_run *run, size_t index,
				struct mbj_blobs *blobs,
				struct mbj_message *message, bool *ret_is_bad)
{
	struct mail_import *m = run->m;
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct mail_body body = {.size = 0};
	enum mbj_rc rc = MBJ_OK;

	*ret_is_bad = true;
	if (mbj_maildir_folder_read(run->maildir, index, &file, &m->s.err) ==
		    MBJ_OK &&
	    mbj_file_time(&file, &message->time, &m->s.err) == MBJ_OK &&
	    content_judge(m, &file) == MBJ_OK) {
		rc = mail_body_begin(&body, blobs, &m->s.err);
		if (rc == MBJ_OK)
			rc = body_copy(m, &file, &body, ret_is_bad);
	}
	mbj_file_close(&file);
	if (rc == MBJ_OK && *ret_is_bad)
		message_bad(run, index);
	else if (rc == MBJ_OK)
		rc = mail_body_finish(&body, &message->blob, &message->size,
				      &m->s.err);
	mail_body_abort(&body);
	return rc;
}

/*
 * The name that an export gave a file is no GUID of its message's: one that has
 * one has it in the list.
 */
static struct mbj_bytes guid_of(const struct mbj_maildir_message *found)
{
	char base[MBJ_GUID_MAX + 1];

	if (found->guid.n == 0 || found->has_listed_guid)
		return found->guid;
	memcpy(base, found->guid.p, found->guid.n);
	base[found->guid.n] = '\0';
	return export_name_is_ours(base) ? (struct mbj_bytes){NULL, 0}
					 : found->guid;
}

static enum mbj_rc message_take(struct folder_run *run, size_t index,
				uint32_t uid)
{
	struct mail_import *m = run->m;
	struct mbj_maildir_message found;
	struct mbj_message message = {.uid = uid};
	bool is_bad;
	enum mbj_rc rc = message_read(run, index, m->blobs, &message, &is_bad);

	if (rc < 0 || is_bad)
		return rc;
	rc = mbj_maildir_folder_get(run->maildir, index, &found, &m->s.err);
	if (rc < 0)
		return rc;
	message.flags = found.flags;
	message.keywords = found.keywords;
	message.guid = guid_of(&found);
	rc = mail_target_append(run->target, uid, &message, &is_bad);
	if (is_bad)
		message_bad(run, index);
	return rc;
}

/* Where a message with a UID belongs. */
static enum mbj_rc listed_take(struct folder_run *run, size_t index,
			       uint32_t uid)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct mbj_message message = {.uid = uid};
	enum mbj_rc rc = MBJ_OK;
	enum mail_place place;
	uint64_t size = 0;
	bool is_bad = false;

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
	if (place == MAIL_ALIKE)
		rc = message_read(run, index, NULL, &message, &is_bad);
	run->is_late[index] =
		place == MAIL_USED ||
		(place == MAIL_ALIKE && rc == MBJ_OK && !is_bad &&
		 !mail_target_same(run->target, uid, &message.blob));
	return rc;
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

/*
 * What an export of ours had not written yet, nobody can import.  To be asked
 * before anything is listed: one that runs may come to its end meanwhile.
 */
static bool is_unfinished(const struct mail_import *m, const char *dir)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error err;

	return mbj_path_join(path, dir, MAIL_EXPORT_MARK, &err) == MBJ_OK &&
	       mbj_path_exists(m->sys, path);
}

static enum mbj_rc maildir_run(struct mail_import *m)
{
	const char *dir = m->s.call->options.maildir;
	struct mbj_maildir_folder *inbox = NULL;
	struct mbj_buf names; /* that are subscribed, and no folders */
	bool has_list_error, is_cut = is_unfinished(m, dir);
	enum mbj_rc rc;

	mbj_buf_init(&names, MBJ_MAILDIR_LIST_MAX);
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
		rc = strange_tell(m, dir);
	if (rc == MBJ_OK)
		rc = subscriptions_read(m, dir, &names);
	if (rc == MBJ_OK)
		rc = mail_import_open(m);
	if (rc == MBJ_OK)
		rc = mail_folders_make(&m->folders, &m->s, &m->report);
	if (rc == MBJ_OK && is_cut)
		mail_left_out(&m->report, dir,
			      "it is an export that was stopped: what it had "
			      "not written is not there; run mbj export again");
	if (rc == MBJ_OK)
		rc = subscriptions_tell(m, &names);
	mbj_buf_done(&names);
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
