/*
 * mbj export: an account out to a Maildir++ that Dovecot serves with the same
 * UIDs.
 *
 * The directory is empty at first, and a file in it says that it is unfinished
 * until it is not (export_dir.h): a run that was killed is run again, writes
 * what is not there yet, renames what has other flags, and removes what it
 * wrote of folders and messages that are not there any more, or elsewhere.  All
 * of it is one snapshot of the account.
 */
#include <inttypes.h>
#include <strings.h>

#include <mbj/check.h>

#include "export_dir.h"
#include "export_rest.h"

enum { BASE_MAX = 160, NAME_MAX_HERE = BASE_MAX + 40 };

struct export
{
	struct session s;
	struct mail_report report;
	const struct mbj_sys *sys;
	struct export_dir dir;
	struct export_names folders; /* that this run writes */
	struct mbj_blobs *blobs;
	struct mbj_txn *txn;
	struct mbj_account account;
	struct mbj_tree *tree;
	struct mbj_utf7 *utf7;
	uint8_t *step; /* MAIL_STEP bytes of a body */
};

/* ----------------------------------------------------------- one mailbox */

struct mailbox_run {
	struct export *e;
	const struct mbj_node *node;
	const char *title; /* its path, for people */
	char dir[MBJ_PATH_TEXT_MAX];
	struct export_names there; /* in cur, from an earlier run */
	struct mbj_buf uidlist;
	struct mbj_buf keywords;
	char words[MBJ_MAILDIR_LETTERS][MBJ_KEYWORD_MAX + 1];
	unsigned word_count;
	size_t cut_count;  /* messages that lose a keyword */
	size_t late_count; /* messages that lose their date */
	uint64_t done;
	uint64_t total;
};

/* What an earlier run left: in cur it may stay, in tmp nothing does. */
static enum mbj_rc names_load(struct mailbox_run *run)
{
	struct mbj_error *err = &run->e->s.err;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(path, run->dir, "tmp", err);

	if (rc == MBJ_OK)
		rc = export_part_sweep(run->e->sys, path, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(path, run->dir, "cur", err);
	if (rc == MBJ_OK)
		rc = mbj_dir_list(run->e->sys, path, &run->there.text, err);
	return rc == MBJ_OK ? export_names_sort(&run->there, err) : rc;
}

/* Those of ours that no message is called by now. */
static enum mbj_rc names_sweep(struct mailbox_run *run)
{
	struct mbj_error *err = &run->e->s.err;
	char cur[MBJ_PATH_TEXT_MAX], path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(cur, run->dir, "cur", err);

	for (size_t i = 0; rc == MBJ_OK && i < run->there.count; i++) {
		if (run->there.is_wanted[i] ||
		    !export_name_is_ours(run->there.names[i]))
			continue;
		rc = mbj_path_join(path, cur, run->there.names[i], err);
		if (rc == MBJ_OK)
			rc = mbj_file_remove(run->e->sys, path, err);
	}
	return rc;
}

/* The letter of a keyword; MBJ_MAILDIR_LETTERS: there is none left. */
static unsigned letter_get(struct mailbox_run *run, struct mbj_bytes word)
{
	char *mine;

	MBJ_ASSERT(word.n <= MBJ_KEYWORD_MAX);
	/* IMAP knows no case of theirs. */
	for (unsigned i = 0; i < run->word_count; i++)
		if (strlen(run->words[i]) == word.n &&
		    strncasecmp(run->words[i], (const char *)word.p, word.n) ==
			    0)
			return i;
	if (run->word_count == MBJ_MAILDIR_LETTERS)
		return MBJ_MAILDIR_LETTERS;
	mine = run->words[run->word_count];
	memcpy(mine, word.p, word.n);
	mine[word.n] = '\0';
	mbj_maildir_keywords_put(&run->keywords, run->word_count, word);
	return run->word_count++;
}

static uint32_t letters_get(struct mailbox_run *run, struct mbj_bytes keywords)
{
	struct mbj_bytes word;
	uint32_t letters = 0;
	bool is_cut = false;

	while (mbj_keywords_next(&keywords, &word)) {
		unsigned letter = letter_get(run, word);

		if (letter == MBJ_MAILDIR_LETTERS)
			is_cut = true;
		else
			letters |= 1u << letter;
	}
	run->cut_count += is_cut;
	return letters;
}

/* -------------------------------------------------------------- messages */

/*
 * The bytes of a blob into a file.  *ret_is_bad: they cannot be had, err says
 * why; what is returned is the target's.
 */
static enum mbj_rc body_copy(struct export *e, const struct mbj_hash *blob,
			     struct mbj_file *file, bool *ret_is_bad)
{
	struct mbj_blob_reader *reader = NULL;
	uint64_t at = 0, size;
	size_t n = 1;
	enum mbj_rc rc = MBJ_OK;

