/*
 * One message by APPEND; see push_mail.h.
 *
 * It is announced in the map, which is synced, before it is sent; what came of
 * it is on disk along with the next one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "push_mail.h"

enum {
	SHORT_MAX = 4096,  /* RFC 7888: LITERAL- */
	MIDDLE_MAX = 65536 /* a longer one may be refused before it is sent */
};

/* RFC 9051 date-time, in UTC; nothing where its year has no four digits. */
static void date_put(int64_t seconds, struct mbj_buf *out)
{
	static const char *const MONTHS[] = {"Jan", "Feb", "Mar", "Apr",
					     "May", "Jun", "Jul", "Aug",
					     "Sep", "Oct", "Nov", "Dec"};
	time_t time = (time_t)seconds;
	struct tm tm;

	if (gmtime_r(&time, &tm) == NULL || tm.tm_year < -1899 ||
	    tm.tm_year > 9999 - 1900)
		return;
	mbj_buf_format(out, " \"%2d-%s-%04d %02d:%02d:%02d +0000\"", tm.tm_mday,
		       MONTHS[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
		       tm.tm_min, tm.tm_sec);
}

static bool is_waiting(const struct push *p, uint64_t size)
{
	if (push_can(p, MBJ_IMAP_CAPABILITY_LITERAL_PLUS))
		return size > MIDDLE_MAX;
	return !push_can(p, MBJ_IMAP_CAPABILITY_LITERAL_MINUS) ||
	       size > SHORT_MAX;
}

/* What is sent along with a message. */
struct along {
	enum push_flags_kind flags;
	bool is_undated;
};

static enum mbj_rc append_send(struct push_box *box,
			       const struct mbj_message *message,
			       const struct along *along, uint64_t *ret_sent,
			       struct mbj_imap_response *ret_end)
{
	struct push *p = box->p;

	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "APPEND ");
	mbj_imap_quote_put(&p->command, box->record.name);
	mbj_buf_put_str(&p->command, " ");
	push_flags_put(box, message, along->flags, &p->command, ret_sent);
	if (!along->is_undated)
		date_put(message->time, &p->command);
	push_body_again(box->body);
	return push_wire_literal(&p->wire, &p->command, box->body->canon_size,
				 is_waiting(p, box->body->canon_size),
				 push_body_read, box->body, ret_end, &p->err);
}

/* Where it is there. */
static enum mbj_rc appended(struct push_box *box,
			    const struct mbj_imap_response *end,
			    struct push_entry *entry)
{
	const struct push_attempt attempt = box->map.attempt;
	struct push *p = box->p;
	enum mbj_rc rc = MBJ_OK;

	entry->there = end->uid;
	if (end->uid != 0 && end->uidvalidity != box->map.of.there)
		return mbj_error_set(&p->err, MBJ_ECONFLICT,
				     "mailbox %.*s has got another UIDVALIDITY "
				     "while its messages were pushed",
				     (int)box->record.name.n,
				     (const char *)box->record.name.p);
	if (end->uid == 0)
		rc = push_evidence(p, box->body->sha, &attempt, &box->uidnext,
				   &entry->there);
	/* A server that keeps one of equal messages may tell of an older. */
	if (end->uid != 0 &&
	    (end->uid < attempt.uidnext || end->uid == UINT32_MAX))
		entry->there = 0;
	if (rc == MBJ_OK && entry->there == 0)
		rc = push_leave_out(box, 1, 0,
				    "has message %" PRIu32
				    ", and which one that is the server does "
				    "not tell%s: its flags are not followed",
				    entry->uid,
				    end->uid != 0 ? " (its UID is of another)"
						  : "");
	if (entry->there >= box->uidnext)
		box->uidnext = entry->there + 1;
	return rc;
}

