/*
 * Access control lists on their way from and to Dovecot's dovecot-acl.
 *
 * A list goes into a mailbox that has none, in one edit.  Where there is one,
 * by an earlier run or by people here, it stays: what was taken from somebody
 * since is not given back.
 *
 * Invariant: nobody gets a right that the file does not give.  Its lines narrow
 * each other, so it is taken as a whole or not at all: then the mailbox is its
 * owner's alone, and left out of what came over.
 */
#include <string.h>

#include <mbj/attribute.h>

#include "mail.h"

enum {
	LINE_MAX_HERE = 4096,
	LIST_SIZE_MAX = MBJ_MAILBOX_ATTRS_MAX * LINE_MAX_HERE,
};

/* -------------------------------------------------------------- reading */

struct acl_run {
	struct mail_import *m;
	const struct mail_folder *folder;
	struct mbj_arena *arena; /* names of steps */
	struct mbj_metadata_edit *steps;
	size_t count;
};

static enum mbj_rc step_add(struct acl_run *run, struct mbj_bytes name,
			    struct mbj_bytes rights)
{
	struct mbj_metadata_edit *step = &run->steps[run->count++];

	*step = (struct mbj_metadata_edit){
		.kind = MBJ_METADATA_ACL,
		.mailbox = run->folder->mailbox,
		.mode = MBJ_RIGHTS_ADD,
	};
	return mbj_arena_dup(run->arena, name, &step->name) &&
			       mbj_arena_dup(run->arena, rights, &step->value)
		       ? MBJ_OK
		       : mbj_error_nomem(&run->m->s.err);
}

/* The whole list stays behind. */
static void list_leave(struct acl_run *run, const char *why)
{
	mail_left_out(&run->m->report, run->folder->place,
		      "%s is not taken, nobody gets rights by it: %s",
		      MBJ_MAILDIR_ACL, why);
	run->count = 0;
}

static enum mbj_rc line_take(struct acl_run *run,
			     const struct mbj_maildir_acl *line)
{
	struct mbj_bytes name = mbj_buf_view(&line->name);

	if (line->is_cut)
		mail_note(&run->m->report, run->folder->place,
			  "%s: \"%.*s\" has named rights, which are not kept",
			  MBJ_MAILDIR_ACL, (int)name.n, (const char *)name.p);
	if (line->rights[0] == '\0')
		return MBJ_OK;
	if (run->count == MBJ_MAILBOX_ATTRS_MAX)
		return mbj_error_set(&run->m->s.err, MBJ_ELIMIT,
				     "it has more than %d entries",
				     MBJ_MAILBOX_ATTRS_MAX);
	return step_add(run, name, mbj_bytes_str(line->rights));
}

static enum mbj_rc lines_take(struct acl_run *run, struct mbj_bytes text)
{
	struct mbj_error *err = &run->m->s.err;
	struct mbj_maildir_acl line = {.is_cut = false};
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&line.name, LINE_MAX_HERE);
	while (rc == MBJ_OK) {
		mbj_buf_clear(&line.name);
		rc = mbj_maildir_acl_next(&text, &line, err);
		if (rc == MBJ_OK)
			rc = line_take(run, &line);
	}
	mbj_buf_done(&line.name);
	if (rc != MBJ_EINVALID && rc != MBJ_ELIMIT)
		return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
	list_leave(run, err->message);
	return MBJ_OK;
}

static bool has_all(struct mbj_bytes rights, struct mbj_bytes wanted)
{
	for (size_t i = 0; i < wanted.n; i++)
		if (rights.n == 0 ||
		    memchr(rights.p, wanted.p[i], rights.n) == NULL)
			return false;
	return true;
}

/* What the file says and the mailbox's own list does not is noted. */
static enum mbj_rc list_compare(struct acl_run *run, struct mbj_txn *txn,
				struct mbj_id account, bool *ret_is_there)
{
	struct mbj_error *err = &run->m->s.err;
	struct mbj_scan scan = {0};
	struct mbj_attr attr;
	enum mbj_rc rc;