	*ret_is_bad = mbj_blob_reader_open(e->blobs, blob, &reader, &size,
					   &e->s.err) < 0;
	while (rc == MBJ_OK && !*ret_is_bad && n > 0) {
		*ret_is_bad = mbj_blob_reader_read(reader, e->step, MAIL_STEP,
						   &n, &e->s.err) < 0;
		if (*ret_is_bad)
			break;
		rc = mbj_file_write(file, at, e->step, n, &e->s.err);
		at += n;
	}
	mbj_blob_reader_close(&reader);
	return rc;
}

/* False in *ret_is_there: the message is left out. */
static enum mbj_rc message_write(struct mailbox_run *run,
				 const struct mbj_message *message,
				 const char *base, const char *name,
				 bool *ret_is_there)
{
	struct export *e = run->e;
	struct mbj_file file = MBJ_FILE_CLOSED;
	char what[MBJ_ERROR_MESSAGE_MAX];
	bool is_bad = false, has_time = true;
	enum mbj_rc rc;

	rc = mbj_maildir_message_begin(e->sys, run->dir, base, &file,
				       &e->s.err);
	if (rc == MBJ_OK)
		rc = body_copy(e, &message->blob, &file, &is_bad);
	*ret_is_there = rc == MBJ_OK && !is_bad;
	if (*ret_is_there) {
		rc = mbj_maildir_message_finish(&file, run->dir, name,
						message->time, &has_time,
						&e->s.err);
		run->late_count += !has_time;
		return rc;
	}
	mbj_file_close(&file);
	if (rc < 0)
		return rc;
	(void)snprintf(what, sizeof(what), "%s, UID %" PRIu32, run->title,
		       message->uid);
	mail_left_out(&e->report, what, "%s", e->s.err.message);
	return mbj_file_remove(e->sys, file.path, &e->s.err);
}

/*
 * Under its name in cur, from this run or an earlier one.  What that wrote may
 * be all that is left of it: with the flags of then, it is renamed.
 */
static enum mbj_rc message_place(struct mailbox_run *run,
				 const struct mbj_message *message,
				 const char *base, const char *name,
				 bool *ret_is_there)
{
	struct export *e = run->e;
	const char *old = name;
	bool has_time = true;
	enum mbj_rc rc;

	*ret_is_there = true;
	if (!export_names_want(&run->there, name))
		old = export_names_want_base(&run->there, base);
	if (old == NULL)
		return e->s.edit.is_dry_run ? MBJ_OK
					    : message_write(run, message, base,
							    name, ret_is_there);
	rc = mbj_maildir_message_again(e->sys, run->dir, old, name,
				       message->time, &has_time, &e->s.err);
	e->report.present_count++;
	run->late_count += !has_time;
	return rc;
}

static enum mbj_rc message_export(struct mailbox_run *run,
				  const struct mbj_message *message)
{
	struct export *e = run->e;
	struct mbj_maildir_name parts = {.flags = message->flags};
	uint8_t room[NAME_MAX_HERE];
	struct mbj_buf name = {.p = room,
			       .capacity = sizeof(room),
			       .max = sizeof(room)};
	char base[BASE_MAX];
	bool is_there;
	enum mbj_rc rc;

	(void)snprintf(base, sizeof(base),
		       "%" PRId64 ".U%" PRIu32 "V%" PRIu32
		       "D%02x%02x%02x%02x" EXPORT_HOST "%" PRIu64,
		       message->time > 0 ? message->time : 0, message->uid,
		       run->node->uidvalidity, message->blob.b[0],
		       message->blob.b[1], message->blob.b[2],
		       message->blob.b[3], message->size);
	parts.base = mbj_bytes_str(base);
	parts.letters = letters_get(run, message->keywords);
	mbj_maildir_name_put(&name, &parts);
	mbj_buf_put_u8(&name, 0);
	rc = mbj_buf_ok(&name, &e->s.err);
	if (rc < 0)
		return rc;
	rc = message_place(run, message, base, (const char *)room, &is_there);
	if (rc < 0 || !is_there)
		return rc;
	mbj_uidlist_put(&run->uidlist,
			&(struct mbj_uidlist_line){.uid = message->uid,
						   .name = parts.base,
						   .guid = message->guid});
	e->report.message_count++;
	e->report.message_size += message->size;
	return MBJ_OK;
}

static enum mbj_rc messages_export(struct mailbox_run *run)
{
	struct export *e = run->e;
	struct mbj_content content;
	struct mbj_message message;
	struct mbj_scan scan = {0};
	enum mbj_rc rc;

