/*
 * One of our mailboxes, opened: its map, and the server's; see push_mail.h.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "push_mail.h"

enum { CUTS_MAX = 100 };

static enum mbj_rc dir_path(struct push *p, char path[MBJ_PATH_TEXT_MAX])
{
	int n = snprintf(path, MBJ_PATH_TEXT_MAX, "%s.messages",
			 p->file.log.path);

	return n > 0 && n < MBJ_PATH_TEXT_MAX
		       ? MBJ_OK
		       : mbj_error_set(&p->err, MBJ_ELIMIT,
				       "the path of the files of messages is "
				       "too long");
}

enum mbj_rc push_map_path(struct push *p, struct mbj_id id,
			  char path[MBJ_PATH_TEXT_MAX])
{
	char dir[MBJ_PATH_TEXT_MAX], name[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc = dir_path(p, dir);

	mbj_id_print(id, name);
	return rc == MBJ_OK ? mbj_path_join(path, dir, name, &p->err) : rc;
}

static enum mbj_rc dir_make(struct push *p)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = dir_path(p, path);

	if (rc == MBJ_OK && !mbj_path_exists(mbj_sys_posix(), path))
		rc = mbj_dir_make(mbj_sys_posix(), path, &p->err);
	return rc == MBJ_OK
		       ? mbj_dir_sync(mbj_sys_posix(), p->file.log.dir, &p->err)
		       : rc;
}

/* The file is there before the push's own says so. */
static enum mbj_rc map_open(struct push_box *box, enum push_map_kind kind)
{
	struct push *p = box->p;
	bool is_new = kind != PUSH_MAP_OLD;
	bool is_dry = p->call->options.is_dry_run;
	const struct push_map_of of = {
		.lineage = p->file.lineage,
		.account = p->file.account,
		.mailbox = box->node->id,
		.uidvalidity = box->node->uidvalidity,
		.there = box->record.uidvalidity,
		.next = box->record.next,
		.target = p->file.target,
	};
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = push_map_path(p, box->node->id, path);

	if (rc == MBJ_OK && is_new && !is_dry)
		rc = dir_make(p);
	if (rc == MBJ_OK && is_dry && p->handed.name.n > 0 &&
	    mbj_bytes_equal(p->handed.name, box->record.name))
		return push_hand_read(p, &p->handed, box->node, &box->map,
				      &(uint64_t){0});
	if (rc == MBJ_OK)
		rc = push_map_open(path, &of, kind, is_dry, &box->map, &p->err);
	if (rc == MBJ_ENOTFOUND)
		rc = mbj_error_set(&p->err, MBJ_ECORRUPT,
				   "%s is missing: which messages of mailbox "
				   "%.*s are at the server is not known "
				   "without it",
				   path, (int)box->record.name.n,
				   (const char *)box->record.name.p);
	if (rc == MBJ_OK && is_new && !is_dry)
		rc = push_file_messages(&p->file, box->node->id, 0, 0, &p->err);
	return rc;
}

enum mbj_rc push_pass(struct push_box *box, const char *format, ...)
{
	char text[MBJ_ERROR_MESSAGE_MAX + 128];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	box->is_passed = true;
	return push_leave_out(box, 1, 0, "is passed over: %s", text);
}

static enum mbj_rc selected_take(struct push_box *box,
				 const struct mbj_imap_response *response,
				 uint32_t *uidvalidity, bool *has_no_uids)
{
	if (response->kind == MBJ_IMAP_EXISTS)
		box->is_empty = response->messages == 0;
	if (response->kind != MBJ_IMAP_CONDITION)
		return MBJ_OK;
	if (response->uidnext > 0)
		box->uidnext = response->uidnext;
	if (response->uidvalidity > 0)
		*uidvalidity = response->uidvalidity;
	*has_no_uids |= response->has_no_uids;
	if (!response->has_flags)
		return MBJ_OK;
	box->has_flags = true;
	mbj_buf_clear(&box->flags);
	mbj_buf_put_bytes(&box->flags, response->flags);
	return mbj_buf_ok(&box->flags, &box->p->err);
}

/* *ret_is_it false: said why its messages are let be. */
static enum mbj_rc box_select(struct push_box *box, bool *ret_is_it)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	bool has_no_uids = false;
	uint32_t uidvalidity = 0;
	struct push *p = box->p;
	enum mbj_rc rc;

	*ret_is_it = false;
	box->uidnext = 0;
	box->is_empty = false;
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "SELECT ");
	mbj_imap_quote_put(&p->command, box->record.name);
	rc = push_wire_send(&p->wire, &p->command, &p->err);
	while (rc == MBJ_OK && response.kind != MBJ_IMAP_TAGGED) {
		rc = push_wire_next(&p->wire, &response, &p->err);
		if (rc == MBJ_OK)
			rc = selected_take(box, &response, &uidvalidity,
					   &has_no_uids);
	}
	if (rc < 0)
		return rc;
	if (push_wire_judge(&p->wire, &response, &p->err) < 0)
		return push_pass(box, "%s", p->err.message);
	if (uidvalidity != box->record.uidvalidity)
		return push_pass(box,
				 "its UIDVALIDITY "
				 "was %" PRIu32
				 " a moment ago, and is %" PRIu32,
				 box->record.uidvalidity, uidvalidity);
	if (has_no_uids || box->uidnext == 0)
		return push_pass(box, "UIDs of the "
				      "server do not last, or it does not tell "
				      "UIDNEXT");
	*ret_is_it = true;
	return MBJ_OK;
}

/*
 * Are messages there those that the map names?  A server that was restored from
 * a backup gives their UIDs again.  *why says why not.
 */