	rc = mbj_scan_attrs(txn, account, run->folder->mailbox, MBJ_ATTR_ACL,
			    &scan, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_next_attr(&scan, &attr, err);
	mbj_scan_done(&scan);
	*ret_is_there = rc == MBJ_OK;
	for (size_t i = 0; rc == MBJ_OK && i < run->count; i++) {
		const struct mbj_metadata_edit *step = &run->steps[i];
		struct mbj_bytes value = {NULL, 0};
		bool is_found;

		rc = mbj_txn_attr_seek(txn, account, run->folder->mailbox,
				       MBJ_ATTR_ACL, step->name, &value,
				       &is_found, err);
		if (rc == MBJ_OK && !has_all(value, step->value))
			mail_note(&run->m->report, run->folder->place,
				  "%s says \"%.*s %.*s\", which the mailbox's "
				  "own list does not; it stays as it is",
				  MBJ_MAILDIR_ACL, (int)step->name.n,
				  (const char *)step->name.p,
				  (int)step->value.n,
				  (const char *)step->value.p);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc list_look(struct acl_run *run, bool *ret_is_there)
{
	struct session *s = &run->m->s;
	struct mbj_account account;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(s->store, &txn, &s->err);
	if (rc == MBJ_OK)
		rc = mbj_txn_account_find(txn, s->edit.account, &account,
					  &s->err);
	if (rc == MBJ_OK)
		rc = list_compare(run, txn, account.id, ret_is_there);
	mbj_txn_abort(&txn);
	return rc;
}

static enum mbj_rc steps_submit(struct acl_run *run)
{
	struct session *s = &run->m->s;
	bool is_there = false;
	enum mbj_rc rc;

	if (run->count == 0 || s->edit.is_dry_run)
		return MBJ_OK;
	rc = list_look(run, &is_there);
	if (rc < 0 || is_there)
		return rc;
	s->edit.kind = MBJ_EDIT_METADATA;
	s->edit.origin = MBJ_ORIGIN_BULK;
	s->edit.metadata = run->steps;
	s->edit.metadata_count = run->count;
	rc = session_submit(s);
	s->edit.metadata = NULL;
	s->edit.metadata_count = 0;
	mbj_outcome_done(&s->outcome);
	if (rc != MBJ_EINVALID && rc != MBJ_ELIMIT)
		return rc;
	list_leave(run, s->err.message);
	return MBJ_OK;
}

enum mbj_rc mail_acl_import(struct mail_import *m,
			    const struct mail_folder *folder)
{
	struct acl_run run = {.m = m, .folder = folder};
	struct mbj_buf text;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&text, LIST_SIZE_MAX);
	if (!mbj_maildir_list_load(m->sys, folder->place, MBJ_MAILDIR_ACL,
				   &text, &m->s.err)) {
		if (m->s.err.rc < 0)
			list_leave(&run, m->s.err.message);
		mbj_buf_done(&text);
		return MBJ_OK;
	}
	run.steps = mbj_calloc(MBJ_MAILBOX_ATTRS_MAX, sizeof(*run.steps));
	if (run.steps == NULL)
		rc = mbj_error_nomem(&m->s.err);
	if (rc == MBJ_OK)
		rc = mbj_arena_new(LIST_SIZE_MAX, &run.arena, &m->s.err);
	if (rc == MBJ_OK)
		rc = lines_take(&run, mbj_buf_view(&text));
	if (rc == MBJ_OK)
		rc = steps_submit(&run);
	mbj_arena_free(&run.arena);
	mbj_free(run.steps);
	mbj_buf_done(&text);
	return rc;
}

/* -------------------------------------------------------------- writing */

struct acl_lost {
	size_t cut_count;
	bool is_open; /* who is kept out would get in */
};

static enum mbj_rc list_print(const struct mail_acl_source *source,
			      struct mbj_buf *text, struct acl_lost *lost,
			      struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_attr attr;
	enum mbj_rc rc;

	rc = mbj_scan_attrs(source->txn, source->account, source->mailbox,
			    MBJ_ATTR_ACL, &scan, err);
	while (rc == MBJ_OK) {
		bool is_lost = false;

		rc = mbj_scan_next_attr(&scan, &attr, err);
		if (rc == MBJ_OK)
			lost->cut_count +=
				!mbj_maildir_acl_put(text, attr.name,
						     attr.value, &is_lost);
		/* To Dovecot any entry may narrow another. */
		lost->is_open |= is_lost;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? mbj_buf_ok(text, err) : rc;
}

enum mbj_rc mail_acl_export(const struct mail_acl_source *source,
			    struct mail_report *report, struct mbj_error *err)
{
	struct acl_lost lost = {.cut_count = 0};
	struct mbj_buf text;
	enum mbj_rc rc;

	mbj_buf_init(&text, LIST_SIZE_MAX);
	rc = list_print(source, &text, &lost, err);
	if (lost.is_open)
		mbj_buf_clear(&text);
	if (rc == MBJ_OK && source->dir != NULL)
		rc = mbj_maildir_list_write(mbj_sys_posix(), source->dir,
					    MBJ_MAILDIR_ACL,
					    mbj_buf_view(&text), err);
	if (rc == MBJ_OK && lost.is_open)
		mail_left_out(report, source->title,
			      "its access control list is not written, nobody "
			      "gets rights by it: %s cannot hold an identifier",
			      MBJ_MAILDIR_ACL);
	else if (rc == MBJ_OK && lost.cut_count > 0)
		mail_note(report, source->title,
			  "%zu entries of its access control list lose what "
			  "%s cannot hold",
			  lost.cut_count, MBJ_MAILDIR_ACL);
	mbj_buf_done(&text);
	return rc;
}