	rc = mbj_txn_content_get(e->txn, e->account.id, run->node->id, &content,
				 &e->s.err);
	if (rc < 0)
		return rc;
	run->total = content.message_count;
	mbj_uidlist_put_head(&run->uidlist, run->node->uidvalidity,
			     content.uidnext, run->node->id);
	if (content.message_count > 0)
		rc = mbj_scan_messages(e->txn, e->account.id, content.series, 1,
				       &scan, &e->s.err);
	while (rc == MBJ_OK && run->done < run->total) {
		rc = mbj_scan_next_message(&scan, &message, &e->s.err);
		if (rc == MBJ_OK)
			rc = message_export(run, &message);
		mail_progress(&e->report, run->title, ++run->done, run->total);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc acl_export(struct mailbox_run *run)
{
	struct export *e = run->e;
	const struct mail_acl_source source = {
		.txn = e->txn,
		.account = e->account.id,
		.mailbox = run->node->id,
		.title = run->title,
		.dir = e->s.edit.is_dry_run ? NULL : run->dir,
	};

	return mail_acl_export(&source, &e->report, &e->s.err);
}

/* Of all its messages; none of them is left out for that. */
static void losses_tell(struct mailbox_run *run)
{
	struct mail_report *report = &run->e->report;

	if (run->cut_count > 0)
		mail_note(report, run->title,
			  "%zu messages lose keywords: a folder has letters "
			  "for %d",
			  run->cut_count, MBJ_MAILDIR_LETTERS);
	if (run->late_count > 0)
		mail_note(report, run->title,
			  "%zu messages lose their dates: the file system has "
			  "no such times",
			  run->late_count);
}

static enum mbj_rc mailbox_write(struct mailbox_run *run, bool is_inbox)
{
	struct export *e = run->e;
	bool is_dry_run = e->s.edit.is_dry_run;
	enum mbj_rc rc = MBJ_OK;

	if (!is_dry_run)
		rc = mbj_maildir_folder_make(e->sys, run->dir, is_inbox,
					     &e->s.err);
	if (rc == MBJ_OK && !is_dry_run)
		rc = names_load(run);
	if (rc == MBJ_OK)
		rc = messages_export(run);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&run->uidlist, &e->s.err);
	if (rc == MBJ_OK && !is_dry_run)
		rc = names_sweep(run);
	if (rc == MBJ_OK)
		rc = acl_export(run);
	if (rc == MBJ_OK && !is_dry_run)
		rc = mbj_maildir_folder_end(e->sys, run->dir,
					    mbj_buf_view(&run->uidlist),
					    mbj_buf_view(&run->keywords),
					    &e->s.err);
	if (rc == MBJ_OK)
		losses_tell(run);
	return rc;
}

/* One mailbox of the tree; path has NULs, title the delimiter. */
static enum mbj_rc mailbox_export(struct export *e, uint32_t index,
				  struct mbj_bytes path, const char *title)
{
	struct mailbox_run *run;
	struct mbj_buf name;
	enum mbj_rc rc;