static enum mbj_rc appended_note(struct push_box *box,
				 const struct mbj_message *message,
				 const struct push_entry *entry)
{
	enum mbj_rc rc = push_map_message(&box->map, entry, &box->p->err);

	if (rc < 0)
		return rc;
	box->appended++;
	box->size += box->body->canon_size;
	if (box->is_undated)
		rc = push_leave_out(box, 1, 0,
				    "has message %" PRIu32
				    " without its internal date, with which "
				    "the server did not take it",
				    message->uid);
	return rc < 0 || entry->sent == 0
		       ? rc
		       : push_leave_out(box, 1, 0,
					"has message %" PRIu32
					" without keywords or flags that the "
					"server does not take",
					message->uid);
}

static enum mbj_rc refused(struct push_box *box,
			   const struct mbj_message *message,
			   const struct mbj_imap_response *end)
{
	char text[256];
	enum mbj_rc rc;

	(void)mbj_text_escape(text, sizeof(text), end->text);
	rc = push_map_left(&box->map, &box->p->err);
	return rc == MBJ_OK
		       ? push_leave_out(box, 1, push_map_blob(&message->blob),
					"lacks message %" PRIu32
					": the server says %s: %s",
					message->uid,
					end->verdict == MBJ_IMAP_NO ? "NO"
								    : "BAD",
					text)
		       : rc;
}

/* Is it of the message, or of what comes along with it, that it says no? */
static bool may_take(const struct mbj_imap_response *end)
{
	static const char *const CODES[] = {
		"[OVERQUOTA]",	 "[TRYCREATE]", "[NOPERM]",
		"[UNAVAILABLE]", "[INUSE]",	"[TOOBIG]",
	};
	struct mbj_bytes rest = end->text;
	struct mbj_imap_token code = mbj_imap_token_next(&rest);

	for (size_t i = 0; i < sizeof(CODES) / sizeof(*CODES); i++) {
		if (mbj_imap_token_is(&code, CODES[i]))
			return false;
	}
	return true;
}

/*
 * As it is, or with as much of what comes along with it as the server takes:
 * a date or flags that it does not take cost these only.  The date, which
 * nothing brings later, is kept until it has said no twice.
 */
static enum mbj_rc append_sends(struct push_box *box,
				const struct mbj_message *message,
				uint64_t *ret_sent,
				struct mbj_imap_response *end)
{
	static const struct along ALONG[] = {
		{PUSH_FLAGS_ALL, false},  {PUSH_FLAGS_BARE, false},
		{PUSH_FLAGS_NONE, false}, {PUSH_FLAGS_ALL, true},
		{PUSH_FLAGS_BARE, true},  {PUSH_FLAGS_NONE, true},
	};
	bool has_any = message->keywords.n > 0 || message->flags != 0;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < sizeof(ALONG) / sizeof(*ALONG);
	     i++) {
		const struct along *along = &ALONG[i];

		if (along->flags == PUSH_FLAGS_BARE && message->keywords.n == 0)
			continue;
		if (along->flags == PUSH_FLAGS_NONE &&
		    (along->is_undated ? message->flags == 0
				       : message->flags == 0 && has_any))
			continue;
		box->is_undated = along->is_undated;
		rc = append_send(box, message, along, ret_sent, end);
		if (rc < 0 || end->verdict == MBJ_IMAP_OK || !may_take(end))
			break;
	}
	return rc;
}

/* Announced, and sent. */
static enum mbj_rc append_try(struct push_box *box,
			      const struct mbj_message *message,
			      struct push_entry *entry,
			      struct mbj_imap_response *end)
{
	const struct mbj_bytes head = mbj_bytes_make(box->body->canon_head.b,
						     box->body->canon_head.n);
	struct push_attempt attempt = {.uid = message->uid,
				       .uidnext = box->uidnext,
				       .modseq = message->modseq,
				       .blob = push_map_blob(&message->blob),
				       .size = box->body->canon_size,
				       .digest = box->body->canon_hash,
				       .head = push_map_head(&box->map, head)};
	enum mbj_rc rc;

	*entry = (struct push_entry){.uid = message->uid,
				     .modseq = message->modseq,
				     .blob = attempt.blob,
				     .head = attempt.head,
				     .size = push_map_size(attempt.size),
				     .is_seen = true};
	rc = push_map_attempt(&box->map, &attempt, &box->p->err);
	return rc == MBJ_OK ? append_sends(box, message, &entry->sent, end)
			    : rc;
}