static bool is_known(const struct push_box *box, struct mbj_error *why)
{
	if (why->rc < 0 || box->uidnext >= box->map.next)
		return why->rc == MBJ_OK;
	(void)mbj_error_set(why, MBJ_ECONFLICT,
			    "its UIDNEXT at the server is %" PRIu32
			    ", and was %" PRIu32
			    " when its messages were pushed",
			    box->uidnext, box->map.next);
	return false;
}

static enum mbj_rc unknown_say(struct push_box *box,
			       const struct mbj_error *why)
{
	if (why->rc == MBJ_ECORRUPT) {
		box->p->err = *why;
		return why->rc;
	}
	return push_pass(box,
			 "%s; which messages there are ours cannot be told",
			 why->message);
}

/* Which UID here is of another message than the map has it of? */
static enum mbj_rc page_compare(struct push_box *box,
				const struct mbj_client_messages *page)
{
	const struct push_attempt *attempt = &box->map.attempt;

	for (size_t i = 0; box->other == 0 && i < page->count; i++) {
		const struct mbj_message *message = &page->messages[i];
		uint64_t blob = push_map_blob(&message->blob);
		const struct push_entry *entry =
			push_map_find(&box->map, message->uid);

		if ((entry != NULL && entry->blob != blob) ||
		    (attempt->uid == message->uid && !attempt->is_over &&
		     attempt->blob != blob))
			box->other = message->uid;
	}
	return MBJ_OK;
}

/*
 * A mailbox here gets another UIDVALIDITY along with a name that was used
 * before, and has its messages under their UIDs still.  Where all that the map
 * has and that are here are the same what is there is what the map says, and
 * what is not here is gone; where one is not UIDs mean others: *why.
 */
static enum mbj_rc renewed_judge(struct push_box *box, struct mbj_error *why)
{
	bool is_changed = false;
	enum mbj_rc rc;

	if (!push_map_is_renewed(&box->map))
		return MBJ_OK;
	box->other = 0;
	rc = push_pages(box, page_compare, 0, &is_changed);
	if (rc < 0 || is_changed)
		return rc;
	if (box->other == 0)
		return push_map_renew(&box->map, &box->p->err);
	(void)mbj_error_set(why, MBJ_ECONFLICT,
			    "its UIDVALIDITY here is %" PRIu32
			    ", and was %" PRIu32
			    " when its messages were pushed, and UID %" PRIu32
			    " is not the message that it was",
			    box->node->uidvalidity, box->map.uidvalidity,
			    box->other);
	return MBJ_OK;
}

enum mbj_rc push_box_open(struct push_box *box, bool *ret_is_it)
{
	struct mbj_error why = {.rc = MBJ_OK};
	struct push *p = box->p;
	bool is_selected = false, is_to_be_filled;
	enum mbj_rc rc = map_open(box, box->record.has_map ? PUSH_MAP_OLD
							   : PUSH_MAP_NEW);

	if (rc == MBJ_ECONFLICT ||
	    (rc == MBJ_ECORRUPT && p->call->options.is_overruling))
		why = p->err;
	else if (rc == MBJ_OK)
		rc = renewed_judge(box, &why);
	*ret_is_it = why.rc == MBJ_OK;
	if (rc < 0 && why.rc == MBJ_OK)
		return rc;
	if (p->call->options.is_dry_run)
		return why.rc < 0 ? unknown_say(box, &why) : MBJ_OK;
	rc = box_select(box, &is_selected);
	*ret_is_it = false;
	if (rc < 0 || !is_selected)
		return rc;
	is_to_be_filled = p->call->options.is_overruling && box->is_empty;
	if (!is_known(box, &why) && !is_to_be_filled)
		return unknown_say(box, &why);
	/* Where there is none, none is there twice. */
	if (is_to_be_filled &&
	    (why.rc < 0 || (box->map.live > 0 && box->map.attempt.uid == 0))) {
		push_map_close(&box->map);
		rc = map_open(box, PUSH_MAP_OVER);
	}
	if (rc == MBJ_OK)
		rc = push_same_learn(box, true);
	if (rc == MBJ_OK)
		rc = push_settle(box);
	*ret_is_it = rc == MBJ_OK;
	return rc;
}

enum mbj_rc push_box_again(struct push_box *box, bool *ret_is_it)
{
	struct mbj_error why = {.rc = MBJ_OK};
	struct push *p = box->p;
	const struct mbj_error said = p->err;
	bool is_selected = false;
	enum mbj_rc rc;

	*ret_is_it = false;
	if (p->cuts++ < CUTS_MAX) {
		push_wire_close(&p->wire);
		rc = push_wire_open(&p->login, &p->wire, &p->err);
	} else {
		rc = said.rc;
	}
	if (rc < 0) {
		p->err = said;
		return said.rc;
	}
	p->begun_ms = mbj_monotonic_ms();
	rc = box_select(box, &is_selected);
	if (rc < 0 || !is_selected)
		return rc;
	if (!is_known(box, &why))
		return unknown_say(box, &why);
	/* A server that went down may have lost what it took. */
	rc = push_same_learn(box, true);
	if (rc == MBJ_OK)
		rc = push_settle(box);
	*ret_is_it = rc == MBJ_OK;
	return rc;
}

enum mbj_rc push_gone(struct push *p, struct mbj_id id)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = push_file_gone(&p->file, id, &p->err);

	if (rc < 0 || p->call->options.is_dry_run)
		return rc;
	rc = push_map_path(p, id, path);
	return rc == MBJ_OK && mbj_path_exists(mbj_sys_posix(), path)
		       ? mbj_file_remove(mbj_sys_posix(), path, &p->err)
		       : rc;
}