	mbj_buf_init(&name, 16 * MBJ_PATH_MAX);
	rc = mbj_maildir_path_put(e->utf7, path, &name, &e->s.err);
	if (rc == MBJ_EINVALID || rc == MBJ_ELIMIT) {
		mail_left_out(&e->report, title, "%s", e->s.err.message);
		mbj_buf_done(&name);
		return MBJ_OK;
	}
	mbj_buf_put_u8(&name, 0);
	run = mbj_calloc(1, sizeof(*run));
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&name, &e->s.err);
	if (run == NULL)
		rc = mbj_error_nomem(&e->s.err);
	else if (rc == MBJ_OK)
		rc = mbj_path_join(run->dir, e->dir.path, (const char *)name.p,
				   &e->s.err);
	if (run != NULL && rc == MBJ_OK) {
		run->e = e;
		run->node = mbj_tree_get(e->tree, index);
		run->title = title;
		export_names_init(&run->there);
		mbj_buf_init(&run->uidlist, MBJ_MAILDIR_LIST_MAX);
		mbj_buf_init(&run->keywords,
			     2 * MBJ_MAILDIR_LETTERS * MBJ_KEYWORD_MAX);
		rc = mailbox_write(run, name.n == 1);
		e->report.mailbox_count++;
		export_names_done(&run->there);
		mbj_buf_done(&run->uidlist);
		mbj_buf_done(&run->keywords);
	}
	mbj_free(run);
	mbj_buf_done(&name);
	return rc;
}

/* ----------------------------------------------------------- the account */

/* Its folder's name, if it can have one: whether it can is told later. */
static enum mbj_rc folder_list(struct export *e, uint32_t index,
			       struct mbj_bytes path, const char *title)
{
	struct mbj_buf name;
	enum mbj_rc rc;

	(void)title;
	if (!mbj_tree_get(e->tree, index)->is_selectable)
		return MBJ_OK;
	mbj_buf_init(&name, 16 * MBJ_PATH_MAX);
	rc = mbj_maildir_path_put(e->utf7, path, &name, &e->s.err);
	if (rc == MBJ_OK && name.n > 0) {
		mbj_buf_put_bytes(&e->folders.text, mbj_buf_view(&name));
		mbj_buf_put_u8(&e->folders.text, 0);
	}
	mbj_buf_done(&name);
	return rc == MBJ_EINVALID || rc == MBJ_ELIMIT ? MBJ_OK : rc;
}

static enum mbj_rc node_export(struct export *e, uint32_t index,
			       struct mbj_bytes path, const char *title)
{
	if (mbj_tree_get(e->tree, index)->is_selectable) {
		if (path.p[0] == '~')
			mail_note(&e->report, title,
				  "Dovecot opens no mailbox whose name begins "
				  "with a '~'");
		return mailbox_export(e, index, path, title);
	}
	if (mbj_tree_child_count(e->tree, index) == 0)
		mail_note(&e->report, title,
			  "it holds no mail and nothing is below it: "
			  "a Maildir has no such folder");
	return MBJ_OK;
}

typedef enum mbj_rc node_visit(struct export *e, uint32_t index,
			       struct mbj_bytes path, const char *title);

/* Each mailbox of the account, parents first. */
static enum mbj_rc nodes_visit(struct export *e, node_visit *visit)
{
	uint32_t *order = NULL;
	struct mbj_buf path, title;
	size_t count = 0;
	enum mbj_rc rc = mbj_tree_order(e->tree, &order, &count, &e->s.err);

	mbj_buf_init(&path, 2 * MBJ_DEPTH_MAX * (MBJ_NAME_MAX + 1));
	mbj_buf_init(&title, 2 * MBJ_DEPTH_MAX * (MBJ_NAME_MAX + 1));
	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		mbj_buf_clear(&path);
		mbj_buf_clear(&title);
		mbj_tree_path(e->tree, order[i], '\0', &path);
		mbj_tree_path(e->tree, order[i], e->account.policy.delimiter,
			      &title);
		mbj_buf_put_u8(&title, 0);
		rc = mbj_buf_ok(&path, &e->s.err);
		if (rc == MBJ_OK)
			rc = mbj_buf_ok(&title, &e->s.err);
		if (rc == MBJ_OK)
			rc = visit(e, order[i], mbj_buf_view(&path),
				   (const char *)title.p);
	}
	mbj_buf_done(&path);
	mbj_buf_done(&title);
	mbj_free(order);
	return rc;
}

static enum mbj_rc dir_begin(struct export *e)
{
	enum mbj_rc rc = nodes_visit(e, folder_list);

	if (rc == MBJ_OK)
		rc = export_names_sort(&e->folders, &e->s.err);
	e->dir.account = e->account.id;
	return rc == MBJ_OK ? export_dir_begin(&e->dir, &e->folders,
					       e->s.edit.is_dry_run, &e->s.err)
			    : rc;
}