/*
 * The connection ended at it.  It may be there for all that, with the flags
 * that went along; else it is tried once more, and left out where a second
 * connection ends at it as well.  *ret_is_over: nothing is to be tried.
 */
static enum mbj_rc append_cut(struct push_box *box,
			      const struct mbj_message *message, int cuts,
			      const struct push_entry *entry, bool *ret_is_over)
{
	const struct mbj_error why = box->p->err;
	struct push_entry now = *entry;
	const struct push_entry *found;
	bool is_it = false;
	enum mbj_rc rc = push_box_again(box, &is_it);

	*ret_is_over = true;
	if (rc < 0 || !is_it)
		return rc;
	found = push_map_find(&box->map, message->uid);
	if (found != NULL) {
		now.there = found->there;
		return appended_note(box, message, &now);
	}
	*ret_is_over = cuts > 1;
	return cuts > 1 ? push_leave_out(box, 1, push_map_blob(&message->blob),
					 "lacks message %" PRIu32
					 ": the connection ended twice when it "
					 "was appended: %s",
					 message->uid, why.message)
			: MBJ_OK;
}

static enum mbj_rc append_run(struct push_box *box,
			      const struct mbj_message *message)
{
	struct mbj_imap_response end = {.kind = MBJ_IMAP_OTHER};
	struct push_entry entry;
	bool is_over = false;
	enum mbj_rc rc;

	for (int cuts = 1;; cuts++) {
		rc = append_try(box, message, &entry, &end);
		if (rc != MBJ_EIO || !box->p->wire.is_gone)
			break;
		rc = append_cut(box, message, cuts, &entry, &is_over);
		if (rc < 0 || is_over)
			return rc;
	}
	if (rc < 0)
		return rc;
	if (end.verdict != MBJ_IMAP_OK)
		return refused(box, message, &end);
	rc = appended(box, &end, &entry);
	return rc == MBJ_OK ? appended_note(box, message, &entry) : rc;
}

/* Can it be had here, and be as long as that there?  If not, that is said. */
static enum mbj_rc body_judge(struct push_box *box,
			      const struct mbj_message *message,
			      bool *ret_is_good)
{
	uint64_t blob = push_map_blob(&message->blob);
	struct push *p = box->p;
	enum mbj_rc rc;

	*ret_is_good = false;
	rc = push_body_look(box->body, &message->blob, message->size, &p->err);
	if (rc == MBJ_ENOTFOUND || rc == MBJ_ECORRUPT || rc == MBJ_EIO)
		return push_leave_out(box, 1, blob,
				      "lacks message %" PRIu32 ": %s",
				      message->uid, p->err.message);
	if (rc < 0)
		return rc;
	if (p->has_append_max && box->body->canon_size > p->append_max)
		return push_leave_out(box, 1, blob,
				      "lacks message %" PRIu32
				      ": it has %" PRIu64
				      " bytes, and the server takes %" PRIu32
				      " at most",
				      message->uid, box->body->canon_size,
				      p->append_max);
	*ret_is_good = true;
	return MBJ_OK;
}

enum mbj_rc push_append_count(struct push_box *box,
			      const struct mbj_message *message)
{
	struct push *p = box->p;
	bool is_good = true;
	enum mbj_rc rc = MBJ_OK;

	/* With lines that end in CRLF it has twice as many bytes at most. */
	if (p->has_append_max && message->size > p->append_max / 2)
		rc = body_judge(box, message, &is_good);
	if (rc < 0 || !is_good)
		return rc;
	box->appended++;
	box->size += message->size;
	return MBJ_OK;
}

enum mbj_rc push_append(struct push_box *box, const struct mbj_message *message)
{
	bool is_good = false;
	enum mbj_rc rc = body_judge(box, message, &is_good);

	return rc == MBJ_OK && is_good ? append_run(box, message) : rc;
}