/* One that the file cannot hold. */
static enum mbj_rc subscription_lost(struct export *e, struct mbj_bytes path)
{
	char what[MBJ_ERROR_SUBJECT_MAX];
	struct mbj_buf title;
	enum mbj_rc rc;

	mbj_buf_init(&title, 2 * MBJ_PATH_MAX);
	mbj_buf_put_bytes(&title, path);
	for (size_t i = 0; i < title.n; i++)
		if (title.p[i] == '\0')
			title.p[i] = (uint8_t)e->account.policy.delimiter;
	(void)mbj_text_escape(what, sizeof(what), mbj_buf_view(&title));
	mail_note(&e->report, what, "its subscription is not written: %s",
		  e->s.err.message);
	rc = mbj_buf_ok(&title, &e->s.err);
	mbj_buf_done(&title);
	return rc;
}

static enum mbj_rc subscriptions_export(struct export *e)
{
	struct mbj_scan scan = {0};
	struct mbj_path path;
	struct mbj_buf text;
	enum mbj_rc rc;

	mbj_buf_init(&text, MBJ_MAILDIR_LIST_MAX);
	mbj_maildir_subscriptions_put_head(&text);
	rc = mbj_scan_subscriptions(e->txn, e->account.id,
				    mbj_bytes_make(NULL, 0), &scan, &e->s.err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_subscription(&scan, &path, &e->s.err);
		if (rc == MBJ_OK)
			rc = mbj_maildir_subscriptions_put(&text, e->utf7,
							   path.stored,
							   &e->s.err);
		if (rc == MBJ_EINVALID) {
			rc = subscription_lost(e, path.stored);
		}
	}
	mbj_scan_done(&scan);
	rc = rc == MBJ_ENOTFOUND ? mbj_buf_ok(&text, &e->s.err) : rc;
	if (rc == MBJ_OK && !e->s.edit.is_dry_run)
		rc = mbj_file_replace(e->sys, e->dir.path,
				      MBJ_MAILDIR_SUBSCRIPTIONS,
				      mbj_buf_view(&text), &e->s.err);
	mbj_buf_done(&text);
	return rc;
}

static enum mbj_rc export_run(struct export *e)
{
	struct session *s = &e->s;
	enum mbj_rc rc = session_open_store(s);

	if (rc == MBJ_OK)
		rc = mbj_store_blobs(s->store, &e->blobs, &s->err);
	if (rc == MBJ_OK)
		rc = mbj_store_read(s->store, &e->txn, &s->err);
	if (rc == MBJ_OK)
		rc = mbj_txn_account_find(e->txn, s->edit.account, &e->account,
					  &s->err);
	if (rc == MBJ_ENOTFOUND && e->txn != NULL)
		rc = MBJ_FAILURE(cli_no_account(s->call, &s->err));
	if (rc == MBJ_OK)
		rc = mbj_txn_tree_load(e->txn, e->account.id, &e->tree,
				       &s->err);
	if (rc == MBJ_OK)
		rc = mbj_utf7_new(&e->utf7, &s->err);
	if (rc == MBJ_OK)
		rc = dir_begin(e);
	if (rc == MBJ_OK)
		rc = nodes_visit(e, node_export);
	if (rc == MBJ_OK)
		rc = subscriptions_export(e);
	if (rc == MBJ_OK)
		rc = export_rest_tell(e->txn, &e->account, e->tree, &e->report,
				      &s->err);
	if (rc == MBJ_OK && !s->edit.is_dry_run)
		rc = export_dir_end(&e->dir, &s->err);
	return rc;
}

int verb_export(const struct cli_call *call)
{
	struct export e = {.sys = mbj_sys_posix()};
	enum mbj_rc rc;

	session_init(&e.s, call);
	mail_report_init(&e.report, call);
	e.dir = (struct export_dir){.sys = e.sys,
				    .path = call->operands[2],
				    .report = &e.report,
				    .lock = MBJ_FILE_CLOSED};
	export_names_init(&e.folders);
	e.step = mbj_alloc(MAIL_STEP);
	rc = e.step != NULL ? export_run(&e) : mbj_error_nomem(&e.s.err);
	mbj_txn_abort(&e.txn);
	mbj_tree_free(&e.tree);
	mbj_utf7_free(&e.utf7);
	export_names_done(&e.folders);
	export_dir_done(&e.dir);
	mbj_free(e.step);
	return mail_report_end(&e.report, &e.s, rc, "export", "exported");
}
